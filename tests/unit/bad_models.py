"""Files of speech tokenizers and language models that are wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import tiny_codecs
import torch
from bad_input import bad, with_table
from plain_speechtokenizer import CONFIG, Reference
from safetensors.torch import load_file, save_file
from tiny_models import save_bert
from tiny_trained_model import make_trained_model

from speechlasso.files import write_json

Spoil = Callable[[Path], object]


@cache
def templates() -> Path:
    """Whole models, made once: speechtokenizer, dac, bert, model (trained)."""
    folder = Path(mkdtemp())
    Reference(CONFIG).save(folder / "speechtokenizer")
    tiny_codecs.save(folder / "dac", tiny_codecs.dac)
    save_bert(folder / "bert")
    trained = make_trained_model(folder / "trained", ("text", "audio"), epochs=1)
    shutil.copytree(trained.folder, folder / "model")
    return folder


# How to write each into a configuration.
USES = {
    "speechtokenizer": {
        "tokenizer": {
            "method": "speechtokenizer",
            "checkpoint": "speechtokenizer/checkpoint.pt",
            "config": "speechtokenizer/config.json",
        }
    },
    "dac": {"tokenizer": {"method": "dac", "model": "dac"}},
    "bert": {"lm": {"name": "bert", "max_length": 64}, "experiment": {"arms": ["text_only"]}},
}


def used(template: str, what: str, names: str, remedy: str, spoil: Spoil) -> None:
    """A case of a model that the workflow reads, after its folder was spoilt."""

    def make(folder: Path) -> list[str]:
        with_table(folder, **USES[template]).to_csv(folder / "table.csv", index=False)
        shutil.copytree(templates() / template, folder / template)
        spoil(folder / template)
        return ["snakemake", "mine.yaml"]

    bad("speech tokenizer or language model", what, names, remedy)(make)


def cut(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])

    return spoil


def gone(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def says(name: str, content: str) -> Spoil:
    return lambda folder: (folder / name).write_text(content)


def edited(name: str, **changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        write_json(folder / name, json.loads((folder / name).read_text()) | changes)

    return spoil


def weights(change: Callable[[dict], object], name: str = "model.safetensors") -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name, metadata={"format": "pt"})

    return spoil


def pickled(change: Callable[[dict], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = torch.load(folder / "checkpoint.pt", weights_only=True)
        change(tensors)
        torch.save(tensors, folder / "checkpoint.pt")

    return spoil


GIVE = "Give a directory with the model's files"
BOTH = "Take the checkpoint and the config.json that were published together"
EMBED = "quantizer.vq.layers.0._codebook.embed"
for what, names, remedy, spoil in [
    (
        "no checkpoint",
        "speechtokenizer/checkpoint.pt: no such file",
        "Correct the paths",
        gone("checkpoint.pt"),
    ),
    (
        "no config.json",
        "speechtokenizer/config.json: no such file",
        "Correct the paths",
        gone("config.json"),
    ),
    (
        "a checkpoint cut off",
        "speechtokenizer/checkpoint.pt cannot be read as",
        "Download it again",
        cut("checkpoint.pt"),
    ),
    (
        "an empty checkpoint",
        "tokenizer.checkpoint: speechtokenizer/checkpoint.pt",
        "Download it again",
        says("checkpoint.pt", ""),
    ),
    (
        "a page in place of a checkpoint",
        "speechtokenizer/checkpoint.pt",
        "Download it again",
        says("checkpoint.pt", "<html>404</html>"),
    ),
    (
        "a checkpoint of something else",
        "holds no weights by name",
        "Give the checkpoint of a SpeechTokenizer",
        pickled(lambda t: (t.clear(), t.update(step=3))),
    ),
    (
        "weights of other shapes",
        f"{EMBED}: shape (9, 9), expected (16, 6)",
        BOTH,
        pickled(lambda t: t.update({EMBED: torch.zeros(9, 9)})),
    ),
    ("weights that are missing", f"{EMBED}: missing", BOTH, pickled(lambda t: t.pop(EMBED))),
    (
        "weights that are no numbers",
        f"{EMBED}: holds values that are not finite",
        BOTH,
        pickled(lambda t: t[EMBED].fill_(np.nan)),
    ),
    (
        "weights of a larger model",
        "more.weight: not expected",
        BOTH,
        pickled(lambda t: t.update({"more.weight": torch.zeros(2)})),
    ),
    (
        "a config.json cut off",
        "speechtokenizer/config.json cannot be read as JSON",
        "Give the config.json",
        cut("config.json"),
    ),
    (
        "a config.json of another model",
        "strides: field required",
        BOTH,
        says("config.json", '{"model_type": "bert"}'),
    ),
    (
        "a config.json with impossible values",
        "n_filters: input should be greater than or equal to 2",
        BOTH,
        edited("config.json", n_filters=1),
    ),
]:
    used("speechtokenizer", f"SpeechTokenizer: {what}", names, remedy, spoil)
for what, names, remedy, spoil in [
    ("weights cut off", "tokenizer.model: cannot load 'dac'", GIVE, cut("model.safetensors")),
    (
        "no weights",
        "tokenizer.model: cannot load 'dac': Error no file named model.safetensors",
        GIVE,
        gone("model.safetensors"),
    ),
    (
        "no config.json",
        "tokenizer.model: cannot load 'dac': Unrecognized model",
        GIVE,
        gone("config.json"),
    ),
    (
        "a config.json that is no JSON",
        "config file at 'dac/config.json' is not a valid JSON",
        GIVE,
        says("config.json", "{"),
    ),
    (
        "another kind of model",
        "tokenizer.model: 'dac' is a model of type bert",
        "name another model",
        edited("config.json", model_type="bert"),
    ),
    (
        "weights of other shapes",
        "tokenizer.model: the files of 'dac' lack",
        "choose a complete model",
        edited("config.json", codebook_dim=3),
    ),
]:
    used("dac", f"codec of transformers: {what}", names, remedy, spoil)
for what, names, remedy, spoil in [
    ("weights cut off", "lm.name: cannot load 'bert'", GIVE, cut("model.safetensors")),
    (
        "no weights",
        "lm.name: cannot load 'bert': Error no file named model.safetensors",
        GIVE,
        gone("model.safetensors"),
    ),
    (
        "no config.json",
        "lm.name: cannot load 'bert': Unrecognized model",
        GIVE,
        gone("config.json"),
    ),
    (
        "a config.json cut off",
        "config file at 'bert/config.json' is not a valid JSON",
        GIVE,
        cut("config.json"),
    ),
    (
        "no tokenizer",
        "lm.name: 'bert': its tokenizer knows 5 tokens",
        "Put the tokenizer's files",
        lambda f: [gone(n.name)(f) for n in f.glob("*token*")],
    ),
    ("a tokenizer cut off", "lm.name: cannot load 'bert'", GIVE, cut("tokenizer.json")),
    (
        "weights of other shapes",
        "lm.name: config.json of 'bert' does not fit its weights",
        "use the config.json that belongs",
        edited("config.json", hidden_size=8),
    ),
]:
    used("bert", f"language model: {what}", names, remedy, spoil)
