"""Settings of the data: where they lie, and how they are divided."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator

from speechlasso.data.text import normalised
from speechlasso.section import VALIDATION_ROWS, Section, Seed

# Planning writes down a file for each: a typing error must not take hours and all memory.
MOST = 1000
Count = Annotated[int, Field(ge=1, le=MOST)]


class DemoCorpus(Section):
    train_speakers: Count = 8
    """Voices in the training split."""
    validation_speakers: Count = 3
    """Voices in the validation split."""
    test_speakers: Count = 4
    """Voices in the test split."""
    utterances_per_speaker: Count = 40
    """Utterances of each voice."""
    seed: Seed = 1
    """Draws words, prosody and noise."""
    second_language: Literal["de", "es"] | None = None
    """Spoken by half of the training voices and all others, while the first half of the training
    voices speak English; the table then has a column language. By default all speak English."""


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
    language: str | None = None
    """Column with the language of each utterance, for finetune.schedule.target_language."""
    start: str | None = None
    """Column with the second at which the utterance starts in its clip, for utterances cut out of
    long recordings."""
    end: str | None = None
    """Column with the second at which the utterance ends in its clip."""
    more: list[str] = []
    """Further columns, kept as text under their own names: groups.csv tells the results by each."""

    @field_validator("more")
    @classmethod
    def _have_names_of_their_own(cls, names: list[str]) -> list[str]:
        taken = {*cls.model_fields, "clip"}
        for name in names:
            if normalised(name) in taken or not normalised(name):
                raise ValueError(
                    f"{name!r} cannot be kept under this name, which the results use for something "
                    "else; rename the column"
                )
        if len({*map(normalised, names)}) < len(names):
            raise ValueError("each column once")
        return names


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
    n_folds: Annotated[int, Field(ge=2, le=MOST)] = 5
    """Number of folds (stratified and grouped)."""
    choose_on: Literal["validation_rows", "inner_folds"] = "validation_rows"
    """What chooses C, epochs, thresholds and weights. validation_rows: some rows of each fold, from
    which nothing else is learned; inner_folds: all rows but the test rows, divided into parts each
    of which validates once what was learned from the others; the final fit then learns from all of
    them. Everything is done n_inner_folds + 1 times."""
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Part of a fold's training rows kept for validation (choose_on: validation_rows); whole groups
    where there are groups, unless rows are divided one by one (stratified)."""
    n_inner_folds: Annotated[int, Field(ge=2, le=MOST)] = 4
    """Number of inner folds (choose_on: inner_folds); whole groups as with validation_share."""
    seed: Seed = 1
    """Draws folds and validation parts."""
    only: list[str] | None = None
    """Run these folds alone, by name: "0", "1", ... or a group's name."""

    def as_read(self) -> Self:
        # Which folds run does not change how they are divided.
        folds = self.with_defaults("only")
        folds = folds.with_defaults("validation_share" if self.has_inner_folds else "n_inner_folds")
        has_number = self.method in ("stratified", "grouped")
        return folds if has_number else folds.with_defaults("n_folds")

    @property
    def has_inner_folds(self) -> bool:
        return self.choose_on == "inner_folds"

    @property
    def chosen_on(self) -> str:
        """In words, what chooses."""
        return f"{self.n_inner_folds} inner folds" if self.has_inner_folds else VALIDATION_ROWS


Part = Annotated[float, Field(ge=0, le=1)]


class Schedule(Section):
    scheme: Literal["text_only", "direct_mix", "curriculum"]
    """text_only: every training row as text; direct_mix: those, and some of them with speech as
    well, shuffled together; curriculum: first all as text, then those with speech."""
    speech_fraction: Part | Annotated[list[Part], Field(min_length=1)] = 0.1
    """Part of the training rows that are there with speech, each class by its share; the rows of a
    smaller part are among those of a larger one. A list runs every arm once for each."""
    target_language: str | None = None
    """Count the part among the training rows of this language alone (dataset.table.columns.language
    tells it); rows of all other languages are there with their speech."""

    def as_read(self) -> Self:
        if self.scheme != "text_only":
            return self
        return self.with_defaults("speech_fraction", "target_language")


class Dataset(Section):
    source: Literal["demo", "table"] = "demo"
    """demo: speech synthesised on the spot; table: your own recordings."""
    demo: DemoCorpus = DemoCorpus()
    """Settings of the demo corpus."""
    table: Table = Table()
    """Where your own data lie."""
    folds: Folds = Folds()
    """How utterances are divided into training, validation and test rows."""
