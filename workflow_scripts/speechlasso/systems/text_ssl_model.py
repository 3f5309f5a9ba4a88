"""Fit the system `text_ssl`, and open what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from safetensors.torch import load_file

from speechlasso.evaluation.inner_folds import mean_scores, record
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.features.frame_files import FrameFiles
from speechlasso.features.pooling import pooled_frames
from speechlasso.files import read_json, write_csv, write_json
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.feature_branch import FEATURES, FeatureBranch, WithFeatures
from speechlasso.language_model.finetuning import BRANCH, finetune
from speechlasso.language_model.prediction import Classifier, class_probabilities
from speechlasso.systems.settled_epochs import settled_by_inner_folds
from speechlasso.systems.text_ssl import TextSSL
from speechlasso.training.devices import best_device, computing
from speechlasso.training.processes import in_processes

if TYPE_CHECKING:
    from speechlasso.systems.cards import Files

ARM = "text_ssl.json"
BATCH_SIZE = 32  # of prediction


def fit(inputs: Files, settings: Any, folder: Path, threads: int) -> dict[str, Any]:
    """Fine-tune on words and pooled frames; the epoch is chosen as that of `token_lm`."""
    criterion, inner_scores = settings.criterion, mean_scores(inputs, settings.criterion)
    examples = read_examples(inputs, settings.arm)
    work = partial(
        finetune,
        examples,
        folder,
        lm=settings.lm,
        settings=settings.finetune,
        criterion=criterion,
        projection_size=settings.arm.projection_size,
        seed=settings.seed,
        threads=threads,
        settled=settled_by_inner_folds(examples, inputs, settings, inner_scores),
    )
    result = in_processes(settings.finetune.processes, work)
    write_csv(folder / "training_log.csv", result.log)
    write_json(folder / ARM, settings.arm.model_dump(mode="json"))
    return result.told() | record(criterion, inner_scores or result.validation)


def open(folder: Path) -> FittedTextSSL:
    branch = FeatureBranch.of_state(load_file(folder / BRANCH)).to(best_device()).eval()
    arm = TextSSL.model_validate(read_json(folder / ARM))
    return FittedTextSSL(arm, Classifier.open(folder), branch)


@dataclass(frozen=True)
class FittedTextSSL:
    arm: TextSSL
    classifier: Classifier
    branch: FeatureBranch

    def predict(self, inputs: Files, threads: int) -> pd.DataFrame:
        """As `evaluation.scores.predictions_frame` makes it."""
        examples, classifier = read_examples(inputs, self.arm), self.classifier
        with computing(threads, seed=0):
            tokenizer = classifier.tokenizer
            encoded = encode(tokenizer, examples, tokenizer.model_max_length)
            probabilities = class_probabilities(
                WithFeatures(classifier.model, self.branch).eval(),
                encoded["input_ids"].tolist(),
                BATCH_SIZE,
                features=examples[FEATURES].tolist(),
                show_progress=True,
            )
        return predictions_frame(
            examples,
            probabilities,
            classifier.classes,
            threshold=classifier.threshold,
            n_text_tokens=encoded["n_text_tokens"].to_numpy(),
            cut=encoded["cut"].to_numpy(),
        )


def read_examples(inputs: Files, arm: TextSSL) -> pd.DataFrame:
    """Token texts of words alone, with the pooled frames in the column `FEATURES`."""
    examples = pd.read_parquet(inputs["token_texts"][0])
    pooled = pooled_frames(FrameFiles(inputs["frames"]), arm.layers)
    return examples.assign(**{FEATURES: examples["id"].map(pooled)})
