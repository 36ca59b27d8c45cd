"""Fused kernels from Liger, where the package is installed, and only if they compute the same loss."""
# ruff: noqa: ANN401

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from acclimate.errors import TrainError

PACKAGE = "liger_kernel"
TOLERANCE = 2e-2
"""Of the first loss, in bfloat16. Our own rule: kernels that differ by more compute something else."""


def fuse(model: Any, device: str, loss_of: Callable[[], float]) -> bool:
    """Put Liger's kernels into a model, on a GPU where the package knows its family; return whether it did.

    The output head stays as it is: only trained positions go through it, which leaves a fused loss little to
    save.

    Args:
        loss_of: computes the loss of one and the same batch, before and after.

    Raises:
        TrainError: the loss is another one afterwards.
    """
    if device != "cuda" or importlib.util.find_spec(PACKAGE) is None:
        return False
    patches: Any = importlib.import_module(f"{PACKAGE}.transformers.monkey_patch")
    plain = getattr(model, "get_base_model", lambda: model)()
    if plain.config.model_type not in patches.MODEL_TYPE_TO_APPLY_LIGER_FN:
        return False
    before = loss_of()
    patches._apply_liger_kernel_to_instance(plain, cross_entropy=False, fused_linear_cross_entropy=False)
    after = loss_of()
    if abs(after - before) > TOLERANCE * max(1.0, abs(before)):
        raise TrainError(
            f"With Liger's kernels the first loss is {after:.5f}, without them {before:.5f}, so they compute "
            "something else here. Set train.execution.kernels to off, or install another liger-kernel."
        )
    return True
