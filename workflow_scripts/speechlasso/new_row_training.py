"""Freeze a model but for the embedding rows of its new tokens (peft's trainable tokens).

No gradient and no optimizer state exists for the rows of the old vocabulary.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from peft import PeftModel


def with_trainable_rows(
    model: PreTrainedModel, token_ids: list[int], also: list[torch.nn.Parameter]
) -> PeftModel:
    """Wrap a model so that only some vocabulary rows, and the parameters `also`, are trainable.

    Rows of the output matrix are trained with those of the input matrix: they are the same where
    the two are tied, and needed to predict the new tokens where they are not.
    """
    # Importing peft takes seconds, and text-only runs never need it.
    from peft import TrainableTokensConfig, get_peft_model

    names = [_name_of(model, model.get_input_embeddings())]
    output = model.get_output_embeddings()
    if output is not None and output.weight is not model.get_input_embeddings().weight:
        names.append(_name_of(model, output))
    with warnings.catch_warnings():
        # peft warns that tied layers stay untied, a case in which this method of its ties them.
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        wrapped = get_peft_model(
            model, TrainableTokensConfig(token_indices=token_ids, target_modules=names)
        )
    if output is not None and output.bias is not None:
        _add_bias(model.get_output_embeddings())
    for parameter in also:
        parameter.requires_grad_(True)
    return wrapped


def _name_of(model: PreTrainedModel, module: torch.nn.Module) -> str:
    return next(name for name, other in model.named_modules() if other is module)


def _add_bias(layer: torch.nn.Module) -> None:
    # peft's layer multiplies by the output matrix and forgets the bias that BERT has there.
    layer.register_forward_hook(lambda layer, inputs, logits: logits + layer.base_layer.bias)
