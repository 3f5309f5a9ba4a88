"""The codec layers that settings name, held against those that there are."""

from __future__ import annotations

from collections.abc import Sequence

from speechlasso.errors import InputError


def counted_layers(n_layers: int, last: int | None) -> range:
    """The codec's layers that the bag of words counts: the last so many; None: all.

    Raises
    ------
    InputError
        When there are not so many.
    """
    if last is None:
        return range(n_layers)
    if last > n_layers:
        raise InputError(
            f"bow.layers: {last}, but the speech tokenizer has {n_layers}; use at most {n_layers}, "
            "or null for all"
        )
    return range(n_layers - last, n_layers)


def check_layers(layers: Sequence[int], counted: range) -> None:
    """See that a selection's layers are among those that are counted.

    Raises
    ------
    InputError
        Naming those that are not, and those that are.
    """
    missing = [layer for layer in layers if layer not in counted]
    if missing:
        raise InputError(
            f"select: layers {', '.join(map(str, missing))} are not among those that the bag of "
            f"words counts, which are {', '.join(map(str, counted))} (0 is the codec's first; "
            "bow.layers may leave some out)"
        )
