"""The demo corpus in two languages: who speaks which, and that the same rule gives the labels."""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechlasso.data.demo_corpus import (
    FEMALE_VOICES,
    LABELS,
    MALE_VOICES,
    PROSODY_COLUMNS,
    make_demo_corpus,
    plan_demo_corpus,
)
from speechlasso.data.demo_languages import FIRST_LANGUAGE, LANGUAGES
from speechlasso.data.settings import DemoCorpus
from speechlasso.data.speech_synthesis import synthesise
from speechlasso.errors import InputError

SECOND = [name for name in LANGUAGES if name != FIRST_LANGUAGE]
second_language = pytest.mark.parametrize("language", SECOND)


def attitudes_named(text: str, language: str) -> set[str]:
    """Labels, or "neutral", of which words stand in a sentence."""
    padded = f" {text.removesuffix('.')} "
    vocabularies = LANGUAGES[language].attitudes | {"neutral": LANGUAGES[language].neutral}
    return {
        attitude
        for attitude, (adjectives, verbs) in vocabularies.items()
        if any(f" {word} " in padded for word in (*adjectives, *verbs))
    }


def test_the_settings_offer_every_language():
    offered, _ = get_args(DemoCorpus.model_fields["second_language"].annotation)
    assert list(get_args(offered)) == SECOND


@pytest.mark.parametrize("language", LANGUAGES)
class TestVocabulary:
    def test_is_as_rich_as_the_english_one_and_no_word_tells_two_attitudes(self, language):
        of, english = LANGUAGES[language], LANGUAGES[FIRST_LANGUAGE]
        assert set(of.attitudes) == set(LABELS)
        vocabularies = [*of.attitudes.values(), of.neutral]
        assert {tuple(map(len, v)) for v in vocabularies} == {tuple(map(len, english.neutral))}
        assert len(set(of.topics)) == len(english.topics)
        words = [{*v.adjectives, *v.verbs} for v in vocabularies]
        assert all(one.isdisjoint(other) for one, other in combinations(words, 2))

    def test_duration_does_not_tell_the_attitude(self, language):
        """Each attitude's adjectives take as long to say, within a tenth of the sentence."""
        voice = "en-us" if language == FIRST_LANGUAGE else language
        of = LANGUAGES[language]
        means = [
            np.mean(
                [len(synthesise(f"{of.topics[0]} {of.copulas[0]} {word}.", voice)) for word in v]
            )
            for v, _ in of.attitudes.values()
        ]
        assert max(means) - min(means) < 0.1 * min(means)


@second_language
class TestPlan:
    def test_half_of_the_training_speakers_speak_english_and_all_others_do_not(self, language):
        plan = plan_demo_corpus(seed=1, second_language=language)
        speakers = plan.drop_duplicates("speaker")
        counts = speakers.value_counts(["split", "language"]).to_dict()
        assert counts == {
            ("train", "en"): 4,
            ("train", language): 4,
            ("validation", language): 3,
            ("test", language): 4,
        }
        assert (plan.groupby("speaker")["language"].nunique() == 1).all()
        voices = speakers["voice"].str.split("+", expand=True)
        assert (voices[0][speakers["language"] == language] == language).all()
        assert voices[0][speakers["language"] == "en"].str.startswith("en-").all()
        assert voices[1].is_unique, "variants tell speakers apart"

    def test_the_label_follows_from_words_and_prosody_as_in_english(self, language):
        sizes = {"train_speakers": 10, "test_speakers": 6, "utterances_per_speaker": 60}
        plan = plan_demo_corpus(seed=3, second_language=language, **sizes)
        for row in plan.itertuples():
            expected = row.label if row.source == "words" else "neutral"
            assert attitudes_named(row.text, row.language) == {expected}, row.text
        for of_language in (FIRST_LANGUAGE, language):
            rows = plan[plan["language"] == of_language]
            counts = rows.groupby(["speaker", "source"])["label"].value_counts().unstack()
            assert (counts.loc[(slice(None), "words"), :] == 8).all(axis=None)
            assert (counts.loc[(slice(None), "prosody"), :] == 12).all(axis=None)
            by_words = rows[(rows["source"] == "words") & (rows["split"] == "train")]
            said = " ".join(by_words["text"])
            verbs = [verb for of in LANGUAGES[of_language].attitudes.values() for verb in of.verbs]
            assert all(verb in said for verb in verbs), "training has heard every word"

    def test_all_but_words_and_voices_is_as_in_the_corpus_of_one_language(self, language):
        one, two = plan_demo_corpus(seed=4), plan_demo_corpus(seed=4, second_language=language)
        assert "language" not in one
        same = ["id", "audio", "label", "speaker", "split", "source", "neutral_pitch"]
        pd.testing.assert_frame_equal(two[same], one[same])
        english = two["language"] == "en"
        assert (two["voice"] == one["voice"])[english].all()

    def test_the_seed_decides(self, language):
        first = plan_demo_corpus(seed=4, second_language=language)
        pd.testing.assert_frame_equal(first, plan_demo_corpus(seed=4, second_language=language))
        assert not first[PROSODY_COLUMNS].equals(
            plan_demo_corpus(seed=5, second_language=language)[PROSODY_COLUMNS]
        )


def test_a_single_training_speaker_speaks_one_language():
    with pytest.raises(InputError, match="train_speakers is 1, expected at least one for each lan"):
        plan_demo_corpus(seed=1, train_speakers=1, second_language="de")


@second_language
@pytest.mark.slow
class TestSpeech:
    def test_variants_of_the_language_are_voices_of_their_own(self, language):
        sentence = LANGUAGES[language].topics[0]
        variants = [voice.partition("+")[2] for voice in FEMALE_VOICES + MALE_VOICES]
        spoken = {synthesise(sentence, f"{language}+{v}").tobytes() for v in variants}
        assert len(spoken) == len(variants)
        assert synthesise(sentence, f"{language}+f1").tobytes() != (
            synthesise(sentence, "en-us+f1").tobytes()
        )

    def test_clips_are_as_promised_and_the_seed_gives_the_same_bytes(self, language, tmp_path):
        sizes = {"train_speakers": 2, "validation_speakers": 1, "test_speakers": 1}
        options = sizes | {"utterances_per_speaker": 5, "second_language": language}
        plan = make_demo_corpus(tmp_path / "one", seed=7, **options)
        make_demo_corpus(tmp_path / "two", seed=7, **options)
        for row in plan.itertuples():
            samples, rate = soundfile.read(tmp_path / "one" / row.audio, dtype="int16")
            assert rate == 16_000 and 0.5 < len(samples) / rate < 4
            assert 500 < np.abs(samples.astype(int)).max() < 32_767
            one, two = (
                hashlib.sha256((tmp_path / folder / row.audio).read_bytes()).hexdigest()
                for folder in ("one", "two")
            )
            assert one == two
