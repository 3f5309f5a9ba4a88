"""How often verdicts are wrong where there is nothing to find.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow_scripts python bench/verdicts.py

On the simulated corpora of bench/intervals.py arms are compared that are equally good: each has the
same four features and four more of its own, drawn alike, as if all read the same words and other
tokens. Every arm that is called better or worse than the first is a false alarm. It prints a
Markdown table; docs/statistics.md keeps it.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from intervals import (
    DESIGNS,
    FEATURES,
    Design,
    by_fold,
    by_speaker,
    draw,
    draw_rows,
    resampled,
    right,
    trained,
)

from speechlasso.evaluation.statistics import CONFIDENCE, LEVEL, bootstrap_error, fold_error
from speechlasso.evaluation.verdicts import holm, p_value, probabilities

N_ARMS = 6
MARGINS = (0.01, 0.02, 0.05)
LARGE = Design("one part: 40 of 80 speakers test, 150 rows each", 80, 150, 0.5, 1, 40, 1, 0.3)


def equal_arms(rng: np.random.Generator, design: Design) -> np.ndarray:
    """What each of `N_ARMS` arms is right about, (N_ARMS, n_seeds, n_test_rows), on one corpus.

    Over folds each arm learns from its own features, so that they are equally good on average; over
    one part what was learned from the first is used on all, so that the very models are.
    """
    rows, classes = draw(rng, design, design.n_speakers)
    of_arms = []
    for arm in range(N_ARMS):
        own = draw_rows(rng, design, classes) if arm else rows
        of_arms.append(np.hstack([rows[:, :4], own[:, 4:]]))
    found = np.zeros((N_ARMS, design.n_seeds, len(rows)))
    for fold in range(design.n_folds):
        test = design.folds == fold
        for arm, own in enumerate(of_arms):
            if arm == 0 or design.n_folds > 1:
                models = trained(rng, own[~test], classes[~test], design)
            found[arm][:, test] = right(models, own[test], classes[test], FEATURES["score"])
    return found[:, :, design.folds >= 0]


def difference_of(values: np.ndarray, design: Design) -> tuple[float, float, int]:
    """A mean difference, its standard error and the number of units, as the project finds them."""
    if design.n_folds > 1:
        folds = by_fold(values, design).mean(axis=0)
        return folds.mean(), fold_error(folds, design.test_to_train), len(folds)
    units = by_speaker(values, design)
    return units.mean(), bootstrap_error(resampled(units), len(units)), len(units)


def false_alarms(design: Design, n_corpora: int, seed: int = 0) -> pd.Series:
    """Of equally good arms, each against the first.

    Returns
    -------
    pandas.Series
        alone: share of corpora in which any p value is below `LEVEL`; holm: after correction;
        equal <margin>: share of arms that are called practically equal, alarms or not.
    """
    rng = np.random.default_rng(seed)
    alone, corrected, equal = [], [], []
    for _ in range(n_corpora):
        reference, *arms = equal_arms(rng, design)
        found = [difference_of(arm - reference, design) for arm in arms]
        p_values = np.array([p_value(*each) for each in found])
        alone.append(p_values.min() < LEVEL)
        corrected.append(holm(p_values).min() < LEVEL)
        chances = [[probabilities(*each, margin)[1] for margin in MARGINS] for each in found]
        equal.append((np.array(chances) >= CONFIDENCE).mean(axis=0))
    shares = zip(MARGINS, np.mean(equal, axis=0), strict=True)
    return pd.Series(
        {"alone": np.mean(alone), "holm": np.mean(corrected)}
        | {f"equal {margin}": share for margin, share in shares},
        name=design.name,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=int, default=1000, help="of each kind (default: 1000)")
    n_corpora = parser.parse_args().corpora
    equal = [f"practically equal within {margin:g}" for margin in MARGINS]
    columns = [f"{N_ARMS} equally good arms", "any p < 0.05", "after Holm", *equal]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for design in (*DESIGNS, LARGE):
        shares = false_alarms(design, n_corpora)
        print(f"| {design.name} | {' | '.join(f'{each:.1%}' for each in shares)} |", flush=True)


if __name__ == "__main__":
    main()
