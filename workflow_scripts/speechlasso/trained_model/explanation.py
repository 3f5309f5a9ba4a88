"""What moved a decision: leave a part of the utterance out, predict again, and compare.

Source: occlusion (Zeiler and Fergus 2014, arXiv 1311.2901, section 4.2), for words known as erasure
(Li, Monroe and Jurafsky 2016, arXiv 1612.08220).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from speechlasso.audio.reading import segment_span
from speechlasso.errors import InputError
from speechlasso.language_model.token_text import audio_token_name, frames_of_kept, kept_sequence
from speechlasso.selection.token_evidence import place_in_clip

if TYPE_CHECKING:
    from speechlasso.language_model.prediction import Classifier
    from speechlasso.selection.token_selection import TokenSelection
    from speechlasso.tokenizers.codes import CodeTable

# About a syllable.
WINDOW_SECONDS = 0.2
PART_COLUMNS = {
    "kind": "str",
    "part": "str",
    "effect": "float64",
    "probability": "float64",
    "n_tokens": "int64",
    "layer": "Int64",
    "code": "Int64",
    "clip": "object",
    "start": "float64",
    "end": "float64",
    "utterance_start": "float64",
    "utterance_end": "float64",
}


class Predictor(Protocol):
    """What an explanation asks of a trained model; see `TrainedModel`."""

    selection: TokenSelection
    classifier: Classifier
    threads: int

    def codes(self, utterances: pd.DataFrame) -> CodeTable | None: ...

    def examples(self, utterances: pd.DataFrame, codes: CodeTable | None) -> pd.DataFrame: ...


@dataclass(frozen=True)
class Explanation:
    """Which parts of an utterance moved the model's decision.

    Attributes
    ----------
    prediction
        The utterance as it is: id, predicted, p_<class>, n_text_tokens, n_audio_tokens, cut.
    parts
        A row for each part:
        kind: word, stretch (all audio tokens between two points in time) or token (every
        occurrence of one audio token);
        part: the word, or the audio tokens in the order of time;
        effect: probability of the decided class minus that without the part, so that positive
        parts speak for the decision;
        probability: of the decided class without the part;
        n_tokens: audio tokens in the part, 0 for words;
        layer, code: of a token, as in selection.json;
        clip, start, end: where a stretch lies in its clip, in seconds from the clip's own beginning
        (None and NaN for words and tokens);
        utterance_start, utterance_end: the same in the joined clips of the utterance.
        Words, then stretches, both in their order; then tokens in that of the selection.
    """

    prediction: pd.Series
    parts: pd.DataFrame

    @property
    def decided(self) -> str:
        """The class that the model decided for."""
        return self.prediction["predicted"]

    @property
    def probability(self) -> float:
        """Of the decided class."""
        return float(self.prediction[f"p_{self.decided}"])


@dataclass(frozen=True)
class _Part:
    kind: str
    name: str
    text: str | None
    """The utterance's words without the part."""
    kept: np.ndarray | None
    """Which of its audio tokens are left, bool."""
    place: dict[str, Any] = field(default_factory=dict)


def explain(model: Predictor, utterance: pd.DataFrame, window: float | None = None) -> Explanation:
    """Leave out each word, each stretch of time and each audio token, one after the other.

    Without a part the utterance goes through the very same prediction, as if that word or sound had
    not been there. In one that is too long for the model, what follows moves up.

    Parameters
    ----------
    utterance
        A table of one row, as `TrainedModel.utterance` or `read_manifest` return it.
    window
        Length of the stretches in seconds, rounded to frames; 0 leaves out each audio token by
        itself. By default `WINDOW_SECONDS`.

    Raises
    ------
    InputError
        If the window is no length, or the utterance has nothing to leave out.
    """
    window = WINDOW_SECONDS if window is None else window
    if not 0 <= window < math.inf:
        raise InputError(f"window = {window}: expected a length in seconds, or 0 for single tokens")
    codes = model.codes(utterance)
    examples = model.examples(utterance, codes)
    text, tokens = examples["text"][0], examples["audio_tokens"][0]
    parts = list(_words(text, tokens))
    if codes is not None:
        parts += _stretches(model, utterance.iloc[0], codes, text, window)
        parts += _single_tokens(model.selection, text, tokens)
    # Nothing but special tokens would be left for the model to read.
    parts = [part for part in parts if part.text or part.kept is not None]
    if not parts:
        raise InputError(f"{examples['id'][0]}: neither words nor kept audio tokens to leave out")
    without = pd.DataFrame(
        {
            "id": [f"{examples['id'][0]} without {part.name}" for part in parts],
            "text": [part.text for part in parts],
            "audio_tokens": [None if part.kept is None else tokens[part.kept] for part in parts],
        }
    )
    classifier, threads = model.classifier, model.threads
    prediction = classifier.predict(examples, threads=threads).iloc[0]
    left = classifier.predict(without, threads=threads)[f"p_{prediction['predicted']}"]
    return Explanation(prediction, _table(parts, prediction, left.to_numpy()))


def _words(text: str | None, tokens: np.ndarray | None) -> Iterator[_Part]:
    kept = None if tokens is None else np.ones(len(tokens), dtype=bool)
    for word in re.finditer(r"\S+", text or ""):
        before, after = text[: word.start()].rstrip(), text[word.end() :].lstrip()
        yield _Part("word", word.group(), f"{before} {after}".strip(), kept)


def _stretches(
    model: Predictor, utterance: pd.Series, codes: CodeTable, text: str | None, window: float
) -> Iterator[_Part]:
    """The audio tokens of each window of time that has any, or each one by itself."""
    codebooks, array = codes.codebooks, codes.codes[utterance["id"]]
    rank_of_code = model.selection.rank_of_code(codebooks.n_layers, codebooks.codebook_size)
    frames = frames_of_kept(array, rank_of_code)
    tokens = kept_sequence(array, rank_of_code)
    length = max(1, round(window * codebooks.frame_rate))
    of_stretch = frames // length if window else np.arange(len(frames))
    segment = utterance.get("start"), utterance.get("end")
    spans = [segment_span(clip, *segment) for clip in utterance["audio"]]
    seconds = sum(last - first for first, last in spans)
    for stretch in np.unique(of_stretch):
        left_out = of_stretch == stretch
        start = frames[left_out][0] // length * length
        end = min(start + length, array.shape[1])
        place = place_in_clip(
            utterance["audio"], spans, start, end, frames[left_out], codebooks.frame_rate
        )
        place["utterance_start"] = start / codebooks.frame_rate
        place["utterance_end"] = min(end / codebooks.frame_rate, seconds)
        names = " ".join(map(audio_token_name, tokens[left_out]))
        yield _Part("stretch", names, text, ~left_out, place)


def _single_tokens(
    selection: TokenSelection, text: str | None, tokens: np.ndarray
) -> Iterator[_Part]:
    for rank in np.unique(tokens):
        place = {"layer": selection.tokens[rank].layer, "code": selection.tokens[rank].code}
        yield _Part("token", audio_token_name(rank), text, tokens != rank, place)


def _table(parts: list[_Part], prediction: pd.Series, probability: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame([part.place for part in parts], index=range(len(parts)))
    table = table.reindex(columns=list(PART_COLUMNS))
    table["kind"] = [part.kind for part in parts]
    table["part"] = [part.name for part in parts]
    table["probability"] = probability
    table["effect"] = prediction[f"p_{prediction['predicted']}"] - probability
    table["n_tokens"] = [0 if part.kept is None else np.sum(~part.kept) for part in parts]
    return table.astype(PART_COLUMNS)
