"""Frames of every utterance: those of the plain call, in half precision, whatever lies beside."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import soundfile
from tests.unit import tiny_codecs

from speechlasso.errors import InputError
from speechlasso.features.encode_audio import encode_audio, in_half_precision
from speechlasso.features.encoders import ACOUSTIC
from speechlasso.features.hidden_states import SAMPLE_RATE, load_hidden_states
from speechlasso.features.log_mel import log_mel_frames
from speechlasso.features.settings import ACOUSTIC_ENCODERS, Encoder
from speechlasso.features.spectral_frames import spectral_frames


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_codecs.save(tmp_path_factory.mktemp("encoder") / "hubert", tiny_codecs.hubert)


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    """One clip, two clips joined, and a segment of a clip."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [str(folder / f"{number}.wav") for number in range(3)]
    for number, path in enumerate(paths):
        sound = tiny_codecs.sound(number, SAMPLE_RATE // 2)
        soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    return pd.DataFrame(
        {
            "id": ["one", "two", "part"],
            "audio": [paths[:1], paths[:2], paths[2:]],
            "start": [None, None, 0.1],
            "end": [None, None, 0.35],
        }
    )


def test_frames_are_the_hidden_states_of_each_utterance(model, utterances, caplog):
    caplog.set_level(logging.INFO)
    frames, kind = encode_audio(Encoder(model=model, layers=[3, 1]), utterances)
    assert kind.layers == [1, 3] and kind.frame_rate == 50
    assert kind.encoder["model"] == model
    sounds = [tiny_codecs.sound(number, SAMPLE_RATE // 2) for number in range(3)]
    part = sounds[2][int(0.1 * SAMPLE_RATE) : int(0.35 * SAMPLE_RATE)]
    for layer, column in ((1, 0), (3, 1)):
        encoder = load_hidden_states(model, None, [layer], "fp32").encoder
        expected = encoder.encode([sounds[0], np.concatenate(sounds[:2]), part])
        for name, states in zip(utterances["id"], expected, strict=True):
            np.testing.assert_array_equal(frames[name][:, column], states[:, 0].astype(np.float16))
    # 1.75 seconds of 50 frames, 2 layers of 16 numbers of two bytes.
    assert "frames of 3 utterances, 0.0 minutes, 2 layers: about 0 MB" in caplog.text


def test_all_layers_are_kept_unless_some_are_named(model, utterances):
    frames, kind = encode_audio(Encoder(model=model, layers="all"), utterances.head(1))
    assert kind.layers == [0, 1, 2, 3]
    assert frames["one"].shape == (24, 4, 16)


def test_a_layer_that_does_not_exist_is_refused(model, utterances):
    with pytest.raises(InputError, match="encoder: layer 4 is more than the 3 layers"):
        encode_audio(Encoder(model=model, layers=[0, 4]), utterances)


@pytest.mark.parametrize(
    ("name", "of_waveform", "rate", "shape"),
    [("spectral", spectral_frames, 50, (13, 1, 16)), ("logmel", log_mel_frames, 100, (25, 1, 80))],
)
def test_acoustics_need_no_model_and_no_other_setting(utterances, name, of_waveform, rate, shape):
    settings = Encoder(model=name, layers=[3], precision="bf16", padding="window")
    assert settings.as_read() == Encoder(model=name)
    assert settings.kept_layers == [0] and settings.files() == {}
    frames, kind = encode_audio(settings.as_read(), utterances)
    assert kind.layers == [0] and kind.frame_rate == rate
    sound = np.concatenate([tiny_codecs.sound(number, SAMPLE_RATE // 2) for number in (0, 1)])
    expected = of_waveform(sound).astype(np.float16)[:, None]
    np.testing.assert_array_equal(frames["two"], expected)
    assert frames["part"].shape == shape


def test_every_name_of_acoustics_has_frames():
    assert set(ACOUSTIC_ENCODERS) == set(ACOUSTIC)


def test_numbers_that_half_precision_cannot_hold_are_refused():
    frames = np.array([[[1.0, -70_000.0]]], dtype=np.float32)
    with pytest.raises(InputError, match="hidden states reach 70000, but half precision ends at"):
        in_half_precision(frames)
    assert in_half_precision(frames / 2).dtype == np.float16
