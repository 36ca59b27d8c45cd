"""Fused kernels, Liger's on a GPU and ours on a CPU, and only if they compute the same loss."""
# ruff: noqa: ANN401

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

from acclimate.errors import TrainError
from acclimate.train import cpu_kernels

PACKAGE = "liger_kernel"
TOLERANCE = 2e-2
"""Of the first loss, in bfloat16. Our own rule: kernels that differ by more compute something else."""


def fuse(model: Any, device: str, loss_of: Callable[[], float], *, mixed: bool = True) -> bool:
    """Put fused kernels into a model; return whether it was done.

    On a GPU they are Liger's, where the package is installed and knows the family; the output head stays as
    it is: only trained positions go through it, which leaves a fused loss little to save. On a CPU they are
    `cpu_kernels`, for mixed precision.

    Args:
        loss_of: computes the loss of one and the same batch as in training, before and after.
        mixed: whether training is in mixed precision.

    Raises:
        TrainError: the loss is another one afterwards.
    """
    plain = getattr(model, "get_base_model", lambda: model)()
    put = _ours(model, mixed=mixed) if device == "cpu" else _ligers(plain, device)
    if put is None:
        return False
    before = loss_of()
    put()
    after = loss_of()
    if abs(after - before) > TOLERANCE * max(1.0, abs(before)):
        raise TrainError(
            f"With fused kernels the first loss is {after:.5f}, without them {before:.5f}, so they compute "
            "something else here. Set train.execution.kernels to off, or install another liger-kernel."
        )
    return True


def _ours(model: Any, *, mixed: bool) -> Callable[[], object] | None:
    return partial(cpu_kernels.use, model) if mixed and cpu_kernels.norms(model) else None


def _ligers(plain: Any, device: str) -> Callable[[], object] | None:
    if device != "cuda" or importlib.util.find_spec(PACKAGE) is None:
        return None
    patches: Any = importlib.import_module(f"{PACKAGE}.transformers.monkey_patch")
    if plain.config.model_type not in patches.MODEL_TYPE_TO_APPLY_LIGER_FN:
        return None
    return partial(
        patches._apply_liger_kernel_to_instance, plain, cross_entropy=False, fused_linear_cross_entropy=False
    )
