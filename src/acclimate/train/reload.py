"""Loads a checkpoint with nothing but `transformers` and compares its logits with saved ones.

Run as a program in a fresh process: `python reload.py CHECKPOINT PROBE DEVICE`. It imports nothing of this
package, as a user of the checkpoint would not. PROBE is a safetensors file with, for row 0, 1, ..., the
forward's inputs as `0.input_ids`, `0.pixel_values`, ... and what the trained model answered as `0.logits`.
It prints one line of JSON with the largest difference and the largest logit.
"""
# ruff: noqa: ANN401

import json
import sys
from collections.abc import Mapping
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor


def probe_logits(model: Any, inputs: Mapping[str, Tensor], n_positions: int) -> Tensor:
    """Return the logits of the last positions of one row, (n_positions, V), in fp32 on the CPU."""
    device = next(model.parameters()).device
    moved = {name: value.to(device) for name, value in inputs.items()}
    with torch.no_grad():
        logits: Tensor = model(**moved, use_cache=False, logits_to_keep=n_positions).logits
    return logits[0].float().cpu()


def largest_difference(model: Any, probe: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return the largest absolute difference to the probe's logits, and the largest absolute logit."""
    rows: dict[str, dict[str, Tensor]] = {}
    for name, value in probe.items():
        row, _, field = name.partition(".")
        rows.setdefault(row, {})[field] = value
    difference = largest = 0.0
    for inputs in rows.values():
        expected = inputs.pop("logits")
        found = probe_logits(model, inputs, len(expected))
        difference = max(difference, float((found - expected).abs().max()))
        largest = max(largest, float(expected.abs().max()))
    return difference, largest


def main(checkpoint: str, probe: str, device: str) -> None:
    """Load the checkpoint, compare, and print the result."""
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    library.AutoImageProcessor.from_pretrained(checkpoint, local_files_only=True)
    model = library.AutoModelForImageTextToText.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True
    )
    difference, largest = largest_difference(model.to(device).eval(), load_file(probe))
    result = {"difference": difference, "largest": largest, "vocabulary": len(tokenizer)}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    main(*sys.argv[1:])
