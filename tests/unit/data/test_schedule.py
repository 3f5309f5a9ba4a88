"""Schedules: which training rows are there with speech, and when."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speechlasso.data.schedule import schedule_examples
from speechlasso.data.settings import Schedule
from speechlasso.errors import InputError

LABELS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=60)
FRACTIONS = st.floats(0, 1)
SCHEMES = st.sampled_from(["direct_mix", "curriculum"])
# Labels and languages of rows, some of which are in the target language.
BILINGUAL = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["de", "en", "fr"])), min_size=1, max_size=60
).filter(lambda rows: "de" in dict(map(reversed, rows)))


def rows_of(labels):
    return pd.DataFrame({"id": [f"u{i}" for i in range(len(labels))], "label": labels})


def scheduled(labels, scheme, fraction=0.1, seed=1, fold="0"):
    schedule = Schedule(scheme=scheme, speech_fraction=fraction)
    return schedule_examples(rows_of(labels), schedule, seed, fold)


def with_speech(*arguments, **options):
    found = scheduled(*arguments, **options)
    return set(found.loc[found["speech"], "id"])


@given(LABELS, FRACTIONS, FRACTIONS, SCHEMES)
def test_the_rows_of_a_smaller_part_are_among_those_of_a_larger_one(labels, one, other, scheme):
    few, many = sorted((one, other))
    assert with_speech(labels, scheme, few) <= with_speech(labels, scheme, many)


@given(LABELS, FRACTIONS)
def test_the_part_is_as_large_as_asked_for_and_every_row_is_there_as_text(labels, fraction):
    for scheme in ("direct_mix", "curriculum"):
        found = scheduled(labels, scheme, fraction)
        text, speech = found[~found["speech"]], found[found["speech"]]
        assert list(text["id"]) == list(rows_of(labels)["id"])
        assert speech["id"].is_unique and set(speech["id"]) <= set(text["id"])
        wanted = fraction * len(labels)
        assert abs(len(speech) - wanted) <= 0.5 or (len(speech) == 1 and wanted > 0)
        assert set(text["phase"]) == {0}
        assert set(speech["phase"]) <= {1 if scheme == "curriculum" else 0}
        assert found["phase"].is_monotonic_increasing


@pytest.mark.parametrize("scheme", ["direct_mix", "curriculum"])
def test_none_and_all(scheme):
    labels = ["a", "b", "a"]
    assert with_speech(labels, scheme, 0) == set()
    assert with_speech(labels, scheme, 1) == {"u0", "u1", "u2"}
    assert with_speech(labels, scheme, 1e-6) <= {"u0", "u1", "u2"} != set()


@given(LABELS, FRACTIONS, st.integers(0, 5))
def test_classes_are_there_by_their_shares(labels, fraction, seed):
    """No row changes classes for a division nearer to the shares (Sainte-Lague's condition)."""
    chosen = with_speech(labels, "direct_mix", fraction, seed=seed)
    rows = rows_of(labels)
    size = rows["label"].value_counts()
    taken = rows.loc[rows["id"].isin(chosen), "label"].value_counts().reindex(size.index).fillna(0)
    last, following = (taken - 0.5) / size, (taken + 0.5) / size
    assert last.max() <= following.min() + 1e-12
    if size.nunique() == 1:
        assert taken.max() - taken.min() <= 1


def test_seeds_and_folds_draw_others_and_schemes_the_same():
    labels = np.random.default_rng(0).choice(["a", "b"], 80)
    first = with_speech(labels, "direct_mix", 0.2)
    assert first == with_speech(labels, "direct_mix", 0.2) == with_speech(labels, "curriculum", 0.2)
    assert first != with_speech(labels, "direct_mix", 0.2, seed=2)
    assert first != with_speech(labels, "direct_mix", 0.2, fold="1")


def test_text_only_has_no_speech_and_draws_nothing():
    found = schedule_examples(rows_of("abab"), Schedule(scheme="text_only"), None, "0")
    assert not found["speech"].any()
    assert list(found["id"]) == ["u0", "u1", "u2", "u3"]


def bilingual_speech(rows, scheme, fraction, seed=1):
    """Ids of the rows with speech: in the target language, and in others."""
    frame = pd.DataFrame(rows, columns=["label", "language"])
    frame.insert(0, "id", [f"u{i}" for i in range(len(frame))])
    schedule = Schedule(scheme=scheme, speech_fraction=fraction, target_language="de")
    found = schedule_examples(frame, schedule, seed, "0")
    is_target = frame.set_index("id")["language"] == "de"
    text, speech = found[~found["speech"]], found[found["speech"]]
    assert list(text["id"]) == list(frame["id"]) and set(text["phase"]) == {0}
    assert speech["id"].is_unique
    assert set(speech["phase"]) <= {1 if scheme == "curriculum" else 0}
    spoken = is_target[speech["id"]]
    return set(spoken.index[spoken]), set(spoken.index[~spoken])


@given(BILINGUAL, FRACTIONS, FRACTIONS, SCHEMES)
def test_speech_of_other_languages_is_always_there_and_parts_are_nested(rows, one, other, scheme):
    few, many = sorted((one, other))
    target, source = bilingual_speech(rows, scheme, few)
    more, same = bilingual_speech(rows, scheme, many)
    assert target <= more
    assert source == same == {f"u{i}" for i, (_, name) in enumerate(rows) if name != "de"}


@given(BILINGUAL, FRACTIONS, st.integers(0, 5))
def test_the_part_of_a_target_language_is_that_of_its_rows_alone(rows, fraction, seed):
    """So its size and its classes are those of a corpus in which there are no others."""
    positions = [i for i, (_, name) in enumerate(rows) if name == "de"]
    labels = [rows[i][0] for i in positions]
    alone = with_speech(labels, "direct_mix", fraction, seed=seed)
    target, _ = bilingual_speech(rows, "direct_mix", fraction, seed=seed)
    assert target == {f"u{positions[int(row_id[1:])]}" for row_id in alone}


def test_no_part_of_a_target_language_is_speech_of_the_others_and_all_is_all():
    rows = [("a", "en"), ("a", "de"), ("b", "de"), ("b", "en")]
    assert bilingual_speech(rows, "curriculum", 0) == (set(), {"u0", "u3"})
    assert bilingual_speech(rows, "curriculum", 1) == ({"u1", "u2"}, {"u0", "u3"})


def test_a_target_language_that_does_not_occur_is_refused_with_those_that_do():
    rows = rows_of("ab").assign(language=["English", "German"])
    schedule = Schedule(scheme="curriculum", target_language="de")
    with pytest.raises(InputError) as error:
        schedule_examples(rows, schedule, 1, "0")
    assert str(error.value) == (
        "finetune.schedule.target_language: no training row of fold '0' is in 'de'; these have "
        "English, German"
    )


def test_a_part_is_between_none_and_all():
    for fraction in (-0.1, 1.1):
        with pytest.raises(ValidationError):
            Schedule(scheme="direct_mix", speech_fraction=fraction)
