"""The configuration: every key with its meaning, unit and default; validated before anything runs.

`load_settings` turns the raw mapping that Snakemake read from config.yaml, --configfile and
--config into one `Settings` object, or raises an `InputError` that lists every mistake at once,
each with its key path. Importing this module costs pydantic alone.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from speechlasso.errors import InputError

Share = Annotated[float, Field(ge=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Metric = Literal["macro_f1", "uar", "accuracy", "positive_f1"]
# What NumPy, scikit-learn and torch all take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _each_once(seeds: list[int]) -> list[int]:
    """After 01, 1.0 and 1 became the same number."""
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"each seed once, but got {seeds}")
    return seeds


def _parse_alpha(value: Any) -> Any:
    """One message for whatever is wrong, instead of one for each allowed kind of value."""
    if value == "cv":
        return value
    try:
        numbers = [float(number) for number in (value if isinstance(value, list) else [value])]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise ValueError("should be a positive number, a list of them, or cv")
    return numbers if isinstance(value, list) else numbers[0]


Alpha = Annotated[float | list[float] | Literal["cv"], BeforeValidator(_parse_alpha)]

TokenizerMethod = Literal[
    "spectral_rvq", "speechtokenizer", "encodec", "mimi", "dac", "xcodec", "ssl_units"
]

SPLITS = ("train", "validation", "test")
INPUTS = ("text", "audio")
OVERRIDABLE_SECTIONS = ("tokenizer", "bow", "select", "lm", "adapt", "finetune")


HOW_ONLY = "how a job computes"
"""Marks a setting that says how a job computes, or when it gives up, and changes no result (but for
rounding): it is no part of a key."""


class Section(BaseModel):
    """A mapping of the configuration file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def as_read(self) -> Self:
        """A copy with all that is not read at its default: this alone says what changes a key."""
        return self

    def with_defaults(self, *keys: str) -> Self:
        """A copy with some settings at their defaults."""
        return self.model_copy(update={key: _default(type(self), key) for key in keys})

    def of_result(self) -> Self:
        """A copy with the settings marked `HOW_ONLY` at their defaults."""
        sections = {name: value.of_result() for name, value in self if isinstance(value, Section)}
        return self.model_copy(update=sections).with_defaults(*self._how_only())

    def of_computation(self) -> dict[str, Any]:
        """What `of_result` leaves out, as nested mappings, where it differs from the defaults."""
        own = {
            name: getattr(self, name)
            for name in self._how_only()
            if getattr(self, name) != _default(type(self), name)
        }
        sections = {
            name: value.of_computation() for name, value in self if isinstance(value, Section)
        }
        return own | {name: found for name, found in sections.items() if found}

    @classmethod
    def _how_only(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if HOW_ONLY in field.metadata]


def _default(section: type[Section], key: str) -> Any:
    return section.model_fields[key].get_default(call_default_factory=True)


def _ordered(names: tuple[str, ...]) -> AfterValidator:
    """Each name once and in one order: the order in which a user names them changes nothing."""
    return AfterValidator(lambda given: [name for name in names if name in given])


ORDERED_NUMBERS = AfterValidator(lambda given: given if given is None else sorted(set(given)))


class Experiment(Section):
    name: Name = "demo"
    """Folder of the tables and the report: results/experiments/<name>/."""
    arms: list[str] = ["text_only", "audio_only", "lasso", "random", "bow_linear"]
    """The conditions to compare, by their names under `arms`."""


class DemoCorpus(Section):
    train_speakers: PositiveInt = 8
    """Voices in the training split."""
    validation_speakers: PositiveInt = 3
    """Voices in the validation split."""
    test_speakers: PositiveInt = 4
    """Voices in the test split."""
    utterances_per_speaker: PositiveInt = 40
    """Utterances of each voice."""
    seed: Seed = 1
    """Draws words, prosody and noise."""


class Columns(Section):
    id: str | None = "id"
    """Column with the unique id of each utterance; null: its line number in the table."""
    text: str | None = "text"
    """Column with the transcript; null: there is none, and only arms that read audio alone can
    run."""
    label: str = "label"
    """Column with the class."""
    audio: str | None = "audio"
    """Column with the clip, or several clips joined by `audio_separator`; null: there is none, and
    only arms that read text can run."""
    split: str | None = None
    """Column with train, validation or test; needed for folds.method: given."""
    group: str | None = None
    """Column that folds must not divide, such as the speaker."""
    start: str | None = None
    """Column with the second at which the utterance starts in its clip, for utterances cut out of
    long recordings."""
    end: str | None = None
    """Column with the second at which the utterance ends in its clip."""


class Table(Section):
    path: str | None = None
    """CSV, TSV, Parquet or JSONL file with one utterance a row."""
    audio_root: str | None = None
    """Folder the clips' paths start from; by default the table's own folder."""
    audio_separator: Annotated[str, Field(min_length=1)] = "|"
    """Stands between the clips of one utterance."""
    columns: Columns = Columns()
    """Names of the table's columns."""

    def as_read(self, without: Collection[str] = ()) -> Self:
        columns = self.columns.with_defaults(*without)
        table = self.model_copy(update={"columns": columns})
        return table if columns.audio else table.with_defaults("audio_root", "audio_separator")


class Folds(Section):
    method: Literal["given", "stratified", "grouped", "leave_one_group_out"] = "given"
    """given: the table's split column; stratified: by class; grouped: whole groups;
    leave_one_group_out: each group is the test set once."""
    n_folds: Annotated[int, Field(ge=2)] = 5
    """Number of folds (stratified and grouped)."""
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Part of a fold's training rows kept for validation; whole groups where there are groups,
    unless rows are divided one by one (stratified)."""
    seed: Seed = 1
    """Draws folds and validation parts."""
    only: list[str] | None = None
    """Run these folds alone, by name: "0", "1", ... or a group's name."""

    def as_read(self) -> Self:
        # Which folds run does not change how they are divided.
        folds = self.with_defaults("only")
        has_number = self.method in ("stratified", "grouped")
        return folds if has_number else folds.with_defaults("n_folds")


class Dataset(Section):
    source: Literal["demo", "table"] = "demo"
    """demo: speech synthesised on the spot; table: your own recordings."""
    demo: DemoCorpus = DemoCorpus()
    """Settings of the demo corpus."""
    table: Table = Table()
    """Where your own data lie."""
    folds: Folds = Folds()
    """How utterances are divided into training, validation and test rows."""


class Audio(Section):
    on_bad: Literal["error", "skip"] = "error"
    """What to do with a clip that cannot be used: stop, or drop its utterance and list it."""
    max_bad_share: Annotated[Share, HOW_ONLY] = 0.05
    """With on_bad: skip, stop after all if more than this share of the utterances is dropped."""
    shard_size: Annotated[PositiveInt, HOW_ONLY] = 500
    """Utterances tokenised by one job; smaller shards spread over more cores. Codes
    that are complete keep their division."""

    def as_read(self, has_audio: bool) -> Self:
        return self if has_audio else self.with_defaults("on_bad")


class SpectralRVQ(Section):
    n_layers: Annotated[int, Field(ge=1, le=16)] = 4
    """Layers of the residual quantiser."""
    codebook_size: Annotated[int, Field(ge=2, le=4096)] = 64
    """Codes per layer."""
    max_frames: PositiveInt = 30_000
    """Frames (of 20 ms) drawn from the training clips to learn the codebooks."""
    seed: Seed = 1
    """Draws training frames and first centroids."""


class SSLUnits(Section):
    layer: Annotated[int, Field(ge=0)] = 9
    """Whose hidden states to quantise, as transformers numbers them: 0 is the input embedding."""
    codebook_size: Annotated[int, Field(ge=2, le=32768)] = 500
    """Number of units."""
    max_frames: PositiveInt = 100_000
    """Frames drawn from the training clips to learn the units."""
    seed: Seed = 1
    """Draws training frames and first centroids."""


class Tokenizer(Section):
    method: TokenizerMethod = "spectral_rvq"
    """The speech tokenizer; `speechlasso tokenizers` describes each."""
    checkpoint: str | None = None
    """speechtokenizer: the official checkpoint file."""
    config: str | None = None
    """speechtokenizer: the config.json published with the checkpoint."""
    model: str | None = None
    """Codecs of transformers and ssl_units: hub id or local directory; by default the usual one."""
    revision: str | None = None
    """Commit of the model on the hub."""
    n_layers: PositiveInt | None = None
    """Pretrained codecs: use the first so many layers; by default all."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Pretrained models: bf16 is faster where there are matrix units for it, and changes codes."""
    spectral_rvq: SpectralRVQ = SpectralRVQ()
    """Cepstral and prosodic frames with codebooks learned on the training clips."""
    ssl_units: SSLUnits = SSLUnits()
    """Hidden states of a speech model, clustered on the training clips."""

    @model_validator(mode="after")
    def _files_of_speechtokenizer(self) -> Tokenizer:
        if self.method == "speechtokenizer" and not (self.checkpoint and self.config):
            raise ValueError(
                "speechtokenizer needs tokenizer.checkpoint and tokenizer.config: the two files "
                "that its authors publish"
            )
        return self

    def as_read(self) -> Self:
        from speechlasso.tokenizers import BACKENDS

        return self.with_defaults(
            *(key for key in type(self).model_fields if key not in BACKENDS[self.method].reads)
        ).model_copy(update={"method": self.method})


class BagOfWords(Section):
    layers: PositiveInt | None = None
    """Use the last so many codec layers; by default all."""
    lowercase: bool = True
    """Fold the case of text words before counting them."""

    def as_read(self, has_audio: bool) -> Self:
        return self if has_audio else self.with_defaults("layers")


class LassoFitting(Section):
    """What the lasso is fitted to; one path of alphas serves all choices on it."""

    inputs: Literal["joint", "audio"] = "joint"
    """Let text words compete with audio tokens for weight, or fit audio tokens alone."""
    layers: Annotated[
        Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None, ORDERED_NUMBERS
    ] = None
    """Codec layers to choose from (0 is the first); by default all that `bow` counts."""
    weighting: Literal["tfidf", "counts"] = "tfidf"
    """Weigh counts by TF-IDF, or take them as they are."""
    scaling: Literal["unit_variance", "none"] = "unit_variance"
    """Scale every feature to unit variance, which favours rare tokens, or leave frequent tokens
    their larger range."""
    frequency_exponent: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Penalise an audio token by alpha / df ** this, df being the share of the rows it occurs in:
    above 0, frequent tokens are preferred."""
    multi_class: Literal["multinomial", "one_vs_rest"] = "multinomial"
    """With more than two classes: one softmax model, or one model for each class."""
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Share of the training rows kept out of the fit to score it; whole groups where known."""
    seed: Seed = 42
    """Draws the held-out rows, cross-validation folds and subsamples."""


class LassoSelection(LassoFitting):
    method: Literal["lasso"]
    """L1-penalised logistic regression on text words and audio tokens together."""
    alpha: Alpha = 8.0
    """Strength of the L1 penalty: larger keeps fewer tokens. scikit-learn's C is 1 / alpha. A list
    runs every arm once for each; cv chooses by cross-validation inside the training rows, no
    group in two folds."""
    n_tokens: PositiveInt | None = None
    """Choose the alpha that keeps (about) this many tokens; `alpha` is then not read."""
    threshold: Literal["mean", "nonzero", "top_k"] = "mean"
    """Keep tokens whose weight is at least the mean over all features that occur, or is not zero,
    or is among the `top_k` largest."""
    top_k: PositiveInt | None = None
    """Number of tokens to keep with threshold: top_k."""
    cv_folds: Annotated[int, Field(ge=2)] = 5
    """Folds of alpha: cv."""
    one_standard_error: bool = False
    """With alpha: cv, take the largest alpha within one standard error of the best score."""
    n_subsamples: Annotated[int, Field(ge=0)] = 20
    """Half-samples of the training rows that tell how reliably each kept token is selected."""

    def as_read(self) -> Self:
        selection = self if self.threshold == "top_k" else self.with_defaults("top_k")
        if self.n_tokens is not None:
            selection = selection.with_defaults("alpha")
        if not self.is_cross_validated:
            selection = selection.with_defaults("cv_folds", "one_standard_error")
        return selection

    @property
    def is_cross_validated(self) -> bool:
        """Whether alpha is chosen by a score."""
        return self.n_tokens is None and self.alpha == "cv"


class FrequencyLassoSelection(LassoSelection):
    method: Literal["frequency_lasso"]
    """The lasso with a lighter penalty for tokens that are met often (docs/results.md)."""
    frequency_exponent: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    """Penalise an audio token by alpha / df ** this, df being its share of the rows."""


class StabilitySelection(LassoFitting):
    method: Literal["stability"]
    """The tokens that a lasso selects most often on half-samples of the training rows."""
    like: str = "lasso"
    """Keep as many tokens as this selection."""
    alpha: PositiveFloat = 8.0
    """Strength of the L1 penalty on a half-sample."""
    n_subsamples: PositiveInt = 50
    """Number of half-samples."""

    def as_read(self) -> Self:
        # The selection behind the name is upstream, and its key says more.
        return self.with_defaults("like")


class RankedSelection(Section):
    method: Literal["chi_square", "mutual_information", "most_frequent"]
    """Tokens that depend most on the class, one by one, or that occur most often."""
    like: str = "lasso"
    """Keep as many tokens as this selection, from the same codec layers."""

    def as_read(self) -> Self:
        # The selection behind the name is upstream, and its key says more.
        return self.with_defaults("like")


class RandomSelection(Section):
    method: Literal["random"]
    """Control: tokens drawn uniformly without replacement from those that `like` could choose from,
    anew for each seed and fold of the experiment."""
    like: str = "lasso"
    """Draw as many tokens as this selection keeps, from the same codec layers."""

    def as_read(self) -> Self:
        # The selection behind the name is upstream, and its key says more.
        return self.with_defaults("like")


class AllTokens(Section):
    method: Literal["all"]
    """Keep every audio token that the training rows have."""


Selection = Annotated[
    LassoSelection
    | FrequencyLassoSelection
    | StabilitySelection
    | RankedSelection
    | RandomSelection
    | AllTokens,
    Field(discriminator="method"),
]


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
    new_rows: Literal["mean", "markers", "random"] = "mean"
    """Where the new tokens' embeddings start: the mean of all rows, or of the rows of the words
    that the marker names spell, plus small noise; or normal noise alone."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast where it is fast (GPUs; Intel's processors with AMX, AMD's with
    AVX512-BF16), else fp32."""

    def as_read(self, has_new_rows: bool = True, has_own_precision: bool = True) -> Self:
        lm = self if has_new_rows else self.with_defaults("new_rows")
        return lm if has_own_precision else lm.with_defaults("precision")


class Training(Section):
    batch_size: PositiveInt = 32
    """Examples per step."""
    micro_batch_size: Annotated[PositiveInt | None, HOW_ONLY] = None
    """Examples (packed: rows of them) computed at a time, their gradients being accumulated to a
    step; by default all."""
    processes: Annotated[PositiveInt, HOW_ONLY] = 1
    """Processes that share each step: as many as the machine has GPUs for it."""
    gradient_checkpointing: Annotated[bool, HOW_ONLY] = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    warmup_share: Share = 0.05
    """Part of the steps in which the learning rate rises; it then falls linearly to zero."""
    patience: PositiveInt = 3
    """Stop after so many epochs without a better validation result."""

    @property
    def part_size(self) -> int:
        """Examples computed at a time."""
        return self.micro_batch_size or self.batch_size


class Adapt(Training):
    corpus: Table | None = None
    """Unlabelled utterances to learn the new tokens from, in place of the fold's own rows."""
    splits: Annotated[
        list[Literal[SPLITS]],
        Field(min_length=1),
        _ordered(SPLITS),
    ] = ["train"]
    """The fold's rows to learn from, unless there is a corpus; with validation or test rows
    adaptation is transductive, and the report says so."""
    epochs: PositiveInt = 5
    """Most passes over the adaptation texts."""
    learning_rate: PositiveFloat = 3e-3
    """Peak learning rate of the new embedding rows."""
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = 0.1
    """Share of the adaptation texts kept out to measure the loss."""
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of tokens masked for a masked language model."""
    weights: Literal["fp32", "bf16", "int8", "nf4"] = "fp32"
    """How the frozen weights are stored meanwhile; int8 and nf4 need bitsandbytes and a GPU. With
    anything but fp32, lm.precision is bf16 for this stage."""

    def as_read(self) -> Self:
        # A corpus is upstream, and its key says more.
        return self.with_defaults("corpus", "splits") if self.corpus else self


class LoRA(Section):
    rank: PositiveInt | Annotated[list[PositiveInt], Field(min_length=1)] = 64
    """Rank of the low-rank updates; a list runs every arm once for each."""
    alpha: PositiveFloat = 16
    """Scale of the updates (alpha / rank)."""
    dropout: Share = 0.1
    """Dropout on the updates' input."""
    targets: list[str] | None = None
    """Names of the linear layers to update; by default queries and values."""


class LinearClassifier(Section):
    method: Literal["logistic_regression", "dummy"] = "logistic_regression"
    """dummy draws labels by the training rows' class shares, anew for each seed: what chance
    gives."""
    weighting: Literal["tfidf", "counts"] = "tfidf"
    """Weigh counts by TF-IDF, or take them as they are."""
    scaling: Literal["unit_variance", "none"] = "unit_variance"
    """Scale every feature to unit variance, or not."""
    C: Annotated[list[PositiveFloat], Field(min_length=1), ORDERED_NUMBERS] = [
        *(0.0003, 0.001, 0.003, 0.01, 0.1, 1.0)
    ]
    """Inverse strengths of the L2 penalty to try; the validation metric chooses."""

    def as_read(self) -> Self:
        if self.method == "dummy":
            return self.with_defaults("weighting", "scaling", "C")
        return self

    @property
    def chooses(self) -> bool:
        """Whether a score decides on C."""
        return self.method != "dummy" and len(self.C) > 1


class Finetune(Training):
    method: Literal["full", "lora", "head"] = "full"
    """Train all weights, low-rank updates, or the classification head and new rows alone."""
    epochs: PositiveInt = 10
    """Most passes over the training rows."""
    learning_rate: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] = 3e-4
    """Peak learning rate; a list runs every arm once for each."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay."""
    new_rows_rate: PositiveFloat = 1.0
    """The new tokens' embedding rows learn at so many times the learning rate."""
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
    lora: LoRA = LoRA()
    """Settings of method: lora."""
    linear: LinearClassifier = LinearClassifier()
    """Settings of arms with classifier: linear."""

    def as_read(self, reads_audio: bool) -> Self:
        """As the language model reads it; `linear` is for the other arms."""
        finetune = self.with_defaults("linear")
        if not reads_audio:
            finetune = finetune.with_defaults("splice", "token_dropout", "new_rows_rate")
        return finetune if self.method == "lora" else finetune.with_defaults("lora")

    @property
    def chooses(self) -> bool:
        """Whether a score decides on an epoch or a threshold."""
        return self.epochs > 1 or self.decision_threshold == "tuned"


class Evaluate(Section):
    metric: Metric = "macro_f1"
    """Chooses the best epoch and C on validation rows, and with alpha: cv the lasso's alpha."""
    positive_label: str | None = None
    """The class that positive_f1 is about (binary tasks)."""

    def as_read(self, chooses: bool) -> Self:
        """As a stage reads it that chooses something by a score, or nothing."""
        if not chooses:
            return Evaluate()
        return self if self.metric == "positive_f1" else self.with_defaults("positive_label")


class Arm(Section):
    inputs: Annotated[list[Literal[INPUTS]], Field(min_length=1), _ordered(INPUTS)] = [*INPUTS]
    """What the classifier reads."""
    select: str | None = None
    """Which selection under `select` gives the audio tokens."""
    adapt: bool = True
    """Adapt the LM to the new tokens before fine-tuning."""
    classifier: Literal["lm", "linear"] = "lm"
    """Fine-tune the LM, or fit a logistic regression on the bag of words."""
    override: dict[str, Any] = {}
    """Settings of this arm alone, as sections: {lm: {...}, finetune: {...}, ...}."""


def default_selections() -> dict[str, Any]:
    return {
        "lasso": LassoSelection(method="lasso"),
        "random": RandomSelection(method="random"),
        "all": AllTokens(method="all"),
    }


def default_arms() -> dict[str, Arm]:
    return {
        "text_only": Arm(inputs=["text"]),
        "audio_only": Arm(inputs=["audio"], select="lasso"),
        "lasso": Arm(select="lasso"),
        "random": Arm(select="random"),
        "all_tokens": Arm(select="all"),
        "bow_linear": Arm(select="lasso", classifier="linear"),
        "bow_linear_all": Arm(select="all", classifier="linear"),
    }


class Settings(Section):
    """The whole configuration of one experiment."""

    experiment: Experiment = Experiment()
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_each_once)] = [1, 2]
    """One run of every arm and fold for each."""
    dataset: Dataset = Dataset()
    audio: Audio = Audio()
    tokenizer: Tokenizer = Tokenizer()
    bow: BagOfWords = BagOfWords()
    select: dict[Name, Selection] = Field(default_factory=default_selections)
    """Ways to choose audio tokens, by name."""
    lm: LanguageModel = LanguageModel()
    adapt: Adapt = Adapt()
    finetune: Finetune = Finetune()
    evaluate: Evaluate = Evaluate()
    arms: dict[Name, Arm] = Field(default_factory=default_arms)
    """Conditions to compare, by name; experiment.arms says which ones run."""


def load_settings(raw: Mapping[str, Any]) -> Settings:
    """Validate a raw configuration.

    Raises
    ------
    InputError
        Listing every mistake with its key path.
    """
    problems = list(dict.fromkeys([*_schema_problems(raw), *_cross_problems(raw)]))
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise InputError.listing(f"The configuration has {count}:", problems)
    return Settings.model_validate(raw)


def json_schema() -> str:
    """JSON Schema of the configuration, for editors that check and complete YAML."""
    return json.dumps(Settings.model_json_schema(), indent=2) + "\n"


def arm_settings(settings: Settings, arm_name: str) -> Settings:
    """The settings that hold for one arm: the experiment's with the arm's override on top."""
    override = settings.arms[arm_name].override
    return Settings.model_validate(merged(settings.model_dump(), override))


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """A deep merge: mappings are merged key by key, anything else is replaced."""
    result = dict(base)
    for key, value in override.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            value = merged(result[key], value)
        result[key] = value
    return result


def _schema_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    try:
        Settings.model_validate(raw)
    except ValidationError as error:
        yield from _readable(error)
        return
    for name, arm in _mapping(raw.get("arms")).items():
        yield from _override_problems(raw, name, _mapping(arm).get("override", {}))


def _override_problems(raw: Mapping[str, Any], arm: str, override: Any) -> Iterator[str]:
    path = f"arms.{arm}.override"
    for section in _mapping(override):
        if section not in OVERRIDABLE_SECTIONS:
            allowed = ", ".join(OVERRIDABLE_SECTIONS)
            yield f"{path}.{section}: an arm can override these sections only: {allowed}"
            return
    try:
        Settings.model_validate(merged(raw, override))
    except ValidationError as error:
        yield from (f"{path}.{problem}" for problem in _readable(error))


def _cross_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes that lie between keys, looked for even where single keys are wrong as well."""
    selections = _mapping(raw.get("select")) or _mapping(Settings().model_dump()["select"])
    arms = _mapping(raw.get("arms")) or _mapping(Settings().model_dump()["arms"])
    experiment = _mapping(raw.get("experiment"))
    names = _list(experiment.get("arms"))
    for name in sorted({name for name in names if names.count(name) > 1}, key=str):
        yield f"experiment.arms: each arm once, but {name!r} stands there {names.count(name)} times"
    for position, name in enumerate(names):
        if name not in arms:
            yield f"experiment.arms.{position}: no arm is named {name!r}{_nearest(name, arms)}"
    for name, arm in arms.items():
        yield from _arm_problems(f"arms.{name}", _mapping(arm), selections)
    for name, selection in selections.items():
        yield from _selection_problems(f"select.{name}", _mapping(selection), selections)
    yield from _dataset_problems(_mapping(raw.get("dataset")))
    yield from _silent_problems(raw, arms)
    yield from _adapt_problems("", _mapping(raw.get("adapt")))
    evaluate = _mapping(raw.get("evaluate"))
    if evaluate.get("metric") == "positive_f1" and evaluate.get("positive_label") is None:
        yield "evaluate.positive_label: metric positive_f1 needs to know the positive class"


def _arm_problems(path: str, arm: Mapping, selections: Mapping) -> Iterator[str]:
    reads_audio = "audio" in _list(arm.get("inputs", ["text", "audio"]))
    name = arm.get("select")
    if reads_audio and name is None:
        yield f"{path}.select: an arm that reads audio needs a selection: {_names(selections)}"
    if not reads_audio and name is not None:
        yield f"{path}.select: an arm without audio among its inputs has nothing to select"
    yield from _adapt_problems(
        f"{path}.override.", _mapping(_mapping(arm.get("override")).get("adapt"))
    )
    if name is not None and name not in selections:
        yield f"{path}.select: no selection is named {name!r}{_nearest(name, selections)}"


def _selection_problems(path: str, selection: Mapping, selections: Mapping) -> Iterator[str]:
    if selection.get("threshold") == "top_k" and selection.get("top_k") is None:
        yield f"{path}.top_k: threshold top_k needs the number of tokens to keep"
    with_own_size = ("lasso", "frequency_lasso", "all")
    if selection.get("method") not in with_own_size:
        like = selection.get("like", "lasso")
        if not isinstance(like, str) or like not in selections:
            yield f"{path}.like: no selection is named {like!r}{_nearest(like, selections)}"
        elif _mapping(selections[like]).get("method") not in with_own_size:
            yield f"{path}.like: {like!r} takes its size from another; name a lasso"


def _adapt_problems(path: str, adapt: Mapping) -> Iterator[str]:
    corpus = adapt.get("corpus")
    if corpus is None:
        return
    if _mapping(corpus).get("path") is None:
        yield f"{path}adapt.corpus.path: the path of the corpus' table is missing"
    if _mapping(_mapping(corpus).get("columns")).get("audio", "audio") is None:
        yield f"{path}adapt.corpus.columns.audio: null, but audio tokens are learned from audio"


def _dataset_problems(dataset: Mapping) -> Iterator[str]:
    if dataset.get("source") != "table":
        return
    table = _mapping(dataset.get("table"))
    columns = _mapping(table.get("columns"))
    method = _mapping(dataset.get("folds")).get("method", "given")
    if table.get("path") is None:
        yield "dataset.table.path: source: table needs the path of the table"
    if method == "given" and columns.get("split") is None:
        yield "dataset.table.columns.split: folds.method: given needs the split column's name"
    if method in ("grouped", "leave_one_group_out") and columns.get("group") is None:
        yield f"dataset.table.columns.group: folds.method: {method} needs the group column's name"


def _silent_problems(raw: Mapping, arms: Mapping) -> Iterator[str]:
    """Arms of the experiment that read text or audio where a table has none."""
    chosen = _list(_mapping(raw.get("experiment")).get("arms")) or Experiment().arms
    inputs = {
        name: _list(_mapping(arms.get(name)).get("inputs", ["text", "audio"])) for name in chosen
    }
    dataset = _mapping(raw.get("dataset"))
    if dataset.get("source") == "table":
        yield from _missing_inputs("dataset.table", _mapping(dataset.get("table")), inputs)
    # Arms that read text alone adapt to no corpus.
    adapted = {name: read for name, read in inputs.items() if "audio" in read}
    corpus = _mapping(_mapping(raw.get("adapt")).get("corpus"))
    if _mapping(corpus.get("columns")).get("text", "text") is None:
        yield from _missing_inputs("adapt.corpus", corpus, adapted)


def _missing_inputs(path: str, table: Mapping, inputs: Mapping[str, list]) -> Iterator[str]:
    columns = _mapping(table.get("columns"))
    for missing, other in (("audio", "text"), ("text", "audio")):
        readers = [name for name, read in inputs.items() if missing in read]
        if readers and columns.get(missing, missing) is None:
            yield (
                f"{path}.columns.{missing}: null, but these arms read {missing}: "
                f"{_names(readers)}; name the column, or run arms with inputs: [{other}]"
            )


def _readable(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        location = [part for part in item["loc"] if not _is_union_tag(part, item["loc"])]
        path = ".".join(map(str, location))
        if item["type"] == "extra_forbidden":
            nearest = _nearest(location[-1], _known_keys(item["loc"][:-1]))
            yield f"{path}: unknown key{nearest}"
        else:
            message = item["msg"][0].lower() + item["msg"][1:]
            given = item["input"]
            shown = "" if isinstance(given, Mapping | list) else f", but got {given!r}"
            yield f"{path}: {message}{shown}"


def _is_union_tag(part: str | int, location: tuple) -> bool:
    # pydantic names the chosen member of a union after the key it stands under (select.<name>).
    return len(location) > 2 and location[0] == "select" and part is location[2]


def _known_keys(location: tuple) -> list[str]:
    """The keys allowed in the section at a location that pydantic reported."""
    kind: Any = Settings
    for part in location:
        if isinstance(kind, type) and issubclass(kind, Section):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            kind = _union_member(kind, part)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, Section) else []


def _union_member(kind: Any, tag: str | int) -> Any:
    members = get_args(get_args(kind)[0]) if get_origin(kind) is Annotated else ()
    for member in members:
        if tag in get_args(member.model_fields["method"].annotation):
            return member
    return None


def _nearest(name: Any, known: Any) -> str:
    matches = difflib.get_close_matches(str(name), list(map(str, known)), n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; known here: {_names(known)}" if known else ""


def _names(known: Any) -> str:
    return ", ".join(sorted(map(str, known)))


def _mapping(value: Any) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []
