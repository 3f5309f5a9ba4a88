"""Settings of the language model, its adaptation and its fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from speechlasso.data.settings import Schedule, Table
from speechlasso.section import HOW_ONLY, SPLITS, PositiveFloat, Section, Seed, Share, ordered
from speechlasso.training.settings import Training

INSTRUCTIONS = Path(__file__).with_name("instructions.yaml")
"""Kinds of instruction, with their wordings, that come with this package."""


class LanguageModel(Section):
    name: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Hub name or local directory of a causal or masked language model."""
    revision: str | None = None
    """Commit, tag or branch on the hub; pin it so that a run can be repeated."""
    max_length: Annotated[int, Field(ge=16)] = 256
    """Longest token text, in LM tokens; longer ones are cut, never their closing marker."""
    compile: Annotated[bool, HOW_ONLY] = False
    """Let torch.compile translate the model first: minutes, which long runs on a GPU earn back;
    needs a C++ compiler."""
    new_rows: Literal["codebook", "mean", "markers", "random"] = "codebook"
    """Where the new tokens' embeddings start. codebook: the mean of all rows plus a random
    projection of the token's centroid, so that near codes start near; the mean where the tokenizer
    learned no codebook here. mean: that mean, markers: that of the rows of the words in the token's
    name, both plus small noise. random: normal noise alone."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast where it is fast (GPUs; Intel's processors with AMX, AMD's with
    AVX512-BF16), else fp32."""

    def as_read(
        self,
        has_new_rows: bool = True,
        has_codebook: bool = True,
        has_own_precision: bool = True,
    ) -> Self:
        lm = self if has_new_rows else self.with_defaults("new_rows")
        if has_new_rows and not has_codebook and lm.new_rows == "codebook":
            lm = lm.model_copy(update={"new_rows": "mean"})
        return lm if has_own_precision else lm.with_defaults("precision")


class SelfPowered(Section):
    instructions: Annotated[str | None, HOW_ONLY] = None
    """YAML file with kinds of instruction and their wordings; by default that of this package
    (language_model/instructions.yaml). What it holds is part of the key, not where it lies."""
    answers_per_utterance: PositiveInt = 2
    """Kinds of instruction that are drawn for each utterance, and answered about its transcript."""
    max_new_tokens: PositiveInt = 48
    """Longest answer, in LM tokens; a longer one is cut."""
    seed: Seed = 1
    """With an utterance's id, what its instructions are drawn from, and whether it is held out."""
    batch_size: Annotated[PositiveInt, HOW_ONLY] = 16
    """Prompts answered at a time."""

    @property
    def instructions_file(self) -> str:
        return self.instructions or INSTRUCTIONS.as_posix()


class Adapt(Training):
    objective: Literal["language_modelling", "self_powered"] = "language_modelling"
    """language_modelling: predict token texts. self_powered: predict the model's own answers to
    instructions about an utterance's transcript, given the instruction and the audio tokens; for
    causal models with a chat template."""
    self_powered: SelfPowered = SelfPowered()
    """Settings of objective: self_powered."""
    corpus: Table | None = None
    """Unlabelled utterances to learn the new tokens from, in place of the fold's own rows."""
    splits: Annotated[
        list[Literal[SPLITS]],
        Field(min_length=1),
        ordered(SPLITS),
    ] = ["train"]
    """The fold's rows to learn from, unless there is a corpus; with validation or test rows
    adaptation is transductive, and the report says so."""
    epochs: PositiveInt = 5
    """Most passes over the adaptation texts."""
    learning_rate: PositiveFloat = 3e-3
    """Peak learning rate of the new embedding rows."""
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of the adaptation texts (self_powered: of the utterances) kept out to measure the
    loss."""
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of tokens masked for a masked language model."""
    weights: Literal["fp32", "bf16", "int8", "nf4"] = "fp32"
    """How the frozen weights are stored meanwhile; int8 and nf4 need bitsandbytes and a GPU. With
    anything but fp32, lm.precision is bf16 for this stage."""

    def as_read(self) -> Self:
        # A corpus is upstream, and its key says more; so are answers.
        adapt = self.with_defaults("self_powered")
        if self.objective == "self_powered":
            adapt = adapt.with_defaults("holdout", "mask_probability")
        return adapt.with_defaults("corpus", "splits") if self.corpus else adapt


class Transcription(Section):
    epochs: PositiveInt = 10
    """Passes over the training rows in stage 1: convolutions and layer weights learn to transcribe,
    the language model is as it was."""
    warm_up_epochs: NonNegativeInt = 2
    """Passes in which low-rank updates learn to transcribe along, before they learn the task."""
    learning_rate: PositiveFloat = 1e-3
    """Peak learning rate of both; batches are those of finetune."""
    mask_probability: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the words that a masked language model has to tell from the speech and the others;
    causal ones tell all of them."""


class LoRA(Section):
    rank: PositiveInt | Annotated[list[PositiveInt], Field(min_length=1)] = 64
    """Rank of the low-rank updates; a list runs every arm once for each."""
    alpha: PositiveFloat = 16
    """Scale of the updates (alpha / rank)."""
    dropout: Share = 0.1
    """Dropout on the updates' input."""
    targets: list[str] | None = None
    """Names of the linear layers to update, such as q_proj in every block or 29.self_attn.q_proj in
    one; by default queries and values. Upper blocks alone spare the gradient through lower ones."""


class Finetune(Training):
    method: Literal["full", "lora", "head"] = "full"
    """Train all weights, low-rank updates, or the classification head and new rows alone."""
    epochs: PositiveInt = 10
    """Most passes over the training rows."""
    learning_rate: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] = 3e-4
    """Peak learning rate; a list runs every arm once for each."""
    warmup_share: Share = 0.2
    """Part of the steps in which the learning rate rises; it then falls linearly to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    new_rows_rate: PositiveFloat = 1.0
    """Learning rate of the new tokens' embedding rows, as a multiple of learning_rate."""
    splice: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training examples whose audio tokens go on, from a random moment, as those of
    another example of the same class, drawn anew every epoch."""
    token_dropout: Share = 0.0
    """Share of each training example's audio tokens that is left out, drawn anew every epoch."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """Weight each class in the loss by its inverse frequency, or not."""
    focal_gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Focal loss: weigh each example by (1 - p) ** this, p being the probability of its class, so
    that what the model is sure of counts less. 0 is cross-entropy."""
    decision_threshold: Literal["half", "tuned"] = "half"
    """Binary tasks: predict evaluate.positive_label (or the rarer class) from probability 0.5 on,
    or from the one that scores best on validation rows."""
    schedule: Schedule | None = None
    """Which training rows are read as text alone and which with speech, by arms that read both; by
    default all with speech. A curriculum trains on text in the first half of the epochs, on speech
    in the rest, of which the best one is kept. Tokenizer, selection and adaptation have read the
    speech of all training rows."""
    lora: LoRA = LoRA()
    """Settings of method: lora."""

    @model_validator(mode="after")
    def _has_an_epoch_for_each_phase(self) -> Self:
        if self.schedule and self.schedule.scheme == "curriculum" and self.epochs < 2:
            raise ValueError("schedule: curriculum needs two epochs or more")
        return self

    def as_read(self, reads_audio: bool) -> Self:
        # The examples of a schedule are upstream, and their key says more.
        finetune = self.with_defaults("schedule")
        if not reads_audio:
            finetune = finetune.with_defaults("splice", "token_dropout", "new_rows_rate")
        return finetune if self.method == "lora" else finetune.with_defaults("lora")

    @property
    def chooses(self) -> bool:
        """Whether a score decides on an epoch or a threshold."""
        return self.epochs > 1 or self.decision_threshold == "tuned"
