"""The linear baseline against scikit-learn, its options spelt out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.selection.settings import LinearClassifier
from speechlasso.systems.linear_classifier import fit_and_predict


def test_rare_classes_weigh_as_much_as_frequent_ones():
    """Each row weighs the inverse of its class's share, as if all classes were of one size."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["often", "rare"], [90, 10])
    text = rng.poisson(1.0, (100, 4)) + np.outer(labels == "rare", [1, 0, 0, 0])
    split = np.where(np.arange(100) % 5 == 0, "validation", "train")
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(100)], "label": labels, "split": split})
    empty = sp.csr_array((100, 0), dtype=np.int32)
    bow = BagOfWords(rows, empty, sp.csr_array(text), AudioFeatures(0, 0, 0), list("abcd"))
    settings = LinearClassifier(C=[0.1], weighting="counts", scaling="none")
    predictions, _ = fit_and_predict(bow, None, ["text"], settings, "macro_f1", None)

    train = split == "train"
    shares = pd.Series(labels[train]).value_counts(normalize=True)
    weights = 1 / (2 * shares[labels[train]].to_numpy())
    model = LogisticRegression(C=0.1, tol=1e-8).fit(text[train], labels[train], weights)
    np.testing.assert_allclose(
        predictions["p_rare"], model.predict_proba(text)[:, 1], rtol=1e-3, atol=1e-4
    )
    assert predictions["p_rare"].mean() > 0.3, "unweighted, it is about the class's share"
