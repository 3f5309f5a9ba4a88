"""Figures: well-formed, complete, the same bytes for the same data."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from speechlasso.figures import words_of
from speechlasso.selection import figures as selection_figures
from speechlasso.selection.figures import class_weight_figure, layer_weight_figure, path_figure

SVG = "{http://www.w3.org/2000/svg}"


def make_tokens(n, classes=("anger", "joy", "sadness"), seed=0):
    rng = np.random.default_rng(seed)
    index = np.sort(rng.choice(8 * 1024, n, replace=False))
    table = pd.DataFrame({"layer": index // 1024, "code": index % 1024})
    for name in classes:
        table[f"weight_{name}"] = rng.normal(size=n) * (rng.random(n) < 0.5)
    return table.assign(weight=table.filter(like="weight_").abs().sum(axis=1))


def make_path(scored=True):
    sizes = np.arange(30)
    table = pd.DataFrame(
        {
            "alpha": np.geomspace(100, 1, 30),
            "n_tokens": sizes**2,
            "n_audio": 2 * sizes**2,
            "n_text": 3 * sizes,
        }
    )
    scores = {"mean": 0.9 - ((sizes - 14) / 30) ** 2, "standard_error": 0.03}
    return table.assign(**scores) if scored else table


def texts(svg):
    return [(text.text or "").strip() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_path_names_its_curves_and_the_chosen_alpha():
    shown = texts(path_figure(make_path(), 7.5))
    for text in ("kept audio tokens", "words with weight", "cross-validated score", "alpha = 7.5"):
        assert text in shown


def test_a_path_shows_what_its_table_has():
    table = make_path(scored=False).drop(columns="n_tokens")
    bare, scored = path_figure(table), path_figure(table.assign(holdout_uar=0.5))
    assert "held-out unweighted average recall" in texts(scored)
    assert not any("held-out" in text or "score" in text for text in texts(bare))
    assert "kept audio tokens" not in texts(bare)
    assert not any("alpha =" in text for text in texts(bare))
    assert (bare.count('id="axes_'), scored.count('id="axes_')) == (1, 2)


def test_a_path_says_its_sizes_and_its_best_score():
    table = make_path(scored=False).drop(columns="n_tokens")
    scores = np.linspace(0.4, 0.6, 30)
    scores[10] = 0.75
    drawn = path_figure(table.assign(holdout_macro_f1=scores), 1.01)
    assert words_of(drawn) == (
        "On the path: 0 to 1682 audio features with weight; 0 to 87 words with weight; held-out "
        f"macro F1 at most 0.750, at alpha = {table['alpha'][10]:.4g}; 0.600 where alpha is next "
        "to the chosen one."
    )
    assert words_of(path_figure(table, 7.5)).endswith("0 to 87 words with weight.")


def test_a_path_does_not_depend_on_the_order_of_its_rows():
    table = make_path()
    assert path_figure(table, 7.5) == path_figure(table.iloc[::-1], 7.5)


def test_a_path_that_keeps_no_token():
    svg = path_figure(make_path().iloc[:2].assign(n_tokens=0), 100.0)
    assert "alpha = 100" in texts(svg)


@pytest.mark.parametrize("n", [1, 5, 300])
def test_every_token_is_a_point_of_its_layer(n):
    tokens = make_tokens(n)
    svg = layer_weight_figure(tokens)
    counts = tokens["layer"].value_counts()
    shown = texts(svg)
    for layer, count in counts.items():
        assert f"layer {layer}" in shown
        assert f"{count} kept" in shown
    root = ElementTree.fromstring(svg)
    # The points of each layer are one line without strokes, clipped to the axes.
    points = [
        len(list(group.iter(f"{SVG}use")))
        for group in root.iter(f"{SVG}g")
        if group.get("clip-path") and group.get("id") is None
    ]
    assert sorted(points) == sorted(counts)


@pytest.mark.parametrize("n", [1, 60, 61, 121])
def test_the_heat_map_names_every_token_and_class(n):
    tokens = make_tokens(n)
    svg = class_weight_figure(tokens)
    shown = texts(svg)
    names = [f"{layer}:{code}" for layer, code in tokens[["layer", "code"]].to_numpy()]
    assert [text for text in shown if ":" in text and text != "layer:code"] == names
    n_bands = -(-n // 60)
    assert [shown.count(name) for name in ("anger", "joy", "sadness")] == [n_bands] * 3


def test_a_heat_map_of_many_shows_those_with_the_largest_weights(monkeypatch):
    monkeypatch.setattr(selection_figures, "MOST_TOKENS", 10)
    monkeypatch.setattr(selection_figures, "MOST_CLASSES", 2)
    tokens = make_tokens(40)
    tokens["weight_fear"] = 5.0
    tokens["weight"] = np.arange(40) % 7 + np.arange(40) / 100
    shown = texts(class_weight_figure(tokens))
    heaviest = tokens.nlargest(10, "weight").sort_index()
    names = [f"{layer}:{code}" for layer, code in heaviest[["layer", "code"]].to_numpy()]
    assert [text for text in shown if re.fullmatch(r"\d+:\d+", text)] == names
    sums = heaviest[["weight_anger", "weight_joy", "weight_sadness"]].abs().sum()
    second = sums.idxmax().removeprefix("weight_")
    classes = {"anger", "joy", "sadness", "fear"}
    assert classes & set(shown) == {"fear", second}
    assert "10 of 40 tokens, 2 of 4 classes: those with the largest weights" in shown


def test_axes_have_numbers_for_labels_and_names_stay_as_they_are():
    tokens = make_tokens(5, classes=["$x$", "^_"])
    assert {"$x$", "^_"} <= set(texts(class_weight_figure(tokens)))
    shown = texts(path_figure(make_path(), 7.5))
    assert {"1", "10", "100"} <= set(shown) and not any("$" in text for text in shown)
    within_a_decade = make_path().query("3 < alpha < 9")
    assert {"4", "6"} <= set(texts(path_figure(within_a_decade, 7.5)))


def test_the_heat_map_of_two_classes_has_one_row():
    shown = texts(class_weight_figure(make_tokens(20, classes=["joy"])))
    assert shown.count("joy") == 1


def test_a_heat_map_of_zeros():
    tokens = make_tokens(4)
    tokens.loc[:, tokens.columns.str.startswith("weight")] = 0.0
    assert "joy" in texts(class_weight_figure(tokens))


@pytest.mark.parametrize("draw", [layer_weight_figure, class_weight_figure])
def test_no_token_is_said_in_words(draw):
    assert texts(draw(make_tokens(0))) == ["no audio token is kept"]


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_in_another_process():
    program = (
        "from tests.unit.selection.test_figures import all_figures; print(all_figures(), end='')"
    )
    root = Path(__file__).resolve().parents[3]
    other = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root)
    assert other.stdout.decode() == all_figures() == all_figures()


def all_figures():
    tokens = make_tokens(9)
    return "".join(
        [
            path_figure(make_path(), 7.5),
            layer_weight_figure(tokens),
            class_weight_figure(tokens),
        ]
    )
