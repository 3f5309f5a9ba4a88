"""Words and pooled frames before one head: against its parts, one example at a time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from tests.unit.pooled_baseline import CLASSES, made_inputs, with_others_changed
from tests.unit.tiny_models import save_bert
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.pipeline.stages import FinetuneLM
from speechlasso.systems import text_ssl_model
from speechlasso.systems.text_ssl import TextSSL

SIZE = 6
WEIGHTS = ("model.safetensors", "features.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    inputs, frames = made_inputs(folder)
    lm = LanguageModel(name=save_bert(folder / "lm"), precision="fp32", max_length=64)
    return SimpleNamespace(inputs=inputs, frames=frames, lm=lm)


def fit(made, folder, inputs=None, seed=1, layers=None, **finetune):
    finetune = {"learning_rate": 0.003, "batch_size": 8, "epochs": 1} | finetune
    settings = FinetuneLM(
        arm=TextSSL(system="text_ssl", projection_size=SIZE, layers=layers),
        lm=made.lm,
        finetune=Finetune(**finetune),
        criterion=Criterion(metric="uar"),
        seed=seed,
    )
    folder.mkdir()
    said = text_ssl_model.fit(inputs or made.inputs, settings, folder, threads=1)
    return said, {name: (folder / name).read_bytes() for name in WEIGHTS}


def plain_probabilities(folder, rows, frames, columns):
    """transformers' logits of the words, and a layer of tanh on the pooled frames, added up."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    branch = load_file(folder / "features.safetensors")
    found = []
    for name, text in zip(rows["id"], rows["text"], strict=True):
        half = frames[name].astype(np.float16).astype(np.float32)[:, columns]
        pooled = np.concatenate([half.mean(axis=0), half.std(axis=0)], axis=1).ravel()
        scaled = (pooled - branch["standardised.mean"]) / branch["standardised.spread"]
        projected = np.tanh(branch["projection.weight"] @ scaled + branch["projection.bias"])
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        logits = logits + torch.from_numpy(branch["head.weight"] @ projected)
        found.append(logits.softmax(dim=0).numpy())
    return np.array(found)


@pytest.mark.parametrize(("method", "layers"), [("full", None), ("lora", [2])])
def test_it_predicts_from_words_and_frames_together(made, tmp_path, method, layers):
    folder = tmp_path / "model"
    said, _ = fit(
        *(made, folder),
        method=method,
        layers=layers,
        epochs=15,
        patience=15,
        lora={"rank": 4},
        learning_rate=0.01,
    )
    predictions = text_ssl_model.open(folder).predict(made.inputs, threads=1)
    rows = pd.read_parquet(made.inputs["token_texts"][0])
    columns = [0, 1] if layers is None else [1]
    expected = plain_probabilities(folder, rows, made.frames, columns)
    found = predictions[[f"p_{name}" for name in CLASSES]].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # Words tell one class apart, and frames all three.
    right = predictions["predicted"] == predictions["label"]
    assert right[predictions["split"] == "test"].mean() > 0.75
    assert (predictions["n_text_tokens"] > 0).all() and not predictions["n_audio_tokens"].any()

    branch = load_file(folder / "features.safetensors")
    learned = [name for name in branch if name not in ("standardised.mean", "standardised.spread")]
    n_branch = sum(branch[name].size for name in learned)
    assert n_branch == SIZE * (8 * len(columns) + 1) + SIZE * 3
    weights = load_file(folder / "model.safetensors")
    before = load_file(f"{made.lm.name}/model.safetensors")
    changed = {n for n in weights if n in before and not np.allclose(weights[n], before[n])}
    if method == "full":
        n_weights = sum(weight.size for weight in weights.values())
        assert said["trainable_parameters"] == n_branch + n_weights
    else:
        # Low-rank updates are merged into queries and values; nothing else of the body moves.
        assert changed and all("query" in name or "value" in name for name in changed)
        assert n_branch < said["trainable_parameters"] < n_branch + 10_000
    learned = rows["split"] == "train"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lengths = [len(tokenizer(text)["input_ids"]) for text in rows.loc[learned, "text"]]
    assert said["mean_sequence_length"] == pytest.approx(np.mean(lengths))
    train = rows.loc[learned, "id"]
    half = [made.frames[name].astype(np.float16).astype(np.float32)[:, columns] for name in train]
    first = np.array([of_clip[:, 0].mean(axis=0) for of_clip in half])
    np.testing.assert_allclose(branch["standardised.mean"][:4], first.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(branch["standardised.spread"][:4], first.std(axis=0), rtol=1e-3)


def test_the_seed_alone_decides_and_other_rows_teach_nothing(made, tmp_path):
    """Of one epoch, so that nothing is chosen."""
    changed = with_others_changed(made.inputs, made.frames, tmp_path)
    first, again, others, seed = (
        fit(made, tmp_path / name, **options)[1]
        for name, options in {
            "first": {},
            "again": {},
            "others": {"inputs": changed},
            "seed": {"seed": 2},
        }.items()
    )
    assert first == again == others
    assert all(first[name] != seed[name] for name in WEIGHTS)
