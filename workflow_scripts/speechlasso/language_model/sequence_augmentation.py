"""Vary the training examples' audio tokens from epoch to epoch.

Few utterances of few speakers are soon learned by heart. What is left to learn from is whatever an
utterance keeps when some of its tokens are missing, or are those of another speaker.
"""

from __future__ import annotations

import numpy as np

# Each of the two utterances gives at least this share of its audio tokens.
SMALLEST_PART = 0.2


def with_audio_spliced(
    sequences: list[np.ndarray],
    labels: np.ndarray,
    audio_token_ids: list[int],
    share: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Sequences of which a random share goes on, from a random moment, as another of their class.

    Right where a label describes all of an utterance, as emotions do. Words stay as they are. After
    "Same Emotion CopyPaste" (Pappagari et al., arXiv 2010.14602), which concatenates waveforms of
    one emotion and so lengthens them; here both are cut at the same share of their audio tokens,
    and no sequence grows longer than the longest.

    Parameters
    ----------
    sequences
        Token ids of each example; its audio tokens stand in one run.
    labels
        Class of each example, (n,).
    share
        Probability that an example is spliced.
    """
    if share == 0 or not audio_token_ids:
        return sequences
    examples = [_around_audio(ids, audio_token_ids) for ids in sequences]
    longest = max(map(len, sequences))
    spliced = list(sequences)
    for row in np.flatnonzero(rng.random(len(sequences)) < share):
        other = rng.choice(np.flatnonzero(labels == labels[row]))
        moment = rng.uniform(SMALLEST_PART, 1 - SMALLEST_PART)
        (before, audio, after), (_, other_audio, _) = examples[row], examples[other]
        if len(audio) and len(other_audio):
            start = audio[: round(moment * len(audio))]
            end = other_audio[round(moment * len(other_audio)) :]
            room = longest - len(before) - len(after)
            spliced[row] = np.concatenate([before, np.concatenate([start, end])[:room], after])
    return spliced


def with_tokens_dropped(
    sequences: list[np.ndarray], droppable: list[int], share: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Sequences of token ids without a random share of the occurrences of the droppable ids.

    A model that never meets the same sequence twice has to learn what a token says wherever it
    stands, not the utterance by heart (word dropout: Iyyer et al. 2015, section 3.1).
    """
    if share == 0 or not droppable:
        return sequences
    return [ids[~(np.isin(ids, droppable) & (rng.random(len(ids)) < share))] for ids in sequences]


def _around_audio(
    ids: np.ndarray, audio_token_ids: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What stands before an example's audio tokens, these, and what stands after them."""
    places = np.flatnonzero(np.isin(ids, audio_token_ids))
    if not len(places):
        return ids, ids[:0], ids[:0]
    return ids[: places[0]], ids[places[0] : places[-1] + 1], ids[places[-1] + 1 :]
