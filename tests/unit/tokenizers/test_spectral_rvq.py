"""The default tokenizer: frames against plain references, quantiser against brute force."""

from __future__ import annotations

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
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.fft import dct
from scipy.signal import sawtooth
from threadpoolctl import threadpool_limits

from speechlasso.audio.reading import read_clip
from speechlasso.errors import InputError
from speechlasso.features import spectral_frames as frames
from speechlasso.tokenizers import residual_kmeans
from speechlasso.tokenizers.spectral_rvq import SpectralRVQ

RATE = frames.SAMPLE_RATE


def voice(hertz: float, seconds: float = 1.0, level: float = 0.2) -> np.ndarray:
    """A harmonic sound with the falling spectrum of a voice."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (level * sawtooth(2 * np.pi * hertz * time)).astype(np.float32)


def speech_like(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Syllables of gliding pitch and changing loudness over faint noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = rng.uniform(80, 300) * 2 ** (0.3 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    loudness = np.clip(np.sin(2 * np.pi * rng.uniform(2, 5) * time), 0, None) * rng.uniform(
        0.05, 0.4
    )
    sound = loudness * sawtooth(2 * np.pi * np.cumsum(pitch) / RATE)
    return (sound + rng.normal(0, 0.003, len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def tokenizer() -> SpectralRVQ:
    return SpectralRVQ.fit(
        (speech_like(seed) for seed in range(12)), n_layers=5, codebook_size=16, seed=3
    )


# --- frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_samples", "n_frames"), [(1, 1), (320, 1), (321, 2), (3_200, 10), (32_001, 101)]
)
def test_number_of_frames(n_samples: int, n_frames: int) -> None:
    streams = frames.frame_streams(np.ones(n_samples, dtype=np.float32))
    assert len(streams) == len(frames.STREAMS)
    for stream in streams:
        assert stream.dtype == np.float32
        assert len(stream) == n_frames
        assert np.isfinite(stream).all()


def plain_cepstra_and_energy(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frame by frame, band by band, in double precision, with the DCT written as a matrix."""
    length, n_bands = 512, 32
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frequency = np.arange(length // 2 + 1) * RATE / length
    mel_edges = np.linspace(*(2595 * np.log10(1 + np.array([60, 7600]) / 700)), n_bands + 2)
    edges = 700 * (10 ** (mel_edges / 2595) - 1)
    basis = dct(np.eye(n_bands), type=2, norm="ortho", axis=0)
    cepstra, energy = [], []
    for centre in range(160, len(waveform) + 160, 320):
        samples = np.zeros(length)
        for position in range(length):
            source = centre - length // 2 + position
            if 0 <= source < len(waveform):
                samples[position] = waveform[source]
        power = np.abs(np.fft.fft(samples * window)[: length // 2 + 1]) ** 2 / (window**2).sum()
        bands = [
            np.log(np.interp(frequency, edges[band : band + 3], [0, 1, 0]) @ power + 1e-6)
            for band in range(n_bands)
        ]
        cepstra.append((basis @ bands)[1:14])
        inside = (frequency >= 60) & (frequency < 7600)
        energy.append(max(np.log(2 * power[inside].sum() / length + 1e-300), -14))
    return np.array(cepstra), np.array(energy)


def test_cepstra_and_energy_follow_the_plain_reference() -> None:
    waveform = speech_like(seed=1, seconds=0.5)
    cepstra, energy = frames.cepstra_and_energy(waveform)
    expected_cepstra, expected_energy = plain_cepstra_and_energy(waveform.astype(np.float64))
    np.testing.assert_allclose(cepstra, expected_cepstra, atol=1e-3)
    np.testing.assert_allclose(energy, expected_energy, atol=1e-4)


def test_energy_is_the_power_of_the_sound() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE)
    _, energy = frames.cepstra_and_energy(tone.astype(np.float32))
    np.testing.assert_allclose(energy[3:-3], np.log(0.5**2 / 2), atol=0.01)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = speech_like(seed=2)
    whole = frames.frame_streams(waveform)
    monkeypatch.setattr(frames, "FRAMES_PER_CHUNK", 7)
    for stream, chunked in zip(whole, frames.frame_streams(waveform), strict=True):
        np.testing.assert_allclose(chunked, stream, atol=2e-3)


@pytest.mark.parametrize("hertz", [62, 75, 98, 131, 185, 247, 330, 415, 490])
def test_pitch_of_a_voice(hertz: float) -> None:
    frequency, periodicity = frames.pitch_candidates(voice(hertz))
    semitones_off = 12 * (frequency[3:-3] - np.log2(hertz))
    assert np.abs(semitones_off).max() < 0.3
    assert periodicity[3:-3].min() > 0.95


def test_noise_and_silence_are_not_periodic() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.median(frames.pitch_candidates(noise)[1]) < frames.VOICING_THRESHOLD
    assert (frames.pitch_candidates(np.zeros(RATE, dtype=np.float32))[1] == 0).all()


def test_pitch_contour_bridges_what_is_not_voiced_and_drops_octave_errors() -> None:
    frequency = np.array([9, 7, 7, 8, 7, 7, 9, 9, 8, 8, 8, 5], dtype=np.float32)
    voiced = np.array([0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    contour, median = frames.pitch_contour(frequency, voiced)
    np.testing.assert_allclose(contour[:5], 7)
    np.testing.assert_allclose(contour[9:], 8)
    assert (np.diff(contour[4:]) >= 0).all()
    assert median == 7.5


def test_pitch_contour_of_an_unvoiced_clip_is_flat() -> None:
    contour, median = frames.pitch_contour(np.arange(4, dtype=np.float32), np.zeros(4, dtype=bool))
    np.testing.assert_array_equal(contour, np.full(4, median))


def test_phrase_stream_tells_level_range_and_pauses_apart() -> None:
    def phrase(waveform: np.ndarray) -> dict[str, float]:
        names = ["pitch", "pitch_range", "energy", "energy_range", "voiced"]
        middle = frames.frame_streams(waveform)[frames.STREAMS.index("phrase")][50]
        return dict(zip(names, middle, strict=False))

    steady, high, loud = voice(120, 2), voice(240, 2), voice(120, 2, level=0.4)
    glide = 120 * 2 ** (0.5 * np.sin(2 * np.pi * np.arange(2 * RATE) / RATE))
    gliding = (0.2 * sawtooth(2 * np.pi * np.cumsum(glide) / RATE)).astype(np.float32)
    broken = steady * (np.arange(2 * RATE) % 8_000 < 4_000)

    assert phrase(high)["pitch"] - phrase(steady)["pitch"] == pytest.approx(1, abs=0.05)
    assert phrase(gliding)["pitch_range"] > phrase(steady)["pitch_range"] + 0.1
    assert phrase(loud)["energy"] - phrase(steady)["energy"] == pytest.approx(np.log(4), abs=0.1)
    assert phrase(broken)["energy_range"] > phrase(steady)["energy_range"] + 1
    assert phrase(broken)["voiced"] < phrase(steady)["voiced"] - 0.2


def test_a_constant_offset_changes_nothing() -> None:
    waveform = speech_like(seed=4)
    for plain, offset in zip(
        frames.frame_streams(waveform),
        frames.frame_streams(waveform + np.float32(0.25)),
        strict=True,
    ):
        np.testing.assert_allclose(offset, plain, atol=0.02)


# --- residual k-means -------------------------------------------------------------------------


def brute_force(vectors: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    codes = []
    for vector in vectors.astype(np.float64):
        codes.append([])
        for codebook in codebooks.astype(np.float64):
            codes[-1].append(int(((codebook - vector) ** 2).sum(axis=1).argmin()))
            vector = vector - codebook[codes[-1][-1]]
    return np.array(codes).T


@settings(max_examples=30, deadline=None)
@given(
    n_layers=st.integers(1, 4),
    codebook_size=st.integers(2, 40),
    n_dimensions=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
)
def test_encode_agrees_with_brute_force(
    n_layers: int, codebook_size: int, n_dimensions: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(20, n_dimensions)).astype(np.float32)
    codebooks = rng.normal(size=(n_layers, codebook_size, n_dimensions)).astype(np.float32)
    codes = residual_kmeans.encode(vectors, codebooks)
    assert codes.dtype == np.int16
    # Where two centroids are equally near but for rounding, either is right.
    if (codes != brute_force(vectors, codebooks)).any():
        ours, theirs = (
            np.linalg.norm(vectors - sum(book[row] for row, book in zip(c, codebooks, strict=True)))
            for c in (codes, brute_force(vectors, codebooks))
        )
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_error_falls_with_every_layer() -> None:
    vectors = np.random.default_rng(0).normal(size=(2_000, 6)).astype(np.float32)
    codebooks = residual_kmeans.fit_codebooks(vectors, n_layers=5, codebook_size=16, seed=0)
    codes = residual_kmeans.encode(vectors, codebooks)
    approximation = np.cumsum(
        [book[row] for row, book in zip(codes, codebooks, strict=True)], axis=0
    )
    errors = np.square(vectors - approximation).mean(axis=(1, 2))
    assert errors[0] < 0.7 * np.square(vectors).mean()
    assert (errors[1:] < 0.85 * errors[:-1]).all()


def test_codebooks_find_the_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], dtype=np.float32)
    vectors = (centres.repeat(200, axis=0) + rng.normal(0, 0.1, (800, 2))).astype(np.float32)
    codebook = residual_kmeans.fit_codebooks(vectors, n_layers=1, codebook_size=4, seed=0)[0]
    distances = np.linalg.norm(codebook[:, None] - centres, axis=2)
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2, 3]
    assert distances.min(axis=1).max() < 0.05


# --- tokenizer --------------------------------------------------------------------------------


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
