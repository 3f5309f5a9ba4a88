"""Codes of hidden states: the same from cached frames as from clips, by frame or pooled."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from tests.unit import tiny_codecs

from speechlasso.errors import InputError
from speechlasso.features.frame_files import FrameKind
from speechlasso.features.hidden_states import load_hidden_states
from speechlasso.features.settings import Encoder
from speechlasso.tokenizers.hidden_state_codes import fit_frames, load, pool
from speechlasso.tokenizers.settings import HiddenStateCodesMethod

pytestmark = pytest.mark.slow
CLIPS = [tiny_codecs.sound(seed, 16_000 + 700 * seed) for seed in range(5)]


@pytest.fixture(scope="module", params=["hubert", "whisper"])
def encoder(request, tmp_path_factory):
    torch.set_num_threads(1)
    build = tiny_codecs.SPEECH_MODELS[request.param]
    model = tiny_codecs.save(tmp_path_factory.mktemp("encoder") / request.param, build)
    return Encoder(model=model, layers="all")


@pytest.fixture(scope="module")
def frames(encoder):
    """As they lie on disk, of layers 1 and 3."""
    states = load_hidden_states(encoder.model, None, [1, 3], "fp32", own_length=True)
    return [of_clip.astype(np.float16) for of_clip in states.encoder.encode(CLIPS)]


def settings(**options):
    sizes = {"n_components": 8, "n_groups": 2, "codebook_size": 5, "max_frames": 200}
    sizes |= {"pooling": "frame"}
    return HiddenStateCodesMethod(
        method="hidden_state_codes", **{"layers": [1, 3], **sizes, **options}
    )


def fitted(encoder, frames, **options):
    kind = FrameKind([0, 1, 2, 3], 50.0, encoder.model_dump(mode="json"))
    return fit_frames(frames, kind, settings(**options))


@pytest.mark.parametrize(
    ("options", "n_codes"),
    [
        ({}, lambda clip: -(-len(clip) // 320)),
        ({"pooling": "segment", "segment_seconds": 0.5}, None),
        ({"pooling": "utterance", "n_stages": 2}, lambda clip: 1),
    ],
)
def test_a_clip_has_the_codes_of_its_frames(encoder, frames, tmp_path, options, n_codes):
    tokenizer = fitted(encoder, frames, **options)
    tokenizer.save(tmp_path / "tokenizer.safetensors")
    opened = load(settings(**options), tmp_path / "tokenizer.safetensors")
    assert opened.n_layers == settings(**options).planned_n_layers
    from_clips = opened.encode(CLIPS)
    for clip, codes, of_clip in zip(CLIPS, from_clips, frames, strict=True):
        np.testing.assert_array_equal(codes, tokenizer.encode_frames(of_clip))
        assert codes.shape[0] == opened.n_layers and codes.max() < 5
        if n_codes and "whisper" in encoder.model:
            assert codes.shape[1] == n_codes(clip)
    (alone,) = opened.encode(CLIPS[2:3])
    np.testing.assert_array_equal(alone, from_clips[2])


def test_stretches_have_their_mean_and_their_spread():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(130, 4)).astype(np.float32)
    assert pool(frames, 0.0, 50.0) is frames
    stretches = pool(frames, 1.0, 50.0)
    assert stretches.shape == (3, 8)
    np.testing.assert_allclose(stretches[1, :4], frames[50:100].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(stretches[2, 4:], frames[100:].std(axis=0), atol=1e-6)
    whole = pool(frames, np.inf, 50.0)
    np.testing.assert_allclose(whole[0, :4], frames.mean(axis=0), atol=1e-6)


def test_same_frames_same_bytes(encoder, frames, tmp_path):
    for name in ("one", "other"):
        fitted(encoder, frames).save(tmp_path / f"{name}.safetensors")
    one, other = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other


def test_what_does_not_fit_is_named(encoder, frames, tmp_path):
    with pytest.raises(InputError, match=r"n_components: 64 is more than the 32 features"):
        fitted(encoder, frames, n_components=64)
    with pytest.raises(InputError, match="codebook_size"):
        fitted(encoder, frames, pooling="utterance", codebook_size=6)
    with pytest.raises(ValueError, match="n_components: 9 is no multiple of n_groups: 2"):
        settings(n_components=9)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as a safetensors file"):
        load(settings(), other)


def test_another_encoder_in_the_place_of_a_local_one_is_refused(encoder, frames, tmp_path):
    copied = encoder.model_copy(update={"model": shutil.copytree(encoder.model, tmp_path / "m")})
    tokenizer = fitted(Encoder(model=str(copied.model), layers="all"), frames)
    tokenizer.save(tmp_path / "tokenizer.safetensors")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="are not those that the tokenizer was fitted to"):
        load(settings(), tmp_path / "tokenizer.safetensors").encode(CLIPS[:1])
