"""The stages of the pipeline: what each one's settings are and which version its behaviour has.

They and the keys of what it reads make its key. Raise `version` whenever a stage computes something
else from the same settings.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from speechlasso.data.recorded_clips import CLIPS
from speechlasso.data.settings import DemoCorpus, Folds, Schedule, Table
from speechlasso.evaluation.cards import METRICS, MetricName
from speechlasso.evaluation.inner_folds import is_fit
from speechlasso.evaluation.settings import Criterion
from speechlasso.features.settings import Encoder
from speechlasso.files import files_of_model
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel, SelfPowered
from speechlasso.registry import Card, origin_of
from speechlasso.section import HOW_ONLY, Section
from speechlasso.selection.cards import SELECTIONS, Selection
from speechlasso.selection.settings import BagOfWords, LassoFitting
from speechlasso.systems.cards import SYSTEMS, AnySystem, SystemCard
from speechlasso.systems.settings import CLIPS_ROLE
from speechlasso.tokenizers.cards import TOKENIZERS, Tokenizer
from speechlasso.tokenizers.settings import FromHub


class Stage(Section):
    """Settings of one stage; subclasses add the fields."""

    name: ClassVar[str]
    """Also of its rule, and of the folder of its results."""
    version: ClassVar[int] = 1
    predicts: ClassVar[bool] = False
    """Whether its folder holds predictions, which another arm may read."""
    files: ClassVar[tuple[str, ...]] = ()
    """What later stages read of it, where they read several files together."""
    shard_suffix: ClassVar[str | None] = None
    """Of the files that its results are divided into, each made by a job."""

    @property
    @abstractmethod
    def label(self) -> str:
        """How the folder's name begins."""

    def files_read(self, role: str) -> tuple[str, ...]:
        """Of its `files` those that are read in a role."""
        return self.files

    def hashed_settings(self) -> dict[str, Any]:
        """Those that are not the defaults, so that a new optional key changes no hash. Whoever
        changes a default raises the version."""
        return self.of_result().model_dump(mode="json", exclude_defaults=True)

    def data_files(self) -> dict[str, str]:
        """The user's files that the stage itself reads, by their names in spec.json.

        What they hold is part of the key. Clips are not among them: `manifest` records those.
        """
        return {}

    def models(self) -> dict[str, tuple[str, str | None]]:
        """Pretrained models that it reads, by what they are: name and revision."""
        return {}

    def cards(self) -> list[Card]:
        """Of the methods that its settings name."""
        return []

    def origin(self) -> dict[str, Any]:
        """What tells code from outside this project apart (`registry.Card.origin`)."""
        return origin_of(self.cards())


class Corpus(Stage):
    name = "demo_corpus"
    demo: DemoCorpus

    @property
    def label(self) -> str:
        return "espeak"


class Manifest(Stage):
    name = "manifest"
    version = 2
    files = ("manifest.parquet",)
    table: Table
    on_bad: str = "error"
    max_bad_share: Annotated[float, HOW_ONLY] = 0.05
    without: list[str] = []

    @property
    def label(self) -> str:
        return "table" if self.table.path else "demo"

    def files_read(self, role: str) -> tuple[str, ...]:
        return (CLIPS,) if role == CLIPS_ROLE else self.files

    def data_files(self) -> dict[str, str]:
        return {"table": self.table.path} if self.table.path else {}


class FoldDivision(Stage):
    name = "divide_folds"
    version = 2
    files = ("folds.parquet",)
    folds: Folds

    @property
    def label(self) -> str:
        return self.folds.method


class ScheduleExamples(Stage):
    name = "schedule_examples"
    files = ("examples.parquet",)
    schedule: Schedule
    fold: str
    seed: int | None = None
    """With `fold`, what the rows with speech are drawn from."""

    @property
    def label(self) -> str:
        return self.schedule.scheme


class OfTokenizer(Stage):
    tokenizer: Tokenizer

    @property
    def label(self) -> str:
        return self.tokenizer.method

    def data_files(self) -> dict[str, str]:
        return self.tokenizer.files()

    def models(self) -> dict[str, tuple[str, str | None]]:
        if not isinstance(self.tokenizer, FromHub):
            return {}
        name = self.tokenizer.model or TOKENIZERS[self.tokenizer.method].usual_model
        return {"tokenizer": (name, self.tokenizer.revision)}

    def cards(self) -> list[Card]:
        return [TOKENIZERS[self.tokenizer.method]]


class FitTokenizer(OfTokenizer):
    name = "fit_tokenizer"
    version = 3
    files = ("tokenizer.safetensors", "centroids.npy")
    fold: str

    def files_read(self, role: str) -> tuple[str, ...]:
        tokenizer, centroids = self.files
        return (centroids,) if role == "centroids" else (tokenizer,)


class Codes(OfTokenizer):
    name = "tokenize_audio"
    shard_suffix = ".parquet"


class EncodeAudio(Stage):
    """Frames of an encoder, the same in all folds."""

    name = "encode_audio"
    version = 2
    shard_suffix = ".safetensors"
    encoder: Encoder

    @property
    def label(self) -> str:
        return self.encoder.model.rstrip("/").split("/")[-1]

    def data_files(self) -> dict[str, str]:
        return self.encoder.files()

    def models(self) -> dict[str, tuple[str, str | None]]:
        if self.encoder.is_acoustic:
            return {}
        return {"encoder": (self.encoder.model, self.encoder.revision)}


class BagOfWordsCounts(Stage):
    name = "build_bow"
    version = 3
    files = ("rows.parquet", "audio_counts.npz", "text_counts.npz", "vocabulary.json")
    bow: BagOfWords
    fold: str

    @property
    def label(self) -> str:
        return "counts"


class LassoPath(Stage):
    name = "fit_path"
    version = 2
    files = ("path.parquet", "coefficients.npz")
    fitting: LassoFitting

    @property
    def label(self) -> str:
        return self.fitting.inputs


class SelectTokens(Stage):
    name = "select_tokens"
    version = 2
    files = ("selection.json",)
    selection: Selection
    criterion: Criterion = Criterion()
    seed: int | None = None
    """With `fold`, what the random control draws from."""
    fold: str | None = None
    layers: list[int] | None = None
    """Codec layers of the selection whose size this one has."""

    @property
    def label(self) -> str:
        return self.selection.method

    def cards(self) -> list[Card]:
        return [SELECTIONS[self.selection.method], self.criterion.card]


class DescribeSelection(Stage):
    name = "describe_selection"
    version = 2
    selection: Selection

    @property
    def label(self) -> str:
        return self.selection.method

    def cards(self) -> list[Card]:
        return [SELECTIONS[self.selection.method]]


class TokenTexts(Stage):
    name = "token_texts"
    files = ("token_texts.parquet",)
    inputs: list[str]
    fold: str | None = None

    @property
    def label(self) -> str:
        return "-".join(self.inputs) or "rows"


class AnswerInstructions(Stage):
    name = "answer_instructions"
    files = ("answers.parquet",)
    lm: LanguageModel
    self_powered: SelfPowered
    holdout: float
    """Share of the utterances that adaptation will not learn from."""
    splits: list[str]
    """Rows of the table of texts that are answered."""

    @property
    def label(self) -> str:
        return self.lm.name.rstrip("/").split("/")[-1]

    def data_files(self) -> dict[str, str]:
        files = files_of_model("lm", self.lm.name)
        return files | {"instructions": self.self_powered.instructions_file}

    def models(self) -> dict[str, tuple[str, str | None]]:
        return {"lm": (self.lm.name, self.lm.revision)}


class AdaptLM(Stage):
    name = "adapt_lm"
    version = 3
    files = ("rows.safetensors",)
    lm: LanguageModel
    adapt: Adapt
    seed: int
    fold: str | None = None
    """Whose validation and test rows are looked for in the corpus, if there is one."""
    by_id: bool = True
    """Whether both tables have ids to look by."""

    @property
    def label(self) -> str:
        return self.lm.name.rstrip("/").split("/")[-1]

    def data_files(self) -> dict[str, str]:
        return files_of_model("lm", self.lm.name)

    def models(self) -> dict[str, tuple[str, str | None]]:
        return {"lm": (self.lm.name, self.lm.revision)}


class Training(Stage):
    """A system learns the task."""

    arm: AnySystem
    lm: LanguageModel | None = None
    finetune: Finetune | None = None
    criterion: Criterion = Criterion()
    seed: int | None = None

    @property
    def card(self) -> SystemCard:
        return SYSTEMS[self.arm.system]

    @property
    def version(self) -> int:
        return self.card.version

    @property
    def files(self) -> tuple[str, ...]:
        return self.card.files

    def files_read(self, role: str) -> tuple[str, ...]:
        return ("training.json",) if is_fit(role) else self.files

    @property
    def label(self) -> str:
        return self.arm.system

    def data_files(self) -> dict[str, str]:
        return files_of_model("lm", self.lm.name) if self.lm else {}

    def models(self) -> dict[str, tuple[str, str | None]]:
        return {"lm": (self.lm.name, self.lm.revision)} if self.lm else {}

    def cards(self) -> list[Card]:
        return [self.card, self.criterion.card]


class FinetuneLM(Training):
    name = "finetune"


class FitLinear(Training):
    name = "fit_linear"
    predicts = True
    files = ("predictions.parquet",)


class Predict(Stage):
    name = "predict"
    version = 2
    predicts = True
    files = ("predictions.parquet",)
    system: str

    @property
    def label(self) -> str:
        return self.system

    def cards(self) -> list[Card]:
        return [SYSTEMS[self.system]]


class Evaluate(Stage):
    name = "evaluate"
    version = 3
    positive_label: str | None = None
    more_metrics: list[MetricName] = []
    """Those from outside this project; all others are always there."""

    @property
    def label(self) -> str:
        return "metrics"

    def cards(self) -> list[Card]:
        return [METRICS[name] for name in self.more_metrics]


STAGES: dict[str, type[Stage]] = {
    stage.name: stage
    for stage in (
        Corpus,
        Manifest,
        FoldDivision,
        ScheduleExamples,
        FitTokenizer,
        Codes,
        EncodeAudio,
        BagOfWordsCounts,
        LassoPath,
        SelectTokens,
        DescribeSelection,
        TokenTexts,
        AnswerInstructions,
        AdaptLM,
        FinetuneLM,
        FitLinear,
        Predict,
        Evaluate,
    )
}
