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

from speechlasso.errors import InputError, refused_by_disk
from speechlasso.experiment.load import merged

_MOST_VALUES = 100_000


class _Unambiguous:
    """Of a loader: refuses what YAML allows but no configuration means."""

    def construct_document(self, node: yaml.Node) -> Any:
        _n_values(node, (), {})
        return super().construct_document(node)


def _n_values(node: yaml.Node, above: tuple[yaml.Node, ...], known: dict[yaml.Node, int]) -> int:
    """How many values a node has once aliases are followed, each key standing there once."""
    if node in above:
        raise _refused("this stands within itself, by its alias", node)
    if node in known or isinstance(node, yaml.ScalarNode):
        return known.get(node, 1)
    inner = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else [pair])]
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and keys.count(key.value) > 1:
                raise _refused(f"the key {key.value!r} stands there twice; leave out one", key)
    known[node] = 1 + sum(_n_values(part, (*above, node), known) for part in inner)
    if known[node] > _MOST_VALUES:
        raise _refused(f"more than {_MOST_VALUES} values, by its aliases", node)
    return known[node]


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


class _Configuration(_Unambiguous, yaml.SafeLoader):
    """Values as YAML has them."""


class _TextsAndNulls(_Unambiguous, yaml.BaseLoader):
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
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; give its path from the folder of config.yaml, where "
            "speechlasso is to be run"
        ) from None
    except OSError as error:
        raise refused_by_disk(error, path) or error from None
    config = _read(content, _Configuration, str(path))
    if not isinstance(config, Mapping | None):
        kind = type(config).__name__
        raise InputError(f"{path}: expected sections such as `experiment:`, but it is a {kind}")
    return dict(config or {})


def _parsed(argument: str) -> dict[str, Any]:
    key, equals, value = argument.partition("=")
    if not equals:
        raise InputError(f"--config {argument}: expected KEY=VALUE, such as 'seeds=[1, 2]'")
    # Quotes around the whole value are the shell's; Snakemake takes them off as well.
    # The loader makes texts and nulls alone, never objects.
    content = value.strip("'\"").encode(errors="surrogateescape")
    return {key: _read(content, _TextsAndNulls, f"--config {argument}")}


def _read(content: bytes, loader: type, where: str) -> Any:
    """What stands in a file, or in an argument of the command line."""
    try:
        return yaml.load(content.decode("utf-8-sig"), Loader=loader)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save it as UTF-8"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    except RecursionError:
        problem = "its brackets stand in each other too deeply"
    except (yaml.YAMLError, ValueError, LookupError) as error:  # of numbers and dates, no place
        problem = " ".join(str(error).split())
    raise InputError(
        f"{where}: not valid YAML: {problem}. Correct it there; config.yaml shows how keys and "
        "values are written."
    ) from None
