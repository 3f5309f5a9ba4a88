"""`speechlasso compare`: finding experiments, comparing several, and what it prints."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from made_experiment import write_experiment
from rich.cells import cell_len
from scipy import stats

from speechlasso.cli import main
from speechlasso.evaluation.comparison_tables import WIDTH
from speechlasso.evaluation.finished import open_experiment
from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.summary import read_table
from speechlasso.files import write_json, write_parquet


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys, *arguments):
    assert main(["compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    assert main(["compare", *map(str, arguments)]) == 1
    return capsys.readouterr().err


def write_runs(project, name="mine", arms=("lasso", "text_only", "pooled"), folds=("0", "1", "2")):
    rng = np.random.default_rng(0)
    runs = [
        {"arm": arm, "fold": fold, "seed": 1, "split": split, "macro_f1": rng.random()}
        for arm in arms
        for fold in folds
        for split in ("train", "validation", "test")
    ]
    path = project / f"results/experiments/{name}/runs.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(runs).assign(n_examples=20).to_csv(path, index=False)
    return path


def test_an_experiment_is_named_by_its_name_its_folder_or_its_table(project, capsys):
    path = write_runs(project)
    texts = [printed(capsys, name) for name in ("mine", path.parent, path)]
    assert texts[0].startswith("mine: macro_f1 of the test rows, 3 folds, 1 seed\n")
    assert texts[0] == texts[1] == texts[2]


def test_what_is_missing_is_told_with_what_is_there(project, capsys):
    assert "Finished in " in refused(capsys, "mine")
    write_runs(project)
    write_runs(project, "other")
    assert refused(capsys, "mien").strip().endswith("experiments: mine, other")
    (project / "results/experiments/begun").mkdir()
    assert "begun: no runs.csv in it; run the experiment to its end" in refused(capsys, "begun")
    assert "named twice" in refused(capsys, "mine", "results/experiments/mine")
    odd = project / "odd.csv"
    odd.write_text("")
    assert "odd.csv: cannot be read as a table" in refused(capsys, odd)
    odd.write_text("a,b\n1,2\n")
    assert "no column arm, fold, seed, split; is it a runs.csv?" in refused(capsys, odd)


def test_the_former_form_is_told_the_present_one(project, capsys):
    write_runs(project)
    former = "results/experiments/mine/runs.csv", "text_only"
    told = refused(capsys, *former)
    assert f"speechlasso compare {former[0]} --reference text_only" in told
    assert "Finished in" not in told


def test_a_table_of_an_older_version_is_told_with_the_remedy(project, capsys):
    path = write_runs(project)
    told = refused(capsys, "mine", "--metric", "uar")
    assert "an older version of speechlasso wrote it, without uar" in told
    assert "snakemake --cores all --forcerun summarise" in told
    assert "no score 'f2'; it has macro_f1" in refused(capsys, "mine", "--metric", "f2")
    # The intervals of a single fold need more of the index than it once had.
    write_runs(project, folds=("0",))
    path.with_name("index.tsv").write_text("arm\tfold\tseed\tevaluation\nlasso\t0\t1\tx\n")
    assert "index.tsv: an older version" in refused(capsys, "mine")


def test_the_reference_is_that_of_the_verdicts_or_the_first_that_reads_text_alone(project, capsys):
    path = write_runs(project)
    assert "minus lasso" in printed(capsys, "mine"), "nothing tells what arms read"
    index = {"arm": ["lasso", "text_only", "pooled"], "codes": ["c", "", ""]}
    table = pd.DataFrame({**index, "frames": ["", "", "f"]})
    table.to_csv(path.with_name("index.tsv"), sep="\t", index=False)
    assert "minus text_only" in printed(capsys, "mine")
    verdict = {"arm": "lasso", "reference": "pooled", "metric": "macro_f1", "verdict": "worse"}
    pd.DataFrame([verdict | {"sentence": "lasso is worse than pooled."}]).to_csv(
        path.with_name("verdicts.csv"), index=False
    )
    text = printed(capsys, "mine")
    assert "minus pooled" in text and text.endswith("\n- lasso is worse than pooled.\n")
    row = next(line for line in text.splitlines() if line.startswith("lasso "))
    assert row.endswith("  worse")
    other = printed(capsys, "mine", "--reference", "text_only")
    assert "minus text_only" in other and "worse" not in other, "that was another comparison"
    assert "No verdicts: results/experiments/mine/index.tsv: an older version" in other


def test_long_names_are_folded_before_a_row_is_too_long(project, capsys):
    name = "lasso[tokenizer.pooling=segment,tokenizer.segment_seconds=0.5,lm.max_length=1024]"
    write_runs(project, arms=("text_only", name))
    text = printed(capsys, "mine")
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= WIDTH
    rows = lines[lines.index(next(line for line in lines if line.startswith("lasso["))) :]
    assert "".join(row.split()[0] for row in rows[: rows.index("")]) == name
    assert name in printed(capsys, "mine", "--format", "csv")


def test_csv_has_every_digit_and_nothing_else(project, capsys):
    path = write_runs(project)
    table = pd.read_csv(io.StringIO(printed(capsys, "mine", "--format", "csv")))
    runs = read_table(path).query("split == 'test'").pivot(index="fold", columns="arm")["macro_f1"]
    assert table["experiment"].unique() == ["mine"]
    of_pooled = table.set_index("arm").loc["pooled"]
    assert of_pooled["reference"] == "lasso"
    assert of_pooled["test"] == pytest.approx(runs["pooled"].mean(), rel=1e-12)
    difference = (runs["pooled"] - runs["lasso"]).mean()
    assert of_pooled["difference"] == pytest.approx(difference, rel=1e-12)


def test_latex(project, capsys):
    write_runs(project)
    text = printed(capsys, "mine", "--format", "latex")
    assert r"text\_only" in text and r"$\pm$" in text and "$-$0." in text
    typeset = [line for line in text.splitlines() if not line.startswith("%")]
    assert not [line for line in typeset if re.search(r"(?<!\\)[_%]", line)]
    below = text[text.index(r"\end{table}") :].splitlines()[1:]
    assert all(line.startswith("%") or not line for line in below)


def between(text):
    """Of the last table: the row of each arm."""
    rows = text[text.index("The same arm in other experiments") :].splitlines()[4:]
    return {row.split()[0]: row.split()[1:] for row in rows[: rows.index("")]}


def test_the_same_arm_of_two_experiments_is_paired_over_folds(project, capsys):
    tables = {
        name: write_experiment(project, ["a", "b", "c"], [1, 2], name=name, draw=draw)[0]
        for name, draw in (("one", 3), ("two", 4))
    }
    text = printed(capsys, "one", "two", "--metric", "uar")
    scores = {
        name: read_table(path).query("split == 'test'").groupby("fold")["uar"].mean()
        for name, path in tables.items()
    }
    differences = scores["two"] - scores["one"]
    # A paired t-test, but for the training rows that folds share.
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    margin = (interval.high - interval.low) / 2 * np.sqrt(1 + 3 * 30 / 30)
    p_value = stats.t.sf(abs(differences.mean()) / (margin / stats.t.ppf(0.975, 2)), 2) * 2
    expected = ["two", f"{differences.mean():+.3f}", "±", f"{margin:.3f}", "undecided"]
    assert p_value > 0.05 and between(text) == {"lasso": expected}
    side_by_side = next(line for line in text.splitlines() if line.startswith("lasso"))
    assert [f"{scores[name].mean():.3f}" in side_by_side for name in tables] == [True, True]
    table = pd.read_csv(
        io.StringIO(printed(capsys, "one", "two", "--metric", "uar", "--format", "csv"))
    ).set_index("experiment")
    assert table.loc["two", "minus_first"] == pytest.approx(differences.mean())
    assert table.loc["two", "minus_first_margin"] == pytest.approx(margin)
    assert table.loc["two", "minus_first_p_holm"] == pytest.approx(p_value)
    assert np.isnan(table.loc["one", "minus_first"])


def test_over_one_fold_its_rows_are_drawn_together(project, capsys):
    found = {
        name: write_experiment(project, ["a"], [1], name=name, draw=draw)[1]["a"]
        for name, draw in (("one", 3), ("two", 4))
    }
    text = printed(capsys, "one", "two", "--metric", "accuracy", "--average-seeds", "lasso")
    classes, right = ["joy", "anger", "fear"], {}
    for name, (rows, (probabilities,)) in found.items():
        test = (rows["split"] == "test").to_numpy()
        decided = np.array(classes)[probabilities[test].argmax(axis=1)]
        right[name] = decided == rows.loc[test, "label"].to_numpy()
    gain = right["two"].astype(float) - right["one"]
    sample = stats.bootstrap((gain,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0))
    margin = stats.t.ppf(0.975, 29) * sample.standard_error * np.sqrt(30 / 29)
    row = next(line for line in reversed(text.splitlines()) if line.startswith("lasso "))
    _, experiment, difference, _, shown, verdict = row.split()
    assert verdict == ("undecided" if abs(gain.mean()) < margin else "better")
    assert experiment == "two" and float(difference) == pytest.approx(gain.mean(), abs=5e-4)
    assert float(shown) == pytest.approx(margin, rel=0.08)
    assert "lasso, seeds averaged" in text[text.index("The same arm") :]


def changed(path, change):
    rows = pd.read_parquet(path)
    change(rows).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.replace({"id": {"u60": "v60"}}), "fold a they test other rows: 1 ids"),
        (lambda rows: rows[rows["id"] != "u61"], "1 ids are in one alone, 0 in two alone"),
        (lambda rows: rows.assign(label="fear"), "of 30 rows have another class"),
    ],
)
def test_other_test_rows_cannot_be_paired(project, capsys, change, told):
    for name in ("one", "two"):
        write_experiment(project, ["a", "b"], [1], name=name)
    path = project / "results/predict/two-a-1/predictions.parquet"
    manifest = project / "results/manifest/two/manifest.parquet"
    changed(path, change)
    changed(manifest, lambda rows: pd.concat([rows, pd.DataFrame({"id": ["v60"]})]))
    text = printed(capsys, "one", "two", "--metric", "uar")
    assert "one and two cannot be paired: in fold a" in text
    assert told in " ".join(text.split())
    assert "The same arm" not in text and "lasso" in text
    table = pd.read_csv(io.StringIO(printed(capsys, "one", "two", "--format", "csv")))
    assert len(table) == 2


def test_other_folds_or_arms_cannot_be_paired(project, capsys):
    write_runs(project, "one", arms=("a", "b"), folds=("0", "1"))
    write_runs(project, "two", arms=("a",), folds=("0", "1", "2", "3", "4", "5"))
    write_runs(project, "three", arms=("c",), folds=("0", "1"))
    text = " ".join(printed(capsys, "one", "two", "three", "--reference", "b").split())
    assert "one has 2 folds (0, 1) and two has 6 folds (0, 1, 2, 3, 4, ...)" in text
    assert "one and three have no arm in common." in text
    assert "one, minus b two, minus a three, minus c" in text


def test_an_arm_that_no_experiment_has(project, capsys):
    write_runs(project, "one", arms=("a", "b"))
    write_runs(project, "two", arms=("c",))
    told = refused(capsys, "one", "two", "--reference", "d")
    assert "no arm d; the arms are a, b, c" in told


def test_experiments_of_one_name_in_two_projects(project, capsys):
    for folder in ("here", "there"):
        write_experiment(project / folder, ["a", "b"], [1])
    text = printed(capsys, *(f"{name}/results/experiments/mine" for name in ("here", "there")))
    assert "here/results/experiments/mine" in text and "there/results/experiments/mine" in text


def test_the_root_is_that_of_the_project(project):
    path = write_runs(project)
    assert open_experiment("mine").root == project.resolve()
    assert open_experiment(str(path)).name == "mine"


def arms_of(project, name, n_folds, better):
    """Two arms on the same rows, one of them right more often by the share `better`."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": [f"u{i:03}" for i in range(300)]})
    rows["split"] = np.repeat(["train", "validation", "test"], 100)
    rows["label"] = np.where(np.arange(300) % 2, "yes", "no")
    write_parquet(project / f"results/manifest/{name}/manifest.parquet", rows[["id"]])
    runs, index = [], []
    for fold in map(str, range(n_folds)):
        noise = rng.random(300)
        for arm, share in (("words", 0.6), ("sound", 0.6 + better)):
            right = (noise < share) == (rows["label"] == "yes")
            probabilities = np.where(right, 0.9, 0.1)
            frame = predictions_frame(
                rows, np.column_stack([1 - probabilities, probabilities]), ["no", "yes"]
            )
            run = {"arm": arm, "fold": fold, "seed": 1}
            folders = {
                role: f"results/{role}/{name}-{arm}-{fold}"
                for role in ("predictions", "training", "evaluation")
            }
            write_parquet(project / folders["predictions"] / "predictions.parquet", frame)
            write_json(project / folders["training"] / "training.json", {})
            spec = {"settings": {"positive_label": None}}
            write_json(project / folders["evaluation"] / "spec.json", spec)
            index.append({**run, "manifest": f"results/manifest/{name}", **folders})
            for split, scores in evaluate(frame, None)["splits"].items():
                runs.append({**run, "split": split, **scores})
    path = project / f"results/experiments/{name}/runs.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(runs).to_csv(path, index=False)
    pd.DataFrame(index).to_csv(path.with_name("index.tsv"), sep="\t", index=False)
    return path


@pytest.mark.parametrize("n_folds", [1, 4])
def test_verdicts_are_made_anew_on_any_score_and_reference(project, capsys, n_folds):
    arms_of(project, "mine", n_folds, 0.3)
    options = "mine", "--reference", "sound", "--metric", "accuracy"
    text = printed(capsys, *options)
    assert next(line for line in text.splitlines() if line.startswith("words")).endswith("worse")
    assert "\n- words is worse than sound by " in text and "points of accuracy" in text
    (project / "results/predictions/mine-words-0/predictions.parquet").unlink()
    if n_folds > 1:
        text = " ".join(printed(capsys, *options).split())
        assert "No verdicts: " in text and "no such file; to make it again" in text
        assert "±" in text, "all else needs no predictions"
    else:
        assert "no such file; to make it again" in refused(capsys, *options)


def test_arms_of_experiments_get_verdicts_and_equal_ones_are_the_same(project, capsys):
    arms_of(project, "one", 4, 0.1)
    arms_of(project, "two", 4, 0.4)
    arms = between(printed(capsys, "one", "two", "--metric", "loss"))
    assert arms["sound"][-1] == "better", "of losses the smaller one"
    assert arms["words"] == ["two", "+0.000", "the", "same"]
