"""What the system learned reads: made speech whose frames tell its words, and a class by tone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from tests.unit.tiny_models import WORDS, save_any, save_bert

from speechlasso.evaluation.scores import classification_scores
from speechlasso.evaluation.settings import Criterion
from speechlasso.features.frame_files import FrameKind, write_frames
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.pipeline.stages import FinetuneLM
from speechlasso.systems.learned import Learned
from speechlasso.systems.settings import SystemOfVectors

PROBABILITIES = ["p_calm", "p_loud"]
KIND = FrameKind([0, 2], 50.0, {})
FRAMES_OF_WORD = 4
SPLITS = ("train", "train", "validation", "test")


def made_rows(n: int) -> pd.DataFrame:
    """id, label, split, text, as `token_texts` writes them of text alone."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "label": rng.choice(["calm", "loud"], n, p=[0.6, 0.4]),
            "split": np.resize(SPLITS, n),
            "text": [" ".join(rng.choice(WORDS, rng.integers(2, 6))) for _ in range(n)],
            "audio_tokens": None,
        }
    )


def made_frames(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Layer 2 has each word's sound in its turn, and its tone by the label; layer 0 is noise."""
    rng = np.random.default_rng(8)
    sounds, tone = rng.normal(0, 2, (len(WORDS), 6)), rng.normal(0, 1.5, 6)
    frames = {}
    for name, label, text in zip(rows["id"], rows["label"], rows["text"], strict=True):
        heard = np.repeat(
            [sounds[WORDS.index(word)] for word in text.split()], FRAMES_OF_WORD, axis=0
        )
        heard = heard + tone * (1 if label == "loud" else -1)
        told = np.stack([rng.normal(0, 50, heard.shape), heard], axis=1)
        # Ends anywhere within a word.
        frames[name] = (told + rng.normal(0, 0.1, told.shape))[: len(told) - rng.integers(3)]
    return frames


def made_inputs(
    folder: Path, rows: pd.DataFrame, frames: dict[str, np.ndarray], kind: FrameKind = KIND
) -> dict[str, list[str]]:
    """The files of each role; frames in two shards."""
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "token_texts.parquet")
    paths = [str(folder / f"shard-{shard}-of-2.safetensors") for shard in range(2)]
    for shard, path in enumerate(paths):
        write_frames(path, {name: frames[name] for name in rows["id"].iloc[shard::2]}, kind)
    return {"token_texts": [str(folder / "token_texts.parquet")], "frames": paths}


def tiny_lm(folder: Path, name: str) -> LanguageModel:
    is_headless = name == "headless bert"
    path = save_bert(folder, with_head=False) if is_headless else save_any(folder, name)
    return LanguageModel(name=path, max_length=100, precision="fp32")


def training(
    lm: LanguageModel,
    finetune: dict[str, Any] | None = None,
    system: type[SystemOfVectors] = Learned,
    **arm: Any,
) -> FinetuneLM:
    """Settings as a job gets them."""
    (name,) = get_args(system.model_fields["system"].annotation)
    transcription = {"epochs": 2, "warm_up_epochs": 1, "learning_rate": 0.01}
    options = {"reduction": 3, "transcription": transcription} | arm
    made = system(system=name, **options).as_read()
    usual = {"epochs": 2, "learning_rate": 0.01, "batch_size": 16, "lora": {"rank": 4}}
    tuned = made.finetune_as_read(Finetune(**usual | (finetune or {})))
    criterion = Criterion(metric="macro_f1", positive_label="loud")
    return FinetuneLM(arm=made, lm=lm, finetune=tuned, criterion=criterion, seed=1)


def best_epoch(log: pd.DataFrame, found: pd.DataFrame) -> pd.Series:
    """Of a log of the task, whose scores have to be those of what the saved model predicts."""
    validation = found[found["split"] == "validation"]
    labels = (validation["label"] == "loud").to_numpy().astype(int)
    probabilities = validation[PROBABILITIES].to_numpy()
    scores = classification_scores(labels, probabilities, ["calm", "loud"], "loud")
    best = log[log["best"]].iloc[0]
    assert best["macro_f1"] == pytest.approx(scores["macro_f1"]) == log["macro_f1"].max()
    assert best["loss"] == pytest.approx(scores["loss"], rel=1e-3)
    return best
