"""The default tokenizer: codes, files and what it refuses."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_voices import RATE, speech_like, voice
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from speechlasso.audio.reading import read_clip
from speechlasso.errors import InputError
from speechlasso.features import spectral_frames as frames
from speechlasso.tokenizers.spectral_rvq import STREAMS, SpectralRVQ


@pytest.fixture(scope="module")
def tokenizer() -> SpectralRVQ:
    return SpectralRVQ.fit(
        (speech_like(seed) for seed in range(12)), n_layers=5, codebook_size=16, seed=3
    )


def test_attributes_and_codes(tokenizer: SpectralRVQ) -> None:
    assert (tokenizer.n_layers, tokenizer.codebook_size) == (5, 16)
    assert (tokenizer.sample_rate, tokenizer.frame_rate) == (16_000, 50)
    (codes,) = tokenizer.encode([speech_like(seed=99)])
    assert codes.dtype == np.int16 and codes.shape == (5, 100)
    assert codes.min() >= 0 and codes.max() < 16
    assert all(len(np.unique(layer)) > 1 for layer in codes)


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9_000), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_codes_do_not_depend_on_the_batch(
    tokenizer: SpectralRVQ, lengths: list[int], seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    batch = [rng.normal(0, 0.1, length).astype(np.float32) for length in lengths]
    together = tokenizer.encode(batch)
    order = data.draw(st.permutations(range(len(batch))))
    for position, codes in zip(order, tokenizer.encode([batch[i] for i in order]), strict=True):
        np.testing.assert_array_equal(codes, together[position])
        np.testing.assert_array_equal(codes, tokenizer.encode([batch[position]])[0])


@pytest.mark.parametrize(
    "waveform",
    [
        np.array([0.5]),
        np.zeros(320),
        np.zeros(RATE),
        np.ones(RATE),
        np.full(RATE, -0.3),
        np.sign(voice(100)),
        1e-6 * voice(100),
        100 * voice(100),
        np.eye(1, RATE, RATE // 2)[0],
    ],
    ids=["1 sample", "20 ms", "silence", "+1", "-0.3", "clipped", "faint", "too loud", "click"],
)
def test_extreme_waveforms(tokenizer: SpectralRVQ, waveform: np.ndarray) -> None:
    with np.errstate(all="raise", under="ignore"):
        (codes,) = tokenizer.encode([waveform.astype(np.float32)])
    assert codes.shape == (5, -(-len(waveform) // 320))
    assert codes.min() >= 0 and codes.max() < 16


def test_silence_is_one_code_per_layer(tokenizer: SpectralRVQ) -> None:
    (codes,) = tokenizer.encode([np.zeros(RATE, dtype=np.float32)])
    assert (codes == codes[:, :1]).all()


def test_pitch_and_loudness_change_the_codes_of_their_layers(tokenizer: SpectralRVQ) -> None:
    pitch, energy = frames.STREAMS.index("pitch"), frames.STREAMS.index("energy")
    low, high, faint = tokenizer.encode([voice(100), voice(250), voice(100, level=0.004)])
    assert (low[pitch] != high[pitch]).mean() > 0.9
    assert (low[energy] != faint[energy]).mean() > 0.9


@pytest.mark.parametrize("n_layers", [1, 3, 4, 9])
def test_any_number_of_layers(n_layers: int) -> None:
    clips = [speech_like(seed) for seed in range(3)]
    tokenizer = SpectralRVQ.fit(clips, n_layers=n_layers, codebook_size=4, seed=0)
    assert tokenizer.n_layers == n_layers
    assert tokenizer.encode(clips)[0].shape == (n_layers, 100)


def test_first_layers_do_not_depend_on_how_many_follow() -> None:
    clips = [speech_like(seed) for seed in range(3)]
    few, many = (
        SpectralRVQ.fit(clips, n_layers=n_layers, codebook_size=8, seed=0) for n_layers in (2, 8)
    )
    np.testing.assert_array_equal(few.encode(clips)[0], many.encode(clips)[0][:2])


def test_a_sample_of_the_frames_suffices(tokenizer: SpectralRVQ) -> None:
    clips = [speech_like(seed) for seed in range(12)]
    sampled = SpectralRVQ.fit(clips, n_layers=1, codebook_size=8, seed=0, max_frames=200)
    complete = SpectralRVQ.fit(clips, n_layers=1, codebook_size=8, seed=0)
    agreement = [
        np.mean([len(np.unique(b[0][a[0] == code])) for code in np.unique(a[0])])
        for a, b in zip(sampled.encode(clips), complete.encode(clips), strict=True)
    ]
    assert np.mean(agreement) < 3  # of 8 codes that it could be spread over


FIT_AND_SAVE = """
import sys
import numpy as np
from speechlasso.tokenizers.spectral_rvq import SpectralRVQ
SpectralRVQ.fit(np.load(sys.argv[1]), n_layers=5, codebook_size=16, seed=1).save(sys.argv[2])
"""


@pytest.mark.slow
def test_same_seed_same_bytes_in_any_process_with_any_threads(tmp_path: Path) -> None:
    clips, here, there = (tmp_path / name for name in ("clips.npy", "here.st", "there.st"))
    np.save(clips, np.stack([speech_like(seed, seconds=1.0) for seed in range(6)]))
    with threadpool_limits(limits=1):
        SpectralRVQ.fit(np.load(clips), n_layers=5, codebook_size=16, seed=1).save(here)

    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    environment |= {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FIT_AND_SAVE, str(clips), str(there)]
    subprocess.run(command, check=True, env=environment)
    assert there.read_bytes() == here.read_bytes()


def test_another_seed_learns_another_tokenizer() -> None:
    clips = [speech_like(seed) for seed in range(3)]
    first, second = (
        SpectralRVQ.fit(clips, n_layers=1, codebook_size=8, seed=seed).encode(clips)[0]
        for seed in (0, 1)
    )
    assert (first != second).any()


def test_save_and_load(tokenizer: SpectralRVQ, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.safetensors"
    tokenizer.save(path)
    loaded = SpectralRVQ.load(path)
    assert (loaded.n_layers, loaded.codebook_size) == (5, 16)
    clips = [speech_like(seed) for seed in range(20, 24)]
    for codes, expected in zip(loaded.encode(clips), tokenizer.encode(clips), strict=True):
        np.testing.assert_array_equal(codes, expected)
    with safe_open(path, framework="numpy") as file:
        saved = json.loads(file.metadata()["settings"])
    assert saved["n_layers"] == 5 and saved["codebook_size"] == 16
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_load_refuses_other_files(tokenizer: SpectralRVQ, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        SpectralRVQ.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="cannot be read"):
        SpectralRVQ.load(path)
    tokenizer.save(path)
    later = {"settings": json.dumps({"format": "speechlasso spectral_rvq 999"})}
    save_file(load_file(path), path, metadata=later)
    with pytest.raises(InputError, match=r"found 'speechlasso spectral_rvq 999'.*Fit"):
        SpectralRVQ.load(path)


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(InputError) as error:
        SpectralRVQ.fit([], n_layers=0, codebook_size=1, seed=0, max_frames=0)
    for name in ("n_layers", "codebook_size", "max_frames"):
        assert f"{name} = " in str(error.value)


def test_too_little_to_learn_from() -> None:
    with pytest.raises(InputError, match="there are none"):
        SpectralRVQ.fit([], n_layers=1, codebook_size=8, seed=0)
    with pytest.raises(InputError, match="have 5 frames, too few for codebook_size = 8"):
        SpectralRVQ.fit([speech_like(0, seconds=0.1)], n_layers=1, codebook_size=8, seed=0)


@pytest.mark.parametrize(
    "waveform", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_unusable_waveforms(tokenizer: SpectralRVQ, waveform: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^A waveform "):
        tokenizer.encode([waveform])


@pytest.mark.shared
def test_real_voices(shared_data: Path) -> None:
    """Women speak higher than men, and unseen speakers use the whole code space."""
    clips = pd.read_csv(shared_data / "emodb" / "manifest.csv", dtype=str)
    clips = clips[clips["label"] == "neutral"]
    waveforms = [read_clip(shared_data / "emodb" / audio, RATE) for audio in clips["audio"]]
    medians = []
    for waveform in waveforms:
        frequency, periodicity = frames.pitch_candidates(waveform)
        medians.append(2 ** np.median(frequency[periodicity > frames.VOICING_THRESHOLD]))
    by_gender = pd.Series(medians).groupby(clips["gender"].to_numpy()).median()
    assert 90 < by_gender["male"] < 150 < by_gender["female"] < 240

    known = clips["speaker"].isin(["03", "08", "09", "10"]).to_numpy()
    tokenizer = SpectralRVQ.fit(
        (waveform for waveform, use in zip(waveforms, known, strict=True) if use),
        n_layers=4,
        codebook_size=32,
        seed=0,
    )
    unseen = [waveform for waveform, use in zip(waveforms, known, strict=True) if not use]
    codes = np.concatenate(tokenizer.encode(unseen), axis=1)
    for layer in codes:
        share = np.bincount(layer, minlength=32) / layer.size
        assert (share > 0).mean() > 0.9
        assert share.max() < 0.25


def test_centroids_lie_among_the_features_of_all_streams(tokenizer: SpectralRVQ) -> None:
    centroids = tokenizer.centroids
    assert centroids.shape[:2] == (tokenizer.n_layers, tokenizer.codebook_size)
    used = np.any(centroids != 0, axis=1)
    for one, other in itertools.combinations(range(tokenizer.n_layers), 2):
        of_one_stream = (one - other) % len(STREAMS) == 0
        assert (used[one] & used[other]).any() == of_one_stream
