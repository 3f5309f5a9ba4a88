"""Late fusion: the weighted mean of the class probabilities of other arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator

from speechlasso.evaluation.inner_folds import predictions_role
from speechlasso.section import Name
from speechlasso.systems.settings import Reads, System


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("each arm once")
    return names


class LateFusion(System):
    system: Literal["late_fusion"]
    """The weighted mean of the class probabilities of other arms."""
    arms: Annotated[list[Name], Field(min_length=2, max_length=6), AfterValidator(_each_once)]
    """The arms to fuse, whether or not experiment.arms names them; none may sweep a list of
    values. The validation metric chooses their weights."""

    @field_validator("override")
    @classmethod
    def _reads_no_section(cls, override: dict[str, Any]) -> dict[str, Any]:
        if override:
            raise ValueError("a fusion reads no section; override those of the arms that it fuses")
        return override

    @property
    def roles(self) -> list[str]:
        return [f"arm_{number}" for number in range(1, len(self.arms) + 1)]

    def as_read(self) -> Self:
        # The predictions behind the names are upstream, and their keys say more.
        return super().as_read().model_copy(update={"arms": self.roles})

    def reads(self, artifacts: Any) -> Reads:
        predictions = map(artifacts.predictions_of, self.arms)
        upstream = dict(zip(self.roles, predictions, strict=True))
        for number, inner in enumerate(artifacts.inner_folds()):
            upstream |= {
                predictions_role(number, role): inner.predictions_of(arm)
                for role, arm in zip(self.roles, self.arms, strict=True)
            }
        return Reads(upstream, chooses=True, draws=False)

    def predicts_by(self, arms: Mapping[str, System]) -> set[str]:
        return set().union(*(arms[name].predicts_by(arms) for name in self.arms))
