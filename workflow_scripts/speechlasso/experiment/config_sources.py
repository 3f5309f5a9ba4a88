"""Where a configuration comes from: YAML files, and KEY=VALUE on the command line.

`snakemake --config` reads each VALUE as YAML in which every scalar is text, so that `null` arrives
as a word. Both commands read it here instead: scalars stay text, which the settings turn into
numbers where they want some (a fold `01` keeps its zero), but an unquoted `null`, `~` or nothing is
null, as in a file; a class of that name is written in quotes. They lay files over each other here
as well, since Snakemake would mix the settings of two methods (`load.merged`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from speechlasso.errors import InputError
from speechlasso.experiment.load import merged


class _TextsAndNulls(yaml.BaseLoader):
    """Every scalar is text, apart from null."""


_NULL = "tag:yaml.org,2002:null"
_TextsAndNulls.add_implicit_resolver(
    _NULL, re.compile("^(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_TextsAndNulls.add_constructor(_NULL, lambda loader, node: None)


def laid_over(
    merged_elsewhere: Mapping[str, Any], own: Sequence[str | Path], overlays: Sequence[str | Path]
) -> Mapping[str, Any]:
    """The configuration of a workflow's own files with a user's files on top.

    Parameters
    ----------
    merged_elsewhere
        What holds where the workflow reads no file of its own, as a module of another workflow.
    """
    if not own:
        return merged_elsewhere
    return reduce(merged, (read_config_file(path) for path in (*own, *overlays)))


def with_command_line(config: Mapping[str, Any], arguments: Iterable[str]) -> dict[str, Any]:
    """A configuration with the settings of `--config` on top, later ones over earlier ones.

    Raises
    ------
    InputError
        For an argument that is not KEY=VALUE, or a VALUE that is not YAML.
    """
    config = dict(config)
    for argument in arguments:
        config = merged(config, _parsed(argument))
    return config


def read_config_file(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; nothing for an empty file.

    Raises
    ------
    InputError
        When there is no such file, or it holds anything else.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; run speechlasso in the folder of the Snakefile")
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(config, Mapping | None):
        kind = type(config).__name__
        raise InputError(f"{path}: expected sections such as `experiment:`, but it is a {kind}")
    return dict(config or {})


def _parsed(argument: str) -> dict[str, Any]:
    key, equals, value = argument.partition("=")
    if not equals:
        raise InputError(f"--config {argument}: expected KEY=VALUE, such as 'seeds=[1, 2]'")
    try:
        # Quotes around the whole value are the shell's; Snakemake takes them off as well.
        # The loader makes texts and nulls alone, never objects.
        return {key: yaml.load(value.strip("'\""), Loader=_TextsAndNulls)}
    except yaml.YAMLError as error:
        raise InputError(f"--config {argument}: the value is not valid YAML: {error}") from error
