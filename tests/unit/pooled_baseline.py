"""What systems of frames read: made texts and frames that know a class a little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from speechlasso.evaluation.settings import Criterion
from speechlasso.features.frame_files import FrameFiles, FrameKind, write_frames
from speechlasso.features.spectral_frames import N_SPECTRAL
from speechlasso.language_model.token_text import token_texts
from speechlasso.pipeline.stages import FitLinear
from speechlasso.selection.bag_of_words import build_bag_of_words
from speechlasso.systems.pooled_linear import PooledLinear

CLASSES = ["calm", "glad", "sad"]
KIND = FrameKind([0, 2], 50.0, {})
ACOUSTIC = FrameKind([0], 50.0, {"model": "spectral"})


def hidden_states(rng: np.random.Generator, label: int) -> np.ndarray:
    """Of two layers."""
    return rng.normal(label, 1 + label, (rng.integers(3, 9), 2, 4))


def acoustics(rng: np.random.Generator, label: int) -> np.ndarray:
    """As `spectral_frames` makes them: classes differ in cepstra and pitch."""
    frames = rng.normal(label, 2.0, (rng.integers(8, 30), 1, N_SPECTRAL))
    frames[..., -3] = rng.uniform(-9, -1, frames.shape[:2])  # energy
    frames[..., -2] = rng.normal(6.6 + 0.2 * label, 0.3, frames.shape[:2])
    frames[..., -1] = rng.uniform(0, 1, frames.shape[:2])
    return frames


def made_inputs(
    folder: Path,
    n: int = 90,
    frames_of: Callable[[np.random.Generator, int], np.ndarray] = hidden_states,
    kind: FrameKind = KIND,
) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """The files of each role, in two shards, and the frames by utterance."""
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=n)
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(n)], "label": np.array(CLASSES)[labels]})
    rows["split"] = np.resize(["train", "train", "validation", "test"], n)
    rows["text"] = [
        f"{'yes' if label == 1 else 'no'} word{i % 7}" for i, label in enumerate(labels)
    ]
    build_bag_of_words(rows, None, None, lowercase=True).save(folder / "bow")
    frames = {name: frames_of(rng, label) for name, label in zip(rows["id"], labels, strict=True)}
    paths = [str(folder / f"shard-{shard}-of-2.safetensors") for shard in range(2)]
    for shard, path in enumerate(paths):
        names = rows["id"].iloc[shard::2]
        write_frames(path, {name: frames[name] for name in names}, kind)
    token_texts(rows, ["text"], None, None).to_parquet(folder / "token_texts.parquet")
    inputs = {"bow": [str(folder / "bow" / "rows.parquet")], "frames": paths}
    return inputs | {"token_texts": [str(folder / "token_texts.parquet")]}, frames


def with_others_changed(
    inputs: dict[str, list[str]], frames: dict[str, np.ndarray], folder: Path
) -> dict[str, list[str]]:
    """The same files, but with other labels and frames of all rows that are not for training."""
    rows = pd.read_parquet(inputs["token_texts"][0])
    others = rows["split"] != "train"
    rows.loc[others, "label"] = rows.loc[others, "label"].to_numpy()[::-1]
    paths = [str(folder / name) for name in ("others.parquet", "others.safetensors")]
    rows.to_parquet(paths[0])
    changed = {name: of_clip * 3 + 1 for name, of_clip in frames.items()}
    kept = {name: frames[name] for name in rows.loc[~others, "id"]}
    write_frames(paths[1], changed | kept, FrameFiles(inputs["frames"]).kind)
    return {"token_texts": paths[:1], "frames": paths[1:]}


def training(**arm) -> FitLinear:
    settings = PooledLinear(system="pooled_linear", **arm)
    return FitLinear(arm=settings, criterion=Criterion(metric="uar"))
