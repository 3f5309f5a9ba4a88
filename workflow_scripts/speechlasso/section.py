"""What all settings have in common: unknown keys are mistakes, and types that several share."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema

Share = Annotated[float, Field(ge=0, lt=1)]


PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


# What NumPy, scikit-learn and torch all take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


SPLITS = ("train", "validation", "test")


INPUTS = ("text", "audio")


HOW_ONLY = "how a job computes"


VALIDATION_ROWS = "validation rows"


class Section(BaseModel):
    """A mapping of the configuration file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """What stands below each key in the source, by key.

        Read when asked for: pydantic would read it in each process, as long as all else that
        planning imports takes together.
        """
        sections = [kind for kind in reversed(cls.__mro__) if issubclass(kind, Section)]
        found = {name: text for kind in sections for name, text in _docstrings(kind)}
        return {key: found[key] for key in cls.model_fields if key in found}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        described = handler.resolve_ref_schema(handler(schema))
        for key, text in cls.descriptions().items():
            described["properties"][key]["description"] = text
        return described

    def as_read(self) -> Self:
        """A copy with all that is not read at its default: this alone says what changes a key."""
        return self

    def with_defaults(self, *keys: str) -> Self:
        """A copy with some settings at their defaults."""
        return self.model_copy(update={key: _default(type(self), key) for key in keys})

    def of_result(self) -> Self:
        """A copy with the settings marked `HOW_ONLY` at their defaults."""
        others = {name: value.of_result() for name, value in self if isinstance(value, Section)}
        others |= {name: _default(type(self), name) for name in self._how_only()}
        return self.model_copy(update=others) if others else self

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
    @cache
    def _how_only(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if HOW_ONLY in field.metadata]


def _docstrings(section: type[Section]) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(dedent(inspect.getsource(section))).body
    for key, text in pairwise(definition.body):
        match key, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str() as words)):
                yield name, inspect.cleandoc(words)


def _default(section: type[Section], key: str) -> Any:
    return section.model_fields[key].get_default(call_default_factory=True)


def ordered(names: tuple[str, ...]) -> AfterValidator:
    """Each name once and in one order: the order in which a user names them changes nothing."""
    return AfterValidator(lambda given: [name for name in names if name in given])


ORDERED_NUMBERS = AfterValidator(lambda given: given if given is None else sorted(set(given)))
