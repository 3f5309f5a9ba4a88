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
    "finetune.linear": ("arms.NAME", "for arms with system: bow_linear (its method is classifier)"),
}
# Values that are written otherwise now.
RENAMED = {
    ("arms.*.classifier", "lm"): "system: token_lm",
    ("arms.*.classifier", "linear"): "system: bow_linear",
    ("select.*.method", "frequency_lasso"): "method: lasso, frequency_exponent: 0.5",
}


def moved_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """A message for each key that has moved, in the configuration and in overrides of its arms, and
    for each value that has another name."""
    overrides = {
        f"arms.{name}.override.": as_mapping(as_mapping(arm).get("override"))
        for name, arm in as_mapping(raw.get("arms")).items()
    }
    for above, config in {"": raw, **overrides}.items():
        for pattern, (place, condition) in MOVED.items():
            for path, value in _found(config, pattern.split(".")):
                keys = [f"{above}{place}.{key}" for key in as_mapping(value)] or [place]
                yield f"{above}{path}: moved; write {', '.join(keys)} {condition}"
    for (pattern, old), new in RENAMED.items():
        for path, value in _found(raw, pattern.split(".")):
            if value == old:
                yield f"{path}: {old} is now written {new}"


def _found(config: Mapping[str, Any], pattern: list[str]) -> Iterator[tuple[str, Any]]:
    """The paths that match, and what stands there."""
    key, *rest = pattern
    for name in config if key == "*" else {key} & config.keys():
        if not rest:
            yield name, config[name]
        for path, value in _found(as_mapping(config[name]), rest) if rest else ():
            yield f"{name}.{path}", value
