"""The loss of adaptation: cross-entropy over a large vocabulary of which few rows learn.

With 128,000 tokens the scores of a batch over the vocabulary, and their gradient, are by far the
largest tensors of a step. Here they exist for a few positions at a time, and only where something
is to be predicted. Gradients are computed along with the loss, as Liger's fused kernel does (arXiv
2410.10989, section 3.2), but of the output matrix only for the rows that learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from speechlasso.language_model.new_row_training import NewRows

IGNORED = -100
"""Label of positions without a prediction to make; what torch's cross-entropy ignores."""

# Scores held at a time: 64 MB in float32.
LARGEST_SCORES = 2**24


def language_model_loss(
    model: PreTrainedModel, rows: NewRows | None, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Sum of the cross-entropies at the labelled positions, a float32 scalar.

    Parameters
    ----------
    model
        With a language-modelling head; frozen, but for what `rows` and its own hold trainable.
    rows
        Of this model; None where no row of its output matrix learns.
    batch
        `input_ids`, `labels`, and `attention_mask` or (packed: see `batching.packed_inputs`)
        `position_ids`, int64 (n, longest). Labels stand where the prediction is made, and are
        `IGNORED` elsewhere.
    """
    is_labelled = batch["labels"] != IGNORED
    hidden = hidden_states_before_scores(model, batch)[is_labelled]
    head, config = model.get_output_embeddings(), model.config
    # What Cohere, Granite and Gemma do to the scores of their output matrices.
    hidden = hidden * (getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0))
    return vocabulary_cross_entropy(
        hidden,
        head.weight,
        head.bias,
        batch["labels"][is_labelled],
        rows.output_rows if rows else head.weight.detach()[:0].float(),
        rows.first if rows else 0,
        bound=getattr(config, "final_logit_softcapping", None),
    )


def vocabulary_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    rows: torch.Tensor,
    first: int,
    bound: float | None = None,
) -> torch.Tensor:
    """Sum of cross-entropies of the scores `hidden @ weight.T + bias`, a float32 scalar.

    Parameters
    ----------
    hidden
        (n, hidden size); gets a gradient.
    weight
        (vocabulary, hidden size), frozen. It holds the values of `rows`.
    bias
        (vocabulary,) or None; gets a gradient if it is trainable.
    targets
        int64 (n,).
    rows
        The rows of `weight` from `first` on that learn, float32; they get a gradient.
    bound
        Scores s become `bound * tanh(s / bound)` (Gemma 2, arXiv 2408.00118, section 2).
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        # Once for all parts, which autocast would not do.
        weight = weight.to(torch.get_autocast_dtype(device))
    return _VocabularyCrossEntropy.apply(
        hidden, rows, bias, weight.detach(), targets, first, bound, torch.is_grad_enabled()
    )


class _VocabularyCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        rows: torch.Tensor,
        bias: torch.Tensor | None,
        weight: torch.Tensor,
        targets: torch.Tensor,
        first: int,
        bound: float | None,
        with_gradients: bool,
    ) -> torch.Tensor:
        of_bias = torch.zeros_like(bias) if bias is not None and bias.requires_grad else None
        gradients = (torch.empty_like(hidden), torch.zeros_like(rows), of_bias)
        total = torch.zeros((), device=hidden.device)
        size = max(1, LARGEST_SCORES // len(weight))
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)
            target = targets[part, None]
            scores = F.linear(hidden[part].to(weight), weight).float()
            if bias is not None:
                scores += bias
            if bound is not None:
                scores = bound * (scores / bound).tanh_()
                slopes = 1 - (scores / bound) ** 2
            normaliser = scores.logsumexp(dim=1, keepdim=True)
            total += (normaliser - scores.gather(1, target)).sum()
            if with_gradients:
                errors = scores.sub_(normaliser).exp_()
                errors.scatter_add_(1, target, errors.new_full(target.shape, -1.0))
                if bound is not None:
                    errors *= slopes
                with torch.autocast(hidden.device.type, enabled=False):
                    _add_gradients(gradients, errors, hidden, part, weight, first)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple:
        gradients = [None if g is None else g * upstream.to(g) for g in ctx.saved_tensors]
        return *gradients, None, None, None, None, None


def _add_gradients(
    gradients: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    errors: torch.Tensor,
    hidden: torch.Tensor,
    part: slice,
    weight: torch.Tensor,
    first: int,
) -> None:
    """Add what some positions contribute; errors are probabilities minus one-hot targets."""
    of_hidden, of_rows, of_bias = gradients
    of_hidden[part] = errors.to(weight) @ weight
    of_rows += errors[:, first : first + len(of_rows)].T @ hidden[part].float()
    if of_bias is not None:
        of_bias += errors.sum(dim=0)


class _HeadReached(Exception):
    def __init__(self, hidden: torch.Tensor) -> None:
        self.hidden = hidden


def hidden_states_before_scores(
    model: PreTrainedModel, batch: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """What a model would multiply by its output matrix, (n, longest, hidden size)."""

    def stop(_: torch.nn.Module, inputs: tuple) -> None:
        raise _HeadReached(inputs[0])

    hook = model.get_output_embeddings().register_forward_pre_hook(stop)
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    if "position_ids" in inputs:
        # With a cache for generation, transformers does not look for packed sequences.
        inputs["use_cache"] = False
    try:
        model(**inputs)
    except _HeadReached as reached:
        return reached.hidden
    finally:
        hook.remove()
    raise RuntimeError("the model did not use its output matrix")
