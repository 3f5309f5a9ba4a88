"""The report with all its sections, and a selection's page: read, sorted, heard, printed."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from made_report import ARMS, full_evidence, made_selection

from speechlasso.blocks import Section, Table
from speechlasso.pages import render_page
from speechlasso.report.page import render_report
from speechlasso.selection.page import render_selection
from speechlasso.selection.token_selection import Token, TokenSelection

SECTIONS = [
    *("Verdict", "What was compared", "Scores", "Quality against cost", "Why", "Curves"),
    "Confusion",
    *("Speech anchor bias", "Runs", "Provenance"),
]
NARROW = {"width": 360, "height": 740}
PAPER = {"width": 1031, "height": 703}
"""A4 across within its margins, in pixels of 1/96 inch."""


def selection_page():
    made = made_selection(n=8)
    tokens = [Token(row.layer, row.code, row.rank, row.weight) for row in made.tokens.itertuples()]
    weights = {name: made.tokens[f"weight_{name}"].tolist() for name in ("calm", "tense")}
    selection = TokenSelection("lasso", tokens, 1024, {"alpha": 7.5}, class_weights=weights)
    occurrences = made.listening.drop(columns="sound").assign(clip="clips/u7.wav", n_occurrences=9)
    return render_selection(
        "lasso-0123456789", selection, made.tokens, occurrences, made.path, made.listening
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "report.html").write_text(render_report(full_evidence()).html)
    (folder / "selection.html").write_text(selection_page())
    (folder / "wide.html").write_text(wide_page())
    return folder


def wide_page():
    """Tables of more and more columns, of names and numbers as long as they come."""
    tables = []
    for n_columns in (12, 16, 28, 70):
        names = [f"mean_sequence_length_{number}" for number in range(n_columns)]
        frame = pd.DataFrame(123.45, index=range(3), columns=names)
        tables.append(Table(f"{n_columns} columns", frame.assign(arm="lasso[speech_fraction=0.1]")))
    return render_page("wide", [Section("Wide", tables)])


both = pytest.mark.parametrize("name", ["report", "selection"])


@both
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(open_page, pages, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: make test")
    opened = open_page(pages / f"{name}.html", color_scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = axe.Axe().run(opened.page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []
    assert opened.complaints == opened.requests == []
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 380) == (scheme == "light")


@both
def test_a_phone_scrolls_no_page_sideways(open_page, pages, name):
    page = open_page(pages / f"{name}.html", viewport=NARROW).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    # What is wide does so inside of its box.
    widest = "Math.max(...[...document.querySelectorAll('.wide')].map(box => box.scrollWidth))"
    assert page.evaluate(widest) > 360


def test_the_report_stands_in_its_order(open_page, pages):
    opened = open_page(pages / "report.html")
    assert opened.texts("h2") == SECTIONS == opened.texts("nav li")
    levels = opened.page.eval_on_selector_all(
        "h1, h2, h3", "all => all.map(head => +head.tagName[1])"
    )
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "results", "the first link skips"


def column(page, name):
    """Cells of a column of the table of arms, from the top."""
    table = page.locator("table", has=page.locator("caption", has_text="Arms: "))
    heads = [text.strip() for text in table.locator("thead th").all_text_contents()]
    cells = f"tbody tr > :nth-child({heads.index(name) + 1})"
    return table, [text.strip() for text in table.locator(cells).all_text_contents()]


def test_tables_sort_by_mouse_and_by_keyboard(open_page, pages):
    page = open_page(pages / "report.html").page
    table, arms = column(page, "arm")
    assert arms == list(ARMS)
    button = table.get_by_role("button", name="macro F1", exact=True)
    button.click()
    means = [float(text.split()[0]) for text in column(page, "macro F1")[1]]
    assert means == sorted(means)
    button.press("Enter")
    means = [float(text.split()[0]) for text in column(page, "macro F1")[1]]
    assert means == sorted(means, reverse=True)
    # Times have units, which sort by what they mean.
    table.get_by_role("button", name="training time").press("Space")
    assert column(page, "training time")[1] == ["1 s", "1.5 s", "2 s", "30 s", "1.5 min"]
    sorted_by = table.locator("th[aria-sort]")
    assert sorted_by.count() == 1 and sorted_by.get_attribute("aria-sort") == "ascending"
    table.get_by_role("button", name="arm", exact=True).click()
    assert column(page, "arm")[1] == sorted(ARMS, key=lambda arm: (arm[:4], len(arm)))


def test_without_a_script_nothing_is_missing(open_page, pages):
    opened = open_page(pages / "report.html", java_script_enabled=False)
    assert opened.texts("h2") == SECTIONS
    assert opened.page.locator("button").count() == 0
    assert opened.page.locator("td audio").first.is_visible()


@both
def test_recordings_play_one_at_a_time(open_page, pages, name):
    opened = open_page(pages / f"{name}.html")
    opened.page.locator("summary").first.click()
    played = opened.page.evaluate("""async () => {
        const [one, other] = document.querySelectorAll("audio");
        await one.play();
        await new Promise(resolve => one.addEventListener("timeupdate", resolve, {once: true}));
        const time = one.currentTime, length = one.duration;
        await other.play();
        return {time, length, paused: one.paused, ready: other.readyState};
    }""")
    assert played["time"] > 0 and 0.4 < played["length"] < 0.7
    assert played["paused"] and played["ready"] >= 2
    assert opened.complaints == opened.requests == []


def download(page, link):
    with page.expect_download() as started:
        link.click()
    return started.value.suggested_filename, Path(started.value.path()).read_text()


@both
def test_figures_and_their_data_can_be_taken_home(open_page, pages, name):
    page = open_page(pages / f"{name}.html").page
    assert page.locator("figure").count() == page.locator("svg[role=img]").count() > 2
    figure = page.locator("figure").first
    title, drawn = download(page, figure.get_by_text("SVG"))
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    name_of_data, data = download(page, figure.get_by_text("CSV"))
    assert title.removesuffix(".svg") == name_of_data.removesuffix(".csv")
    assert len(list(csv.DictReader(io.StringIO(data)))) > 5


def test_ids_are_those_of_one_element(open_page, pages):
    page = open_page(pages / "report.html").page
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    # Matplotlib writes a marker once for each line that has it.
    outside = page.eval_on_selector_all(
        "[id]:not(svg [id])", "all => all.map(one => one.id)"
    ) + page.eval_on_selector_all("svg > *[id]", "all => all.map(one => one.id)")
    assert len(set(outside)) == len(outside)
    linked = page.eval_on_selector_all("use", "all => all.map(one => one.href.baseVal.slice(1))")
    assert linked and set(linked) <= set(ids)


def test_paper_shows_all_and_nothing_to_press(open_page, pages):
    page = open_page(pages / "report.html", color_scheme="dark").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    for selector in ("audio", "nav", ".files", ".skip"):
        assert not page.locator(selector).first.is_visible(), selector
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("svg").first.is_visible()


@pytest.mark.parametrize("name", ["report", "selection", "wide"])
def test_no_table_is_wider_than_paper(open_page, pages, name):
    page = open_page(pages / f"{name}.html", viewport=PAPER).page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    rights = "all => all.map(one => Math.ceil(one.getBoundingClientRect().right))"
    assert max(page.eval_on_selector_all("table, svg", rights)) <= PAPER["width"]


def test_a_wide_table_of_numbers_has_few_digits(open_page, pages):
    opened = open_page(pages / "report.html")
    numbers = [text for text in opened.texts("td.number") if "." in text]
    decimals = pd.Series(numbers).str.extract(r"\.(\d+)")[0].str.len()
    assert numbers and decimals.max() <= 4 and np.isfinite(decimals).all()
