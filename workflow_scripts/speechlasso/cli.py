"""The command `speechlasso`: looks at experiments without running them, and uses their models."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from speechlasso import __version__
from speechlasso.catalogue import add_catalogue_commands
from speechlasso.errors import InputError, is_out_of_memory, refused_by_disk
from speechlasso.experiment.compare import add_comparison
from speechlasso.experiment.out_of_memory import command_out_of_memory
from speechlasso.trained_model.commands import add_model_commands


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _require_utf8(sys.argv[1:] if arguments is None else arguments)
        status = options.command(options)
        sys.stdout.flush()
        return status
    except InputError as error:
        _tell(error, options.debug)
        return 1
    except BrokenPipeError:
        # A reader such as `head` has had enough.
        _drop_what_is_left()
        return 0
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        _tell(told, options.debug)
        _drop_what_is_left()
        return 1


def _told(error: Exception) -> InputError | None:
    """What a machine did not give, in plain words; None for any other error."""
    if is_out_of_memory(error):
        return command_out_of_memory(error)
    return refused_by_disk(error) if isinstance(error, OSError) else None


def _tell(error: InputError, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(error, file=sys.stderr)


def _drop_what_is_left() -> None:
    """At its exit Python would try once more to write what stdout did not take, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _require_utf8(arguments: Iterable[str]) -> None:
    """Other bytes arrive as lone surrogates, which no tokenizer and no file format takes."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            raise InputError(
                f"the argument '{shown}' is not UTF-8: write texts in it, and rename such files"
            ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="speechlasso",
        description="Add speech to a text language model for classification, cheaply. "
        "The experiment itself runs with: snakemake --cores all",
    )
    parser.add_argument("--version", action="version", version=f"speechlasso {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    plan = commands.add_parser(
        "plan",
        help="show every stage variant of an experiment: what is cached, what would run",
        description="Every stage variant of an experiment, its folder, the arms that need it, and "
        "its state: cached, would run, or missing but not needed, since all that was made of it is "
        "there. A table on a terminal, else tab-separated text. Beside it (on stderr) the files of "
        "yours that are watched: what reads them runs again when their SHA-256 changes, whatever "
        "their dates say. To be run in the folder of config.yaml.",
    )
    _add_configuration(plan)
    plan.set_defaults(command=show_plan)

    prune = commands.add_parser(
        "prune",
        help="list result folders that no given configuration reaches",
        description="Lists the folders of stages that neither config.yaml nor any experiment given "
        "with --configfile reaches, and their sizes. To be run in the folder of config.yaml, while "
        "no run is at work there. Folders that this workflow did not make, and what lies behind "
        "links, are never deleted.",
    )
    _add_configuration(prune)
    prune.add_argument("--delete", action="store_true", help="delete them instead of listing")
    prune.set_defaults(command=prune_results)

    add_comparison(commands)
    add_model_commands(commands)
    add_catalogue_commands(commands)

    schema = commands.add_parser("schema", help="print the configuration's JSON Schema")
    schema.set_defaults(command=print_schema)
    for command in commands.choices.values():
        command.add_argument(
            "--debug", action="store_true", help="tell also where in the program an error arose"
        )
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile",
        metavar="FILE",
        action="append",
        default=[],
        help="an experiment on top of config.yaml; may be repeated, each one its own experiment "
        "(snakemake lays several over each other)",
    )
    parser.add_argument(
        "--config",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="settings on top of each experiment, in YAML, as for snakemake: "
        "select='{lasso: {alpha: 20}}'; null is null, the word itself is written in quotes",
    )


def show_plan(options: argparse.Namespace) -> int:
    """Print a table of all variants and whether their results are there.

    Tab-separated text where no terminal reads it, so that no name is wrapped or cut.
    """
    from speechlasso.evaluation.run_predictions import how_to_make
    from speechlasso.experiment.states import NOT_NEEDED, unneeded_files

    columns = ("experiment", "rule", "folder", "used by", "state")
    plans = _plans(options.configfile or [None], options.config)
    rows = [row for plan in plans for row in _states(plan)]
    for plan in plans:
        for line in plan.watched():
            # Beside the table, which others may read.
            print(f"{plan.experiment} watches the content of {line}", file=sys.stderr)
        if files := unneeded_files(plan):
            print(
                f"{NOT_NEEDED}: all that was made of it is there; to make the first one again: "
                + how_to_make(" ".join(files[0])),
                file=sys.stderr,
            )
    if sys.stdout.isatty():
        _print_table(columns, rows)
    else:
        for row in (columns, *rows):
            print(*row, sep="\t")
    return 0


def _states(plan: Any) -> Iterator[tuple[str, ...]]:
    from speechlasso.experiment.states import states

    state_of = states(plan)
    for variants in plan.variants.values():
        for key in sorted(variants):
            variant = variants[key]
            arms = ", ".join(_arms_using(plan, variant))
            yield plan.experiment, variant.stage, variant.folder, arms, state_of[variant.folder]


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    # The brackets of lasso[alpha=8] are no markup.
    Console(markup=False, emoji=False, highlight=False).print(table)


def prune_results(options: argparse.Namespace) -> int:
    """List (or delete) folders of variants that none of the configurations plans."""
    from speechlasso.experiment.prune import delete, size, unreached_folders, why_kept
    from speechlasso.experiment.unlock import require_no_run

    if options.delete:
        require_no_run()
    # The experiments named, and always that of config.yaml.
    overlays = dict.fromkeys([None, *options.configfile])
    planned = set().union(*(plan.reached_folders() for plan in _plans(overlays, options.config)))
    sizes = []
    for folder in unreached_folders(planned):
        if reason := why_kept(folder):
            print(f"      kept     {folder}: {reason}")
            continue
        sizes.append(size(folder))
        print(f"{sizes[-1] / 1e6:10.1f} MB  {folder}")
        if options.delete:
            delete(folder)
    verb = "deleted" if options.delete else "unreached; --delete removes them"
    print(f"{len(sizes)} folders, {sum(sizes) / 1e6:.1f} MB: {verb}")
    return 0


def print_schema(options: argparse.Namespace) -> int:
    from speechlasso.experiment.load import json_schema

    print(json_schema(), end="")
    return 0


def _plans(configfiles: Iterable[str | None], config: Sequence[str]) -> list[Any]:
    """A plan for each experiment file on top of config.yaml, None being config.yaml alone."""
    from speechlasso.experiment.config_sources import read_config_file, with_command_line
    from speechlasso.experiment.load import load_settings, merged
    from speechlasso.experiment.plan import make_plan

    base = read_config_file("config.yaml")
    overlays = [read_config_file(path) if path else {} for path in configfiles]
    return [
        make_plan(load_settings(with_command_line(merged(base, overlay), config)))
        for overlay in overlays
    ]


def _arms_using(plan: Any, variant: Any) -> list[str]:
    return list(dict.fromkeys(run.arm for run in plan.runs if variant.folder in run.all_folders()))
