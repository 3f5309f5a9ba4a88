"""How often 95 % intervals hold the true score, and how wide they are.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow_scripts python bench/intervals.py

Each simulated corpus has utterances of three classes as Gaussian features, moved by a shift of each
speaker's own; a nearest-mean classifier is trained and scored on it, by accuracy. Over folds the
truth is the expected score of a training on such a corpus (the mean over all simulated corpora);
over one test part it is the score of the very models, on 800 other speakers; that this truth is not
quite sure either costs a tenth of a point of coverage at most. The second classifier reads five of
the eight features; the differences are between the two. Of one part all scores are looked at, by
the functions that make the tables. It prints Markdown tables; docs/statistics.md keeps them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from speechlasso.evaluation.bootstrap import TestRows, resample_weights
from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.statistics import (
    Estimate,
    Statistics,
    bootstrap_error,
    fold_error,
    margin_of,
)

N_CLASSES, N_FEATURES = 3, 8
N_OTHERS = 800
"""Speakers that tell what a model truly scores."""
FEATURES = {"score": slice(0, 8), "other": slice(0, 5)}
Interval = Callable[[np.ndarray, "Design"], tuple[float, float]]


@dataclass(frozen=True)
class Design:
    """A kind of corpus, and how it is divided."""

    name: str
    n_speakers: int
    rows_each: int
    speaker_sd: float
    """Of the speakers' shifts; the classes' means have 0.5, the rows 1."""
    n_folds: int
    """1: the last `n_test_speakers` are the test part; else whole speakers in each fold."""
    n_test_speakers: int = 0
    n_seeds: int = 3
    seed_sd: float = 0.0
    """Of the noise that a seed adds to the trained means; 0: seeds are copies."""

    @property
    def speakers(self) -> np.ndarray:
        return np.repeat(np.arange(self.n_speakers), self.rows_each)

    @property
    def folds(self) -> np.ndarray:
        """The fold that tests each row; -1 trains only."""
        if self.n_folds == 1:
            return np.where(self.speakers >= self.n_speakers - self.n_test_speakers, 0, -1)
        return self.speakers % self.n_folds

    @property
    def test_to_train(self) -> float:
        n_test = np.mean([(self.folds == fold).sum() for fold in range(self.n_folds)])
        return n_test / (len(self.folds) - n_test)


CLASS_MEANS = np.random.default_rng(5).normal(0, 0.5, (N_CLASSES, N_FEATURES))


def draw(
    rng: np.random.Generator, design: Design, n_speakers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n_rows, N_FEATURES) and classes (n_rows,) of so many speakers."""
    classes = rng.integers(N_CLASSES, size=n_speakers * design.rows_each)
    return draw_rows(rng, design, classes), classes


def draw_rows(rng: np.random.Generator, design: Design, classes: np.ndarray) -> np.ndarray:
    """Features of rows of these classes, speaker by speaker."""
    n_speakers = len(classes) // design.rows_each
    shifts = rng.normal(0, design.speaker_sd, (n_speakers, N_FEATURES))
    rows = CLASS_MEANS[classes] + rng.normal(size=(len(classes), N_FEATURES))
    return rows + np.repeat(shifts, design.rows_each, axis=0)


def trained(rng: np.random.Generator, rows: np.ndarray, classes: np.ndarray, design: Design):
    """Class means of each seed's model, (n_seeds, N_CLASSES, N_FEATURES)."""
    means = np.stack([rows[classes == one].mean(axis=0) for one in range(N_CLASSES)])
    return means + rng.normal(0, design.seed_sd, (design.n_seeds, *means.shape))


def right(models: np.ndarray, rows: np.ndarray, classes: np.ndarray, used: slice) -> np.ndarray:
    """Whether each seed's model is right about each row, (n_seeds, n_rows)."""
    means = models[:, :, used]
    scores = np.einsum("rf,scf->src", rows[:, used], means) - (means**2).sum(axis=2)[:, None] / 2
    return scores.argmax(axis=2) == classes


def simulate(rng: np.random.Generator, design: Design) -> tuple[dict, dict]:
    """One corpus: what is right, (n_seeds, n_test_rows), and the models' own true scores."""
    rows, classes = draw(rng, design, design.n_speakers)
    found = {name: np.zeros((design.n_seeds, len(rows))) for name in FEATURES}
    truth = {}
    for fold in range(design.n_folds):
        test = design.folds == fold
        models = trained(rng, rows[~test], classes[~test], design)
        for name, used in FEATURES.items():
            found[name][:, test] = right(models, rows[test], classes[test], used)
        if design.n_folds == 1:
            new = draw(rng, design, N_OTHERS)
            truth = {name: right(models, *new, used).mean() for name, used in FEATURES.items()}
    tested = design.folds >= 0
    found = {name: values[:, tested] for name, values in found.items()}
    found["difference"] = found["score"] - found["other"]
    if truth:
        truth["difference"] = truth["score"] - truth["other"]
    return found, truth


def by_fold(values: np.ndarray, design: Design) -> np.ndarray:
    """Scores of each seed and fold, (n_seeds, n_folds)."""
    folds = design.folds[design.folds >= 0]
    return np.stack([values[:, folds == f].mean(axis=1) for f in range(design.n_folds)], axis=1)


def by_speaker(values: np.ndarray, design: Design) -> np.ndarray:
    """Mean scores of each speaker, seeds averaged; all have equally many rows."""
    return values.mean(axis=0).reshape(-1, design.rows_each).mean(axis=1)


@cache
def weights(n_units: int) -> np.ndarray:
    return np.concatenate(list(resample_weights(n_units)))


def resampled(units: np.ndarray) -> np.ndarray:
    """Means of the resamples of units, as `bootstrap.resampled_scores` draws them."""
    return weights(len(units)) @ units / len(units)


def around(mean: float, error: float, n_units: int) -> tuple[float, float]:
    margin = margin_of(error, n_units)
    return mean - margin, mean + margin


def naive(values: np.ndarray, design: Design) -> tuple[float, float]:
    scores = by_fold(values, design).ravel()
    return around(scores.mean(), fold_error(scores, 0.0), len(scores))


def plain(values: np.ndarray, design: Design) -> tuple[float, float]:
    scores = by_fold(values, design).mean(axis=0)
    return around(scores.mean(), fold_error(scores, 0.0), len(scores))


def corrected(values: np.ndarray, design: Design) -> tuple[float, float]:
    scores = by_fold(values, design).mean(axis=0)
    return around(scores.mean(), fold_error(scores, design.test_to_train), len(scores))


def percentile_rows(values: np.ndarray, design: Design) -> tuple[float, float]:
    return tuple(np.quantile(resampled(values.mean(axis=0)), [0.025, 0.975]))


def percentile_speakers(values: np.ndarray, design: Design) -> tuple[float, float]:
    return tuple(np.quantile(resampled(by_speaker(values, design)), [0.025, 0.975]))


def t_rows(values: np.ndarray, design: Design) -> tuple[float, float]:
    rows = values.mean(axis=0)
    return around(rows.mean(), bootstrap_error(resampled(rows), len(rows)), len(rows))


def t_speakers(values: np.ndarray, design: Design) -> tuple[float, float]:
    speakers = by_speaker(values, design)
    error = bootstrap_error(resampled(speakers), len(speakers))
    return around(speakers.mean(), error, len(speakers))


def mixed_model(values: np.ndarray, design: Design) -> tuple[float, float]:
    """A random effect of the speaker: with equal numbers of rows the variance of the grand mean is
    the mean square between speakers over all rows (one-way analysis of variance)."""
    speakers = by_speaker(values, design)
    between = design.rows_each * speakers.var(ddof=1)
    error = np.sqrt(between / (design.rows_each * len(speakers)))
    return around(speakers.mean(), error, len(speakers))


METHODS: dict[str, Interval] = {
    "t over folds x seeds": naive,
    "t over folds, seeds averaged": plain,
    "**corrected t over folds**": corrected,
    "percentile bootstrap over rows": percentile_rows,
    "percentile bootstrap over speakers": percentile_speakers,
    "bootstrap over rows, t": t_rows,
    "bootstrap over speakers, t": t_speakers,
    "mixed model, random speakers": mixed_model,
}
OF_FOLDS = [*METHODS][:5] + [*METHODS][6:]
OF_ONE_PART = [*METHODS][3:]

SCORES = (
    *("accuracy", "macro_f1", "weighted_f1", "uar", "positive_f1", "loss", "ece"),
    *("average_precision", "roc_auc"),
)
DESIGNS = [
    Design("10 speakers alike, one left out, seeds copies", 10, 40, 0.0, 10),
    Design("10 speakers alike, one left out, seeds differ", 10, 40, 0.0, 10, seed_sd=0.3),
    Design("10 speakers differ, one left out, seeds copies", 10, 40, 0.5, 10),
    Design("20 speakers differ, five folds, five copies of a seed", 20, 20, 0.5, 5, n_seeds=5),
    Design("200 rows, five folds, five copies of a seed", 200, 1, 0.0, 5, n_seeds=5),
    Design("one part: 4 of 12 speakers test, alike", 12, 40, 0.0, 1, 4, seed_sd=0.3),
    Design("one part: 4 of 12 speakers test, they differ", 12, 40, 0.5, 1, 4, seed_sd=0.3),
    Design("one part: 10 of 30 speakers test, they differ", 30, 40, 0.5, 1, 10, seed_sd=0.3),
]
OF_SCORES = DESIGNS[5:]


def coverage(design: Design, n_corpora: int, seed: int = 0) -> pd.DataFrame:
    """Share of corpora whose interval holds the truth, and the intervals' mean half width.

    Returns
    -------
    pandas.DataFrame
        A row per method: score, score_width, difference, difference_width, and refit, the coverage
        of the score of training anew where the truth is that of the very models.
    """
    rng = np.random.default_rng(seed)
    corpora = [simulate(rng, design) for _ in range(n_corpora)]
    names = OF_ONE_PART if design.n_folds == 1 else OF_FOLDS
    table = pd.DataFrame(index=pd.Index(names, name=design.name))
    for quantity in ("score", "difference"):
        expected = np.mean([found[quantity].mean() for found, _ in corpora])
        truths = np.array([truth.get(quantity, expected) for _, truth in corpora])
        for name in names:
            ends = np.array([METHODS[name](found[quantity], design) for found, _ in corpora])
            table.loc[name, quantity] = holds(ends, truths)
            table.loc[name, f"{quantity}_width"] = np.diff(ends, axis=1).mean() / 2
            if quantity == "score" and design.n_folds == 1:
                table.loc[name, "refit"] = holds(ends, expected)
    return table


def holds(ends: np.ndarray, truth: np.ndarray | float) -> float:
    """Of those intervals that there are: where all units score the same, there is none."""
    there = ~np.isnan(ends[:, 0])
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1]))[there].mean())


def predicted(
    models: np.ndarray, rows: np.ndarray, classes: np.ndarray, used: slice, speakers=None
) -> TestRows:
    """What class means say of rows: how likely each class is, all being equally frequent."""
    distances = ((rows[:, None, used] - models[0][:, used]) ** 2).sum(axis=2)
    likelihood = np.exp(-(distances - distances.min(axis=1, keepdims=True)) / 2)
    names = [f"class {one}" for one in range(N_CLASSES)]
    table = pd.DataFrame({"id": range(len(rows)), "split": "test"})
    table["label"] = np.array(names)[classes]
    probabilities = likelihood / likelihood.sum(axis=1, keepdims=True)
    return TestRows(predictions_frame(table, probabilities, names), speakers, names[0])


def scored(rows: TestRows) -> pd.Series:
    return pd.Series(evaluate(rows.predictions, rows.positive_label)["splits"]["test"])[[*SCORES]]


def estimates(parts: dict[str, TestRows]) -> dict[tuple[str, str], Estimate]:
    """What the tables print of both classifiers on a test part."""
    one = {"fold": "0", "seed": "0", "split": "test"}
    runs = pd.DataFrame([{"arm": name, **one, **scored(part)} for name, part in parts.items()])
    found = Statistics(runs, {(name, "0", "0"): part for name, part in parts.items()})
    return {("score", name): found.score("score", name) for name in SCORES} | {
        ("difference", name): found.difference("score", "other", name) for name in SCORES
    }


def coverage_of_scores(design: Design, n_corpora: int, seed: int = 0) -> pd.DataFrame:
    """Of each score on one test part: how often the printed interval holds what the very model has
    on other speakers, and the mean half width; columns as in `coverage`."""
    rng = np.random.default_rng(seed)
    test, speakers = design.folds == 0, design.speakers[design.folds == 0]
    found = {quantity: ([], []) for quantity in product(("score", "difference"), SCORES)}
    for _ in range(n_corpora):
        rows, classes = draw(rng, design, design.n_speakers)
        models = trained(rng, rows[~test], classes[~test], design)
        others = draw(rng, design, N_OTHERS)
        parts, truth = {}, {}
        for name, used in FEATURES.items():
            parts[name] = predicted(models, rows[test], classes[test], used, speakers)
            truth[name] = scored(predicted(models, *others, used))
        truth["difference"] = truth["score"] - truth["other"]
        for (quantity, name), estimate in estimates(parts).items():
            ends, truths = found[quantity, name]
            ends.append(estimate.interval)
            truths.append(truth[quantity][name])
    table = pd.DataFrame(index=pd.Index(SCORES, name=design.name))
    for (quantity, name), (ends, truths) in found.items():
        table.loc[name, quantity] = holds(np.array(ends), np.array(truths))
        table.loc[name, f"{quantity}_width"] = np.nanmean(np.diff(ends, axis=1)) / 2
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=int, default=2000, help="of each kind (default: 2000)")
    n_corpora = parser.parse_args().corpora
    for design in DESIGNS:
        print(f"\n{markdown(coverage(design, n_corpora))}", flush=True)
    for design in OF_SCORES:
        print(f"\n{markdown(coverage_of_scores(design, n_corpora))}", flush=True)


def markdown(table: pd.DataFrame) -> str:
    with_refit = "refit" in table
    columns = ["score: covers", "half width", "difference: covers", "half width"]
    columns += ["score of training anew: covers"] * with_refit
    lines = [f"| {table.index.name} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for row in table.itertuples():
        cells = [f"{row.score:.1%}", f"{row.score_width:.3f}"]
        cells += [f"{row.difference:.1%}", f"{row.difference_width:.3f}"]
        if with_refit:
            cells.append(f"{row.refit:.1%}")
        lines.append(f"| {row.Index} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
