"""Fine-tuning on all rows but the test rows, for which inner folds have settled what is chosen."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tuned_models import tuned

from speechlasso.errors import InputError
from speechlasso.evaluation.decision import tuned_threshold
from speechlasso.evaluation.scores import classification_scores
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.classification import Settled
from speechlasso.language_model.settings import Finetune
from speechlasso.systems import token_lm_model


def as_learning_rows(examples):
    return examples.assign(split=examples["split"].replace("validation", "train"))


def test_all_rows_are_seen_and_training_stops_after_the_settled_epoch(
    tmp_path, few, language_models
):
    """As in a training that has all rows, and whose third epoch is the best of four."""
    lm, options = language_models["bert"], {"epochs": 4, "patience": 4, "batch_size": 24}
    learned = as_learning_rows(few)
    assert (learned["split"] == "train").sum() == 60
    result = tuned(learned, tmp_path / "settled", lm, settled=Settled(3), **options)
    assert result.log["epoch"].tolist() == [1, 2, 3] and not result.validation
    assert list(result.log) == ["epoch", "train_loss", "seconds", "best"]
    # The same rows once more to validate: training goes the same way.
    twice = pd.concat([learned, learned[:12].assign(split="validation")], ignore_index=True)
    whole = tuned(twice, tmp_path / "whole", lm, **options)
    assert whole.log["train_loss"].tolist()[:3] == result.log["train_loss"].tolist()
    other = tuned(few, tmp_path / "fewer", lm, **options)
    assert other.log["train_loss"].tolist()[:3] != result.log["train_loss"].tolist()


def made_inputs(examples, folder, tables=(), predictions=()):
    folder.mkdir()
    examples.to_parquet(folder / "token_texts.parquet")
    (folder / "selection.json").write_text(json.dumps({"tokens": [{}] * 10}))
    inputs = {"token_texts": ["token_texts.parquet"], "select": ["selection.json"]}
    for number, table in enumerate(tables):
        record = {"validation_macro_f1": list(map(list, table.items()))}
        (folder / f"{number}.json").write_text(json.dumps(record))
        inputs[f"inner_fit_{number}"] = [f"{number}.json"]
    for number, frame in enumerate(predictions):
        frame.to_parquet(folder / f"{number}.parquet")
        inputs[f"inner_predictions_{number}"] = [f"{number}.parquet"]
    return {role: [str(folder / name) for name in names] for role, names in inputs.items()}


def fitted(inputs, folder, lm, **finetune):
    options = {"epochs": 4, "batch_size": 32, "learning_rate": 3e-3} | finetune
    settings = SimpleNamespace(
        lm=lm,
        finetune=Finetune(**options),
        criterion=Criterion(positive_label="loud"),
        seed=1,
    )
    return token_lm_model.fit(inputs, settings, folder, threads=1)


def test_the_epoch_is_the_best_on_average_of_those_that_all_inner_fits_reached(
    tmp_path, few, language_models
):
    tables = [
        {1: 0.1, 2: 0.5, 3: 0.9},  # stopped there
        {1: 0.6, 2: 0.5, 3: 0.0, 4: 1.0},
    ]
    inputs = made_inputs(as_learning_rows(few), tmp_path / "inputs", tables)
    record = fitted(inputs, tmp_path, language_models["bert"])
    log = pd.read_csv(tmp_path / "training_log.csv")
    assert log["epoch"].tolist() == [1, 2]
    assert dict(record["validation_macro_f1"]) == pytest.approx({1: 0.35, 2: 0.5, 3: 0.45})
    assert record["decision_threshold"] is None


def test_what_inner_fits_write_down_is_what_the_final_fit_reads(tmp_path, few, language_models):
    inputs = made_inputs(few, tmp_path / "inputs")
    record = fitted(inputs, tmp_path, language_models["bert"], epochs=3)
    log = pd.read_csv(tmp_path / "training_log.csv")
    written = json.loads(json.dumps(record))["validation_macro_f1"]
    assert dict(written) == pytest.approx(dict(zip(log["epoch"], log["macro_f1"], strict=True)))


def test_one_epoch_needs_no_inner_fits(tmp_path, few, language_models):
    inputs = made_inputs(as_learning_rows(few), tmp_path / "inputs")
    record = fitted(inputs, tmp_path, language_models["bert"], epochs=1)
    assert len(pd.read_csv(tmp_path / "training_log.csv")) == 1
    assert record["validation_macro_f1"] == []


def test_a_threshold_is_tuned_on_the_validation_rows_of_all_inner_folds(
    tmp_path, few, language_models
):
    rng = np.random.default_rng(4)
    learned = as_learning_rows(few)
    rows = learned[learned["split"] == "train"][["id", "label"]]
    loud = np.where(rows["label"] == "loud", 0.3, 0.1) + rng.uniform(0, 0.2, len(rows))
    frames = []
    for number in range(2):
        held = np.arange(len(rows)) % 2 == number
        # What is predicted of rows that an inner fold learned from has no say.
        p_loud = np.where(held, loud, 1 - loud)
        split = np.where(held, "validation", "train")
        frames.append(rows.assign(split=split, p_calm=1 - p_loud, p_loud=p_loud))
    inputs = made_inputs(learned, tmp_path / "inputs", predictions=frames)
    record = fitted(inputs, tmp_path, language_models["bert"], epochs=1, decision_threshold="tuned")
    labels = (rows["label"] == "loud").to_numpy().astype(int)
    probabilities = np.stack([1 - loud, loud], axis=1)

    def macro_f1(predicted):
        classes = ["calm", "loud"]
        return classification_scores(labels, probabilities, classes, None, predicted)["macro_f1"]

    expected = tuned_threshold(probabilities, ["calm", "loud"], "loud", macro_f1)
    assert record["decision_threshold"]["probability"] == pytest.approx(expected["probability"])
    assert 0.2 < expected["probability"] < 0.4


def test_a_curriculum_records_the_epochs_that_may_be_kept(tmp_path, few, language_models):
    """Those with speech, the second half: of the first no final fit may keep one."""
    schedule = pd.concat(
        [
            pd.DataFrame({"phase": phase, "id": few.query("split == 'train'")["id"]}).assign(
                speech=bool(phase)
            )
            for phase in (0, 1)
        ]
    )
    inputs = made_inputs(few, tmp_path / "inputs")
    schedule.to_parquet(tmp_path / "inputs/examples.parquet")
    inputs["examples"] = [str(tmp_path / "inputs/examples.parquet")]
    record = fitted(inputs, tmp_path, language_models["bert"])
    assert [epoch for epoch, _ in record["validation_macro_f1"]] == [3, 4]


def test_rows_to_validate_on_are_still_asked_for_where_nothing_is_settled(
    tmp_path, few, language_models
):
    with pytest.raises(InputError, match="needs validation rows"):
        tuned(as_learning_rows(few), tmp_path, language_models["bert"])
