"""The command `speechlasso`: looks at experiments without running them, and uses their models."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from speechlasso import __version__
from speechlasso.catalogue import add_catalogue_commands
from speechlasso.errors import InputError, refused_by_disk
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
    except OSError as error:
        refused = refused_by_disk(error)
        if refused is None:
            raise
        _tell(refused, options.debug)
        _drop_what_is_left()
        return 1


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

    _add_comparison(commands)
    add_model_commands(commands)
    add_catalogue_commands(commands)

    schema = commands.add_parser("schema", help="print the configuration's JSON Schema")
    schema.set_defaults(command=print_schema)
    for command in commands.choices.values():
        command.add_argument(
            "--debug", action="store_true", help="tell also where in the program an error arose"
        )
    return parser


def _add_comparison(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare the arms of a finished experiment with one of them, within folds",
        description="Prints a Markdown table: mean scores of each arm, and the mean difference to "
        "ARM on the same test rows. Seeds of a fold are averaged first. 95 % intervals: over "
        "several folds by the corrected resampled t, over one fold by a paired bootstrap over its "
        "test rows (whole groups where known). docs/statistics.md says how far to trust them.",
    )
    compare.add_argument("runs", metavar="RUNS", help="results/experiments/NAME/runs.csv")
    compare.add_argument("arm", metavar="ARM", help="the arm to compare the others with")
    compare.add_argument("--metric", default="macro_f1", help="a score of RUNS (default: macro_f1)")
    compare.add_argument(
        "--choose",
        nargs="+",
        default=[],
        metavar="ARM",
        help="add a row: of these arms, in each fold the one with the best validation score",
    )
    compare.add_argument(
        "--average-seeds",
        nargs="+",
        default=[],
        metavar="ARM",
        help="add a row for each of these arms: the mean of its seeds' probabilities decides, at "
        "the mean of their decision thresholds where these were tuned",
    )
    compare.add_argument(
        "--plugin",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this module, from the experiment's folder or an installed one, which a metric "
        "of your own comes from; may be repeated",
    )
    compare.set_defaults(command=print_comparison)


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


def print_comparison(options: argparse.Namespace) -> int:
    """Print a table of arms with their distance to one of them."""
    from speechlasso.evaluation.comparison import compare_arms
    from speechlasso.evaluation.summary import chosen_on_inner_folds

    runs, test_rows = _compared(options)
    found = compare_arms(runs, options.arm, options.metric, test_rows)
    columns = ["arm", "folds", "validation", "test", "sd over seeds", f"test, minus {options.arm}"]
    rows = [
        (
            row.arm,
            str(row.n),
            f"{row.validation:.3f}",
            _with_margin(row.test, row.test_margin),
            "" if row.seed_sd != row.seed_sd else f"{row.seed_sd:.3f}",
            _with_margin(row.difference, row.difference_margin, sign="+"),
        )
        for row in found.itertuples()
    ]
    print(_markdown(columns, rows))
    methods = ", ".join(method for method in found["interval"].unique() if method)
    print(f"\n±: half of the 95 % interval, {methods}" if methods else "\nNo interval: one fold.")
    for sentence in chosen_on_inner_folds(runs):
        print(sentence)
    return 0


def _compared(options: argparse.Namespace) -> tuple[Any, dict[tuple[str, str, str], Any]]:
    """All runs to compare, and the test rows of those of a single fold."""
    import pandas as pd

    from speechlasso.evaluation.cards import METRICS, not_usual
    from speechlasso.evaluation.run_predictions import modules_of_metrics, read_test_rows
    from speechlasso.evaluation.seed_average import with_seeds_averaged
    from speechlasso.evaluation.summary import chosen_among, read_table
    from speechlasso.experiment.plugins import not_imported, use_plugins

    path = Path(options.runs)
    runs = read_table(path)
    if missing := {"arm", "fold", "seed", "split", options.metric} - set(runs):
        raise InputError(f"{path}: no column {', '.join(sorted(missing))}; is it a runs.csv?")
    if unknown := {*options.choose, *options.average_seeds} - set(runs["arm"]):
        arms = ", ".join(runs["arm"].unique())
        raise InputError(f"{path}: no arm {', '.join(sorted(unknown))}; the arms are {arms}")
    is_one_fold = runs["fold"].nunique() == 1
    added, test_rows = [], {}
    if is_one_fold or options.average_seeds or options.metric not in METRICS:
        index = read_table(path.with_name("index.tsv"))
        # Folders in the index start from that of results/experiments/NAME/.
        root = path.resolve().parent.parent.parent.parent
    if options.metric not in METRICS:
        modules = modules_of_metrics(index.to_dict("records")[0], root)
        if others := [name for name in modules if name not in options.plugin]:
            what = f"{path}: the metric {options.metric!r}"
            raise InputError(not_imported(what, "the experiment", others))
        use_plugins(options.plugin, root)
    if is_one_fold:
        test_rows = read_test_rows(index, root)
    if options.choose:
        added.append(chosen_among(runs, options.choose, options.metric))
    for arm in options.average_seeds:
        of_arm, of_rows = with_seeds_averaged(index, arm, root, not_usual([options.metric]))
        added.append(of_arm)
        test_rows |= of_rows
    return pd.concat([runs, *added], ignore_index=True), test_rows


def _markdown(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table whose columns are aligned, as wide as it is, terminal or not."""
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table

    table = Table(box=MARKDOWN)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(width=1000, markup=False, emoji=False)
    with console.capture() as printed:
        console.print(table)
    # Without rich's empty first and last line.
    return "\n".join(line for line in printed.get().splitlines() if line.strip())


def _with_margin(value: float, margin: float, sign: str = "") -> str:
    if value != value:
        return ""
    return f"{value:{sign}.3f}" + ("" if margin != margin else f" ± {margin:.3f}")


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
