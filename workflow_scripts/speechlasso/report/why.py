"""Why speech helped or not: tokens and errors to be heard, and what audio changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from speechlasso.blocks import Figure, Group, Section, SoundBudget, Table, Text
from speechlasso.evaluation.errors_by_arm import LENGTH
from speechlasso.evaluation.summary import best_first
from speechlasso.evaluation.words import share
from speechlasso.report.evidence import DescribedSelection, Evidence
from speechlasso.report.figures import group_figure, selection_figure, selection_table
from speechlasso.selection.players import token_players

MOST_TOKENS = 20
MOST_ERRORS = 20
MOST_GROUPINGS = 4
MOST_CLASSES = 12
ABOUT_TOKENS = (
    "Token N is <audio_token_N> in what the language model reads. Weight: what the selection ranks "
    "tokens by; of a lasso it is the sum over classes of the coefficients' absolute values. For a "
    "class: the coefficient, which speaks for the class above zero and against it below; two "
    "classes share one. In a class: the share of its training utterances that have the token."
)
_KINDS = {"mended": "Errors that audio mended", "broken": "Errors that audio made"}


def why_sections(evidence: Evidence) -> list[Section]:
    budget = SoundBudget()
    # Errors first: they are few, and each is one of its kind.
    errors = list(_errors(evidence, budget))
    groups = [
        *_heard(evidence, budget),
        *_kept(evidence),
        *_lengths(evidence),
        *_audio_effect(evidence),
        *errors,
        *_groups(evidence),
    ]
    told = budget.told("example_clips.parquet, and listening.parquet of each selection, have all")
    return [Section("Why", [*told, *groups])]


def _heard(evidence: Evidence, budget: SoundBudget) -> Iterator[Group]:
    """Tokens of some selections: what they weigh, and where to hear them."""
    for described in evidence.selections:
        tokens = described.tokens.sort_values("weight", ascending=False, kind="stable")
        shown = tokens.head(MOST_TOKENS)
        if shown.empty:
            continue
        heard = described.listening
        players = () if heard is None else token_players(shown, heard, budget)
        frame, keys, n_left = _weights(shown)
        told = _told_of_tokens(described, len(shown), n_left)
        if layers := evidence.about.get("tokens", {}).get(described.arm):
            told = f"{told} {layers}"
        yield Group(
            f"Tokens you can hear: {described.arm}, fold {described.fold}",
            [
                Text(told),
                Table("Kept audio tokens", frame, keys),
                Text(ABOUT_TOKENS, "note"),
                *players,
            ],
        )


def _told_of_tokens(described: DescribedSelection, n_shown: int, n_left: int) -> str:
    """Which of the kept tokens and of the classes are shown, and where the others are."""
    n_tokens, some = len(described.tokens), "all"
    if n_shown < n_tokens:
        page = f"; {described.page} shows all" if described.page else ""
        some = f"the {n_shown} of {n_tokens} of largest weight{page}"
    left = f", {n_left} of the classes left out" if n_left else ""
    return f"The kept audio tokens, {some}{left}."


def _weights(tokens: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[float]], int]:
    """Rank, layer, code, weights and shares of utterances; what the latter are sorted by; and of
    how many classes they are left out."""
    names = [name.removeprefix("df_") for name in tokens if name.startswith("df_")]
    weights = tokens.filter(regex="^weight_").rename(columns=lambda name: name[len("weight_") :])
    strongest = weights.abs().sum().sort_values(ascending=False, kind="stable").index
    # Two classes share one vector of weights; a ranking has none.
    first = [*strongest, *(name for name in names if name not in strongest)][:MOST_CLASSES]
    frame = tokens[["rank", "layer", "code", "weight"]].rename(columns={"rank": "token"})
    frame = frame.join(weights[[n for n in weights if n in first]].add_prefix("for ")).round(3)
    shares = tokens[[f"df_{name}" for name in names if name in first]]
    shares = shares.rename(columns=lambda name: f"in {name.removeprefix('df_')}")
    n_left = len({*weights, *names}) - len(first)
    shares, keys = _in_percent(shares)
    return frame.join(shares), keys, n_left


def _kept(evidence: Evidence) -> Iterator[Group]:
    with_audio = {arm: of for arm, of in evidence.by_arm.items() if of[0].selection}
    if not with_audio:
        yield Group("Selected audio tokens", [Text("No arm reads audio.")])
        return
    table = selection_table(with_audio)
    drawn = {arm: of_arm for arm, of_arm in with_audio.items() if arm in evidence.shown}
    blocks: list[Any] = [
        Text("Number of kept tokens in each codec layer, mean over the arm's runs."),
        Table("Kept audio tokens by codec layer", table),
    ]
    if drawn:
        title = "Kept audio tokens by arm and codec layer"
        blocks.insert(
            1, Figure.of("selected-tokens", title, selection_table(drawn), selection_figure, drawn)
        )
    yield Group("Selected audio tokens", blocks)


def _lengths(evidence: Evidence) -> Iterator[Group]:
    means = evidence.test.groupby("arm", sort=False)[["mean_text_tokens", "mean_audio_tokens"]]
    lengths = means.mean()
    lengths = lengths[lengths["mean_audio_tokens"] > 0]
    if lengths.empty:
        return
    text, audio = lengths["mean_text_tokens"], lengths["mean_audio_tokens"]
    frame = pd.DataFrame(
        {
            "arm": lengths.index,
            "text tokens": text.round(1),
            "audio tokens": audio.round(1),
            "audio tokens per text token": (audio / text).replace(np.inf, np.nan).round(2),
        }
    )
    table = Table("Tokens of a test example, means over the arm's runs", frame)
    yield Group("Audio tokens to text tokens", [table])


def _audio_effect(evidence: Evidence) -> Iterator[Group]:
    table = evidence.audio_effect
    if table is None or table.empty:
        return
    numbers = table.columns.difference(["arm", "fold", "seed", "n"], sort=False)
    means = table.groupby("arm", sort=False)[list(numbers)].mean()
    means = means.rename(columns={"flipped": "flipped decisions"})
    shown, keys = _in_percent(means.rename(columns=lambda name: name.replace("_", " ")))
    words = (
        "Shares of test rows that the arm decides otherwise when the audio tokens are left out of "
        "what it reads, means over runs: to right, audio turned a wrong decision into a right one; "
        "to wrong, the other way; other, from one wrong class to another. audio_effect.csv has "
        "every run."
    )
    yield Group(
        "How much audio changes decisions",
        [Text(words), Table("Decisions that audio changed", shown.reset_index(), keys)],
    )


def _errors(evidence: Evidence, budget: SoundBudget) -> Iterator[Group]:
    errors = evidence.errors
    if errors is None or errors.empty:
        return
    best = _best(evidence, errors["arm"].unique())
    of_best = errors[errors["arm"] == best].sort_values("rank", kind="stable")
    for kind, title in _KINDS.items():
        rows = of_best[of_best["kind"] == kind]
        if len(rows):
            table = _error_table(evidence, budget, kind, rows)
            words = f"Of {best}, the best of the arms that hear; errors.csv has those of all."
            yield Group(f"{title} ({len(rows)})", [Text(words), table])


def _best(evidence: Evidence, arms: Sequence[str]) -> str:
    ranked = best_first(evidence.summary, evidence.metric)
    return next((arm for arm in ranked if arm in arms), arms[0])


def _error_table(evidence: Evidence, budget: SoundBudget, kind: str, rows: pd.DataFrame) -> Table:
    arm, reference = rows[["arm", "reference"]].iloc[0]
    right, wrong = (arm, reference) if kind == "mended" else (reference, arm)
    first = [name for name in ("id", "text", "label") if name in rows]
    # That all come from one fold need not be said in every row.
    hidden = [*("arm", "reference", "kind", "clip", "rank"), *first]
    hidden += ["fold"] if "fold" in rows and rows["fold"].nunique() == 1 else []
    frame = rows[first].join(rows.drop(columns=hidden, errors="ignore"))
    frame = frame.replace("", np.nan).dropna(axis="columns", how="all")
    frame = frame.rename(
        columns={
            "predicted": f"{arm} says",
            "probability": f"P of the label by {arm}",
            "reference_predicted": f"{reference} says",
            "reference_probability": f"P of the label by {reference}",
        }
    )
    clips = [evidence.clips.get(id) for id in frame["id"].astype(str).head(MOST_ERRORS)]
    sounds = [budget.take(sound) for sound in clips]
    return Table(
        f"{right} is right, {wrong} is wrong",
        frame.round(2),
        sounds=sounds if any(sounds) else (),
        most_rows=MOST_ERRORS,
        whole="errors.csv",
    )


def _groups(evidence: Evidence) -> Iterator[Group]:
    groups = evidence.groups
    if groups is None or groups.empty:
        return
    metric, title = evidence.metric, evidence.metric_title
    divided = list(groups.groupby("column", sort=False))
    blocks: list[Any] = []
    for number, (column, rows) in enumerate(divided[:MOST_GROUPINGS], start=1):
        rows = _apart(rows[rows["arm"].isin(evidence.shown)])
        wide = rows.pivot_table(index=["value", "n"], columns="arm", values=metric, sort=False)
        table = wide.round(3).reset_index().rename(columns={"value": str(column)})
        blocks += [
            Figure.of(
                f"groups-{number}",
                f"Test {title} by {column}",
                rows,
                group_figure,
                metric,
                str(column),
                rows,
            ),
            Table(f"Test {title} by {column}", table, whole="groups.csv"),
            *_shares(evidence, str(column)),
        ]
    yield Group("Results by group", blocks)


def _shares(evidence: Evidence, column: str) -> Iterator[Table]:
    """Which share of the test rows of each group audio mends and breaks."""
    shares = evidence.errors_by_group
    if shares is None:
        return
    rows = shares[shares["column"] == column]
    if rows.empty:
        return
    best = _best(evidence, rows["arm"].unique())
    rows = _apart(rows[rows["arm"] == best])[["value", "n", *_KINDS]]
    names = {"value": column} | {kind: f"{best}: {kind}" for kind in _KINDS}
    shares, keys = _in_percent(rows[[*_KINDS]].rename(columns=names))
    frame = rows[["value", "n"]].rename(columns=names).join(shares)
    caption = f"Shares of test rows that audio mends and breaks, by {column}"
    yield Table(caption, frame, keys, whole="errors_by_group.csv")


def _in_percent(shares: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """Texts, and what they are sorted by."""
    return shares.map(share), {str(name): shares[name].tolist() for name in shares}


def _apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Quarters by length that lie apart, though rounded they share an end, so that they look it."""
    told, end = {}, None
    for value in rows.loc[rows["column"] == LENGTH, "value"].unique():
        start, _, next_end = value.partition(" to ")
        told[value] = f"above {start} to {next_end}" if start == end else value
        end = next_end
    return rows.assign(value=rows["value"].replace(told))
