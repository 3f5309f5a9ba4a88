"""The model card: README.md of a model folder, as the Hugging Face hub shows it.

Facts of the run alone, and none that differs when the run is repeated (times, memory), so that the
same run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from speechlasso import __version__
from speechlasso.data.in_words import division, name_of_data, origin_of_data
from speechlasso.data.settings import Folds
from speechlasso.evaluation.cards import METRICS
from speechlasso.language_model.token_text import token_text
from speechlasso.pages import markdown_table, markdown_text

SPLITS = ("train", "validation", "test")
_INPUTS = {"text": "words", "audio": "sound"}
_TUNED = {
    "full": "all weights trained",
    "lora": "trained by low-rank updates (LoRA), which are merged into the weights",
    "head": "only the classification head and the new tokens' embeddings trained",
}


def render_model_card(
    name: str,
    specs: Iterable[Mapping[str, Any]],
    finetune: Mapping[str, Any],
    adapt: Mapping[str, Any] | None = None,
    *,
    metrics: Mapping[str, Any],
    training_log: pd.DataFrame,
    config: Mapping[str, Any],
    selection: Mapping[str, Any] | None = None,
    page: str | None = None,
    overlap: Mapping[str, Any] | None = None,
    faithfulness: Mapping[str, float] | None = None,
) -> str:
    """Markdown with YAML front matter.

    Parameters
    ----------
    name
        Of the model.
    specs
        The spec.json of the manifest, the folds, the codes (if any) and the token texts.
    finetune, adapt
        The model's own spec.json, and that of its adaptation to the new tokens, if there was one.
    metrics
        As `evaluation.evaluate` returns them for the model's predictions.
    training_log
        As `finetuning.finetune` returns it.
    config
        The model's config.json.
    selection
        The selection.json, of a model that reads audio.
    page
        Path of the page of evidence, where the selection has one.
    overlap
        As `corpus_overlap.corpus_overlap` returns it, of a model that was adapted to a corpus.
    faithfulness
        As `faithfulness.faithfulness` returns it.
    """
    specs = [*specs, finetune, *([adapt] if adapt else [])]
    stages = {spec["stage"]: spec["settings"] for spec in specs}
    inputs = stages["token_texts"]["inputs"]
    splits = {split: metrics["splits"][split] for split in SPLITS if split in metrics["splits"]}
    folds = Folds.model_validate(stages["divide_folds"]["folds"])
    inner = folds.has_inner_folds
    best = training_log.loc[training_log["best"], "epoch"].item()
    words = {"text": "Well, no.", "audio": "clip.wav"}
    environment = Environment(
        loader=PackageLoader("speechlasso"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["as_it_is"] = markdown_text
    return environment.get_template("model_card.md.jinja").render(
        name=name,
        version=__version__,
        front_matter=_front_matter(name, stages, splits),
        inputs=" and ".join(_INPUTS[kind] for kind in inputs),
        reads_text="text" in inputs,
        classes=metrics["classes"],
        selection=selection,
        page=page,
        data=f"{markdown_text(origin_of_data(stages['manifest']['table']['path']))} ",
        folds=_folds(stages),
        split_table=_split_table(splits, metrics["classes"]),
        language_model=_public_name(stages["finetune"]["lm"]["name"]),
        tuned=_TUNED[stages["finetune"]["finetune"]["method"]],
        threshold=config.get("decision_threshold"),
        tokenizer=_tokenizer(stages) if selection else None,
        chosen=_chosen(selection) if selection else None,
        adapted=_adapted(adapt) if adapt else None,
        settings_table=_table(["setting", "value"], _settings(stages)),
        metric=stages["finetune"]["criterion"]["metric"],
        best_epoch=best,
        n_epochs=stages["finetune"]["finetune"]["epochs"] if inner else len(training_log),
        chosen_on=f"the validation rows of {folds.chosen_on}" if inner else folds.chosen_on,
        score_table=_score_table(splits),
        last_split=list(splits)[-1],
        class_table=_class_table(list(splits.values())[-1]),
        faithfulness=faithfulness,
        limits=list(_limits(stages, splits, overlap or {})),
        example=token_text(
            words["text"] if "text" in inputs else None, [1, 0, 1] if selection else None
        ),
        options=" ".join(f'--{kind} "{words[kind]}"' for kind in inputs),
        arguments=", ".join(f'{kind}="{words[kind]}"' for kind in inputs),
    )


def _front_matter(
    name: str, stages: Mapping[str, Any], splits: Mapping[str, Mapping[str, Any]]
) -> str:
    lm = stages["finetune"]["lm"]["name"]
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type="custom",
            dataset_name=name_of_data(stages["manifest"]["table"]["path"]),
            dataset_split=split,
            metric_type=metric.hub_metric,
            metric_name=metric.title,
            metric_value=round(splits[split][metric.name], 4),
        )
        for split in ("validation", "test")
        for metric in METRICS.cards()
        if metric.hub_metric and splits.get(split, {}).get(metric.name) is not None
    ]
    data = ModelCardData(
        model_name=name,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["speechlasso", *(["speech"] if "tokenize_audio" in stages else [])],
        base_model=None if Path(lm).is_dir() else lm,
        language=None if stages["manifest"]["table"]["path"] else "en",
        metrics=list(dict.fromkeys(result.metric_type for result in results)),
        eval_results=results,
    )
    return data.to_yaml()


def _folds(stages: Mapping[str, Any]) -> str:
    folds, fold = stages["divide_folds"]["folds"], markdown_text(stages["token_texts"]["fold"])
    is_group = folds["method"] == "leave_one_group_out"
    which = f"group {fold}" if is_group else f"fold {fold} of {folds['n_folds']}"
    return division(folds["method"], which)


def _public_name(lm: str) -> str:
    """A name on the hub as it is; of a directory its own name, not where it lies."""
    return Path(lm).name if Path(lm).is_dir() else lm


def _tokenizer(stages: Mapping[str, Any]) -> str:
    from speechlasso.tokenizers.cards import TOKENIZERS

    settings = stages["tokenize_audio"]["tokenizer"]
    card = TOKENIZERS[settings["method"]]
    model = settings.get("model") or card.usual_model
    origin = f" of {_public_name(model)}" if model else ""
    learned = ", learned on the training clips alone" if card.learns else ""
    return f"{card.name}{origin}{learned}"


def _chosen(selection: Mapping[str, Any]) -> str:
    alpha = f" at alpha = {selection['alpha']:.4g}" if selection.get("alpha") else ""
    return f"{len(selection['tokens'])}, chosen by {selection['method']}{alpha}"


def _adapted(adapt: Mapping[str, Any]) -> str:
    """How and from what the embeddings of the new tokens were learned."""
    settings = adapt["settings"]["adapt"]
    rows = f"the {' and '.join(settings.get('splits', ['train']))} rows"
    if "corpus" in adapt["upstream"]:
        rows = "utterances of another table"
    how = "language modelling on"
    if settings.get("objective") == "self_powered":
        how = "predicting the model's own answers to instructions about the transcripts of"
    return f"{how} {rows}, without their labels"


def _settings(stages: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the language model was trained with."""
    lm = {key: value for key, value in stages["finetune"]["lm"].items() if key != "name"}
    yield from _flat("lm", lm)
    if "adapt_lm" in stages:
        # Where the corpus lies on someone's machine is nobody's business.
        yield from _flat("adapt", stages["adapt_lm"]["adapt"], {"corpus", "self_powered"})
    method = stages["finetune"]["finetune"]["method"]
    unread = set() if method == "lora" else {"lora"}
    yield from _flat("finetune", stages["finetune"]["finetune"], unread)
    yield "seed", stages["finetune"]["seed"]


def _flat(
    path: str, section: Mapping[str, Any], without: Iterable[str] = ()
) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if key in without or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _flat(f"{path}.{key}", value)
        else:
            yield f"{path}.{key}", value


def _split_table(splits: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> str:
    rows = [
        [split, scores["n_examples"], *(of_class["support"] for of_class in scores["per_class"])]
        for split, scores in splits.items()
    ]
    return _table(["split", "utterances", *classes], rows)


def _score_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    scored = {split: scores for split, scores in splits.items() if split != "train"}
    rows = [
        [metric.title, *(f"{scores[metric.name]:.3f}" for scores in scored.values())]
        for metric in METRICS.cards()
        if metric.title and all(scores.get(metric.name) is not None for scores in scored.values())
    ]
    return _table(["", *scored], rows)


def _class_table(scores: Mapping[str, Any]) -> str:
    columns = ["precision", "recall", "f1"]
    rows = [
        [of_class["class"], *(f"{of_class[column]:.3f}" for column in columns), of_class["support"]]
        for of_class in scores["per_class"]
    ]
    return _table(["class", *columns, "utterances"], rows)


def _limits(
    stages: Mapping[str, Any],
    splits: Mapping[str, Mapping[str, Any]],
    overlap: Mapping[str, Mapping[str, int]],
) -> Iterator[str]:
    inputs, max_length = stages["token_texts"]["inputs"], stages["finetune"]["lm"]["max_length"]
    scores = splits[list(splits)[-1]]
    yield (
        f"The scores are those of one seed on {scores['n_examples']} utterances; the experiment's "
        "summary.csv has their spread over seeds and folds."
    )
    tuned = stages["finetune"]["finetune"]["decision_threshold"] == "tuned"
    chosen = "the epoch and the threshold" if tuned else "the epoch"
    if stages["divide_folds"]["folds"].get("choose_on") == "inner_folds":
        yield (
            "The validation rows are the training rows, each scored by a model of an inner fold "
            f"that had not learned from it. These scores chose {chosen}, which flatters them."
        )
    else:
        yield f"Validation rows chose {chosen}, which flatters their scores."
    yield (
        "It knows no other class: whatever it reads, it names one of these. The probabilities are "
        "not calibrated."
    )
    if stages["finetune"]["finetune"]["class_weights"] == "balanced":
        yield "Classes were weighted as if equally frequent, so rare ones are named too often."
    yield (
        f"It reads at most {max_length} tokens of an utterance "
        f"({100 * scores['cut_share']:.1f} % of these were longer and lost their end)."
    )
    if "test" in stages.get("adapt_lm", {"adapt": {}})["adapt"].get("splits", []):
        yield "It was adapted to the test rows, without their labels (transductive learning)."
    for split, found in overlap.items():
        if found["either"]:
            yield (
                f"It was adapted to a table that holds {found['either']} of the {found['n_rows']} "
                f"{split} rows, without their labels (transductive learning)."
            )
    if "text" in inputs:
        yield "It reads transcripts like those of the training table; it does not transcribe."
    if "audio" in inputs:
        yield "Other microphones, rooms, speakers and languages than in the data are untried."
    if stages["divide_folds"]["folds"]["method"] == "stratified":
        yield "Rows of one speaker may be in several splits, which flatters the scores."
    if not stages["manifest"]["table"]["path"]:
        yield "It was trained on synthetic speech: a demonstration, of no use on real speech."


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return markdown_table(map(_cell, header), (map(_cell, line) for line in rows))


def _cell(value: Any) -> str:
    return markdown_text(str(value))
