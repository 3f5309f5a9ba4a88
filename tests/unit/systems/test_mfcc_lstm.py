"""The small recurrent baseline: what it learns, from which rows, and what changes no prediction."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tests.unit.pooled_baseline import (
    ACOUSTIC,
    CLASSES,
    acoustics,
    made_inputs,
    with_others_changed,
)

from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.settings import Finetune
from speechlasso.pipeline.stages import FinetuneLM
from speechlasso.systems import mfcc_lstm_model
from speechlasso.systems.mfcc_lstm import MFCCLSTM

HIDDEN = 8


def training(*, seed=1, dropout=0.3, **finetune):
    finetune = {"learning_rate": 0.02, "batch_size": 8, "epochs": 1} | finetune
    return FinetuneLM(
        arm=MFCCLSTM(system="mfcc_lstm", hidden_size=HIDDEN, dropout=dropout),
        finetune=Finetune(**finetune),
        criterion=Criterion(metric="uar"),
        seed=seed,
    )


def fit(inputs, folder, settings):
    folder.mkdir()
    return mfcc_lstm_model.fit(inputs, settings, folder, threads=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return made_inputs(folder, frames_of=acoustics, kind=ACOUSTIC)


@pytest.fixture(scope="module")
def fitted(made, tmp_path_factory):
    inputs, _ = made
    folder = tmp_path_factory.mktemp("fitted") / "lstm"
    said = fit(inputs, folder, training(epochs=8, patience=8))
    return folder, said, mfcc_lstm_model.open(folder)


def test_it_learns_what_can_be_learned(made, fitted):
    inputs, frames = made
    folder, said, opened = fitted
    predictions = opened.predict(inputs, threads=1)
    right = predictions["predicted"] == predictions["label"]
    assert right[predictions["split"] == "test"].mean() > 0.8
    # Two directions of input, recurrence and two biases, four gates each; the head.
    directions = 2 * 4 * HIDDEN * (16 + HIDDEN + 2)
    assert said["trainable_parameters"] == directions + (2 * HIDDEN + 1) * len(CLASSES)
    assert said["train_seconds"] > 0 and said["peak_memory_mb"] > 50
    learned = predictions.loc[predictions["split"] == "train", "id"]
    assert said["mean_sequence_length"] == pytest.approx(np.mean([len(frames[i]) for i in learned]))
    lengths = predictions["id"].map(lambda name: len(frames[name]))
    assert (predictions["n_audio_tokens"] == lengths).all()
    # The weights are those of the epoch that validation rows chose.
    scores = dict(said["validation_uar"])
    log = pd.read_csv(folder / "training_log.csv")
    assert log.loc[log["best"], "uar"].item() == max(scores.values()) and len(scores) == 8


@pytest.mark.parametrize("n_layers", [1, 2])
def test_prediction_is_of_each_utterance_by_itself(made, n_layers):
    """Against the network's parts, called on one utterance without any padding."""
    _, frames = made
    torch.manual_seed(0)
    arm = MFCCLSTM(system="mfcc_lstm", hidden_size=HIDDEN, n_layers=n_layers)
    network = mfcc_lstm_model.BiLSTM.of(arm, 3).eval()
    read = [of_clip[:, 0].astype(np.float16) for of_clip in frames.values()]
    assert len({len(of_clip) for of_clip in read}) > 5
    learned = network.standardised
    learned.learn(np.concatenate(read))
    mean, spread = np.concatenate(read).mean(axis=0, dtype=np.float64), learned.spread.numpy()
    np.testing.assert_allclose(learned.mean, mean, rtol=1e-5)
    found = mfcc_lstm_model.class_probabilities(network, read, batch_size=32)
    expected = []
    with torch.no_grad():
        for of_clip in read:
            scaled = (of_clip.astype(np.float64) - mean) / spread
            outputs, _ = network.lstm(torch.tensor(scaled[None], dtype=torch.float32))
            expected.append(network.head(outputs[0].mean(dim=0)).softmax(dim=0).numpy())
    np.testing.assert_allclose(found, np.array(expected), atol=1e-5)
    few = mfcc_lstm_model.class_probabilities(network, read, batch_size=3)
    np.testing.assert_allclose(found, few, atol=1e-6)


def test_the_seed_alone_decides_and_other_rows_teach_nothing(made, tmp_path):
    """Of one epoch, so that nothing is chosen."""
    inputs, frames = made
    changed = with_others_changed(inputs, frames, tmp_path)
    runs = {
        "first": (inputs, training()),
        "again": (inputs, training()),
        "other seed": (inputs, training(seed=2)),
        "other rows": (changed, training()),
    }
    for name, (read, settings) in runs.items():
        fit(read, tmp_path / name, settings)
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in runs}
    assert weights["first"] == weights["again"] == weights["other rows"]
    assert weights["first"] != weights["other seed"]


def test_a_batch_in_parts_is_the_same_but_for_rounding(made, tmp_path):
    inputs, _ = made
    fit(inputs, tmp_path / "whole", training(dropout=0.0))
    in_parts = training(dropout=0.0, micro_batch_size=5, gradient_checkpointing=True)
    fit(inputs, tmp_path / "parts", in_parts)
    whole, parts = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, atol=1e-3, rtol=1e-3)


def test_inner_folds_choose_the_epoch_where_no_rows_are_left_to(made, tmp_path):
    inputs, _ = made
    rows = pd.read_parquet(inputs["token_texts"][0])
    rows["split"] = rows["split"].replace("validation", "train")
    rows.to_parquet(tmp_path / "rows.parquet")
    read = {"token_texts": [str(tmp_path / "rows.parquet")], "frames": inputs["frames"]}
    for number, scores in enumerate([[[1, 0.2], [2, 0.9], [3, 0.4]], [[1, 0.3], [2, 0.5]]]):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({"validation_uar": scores}))
        read[f"inner_fit_{number}"] = [str(path)]
    said = fit(read, tmp_path / "settled", training(epochs=5))
    log = pd.read_csv(tmp_path / "settled" / "training_log.csv")
    assert list(log["epoch"]) == [1, 2] and "uar" not in log
    assert dict(said["validation_uar"]) == pytest.approx({1: 0.25, 2: 0.7})


def test_a_threshold_can_be_tuned(made, tmp_path):
    inputs, _ = made
    rows = pd.read_parquet(inputs["token_texts"][0])
    rows["label"] = np.where(rows["label"] == "sad", "sad", "other")
    rows.to_parquet(tmp_path / "rows.parquet")
    read = inputs | {"token_texts": [str(tmp_path / "rows.parquet")]}
    said = fit(read, tmp_path / "tuned", training(epochs=2, decision_threshold="tuned"))
    threshold = said["decision_threshold"]
    assert threshold["label"] == "sad"
    predictions = mfcc_lstm_model.open(tmp_path / "tuned").predict(read, threads=1)
    is_sad = predictions["predicted"] == "sad"
    assert (is_sad == (predictions["p_sad"] >= threshold["probability"])).all()
