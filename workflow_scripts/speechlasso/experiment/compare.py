"""The command `speechlasso compare`: tables of finished experiments, and how sure they are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from speechlasso.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from speechlasso.evaluation.comparison_tables import Table
    from speechlasso.evaluation.finished import Finished

FORMATS = ("text", "markdown", "latex", "csv")


def add_comparison(commands: Any) -> None:
    """Add it to the subcommands of argparse."""
    compare = commands.add_parser(
        "compare",
        help="print the arms of finished experiments, and how sure their differences are",
        description="Of one experiment: mean scores of each arm, and the mean difference to a "
        "reference arm on the same test rows. Of several: their arms side by side, and each arm in "
        "one of them against the same arm in the first, paired where folds and ids of the test "
        "rows agree. Seeds of a fold are averaged first. 95 % intervals: over several folds by the "
        "corrected resampled t, over one fold by a paired bootstrap over its test rows (whole "
        "groups where known). docs/statistics.md says how far to trust them.",
        epilog="Example: speechlasso compare demo --reference lasso --metric uar",
    )
    compare.add_argument(
        "experiments",
        metavar="EXPERIMENT",
        nargs="+",
        help="its name under results/experiments/, its folder or its runs.csv",
    )
    compare.add_argument(
        "--reference",
        metavar="ARM",
        help="the arm to compare the others with (default: that of the experiment's verdicts, "
        "else the first arm that reads text alone, else the first one)",
    )
    compare.add_argument(
        "--metric", help="a score of runs.csv (default: that of the verdicts, else macro_f1)"
    )
    compare.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="of the tables (default: %(default)s); csv has all digits, and one table alone",
    )
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


def print_comparison(options: argparse.Namespace) -> int:
    """Print tables of one experiment's arms, or of those of several."""
    from speechlasso.evaluation.comparison_tables import as_notes

    experiments = _opened(options.experiments)
    metric = options.metric or experiments[0].metric
    _require_arms(experiments, [*options.choose, *options.average_seeds], options.reference)
    experiments = [_prepared(experiment, metric, options) for experiment in experiments]
    compared = {each.name: _compared(each, metric, options.reference) for each in experiments}
    pairs, unpaired = _across(experiments, metric)
    if options.format == "csv":
        _table_for_programs(compared, pairs).to_csv(sys.stdout, index=False)
        return 0
    tables, sentences = _tables(experiments, metric, compared, pairs)
    print("\n\n".join(table.render(options.format).strip() for table in tables))
    notes = [*_methods(compared, pairs), *sentences, *unpaired, *_chosen_on(experiments)]
    print(as_notes(notes, options.format))
    return 0


def _compared(experiment: Finished, metric: str, reference: str | None) -> pd.DataFrame:
    """As `compare_arms` returns it, with the columns experiment and reference."""
    from speechlasso.evaluation.comparison import compare_arms

    # Of several experiments some may lack it.
    reference = reference if reference in experiment.arms else experiment.reference
    found = compare_arms(experiment.runs, reference, metric, experiment.rows)
    return found.assign(experiment=experiment.name, reference=reference)


def _tables(
    experiments: Sequence[Finished],
    metric: str,
    compared: Mapping[str, pd.DataFrame],
    pairs: pd.DataFrame | None,
) -> tuple[list[Table], list[str]]:
    """Tables for people, and the sentences of verdicts."""
    from speechlasso.evaluation.comparison_tables import arms_of_one, between, side_by_side

    title = f"{metric} of the test rows"
    if len(experiments) == 1:
        (experiment,), (found,) = experiments, compared.values()
        by_arm, sentences = _verdicts(experiment, metric, found["reference"].iloc[0])
        title = f"{experiment.name}: {title}, {experiment.design}"
        return [arms_of_one(found, title, by_arm)], sentences
    tables = side_by_side(compared, title)
    if pairs is not None:
        first = f"The same arm in other experiments, minus {experiments[0].name}"
        tables.append(between(pairs, first))
    return tables, []


def _verdicts(
    experiment: Finished, metric: str, reference: str
) -> tuple[dict[str, str], list[str]]:
    """The verdict on each arm, and what it says in one paragraph."""
    from speechlasso.evaluation.pairing import verdicts_on

    try:
        found = verdicts_on(experiment, metric, reference)
    except InputError as error:
        # Scores and their differences are there all the same.
        return {}, [f"No verdicts: {error}"]
    told = ["\n".join(f"- {line}" for line in found["sentence"])] if len(found) else []
    return dict(zip(found["arm"], found["verdict"], strict=True)), told


def _methods(compared: Mapping[str, pd.DataFrame], pairs: pd.DataFrame | None) -> Iterator[str]:
    """How the intervals of each experiment are made."""
    found = {name: [m for m in table["interval"].unique() if m] for name, table in compared.items()}
    if not any(found.values()):
        yield "No interval: one fold."
        return
    if pairs is not None:
        found["between them"] = [method for method in pairs["interval"].unique() if method]
    told = {name: ", ".join(methods) or "none" for name, methods in found.items()}
    if len(set(told.values())) == 1:
        told = {"": next(iter(told.values()))}
    yield "±: half of the 95 % interval, " + "; ".join(
        f"{name}: {method}" if name else method for name, method in told.items()
    )


def _chosen_on(experiments: Sequence[Finished]) -> list[str]:
    from speechlasso.evaluation.summary import chosen_on_inner_folds

    return list(dict.fromkeys(line for e in experiments for line in chosen_on_inner_folds(e.runs)))


def _table_for_programs(
    compared: Mapping[str, pd.DataFrame], pairs: pd.DataFrame | None
) -> pd.DataFrame:
    """A row for each experiment and arm; minus_first is the difference to the first experiment."""
    import pandas as pd

    table = pd.concat(compared.values(), ignore_index=True)
    table = table[["experiment", *(name for name in table if name != "experiment")]]
    if pairs is None:
        return table
    keys = ["arm", "experiment"]
    between = pairs.drop(columns="n").set_index(keys).add_prefix("minus_first_").reset_index()
    between = between.rename(columns={"minus_first_difference": "minus_first"})
    between = between.rename(columns={"minus_first_difference_margin": "minus_first_margin"})
    return table.merge(between, on=keys, how="left")


def _opened(names: Sequence[str]) -> list[Finished]:
    from speechlasso.evaluation.finished import open_experiment

    found: list[Finished] = []
    for name in names:
        try:
            experiment = open_experiment(name)
        except InputError:
            if not any(name in each.arms for each in found):
                raise
            raise InputError(
                f"{name!r} is no experiment but an arm; name it by --reference: "
                f"speechlasso compare {names[0]} --reference {name}"
            ) from None
        if any(experiment.path.samefile(each.path) for each in found):
            raise InputError(f"{name}: named twice; compare it with another experiment")
        found.append(experiment)
    if len({each.name for each in found}) < len(found):
        # Of several projects.
        return [replace(each, name=name) for each, name in zip(found, names, strict=True)]
    return found


def _require_arms(
    experiments: Sequence[Finished], named: Sequence[str], reference: str | None
) -> None:
    """See that some experiment has each arm that is named."""
    known = {arm: None for each in experiments for arm in each.arms}
    if unknown := {*named, *([reference] if reference else [])} - set(known):
        raise InputError(
            f"{', '.join(str(each.path) for each in experiments)}: no arm "
            f"{', '.join(sorted(unknown))}; the arms are {', '.join(known)}"
        )


def _prepared(experiment: Finished, metric: str, options: argparse.Namespace) -> Finished:
    """With the arms that options add, and the test rows of those of a single fold."""
    import pandas as pd

    from speechlasso.evaluation.cards import METRICS, not_usual
    from speechlasso.evaluation.run_predictions import modules_of_metrics
    from speechlasso.evaluation.seed_average import with_seeds_averaged
    from speechlasso.evaluation.summary import chosen_among
    from speechlasso.experiment.plugins import not_imported, use_plugins

    experiment.require_score(metric)
    if metric not in METRICS:
        modules = modules_of_metrics(experiment.index.to_dict("records")[0], experiment.root)
        if others := [name for name in modules if name not in options.plugin]:
            what = f"{experiment.path}: the metric {metric!r}"
            raise InputError(not_imported(what, "the experiment", others))
        use_plugins(options.plugin, experiment.root)
    experiment = experiment.with_test_rows()
    added, rows = [experiment.runs], experiment.rows
    if choices := [arm for arm in options.choose if arm in experiment.arms]:
        added.append(chosen_among(experiment.runs, choices, metric))
    for arm in options.average_seeds:
        if arm in experiment.arms:
            of_arm, of_rows = with_seeds_averaged(
                experiment.index, arm, experiment.root, not_usual([metric])
            )
            added.append(of_arm)
            rows = rows | of_rows
    return replace(experiment, runs=pd.concat(added, ignore_index=True), rows=rows)


def _across(experiments: Sequence[Finished], metric: str) -> tuple[pd.DataFrame | None, list[str]]:
    """Each arm of the others against the same arm of the first one; and why some have no pairs."""
    from speechlasso.evaluation.pairing import pair_table, why_unpaired

    alike, sentences = [], []
    first, *others = experiments
    for other in others:
        if not set(first.arms) & set(other.arms):
            sentences.append(f"{first.name} and {other.name} have no arm in common.")
        elif reason := why_unpaired(first, other):
            sentences.append(
                f"{first.name} and {other.name} cannot be paired: {reason}. Their scores stand "
                "side by side, but their differences have no interval."
            )
        else:
            alike.append(other)
    return (pair_table(first, alike, metric) if alike else None), sentences
