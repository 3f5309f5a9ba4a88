"""Acoustic frames: spectrum, pitch, energy and phrasing of speech, 50 times a second.

The frames come as four streams, one feature matrix each, so that each can be quantised by itself:
a codebook over all features at once would spend its centroids on the spectrum alone, which has the
most dimensions, and pitch and loudness would hardly show in the codes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct
from scipy.ndimage import correlate1d, median_filter

from speechlasso.features.short_time import (
    MEL_RANGE,
    SAMPLE_RATE,
    bin_frequencies,
    hann,
    log_bands,
    mel_filters,
    power_spectrum,
    windows,
    without_offset,
)

HOP = 320  # samples: 20 ms, the step of the neural speech codecs
FRAME_RATE = SAMPLE_RATE / HOP

SPECTRUM_WINDOW = 512  # samples: 32 ms, two periods of a low voice
N_MEL_BANDS = 32
N_CEPSTRA = 13  # without the zeroth, which repeats the energy
ENERGY_FLOOR = -14.0  # natural log of power, about -61 dB of full scale

PITCH_WINDOW = 1024  # samples: 64 ms, nearly four periods of the lowest pitch
PITCH_FFT = 1536  # window plus longest lag, so that the autocorrelation does not wrap around
PITCH_RANGE = (60.0, 500.0)  # Hz; acted and excited voices reach 500
PITCH_STEPS_PER_OCTAVE = 48  # a quarter of a semitone
PITCH_BAND = (50.0, 1000.0)  # Hz; the harmonics that carry the pitch, below most formants
# Twice the true period correlates as well as the period itself: prefer the higher candidate.
OCTAVE_BONUS = 0.02  # of normalised autocorrelation, per octave
VOICING_THRESHOLD = 0.55  # normalised autocorrelation at the pitch period
VOICED_ENERGY_RANGE = 7.0  # nats, 30 dB: a voiced frame is at most that far below the loudest one
TYPICAL_PITCH = np.log2(155.0)  # between men and women, for clips in which nothing is voiced

PROSODIC_SLOPE = 4  # frames to each side: 180 ms, about a syllable
PHRASE_WIDTH = 25.0  # frames: standard deviation of the window over a phrase, 0.5 s
ACTIVE_ENERGY_RANGE = 5.0  # nats, 22 dB: speech as against pauses
PRIOR_WEIGHT = 1e-3  # of the clip's mean, as a share of a full window: counts only in long pauses

STREAMS = ("spectrum", "pitch", "energy", "phrase")
N_SPECTRAL = N_CEPSTRA + 3
"""Features of `spectral_frames`: cepstra, energy, frequency, periodicity."""


def frame_streams(waveform: np.ndarray) -> tuple[np.ndarray, ...]:
    """Compute the feature streams of a waveform.

    Frame t is centred on sample HOP * t + HOP / 2; the waveform counts as silent beyond its ends.

    Parameters
    ----------
    waveform
        float32 (n_samples,) at SAMPLE_RATE, at least one sample.

    Returns
    -------
    One float32 array (n_frames, n_features) per stream, in the order of STREAMS, with
    n_frames = ceil(n_samples / HOP).
    """
    waveform = without_offset(waveform)
    cepstra, energy = cepstra_and_energy(waveform)
    frequency, periodicity = pitch_candidates(waveform)
    voiced = (periodicity > VOICING_THRESHOLD) & (energy > energy.max() - VOICED_ENERGY_RANGE)
    pitch, typical_pitch = pitch_contour(frequency, voiced)
    energy_slope, pitch_slope = _slope(energy, PROSODIC_SLOPE), _slope(pitch, PROSODIC_SLOPE)
    return (
        np.column_stack([cepstra, energy]),
        np.column_stack([pitch, pitch - typical_pitch, periodicity, pitch_slope]),
        np.column_stack([energy, energy_slope, cepstra[:, :2], periodicity]),
        phrase_statistics(cepstra, energy, pitch, periodicity, voiced),
    )


def spectral_frames(waveform: np.ndarray) -> np.ndarray:
    """Cepstra, energy, frequency of the likeliest pitch and periodicity, in these columns.

    Parameters
    ----------
    waveform
        As for `frame_streams`.

    Returns
    -------
    numpy.ndarray
        float32 (n_frames, N_SPECTRAL).
    """
    waveform = without_offset(waveform)
    return np.column_stack([*cepstra_and_energy(waveform), *pitch_candidates(waveform)])


def cepstra_and_energy(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mel-frequency cepstra and log energy (Davis and Mermelstein 1980).

    Parameters
    ----------
    waveform
        float32 (n_samples,) at SAMPLE_RATE.

    Returns
    -------
    cepstra
        float32 (n_frames, N_CEPSTRA), cepstral coefficients 1 to N_CEPSTRA.
    energy
        float32 (n_frames,), natural log of the power in the mel range, at least ENERGY_FLOOR.
    """
    window = hann(SPECTRUM_WINDOW)
    filters = mel_filters(SPECTRUM_WINDOW, N_MEL_BANDS)
    cepstra, energy = [], []
    for block in windows(waveform, SPECTRUM_WINDOW, HOP):
        power = power_spectrum(block * window, SPECTRUM_WINDOW) / np.square(window).sum()
        bands = log_bands(power, filters)
        cepstra.append(dct(bands, type=2, norm="ortho", axis=1)[:, 1 : N_CEPSTRA + 1])
        # The bins of positive frequency hold half the power of a real signal.
        mean_power = 2 * power[:, _mel_bins()].sum(axis=1) / SPECTRUM_WINDOW
        energy.append(np.log(np.maximum(mean_power, np.float32(np.exp(ENERGY_FLOOR)))))
    return np.concatenate(cepstra), np.concatenate(energy)


def pitch_candidates(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most likely pitch of every frame and how periodic the frame is at it.

    The autocorrelation of the windowed frame is divided by that of the window (Boersma 1993). It is
    evaluated as the cosine transform of the power spectrum, directly at periods spaced evenly on a
    logarithmic scale, so that no peak interpolation is needed.

    Parameters
    ----------
    waveform
        As for `cepstra_and_energy`.

    Returns
    -------
    frequency
        float32 (n_frames,), log2 of Hz.
    periodicity
        float32 (n_frames,), from 0 (noise, silence) to 1 (a perfectly periodic sound).
    """
    window = hann(PITCH_WINDOW)
    bins, candidates, transform = _autocorrelation_transform()
    bonus = np.float32(OCTAVE_BONUS) * (candidates - candidates[0])
    frequency, periodicity = [], []
    for block in windows(waveform, PITCH_WINDOW, HOP):
        power = power_spectrum(block * window, PITCH_FFT)[:, bins]
        # The added constant, about the power of noise at -95 dB, makes silence aperiodic.
        total = power.sum(axis=1, keepdims=True) + np.float32(1e-8 * PITCH_WINDOW)
        autocorrelation = (power @ transform) / total
        best = (autocorrelation + bonus).argmax(axis=1)
        frequency.append(candidates[best])
        periodicity.append(autocorrelation[np.arange(len(best)), best].clip(0, 1))
    return np.concatenate(frequency), np.concatenate(periodicity)


def pitch_contour(frequency: np.ndarray, voiced: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Continuous pitch: interpolated where nothing is voiced, single octave errors removed.

    Parameters
    ----------
    frequency
        float32 (n_frames,), log2 of Hz.
    voiced
        bool (n_frames,).

    Returns
    -------
    contour
        float32 (n_frames,), log2 of Hz.
    median
        That of the voiced frames, log2 of Hz.
    """
    if not voiced.any():
        return np.full(len(frequency), TYPICAL_PITCH, dtype=np.float32), np.float32(TYPICAL_PITCH)
    (voiced_frames,) = voiced.nonzero()
    contour = np.interp(np.arange(len(frequency)), voiced_frames, frequency[voiced])
    contour = median_filter(contour.astype(np.float32), 5, mode="nearest")
    return contour, np.median(frequency[voiced])


def phrase_statistics(
    cepstra: np.ndarray,
    energy: np.ndarray,
    pitch: np.ndarray,
    periodicity: np.ndarray,
    voiced: np.ndarray,
) -> np.ndarray:
    """Level and range of the voice over a phrase, around every frame.

    Arguments are the features of one clip, as the functions above return them.

    Returns
    -------
    float32 array (n_frames, 9): mean and standard deviation of pitch (voiced frames) and of energy,
    share of voiced frames, means of cepstra 1 and 2 and of periodicity (active frames; spectral
    tilt and voice quality), mean speed of spectral change (articulation).
    """
    active = energy > energy.max() - ACTIVE_ENERGY_RANGE
    everywhere = np.ones(len(energy), dtype=bool)
    spectral_change = np.linalg.norm(_slope(cepstra, 1), axis=1)
    # Centred first: the difference of two large squares would lose the digits of float32.
    pitch_centre, energy_centre = pitch.mean(), energy.mean()
    pitch, energy = pitch - pitch_centre, energy - energy_centre
    means = _local_means(
        (pitch, voiced),
        (np.square(pitch), voiced),
        (energy, everywhere),
        (np.square(energy), everywhere),
        (voiced.astype(np.float32), everywhere),
        (cepstra[:, 0], active),
        (cepstra[:, 1], active),
        (periodicity, active),
        (spectral_change, everywhere),
    )
    for mean, square in (means[0:2], means[2:4]):
        square[:] = np.sqrt((square - np.square(mean)).clip(0))
    means[0] += pitch_centre
    means[2] += energy_centre
    return np.ascontiguousarray(means.T)


def _local_means(*features: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Gaussian-weighted means over the counted frames of a phrase, float32 (n_features, n_frames).

    Far from any counted frame the mean of all the clip's counted frames takes over; the feature's
    own mean where a clip has none.

    Parameters
    ----------
    *features
        A feature, float32 (n_frames,), and which frames count, bool (n_frames,).
    """
    overall = [
        (feature[counted] if counted.any() else feature).mean() for feature, counted in features
    ]
    counts = np.stack([counted.astype(np.float32) for _, counted in features])
    counted_only = [np.where(counted, feature, np.float32(0)) for feature, counted in features]
    # All at once, since the call costs more than what it does for a short clip.
    smooth = correlate1d(np.concatenate([counts, counted_only]), _phrase_window(), mode="constant")
    weight, total = smooth[: len(features)], smooth[len(features) :]
    prior = np.float32(PRIOR_WEIGHT)
    return (total + prior * np.stack(overall)[:, None]) / (weight + prior)


@cache
def _phrase_window() -> np.ndarray:
    """A Gaussian as wide as three standard deviations to each side, of sum one."""
    reach = int(3 * PHRASE_WIDTH + 0.5)
    weights = np.exp(-0.5 / PHRASE_WIDTH**2 * np.arange(-reach, reach + 1) ** 2)
    return weights / weights.sum()


def _slope(feature: np.ndarray, reach: int) -> np.ndarray:
    """Least-squares slope per frame over `reach` frames to each side ("deltas")."""
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    return correlate1d(feature, steps / np.square(steps).sum(), axis=0, mode="nearest")


@cache
def _mel_bins() -> slice:
    first, last = np.searchsorted(bin_frequencies(SPECTRUM_WINDOW), MEL_RANGE)
    return slice(first, last)


@cache
def _autocorrelation_transform() -> tuple[slice, np.ndarray, np.ndarray]:
    """What turns a power spectrum into the normalised autocorrelation at the pitch candidates.

    Returns the bins of PITCH_BAND, the candidates (log2 of Hz), and float32 (n_bins, n_candidates).
    """
    n_candidates = int(np.log2(PITCH_RANGE[1] / PITCH_RANGE[0]) * PITCH_STEPS_PER_OCTAVE) + 1
    candidates = np.log2(PITCH_RANGE[0]) + np.arange(n_candidates) / PITCH_STEPS_PER_OCTAVE
    frequency = bin_frequencies(PITCH_FFT)
    first, last = np.searchsorted(frequency, PITCH_BAND)
    cosines = np.cos(2 * np.pi * frequency[first:last, None] / 2**candidates)

    window = hann(PITCH_WINDOW).astype(np.float64)
    of_window = np.correlate(window, window, mode="full")[PITCH_WINDOW - 1 :]
    periods = SAMPLE_RATE / 2**candidates
    at_periods = np.interp(periods, np.arange(PITCH_WINDOW), of_window / of_window[0])
    transform = (cosines / at_periods).astype(np.float32)
    return slice(first, last), candidates.astype(np.float32), transform
