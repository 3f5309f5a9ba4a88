"""The report: test rows alone, every name as it is, and no figure that costs the page."""

from __future__ import annotations

import logging
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from made_results import CONFUSION, page_of, predictions, results
from rule_jobs import rule_job, run_script
from sklearn.metrics import f1_score

from speechlasso.evaluation.scores import evaluate
from speechlasso.evaluation.summary import (
    RunResult,
    chosen_on_validation,
    read_run,
    read_table,
    runs_table,
    summary_table,
)
from speechlasso.files import write_json, write_parquet
from speechlasso.report import evidence as evidence_module
from speechlasso.report.evidence import Evidence
from speechlasso.report.figures import (
    MOST_CLASSES,
    confusion_figure,
    selection_figure,
    selection_table,
    sweep_figure,
    swept_scores,
)
from speechlasso.report.page import render_report
from speechlasso.selection.page import render_selection
from speechlasso.selection.token_selection import Token, TokenSelection

pytestmark = pytest.mark.slow

HOSTILE = [
    *("<b>x</b>", "$", "$$", "^_", "$\\alpha$", "</svg><script>x</script>", "a&amp;b", "'\""),
    "<img src=x onerror=x>",
]


class Page(HTMLParser):
    """Tags, rows of tables, and texts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.rows, self.texts, self.attributes = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th") and data.strip():
            self.rows[-1].append(data.strip())
        if data.strip():
            self.texts.append(data.strip())


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Run both rule scripts on the files of two folds; the folder of the tables."""
    monkeypatch.chdir(tmp_path)
    index = []
    for arm in ("bow", "lasso[alpha=8]"):
        for fold in ("01", "NA"):
            run = {"arm": arm, "fold": fold, "seed": 1}
            stages = ("evaluation", "training", "predictions", "manifest")
            folders = {stage: f"results/{stage}/{arm}-{fold}" for stage in stages}
            predicted = predictions(["01", "NA"])
            write_json(f"{folders['evaluation']}/metrics.json", evaluate(predicted, None))
            write_json(f"{folders['evaluation']}/spec.json", {"settings": {"positive_label": None}})
            write_json(f"{folders['training']}/training.json", {"train_seconds": 1.0})
            write_parquet(f"{folders['predictions']}/predictions.parquet", predicted)
            write_parquet(f"{folders['manifest']}/manifest.parquet", predicted[["id"]])
            index.append({**run, **folders})
    names = {name: f"tables/{name}.csv" for name in ("runs", "summary", "verdicts", "confusion")}
    tables = names | {"index": "tables/index.tsv", "report": "tables/report.html"}
    tables |= {
        "figures": "tables/figures",
        "markdown": "tables/scores.md",
        "latex": "tables/scores.tex",
    }
    params = {"runs": index, "metric": "macro_f1", "experiment": "mine", "transductive_arms": []}
    params |= {"more_metrics": [], "modules": [], "chosen_on": "4 inner folds"}
    params |= {"reference": "bow", "margin": 0.01, "reads": {"lasso[alpha=8]": [], "bow": []}}
    params |= {"overlap_files": {}, "anchor_bias_files": {}, "described": [], "training_logs": {}}
    params |= {"codec_layers": {}, "about": {}}
    for rule in ("summarise", "report"):
        run_script(rule_job(rule, inputs=tables, outputs=tables, params=params))
    return tmp_path / "tables"


def test_tables_and_figures_are_of_test_rows_alone(written):
    html = (written / "report.html").read_text()
    assert "Settings were chosen on 4 inner folds of all rows but the test rows" in html
    page = Page(html)
    labels, predicted = [0] * 18 + [1] * 30, [0] * 7 + [1] * 11 + [0] * 13 + [1] * 17
    macro_f1 = f1_score(labels, predicted, average="macro")
    (row,) = [row for row in page.rows if row[0] == "bow" and "01" not in row and "NA" not in row]
    assert row[1].startswith(f"{macro_f1:.3f}")
    of_runs = [row for row in page.rows if row[0] == "bow" and ("01" in row or "NA" in row)]
    assert [row[3] for row in of_runs] == ["48", "48"], "test rows"
    # Both folds are summed in the matrices.
    in_figures = {
        int(text) for text in page.texts if text.isdigit() and text not in ("01", "0", "1")
    }
    assert {14, 22, 26, 34} <= in_figures
    for split in ("train", "validation"):
        numbers = {number for row in CONFUSION[split] for number in row}
        assert not numbers & in_figures and not {2 * n for n in numbers} & in_figures
        scores = evaluate(predictions(["01", "NA"]), None)["splits"][split]
        for name in ("macro_f1", "uar", "accuracy", "loss"):
            shown = {f"{scores[name]:.3f}", f"{scores[name]:.4g}"}
            assert not any(text in shown or text.split()[0] in shown for text in page.texts)


def test_every_confusion_is_written_down_by_name(written):
    table = read_table(written / "confusion.csv")
    assert list(table) == ["arm", "fold", "seed", "label", "predicted", "count"]
    assert set(table["fold"]) == {"01", "NA"} == set(table["label"])
    for _, of_run in table.groupby(["arm", "fold"]):
        counts = of_run.pivot(index="label", columns="predicted", values="count")
        assert counts.to_numpy().tolist() == CONFUSION["test"]


def test_folds_keep_their_names(written):
    page = Page((written / "report.html").read_text())
    assert {row[1] for row in page.rows if row[0] == "bow" and row[2:3] == ["1"]} == {"01", "NA"}


@pytest.mark.slow
def test_names_are_shown_as_they_are_and_change_no_tag():
    plain = Page(page_of(results(["a", "b"], ["c", "d"], ["e"])))
    page = Page(page_of(results(HOSTILE, HOSTILE[:2], HOSTILE[2:4]), experiment=HOSTILE[0]))
    assert set(page.tags) == set(plain.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    for name in HOSTILE:
        # In three tables and four figures.
        assert sum(text == name for text in page.texts) >= 7, name


def test_costs_stand_in_the_table_of_arms_and_in_a_figure_where_they_were_measured():
    page = Page(page_of(results()))
    (header, row) = [row for row in page.rows if row[0] in ("arm", "lasso")][:2]
    names = ["trainable parameters", "sequence length", "training time", "peak memory"]
    assert header[-4:] == names
    assert row[-4:] == ["4.32 k", "51.5", "1.5 min", "640 MB"]
    assert page.texts.count("Quality against cost") == 2, "heading and table of contents"
    old = Page(page_of(results(training={"train_seconds": None})))
    assert "Quality against cost" not in old.texts and "training time" not in old.texts
    assert "could not be drawn" not in " ".join(page.texts + old.texts)


def test_an_arm_that_validation_chose_has_no_cost_of_its_own_in_the_figure():
    made = results(["lasso[alpha=2]", "lasso[alpha=4]", "bow"])
    runs = runs_table(made)
    runs = pd.concat([runs, chosen_on_validation(runs, "uar")])
    html = render_report(Evidence("mine", runs, summary_table(runs), made)).html
    chosen = "lasso[alpha chosen on validation]"
    figure = html.split(">Quality against cost</h2>")[1].split("</svg>")[0]
    assert "lasso[alpha=4]" in figure and "chosen" not in figure
    assert chosen in {row[0] for row in Page(html).rows if row}


def test_classes_in_a_matrix_are_drawn_as_they_are():
    classes = [*HOSTILE, "$x_{2}$", "\\frac"]
    matrix = np.ones((len(classes), len(classes)), int).tolist()
    metrics = {"classes": classes, "splits": {"test": {"confusion": matrix}}}
    page = Page(confusion_figure("lasso", [RunResult("lasso", "0", 1, metrics, None, {})]))
    assert all(page.texts.count(name) == 2 for name in classes)


def test_long_names_are_cut_in_figures_and_whole_in_tables():
    arm = "lasso_" + 300 * "x" + "_end"
    html = page_of(results([arm], ["calm", "y" * 300]))
    # Their names, which are heard and take no room, are whole.
    drawn = [figure.split("</svg>")[0].split("</title>")[1] for figure in html.split("<svg")[1:]]
    assert drawn and all(arm not in figure for figure in drawn)
    assert any("…" in text and text.endswith("_end") for text in Page(html).texts)
    assert arm in {row[0] for row in Page(html).rows if row}


def test_a_figure_that_fails_costs_one_sentence(caplog):
    made = results(training={})
    summary = summary_table(runs_table(made))
    with caplog.at_level(logging.ERROR):
        html = page_of(made, summary=summary[summary["metric"] != "uar"])
    assert "This figure could not be drawn; the log of the rule tells why." in Page(html).texts
    assert html.count("<svg") == 3, "the others are drawn"
    assert "Traceback" in caplog.text and "score_figure" in caplog.text


def test_many_classes_show_those_with_most_errors():
    classes = [f"class {number:03d}" for number in range(150)]
    matrix = np.diag(np.full(150, 40))
    confused = list(range(5, 145, 7))
    assert len(confused) == MOST_CLASSES
    for number, other in zip(confused, confused[1:] + confused[:1], strict=True):
        matrix[number, other] = number
    metrics = {"classes": classes, "splits": {"test": {"confusion": matrix.tolist()}}}
    texts = Page(confusion_figure("lasso", [RunResult("lasso", "0", 1, metrics, None, {})])).texts
    assert "20 of 150 classes, those with most errors" in texts
    shown = [text for text in texts if text.startswith("class ")]
    assert shown == 2 * [classes[number] for number in confused]
    assert len(texts) < 500


def test_many_arms_show_the_best(monkeypatch):
    monkeypatch.setattr(evidence_module, "MOST_ARMS", 2)
    made = results([f"arm-{number}" for number in range(4)])
    runs = runs_table(made)
    is_best = runs["arm"] == "arm-3"
    runs.loc[is_best, "macro_f1"] += 0.1
    html = render_report(Evidence("mine", runs, summary_table(runs), made)).html
    drawn = Page("".join(f"<svg{part.split('</svg>')[0]}</svg>" for part in html.split("<svg")[1:]))
    assert len({text for text in drawn.texts if text.startswith("arm-")}) == 2
    assert "arm-3" in drawn.texts
    assert any("Figures show 2 of 4 arms" in text for text in Page(html).texts)
    assert len({row[0] for row in Page(html).rows if row and row[0].startswith("arm-")}) == 4


@pytest.mark.parametrize("n_classes", [3, 150])
def test_the_page_of_a_selection_shows_names_as_they_are(n_classes):
    classes = (HOSTILE + [f"class {number}" for number in range(150)])[:n_classes]
    tokens = [Token(0, code, code, 1.0 + code) for code in range(4)]
    weights = {name: [1.0, 0.0, -1.0, 2.0] for name in classes}
    table = pd.DataFrame({"rank": range(4), "layer": 0, "code": range(4), "weight": 1.0})
    columns = [f"{kind}_{name}" for kind in ("weight", "df") for name in classes]
    table = table.join(pd.DataFrame(0.5, index=table.index, columns=columns))
    occurrences = pd.DataFrame({"rank": [0], "id": ["<i>u</i>"], "clip": ["<b>.wav"]})
    selection = TokenSelection("lasso", tokens, 64, {"alpha": 8.0}, class_weights=weights)
    page = Page(render_selection("<b>mine</b>", selection, table, occurrences, None))
    assert not {"b", "i"} & set(page.tags) and page.tags.count("script") == 1
    assert {"<i>u</i>", "<b>.wav", *HOSTILE[:3]} <= set(page.texts)
    assert any(text.startswith("<b>mine</b>, of 64") for text in page.texts)
    shown = [text for text in page.texts if text.startswith("df_")]
    assert len(shown) == min(n_classes, 30)


def test_the_page_says_where_trainings_and_adaptations_differ_in_what_computed_them(tmp_path):
    results = []
    for seed, device in ((1, "A100"), (2, "H100")):
        folders = {
            stage: str(tmp_path / f"{stage}{seed}") for stage in ("evaluation", "training", "adapt")
        }
        write_json(f"{folders['evaluation']}/metrics.json", evaluate(predictions(["a", "b"]), None))
        training = {"environment": {"torch": "2.1", "precision": "fp32"}}
        write_json(f"{folders['training']}/training.json", training)
        adapted = {"torch": "2.1", "device": device, "precision": "bf16"}
        write_json(f"{folders['adapt']}/spec.json", {"environment": adapted})
        log = pd.DataFrame({"epoch": [0, 1], "held_out_perplexity": [9.0, 8.0]})
        log = log.assign(best=log["epoch"] == 1, seconds=1.0)
        log.to_csv(f"{folders['adapt']}/training_log.csv", index=False)
        results.append(read_run("lasso", "0", seed, **folders))
    differences = [text for text in Page(page_of(results)).texts if "Runs of this table" in text]
    (sentence,) = differences
    assert "device of the adaptation: A100 (lasso); H100 (lasso)" in sentence


@pytest.mark.parametrize("n_layers", [8, 64])
def test_selections_of_many_layers_fit_a_page(n_layers):
    """Numbers in cells, or shades where there is no room; the table has all either way."""
    layers = {"lasso": [0, 0, n_layers - 1], "random": range(0, n_layers, 2)}
    of_arms = {
        arm: [RunResult(arm, "0", 1, {}, {"tokens": [{"layer": layer} for layer in kept]}, {})]
        for arm, kept in layers.items()
    }
    drawn = selection_figure(of_arms)
    assert float(re.search(r'width="([0-9.]+)pt"', drawn)[1]) < 720
    assert {"lasso", "random", "codec layer"} <= set(Page(drawn).texts)
    table = selection_table(of_arms)
    assert len(table.columns) < 12
    by_arm = table.set_index(table.columns[0])
    by_arm = by_arm if "lasso" in by_arm.index else by_arm.T
    assert by_arm.loc["lasso"].replace(0, np.nan).dropna().to_dict() == {
        "layer 0": 2.0,
        f"layer {n_layers - 1}": 1.0,
        "all layers": 3.0,
    }


def test_scores_over_a_setting_that_arms_ran_with_in_several_values():
    arms = ["b[speech_fraction=1]", "b[speech_fraction=0.1]", "c[speech_fraction=0]", "a"]
    arms += ["d[alpha=2]", "e[alpha=1,rank=8]", "f[rank=low]", "f[rank=high]"]
    columns = {"mean": 0.5, "ci_low": 0.4, "ci_high": 0.7}
    metrics = ("macro_f1", "uar")
    summary = pd.DataFrame([{"arm": a, "metric": m, **columns} for a in arms for m in metrics])
    swept = swept_scores(summary)
    assert list(swept) == ["speech_fraction"], "one value of alpha, of a rank no number"
    rows = swept["speech_fraction"].query("metric == 'uar'")
    assert list(zip(rows["family"], rows["value"], strict=True)) == [("c", 0), ("b", 0.1), ("b", 1)]
    drawn = sweep_figure("speech_fraction", swept["speech_fraction"])
    assert all(f">{text}<" in drawn for text in ("speech_fraction", "0.1", "macro F1", "b", "c"))


def test_schemes_are_lines_of_one_figure_over_their_parts():
    parts, schemes = [0, 0.02, 0.1, 0.5, 1], ["direct_mix", "curriculum", "direct_mix_unheard"]
    summary = pd.DataFrame(
        [
            {"arm": f"{scheme}[speech_fraction={part:g}]", "metric": metric, "mean": part / 2}
            for scheme in schemes
            for part in parts
            for metric in ("macro_f1", "uar")
        ]
    ).assign(ci_low=0.0, ci_high=0.9)
    (swept,) = swept_scores(summary).values()
    drawn = sweep_figure("speech_fraction", swept)
    lines = re.findall(r'<path d="([^"]*)" clip-path=[^>]*stroke: (#\w+)', drawn)
    colours = [colour for path, colour in lines if len(re.findall("[ML]", path)) == len(parts)]
    # Each in both panels; intervals are lines between two points.
    assert sorted(Counter(colours).values()) == [2] * len(schemes)
    assert all(f">{text}<" in drawn for text in (*schemes, *(f"{part:g}" for part in parts)))
