"""The stages of the pipeline: what each one's settings are and which version its behaviour has.

A stage's settings, its version and the keys of what it reads make its key (see `plan`). Raise
`version` whenever a stage computes something else from the same settings: finished results of
the old version then keep their folder and new ones get another.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from speechlasso.config import (
    HOW_ONLY,
    Adapt,
    Arm,
    BagOfWords,
    DemoCorpus,
    Finetune,
    Folds,
    LanguageModel,
    LassoFitting,
    LinearClassifier,
    Metric,
    Section,
    Selection,
    Table,
    Tokenizer,
)
from speechlasso.files import sha256
from speechlasso.tokenizers import tokenizer_files


class Stage(Section):
    """Settings of one stage; subclasses add the fields."""

    name: ClassVar[str]
    rule: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    @abstractmethod
    def label(self) -> str:
        """How the folder's name begins."""

    def hashed_settings(self) -> dict[str, Any]:
        """Settings that differ from their defaults, so that a new optional key changes no hash.

        Whoever changes a default raises the stage's version.
        """
        return self.of_result().model_dump(mode="json", exclude_defaults=True)

    def provenance(self) -> dict[str, Any]:
        """What else spec.json records of a finished job: where its results came from."""
        return {}


class Corpus(Stage):
    name, rule = "corpus", "demo_corpus"
    demo: DemoCorpus

    @property
    def label(self) -> str:
        return "espeak"


class Manifest(Stage):
    name, rule = "manifest", "manifest"
    version = 2
    table: Table
    on_bad: str = "error"
    max_bad_share: Annotated[float, HOW_ONLY] = 0.05
    without: list[str] = []

    @property
    def label(self) -> str:
        return "table" if self.table.path else "demo"


class FoldDivision(Stage):
    name, rule = "folds", "divide_folds"
    version = 2
    folds: Folds

    @property
    def label(self) -> str:
        return self.folds.method


class OfTokenizer(Stage):
    tokenizer: Tokenizer

    @property
    def label(self) -> str:
        return self.tokenizer.method

    def provenance(self) -> dict[str, Any]:
        files = tokenizer_files(self.tokenizer)
        return {"sha256": {path: sha256(path) for path in files}} if files else {}


class FitTokenizer(OfTokenizer):
    name, rule = "tokenizer", "fit_tokenizer"
    fold: str


class Codes(OfTokenizer):
    name, rule = "codes", "tokenize_audio"


class BagOfWordsCounts(Stage):
    name, rule = "bow", "build_bow"
    version = 3
    bow: BagOfWords
    fold: str

    @property
    def label(self) -> str:
        return "counts"


class LassoPath(Stage):
    name, rule = "path", "fit_path"
    version = 2
    fitting: LassoFitting

    @property
    def label(self) -> str:
        return self.fitting.inputs


class SelectTokens(Stage):
    name, rule = "select", "select_tokens"
    version = 2
    selection: Selection
    metric: Metric = "macro_f1"
    positive_label: str | None = None
    seed: int | None = None
    """With `fold`, what the random control draws from."""
    fold: str | None = None
    layers: list[int] | None = None
    """Codec layers of the selection whose size this one has."""

    @property
    def label(self) -> str:
        return self.selection.method


class DescribeSelection(Stage):
    name, rule = "description", "describe_selection"
    selection: Selection

    @property
    def label(self) -> str:
        return self.selection.method


class TokenTexts(Stage):
    name, rule = "token_texts", "token_texts"
    inputs: list[str]
    fold: str | None = None

    @property
    def label(self) -> str:
        return "-".join(self.inputs)


class AdaptLM(Stage):
    name, rule = "adapt", "adapt_lm"
    version = 3
    lm: LanguageModel
    adapt: Adapt
    seed: int

    @property
    def label(self) -> str:
        return self.lm.name.rstrip("/").split("/")[-1]


class FinetuneLM(Stage):
    name, rule = "finetune", "finetune"
    version = 2
    lm: LanguageModel
    finetune: Finetune
    metric: Metric = "macro_f1"
    positive_label: str | None = None
    seed: int

    @property
    def label(self) -> str:
        return self.finetune.method


class FitLinear(Stage):
    name, rule = "linear", "fit_linear"
    version = 2
    inputs: list[str]
    linear: LinearClassifier
    metric: Metric = "macro_f1"
    positive_label: str | None = None
    seed: int | None = None
    """Of the dummy's draws; logistic regression draws nothing."""

    @property
    def label(self) -> str:
        return "-".join(self.inputs)


class Predict(Stage):
    name, rule = "predict", "predict"

    @property
    def label(self) -> str:
        return "lm"


class Evaluate(Stage):
    name, rule = "evaluate", "evaluate"
    positive_label: str | None = None

    @property
    def label(self) -> str:
        return "metrics"


STAGES: dict[str, type[Stage]] = {
    stage.name: stage
    for stage in (
        Corpus,
        Manifest,
        FoldDivision,
        FitTokenizer,
        Codes,
        BagOfWordsCounts,
        LassoPath,
        SelectTokens,
        DescribeSelection,
        TokenTexts,
        AdaptLM,
        FinetuneLM,
        FitLinear,
        Predict,
        Evaluate,
    )
}


def reads_audio(arm: Arm) -> bool:
    return "audio" in arm.inputs
