"""Why these audio tokens: weights, frequencies per class, and where to hear them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.audio.reading import segment_span
from speechlasso.selection.controls import documents_per_class
from speechlasso.selection.token_selection import Token, rank_of_code
from speechlasso.tokenizers.codes import CodeTable

OCCURRENCE_COLUMNS = {
    "rank": "int64",
    "layer": "int64",
    "code": "int64",
    "place": "int64",
    "id": "str",
    "clip": "str",
    "start": "float64",
    "end": "float64",
    "n_occurrences": "int64",
}


def token_evidence(
    tokens: Sequence[Token],
    audio_counts: sp.csr_array,
    labels: np.ndarray,
    *,
    class_weights: Mapping[str, Sequence[float]] | None = None,
    selection_probability: np.ndarray | None = None,
) -> pd.DataFrame:
    """Evidence for each kept audio token.

    Parameters
    ----------
    tokens
        The selection, in its order.
    audio_counts, labels
        Training rows, (n_rows, n_audio_features) and (n_rows,).
    class_weights
        Of each class the lasso's coefficients at these tokens, (n_tokens,); two classes have one
        vector, for the second against the first.
    selection_probability
        As `selection_controls.stability` returns it, (n_audio_features,).

    Returns
    -------
    pandas.DataFrame
        rank (place in the selection, which names the token in token texts), layer, code, index,
        weight; weight_<class> where there are class weights; df_<class>, the share of the rows of
        the class in which the token occurs; selection_probability where given.
    """
    indices = np.array([token.index for token in tokens], dtype=np.int64)
    table = pd.DataFrame(
        {
            "rank": np.arange(len(tokens)),
            "layer": np.array([token.layer for token in tokens], dtype=np.int64),
            "code": np.array([token.code for token in tokens], dtype=np.int64),
            "index": indices,
            "weight": np.array([token.weight for token in tokens], dtype=np.float64),
        }
    )
    for name, weights in (class_weights or {}).items():
        table[f"weight_{name}"] = np.array(weights, dtype=np.float64)
    classes, n_of_class = np.unique(labels, return_counts=True)
    present = documents_per_class(audio_counts[:, indices], labels)
    for name, n_present, n_rows in zip(classes, present, n_of_class, strict=True):
        table[f"df_{name}"] = n_present / n_rows
    if selection_probability is not None:
        table["selection_probability"] = selection_probability[indices]
    return table


def top_occurrences(
    codes: CodeTable,
    utterances: pd.DataFrame,
    tokens: Sequence[Token],
    n: int = 3,
    window: float = 0.5,
) -> pd.DataFrame:
    """Where each audio token is densest: one window from each of the n best utterances.

    Parameters
    ----------
    codes
        Holds the codes of every utterance.
    utterances
        Columns id and audio (list of clips, joined in this order before they were encoded), and
        start and end where utterances are segments of a clip; only these are looked at.
    tokens
        The selection, in its order.
    n
        Most utterances for a token; those with most occurrences in one window, of equal ones the
        earlier.
    window
        Length in seconds, shorter where the utterance or the clip is: a window across the border
        between two clips is cut to the clip that holds more of its occurrences.

    Returns
    -------
    pandas.DataFrame
        rank, layer, code, place (1 is the densest), id, clip (path), start and end (seconds in the
        clip, from its own beginning also where the utterance is a segment of it), n_occurrences
        (frames with the token between them).

    Raises
    ------
    ClipError
        When a clip cannot be opened.
    """
    codebooks = codes.codebooks
    frame_rate = codebooks.frame_rate
    n_frames = max(1, round(window * frame_rate))
    arrays = [codes.codes[name] for name in utterances["id"]]
    best = densest_windows(
        arrays, rank_of_code(tokens, codebooks.n_layers, codebooks.codebook_size), n_frames
    )
    best = best.groupby("rank").head(n)
    rows = []
    for rank, utterance, start in best[["rank", "utterance", "start"]].itertuples(index=False):
        token, row = tokens[rank], utterances.iloc[utterance]
        occurs = codes.codes[row["id"]][token.layer] == token.code
        end = min(start + n_frames, len(occurs))
        frames = start + np.flatnonzero(occurs[start:end])
        spans = [segment_span(clip, row.get("start"), row.get("end")) for clip in row["audio"]]
        place = place_in_clip(row["audio"], spans, start, end, frames, frame_rate)
        rows.append({"rank": rank, "layer": token.layer, "code": token.code, "id": row["id"]})
        rows[-1] |= place
    table = pd.DataFrame(rows, columns=[name for name in OCCURRENCE_COLUMNS if name != "place"])
    # A window that was cut may have lost its place.
    table = table.sort_values(["rank", "n_occurrences"], ascending=[True, False], ignore_index=True)
    table.insert(3, "place", table.groupby("rank").cumcount() + 1)
    return table.astype(OCCURRENCE_COLUMNS)


def densest_windows(
    codes: Sequence[np.ndarray], ranks_of_codes: np.ndarray, n_frames: int
) -> pd.DataFrame:
    """The densest window of each token in each utterance that has it.

    Parameters
    ----------
    codes
        Integers (n_layers, n_frames) of each utterance.
    ranks_of_codes
        As `rank_of_code` makes them.
    n_frames
        Length of a window.

    Returns
    -------
    pandas.DataFrame
        rank, utterance (position in `codes`), start (frame), n_occurrences; most occurrences first.
    """
    parts = [np.empty((4, 0), dtype=np.int64)]
    layers = np.arange(len(ranks_of_codes))[:, None]
    for utterance, array in enumerate(codes):
        rank_of_frame = ranks_of_codes[layers, array]
        frames, ranks = np.nonzero(rank_of_frame >= 0)[1], rank_of_frame[rank_of_frame >= 0]
        # One sorted line of positions, the tokens so far apart that no window reaches two of them.
        spacing = array.shape[1] + n_frames
        line = np.sort(ranks * spacing + frames)
        ranks, frames = np.divmod(line, spacing)
        counts = np.searchsorted(line, line + n_frames) - np.arange(len(line))
        densest = np.lexsort((frames, -counts, ranks))
        densest = densest[np.unique(ranks[densest], return_index=True)[1]]
        # At the end of the utterance the window begins before the first occurrence.
        starts = np.minimum(frames[densest], max(array.shape[1] - n_frames, 0))
        which = np.full(len(densest), utterance)
        parts.append(np.stack([ranks[densest], which, starts, counts[densest]]))
    columns = ["rank", "utterance", "start", "n_occurrences"]
    table = pd.DataFrame(np.concatenate(parts, axis=1).T, columns=columns)
    return table.sort_values("n_occurrences", ascending=False, kind="stable")


def place_in_clip(
    clips: Sequence[str],
    spans: Sequence[tuple[float, float]],
    start: int,
    end: int,
    frames: np.ndarray,
    frame_rate: float,
) -> dict[str, object]:
    """The clip in which most of these frames lie, and the window from frame `start` to before
    `end` in its time.

    Parameters
    ----------
    spans
        The part of each clip that was encoded: first and last second.
    """
    bounds = np.cumsum([0.0, *(last - first for first, last in spans)])
    middles = (frames + 0.5) / frame_rate
    # Tokenizers pad the last frames, which may therefore lie beyond the end.
    clip_of_frame = np.clip(np.searchsorted(bounds, middles, "right") - 1, 0, len(clips) - 1)
    n_in_clip = np.bincount(clip_of_frame)
    clip = int(n_in_clip.argmax())
    first, last = bounds[clip], bounds[clip + 1]
    offset = spans[clip][0] - first
    return {
        "clip": clips[clip],
        "start": max(start / frame_rate, first) + offset,
        "end": min(end / frame_rate, last) + offset,
        "n_occurrences": n_in_clip[clip],
    }
