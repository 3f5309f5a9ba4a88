"""What linear systems and fusions choose by inner folds, against plain nested loops."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from tests.unit.linear_baseline import bow_linear
from tests.unit.pooled_baseline import made_inputs, training

from speechlasso.evaluation.inner_folds import mean_scores
from speechlasso.evaluation.scores import predictions_frame
from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import AudioFeatures, BagOfWords
from speechlasso.systems import bow_linear_model, late_fusion_model, pooled_linear_model
from speechlasso.systems.late_fusion import LateFusion

STRENGTHS = [0.001, 0.01, 0.1, 1.0, 10.0]
N_INNER = 3


def made_bow() -> BagOfWords:
    """Learning rows and test rows, without any validation row."""
    rng = np.random.default_rng(8)
    labels = rng.choice(["no", "perhaps", "yes"], 150)
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(150)], "label": labels})
    rows["split"] = np.where(rows.index < 120, "train", "test")
    counts = rng.poisson(0.6 + np.outer(labels == "yes", np.arange(8) % 2))
    empty = sp.csr_array((150, 0), dtype=np.int32)
    return BagOfWords(rows, empty, sp.csr_array(counts), AudioFeatures(0, 0, 0), list("abcdefgh"))


def inner_bows(bow: BagOfWords) -> list[BagOfWords]:
    """Of the learning rows alone; in each fold another third of them is validated."""
    kept = bow.rows_in("train")
    for number in range(N_INNER):
        rows = bow.rows.iloc[kept].reset_index(drop=True)
        rows["split"] = np.where(rows.index % N_INNER == number, "validation", "train")
        yield BagOfWords(rows, bow.audio[kept], bow.text[kept], bow.features, bow.words)


def fit(bow: BagOfWords, folder: Path, arm, inner: list[Path] = ()) -> dict:
    bow.save(folder / "bow")
    inputs = {"bow": [str(folder / "bow/rows.parquet")]}
    inputs |= {f"inner_fit_{n}": [str(path / "training.json")] for n, path in enumerate(inner)}
    settings = SimpleNamespace(arm=arm, criterion=Criterion(), seed=None)
    record = bow_linear_model.fit(inputs, settings, folder, threads=1)
    (folder / "training.json").write_text(json.dumps(record))
    return record


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    """The final fit's folder and record, after a fit on each inner fold."""
    folder, bow = tmp_path_factory.mktemp("nested"), made_bow()
    arm = bow_linear(inputs=["text"], C=STRENGTHS, weighting="counts", scaling="none")
    inner = [folder / str(number) for number in range(N_INNER)]
    for path, of_fold in zip(inner, inner_bows(bow), strict=True):
        fit(of_fold, path, arm)
    return folder, fit(bow, folder / "final", arm, inner)


def classifier(C: float) -> LogisticRegression:
    return LogisticRegression(C=C, class_weight="balanced", max_iter=5000)


def test_c_is_that_of_a_nested_loop_and_the_final_fit_learns_from_all_rows(nested):
    folder, record = nested
    bow = made_bow()
    counts, labels = bow.text.astype(float), bow.rows["label"].to_numpy()
    learn = np.flatnonzero(bow.rows["split"] == "train")
    mean = {}
    for C in STRENGTHS:
        scores = []
        for number in range(N_INNER):
            held = learn[learn % N_INNER == number]
            rest = learn[learn % N_INNER != number]
            predicted = classifier(C).fit(counts[rest], labels[rest]).predict(counts[held])
            scores.append(f1_score(labels[held], predicted, average="macro"))
        mean[C] = np.mean(scores)
    assert dict(record["validation_macro_f1"]) == pytest.approx(mean)
    assert mean[record["C"]] == max(mean.values())
    assert min(STRENGTHS) < record["C"] < max(STRENGTHS), "the example is to have its best between"

    inputs = {"bow": [str(folder / "final/bow/rows.parquet")]}
    found = bow_linear_model.open(folder / "final").predict(inputs)
    expected = classifier(record["C"]).fit(counts[learn], labels[learn]).predict_proba(counts)
    np.testing.assert_allclose(found.filter(like="p_"), expected, atol=1e-6)


def write_scores(folder: Path, tables: list[dict[float, float]]) -> dict[str, list[str]]:
    inputs = {}
    for number, table in enumerate(tables):
        path = folder / f"{number}.json"
        path.write_text(json.dumps({"validation_loss": list(map(list, table.items()))}))
        inputs[f"inner_fit_{number}"] = [str(path)]
    return inputs


def test_of_equal_means_the_strongest_penalty_wins(tmp_path):
    inputs = write_scores(tmp_path, [{0.01: 0.5, 0.1: 0.4, 1.0: 0.6}, {0.01: 0.3, 0.1: 0.4, 1: 0}])
    bow = made_bow()
    bow.save(tmp_path / "bow")
    inputs["bow"] = [str(tmp_path / "bow/rows.parquet")]
    arm = bow_linear(inputs=["text"], C=[0.01, 0.1, 1.0])
    settings = SimpleNamespace(arm=arm, criterion=Criterion(metric="loss"), seed=None)
    assert bow_linear_model.fit(inputs, settings, tmp_path, 1)["C"] == 1.0, "the smallest loss"
    inputs = write_scores(tmp_path, [{0.01: 0.5, 0.1: 0.4, 1.0: 0.6}, {0.01: 0.3, 0.1: 0.4, 1: 1}])
    inputs["bow"] = [str(tmp_path / "bow/rows.parquet")]
    assert bow_linear_model.fit(inputs, settings, tmp_path, 1)["C"] == 0.01


def test_values_that_not_all_folds_tried_are_not_compared(tmp_path):
    """A training on an inner fold stops when its patience ends."""
    inputs = write_scores(tmp_path, [{1: 3.0, 2: 2.0, 3: 0.0}, {1: 1.0, 2: 1.0}])
    assert mean_scores(inputs, Criterion(metric="loss")) == {1: 2.0, 2: 1.5}
    assert mean_scores({}, Criterion()) == {}


@pytest.mark.parametrize("settings", [{"C": [0.3]}, {"classifier": "dummy"}])
def test_what_chooses_nothing_needs_no_inner_fits(tmp_path, settings):
    arm = bow_linear(inputs=["text"], **settings)
    record = fit(made_bow(), tmp_path, arm)
    assert record["validation_macro_f1"] == [] and record["C"] == arm.C[0]


def test_the_pooled_system_chooses_alike(tmp_path):
    inputs, _ = made_inputs(tmp_path)
    bow = BagOfWords.load(tmp_path / "bow")
    bow.rows["split"] = bow.rows["split"].replace("validation", "train")
    bow.save(tmp_path / "bow")
    settings = training(C=[0.001, 0.01, 0.1])
    for number, best in enumerate([0.01, 0.1]):
        scores = [[C, float(best == C) + (C == 0.01) / 2] for C in settings.arm.C]
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({"validation_uar": scores}))
        inputs[f"inner_fit_{number}"] = [str(path)]
    record = pooled_linear_model.fit(inputs, settings, tmp_path, 1)
    assert record["C"] == 0.01
    assert dict(record["validation_uar"]) == {0.001: 0.0, 0.01: 1.0, 0.1: 0.5}


def predictions(seed: int, split: np.ndarray, skill: np.ndarray) -> pd.DataFrame:
    """Of an arm that is right the more, the more skill it has on a row."""
    labels = np.random.default_rng(0).integers(0, 2, len(split))
    logits = np.random.default_rng(seed).normal(0, 1, (len(split), 2))
    logits[np.arange(len(split)), labels] += skill
    likelihood = np.exp(logits)
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(len(split))], "split": split})
    rows["label"] = np.array(["a", "b"])[labels]
    return predictions_frame(rows, likelihood / likelihood.sum(axis=1, keepdims=True), ["a", "b"])


def test_weights_of_a_fusion_are_chosen_on_the_validation_rows_of_all_inner_folds(tmp_path):
    """The first arm knows what the inner folds validate, and errs on all other rows."""
    n, inputs = 80, {}
    for role, seed in (("arm_1", 1), ("arm_2", 2)):
        frames = {
            role: predictions(seed, np.where(np.arange(n) < 60, "train", "test"), np.zeros(n))
        }
        for number in range(2):
            held = np.arange(n) % 2 == number
            skill = np.where(held, 3.0, -9.0) if role == "arm_1" else np.zeros(n)
            frame = predictions(seed, np.where(held, "validation", "train"), skill)
            frames[f"inner_predictions_{number}_{role}"] = frame[:60]
        for name, frame in frames.items():
            frame.to_parquet(tmp_path / f"{name}.parquet")
            inputs[name] = [str(tmp_path / f"{name}.parquet")]
    arm = LateFusion(system="late_fusion", arms=["words", "voice"]).as_read()
    settings = SimpleNamespace(arm=arm, criterion=Criterion(metric="loss"))
    weights = late_fusion_model.fit(inputs, settings, tmp_path, 1)["weights"]
    assert weights["arm_1"] > 0.8
    fused = late_fusion_model.open(tmp_path).predict(inputs)
    assert fused["id"].tolist() == [f"u{i}" for i in range(n)]
