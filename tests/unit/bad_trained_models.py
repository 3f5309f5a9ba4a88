"""Folders of trained models that are wrong, and what is asked of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from bad_input import bad
from bad_models import GIVE, Spoil, cut, edited, gone, says, templates, weights
from safetensors.torch import save_file

from speechlasso.files import sha256, write_json
from speechlasso.trained_model.recipe import SPEECH_TOKENIZER


def opened(
    what: str, names: str, remedy: str, spoil: Spoil, *more: str, of: str = "predict"
) -> None:
    """A case of a trained model whose folder was spoilt, and a clip to predict."""

    def make(folder: Path) -> list[str]:
        shutil.copytree(templates() / "model", folder / "model")
        shutil.copy(templates() / "trained/clips/u0.wav", folder / "a.wav")
        spoil(folder / "model")
        (folder / "answers.csv").write_text("those of yesterday\n")
        given = ["--text", "a cat", "--audio", "a.wav", "--output", "answers.csv"]
        return ["speechlasso", of, "model", *(more or given)]

    bad("trained model", what, names, remedy)(make)


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def recorded(then: Spoil) -> Spoil:
    """After the workflow wrote down what the files hold."""

    def spoil(folder: Path) -> None:
        digests = {path.name: sha256(path) for path in folder.iterdir()}
        write_json(folder / "spec.json", {"stage": "finetune", "sha256": digests})
        then(folder)

    return spoil


AGAIN = "Copy the folder again from where it was made"
WHOLE = "copy the whole folder again from where it was made"
LOAD = "model: cannot load 'model'"
EMBEDDING = "bert.embeddings.word_embeddings.weight"
opened("no folder", "model: not a trained model", "give one of results/finetune/", shutil.rmtree)
opened("an empty folder", "model: not a trained model", "give one of results/finetune/", emptied)
opened(
    "an empty folder to explain",
    "model: not a trained model",
    "give one of results/finetune/",
    emptied,
    of="explain",
)
opened(
    "a file for a folder",
    "model: not a trained model",
    "give one of results/finetune/",
    lambda f: (shutil.rmtree(f), f.write_text("x")),
)
for what, names, remedy, spoil in [
    (
        "a file that changed since it was made",
        "model/model.safetensors",
        AGAIN,
        recorded(weights(lambda t: t["classifier.weight"].add_(1))),
    ),
    (
        "a file that is missing since it was made",
        "model/tokenizer.json (missing)",
        AGAIN,
        recorded(gone("tokenizer.json")),
    ),
    ("spec.json cut off", "model/spec.json: damaged", "Make it again", recorded(cut("spec.json"))),
    (
        "spec.json of something else",
        "model/spec.json: not what the workflow writes there",
        "Copy the folder again",
        says("spec.json", "[1, 2]"),
    ),
    (
        "the recipe of another version",
        "model/speechlasso.json: not a recipe",
        "Use the version that made the model",
        edited("speechlasso.json", format="speechlasso model 2"),
    ),
    (
        "a recipe cut off",
        "model/speechlasso.json: not a recipe",
        "Use the version that made the model",
        cut("speechlasso.json"),
    ),
    (
        "a recipe with an unknown tokenizer",
        "model/speechlasso.json: not a recipe",
        "Use the version that made the model",
        edited("speechlasso.json", tokenizer={"method": "mine"}),
    ),
    ("weights cut off", LOAD, GIVE, cut("model.safetensors")),
    (
        "no weights",
        f"{LOAD}: Error no file named model.safetensors",
        GIVE,
        gone("model.safetensors"),
    ),
    (
        "weights of other shapes",
        "model: 'model': 1 weights",
        WHOLE,
        weights(lambda t: t.update({EMBEDDING: torch.zeros(9, 9)})),
    ),
    (
        "a head of another shape",
        "1 weights are missing in its files or have",
        WHOLE,
        weights(lambda t: t.update({"classifier.weight": torch.zeros(3, 3)})),
    ),
    (
        "weights that are missing",
        "than config.json says: classifier.weight",
        WHOLE,
        weights(lambda t: t.pop("classifier.weight")),
    ),
    ("no config.json", f"{LOAD}: Unrecognized model", GIVE, gone("config.json")),
    (
        "a config.json cut off",
        "config file at 'model/config.json' is not a valid JSON",
        GIVE,
        cut("config.json"),
    ),
    (
        "no tokenizer",
        "model: 'model': its tokenizer knows 5 tokens",
        "Put the tokenizer's files",
        lambda f: [gone(n)(f) for n in ("tokenizer.json", "tokenizer_config.json")],
    ),
    ("a tokenizer cut off", LOAD, GIVE, cut("tokenizer.json")),
    ("no selection", "model/selection.json: no such file", AGAIN, gone("selection.json")),
    (
        "a selection cut off",
        "model/selection.json: no selection that can be read",
        AGAIN,
        cut("selection.json"),
    ),
    (
        "a selection of something else",
        "model/selection.json: no selection that can be read",
        AGAIN,
        says("selection.json", '{"a": 1}'),
    ),
    (
        "no speech tokenizer",
        f"model/{SPEECH_TOKENIZER}: no such file",
        AGAIN,
        gone(SPEECH_TOKENIZER),
    ),
    (
        "a speech tokenizer cut off",
        f"model/{SPEECH_TOKENIZER}: cannot be read",
        "Copy it again",
        cut(SPEECH_TOKENIZER),
    ),
    (
        "a speech tokenizer of another kind",
        f"model/{SPEECH_TOKENIZER}: expected a tokenizer of format",
        "Fit the tokenizer again",
        lambda f: save_file({"a": torch.zeros(2)}, f / SPEECH_TOKENIZER),
    ),
]:
    opened(what, names, remedy, spoil)


def nothing(folder: Path) -> None:
    """The model is whole: what is asked of it is wrong."""


for what, names, remedy, arguments in [
    (
        "no clip for a model that reads clips",
        "but no audio is given",
        "Give --text and --audio",
        ["--text", "a"],
    ),
    (
        "a clip that is not there",
        "gone.wav: does not exist",
        "Mend or leave them out",
        ["--text", "a", "--audio", "gone.wav"],
    ),
    (
        "a folder for a clip",
        "model: is not a file",
        "Mend or leave them out",
        ["--text", "a", "--audio", "model"],
    ),
    (
        "a table that is not there",
        "gone.csv: no such file",
        "--manifest must name",
        ["--manifest", "gone.csv"],
    ),
    ("no threads", "--threads 0", "expected at least 1", ["--threads", "0", "--text", "a"]),
    (
        "an output of no known format",
        "--output a.txt: say in which format",
        "--format",
        ["--output", "a.txt", "--text", "a"],
    ),
    (
        "a table and an utterance",
        "--manifest and a single utterance",
        "give one or the other",
        ["--manifest", "a.csv", "--text", "a"],
    ),
]:
    opened(what, names, remedy, nothing, *arguments)
