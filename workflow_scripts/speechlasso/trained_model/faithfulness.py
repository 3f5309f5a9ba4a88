"""How faithful explanations are: what leaving out the parts that they rank first does to decisions.

Source: comprehensiveness and sufficiency of DeYoung et al. 2020 (ERASER, arXiv 1911.03429, section
4), here beside those of as many random parts, without which a number says little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from speechlasso.language_model.prediction import Classifier

SHARES = (0.1, 0.2, 0.5)
"""Of an utterance's parts, rounded up; measures are means over these."""
N_DRAWS = 3
"""Random parts for each share."""
MOST_PREDICTIONS = 600
"""So many, or those of one utterance: seconds beside the minutes of a training."""


@dataclass(frozen=True)
class _Utterance:
    """Its parts are its words, and its distinct audio tokens with all their occurrences, the same
    as those that `explanation.explain` leaves out."""

    words: list[str] | None
    tokens: np.ndarray | None

    @classmethod
    def of(cls, text: str | None, tokens: np.ndarray | None) -> _Utterance:
        return cls(None if pd.isna(text) else text.split(), tokens)

    @property
    def n_parts(self) -> int:
        return len(self.words or ()) + len(self._distinct)

    @property
    def _distinct(self) -> np.ndarray:
        return np.unique([] if self.tokens is None else self.tokens)

    def only(self, kept: np.ndarray) -> dict[str, Any]:
        """An example of these parts alone, bool (n_parts,), words first."""
        n_words = len(self.words or ())
        left = self._distinct[kept[n_words:]]
        return {
            "id": "",
            "text": None
            if self.words is None
            else " ".join(word for word, is_kept in zip(self.words, kept, strict=False) if is_kept),
            "audio_tokens": None
            if self.tokens is None
            else self.tokens[np.isin(self.tokens, left)],
        }


def faithfulness_of_model(
    folder: Path, token_texts: str | Path, seed: int, threads: int
) -> dict[str, Any] | None:
    """As `faithfulness`, of a model folder, with the split that was looked at: validation rows, or
    test rows where there are none. No label is read, and nothing is chosen by it."""
    from speechlasso.language_model.prediction import Classifier

    examples = pd.read_parquet(token_texts)
    splits = examples["split"].unique()
    split = next((name for name in ("validation", "test") if name in splits), "train")
    rows = examples[examples["split"] == split]
    found = faithfulness(Classifier.open(folder), rows, seed, threads)
    return found and {"split": split, **found}


def faithfulness(
    classifier: Classifier, examples: pd.DataFrame, seed: int, threads: int = 1
) -> dict[str, Any] | None:
    """What parts ranked by their effect, and random ones, do to the decided class' probability.

    The effect of a part is what leaving it out takes from that probability, as in `explanation`.

    Parameters
    ----------
    examples
        Columns text and audio_tokens; some of them, drawn by the seed, are looked at.

    Returns
    -------
    dict
        n, utterances looked at; comprehensiveness, the mean fall of the probability when the parts
        of most effect are left out (more is better), and sufficiency, when they alone are left
        (less is better); random_comprehensiveness and random_sufficiency of random parts. None
        where no example has two parts.
    """
    rng = np.random.default_rng(seed)
    sample = list(_sample(examples, rng))
    if not sample:
        return None
    whole = [np.ones(utterance.n_parts, dtype=bool) for utterance in sample]
    without_one = [~np.eye(utterance.n_parts, dtype=bool) for utterance in sample]
    masks = [
        np.vstack([all_parts, ones]) for all_parts, ones in zip(whole, without_one, strict=True)
    ]
    decided, found = _probabilities(classifier, sample, masks, threads)
    probability = [of[0] for of in found]
    ranked = [np.argsort(of[1:], kind="stable") for of in found]

    masks = [_masks(order, rng) for order in ranked]
    _, found = _probabilities(classifier, sample, masks, threads, decided)
    falls = np.array([p - of for p, of in zip(probability, found, strict=True)])
    # Utterances, then by rank and at random, then shares, then what is left out and what is left.
    falls = falls.reshape(len(sample), 1 + N_DRAWS, len(SHARES), 2)
    by_rank, at_random = falls[:, 0].mean(axis=(0, 1)), falls[:, 1:].mean(axis=(0, 1, 2))
    return {
        "n": len(sample),
        "comprehensiveness": float(by_rank[0]),
        "sufficiency": float(by_rank[1]),
        "random_comprehensiveness": float(at_random[0]),
        "random_sufficiency": float(at_random[1]),
    }


def _sample(examples: pd.DataFrame, rng: np.random.Generator) -> Iterator[_Utterance]:
    left = MOST_PREDICTIONS
    for row in rng.permutation(len(examples)):
        utterance = _Utterance.of(*examples[["text", "audio_tokens"]].iloc[row])
        if utterance.n_parts < 2:
            continue
        cost = 1 + utterance.n_parts + 2 * len(SHARES) * (1 + N_DRAWS)
        if cost > left < MOST_PREDICTIONS:
            return
        left -= cost
        yield utterance


def _masks(order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Parts that are kept, bool (2 * n_shares * (1 + N_DRAWS), n_parts): for the order and then for
    random ones, for each share, first all but the first parts and then these alone."""
    orders = [order, *(rng.permutation(len(order)) for _ in range(N_DRAWS))]
    masks = []
    for each in orders:
        for share in SHARES:
            first = np.zeros(len(order), dtype=bool)
            first[each[: math.ceil(share * len(order))]] = True
            masks += [~first, first]
    return np.array(masks)


def _probabilities(
    classifier: Classifier,
    sample: list[_Utterance],
    masks: list[np.ndarray],
    threads: int,
    decided: list[str] | None = None,
) -> tuple[list[str], list[np.ndarray]]:
    """The decided classes, by default what the first mask of each leads to, and their probability
    with each mask."""
    examples = [
        utterance.only(kept) for utterance, of in zip(sample, masks, strict=True) for kept in of
    ]
    predictions = classifier.predict(pd.DataFrame(examples), threads=threads)
    ends = np.cumsum([len(of) for of in masks])
    parts = [predictions.iloc[end - len(of) : end] for end, of in zip(ends, masks, strict=True)]
    decided = decided or [part["predicted"].iloc[0] for part in parts]
    return decided, [
        part[f"p_{name}"].to_numpy() for part, name in zip(parts, decided, strict=True)
    ]
