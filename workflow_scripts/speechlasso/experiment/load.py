"""From the raw configuration to settings, or to one message that lists every mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import (
    ValidationError,
)

from speechlasso.errors import InputError
from speechlasso.experiment.checks import cross_problems
from speechlasso.experiment.messages import as_list, as_mapping, readable_problems
from speechlasso.experiment.moved_keys import moved_problems
from speechlasso.experiment.plugins import use_plugins
from speechlasso.experiment.settings import OVERRIDABLE_SECTIONS, Settings


def load_settings(raw: Mapping[str, Any]) -> Settings:
    """Validate a raw configuration.

    Raises
    ------
    InputError
        Listing every mistake with its key path.
    """
    use_plugins(name for name in as_list(raw.get("plugins")) if isinstance(name, str))
    moved = {_path_of(problem): problem for problem in moved_problems(raw)}
    others = [*_schema_problems(raw), *cross_problems(raw)]
    # A key that moved is not named again as an unknown one.
    others = [problem for problem in others if _path_of(problem) not in moved]
    problems = list(dict.fromkeys([*moved.values(), *others]))
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        advice = "Correct these keys; config.yaml explains each one."
        raise InputError.listing(f"The configuration has {count}:", problems, advice)
    return Settings.model_validate(raw)


def json_schema() -> str:
    """JSON Schema of the configuration, for editors that check and complete YAML."""
    return json.dumps(Settings.model_json_schema(), indent=2) + "\n"


def arm_settings(settings: Settings, arm_name: str) -> Settings:
    """The settings that hold for one arm: the experiment's with the arm's override on top."""
    override = settings.arms[arm_name].override
    return Settings.model_validate(merged(settings.model_dump(), override))


# Where a mapping is the settings of one of several methods, and the key that says which one.
METHOD_KEYS = {("tokenizer",): "method", ("select", "*"): "method", ("arms", "*"): "system"}


def merged(
    base: Mapping[str, Any], override: Mapping[str, Any], path: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A deep merge: mappings are merged key by key, anything else is replaced.

    So are the settings of a tokenizer, a selection or an arm by those of another method: they are
    none of that method's, even where both have keys of the same name.

    Parameters
    ----------
    path
        Keys above both mappings.
    """
    result = dict(base)
    for key, value in override.items():
        below, here = result.get(key), (*path, key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        if both and not _of_another_method(below, value, here):
            value = merged(below, value, here)
        result[key] = value
    return result


def _of_another_method(base: Mapping, override: Mapping, path: tuple[str, ...]) -> bool:
    key = METHOD_KEYS.get(path) or METHOD_KEYS.get((*path[:-1], "*"))
    return key in base and key in override and base[key] != override[key]


def _path_of(problem: str) -> str:
    return problem.partition(": ")[0]


def _schema_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    try:
        settings = Settings.model_validate(raw).model_dump()
    except ValidationError as error:
        yield from readable_problems(error)
        return
    for name, arm in as_mapping(raw.get("arms")).items():
        yield from _override_problems(settings, name, as_mapping(arm).get("override", {}))


def _override_problems(settings: Mapping[str, Any], arm: str, override: Any) -> Iterator[str]:
    path = f"arms.{arm}.override"
    for section in as_mapping(override):
        if section not in OVERRIDABLE_SECTIONS:
            allowed = ", ".join(OVERRIDABLE_SECTIONS)
            yield f"{path}.{section}: an arm can override these sections only: {allowed}"
            return
    try:
        Settings.model_validate(merged(settings, override))
    except ValidationError as error:
        yield from (f"{path}.{problem}" for problem in readable_problems(error))
