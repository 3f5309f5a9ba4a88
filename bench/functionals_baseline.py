"""The classic baseline of speech emotion recognition, for comparison with token counts.

    PYTHONPATH=workflow_scripts python bench/functionals_baseline.py --emodb emodb/manifest.csv

Each clip becomes statistics over time ("functionals") of cepstra, their deltas, pitch and energy,
as in the feature sets of the INTERSPEECH challenges (Schuller et al. 2009); a linear SVM on them is
scored on one speaker left out at a time. C is chosen by leaving out one training speaker at a time.
It prints the UAR of each fold, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
from scipy import stats
from scipy.ndimage import correlate1d
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tqdm import tqdm

from speechlasso.audio.reading import read_utterance
from speechlasso.data.manifest import read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.evaluation.statistics import fold_margin
from speechlasso.features.spectral_frames import (
    SAMPLE_RATE,
    VOICED_ENERGY_RANGE,
    VOICING_THRESHOLD,
    cepstra_and_energy,
    pitch_candidates,
    pitch_contour,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def functionals(waveform: np.ndarray) -> np.ndarray:
    """Statistics over time of one clip's frames, float32 (n_functionals,)."""
    cepstra, energy = cepstra_and_energy(waveform - waveform.mean())
    frequency, periodicity = pitch_candidates(waveform)
    speech = energy > energy.max() - VOICED_ENERGY_RANGE
    voiced = speech & (periodicity > VOICING_THRESHOLD)
    pitch, _ = pitch_contour(frequency, voiced)
    contours = np.column_stack([cepstra, energy, periodicity])
    deltas = correlate1d(contours, [-0.2, -0.1, 0, 0.1, 0.2], axis=0, mode="nearest")
    of_voice = pitch[voiced] if voiced.any() else pitch
    parts = [
        _statistics(contours[speech]),
        _statistics(deltas[speech]),
        _statistics(of_voice[:, None]),
    ]
    return np.concatenate([*parts, [voiced.mean(), speech.mean()]])


def _statistics(contours: np.ndarray) -> np.ndarray:
    spread = [contours.mean(axis=0), contours.std(axis=0), stats.skew(contours, axis=0)]
    found = np.concatenate([*spread, *np.quantile(contours, QUANTILES, axis=0)])
    return np.nan_to_num(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--emodb", required=True, metavar="MANIFEST", help="manifest.csv of EmoDB")
    path = parser.parse_args().emodb
    manifest = read_manifest(Table(path=path, columns=Columns(group="speaker")))
    clips = tqdm(manifest["audio"], "functionals", unit="clip")
    features = np.stack([functionals(read_utterance(clip, SAMPLE_RATE)) for clip in clips])
    labels, speakers = manifest["label"].to_numpy(), manifest["group"].to_numpy()
    scores = {}
    for train, test in LeaveOneGroupOut().split(features, labels, speakers):
        model = GridSearchCV(
            make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced", random_state=0)),
            {"linearsvc__C": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]},
            scoring="recall_macro",
            cv=LeaveOneGroupOut(),
        ).fit(features[train], labels[train], groups=speakers[train])
        predicted = model.predict(features[test])
        scores[speakers[test[0]]] = recall_score(labels[test], predicted, average="macro")
    table = pd.Series(scores, name="UAR")
    print(table.round(3).to_string())
    # Each fold trains on the rows that it does not test.
    margin = fold_margin(table.to_numpy(), 1 / (len(table) - 1))
    low, high = table.mean() - margin, table.mean() + margin
    result = {"uar": table.mean(), "sd": table.std(), "ci_low": low, "ci_high": high}
    result = {name: round(float(value), 4) for name, value in result.items()}
    print(json.dumps(result | {"n_folds": len(table), "n_functionals": features.shape[1]}))


if __name__ == "__main__":
    main()
