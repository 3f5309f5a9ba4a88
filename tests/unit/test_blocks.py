"""Blocks of pages: what cells show, how they sort, how much sound a page holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from speechlasso import blocks
from speechlasso.blocks import Figure, Section, SoundBudget, Table
from speechlasso.figures import on_page, plain_text, styles, svg
from speechlasso.pages import render_page


def texts(table):
    return [[cell.text for cell in cells] for cells, _ in table.rows]


def test_numbers_of_a_column_have_the_same_decimals_and_sort_in_full():
    frame = pd.DataFrame({"a": [0.12345, 2.5, np.nan], "b": [1234.5, 7.0, 0.0], "c": [1, 22, 3]})
    table = Table("numbers", frame)
    assert texts(table) == [["0.123", "1234", "1"], ["2.500", "7", "22"], ["", "0", "3"]]
    assert [cells[0].key for cells, _ in table.rows] == ["0.12345", "2.5", ""]
    tiny = Table("tiny", pd.DataFrame({"p": [0.5, 2e-7]}))
    assert texts(tiny) == [["0.5"], ["2e-07"]], "rounding would make nothing of it"


def test_texts_sort_by_the_numbers_behind_them():
    frame = pd.DataFrame({"arm": ["a", "b"], "time": ["1.5 min", "2 s"]})
    table = Table("times", frame, {"time": [90, 2]})
    assert [[cell.key for cell in cells] for cells, _ in table.rows] == [["", "90.0"], ["", "2.0"]]
    assert table.columns == [("arm", ""), ("time", "number")]


def test_a_long_table_says_what_it_leaves_out():
    table = Table("rows", pd.DataFrame({"n": range(7)}), most_rows=3, whole="runs.csv")
    page = render_page("mine", [Section("Rows", [table])])
    assert len(table.rows) == 3 and page.count('<th scope="row"') == 3
    assert "4 more rows are left out here; runs.csv has all." in page


def test_sounds_are_taken_while_there_is_room(monkeypatch):
    budget = SoundBudget(left=10)
    sounds = [b"12345", b"123456", None, b"1234", b"12"]
    assert [budget.take(sound) for sound in sounds] == [b"12345", None, None, b"1234", None]
    (told,) = budget.told("a.parquet has all")
    assert told.words.startswith("2 of 4 recordings are left out")
    assert SoundBudget().told("") == []


@plain_text()
def drawn():
    figure = Drawing(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 2], [1, 2], "o-", label='id="figure_1" #1b1f23 url(#x)')
    axes.legend()
    return svg(figure)


def test_a_figure_on_a_page_takes_the_colour_of_its_text_and_ids_of_its_own():
    one, other = (on_page(drawn(), name, "<a title>") for name in ("one", "other"))
    ids = [set(re.findall(r'\sid="([^"]+)"', text)) for text in (one, other)]
    assert not (ids[0] - {"figure_1"}) & (ids[1] - {"figure_1"}), "but for the label's"
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', one)) - {"x"}
    assert used and used <= ids[0]
    assert "currentColor" in one and "fill: #ffffff" not in one
    assert 'id="figure_1" #1b1f23 url(#x)' in one, "names stay as they are"
    assert "&lt;a title&gt;</title>" in one and 'role="img"' in one
    assert on_page(drawn(), "one", "<a title>") == one


def test_what_is_seen_stands_in_the_file_and_in_the_page():
    words = "best & <first>: 'a'"
    drawing = plain_text()(lambda: svg(Drawing(figsize=(1, 1)), words))
    figure = Figure.of("one", "One", pd.DataFrame(), drawing, caption="Points.")
    assert figure.words == words
    described = "<desc id=\"one-words\">best &amp; &lt;first&gt;: 'a'</desc>"
    assert described in figure.files()["one.svg"]
    page = render_page("mine", [Section("One", [figure])])
    assert 'aria-describedby="one-words"' in page and described in page
    assert "Points. best &amp; &lt;first&gt;: &#39;a&#39;" in page
    assert Figure.of("two", "Two", pd.DataFrame(), drawn).words == ""


def test_a_figure_brings_its_data_and_a_sentence_where_it_fails():
    data = pd.DataFrame({"arm": ["a,b"], "mean": [0.5]})
    files = Figure.of("scores", "Scores", data, drawn).files()
    assert set(files) == {"scores.csv", "scores.svg"}
    assert files["scores.csv"] == 'arm,mean\n"a,b",0.5\n'

    def fails():
        raise ValueError("no data")

    failed = Figure.of("scores", "Scores", data, fails)
    assert set(failed.files()) == {"scores.csv"}
    page = render_page("mine", [Section("Scores", [failed])])
    assert "could not be drawn; the log of the rule tells why" in page and "<svg" not in page


@pytest.mark.parametrize(("inches", "least"), [(3, 216), (8, 432), (20, 1080)])
def test_words_of_a_figure_stay_large_enough_to_read(inches, least):
    wide = f'<svg xmlns="http://www.w3.org/2000/svg" width="{72 * inches}pt"/>'
    assert Figure("wide", "Wide", wide, pd.DataFrame()).least_width == f"{least}pt"


def contrast(one, other):
    """Of two colours, as the Web Content Accessibility Guidelines 2.1 define it."""

    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return np.dot([0.2126, 0.7152, 0.0722], linear)

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("paper", ["#ffffff", "#14181d"])
def test_lines_stand_out_on_light_and_on_dark_paper(paper):
    style = styles()
    thirty = [tuple(next(style).values()) for _ in range(30)]
    assert len(set(thirty)) == 30
    assert min(contrast(colour, paper) for colour, _ in thirty) >= 3
    assert (
        f"--paper: {paper}"
        in Path(blocks.__file__).with_name("templates").joinpath("page.css").read_text()
    )
