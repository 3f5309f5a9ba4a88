"""No model, checkpoint, table or clip from a stranger runs code, and nobody is asked whether to."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import tiny_codecs
import torch
from tiny_audio_lm import save_audio_lm
from tiny_models import save_bert, save_chat
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, LlamaConfig
from traps import Touch

from speechlasso.audio.clip_check import check_clip
from speechlasso.cli import main
from speechlasso.data.table_reading import read_table
from speechlasso.errors import InputError
from speechlasso.features.frame_files import FrameFiles
from speechlasso.files import write_json
from speechlasso.language_model.audio_language_model import load_audio_model, load_processor
from speechlasso.language_model.chat_prompt import in_chat
from speechlasso.language_model.prediction import Classifier
from speechlasso.language_model.pretrained import load_model, load_tokenizer
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.token_rows import NewTokens, read_token_rows
from speechlasso.systems import pooled_linear_model
from speechlasso.systems.bow_linear_model import FittedLinear
from speechlasso.tokenizers import transformers_codec
from speechlasso.tokenizers.codes import CodeTable
from speechlasso.tokenizers.learned_file import read_learned
from speechlasso.tokenizers.settings import TransformersCodecMethod
from speechlasso.tokenizers.speechtokenizer_checkpoint import Weights, read_architecture
from speechlasso.trained_model.recipe import Recipe

Read = Callable[[Path], object]


@pytest.fixture
def sprung(tmp_path) -> Path:
    """The file that code of a stranger's would write."""
    return tmp_path / "sprung"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    # With a classification head, which to predict takes.
    bert = AutoModelForSequenceClassification.from_pretrained(save_bert(folder / "bert"))
    bert.save_pretrained(folder / "bert")
    tiny_codecs.save(folder / "dac", tiny_codecs.dac)
    save_audio_lm(folder / "qwen2_audio")
    return {name: folder / name for name in ("bert", "dac", "qwen2_audio")}


def lm(folder: Path) -> LanguageModel:
    return LanguageModel(name=str(folder), max_length=64)


def weights_of_lm(folder: Path) -> object:
    return load_model(lm(folder), AutoModelForMaskedLM, seed=0)


def tokenizer_of_lm(folder: Path) -> object:
    return load_tokenizer(lm(folder))


def audio_lm(folder: Path) -> object:
    return load_audio_model(lm(folder), "Qwen2AudioForConditionalGeneration")


def processor(folder: Path) -> object:
    return load_processor(lm(folder))


def codec(folder: Path) -> object:
    method = TransformersCodecMethod(method="dac", model=str(folder))
    return transformers_codec.load(method, None)


def columns(path: Path) -> object:
    return read_table(path, {"id": "id"})


def linear(path: Path) -> object:
    return pooled_linear_model.open(path.parent)


def centroids(path: Path) -> object:
    (path.parent / "selection.json").write_text('{"tokens": [{"layer": 0, "code": 0}]}')
    return NewTokens.of(path.parent / "selection.json", centroids=path)


def put(path: Path, trap: Touch) -> None:
    """Write a file of the kind that its name says, with a pickled object where it can hold one."""
    if path.suffix in (".bin", ".pt"):
        torch.save({"trap": trap}, path)
    elif path.suffix == ".npy":
        np.save(path, np.array([trap], dtype=object), allow_pickle=True)
    elif path.suffix == ".npz":  # under the names that are read first
        np.savez(path, arm=np.array([trap], dtype=object), format=np.array([trap], dtype=object))
    elif path.suffix == ".parquet":
        # What pyarrow before 14 unpickled, whoever read the table.
        extension = {
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(trap),
        }
        fields = [pa.field("id", pa.string(), metadata=extension)]
        pq.write_table(pa.table([["u1"]], pa.schema(fields)), path)
    else:
        path.write_bytes(pickle.dumps(trap))


# A file of a model's folder, and who reads it. These and all that is the user's end in one message.
OF_FOLDERS: list[tuple[str, str, Read]] = [
    ("bert", "pytorch_model.bin", weights_of_lm),
    ("bert", "pytorch_model.bin", Classifier.open),
    ("bert", "model.safetensors", weights_of_lm),
    ("bert", "config.json", tokenizer_of_lm),
    ("bert", "tokenizer.json", tokenizer_of_lm),
    ("bert", "tokenizer_config.json", tokenizer_of_lm),
    ("bert", "adapter_model.bin", weights_of_lm),
    ("dac", "pytorch_model.bin", codec),
    ("dac", "model.safetensors", codec),
    ("dac", "config.json", codec),
    ("dac", "preprocessor_config.json", codec),
]
OF_USER: list[tuple[str, Read]] = [
    ("checkpoint.pt", Weights.read),
    ("config.json", read_architecture),
    ("speech_tokenizer.safetensors", lambda path: read_learned(path, "spectral_rvq 1")),
    ("speechlasso.json", lambda path: Recipe.read(path.parent)),
    ("table.parquet", columns),
    ("table.csv", columns),
    ("table.jsonl", columns),
    ("clip.wav", check_clip),
]
OF_RESULTS: list[tuple[str, Read]] = [
    ("model.npz", FittedLinear.open),
    ("model.npz", linear),
    ("audio_counts.npz", sp.load_npz),
    ("centroids.npy", centroids),
    ("rows.safetensors", read_token_rows),
    ("frames.safetensors", lambda path: FrameFiles([path]).kind),
    ("manifest.parquet", pd.read_parquet),
    ("codes.parquet", lambda path: CodeTable.read([path])),
]


def test_a_trap_that_is_unpickled_springs(sprung):
    pickle.loads(pickle.dumps(Touch(sprung)))
    assert sprung.exists()


def copy_of_model(model: Path, folder: Path, name: str) -> Path:
    shutil.copytree(model, folder)
    if name == "pytorch_model.bin":  # read where there is no other
        (folder / "model.safetensors").unlink()
    if name == "adapter_model.bin":
        about = {"peft_type": "LORA", "base_model_name_or_path": str(model)}
        (folder / "adapter_config.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(("model", "name", "read"), OF_FOLDERS)
def test_no_file_of_a_models_folder_runs_code(model, name, read, models, sprung, tmp_path):
    folder = copy_of_model(models[model], tmp_path / "strange", name)
    put(folder / name, Touch(sprung))
    with pytest.raises(InputError, match=str(folder)):
        read(folder)
    assert not sprung.exists()


def test_what_a_models_folder_holds_besides_is_not_read(models, sprung, tmp_path):
    folder = copy_of_model(models["bert"], tmp_path / "strange", "")
    for name in ("training_args.bin", "optimizer.pt", "vocab.pkl", "custom_generate/generate.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(Touch(sprung)))
    weights_of_lm(folder), tokenizer_of_lm(folder), Classifier.open(folder)
    assert not sprung.exists()


@pytest.mark.parametrize("is_bare", [True, False], ids=["bare", "in its format"])
@pytest.mark.parametrize(("name", "read"), OF_USER + OF_RESULTS)
def test_no_file_runs_code(name, read, is_bare, sprung, tmp_path):
    path = tmp_path / name
    if is_bare:
        path.write_bytes(pickle.dumps(Touch(sprung)))
    else:
        put(path, Touch(sprung))
    is_read = path.suffix == ".parquet" and not is_bare and name != "codes.parquet"
    if is_read:  # the text of the cell, and nothing of what is said about it
        read(path)
    else:
        expected = InputError if (name, read) in OF_USER else Exception
        with pytest.raises(expected, match="."):
            read(path)
    assert not sprung.exists()


ABOUT = [f"{part}config.json" for part in ("", "tokenizer_", "preprocessor_", "processor_")]
OWN_CODE = """
from pathlib import Path
Path({sprung!r}).touch()
from transformers import BertConfig as Config, BertModel as Model, BertTokenizer as Tokenizer
"""


def with_code(model: Path, folder: Path, sprung: Path, model_type: str) -> Path:
    """A model whose configuration and tokenizer name classes in a module that lies beside them."""
    shutil.copytree(model, folder)
    (folder / "own.py").write_text(OWN_CODE.format(sprung=str(sprung)))
    heads = ("AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification")
    auto_map = {"AutoConfig": "own.Config", **dict.fromkeys(heads, "own.Model")}
    auto_map |= dict.fromkeys(("AutoFeatureExtractor", "AutoProcessor"), "own.Config")
    auto_map["AutoTokenizer"] = ["own.Tokenizer"] * 2
    for name in ABOUT:
        if (folder / name).exists():
            about = json.loads((folder / name).read_text())
            told = {"model_type": model_type} if name == "config.json" else {}
            (folder / name).write_text(json.dumps(about | told | {"auto_map": auto_map}))
    return folder


@pytest.fixture
def no_question(monkeypatch):
    """Whoever would ask gets a yes, and the answer is found to be taken."""
    answers = io.StringIO("y\n" * 10)
    monkeypatch.setattr(sys, "stdin", answers)
    yield
    assert answers.tell() == 0


@pytest.mark.parametrize(
    ("model", "read"),
    [
        ("bert", weights_of_lm),
        ("bert", tokenizer_of_lm),
        ("bert", Classifier.open),
        ("dac", codec),
        ("qwen2_audio", audio_lm),
    ],
)
def test_code_that_comes_with_a_model_is_not_run(
    model, read, models, sprung, no_question, tmp_path, capfd
):
    folder = with_code(models[model], tmp_path / "strange", sprung, "own")
    with pytest.raises(InputError, match=f"'{folder}' needs code that comes with it, which is nev"):
        read(folder)
    assert not sprung.exists()
    assert "custom code" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("model", "readers"),
    [
        ("bert", [weights_of_lm, tokenizer_of_lm, Classifier.open]),
        ("dac", [codec]),
        ("qwen2_audio", [audio_lm, processor]),
    ],
)
def test_of_a_known_kind_only_the_files_are_read(
    model, readers, models, sprung, no_question, tmp_path
):
    folder = with_code(models[model], tmp_path / "strange", sprung, model)
    for read in readers:
        read(folder)
    assert not sprung.exists()


def test_a_kernel_is_not_fetched(models, tmp_path):
    folder = copy_of_model(models["bert"], tmp_path / "strange", "")
    about = json.loads((folder / "config.json").read_text())
    about["attn_implementation"] = "someone/kernel"
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=f"cannot load '{folder}'"):
        Classifier.open(folder)


def test_a_chat_template_reaches_nothing(sprung, tmp_path):
    tokenizer = load_tokenizer(lm(Path(save_chat(tmp_path / "chat", LlamaConfig))))
    run = f"cycler.__init__.__globals__.os.system('touch {sprung}')"
    tokenizer.chat_template = "{{ " + run + " }}"
    with pytest.raises(InputError, match="the chat template of .*chat' cannot be filled in: acc"):
        in_chat(tokenizer, "a")
    assert not sprung.exists()


def test_a_module_that_a_trained_model_names_is_not_imported(sprung, tmp_path, monkeypatch):
    """It may lie in the folder, and so be found where the command is run."""
    (tmp_path / "own_codes.py").write_text(OWN_CODE.format(sprung=str(sprung)))
    recipe = {"format": "speechlasso model 1", "inputs": ["text", "audio"], "columns": {}}
    recipe |= {"audio_separator": "|", "tokenizer": {"method": "own"}, "plugins": ["own_codes"]}
    (tmp_path / "speechlasso.json").write_text(json.dumps(recipe))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(InputError, match="'own' comes from .*own_codes.* --plugin own_codes"):
        Recipe.read(tmp_path)
    assert not sprung.exists()
    with pytest.raises(InputError, match="not a recipe"):  # there is no tokenizer in it
        Recipe.read(tmp_path, ["own_codes"])
    assert sprung.exists()


def test_a_module_that_an_experiment_names_is_not_imported(sprung, tmp_path, monkeypatch, capsys):
    """It lies where the experiment does, and would be found there."""
    (tmp_path / "own_scores.py").write_text(OWN_CODE.format(sprung=str(sprung)))
    write_json(tmp_path / "results/evaluate/a/spec.json", {"origin": {"modules": ["own_scores"]}})
    runs = tmp_path / "results/experiments/mine/runs.csv"
    runs.parent.mkdir(parents=True)
    runs.write_text("arm,fold,seed,split,hits\na,0,1,test,0.5\na,1,1,test,0.5\n")
    runs.with_name("index.tsv").write_text("arm\tevaluation\na\tresults/evaluate/a\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    command = ["compare", str(runs), "--metric", "hits"]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert f"{runs}: the metric 'hits' comes from" in told and "--plugin own_scores" in told
    assert not sprung.exists()
    assert main([*command, "--plugin", "own_scores"]) == 1
    assert "no score 'hits'" in capsys.readouterr().err  # there is no metric in it
    assert sprung.exists()
