"""Names of the user's are text in every page, and nothing else: shown as they are, never run."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hostile_names import NAMES
from made_card import card
from made_results import TRAINING, page_of, predictions
from markdown_it import MarkdownIt

from speechlasso.data.settings import Folds
from speechlasso.evaluation.scores import evaluate
from speechlasso.evaluation.summary import RunResult
from speechlasso.report import evidence as evidence_module
from speechlasso.selection.page import render_selection
from speechlasso.selection.token_selection import Token, TokenSelection
from speechlasso.trained_model.explanation import Explanation
from speechlasso.trained_model.explanation_figure import explanation_figure, write_figure

CELLS = ("tbody td, tbody th", "svg text", "thead th")


def report():
    """Each name is an arm, a class, and a fold, which is a speaker's name."""
    confusion = dict.fromkeys(("train", "validation", "test"), np.eye(len(NAMES), dtype=int))
    metrics = evaluate(predictions(NAMES, confusion), None)
    selection = {"tokens": [{"layer": 0}]}
    made = [RunResult(name, name, 1, metrics, selection, TRAINING) for name in NAMES]
    return page_of(made, experiment=NAMES[5])


def evidence():
    """Each name is a class, an utterance's id and its clip."""
    tokens = [Token(0, code, code, 1.0) for code in range(3)]
    table = pd.DataFrame({"rank": range(3), "layer": 0, "code": range(3), "weight": 1.0})
    columns = [f"{kind}_{name}" for kind in ("weight", "df") for name in NAMES]
    table = table.join(pd.DataFrame(0.5, index=table.index, columns=columns))
    occurrences = pd.DataFrame({"rank": 0, "id": NAMES, "clip": [f"{n}.wav" for n in NAMES]})
    weights = {name: [1.0, 0.0, -1.0] for name in NAMES}
    selection = TokenSelection("lasso", tokens, 64, {"alpha": 8.0}, class_weights=weights)
    return render_selection("lasso-0123456789", selection, table, occurrences, None)


def model_cards():
    """As HTML, as hubs show them: each name is a class, and in one of them the test speaker's."""
    folds = Folds(method="leave_one_group_out")
    cards = [card(classes=NAMES, folds=folds, fold=speaker)[1] for speaker in NAMES]
    bodies = [text.split("---\n", 2)[2] for text in cards]
    return MarkdownIt("gfm-like", {"linkify": False}).render("\n".join(bodies))


def inertly(opened):
    """The page, once it is seen that nothing ran in it."""
    page = opened.page
    assert page.evaluate("typeof ran") == "undefined"
    scripts = "img, [src]:not(svg *):not(audio), [onload], [onerror], [onmouseover]"
    assert page.locator(scripts).count() == 0
    sources = page.eval_on_selector_all("audio", "found => found.map(e => e.src.slice(0, 16))")
    assert set(sources) <= {"data:audio/mpeg;"}
    # Its own, which comes last and sorts tables.
    assert page.locator("script").count() == page.locator("body > script:last-child").count() <= 1
    links = page.eval_on_selector_all("[href]", "found => found.map(e => e.getAttribute('href'))")
    assert not [link for link in links if link.startswith("javascript")]
    assert opened.complaints == opened.requests == []
    return opened


def test_a_report(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_module, "MOST_ARMS", 1)  # figures are slow to draw
    (tmp_path / "report.html").write_text(report())
    opened = inertly(open_page(tmp_path / "report.html"))
    assert opened.page.title() == f"{NAMES[5]} · speechlasso"
    assert opened.texts("h1") == [NAMES[5]]
    cells, drawn = opened.texts("tbody td, tbody th"), opened.texts("svg text")
    # As an arm in three tables, as a fold in one, as a class in two; the one arm that is drawn also
    # beside each class.
    times = sorted(cells.count(name) for name in NAMES)
    assert times == [6] * (len(NAMES) - 1) + [6 + len(NAMES)]
    for name in NAMES:
        assert drawn.count(name) >= 2, name


def test_a_page_of_evidence(open_page, tmp_path):
    (tmp_path / "page.html").write_text(evidence())
    opened = inertly(open_page(tmp_path / "page.html"))
    cells, drawn, heads = (opened.texts(selector) for selector in CELLS)
    for name in NAMES:
        assert {name, f"{name}.wav"} <= set(cells) and name in drawn
        assert {f"weight_{name}", f"df_{name}"} <= set(heads)


def test_model_cards(open_page, tmp_path):
    (tmp_path / "cards.html").write_text(f"<!doctype html><meta charset=utf-8>{model_cards()}")
    opened = inertly(open_page(tmp_path / "cards.html"))
    cells, paragraphs = opened.texts("td"), " ".join(opened.texts("p"))
    for name in NAMES:
        assert cells.count(name) == len(NAMES)
        assert f"The test rows are those of group {name}." in paragraphs
    assert f"into {len(NAMES)} classes: {', '.join(NAMES)}." in paragraphs


def test_a_figure_of_an_explanation(open_page, tmp_path):
    """By itself, as SVG, which runs scripts too."""
    words = pd.DataFrame({"kind": "word", "part": NAMES, "effect": 0.1})
    prediction = pd.Series({"predicted": NAMES[0], f"p_{NAMES[0]}": 0.75})
    figure = explanation_figure(Explanation(prediction, words), pd.DataFrame())
    write_figure(tmp_path / "why.svg", figure)
    opened = inertly(open_page(tmp_path / "why.svg"))
    drawn = opened.texts("text")
    assert set(NAMES) <= set(drawn)
    assert any(text.startswith(f"{NAMES[0]}, probability 0.750") for text in drawn)
