"""The first sections: the verdict, the scores of the arms, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from speechlasso.blocks import Figure, Section, Table, Text
from speechlasso.evaluation.cards import METRICS, title_of
from speechlasso.evaluation.costs import COSTS, arm_costs, readable
from speechlasso.evaluation.environments import differences
from speechlasso.evaluation.seed_average import ensemble, is_ensemble
from speechlasso.evaluation.summary import chosen_on_inner_folds, with_interval
from speechlasso.evaluation.words import mean_of, p_value, share
from speechlasso.report.evidence import Evidence
from speechlasso.report.figures import cost_figure, pareto_front, score_figure

_MOST_SENTENCES = 6
ABOUT_F1 = (
    "Macro F1 is scikit-learn's: the mean F1 over classes that occur among the labels or the "
    "predictions of the test part, so that one stray prediction of a class without test examples "
    "lowers it as much as a class never found. macro_f1_present is the mean over classes that have "
    "test examples"
)
ABOUT_ENSEMBLES = (
    "Seeds averaged: all seeds of an arm decide together, by the mean of their probabilities; "
    "seeds voted: by most of their votes. Votes that score the same as the averaged seeds are left "
    "out; summary.csv has them."
)
ABOUT_COSTS = (
    "Costs are means over runs. Trainable parameters are numbers that learning the task changes. "
    "Sequence length is what the model reads for an average training example: tokens and vectors, "
    "or frames; empty where it reads no sequence. Training time is that of the task, adaptation "
    "time that of the language model before, whole for each run that reads it. Peak memory is the "
    "training process's, its libraries included, or the GPU's. What all arms share, encoding clips "
    "and counting tokens, is not in them; nor are, for an arm that fuses or chooses from others, "
    "those of the others."
)


def score_sections(evidence: Evidence) -> list[Section]:
    return [
        Section("Verdict", _verdict(evidence)),
        Section("Scores", _scores(evidence)),
        Section("Quality against cost", _costs(evidence)),
    ]


def _verdict(evidence: Evidence) -> list[Any]:
    verdicts = evidence.verdicts
    if verdicts is None or verdicts.empty:
        return []
    metric, reference = verdicts[["metric", "reference"]].iloc[0]
    is_best_small = not METRICS[metric].larger_is_better
    verdicts = verdicts.sort_values("difference", ascending=is_best_small, kind="stable")
    sentences = [Text(sentence, "lead") for sentence in verdicts["sentence"].head(_MOST_SENTENCES)]
    n_more = len(verdicts) - len(sentences)
    more = [Text(f"{n_more} more in the table below, the best arms first.", "note")]
    return [
        *sentences,
        *(more if n_more else []),
        Table(
            f"Each arm against {reference}: difference in test {title_of(metric)}, with its 95 % "
            "interval",
            *verdict_table(verdicts),
            whole="verdicts.csv",
        ),
        Text(
            "P: the probabilities that the arm is worse, practically equal (within "
            f"{verdicts['margin'].iloc[0]:g}) and better. p is Holm's, corrected for the number of "
            "arms. Alone right: test rows that the arm, or the reference, has right and the other "
            "wrong, with McNemar's p, which takes rows for independent whoever speaks. Effect "
            "size: the difference in standard deviations over folds or, on one test part, of what "
            "a group or row adds to it.",
            "note",
        ),
    ]


def verdict_table(verdicts: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.Series]]:
    """The verdicts in few digits, and what their columns are sorted by."""
    ends = verdicts[["difference", "ci_low", "ci_high"]].itertuples(index=False)
    numbers = {
        "difference": (verdicts["difference"], [_signed(*row) for row in ends]),
        "effect size": (verdicts["effect_size"], verdicts["effect_size"].map(_two_digits)),
        "p": (verdicts["p_holm"], verdicts["p_holm"].map(p_value)),
        **{
            f"P {name}": (verdicts[f"p_{name}"], verdicts[f"p_{name}"].map(_two_digits))
            for name in ("worse", "equal", "better")
        },
        "alone right": (
            verdicts["mcnemar_arm_alone"] - verdicts["mcnemar_reference_alone"],
            [
                "" if pd.isna(arm) else f"{arm:.0f} : {reference:.0f}"
                for arm, reference in verdicts[
                    ["mcnemar_arm_alone", "mcnemar_reference_alone"]
                ].itertuples(index=False)
            ],
        ),
        "McNemar p": (verdicts["mcnemar_p"], verdicts["mcnemar_p"].map(p_value)),
    }
    shown = {"arm": verdicts["arm"], "verdict": verdicts["verdict"]}
    shown |= {name: texts for name, (_, texts) in numbers.items()}
    return pd.DataFrame(shown), {name: keys for name, (keys, _) in numbers.items()}


def _signed(difference: float, low: float, high: float) -> str:
    ends = "" if pd.isna(low) else f" [{low:+.3f}, {high:+.3f}]"
    return f"{difference:+.3f}{ends}".replace("-", "\N{MINUS SIGN}")


def _two_digits(number: float) -> str:
    return "" if pd.isna(number) else f"{number:.2f}".replace("-", "\N{MINUS SIGN}")


def _scores(evidence: Evidence) -> list[Any]:
    summary, shown = evidence.summary, evidence.shown
    made = f", and its 95 % interval ({evidence.intervals})" if evidence.intervals else ""
    blocks: list[Any] = [
        Text(
            f"Test split. Each score: mean over folds, seeds of a fold averaged first{made}. The "
            "spread over seeds stands apart: it is training noise and says nothing of other test "
            "data."
        ),
        _score_figure(evidence),
    ]
    n_arms = evidence.test["arm"].nunique()
    if len(shown) < n_arms:
        some = f"{len(shown)} of {n_arms} arms, those with the best {evidence.metric_title}"
        told = f"Figures show {some}; tables and CSV files have all."
        blocks.append(Text(told, "note"))
    frame, keys = arm_table(summary, evidence.test, evidence.metric)
    blocks.append(Table("Arms: scores, selection and costs", frame, keys, whole="summary.csv"))
    left_out = "" if "macro_f1_present" in frame else ", here the same and left out"
    about = [f"{ABOUT_F1}{left_out}."]
    about += [ABOUT_ENSEMBLES] if frame["arm"].map(is_ensemble).any() else []
    return [*blocks, *(Text(words, "note") for words in [*about, *_remarks(evidence)])]


def _score_figure(evidence: Evidence) -> Figure:
    summary = evidence.summary[evidence.summary["arm"].isin(evidence.shown)]
    runs = evidence.test[evidence.test["arm"].isin(evidence.shown)]
    columns = ["arm", "metric", "mean", "ci_low", "ci_high"]
    means = summary.loc[summary["metric"].isin(evidence.drawn_scores), columns]
    of_runs = runs.melt(["arm", "fold", "seed"], evidence.drawn_scores, "metric", "score")
    references = () if evidence.verdicts is None else evidence.verdicts["reference"].unique()
    interval = "; bars: 95 % intervals" if evidence.intervals else ""
    return Figure.of(
        "scores",
        "Test scores of the arms with intervals",
        pd.concat([means, of_runs]),
        score_figure,
        evidence.drawn_scores,
        summary,
        runs,
        next(iter(references), None),
        caption=f"Points: means over folds{interval}; small points: single folds and seeds.",
    )


def arm_table(
    summary: pd.DataFrame, test: pd.DataFrame, metric: str = "macro_f1"
) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """One row per arm: mean and interval of each score that narrow tables show, the metric first,
    folds, the metric's spread over seeds, size of the audio vocabulary, share cut, and what a run
    costs; and what columns are sorted by. A vote of seeds or a score that repeats another is left
    out."""
    rows, keys, spread = [], [], f"{title_of(metric)}, sd over seeds"
    for arm, of_arm in _without_repeated(summary, metric).groupby("arm", sort=False):
        of_arm = of_arm.set_index("metric")
        row, key = {"arm": arm}, {}
        for score in sorted(METRICS, key=lambda name: name != metric):
            if score in of_arm.index and (METRICS[score].in_narrow_tables or score == metric):
                title, found = title_of(score), of_arm.loc[score, ["mean", "ci_low", "ci_high"]]
                row[title], key[title] = with_interval(*found), found["mean"]
        arm_runs = test[test["arm"] == arm]
        row["folds"] = of_arm["n"].max()
        row["seeds"] = of_arm["n_seeds"].max()
        row[spread] = _three_digits(of_arm["seed_sd"].get(metric))
        row["audio vocabulary"] = mean_of(arm_runs["n_audio_tokens"], 0)
        row["audio tokens per example"] = mean_of(arm_runs["mean_audio_tokens"], 1)
        row["examples cut"] = share(arm_runs["cut_share"].mean())
        rows.append(row)
        keys.append(key)
    costs = arm_costs(test)
    frame = pd.DataFrame(rows).join(readable(costs), on="arm")
    of_costs = costs.reindex(frame["arm"]).rename(columns=COSTS)
    sorted_by = pd.DataFrame(keys).to_dict("list")
    sorted_by |= {name: of_costs[name].tolist() for name in of_costs if name in frame}
    return frame, sorted_by | {
        name: pd.to_numeric(frame[name].str.rstrip("%"), errors="coerce").tolist()
        for name in ("audio vocabulary", "audio tokens per example", "examples cut", spread)
    }


def _without_repeated(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Without votes that score as the averaged seeds do, as those of two seeds mostly do, and
    without macro_f1_present where it is macro_f1."""
    means = summary.pivot(index="arm", columns="metric", values="mean")
    repeated = [
        vote
        for arm in means.index
        if (vote := ensemble(arm, "voted")) in means.index
        and np.allclose(means.loc[vote], means.loc[ensemble(arm, "averaged")], equal_nan=True)
    ]
    kept = summary[~summary["arm"].isin(repeated)]
    both = [means[name] for name in ("macro_f1", "macro_f1_present") if name in means]
    if len(both) == 2 and metric != "macro_f1_present" and np.allclose(*both, equal_nan=True):
        kept = kept[kept["metric"] != "macro_f1_present"]
    return kept


def _three_digits(number: float) -> str:
    return "" if pd.isna(number) else f"{number:.3f}"


def _remarks(evidence: Evidence) -> list[str]:
    """What else must be known of the scores."""
    remarks = []
    if identical := _identical_arms(evidence.summary):
        remarks.append(
            f"Every seed gave the same scores in: {', '.join(identical)}. Nothing random separates "
            "those runs."
        )
    remarks += chosen_on_inner_folds(evidence.summary)
    if evidence.transductive_arms:
        arms = ", ".join(evidence.transductive_arms)
        remarks.append(
            f"Transductive: in {arms} the language model was adapted to the unlabelled words and "
            "codes of validation or test rows too (adapt.splits, or a corpus that holds them)."
        )
    environments = {
        arm: [result.environment for result in of_arm] for arm, of_arm in evidence.by_arm.items()
    }
    remarks += [f"Runs of this table differ in {what}." for what in differences(environments)]
    return remarks


def _identical_arms(summary: pd.DataFrame) -> list[str]:
    """Arms whose seeds give the same probabilities."""
    of_probabilities = [card.name for card in METRICS.cards() if card.needs_probabilities]
    scores = summary[summary["metric"].isin(of_probabilities)]
    largest = scores.groupby("arm", sort=False)["seed_sd"].max()
    return largest.index[largest < 1e-12].tolist()


def _costs(evidence: Evidence) -> list[Any]:
    """Of arms whose own runs were measured; one that validation chose has those of its choices."""
    own = evidence.test[evidence.test["chosen"] == ""]
    measured = arm_costs(own).dropna(subset="train_seconds")
    costs = measured[measured.index.isin(evidence.shown)]
    if costs.empty:
        return []
    seconds = costs["train_seconds"] + costs["adapt_seconds"].fillna(0)
    scores = evidence.summary[evidence.summary["metric"] == evidence.metric].set_index("arm")
    scores = scores.loc[costs.index, ["mean", "ci_low", "ci_high"]]
    front = pareto_front(seconds, scores["mean"], METRICS[evidence.metric].larger_is_better)
    caption = (
        "The line joins the arms that no other one beats for less time"
        f"{'; bars: 95 % intervals' if evidence.intervals else ''}. Time is on a logarithmic scale."
    )
    data = costs.join(scores).assign(on_front=np.isin(costs.index, front)).reset_index()
    figure = Figure.of(
        "quality-against-cost",
        f"Test {evidence.metric_title} over the time that arms take to train",
        data,
        cost_figure,
        evidence.metric,
        evidence.summary,
        costs,
        caption=caption,
    )
    words = f"Best for their time, as no other arm scores as well in less: {', '.join(front)}."
    return [*([Text(words)] if len(costs) > 1 else []), figure, Text(ABOUT_COSTS, "note")]
