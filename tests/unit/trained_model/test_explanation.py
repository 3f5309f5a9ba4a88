"""Occlusion: checked part by part against transformers alone, and on a decision of known cause."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_trained_model import BURST_SECONDS, RATE, burst_rank, make_trained_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import speechlasso
from speechlasso.errors import InputError
from speechlasso.language_model.token_text import token_text
from speechlasso.trained_model import explanation_figure as figure_module
from speechlasso.trained_model.explanation import Explanation, explain
from speechlasso.trained_model.explanation_figure import explanation_figure, write_figure
from speechlasso.trained_model.output import explanations_text

# The spectrum of a frame sees its neighbours.
BLUR_SECONDS = 0.1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("both"), ("text", "audio"))


@pytest.fixture(scope="module")
def model(trained):
    return speechlasso.load(trained.folder)


@pytest.fixture(scope="module")
def of_text(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("text"), ("text",), epochs=1)


def loud_rows(trained):
    test = trained.manifest[trained.manifest["split"] == "test"]
    return test[test["label"] == "loud"]


def kept(trained, row_id):
    """Ranks and frames of an utterance's kept tokens: of the only layer, code by code."""
    rank_of_code = {token.code: rank for rank, token in enumerate(trained.selection.tokens)}
    codes = trained.codes.codes[row_id][0]
    frames = [frame for frame, code in enumerate(codes) if code in rank_of_code]
    return np.array([rank_of_code[codes[frame]] for frame in frames]), np.array(frames)


@cache
def by_transformers_alone(folder):
    classifier = AutoModelForSequenceClassification.from_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder), classifier.double()


def probability_by_transformers_alone(folder, text, tokens, decided):
    tokenizer, classifier = by_transformers_alone(folder)
    with torch.no_grad():
        inputs = tokenizer(token_text(text, tokens), return_tensors="pt")
        probabilities = classifier(**inputs).logits.softmax(dim=1)[0]
    return float(probabilities[classifier.config.label2id[decided]])


@pytest.mark.parametrize("window", [0, 0.17, None])
def test_every_effect_is_that_of_leaving_the_part_out(trained, model, window):
    row = loud_rows(trained).iloc[0]
    explanation = explain(model, pd.DataFrame([row]), window)
    tokens, frames = kept(trained, row["id"])
    words = row["text"].split()
    without = [(" ".join(words[:i] + words[i + 1 :]), tokens) for i in range(len(words))]
    of_window = np.arange(len(frames))
    if window != 0:
        of_window = frames // round((0.2 if window is None else window) * 50)
    without += [(row["text"], tokens[of_window != number]) for number in sorted(set(of_window))]
    without += [(row["text"], tokens[tokens != token]) for token in sorted(set(tokens))]

    whole = probability_by_transformers_alone(trained.folder, row["text"], tokens, "loud")
    expected = [
        probability_by_transformers_alone(trained.folder, *part, explanation.decided)
        for part in without
    ]
    parts = explanation.parts
    assert explanation.decided == "loud"
    assert explanation.probability == pytest.approx(whole, abs=1e-6)
    np.testing.assert_allclose(parts["probability"], expected, atol=1e-6)
    np.testing.assert_allclose(parts["effect"], whole - np.array(expected), atol=2e-6)
    assert parts.loc[parts["kind"] == "word", "part"].tolist() == words


def test_the_burst_that_makes_the_class_is_found_in_time_and_by_name(trained, model):
    rows, rank = loud_rows(trained), burst_rank(trained)
    assert len(rows) == 8
    for _, row in rows.iterrows():
        explanation = model.explain(text=row["text"], audio=row["audio"], window=0.1)
        assert explanation.decided == "loud"
        strongest = explanation.parts.loc[explanation.parts["effect"].idxmax()]
        assert strongest["kind"] != "word", "words tell nothing of the class"
        stretches = explanation.parts[explanation.parts["kind"] == "stretch"]
        best = stretches.loc[stretches["effect"].idxmax()]
        assert best["start"] > row["burst"] - BLUR_SECONDS
        assert best["end"] < row["burst"] + BURST_SECONDS + BLUR_SECONDS
        assert best["clip"] == row["audio"][0]
        tokens = explanation.parts[explanation.parts["kind"] == "token"]
        token = tokens.loc[tokens["effect"].idxmax()]
        assert token["part"] == f"<audio_token_{rank}>"
        assert (token["layer"], token["code"]) == (0, trained.selection.tokens[rank].code)
        assert token["n_tokens"] == (kept(trained, row["id"])[0] == rank).sum() > 0
        assert f"<audio_token_{rank}>" in best["part"]


@given(row=st.integers(0, 15), window=st.sampled_from([0, 0.01, 0.05, 0.3, 5.0]))
@settings(max_examples=10)
def test_stretches_and_tokens_hold_every_audio_token_once(trained, model, row, window):
    rows = trained.manifest[trained.manifest["split"] == "test"]
    utterance = rows.iloc[[row]].assign(start=np.nan, end=np.nan)
    explanation = explain(model, utterance, window)
    ranks, frames = kept(trained, utterance["id"].item())
    stretches = explanation.parts[explanation.parts["kind"] == "stretch"]
    tokens = explanation.parts[explanation.parts["kind"] == "token"]
    assert stretches["n_tokens"].sum() == tokens["n_tokens"].sum() == len(ranks)
    in_time = " ".join(stretches["part"])
    assert re.findall(r"\d+", in_time) == list(map(str, ranks))
    starts, ends = stretches["utterance_start"].to_numpy(), stretches["utterance_end"].to_numpy()
    assert (starts < ends).all() and (ends[:-1] <= starts[1:] + 1e-9).all()
    of_stretch = np.repeat(np.arange(len(stretches)), stretches["n_tokens"])
    seconds = soundfile.info(utterance["audio"].item()[0]).duration
    middles = np.minimum((frames + 0.5) / 50, seconds - 1e-6)
    assert (middles > starts[of_stretch]).all() and (middles < ends[of_stretch]).all()
    assert (stretches["start"] == stretches["utterance_start"]).all()


def test_times_are_those_of_the_clip_that_holds_the_part(trained, model, tmp_path):
    row = loud_rows(trained).iloc[0]
    calm = trained.manifest[trained.manifest["label"] == "calm"].iloc[0]
    clips = [calm["audio"][0], row["audio"][0]]
    first = soundfile.info(clips[0]).duration
    explanation = model.explain(text="the cat", audio=clips, window=0.1)
    stretches = explanation.parts[explanation.parts["kind"] == "stretch"]
    burst = stretches[stretches["part"].str.contains(f"<audio_token_{burst_rank(trained)}>")]
    assert (burst["clip"] == clips[1]).all() and len(burst) > 0
    assert burst["start"].min() > row["burst"] - BLUR_SECONDS
    assert burst["end"].max() < row["burst"] + BURST_SECONDS + BLUR_SECONDS
    np.testing.assert_allclose(burst["start"], burst["utterance_start"] - first)

    samples, _ = soundfile.read(clips[1], dtype="float32")
    long = np.concatenate([np.zeros(3 * RATE, dtype=np.float32), samples])
    soundfile.write(tmp_path / "long.wav", long, RATE, subtype="FLOAT")
    segment = model.explain(text="the cat", audio=tmp_path / "long.wav", start=3.0, window=0.1)
    stretches = segment.parts[segment.parts["kind"] == "stretch"]
    np.testing.assert_allclose(stretches["start"], stretches["utterance_start"] + 3.0)


def test_what_was_cut_off_has_no_effect(trained, model):
    row = loud_rows(trained).iloc[0]
    clips = row["audio"] * 3
    explanation = model.explain(text="the cat", audio=clips, window=0.1)
    assert explanation.prediction["cut"]
    last = explanation.parts[explanation.parts["kind"] == "stretch"].iloc[-1]
    assert last["effect"] == pytest.approx(0, abs=1e-7)


def test_a_model_of_text_is_explained_by_words(of_text):
    explanation = speechlasso.load(of_text.folder).explain(text="the  cat, the dog")
    assert explanation.parts["kind"].tolist() == ["word"] * 4
    assert explanation.parts["part"].tolist() == ["the", "cat,", "the", "dog"]
    left = ["cat, the dog", "the the dog", "the  cat, dog", "the  cat, the"]
    expected = [
        probability_by_transformers_alone(of_text.folder, text, None, explanation.decided)
        for text in left
    ]
    np.testing.assert_allclose(explanation.parts["probability"], expected, atol=1e-6)
    assert explanation.parts["start"].isna().all()


def test_nothing_to_leave_out_and_impossible_windows_are_input_errors(of_text, model, trained):
    with pytest.raises(InputError, match="neither words nor kept audio tokens"):
        speechlasso.load(of_text.folder).explain(text=" ")
    audio = trained.manifest["audio"][0]
    for window in (-0.1, np.nan, np.inf):
        with pytest.raises(InputError, match="expected a length in seconds"):
            model.explain(text="a cat", audio=audio, window=window)


def test_the_figure_repeats_and_shows_words_and_decision(trained, model, tmp_path):
    audio = loud_rows(trained)["audio"].iloc[0]
    utterance = model.utterance(text="the $cat$ <dog>", audio=audio)
    explanation = explain(model, utterance)
    for name in ("a.svg", "b.svg", "c.png"):
        write_figure(tmp_path / name, explanation_figure(explanation, utterance))
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert "$cat$" in drawn and "&lt;dog&gt;" in drawn
    assert f"loud, probability {explanation.probability:.3f}" in drawn
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"ends in \.svg or \.png"):
        write_figure(tmp_path / "d.pdf", explanation_figure(explanation, utterance))


def test_the_figure_of_a_long_text_shows_its_strongest_words(monkeypatch, tmp_path):
    monkeypatch.setattr(figure_module, "MOST_WORDS", 3)
    effects = [0.1, -0.5, 0.0, 0.3, 0.2]
    words = ["one", "two", "$three$", "four", "$five$"]
    parts = pd.DataFrame({"kind": "word", "part": words, "effect": effects})
    decided = Explanation(pd.Series({"predicted": "$", "p_$": 0.75}), parts)
    write_figure(tmp_path / "a.svg", explanation_figure(decided, pd.DataFrame()))
    drawn = (tmp_path / "a.svg").read_text()
    places = [drawn.find(f">{word}<") for word in words]
    assert [place > 0 for place in places] == [False, True, False, True, True]
    assert places[1] < places[3] < places[4], "in the order of the text"
    assert "effect (3 of 5 words, the strongest)" in drawn


def test_the_figure_of_a_text_has_no_waveform(of_text, tmp_path):
    model = speechlasso.load(of_text.folder)
    utterance = model.utterance(text="the cat")
    figure = explanation_figure(explain(model, utterance), utterance)
    assert len(figure.axes) == 1


def test_the_screen_shows_the_strongest_parts_first(trained, model):
    row = loud_rows(trained).iloc[0]
    explanation = model.explain(text="the cat", audio=row["audio"], window=0)
    shown = explanations_text([explanation], "screen")
    assert shown.startswith(f"utterance: loud, probability {explanation.probability:.3f}\n")
    n_frames = len(kept(trained, row["id"])[0])
    section = shown.split(f"stretches of time (10 of {n_frames} with the largest effect)\n")[1]
    effects = [abs(float(line.split()[0])) for line in section.split("\n\n")[0].splitlines()]
    assert len(effects) == 10 and effects == sorted(effects, reverse=True)
