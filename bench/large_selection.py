"""Whether a lasso on a million utterances is certified, in which time and memory.

    PYTHONPATH=workflow_scripts python bench/large_selection.py [--rows 1000000]

makes counts of 8,192 audio tokens, of which each utterance has 64, as many as the default tokenizer
gives it; a hundred of them tell something of its class. Then it fits the path of alphas, chooses
tokens and prints how long each took, the duality gap, how many of the hundred were kept, and the
most memory of the process. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import select_by_lasso
from speechlasso.selection.settings import LassoSelection

N_LAYERS, CODEBOOK_SIZE, TOKENS_OF_ROW, N_TELLING = 8, 1024, 64, 100
N_TOKENS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    bow, telling = make_counts(options.rows)
    settings = LassoSelection(method="lasso", n_tokens=N_TOKENS, threshold="nonzero")
    started = time.perf_counter()
    path = SelectionPath.fitted(LassoRows.of(bow, settings))
    fitted = time.perf_counter()
    selection = select_by_lasso(bow, path, settings, Criterion())
    chosen = time.perf_counter()
    found = {
        "rows": options.rows,
        "counts": bow.audio.nnz,
        "path_seconds": round(fitted - started),
        "selection_seconds": round(chosen - fitted),
        "worst_gap_of_path": float(path.table["duality_gap"].max()),
        "all_converged": bool(path.table["converged"].all()),
        "gap": selection.evidence["duality_gap"],
        "kept": len(selection.tokens),
        "kept_that_tell": len(telling & {token.index for token in selection.tokens}),
        "most_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    for name, value in found.items():
        print(f"{name:20} {value}")
    print(json.dumps(found))


def make_counts(n_rows: int) -> tuple[BagOfWords, set[int]]:
    """Rows of two classes, and the tokens that are more frequent in one of them."""
    random = np.random.default_rng(1)
    features = AudioFeatures(0, N_LAYERS, CODEBOOK_SIZE)
    telling = random.choice(len(features), N_TELLING, replace=False)
    labels = random.integers(2, size=n_rows)
    # Few codes are frequent, as in every codebook.
    frequency = random.permutation(1 / np.arange(10, len(features) + 10))
    columns = np.empty((n_rows, TOKENS_OF_ROW), dtype=np.int32)
    for label in (0, 1):
        weights = frequency.copy()
        weights[telling[label::2]] *= 3
        rows = labels == label
        columns[rows] = random.choice(
            len(features), (rows.sum(), TOKENS_OF_ROW), p=weights / weights.sum()
        )
    ends = np.arange(n_rows + 1, dtype=np.int32) * TOKENS_OF_ROW
    counts = sp.csr_array(
        (np.ones(columns.size, dtype=np.int32), columns.ravel(), ends),
        shape=(n_rows, len(features)),
    )
    counts.sum_duplicates()
    rows = pd.DataFrame({"id": range(n_rows), "label": np.array(["no", "yes"])[labels]})
    rows["split"] = "train"
    nothing = sp.csr_array((n_rows, 0), dtype=np.int32)
    return BagOfWords(rows, counts, nothing, features, []), set(telling.tolist())


if __name__ == "__main__":
    main()
