"""Tables of an experiment are read as they were written, whatever arms and folds are called."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.cli import main
from speechlasso.errors import InputError
from speechlasso.evaluation.comparison import compare_arms
from speechlasso.evaluation.summary import read_table
from speechlasso.files import write_csv

NAMES = ["01", "1", "1.0", "NA", "", "nan", "None", "true", "1e3", 'a"b', "a,b", "a\tb", "a\nb"]
names = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs", "Cc"]))


@given(st.lists(names, min_size=1, max_size=5), st.sampled_from([",", "\t"]))
def test_names_come_back_as_they_were(tmp_path_factory, folds, separator):
    written = pd.DataFrame({"arm": "lasso", "fold": folds, "seed": 1, "split": "test"})
    written = written.assign(uar=np.linspace(0, 1, len(folds)), positive_f1=np.nan)
    path = tmp_path_factory.mktemp("tables") / ("runs.csv" if separator == "," else "index.tsv")
    written.to_csv(path, sep=separator, index=False)
    pd.testing.assert_frame_equal(read_table(path), written, check_dtype=False)


def test_speakers_of_digits_and_na_are_compared(tmp_path, capsys):
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(
        [
            {
                **{"arm": arm, "fold": fold, "seed": 1, "split": split},
                **{"n_examples": 20, "macro_f1": rng.random()},
            }
            for arm in ("lasso", "random")
            for fold in ("01", "1", "NA", "")
            for split in ("train", "validation", "test")
        ]
    )
    write_csv(tmp_path / "runs.csv", runs)
    read = read_table(tmp_path / "runs.csv")
    assert compare_arms(read, "lasso", "macro_f1")["n"].tolist() == [4, 4]
    assert main(["compare", str(tmp_path / "runs.csv")]) == 0
    assert "4 folds, 1 seed\n" in capsys.readouterr().out


def test_a_missing_folder_in_the_index_is_missing(tmp_path):
    index = [
        {"arm": "lm", "fold": "0", "training": "a", "adapt": "b"},
        {"arm": "bow", "fold": "0", "training": "c"},
    ]
    pd.DataFrame(index).to_csv(tmp_path / "index.tsv", sep="\t", index=False)
    assert read_table(tmp_path / "index.tsv")["adapt"].isna().tolist() == [False, True]


def test_no_table_is_said(tmp_path):
    with pytest.raises(InputError, match=r"runs\.csv: no such file; give one of"):
        read_table(tmp_path / "runs.csv")
