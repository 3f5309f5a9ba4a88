"""Mistakes that lie between keys of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from speechlasso.data.demo_languages import FIRST_LANGUAGE
from speechlasso.errors import did_you_mean, names_of
from speechlasso.evaluation.cards import METRICS, USUAL
from speechlasso.evaluation.settings import Criterion
from speechlasso.evaluation.summary import RUN_COLUMNS
from speechlasso.experiment.messages import as_list, as_mapping, as_name
from speechlasso.experiment.settings import Experiment, Settings
from speechlasso.selection.cards import SELECTIONS
from speechlasso.selection.settings import LikeAnother
from speechlasso.systems.cards import SYSTEMS
from speechlasso.systems.settings import System, SystemOfInputs, SystemOfTokens


def cross_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes that lie between keys, looked for even where single keys are wrong as well."""
    selections = as_mapping(raw.get("select")) or as_mapping(Settings().model_dump()["select"])
    arms = as_mapping(raw.get("arms")) or as_mapping(Settings().model_dump()["arms"])
    experiment = as_mapping(raw.get("experiment"))
    names = list(map(as_name, as_list(experiment.get("arms"))))
    for name in sorted({name for name in names if names.count(name) > 1}, key=str):
        yield f"experiment.arms: each arm once, but {name!r} stands there {names.count(name)} times"
    for position, name in enumerate(names):
        if name not in arms:
            yield f"experiment.arms.{position}: no arm is named {name!r}{did_you_mean(name, arms)}"
    for name, arm in arms.items():
        yield from _arm_problems(f"arms.{name}", as_mapping(arm), selections)
    for name, selection in selections.items():
        yield from _selection_problems(f"select.{name}", as_mapping(selection), selections)
    yield from _dataset_problems(as_mapping(raw.get("dataset")))
    yield from _silent_problems(raw, arms)
    yield from _adapt_problems("", as_mapping(raw.get("adapt")))
    yield from _metric_problems(as_mapping(raw.get("evaluate")))
    yield from _reference_problems(as_mapping(raw.get("evaluate")), names or Experiment().arms)
    yield from _threshold_problems(raw, arms)
    yield from _language_problems(raw, arms)


def _arm_problems(path: str, arm: Mapping, selections: Mapping) -> Iterator[str]:
    yield from _adapt_problems(
        f"{path}.override.", as_mapping(as_mapping(arm.get("override")).get("adapt"))
    )
    if not _is_a(SystemOfTokens, arm):
        return
    reads_audio = "audio" in as_list(arm.get("inputs", ["text", "audio"]))
    name = as_name(arm.get("select"))
    if reads_audio and name is None:
        yield f"{path}.select: an arm that reads audio needs a selection: {names_of(selections)}"
    if not reads_audio and name is not None:
        yield f"{path}.select: an arm without audio among its inputs has nothing to select"
    if name is not None and name not in selections:
        yield f"{path}.select: no selection is named {name!r}{did_you_mean(name, selections)}"


def _inputs(arm: Mapping) -> list:
    """What an arm reads: what it says, or what its system always does."""
    system = as_name(arm.get("system", "token_lm"))
    if _is_a(SystemOfInputs, arm):
        return as_list(arm.get("inputs", ["text", "audio"]))
    return getattr(SYSTEMS[system].settings, "inputs", []) if system in SYSTEMS else []


def _is_a(kind: type[System], arm: Mapping) -> bool:
    system = as_name(arm.get("system", "token_lm"))
    return system in SYSTEMS and issubclass(SYSTEMS[system].settings, kind)


def _with_those_read(names: list, arms: Mapping) -> list[str]:
    """Arms and, after them, those whose predictions they read."""
    reached = [name for name in names if name in arms]
    for name in reached:  # which grows meanwhile
        others = map(as_name, as_list(as_mapping(arms[name]).get("arms")))
        reached += [other for other in others if other in arms and other not in reached]
    return reached


def _selection_problems(path: str, selection: Mapping, selections: Mapping) -> Iterator[str]:
    if selection.get("threshold") == "top_k" and selection.get("top_k") is None:
        yield f"{path}.top_k: threshold top_k needs the number of tokens to keep"
    if not _is_like_another(selection):
        return
    like = selection.get("like", "lasso")
    if not isinstance(like, str) or like not in selections:
        yield f"{path}.like: no selection is named {like!r}{did_you_mean(like, selections)}"
    elif _is_like_another(as_mapping(selections[like])):
        yield f"{path}.like: {like!r} takes its size from another; name a lasso"


def _is_like_another(selection: Mapping) -> bool:
    method = as_name(selection.get("method"))
    return method in SELECTIONS and issubclass(SELECTIONS[method].settings, LikeAnother)


def _adapt_problems(path: str, adapt: Mapping) -> Iterator[str]:
    corpus = adapt.get("corpus")
    if corpus is None:
        return
    if as_mapping(corpus).get("path") is None:
        yield f"{path}adapt.corpus.path: the path of the corpus' table is missing"
    if as_mapping(as_mapping(corpus).get("columns")).get("audio", "audio") is None:
        yield f"{path}adapt.corpus.columns.audio: null, but audio tokens are learned from audio"


def _metric_problems(evaluate: Mapping) -> Iterator[str]:
    named = (evaluate.get("metric"), *as_list(evaluate.get("more_metrics")))
    for card in (METRICS[name] for name in METRICS if name in named):
        if card.needs_positive_class and evaluate.get("positive_label") is None:
            yield (f"evaluate.positive_label: metric {card.name} needs to know the positive class")
        if card.name in RUN_COLUMNS and card.name not in USUAL:
            yield f"evaluate: runs.csv has another column {card.name!r}; rename the metric"


def _reference_problems(evaluate: Mapping, arms: list) -> Iterator[str]:
    name = evaluate.get("reference")
    if name is not None and as_name(name) not in arms:
        yield f"evaluate.reference: no arm of experiment.arms is {name!r}{did_you_mean(name, arms)}"


def _threshold_problems(raw: Mapping, arms: Mapping) -> Iterator[str]:
    """Thresholds that would be chosen by a score which they do not change."""
    metric = as_name(as_mapping(raw.get("evaluate")).get("metric", Criterion().metric))
    if metric not in METRICS or not METRICS[metric].needs_probabilities:
        return
    for path, sections in _with_overrides(raw, arms).items():
        if as_mapping(sections.get("finetune")).get("decision_threshold") == "tuned":
            yield (
                f"{path}finetune.decision_threshold: tuned is chosen by evaluate.metric, but "
                f"{metric} scores probabilities, which no threshold changes; set it to half, or "
                "name a metric of decisions"
            )


def _with_overrides(raw: Mapping, arms: Mapping) -> dict[str, Mapping]:
    """The experiment's sections and those that each arm overrides, by the path above them."""
    overrides = {
        f"arms.{name}.override.": as_mapping(as_mapping(arm).get("override"))
        for name, arm in arms.items()
    }
    return {"": raw, **overrides}


def _language_problems(raw: Mapping, arms: Mapping) -> Iterator[str]:
    """Target languages where rows have none, or the demo corpus has others.

    Which languages a table has is known when it is read.
    """
    dataset = as_mapping(raw.get("dataset"))
    columns = as_mapping(as_mapping(dataset.get("table")).get("columns"))
    is_table = dataset.get("source") == "table"
    if is_table and columns.get("language") is not None:
        return
    second = as_mapping(dataset.get("demo")).get("second_language")
    spoken = [FIRST_LANGUAGE] if second is None else [FIRST_LANGUAGE, second]
    for path, sections in _with_overrides(raw, arms).items():
        key = f"{path}finetune.schedule.target_language"
        schedule = as_mapping(as_mapping(sections.get("finetune")).get("schedule"))
        target = schedule.get("target_language")
        if target is None:
            continue
        if is_table:
            yield f"{key}: needs the language of each row; name dataset.table.columns.language"
        elif target not in spoken:
            yield (
                f"{key}: no language of the demo corpus is {target!r}; it has "
                f"{names_of(spoken)}, as dataset.demo.second_language says"
            )


def _dataset_problems(dataset: Mapping) -> Iterator[str]:
    if dataset.get("source") != "table":
        return
    table = as_mapping(dataset.get("table"))
    columns = as_mapping(table.get("columns"))
    method = as_mapping(dataset.get("folds")).get("method", "given")
    if table.get("path") is None:
        yield "dataset.table.path: source: table needs the path of the table"
    if method == "given" and columns.get("split") is None:
        yield "dataset.table.columns.split: folds.method: given needs the split column's name"
    if method in ("grouped", "leave_one_group_out") and columns.get("group") is None:
        yield f"dataset.table.columns.group: folds.method: {method} needs the group column's name"


def _silent_problems(raw: Mapping, arms: Mapping) -> Iterator[str]:
    """Arms of the experiment that read text or audio where a table has none."""
    chosen = as_list(as_mapping(raw.get("experiment")).get("arms")) or Experiment().arms
    chosen = list(map(as_name, chosen))
    inputs = {name: _inputs(as_mapping(arms[name])) for name in _with_those_read(chosen, arms)}
    dataset = as_mapping(raw.get("dataset"))
    if dataset.get("source") == "table":
        yield from _missing_inputs("dataset.table", as_mapping(dataset.get("table")), inputs)
    # Arms that read text alone adapt to no corpus.
    adapted = {name: read for name, read in inputs.items() if "audio" in read}
    corpus = as_mapping(as_mapping(raw.get("adapt")).get("corpus"))
    if as_mapping(corpus.get("columns")).get("text", "text") is None:
        yield from _missing_inputs("adapt.corpus", corpus, adapted)


def _missing_inputs(path: str, table: Mapping, inputs: Mapping[str, list]) -> Iterator[str]:
    columns = as_mapping(table.get("columns"))
    for missing, other in (("audio", "text"), ("text", "audio")):
        readers = [name for name, read in inputs.items() if missing in read]
        if readers and columns.get(missing, missing) is None:
            yield (
                f"{path}.columns.{missing}: null, but these arms read {missing}: "
                f"{names_of(readers)}; name the column, or run arms with inputs: [{other}]"
            )
