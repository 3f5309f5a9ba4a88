import re

import numpy as np
import pandas as pd
import pytest
from made_experiment import CLASSES, write_experiment
from scipy import stats
from sklearn.metrics import log_loss, recall_score

from speechlasso.cli import main
from speechlasso.errors import InputError
from speechlasso.evaluation.comparison import compare_arms
from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.evaluation.seed_average import averaged, with_seeds_averaged
from speechlasso.files import write_json, write_parquet

N_EXAMPLES = {"train": 80, "validation": 15, "test": 20}


def made_runs(folds=("03", "08", "09"), seeds=(1, 2)):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"arm": arm, "fold": fold, "seed": seed, "split": split, "uar": rng.random()}
            for arm in ("lasso", "random", "bow[rank=1]")
            for fold in folds
            for seed in seeds
            for split in ("train", "validation", "test")
        ]
    ).assign(
        n_examples=lambda made: made["split"].map(N_EXAMPLES),
        macro_f1=0.5,
        accuracy=0.5,
        positive_f1=np.nan,
    )


def compare(runs, reference, *options):
    """The command's exit code; tables in Markdown."""
    arguments = [runs, "--reference", reference, *options, "--format", "markdown"]
    return main(["compare", *map(str, arguments)])


def cells(line):
    """Of a row of such a table."""
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_differences_are_paired_within_folds():
    runs = made_runs()
    table = compare_arms(runs, "lasso", "uar").set_index("arm")
    assert list(table.index) == ["lasso", "random", "bow[rank=1]"]
    test = runs[runs["split"] == "test"].pivot_table(index="fold", columns="arm", values="uar")
    # The interval of a paired t-test, but for the training rows that folds share.
    interval = stats.ttest_rel(test["random"], test["lasso"]).confidence_interval(0.95)
    margin = (interval.high - interval.low) / 2 * np.sqrt(1 + 3 * 20 / 80)
    row = table.loc["random"]
    assert row["n"] == 3
    assert row["test"] == pytest.approx(test["random"].mean())
    assert row["test"] - row["test_low"] == pytest.approx(row["test_high"] - row["test"])
    assert row["difference"] == pytest.approx((interval.high + interval.low) / 2)
    assert row["difference_margin"] == pytest.approx(margin)
    validation = runs.query("split == 'validation' and arm == 'random'")["uar"]
    assert row["validation"] == pytest.approx(validation.mean())
    assert table.loc["lasso", ["difference", "difference_margin"]].isna().all()


def test_seeds_do_not_pass_for_folds():
    table = compare_arms(made_runs(folds=["given"]), "lasso", "uar").set_index("arm")
    assert table["n"].tolist() == [1, 1, 1]
    assert table[["test_low", "test_high"]].isna().all(axis=None) and table["test"].notna().all()
    # Copies of a seed make nothing surer.
    once, thrice = (
        compare_arms(runs, "lasso", "uar")
        for runs in (made_runs(seeds=[1]), pd.concat([made_runs(seeds=[1])] * 3))
    )
    pd.testing.assert_frame_equal(once.drop(columns="seed_sd"), thrice.drop(columns="seed_sd"))
    assert once["seed_sd"].isna().all() and (thrice["seed_sd"] == 0).all()


def test_only_folds_that_both_arms_have_are_compared():
    runs = made_runs()
    without = runs[~((runs["arm"] == "random") & (runs["fold"] == "08"))]
    table = compare_arms(without, "lasso", "uar").set_index("arm")
    test = runs[(runs["split"] == "test") & (runs["fold"] != "08")].groupby("arm")["uar"].mean()
    assert table.loc["random", "n"] == 2
    assert table.loc["random", "difference"] == pytest.approx(test["random"] - test["lasso"])


@pytest.mark.parametrize(
    ("arm", "metric", "message"),
    [
        ("laso", "uar", "the arms are lasso, random"),
        ("lasso", "positive_f1", "they have accuracy, macro_f1, uar$"),
        ("lasso", "f2", "no score 'f2'; they have accuracy, macro_f1, uar$"),
        ("lasso", "n_examples", "no score 'n_examples'"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(arm, metric, message):
    with pytest.raises(InputError, match=message):
        compare_arms(made_runs(), arm, metric)


def test_the_command_prints_markdown(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    made_runs(folds=["03", "NA"]).to_csv(path, index=False)
    assert compare(path, "lasso", "--metric", "uar") == 0
    # NA is nothing to pandas, and square brackets are a link to Markdown.
    title, _, *lines, _, note = capsys.readouterr().out.strip().splitlines()
    assert title == "runs: uar of the test rows, 2 folds, 2 seeds".replace("runs", tmp_path.name)
    assert note == "±: half of the 95 % interval, corrected t over 2 folds"
    assert cells(lines[0]) == ["arm", "validation", "test", "sd over seeds", "minus lasso"]
    assert cells(lines[-1])[0] == r"bow\[rank=1\]" and lines[-1].count("±") == 2

    made_runs().assign(chosen_on="4 inner folds").to_csv(path, index=False)
    assert compare(path, "lasso", "--metric", "uar") == 0
    assert "\nSettings were chosen on 4 inner folds of all rows but" in capsys.readouterr().out

    assert compare(path, "lasso", "--metric", "f2") == 1
    assert "no score 'f2'; it has" in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["uar", "loss"])
def test_validation_rows_choose_between_arms_fold_by_fold(tmp_path, capsys, metric):
    # The best loss is the smallest: the negative of a score makes the same choice.
    runs = made_runs(seeds=[1]).assign(loss=lambda made: -made["uar"])
    scores = runs.pivot_table(index=["arm", "fold"], columns="split", values="uar")
    candidates = ["random", "bow[rank=1]"]
    best = scores.loc[candidates].groupby("fold")["validation"].idxmax()
    assert {arm for arm, _ in best} == set(candidates), "the example is to need both"

    path = tmp_path / "runs.csv"
    runs.to_csv(path, index=False)
    assert compare(path, "lasso", "--metric", metric, "--choose", *candidates) == 0
    last = cells(table_lines(capsys)[-1])
    assert last[0] == r"random or bow\[rank=1\], chosen on validation"
    sign = -1 if metric == "loss" else 1
    expected = sign * scores.loc[best].mean()
    assert float(last[1]) == pytest.approx(expected["validation"], abs=5e-4)
    assert float(last[2].split("±")[0]) == pytest.approx(expected["test"], abs=5e-4)

    assert compare(path, "lasso", "--choose", "randm") == 1
    assert "no arm randm" in capsys.readouterr().err


def table_lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("metric", "folds"), [("uar", ["03", "NA"]), ("loss", ["given"])])
def test_the_mean_probabilities_of_the_seeds_decide(tmp_path, capsys, metric, folds):
    table, drawn = write_experiment(tmp_path, folds, seeds=[1, 2, 3])
    assert compare(table, "lasso", "--metric", metric, "--average-seeds", "lasso") == 0
    last = cells(table_lines(capsys)[-1])
    assert last[0] == "lasso, seeds averaged"
    for column, split in ((1, "validation"), (2, "test")):
        scores = []
        for rows, probabilities in drawn.values():
            of_split, mean = rows["split"] == split, np.mean(probabilities, axis=0)
            labels = [CLASSES.index(label) for label in rows.loc[of_split, "label"]]
            if metric == "uar":
                decided = mean[of_split].argmax(axis=1)
                scores.append(recall_score(labels, decided, average="macro"))
            else:
                scores.append(log_loss(labels, mean[of_split], labels=range(3)))
        assert float(last[column].split("±")[0]) == pytest.approx(np.mean(scores), abs=5e-4)


def test_seeds_whose_predictions_are_gone_are_named(tmp_path, capsys):
    table, _ = write_experiment(tmp_path, ["03"], seeds=[1, 2])
    missing = tmp_path / "results/predict/mine-03-2/predictions.parquet"
    missing.unlink()
    assert compare(table, "lasso", "--average-seeds", "lasso") == 1
    message = capsys.readouterr().err
    assert f"{missing}: no such file; to make it again, in {tmp_path}: " in message
    assert "snakemake --cores all results/predict/mine-03-2/predictions.parquet" in message
    assert compare(table, "lasso", "--average-seeds", "lazzo") == 1
    assert "no arm lazzo; the arms are lasso" in capsys.readouterr().err


def difference_of_bootstrap(table, metric, arms, capsys):
    """What `compare` prints for the second arm: its difference to the first, and the margin."""
    assert compare(table, arms[0], "--metric", metric, "--average-seeds", "lasso") == 0
    printed = capsys.readouterr().out
    (row,) = (line for line in printed.splitlines() if line.startswith(f"| {arms[1]} "))
    return *map(float, cells(row)[-1].split("±")), printed.strip().splitlines()[-1]


@pytest.mark.parametrize("group", [None, lambda number: number % 5])
def test_averaged_seeds_of_one_fold_have_a_difference_with_its_interval(tmp_path, capsys, group):
    table, drawn = write_experiment(tmp_path, ["given"], seeds=[1, 2, 3], group=group)
    arms = "lasso", "lasso, seeds averaged"
    difference, margin, note = difference_of_bootstrap(table, "accuracy", arms, capsys)
    rows, probabilities = drawn["given"]
    test = (rows["split"] == "test").to_numpy()
    labels = rows.loc[test, "label"].map(CLASSES.index).to_numpy()
    right = np.mean([each[test].argmax(axis=1) == labels for each in probabilities], axis=0)
    of_mean = np.mean(probabilities, axis=0)[test].argmax(axis=1) == labels
    gain = of_mean - right
    assert difference == pytest.approx(gain.mean(), abs=5e-4)
    # Groups are of one size here: the mean of their means is the mean, as for rows.
    units = gain if group is None else gain.reshape(6, 5).mean(axis=0)
    found = stats.bootstrap(
        (units,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    )
    n = len(units)
    expected = stats.t.ppf(0.975, n - 1) * found.standard_error * np.sqrt(n / (n - 1))
    assert margin == pytest.approx(expected, rel=0.08)
    what = "5 groups, 30 rows" if group else "30 rows"
    assert note == f"±: half of the 95 % interval, bootstrap over {what}"


def test_an_interval_that_is_not_symmetric_is_shown_by_its_ends(tmp_path, capsys):
    table, _ = write_experiment(tmp_path, ["given"], seeds=[1, 2])
    arms = "lasso", "lasso, seeds averaged"
    difference_of_bootstrap(table, "roc_auc", arms, capsys)
    assert compare(table, "lasso", "--metric", "roc_auc") == 0
    score = cells(table_lines(capsys)[-1])[2]
    mean, low, high = map(float, re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", score).groups())
    assert low < mean < high
    assert high - mean != pytest.approx(mean - low, abs=2e-3)


def test_an_arm_chosen_on_validation_is_resampled_as_the_arm_it_stands_for(tmp_path, capsys):
    table, _ = write_experiment(tmp_path, ["given"], seeds=[1, 2])
    assert compare(table, "lasso", "--choose", "lasso") == 0
    one, other = (cells(line)[2] for line in table_lines(capsys)[2:])
    assert one == other and "±" in one


def test_tuned_thresholds_are_averaged_with_the_probabilities(tmp_path, capsys):
    """A rare class that no model gives one half: the likeliest class would never be it."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(200)], "split": "test"})
    rows["label"] = np.where(np.arange(200) < 30, "rare", "common")
    signal = 0.1 + 0.1 * (rows["label"] == "rare")
    index = []
    for seed in (1, 2, 3):
        rare = np.clip(signal + rng.normal(0, 0.05, 200), 0, 1)
        probabilities = np.stack([1 - rare, rare], axis=1)
        threshold = {"label": "rare", "probability": 0.14 + 0.005 * seed}
        frame = predictions_frame(rows, probabilities, ["common", "rare"], threshold=threshold)
        run = {"arm": "lasso", "fold": "given", "seed": seed}
        for stage in ("predictions", "training", "evaluation", "manifest"):
            run[stage] = f"results/{stage}/{seed}"
        index.append(run)
        write_parquet(tmp_path / run["predictions"] / "predictions.parquet", frame)
        write_parquet(tmp_path / run["manifest"] / "manifest.parquet", rows[["id"]])
        write_json(tmp_path / run["training"] / "training.json", {"decision_threshold": threshold})
        spec = {"settings": {"positive_label": "rare"}}
        write_json(tmp_path / run["evaluation"] / "spec.json", spec)
        single = evaluate(frame, "rare")["splits"]["test"]["positive_f1"]
        assert 0.5 < single < 0.75
    runs, _ = with_seeds_averaged(pd.DataFrame(index), "lasso", tmp_path)
    assert runs["positive_f1"].item() > 0.8


def test_models_are_averaged_by_id_and_class_whatever_their_order():
    rows = pd.DataFrame({"id": ["u", "v"], "split": "test", "label": ["b", "a"]})
    one = predictions_frame(rows, np.array([[0.9, 0.1], [0.2, 0.8]]), ["a", "b"])
    other = predictions_frame(rows[::-1], np.array([[0.5, 0.5], [0.9, 0.1]]), ["b", "a"])
    mean = averaged([one, other], [None, None])
    assert mean["id"].tolist() == ["u", "v"]
    np.testing.assert_allclose(mean[["p_a", "p_b"]], [[0.5, 0.5], [0.35, 0.65]])
    assert mean["predicted"].tolist() == ["a", "b"]
    assert averaged([one], [None]) is one
    third = predictions_frame(rows, np.array([[0.9, 0.1], [0.2, 0.8]]), ["a", "c"])
    with pytest.raises(InputError, match="models of different classes cannot be averaged"):
        averaged([one, third], [None, None])
