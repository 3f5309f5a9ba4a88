"""Fine-tune a language model to classify token texts.

Source: "A Simple Method to Enhance Pre-trained Language Models with Speech Tokens for
Classification" (arXiv 2512.07571), section on fine-tuning. LoRA: arXiv 2106.09685.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.errors import InputError
from speechlasso.evaluation.decision import Threshold
from speechlasso.evaluation.settings import Criterion
from speechlasso.files import give_ordinary_rights
from speechlasso.language_model.classification import (
    FinetuneResult,
    Reading,
    Settled,
    chosen_threshold,
    classification_task,
    head_options,
    learned_classes,
    log_p_of_class,
    scores_of_epochs,
    training_lengths,
)
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.feature_branch import (
    FEATURES,
    FeatureBranch,
    beside,
    features_of,
    stacked,
)
from speechlasso.language_model.lora import with_lora
from speechlasso.language_model.new_row_training import (
    is_new_rows,
    stop_training_new_rows,
    train_new_rows,
)
from speechlasso.language_model.prediction import class_probabilities
from speechlasso.language_model.pretrained import (
    LoadedModel,
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    set_rows,
)
from speechlasso.language_model.sequence_augmentation import with_audio_spliced, with_tokens_dropped
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.language_model.token_text import MARKERS, new_token_names
from speechlasso.language_model.vocabulary import vocabulary_digest
from speechlasso.training.batching import length_grouped_batches, model_inputs
from speechlasso.training.devices import computing, n_trainable
from speechlasso.training.loop import Batch, train
from speechlasso.training.processes import process_number
from speechlasso.training.settings import CHECKPOINT


def finetune(
    examples: pd.DataFrame,
    model_folder: Path,
    *,
    lm: LanguageModel,
    settings: Finetune,
    criterion: Criterion,
    new_tokens: NewTokens | None = None,
    projection_size: int | None = None,
    seed: int,
    threads: int = 1,
    settled: Settled | None = None,
) -> FinetuneResult:
    """Train on the training rows, keep the epoch that is best on the validation rows, save it.

    Without validation rows all is settled beforehand.

    Parameters
    ----------
    examples
        Columns `id`, `label`, `split`, `text` and `audio_tokens`, and with a schedule `phase`
        (`token_text.scheduled`); test rows are not looked at. Where there are vectors to read
        beside the text, `features`.
    model_folder
        Gets the model and its tokenizer as `transformers` saves them: they load with
        `AutoModelForSequenceClassification` and `AutoTokenizer`, without this package. While the
        training lasts, it also has what a stopped one needs to go on.
    criterion
        The validation score that chooses the epoch.
    new_tokens
        The selection's; None for text alone, which adds nothing to the vocabulary.
    projection_size
        With `features`: numbers that they become in a branch of their own, which is saved, too.
    seed
        Draws the classification head, rows that are not adapted, batches and dropout.
    threads
        Processor threads to compute with.
    settled
        In place of validation rows; their scores are then missing from the log.

    Raises
    ------
    InputError
        If the model cannot be loaded or extended, rows do not fit it, or a split has no rows.
    """
    started = time.perf_counter()
    examples = examples[examples["split"].isin(["train", "validation"])]
    classes = learned_classes(examples, settings, settled)
    with computing(threads, seed):
        tokenizer = load_tokenizer(lm)
        loaded = load_model(
            lm, AutoModelForSequenceClassification, seed=seed, **head_options(classes)
        )
        loaded.model.config.pad_token_id = tokenizer.pad_token_id
        token_ids = _add(new_tokens, tokenizer, loaded.model, lm, seed)
        encoded = examples.assign(
            input_ids=encode(tokenizer, examples, lm.max_length)["input_ids"],
            class_index=examples["label"].map(loaded.model.config.label2id),
        )
        language_model = _trainable(loaded, token_ids, settings)
        branch = _branch(encoded, projection_size, len(classes))
        model, reader = (beside(one, branch) for one in (language_model, loaded.model))
        n_learned = n_trainable(model)
        audio_tokens = token_ids[len(MARKERS) :]
        reading = _reading(reader, settings, audio_tokens)
        task = classification_task(encoded, classes, reading, settings, criterion, seed, settled)
        log = train(
            model,
            task,
            settings,
            weight_decay=settings.weight_decay,
            rate_of=lambda name: settings.new_rows_rate if is_new_rows(name) else 1.0,
            precision=lm.precision,
            seed=seed,
            checkpoint_folder=model_folder / CHECKPOINT,
            title="finetune",
        )
        classifier = _plain(loaded.model, language_model)
        reading = _reading(beside(classifier, branch), settings, audio_tokens)
        threshold = chosen_threshold(encoded, classes, reading, settings, criterion, settled)
        save(classifier, tokenizer, threshold, model_folder)
        if branch is not None:
            branch.save(model_folder)
    costs = (started, n_learned, training_lengths(encoded))
    scores = scores_of_epochs(log, task)
    return FinetuneResult.measured(*costs, log, scores, classes, threshold)


def save(
    classifier: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    threshold: Threshold | None,
    model_folder: Path,
) -> None:
    """Write what `prediction.Classifier` opens."""
    if threshold:
        classifier.config.decision_threshold = threshold
    elif hasattr(classifier.config, "decision_threshold"):
        del classifier.config.decision_threshold  # of the classifier that it was before
    classifier.config.vocabulary_sha256 = vocabulary_digest(tokenizer)
    if process_number() == 0:
        classifier.save_pretrained(model_folder)
        # safetensors makes its files private.
        give_ordinary_rights(model_folder / "model.safetensors")
        tokenizer.save_pretrained(model_folder)


def _branch(examples: pd.DataFrame, size: int | None, n_classes: int) -> FeatureBranch | None:
    """An untrained one, for features as the training rows have them."""
    if FEATURES not in examples:
        return None
    learned = np.stack(list(examples.loc[examples["split"] == "train", FEATURES]))
    branch = FeatureBranch(learned.shape[1], size, n_classes)
    branch.standardised.learn(learned)
    return branch


def _add(
    new_tokens: NewTokens | None,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    lm: LanguageModel,
    seed: int,
) -> list[int]:
    """Extend the vocabulary; the ids of the markers and the audio tokens."""
    if new_tokens is None:
        return []
    n, rows = new_tokens.n, new_tokens.rows
    token_ids = extend_with_audio_tokens(
        tokenizer, model, n, start=lm.new_rows, centroids=new_tokens.centroids, seed=seed
    )
    if rows is not None:
        if rows.names != new_token_names(n):
            raise InputError(
                f"the adapted rows are of {len(rows.names)} tokens, but this selection needs "
                f"{len(token_ids)}; adapt the model to this selection"
            )
        set_rows(model, token_ids, rows.vectors)
    return token_ids


def _trainable(loaded: LoadedModel, token_ids: list[int], settings: Finetune) -> torch.nn.Module:
    """The model with the parameters trainable that the method trains.

    The classification head and the new tokens' rows always are.
    """
    model = loaded.model
    if settings.method == "full":
        # Rows within the matrix would learn at its rate.
        if token_ids and settings.new_rows_rate != 1:
            train_new_rows(model, token_ids)
        return model
    model.requires_grad_(False)
    if settings.method == "lora":
        model = with_lora(model, settings.lora)
    if token_ids:
        train_new_rows(loaded.model, token_ids)
    for parameter in head_parameters(loaded):
        parameter.requires_grad_(True)
    return model


def head_parameters(loaded: LoadedModel) -> list[torch.nn.Parameter]:
    """What lies above the body of a model, and what its files did not hold."""
    body = f"{loaded.model.base_model_prefix}."
    head = [p for name, p in loaded.model.named_parameters() if not name.startswith(body)]
    return [*head, *loaded.newly_initialised]


def _plain(classifier: PreTrainedModel, model: torch.nn.Module) -> PreTrainedModel:
    """The classifier with all that was trained beside its weights merged into them."""
    stop_training_new_rows(classifier)
    return classifier if model is classifier else model.merge_and_unload()


def _reading(
    classifier: torch.nn.Module, settings: Finetune, audio_token_ids: list[int]
) -> Reading:
    def batches(
        rows: pd.DataFrame, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        sequences, targets = rows["input_ids"].tolist(), rows["class_index"].to_numpy()
        heard = with_audio_spliced(sequences, targets, audio_token_ids, settings.splice, rng)
        heard = with_tokens_dropped(heard, audio_token_ids, settings.token_dropout, rng)
        lengths = np.array([len(ids) for ids in heard])
        vectors = features_of(rows)
        return [
            (
                batch,
                model_inputs([heard[row] for row in batch], classifier.config.pad_token_id)
                | ({FEATURES: stacked(vectors[row] for row in batch)} if vectors else {}),
            )
            for batch in length_grouped_batches(lengths, settings.batch_size, rng)
        ]

    def log_p(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return log_p_of_class(model(**inputs).logits, batch["labels"])

    def probabilities(rows: pd.DataFrame) -> np.ndarray:
        sequences = rows["input_ids"].tolist()
        return class_probabilities(
            classifier.eval(), sequences, settings.part_size, features=features_of(rows)
        )

    def fingerprint(rows: pd.DataFrame) -> list[np.ndarray]:
        return rows["input_ids"].tolist() + (features_of(rows) or [])

    return Reading(batches, log_p, probabilities, fingerprint)
