"""The model card: what the hub reads of it, and that it says nothing but facts of the run."""

from __future__ import annotations

import json
import re
from html import escape as escape_html

import pytest
from huggingface_hub import ModelCard
from made_card import HUB_NAME, card
from markdown_it import MarkdownIt

from speechlasso.data.settings import Folds, Table
from speechlasso.language_model.settings import Adapt


def table_rows(text, title):
    """Cells of the first table whose header begins with a title."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {title} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return [rows[0], *rows[2:]]


def test_the_hub_reads_the_scores_of_the_run():
    metrics, text = card()
    data = ModelCard(text).data
    assert data.base_model == HUB_NAME
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-classification"
    assert data.tags == ["speechlasso", "speech"]
    assert data.language == "en", "the demo corpus is English"
    found = {(one.dataset_split, one.metric_name): one.metric_value for one in data.eval_results}
    expected = {
        (split, title): round(metrics["splits"][split][score], 4)
        for split in ("validation", "test")
        for score, title in (
            ("accuracy", "accuracy"),
            ("macro_f1", "macro F1"),
            ("uar", "unweighted average recall"),
            ("weighted_f1", "weighted F1"),
        )
    }
    assert found == expected


def test_tables_hold_what_was_measured():
    metrics, text = card(positive_label="loud", classes=("calm", "loud"))
    splits = metrics["splits"]
    assert table_rows(text, "split") == [
        ["split", "utterances", "calm", "loud"],
        *(
            [name, str(splits[name]["n_examples"])]
            + [str(of_class["support"]) for of_class in splits[name]["per_class"]]
            for name in ("train", "validation", "test")
        ),
    ]
    scores = {row[0]: row[1:] for row in table_rows(text, "")}
    for title, score in (("macro F1", "macro_f1"), ("F1 of the positive class", "positive_f1")):
        assert scores[title] == [f"{splits[name][score]:.3f}" for name in ("validation", "test")]
    of_class = {row[0]: row[1:] for row in table_rows(text, "class")}
    for one in splits["test"]["per_class"]:
        measured = [f"{one[name]:.3f}" for name in ("precision", "recall", "f1")]
        assert of_class[one["class"]] == [*measured, str(one["support"])]
    settings = dict(table_rows(text, "setting")[1:])
    assert settings["finetune.learning_rate"] == "0.0003"
    assert settings["lm.max_length"] == "256" and settings["seed"] == "7"
    assert not any("lora" in name for name in settings)
    assert "macro_f1 on validation rows chose the epoch (2 of 3)" in text
    assert "Validation rows chose the epoch, which flatters their scores." in text
    share = splits["test"]["cut_share"]
    assert f"({100 * share:.1f} % of these were longer" in text and share > 0


def test_what_inner_folds_chose_is_told_as_such():
    _, text = card(
        classes=["calm", "loud"],
        config={"decision_threshold": {"label": "loud", "probability": 0.25}},
        folds=Folds(choose_on="inner_folds", n_inner_folds=3),
    )
    text = " ".join(text.split())
    chosen_on = "the validation rows of 3 inner folds"
    assert f"macro_f1 on {chosen_on} chose the epoch (2 of 10)" in text
    assert f"the threshold that scored best on {chosen_on}." in text
    assert "each scored by a model of an inner fold that had not learned from it." in text
    assert "Validation rows chose" not in text


def test_the_same_run_gives_the_same_bytes():
    assert card()[1] == card()[1]


def test_audio_tokens_and_where_to_look_at_them():
    _, text = card()
    assert "39 of 256 audio tokens are kept" in text
    assert "39, chosen by lasso at alpha = 8" in text
    assert "[selection.json](selection.json)" in text
    assert "results/describe_selection/lasso-1/page.html" in text
    assert "spectral_rvq, learned on the training clips alone" in text
    assert '--text "Well, no." --audio "clip.wav"' in text
    assert '.predict(text="Well, no.", audio="clip.wav")' in text
    assert "<|text|> Well, no. <|text_end|> <|audio|> <audio_token_1>" in text


def test_text_alone_says_nothing_of_audio():
    _, text = card(inputs=("text",))
    assert ModelCard(text).data.tags == ["speechlasso"]
    body = text.split("## Citation")[0]
    assert "udio" not in body and "tokenizer:" not in body and "None" not in body
    assert "Classifies utterances by words into 3 classes: calm, loud, odd." in body


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (Folds(method="given"), "The table says which row is in which split."),
        (Folds(method="stratified"), "at random by class (fold 3 of 5)"),
        (Folds(method="grouped", n_folds=4), "Whole groups of rows were divided at random (fold 3"),
        (Folds(method="leave_one_group_out"), "The test rows are those of group 3."),
    ],
)
def test_how_rows_were_divided(folds, words):
    text = card(folds=folds)[1]
    assert words in text
    assert ("Rows of one speaker may be in several splits" in text) == (
        folds.method == "stratified"
    )


def test_no_path_of_the_machine_gets_into_the_card(tmp_path):
    (tmp_path / "my-bert").mkdir()
    table = Table(path=f"{tmp_path}/calls.csv", audio_root=f"{tmp_path}/clips")
    _, text = card(lm=str(tmp_path / "my-bert"), table=table)
    assert str(tmp_path) not in text
    data = ModelCard(text).data
    assert data.base_model is None and data.language is None
    assert "Language model: my-bert" in text and "The utterances of calls.csv." in text
    assert "synthetic" not in text


def test_odd_class_names_do_not_break_tables_or_front_matter():
    classes = ("a|b", "c: d", "#e")
    metrics, text = card(classes=classes)
    assert ModelCard(text).data.eval_results
    assert [row[0] for row in table_rows(text, "class")[1:]] == [r"a\|b", "c: d", "#e"]
    assert {len(row) for row in table_rows(text, "split")} == {5}


@pytest.mark.parametrize(
    "names",
    [
        *[("<b>x</b>", "__init__"), ("a*b*", "`$x$`"), ("[a](b)", "&amp;"), ("^_", "ad_hominem")],
        *[("<img src=x onerror=alert(1)>", "$(touch x)"), ("<script>x</script>", "a|b")],
        *[("../../x", "=cmd()|' /C calc'!A0"), ("![a](b)", "{{ 7 * 7 }}"), ("# a\n\n- b", "---")],
    ],
)
def test_class_names_are_no_markup(names):
    html = MarkdownIt("gfm-like", {"linkify": False}).render(card(classes=names)[1])
    shown = [escape_html(" ".join(name.split()), quote=False) for name in names]
    for name in shown:
        assert f"<td>{name}</td>" in html
    assert f"into 2 classes: {', '.join(shown)}." in html


def test_the_name_of_a_language_models_folder_is_no_markup(tmp_path):
    (tmp_path / "<script>|`x`").mkdir()
    html = MarkdownIt("gfm-like", {"linkify": False}).render(
        card(lm=str(tmp_path / "<script>|`x`"))[1]
    )
    assert "Language model: &lt;script&gt;|`x`," in html and "<script" not in html


def test_a_tuned_threshold_is_told():
    config = json.loads('{"decision_threshold": {"label": "loud", "probability": 0.3125}}')
    text = card(classes=("calm", "loud"), positive_label="loud", config=config)[1]
    assert "The label is loud from a probability of 0.3125 on" in text
    assert "The label is" not in card()[1]


def test_what_the_model_was_adapted_to():
    assert "language modelling on the train rows, without their labels" in card()[1]
    assert "transductive" not in card()[1]
    text = card(adapt=Adapt(splits=["train", "test"]))[1]
    assert "on the train and test rows, without their labels" in text
    assert "adapted to the test rows, without their labels (transductive learning)" in text
    text = card(adapt=Adapt(objective="self_powered"))[1]
    assert "own answers to instructions about the transcripts of the train rows, without" in text
    assert "on utterances of another table, without" in card(corpus="table-1")[1]
    seen = {"validation": {"n_rows": 5, "either": 0}, "test": {"n_rows": 8, "either": 3}}
    text = card(corpus="table-1", overlap=seen)[1]
    assert "a table that holds 3 of the 8 test rows, without their labels (transductive" in text
    assert "5 validation rows" not in text
