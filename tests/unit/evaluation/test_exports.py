"""The table of scores in Markdown and in LaTeX."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import results

from speechlasso.evaluation.exports import score_table
from speechlasso.evaluation.summary import runs_table, summary_table
from speechlasso.pages import latex_text

ARMS = ["text_only", "100%_&_$x$#", "lasso[alpha=8]", "é{ü}^~\\<|>"]
_ACTIVE = re.compile(r"(?<!\\)[&%$#_{}^~\\]")


def summary_of(means, metric, **columns):
    """A row for each arm, whose interval is 0.1 wide to both sides."""
    rows = pd.DataFrame({"arm": list(means), "metric": metric, "mean": list(means.values())})
    made = {"n": 3, "interval": "corrected t over 3 folds", "n_seeds": 2, "seed_sd": np.nan}
    made |= {"ci_low": rows["mean"] - 0.1, "ci_high": rows["mean"] + 0.1}
    return rows.assign(**made | columns)


def runs_of(arms, **costs):
    made = {"trainable_parameters": np.nan, "mean_sequence_length": np.nan} | costs
    others = dict.fromkeys(["train_seconds", "adapt_seconds", "peak_memory_mb"], np.nan)
    return pd.DataFrame({"arm": list(arms), "split": "test"}).assign(**others | made)


@pytest.fixture
def table():
    f1 = dict(zip(ARMS, [0.7, 0.80004, 0.8, np.nan], strict=True))
    loss = dict(zip(ARMS[:3], [0.9, 0.4, 0.5], strict=True))
    # No arms, and so not the best of any column.
    of_seeds = summary_of({"text_only, seeds averaged": 0.9, "text_only, seeds voted": 0.9}, "loss")
    verdicts = pd.DataFrame(
        {
            "arm": ARMS[1:],
            "reference": "text_only",
            "metric": "macro_f1",
            "verdict": ["better", "practically equal", "undecided"],
        }
    )
    return score_table(
        "mine",
        runs_of(ARMS, trainable_parameters=[22_700_000.0, 402.0, np.nan, 5.0]),
        pd.concat([summary_of(loss, "loss"), summary_of(f1, "macro_f1"), of_seeds]),
        "macro_f1",
        verdicts,
    )


def test_markdown(table):
    lines = table.markdown().splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[:6]]
    assert cells[0] == ["arm", "macro F1", "loss (nats)", "trainable parameters"]
    assert cells[2] == ["text_only (reference)", "0.700 [0.600, 0.800]", "0.900 [0.800, 1.000]"] + [
        "22.7 M"
    ]
    # Equal as shown: both are the best. The best loss is the smallest.
    assert cells[3][1:] == ["**0.800 [0.700, 0.900]** †", "**0.400 [0.300, 0.500]**", "402"]
    assert cells[4][1:] == ["**0.800 [0.700, 0.900]** ≈", "0.500 [0.400, 0.600]", ""]
    assert cells[5][1:] == ["", "", "5"]
    assert cells[4][0] == r"lasso\[alpha=8\]"
    note = lines[-1]
    for told in (
        "over 3 folds, with 2 seeds in each, averaged",
        "corrected t over 3 folds",
        "† better",
        "text_only",
    ):
        assert told in note


def checked_rows(text):
    """The cells of a LaTeX table; fails where it would not compile, or would show other letters."""
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert re.findall(r"\\(top|mid|bottom)rule", text) == ["top", "mid", "bottom"]
    body = text[text.index("\\caption") :]
    depth = 0
    for letter in re.sub(r"\\[{}\\]", "", body):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    columns = re.search(r"\\begin{tabular}{@{}(\w+)@{}}", text)[1]
    lines = re.findall(r"^(.*) \\\\$", text, re.MULTILINE)
    rows = [re.split(r"(?<!\\)&", line) for line in lines]
    assert {len(row) for row in rows} == {len(columns)}
    assert not [line for line in lines if line.lstrip().startswith("[")]
    return [[cell.strip() for cell in row] for row in rows]


_SHOWN = {
    **{rf"\{letter}": letter for letter in "&%$#_{}"},
    **{r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^"},
    **{r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", "''": '"'},
    **{"{[}": "[", "{]}": "]"},
}


def typeset(text):
    """What LaTeX shows of an escaped text; fails on a command or an active letter."""
    found = re.findall("|".join(map(re.escape, sorted(_SHOWN, key=len, reverse=True))) + "|.", text)
    assert not [part for part in found if len(part) == 1 and part in "&%$#_{}^~\\<>|[]"]
    return "".join(_SHOWN.get(part, part) for part in found)


def unstacked(head):
    return typeset(re.sub(r"\\shortstack\[b\]{(.*)}", r"\1", head).replace(r"\\", " "))


def test_latex(table):
    text = table.latex()
    assert text.startswith("% \\usepackage{booktabs}\n% Letters that pdfLaTeX has not")
    scores, costs = text.split("\\end{table}\n")[:2]
    header, *rows = checked_rows(scores)
    assert [unstacked(cell) for cell in header] == table.header[:3]
    names = ["text_only (reference)", *ARMS[1:]]
    assert [typeset(row[0]) for row in rows if row[0]] == names
    assert rows[2][1:] == [r"\textbf{0.800}$^{\dagger}$", r"\textbf{0.400}"]
    assert rows[3] == ["", r"\scriptsize {[}0.700, 0.900{]}", r"\scriptsize {[}0.300, 0.500{]}"]
    assert rows[4][1] == r"\textbf{0.800}$^{\approx}$" and rows[0][1] == "0.700"
    assert rows[6][1:] == ["", ""], "the last arm has no scores, and so no line of intervals"
    header, *rows = checked_rows(costs)
    assert [unstacked(cell) for cell in header] == ["arm", "trainable parameters"]
    found = [[typeset(cell) for cell in row] for row in rows]
    assert found == [list(row) for row in zip(names, ["22.7 M", "402", "", "5"], strict=True)]
    assert r"$^{\ddagger}$ worse" in text and "95 \\% intervals" in text
    assert "†" not in text and "\\label{tab:mine}" in text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_name_is_shown_as_it_is(name):
    printable = "".join(letter for letter in " ".join(name.split()) if letter.isprintable())
    assert typeset(latex_text(name)) == printable.replace("''", '"')


def test_without_verdicts_intervals_or_costs():
    made = summary_of({"a": 0.5}, "macro_f1", n=1, n_seeds=1, ci_low=np.nan, interval="")
    table = score_table("mine", runs_of(["a"]), made, "macro_f1")
    assert table.header == ["arm", "macro F1"]
    text = table.markdown()
    assert "| a | 0.500 |" in text, "the best of one is nothing to point out"
    assert (
        "over 1 fold, with 1 seed in each;" in text and "interval" not in text and "†" not in text
    )
    assert "Letters" not in table.latex()


def test_of_runs_of_every_usual_score():
    runs = runs_table(results(folds=("0", "1"))).assign(adapt_seconds=40.0)
    table = score_table("mine", runs, summary_table(runs), "uar")
    assert table.header[:2] == ["arm", "unweighted average recall"]
    assert table.header[2:5] == ["accuracy", "macro F1", "loss (nats)"], "each once, with a name"
    assert {"training time", "adaptation time"} <= set(table.header)
    tables = table.latex().split("\\end{table}\n")[:2]
    assert [len(checked_rows(each)) for each in tables] == [3, 3]
