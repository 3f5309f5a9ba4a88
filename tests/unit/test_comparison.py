import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import log_loss, recall_score

from speechlasso.cli import main
from speechlasso.comparison import compare_arms
from speechlasso.errors import InputError
from speechlasso.evaluation import evaluate, predictions_frame
from speechlasso.files import write_json, write_parquet


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
    ).assign(macro_f1=0.5, accuracy=0.5, positive_f1=np.nan)


def test_differences_are_paired_within_folds():
    runs = made_runs()
    table = compare_arms(runs, "lasso", "uar").set_index("arm")
    assert list(table.index) == ["lasso", "random", "bow[rank=1]"]
    test = runs[runs["split"] == "test"].pivot_table(index="fold", columns="arm", values="uar")
    # A paired t-test has the same interval.
    interval = stats.ttest_rel(test["random"], test["lasso"]).confidence_interval(0.95)
    row = table.loc["random"]
    assert row["n"] == 3
    assert row["test"] == pytest.approx(test["random"].mean())
    assert row["difference"] - row["difference_margin"] == pytest.approx(interval.low)
    assert row["difference"] + row["difference_margin"] == pytest.approx(interval.high)
    validation = runs.query("split == 'validation' and arm == 'random'")["uar"]
    assert row["validation"] == pytest.approx(validation.mean())
    assert table.loc["lasso", ["difference", "difference_margin"]].isna().all()


def test_seeds_count_where_there_is_one_fold_and_one_unit_has_no_interval():
    assert compare_arms(made_runs(folds=["given"]), "lasso", "uar")["n"].tolist() == [2, 2, 2]
    table = compare_arms(made_runs(folds=["given"], seeds=[1]), "lasso", "uar")
    assert table["test_margin"].isna().all() and table["test"].notna().all()


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
        ("lasso", "positive_f1", "they have accuracy, macro_f1, uar"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(arm, metric, message):
    with pytest.raises(InputError, match=message):
        compare_arms(made_runs(), arm, metric)


def test_the_command_prints_markdown(tmp_path, capsys):
    path = tmp_path / "runs.csv"
    made_runs(folds=["03", "NA"]).to_csv(path, index=False)
    assert main(["compare", str(path), "lasso", "--metric", "uar"]) == 0
    # Square brackets are markup to rich, and NA is nothing to pandas.
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].split("|")[1].strip() == "arm" and "minus lasso" in lines[0]
    assert {line.split("|")[2].strip() for line in lines[2:]} == {"2"}
    assert lines[-1].split("|")[1].strip() == "bow[rank=1]" and lines[-1].count("±") == 2

    assert main(["compare", str(tmp_path / "other.csv"), "lasso"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["compare", str(path), "lasso", "--metric", "f2"]) == 1
    assert "no column f2" in capsys.readouterr().err


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
    assert main(["compare", str(path), "lasso", "--metric", metric, "--choose", *candidates]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1].split("|")
    assert last[1].strip() == "random or bow[rank=1], chosen on validation"
    sign = -1 if metric == "loss" else 1
    expected = sign * scores.loc[best].mean()
    assert float(last[3]) == pytest.approx(expected["validation"], abs=5e-4)
    assert float(last[4].split("±")[0]) == pytest.approx(expected["test"], abs=5e-4)

    assert main(["compare", str(path), "lasso", "--choose", "randm"]) == 1
    assert "no arm randm" in capsys.readouterr().err


CLASSES = ["joy", "anger", "fear"]


def write_experiment(project, folds, seeds, classifier="predict"):
    """Runs of an arm with drawn probabilities; returns runs.csv and the probabilities by fold."""
    rng = np.random.default_rng(3)
    runs, index, drawn = [], [], {}
    for fold in folds:
        rows = pd.DataFrame({"id": [f"u{i}" for i in range(60)]})
        rows["split"] = np.repeat(["validation", "test"], 30)
        rows["label"] = rng.choice(CLASSES, 60)
        for seed in seeds:
            probabilities = rng.dirichlet(np.ones(3), 60)
            drawn.setdefault(fold, (rows, []))[1].append(probabilities)
            # No file promises an order of rows.
            frame = predictions_frame(rows, probabilities, CLASSES).sample(
                frac=1, random_state=seed
            )
            predict, scored = f"results/predict/{fold}-{seed}", f"results/evaluate/{fold}-{seed}"
            write_parquet(project / predict / "predictions.parquet", frame)
            write_json(project / scored / "spec.json", {"settings": {"positive_label": "joy"}})
            run = {"arm": "lasso", "fold": fold, "seed": seed}
            index.append({**run, classifier: predict, "evaluate": scored})
            for split, scores in evaluate(frame, "joy")["splits"].items():
                runs.append({**run, "split": split, **scores})
    table = project / "results/experiments/mine/runs.csv"
    table.parent.mkdir(parents=True)
    pd.DataFrame(runs).to_csv(table, index=False)
    pd.DataFrame(index).to_csv(table.with_name("index.tsv"), sep="\t", index=False)
    return table, drawn


@pytest.mark.parametrize(
    ("metric", "folds", "classifier"),
    [("uar", ["03", "NA"], "predict"), ("loss", ["given"], "linear")],
)
def test_the_mean_probabilities_of_the_seeds_decide(tmp_path, capsys, metric, folds, classifier):
    table, drawn = write_experiment(tmp_path, folds, seeds=[1, 2, 3], classifier=classifier)
    command = ["compare", str(table), "lasso", "--metric", metric, "--average-seeds", "lasso"]
    assert main(command) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1].split("|")
    assert [last[1].strip(), last[2].strip()] == ["lasso, seeds averaged", str(len(folds))]
    for column, split in ((3, "validation"), (4, "test")):
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
    missing = tmp_path / "results/predict/03-2/predictions.parquet"
    missing.unlink()
    assert main(["compare", str(table), "lasso", "--average-seeds", "lasso"]) == 1
    assert f"{missing}: no such file; run the experiment again" in capsys.readouterr().err
    assert main(["compare", str(table), "lasso", "--average-seeds", "lazzo"]) == 1
    assert "no arm lazzo; the arms are lasso" in capsys.readouterr().err
