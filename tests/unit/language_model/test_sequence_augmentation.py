import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechlasso.language_model.sequence_augmentation import (
    SMALLEST_PART,
    with_audio_spliced,
    with_tokens_dropped,
)

WORDS = st.lists(st.integers(0, 99), max_size=8)


@st.composite
def utterances(draw):
    """Sequences whose audio tokens tell whose they are, and when: row * 1000 + place + 1000."""
    n = draw(st.integers(1, 12))
    sequences, n_audio = [], draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))
    for row, size in enumerate(n_audio):
        audio = 1000 * (row + 1) + np.arange(size)
        sequences.append(np.concatenate([draw(WORDS), audio, draw(WORDS)]).astype(np.int64))
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    return sequences, labels


@given(utterances(), st.integers(0, 99))
def test_a_spliced_utterance_goes_on_as_another_of_its_class(drawn, seed):
    sequences, labels = drawn
    audio_ids = [token for ids in sequences for token in ids[ids >= 1000]]
    spliced = with_audio_spliced(sequences, labels, audio_ids, 1.0, np.random.default_rng(seed))
    assert max(map(len, spliced)) <= max(map(len, sequences))
    for row, (before, after) in enumerate(zip(sequences, spliced, strict=True)):
        assert np.array_equal(before[before < 1000], after[after < 1000]), "words stay"
        whose, place = np.divmod(after[after >= 1000], 1000)
        n_own = np.count_nonzero(whose == row + 1)
        assert (whose[:n_own] == row + 1).all(), "it begins as it was"
        (others,) = np.unique(whose[n_own:]) - 1 if n_own < len(whose) else (row,)
        assert labels[others] == labels[row]
        n_before = np.count_nonzero(before >= 1000)
        if others != row:
            n_other = np.count_nonzero(sequences[others] >= 1000)
            assert np.array_equal(place[:n_own], np.arange(n_own))
            assert (np.diff(place[n_own:]) == 1).all()
            assert SMALLEST_PART * n_before - 1 <= n_own <= (1 - SMALLEST_PART) * n_before + 1
            # Both were cut at the same moment, but for rounding.
            assert abs(n_own / n_before - place[n_own] / n_other) <= 0.5 / n_before + 0.5 / n_other


def test_the_share_of_utterances_is_spliced():
    rng = np.random.default_rng(0)
    sequences = [20 * (row + 1) + np.arange(20) for row in range(200)]
    labels = rng.integers(5, size=200)
    audio_ids = np.concatenate(sequences).tolist()

    def spliced(share, seed):
        return with_audio_spliced(sequences, labels, audio_ids, share, np.random.default_rng(seed))

    half = spliced(0.5, 1)
    n_changed = sum(not np.array_equal(*pair) for pair in zip(sequences, half, strict=True))
    assert abs(n_changed / 200 - 0.5) < 0.05
    assert all(map(np.array_equal, half, spliced(0.5, 1)))
    assert not all(map(np.array_equal, half, spliced(0.5, 2)))
    assert spliced(0.0, 1) is sequences


def test_the_share_of_audio_tokens_is_dropped_and_nothing_else():
    rng = np.random.default_rng(0)
    sequences = [rng.integers(20, size=size) for size in (1, 500, 3000)]
    droppable = [15, 16, 17, 18, 19]
    kept = with_tokens_dropped(sequences, droppable, 0.3, np.random.default_rng(1))
    n_before, n_after = (
        sum(np.isin(ids, droppable).sum() for ids in all_ids) for all_ids in (sequences, kept)
    )
    assert abs(n_after / n_before - 0.7) < 0.05
    for before, after in zip(sequences, kept, strict=True):
        assert np.array_equal(before[before < 15], after[after < 15])
    again, other = (
        with_tokens_dropped(sequences, droppable, 0.3, np.random.default_rng(seed))
        for seed in (1, 2)
    )
    assert all(map(np.array_equal, kept, again))
    assert not all(map(np.array_equal, kept, other))
    assert with_tokens_dropped(sequences, droppable, 0.0, rng) is sequences
