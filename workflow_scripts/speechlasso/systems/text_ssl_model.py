"""Fit the system `text_ssl`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from safetensors.torch import load_file

from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.pooling import pooled_frames
from speechlasso.files import read_json, write_json
from speechlasso.language_model.feature_branch import FEATURES, FeatureBranch
from speechlasso.language_model.finetuning import BRANCH
from speechlasso.language_model.prediction import Classifier
from speechlasso.systems.finetuned import finetune_language_model
from speechlasso.systems.text_ssl import TextSSL
from speechlasso.training.devices import best_device

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM = "text_ssl.json"


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fine-tune on words and pooled frames; the epoch is chosen as that of `token_lm`."""
    examples = read_examples(inputs, settings.arm)
    projection_size = settings.arm.projection_size
    told = finetune_language_model(
        examples, inputs, settings, folder, threads, projection_size=projection_size
    )
    write_json(folder / ARM, settings.arm.model_dump(mode="json"))
    return told


def open(folder: Path) -> FittedTextSSL:
    branch = FeatureBranch.of_state(load_file(folder / BRANCH)).to(best_device()).eval()
    arm = TextSSL.model_validate(read_json(folder / ARM))
    return FittedTextSSL(arm, replace(Classifier.open(folder), branch=branch))


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
