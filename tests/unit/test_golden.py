"""Numbers of every stage and every system on tiny made data, kept per version.

A change that moves them on purpose raises the stage's version in `stages.py` and renews the numbers
here: print them with  python -m tests.unit.test_golden
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from tests.unit.linear_baseline import bow_linear, fit_and_predict

from speechlasso.data.demo_corpus import plan_demo_corpus
from speechlasso.data.folds import divide_folds, fold_examples
from speechlasso.data.manifest import read_manifest
from speechlasso.data.schedule import schedule_examples
from speechlasso.data.settings import Folds, Schedule, Table
from speechlasso.evaluation.cards import USUAL
from speechlasso.evaluation.scores import evaluate
from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.settings import Adapt, Finetune, LanguageModel, SelfPowered
from speechlasso.language_model.token_text import token_texts
from speechlasso.pipeline import stages
from speechlasso.selection.bag_of_words import build_bag_of_words
from speechlasso.selection.path import LassoRows, SelectionPath
from speechlasso.selection.select import (
    lasso_selection_probabilities,
    select_by_lasso,
    select_random,
)
from speechlasso.selection.settings import LassoSelection
from speechlasso.selection.token_evidence import token_evidence
from speechlasso.systems.cards import SYSTEMS
from speechlasso.systems.late_fusion_model import ArmPredictions, best_weights
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.spectral_rvq import SpectralRVQ

GOLDEN = {
    "demo_corpus": (1, "5ac20e636f23"),
    "divide_folds": (2, "070c43cbe209"),
    "tokenize_audio": (1, "79329c337e4b"),
    "build_bow": (3, "c0a91482e0ca"),
    "fit_path": (2, "79c059761c65"),
    "select_tokens": (2, "eaede82b983b"),
    "token_texts": (1, "541beb65ee1a"),
    "fit_linear": (3, "e7132a0f7dec"),
    "evaluate": (3, "3bc3fb4da787"),
    "manifest": (2, "8c863f04f5eb"),
    "fit_tokenizer": (3, "22a48a0302f8"),
    "describe_selection": (2, "f09c4a96b90c"),
    "adapt_lm": (3, "2a1047e79244"),
    "finetune": (3, "a278b3bc17af"),
    "predict": (2, "42d238d9dbc6"),
    "encode_audio": (2, "27b8728fe3a1"),
    "pooled_linear": (1, "9c6cfae4eee9"),
    "mfcc_linear": (1, "262a2287cdd7"),
    "mfcc_lstm": (2, "98e236bf4a97"),
    "text_ssl": (2, "3f2bce2dfd50"),
    "late_fusion": (1, "14936ac22d07"),
    "learned": (2, "c281a70293da"),
    "small_speech_lm": (2, "c7441f8a8390"),
    "answer_instructions": (1, "1eaf3903ccb0"),
    "speech_lm": (2, "d60ba0c97adb"),
    "schedule_examples": (1, "cda86d1186ca"),
}


# The systems whose numbers stand for the training stages; the others have their own.
OF_STAGE = {"finetune": "token_lm", "fit_linear": "bow_linear"}


def numbers() -> dict[str, object]:
    """What each stage makes of the same small data, as JSON."""
    corpus = plan_demo_corpus(
        seed=3, train_speakers=4, validation_speakers=1, test_speakers=1, utterances_per_speaker=15
    )
    manifest = corpus[["id", "text", "label", "split", "speaker"]].rename(
        columns={"speaker": "group"}
    )
    folds = divide_folds(manifest, Folds(method="grouped", n_folds=3))
    examples = fold_examples(manifest, folds, "1")
    rng = np.random.default_rng(1)
    waveforms = [noise * np.linspace(0.1, 1, 8000) for noise in rng.normal(0, 0.1, (20, 8000))]
    tokenizer = SpectralRVQ.fit(
        [w.astype(np.float32) for w in waveforms],
        n_layers=4,
        codebook_size=8,
        seed=1,
        max_frames=1000,
    )
    drawn = [rng.integers(0, 8, (4, 20)) for _ in examples["id"]]
    codes = CodeTable(Codebooks(4, 8, 50.0), dict(zip(examples["id"], drawn, strict=True)))
    bow = build_bag_of_words(examples, codes, layers=3, lowercase=True)
    settings = LassoSelection(method="lasso", alpha=1.0)
    path = SelectionPath.fitted(LassoRows.of(bow, settings))
    selection = select_by_lasso(bow, path, settings, Criterion())
    texts = token_texts(examples, ["text", "audio"], codes, selection)
    predictions, _ = fit_and_predict(bow, selection, ["text", "audio"], bow_linear(), Criterion())
    words, _ = fit_and_predict(bow, None, ["text"], bow_linear(), Criterion())
    weights, score = best_weights(ArmPredictions.of([words, predictions]), Criterion())
    encoded = tokenizer.encode([waveforms[0].astype(np.float32)])[0]
    evidence = token_evidence(
        selection.tokens,
        bow.audio[bow.rows_in("train")],
        bow.rows["label"].to_numpy()[bow.rows_in("train")],
        class_weights=selection.class_weights,
        selection_probability=lasso_selection_probabilities(bow, settings, selection),
    )
    return (
        numbers_of_the_language_model()
        | numbers_of_frames()
        | numbers_of_learned_vectors()
        | numbers_of_an_audio_language_model()
        | numbers_of_networks_of_frames()
        | {
            "manifest": manifest_of_a_table(),
            "fit_tokenizer": codebook_norms(tokenizer),
            "describe_selection": evidence.round(2).to_csv(index=False),
            "demo_corpus": corpus.to_json(orient="records", double_precision=6),
            "schedule_examples": schedule_examples(
                examples[examples["split"] == "train"], Schedule(scheme="curriculum"), 1, "1"
            ).to_csv(index=False),
            "divide_folds": folds.to_csv(index=False),
            "tokenize_audio": [np.bincount(layer, minlength=8).tolist() for layer in encoded],
            "build_bow": [
                int(bow.audio.sum()),
                int(bow.text.sum()),
                len(bow.words),
                bow.audio.indices.tolist(),
            ],
            # Two digits, as processors add in different orders and fits are certified to 1e-4.
            "fit_path": [f"{objective:.1e}" for objective in path.table["objective"]],
            "select_tokens": [
                [token.index for token in selection.tokens],
                [round(token.weight, 2) for token in selection.tokens],
                [
                    token.index
                    for token in select_random(bow, 5, layers=None, seed=1, fold="1").tokens
                ],
            ],
            "token_texts": texts["token_text"].tolist(),
            "fit_linear": predictions["predicted"].tolist(),
            "late_fusion": [weights.tolist(), round(score, 6)],
            "evaluate": scores_of(predictions),
        }
    )


def scores_of(predictions: pd.DataFrame) -> dict[str, float]:
    """Two digits, as probabilities are fitted to 1e-4."""
    positive = min(predictions["label"])
    scores = evaluate(predictions, positive)["splits"]["test"]
    return {name: round(scores[name], 2) for name in USUAL}


def codebook_norms(tokenizer: SpectralRVQ) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder, "tokenizer.safetensors"))
        tensors = load_file(Path(folder, "tokenizer.safetensors"))
    return [f"{name} {np.linalg.norm(tensors[name]):.2f}" for name in sorted(tensors)]


def manifest_of_a_table() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        rows = ["id,text,label,audio,who", "u1, Well ,yes,a.wav|b.wav,01", "u2,No,no,c.wav,NA"]
        path.write_text("\n".join(rows) + "\n")
        table = Table(path=str(path), audio_root="clips", columns={"group": "who"})
        return read_manifest(table).to_json(orient="records")


def numbers_of_frames() -> dict[str, object]:
    """Two digits, as processors add in different orders."""
    from tests.unit.pooled_baseline import ACOUSTIC, acoustics, made_inputs, training
    from tests.unit.tiny_codecs import hubert, save

    from speechlasso.features.hidden_states import load_hidden_states
    from speechlasso.systems import mfcc_linear_model, pooled_linear_model
    from speechlasso.systems.mfcc_linear import MFCCLinear

    with tempfile.TemporaryDirectory() as folder:
        states = load_hidden_states(save(Path(folder, "hubert"), hubert), None, [0, 2], "fp32")
        sounds = [np.sin(np.arange(4000) * rate).astype(np.float32) for rate in (0.1, 0.3)]
        frames = states.encoder.encode(sounds)
        inputs, _ = made_inputs(Path(folder))
        pooled_linear_model.fit(inputs, training(C=[0.01]), Path(folder), threads=1)
        pooled = pooled_linear_model.open(Path(folder)).predict(inputs)
        inputs, _ = made_inputs(Path(folder), frames_of=acoustics, kind=ACOUSTIC)
        classic = stages.FitLinear(arm=MFCCLinear(system="mfcc_linear", C=[0.001]))
        mfcc_linear_model.fit(inputs, classic, Path(folder), threads=1)
        functional = mfcc_linear_model.open(Path(folder)).predict(inputs)
    return {
        "encode_audio": [
            [f"{np.linalg.norm(of_layer):.2f}" for of_layer in of_clip.swapaxes(0, 1)]
            for of_clip in frames
        ],
        "pooled_linear": pooled.filter(like="p_").map("{:.2f}".format).to_csv(index=False),
        "mfcc_linear": functional.filter(like="p_").map("{:.2f}".format).to_csv(index=False),
    }


def numbers_of_learned_vectors() -> dict[str, object]:
    """Two digits, as processors add in different orders."""
    from tests.unit.spoken_words import made_frames, made_inputs, made_rows, tiny_lm, training
    from tests.unit.tiny_models import save_chat
    from transformers import LlamaConfig

    from speechlasso.systems import learned_model, small_speech_lm_model
    from speechlasso.systems.small_speech_lm import SmallSpeechLM

    rows = made_rows(24)
    with tempfile.TemporaryDirectory() as folder:
        inputs = made_inputs(Path(folder), rows, made_frames(rows))
        settings = training(tiny_lm(Path(folder, "lm"), "bert"))
        learned_model.fit(inputs, settings, Path(folder), threads=1)
        found = {"learned": learned_model.open(Path(folder)).predict(inputs, threads=1)}
        chat = save_chat(Path(folder, "chat"), LlamaConfig, initializer_range=0.2)
        lm = LanguageModel(name=chat, max_length=300, precision="fp32")
        settings = training(lm, {}, SmallSpeechLM, training="lora", prompt="{text} {labels}?")
        small_speech_lm_model.fit(inputs, settings, Path(folder), threads=1)
        asked = small_speech_lm_model.open(Path(folder)).predict(inputs, threads=1)
    return {
        system: predictions.filter(like="p_").map("{:.2f}".format).to_csv(index=False)
        for system, predictions in (found | {"small_speech_lm": asked}).items()
    }


def numbers_of_an_audio_language_model() -> dict[str, object]:
    """Two digits, as processors add in different orders."""
    from tests.unit.tiny_audio_lm import made_tones, save_audio_lm

    from speechlasso.systems import speech_lm_model
    from speechlasso.systems.speech_lm import SpeechLM

    with tempfile.TemporaryDirectory() as folder:
        _, inputs = made_tones(Path(folder, "inputs"), 12)
        arm = SpeechLM(system="speech_lm", training="lora")
        lm = LanguageModel(name=save_audio_lm(Path(folder, "lm")), precision="fp32")
        finetune = Finetune(epochs=2, learning_rate=0.01, lora={"rank": 4})
        settings = stages.FinetuneLM(arm=arm.as_read(), lm=lm, finetune=finetune, seed=1)
        speech_lm_model.fit(inputs, settings, Path(folder), threads=1)
        found = speech_lm_model.open(Path(folder)).predict(inputs, threads=1)
    return {"speech_lm": found.filter(like="p_").map("{:.2f}".format).to_csv(index=False)}


def numbers_of_networks_of_frames() -> dict[str, object]:
    """Two digits, as processors add in different orders."""
    from tests.unit.pooled_baseline import ACOUSTIC, acoustics, made_inputs
    from tests.unit.tiny_models import save_bert

    from speechlasso.systems import mfcc_lstm_model, text_ssl_model
    from speechlasso.systems.mfcc_lstm import MFCCLSTM
    from speechlasso.systems.text_ssl import TextSSL

    common = {"finetune": Finetune(epochs=2), "seed": 1}
    with tempfile.TemporaryDirectory() as folder:
        lm = LanguageModel(name=save_bert(Path(folder, "lm")), precision="fp32", max_length=64)
        recurrent = stages.FinetuneLM(arm=MFCCLSTM(system="mfcc_lstm", hidden_size=4), **common)
        fused = stages.FinetuneLM(arm=TextSSL(system="text_ssl"), lm=lm, **common)
        found = {}
        for name, module, settings, made in (
            ("mfcc_lstm", mfcc_lstm_model, recurrent, {"frames_of": acoustics, "kind": ACOUSTIC}),
            ("text_ssl", text_ssl_model, fused, {}),
        ):
            inputs, _ = made_inputs(Path(folder), **made)
            module.fit(inputs, settings, Path(folder), threads=1)
            probabilities = module.open(Path(folder)).predict(inputs, threads=1).filter(like="p_")
            found[name] = probabilities.map("{:.2f}".format).to_csv(index=False)
    return found


def version_of(name: str) -> int:
    system = OF_STAGE.get(name, name)
    return SYSTEMS[system].version if system in SYSTEMS else stages.STAGES[name].version


def numbers_of_the_language_model() -> dict[str, object]:
    """Two digits, as processors add in different orders."""
    from tests.unit.tiny_models import made_examples, save_bert, save_talker

    from speechlasso.language_model.adaptation import adapt
    from speechlasso.language_model.answering import answer_instructions
    from speechlasso.language_model.finetuning import finetune
    from speechlasso.language_model.prediction import predict
    from speechlasso.language_model.token_rows import NewTokens

    examples = made_examples(48, 12, n_audio_tokens=10, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        lm = LanguageModel(name=save_bert(Path(folder, "lm")), precision="fp32", max_length=120)
        common = {"lm": lm, "seed": 1, "threads": 1}
        checkpoint = Path(folder, "checkpoint")
        adapted = adapt(
            examples,
            settings=Adapt(epochs=2),
            new_tokens=NewTokens(10),
            checkpoint_folder=checkpoint,
            **common,
        )
        model = Path(folder, "model")
        tuned = finetune(
            examples,
            model,
            settings=Finetune(epochs=2),
            criterion=Criterion(),
            new_tokens=NewTokens(10, adapted.rows),
            **common,
        )
        probabilities = predict(model, examples).filter(like="p_")
        chat = LanguageModel(
            name=save_talker(Path(folder, "chat")), precision="fp32", max_length=200
        )
        answers = answer_instructions(
            examples[:20],
            lm=chat,
            settings=SelfPowered(max_new_tokens=6),
            holdout=0.1,
            threads=1,
            checkpoint_folder=checkpoint,
        )
    return {
        "answer_instructions": answers.to_csv(index=False),
        "adapt_lm": [
            adapted.log["held_out_loss"].map("{:.2f}".format).tolist(),
            [f"{norm:.2f}" for norm in np.linalg.norm(adapted.rows.vectors, axis=1)],
        ],
        "finetune": tuned.log[["train_loss", "loss"]].map("{:.2f}".format).to_csv(index=False),
        "predict": probabilities.map("{:.2f}".format).to_csv(index=False),
    }


def digests() -> dict[str, tuple[int, str]]:
    """Stage -> its version and a digest of its numbers."""
    return {
        stage: (
            version_of(stage),
            hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12],
        )
        for stage, value in numbers().items()
    }


@pytest.fixture(scope="module")
def found(on_the_processor):
    return digests()


def test_every_stage_has_its_numbers():
    assert set(GOLDEN) == {*stages.STAGES, *SYSTEMS} - set(OF_STAGE.values())


@pytest.mark.parametrize("stage", GOLDEN)
def test_numbers_do_not_move_without_a_new_version(stage, found):
    assert found[stage] == GOLDEN[stage], (
        f"{stage} computes something else: raise its version in stages.py and renew the numbers"
    )


if __name__ == "__main__":
    for stage, digest in digests().items():
        print(f"    {stage!r}: {digest!r},".replace("'", '"'))
