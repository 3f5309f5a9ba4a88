"""On real speech of the demo corpus, audio mends what prosody decides."""

from __future__ import annotations

import pytest
from linear_baseline import bow_linear, fit_and_predict

from speechlasso.data.demo_corpus import make_demo_corpus
from speechlasso.data.manifest import read_manifest
from speechlasso.data.settings import Table
from speechlasso.data.utterance_sounds import utterance_seconds
from speechlasso.evaluation.errors_by_arm import LENGTH, errors_by_group, group_columns
from speechlasso.evaluation.settings import Criterion
from speechlasso.evaluation.tested_arms import read_arms
from speechlasso.files import write_json, write_parquet
from speechlasso.pipeline.artifacts import DEMO_COLUMNS
from speechlasso.selection.bag_of_words import build_bag_of_words
from speechlasso.selection.select import select_all
from speechlasso.tokenizers.settings import SpectralRVQMethod
from speechlasso.tokenizers.tokenization import encode_utterances, fit_tokenizer

SIZES = {"train_speakers": 4, "validation_speakers": 1, "test_speakers": 3}


@pytest.mark.slow
def test_audio_mends_the_examples_that_prosody_decides(tmp_path):
    """A tokenizer learned from scratch and a linear classifier of words, or words and tokens."""
    plan = make_demo_corpus(tmp_path, seed=1, utterances_per_speaker=15, **SIZES)
    plan.to_csv(tmp_path / "manifest.csv", index=False)
    rows = read_manifest(Table(path=str(tmp_path / "manifest.csv"), columns=DEMO_COLUMNS))
    settings = SpectralRVQMethod(method="spectral_rvq")
    training = rows[rows["split"] == "train"]
    codes = encode_utterances(fit_tokenizer(settings, training), rows)
    bow = build_bag_of_words(rows, codes, None, True)
    write_json(tmp_path / "fit/training.json", {})
    write_json(tmp_path / "evaluate/spec.json", {"settings": {"positive_label": None}})
    index = []
    for arm, inputs in (("words", ["text"]), ("both", ["text", "audio"])):
        selection = select_all(bow) if "audio" in inputs else None
        predictions, _ = fit_and_predict(bow, selection, inputs, bow_linear(), Criterion())
        write_parquet(tmp_path / arm / "predictions.parquet", predictions)
        run = {"arm": arm, "fold": "given", "seed": 1, "predictions": arm}
        index.append({**run, "training": "fit", "evaluation": "evaluate"})
    arms = read_arms(index, tmp_path)
    tested = rows[rows["split"] == "test"].set_index("id", drop=False)
    groups = group_columns(tested, ["source"], utterance_seconds(tested))
    table = errors_by_group([arms["both"]], arms["words"], groups).set_index("value")
    assert set(table["column"]) == {"source", LENGTH}
    words, prosody = table.loc["words"], table.loc["prosody"]
    assert [words["n"], prosody["n"]] == [18, 27]
    assert prosody["mended"] > 0.2
    assert prosody["mended"] > prosody["broken"] + 0.1
    assert words["mended"] < prosody["mended"] / 2
