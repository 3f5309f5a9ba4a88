"""Predict with a fine-tuned model directory, by nothing but transformers' Auto classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.errors import InputError
from speechlasso.evaluation.decision import Threshold
from speechlasso.evaluation.scores import predictions_frame, sizes_of
from speechlasso.hub import loaded, readable_errors
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.feature_branch import (
    FEATURES,
    FeatureBranch,
    beside,
    features_of,
    stacked,
)
from speechlasso.language_model.vocabulary import check_vocabulary, vocabulary_digest
from speechlasso.training.batching import length_sorted_batches, model_inputs
from speechlasso.training.devices import best_device, computing, on_device


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model and its tokenizer, opened once to predict often."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    branch: FeatureBranch | None = None
    """What reads the column `features` of the examples, beside the text."""

    @classmethod
    def open(cls, model_folder: str | Path) -> Classifier:
        """Open what `finetuning.finetune` wrote.

        Raises
        ------
        InputError
            If the folder's files cannot be loaded, or the tokenizer is not the model's own.
        """
        return cls(*open_model(model_folder, AutoModelForSequenceClassification))

    @property
    def classes(self) -> list[str]:
        config = self.model.config
        return [config.id2label[index] for index in range(config.num_labels)]

    @property
    def threshold(self) -> Threshold | None:
        """What decides between two classes; None takes the likeliest."""
        return getattr(self.model.config, "decision_threshold", None)

    def predict(
        self, examples: pd.DataFrame, *, threads: int = 1, batch_size: int = 32
    ) -> pd.DataFrame:
        """As the function `predict`."""
        with computing(threads, seed=0):
            encoded = encode(self.tokenizer, examples, self.tokenizer.model_max_length)
            probabilities = class_probabilities(
                beside(self.model, self.branch),
                encoded["input_ids"].tolist(),
                batch_size,
                features=features_of(examples),
                show_progress=True,
            )
        return predictions_frame(
            examples,
            probabilities,
            self.classes,
            threshold=self.threshold,
            **sizes_of(encoded),
        )


def predict(
    model_folder: str | Path, examples: pd.DataFrame, *, threads: int = 1, batch_size: int = 32
) -> pd.DataFrame:
    """Class probabilities of examples, computed in float32.

    Parameters
    ----------
    model_folder
        What `finetuning.finetune` wrote.
    examples
        Columns `id`, `text` and `audio_tokens`, and where they are known `split` and `label`.

    Returns
    -------
    pandas.DataFrame
        As `evaluation.predictions_frame` makes it, rows as in `examples`.

    Raises
    ------
    InputError
        If examples hold audio tokens that the model does not know.
    """
    classifier = Classifier.open(model_folder)
    return classifier.predict(examples, threads=threads, batch_size=batch_size)


def open_model(
    model_folder: str | Path, auto_class: type
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer as `finetuning.save` wrote them, ready to predict in float32.

    Raises
    ------
    InputError
        If the folder's files cannot be loaded, or the tokenizer is not the model's own.
    """
    with readable_errors("model", str(model_folder)):
        # float32 on every machine: predictions should not depend on the processor's
        # instructions.
        model, info = loaded(
            auto_class,
            model_folder,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        tokenizer = loaded(AutoTokenizer, model_folder)
    # transformers would draw them at random, as it does for a model that is yet to learn.
    drawn = [*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])]
    if drawn:
        raise InputError(
            f"model: {str(model_folder)!r}: {len(drawn)} weights are missing in its files or have "
            f"other sizes than config.json says: {', '.join(sorted(drawn)[:3])}; copy the whole "
            "folder again from where it was made"
        )
    n_rows = model.get_input_embeddings().weight.shape[0]
    check_vocabulary(tokenizer, n_rows, f"model: {str(model_folder)!r}")
    digest = getattr(model.config, "vocabulary_sha256", None)
    if digest not in (None, vocabulary_digest(tokenizer)):
        raise InputError(
            f"model: {str(model_folder)!r} was trained with another tokenizer than the one "
            "whose files lie there; put those files back"
        )
    return model.to(best_device()).eval(), tokenizer


@torch.no_grad()
def class_probabilities(
    model: PreTrainedModel,
    sequences: list[np.ndarray],
    batch_size: int,
    *,
    features: list[np.ndarray] | None = None,
    show_progress: bool = False,
) -> np.ndarray:
    """Softmax over the classes, float64, (n_examples, n_classes), in the order of the sequences.

    Parameters
    ----------
    features
        A vector beside each sequence, for a model that reads such (`feature_branch.WithFeatures`).
    """
    device = next(model.parameters()).device
    probabilities = np.empty((len(sequences), model.config.num_labels))
    batches = length_sorted_batches(np.array([len(ids) for ids in sequences]), batch_size)
    for rows in tqdm(batches, desc="predict", unit="batch", delay=1, disable=not show_progress):
        inputs = model_inputs([sequences[row] for row in rows], model.config.pad_token_id)
        if features is not None:
            inputs[FEATURES] = stacked(features[row] for row in rows)
        logits = model(**on_device(inputs, device)).logits
        probabilities[rows] = logits.double().softmax(dim=1).cpu().numpy()
    return probabilities
