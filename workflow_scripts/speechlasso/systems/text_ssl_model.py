"""Fit the system `text_ssl`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.pooling import pooled_frames
from speechlasso.files import read_json, write_json
from speechlasso.language_model.feature_branch import FEATURES, FeatureBranch
from speechlasso.language_model.finetuning import finetune
from speechlasso.language_model.prediction import Classifier
from speechlasso.systems.finetuned import learn_task
from speechlasso.systems.text_ssl import TextSSL

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM = "text_ssl.json"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fine-tune on words and pooled frames; the epoch is chosen as that of `token_lm`."""
    examples = read_examples(inputs, settings.arm)
    options = {"lm": settings.lm, "projection_size": settings.arm.projection_size}
    result = learn_task(finetune, examples, inputs, settings, folder, threads, **options)
    write_json(folder / ARM, settings.arm.model_dump(mode="json"))
    return result.told(settings.criterion)


def open(folder: Path) -> FittedTextSSL:
    arm = TextSSL.model_validate(read_json(folder / ARM))
    classifier = replace(Classifier.open(folder), branch=FeatureBranch.open(folder))
    return FittedTextSSL(arm, classifier)


@dataclass(frozen=True)
class FittedTextSSL:
    arm: TextSSL
    classifier: Classifier

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it."""
        return self.classifier.predict(read_examples(inputs, self.arm), threads=threads)


def read_examples(inputs: Files, arm: TextSSL) -> pd.DataFrame:
    """Token texts of words alone, with the pooled frames in the column `FEATURES`."""
    examples = pd.read_parquet(inputs["token_texts"][0])
    pooled = pooled_frames(FrameFiles(inputs["frames"]), arm.layers)
    return examples.assign(**{FEATURES: examples["id"].map(pooled)})
