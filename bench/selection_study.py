"""Ways to choose audio tokens at equal numbers of tokens, judged by cheap classifiers.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow_scripts python bench/selection_study.py \
        --emodb /your/emodb/manifest.csv

asks why tokens drawn at random do as well as the lasso's, and what chooses better. Each unit is a
fold of a corpus: demo corpora of several seeds, in folds without a speaker in two parts, and EmoDB
with one speaker left out. Tokenizer, words and selection see the unit's training speakers only.
Every method keeps as many tokens as the published lasso keeps there (asked for 20, 40, 80; its
threshold ends some paths before 80), and is scored with the words of the texts by

- linear: the project's logistic regression, its C chosen on the validation rows;
- network: one small hidden layer on the logarithms of the counts, unscaled, as closer to a language
  model, to which a token that is rarely met stays strange.

The methods are in selection_methods.py; here stand their scores and tables.

Judge by the validation columns; the test columns are there to confirm, not to choose. It prints
Markdown tables, and as the last line one JSON object. Its intervals are plain 95 % t-intervals over
units; folds of one corpus share training rows, so docs/results.md has them wider, by
sqrt(1 + n_units * n_scored / n_train / n_corpora)
(`speechlasso.evaluation.statistics.fold_margin`).
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import stats
from selection_methods import METRICS, Unit, selectors
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

from speechlasso.data.demo_corpus import make_demo_corpus
from speechlasso.data.folds import divide_folds, fold_examples
from speechlasso.data.manifest import read_manifest
from speechlasso.data.settings import Columns, Folds, Table
from speechlasso.evaluation.scores import classification_scores, evaluate
from speechlasso.evaluation.settings import Criterion
from speechlasso.selection.bag_of_words import build_bag_of_words
from speechlasso.selection.select import Token, TokenSelection
from speechlasso.systems.bow_linear import BowLinear
from speechlasso.systems.bow_linear_model import Counts, fit_linear
from speechlasso.tokenizers.settings import SpectralRVQMethod
from speechlasso.tokenizers.tokenization import encode_utterances, fit_tokenizer

LINEAR = BowLinear(system="bow_linear", C=[0.001, 0.01, 0.1])


def linear_scores(unit: Unit, selection: TokenSelection | None) -> dict[str, float]:
    inputs = ["text"] if selection is None else ["text", "audio"]
    counts = Counts.of(unit.bow, selection, inputs)
    fitted, _ = fit_linear(counts, LINEAR, Criterion(metric=unit.metric))
    splits = evaluate(fitted.predict_counts(counts), None)["splits"]
    return {f"linear_{split}": splits[split][unit.metric] for split in ("validation", "test")}


def network_scores(unit: Unit, kept: np.ndarray, seeds: tuple[int, ...]) -> dict[str, float]:
    """Means over seeds of the network's scores."""
    features = sp.hstack([unit.bow.audio[:, kept], unit.bow.text], format="csr")
    features = features.astype(np.float64).log1p()
    labels = unit.bow.rows["label"].to_numpy()
    scores: dict[str, list[float]] = {"network_validation": [], "network_test": []}
    for seed in seeds:
        network = MLPClassifier(
            32, alpha=0.01, learning_rate_init=5e-3, batch_size=64, max_iter=40, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(features[unit.train], labels[unit.train])
        for split in ("validation", "test"):
            rows = unit.bow.rows_in(split)
            truth = np.searchsorted(network.classes_, labels[rows])
            probabilities = network.predict_proba(features[rows])
            values = classification_scores(truth, probabilities, network.classes_)
            scores[f"network_{split}"].append(values[unit.metric])
    return {name: float(np.mean(values)) for name, values in scores.items()}


def diagnostics(unit: Unit, kept: np.ndarray, lasso: np.ndarray) -> dict[str, float]:
    """What the kept tokens are like on the training rows."""
    counts = unit.counts[:, kept].toarray()
    per_row = counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.abs(np.corrcoef(counts, rowvar=False))
    pairs = correlation[np.triu_indices(len(kept), 1)]
    return {
        "n_tokens": len(kept),
        "tokens_per_utterance": per_row.mean(),
        "share_below_3": (per_row < 3).mean(),
        "document_frequency": unit.document_frequency[kept].mean(),
        "speaker_frequency": unit.speaker_frequency[kept].mean(),
        "redundancy": np.nanmean(pairs),
        "overlap_with_lasso": len(np.intersect1d(kept, lasso)) / len(kept),
    } | {
        f"layer_{layer}": np.mean(kept // unit.bow.features.codebook_size == layer)
        for layer in range(unit.bow.features.n_layers)
    }


def study_unit(unit: Unit, options: argparse.Namespace) -> Iterator[dict]:
    own = {"corpus": unit.corpus, "unit": unit.name}
    everything = np.arange(len(unit.bow.features))
    references = {"text_only": everything[:0], "all_tokens": everything}
    for name, kept in references.items():
        selection = token_selection(unit, kept) if len(kept) else None
        row = own | {"method": name, "size": 0, "n_tokens": len(kept)}
        yield row | linear_scores(unit, selection) | network_scores(unit, kept, (0, 1))
    methods = selectors(unit, options.draws)
    for size in options.sizes:
        lasso = methods["lasso"](size)
        for name, select in methods.items():
            if options.methods and name.split()[0] not in {*options.methods, "lasso", "random"}:
                continue
            kept = lasso if name == "lasso" else select(len(lasso))
            row = own | {"method": name.split()[0], "draw": name, "size": size}
            row |= diagnostics(unit, kept, lasso)
            row |= linear_scores(unit, token_selection(unit, kept))
            if size in options.network_sizes:
                row |= network_scores(unit, kept, (0, 1))
            yield row


def token_selection(unit: Unit, kept: np.ndarray) -> TokenSelection:
    features = unit.bow.features
    tokens = [Token(*features.layer_and_code(index), int(index)) for index in kept]
    return TokenSelection("study", tokens, len(features), {}, {})


def demo_units(options: argparse.Namespace) -> Iterator[Unit]:
    folds = Folds(method="grouped", n_folds=options.folds, validation_share=0.25)
    for seed in options.corpus_seeds:
        with tempfile.TemporaryDirectory() as folder:
            manifest = make_demo_corpus(Path(folder), seed=seed)
            clips = [[str(Path(folder) / clip)] for clip in manifest["audio"]]
            manifest = manifest.assign(audio=clips, group=manifest["speaker"])
            manifest = manifest[["id", "text", "label", "audio", "group"]]
            yield from corpus_units("demo", f"{seed}", manifest, folds, options)


def emodb_units(options: argparse.Namespace) -> Iterator[Unit]:
    if options.emodb is not None:
        manifest = read_manifest(Table(path=options.emodb, columns=Columns(group="speaker")))
        folds = Folds(method="leave_one_group_out", validation_share=0.2)
        yield from corpus_units("emodb", "emodb", manifest, folds, options)


def corpus_units(
    corpus: str, name: str, manifest: pd.DataFrame, folds: Folds, options: argparse.Namespace
) -> Iterator[Unit]:
    settings = SpectralRVQMethod(method="spectral_rvq", codebook_size=options.codebook_size)
    divided = divide_folds(manifest, folds)
    for fold in divided["fold"].unique():
        examples = fold_examples(manifest, divided, fold)
        training = examples[examples["split"] == "train"]
        codes = encode_utterances(fit_tokenizer(settings, training), examples)
        bow = build_bag_of_words(examples, codes, None, True)
        yield Unit(corpus, f"{name} {fold}", bow, examples["group"].to_numpy())


def mean_and_half_width(values: pd.Series) -> tuple[float, float]:
    """Mean and half the width of its 95 % t-interval."""
    values = values.dropna()
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * values.sem())


def shown(values: pd.Series, sign: str = "") -> str:
    mean, half = mean_and_half_width(values)
    return f"{mean:{sign}.3f} ± {half:.3f}"


def score_table(rows: pd.DataFrame, classifier: str) -> str:
    """Scores by method, and their differences from the lasso and from the random draws in the
    same unit."""
    score = f"{classifier}_validation"
    by_unit = rows.groupby(["method", "unit"], sort=False)[[score, f"{classifier}_test"]].mean()
    table = [
        "| method | validation | minus lasso | minus random | test | test minus lasso |",
        "|---|---|---|---|---|---|",
    ]
    means = by_unit[score].groupby("method").mean().sort_values(ascending=False)
    for method in means.index:
        validation, test = (by_unit[column][method] for column in by_unit)
        less = {
            other: shown(validation - by_unit[score][other], "+") for other in ("lasso", "random")
        }
        test_less = shown(test - by_unit[f"{classifier}_test"]["lasso"], "+")
        table.append(
            f"| {method} | {shown(validation)} | {less['lasso']} | {less['random']} "
            f"| {shown(test)} | {test_less} |"
        )
    return "\n".join(table)


def diagnostics_table(rows: pd.DataFrame) -> str:
    layers = sorted(column for column in rows if column.startswith("layer_"))
    columns = [
        "n_tokens", "tokens_per_utterance", "share_below_3", "document_frequency",
        "speaker_frequency", "redundancy", "overlap_with_lasso", *layers,
    ]  # fmt: skip
    means = rows.groupby("method", sort=False)[columns].mean()
    table = [f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for method, values in means.iterrows():
        numbers = [f"{values[c]:.1f}" for c in columns[:2]]
        numbers += [f"{values[c]:.2f}" for c in columns[2:]]
        table.append(f"| {method} | {' | '.join(numbers)} |")
    return "\n".join(table)


def asked_sizes(rows: pd.DataFrame) -> list[int]:
    return sorted(rows["size"].unique().tolist())


def print_tables(results: pd.DataFrame) -> None:
    for corpus, rows in results.groupby("corpus", sort=False):
        print(f"\n## {corpus}: {METRICS[corpus]}, {rows['unit'].nunique()} units\n")
        for name in ("text_only", "all_tokens"):
            reference = rows[rows["method"] == name]
            scores = {c: shown(reference[c]) for c in rows if c.startswith(("linear", "network"))}
            print(f"{name}: " + ", ".join(f"{c} {value}" for c, value in scores.items()) + "\n")
        selected = rows[rows["size"] > 0]
        # Sizes of one unit are averaged first, so that units are what the interval counts.
        print(f"Linear classifier, mean over {', '.join(map(str, asked_sizes(selected)))} tokens\n")
        print(score_table(selected, "linear"))
        for size, of_size in selected.groupby("size"):
            print(f"\nLinear classifier, {size} tokens\n\n{score_table(of_size, 'linear')}")
        with_network = selected.dropna(subset="network_validation")
        for size, of_size in with_network.groupby("size"):
            print(f"\nNetwork, {size} tokens\n\n{score_table(of_size, 'network')}")
            print(f"\nKept tokens, {size} asked for\n\n{diagnostics_table(of_size)}")


def as_json(results: pd.DataFrame, seconds: float) -> str:
    """One object, by corpus, size and method: scores as mean and half width, others as means."""
    numbers = results.select_dtypes("number").columns.drop("size").tolist()
    summary: dict = {"seconds": round(seconds, 1)}
    for (corpus, size, method), rows in results.groupby(["corpus", "size", "method"], sort=False):
        by_unit = rows.groupby("unit")[numbers].mean()
        cell = {
            name: [round(number, 4) for number in mean_and_half_width(by_unit[name])]
            if name.startswith(("linear", "network"))
            else round(float(by_unit[name].mean()), 4)
            for name in numbers
            if by_unit[name].notna().any()
        }
        summary.setdefault(corpus, {}).setdefault(str(size), {})[method] = cell
    return json.dumps(summary)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--emodb", help="manifest.csv with id, audio, text, label, speaker")
    parser.add_argument("--corpus-seeds", type=int, nargs="*", default=[11, 12, 13])
    parser.add_argument("--folds", type=int, default=5, help="folds of each demo corpus")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 80])
    parser.add_argument("--network-sizes", type=int, nargs="*", default=[40])
    parser.add_argument("--draws", type=int, default=5, help="random selections of each size")
    parser.add_argument("--methods", nargs="*", help="these alone, beside lasso and random")
    parser.add_argument("--codebook-size", type=int, default=64)
    parser.add_argument("--rows", help="CSV to write with one row per selection")
    return parser.parse_args()


def main() -> None:
    options, begun = parsed(), time.perf_counter()
    logging.basicConfig(level=logging.ERROR)
    n_units = len(options.corpus_seeds) * options.folds
    rows = []
    with tqdm(total=None if options.emodb else n_units, desc="study", unit="fold") as progress:
        for units in (demo_units(options), emodb_units(options)):
            for unit in units:
                rows += study_unit(unit, options)
                progress.update()
    results = pd.DataFrame(rows)
    if options.rows:
        results.to_csv(options.rows, index=False)
    seconds = time.perf_counter() - begun
    print_tables(results)
    print(f"\n{seconds:.0f} s\n")
    print(as_json(results, seconds))


if __name__ == "__main__":
    main()
