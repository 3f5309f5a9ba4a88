"""Selections: what is kept, and that nothing but training rows decides it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split
from small_bow import FEATURES, LASSO, N, drawn, indices, lasso, make_bow

from speechlasso.errors import InputError
from speechlasso.evaluation.settings import Criterion
from speechlasso.lasso.fit import certify, fit_lasso, predict_probabilities
from speechlasso.selection.bag_of_words import BagOfWords, weighting
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import (
    TokenSelection,
    choose_alpha,
    keep_important,
    lasso_selection_probabilities,
    select_all,
    select_by_lasso,
    select_random,
    select_ranked,
)
from speechlasso.selection.settings import RankedSelection


def test_the_lasso_finds_the_tokens_that_tell_the_class():
    selection = lasso(make_bow())
    heaviest = sorted(selection.tokens, key=lambda token: -token.weight)[:2]
    assert {(token.layer, token.code) for token in heaviest} == {(1, 3), (2, 5)}
    evidence = selection.evidence
    assert evidence["C"] == 0.5
    assert evidence["duality_gap"] < 1e-3
    assert evidence["holdout_macro_f1"] > 0.8
    assert evidence["n_fit_rows"] == 80


def test_words_compete_but_are_never_selected():
    selection = lasso(make_bow())
    assert all(index < len(FEATURES) for index in indices(selection))
    assert selection.evidence["n_nonzero_text"] >= 1
    alone = lasso(make_bow(), inputs="audio")
    assert alone.evidence["n_nonzero_text"] == 0
    assert len(alone.tokens) > len(selection.tokens), "without words, audio must explain class z"


def test_labels_outside_the_training_rows_change_nothing():
    bow = make_bow()
    shuffled = bow.rows.copy()
    outside = shuffled["split"] != "train"
    shuffled.loc[outside, "label"] = shuffled.loc[outside, "label"].to_numpy()[::-1]
    other = BagOfWords(shuffled, bow.audio, bow.text, bow.features, bow.words)
    assert not shuffled["label"].equals(bow.rows["label"])
    first, second = (lasso(b) for b in (bow, other))
    assert first.to_json() == second.to_json()


def test_counts_outside_the_training_rows_change_nothing():
    bow = make_bow()
    audio = bow.audio.toarray()
    audio[100:] = 7
    other = BagOfWords(bow.rows, sp.csr_array(audio), bow.text, bow.features, bow.words)
    first, second = (lasso(b) for b in (bow, other))
    assert first.to_json() == second.to_json()


def test_an_alpha_that_keeps_nothing_says_from_where_on():
    with pytest.raises(InputError, match=r"alpha 1000 no audio token .* vanish from [\d.]+ on"):
        lasso(make_bow(), alpha=1000.0)


def test_a_class_too_rare_to_hold_out_is_an_input_error():
    bow = make_bow()
    bow.rows.loc[0, "label"] = "rare"
    with pytest.raises(InputError, match="100 training rows cannot be divided"):
        lasso(bow)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"threshold": "mean"}, [4]),  # the mean over the five features that occur is 2.8
        ({"threshold": "mean", "n_occurring": 7}, [1, 4]),  # that over seven is 2
        ({"threshold": "nonzero"}, [1, 2, 4]),
        ({"threshold": "nonzero", "top_k": 1}, [1, 2, 4]),
        ({"threshold": "top_k", "top_k": 1}, [4]),
        ({"threshold": "top_k", "top_k": 99}, [1, 2, 4]),
    ],
)
def test_thresholds(settings, expected):
    importance = np.array([0.0, 2.0, 1.0, 0.0, 5.0, 6.0, 0.0])
    settings = {"n_occurring": 5, **settings}
    kept = keep_important(importance, n_audio_features=5, **settings)
    assert kept.tolist() == expected


def test_the_rows_that_score_the_lasso_are_of_other_groups_than_those_that_fit_it():
    bow = make_bow()
    groups = np.array([f"s{i // 10}" for i in range(N)])
    grouped = BagOfWords(
        bow.rows.assign(group=groups), bow.audio, bow.text, bow.features, bow.words
    )
    rows = LassoRows.of(grouped, LASSO)
    assert len(rows.held_out) == 20
    assert not set(rows.groups[rows.fit]) & set(rows.groups[rows.held_out])


def test_the_path_begins_where_all_weights_vanish_and_is_certified():
    rows = LassoRows.of(make_bow(), LASSO)
    path = SelectionPath.fitted(rows)
    assert len(path.table) == 50
    assert path.table["n_audio"][0] == path.table["n_text"][0] == 0
    assert path.table["n_audio"].iloc[-1] > 5
    assert path.table["converged"].all()
    assert (path.table["duality_gap"] <= 1e-4).all()
    assert path.table["alpha"].iloc[0] / path.table["alpha"].iloc[-1] == pytest.approx(100)


def test_an_alpha_on_the_path_costs_only_the_choice_and_one_off_it_is_refined(monkeypatch):
    rows = LassoRows.of(make_bow(), LASSO)
    path = SelectionPath.fitted(rows)
    assert path.at(path.fits[7].alpha, rows) is path.fits[7]
    between = float(np.sqrt(path.fits[7].alpha * path.fits[8].alpha))
    refined = path.at(between, rows)
    gap = certify(
        rows.weighted[0], rows.labels[rows.fit], between, refined.coef, refined.intercept
    ).relative_gap
    assert gap <= 1e-4
    cold = rows.fit_to(rows.counts[rows.fit], rows.labels[rows.fit], between)
    assert refined.objective == pytest.approx(cold.objective, rel=2e-4)
    assert refined.iterations <= cold.iterations


def test_a_path_survives_the_disk(tmp_path):
    rows = LassoRows.of(make_bow(), LASSO)
    path = SelectionPath.fitted(rows)
    path.save(tmp_path)
    loaded = SelectionPath.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.table, path.table)
    for before, after in zip(path.fits, loaded.fits, strict=True):
        np.testing.assert_array_equal(before.coef, after.coef)
        np.testing.assert_array_equal(before.intercept, after.intercept)
        assert list(before.classes) == list(after.classes)
        assert (before.alpha, before.objective) == (after.alpha, after.objective)


@pytest.mark.parametrize("n_tokens", [2, 3])
def test_a_number_of_tokens_can_be_asked_for(n_tokens):
    selection = lasso(make_bow(), n_tokens=n_tokens)
    assert len(selection.tokens) == n_tokens
    assert selection.evidence["duality_gap"] <= 1e-4


def weak_signal():
    """Tokens 3, 7 and 15 tell one of two classes a little; eight speakers."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["x", "y"], 120)
    audio = rng.poisson(1.0, (120, 20))
    for token, label in ((3, "x"), (15, "y"), (7, "x")):
        audio[:, token] += rng.poisson(1.0, 120) * (labels == label)
    text = rng.poisson(0.5, (120, 6))
    rows = pd.DataFrame({"id": [f"u{i}" for i in range(120)], "label": labels, "split": "train"})
    rows["group"] = rng.integers(0, 8, 120).astype(str)
    words = [f"w{i}" for i in range(6)]
    return BagOfWords(rows, sp.csr_array(audio), sp.csr_array(text), FEATURES, words)


def alpha_of_a_plain_loop(bow, alphas, settings):
    """Cross-validated macro-F1 without any of the library's choosing."""
    counts, labels = sp.hstack([bow.audio, bow.text], format="csr"), bow.rows["label"].to_numpy()
    divider = StratifiedGroupKFold if "group" in bow.rows else StratifiedKFold
    folds = divider(settings.cv_folds, shuffle=True, random_state=settings.seed)
    rows = []
    for inside, outside in folds.split(labels, labels, bow.rows.get("group")):
        weights = weighting(settings.weighting, settings.scaling).fit(counts[inside])
        for alpha in alphas:
            fit = fit_lasso(weights.transform(counts[inside]), labels[inside], alpha)
            probabilities = predict_probabilities(fit, weights.transform(counts[outside]))
            predicted = fit.classes[probabilities.argmax(axis=1)]
            audio = fit.importance[:20]
            n_tokens = ((audio >= fit.importance.mean()) & (audio > 0)).sum()
            rows.append((alpha, f1_score(labels[outside], predicted, average="macro"), n_tokens))
    table = pd.DataFrame(rows, columns=["alpha", "f1", "n_tokens"]).groupby("alpha")
    mean, error = table["f1"].mean(), table["f1"].sem()
    mean = mean[table["n_tokens"].mean() >= 1]
    best = mean[mean == mean.max()].index.max()
    within = error[best] if settings.one_standard_error else 0
    return mean[mean >= mean[best] - within].index.max()


@pytest.mark.slow
def test_alpha_cv_reads_groups_folds_and_the_one_standard_error_rule():
    bow = weak_signal()
    ungrouped = replace(bow, rows=bow.rows.drop(columns="group"))
    path = SelectionPath.fitted(LassoRows.of(bow, LASSO))
    path = SelectionPath(path.fits[:36:5], path.table[:36:5])
    keep = partial(keep_important, n_audio_features=20, threshold="mean")
    chosen = {}
    for name, rows, changes in (
        ("plain", bow, {}),
        ("one standard error", bow, {"one_standard_error": True}),
        ("more folds", bow, {"cv_folds": 5}),
        ("no groups", ungrouped, {}),
        ("other weights", bow, {"weighting": "counts"}),
    ):
        settings = LASSO.model_copy(update={"alpha": "cv", "cv_folds": 3, **changes})
        lasso_rows = LassoRows.of(rows, settings)
        chosen[name] = choose_alpha(lasso_rows, path, settings, keep, Criterion())
        assert chosen[name] == alpha_of_a_plain_loop(rows, path.table["alpha"], settings), name
    plain = chosen.pop("plain")
    assert plain not in chosen.values(), "these data cannot show a setting that is not read"


@pytest.mark.parametrize("multi_class", ["multinomial", "one_vs_rest"])
@pytest.mark.parametrize("off_the_path", [False, True])
def test_a_selection_is_of_the_lasso_that_its_settings_name(multi_class, off_the_path):
    """Weights, rows, penalties and class names, against a fit of its own."""
    bow = make_bow()
    settings = LASSO.model_copy(update={"multi_class": multi_class, "seed": 5, "holdout": 0.3})
    rows = LassoRows.of(bow, settings)
    path = SelectionPath.fitted(rows)
    alpha = float(np.sqrt(path.fits[20].alpha * path.fits[21].alpha))
    alpha = alpha if off_the_path else path.fits[20].alpha
    settings = settings.model_copy(update={"alpha": alpha})
    selection = select_by_lasso(bow, path, settings, Criterion())

    fit_rows, _ = train_test_split(
        np.arange(100), test_size=0.3, random_state=5, stratify=bow.rows["label"][:100]
    )
    fit_rows = np.sort(fit_rows)
    counts = sp.hstack([bow.audio, bow.text], format="csr")[fit_rows]
    features = weighting().fit_transform(counts)
    labels = bow.rows["label"].to_numpy()[fit_rows]
    fit = fit_lasso(features, labels, alpha, multi_class=multi_class, tolerance=1e-7)
    importance = np.abs(fit.coef).sum(axis=0)
    kept = np.flatnonzero(importance[:20] >= importance.mean())
    assert indices(selection) == kept.tolist()
    np.testing.assert_allclose(
        [token.weight for token in selection.tokens], importance[kept], rtol=0.02, atol=0.01
    )
    assert list(selection.class_weights) == ["x", "y", "z"]
    for row, weights in zip(fit.coef, selection.class_weights.values(), strict=True):
        np.testing.assert_allclose(weights, row[kept], rtol=0.02, atol=0.01)
    evidence = selection.evidence
    assert (evidence["n_fit_rows"], evidence["alpha"], evidence["converged"]) == (70, alpha, True)
    assert evidence["alpha_max"] == pytest.approx(fit.alpha_max)
    assert evidence["objective"] == pytest.approx(fit.objective, rel=1e-3)
    assert abs(evidence["n_nonzero_audio"] - (importance[:20] > 0).sum()) <= 1
    assert abs(evidence["n_nonzero_text"] - (importance[20:] > 0).sum()) <= 1


def test_two_classes_share_a_weight_which_speaks_for_the_second():
    selection = lasso(weak_signal(), alpha=0.5)
    assert list(selection.class_weights) == ["y"]
    weight = dict(zip(indices(selection), selection.class_weights["y"], strict=True))
    assert weight[3] < 0 < weight[15]
    assert [token.weight for token in selection.tokens] == [abs(w) for w in weight.values()]


def test_an_alpha_that_keeps_no_token_is_not_chosen_however_well_it_scores():
    settings = LASSO.model_copy(update={"alpha": "cv", "cv_folds": 2})
    rows = LassoRows.of(make_bow(), settings)
    path = SelectionPath.fitted(rows)
    path = SelectionPath(path.fits[:36:5], path.table[:36:5])

    def chosen_if_more_weights_than(limit):
        def keep(importance, n_occurring):
            return np.arange(int(np.count_nonzero(importance) > limit))

        return choose_alpha(rows, path, settings, keep, Criterion())

    # Three weights are best, but only the smallest alpha has more in every fold.
    assert path.fits[-1].alpha == chosen_if_more_weights_than(3) < chosen_if_more_weights_than(0)


def test_the_largest_of_the_weights_can_be_asked_for():
    every = lasso(make_bow(), alpha=0.5, threshold="nonzero").tokens
    largest = lasso(make_bow(), alpha=0.5, threshold="top_k", top_k=3).tokens
    expected = sorted(every, key=lambda token: -token.weight)[:3]
    assert largest == sorted(expected, key=lambda token: token.index) and len(every) > 3


def test_a_size_that_no_alpha_has_is_told(caplog):
    """The mean over all features cannot be reached by all of them."""
    largest = len(lasso(make_bow(), n_tokens=20).tokens)
    assert 0 < largest < 20
    assert re.search(rf"no alpha keeps 20 tokens; [\d.]+ keeps {largest}$", caplog.text.strip())
    caplog.clear()
    assert len(lasso(make_bow(), n_tokens=2).tokens) == 2
    assert not caplog.records


@pytest.mark.slow
def test_half_samples_are_of_the_settings_alpha_number_and_seed():
    bow = make_bow()

    def probabilities(**changes):
        settings = LASSO.model_copy(update={"alpha": 1.0, "threshold": "nonzero", **changes})
        return lasso_selection_probabilities(bow, settings, lasso(bow, **settings.model_dump()))

    found = probabilities(n_subsamples=4)
    assert set(found) <= {0, 0.25, 0.5, 0.75, 1.0} and len(set(found)) > 2
    assert not np.array_equal(found, probabilities(n_subsamples=4, seed=7))
    assert (probabilities(n_subsamples=4, alpha=4.0) < found).any()
    assert (probabilities(n_subsamples=4, threshold="top_k", top_k=1).sum()) == 1
    assert probabilities(n_subsamples=0) is None
    ranked = select_ranked(bow, RankedSelection(method="chi_square"), 2)
    assert lasso_selection_probabilities(bow, RankedSelection(method="chi_square"), ranked) is None
    assert set(probabilities(n_subsamples=1)) == {0, 1}


def test_layers_limit_the_choice_and_indices_stay_those_of_the_bag_of_words():
    selection = lasso(make_bow(), layers=[2])
    assert {token.layer for token in selection.tokens} == {2}
    assert 15 in indices(selection)
    heaviest = max(selection.tokens, key=lambda token: token.weight)
    assert (heaviest.layer, heaviest.code) == (2, 5)


def test_a_frequency_exponent_prefers_tokens_that_are_met_often():
    """Tokens 3 and 4 tell class x equally well, but 4 occurs in a few utterances only."""
    bow = make_bow()
    counts = bow.audio.toarray()
    labels = bow.rows["label"].to_numpy()
    counts[:, 4] = 0
    counts[np.flatnonzero(labels == "x")[:6], 4] = 9
    rare = BagOfWords(bow.rows, sp.csr_array(counts), bow.text, bow.features, bow.words)
    weight = {}
    for exponent in (0.0, 1.0):
        tokens = lasso(rare, alpha=0.5, threshold="nonzero", frequency_exponent=exponent).tokens
        weight[exponent] = {token.index: token.weight for token in tokens}
    assert weight[0.0].get(4, 0) > 0
    assert weight[1.0].get(4, 0) / weight[1.0][3] < weight[0.0][4] / weight[0.0][3]


def test_frequencies_of_held_out_rows_change_nothing():
    bow = make_bow()
    audio = bow.audio.toarray()
    audio[100:] = 0
    other = BagOfWords(bow.rows, sp.csr_array(audio), bow.text, bow.features, bow.words)
    first, second = (lasso(b, frequency_exponent=0.5) for b in (bow, other))
    assert first.to_json() == second.to_json()


@pytest.mark.parametrize("changes", [{"weighting": "counts"}, {"scaling": "none"}])
def test_weighting_and_scaling_can_be_left_out(changes):
    assert {3, 15} <= set(indices(lasso(make_bow(), alpha=0.5, **changes)))


def test_selection_probabilities_of_a_lasso():
    bow = make_bow()
    probabilities = lasso_selection_probabilities(bow, LASSO, lasso(bow))
    assert probabilities.shape == (20,)
    assert probabilities[[3, 15]].tolist() == [1.0, 1.0]
    assert probabilities.mean() < 0.8


@pytest.mark.parametrize("layers", [[0], [1, 3]])
def test_layers_that_are_not_counted_are_an_error_that_names_those_that_are(layers):
    with pytest.raises(InputError, match=r"layers [03] are not among .* which are 1, 2 "):
        lasso(make_bow(), layers=layers)
    with pytest.raises(InputError, match="which are 1, 2 "):
        drawn(3, layers=layers)


def test_selections_survive_json():
    for selection in (
        select_all(make_bow()),
        select_random(make_bow(), 3, layers=None, seed=1, fold="0"),
        lasso(make_bow(), "uar"),
    ):
        value = json.loads(json.dumps(selection.to_json(), allow_nan=False))
        assert TokenSelection.from_json(value).to_json() == selection.to_json()
        assert {"method", "alpha", "C", "objective", "duality_gap", "n_features"} <= set(value)


def test_ranks_lead_back_to_the_codecs_own_layers():
    selection = select_random(make_bow(), 6, layers=None, seed=3, fold="0")
    ranks = selection.rank_of_code(n_layers=3, codebook_size=10)
    assert (ranks[0] == -1).all(), "layer 0 is not used"
    for rank, token in enumerate(selection.tokens):
        assert ranks[token.layer, token.code] == rank
    assert (ranks >= 0).sum() == 6
