"""Why these audio tokens: weights, frequencies per class, and where to hear them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from speechlasso.audio.reading import segment_span
from speechlasso.selection.controls import documents_per_class
from speechlasso.selection.token_selection import Token, rank_of_code
from speechlasso.tokenizers.codes import CodeFiles, CodeTable

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
WINDOW_COLUMNS = ["rank", "utterance", "start", "n_occurrences"]


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


def strongest(tokens: pd.DataFrame, most: int) -> pd.DataFrame:
    """Rows of `token_evidence` of largest weight, at most so many, in their order."""
    heaviest = tokens.sort_values("weight", ascending=False, kind="stable").head(most)
    return tokens[tokens.index.isin(heaviest.index)]


def top_occurrences(
    codes: CodeTable | CodeFiles,
    utterances: pd.DataFrame,
    tokens: Sequence[Token],
    n: int = 10,
    window: float = 0.5,
) -> pd.DataFrame:
    """Where each audio token is densest: one window from each of the n best utterances.

    Parameters
    ----------
    codes
        Holds the codes of every utterance.
    utterances
        Columns id and audio (list of clips, joined in this order before they were encoded), and
        start and end where utterances are segments of a clip; only these are looked at. With a
        column group each group's best utterance comes before the second of any group, so that
        several speakers are heard.
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
    ranks = rank_of_code(tokens, codebooks.n_layers, codebooks.codebook_size)
    best, arrays = _best_windows(codes, utterances, ranks, n_frames, n)
    rows = []
    for rank, utterance, start in best[["rank", "utterance", "start"]].itertuples(index=False):
        token, row = tokens[rank], utterances.iloc[utterance]
        occurs = arrays[utterance][token.layer] == token.code
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


def _best_windows(
    codes: CodeTable | CodeFiles,
    utterances: pd.DataFrame,
    ranks_of_codes: np.ndarray,
    n_frames: int,
    n: int,
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """The n best of `densest_windows` for each token, and the codes of the utterances they lie in,
    by their positions among all."""
    wanted = pd.Index(utterances["id"])
    groups = utterances["group"] if "group" in utterances else pd.Series("", utterances.index)
    best, arrays = pd.DataFrame(columns=WINDOW_COLUMNS, dtype=np.int64), {}
    for part in codes.parts():
        place = wanted.get_indexer(list(part.codes))
        here = {
            int(at): array for at, array in zip(place, part.codes.values(), strict=True) if at >= 0
        }
        found = densest_windows(list(here.values()), ranks_of_codes, n_frames)
        found["utterance"] = np.array(list(here), dtype=np.int64)[found["utterance"]]
        # Of equal ones the earlier utterance, whichever shard comes first.
        best = _densest_first(pd.concat([best, found]))
        of_group = groups.to_numpy()[best["utterance"].astype(int)]
        nth = best.groupby(["rank", of_group]).cumcount().sort_values(kind="stable")
        best = _densest_first(best.loc[nth.index].groupby("rank").head(n))
        kept = set(best["utterance"])
        arrays = {at: array for at, array in (arrays | here).items() if at in kept}
    return best, arrays


def _densest_first(windows: pd.DataFrame) -> pd.DataFrame:
    order = ["n_occurrences", "utterance"]
    return windows.sort_values(order, ascending=[False, True], ignore_index=True)


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
        rank, utterance (position in `codes`), start (frame), n_occurrences.
    """
    if not codes:
        return pd.DataFrame(columns=WINDOW_COLUMNS, dtype=np.int64)
    lengths = np.array([array.shape[1] for array in codes])
    utterances = np.repeat(np.arange(len(codes)), lengths)
    frames = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    ranks = ranks_of_codes[np.arange(len(ranks_of_codes))[:, None], np.concatenate(codes, axis=1)]
    kept = np.nonzero(ranks >= 0)[1]
    # One sorted line of positions, the tokens so far apart that no window reaches two of them.
    n_ranks, spacing = ranks_of_codes.max() + 1, lengths.max() + n_frames
    tokens = utterances[kept] * n_ranks + ranks[ranks >= 0]
    line = np.sort(tokens * spacing + frames[kept])
    tokens, frames = np.divmod(line, spacing)
    counts = np.searchsorted(line, line + n_frames) - np.arange(len(line))
    densest = np.lexsort((frames, -counts, tokens))
    densest = densest[np.unique(tokens[densest], return_index=True)[1]]
    utterances, ranks = np.divmod(tokens[densest], n_ranks)
    # At the end of the utterance the window begins before the first occurrence.
    starts = np.minimum(frames[densest], np.maximum(lengths[utterances] - n_frames, 0))
    columns = ranks, utterances, starts, counts[densest]
    return pd.DataFrame(dict(zip(WINDOW_COLUMNS, columns, strict=True)), dtype=np.int64)


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
