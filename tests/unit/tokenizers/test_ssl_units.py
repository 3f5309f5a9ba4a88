"""Hidden states against the plain call of tiny models with random weights; units by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_codecs
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tiny_codecs import sound
from transformers import AutoFeatureExtractor, AutoModel, WhisperModel

from speechlasso.errors import InputError
from speechlasso.features import torch_encoding
from speechlasso.features.hidden_states import load_hidden_states
from speechlasso.tokenizers import ssl_units
from speechlasso.tokenizers.settings import SSLUnitsMethod
from speechlasso.tokenizers.ssl_units import SAMPLE_RATE, SSLUnits, fit, load

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = sorted(tiny_codecs.SPEECH_MODELS)
N_LAYERS = 3
TRAINING_CLIPS = [sound(seed, 16_000 + 700 * seed) for seed in range(5)]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("speech_models")
    return {kind: tiny_codecs.save(root / kind, tiny_codecs.SPEECH_MODELS[kind]) for kind in KINDS}


def configured(model: str | None, layer: int = 2, **options: object) -> SSLUnitsMethod:
    units = {"codebook_size": 16, "max_frames": 200, "seed": 3, **options}
    return SSLUnitsMethod(method="ssl_units", model=model, layer=layer, **units)


@pytest.fixture(scope="session")
def fitted(folders: dict[str, str]) -> dict[str, SSLUnits]:
    return {kind: fit(TRAINING_CLIPS, configured(folders[kind])) for kind in ("hubert", "whisper")}


@torch.inference_mode()
def plain_states(folder: str, waveform: np.ndarray) -> tuple[np.ndarray, ...]:
    """All hidden states of one clip, by the calls that transformers' documentation shows."""
    model = AutoModel.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    states = encoder(**inputs, output_hidden_states=True).hidden_states
    return tuple(layer[0].numpy() for layer in states)


# --- hidden states ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_the_plain_call(kind, folders):
    waveform = sound(1, 20_003)
    expected = plain_states(folders[kind], waveform)
    assert len(expected) == N_LAYERS + 1
    n_frames = 63 if kind == "whisper" else 62
    for layer in range(N_LAYERS + 1):
        states = load_hidden_states(folders[kind], None, [layer], "fp32")
        (found,) = states.encoder.encode([waveform])
        assert found.shape == (n_frames, 1, states.size)
        found = found[:, 0]
        np.testing.assert_allclose(found, expected[layer][:n_frames], atol=1e-5)
        # Otherwise this would not tell layers apart.
        assert all(
            np.abs(found - other[:n_frames]).max() > 0.1
            for number, other in enumerate(expected)
            if number != layer
        )


@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_the_extractor_normalises(kind, folders):
    encoder = load_hidden_states(folders[kind], None, [1], "fp32").encoder
    quiet, loud = encoder.encode([sound(2, 8_000), 8 * sound(2, 8_000) + np.float32(0.5)])
    np.testing.assert_allclose(loud, quiet, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "n_samples", "n_frames"),
    [
        ("hubert", 1, 1),
        ("hubert", 320, 1),
        ("hubert", 400, 1),
        ("hubert", 719, 1),
        ("hubert", 720, 2),
        ("hubert", 16_000, 49),
        ("whisper", 1, 1),
        ("whisper", 320, 1),
        ("whisper", 321, 2),
        ("whisper", 48_000, 150),
        ("whisper", 48_001, 151),
        ("whisper", 200_001, 626),
    ],
)
def test_number_of_frames(kind, n_samples, n_frames, fitted):
    (units,) = fitted[kind].encode([sound(3, n_samples)])
    assert units.shape == (1, n_frames)


def test_long_clips_of_whisper_are_heard_in_windows(folders):
    """Windows of 150 frames (3 s), each frame at least 25 (half a second) from their edges."""
    waveform = sound(4, 7 * SAMPLE_RATE)
    encoder = load_hidden_states(folders["whisper"], None, [2], "fp32").encoder
    (found,) = encoder.encode([waveform])
    found = found[:, 0]
    assert len(found) == 350
    for first, start, stop in ((0, 0, 125), (100, 125, 225), (200, 225, 350)):
        window = waveform[first * 320 : (first + 150) * 320]
        expected = plain_states(folders["whisper"], window)[2]
        np.testing.assert_allclose(
            found[start:stop], expected[start - first : stop - first], atol=1e-5
        )


@pytest.mark.parametrize("n_samples", [1, 320, 321, 20_003])
def test_whisper_at_a_clips_own_length_is_a_whisper_of_that_window(folders, tmp_path, n_samples):
    """transformers refuses spectra that do not fill the window, so the window is made to fit."""
    waveform, n_frames = sound(6, n_samples), -(-n_samples // 320)
    model = WhisperModel.from_pretrained(folders["whisper"]).eval()
    model.config.max_source_positions = n_frames
    positions = model.encoder.embed_positions
    positions.weight.data = positions.weight.data[:n_frames]
    positions.num_embeddings = n_frames
    extractor = AutoFeatureExtractor.from_pretrained(folders["whisper"])
    padded = np.pad(waveform, (0, n_frames * 320 - n_samples))
    inputs = extractor(padded, sampling_rate=SAMPLE_RATE, return_tensors="pt", padding="longest")
    with torch.inference_mode():
        expected = model.encoder(**inputs, output_hidden_states=True).hidden_states
    states = load_hidden_states(folders["whisper"], None, None, "fp32", own_length=True)
    (found,) = states.encoder.encode([waveform])
    assert found.shape == (n_frames, N_LAYERS + 1, states.size)
    for layer in range(N_LAYERS + 1):
        np.testing.assert_allclose(found[:, layer], expected[layer][0].numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["hubert", "hubert_large", "wavlm"])
def test_windows_come_close(kind, folders):
    waveform = sound(5, 9 * SAMPLE_RATE + 77)
    encoder = load_hidden_states(folders[kind], None, [N_LAYERS], "fp32").encoder
    (whole,) = encoder.encode([waveform])
    (cut,) = replace(encoder, window=3 * SAMPLE_RATE, context=SAMPLE_RATE).encode([waveform])
    assert cut.shape == whole.shape
    cut, whole = cut[:, 0], whole[:, 0]
    spread = np.linalg.norm(whole - whole.mean(axis=0), axis=1)
    assert np.median(np.linalg.norm(cut - whole, axis=1)) < 0.2 * np.median(spread)


# --- units ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_units_are_the_nearest_centroids(kind, folders, fitted, tmp_path):
    fitted[kind].save(tmp_path / "units.safetensors")
    centroids = load_file(tmp_path / "units.safetensors")["centroids"].astype(np.float64)
    assert centroids.shape == (16, 16)
    waveform = sound(6, 24_000)
    (units,) = fitted[kind].encode([waveform])
    assert units.dtype == np.int16
    states = plain_states(folders[kind], waveform)[2][: units.shape[1]].astype(np.float64)
    distances = np.square(states[:, None] - centroids).sum(axis=2)
    np.testing.assert_array_equal(units[0], distances.argmin(axis=1))
    assert len(np.unique(units)) > 4


def test_centroids_are_means_of_training_frames(folders, tmp_path):
    """With room for all frames, k-means ends where each centroid is the mean of its frames."""
    tokenizer = fit(TRAINING_CLIPS, configured(folders["hubert"], max_frames=10_000))
    frames = np.concatenate([plain_states(folders["hubert"], clip)[2] for clip in TRAINING_CLIPS])
    units = np.concatenate([units[0] for units in tokenizer.encode(TRAINING_CLIPS)])
    means = np.stack([frames[units == unit].mean(axis=0) for unit in range(16)])
    spread = frames.std()
    tokenizer.save(tmp_path / "units.safetensors")
    centroids = load_file(tmp_path / "units.safetensors")["centroids"]
    np.testing.assert_allclose(centroids, means, atol=0.1 * spread)


def test_attributes(fitted):
    for tokenizer in fitted.values():
        assert (tokenizer.sample_rate, tokenizer.frame_rate) == (16_000, 50)
        assert (tokenizer.n_layers, tokenizer.codebook_size) == (1, 16)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
@pytest.mark.parametrize("batch_seconds", [0.0, 60.0])
def test_units_do_not_depend_on_the_other_clips(kind, batch_seconds, fitted, monkeypatch):
    lengths = [5_000, 3_000, 5_000, 1, 5_001, 3_000, 5_000, 50_000, 5_000, 5_000]
    clips = [sound(seed, length) for seed, length in enumerate(lengths)]
    alone = [fitted[kind].encode([clip])[0] for clip in clips]
    monkeypatch.setitem(torch_encoding.BATCH_SECONDS, "cpu", batch_seconds)
    order = np.random.default_rng(0).permutation(len(clips))
    together = fitted[kind].encode([clips[index] for index in order])
    for units, index in zip(together, order, strict=True):
        np.testing.assert_array_equal(units, alone[index])


def test_same_seed_same_bytes(folders, tmp_path):
    def saved(name: str, seed: int) -> bytes:
        path = tmp_path / name
        fit(iter(TRAINING_CLIPS), configured(folders["hubert"], seed=seed)).save(path)
        return path.read_bytes()

    assert saved("one", 3) == saved("two", 3)
    assert saved("one", 3) != saved("three", 4)


def test_save_and_load(folders, fitted, tmp_path):
    path = tmp_path / "units.safetensors"
    fitted["hubert"].save(path)
    loaded = load(configured(folders["hubert"]), path)
    clips = [sound(seed, 9_000) for seed in range(10, 13)]
    for units, expected in zip(loaded.encode(clips), fitted["hubert"].encode(clips), strict=True):
        np.testing.assert_array_equal(units, expected)
    with safe_open(path, framework="numpy") as file:
        assert list(file.keys()) == ["centroids"]
        assert json.loads(file.metadata()["settings"]) == {
            "format": ssl_units.FORMAT,
            "model": folders["hubert"],
            "revision": None,
            "layer": 2,
            "frame_rate": 50.0,
        }
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


# --- errors -----------------------------------------------------------------------------------


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "units.safetensors"
    fitted["hubert"].save(path)
    return path


def test_a_local_model_may_have_moved(folders, fitted, saved, tmp_path):
    moved = shutil.copytree(folders["hubert"], tmp_path / "elsewhere")
    waveform = sound(7, 8_000)
    np.testing.assert_array_equal(
        load(configured(str(moved)), saved).encode([waveform])[0],
        fitted["hubert"].encode([waveform])[0],
    )


def test_load_refuses_other_settings(folders, saved):
    other = configured(folders["hubert"], layer=1).model_copy(update={"revision": "abc"})
    with pytest.raises(InputError) as error:
        load(other, saved)
    assert "revision is 'abc', was None" in str(error.value)
    assert "layer is 1, was 2" in str(error.value)
    with pytest.raises(InputError, match="model is 'facebook/hubert-base-ls960', was "):
        load(configured(None), saved)


def test_load_refuses_another_size(folders, saved):
    narrow = {"centroids": load_file(saved)["centroids"][:, :5].copy()}
    with safe_open(saved, framework="numpy") as file:
        metadata = file.metadata()
    save_file(narrow, saved, metadata=metadata)
    with pytest.raises(InputError, match=r"fitted to 5 features, but .* has 16"):
        load(configured(folders["hubert"]), saved)


def test_load_refuses_other_files(folders, tmp_path):
    settings, path = configured(folders["hubert"]), tmp_path / "units.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        load(settings, path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="cannot be read"):
        load(settings, path)
    save_file({"centroids": np.zeros((2, 16), dtype=np.float32)}, path)
    with pytest.raises(InputError, match=r"expected a tokenizer of format .*found None"):
        load(settings, path)


def test_a_layer_that_does_not_exist(folders):
    with pytest.raises(InputError, match=r"tokenizer: layer 4 is more than the 3"):
        fit(TRAINING_CLIPS, configured(folders["hubert"], layer=4))


def test_another_class_of_model(tmp_path):
    folder = tiny_codecs.save(tmp_path, tiny_codecs.dac)
    with pytest.raises(InputError, match=r"type dac, but hubert or wavlm or whisper is needed"):
        fit(TRAINING_CLIPS, configured(folder))


def test_too_little_to_learn_from(folders):
    settings = configured(folders["hubert"])
    with pytest.raises(InputError, match="there are none"):
        fit([], settings)
    with pytest.raises(InputError, match="have 4 frames, too few for codebook_size = 16"):
        fit([sound(0, 1_500)], settings)
    with pytest.raises(InputError, match=r"max_frames: 15 frames are too few"):
        fit(TRAINING_CLIPS, configured(folders["hubert"], max_frames=15))


@pytest.mark.parametrize(
    "waveform", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_unusable_waveforms(fitted, waveform):
    with pytest.raises(InputError, match=r"^A waveform "):
        fitted["hubert"].encode([waveform])
