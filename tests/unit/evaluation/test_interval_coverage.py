"""In simulated corpora 95 % intervals hold the truth that often, and verdicts raise few alarms."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench"


@pytest.fixture(scope="module")
def benches():
    """The modules of bench/ that simulate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield {name: importlib.import_module(name) for name in ("intervals", "verdicts")}
    for name in ("intervals", "verdicts"):
        del sys.modules[name]


@pytest.fixture
def intervals(benches):
    return benches["intervals"]


@pytest.mark.slow
def test_over_folds_the_corrected_t_covers_and_folds_times_seeds_do_not(intervals):
    design = intervals.Design("small", 20, 15, 0.5, n_folds=5, n_seeds=5)
    table = intervals.coverage(design, n_corpora=200)
    for quantity in ("score", "difference"):
        assert table.loc["**corrected t over folds**", quantity] >= 0.93
        assert table.loc["t over folds x seeds", quantity] < 0.80


@pytest.mark.slow
def test_over_one_test_part_speakers_are_the_unit(intervals):
    design = intervals.Design("small", 14, 20, 0.5, 1, n_test_speakers=6, n_seeds=2, seed_sd=0.3)
    table = intervals.coverage(design, n_corpora=200)
    assert table.loc["bootstrap over speakers, t", "score"] >= 0.93
    assert table.loc["percentile bootstrap over speakers", "score"] < 0.90


@pytest.mark.slow
def test_over_one_test_part_every_printed_interval_covers(intervals, monkeypatch):
    monkeypatch.setattr(intervals, "N_OTHERS", 200)
    design = intervals.Design("small", 20, 20, 0.5, 1, n_test_speakers=8, seed_sd=0.3)
    table = intervals.coverage_of_scores(design, n_corpora=60)
    # 95 % of 60 corpora are known to 2.8 points: the least of eighteen is two or three such below.
    assert (table[["score", "difference"]] >= 0.88).all(axis=None)
    assert (table[["score", "difference"]].mean() >= 0.93).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "divided", [{"n_folds": 5, "n_test_speakers": 0}, {"n_folds": 1, "n_test_speakers": 8}]
)
def test_where_arms_are_equally_good_few_verdicts_say_otherwise(benches, divided):
    design = benches["intervals"].Design("small", 20, 20, 0.5, n_seeds=2, seed_sd=0.3, **divided)
    shares = benches["verdicts"].false_alarms(design, n_corpora=100)
    assert shares["holm"] <= 0.1
    # Five comparisons on one part without correction: 18 % and more.
    assert divided["n_folds"] > 1 or shares["alone"] > 0.1
    assert shares["equal 0.01"] < 0.05 and shares["equal 0.05"] >= shares["equal 0.02"]
