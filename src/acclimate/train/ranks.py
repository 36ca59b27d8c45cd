"""The processes that train together, or the one that trains alone.

Several processes are started by `accelerate launch`, whose configuration says how weights are shared: each
process has them all (DDP), a part of them (FSDP2), or what DeepSpeed makes of it (ZeRO-2 and 3).
"""
# ruff: noqa: ANN401

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import accelerate
import torch
from accelerate.state import AcceleratorState, DistributedType
from accelerate.utils import parse_flag_from_env
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from acclimate.errors import TrainError
from acclimate.train import checkpoints
from acclimate.train.parameters import repeated_layers
from acclimate.train.stage import TrainConfig


class Ranks(Protocol):
    """What the training loop asks of the processes it runs in."""

    rank: int
    size: int
    device: torch.device

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Return the model and the optimizer as this process uses them."""
        ...

    def passing(self, model: Any, *, is_last: bool) -> AbstractContextManager[Any]:
        """Return the context of one pass; only after a step's last one need gradients be exchanged."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss; over all processes they are summed."""
        ...

    def clip(self, model: Any, learning: Sequence[nn.Parameter], largest: float) -> float:
        """Scale gradients down to the largest norm; return the norm they had."""
        ...

    def summed(self, value: Tensor) -> Tensor:
        """Return the sum of a value over the processes."""
        ...

    def wait(self) -> None:
        """Wait for the other processes."""
        ...

    def save(self, model: Any, optimizer: Any, folder: Path) -> None:
        """Write this process's part of the state."""
        ...

    def load(self, model: Any, optimizer: Any, folder: Path) -> None:
        """Put it back."""
        ...

    def weights(self, model: Any) -> Mapping[str, Tensor] | None:
        """Return the whole learning weights in the first process, None in the others."""
        ...


class Alone:
    """One process."""

    rank, size = 0, 1

    def __init__(self, device: str) -> None:
        """Train on `cpu` or `cuda`."""
        self.device = torch.device(device)

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Return both as they are."""
        return model, optimizer

    def passing(self, model: Any, *, is_last: bool) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Return a context that does nothing."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip(self, _: Any, learning: Sequence[nn.Parameter], largest: float) -> float:
        """Clip and return the norm."""
        norm = nn.utils.get_total_norm([each.grad for each in learning if each.grad is not None])
        if (value := float(norm)) > largest:
            nn.utils.clip_grads_with_norm_(learning, largest, norm)
        return value

    def summed(self, value: Tensor) -> Tensor:
        """Return the value."""
        return value

    def wait(self) -> None:
        """Do nothing."""

    def save(self, model: Any, optimizer: Any, folder: Path) -> None:
        """Write the state."""
        checkpoints.save_state(model, optimizer, folder, self.rank)

    def load(self, model: Any, optimizer: Any, folder: Path) -> None:
        """Put it back."""
        checkpoints.load_state(model, optimizer, folder, self.rank)

    def weights(self, model: Any) -> Mapping[str, Tensor] | None:
        """Return the learning weights."""
        return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


class Together:
    """One of several processes that `accelerate launch` has started."""

    def __init__(self, device: str, config: TrainConfig) -> None:
        """Join the others.

        Raises:
            TrainError: the configuration asks for sharding that this accelerate does not do here.
        """
        accelerator = accelerate.Accelerator(cpu=device == "cpu")
        _shard_on_cpu(accelerator)
        self._accelerator = accelerator
        self.rank, self.size = accelerator.process_index, accelerator.num_processes
        self.device = accelerator.device
        self._kind = accelerator.distributed_type
        if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED") and self._kind != DistributedType.DEEPSPEED:
            raise TrainError(
                "The launch configuration asks for DeepSpeed, which accelerate uses on GPUs only and here "
                "would quietly replace by DDP. Set train.execution.launch to fsdp2 or ddp."
            )
        self._largest_norm = config.max_gradient_norm

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
        """Share the weights as the configuration says.

        Raises:
            TrainError: weights were to be sharded and are not.
        """
        if self._kind == DistributedType.DEEPSPEED:
            settings: dict[str, Any] = self._accelerator.state.deepspeed_plugin.deepspeed_config
            settings["train_micro_batch_size_per_gpu"] = 1  # our passes are no rows of its own counting
            settings["gradient_clipping"] = self._largest_norm
        if self._kind == DistributedType.FSDP:
            # What transformers says of a LLaVA names layers of towers that are not in it.
            repeated = {type(layer).__name__ for layer in repeated_layers(model)}
            self._accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = sorted(repeated)
        prepared: tuple[Any, Any] = self._accelerator.prepare(model, optimizer)
        named = dict(prepared[0].named_parameters())
        whole = [name for name, value in named.items() if not isinstance(value, DTensor)]
        if self.rank == 0:
            shared = f"{len(named) - len(whole)} of {len(named)} weights are sharded"
            sys.stdout.write(f"{self.size} processes ({self._kind.value}): {shared}\n")
        if self._kind == DistributedType.FSDP and whole:
            raise TrainError(
                f"The weights were to be sharded (FSDP2), and {len(whole)} of them, for instance {whole[0]}, "
                "are whole in every process. Use the fsdp2.yaml that is shipped, and the accelerate version "
                "in constraints.txt."
            )
        return prepared

    def passing(self, model: Any, *, is_last: bool) -> AbstractContextManager[Any]:
        """Exchange gradients after the last pass only, where each process holds all of them."""
        self._accelerator.gradient_state._set_sync_gradients(is_last)
        if self._kind in (DistributedType.FSDP, DistributedType.DEEPSPEED) or is_last:
            return nullcontext()
        context: AbstractContextManager[Any] = self._accelerator.no_sync(model)
        return context

    def backward(self, loss: Tensor) -> None:
        """Add the gradients: processes average theirs, so the loss is multiplied by their number."""
        self._accelerator.backward(loss * self.size)

    def clip(self, model: Any, learning: Sequence[nn.Parameter], largest: float) -> float:
        """Clip and return the norm; DeepSpeed clips by itself."""
        if self._kind == DistributedType.DEEPSPEED:
            norm = model.get_global_grad_norm()
            return 0.0 if norm is None else float(norm)
        norm = nn.utils.clip_grad_norm_(learning, largest)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def summed(self, value: Tensor) -> Tensor:
        """Return the sum over the processes."""
        total: Tensor = self._accelerator.reduce(value.clone(), reduction="sum")
        return total

    def wait(self) -> None:
        """Wait for the other processes."""
        self._accelerator.wait_for_everyone()

    def save(self, model: Any, optimizer: Any, folder: Path) -> None:
        """Write this process's part."""
        if self._kind == DistributedType.DEEPSPEED:
            model.save_checkpoint(str(folder), tag="deepspeed")
            return
        checkpoints.save_state(self._plain(model), _inner(optimizer), folder, self.rank)

    def load(self, model: Any, optimizer: Any, folder: Path) -> None:
        """Put it back."""
        if self._kind == DistributedType.DEEPSPEED:
            model.load_checkpoint(str(folder), tag="deepspeed")
            return
        checkpoints.load_state(self._plain(model), _inner(optimizer), folder, self.rank)

    def weights(self, model: Any) -> Mapping[str, Tensor] | None:
        """Gather the learning weights in the first process."""
        names = [name for name, value in self._plain(model).named_parameters() if value.requires_grad]
        if self._kind == DistributedType.DEEPSPEED:
            state = self._accelerator.get_state_dict(model)
            return {name: state[name] for name in names} if self.rank == 0 else None
        found: dict[str, Tensor] = {}
        for name, value in self._plain(model).named_parameters():
            if value.requires_grad:
                whole = value.detach()
                whole = whole.full_tensor() if isinstance(whole, DTensor) else whole
                if self.rank == 0:
                    found[name] = whole.cpu()
        return found if self.rank == 0 else None

    def _plain(self, model: Any) -> Any:
        return self._accelerator.unwrap_model(model)


def _inner(optimizer: Any) -> torch.optim.Optimizer:
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _shard_on_cpu(accelerator: accelerate.Accelerator) -> None:
    """Let accelerate shard on CPUs, where it would quietly use DDP in place of FSDP2.

    Source: measured with accelerate 1.15: its state leaves several CPU processes out of those whose kind the
    launch configuration raises to FSDP.

    Raises:
        TrainError: the configuration asks for FSDP in its first version.
    """
    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return
    if accelerator.distributed_type == DistributedType.MULTI_CPU:
        plugin = accelerate.FullyShardedDataParallelPlugin()
        AcceleratorState._shared_state |= {"fsdp_plugin": plugin, "distributed_type": DistributedType.FSDP}
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise TrainError("Only FSDP2 is supported. Set fsdp_version: 2 in the launch configuration.")
