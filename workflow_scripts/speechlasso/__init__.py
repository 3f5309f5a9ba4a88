"""Add speech to a text language model for classification, cheaply."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechlasso.trained_model.model import TrainedModel

__version__ = "0.1.0"


def load(
    folder: str | Path,
    *,
    tokenizer: Mapping[str, str] | None = None,
    threads: int = 1,
    plugins: Collection[str] = (),
) -> TrainedModel:
    """Open a trained model, a folder of results/finetune/, to predict with; see `TrainedModel`.

    >>> model = speechlasso.load("results/finetune/full-64ebfb1f3b")
    >>> model.predict(text="We all know what he did.", audio="clip.wav")
    """
    from speechlasso.trained_model.model import TrainedModel

    return TrainedModel(folder, tokenizer=tokenizer, threads=threads, plugins=plugins)
