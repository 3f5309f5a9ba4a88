"""Mistakes in the configuration in plain words, with the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    ValidationError,
)

from speechlasso.experiment.settings import Settings
from speechlasso.section import Section


def readable_problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        location = [part for part in item["loc"] if not _is_union_tag(part, item["loc"])]
        path = ".".join(map(str, location))
        if item["type"] == "extra_forbidden":
            nearest = did_you_mean(location[-1], _known_keys(item["loc"][:-1]))
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


def did_you_mean(name: Any, known: Any) -> str:
    matches = difflib.get_close_matches(str(name), list(map(str, known)), n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; known here: {names_of(known)}" if known else ""


def names_of(known: Any) -> str:
    return ", ".join(sorted(map(str, known)))


def as_mapping(value: Any) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else []
