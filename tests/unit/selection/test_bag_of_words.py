"""Bags of words: counts against a direct count, weights against their definition."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlasso.pipeline.shards import shard_rows
from speechlasso.selection.bag_of_words import (
    AudioFeatures,
    BagOfWords,
    build_bag_of_words,
    count_audio_tokens,
    weighting,
)
from speechlasso.tokenizers.codes import Codebooks, CodeFiles, CodeTable

CODEBOOKS = Codebooks(n_layers=3, codebook_size=5, frame_rate=50.0)


def draw_codes(ids, seed=0):
    rng = np.random.default_rng(seed)
    return CodeTable(CODEBOOKS, {i: rng.integers(0, 5, (3, rng.integers(1, 9))) for i in ids})


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_counts_equal_a_direct_count(seed, used):
    table = draw_codes("abcd", seed)
    features = AudioFeatures(3 - used, used, 5)
    counts = count_audio_tokens(list(table.codes.values()), features).toarray()
    for row, codes in zip(counts, table.codes.values(), strict=True):
        for layer in range(used):
            for code in range(5):
                assert row[layer * 5 + code] == (codes[3 - used + layer] == code).sum()


def test_layer_and_code_invert_the_feature_index():
    features = AudioFeatures(first_layer=2, n_layers=2, codebook_size=5)
    assert [features.layer_and_code(i) for i in (0, 4, 5, 9)] == [(2, 0), (2, 4), (3, 0), (3, 4)]
    assert len(features) == 10


@pytest.fixture
def bow():
    examples = pd.DataFrame(
        {
            "id": list("abcd"),
            "text": ["One two two", "two three", "unseen words", "one"],
            "label": list("xyxy"),
            "split": ["train", "train", "validation", "test"],
        }
    )
    return build_bag_of_words(examples, draw_codes("dcba"), layers=None, lowercase=True)


def test_words_come_from_training_texts_only(bow):
    assert bow.words == ["one", "three", "two"]
    assert bow.text.toarray().tolist() == [[1, 0, 2], [0, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_rows_are_joined_by_id_not_by_position(bow):
    codes = draw_codes("dcba")
    for position, row_id in enumerate("abcd"):
        assert bow.audio[[position]].sum() == codes.codes[row_id].size


def test_saving_and_loading_changes_nothing(bow, tmp_path):
    bow.save(tmp_path)
    loaded = BagOfWords.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.rows, bow.rows)
    assert (loaded.audio != bow.audio).nnz == 0
    assert (loaded.text != bow.text).nnz == 0
    assert loaded.features == bow.features
    assert loaded.words == bow.words


def test_texts_without_words_give_no_columns():
    examples = pd.DataFrame({"id": ["a"], "text": ["."], "label": ["x"], "split": ["train"]})
    assert build_bag_of_words(examples, draw_codes("a"), None, True).text.shape == (1, 0)


def test_weighting_is_tfidf_then_unit_variance():
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (30, 7))
    counts[:, 6] = 0
    weighted = weighting().fit_transform(sp.csr_array(counts)).toarray()
    document_frequency = (counts > 0).sum(axis=0)
    tfidf = counts * (np.log(31 / (1 + document_frequency)) + 1)
    tfidf = tfidf / np.maximum(np.linalg.norm(tfidf, axis=1, keepdims=True), 1e-300)
    deviation = tfidf.std(axis=0)
    np.testing.assert_allclose(weighted, tfidf / np.where(deviation > 0, deviation, 1))


def save_in_shards(table, folder, n_shards):
    ids = list(table.codes)
    paths = [folder / f"{shard}.parquet" for shard in range(n_shards)]
    for shard, path in enumerate(paths):
        mine = {ids[row]: table.codes[ids[row]] for row in shard_rows(len(ids), shard, n_shards)}
        CodeTable(CODEBOOKS, mine).write(path)
    return paths


def test_codes_survive_shards(tmp_path):
    table = draw_codes([f"u{i}" for i in range(7)])
    ids = list(table.codes)
    joined = CodeTable.read(save_in_shards(table, tmp_path, 2))
    assert joined.codebooks == CODEBOOKS
    assert set(joined.codes) == set(ids)
    for row_id in ids:
        np.testing.assert_array_equal(joined.codes[row_id], table.codes[row_id])


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_shards_read_one_by_one_count_as_all_at_once(seed, n_rows, n_shards):
    rng = np.random.default_rng(seed)
    ids = [f"u{i}" for i in range(n_rows)]
    table = draw_codes(ids)
    examples = pd.DataFrame({"id": rng.permutation(ids), "label": "x", "split": "train"})
    with tempfile.TemporaryDirectory() as folder:
        paths = save_in_shards(table, Path(folder), n_shards)
        found = build_bag_of_words(examples, CodeFiles(paths), None, lowercase=True)
        few = build_bag_of_words(examples.head(2), CodeFiles(paths), 2, lowercase=True)
    expected = build_bag_of_words(examples, table, None, lowercase=True)
    for row, row_id in enumerate(examples["id"]):
        counts = [np.bincount(layer, minlength=5) for layer in table.codes[row_id]]
        assert found.audio[[row]].toarray().tolist() == [np.concatenate(counts).tolist()]
    for name in ("data", "indices", "indptr"):
        of_files, of_table = getattr(found.audio, name), getattr(expected.audio, name)
        assert of_files.dtype == np.int32 and of_files.tolist() == of_table.tolist()
    assert few.audio.toarray().tolist() == expected.audio[:2, 5:].toarray().tolist()


def test_an_utterance_without_codes_is_not_counted_as_silent():
    with pytest.raises(KeyError, match="codes of 1 utterances, but 2"):
        examples = pd.DataFrame({"id": ["u0", "u1"], "label": "x", "split": "train"})
        build_bag_of_words(examples, draw_codes(["u0"]), None, lowercase=True)


def test_without_audio_there_are_words_alone(bow, tmp_path):
    examples = bow.rows.assign(text=["One two two", "two three", "unseen words", "one"])
    silent = build_bag_of_words(examples, None, layers=2, lowercase=True)
    assert silent.audio.shape == (4, 0) and len(silent.features) == 0
    assert (silent.text != bow.text).nnz == 0
    silent.save(tmp_path)
    assert BagOfWords.load(tmp_path).audio.shape == (4, 0)
