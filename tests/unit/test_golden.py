"""Numbers of the light stages on tiny made data, kept per stage version.

A change that moves them on purpose raises the stage's version in `stages.py` and renews the numbers
here: print them with  python -m tests.unit.test_golden
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from speechlasso import stages
from speechlasso.bag_of_words import build_bag_of_words
from speechlasso.codes import Codebooks, CodeTable
from speechlasso.config import Folds, LassoSelection, LinearClassifier
from speechlasso.demo_corpus import plan_demo_corpus
from speechlasso.evaluation import evaluate
from speechlasso.folds import divide_folds, fold_examples
from speechlasso.linear_classifier import fit_and_predict
from speechlasso.selection import select_by_lasso, select_random
from speechlasso.selection_path import LassoRows, SelectionPath
from speechlasso.token_text import token_texts
from speechlasso.tokenizers.spectral_rvq import SpectralRVQ

GOLDEN = {
    "corpus": (1, "5ac20e636f23"),
    "folds": (2, "070c43cbe209"),
    "codes": (1, "79329c337e4b"),
    "bow": (3, "c0a91482e0ca"),
    "path": (2, "79c059761c65"),
    "select": (2, "eaede82b983b"),
    "token_texts": (1, "541beb65ee1a"),
    "linear": (2, "e7132a0f7dec"),
    "evaluate": (2, "f3e360d89952"),
}


def numbers() -> dict[str, object]:
    """What each stage makes of the same small data, as JSON."""
    corpus = plan_demo_corpus(
        seed=3, train_speakers=4, validation_speakers=1, test_speakers=1, utterances_per_speaker=15
    )
    manifest = corpus[["id", "text", "label", "split", "speaker"]].rename(
        columns={"speaker": "group"}
    )
    folds = divide_folds(manifest, Folds(method="grouped", n_folds=3))
    examples = fold_examples(manifest, folds, "1")
    rng = np.random.default_rng(1)
    waveforms = [noise * np.linspace(0.1, 1, 8000) for noise in rng.normal(0, 0.1, (20, 8000))]
    tokenizer = SpectralRVQ.fit(
        [w.astype(np.float32) for w in waveforms],
        n_layers=4,
        codebook_size=8,
        seed=1,
        max_frames=1000,
    )
    drawn = [rng.integers(0, 8, (4, 20)) for _ in examples["id"]]
    codes = CodeTable(Codebooks(4, 8, 50.0), dict(zip(examples["id"], drawn, strict=True)))
    bow = build_bag_of_words(examples, codes, layers=3, lowercase=True)
    settings = LassoSelection(method="lasso", alpha=1.0)
    path = SelectionPath.fitted(LassoRows.of(bow, settings))
    selection = select_by_lasso(bow, path, settings, "macro_f1", None)
    texts = token_texts(examples, ["text", "audio"], codes, selection)
    predictions, _ = fit_and_predict(
        bow, selection, ["text", "audio"], LinearClassifier(), "macro_f1", None
    )
    encoded = tokenizer.encode([waveforms[0].astype(np.float32)])[0]
    return {
        "corpus": corpus.to_json(orient="records", double_precision=6),
        "folds": folds.to_csv(index=False),
        "codes": [np.bincount(layer, minlength=8).tolist() for layer in encoded],
        "bow": [
            int(bow.audio.sum()),
            int(bow.text.sum()),
            len(bow.words),
            bow.audio.indices.tolist(),
        ],
        # Two digits, as processors add in different orders and fits are certified to 1e-4.
        "path": [f"{objective:.1e}" for objective in path.table["objective"]],
        "select": [
            [token.index for token in selection.tokens],
            [round(token.weight, 2) for token in selection.tokens],
            [token.index for token in select_random(bow, 5, layers=None, seed=1, fold="1").tokens],
        ],
        "token_texts": texts["token_text"].tolist(),
        "linear": predictions["predicted"].tolist(),
        "evaluate": round(evaluate(predictions, None)["splits"]["test"]["uar"], 6),
    }


def digests() -> dict[str, tuple[int, str]]:
    """Stage -> its version and a digest of its numbers."""
    return {
        stage: (
            stages.STAGES[stage].version,
            hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12],
        )
        for stage, value in numbers().items()
    }


@pytest.fixture(scope="module")
def found():
    return digests()


@pytest.mark.parametrize("stage", GOLDEN)
def test_numbers_do_not_move_without_a_new_version(stage, found):
    assert found[stage] == GOLDEN[stage], (
        f"{stage} computes something else: raise its version in stages.py and renew the numbers"
    )


if __name__ == "__main__":
    for stage, digest in digests().items():
        print(f"    {stage!r}: {digest!r},".replace("'", '"'))
