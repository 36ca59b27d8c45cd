"""Checkpoints of an unfinished training, complete or absent.

A checkpoint is a folder that is written under another name and renamed when it is whole, so a process
killed at any instant leaves either the checkpoint before or the one after. It belongs to one run: its key
is a hash of everything that decides the weights, and a checkpoint with another key is ignored.
"""

import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from acclimate.errors import TrainError
from acclimate.files import sync_folder, write_json
from acclimate.train.stage import LossRow

_PREFIX = "step-"
_KEY = "key.json"
_WEIGHTS = "trainable.safetensors"
_LOSSES = "losses.json"


def folder_of(work: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return work / f"{_PREFIX}{step:08d}"


def newest(work: Path, key: str) -> Path | None:
    """Return the newest complete checkpoint of the run, or None."""
    for folder in sorted(work.glob(f"{_PREFIX}*"), reverse=True):
        if (folder / _KEY).is_file() and json.loads((folder / _KEY).read_text(encoding="utf-8")) == key:
            return folder
    return None


def begin(work: Path) -> Path:
    """Return an empty folder to write a checkpoint in, having removed what a killed process left."""
    part = work / "unfinished"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def finish(part: Path, work: Path, step: int, key: str) -> None:
    """Make the written folder the checkpoint of the step, and remove older ones."""
    write_json(part / _KEY, key)
    for file in part.iterdir():
        _sync(file)
    sync_folder(part)
    target = folder_of(work, step)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    sync_folder(work)
    for folder in work.glob(f"{_PREFIX}*"):
        if folder != target:
            shutil.rmtree(folder, ignore_errors=True)


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write the parameters that learn; the others are the base model's."""
    tensors = {
        name: value.detach().contiguous() for name, value in model.named_parameters() if value.requires_grad
    }
    save_file(tensors, folder / _WEIGHTS)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put back what `save_weights` wrote.

    Raises:
        TrainError: the checkpoint has other parameters than the model.
    """
    saved = load_file(folder / _WEIGHTS)
    learning = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if saved.keys() != learning.keys():
        raise TrainError(
            f"The checkpoint {folder} belongs to another model or other frozen groups. Remove "
            f"{folder.parent} and run the same command again: training starts anew."
        )
    with torch.no_grad():
        for name, value in learning.items():
            value.copy_(saved[name])


def save_state(state: Mapping[str, Any], file: Path) -> None:
    """Write what `torch.load` reads; a full disk is an OSError, which torch's own writer hides."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file.write_bytes(buffer.getbuffer())


def save_losses(rows: Iterable[LossRow], folder: Path) -> None:
    """Write the loss log up to the checkpoint."""
    write_json(folder / _LOSSES, [asdict(row) for row in rows])


def load_losses(folder: Path) -> Sequence[LossRow]:
    """Return the loss log up to the checkpoint."""
    return [LossRow(**row) for row in json.loads((folder / _LOSSES).read_text(encoding="utf-8"))]


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
