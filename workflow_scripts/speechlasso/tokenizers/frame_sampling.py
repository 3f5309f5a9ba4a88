"""Drawing the frames that codebooks are learned on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from speechlasso.errors import InputError


def sample_frames(
    clips: Iterable[tuple[np.ndarray, ...]],
    *,
    max_frames: int,
    codebook_size: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Draw frames uniformly from all clips in one pass.

    Every frame gets a random rank and the lowest ranks stay, so the number of frames need not be
    known beforehand and at most twice the sample is held.

    Parameters
    ----------
    clips
        The frames of each clip: one array (n_frames, n_features) per stream of features.
    max_frames
        Size of the sample; all frames are taken where there are fewer.
    codebook_size
        How many frames are needed at least: one per centroid.

    Returns
    -------
    One array (n_sampled, n_features) per stream, in the order of the clips.

    Raises
    ------
    InputError
        If there are no clips, or too few frames.
    """
    ranks = np.empty(0)
    sample: list[tuple[np.ndarray, ...]] = []

    def keep_lowest_ranks() -> None:
        nonlocal ranks
        lowest = np.sort(np.argsort(ranks)[:max_frames])
        ranks = ranks[lowest]
        sample[:] = [tuple(np.concatenate(stream)[lowest] for stream in zip(*sample, strict=True))]

    for streams in clips:
        ranks = np.append(ranks, rng.random(len(streams[0])))
        sample.append(streams)
        if len(ranks) > 2 * max_frames:
            keep_lowest_ranks()
    if len(ranks) == 0:
        raise InputError("The tokenizer needs training clips to learn from, but there are none.")
    keep_lowest_ranks()
    if len(ranks) < codebook_size:
        raise InputError(
            f"The training clips have {len(ranks)} frames, too few for codebook_size = "
            f"{codebook_size}. Add clips or choose a smaller codebook_size."
        )
    return list(sample[0])
