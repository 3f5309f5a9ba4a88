"""All that the report shows, as it was read; what an experiment does not have is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from speechlasso.evaluation.cards import title_of
from speechlasso.evaluation.summary import RunResult, best_first

MOST_ARMS = 30


@dataclass(frozen=True)
class DescribedSelection:
    """The evidence for the kept tokens of one run, and the path that they were chosen on.

    Attributes
    ----------
    tokens
        As `token_evidence.token_evidence` makes them.
    listening
        rank, place, id, start, end, sound (MP3); None where nothing was cut out.
    path, alpha
        As `selection.figures.path_figure` reads them; None where the selection lies on no path.
    page
        The page that shows all of its tokens.
    """

    arm: str
    fold: str
    tokens: pd.DataFrame
    listening: pd.DataFrame | None = None
    path: pd.DataFrame | None = None
    alpha: float | None = None
    page: str = ""


@dataclass(frozen=True)
class Evidence:
    """What the page is made from.

    Attributes
    ----------
    runs, summary
        As `summary.runs_table` and `summary.summary_table` make them.
    results
        What the runs left behind, for confusion matrices and selections.
    transductive_arms
        Arms whose language model was adapted to validation or test rows.
    anchor_bias
        As `anchor_bias.bias_by_arm` makes it, if any arm has one.
    verdicts, audio_effect, errors, errors_by_group, groups
        The tables of these names.
    clips
        MP3 of utterances, by id.
    selections
        Of some arms.
    training_logs
        training_log.csv of the runs of each arm that has them.
    provenance
        What provenance.json holds.
    metric
        The score that the experiment is judged by: it stands first and says which arms are drawn.
    codec_layers
        Of arms that select audio tokens, the codec layers that these are chosen from, in words.
    about
        What is compared, as `experiment.in_words` tells it.
    """

    experiment: str
    runs: pd.DataFrame
    summary: pd.DataFrame
    results: Sequence[RunResult]
    transductive_arms: Sequence[str] = ()
    anchor_bias: pd.DataFrame | None = None
    verdicts: pd.DataFrame | None = None
    audio_effect: pd.DataFrame | None = None
    errors: pd.DataFrame | None = None
    errors_by_group: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    clips: Mapping[str, bytes] = field(default_factory=dict)
    selections: Sequence[DescribedSelection] = ()
    training_logs: Mapping[str, Sequence[pd.DataFrame]] = field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None
    metric: str = "macro_f1"
    codec_layers: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def test(self) -> pd.DataFrame:
        """The runs' test rows."""
        return self.runs[self.runs["split"] == "test"]

    @cached_property
    def by_arm(self) -> dict[str, list[RunResult]]:
        found: dict[str, list[RunResult]] = {}
        for result in self.results:
            found.setdefault(result.arm, []).append(result)
        return found

    @cached_property
    def shown(self) -> list[str]:
        """The arms of figures: all that ran, or those with the best scores where they are many."""
        ran = self.test["arm"].unique()
        best = [arm for arm in best_first(self.summary, self.metric) if arm in ran][:MOST_ARMS]
        return [arm for arm in self.summary["arm"].unique() if arm in best]

    @property
    def metric_title(self) -> str:
        """The metric, for people."""
        return title_of(self.metric)

    @property
    def drawn_scores(self) -> list[str]:
        """The scores of figures: this one, and one or two usual ones."""
        return list(dict.fromkeys([self.metric, "macro_f1", "uar"]))[:2]

    @cached_property
    def intervals(self) -> str:
        """How the intervals were made, for people; empty where there are none."""
        return ", ".join(name for name in self.summary["interval"].dropna().unique() if name)
