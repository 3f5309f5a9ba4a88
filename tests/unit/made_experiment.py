"""Finished experiments of drawn predictions, as far as `compare` reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.files import write_json, write_parquet

CLASSES = ["joy", "anger", "fear"]


def write_experiment(project, folds, seeds, group=None, name="mine", draw=3):
    """Runs of an arm with drawn probabilities; returns runs.csv and the probabilities by fold.

    Labels are drawn from the folds alone, so experiments of other `draw` have the same rows.
    """
    rng, of_labels = np.random.default_rng(draw), np.random.default_rng(0)
    runs, index, drawn = [], [], {}
    ids = [f"u{i}" for i in range(90)]
    manifest = pd.DataFrame({"id": ids[::-1]})
    if group:
        manifest["group"] = [group(int(name[1:])) for name in manifest["id"]]
    write_parquet(project / f"results/manifest/{name}/manifest.parquet", manifest)
    for fold in folds:
        rows = pd.DataFrame({"id": ids})
        rows["split"] = np.repeat(["train", "validation", "test"], 30)
        rows["label"] = of_labels.choice(CLASSES, 90)
        for seed in seeds:
            probabilities = rng.dirichlet(np.ones(3), 90)
            drawn.setdefault(fold, (rows, []))[1].append(probabilities)
            # No file promises an order of rows.
            frame = predictions_frame(rows, probabilities, CLASSES).sample(
                frac=1, random_state=seed
            )
            predict, scored = (
                f"results/{stage}/{name}-{fold}-{seed}" for stage in ("predict", "evaluate")
            )
            write_parquet(project / predict / "predictions.parquet", frame)
            write_json(project / scored / "spec.json", {"settings": {"positive_label": "joy"}})
            run = {"arm": "lasso", "fold": fold, "seed": seed}
            write_json(project / predict / "training.json", {})
            folders = {"predictions": predict, "training": predict, "evaluation": scored}
            index.append({**run, "manifest": f"results/manifest/{name}", **folders})
            for split, scores in evaluate(frame, "joy")["splits"].items():
                runs.append({**run, "split": split, **scores})
    table = project / f"results/experiments/{name}/runs.csv"
    table.parent.mkdir(parents=True)
    pd.DataFrame(runs).to_csv(table, index=False)
    pd.DataFrame(index).to_csv(table.with_name("index.tsv"), sep="\t", index=False)
    return table, drawn
