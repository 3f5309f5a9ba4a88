"""Lasso against the published recipe, at the published sizes, in the same run.

    PYTHONPATH=workflow_scripts python bench/lasso.py [--problem binary multinomial]

makes bags of words and audio tokens of the published sizes, weighs them as the method does, and
fits each recipe in a process of its own, on one thread. It prints a table, and as the last line one
JSON object with the same numbers. Takes some minutes, nearly all of them SAGA's.

The published recipe is scikit-learn's SAGA with 1,000 iterations (arXiv 2512.07571). Objective and
duality gap of every recipe are those of the same problem, intercept without penalty, taken by
`speechlasso.lasso.fit.certify`; liblinear minimises another one, with the intercept penalised.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from speechlasso.lasso.fit import certify, fit_lasso, lasso_path

N_LAYERS, N_CODES = 8, 1024
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Problem:
    """Size of a published problem and its penalty."""

    name: str
    n_rows: int
    n_features: int
    shares: tuple[float, ...]
    """Share of the rows of each class."""
    frames: float
    """Median length of the audio of a row, in frames."""
    C: float
    recipes: tuple[str, ...]


PROBLEMS = (
    Problem("binary", 10_720, 17_287, (0.83, 0.17), 350, 0.0025, ("saga", "liblinear")),
    Problem("multinomial", 775, 11_694, (0.6, 0.15, 0.1, 0.06, 0.05, 0.04), 350, 0.03, ("saga",)),
)


def make_data(problem: Problem, seed: int) -> tuple[sp.csr_array, np.ndarray]:
    """Weighted bags of audio tokens and words, and labels that both depend on."""
    rng = np.random.default_rng(seed)
    n_classes = len(problem.shares)
    speakers = rng.integers(40, size=problem.n_rows)
    # Some speakers are of some classes more often, as in debates.
    lean = np.log(problem.shares) + rng.normal(0, 0.1, (40, n_classes))
    labels = (lean[speakers] + rng.gumbel(size=(problem.n_rows, n_classes))).argmax(axis=1)
    labels[:n_classes] = np.arange(n_classes)
    n_words = problem.n_features - N_LAYERS * N_CODES
    counts = sp.hstack(
        [
            *_audio_tokens(problem, speakers, labels, rng),
            _words(problem.n_rows, n_words, labels, rng),
        ],
        format="csr",
    )
    weighted = TfidfTransformer().fit_transform(counts.astype(np.float64))
    return sp.csr_array(StandardScaler(with_mean=False).fit_transform(weighted)), labels


def _audio_tokens(problem, speakers, labels, rng):
    """Per codec layer: codes of unequal frequency, which speakers shift much and classes little."""
    n_frames = rng.lognormal(np.log(problem.frames), 0.7, problem.n_rows).astype(int) + 20
    for _ in range(N_LAYERS):
        log_rates = rng.normal(0, 1, N_CODES) + rng.normal(0, 0.7, (speakers.max() + 1, N_CODES))
        effects = rng.normal(0, 0.08, (labels.max() + 1, N_CODES))
        effects *= rng.random(N_CODES) < 0.3
        rates = np.exp(log_rates[speakers] + effects[labels])
        yield sp.csr_array(rng.multinomial(n_frames, rates / rates.sum(axis=1, keepdims=True)))


def _words(n_rows, n_words, labels, rng):
    """Words by Zipf's law, each present somewhere; half of those neither very frequent nor rare
    tell classes apart."""
    effects = rng.normal(0, 0.6, (labels.max() + 1, n_words))
    rank = np.arange(n_words)
    effects *= (rng.random(n_words) < 0.5) & (rank > 30) & (rank < 3000)
    rates = np.exp(effects) / (rank + 1) ** 1.05
    edges = np.cumsum(rates, axis=1) / rates.sum(axis=1, keepdims=True)
    lengths = 3 + rng.poisson(20 * rng.lognormal(0, 0.7, n_rows))
    rows = np.repeat(np.arange(n_rows), lengths)
    words = np.concatenate(
        [
            np.searchsorted(edges[label, :-1], rng.random(length))
            for label, length in zip(labels, lengths, strict=True)
        ]
    )
    # Long texts hold more of the words that occur once.
    once = np.setdiff1d(np.arange(n_words), words)
    rows = np.append(rows, rng.choice(n_rows, once.size, p=lengths / lengths.sum()))
    words = np.append(words, once)
    return sp.csr_array((np.ones(rows.size), (rows, words)), shape=(n_rows, n_words))


def measure(recipe: str, folder: str, C: float) -> dict:
    """Time and peak memory of one recipe, in a fresh process, and the quality of its result."""
    features = sp.csr_array(sp.load_npz(Path(folder) / "features.npz"))
    labels = np.load(Path(folder) / "labels.npy")
    started = time.perf_counter()
    lasso_path(features[:50], labels[:50], n_alphas=3)
    first_call = time.perf_counter() - started
    resident = _memory("VmRSS")

    started = time.perf_counter()
    coef, intercept, alpha = RECIPES[recipe](features, labels, C)
    seconds = time.perf_counter() - started
    peak = _memory("VmHWM")

    matrix = features.data.nbytes + features.indices.nbytes + features.indptr.nbytes
    certificate = certify(features, labels, alpha, coef, intercept)
    importance = abs(coef).sum(axis=0)
    return {
        "seconds": seconds,
        "objective": certificate.primal,
        "gap": certificate.relative_gap,
        "nonzero": int((importance > 0).sum()),
        "selected": int((importance >= importance.mean()).sum()),
        "peak_memory_mb": peak / 1e6,
        "matrices": 1 + max(peak - resident, 0) / matrix,
        "first_call_seconds": first_call,
    }


def _memory(field: str) -> int:
    """Bytes of this process now resident (VmRSS) or at most resident so far (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", status)[1])


def _scikit_learn(solver, features, labels, C):
    model = LogisticRegression(
        l1_ratio=1,
        solver=solver,
        max_iter=1000,
        C=C,
        class_weight="balanced",
        random_state=42,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    return model.coef_, model.intercept_, 1 / C


def _lasso(features, labels, C):
    fit = fit_lasso(features, labels, 1 / C, class_weight="balanced")
    return fit.coef, fit.intercept, fit.alpha


def _path(features, labels, C):
    """Fifty fits down to alpha_max / 100; the one with the widest gap is reported."""
    fits = lasso_path(features, labels, class_weight="balanced")
    worst = max(fits, key=lambda fit: fit.duality_gap)
    return worst.coef, worst.intercept, worst.alpha


RECIPES = {
    "saga": partial(_scikit_learn, "saga"),
    "liblinear": partial(_scikit_learn, "liblinear"),
    "lasso": _lasso,
    "lasso_path": _path,
}


def run(problem: Problem, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        features, labels = make_data(problem, seed)
        sp.save_npz(Path(folder) / "features.npz", features, compressed=False)
        np.save(Path(folder) / "labels.npy", labels)
        result = {
            "n_rows": problem.n_rows,
            "n_features": problem.n_features,
            "nonzeros_per_row": features.nnz / problem.n_rows,
            "C": problem.C,
        }
        del features
        # The first process compiles; the others find the compiled code on disk.
        os.environ |= {"NUMBA_CACHE_DIR": str(Path(folder) / "numba"), **ONE_THREAD}
        for recipe in ("lasso", "lasso_path", *problem.recipes):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                result[recipe] = process.submit(measure, recipe, folder, problem.C).result()
    result["compile_seconds"] = (
        result["lasso"]["first_call_seconds"] - result["lasso_path"]["first_call_seconds"]
    )
    result["ratio"] = result["saga"]["seconds"] / result["lasso"]["seconds"]
    result["path_ratio"] = result["saga"]["seconds"] / result["lasso_path"]["seconds"]
    return result


def table(results: dict) -> str:
    header = (
        f"{'problem':12} {'recipe':10} {'seconds':>8} {'objective':>11} {'gap':>8} "
        f"{'nonzero':>7} {'selected':>8} {'peak MB':>8} {'matrices':>8} {'SAGA /':>7}"
    )
    lines = [header]
    for name, result in results.items():
        for recipe in RECIPES:
            if recipe in result:
                row = result[recipe]
                lines.append(
                    f"{name:12} {recipe:10} {row['seconds']:8.2f} {row['objective']:11.3f} "
                    f"{row['gap']:8.1e} {row['nonzero']:7d} {row['selected']:8d} "
                    f"{row['peak_memory_mb']:8.0f} {row['matrices']:8.2f} "
                    f"{result['saga']['seconds'] / row['seconds']:7.1f}"
                )
        lines.append(
            f"{name:12} compiling, once per installation: {result['compile_seconds']:.1f} s"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [problem.name for problem in PROBLEMS]
    parser.add_argument("--problem", nargs="+", choices=names, default=names)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results = {
        problem.name: run(problem, arguments.seed)
        for problem in PROBLEMS
        if problem.name in arguments.problem
    }
    print(table(results))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
