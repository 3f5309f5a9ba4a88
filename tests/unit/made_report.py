"""Evidence for a report that has every section."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import soundfile
from made_results import results

from speechlasso.evaluation.summary import runs_table, summary_table
from speechlasso.report.evidence import DescribedSelection, Evidence

CLASSES = ("calm", "tense")
ARMS = ("text_only", "bow[alpha=2]", "bow[alpha=8]", "bow[alpha=32]", "lasso")


def mp3(seconds=0.5, pitch=220):
    time = np.arange(int(16_000 * seconds)) / 16_000
    stream = io.BytesIO()
    soundfile.write(stream, 0.3 * np.sin(2 * np.pi * pitch * time), 16_000, format="MP3")
    return stream.getvalue()


SOUND = mp3()


def made_runs():
    """Runs of three folds with scores, sizes and costs of their own, and their results."""
    made = results(ARMS, CLASSES, ("01", "02", "03"))
    runs = runs_table(made)
    place = runs["arm"].map(ARMS.index)
    noise = np.random.default_rng(1).normal(0, 0.03, len(runs))
    for score in ("macro_f1", "uar", "accuracy"):
        runs[score] = 0.55 + 0.04 * place + noise
    runs["n_audio_tokens"] = place.map(dict(enumerate((0, 120, 40, 12, 40))))
    runs["mean_text_tokens"] = 11.25
    runs["mean_audio_tokens"] = runs["n_audio_tokens"] / 3
    runs["train_seconds"] = place.map(dict(enumerate((30.0, 2.0, 1.5, 1.0, 90.0))))
    return made, runs


def made_selection(n=25, names=CLASSES):
    tokens = pd.DataFrame({"rank": range(n), "layer": np.arange(n) % 8, "code": np.arange(n) * 7})
    weights = np.random.default_rng(2).normal(size=(n, len(names)))
    tokens["weight"] = np.abs(weights).sum(axis=1)
    tokens[[f"weight_{name}" for name in names]] = weights
    shares = np.random.default_rng(3).uniform(size=(n, len(names)))
    tokens[[f"df_{name}" for name in names]] = shares
    places = [(rank, place) for rank in range(n) for place in (1, 2)]
    listening = pd.DataFrame(places, columns=["rank", "place"])
    listening = listening.assign(id="u7", start=0.25, end=0.75, sound=[SOUND] * len(listening))
    sizes = np.arange(20)
    path = pd.DataFrame({"alpha": np.geomspace(50, 1, 20), "n_audio": sizes**2, "n_text": sizes})
    path = path.assign(holdout_macro_f1=0.7 - ((sizes - 12) / 40) ** 2)
    return DescribedSelection("lasso", "01", tokens, listening, path, 7.5, "d/page.html")


def made_verdicts():
    row = {"reference": "text_only", "metric": "macro_f1", "n": 3, "n_seeds": 1}
    row |= {"interval": "corrected t over 3 folds", "margin": 0.01}
    verdicts = pd.DataFrame([row | {"arm": arm} for arm in ARMS[1:]])
    verdicts["difference"] = [0.041, 0.083, 0.118, 0.162]
    verdicts["ci_low"], verdicts["ci_high"] = verdicts["difference"] - 0.1, 0.25
    verdicts = verdicts.assign(effect_size=[0.41, 0.83, 1.2, 1.6], p_value=0.0104, p_holm=0.0416)
    verdicts = verdicts.assign(p_worse=0.02, p_equal=0.11, p_better=0.87)
    verdicts = verdicts.assign(mcnemar_arm_alone=14, mcnemar_reference_alone=3, mcnemar_p=0.0127)
    verdicts["verdict"] = ["undecided", "undecided", "undecided", "better"]
    verdicts["sentence"] = [
        f"{arm} scores {difference:.3f} more macro_f1 than text_only: {verdict}."
        for arm, difference, verdict in verdicts[["arm", "difference", "verdict"]].to_numpy()
    ]
    return verdicts


def made_errors():
    text = "Well, I never said that she stole my money, and you know that better than I do"
    errors = pd.DataFrame({"kind": ["mended"] * 3 + ["broken"] * 2, "id": list("abcde")})
    errors = errors.assign(arm="lasso", reference="text_only", group="speaker 3", text=text)
    errors = errors.assign(label="tense", predicted="tense", probability=0.8123)
    errors = errors.assign(reference_predicted="calm", reference_probability=0.31)
    return errors.assign(clip="clips/a.wav", rank=range(5))


def made_errors_by_group():
    groups = made_groups().query("arm == 'lasso'").drop(columns="macro_f1")
    return groups.assign(reference="text_only", mended=[0.25, 0.3, 0.125], broken=[0.0, 0.05, 0.25])


def made_about():
    columns = {"what it is": "A model.", "reads": "words", "audio tokens": "", "models": "e"}
    tokens = dict.fromkeys(ARMS[1:], "codec: Sound in codes. Its layers are steps.")
    arms = [{"arm": arm, **columns} for arm in ARMS]
    return {"data": "The utterances of x.csv.", "arms": arms, "tokens": tokens}


def made_effect():
    shares = {"flipped": 0.18, "to_right": 0.11, "to_wrong": 0.05, "other": 0.02}
    return pd.DataFrame([{"arm": "lasso", "fold": f, "seed": 1, "n": 48, **shares} for f in "12"])


def made_groups():
    return pd.DataFrame(
        {"arm": arm, "column": "group", "value": value, "n": n, "macro_f1": 0.4 + n / 100}
        for arm in ("text_only", "lasso")
        for value, n in (("speaker 1", 16), ("speaker 2", 20), ("speaker 3", 12))
    )


def made_logs():
    def log(shift):
        epochs = np.arange(1, 7)
        columns = {"epoch": epochs, "train_loss": 1.1 / epochs + shift}
        return pd.DataFrame(columns | {"macro_f1": 0.8 - 0.4 / epochs - shift})

    return {arm: [log(0.0), log(0.05)] for arm in ("text_only", "lasso")}


def made_arms():
    """Settings of those that ran, and of another one."""
    names = dict.fromkeys(arm.partition("[")[0] for arm in ARMS)
    return {name: {"system": "token_lm"} for name in [*names, "unused"]}


def made_provenance():
    took = {"jobs": 2, "measured": 1, "seconds": 39.8}
    return {
        "written": "2024-05-01T12:00:00+00:00",
        "versions": {"speechlasso": "0.1.0", "numpy": "2.4.6"},
        "workflow": {"commit": "d49e953", "changed": True, "told": None},
        "machine": {"system": "Linux", "processor": "Xeon", "cores": 2, "memory_mb": 24105},
        "computed_with": {"device": {"Xeon": ["text_only", "lasso"]}},
        "design": {"arms": list(ARMS)},
        "configuration": {"seeds": [1], "dataset": {"source": "demo"}, "arms": made_arms()},
        "files": [{"name": "table", "path": "corpus.csv", "sha256": "2c0e"}],
        "models": [{"role": "lm", "name": "a/b", "revision": "main", "sha256": None}],
        "clips": {"results/manifest/demo": {"n": 360, "missing": 0, "sha256": "a769a"}},
        "costs": {"stages": [{"stage": "manifest", **took}], "arms": [{"arm": "lasso", **took}]},
    }


def full_evidence(**changed):
    made, runs = made_runs()
    bias = pd.DataFrame({"arm": ["lasso"], "instructions": ["seen"], "pairs": [12]})
    whole = {
        "experiment": "mine",
        "runs": runs,
        "summary": summary_table(runs),
        "results": made,
        "anchor_bias": bias.assign(before="0.75", after="0.08"),
        "verdicts": made_verdicts(),
        "audio_effect": made_effect(),
        "errors": made_errors(),
        "errors_by_group": made_errors_by_group(),
        "groups": made_groups(),
        "clips": dict.fromkeys("abcde", SOUND),
        "selections": [made_selection()],
        "training_logs": made_logs(),
        "provenance": made_provenance(),
        "codec_layers": dict.fromkeys(ARMS[1:], "all") | {"lasso": "1, 2, 3"},
        "about": made_about(),
    }
    return Evidence(**whole | changed)
