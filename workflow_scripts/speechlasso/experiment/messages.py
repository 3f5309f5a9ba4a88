"""Mistakes in the configuration in plain words, with the nearest known name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import (
    ValidationError,
)

from speechlasso.errors import did_you_mean
from speechlasso.experiment.settings import Settings
from speechlasso.registry import UNKNOWN_NAME, OneOf
from speechlasso.section import Section

# What pydantic puts into a path where a value may be of several types, or a key itself is wrong.
_NO_KEY = re.compile(r"constrained-\w+$|list\[.*\]$|\[key\]$")


def readable_problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        *above, last = item["loc"]
        path, section, one_of = _followed(above)
        key_path = ".".join(str(part) for part in [*path, last] if not _NO_KEY.match(str(part)))
        if item["type"] == "extra_forbidden":
            elsewhere = _methods_with(last, one_of)
            unknown = f"unknown key{did_you_mean(last, _keys_of(section))}"
            yield f"{key_path}: {elsewhere or unknown}"
        elif item["type"] == "missing":
            yield f"{key_path}: missing: {_in_a_sentence(section.descriptions()[last])}"
        elif item["type"] in ("union_tag_invalid", "union_tag_not_found"):
            one_of = _within(section, last)
            name = as_mapping(item["input"]).get(one_of.key)
            yield f"{key_path}.{one_of.key}: {one_of.registry.unknown(name)}"
        elif item["type"] == UNKNOWN_NAME:
            yield f"{key_path}: {item['msg']}"
        else:
            given = item["input"]
            shown = "" if isinstance(given, Mapping | list) else f", but got {given!r}"
            yield f"{key_path}: {_in_a_sentence(item['msg'])}{shown}"


def _followed(location: Iterable[str | int]) -> tuple[list[str | int], Any, OneOf | None]:
    """The key path without the names of methods that pydantic puts into it, what kind of thing
    stands there, and which methods it is one of."""
    path, kind, one_of = [], Settings, None
    for part in location:
        if isinstance(kind, OneOf):
            one_of, kind = kind, kind.registry[part].settings
        else:
            path.append(part)
            one_of, kind = None, _within(kind, part)
    return path, kind, one_of


def _methods_with(key: str | int, one_of: OneOf | None) -> str:
    """Which other methods have a key that this one lacks, if any."""
    cards = one_of.registry.cards() if one_of else []
    names = [card.name for card in cards if key in card.settings.model_fields]
    return f"not a key of this {one_of.key}, but of {', '.join(names)}" if names else ""


def _in_a_sentence(text: str) -> str:
    return (text[0].lower() + text[1:]).removesuffix(".")


def _within(kind: Any, key: str | int) -> Any:
    """What kind of thing stands under a key: a section, a mapping of them, one of several."""
    if isinstance(kind, type) and issubclass(kind, Section):
        field = kind.model_fields.get(key)
        return field and _one_of(field.metadata, _not_null(field.annotation))
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        return _one_of(getattr(inner, "__metadata__", ()), inner)
    return None


def _one_of(metadata: Iterable[Any], otherwise: Any) -> Any:
    return next((found for found in metadata if isinstance(found, OneOf)), otherwise)


def _not_null(kind: Any) -> Any:
    """What stands there unless it is null."""
    return get_args(kind)[0] if isinstance(kind, UnionType) else kind


def _keys_of(kind: Any) -> list[str]:
    return list(getattr(kind, "model_fields", ()))


def as_mapping(value: Any) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list:
    return value if isinstance(value, list) else []


def as_name(value: Any) -> Any:
    """What a name may be looked up by, whatever stands in its place."""
    return repr(value) if isinstance(value, Mapping | list | set) else value
