"""Which tokens of hidden states to make and to keep: UAR over their number and over what is read.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow_scripts python bench/token_study.py \
        --emodb /your/emodb/manifest.csv --figure token_study.svg

Each unit is a fold of a corpus, as in selection_study.py: EmoDB with one speaker left out, and demo
corpora in folds without a speaker in two parts. Whisper's frames are made once for a corpus;
tokenizer, words and selection see the unit's training speakers only. Of each tokenizer's codes the
lasso, the frequency lasso and chance keep 20 to 300; words and kept tokens go to logistic
regression, whose C validation speakers choose. Where repeats are merged, a code that goes on over
several frames or segments counts once. The ceiling is a linear classifier of the same
frames without any tokens, their mean and spread over the clip, and of the words.

Judge by validation; the test columns are there to confirm. It prints a Markdown table for each
corpus, and draws scores over the number of tokens and over the length of the sequences that a
language model would read.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from matplotlib import colormaps
from matplotlib.figure import Figure
from selection_methods import METRICS, Unit, WeightedLasso
from selection_study import linear_scores, token_selection
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from speechlasso.data.demo_corpus import make_demo_corpus
from speechlasso.data.folds import divide_folds, fold_examples
from speechlasso.data.manifest import read_manifest
from speechlasso.data.settings import Columns, Folds, Table
from speechlasso.evaluation.scores import classification_scores
from speechlasso.features.encode_audio import encode_audio
from speechlasso.features.frame_files import FrameKind
from speechlasso.features.settings import Encoder
from speechlasso.selection.bag_of_words import AudioFeatures, build_bag_of_words, weighting
from speechlasso.selection.controls import top_k
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.hidden_state_codes import fit_frames
from speechlasso.tokenizers.settings import HiddenStateCodesMethod

LAYERS = [1, 2, 3]
FRAME = {"pooling": "frame", "n_groups": 16, "codebook_size": 64}
SEGMENT = {"pooling": "segment", "segment_seconds": 0.5}
TOKENIZERS = {
    "frames, 16 groups of 64 codes": FRAME,
    "segments of 0.25 s": SEGMENT | {"segment_seconds": 0.25},
    "segments of 0.5 s": SEGMENT,
    "segments of 0.5 s, layer 1": SEGMENT | {"layers": [1]},
    "segments of 0.5 s, layer 3": SEGMENT | {"layers": [3]},
    "segments of 0.5 s, 16 groups of 64 codes": FRAME | SEGMENT,
    "segments of 1 s": SEGMENT | {"segment_seconds": 1.0},
    "utterance": {"pooling": "utterance"},
}
MERGED = ", repeats merged"
TOKENIZERS |= {
    f"{name}{MERGED}": TOKENIZERS[name]
    for name in ("frames, 16 groups of 64 codes", "segments of 0.25 s", "segments of 0.5 s")
}
CEILING = "mean and spread, no tokens"
CEILING_C = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01)


class Corpus:
    """Utterances with their frames, in folds."""

    def __init__(self, name: str, manifest: pd.DataFrame, folds: Folds) -> None:
        self.name, self.manifest = name, manifest
        self.folds = divide_folds(manifest, folds)
        self.frames, self.kind = encode_audio(Encoder(layers=LAYERS), manifest)

    def examples(self) -> Iterator[tuple[str, pd.DataFrame]]:
        for fold in self.folds["fold"].unique():
            yield fold, fold_examples(self.manifest, self.folds, fold)

    def unit(self, fold: str, examples: pd.DataFrame, name: str) -> Unit:
        """The fold's counts of the codes that the tokenizer of this name makes."""
        settings = HiddenStateCodesMethod(method="hidden_state_codes", **TOKENIZERS[name])
        columns = [LAYERS.index(layer) for layer in settings.layers]
        training = examples.loc[examples["split"] == "train", "id"]
        kind = FrameKind(settings.layers, self.kind.frame_rate, self.kind.encoder)
        tokenizer = fit_frames((self.frames[name][:, columns] for name in training), kind, settings)
        books = Codebooks(tokenizer.n_layers, tokenizer.codebook_size, tokenizer.frame_rate)
        codes = {
            clip: tokenizer.encode_frames(of_clip[:, columns])
            for clip, of_clip in self.frames.items()
        }
        bow = build_bag_of_words(examples, CodeTable(books, codes), None, True)
        if name.endswith(MERGED):
            started = [starts(codes[clip], bow.features) for clip in examples["id"]]
            bow = replace(bow, audio=sp.csr_array(np.stack(started)))
        return Unit(self.name, f"{self.name} {fold}", bow, examples["group"].to_numpy())

    def ceiling(self, examples: pd.DataFrame) -> dict[str, float]:
        """Scores of a linear classifier of pooled frames and words; validation chooses C."""
        frames = [self.frames[name][:, [1]].astype(np.float32) for name in examples["id"]]
        pooled = np.stack([np.r_[each.mean(axis=0)[0], each.std(axis=0)[0]] for each in frames])
        labels, split = examples["label"].to_numpy(), examples["split"].to_numpy()
        words = build_bag_of_words(examples, None, None, True).text
        train = split == "train"
        scaled = StandardScaler().fit(pooled[train]).transform(pooled)
        weighted = weighting().fit(words[train]).transform(words).toarray()
        features = np.hstack([scaled, weighted])
        scored = []
        for C in CEILING_C:
            model = LogisticRegression(C=C, class_weight="balanced", max_iter=5000)
            model.fit(features[train], labels[train])
            scores = {}
            for part in ("validation", "test"):
                truth = np.searchsorted(model.classes_, labels[split == part])
                probabilities = model.predict_proba(features[split == part])
                values = classification_scores(truth, probabilities, model.classes_)
                scores[f"linear_{part}"] = values[METRICS[self.name]]
            scored.append(scores)
        return max(scored, key=lambda scores: scores["linear_validation"])


def starts(codes: np.ndarray, features: AudioFeatures) -> np.ndarray:
    """How often each (layer, code) begins after another code of its layer, (len(features),)."""
    begins = np.ones(codes.shape, dtype=bool)
    begins[:, 1:] = codes[:, 1:] != codes[:, :-1]
    layers, _ = np.nonzero(begins)
    return np.bincount(
        layers * features.codebook_size + codes[begins], minlength=len(features)
    ).astype(np.int32)


def rows_of(corpus: Corpus, options: argparse.Namespace) -> Iterator[dict]:
    """One row for each fold, tokenizer, selection and number of tokens."""
    for fold, examples in tqdm(list(corpus.examples()), desc=corpus.name, unit="fold"):
        own = {"corpus": corpus.name, "fold": fold}
        yield own | {"tokenizer": CEILING, "selection": "", "asked": 0} | corpus.ceiling(examples)
        for name in options.tokenizers or TOKENIZERS:
            unit = corpus.unit(fold, examples, name)
            for selection, asked, kept in selections(unit, options.sizes):
                found = {"tokenizer": name, "selection": selection, "asked": asked}
                found["n_tokens"] = len(kept)
                length = unit.bow.audio[:, kept].sum(axis=1).mean()
                scores = linear_scores(unit, token_selection(unit, kept))
                yield own | found | {"sequence_length": length} | scores


def selections(unit: Unit, sizes: list[int]) -> Iterator[tuple[str, int, np.ndarray]]:
    """Name, number of tokens asked for, and those that are kept."""
    n_features = len(unit.bow.features)
    yield "all", n_features, np.arange(n_features)
    lassos = {"lasso": WeightedLasso(unit, 0.0), "frequency lasso": WeightedLasso(unit, 0.5)}
    for size in (size for size in sizes if size < n_features):
        for name, lasso in lassos.items():
            importance = lasso.importance(size)
            yield name, size, top_k(importance, min(size, np.count_nonzero(importance)))
        rng = np.random.default_rng([size, zlib.crc32(unit.name.encode())])
        yield "random", size, np.sort(rng.choice(n_features, size, replace=False))


def corpora(options: argparse.Namespace) -> Iterator[Corpus]:
    if options.emodb is not None:
        manifest = read_manifest(Table(path=options.emodb, columns=Columns(group="speaker")))
        folds = Folds(method="leave_one_group_out", validation_share=0.2)
        yield Corpus("emodb", manifest, folds)
    for seed in options.corpus_seeds:
        with tempfile.TemporaryDirectory() as folder:
            manifest = make_demo_corpus(Path(folder), seed=seed)
            clips = [[str(Path(folder) / clip)] for clip in manifest["audio"]]
            manifest = manifest.assign(audio=clips, group=manifest["speaker"])
            columns = ["id", "text", "label", "audio", "group"]
            yield Corpus("demo", manifest[columns], Folds(method="grouped", validation_share=0.25))


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Over folds, by corpus, tokenizer, selection and number of tokens asked for."""
    by = ["corpus", "tokenizer", "selection", "asked"]
    return rows.groupby(by, sort=False).mean(numeric_only=True).reset_index()


def print_table(table: pd.DataFrame) -> None:
    print("| tokenizer | selection | tokens | tokens a clip | validation | test |")
    print("|---|---|---|---|---|---|")
    for row in table.itertuples():
        size, length = (
            "" if pd.isna(n) else f"{n:.0f}" for n in (row.n_tokens, row.sequence_length)
        )
        print(
            f"| {row.tokenizer} | {row.selection} | {size} | {length} "
            f"| {row.linear_validation:.3f} | {row.linear_test:.3f} |"
        )


def draw(table: pd.DataFrame, path: str) -> None:
    """Validation scores over the number of tokens and over the length of the sequences."""
    names = list(dict.fromkeys(table["corpus"]))
    figure = Figure(figsize=(13, 4.2 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False)
    for name, (left, right) in zip(names, grid, strict=True):
        of_corpus = table[table["corpus"] == name]
        ceiling = of_corpus.loc[of_corpus["tokenizer"] == CEILING, "linear_validation"].mean()
        lines = of_corpus[of_corpus["selection"].isin(["lasso", "random", "all"])]
        for axes, column in ((left, "n_tokens"), (right, "sequence_length")):
            axes.axhline(ceiling, color="black", linewidth=0.8, label=CEILING)
            for number, (tokenizer, rows) in enumerate(lines.groupby("tokenizer", sort=False)):
                if tokenizer == CEILING:
                    continue
                kept = rows[rows["selection"] != "random"].sort_values(column)
                chance = rows[rows["selection"] != "lasso"].sort_values(column)
                color = colormaps["tab20"](number)
                axes.plot(
                    kept[column], kept["linear_validation"], "o-", color=color, label=tokenizer
                )
                axes.plot(chance[column], chance["linear_validation"], ":", color=color)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:.0f}")
            axes.set_ylabel(f"{name}: validation {METRICS[name]}")
        left.set_xlabel("kept tokens (solid: lasso, dotted: random; last: all)")
        right.set_xlabel("tokens in an utterance")
        right.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--emodb", help="manifest.csv with id, audio, text, label, speaker")
    parser.add_argument("--corpus-seeds", type=int, nargs="*", default=[11, 12])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 80, 150, 300])
    parser.add_argument("--tokenizers", nargs="*", choices=TOKENIZERS, help="these alone")
    parser.add_argument("--rows", help="CSV to write with one row per selection")
    parser.add_argument("--figure", help="where to draw, as .svg, .pdf or .png")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    logging.basicConfig(level=logging.ERROR)
    rows = pd.DataFrame([row for corpus in corpora(options) for row in rows_of(corpus, options)])
    if options.rows:
        rows.to_csv(options.rows, index=False)
    table = means(rows)
    for name, of_corpus in table.groupby("corpus", sort=False):
        of_ceiling = (rows["corpus"] == name) & (rows["tokenizer"] == CEILING)
        n_folds = of_ceiling.sum()  # one row each, of all corpora of this name
        print(f"\n## {name}: {METRICS[name]}, {n_folds} folds\n")
        print_table(of_corpus)
    if options.figure:
        draw(table, options.figure)


if __name__ == "__main__":
    main()
