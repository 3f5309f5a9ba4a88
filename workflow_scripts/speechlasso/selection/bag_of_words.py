"""Bags of words: how often each word and each audio token occurs in an utterance.

Source: arXiv 2512.07571, section on token selection. Counts are stored raw; weighting them
(`weighting`) learns from training rows and is left to those who fit a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.files import read_json, write_json, write_parquet, written_whole
from speechlasso.selection.codec_layers import counted_layers
from speechlasso.tokenizers.codes import CodeFiles, CodeTable

if TYPE_CHECKING:  # scikit-learn takes a second to import
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class AudioFeatures:
    """Which (layer, code) each audio feature counts; feature l * codebook_size + c is code c of
    the l-th used layer."""

    first_layer: int
    n_layers: int
    codebook_size: int

    def __len__(self) -> int:
        return self.n_layers * self.codebook_size

    @property
    def layers(self) -> range:
        """The codec's own layers that are counted."""
        return range(self.first_layer, self.first_layer + self.n_layers)

    def layer_and_code(self, index: int) -> tuple[int, int]:
        """The codec's own layer (0-based, over all its layers) and the code of a feature."""
        layer, code = divmod(int(index), self.codebook_size)
        return self.first_layer + layer, code


@dataclass(frozen=True)
class BagOfWords:
    """Counts of one fold's utterances.

    Attributes
    ----------
    rows
        id, label, split, and group where utterances have one; row i belongs to row i of the
        matrices.
    audio
        Counts, CSR int32, (n_utterances, n_audio_features).
    text
        Counts, CSR int32, (n_utterances, n_words); words of the training texts only.
    features
        What the columns of `audio` count.
    words
        What the columns of `text` count.
    """

    rows: pd.DataFrame
    audio: sp.csr_array
    text: sp.csr_array
    features: AudioFeatures
    words: list[str]

    def rows_in(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.rows["split"] == split)

    def save(self, folder: str | Path) -> None:
        folder = Path(folder)
        write_parquet(folder / "rows.parquet", self.rows)
        for name, matrix in (("audio", self.audio), ("text", self.text)):
            with written_whole(folder / f"{name}_counts.npz") as temporary:
                sp.save_npz(temporary, matrix)
        vocabulary = {"audio": vars(self.features), "words": self.words}
        write_json(folder / "vocabulary.json", vocabulary)

    @classmethod
    def load(cls, folder: str | Path) -> BagOfWords:
        folder = Path(folder)
        vocabulary = read_json(folder / "vocabulary.json")
        return cls(
            pd.read_parquet(folder / "rows.parquet"),
            sp.load_npz(folder / "audio_counts.npz"),
            sp.load_npz(folder / "text_counts.npz"),
            AudioFeatures(**vocabulary["audio"]),
            vocabulary["words"],
        )


def build_bag_of_words(
    examples: pd.DataFrame,
    codes: CodeTable | CodeFiles | None,
    layers: int | None,
    lowercase: bool,
) -> BagOfWords:
    """Count words and audio tokens.

    Parameters
    ----------
    examples
        Columns id, label, split, and maybe text and group.
    codes
        Holds the codes of every id; None where there is no audio.
    layers
        Use the last so many layers of the codes; None: all.
    lowercase
        Fold the case of words before counting.
    """
    texts = examples["text"] if "text" in examples else pd.Series("", index=examples.index)
    text, words = count_words(texts, examples["split"] == "train", lowercase)
    features, audio = AudioFeatures(0, 0, 0), sp.csr_array((len(examples), 0), dtype=np.int32)
    if codes is not None:
        features = used_features(codes, layers)
        audio = _counted_in_order(codes, examples["id"], features)
    return BagOfWords(
        rows=examples.filter(["id", "label", "split", "group"]).reset_index(drop=True),
        audio=audio,
        text=text,
        features=features,
        words=words,
    )


def used_features(codes: CodeTable | CodeFiles, layers: int | None) -> AudioFeatures:
    counted = counted_layers(codes.codebooks.n_layers, layers)
    return AudioFeatures(counted.start, len(counted), codes.codebooks.codebook_size)


def _counted_in_order(
    codes: CodeTable | CodeFiles, ids: pd.Series, features: AudioFeatures
) -> sp.csr_array:
    """Counts of the utterances with these ids, in their order, wherever the codes of each lie.

    Raises
    ------
    KeyError
        When an utterance has no codes.
    """
    wanted = pd.Index(ids)
    places, counts = [], []
    for part in codes.parts():
        place = wanted.get_indexer(list(part.codes))
        arrays = [array for array, at in zip(part.codes.values(), place, strict=True) if at >= 0]
        places.append(place[place >= 0])
        counts.append(count_audio_tokens(arrays, features))
    order = np.argsort(np.concatenate(places))
    if len(order) != len(wanted):
        raise KeyError(f"codes of {len(order)} utterances, but {len(wanted)} are to be counted")
    return sp.vstack(counts, format="csr")[order]


def count_audio_tokens(codes: Sequence[np.ndarray], features: AudioFeatures) -> sp.csr_array:
    """Count each (layer, code): CSR int32, (n_utterances, len(features))."""
    shape = len(codes), len(features)
    if not codes:
        return sp.csr_array(shape, dtype=np.int32)
    # Matrices with wider indices, which are kept as given, take half as much memory again.
    offsets = np.arange(features.n_layers, dtype=np.int32)[:, None] * features.codebook_size
    layers = slice(features.first_layer, features.first_layer + features.n_layers)
    columns = [(array[layers].astype(np.int32) + offsets).ravel() for array in codes]
    rows = np.repeat(np.arange(len(codes), dtype=np.int32), [len(of_row) for of_row in columns])
    once = np.ones(len(rows), dtype=np.int32)
    # What lies in one place is added up.
    return sp.coo_array((once, (rows, np.concatenate(columns))), shape=shape).tocsr()


def count_words(
    texts: pd.Series, training: pd.Series, lowercase: bool
) -> tuple[sp.csr_array, list[str]]:
    """Count the training texts' words in all texts; without any word, a matrix of no columns.

    What a word is differs from scikit-learn's default in scripts with marks or without blanks: see
    `words`.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    from speechlasso.selection.words import words

    vectorizer = CountVectorizer(
        lowercase=lowercase, tokenizer=words, token_pattern=None, dtype=np.int32
    )
    try:
        vectorizer.fit(texts[training])
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return sp.csr_array((len(texts), 0), dtype=np.int32), []
    return sp.csr_array(vectorizer.transform(texts)), vectorizer.get_feature_names_out().tolist()


def weighting(method: str = "tfidf", scaling: str = "unit_variance") -> Pipeline:
    """TF-IDF, then unit variance without centring (everything stays sparse); scikit-learn's
    defaults, as the paper has them. Either step can be left out. Fit it on training rows only:
    features that do not occur in these rows stay zero in all rows, like words that no training text
    has, and so take no part in the length of later rows.

    Parameters
    ----------
    method
        "tfidf", or "counts" to take counts as they are.
    scaling
        "unit_variance", or "none".
    """
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from speechlasso.lasso.occurring import OccurringFeatures

    # Without its step a pipeline still turns counts into floats and learns nothing.
    unchanged = FunctionTransformer(_as_floats, accept_sparse=True)
    return make_pipeline(
        OccurringFeatures(),
        TfidfTransformer() if method == "tfidf" else unchanged,
        StandardScaler(with_mean=False) if scaling == "unit_variance" else unchanged,
    )


def _as_floats(counts: sp.csr_array) -> sp.csr_array:
    return counts.astype(np.float64)
