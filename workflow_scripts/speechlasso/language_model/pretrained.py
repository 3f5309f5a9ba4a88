"""Pretrained language models: where they come from, and how their vocabulary grows.

A model is a local directory or a name on the Hugging Face hub. Code that comes with a model is
never run. Some need no hub: their files come with ordinary Python packages (`packaged_models`).
"""

from __future__ import annotations

import importlib.util
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import AddedToken
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from speechlasso.errors import InputError
from speechlasso.hub import loaded, readable_errors
from speechlasso.language_model.gguf_file import converted
from speechlasso.language_model.settings import LanguageModel
from speechlasso.language_model.token_text import MARKERS, new_token_names
from speechlasso.language_model.vocabulary import check_vocabulary
from speechlasso.packaged_models import PACKAGED_MODELS, package_hint, packaged_weights
from speechlasso.training.devices import gpus_in_use

# New rows start around the mean row, spread by this share of the existing rows' spread.
INITIAL_SPREAD = 0.5

Objective = Literal["masked", "causal"]
Start = Literal["codebook", "mean", "markers", "random"]
Storage = Literal["fp32", "bf16", "int8", "nf4"]


@dataclass(frozen=True)
class LoadedModel:
    """A model with its float32 weights, and the parameters its files did not hold."""

    model: PreTrainedModel
    newly_initialised: list[torch.nn.Parameter]


def load_tokenizer(lm: LanguageModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token and `lm.max_length` as its longest input.

    Raises
    ------
    InputError
        Where the model cannot be found, its tokenizer is not its own, or offers nothing to pad
        with.
    """
    with _readable_errors(lm):
        tokenizer = loaded(AutoTokenizer, **_source(lm))
    n_rows = getattr(_config(lm).get_text_config(), "vocab_size", None)
    if n_rows is not None:
        check_vocabulary(tokenizer, n_rows, f"lm.name: {lm.name!r}")
    # Decoders are trained without padding; the attention mask hides whatever stands there.
    names = (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token)
    with_row = [name for name in names if name and _has_row(tokenizer, name, n_rows)]
    if not with_row:
        raise InputError(
            f"lm.name: the tokenizer of {lm.name!r} has neither a padding nor an end-of-text "
            "token; choose another model"
        )
    tokenizer.pad_token = with_row[0]
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = lm.max_length
    return tokenizer


def _has_row(tokenizer: PreTrainedTokenizerBase, name: str, n_rows: int | None) -> bool:
    return n_rows is None or tokenizer.convert_tokens_to_ids(name) < n_rows


def load_model(
    lm: LanguageModel,
    auto_class: type,
    *,
    seed: int,
    dropout: bool = True,
    weights: Storage = "fp32",
    **options: Any,
) -> LoadedModel:
    """The model under one of transformers' Auto classes.

    Parameters
    ----------
    lm
        Name, revision and longest input of the model.
    auto_class
        For example `transformers.AutoModelForMaskedLM`.
    seed
        Draws the weights that the model's files do not hold.
    dropout
        Whether the model has the dropout that its configuration names, or none.
    weights
        How the weights are stored; those that the files do not hold are float32 always.
    **options
        Passed on to `from_pretrained`, such as `num_labels`.

    Raises
    ------
    InputError
        Where the model cannot be found, does not fit the class, or reads less than `lm.max_length`.
    """
    if not dropout:
        options["config"] = _without_dropout(_config(lm))
    with _readable_errors(lm), torch.random.fork_rng(devices=gpus_in_use()):
        torch.manual_seed(seed)
        model, info = loaded(
            auto_class,
            **_source(lm),
            output_loading_info=True,
            **_storage(weights),
            **_attention(),
            **options,
        )
    _check_length(lm, model)
    _check_shapes(lm, model, [name for name, *_ in info["mismatched_keys"]])
    if lm.compile:
        # Of dynamic lengths, as each batch has its own.
        model.base_model.compile(dynamic=True)
    missing = set(info["missing_keys"])
    new = [
        parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name in missing
    ]
    if new and weights in ("int8", "nf4"):
        raise InputError(
            f"adapt.weights: {weights} needs a model whose files hold its prediction head, which "
            f"those of {lm.name!r} do not; choose bf16"
        )
    for parameter in new:
        parameter.data = parameter.data.float()
    return LoadedModel(model, new)


def objective(lm: LanguageModel) -> Objective:
    """What the model was trained on: masked tokens (encoders) or the next token (decoders)."""
    config = _config(lm)
    is_encoder = not (config.is_encoder_decoder or getattr(config, "is_decoder", False))
    if is_encoder and type(config) in MODEL_FOR_MASKED_LM_MAPPING:
        return "masked"
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "causal"
    raise InputError(
        f"lm.name: {lm.name!r} is a {config.model_type} model, neither a masked nor a causal "
        "language model; choose one that is"
    )


def extend_with_audio_tokens(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    n_audio_tokens: int,
    *,
    start: Start = "mean",
    centroids: np.ndarray | None = None,
    seed: int,
) -> list[int]:
    """Add the markers and audio tokens to a tokenizer and its model, both in place.

    Each new row of the embedding matrix (and of the output matrix) is the mean of the existing
    rows plus normal noise of half their spread; with `markers`, the mean of the rows of the words
    that the token's name is made of plus that noise; with `random`, normal noise of their spread.
    With `codebook` an audio token's noise is a random projection of its centroid, the same for all,
    so that near codes start near; the rows together have half the spread, too.

    Parameters
    ----------
    centroids
        Of each audio token, float32 (n_audio_tokens, size), for `codebook`, which without them is
        `mean`.

    Returns
    -------
    list[int]
        Ids of the new tokens, in the order of `token_text.new_token_names`: the numbers that
        follow the old vocabulary.

    Raises
    ------
    InputError
        If the tokenizer already knows one of the names.
    """
    names = new_token_names(n_audio_tokens)
    known = sorted(set(names) & tokenizer.get_vocab().keys())
    if known:
        raise InputError(
            f"lm.name: the tokenizer of {tokenizer.name_or_path!r} already has {', '.join(known)}; "
            "choose a model without audio tokens"
        )
    n_old = len(tokenizer)
    words = [_words_of(name, tokenizer) for name in names]
    # lstrip makes a token swallow the spaces before it, which would become tokens of their own.
    tokenizer.add_tokens(
        [
            AddedToken(name, special=False, normalized=False, lstrip=True, rstrip=False)
            for name in names
        ]
    )
    ids = list(range(n_old, n_old + len(names)))
    if tokenizer.convert_tokens_to_ids(names) != ids:
        raise InputError(
            f"lm.name: the vocabulary of {tokenizer.name_or_path!r} has gaps; choose another model"
        )
    n_rows = model.get_input_embeddings().weight.shape[0]
    # Some models have spare rows after their vocabulary: never shrink a matrix.
    model.resize_token_embeddings(max(n_rows, len(tokenizer)), mean_resizing=False)
    rng = np.random.default_rng(seed)
    for weight in _vocabulary_matrices(model):
        noise = rng.standard_normal((len(names), weight.shape[1]), dtype=np.float32)
        if start == "codebook" and centroids is not None:
            noise[len(MARKERS) :] = _projected(centroids, weight.shape[1], rng)
        _set_new_rows(weight, n_old, words, start, torch.from_numpy(noise))
    return ids


def set_rows(model: PreTrainedModel, ids: list[int], vectors: np.ndarray) -> None:
    """Overwrite rows of the embedding matrix with float32 vectors, (n, hidden size), in place."""
    weight = model.get_input_embeddings().weight
    if vectors.shape != (len(ids), weight.shape[1]):
        raise InputError(
            f"the token rows have shape {vectors.shape}, but this model needs "
            f"{(len(ids), weight.shape[1])}; adapt this model to these tokens first"
        )
    with torch.no_grad():
        weight[ids] = torch.from_numpy(vectors).to(weight)


def _vocabulary_matrices(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The input matrix and, where it is another one, the output matrix."""
    matrices = [model.get_input_embeddings().weight]
    output = model.get_output_embeddings()
    if output is not None and output.weight is not matrices[0]:
        matrices.append(output.weight)
    return matrices


def _words_of(name: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the words that the name of a new token is made of: <|text_end|> is "text end"."""
    words = " ".join(re.findall("[a-z]+", name))
    return tokenizer(words, add_special_tokens=False)["input_ids"]


def _projected(centroids: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random projections, float32 (n, size), of unit variance over all of them."""
    projection = rng.standard_normal((centroids.shape[1], size), dtype=np.float32)
    mean_square = np.square(centroids).sum(axis=1).mean()
    return (centroids / np.sqrt(np.maximum(mean_square, 1e-12))) @ projection


@torch.no_grad()
def _set_new_rows(
    weight: torch.nn.Parameter,
    n_old: int,
    words: list[list[int]],
    start: Start,
    noise: torch.Tensor,
) -> None:
    """Write the rows of the words, with noise (n_words, hidden size) of unit variance."""
    old = weight[:n_old].float()
    spread, mean = torch.std_mean(old, dim=0)
    noise = spread * noise.to(spread)
    if start == "random":
        rows = noise
    elif start in ("mean", "codebook"):
        rows = mean + INITIAL_SPREAD * noise
    else:
        rows = torch.stack([old[ids].mean(dim=0) for ids in words]) + INITIAL_SPREAD * noise
    weight[n_old : n_old + len(words)] = rows.to(weight)


def _config(lm: LanguageModel) -> PretrainedConfig:
    with _readable_errors(lm):
        return loaded(AutoConfig, **_source(lm))


def _without_dropout(config: PretrainedConfig) -> PretrainedConfig:
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    return config


def _storage(weights: Storage) -> dict[str, Any]:
    """What tells transformers how to store weights."""
    if weights in ("fp32", "bf16"):
        return {"dtype": {"fp32": torch.float32, "bf16": torch.bfloat16}[weights]}
    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise InputError(
            f"adapt.weights: {weights} needs a GPU and the package bitsandbytes "
            "(pip install bitsandbytes); bf16 needs neither"
        )
    from transformers import BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_8bit=weights == "int8",
        load_in_4bit=weights == "nf4",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {
        "quantization_config": quantization,
        "dtype": torch.bfloat16,
        "device_map": {"": torch.cuda.current_device()},
    }


def _source(lm: LanguageModel) -> dict[str, Any]:
    """Where the model is, as `hub.loaded` takes it."""
    where = lm.name
    if weights := packaged_weights(lm.name, lm.revision):
        is_gguf = weights.suffix == ".gguf"
        digest = PACKAGED_MODELS[lm.name].sha256
        where = converted(weights, digest) if is_gguf else weights.parent
    return {"name": str(where), "revision": lm.revision}


def _attention() -> dict[str, str]:
    # On processors the plain implementation trains about 1.5 times faster than the fused one,
    # which has no fast kernel for attention dropout.
    return {} if torch.cuda.is_available() else {"attn_implementation": "eager"}


def _check_length(lm: LanguageModel, model: PreTrainedModel) -> None:
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is None:
        return
    # RoBERTa counts positions from its padding id on.
    positions = dict(model.named_modules()).get(f"{model.base_model_prefix}.embeddings")
    first = getattr(getattr(positions, "position_embeddings", None), "padding_idx", None)
    if first is not None:
        longest -= first + 1
    if lm.max_length > longest:
        raise InputError(
            f"lm.max_length: {lm.max_length} is more than the {longest} tokens {lm.name!r} reads"
        )


def _check_shapes(lm: LanguageModel, model: PreTrainedModel, mismatched: list[str]) -> None:
    """A head may be of another size than the files say; what is below it may not."""
    body = [name for name in mismatched if name.startswith(f"{model.base_model_prefix}.")]
    if body:
        raise InputError(
            f"lm.name: config.json of {lm.name!r} does not fit its weights, which have other "
            f"sizes: {', '.join(body[:3])}; use the config.json that belongs to them"
        )


def _readable_errors(lm: LanguageModel) -> AbstractContextManager[None]:
    return readable_errors("lm.name", lm.name, package_hint(lm.name))
