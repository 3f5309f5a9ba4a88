"""What a model that reads words and sound decides of the words alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from small_bow import LASSO, make_bow
from tests.unit.linear_baseline import bow_linear

from speechlasso.evaluation.settings import Criterion
from speechlasso.evaluation.without_audio import COLUMN, with_silence
from speechlasso.files import write_json
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import select_by_lasso
from speechlasso.systems.bow_linear_model import Counts, fit_linear

PREDICTIONS = pd.DataFrame(
    {"id": list("abcd"), "split": ["train", "test", "test", "test"], "predicted": list("xxxx")}
)


def test_only_test_rows_with_both_are_asked():
    asked = []

    def predict(rows):
        asked.append(PREDICTIONS["id"][rows].tolist())
        return PREDICTIONS[rows].assign(predicted="y")

    found = with_silence(PREDICTIONS, pd.Series([True, True, False, True]), predict)
    assert asked == [["b", "d"]]
    assert found[COLUMN].fillna("-").tolist() == ["-", "y", "-", "y"]


def test_nothing_is_asked_where_no_row_has_both():
    assert with_silence(PREDICTIONS, pd.Series([True, False, False, False]), None) is PREDICTIONS


def test_a_linear_model_hears_nothing_where_counts_are_zero(tmp_path):
    bow = make_bow()
    selection = select_by_lasso(
        bow, SelectionPath.fitted(LassoRows.of(bow, LASSO)), LASSO, Criterion()
    )
    arm = bow_linear()
    fitted, _ = fit_linear(Counts.of(bow, selection, ["text", "audio"]), arm, Criterion())
    bow.save(tmp_path)
    write_json(tmp_path / "selection.json", selection.to_json())
    inputs = {"bow": [str(tmp_path / "rows.parquet")], "select": [str(tmp_path / "selection.json")]}
    found = fitted.predict(inputs)
    test = found["split"] == "test"
    assert found.loc[~test, COLUMN].isna().all()

    # The decision by hand: words alone, at the weights that were learned beside audio tokens.
    kept = [token.index for token in selection.tokens]
    words = np.hstack([np.zeros((test.sum(), len(kept))), bow.text[test.to_numpy()].toarray()])
    scores = fitted.weights.transform(words) @ fitted.classifier.coef_.T
    scores += fitted.classifier.intercept_
    expected = fitted.classifier.classes_[scores.argmax(axis=1)]
    assert found.loc[test, COLUMN].tolist() == expected.tolist()
    assert (found.loc[test, COLUMN] != found.loc[test, "predicted"]).any()
