"""A selection as it is written and as codes are looked up in it."""

from __future__ import annotations

import numpy as np

from speechlasso.selection.token_selection import Token, TokenSelection, rank_of_code

TOKENS = [Token(2, 1, 5, 0.5), Token(0, 3, 9)]


def test_ranks_are_those_of_the_tokens_and_minus_one_elsewhere():
    ranks = rank_of_code(TOKENS, n_layers=3, codebook_size=4)
    assert ranks.dtype == np.int32
    assert ranks.tolist() == [[-1, -1, -1, 1], [-1] * 4, [-1, 0, -1, -1]]
    selection = TokenSelection("lasso", TOKENS, 12, {}, {})
    np.testing.assert_array_equal(selection.rank_of_code(3, 4), ranks)


def test_json_has_all_of_a_selection_and_gives_it_back():
    weights = {"x": [0.25, -1.0]}
    selection = TokenSelection("lasso", TOKENS, 12, {"alpha": 4.0, "holdout_uar": 0.5}, weights)
    value = selection.to_json()
    assert value == {
        **{"method": "lasso", "n_features": 12, "class_weights": weights},
        **{"alpha": 4.0, "C": None, "objective": None, "duality_gap": None, "holdout_uar": 0.5},
        "tokens": [
            {"layer": 2, "code": 1, "index": 5, "weight": 0.5},
            {"layer": 0, "code": 3, "index": 9, "weight": None},
        ],
    }
    again = TokenSelection.from_json(value)
    assert (again.method, again.tokens, again.n_features) == ("lasso", TOKENS, 12)
    assert again.class_weights == weights
    none = dict.fromkeys(("C", "objective", "duality_gap"))
    assert again.evidence == {"alpha": 4.0, "holdout_uar": 0.5, **none}
