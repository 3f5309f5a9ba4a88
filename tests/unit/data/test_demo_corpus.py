"""The demo corpus: balance, independence, reproducibility, and speech as asked for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.stats import chi2_contingency

from speechlasso.data import demo_corpus, speech_synthesis
from speechlasso.data.demo_corpus import (
    FEMALE_VOICES,
    LABELS,
    MALE_VOICES,
    PROSODY_COLUMNS,
    PROSODY_MEANS,
    PROSODY_SPREAD,
    make_demo_corpus,
    plan_demo_corpus,
)
from speechlasso.data.demo_languages import ENGLISH
from speechlasso.data.speech_synthesis import Prosody, synthesise
from speechlasso.errors import InputError

SMALL = {
    "train_speakers": 2,
    "validation_speakers": 1,
    "test_speakers": 1,
    "utterances_per_speaker": 15,
}
# All voices, and enough utterances for statistics; planning synthesises nothing.
LARGE = {
    "train_speakers": 10,
    "validation_speakers": 4,
    "test_speakers": 6,
    "utterances_per_speaker": 300,
}


def hash_of_clips(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted((folder / "wav").iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, make_demo_corpus(folder, seed=7, **SMALL)


@pytest.fixture(scope="module")
def large_plan() -> pd.DataFrame:
    return plan_demo_corpus(seed=3, **LARGE)


def predicate_words(vocabulary) -> set[str]:
    return {*vocabulary.adjectives, *vocabulary.verbs}


def words_named(text: str, vocabulary) -> set[str]:
    padded = f" {text.removesuffix('.')} "
    return {word for word in predicate_words(vocabulary) if f" {word} " in padded}


class TestPlan:
    def test_default_sizes(self):
        plan = plan_demo_corpus(seed=0)
        assert plan["split"].value_counts().to_dict() == {
            "train": 320,
            "test": 160,
            "validation": 120,
        }
        assert plan["id"].is_unique
        assert plan["text"].nunique() > 400
        assert list(plan.columns[:7]) == [
            "id", "audio", "text", "label", "speaker", "split", "source",
        ]  # fmt: skip

    def test_no_speaker_or_voice_in_two_splits(self, large_plan):
        assert (large_plan.groupby("speaker")["split"].nunique() == 1).all()
        assert (large_plan.groupby("voice")["split"].nunique() == 1).all()
        assert (large_plan.groupby("speaker")["voice"].nunique() == 1).all()

    @pytest.mark.parametrize("seed", range(5))
    def test_every_split_has_women_and_men(self, seed):
        plan = plan_demo_corpus(seed=seed)
        for _, voices in plan.groupby("split")["voice"]:
            assert set(voices) & set(FEMALE_VOICES)
            assert set(voices) & set(MALE_VOICES)

    @pytest.mark.parametrize("utterances", [5, 10, 15, 40])
    def test_shares_of_the_sources_are_exact_for_every_speaker(self, utterances):
        plan = plan_demo_corpus(seed=1, utterances_per_speaker=utterances)
        n_words = (plan["source"] == "words").groupby(plan["speaker"]).sum()
        assert (5 * n_words == 2 * utterances).all()
        assert set(plan["source"]) == {"words", "prosody"}

    @pytest.mark.parametrize("utterances", [1, 7, 20, 21, 40])
    def test_classes_balance_in_speaker_source_and_split(self, utterances):
        plan = plan_demo_corpus(seed=2, utterances_per_speaker=utterances)
        for levels in (["speaker"], ["speaker", "source"], ["split"], ["split", "source"]):
            counts = plan.groupby(levels)["label"].value_counts().unstack(fill_value=0)
            counts = counts.reindex(columns=LABELS, fill_value=0)
            assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all(), levels

    def test_classes_balance_exactly_with_fifteen_utterances(self):
        plan = plan_demo_corpus(seed=2, utterances_per_speaker=15)
        counts = plan.groupby(["speaker", "source"])["label"].value_counts().unstack()
        assert (counts.loc[(slice(None), "words"), :] == 2).all(axis=None)
        assert (counts.loc[(slice(None), "prosody"), :] == 3).all(axis=None)

    def test_words_name_the_label_where_words_decide(self, large_plan):
        for row in large_plan[large_plan["source"] == "words"].itertuples():
            named = {
                label
                for label, vocabulary in ENGLISH.attitudes.items()
                if words_named(row.text, vocabulary)
            }
            assert named == {row.label}, row.text

    def test_words_name_no_label_where_prosody_decides(self, large_plan):
        for text in large_plan.loc[large_plan["source"] == "prosody", "text"]:
            assert words_named(text, ENGLISH.neutral), text
            for vocabulary in ENGLISH.attitudes.values():
                assert not words_named(text, vocabulary), text

    def test_neutral_texts_are_independent_of_the_label(self, large_plan):
        neutral = large_plan[large_plan["source"] == "prosody"]
        words = neutral["text"].str.lower().str.removesuffix(".").str.split()
        exploded = neutral.assign(word=words).explode("word")
        for word in ("was", "we", "report", "plan", *sorted(ENGLISH.neutral.verbs)):
            has_word = exploded["word"].eq(word).groupby(level=0).any()
            assert has_word.any()
            # 0.001: with a fixed seed this fails for a dependence, not by chance.
            assert chi2_contingency(pd.crosstab(neutral["label"], has_word)).pvalue > 0.001, word

    def test_attitudes_occur_in_training_but_sentences_of_the_test_are_mostly_new(self):
        plan = plan_demo_corpus(seed=5)
        train = plan[(plan["split"] == "train") & (plan["source"] == "words")]
        for label, texts in train.groupby("label")["text"]:
            seen = set().union(*(words_named(text, ENGLISH.attitudes[label]) for text in texts))
            assert seen == predicate_words(ENGLISH.attitudes[label])
        test = plan[(plan["split"] == "test") & (plan["source"] == "words")]
        assert (~test["text"].isin(train["text"])).mean() > 0.8

    def test_prosody_is_neutral_where_words_decide(self, large_plan):
        by_words = large_plan[large_plan["source"] == "words"]
        for _, drawn in by_words.groupby("label")[PROSODY_COLUMNS]:
            standard_error = np.array(PROSODY_SPREAD) / np.sqrt(len(drawn))
            deviation = drawn.mean() - np.array(PROSODY_MEANS["neutral"])
            assert (deviation.abs() < 4 * standard_error).all()

    def test_prosody_follows_the_label_where_prosody_decides(self, large_plan):
        by_prosody = large_plan[large_plan["source"] == "prosody"]
        for label, drawn in by_prosody.groupby("label")[PROSODY_COLUMNS]:
            standard_error = np.array(PROSODY_SPREAD) / np.sqrt(len(drawn))
            deviation = drawn.mean() - np.array(PROSODY_MEANS[label])
            assert (deviation.abs() < 4 * standard_error).all()
            assert (drawn.std() > 0.9 * np.array(PROSODY_SPREAD)).all()

    def test_no_single_dimension_of_prosody_separates_the_classes(self, large_plan):
        by_prosody = large_plan[large_plan["source"] == "prosody"]
        for column in PROSODY_COLUMNS:
            ordered = by_prosody.sort_values(column)["label"].to_numpy()
            thirds = np.array_split(ordered, 3)
            pure = sum(pd.Series(third).value_counts().iloc[0] for third in thirds)
            assert pure / len(ordered) < 0.9, column

    def test_seed_decides(self):
        pd.testing.assert_frame_equal(plan_demo_corpus(seed=4), plan_demo_corpus(seed=4))
        assert not plan_demo_corpus(seed=4).equals(plan_demo_corpus(seed=5))

    def test_all_problems_are_reported_at_once(self):
        with pytest.raises(InputError) as caught:
            plan_demo_corpus(seed=-1, train_speakers=30, test_speakers=0, utterances_per_speaker=0)
        message = str(caught.value)
        assert "test_speakers is 0" in message
        assert "33 speakers asked for, there are 20" in message
        assert "utterances_per_speaker is 0" in message
        assert "seed is -1" in message


class TestClips:
    def test_clips_are_as_promised(self, corpus):
        folder, manifest = corpus
        assert {f"wav/{path.name}" for path in (folder / "wav").iterdir()} == set(manifest["audio"])
        for audio in manifest["audio"]:
            info = soundfile.info(folder / audio)
            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert 0.5 < info.duration < 3.0
            samples, _ = soundfile.read(folder / audio, dtype="int16")
            assert 500 < np.abs(samples.astype(int)).max() < 32_767

    def test_median_clip_is_short(self, corpus):
        folder, manifest = corpus
        durations = [soundfile.info(folder / audio).duration for audio in manifest["audio"]]
        assert 1.0 < np.median(durations) < 1.8

    def test_level_is_the_drawn_one(self, corpus):
        folder, manifest = corpus
        for row in manifest.itertuples():
            samples, _ = soundfile.read(folder / row.audio)
            level = 10 * np.log10(np.mean(samples**2))
            noise_gain = 10 * np.log10(1 + 10 ** (-row.snr_db / 10))
            expected = row.neutral_level_dbfs + row.loudness_db + noise_gain
            # Speech and noise are not exactly orthogonal.
            assert level == pytest.approx(expected, abs=0.1)

    def test_same_seed_same_bytes_in_this_process(self, corpus, tmp_path):
        folder, manifest = corpus
        again = make_demo_corpus(tmp_path, seed=7, **SMALL)
        pd.testing.assert_frame_equal(manifest, again)
        assert hash_of_clips(folder) == hash_of_clips(tmp_path)

    @pytest.mark.slow
    def test_same_seed_same_bytes_in_another_process(self, corpus, tmp_path):
        folder, _ = corpus
        program = (
            "import sys; from pathlib import Path; "
            "from speechlasso.data.demo_corpus import make_demo_corpus; "
            f"make_demo_corpus(Path(sys.argv[1]), seed=7, **{SMALL!r})"
        )
        package_root = Path(demo_corpus.__file__).parents[2]
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(package_root)},
        )
        assert hash_of_clips(folder) == hash_of_clips(tmp_path)

    def test_other_seed_other_bytes(self, corpus, tmp_path):
        folder, _ = corpus
        make_demo_corpus(tmp_path, seed=8, **SMALL)
        assert hash_of_clips(folder) != hash_of_clips(tmp_path)

    def test_a_clip_depends_on_no_other(self, corpus):
        folder, manifest = corpus
        position = len(manifest) - 1
        alone = demo_corpus.render_utterance(
            manifest.iloc[position].to_dict(), np.random.default_rng([7, position])
        )
        stored, _ = soundfile.read(folder / manifest["audio"][position], dtype="int16")
        np.testing.assert_array_equal(alone, stored)

    @pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
    def test_noise_has_the_colour_asked_for(self, exponent):
        noise = demo_corpus.coloured_noise(np.random.default_rng(0), 2**16, exponent)
        power = np.abs(np.fft.rfft(noise)[1:]) ** 2
        frequencies = np.arange(1, len(power) + 1)
        slope = np.polyfit(np.log(frequencies), np.log(power), 1)[0]
        assert slope == pytest.approx(-exponent, abs=0.05)


def fundamental_frequency(waveform: np.ndarray) -> np.ndarray:
    """Hz per voiced frame of 46 ms, by the highest peak of the autocorrelation."""
    rate = speech_synthesis.SAMPLE_RATE
    shortest, longest = rate // 400, rate // 60
    frequencies = []
    for start in range(0, len(waveform) - 1024, 256):
        frame = waveform[start : start + 1024] / 2**15
        frame = frame - frame.mean()
        if np.mean(frame**2) < 1e-4:
            continue
        correlation = np.correlate(frame, frame, "full")[1023:]
        lag = shortest + np.argmax(correlation[shortest:longest])
        if correlation[lag] > 0.6 * correlation[0]:
            frequencies.append(rate / lag)
    return np.array(frequencies)


class TestSynthesis:
    SENTENCE = "The last report was recorded."

    @pytest.mark.parametrize("voice", FEMALE_VOICES + MALE_VOICES)
    def test_every_voice_speaks_the_same_whatever_came_before(self, voice):
        first = synthesise(self.SENTENCE, voice)
        synthesise("Something else altogether.", "en-us+f2", Prosody(rate=250, pitch=80))
        np.testing.assert_array_equal(first, synthesise(self.SENTENCE, voice))
        assert first.dtype == np.int16
        assert first.ndim == 1

    def test_voices_differ(self):
        assert len({synthesise("Hello.", v).tobytes() for v in FEMALE_VOICES + MALE_VOICES}) == 20

    def test_women_speak_higher_than_men(self):
        def median_pitch(voice):
            return np.median(fundamental_frequency(synthesise(self.SENTENCE, voice)))

        assert min(map(median_pitch, FEMALE_VOICES)) > max(map(median_pitch, MALE_VOICES))

    def test_pitch_moves_the_fundamental_as_documented(self):
        low = np.median(fundamental_frequency(synthesise(self.SENTENCE, "en-us+f1")))
        high = np.median(
            fundamental_frequency(synthesise(self.SENTENCE, "en-us+f1", Prosody(pitch=72)))
        )
        assert 12 * np.log2(high / low) == pytest.approx(22 / 5.5, abs=1)

    def test_pitch_range_widens_the_fundamental(self):
        flat, usual, lively = (
            np.std(
                fundamental_frequency(synthesise(self.SENTENCE, "en-us+f1", Prosody(pitch_range=r)))
            )
            for r in (0, 50, 99)
        )
        assert 2 * flat < usual < 0.75 * lively

    def test_rate_and_word_gap_set_the_duration(self):
        usual = len(synthesise(self.SENTENCE, "en-us"))
        assert len(synthesise(self.SENTENCE, "en-us", Prosody(rate=260))) < 0.8 * usual
        longer = len(synthesise(self.SENTENCE, "en-us", Prosody(word_gap=5)))
        assert longer - usual > 0.2 * speech_synthesis.SAMPLE_RATE

    def test_volume_scales_the_waveform(self):
        usual, half = (
            synthesise(self.SENTENCE, "en-us", Prosody(volume=volume)).astype(float).std()
            for volume in (100, 50)
        )
        assert half / usual == pytest.approx(0.5, abs=0.05)

    def test_ssml_is_read_only_when_asked(self):
        plain = synthesise("Hello there.", "en-us")
        paused = synthesise('Hello <break time="800ms"/> there.', "en-us", ssml=True)
        assert len(paused) - len(plain) > 0.5 * speech_synthesis.SAMPLE_RATE

    def test_data_path_longer_than_the_limit_of_the_library(self, tmp_path, monkeypatch):
        deep = tmp_path / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        link = deep / "espeak-ng-data"
        link.symlink_to(speech_synthesis.espeakng_loader.get_data_path())
        expected = synthesise("Hello.", "en-us+f1")
        monkeypatch.setattr(speech_synthesis.espeakng_loader, "get_data_path", lambda: str(link))
        np.testing.assert_array_equal(synthesise("Hello.", "en-us+f1"), expected)

    def test_unknown_voice_is_named(self):
        with pytest.raises(InputError, match="no voice 'xx-nowhere'"):
            synthesise("Hello.", "xx-nowhere")

    @pytest.mark.parametrize("text", ["", "..."])
    def test_nothing_to_speak_is_an_error(self, text):
        with pytest.raises(InputError, match="is silent on"):
            synthesise(text, "en-us")
