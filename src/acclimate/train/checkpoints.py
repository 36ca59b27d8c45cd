"""Checkpoints of an unfinished training, complete or absent.

A checkpoint is a folder that is written under another name and renamed when it is whole, so a process
killed at any instant leaves either the checkpoint before or the one after. It belongs to one run: its key
is a hash of everything that decides the weights, and a checkpoint with another key is ignored. Where several
processes train, each writes its own part of the state; all is safetensors and JSON.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from acclimate.errors import TrainError
from acclimate.files import sync_folder, write_json
from acclimate.train.stage import LossRow

_PREFIX = "step-"
_KEY = "key.json"
_LOSSES = "losses.json"
_STATES = ("exp_avg", "exp_avg_sq", "step")


def folder_of(work: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return work / f"{_PREFIX}{step:08d}"


def newest(work: Path, key: str) -> Path | None:
    """Return the newest complete checkpoint of the run, or None."""
    for folder in sorted(work.glob(f"{_PREFIX}*"), reverse=True):
        if (folder / _KEY).is_file() and json.loads((folder / _KEY).read_text(encoding="utf-8")) == key:
            return folder
    return None


def step_of(folder: Path) -> int:
    """Return how many steps were done when the checkpoint was written."""
    return int(folder.name.removeprefix(_PREFIX))


def begin(work: Path) -> Path:
    """Return an empty folder to write a checkpoint in, having removed what a killed process left."""
    part = unfinished(work)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def unfinished(work: Path) -> Path:
    """Return the folder that `begin` makes."""
    return work / "unfinished"


def finish(part: Path, work: Path, step: int, key: str) -> None:
    """Make the written folder the checkpoint of the step, and remove older ones."""
    write_json(part / _KEY, key)
    for file in part.rglob("*"):
        if file.is_file():
            _sync(file)
    sync_folder(part)
    target = folder_of(work, step)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    sync_folder(work)
    for folder in work.glob(f"{_PREFIX}*"):
        if folder != target:
            shutil.rmtree(folder, ignore_errors=True)


def save_state(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, rank: int) -> None:
    """Write what one process has: learning weights, the optimizer's state, random numbers.

    Raises:
        OSError: the disk is full.
    """
    tensors: dict[str, Tensor] = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    for name, parameter in _learning(model).items():
        tensors[f"weight.{name}"] = _own(parameter)
        for key in _STATES:
            value = optimizer.state.get(parameter, {}).get(key)
            if value is not None:
                tensors[f"{key}.{name}"] = _own(value)
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(whole, folder / _part(rank))
    except SafetensorError as error:  # it hides the system's own error, which tells that the disk is full
        found = re.search(r"code: (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number), str(folder)) from error


def load_state(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, rank: int) -> None:
    """Put back what `save_state` wrote.

    Raises:
        TrainError: the checkpoint has other parameters than the model.
    """
    saved = load_file(folder / _part(rank)) if (folder / _part(rank)).is_file() else {}
    learning = _learning(model)
    if {name.removeprefix("weight.") for name in saved if name.startswith("weight.")} != learning.keys():
        raise TrainError(
            f"The checkpoint {folder} belongs to another model, other frozen groups or another number of "
            f"processes. Remove {folder.parent} and run the same command again: training starts anew."
        )
    with torch.no_grad():
        for name, parameter in learning.items():
            _own(parameter).copy_(saved[f"weight.{name}"])
            state: dict[str, Any] = optimizer.state[parameter]
            for key in _STATES:
                if (value := saved.get(f"{key}.{name}")) is not None:
                    state[key] = (
                        value.to(_own(parameter).device) if key == "step" else _like(parameter, value)
                    )
    torch.set_rng_state(saved["rng.cpu"])
    if "rng.cuda" in saved and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved["rng.cuda"])


def save_losses(rows: Iterable[LossRow], folder: Path) -> None:
    """Write the loss log up to the checkpoint."""
    write_json(folder / _LOSSES, [asdict(row) for row in rows])


def load_losses(folder: Path) -> Sequence[LossRow]:
    """Return the loss log up to the checkpoint."""
    return [LossRow(**row) for row in json.loads((folder / _LOSSES).read_text(encoding="utf-8"))]


def _part(rank: int) -> str:
    return f"state-{rank:04d}.safetensors"


def _learning(model: nn.Module) -> Mapping[str, nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def _own(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds."""
    own: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return own.detach()


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a process's part of a state as what the optimizer keeps for the parameter."""
    value = value.to(device=_own(parameter).device, dtype=parameter.dtype)
    if not isinstance(parameter, DTensor):
        return value
    made: Tensor = DTensor.from_local(
        value,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
    return made


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
