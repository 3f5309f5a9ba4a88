"""What an experiment compares, for people who have not seen its configuration."""

from __future__ import annotations

from typing import Any

from speechlasso.data.in_words import division, origin_of_data
from speechlasso.data.settings import Folds
from speechlasso.experiment.plan import Plan
from speechlasso.experiment.runs import Run
from speechlasso.experiment.settings import Settings
from speechlasso.section import INPUTS
from speechlasso.selection.cards import SELECTIONS
from speechlasso.systems.cards import SYSTEMS
from speechlasso.systems.settings import System
from speechlasso.tokenizers.cards import TOKENIZERS

_HEARD = {"text": "words", "audio": "sound"}
_MODELS = {"lm": "language model", "encoder": "speech encoder", "tokenizer": "speech codec"}


def in_words(plan: Plan, settings: Settings) -> dict[str, Any]:
    """The data, the arms and their audio tokens.

    Returns
    -------
    dict
        data: sentences; arms: of each its name and, in words, what it is, what it reads, which
        audio tokens and which models; tokens: by arm that reads any, what audio tokens are made of.
    """
    runs = {run.arm: run for run in reversed(plan.runs)}
    # The order of the configuration.
    runs = {arm: runs[arm] for arm in dict.fromkeys(run.arm for run in plan.runs)}
    parts = plan.runs[0].parts()
    folds, n_folds = parts["folds"].settings.folds, len({run.fold for run in plan.runs})
    data = origin_of_data(parts["manifest"].settings.table.path)
    return {
        "data": f"{data} {division(folds.method, _folds(folds, n_folds))}",
        "arms": [_arm(run, settings.arms) for run in runs.values()],
        "tokens": {arm: words for arm, run in runs.items() if (words := _tokens(run))},
    }


def _folds(folds: Folds, n_folds: int) -> str:
    if folds.method == "leave_one_group_out":
        return f"each of {n_folds} groups in turn"
    return f"{n_folds} of {folds.n_folds} folds"


def _arm(run: Run, arms: dict[str, System]) -> dict[str, str]:
    arm = arms[run.arm.partition("[")[0]]
    select = run.parts().get("select")
    return {
        "arm": run.arm,
        "what it is": SYSTEMS[arm.system].description,
        "reads": _reads(run, arm),
        "audio tokens": _selection(select.settings.selection) if select else "",
        "models": ", ".join(_models(run)),
    }


def _reads(run: Run, arm: System) -> str:
    """What it decides by, and where that is more or comes from others, what it learned from."""
    read, learned = _joined(run.reads), _joined(getattr(arm, "inputs", run.reads))
    if others := getattr(arm, "arms", ()):
        return f"{read}, through {' and '.join(others)}"
    return read if read == learned else f"{read}; learned from {learned}"


def _joined(inputs: Any) -> str:
    return " and ".join(_HEARD[name] for name in INPUTS if name in inputs)


def _selection(selection: Any) -> str:
    words = [SELECTIONS[selection.method].description]
    if getattr(selection, "threshold", None) == "mean":
        words.append("Of these, those of at least the mean weight of all features.")
    if getattr(selection, "inputs", None) == "audio":
        words.append("Here fitted to tokens alone.")
    return " ".join(words)


def _models(run: Run) -> list[str]:
    found = {
        f"{_MODELS.get(role, role)} {name.rstrip('/').split('/')[-1]}": None
        for variant in run.with_ancestors()
        for role, (name, _) in variant.settings.models().items()
    }
    return list(found)


def _tokens(run: Run) -> str:
    codes = run.parts().get("codes")
    if codes is None:
        return ""
    tokenizer = codes.settings.tokenizer
    description = TOKENIZERS[tokenizer.method].description
    words = f"Audio tokens are codes by {tokenizer.method}: {description}"
    return f"{words} {tokenizer.about_layers}".strip()
