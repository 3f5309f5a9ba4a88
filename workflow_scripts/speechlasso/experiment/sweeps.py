"""Sweeps: an arm once for each value, where settings that it reads are lists."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from speechlasso.errors import InputError, did_you_mean
from speechlasso.experiment.load import arm_settings
from speechlasso.experiment.settings import Settings
from speechlasso.systems.settings import System


def swept(settings: Settings, arm: str) -> Iterator[tuple[str, Settings]]:
    """The arm's settings, once for each combination of values where settings are lists."""
    settings = arm_settings(settings, arm)
    lists = _swept_lists(settings, settings.arms[arm])
    keys = [path[-1] for path in lists]
    for values in itertools.product(*lists.values()):
        of_values = settings
        for path, value in zip(lists, values, strict=True):
            of_values = _with_value(of_values, path, value)
        pairs = [f"{key}={value:g}" for key, value in zip(keys, values, strict=True)]
        yield (f"{arm}[{','.join(pairs)}]" if pairs else arm), of_values


def single(settings: Settings, arm: str) -> Settings:
    """The settings of an arm that runs once.

    Raises
    ------
    InputError
        If there is no such arm, or it runs once for each value of a list.
    """
    if arm not in settings.arms:
        raise InputError(f"no arm is named {arm!r}{did_you_mean(arm, settings.arms)}")
    (label, of_arm), *others = swept(settings, arm)
    if others:
        raise InputError(
            f"{arm!r} runs once for each value of a list ({label}, ...); give it one value, in "
            f"arms.{arm}.override if only there"
        )
    return of_arm


def _swept_lists(settings: Settings, arm: System) -> dict[tuple[str, ...], list[float]]:
    """The lists of values among the settings that the arm reads, by their key paths."""
    select = getattr(arm, "select", None)
    paths = list(arm.sweeps)
    if select is not None:
        paths.insert(0, ("select", getattr(settings.select[select], "like", select), "alpha"))
    finetune = arm.finetune_as_read(settings.finetune)
    if schedule := arm.schedule_read(settings):
        finetune = finetune.model_copy(update={"schedule": schedule.as_read()})
    as_read = {
        "select": {name: selection.as_read() for name, selection in settings.select.items()},
        "finetune": finetune,
    }
    values = {path: _value(as_read, path) for path in paths}
    return {
        path: list(dict.fromkeys(value))
        for path, value in values.items()
        if isinstance(value, list)
    }


def _value(settings: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        settings = settings[key] if isinstance(settings, dict) else getattr(settings, key, None)
    return settings


def _with_value(settings: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy with one value replaced, at a path of sections and mappings."""
    if not path:
        return value
    key, *rest = path
    inner = _with_value(_value(settings, (key,)), tuple(rest), value)
    if isinstance(settings, dict):
        return settings | {key: inner}
    return settings.model_copy(update={key: inner})
