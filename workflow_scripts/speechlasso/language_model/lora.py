"""Low-rank updates of a language model's attention (LoRA, arXiv 2106.09685), which peft makes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from transformers import PreTrainedModel

from speechlasso.errors import InputError
from speechlasso.language_model.settings import LoRA

# Names of the layers that make queries and values, one tuple for each family of models; where keys
# come out of the same layer, they are adapted along.
ATTENTION_LAYERS = (
    ("q_proj", "v_proj"),  # Llama, Qwen, Gemma, OPT, Mistral
    ("query", "value"),  # BERT, RoBERTa, ELECTRA
    ("query_proj", "value_proj"),  # DeBERTa 2 and 3
    ("q_lin", "v_lin"),  # DistilBERT
    ("q", "v"),  # MPNet
    ("in_proj",),  # DeBERTa 1
    ("Wqkv",),  # ModernBERT
    ("query_key_value",),  # Pythia
    ("qkv_proj",),  # Phi 3
    ("c_attn",),  # GPT-2
)


def with_lora(
    model: PreTrainedModel, lora: LoRA, part: PreTrainedModel | None = None
) -> torch.nn.Module:
    """The model with trainable updates beside its weights, which are frozen.

    Parameters
    ----------
    part
        What of the model is updated, such as its language model; by default all of it.

    Raises
    ------
    InputError
        If the layers to update are not there, or which they are is not known.
    """
    # Importing peft takes seconds, and full fine-tuning never needs it.
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(model, lora, part or model),
    )
    try:
        with warnings.catch_warnings():
            # About names that peft uses of transformers, and a setting that it corrects itself.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing|fan_in_fan_out")
            return get_peft_model(model, config)
    except ValueError as error:
        raise InputError(f"finetune.lora.targets: {error}") from error


def updates_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The updates of a model that `with_lora` returned, on the processor, by their names."""
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(model)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}


def with_updates_of(model: torch.nn.Module, updates: Mapping[str, torch.Tensor]) -> None:
    """Give a model that `with_lora` returned the updates of another one."""
    from peft import set_peft_model_state_dict

    told = set_peft_model_state_dict(model, dict(updates))
    if told.unexpected_keys:
        raise InputError(f"the model has no place for the update {told.unexpected_keys[0]}")


def _targets(model: PreTrainedModel, lora: LoRA, part: PreTrainedModel) -> list[str]:
    """Names of the layers to update: the last words of them or, within a part, all words."""
    names = lora.targets or _queries_and_values(part)
    if part is model:
        return names
    place = next(name for name, module in model.named_modules() if module is part)
    ends = tuple(f".{name}" for name in names)
    inside = [name for name, _ in part.named_modules() if f".{name}".endswith(ends)]
    return [f"{place}.{name}" for name in inside] or names


def _queries_and_values(model: PreTrainedModel) -> list[str]:
    """What the model calls the linear layers of its attention that make queries and values."""
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    for layers in ATTENTION_LAYERS:
        if names.issuperset(layers):
            return list(layers)
    raise InputError(
        f"finetune.lora.targets: which layers of a {model.config.model_type} model make queries "
        "and values is not known here; name them"
    )
