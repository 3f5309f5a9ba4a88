"""Fine-tuning: what is learned, kept, saved and refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.utils.class_weight import compute_class_weight
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from tuned_models import MODELS, N_AUDIO, tuned, without_dropout

from speechlasso.errors import InputError
from speechlasso.evaluation.scores import classification_scores, evaluate
from speechlasso.language_model.adaptation import adapt
from speechlasso.language_model.classification import (
    class_weights,
    classification_loss,
    log_p_of_class,
)
from speechlasso.language_model.prediction import Classifier, predict
from speechlasso.language_model.settings import Adapt
from speechlasso.language_model.token_rows import NewTokens, TokenRows
from speechlasso.language_model.token_text import new_token_names, token_text


def adapted_rows(examples, folder, lm):
    return adapt(
        examples[examples["split"] == "train"],
        lm=lm,
        settings=Adapt(epochs=1),
        new_tokens=NewTokens(N_AUDIO),
        seed=1,
        threads=1,
        checkpoint_folder=folder,
    ).rows


def by_transformers_alone(folder, examples):
    """Probabilities as a user would compute them, one example at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    rows = []
    for text, audio_tokens in zip(examples["text"], examples["audio_tokens"], strict=True):
        inputs = tokenizer(token_text(text, audio_tokens), return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**inputs).logits.softmax(dim=1)[0].numpy())
    return np.array(rows), model.config


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_the_saved_model_predicts_the_same_with_transformers_alone(
    tmp_path, examples, language_models, name, method
):
    lm = language_models[name]
    rows = adapted_rows(examples, tmp_path, lm)
    result = tuned(
        examples, tmp_path, lm, method=method, token_rows=rows, epochs=1, lora={"rank": 4}
    )
    predictions = predict(tmp_path, examples)
    probabilities, config = by_transformers_alone(tmp_path, examples)

    assert config.id2label == {0: "calm", 1: "loud"}
    assert config.label2id == {"calm": 0, "loud": 1}
    assert AutoTokenizer.from_pretrained(tmp_path).model_max_length == 120
    ours = predictions[["p_calm", "p_loud"]].to_numpy()
    np.testing.assert_allclose(ours, probabilities, atol=1e-5)
    assert predictions["id"].tolist() == examples["id"].tolist()
    assert not predictions["cut"].any()
    assert predictions["n_audio_tokens"].tolist() == examples["audio_tokens"].map(len).tolist()
    assert not (tmp_path / "adapter_config.json").exists()
    assert result.train_seconds > 0 and result.peak_memory_mb > 50
    learned = examples[examples["split"] == "train"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    texts = map(token_text, learned["text"], learned["audio_tokens"])
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
    assert result.mean_sequence_length == pytest.approx(np.mean(lengths))

    # The saved weights are those of the epoch that the log calls best.
    validation = (examples["split"] == "validation").to_numpy()
    labels = (examples["label"] == "loud").to_numpy().astype(int)
    scores = classification_scores(labels[validation], ours[validation], ["calm", "loud"], "loud")
    best = result.log[result.log["best"]].iloc[0]
    assert best["macro_f1"] == result.log["macro_f1"].max() == scores["macro_f1"]
    assert best["positive_f1"] == scores["positive_f1"]
    assert best["loss"] == pytest.approx(scores["loss"], rel=1e-4)


def test_the_best_epoch_is_kept_where_later_ones_are_worse(tmp_path, examples, language_models):
    # With labels drawn at random, validation scores go up and down.
    labels = np.random.default_rng(3).permutation(examples["label"])
    result = tuned(
        examples.assign(label=labels), tmp_path, language_models["bert"], epochs=6, patience=6
    )
    best = result.log.loc[result.log["best"], "epoch"].item()
    assert best < 6
    predictions = predict(tmp_path, examples.assign(label=labels))
    rows = predictions[predictions["split"] == "validation"]
    f1 = classification_scores(
        (rows["label"] == "loud").to_numpy().astype(int),
        rows[["p_calm", "p_loud"]].to_numpy(),
        ["calm", "loud"],
    )["macro_f1"]
    assert f1 == result.log["macro_f1"].max()


@pytest.mark.slow
@pytest.mark.parametrize("splice", [0.0, 1.0])
def test_audio_tokens_are_learned(tmp_path, examples, language_models, splice):
    tuned(examples, tmp_path, language_models["bert"], epochs=15, patience=15, splice=splice)
    predictions = predict(tmp_path, examples[examples["split"] == "test"])
    assert (predictions["predicted"] == predictions["label"]).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_seed_gives_the_same_predictions(tmp_path, few, language_models, method):
    frames = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        tuned(few, folder, language_models["bert"], method=method, seed=seed)
        frames.append(predict(folder, few))
    assert frames[0].equals(frames[1])
    assert not frames[0].equals(frames[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "llama"])
@pytest.mark.parametrize("method", ["head", "lora"])
def test_only_what_the_method_trains_moves(tmp_path, few, language_models, name, method):
    lm = language_models[name]
    # A learning rate of almost nothing leaves the saved model where it started.
    tuned(few, tmp_path / "start", lm, method=method, learning_rate=1e-30, epochs=1)
    tuned(few, tmp_path / "end", lm, method=method)
    start, end = (load_file(tmp_path / name / "model.safetensors") for name in ("start", "end"))
    moved = {key for key in start if not torch.equal(start[key], end[key])}
    embedding = next(key for key in start if "word_embeddings" in key or "embed_tokens" in key)
    head = {key for key in start if key.startswith(("classifier", "score"))}
    queries_and_values = {
        key
        for key in start
        if key.endswith(("query.weight", "value.weight", "q_proj.weight", "v_proj.weight"))
    }
    assert head and queries_and_values
    # In a BERT saved with its masked-LM head the pooler is new as well.
    head |= {key for key in start if "pooler" in key}
    expected = head | {embedding} | (queries_and_values if method == "lora" else set())
    assert moved == expected
    n_old = len(start[embedding]) - 4 - N_AUDIO
    assert torch.equal(start[embedding][:n_old], end[embedding][:n_old])
    assert (start[embedding][n_old:] != end[embedding][n_old:]).any(dim=1).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_text_alone_leaves_the_vocabulary_as_it_is(tmp_path, few, language_models, method):
    lm = language_models["bert"]
    few = few.assign(audio_tokens=None)
    tuned(few, tmp_path, lm, n_audio_tokens=None, method=method, epochs=1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == len(AutoTokenizer.from_pretrained(lm.name))
    probabilities, config = by_transformers_alone(tmp_path, few)
    assert config.vocab_size == len(tokenizer)
    predictions = predict(tmp_path, few)
    np.testing.assert_allclose(predictions[["p_calm", "p_loud"]], probabilities, atol=1e-5)
    assert (predictions["n_audio_tokens"] == 0).all()


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_training_starts_from_the_adapted_rows(tmp_path, few, language_models, method):
    lm = language_models["bert"]
    rows = adapted_rows(few, tmp_path, lm)
    tuned(few, tmp_path, lm, token_rows=rows, method=method, learning_rate=1e-30, epochs=1)
    saved = load_file(tmp_path / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(saved[-len(rows.names) :].numpy(), rows.vectors)


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_new_rows_learn_at_their_own_rate(tmp_path, few, language_models, method):
    """AdamW's first step moves a weight by the learning rate, whatever its gradient."""
    lm, rate = language_models["bert"], 1e-4
    options = {"method": method, "lora": {"rank": 4}, "batch_size": 96, "epochs": 1}
    options |= {"weight_decay": 0.0, "warmup_share": 0.0}
    tuned(few, tmp_path / "start", lm, learning_rate=1e-30, **options)
    tuned(few, tmp_path / "end", lm, learning_rate=rate, new_rows_rate=20, **options)
    start, end = (load_file(tmp_path / name / "model.safetensors") for name in ("start", "end"))
    moves = {key: (end[key] - start[key]).abs() for key in start}
    n_new = len(new_token_names(N_AUDIO))
    rows = moves.pop("bert.embeddings.word_embeddings.weight")
    assert rows[-n_new:].amax(dim=1).numpy() == pytest.approx(20 * rate, rel=0.01)
    others = [
        rows[:-n_new],
        *(m for key, m in moves.items() if method != "lora" or "att" not in key),
    ]
    assert max(m.max().item() for m in others) == pytest.approx(rate, rel=0.01)


def test_new_rows_apart_learn_as_they_do_in_the_matrix(tmp_path, few, language_models):
    lm = language_models["bert"]
    tuned(few, tmp_path / "within", lm, learning_rate=1e-3)
    tuned(few, tmp_path / "apart", lm, learning_rate=1e-3, new_rows_rate=1 + 1e-9)
    within, apart = (predict(tmp_path / name, few) for name in ("within", "apart"))
    np.testing.assert_allclose(within["p_loud"], apart["p_loud"], atol=1e-4)


def test_rows_of_another_selection_are_refused(tmp_path, examples, language_models):
    rows = TokenRows(new_token_names(3), np.zeros((7, 32), dtype=np.float32))
    with pytest.raises(InputError, match="7 tokens, but this selection needs 14"):
        tuned(examples, tmp_path, language_models["bert"], token_rows=rows)


def test_class_weights_are_the_balanced_ones():
    index = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=index)
    np.testing.assert_allclose(class_weights(index, 3), expected, rtol=1e-6)
    np.testing.assert_allclose(class_weights(index, 4)[:3], expected, rtol=1e-6)


@given(data=st.data())
def test_the_focal_loss_is_the_formula(data):
    n, n_classes = data.draw(st.integers(1, 8)), data.draw(st.integers(2, 5))
    gamma = data.draw(st.sampled_from([0.0, 0.5, 2.0]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    logits = 3 * torch.randn((n, n_classes), generator=generator, dtype=torch.float64)
    logits = logits.float().requires_grad_()
    labels = torch.randint(n_classes, (n,), generator=generator)
    weights = torch.rand(n_classes, generator=generator)
    loss = classification_loss(log_p_of_class(logits, labels), weights[labels], gamma)
    p = logits.double().softmax(dim=1)[torch.arange(n), labels]
    expected = -(weights[labels] * (1 - p) ** gamma * p.log()).sum()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-6)
    if gamma == 0:
        expected = torch.nn.functional.cross_entropy(logits, labels, weights, reduction="sum")
        torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


def test_the_focal_loss_of_a_certain_example_has_a_gradient():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = classification_loss(log_p_of_class(logits, torch.tensor([0])), torch.ones(1), 0.5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0 and gradient.isfinite().all()


def test_the_training_loss_is_weighted(tmp_path, few, language_models):
    """With a learning rate of almost nothing the loss is that of the saved model."""
    tiny = {"learning_rate": 1e-30, "epochs": 1, "batch_size": 96}
    # Without dropout the loss in training is the loss in prediction.
    lm = without_dropout(language_models["gpt2"], tmp_path)
    for weighting in ("balanced", "none"):
        folder = tmp_path / weighting
        log = tuned(few, folder, lm, class_weights=weighting, **tiny).log
        train = predict(folder, few[few["split"] == "train"])
        own = np.where(train["label"] == "loud", train["p_loud"], train["p_calm"])
        weights = np.ones(len(train))
        if weighting == "balanced":
            weights = 1 / train.groupby("label")["label"].transform("count").to_numpy()
        expected = np.average(-np.log(own), weights=weights)
        assert log.loc[0, "train_loss"] == pytest.approx(expected, rel=1e-4)


def test_long_examples_are_cut_and_reported(tmp_path, few, language_models):
    lm = language_models["bert"].model_copy(update={"max_length": 16})
    tuned(few, tmp_path, lm, epochs=1)
    predictions = predict(tmp_path, few)
    assert predictions["cut"].any() and not predictions["cut"].all()
    frame = 6
    lengths = predictions["n_text_tokens"] + predictions["n_audio_tokens"] + frame
    assert (lengths[predictions["cut"]] == 16).all()


def test_a_missing_split_is_named(tmp_path, examples, language_models):
    with pytest.raises(InputError, match="needs validation rows"):
        tuned(examples[examples["split"] != "validation"], tmp_path, language_models["bert"])


def test_unknown_lora_targets_are_named(tmp_path, examples, language_models):
    with pytest.raises(InputError, match=r"finetune\.lora\.targets"):
        tuned(
            examples,
            tmp_path,
            language_models["bert"],
            method="lora",
            lora={"targets": ["no_such_layer"]},
        )


@pytest.mark.slow
def test_lora_of_the_upper_blocks_leaves_the_lower_ones(tmp_path, few, language_models):
    texts = few.assign(audio_tokens=None)
    lora = {"targets": ["1.self_attn.q_proj"], "rank": 4}
    for name, rate in (("start", 1e-30), ("end", 3e-3)):
        tuned(
            texts,
            tmp_path / name,
            language_models["llama"],
            n_audio_tokens=None,
            method="lora",
            lora=lora,
            learning_rate=rate,
        )
    start, end = (load_file(tmp_path / name / "model.safetensors") for name in ("start", "end"))
    moved = {key for key in start if not torch.equal(start[key], end[key])}
    assert moved == {"model.layers.1.self_attn.q_proj.weight", "score.weight"}


def test_the_epoch_is_the_one_with_the_smallest_loss(tmp_path, few, language_models):
    log = tuned(
        few, tmp_path, language_models["bert"], metric="loss", epochs=4, learning_rate=0.02
    ).log
    assert log.loc[log["best"], "loss"].item() == log["loss"].min() < log["loss"].max()
    predictions = predict(tmp_path, few)
    kept = evaluate(predictions, "loud")["splits"]["validation"]["loss"]
    assert kept == pytest.approx(log["loss"].min(), rel=1e-4)


def test_a_tuned_threshold_is_saved_and_used(tmp_path, few, language_models):
    lm, options = language_models["bert"], {"epochs": 3}
    tuned(few, tmp_path / "half", lm, **options)
    tuned(few, tmp_path / "tuned", lm, decision_threshold="tuned", **options)
    half, other = (predict(tmp_path / name, few) for name in ("half", "tuned"))
    config = AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").config
    threshold = config.decision_threshold
    assert threshold["label"] == "loud"
    # The same model, another decision.
    assert half["p_loud"].equals(other["p_loud"])
    expected = np.where(half["p_loud"] >= threshold["probability"], "loud", "calm")
    assert other["predicted"].tolist() == expected.tolist()
    f1 = [evaluate(rows, "loud")["splits"]["validation"]["macro_f1"] for rows in (half, other)]
    assert f1[1] >= f1[0]


def test_a_threshold_for_three_classes_is_refused(tmp_path, examples, language_models):
    labels = examples["label"].where(examples.index % 3 > 0, "shouted")
    with pytest.raises(InputError, match="tuned is for two classes, but these data have 3"):
        tuned(
            examples.assign(label=labels),
            tmp_path,
            language_models["bert"],
            decision_threshold="tuned",
        )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["head", "lora"])
def test_a_classifier_can_be_tuned_again(tmp_path, few, language_models, method, n_classes):
    """Which leaves its first threshold behind."""
    texts, options = few.assign(audio_tokens=None), {"n_audio_tokens": None, "epochs": 1}
    bert = language_models["bert"]
    tuned(texts, tmp_path / "first", bert, decision_threshold="tuned", **options)
    lm = bert.model_copy(update={"name": str(tmp_path / "first")})
    if n_classes == 3:
        texts["label"] = texts["label"].where(texts.index % 4 > 0, "shouted")
    result = tuned(texts, tmp_path / "again", lm, method=method, **options)
    assert result.decision_threshold is None
    assert Classifier.open(tmp_path / "again").threshold is None
    first, again = (
        load_file(tmp_path / name / "model.safetensors")["classifier.weight"]
        for name in ("first", "again")
    )
    assert again.shape == (n_classes, 32)
    assert n_classes == 3 or not torch.equal(first, again)
