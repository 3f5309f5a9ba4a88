import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CAUSAL, MASKED, made_examples, save_any, save_bert, save_causal
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, LlamaConfig

from speechlasso.errors import InputError
from speechlasso.language_model import adaptation
from speechlasso.language_model import loss as language_model_loss
from speechlasso.language_model.adaptation import adapt
from speechlasso.language_model.encoding import encode
from speechlasso.language_model.loss import IGNORED
from speechlasso.language_model.new_row_training import stop_training_new_rows, train_new_rows
from speechlasso.language_model.next_tokens import Predictions, can_be_packed
from speechlasso.language_model.passages import TokenSequence
from speechlasso.language_model.pretrained import (
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    objective,
)
from speechlasso.language_model.settings import Adapt, LanguageModel
from speechlasso.language_model.token_rows import NewTokens, read_token_rows, write_token_rows
from speechlasso.language_model.token_text import MARKERS, new_token_names
from speechlasso.training.batching import model_inputs, padded, shared_rows

pytestmark = pytest.mark.slow

N_AUDIO = 10
SETTINGS = Adapt(epochs=3, batch_size=16, learning_rate=5e-2, holdout=0.2)
MODELS = [*CAUSAL, *MASKED, "headless bert"]
# One of each kind; the others repeat for the same reasons.
QUICK = ("llama", "bert", "headless bert")
# transformers mixes packed sequences in OPT.
PACKED = [name for name in CAUSAL if name != "opt"]


@pytest.fixture
def examples():
    return made_examples(40, 0, n_audio_tokens=N_AUDIO, seed=0)


def language_model(name, folder):
    if name == "headless bert":
        path = save_bert(folder / "lm", with_head=False)
    else:
        path = save_any(folder / "lm", name)
    return LanguageModel(name=path, max_length=120, precision="fp32")


def passages(sequences):
    return [TokenSequence(ids) for ids in sequences]


def auto_class(name):
    return AutoModelForCausalLM if name in CAUSAL else AutoModelForMaskedLM


def adapted(lm, examples, folder, seed=1, settings=SETTINGS):
    return adapt(
        examples,
        lm=lm,
        settings=settings,
        new_tokens=NewTokens(N_AUDIO),
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
    assert log["held_out_loss"].min() < 0.99 * log.loc[0, "held_out_loss"]
    np.testing.assert_allclose(np.exp(log["held_out_loss"]), log["held_out_perplexity"])


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_a_seed_repeats_and_another_differs(tmp_path, examples, name):
    lm = language_model(name, tmp_path)
    first, again, other = (adapted(lm, examples, tmp_path, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(again.rows.vectors, first.rows.vectors)
    columns = ["epoch", "train_loss", "held_out_loss"]
    assert again.log[columns].equals(first.log[columns])
    assert not np.array_equal(other.rows.vectors, first.rows.vectors)


@pytest.mark.parametrize("name", MODELS)
def test_all_but_the_new_rows_is_frozen_bit_by_bit(tmp_path, examples, name, monkeypatch):
    """Adapted as always, but keeping the model."""
    lm = language_model(name, tmp_path)
    loaded, token_ids, before = [], [], {}

    def observed_load(*arguments, **options):
        loaded.append(load_model(*arguments, **options))
        return loaded[0]

    def observed_rows(model, ids):
        token_ids.extend(ids)
        before.update({key: value.clone() for key, value in model.state_dict().items()})
        return train_new_rows(model, ids)

    monkeypatch.setattr(adaptation, "load_model", observed_load)
    monkeypatch.setattr(adaptation, "train_new_rows", observed_rows)
    adapted(lm, examples, tmp_path)
    model, newly_initialised = loaded[0].model, loaded[0].newly_initialised
    stop_training_new_rows(model)
    after = model.state_dict(keep_vars=True)
    drawn = {
        key
        for key, value in after.items()
        if any(value is parameter for parameter in newly_initialised)
    }

    assert after.keys() == before.keys()
    assert bool(drawn) == (name == "headless bert")
    n_old = token_ids[0]
    n_rows = model.get_input_embeddings().weight.shape[0]
    embedding = next(k for k, v in before.items() if v.shape[0] == n_rows)
    for key, old in before.items():
        if key in drawn:
            assert not torch.equal(after[key], old), key
        elif old.ndim == 2 and old.shape[0] == n_rows:
            assert torch.equal(after[key][:n_old], old[:n_old]), key
            moved = (after[key][n_old:] != old[n_old:]).any(dim=1)
            names = new_token_names(N_AUDIO)
            still = {name for name, has_moved in zip(names, moved, strict=True) if not has_moved}
            # A decoder predicts nothing after the last token, and so learns no input row for it,
            # unless input and output share their rows.
            is_unread = name in ("untied llama", "qwen2", "pythia") and key == embedding
            assert still == ({"<|audio_end|>"} if is_unread else set()), key
        else:
            assert torch.equal(after[key], old), key


def loss_and_gradients(model, token_ids, loss):
    """A loss, and its gradients by the new rows of the input and of the output matrix."""
    matrices = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    for matrix in matrices:
        matrix.requires_grad_(True)
    gradients = torch.autograd.grad(loss(), matrices)
    for matrix in matrices:
        matrix.requires_grad_(False)
    return [gradient[token_ids] for gradient in gradients]


@pytest.mark.parametrize("name", [*CAUSAL, *MASKED])
def test_loss_and_gradients_are_those_of_transformers(tmp_path, examples, name, monkeypatch):
    """The reference has gradients of whole matrices, and scores at all positions at once."""
    monkeypatch.setattr(language_model_loss, "LARGEST_SCORES", 3000)
    lm = language_model(name, tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, auto_class(name), seed=1).model.eval()
    token_ids = extend_with_audio_tokens(tokenizer, model, N_AUDIO, seed=1)
    sequences = encode(tokenizer, examples[:6], 120)["input_ids"].tolist()
    predictions = Predictions(objective(lm), tokenizer, 0.15, False)
    batch = predictions.batch(passages(sequences), np.random.default_rng(1))
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    labels = padded(sequences, IGNORED) if name in CAUSAL else batch["labels"]
    n_predictions = int((batch["labels"] != IGNORED).sum())

    reference = model(**inputs, labels=labels).loss
    model.requires_grad_(False)
    expected = loss_and_gradients(model, token_ids, lambda: model(**inputs, labels=labels).loss)

    rows = train_new_rows(model, token_ids)
    loss = language_model_loss.language_model_loss(model, rows, batch) / n_predictions
    torch.testing.assert_close(loss, reference)
    loss.backward()
    trained = list(dict.fromkeys([rows.input_rows, rows.output_rows]))
    assert [n for n, p in model.named_parameters() if p.requires_grad] == [
        f"new_rows.{n}" for n in ("input_rows", "output_rows")[: len(trained)]
    ]
    assert sum(p.numel() for p in model.parameters() if p.grad is not None) == sum(
        p.numel() for p in trained
    )
    if len(trained) == 1:
        # Tied: autograd counts the whole gradient at both names of the one matrix.
        expected = expected[:1]
    for rows_of, gradient in zip(trained, expected, strict=True):
        torch.testing.assert_close(rows_of.grad, gradient, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        # Otherwise the model is used as before.
        assert model(**inputs).logits.shape[:2] == batch["input_ids"].shape


@pytest.mark.parametrize("name", CAUSAL)
def test_packed_sequences_have_the_loss_and_gradients_of_padded_ones(tmp_path, examples, name):
    lm = language_model(name, tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, auto_class(name), seed=1).model
    token_ids = extend_with_audio_tokens(tokenizer, model, N_AUDIO, seed=1)
    sequences = encode(tokenizer, examples, 120)["input_ids"].tolist()
    # Of very different lengths, and longer together than Gemma's sliding window.
    sequences = [ids[: 10 + 7 * number] for number, ids in enumerate(sequences[:9])]
    assert can_be_packed(model, sequences) == (name in PACKED)
    assert can_be_packed(copy.deepcopy(model).bfloat16(), sequences) == (name in PACKED)
    if name not in PACKED:
        return
    model.requires_grad_(False)
    rows = train_new_rows(model, token_ids)
    sizes, losses, gradients = [], [], []
    for is_packed in (False, True):
        predictions = Predictions("causal", tokenizer, 0.15, is_packed)
        batch = predictions.batch(passages(sequences), np.random.default_rng(1))
        loss = language_model_loss.language_model_loss(model, rows, batch)
        gradients.append(torch.autograd.grad(loss, rows.input_rows)[0])
        losses.append(loss.detach())
        sizes.append(batch["input_ids"].numel())
    assert sizes[1] < 0.9 * sizes[0]
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)


def test_nothing_is_packed_where_no_row_would_be_shared(tmp_path, examples):
    lm = language_model("llama", tmp_path)
    model = load_model(lm, AutoModelForCausalLM, seed=1).model
    assert not can_be_packed(model, [np.arange(5), np.arange(5)])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_shared_rows_hold_each_sequence_once_and_waste_little(lengths):
    lengths = np.array(lengths)
    rows = shared_rows(lengths)
    assert sorted(position for row in rows for position in row) == list(range(len(lengths)))
    assert max(lengths[row].sum() for row in rows) == lengths.max()
    # No two rows would fit into one.
    filled = sorted(lengths[row].sum() for row in rows)
    assert len(rows) == 1 or filled[0] + filled[1] > lengths.max()


@given(data=st.data())
def test_vocabulary_cross_entropy_is_that_of_torch(data):
    n, vocabulary, size, n_new = (data.draw(st.integers(1, most)) for most in (9, 30, 6, 5))
    first = data.draw(st.integers(0, vocabulary))
    vocabulary += n_new
    bound = data.draw(st.sampled_from([None, 0.5, 3.0]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))

    def drawn(*shape):
        return torch.randn(shape, generator=generator)

    hidden, weight = drawn(n, size).requires_grad_(), drawn(vocabulary, size)
    bias = data.draw(st.sampled_from([None, drawn(vocabulary).requires_grad_()]))
    targets = torch.randint(vocabulary, (n,), generator=generator)
    rows = weight[first : first + n_new].clone().requires_grad_()

    whole = weight.clone().requires_grad_()
    scores = torch.nn.functional.linear(hidden, whole, bias)
    if bound is not None:
        scores = bound * (scores / bound).tanh()
    expected = torch.nn.functional.cross_entropy(scores, targets, reduction="sum")
    wanted = [hidden, whole] + ([] if bias is None else [bias])
    expected_gradients = list(torch.autograd.grad(expected, wanted))
    expected_gradients[1] = expected_gradients[1][first : first + n_new]

    whole_in_parts = language_model_loss.LARGEST_SCORES
    language_model_loss.LARGEST_SCORES = data.draw(st.integers(1, 200))
    try:
        loss = language_model_loss.vocabulary_cross_entropy(
            hidden, weight, bias, targets, rows, first, bound
        )
    finally:
        language_model_loss.LARGEST_SCORES = whole_in_parts
    torch.testing.assert_close(loss, expected)
    wanted[1] = rows
    for ours, theirs in zip(torch.autograd.grad(loss, wanted), expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "headless bert"])
def test_a_frozen_model_in_bfloat16_learns_float32_rows(tmp_path, examples, name, monkeypatch):
    # Where there is a GPU: how fast so few steps learn is that of a processor's random numbers.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lm = language_model(name, tmp_path)
    settings = SETTINGS.model_copy(update={"weights": "bf16"})
    result = adapted(lm, examples, tmp_path, settings=settings)
    precise = adapted(lm, examples, tmp_path)
    assert result.rows.vectors.dtype == np.float32
    np.testing.assert_allclose(result.log["held_out_loss"], precise.log["held_out_loss"], rtol=0.02)


def test_quantised_weights_need_bitsandbytes_and_a_gpu(tmp_path, examples):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    settings = SETTINGS.model_copy(update={"weights": "nf4"})
    with pytest.raises(InputError, match=r"adapt\.weights: nf4 needs a GPU"):
        adapted(language_model("llama", tmp_path), examples, tmp_path, settings=settings)


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_less_memory_gives_the_same_rows(tmp_path, examples, name):
    lm = language_model(name, tmp_path)
    expected = adapted(lm, examples, tmp_path).rows.vectors
    frugal = SETTINGS.model_copy(update={"micro_batch_size": 5, "gradient_checkpointing": True})
    rows = adapted(lm, examples, tmp_path, settings=frugal).rows.vectors
    np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_masks_follow_the_published_shares_and_spare_the_frame(tmp_path):
    lm = language_model("bert", tmp_path)
    tokenizer = load_tokenizer(lm)
    extend_with_audio_tokens(
        tokenizer, load_model(lm, AutoModelForMaskedLM, seed=1).model, N_AUDIO, seed=1
    )
    content = np.array(tokenizer.convert_tokens_to_ids([f"<audio_token_{i}>" for i in range(10)]))
    frame = tokenizer.convert_tokens_to_ids(["[CLS]", *MARKERS, "[SEP]"])
    ids = np.concatenate([frame[:5], np.tile(content, 2000), frame[5:]])
    predictions = Predictions("masked", tokenizer, 0.15, False)
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
    predictions = Predictions("masked", tokenizer, 0.15, False)
    batch = predictions.batch(
        passages([np.array([2, 3]), np.array([2, 8, 3])]), np.random.default_rng(1)
    )
    assert (batch["labels"] != IGNORED).sum(dim=1).tolist() == [0, 1]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert model_inputs([np.array([2, 3])], 0)["input_ids"].tolist() == [[2, 3]]


def test_utterances_without_anything_to_predict_are_left_out(tmp_path, examples):
    """They would make whole batches, being the shortest ones."""
    tokens = [
        np.zeros(0, dtype=int) if i % 3 == 0 else t for i, t in enumerate(examples["audio_tokens"])
    ]
    silent = examples.assign(text=None, audio_tokens=tokens)
    settings = SETTINGS.model_copy(update={"batch_size": 2})
    result = adapted(language_model("bert", tmp_path), silent, tmp_path, settings=settings)
    assert np.isfinite(result.rows.vectors).all()
    assert np.isfinite(result.log["held_out_loss"]).all()


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


def test_a_compiled_model_learns_the_same_rows(tmp_path, monkeypatch):
    """Traced with its gradients; the minutes of C++ that torch makes of that are its own affair."""
    traced, compiled_by_torch = CompileCounterWithBackend("aot_eager"), torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda model, **options: compiled_by_torch(model, backend=traced, **options),
    )
    name = save_causal(tmp_path / "lm", LlamaConfig, num_hidden_layers=1)
    lm = LanguageModel(name=name, max_length=120, precision="fp32")
    examples = made_examples(12, 0, n_audio_tokens=N_AUDIO, seed=0)
    settings = SETTINGS.model_copy(update={"epochs": 1})
    expected = adapted(lm, examples, tmp_path, settings=settings)
    assert traced.frame_count == 0
    compiled = lm.model_copy(update={"compile": True})
    found = adapted(compiled, examples, tmp_path, settings=settings)
    assert traced.frame_count > 0
    np.testing.assert_allclose(found.rows.vectors, expected.rows.vectors, atol=1e-4)
