"""How much memory a training takes at most, in one process: an estimate, said before the first step.

Weights, gradients and AdamW's two moments are counted exactly; activations by rule.
"""
# ruff: noqa: ANN401

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from acclimate.errors import TrainError
from acclimate.train.stage import Group, TrainConfig

_FP32 = 4
_BYTES_PER_WIDTH = 40
"""Bytes that a layer keeps per token and unit of its width for the backward pass, without attention's
scores: 34 in a plain transformer (Korthikanti et al. 2022, equation 2), a little more with gated layers."""
_BYTES_PER_LOGIT = 10
"""A trained token's logits in bf16, in fp32, and their gradient."""
_SHARDED = {"zero2": (1, 2), "zero3": (2, 2), "fsdp2": (2, 2)}


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model decides its activations."""

    layers: int
    width: int
    vocabulary: int

    @classmethod
    def of(cls, settings: Any) -> "Shape":
        """Return the shape of a model from its configuration."""
        text = settings.get_text_config()
        return cls(
            int(getattr(text, "num_hidden_layers", 0)),
            int(getattr(text, "hidden_size", 0)),
            int(getattr(text, "vocab_size", 0)),
        )


def memory_bytes(
    config: TrainConfig,
    parameters: Mapping[Group, int],
    trainable: Mapping[Group, int],
    shape: Shape,
    *,
    tokens: int,
) -> int:
    """Return what one process holds at most.

    Args:
        parameters: of the model, by group. trainable: of them, or of the updates beside them.
        tokens: in the largest pass.

    Source: 16 bytes per learning weight (fp32 weight, gradient and two moments), 4 per other one (half a byte
    where it is held in 4 bits), 2 for the bf16 copies, and `_BYTES_PER_WIDTH`; our own rule.
    """
    total, learning = sum(parameters.values()), sum(trainable.values())
    frozen = total if config.method != "full" else total - learning
    held: float = frozen * (0.5 if config.method == "qlora" else _FP32) + learning * _FP32
    changing: float = 3 * learning * _FP32
    execution = config.execution
    if execution.processes > 1:
        weights_shared, moments_shared = _SHARDED.get(execution.launch, (1, 1))
        held /= execution.processes if weights_shared == 2 else 1
        changing /= execution.processes if moments_shared == 2 else 1
    copies = 2 * total if config.precision == "bf16" and config.method != "qlora" else 0
    kept = shape.layers if not execution.gradient_checkpointing else 1
    activations = float(tokens * shape.width * (_BYTES_PER_WIDTH * kept + 2 * shape.layers))
    if config.precision == "fp32":
        activations *= 2
    return round(held + changing + copies + activations + tokens * shape.vocabulary * _BYTES_PER_LOGIT)


def require_memory(needed: int, device: str, config: TrainConfig) -> None:
    """Refuse a training that this machine has no memory for.

    Raises:
        TrainError: as said, with what would help.
    """
    if not config.execution.check_memory:
        return
    if device.startswith("cuda"):
        free = int(torch.cuda.mem_get_info()[0])
    else:
        free = int(psutil.virtual_memory().available) // config.execution.processes
    if needed <= free:
        return
    means = {
        "train.execution.gradient_checkpointing: true": not config.execution.gradient_checkpointing,
        f"train.execution.tokens_per_pass below {config.execution.tokens_per_pass}": True,
        "train.method: lora": config.method == "full",
        "train.method: qlora": config.method == "lora",
        "several processes with train.execution.launch: fsdp2": config.execution.processes == 1,
    }
    remedies = "; ".join(name for name, helps in means.items() if helps)
    raise TrainError(
        f"The training would take about {needed / 1e9:.1f} GB in each process, and {free / 1e9:.1f} GB are "
        f"free. What lowers it: {remedies}. If the estimate is wrong, set "
        "`train.execution.check_memory: false`."
    )
