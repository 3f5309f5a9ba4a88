"""The whole configuration of an experiment, assembled from the settings of its parts."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
)

from speechlasso.audio.settings import Audio
from speechlasso.data.settings import Dataset
from speechlasso.evaluation.settings import Evaluation
from speechlasso.features.settings import Encoder
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel
from speechlasso.section import Name, Section, Seed
from speechlasso.selection.cards import Selection, default_selections
from speechlasso.selection.settings import BagOfWords
from speechlasso.systems.cards import AnySystem, default_arms
from speechlasso.tokenizers.cards import Tokenizer
from speechlasso.tokenizers.settings import HiddenStateCodesMethod


def _each_once(seeds: list[int]) -> list[int]:
    """After 01, 1.0 and 1 became the same number."""
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"each seed once, but got {seeds}")
    return seeds


OVERRIDABLE_SECTIONS = ("encoder", "tokenizer", "bow", "select", "lm", "adapt", "finetune")


class Experiment(Section):
    name: Name = "demo"
    """Folder of the tables and the report: results/experiments/<name>/."""
    arms: Annotated[list[str], Field(min_length=1)] = [
        *("text_only", "audio_only", "lasso", "random", "bow_linear")
    ]
    """The conditions to compare, by their names under `arms`."""


class Settings(Section):
    """The whole configuration of one experiment."""

    experiment: Experiment = Experiment()
    plugins: list[str] = []
    """Modules of your own with cards of systems, selections, tokenizers or metrics: files in the
    folder where snakemake runs (`my_methods` for my_methods.py), or anything that Python can
    import."""
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_each_once)] = [1, 2]
    """One run of every arm and fold for each."""
    dataset: Dataset = Dataset()
    audio: Audio = Audio()
    encoder: Encoder = Encoder()
    """The speech model whose frames systems read; it runs once over all clips."""
    tokenizer: Tokenizer = HiddenStateCodesMethod(method="hidden_state_codes")
    """The speech tokenizer; `speechlasso tokenizers` describes each."""
    bow: BagOfWords = BagOfWords()
    select: dict[Name, Selection] = Field(default_factory=default_selections)
    """Ways to choose audio tokens, by name."""
    lm: LanguageModel = LanguageModel()
    adapt: Adapt = Adapt()
    finetune: Finetune = Finetune()
    evaluate: Evaluation = Evaluation()
    arms: dict[Name, AnySystem] = Field(default_factory=default_arms)
    """Conditions to compare, by name; experiment.arms says which ones run."""
