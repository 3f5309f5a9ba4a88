"""The commands that use a trained model: `speechlasso predict` and `speechlasso explain`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechlasso.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from speechlasso.trained_model.model import TrainedModel

FORMATS = ("screen", "json", "csv")
MODEL = (
    "a folder of results/finetune/, or a copy of one (results/experiments/NAME/index.tsv names "
    "that of each run)"
)


def add_model_commands(commands: Any) -> None:
    """Add them to the subcommands of argparse."""
    predict = commands.add_parser(
        "predict",
        help="label and probabilities of new recordings, by a trained model",
        description="Label and probabilities of new recordings, by the very steps of the "
        "experiment: clips to codes, codes to audio tokens, words and tokens to the language "
        "model.",
        epilog='Example: speechlasso predict results/finetune/KEY --audio a.wav --text "Well, no."',
    )
    predict.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help=f"{MODEL}; of several, such as the seeds of an arm, the mean of their probabilities "
        "decides, at the mean of their decision thresholds where these were tuned",
    )
    _add_utterances(predict)
    _add_output(predict)
    predict.set_defaults(command=predict_new)

    explain = commands.add_parser(
        "explain",
        help="which words and audio tokens, and where in time, moved a trained model's decision",
        description="Leaves out each word, each stretch of time and each audio token, one after "
        "the other, and tells by how much the probability of the decided class falls: positive "
        "effects speak for the decision, negative ones against it.",
        epilog="Example: speechlasso explain results/finetune/KEY --audio a.wav "
        '--text "Well, no." --figure why.svg',
    )
    explain.add_argument("model", metavar="MODEL", help=MODEL)
    _add_utterances(explain)
    explain.add_argument(
        "--window",
        metavar="SECONDS",
        type=float,
        help="length of the stretches of time (default: 0.2); 0: each audio token by itself",
    )
    explain.add_argument(
        "--figure", metavar="FILE", help="draw the effects over the waveform, as .svg or .png"
    )
    _add_output(explain)
    explain.set_defaults(command=explain_new)


def _add_utterances(parser: argparse.ArgumentParser) -> None:
    single = parser.add_argument_group("a single utterance")
    single.add_argument(
        "--audio", metavar="CLIP", nargs="+", help="its clip, or several in their order"
    )
    single.add_argument("--text", help="its words")
    single.add_argument(
        "--start", type=float, metavar="SECONDS", help="where it starts in its clip"
    )
    single.add_argument("--end", type=float, metavar="SECONDS", help="where it ends in its clip")

    table = parser.add_argument_group("or a table of utterances")
    table.add_argument(
        "--manifest",
        metavar="TABLE",
        help="CSV, TSV, Parquet or JSONL, its columns named as in training; labels are not needed",
    )
    table.add_argument(
        "--column",
        metavar="NAME=COLUMN",
        action="append",
        default=[],
        help="what the table calls one of id, text, audio, start, end where the training table "
        "called it otherwise; start= and end= without a name: the table has none",
    )
    table.add_argument(
        "--audio-root", metavar="FOLDER", help="where clips lie (default: the table's folder)"
    )
    table.add_argument(
        "--audio-separator",
        metavar="TEXT",
        help="stands between the clips of one utterance (default: as in training)",
    )
    table.add_argument(
        "--id", action="append", metavar="ID", help="this utterance alone; may be repeated"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="KEY=PATH",
        action="append",
        default=[],
        help="where the files of a pretrained speech tokenizer lie, if no longer where they did "
        "in training: checkpoint=FILE, config=FILE or model=FOLDER",
    )
    parser.add_argument(
        "--plugin",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this module, which a speech tokenizer of your own comes from; may be repeated",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="processor threads (default: 1)"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="default: by the suffix of --output, else a table for the screen",
    )
    parser.add_argument("--output", metavar="FILE", help="write there instead of on the screen")


def predict_new(options: argparse.Namespace) -> int:
    """Predict what the options name."""
    from speechlasso.evaluation.seed_average import averaged
    from speechlasso.trained_model.output import predictions_text

    form = _format(options)
    opened = [_model_and_utterances(folder, options) for folder in options.models]
    predictions = averaged(
        [model.predict_utterances(utterances) for model, utterances in opened],
        [model.classifier.threshold for model, _ in opened],
    )
    _put(predictions_text(predictions, form), options.output)
    return 0


def explain_new(options: argparse.Namespace) -> int:
    """Explain the predictions of what the options name."""
    from speechlasso.trained_model.explanation import explain
    from speechlasso.trained_model.explanation_figure import (
        explanation_figure,
        require_suffix,
        write_figure,
    )
    from speechlasso.trained_model.output import explanations_text

    form = _format(options)
    if options.figure:
        require_suffix(options.figure)
    model, utterances = _model_and_utterances(options.model, options)
    if options.figure and len(utterances) > 1:
        raise InputError(
            f"--figure shows one utterance, but these are {len(utterances)}; choose one: --id ID"
        )
    rows = [utterances.iloc[[row]] for row in range(len(utterances))]
    explanations = [explain(model, row, options.window) for row in rows]
    _put(explanations_text(explanations, form), options.output)
    if options.figure:
        write_figure(options.figure, explanation_figure(explanations[0], rows[0]))
    return 0


def _model_and_utterances(
    folder: str, options: argparse.Namespace
) -> tuple[TrainedModel, pd.DataFrame]:
    from speechlasso.trained_model.model import TrainedModel

    single = [options.text, options.audio, options.start, options.end]
    if options.manifest and any(value is not None for value in single):
        raise InputError("--manifest and a single utterance: give one or the other")
    if options.threads < 1:
        raise InputError(f"--threads {options.threads}: expected at least 1")
    places = _pairs("--tokenizer", options.tokenizer)
    model = TrainedModel(folder, tokenizer=places, threads=options.threads, plugins=options.plugin)
    of_tables = [options.column, options.id, options.audio_root, options.audio_separator]
    if not options.manifest and any(of_tables):
        raise InputError(
            "--column, --id, --audio-root and --audio-separator are about a --manifest; give one"
        )
    if not options.manifest:
        return model, model.utterance(
            text=options.text, audio=options.audio, start=options.start, end=options.end
        )
    columns = _pairs("--column", options.column)
    utterances = model.read_manifest(
        options.manifest,
        columns={name: column or None for name, column in columns.items()},
        audio_root=options.audio_root,
        audio_separator=options.audio_separator,
    )
    return model, _chosen(utterances, options)


def _chosen(utterances: pd.DataFrame, options: argparse.Namespace) -> pd.DataFrame:
    if options.id is None:
        return utterances
    missing = [name for name in options.id if name not in set(utterances["id"])]
    if missing:
        raise InputError(f"{options.manifest}: no utterance has the id {', '.join(missing)}")
    return utterances[utterances["id"].isin(options.id)].reset_index(drop=True)


def _pairs(option: str, settings: Sequence[str]) -> dict[str, str]:
    for setting in settings:
        if "=" not in setting:
            raise InputError(f"{option} {setting}: expected {setting}=VALUE")
    return dict(setting.split("=", 1) for setting in settings)


def _format(options: argparse.Namespace) -> str:
    if options.format:
        return options.format
    if options.output is None:
        return "screen"
    suffix = Path(options.output).suffix.lower().removeprefix(".")
    if suffix in ("json", "csv"):
        return suffix
    raise InputError(
        f"--output {options.output}: say in which format (--format), or let the name end in .json "
        "or .csv"
    )


def _put(text: str, output: str | None) -> None:
    from speechlasso.files import write_text_where_named

    if output is None:
        print(text, end="")
    else:
        write_text_where_named(output, text)
