"""The table of the speech anchor bias that language models have before and after adaptation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from speechlasso.files import read_json

COUNTS = ("before", "after", "with_transcript")


def bias_by_arm(files: Mapping[str, Iterable[str]]) -> pd.DataFrame | None:
    """Shares of the instructions in which the speech was followed, over all runs of an arm.

    Parameters
    ----------
    files
        By arm, the anchor_bias.json of its adaptations.

    Returns
    -------
    pandas.DataFrame
        For each arm its two groups of instructions, each followed by its kinds where it has more
        than one: arm, instructions, pairs (their number), before, after, with transcript. None
        where nothing was measured.
    """
    counted = pd.DataFrame(
        {"arm": arm, **row}
        for arm, paths in files.items()
        for path in paths
        for row in read_json(path)
    )
    if counted.empty:
        return None
    rows = []
    for (arm, group), of_group in counted.groupby(["arm", "group"], sort=False):
        rows.append((arm, group, of_group))
        of_kind = list(of_group.groupby("kind", sort=False))
        if len(of_kind) > 1:
            rows += [(arm, f"{group}: {kind}", found) for kind, found in of_kind]
    return pd.DataFrame([_shares(*row) for row in rows])


def _shares(arm: str, instructions: str, counted: pd.DataFrame) -> dict[str, object]:
    n = int(counted["n_pairs"].sum())
    shares = {name.replace("_", " "): f"{counted[name].sum() / n:.2f}" for name in COUNTS}
    return {"arm": arm, "instructions": instructions, "pairs": n, **shares}
