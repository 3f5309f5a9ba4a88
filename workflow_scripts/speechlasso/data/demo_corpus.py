"""A corpus of synthetic speech whose labels follow from words and prosody by a known rule.

The label is the speaker's attitude: enthusiastic, sceptical or annoyed. In two of five utterances
the WORDS decide: the sentence names the attitude ("The last report is wonderful.") and is spoken
neutrally. In the other three PROSODY decides: the sentence is neutral ("We read the last report.")
and pitch level, pitch range, rate, loudness and pauses tell the attitude, relative to the
speaker's neutral voice. Neutral words and neutral prosody are drawn without regard to the label,
and classes are balanced within each source, hence the expected accuracy of a perfect classifier is

- 0.4 + 0.6 / 3 = 0.60 from words alone,
- 0.6 + 0.4 / 3 = 0.73 from prosody alone.

Classes overlap in every dimension of prosody, speakers differ in all of them, and coloured noise is
added, so that no single threshold solves the task. Speech is synthesised with espeak-ng.

With a second language, the first half of the training speakers speak English, and all others that
language, where words and prosody tell the attitude in the same way.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soundfile
import soxr
from tqdm import tqdm

from speechlasso.data import speech_synthesis
from speechlasso.data.demo_languages import FIRST_LANGUAGE, LANGUAGES, Language, Vocabulary
from speechlasso.data.speech_synthesis import Prosody, synthesise
from speechlasso.errors import InputError
from speechlasso.files import written_whole

LABELS = ("enthusiastic", "sceptical", "annoyed")
WORDS_SHARE = 0.4
SAMPLE_RATE = 16_000

# One voice, one speaker. Variants that sound like people; whispering, robots and the like are out.
FEMALE_VOICES = (
    "en-us+f1",
    "en-gb-x-rp+f2",
    "en-us+f3",
    "en-gb-scotland+f4",
    "en-029+f5",
    "en-gb-x-gbclan+Annie",
    "en-us+linda",
    "en-gb-x-rp+steph",
    "en-us+Andrea",
    "en-gb-scotland+aunty",
)
MALE_VOICES = (
    "en-us+m1",
    "en-gb-x-rp+m2",
    "en-us+m3",
    "en-gb-scotland+m4",
    "en-029+m6",
    "en-gb-x-gbclan+m7",
    "en-us+m8",
    "en-gb-x-rp+Alex",
    "en-us+Andy",
    "en-gb-scotland+Gene2",
)


class ProsodyDistribution(NamedTuple):
    """Means, or standard deviations, of what is drawn for an utterance.

    All are relative to the speaker's neutral voice: pitch in semitones above it, range of pitch
    and rate as ratios to it, loudness in decibels above it, and the extra pause between words in
    the units of `Prosody.word_gap`.
    """

    pitch_semitones: float
    pitch_range_ratio: float
    rate_ratio: float
    loudness_db: float
    word_gap: float


PROSODY_MEANS = {
    "neutral": ProsodyDistribution(0.0, 1.0, 1.00, 0.0, 1.0),
    "enthusiastic": ProsodyDistribution(3.6, 1.9, 1.15, 3.0, 0.0),
    "sceptical": ProsodyDistribution(0.0, 0.8, 0.80, -5.0, 4.5),
    "annoyed": ProsodyDistribution(-3.1, 0.3, 1.00, 5.0, 2.2),
}
PROSODY_SPREAD = ProsodyDistribution(1.4, 0.25, 0.07, 1.5, 0.9)
PROSODY_COLUMNS = list(ProsodyDistribution._fields)

_PITCH_UNITS_PER_SEMITONE = 5.5
# Below espeak-ng's full volume, where it limits the peaks of its louder voices.
_SYNTHESIS_VOLUME = 60


def make_demo_corpus(folder: Path, *, seed: int, **options: Any) -> pd.DataFrame:
    """Synthesise the corpus into `folder`/wav and return its manifest.

    Parameters
    ----------
    folder
        Where the clips go, as wav/<id>.wav: mono, 16 kHz, 16 bit.
    seed
        The same seed and options give the same bytes.
    options
        As for `plan_demo_corpus`.

    Returns
    -------
    The frame of `plan_demo_corpus`, one row per clip.

    Raises
    ------
    InputError
        If there are fewer voices than speakers asked for, or a number is out of range.
    """
    plan = plan_demo_corpus(seed=seed, **options)
    rows = enumerate(plan.to_dict("records"))
    for position, utterance in tqdm(rows, "synthesising speech", len(plan), unit="clip"):
        # A generator of its own, so that a clip depends on no other.
        waveform = render_utterance(utterance, np.random.default_rng([seed, position]))
        # libsndfile would tell a full disk from no other error.
        stream = io.BytesIO()
        soundfile.write(stream, waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        with written_whole(Path(folder) / utterance["audio"]) as temporary:
            temporary.write_bytes(stream.getvalue())
    return plan


def plan_demo_corpus(
    *,
    seed: int,
    train_speakers: int = 8,
    validation_speakers: int = 3,
    test_speakers: int = 4,
    utterances_per_speaker: int = 40,
    second_language: str | None = None,
) -> pd.DataFrame:
    """Draw all that determines the corpus, without synthesising it.

    Parameters
    ----------
    seed
        The same seed and sizes draw the same.
    train_speakers, validation_speakers, test_speakers
        Speakers per split; no speaker is in two.
    utterances_per_speaker
        A multiple of 5 makes the shares of the sources exact (40 % words, 60 % prosody), a
        multiple of 15 also balances the classes exactly within each speaker and source.
    second_language
        One of `LANGUAGES`, spoken by all but the first half of the training speakers.

    Returns
    -------
    A frame with the columns id, audio (relative path), text, label, speaker, split, source ("words"
    or "prosody": what decides the label), voice, the speaker's neutral voice (neutral_pitch and
    neutral_rate as in `Prosody`, neutral_level_dbfs), what was drawn for the utterance relative
    to it (the fields of `ProsodyDistribution`), and snr_db and noise_exponent of the noise; with a
    second language also language.
    """
    counts = {"train": train_speakers, "validation": validation_speakers, "test": test_speakers}
    _check_sizes(seed, counts, utterances_per_speaker, second_language)
    rng = np.random.default_rng(seed)
    speakers = _draw_speakers(rng, counts)
    if second_language:
        speakers = _in_two_languages(speakers, second_language)
    plan = _assign_labels(rng, speakers, utterances_per_speaker).merge(speakers, on="speaker")
    plan["text"] = _draw_texts(rng, plan)
    plan[PROSODY_COLUMNS] = _draw_prosody(rng, plan)
    plan["snr_db"] = rng.uniform(15, 30, len(plan)).round(3)
    plan["noise_exponent"] = rng.uniform(0, 1.5, len(plan)).round(3)
    plan["audio"] = "wav/" + plan["id"] + ".wav"
    leading = ["id", "audio", "text", "label", "speaker", "split", "source"]
    return plan[leading + [column for column in plan if column not in leading]]


def render_utterance(utterance: Mapping[str, object], rng: np.random.Generator) -> np.ndarray:
    """Speak one row of the plan and add its noise; int16, shape (n_samples,), `SAMPLE_RATE` Hz."""
    speech = synthesise(utterance["text"], utterance["voice"], _spoken_prosody(utterance))
    speech = soxr.resample(speech / 2**15, speech_synthesis.SAMPLE_RATE, SAMPLE_RATE)
    speech = _at_level(speech, utterance["neutral_level_dbfs"] + utterance["loudness_db"])
    noise_level = _level_dbfs(speech) - utterance["snr_db"]
    noise = _at_level(coloured_noise(rng, len(speech), utterance["noise_exponent"]), noise_level)
    return np.round((speech + noise).clip(-1, 1) * (2**15 - 1)).astype(np.int16)


def _check_sizes(
    seed: int,
    speakers: Mapping[str, int],
    utterances_per_speaker: int,
    second_language: str | None,
) -> None:
    problems = [
        f"{split}_speakers is {count}, expected at least 1"
        for split, count in speakers.items()
        if count < 1
    ]
    available = len(FEMALE_VOICES) + len(MALE_VOICES)
    if sum(speakers.values()) > available:
        problems.append(f"{sum(speakers.values())} speakers asked for, there are {available}")
    if second_language and speakers["train"] == 1:
        problems.append("train_speakers is 1, expected at least one for each language")
    if utterances_per_speaker < 1:
        problems.append(f"utterances_per_speaker is {utterances_per_speaker}, expected at least 1")
    if seed < 0:
        problems.append(f"seed is {seed}, expected at least 0")
    if problems:
        raise InputError.listing("The demo corpus cannot be made:", problems, "Change these.")


def _draw_speakers(rng: np.random.Generator, counts: Mapping[str, int]) -> pd.DataFrame:
    """One row per speaker; women and men alternate, so that every split has both."""
    women, men = rng.permutation(FEMALE_VOICES), rng.permutation(MALE_VOICES)
    n_speakers = sum(counts.values())
    return pd.DataFrame(
        {
            "speaker": [f"s{number:02d}" for number in range(n_speakers)],
            "split": np.repeat(list(counts), list(counts.values())),
            "voice": np.column_stack([women, men]).ravel()[:n_speakers],
            "neutral_pitch": rng.normal(50, 5, n_speakers).round(3),
            "neutral_rate": rng.normal(195, 6, n_speakers).round(3),
            "neutral_level_dbfs": rng.normal(-32, 1, n_speakers).round(3),
        }
    )


def _in_two_languages(speakers: pd.DataFrame, second_language: str) -> pd.DataFrame:
    """Speakers after the first half of the training ones with the second language.

    Of their English voices they keep the variant, which tells speakers apart.
    """
    n_first = (speakers["split"] == "train").sum() // 2
    language = np.where(speakers.index < n_first, FIRST_LANGUAGE, second_language)
    translated = second_language + "+" + speakers["voice"].str.partition("+")[2]
    voice = speakers["voice"].where(language == FIRST_LANGUAGE, translated)
    return speakers.assign(voice=voice, language=language)


def _assign_labels(
    rng: np.random.Generator, speakers: pd.DataFrame, utterances_per_speaker: int
) -> pd.DataFrame:
    """Labels and sources of every speaker's utterances, in random order.

    Labels are dealt in turn, so their counts differ by at most one in each source of a speaker;
    from speaker to speaker the first label rotates, so the differences do not add up in a split.
    """
    n_words = round(WORDS_SHARE * utterances_per_speaker)
    sources = np.repeat(["words", "prosody"], [n_words, utterances_per_speaker - n_words])
    parts = []
    for _, members in speakers.groupby("split", sort=False):
        for first, speaker in enumerate(members["speaker"]):
            labels = np.resize(np.roll(LABELS, -first), utterances_per_speaker)
            order = rng.permutation(utterances_per_speaker)
            part = pd.DataFrame({"label": labels[order], "source": sources[order]})
            part["speaker"] = speaker
            part["id"] = [f"{speaker}-{number:03d}" for number in range(utterances_per_speaker)]
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _draw_texts(rng: np.random.Generator, plan: pd.DataFrame) -> pd.Series:
    """Sentences that name the label where words decide, neutral sentences elsewhere."""
    if "language" not in plan:
        return _draw_texts_of(rng, plan, LANGUAGES[FIRST_LANGUAGE])
    parts = plan.groupby("language", sort=False)
    return pd.concat(_draw_texts_of(rng, rows, LANGUAGES[name]) for name, rows in parts)


def _draw_texts_of(rng: np.random.Generator, plan: pd.DataFrame, language: Language) -> pd.Series:
    texts = pd.Series(index=plan.index, dtype=object)
    decided_by_words = plan["source"] == "words"
    for (_, label), rows in plan[decided_by_words].groupby(["split", "label"], sort=False):
        texts[rows.index] = _draw_sentences(rng, language, language.attitudes[label], len(rows))
    n_neutral = int((~decided_by_words).sum())
    texts[~decided_by_words] = _draw_sentences(rng, language, language.neutral, n_neutral)
    return texts


def _draw_sentences(
    rng: np.random.Generator, language: Language, vocabulary: Vocabulary, count: int
) -> list[str]:
    """Sentences of one vocabulary; every predicate comes up before any is repeated."""
    predicates = [(word, "adjective") for word in vocabulary.adjectives]
    predicates += [(word, "verb") for word in vocabulary.verbs]
    sentences = []
    for word, part_of_speech in _deal(rng, predicates, count):
        topic = rng.choice(language.topics)
        if part_of_speech == "adjective":
            sentence = f"{topic} {rng.choice(language.copulas)} {word}."
        else:
            sentence = f"{rng.choice(language.subjects)} {word} {topic}."
        sentences.append(sentence[0].upper() + sentence[1:])
    return sentences


def _deal(rng: np.random.Generator, items: Sequence, count: int) -> list:
    """`count` items from decks of all items, each deck shuffled."""
    n_decks = -(-count // len(items))
    positions = np.concatenate([rng.permutation(len(items)) for _ in range(n_decks)] or [[]])
    return [items[int(position)] for position in positions[:count]]


def _draw_prosody(rng: np.random.Generator, plan: pd.DataFrame) -> np.ndarray:
    """Shape (n_utterances, 5): the label's prosody where prosody decides, neutral elsewhere."""
    attitudes = plan["label"].where(plan["source"] == "prosody", "neutral")
    means = np.array([PROSODY_MEANS[attitude] for attitude in attitudes])
    # Without the far tails no clip is overdriven or drawn out.
    deviations = rng.standard_normal(means.shape).clip(-2.5, 2.5)
    return (means + PROSODY_SPREAD * deviations).round(3)


def _spoken_prosody(utterance: Mapping[str, object]) -> Prosody:
    """What espeak-ng is told, from the speaker's neutral voice and the drawn deviations."""
    pitch = utterance["neutral_pitch"] + _PITCH_UNITS_PER_SEMITONE * utterance["pitch_semitones"]
    return Prosody(
        rate=round(np.clip(utterance["neutral_rate"] * utterance["rate_ratio"], 80, 450)),
        pitch=round(np.clip(pitch, 0, 99)),
        pitch_range=round(np.clip(50 * utterance["pitch_range_ratio"], 0, 99)),
        volume=_SYNTHESIS_VOLUME,
        word_gap=round(max(0.0, utterance["word_gap"])),
    )


def coloured_noise(rng: np.random.Generator, n_samples: int, exponent: float) -> np.ndarray:
    """Noise whose power falls as 1 / frequency ** exponent: 0 is white, 1 pink."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequencies = np.arange(len(spectrum))
    frequencies[0] = 1
    return np.fft.irfft(spectrum * frequencies ** (-exponent / 2), n_samples)


def _level_dbfs(waveform: np.ndarray) -> float:
    return 10 * np.log10(np.mean(waveform**2))


def _at_level(waveform: np.ndarray, level_dbfs: float) -> np.ndarray:
    """The waveform scaled to a root mean square of `level_dbfs` below full scale."""
    return waveform * 10 ** ((level_dbfs - _level_dbfs(waveform)) / 20)
