"""Two threads give what one gives: the same codes and selections, and other numbers nearly.

Sums are divided among threads, and so rounded otherwise. Networks here are large enough for it.
"""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_bow import LASSO, lasso, make_bow
from tests.unit import tiny_codecs
from threadpoolctl import threadpool_limits
from tiny_models import made_examples, save_masked
from transformers import BertConfig, HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

from speechlasso.evaluation.settings import Criterion
from speechlasso.features.hidden_states import load_hidden_states
from speechlasso.language_model.adaptation import adapt
from speechlasso.language_model.finetuning import finetune
from speechlasso.language_model.prediction import predict
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.tokenizers import ssl_units, transformers_codec
from speechlasso.tokenizers.settings import SSLUnitsMethod, TransformersCodecMethod
from speechlasso.training.devices import computing

# How far numbers may lie apart, as docs/robustness.md says.
FRAMES = 1e-4
WEIGHTS = 1e-4
PROBABILITIES = 1e-5
CLIPS = [tiny_codecs.sound(seed, 16_000 + 700 * seed) for seed in range(3)]


def on_threads(compute):
    """What it gives on one thread and on two."""
    found = []
    for n in (1, 2):
        with computing(n, seed=0), threadpool_limits(n):
            found.append(compute(n))
    return found


def assert_same(one, two):
    for array, other in zip(one, two, strict=True):
        np.testing.assert_array_equal(array, other)


def hubert():
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    return HubertModel(HubertConfig(**sizes)), Wav2Vec2FeatureExtractor()


@pytest.mark.slow
@pytest.mark.parametrize("name", tiny_codecs.CODECS)
def test_codes_of_codecs(name, tmp_path):
    model = tiny_codecs.save(tmp_path / name, tiny_codecs.CODECS[name])
    settings = TransformersCodecMethod(method=name, model=model)
    assert_same(*on_threads(lambda n: transformers_codec.load(settings).encode(CLIPS[:1])))


@pytest.mark.slow
def test_hidden_states_and_the_codes_that_are_learned_on_them(tmp_path):
    model = tiny_codecs.save(tmp_path / "hubert", hubert)
    states = load_hidden_states(model, None, [2], "fp32")
    one, two = on_threads(lambda n: states.encoder.encode(CLIPS))
    for frames, others in zip(one, two, strict=True):
        np.testing.assert_allclose(frames, others, atol=FRAMES)
    units = SSLUnitsMethod(method="ssl_units", model=model, layer=2, codebook_size=16, seed=3)
    assert_same(*on_threads(lambda n: ssl_units.fit(CLIPS, units).encode(CLIPS)))


def test_paths_and_selections():
    bow = make_bow()
    paths = on_threads(lambda n: SelectionPath.fitted(LassoRows.of(bow, LASSO)).table)
    one, two = (table.drop(columns="seconds") for table in paths)
    assert one.equals(two)
    assert len({str(selection.to_json()) for selection in on_threads(lambda n: lasso(bow))}) == 1


@pytest.mark.slow
def test_predictions_of_a_model_that_was_adapted_and_fine_tuned(tmp_path):
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 1}
    lm = LanguageModel(
        name=save_masked(tmp_path / "bert", BertConfig, **sizes), max_length=60, precision="fp32"
    )
    examples = made_examples(32, 8, n_audio_tokens=10, seed=0)

    def learned(n):
        common = {"lm": lm, "seed": 1, "threads": n}
        training = examples[examples["split"] == "train"]
        adapting = {"settings": Adapt(epochs=1), "checkpoint_folder": tmp_path / f"adapt{n}"}
        rows = adapt(training, new_tokens=NewTokens(10), **adapting, **common).rows
        tuning = {"settings": Finetune(epochs=2, batch_size=16, learning_rate=1e-3)}
        tuning |= {"criterion": Criterion(), "new_tokens": NewTokens(10, rows)}
        finetune(examples, tmp_path / str(n), **tuning, **common)
        return predict(tmp_path / str(n), examples)

    one, two = on_threads(learned)
    assert one["predicted"].equals(two["predicted"])
    probabilities = [found.filter(like="p_").to_numpy() for found in (one, two)]
    np.testing.assert_allclose(*probabilities, atol=PROBABILITIES)
    weights = [load_file(tmp_path / n / "model.safetensors") for n in "12"]
    for name, values in weights[0].items():
        np.testing.assert_allclose(values, weights[1][name], atol=WEIGHTS, err_msg=name)
