"""Sections: there where their files are, in their order, and of bounded size."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_report import (
    ARMS,
    SOUND,
    full_evidence,
    made_about,
    made_errors,
    made_selection,
    made_verdicts,
)
from made_results import predictions, results
from sklearn.metrics import f1_score, precision_recall_fscore_support

from speechlasso.blocks import Group, SoundBudget, Sounds, Table, Text
from speechlasso.evaluation.summary import best_first, runs_table, summary_table
from speechlasso.files import write_parquet
from speechlasso.report import background, curves, reading, scores, why
from speechlasso.report.compared import compared_section
from speechlasso.report.evidence import Evidence
from speechlasso.report.figures import pareto_front
from speechlasso.report.page import render_report
from speechlasso.report.scores import verdict_table


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing takes most of the time."""
    monkeypatch.setattr("speechlasso.blocks.drawn_or_none", lambda *content: None)


def titles(section):
    return [block.title for block in section.blocks if isinstance(block, Group)]


def test_what_is_not_there_has_no_section(undrawn):
    made = results(["text_only"], training={})
    made = [result.__class__(**result.__dict__ | {"selection": None}) for result in made]
    runs = runs_table(made)
    html = render_report(Evidence("mine", runs, summary_table(runs), made)).html
    for title in ("Verdict", "Quality against cost", "Curves", "Provenance", "Speech anchor bias"):
        assert f">{title}<" not in html
    assert "No arm reads audio." in html


def test_why_has_its_groups_in_order(undrawn):
    (section,) = why.why_sections(full_evidence())
    assert titles(section) == [
        "Tokens you can hear: lasso, fold 01",
        "Selected audio tokens",
        "Audio tokens to text tokens",
        "How much audio changes decisions",
        "Errors that audio mended (3)",
        "Errors that audio made (2)",
        "Results by group",
    ]


def test_errors_are_shown_by_rank_with_their_sounds(undrawn):
    errors = made_errors().assign(rank=[3, 1, 2, 2, 1])
    evidence = full_evidence(errors=errors, clips={"a": SOUND, "b": None})
    mended, broken = (group.blocks[1] for group in why._errors(evidence, SoundBudget()))
    assert mended.frame["id"].tolist() == ["b", "c", "a"] and broken.frame["id"].tolist() == list(
        "ed"
    )
    assert list(mended.sounds) == [None, None, SOUND] and not broken.sounds
    assert mended.caption == "lasso is right, text_only is wrong"
    assert broken.caption == "text_only is right, lasso is wrong"


def test_what_was_compared_in_numbers_and_words(undrawn):
    section = compared_section(full_evidence())
    words, classes, arms, tokens = section.blocks
    labels = np.repeat(["calm", "tense"], [18, 30])
    majority = f1_score(labels, np.full(48, "tense"), average="macro", zero_division=0)
    for told in (
        "The utterances of x.csv. Each arm learned the task on 3 folds with 1 seed.",
        "The test rows come from 3 groups. There are 2 classes.",
        f"tense, is right on 62.5% of the test rows, a macro F1 of {majority:.3f}",
    ):
        assert told in words.words
    columns = ["class", "train, mean of a fold", "validation, mean of a fold", "test, all folds"]
    assert list(classes.frame) == [*columns, "share of test"]
    assert classes.frame.to_numpy().tolist() == [
        ["all classes", 246.0, 252.0, 144, "100.0%"],
        ["tense", 126.0, 140.0, 90, "62.5%"],
        ["calm", 120.0, 112.0, 54, "37.5%"],
    ]
    assert arms.frame["arm"].tolist() == list(ARMS) and tokens.words.startswith("codec: ")
    one_fold = {"results": results(), "runs": runs_table(results())}
    _, classes = compared_section(full_evidence(**one_fold, about={}, groups=None)).blocks
    columns = ["class", "train", "validation", "test", "share of test"]
    assert list(classes.frame) == columns and classes.frame["test"].tolist() == [48, 30, 18]


def test_shares_of_mended_and_broken_stand_beside_the_scores_of_each_group(undrawn):
    (group,) = why._groups(full_evidence())
    scores_of, shares = (block for block in group.blocks if isinstance(block, Table))
    assert list(shares.frame) == ["group", "n", "lasso: mended", "lasso: broken"]
    assert shares.frame.iloc[1].tolist() == ["speaker 2", 20, "30.0%", "5.0%"]
    assert shares.keys["lasso: mended"] == [0.25, 0.3, 0.125]
    assert shares.frame["group"].tolist() == scores_of.frame["group"].tolist()
    (group,) = why._groups(full_evidence(errors_by_group=None))
    assert sum(isinstance(block, Table) for block in group.blocks) == 1


def test_sound_beyond_the_limit_is_left_out_and_the_page_says_so(undrawn, monkeypatch):
    monkeypatch.setattr(SoundBudget, "left", 7 * len(SOUND))
    monkeypatch.setattr(SoundBudget.__init__, "__defaults__", (7 * len(SOUND), 0, 0))
    (section,) = why.why_sections(full_evidence())
    told, heard = section.blocks[:2]
    assert isinstance(told, Text) and told.words.startswith("38 of 45 recordings are left out")
    # All five errors, and of the tokens the first places.
    players = [block for block in heard.blocks if isinstance(block, Sounds)]
    assert [len(player.sounds) for player in players] == [1, 1]
    assert all(player.sounds[0][0].startswith("1. u7, 0.25 to 0.75 s") for player in players)


def test_many_tokens_and_classes_show_the_strongest(undrawn):
    names = [f"class {number}" for number in range(40)]
    made = made_selection(n=90, names=names)
    group = next(iter(why._heard(full_evidence(selections=[made]), SoundBudget())))
    table = next(block for block in group.blocks if isinstance(block, Table))
    assert table.frame.shape == (why.MOST_TOKENS, 4 + 2 * why.MOST_CLASSES)
    strongest = made.tokens.nlargest(why.MOST_TOKENS, "weight")["rank"]
    assert table.frame["token"].tolist() == strongest.tolist()
    some = "20 of 90 of largest weight; d/page.html shows all, 28 of the classes left out."
    layers = made_about()["tokens"]["lasso"]
    assert group.blocks[0].words == f"The kept audio tokens, the {some} {layers}"
    name = table.frame.columns[-1].removeprefix("in ")
    assert f"for {name}" in table.frame
    share = made.tokens.set_index("rank").at[table.frame["token"].iloc[0], f"df_{name}"]
    assert table.frame[f"in {name}"].iloc[0] == f"{share:.1%}"


def test_a_ranking_has_no_weights_for_classes_and_two_classes_share_one(undrawn):
    tokens = made_selection(n=3).tokens
    of_one, of_none = tokens.drop(columns="weight_calm"), tokens.filter(regex="^(?!weight_)")
    columns = ["token", "layer", "code", "weight"]
    for shown, weights in ((of_one, ["for tense"]), (of_none, [])):
        frame, _, n_left = why._weights(shown)
        assert list(frame) == [*columns, *weights, "in calm", "in tense"] and n_left == 0


def test_quarters_of_equal_ends_look_apart(undrawn):
    values = ["0.65 to 1.09", "1.09 to 1.29", "1.30 to 1.48"]
    scores = {"column": "length in seconds", "value": values, "n": 4, "macro_f1": 0.5}
    groups = pd.DataFrame({"arm": "lasso", **scores})
    (group,) = why._groups(full_evidence(groups=groups, errors_by_group=None))
    table = next(block for block in group.blocks if isinstance(block, Table))
    shown = table.frame["length in seconds"].tolist()
    assert shown == ["0.65 to 1.09", "above 1.09 to 1.29", "1.30 to 1.48"]


def test_verdicts_in_few_digits_sort_in_full():
    verdicts = made_verdicts().assign(p_holm=[0.0416, 1e-9, np.nan, 0.5])
    verdicts.loc[0, ["difference", "ci_low", "ci_high"]] = -0.0414, -0.1, 0.02
    verdicts.loc[1, ["ci_low", "ci_high"]] = np.nan
    frame, keys = verdict_table(verdicts)
    assert frame["difference"].tolist()[:2] == ["−0.041 [−0.100, +0.020]", "+0.083"]
    assert frame["p"].tolist() == ["0.042", "< 0.001", "", "0.500"]
    assert frame["alone right"].tolist()[0] == "14 : 3"
    assert keys["p"].tolist()[:2] == [0.0416, 1e-9]


def test_many_sentences_are_those_of_the_table_then(undrawn):
    verdicts = pd.concat(5 * [made_verdicts()])
    blocks = scores._verdict(full_evidence(verdicts=verdicts))
    assert [type(block).__name__ for block in blocks] == [*7 * ["Text"], "Table", "Text"]
    assert blocks[6].words == "14 more in the table below, the best arms first."
    assert len(blocks[7].frame) == len(verdicts)
    best = verdicts.sort_values("difference", ascending=False)["sentence"].tolist()
    assert [block.words for block in blocks[:6]] == best[:6]
    of_loss = made_verdicts().assign(metric="loss")
    first = scores._verdict(full_evidence(verdicts=of_loss))[0]
    assert first.words == of_loss["sentence"][0], "where less is better"


def test_a_vote_or_a_score_that_repeats_another_is_left_out_of_the_table_of_arms():
    made = full_evidence()
    copies = [
        made.summary[made.summary["arm"] == "lasso"].assign(arm=f"lasso, seeds {kind}")
        for kind in ("averaged", "voted")
    ]
    summary = pd.concat([made.summary, *copies], ignore_index=True)
    frame, _ = scores.arm_table(summary, made.test)
    assert frame["arm"].tolist() == [*ARMS, "lasso, seeds averaged"]
    # The made runs have a macro F1 of their own, so that the two differ.
    assert {"macro F1", "macro_f1_present"} <= set(frame)
    is_f1 = summary["metric"] == "macro_f1"
    summary.loc[summary["metric"] == "macro_f1_present", "mean"] = summary.loc[is_f1, "mean"].array
    is_vote = summary["arm"] == "lasso, seeds voted"
    summary.loc[is_vote & (summary["metric"] == "uar"), "mean"] += 0.01
    frame, _ = scores.arm_table(summary, made.test)
    assert frame["arm"].tolist()[-1] == "lasso, seeds voted" and "macro_f1_present" not in frame
    frame, _ = scores.arm_table(summary, made.test, "macro_f1_present")
    assert list(frame)[1] == "macro_f1_present"


NUMBERS = st.integers(0, 5).map(float)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8))
def test_the_front_is_what_none_beats(points):
    names = [f"arm {number}" for number in range(len(points))]
    table = pd.DataFrame(points, index=names, columns=["cost", "score"], dtype=float)
    front = pareto_front(table["cost"], table["score"])
    for name, (cost, score) in table.iterrows():
        others = table.drop(index=name)
        beaten = (others["cost"] <= cost) & (others["score"] >= score)
        beaten &= (others["cost"] < cost) | (others["score"] > score)
        equal = others[(others["cost"] == cost) & (others["score"] == score)]
        if name in front:
            assert not beaten.any()
        else:
            assert beaten.any() or set(equal.index) & set(front)
    assert table.loc[front, "cost"].is_monotonic_increasing


def test_selections_of_the_best_arms_are_read_each_once(tmp_path):
    made = made_selection(n=3)
    described = []
    for arm, folder in [("a", "x"), ("b", "x"), ("c", "y"), ("d", "z"), ("e", "w")]:
        where = str(tmp_path / folder)
        described.append({"arm": arm, "fold": "01", "description": where})
        write_parquet(f"{where}/tokens.parquet", made.tokens)
        write_parquet(f"{where}/listening.parquet", made.listening)
    described[2]["path"] = described[2]["description"]
    write_parquet(f"{described[2]['path']}/path.parquet", made.path)
    ran = results(list("abcde"), folds=("01",))
    means = {"metric": "macro_f1", "mean": [0.1, 0.5, 0.9, 0.7, 0.2]}
    summary = pd.DataFrame({"arm": list("abcde"), **means})
    read = list(reading._selections(described, best_first(summary, "macro_f1"), ran))
    assert [one.arm for one in read] == ["c", "d", "b"]
    assert [one.path is not None for one in read] == [True, False, False]


@pytest.mark.slow
def test_the_score_that_the_experiment_is_judged_by_leads_the_page(monkeypatch):
    made = full_evidence(metric="loss")
    best = best_first(made.summary, "loss")
    means = made.summary[made.summary["metric"] == "loss"].set_index("arm")["mean"]
    assert means[best].is_monotonic_increasing
    columns = list(scores.arm_table(made.summary, made.test, "loss")[0])
    assert columns[:2] == ["arm", "loss (nats)"] and "loss (nats), sd over seeds" in columns
    found = render_report(full_evidence(metric="loss", groups=None))
    assert "Test loss (nats) over the time that arms take to train" in found.html
    assert "could not be drawn" not in found.html
    assert set(pd.read_csv(StringIO(found.figures["scores.csv"]))["metric"]) == {"loss", "macro_f1"}
    monkeypatch.setattr("speechlasso.report.evidence.MOST_ARMS", 1)
    assert full_evidence(metric="loss").shown == best[:1]


@pytest.mark.slow
def test_scores_over_codec_layers_where_arms_choose_from_different_ones():
    found = full_evidence()
    (group,) = curves._layers(found)
    data = group.blocks[0].data
    assert set(data["codec_layers"]) == {"1, 2, 3", "all"} and "text_only" not in set(data["arm"])
    means = found.summary.set_index(["arm", "metric"])["mean"]
    shown = data.set_index(["arm", "metric"])["mean"]
    pd.testing.assert_series_equal(shown, means[shown.index])
    assert "1, 2, 3: lasso" in group.blocks[0].svg
    assert not list(curves._layers(full_evidence(codec_layers={"lasso": "all"})))
    assert not list(curves._layers(full_evidence(codec_layers={})))


def test_scores_of_each_class_stand_below_the_confusion(undrawn):
    made = results(["text_only", "lasso"], folds=("0", "1"))
    runs = runs_table(made)
    *_, table = background._confusion(Evidence("mine", runs, summary_table(runs), made))
    arms, classes = ["text_only", "lasso"], ["calm", "tense"]
    assert table.frame["class"].tolist() == [name for name in classes for _ in arms]
    assert table.frame["arm"].tolist() == arms * 2
    test = predictions(classes).query("split == 'test'")
    expected = precision_recall_fscore_support(test["label"], test["predicted"])[:3]
    found = table.frame[["precision", "recall", "F1"]].to_numpy()
    np.testing.assert_allclose(found, np.repeat(np.stack(expected, axis=1), 2, axis=0))


@pytest.mark.slow
def test_provenance_is_of_the_arms_that_ran_and_says_where_all_of_it_is():
    made = full_evidence().provenance
    arms = made["configuration"]["arms"] | {
        "lasso": {"system": "late_fusion", "arms": ["heard", "bow"]},
        "heard": {"system": "late_fusion", "arms": ["inner", "bow"]},
        "inner": {"system": "token_lm"},
    }
    configuration = made["configuration"] | {"arms": arms}
    for changed, told in ((False, "no uncommitted changes"), (True, "with changes that are not")):
        workflow = made["workflow"] | {"changed": changed}
        found = made | {"configuration": configuration, "workflow": workflow}
        groups = background._provenance(full_evidence(provenance=found))
        tables = {group.title: group.blocks[0] for group in groups if isinstance(group, Group)}
        assert {table.whole for table in tables.values()} == {"provenance.json"}
        keys = tables["Configuration"].frame["key"]
        of_arms = keys.str.extract(r"^arms\.(\w+)")[0].dropna().unique().tolist()
        assert of_arms == ["text_only", "bow", "lasso", "heard", "inner"]
        versions = tables["Versions and machine"].frame.set_index("what")["version"]
        assert versions["commit of the workflow"].startswith(f"d49e953, {told}")
