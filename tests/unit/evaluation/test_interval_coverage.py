"""What the project prints as a 95 % interval holds the truth that often, in simulated corpora."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench/intervals.py"


@pytest.fixture(scope="module")
def intervals():
    spec = importlib.util.spec_from_file_location("bench_intervals", BENCH)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
