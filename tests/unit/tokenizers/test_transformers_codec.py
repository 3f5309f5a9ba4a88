"""Codecs of transformers, tiny and with random weights, against the plain call of the model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tiny_codecs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_codecs import CODEBOOK_SIZE, sound
from transformers import AutoFeatureExtractor
from traps import Touch

from speechlasso.errors import InputError
from speechlasso.features import torch_encoding
from speechlasso.tokenizers import transformers_codec
from speechlasso.tokenizers.settings import TransformersCodecMethod
from speechlasso.tokenizers.transformers_codec import CODECS, TransformersCodec, load

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

KINDS = sorted(CODECS)
# Sample rate, samples per frame and layers, worked out by hand from the configurations.
SHAPES = {
    "encodec": (8_000, 150, 6),
    "mimi": (8_000, 128, 5),
    "dac": (8_000, 80, 4),
    "xcodec": (16_000, 320, 4),
}
OPTIONS_FOR_ALL_LAYERS = {"encodec": {"bandwidth": 2.0}, "xcodec": {"bandwidth": 1.2}}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("codecs")
    return {kind: tiny_codecs.save(root / kind, tiny_codecs.CODECS[kind]) for kind in KINDS}


@pytest.fixture(scope="session")
def codecs(folders: dict[str, str]) -> dict[str, TransformersCodec]:
    return {kind: load(TransformersCodecMethod(method=kind, model=folders[kind])) for kind in KINDS}


@torch.inference_mode()
def plainly_encoded(kind: str, folder: str, waveform: np.ndarray) -> np.ndarray:
    """Codes by the calls that transformers' documentation shows."""
    model = CODECS[kind].model_class.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(waveform, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    encoded = model.encode(inputs["input_values"], **OPTIONS_FOR_ALL_LAYERS.get(kind, {}))
    return encoded.audio_codes.reshape(SHAPES[kind][2], -1).numpy()


def cut_into_windows(
    codec: TransformersCodec, window_seconds: float, context_seconds: float
) -> TransformersCodec:
    encoder = replace(
        codec.encoder,
        window=int(window_seconds * codec.sample_rate),
        context=int(context_seconds * codec.sample_rate),
    )
    return TransformersCodec(encoder, codec.n_layers, codec.codebook_size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_samples", [9_600, 20_003])
def test_codes_are_those_of_the_plain_call(kind, n_samples, folders, codecs):
    waveform = sound(1, n_samples)
    (codes,) = codecs[kind].encode([waveform])
    np.testing.assert_array_equal(codes, plainly_encoded(kind, folders[kind], waveform))
    assert codes.dtype == np.int32
    # Otherwise every test here would pass.
    assert all(len(np.unique(layer)) > 8 for layer in codes)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_is_read_from_the_configuration(kind, codecs):
    sample_rate, hop, n_layers = SHAPES[kind]
    codec = codecs[kind]
    assert (codec.sample_rate, codec.n_layers, codec.codebook_size) == (
        sample_rate,
        n_layers,
        CODEBOOK_SIZE,
    )
    assert codec.frame_rate == sample_rate / hop
    for n_samples in (1, hop, hop + 1, sample_rate // 50, 7 * hop - 1, 4_321):
        (codes,) = codec.encode([sound(2, n_samples)])
        assert codes.shape == (n_layers, -(-n_samples // hop))
        assert codes.min() >= 0 and codes.max() < CODEBOOK_SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_first_layers(kind, folders, codecs):
    waveform = sound(3, 8_000)
    (codes,) = codecs[kind].encode([waveform])
    for n_layers in (1, 2, len(codes) - 1):
        fewer = load(TransformersCodecMethod(method=kind, model=folders[kind], n_layers=n_layers))
        assert fewer.n_layers == n_layers
        np.testing.assert_array_equal(fewer.encode([waveform])[0], codes[:n_layers])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_seconds", [0.0, 60.0])
def test_codes_do_not_depend_on_the_other_clips(kind, batch_seconds, codecs, monkeypatch):
    lengths = [5_000, 3_000, 5_000, 1, 5_001, 3_000, 5_000]
    clips = [sound(seed, length) for seed, length in enumerate(lengths)]
    alone = [codecs[kind].encode([clip])[0] for clip in clips]
    monkeypatch.setitem(torch_encoding.BATCH_SECONDS, "cpu", batch_seconds)
    order = np.random.default_rng(0).permutation(len(clips))
    together = codecs[kind].encode([clips[index] for index in order])
    for codes, index in zip(together, order, strict=True):
        np.testing.assert_array_equal(codes, alone[index])


@settings(max_examples=12)
@given(n_samples=st.integers(1, 40_000), window=st.sampled_from([1.1, 1.5, 2.0]))
def test_windows_do_not_show_in_dac(codecs, n_samples, window):
    """Its reach, worked out by hand from its convolutions, is 1,500 samples: below 0.2 s."""
    waveform = sound(n_samples, n_samples)
    (whole,) = codecs["dac"].encode([waveform])
    (cut,) = cut_into_windows(codecs["dac"], window, 0.2).encode([waveform])
    np.testing.assert_array_equal(cut, whole)


def test_windows_without_context_show_in_dac(codecs):
    waveform = sound(4, 60_000)
    (cut,) = cut_into_windows(codecs["dac"], 1.5, 0.0).encode([waveform])
    assert (cut != codecs["dac"].encode([waveform])[0]).any()


@pytest.mark.parametrize(("kind", "agreement"), [("encodec", 0.98), ("mimi", 0.9), ("xcodec", 0.6)])
@pytest.mark.parametrize("extra", [0, 77])
def test_windows_come_close(kind, agreement, extra, codecs):
    """By chance one code in 64 would agree."""
    codec = codecs[kind]
    waveform = sound(5, 9 * codec.sample_rate + extra)
    (whole,) = codec.encode([waveform])
    (cut,) = cut_into_windows(codec, 3.0, 1.0).encode([waveform])
    assert cut.shape == whole.shape
    assert (cut[0] == whole[0]).mean() > agreement


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_windows_leave_own_frames(kind, codecs):
    encoder = codecs[kind].encoder
    assert encoder.window > 3 * encoder.context > 0


@pytest.mark.parametrize("kind", KINDS)
def test_quantiser_is_kept_out_of_mixed_precision(kind, folders):
    """Mixed precision may round what the encoder finds, but not which centroid is nearest."""
    codec = CODECS[kind]
    model = codec.model_class.from_pretrained(folders[kind]).eval()
    embedded = []

    def recorded(embeddings, *options):
        embedded.append(embeddings)
        return plain(embeddings, *options)

    plain = getattr(model.quantizer, codec.quantise)
    setattr(model.quantizer, codec.quantise, recorded)
    waveform = torch.from_numpy(sound(6, 16_000))[None, None]
    with torch.inference_mode():
        expected = codec.codes(model, waveform, 4)
        setattr(model.quantizer, codec.quantise, plain)
        transformers_codec.quantise_in_full_precision(model.quantizer, codec.quantise)
        encode = getattr(model.quantizer, codec.quantise)
        with torch.autocast("cpu", torch.bfloat16):
            found = encode(embedded[0])
    found = found[1] if kind == "dac" else found.transpose(0, 1)
    np.testing.assert_array_equal(found[:, :4], expected[:, :4])


# --- errors -----------------------------------------------------------------------------------


def copied(folders: dict[str, str], kind: str, folder: Path) -> Path:
    return Path(shutil.copytree(folders[kind], folder))


def test_another_class_of_model(folders):
    with pytest.raises(InputError, match=r"is a model of type mimi, but dac is needed"):
        load(TransformersCodecMethod(method="dac", model=folders["mimi"]))


def test_missing_directory(tmp_path):
    with pytest.raises(InputError, match=r"tokenizer\.model: cannot load .*nowhere.*\n.*directory"):
        load(TransformersCodecMethod(method="dac", model=str(tmp_path / "nowhere")))


def test_unreachable_hub(monkeypatch):
    """Offline, huggingface_hub looks no further than its cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError) as error:
        load(TransformersCodecMethod(method="encodec", model="nobody/nothing"))
    assert "tokenizer.model: cannot load 'nobody/nothing'" in str(error.value)
    assert "hf download NAME --local-dir FOLDER" in str(error.value)


def test_stereo_model(tmp_path):
    folder = tiny_codecs.save(
        tmp_path,
        tiny_codecs.encodec,
        audio_channels=2,
        chunk_length_s=1.0,
        overlap=0.01,
        normalize=True,
    )
    with pytest.raises(InputError, match=r"one channel.*audio_channels = 2, chunk_length_s = 1\.0"):
        load(TransformersCodecMethod(method="encodec", model=folder))


def test_more_layers_than_there_are(folders):
    with pytest.raises(InputError, match=r"tokenizer\.n_layers: 5 is more than the 4 layers"):
        load(TransformersCodecMethod(method="dac", model=folders["dac"], n_layers=5))


def test_missing_and_misshapen_weights(folders, tmp_path):
    folder = copied(folders, "dac", tmp_path / "dac")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.conv1.bias"]
    weights["encoder.conv1.weight"] = torch.zeros(2, 1, 7)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack 2 weights .* such as encoder\.conv1\.bias"):
        load(TransformersCodecMethod(method="dac", model=str(folder)))


def test_damaged_weights(folders, tmp_path):
    folder = copied(folders, "dac", tmp_path / "dac")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    with pytest.raises(InputError, match=r"tokenizer\.model: cannot load"):
        load(TransformersCodecMethod(method="dac", model=str(folder)))


def test_older_weights_are_read_but_code_in_them_is_not_run(folders, codecs, tmp_path):
    folder = copied(folders, "dac", tmp_path / "dac")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    settings = TransformersCodecMethod(method="dac", model=str(folder))
    waveform = sound(7, 4_000)
    np.testing.assert_array_equal(
        load(settings).encode([waveform])[0], codecs["dac"].encode([waveform])[0]
    )

    torch.save({**weights, "trap": Touch(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="come with code, which is never run"):
        load(settings)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="bf16 is refused without a GPU")
def test_bf16_needs_a_gpu(folders):
    with pytest.raises(InputError, match=r"tokenizer\.precision: bf16 needs a GPU"):
        load(TransformersCodecMethod(method="dac", model=folders["dac"], precision="bf16"))
