"""Masked tokens, as BERT predicts them (arXiv 1810.04805, section 3.1)."""

from __future__ import annotations

import numpy as np

from speechlasso.language_model.loss import IGNORED


def masked_tokens(
    ids: np.ndarray,
    places: np.ndarray,
    share: float,
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocabulary_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels: of the chosen tokens, 8 in 10 are masked and 1 in 10 is replaced.

    Parameters
    ----------
    ids
        Token ids, int64 (n,).
    places
        Positions that may be chosen.
    share
        Of them, how many are; at least one, if there is any.

    Returns
    -------
    inputs, labels
        int64 (n,); labels are `IGNORED` where nothing was chosen.
    """
    n_chosen = min(len(places), max(1, round(share * len(places))))
    chosen = rng.choice(places, n_chosen, replace=False)
    inputs, labels = ids.copy(), np.full_like(ids, IGNORED)
    labels[chosen] = ids[chosen]
    fate = rng.random(n_chosen)
    inputs[chosen[fate < 0.8]] = mask_id
    replaced = chosen[fate >= 0.9]
    inputs[replaced] = rng.integers(vocabulary_size, size=len(replaced))
    return inputs, labels
