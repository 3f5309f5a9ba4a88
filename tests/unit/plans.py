"""Plans of small experiments."""

from __future__ import annotations

from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings


def plan(**overrides):
    return make_plan(load_settings(merged(Settings().model_dump(), overrides)))


def keys_by_stage(a_plan):
    return {stage: set(a_plan.keys(stage)) for stage in a_plan.variants}


def changed_stages(before, after):
    a, b = keys_by_stage(before), keys_by_stage(after)
    return {stage for stage in a if a[stage] != b[stage]}


AFTER_SELECTION = {
    *("select_tokens", "describe_selection", "token_texts", "adapt_lm", "finetune", "fit_linear"),
    *("predict", "evaluate"),
}


def leave_one_speaker_out(table, **folds):
    return {
        "source": "table",
        "table": {"path": table, "columns": {"group": "speaker"}},
        "folds": {"method": "leave_one_group_out", **folds},
    }
