"""Fit the system `token_lm`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from speechlasso.evaluation.without_audio import with_silence
from speechlasso.language_model.finetuning import finetune
from speechlasso.language_model.prediction import Classifier
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.language_model.token_text import scheduled
from speechlasso.systems.finetuned import learn_task

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fine-tune on the token texts, from adapted rows where there are some."""
    examples = pd.read_parquet(inputs["token_texts"][0])
    if "examples" in inputs:
        examples = scheduled(examples, pd.read_parquet(inputs["examples"][0]))
    options = {"lm": settings.lm, "new_tokens": _new_tokens(inputs)}
    result = learn_task(finetune, examples, inputs, settings, folder, threads, **options)
    return result.told(settings.criterion)


def _new_tokens(inputs: Files) -> NewTokens | None:
    if "select" not in inputs:
        return None
    selection, rows, centroids = (
        inputs.get(role, [None])[0] for role in ("select", "adapt", "centroids")
    )
    return NewTokens.of(selection, rows=rows, centroids=centroids)


@dataclass(frozen=True)
class FittedTokenLM:
    classifier: Classifier

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        texts = pd.read_parquet(inputs["token_texts"][0])
        has_both = texts["text"].notna() & texts["audio_tokens"].notna()
        return with_silence(
            self.classifier.predict(texts, threads=threads),
            has_both,
            lambda rows: self.classifier.predict(
                texts[rows].assign(audio_tokens=None), threads=threads
            ),
        )


def open(folder: Path) -> FittedTokenLM:
    return FittedTokenLM(Classifier.open(folder))
