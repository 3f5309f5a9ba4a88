"""What an experiment compares, told to people without its configuration."""

from __future__ import annotations

import pandas as pd
from plans import plan

from speechlasso.experiment.in_words import in_words
from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.settings import Settings


def told(**overrides):
    settings = load_settings(merged(Settings().model_dump(), overrides))
    return in_words(plan(**overrides), settings)


def test_what_each_arm_reads_and_is_made_of():
    arms = {
        "audio_only": {"override": {"select": {"lasso": {"alpha": 8}}}},
        "deaf": {"system": "token_lm", "select": "lasso", "predict_inputs": ["text"]},
        "lasso": {"select": "lasso"},
    }
    ran = ["text_only", "lasso", "random", "fused", "deaf"]
    of_audio = {"lasso": {"alpha": [4, 8], "inputs": "audio"}}
    found = told(arms=arms, experiment={"arms": ran}, select=of_audio)
    of_arms = {arm["arm"]: arm for arm in found["arms"]}
    assert list(of_arms)[:3] == ["text_only", "lasso[alpha=4]", "lasso[alpha=8]"]
    assert of_arms["text_only"]["reads"] == "words" and not of_arms["text_only"]["audio tokens"]
    assert of_arms["text_only"]["models"] == "language model all-MiniLM-L6-v2"
    assert of_arms["lasso[alpha=4]"]["reads"] == "words and sound"
    assert of_arms["lasso[alpha=4]"]["audio tokens"].endswith(
        "Of these, those of at least the mean weight of all features. Here fitted to tokens alone."
    )
    assert of_arms["random[alpha=4]"]["audio tokens"].endswith("drawn by chance.")
    assert of_arms["fused"]["reads"] == "words and sound, through text_only and audio_only"
    assert of_arms["deaf[alpha=8]"]["reads"] == "words; learned from words and sound"
    assert "text_only" not in found["tokens"]
    words = found["tokens"]["lasso[alpha=8]"]
    assert words.startswith("Audio tokens are codes by hidden_state_codes: ")


def test_layers_of_codes_are_told():
    method = {"method": "hidden_state_codes", "layers": [1, 2], "pooling": "segment"}
    sizes = {"n_components": 64, "n_groups": 32, "n_stages": 2, "codebook_size": 8}
    layers = {"encoder": {"layers": [1, 2]}, "experiment": {"arms": ["lasso"]}}
    words = told(tokenizer={**method, **sizes}, **layers)["tokens"]["lasso"]
    assert words.endswith(
        "Its 64 layers are not the encoder's: each is a group of 2 of 64 principal components of "
        "the hidden states of the encoder's layer 1 and 2, pooled over 0.5 s, or what the layer "
        "before left over of it, in 8 codes."
    )
    words = told(tokenizer={"method": "spectral_rvq"})["tokens"]["lasso"]
    assert "steps of a residual quantiser" in words


def test_how_rows_are_divided(tmp_path):
    table = pd.DataFrame({"id": list("abcdef"), "text": "so", "label": list("xyxyxy")})
    table.assign(who=list("112233")).to_csv(tmp_path / "mine.csv", index=False)
    columns = {"audio": None, "group": "who"}
    dataset = {"source": "table", "table": {"path": str(tmp_path / "mine.csv"), "columns": columns}}

    def data(**folds):
        arms = {"arms": ["text_only"]}
        return told(dataset=dataset | {"folds": folds}, experiment=arms)["data"]

    by_group = "The utterances of mine.csv. The test rows are those of "
    assert data(method="leave_one_group_out") == f"{by_group}each of 3 groups in turn."
    some = data(method="leave_one_group_out", only=["2", "3"])
    assert some == f"{by_group}each of 2 groups in turn."
    drawn = data(method="grouped", n_folds=3, only=["1"])
    assert drawn.endswith("Whole groups of rows were divided at random (1 of 3 folds).")
