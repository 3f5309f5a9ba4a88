"""Evidence per token: against plain loops, and against sound whose source is known."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from speechlasso.errors import InputError
from speechlasso.selection.bag_of_words import AudioFeatures, count_audio_tokens
from speechlasso.selection.token_evidence import (
    OCCURRENCE_COLUMNS,
    densest_windows,
    token_evidence,
    top_occurrences,
)
from speechlasso.selection.token_selection import Token, rank_of_code
from speechlasso.tokenizers.codes import Codebooks, CodeTable

FRAME_RATE = 10.0
TOKENS = [Token(1, 3, 3, 0.5), Token(2, 0, 10, 1.5)]


def counted(labels, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.7, (len(labels), 20))
    counts[:, 3] += 2 * (labels == np.unique(labels)[-1])
    return sp.csr_array(counts)


def save_clip(path, seconds, sample_rate=8000):
    soundfile.write(path, np.zeros(round(seconds * sample_rate)), sample_rate)
    return str(path)


def codes_of(**utterances):
    """A table of two layers and ten codes, ten frames a second; layer 0 is all zeros."""
    arrays_ = {
        name: np.stack([np.zeros(len(frames), dtype=np.int32), np.array(frames, dtype=np.int32)])
        for name, frames in utterances.items()
    }
    return CodeTable(Codebooks(2, 10, FRAME_RATE), arrays_)


@pytest.mark.parametrize("names", ["xy", "xyz"])
def test_evidence_against_a_plain_loop(names):
    labels = np.array(list(names) * 20)
    counts = counted(labels)
    probability = np.linspace(0, 1, 20)
    # Two classes share one vector of coefficients.
    weighted = ["y"] if names == "xy" else list(names)
    class_weights = {name: [place + 0.5, -place - 1.0] for place, name in enumerate(weighted)}
    options = {"class_weights": class_weights, "selection_probability": probability}
    table = token_evidence(TOKENS, counts, labels, **options)
    assert table.columns.tolist() == [
        *("rank", "layer", "code", "index", "weight"),
        *(f"weight_{name}" for name in weighted),
        *(f"df_{name}" for name in names),
        "selection_probability",
    ]
    dense = counts.toarray()
    for rank, token in enumerate(TOKENS):
        row = table.iloc[rank]
        assert row["rank"] == rank
        assert (row["layer"], row["code"], row["index"], row["weight"]) == (
            *(token.layer, token.code, token.index, token.weight),
        )
        for place, name in enumerate(weighted):
            assert row[f"weight_{name}"] == [place + 0.5, -place - 1.0][rank]
        for name in names:
            has = [dense[i, token.index] > 0 for i in range(len(labels)) if labels[i] == name]
            assert row[f"df_{name}"] == sum(has) / len(has)
        assert row["selection_probability"] == probability[token.index]


def test_evidence_without_class_weights_without_weights_and_without_tokens():
    labels = np.array(["x", "y"] * 5)
    bare = token_evidence([Token(1, 3, 3)], counted(labels), labels)
    assert bare.columns.tolist() == ["rank", "layer", "code", "index", "weight", "df_x", "df_y"]
    assert np.isnan(bare["weight"].iloc[0])
    empty = token_evidence([], counted(labels), labels, selection_probability=np.zeros(20))
    assert empty.empty
    assert (empty.drop(columns="selection_probability").dtypes == bare.dtypes).all()


def test_evidence_goes_to_parquet_and_back(tmp_path):
    labels = np.array(["x", "y", "z"] * 10)
    counts = counted(labels)
    for tokens in (TOKENS, []):
        class_weights = {name: [0.5] * len(tokens) for name in "xyz"}
        table = token_evidence(tokens, counts, labels, class_weights=class_weights)
        table.to_parquet(tmp_path / "evidence.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "evidence.parquet"), table)


def test_the_densest_place_in_an_utterance_of_one_clip(tmp_path):
    clip = save_clip(tmp_path / "a.wav", 3.0)
    frames = np.zeros(30, dtype=int)
    frames[[2, 13, 14, 16, 25]] = 7  # densest from 1.3 s: three within half a second
    utterances = pd.DataFrame({"id": ["a"], "audio": [[clip]]})
    table = top_occurrences(codes_of(a=frames), utterances, [Token(1, 7, 7)])
    (row,) = table.to_dict("records")
    assert (row["start"], row["end"]) == (pytest.approx(1.3), pytest.approx(1.8))
    assert (row["id"], row["clip"], row["place"], row["n_occurrences"]) == ("a", clip, 1, 3)
    assert (row["rank"], row["layer"], row["code"]) == (0, 1, 7)


def test_time_is_that_of_the_right_clip(tmp_path):
    """Three clips of different rates; the token rings in the last one alone."""
    lengths, rates = (1.0, 0.7, 2.0), (8000, 22050, 16000)
    clips = [
        save_clip(tmp_path / f"{place}.wav", seconds, rate)
        for place, (seconds, rate) in enumerate(zip(lengths, rates, strict=True))
    ]
    frames = np.zeros(37, dtype=int)
    frames[20:25] = 7  # 2.0 s of the whole is 0.3 s of the last clip
    utterances = pd.DataFrame({"id": ["a"], "audio": [clips]})
    (row,) = top_occurrences(codes_of(a=frames), utterances, [Token(1, 7, 7)]).to_dict("records")
    assert row["clip"] == clips[2]
    assert (row["start"], row["end"]) == (pytest.approx(0.3), pytest.approx(0.8))


def test_time_in_a_segment_counts_from_the_start_of_the_recording(tmp_path):
    recording = save_clip(tmp_path / "long.wav", 60.0)
    inner, last = np.zeros(30, dtype=int), np.zeros(20, dtype=int)
    inner[20:25] = 7  # 2.0 s after the segment's start
    last[18:] = 8  # at its end, which is the recording's
    utterances = pd.DataFrame(
        {
            "id": ["inner", "last"],
            "audio": [[recording]] * 2,
            "start": [12.0, 58.05],
            "end": [15.0, np.nan],
        }
    )
    codes = codes_of(inner=inner, last=last)
    table = top_occurrences(codes, utterances, [Token(1, 7, 7), Token(1, 8, 8)])
    assert table["start"].tolist() == pytest.approx([14.0, 58.05 + 1.5])
    assert table["end"].tolist() == pytest.approx([14.5, 60.0])


def test_a_window_across_a_border_is_cut_to_the_clip_with_more_occurrences(tmp_path):
    clips = [save_clip(tmp_path / "0.wav", 1.0), save_clip(tmp_path / "1.wav", 1.0)]
    frames = np.zeros(20, dtype=int)
    frames[[9, 10, 11]] = 7
    utterances = pd.DataFrame({"id": ["a"], "audio": [clips]})
    (row,) = top_occurrences(codes_of(a=frames), utterances, [Token(1, 7, 7)]).to_dict("records")
    assert (row["clip"], row["n_occurrences"]) == (clips[1], 2)
    assert (row["start"], row["end"]) == (0.0, pytest.approx(0.4))


def test_a_window_that_was_cut_takes_the_place_of_what_is_left(tmp_path):
    clips = [save_clip(tmp_path / "0.wav", 1.0), save_clip(tmp_path / "1.wav", 1.0)]
    codes = codes_of(cut=[0] * 8 + [7, 7, 7, 7] + [0] * 8, whole=[7, 7, 7] + [0] * 17)
    utterances = pd.DataFrame({"id": ["cut", "whole"], "audio": [clips, clips]})
    table = top_occurrences(codes, utterances, [Token(1, 7, 7)])
    assert table[["id", "place", "n_occurrences"]].values.tolist() == [
        ["whole", 1, 3],
        ["cut", 2, 2],
    ]


def test_a_window_stays_within_the_sound(tmp_path):
    """At the end it begins earlier, and padding of the last frame is cut off."""
    clip, short = save_clip(tmp_path / "a.wav", 1.95), save_clip(tmp_path / "b.wav", 0.25)
    frames = np.zeros(20, dtype=int)
    frames[19] = 7
    utterances = pd.DataFrame({"id": ["a", "b"], "audio": [[clip], [short]]})
    codes = codes_of(a=frames, b=[0, 0, 7])
    table = top_occurrences(codes, utterances, [Token(1, 7, 7)])
    assert table["start"].tolist() == pytest.approx([1.5, 0.0])
    assert table["end"].tolist() == pytest.approx([1.95, 0.25])


def test_the_densest_utterances_come_first_and_ties_in_the_given_order(tmp_path):
    clip = save_clip(tmp_path / "a.wav", 1.0)
    codes = codes_of(
        one=[7] + [0] * 9, two=[7, 7] + [0] * 8, other_two=[0] * 8 + [7, 7], none=[0] * 10
    )
    names = ["none", "other_two", "one", "two"]
    utterances = pd.DataFrame({"id": names, "audio": [[clip]] * 4})
    tokens = [Token(1, 5, 5), Token(1, 7, 7)]
    table = top_occurrences(codes, utterances, tokens, n=2)
    assert table["id"].tolist() == ["other_two", "two"]
    assert table["place"].tolist() == [1, 2]
    assert table["rank"].tolist() == [1, 1], "the first token occurs nowhere"
    assert len(top_occurrences(codes, utterances, tokens, n=9)) == 3


def test_several_speakers_are_heard_each_at_its_densest(tmp_path):
    clip = save_clip(tmp_path / "a.wav", 1.0)
    counts = {"a5": 5, "b1": 1, "a4": 4, "c2": 2, "a3": 3, "c1": 1}
    codes = codes_of(**{name: [7] * n + [0] * (10 - n) for name, n in counts.items()})
    utterances = pd.DataFrame({"id": list(counts), "audio": [[clip]] * 6})
    of_speakers = utterances.assign(group=utterances["id"].str[0])
    for n, heard in ((2, "a5 c2"), (3, "a5 c2 b1"), (4, "a5 a4 c2 b1"), (5, "a5 a4 c2 b1 c1")):
        table = top_occurrences(codes, of_speakers, [Token(1, 7, 7)], n=n)
        assert " ".join(table["id"]) == heard
        assert table["place"].tolist() == list(range(1, n + 1))
    table = top_occurrences(codes, utterances, [Token(1, 7, 7)], n=3)
    assert " ".join(table["id"]) == "a5 a4 a3"


def test_only_the_given_utterances_are_looked_at(tmp_path):
    clip = save_clip(tmp_path / "a.wav", 1.0)
    codes = codes_of(train=[7] + [0] * 9, test=[7] * 10)
    utterances = pd.DataFrame({"id": ["train"], "audio": [[clip]]})
    assert top_occurrences(codes, utterances, [Token(1, 7, 7)])["id"].tolist() == ["train"]


def test_no_token_and_no_occurrence_give_an_empty_table(tmp_path):
    utterances = pd.DataFrame({"id": ["a"], "audio": [["never opened.wav"]]})
    for tokens in ([], [Token(1, 7, 7)]):
        table = top_occurrences(codes_of(a=[0] * 10), utterances, tokens)
        assert table.empty
        assert list(table.columns) == list(OCCURRENCE_COLUMNS)
        table.to_parquet(tmp_path / "empty.parquet")


def test_a_clip_that_is_gone_is_named():
    utterances = pd.DataFrame({"id": ["a"], "audio": [["gone.wav"]]})
    with pytest.raises(InputError, match="gone.wav"):
        top_occurrences(codes_of(a=[7] * 10), utterances, [Token(1, 7, 7)])


ARRAYS = arrays(np.int32, st.tuples(st.just(2), st.integers(1, 30)), elements=st.integers(0, 2))


@given(ARRAYS, st.integers(1, 8))
def test_densest_windows_are_those_of_a_plain_search(array, n_frames):
    tokens = [Token(layer, code, 3 * layer + code) for layer in (0, 1) for code in (2, 0)]
    ranks = rank_of_code(tokens, 2, 3)
    found = densest_windows([array], ranks, n_frames).set_index("rank")
    for rank, token in enumerate(tokens):
        occurs = array[token.layer] == token.code
        starts = range(max(len(occurs) - n_frames, 0) + 1)
        most = max(occurs[start : start + n_frames].sum() for start in starts)
        if most == 0:
            assert rank not in found.index
            continue
        row = found.loc[rank]
        assert row["n_occurrences"] == most
        assert row["start"] in starts
        assert occurs[row["start"] : row["start"] + n_frames].sum() == most


@given(st.lists(ARRAYS, min_size=1, max_size=6), st.integers(1, 8), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_utterances_and_shards_do_not_touch_each_other(drawn, n_frames, n_shards):
    tokens = [Token(0, 2, 2), Token(1, 0, 3)]
    ranks = rank_of_code(tokens, 2, 3)
    found = densest_windows(drawn, ranks, n_frames)
    alone = [densest_windows([array], ranks, n_frames) for array in drawn]
    expected = pd.concat(table.assign(utterance=place) for place, table in enumerate(alone))
    in_order = ["utterance", "rank"]
    pd.testing.assert_frame_equal(found, expected.sort_values(in_order, ignore_index=True))
    names = [f"u{place}" for place in range(len(drawn))]
    table = CodeTable(Codebooks(2, 3, FRAME_RATE), dict(zip(names, drawn, strict=True)))
    parts = [
        CodeTable(table.codebooks, {name: table.codes[name] for name in names[shard::n_shards]})
        for shard in range(n_shards)
    ]
    shards = SimpleNamespace(codebooks=table.codebooks, parts=lambda: iter(parts))
    with tempfile.TemporaryDirectory() as folder:
        clip = save_clip(Path(folder) / "a.wav", 4.0)
        utterances = pd.DataFrame({"id": names, "audio": [[clip]] * len(names)})
        utterances["group"] = np.resize(["one", "other", "one"], len(names))
        apart, together = (
            top_occurrences(codes, utterances, tokens, n=2) for codes in (shards, table)
        )
    pd.testing.assert_frame_equal(apart, together)


def test_occurrences_agree_with_the_counts_of_the_bag_of_words(tmp_path):
    """A window as long as the utterance holds as many tokens as the bag of words counts."""
    rng = np.random.default_rng(0)
    clip = save_clip(tmp_path / "a.wav", 5.0)
    features = AudioFeatures(first_layer=1, n_layers=2, codebook_size=4)
    codes = {f"u{i}": rng.integers(0, 4, (3, 50)) for i in range(4)}
    table = CodeTable(Codebooks(3, 4, FRAME_RATE), codes)
    tokens = [Token(*features.layer_and_code(index), index) for index in range(len(features))]
    utterances = pd.DataFrame({"id": list(codes), "audio": [[clip]] * 4})
    top = top_occurrences(table, utterances, tokens, n=4, window=5.0)
    counts = count_audio_tokens(list(codes.values()), features).toarray()
    for row in top.itertuples():
        assert row.n_occurrences == counts[int(row.id[1]), row.rank]
    assert len(top) == (counts > 0).sum()
    assert top["rank"].is_monotonic_increasing
    assert top["place"].tolist() == (top.groupby("rank").cumcount() + 1).tolist()
    for _, of_token in top.groupby("rank"):
        assert all(a >= b for a, b in pairwise(of_token["n_occurrences"]))
