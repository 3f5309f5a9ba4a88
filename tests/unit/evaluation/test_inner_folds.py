"""What is read of inner folds, by role."""

from __future__ import annotations

import pandas as pd
import pytest

from speechlasso.evaluation.inner_folds import (
    best_value,
    fit_role,
    is_fit,
    is_inner,
    predictions_role,
    validation_rows,
)
from speechlasso.evaluation.settings import Criterion


@pytest.fixture
def inputs(tmp_path):
    """Predictions of two inner folds, by the system itself, and by two arms that it reads."""
    inputs = {"predictions": ["not read"], fit_role(0): ["not read"]}
    for number in range(2):
        for of in ("", "arm_1", "arm_2"):
            path = tmp_path / f"{number}-{of}.parquet"
            split = ["train", "validation"] if number else ["validation", "train"]
            pd.DataFrame({"id": ["u", "v"], "split": split, "of": of}).to_parquet(path)
            inputs[predictions_role(number, of)] = [str(path)]
    return inputs


def test_each_row_is_validated_once_and_training_rows_are_left_out(inputs):
    rows = validation_rows(inputs, "arm_2")
    assert rows.to_dict("list") == {
        "id": ["u", "v"],
        "split": ["validation"] * 2,
        "of": ["arm_2"] * 2,
    }
    own = {role: files for role, files in inputs.items() if "arm" not in role}
    assert validation_rows(own)["of"].tolist() == ["", ""]
    assert validation_rows({"predictions": ["not read"]}) is None


def test_roles_tell_what_is_read(inputs):
    assert [role for role in inputs if not is_inner(role)] == ["predictions"]
    assert [role for role in inputs if is_fit(role)] == ["inner_fit_0"]


def test_of_equally_good_values_the_first_is_taken_in_the_direction_of_the_metric():
    scores = {1: 0.2, 2: 0.1, 3: 0.4, 4: 0.4, 5: 0.1}
    assert best_value(scores, Criterion()) == 3
    assert best_value(scores, Criterion(metric="loss")) == 2
