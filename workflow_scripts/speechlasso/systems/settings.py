"""What every arm has in common, whichever system it names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, field_validator

from speechlasso.data.settings import Schedule
from speechlasso.errors import InputError
from speechlasso.language_model.settings import Finetune, LanguageModel, Transcription
from speechlasso.section import INPUTS, ORDERED_NUMBERS, Section, ordered

USED_BY_RULES = frozenset(("specs", "data"))
"""Names of inputs of the training rules beside the roles that a system names."""

CLIPS_ROLE = "clips"
"""In which a system that hears clips itself reads the manifest that has recorded them."""


@dataclass(frozen=True)
class Reads:
    """What a system learns the task from, beside its own settings.

    Attributes
    ----------
    upstream
        Artifacts by their role, as methods of `pipeline.artifacts.Artifacts` return them; any roles
        but `specs` and `data`, which the rules use.
    sections
        Sections of the configuration as the system reads them: lm, finetune.
    chooses
        Whether it chooses something by the metric on validation rows or, where there are none, by
        what it reads of inner folds (`Artifacts.inner_fits`, `Artifacts.inner_predictions`).
    positive_label
        Whether it asks which class is the positive one, whatever the metric.
    draws
        Whether it draws anything, and so reads the seed.
    """

    upstream: dict[str, Any]
    sections: dict[str, Section] = field(default_factory=dict)
    chooses: bool = False
    positive_label: bool = False
    draws: bool = True

    def __post_init__(self) -> None:
        if taken := sorted(USED_BY_RULES & self.upstream.keys()):
            raise InputError(
                f"a system cannot read anything as {' or '.join(taken)}, a name that its rule uses "
                "by itself; choose another role"
            )


FINETUNE_SWEEPS = (
    ("finetune", "learning_rate"),
    ("finetune", "lora", "rank"),
    ("finetune", "schedule", "speech_fraction"),
)
"""`System.sweeps` of a system that is fine-tuned; of them those count that it reads."""


class System(Section):
    """An arm: a system with its settings. Each system adds a key `system` and its own keys."""

    sweeps: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Key paths of settings outside the arm that may be lists, each value making a run."""
    reads_audio: ClassVar[bool] = False
    """Whether it reads audio itself, not only what another arm made of it."""

    override: dict[str, Any] = {}
    """Settings of this arm alone, as sections: {lm: {...}, finetune: {...}, ...}."""

    def as_read(self) -> Self:
        # Sections are overridden before anything reads them.
        return self.with_defaults("override")

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        """The section `finetune` with all that the system does not read at its default."""
        return finetune.as_read(self.reads_audio)

    @abstractmethod
    def reads(self, artifacts: Any) -> Reads:
        """What the system reads of an experiment's artifacts (`pipeline.artifacts.Artifacts`)."""

    def schedule_read(self, settings: Any) -> Schedule | None:
        """The schedule (`finetune.schedule` of these settings) if the system reads one."""
        return None

    def predicts_from(self, artifacts: Any) -> dict[str, Any]:
        """What it predicts from, by role, where that is not what it has learned from."""
        return {}

    def predicts_by(self, arms: Mapping[str, System]) -> set[str]:
        """Of text and audio what it decides by, itself or through other arms."""
        return {"audio"} if self.reads_audio else set()


class SystemOfInputs(System):
    """A system that reads words, audio or both."""

    has_schedule: ClassVar[bool] = False
    """Whether `finetune.schedule` says what it learns from, where it reads words and audio."""

    inputs: Annotated[list[Literal[INPUTS]], Field(min_length=1), ordered(INPUTS)] = [*INPUTS]
    """What the classifier reads."""

    @property
    def reads_audio(self) -> bool:
        return "audio" in self.inputs

    def predicts_by(self, arms: Mapping[str, System]) -> set[str]:
        return set(self.inputs)

    def schedule_read(self, settings: Any) -> Schedule | None:
        reads_both = len(self.inputs) == len(INPUTS)
        return settings.finetune.schedule if self.has_schedule and reads_both else None


class SystemOfTokens(SystemOfInputs):
    """A system that reads audio as the tokens of a selection."""

    select: str | None = None
    """Which selection under `select` gives the audio tokens."""

    def as_read(self) -> Self:
        # The selection behind the name is upstream, and its key says more.
        return super().as_read().with_defaults("select")


class SystemOfVectors(SystemOfInputs):
    """A system whose language model reads audio as vectors made of a speech encoder's frames."""

    layers: Annotated[
        list[Annotated[int, Field(ge=0)]] | None, Field(min_length=1), ORDERED_NUMBERS
    ] = None
    """Whose hidden states to sum, among those that the encoder keeps; by default all."""
    reduction: PositiveInt = 8
    """Frames that become one vector: 8 of 50 a second make 6.25 vectors a second."""
    transcription: Transcription = Transcription()
    """How the vectors learn to be read, before the task."""

    @field_validator("inputs")
    @classmethod
    def _hears(cls, inputs: list[str]) -> list[str]:
        return hearing(inputs)

    def finetune_as_read(self, finetune: Finetune) -> Finetune:
        # Nothing of what is said of audio tokens and their rows.
        return finetune.model_copy(update={"method": "lora"}).as_read(reads_audio=False)

    def learned_from(self, artifacts: Any, transcribes: bool) -> dict[str, Any]:
        """Words and frames, by role.

        Raises
        ------
        InputError
            If it transcribes, but there are no words.
        """
        if transcribes and not artifacts.has_text:
            raise InputError(
                f"arms.{artifacts.arms[-1]}: the system {self.system} learns to transcribe, but "
                "dataset.table.columns.text is null; name the column, or use system: learned with "
                "curriculum: none"
            )
        read = ["text"] if transcribes or "text" in self.inputs else []
        return {
            "token_texts": artifacts.token_texts(read, None),
            "frames": artifacts.frames(f"{self.system}'s layers", self.layers),
        }


def hearing(inputs: list[str]) -> list[str]:
    """The inputs of a system that is of no use without audio."""
    if "audio" not in inputs:
        raise ValueError("this system reads audio; for text alone name system: token_lm")
    return inputs


def reads_to_finetune(
    arm: System, artifacts: Any, upstream: dict[str, Any], lm: LanguageModel | None = None
) -> Reads:
    """What a system reads that is fine-tuned as the section `finetune` says.

    Parameters
    ----------
    upstream
        What it learns from, by role; what inner folds choose by is added.
    lm
        The language model as the system reads it, if it has one.
    """
    finetune = arm.finetune_as_read(artifacts.settings.finetune)
    return Reads(
        upstream | artifacts.choosing(arm, finetune),
        sections=({"lm": lm} if lm else {}) | {"finetune": finetune},
        chooses=finetune.chooses,
        positive_label=True,  # whose threshold may be tuned
    )
