"""A tiny trained model in a folder, as the workflow's rule finetune leaves it, and its clips.

The clips hum; those of the class "loud" hold a burst of noise besides, which the words do not tell.
Of the audio tokens that occur in bursts alone only one is kept: the decision hangs on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tiny_models import WORDS, save_bert

from speechlasso.data.settings import Table
from speechlasso.evaluation.settings import Criterion
from speechlasso.files import write_json
from speechlasso.language_model.finetuning import finetune
from speechlasso.language_model.settings import Finetune, LanguageModel
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.language_model.token_text import token_texts
from speechlasso.pipeline.stages import Codes, Manifest, Stage
from speechlasso.selection.token_selection import Token, TokenSelection
from speechlasso.tokenizers.codes import CodeTable
from speechlasso.tokenizers.settings import SpectralRVQMethod
from speechlasso.tokenizers.tokenization import encode_utterances, fit_tokenizer
from speechlasso.trained_model.recipe import write_recipe

RATE = 16_000
BURST_SECONDS = 0.3
SPECTRAL = SpectralRVQMethod(method="spectral_rvq", n_layers=1, codebook_size=8)


@dataclass(frozen=True)
class TinyTrainedModel:
    """A model folder and what it was trained on."""

    folder: Path
    manifest: pd.DataFrame
    """id, text, label, split, audio, and burst (second at which it starts, NaN without)."""
    examples: pd.DataFrame
    """The token texts that the pipeline made."""
    codes: CodeTable | None
    selection: TokenSelection | None


def humming(rng: np.random.Generator, burst: float | None) -> np.ndarray:
    """About one second of hum, with noise from second `burst` on."""
    time = np.arange(int(rng.uniform(1.0, 1.3) * RATE)) / RATE
    samples = 0.2 * np.sin(2 * np.pi * rng.uniform(110, 130) * time)
    samples += 0.001 * rng.standard_normal(len(time))
    if burst is not None:
        inside = (time >= burst) & (time < burst + BURST_SECONDS)
        samples[inside] = 0.2 * rng.standard_normal(inside.sum())
    return samples.astype(np.float32)


def make_manifest(folder: Path, n_train: int = 60, n_other: int = 16) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = []
    splits = ["train"] * n_train + ["validation"] * n_other + ["test"] * n_other
    for number, split in enumerate(splits):
        burst = round(rng.uniform(0.1, 0.6), 2) if number % 2 else None
        path = folder / f"u{number}.wav"
        soundfile.write(path, humming(rng, burst), RATE, subtype="FLOAT")
        rows.append(
            {
                "id": f"u{number}",
                "text": " ".join(rng.choice(WORDS, size=rng.integers(3, 7))),
                "label": "loud" if number % 2 else "calm",
                "split": split,
                "audio": [str(path)],
                "burst": burst,
            }
        )
    return pd.DataFrame(rows)


def make_trained_model(folder: Path, inputs: tuple[str, ...], epochs: int = 12) -> TinyTrainedModel:
    """Everything from clips to model folder, by the functions that the rules call."""
    (folder / "clips").mkdir(parents=True)
    manifest = make_manifest(folder / "clips")
    model_folder = folder / "model"
    codes, selection, files = None, None, (None, None)
    specs = [_spec(Manifest(table=Table(path="table.csv")))]
    if "audio" in inputs:
        tokenizer = fit_tokenizer(SPECTRAL, manifest[manifest["split"] == "train"])
        tokenizer.save(folder / "tokenizer.safetensors")
        codes = encode_utterances(tokenizer, manifest)
        selection = _selection(codes, manifest)
        write_json(folder / "selection.json", selection.to_json())
        files = (folder / "selection.json", folder / "tokenizer.safetensors")
        specs.append(_spec(Codes(tokenizer=SPECTRAL)))
    examples = token_texts(manifest, inputs, codes, selection)
    finetune(
        examples,
        model_folder,
        lm=LanguageModel(name=save_bert(folder / "bert"), max_length=128, precision="fp32"),
        settings=Finetune(
            epochs=epochs,
            batch_size=16,
            learning_rate=3e-3,
            warmup_share=0.05,
            patience=epochs,
        ),
        criterion=Criterion(),
        new_tokens=NewTokens(len(selection.tokens)) if selection else None,
        seed=1,
    )
    write_recipe(model_folder, specs, list(inputs), *files)
    return TinyTrainedModel(model_folder, manifest, examples, codes, selection)


def _selection(codes: CodeTable, manifest: pd.DataFrame) -> TokenSelection:
    """The codes of the hum, and of those that occur in bursts alone the most frequent."""
    calm, loud = (
        np.bincount(
            np.concatenate([codes.codes[row_id][0] for row_id in rows["id"]]),
            minlength=codes.codebooks.codebook_size,
        )
        for _, rows in manifest.groupby("label")
    )
    burst = np.where(calm == 0, loud, 0).argmax()
    tokens = [Token(0, int(code), int(code)) for code in np.flatnonzero(calm)]
    tokens = sorted([*tokens, Token(0, int(burst), int(burst))], key=lambda token: token.index)
    return TokenSelection("by_hand", tokens, len(calm), {}, {})


def burst_rank(trained: TinyTrainedModel) -> int:
    """Rank of the audio token that the decision hangs on."""
    ranks = [set(ranks) for ranks in trained.examples["audio_tokens"]]
    calm = trained.examples["label"] == "calm"
    (rank,) = set(range(len(trained.selection.tokens))) - set.union(
        *(held for held, is_calm in zip(ranks, calm, strict=True) if is_calm)
    )
    return rank


def _spec(stage: Stage) -> dict[str, object]:
    return {"stage": stage.name, "settings": stage.model_dump(mode="json")}
