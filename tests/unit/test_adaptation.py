import numpy as np
import pytest
import torch
from tiny_models import made_examples, save_bert, save_gpt2, save_llama
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from speechlasso import adaptation
from speechlasso.adaptation import IGNORED, adapt, language_model_loss
from speechlasso.batching import model_inputs, padded
from speechlasso.config import Adapt, LanguageModel
from speechlasso.encoding import encode
from speechlasso.errors import InputError
from speechlasso.language_model import (
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
)
from speechlasso.new_row_training import with_trainable_rows
from speechlasso.token_rows import read_token_rows, write_token_rows
from speechlasso.token_text import MARKERS, new_token_names
from speechlasso.training import computing, train

N_AUDIO = 10
SETTINGS = Adapt(epochs=3, batch_size=16, learning_rate=1e-2, holdout=0.2)
MODELS = {
    "bert": (lambda folder: save_bert(folder), AutoModelForMaskedLM),
    "headless bert": (lambda folder: save_bert(folder, with_head=False), AutoModelForMaskedLM),
    "llama": (lambda folder: save_llama(folder), AutoModelForCausalLM),
    "untied llama": (lambda folder: save_llama(folder, tied=False), AutoModelForCausalLM),
    "gpt2": (lambda folder: save_gpt2(folder), AutoModelForCausalLM),
}


@pytest.fixture
def examples():
    return made_examples(40, 0, n_audio_tokens=N_AUDIO, seed=0)


def language_model(name, folder):
    return LanguageModel(name=MODELS[name][0](folder / "lm"), max_length=128, precision="fp32")


def adapted(lm, examples, folder, seed=1, settings=SETTINGS):
    return adapt(
        examples,
        lm=lm,
        settings=settings,
        n_audio_tokens=N_AUDIO,
        seed=seed,
        threads=1,
        checkpoint_folder=folder / "checkpoints",
    )


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_learned_and_the_held_out_loss_falls(tmp_path, examples, name):
    lm = language_model(name, tmp_path)
    result = adapted(lm, examples, tmp_path)
    assert result.rows.names == new_token_names(N_AUDIO)
    assert result.rows.vectors.shape == (4 + N_AUDIO, 32)
    assert result.rows.vectors.dtype == np.float32
    log = result.log
    assert log["epoch"].tolist() == [0, 1, 2, 3]
    assert log["held_out_loss"].min() < 0.98 * log.loc[0, "held_out_loss"]

    again = adapted(lm, examples, tmp_path)
    assert np.array_equal(again.rows.vectors, result.rows.vectors)
    columns = ["epoch", "train_loss", "held_out_loss"]
    assert again.log[columns].equals(log[columns])
    other = adapted(lm, examples, tmp_path, seed=2)
    assert not np.array_equal(other.rows.vectors, result.rows.vectors)


@pytest.mark.parametrize("name", MODELS)
def test_all_but_the_new_rows_is_frozen_bit_by_bit(tmp_path, examples, name):
    lm = language_model(name, tmp_path)
    tokenizer = load_tokenizer(lm)
    loaded = load_model(lm, MODELS[name][1], seed=1)
    token_ids = extend_with_audio_tokens(tokenizer, loaded.model, N_AUDIO, seed=1)
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    drawn = {
        key
        for key, value in loaded.model.state_dict(keep_vars=True).items()
        if any(value is parameter for parameter in loaded.newly_initialised)
    }
    kind = "causal" if MODELS[name][1] is AutoModelForCausalLM else "masked"
    head = adaptation._missing_head(loaded, kind)
    model = with_trainable_rows(loaded.model, token_ids, also=head)
    task = adaptation._task(
        loaded.model,
        encode(tokenizer, examples, 128)["input_ids"].tolist(),
        adaptation._Predictions(kind, tokenizer, 0.15),
        SETTINGS,
        seed=1,
    )
    with computing(threads=1, seed=1):
        train(
            model,
            task,
            SETTINGS,
            weight_decay=0.0,
            precision="fp32",
            seed=1,
            checkpoint_folder=tmp_path,
            title="adapt",
        )
    after = model.merge_and_unload().state_dict()

    assert after.keys() == before.keys()
    assert bool(drawn) == (name == "headless bert")
    n_old = token_ids[0]
    embedding = next(k for k, v in before.items() if v is not None and v.shape[0] == len(tokenizer))
    for key, old in before.items():
        if key in drawn:
            assert not torch.equal(after[key], old), key
        elif old.ndim == 2 and old.shape[0] == len(tokenizer):
            assert torch.equal(after[key][:n_old], old[:n_old]), key
            moved = (after[key][n_old:] != old[n_old:]).any(dim=1)
            names = new_token_names(N_AUDIO)
            still = {name for name, has_moved in zip(names, moved, strict=True) if not has_moved}
            # A decoder predicts nothing after the last token, and so learns no input row for it,
            # unless input and output share their rows.
            is_unread = name == "untied llama" and key == embedding
            assert still == ({"<|audio_end|>"} if is_unread else set()), key
        else:
            assert torch.equal(after[key], old), key


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_is_that_of_transformers(tmp_path, examples, name):
    lm = language_model(name, tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, MODELS[name][1], seed=1).model.eval()
    extend_with_audio_tokens(tokenizer, model, N_AUDIO, seed=1)
    sequences = encode(tokenizer, examples[:6], 128)["input_ids"].tolist()
    kind = "causal" if MODELS[name][1] is AutoModelForCausalLM else "masked"
    predictions = adaptation._Predictions(kind, tokenizer, 0.15)
    batch = predictions.batch(sequences, np.random.default_rng(1))
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    labels = batch["labels"] if kind == "masked" else padded(sequences, IGNORED)
    with torch.no_grad():
        expected = model(**inputs, labels=labels).loss
        torch.testing.assert_close(language_model_loss(model, batch, "mean"), expected)
        # Afterwards the model scores all positions again.
        assert model(**inputs).logits.shape[:2] == batch["input_ids"].shape


def test_masks_follow_the_published_shares_and_spare_the_frame(tmp_path):
    lm = language_model("bert", tmp_path)
    tokenizer = load_tokenizer(lm)
    extend_with_audio_tokens(
        tokenizer, load_model(lm, AutoModelForMaskedLM, seed=1).model, N_AUDIO, seed=1
    )
    content = np.array(tokenizer.convert_tokens_to_ids([f"<audio_token_{i}>" for i in range(10)]))
    frame = tokenizer.convert_tokens_to_ids(["[CLS]", *MARKERS, "[SEP]"])
    ids = np.concatenate([frame[:5], np.tile(content, 2000), frame[5:]])
    predictions = adaptation._Predictions("masked", tokenizer, 0.15)
    inputs, labels = predictions.masked(ids, np.random.default_rng(1))

    chosen = labels != IGNORED
    assert chosen.sum() == 3000
    assert np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(inputs[~chosen], ids[~chosen])
    assert not chosen[np.isin(ids, frame)].any()
    masked = inputs[chosen] == tokenizer.mask_token_id
    kept = inputs[chosen] == ids[chosen]
    assert masked.mean() == pytest.approx(0.8, abs=0.03)
    # A tenth is kept, and a few random replacements hit the same token.
    assert kept.mean() == pytest.approx(0.1, abs=0.03)


def test_an_example_without_content_has_nothing_masked(tmp_path):
    tokenizer = load_tokenizer(language_model("bert", tmp_path))
    predictions = adaptation._Predictions("masked", tokenizer, 0.15)
    batch = predictions.batch([np.array([2, 3]), np.array([2, 8, 3])], np.random.default_rng(1))
    assert (batch["labels"] != IGNORED).sum(dim=1).tolist() == [0, 1]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert model_inputs([np.array([2, 3])], 0)["input_ids"].tolist() == [[2, 3]]


def test_too_few_examples_are_refused(tmp_path, examples):
    with pytest.raises(InputError, match="1 examples are too few"):
        adapted(language_model("bert", tmp_path), examples[:1], tmp_path)


def test_rows_are_stored_in_kilobytes(tmp_path, examples):
    rows = adapted(language_model("bert", tmp_path), examples, tmp_path).rows
    write_token_rows(tmp_path / "rows.safetensors", rows)
    again = read_token_rows(tmp_path / "rows.safetensors")
    assert again.names == rows.names
    assert np.array_equal(again.vectors, rows.vectors)
    assert (tmp_path / "rows.safetensors").stat().st_size < 4000
