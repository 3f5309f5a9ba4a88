"""A small bag of words in which few tokens tell the class."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import select_by_lasso, select_random
from speechlasso.selection.settings import LassoSelection

FEATURES = AudioFeatures(first_layer=1, n_layers=2, codebook_size=10)
N = 160
LASSO = LassoSelection(method="lasso", alpha=2.0)


def make_bow(seed=0):
    """Audio token 3 (layer 1, code 3) tells class x, token 15 (layer 2, code 5) class y; word 0
    tells class z."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["x", "y", "z"], N)
    audio = rng.poisson(1.0, (N, 20))
    audio[:, 3] += 4 * (labels == "x")
    audio[:, 15] += 4 * (labels == "y")
    text = rng.poisson(0.5, (N, 6))
    text[:, 0] += 3 * (labels == "z")
    split = np.repeat(["train", "validation", "test"], [100, 30, 30])
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(N)], "label": labels, "split": split})
    return BagOfWords(
        rows, sp.csr_array(audio), sp.csr_array(text), FEATURES, [f"w{i}" for i in range(6)]
    )


same_bow = cache(make_bow)
"""For hundreds of draws from it."""


def lasso(bow, metric="macro_f1", **changes):
    """The selection of a lasso, its path fitted anew."""
    settings = LASSO.model_copy(update=changes)
    path = SelectionPath.fitted(LassoRows.of(bow, settings))
    return select_by_lasso(bow, path, settings, Criterion(metric=metric))


def drawn(n_tokens, *, layers=None, seed=1, fold="given"):
    return indices(select_random(same_bow(), n_tokens, layers=layers, seed=seed, fold=fold))


def indices(selection):
    return [token.index for token in selection.tokens]
