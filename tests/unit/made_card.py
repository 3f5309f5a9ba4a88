"""The model card of a made run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechlasso.data.settings import Folds, Table
from speechlasso.evaluation.scores import evaluate, predictions_frame
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel
from speechlasso.pipeline.stages import (
    AdaptLM,
    Codes,
    FinetuneLM,
    FoldDivision,
    Manifest,
    TokenTexts,
)
from speechlasso.tokenizers.settings import SpectralRVQMethod
from speechlasso.trained_model.card import render_model_card

SELECTION = {
    "method": "lasso",
    "alpha": 8.0,
    "n_features": 256,
    "tokens": [{"layer": 0, "code": code} for code in range(39)],
}
LOG = pd.DataFrame({"epoch": [1, 2, 3], "best": [False, True, False]})
HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


def spec(stage, **upstream):
    return {
        "stage": stage.name,
        "settings": stage.model_dump(mode="json"),
        "upstream": upstream,
    }


def specs_of_texts(inputs, table=None, folds=None, fold="3"):
    stages = [Manifest(table=table or Table()), FoldDivision(folds=folds or Folds())]
    stages.append(TokenTexts(inputs=list(inputs), fold=fold))
    if "audio" in inputs:
        stages.append(Codes(tokenizer=SpectralRVQMethod(method="spectral_rvq")))
    return [spec(stage) for stage in stages]


def metrics_of(classes, positive_label=None):
    rng = np.random.default_rng(0)
    n = 60
    rows = pd.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "split": rng.choice(["train", "validation", "test"], n),
            "label": rng.choice(classes, n),
        }
    )
    cut = np.arange(n) < 30
    frame = predictions_frame(rows, rng.dirichlet(np.ones(len(classes)), n), classes, cut=cut)
    return evaluate(frame, positive_label)


def card(
    *,
    classes=("calm", "loud", "odd"),
    inputs=("text", "audio"),
    lm=HUB_NAME,
    positive_label=None,
    config=None,
    adapt=None,
    corpus=None,
    overlap=None,
    faithfulness=None,
    **data,
):
    lm = LanguageModel(name=lm)
    finetune = FinetuneLM(
        arm={"system": "token_lm"},
        lm=lm,
        finetune=Finetune(),
        seed=7,
        criterion={"positive_label": positive_label},
    )
    reads_audio = "audio" in inputs
    read = {"token_texts": "texts-1"} | ({"corpus": corpus} if corpus else {})
    adapt = spec(AdaptLM(lm=lm, adapt=adapt or Adapt(), seed=7), **read)
    metrics = metrics_of(list(classes), positive_label)
    return metrics, render_model_card(
        "full-0123456789",
        specs_of_texts(inputs, **data),
        spec(finetune, token_texts="texts-1"),
        adapt if reads_audio else None,
        metrics=metrics,
        training_log=LOG,
        config=config or {},
        selection=SELECTION if reads_audio else None,
        page="results/describe_selection/lasso-1/page.html" if reads_audio else None,
        overlap=overlap,
        faithfulness=faithfulness,
    )
