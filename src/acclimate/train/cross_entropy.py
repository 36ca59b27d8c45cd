"""Cross-entropy summed over rows, with one buffer of the logits' size from forward to backward."""
# ruff: noqa: ANN401

from typing import Any

import torch
from torch import Tensor


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over rows of log(sum(exp(logits))) minus the target's logit, in nats.

    Args:
        logits: (N, V), of any floating type; computed in float32, or float64 where they are.
        targets: (N,) int64.
    """
    out: Tensor = _Summed.apply(logits, targets)  # type: ignore[no-untyped-call]
    return out


class _Summed(torch.autograd.Function):
    """The softmax that backward needs is kept unscaled and used up, so exponentials are computed once."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        chosen = exact.gather(1, targets[:, None])
        largest = exact.amax(1, keepdim=True)
        exponentials = (exact - largest if exact is logits else exact.sub_(largest)).exp_()
        total = exponentials.sum(1, keepdim=True)
        ctx.save_for_backward(exponentials, total, targets)
        ctx.dtype = logits.dtype
        return (total.log() + largest - chosen).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        exponentials, total, targets = ctx.saved_tensors
        gradient = exponentials.mul_(gradients[0] / total)
        gradient.scatter_add_(1, targets[:, None], -gradients[0].expand(len(targets), 1))
        return gradient.to(ctx.dtype), None
