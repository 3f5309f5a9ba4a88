"""Train the vocabulary rows of a model's new tokens as parameters of their own.

Source: "A Simple Method to Enhance Pre-trained Language Models with Speech Tokens for
Classification" (arXiv 2512.07571), section on self-supervised adaptation. Gradients and optimizer
moments exist for the new rows alone. peft's trainable tokens give the same result, but copy the
whole matrix and make a gradient of its size at every step (bench/lm.py measures it).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

_MODULE = "new_rows"


class NewRows(torch.nn.Module):
    """The trainable copy of a model's last vocabulary rows, kept in step with the model.

    Before every forward pass the rows are written into the model's matrices, so that the model
    computes with them in its own way. The gradient of those of the embedding matrix comes through a
    term of value zero that is added to the output of the matrix, and reaches the matrix no more.

    Attributes
    ----------
    input_rows, output_rows
        Trainable rows of the embedding matrix and of the output matrix, float32
        (n, hidden size); one and the same where the two matrices are, and None where there is no
        output matrix.
    first
        Id of the first new token.
    """

    def __init__(self, model: PreTrainedModel, token_ids: list[int]) -> None:
        super().__init__()
        self.first, self.n = token_ids[0], len(token_ids)
        embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
        self.input_rows = self._trainable(embedding.weight)
        self.output_rows = None
        # In a list, the model's own weights do not become parameters of this module.
        self._copies = [(embedding.weight, self.input_rows)]
        if output is not None and output.weight is embedding.weight:
            self.output_rows = self.input_rows
        elif output is not None:
            self.output_rows = self._trainable(output.weight)
            self._copies.append((output.weight, self.output_rows))
        self._hooks = (
            embedding.register_forward_pre_hook(lambda *_: self.write()),
            embedding.register_forward_hook(self._with_input_gradient),
        )

    @torch.no_grad()
    def write(self) -> None:
        """Write the rows into the model's matrices."""
        for weight, rows in self._copies:
            weight[self.first : self.first + self.n] = rows.to(weight)

    def detach(self) -> None:
        """Leave the model as it was, with the rows in it."""
        self.write()
        for hook in self._hooks:
            hook.remove()

    def _trainable(self, weight: torch.Tensor) -> torch.nn.Parameter:
        return torch.nn.Parameter(weight[self.first : self.first + self.n].detach().float().clone())

    def _with_input_gradient(
        self, layer: torch.nn.Module, inputs: tuple, output: torch.Tensor
    ) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return output
        ids = inputs[0] - self.first
        is_new = (ids >= 0) & (ids < self.n)
        nothing = (self.input_rows - self.input_rows.detach()) * getattr(layer, "embed_scale", 1.0)
        if output.requires_grad:
            output = output.where(~is_new[..., None], output.detach())
        return output + F.embedding(ids.where(is_new, 0), nothing).to(output) * is_new[..., None]


def train_new_rows(model: PreTrainedModel, token_ids: list[int]) -> NewRows:
    """Make the rows of new tokens trainable, in a frozen model or apart from its other weights.

    They become a submodule of the model, until `stop_training_new_rows`.

    Parameters
    ----------
    token_ids
        Ids of the new tokens, ascending without gaps.
    """
    rows = NewRows(model, token_ids)
    model.add_module(_MODULE, rows)
    return rows


def is_new_rows(name: str) -> bool:
    """Whether a parameter of this name, as the model's `named_parameters` has it, is new rows."""
    return _MODULE in name.split(".")


def stop_training_new_rows(model: PreTrainedModel) -> None:
    """Take the submodule out again; the model keeps the rows' values in its own matrices."""
    if hasattr(model, _MODULE):
        getattr(model, _MODULE).detach()
        delattr(model, _MODULE)
