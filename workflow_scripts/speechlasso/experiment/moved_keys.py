"""Keys of earlier configurations that stand elsewhere now, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from speechlasso.experiment.messages import as_mapping

# Where a key or a section stood (* is any name) -> where it, or what it holds, is written now, and
# what else must be so.
MOVED = {
    "tokenizer.spectral_rvq": ("tokenizer", "beside method: spectral_rvq"),
    "tokenizer.ssl_units": ("tokenizer", "beside method: ssl_units"),
}


def moved_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """A message for each key that has moved, in the configuration and in overrides of its arms."""
    overrides = {
        f"arms.{name}.override.": as_mapping(as_mapping(arm).get("override"))
        for name, arm in as_mapping(raw.get("arms")).items()
    }
    for above, config in {"": raw, **overrides}.items():
        for pattern, (place, condition) in MOVED.items():
            for path, value in _found(config, pattern.split(".")):
                keys = [f"{above}{place}.{key}" for key in as_mapping(value)] or [place]
                yield f"{above}{path}: moved; write {', '.join(keys)} {condition}"


def _found(config: Mapping[str, Any], pattern: list[str]) -> Iterator[tuple[str, Any]]:
    """The paths that match, and what stands there."""
    key, *rest = pattern
    for name in config if key == "*" else {key} & config.keys():
        if not rest:
            yield name, config[name]
        for path, value in _found(as_mapping(config[name]), rest) if rest else ():
            yield f"{name}.{path}", value
