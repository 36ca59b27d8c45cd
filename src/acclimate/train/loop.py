"""The training loop: whole optimizer steps, exact over passes, processes and interruptions.

One item of the data loader is one optimizer step with all the passes of this process, and a step's loss is
the mean over the trained tokens of all passes of all processes, however it is cut. Only trained positions go
through the output head. Resuming is exact: order, optimizer, schedule and random numbers go on as if nothing
had happened.
"""
# ruff: noqa: ANN401

import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from acclimate.errors import TrainError
from acclimate.train import checkpoints
from acclimate.train.collate import MULTIPLE, Steps
from acclimate.train.cross_entropy import summed_cross_entropy
from acclimate.train.ranks import Ranks
from acclimate.train.schedule import Step, learning_rate_factor
from acclimate.train.stage import LossRow, Progress, TrainConfig

_NOT_FOR_THE_MODEL = ("trained", "linked")
_TURN_S = 0.00005
"""Python's own is a hundred times as long. Our own rule."""


def selected_logits(model: nn.Module, head: nn.Module, inputs: dict[str, Any], positions: Tensor) -> Tensor:
    """Return the logits of some positions only, (N, V), N of them chosen by `positions` (B, T) bool.

    The head's input is narrowed by a hook, which works for every family whose logits come from one output
    head; the rest of the vocabulary's products are never computed.
    """
    n_chosen: list[int] = []

    def narrow(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        chosen = arguments[0][positions]
        n_chosen.append(len(chosen))
        return (nn.functional.pad(chosen, (0, 0, 0, -len(chosen) % MULTIPLE)), *arguments[1:])

    handle = head.register_forward_pre_hook(narrow)
    try:
        logits: Tensor = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits[: n_chosen[-1]]


def summed_loss(model: nn.Module, head: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """Return the cross-entropy summed over the batch's trained tokens, in nats.

    Args:
        model: any multimodal causal language model of `transformers`.
        head: its output embeddings.
        batch: from `collate`; where it has `linked` positions, they are passed through the head and count
            for nothing.
    """
    inputs = {name: value for name, value in batch.items() if name not in _NOT_FOR_THE_MODEL}
    counted = nn.functional.pad(batch["trained"][:, 1:], (0, 1), value=False)
    linked = batch.get("linked")
    positions = counted if linked is None else counted | linked
    logits = selected_logits(model, head, inputs, positions)
    targets = batch["input_ids"][:, 1:][batch["trained"][:, 1:]]
    if linked is None:
        return summed_cross_entropy(logits, targets)
    is_counted = counted[positions]
    loss = summed_cross_entropy(logits[is_counted], targets)
    return loss + 0.0 * logits[~is_counted].sum()


@dataclass(frozen=True, slots=True)
class Job:
    """One training: what is done, and where."""

    config: TrainConfig
    schedule: Sequence[Step]
    steps_per_epoch: int
    work: Path
    """Where checkpoints are kept."""
    key: str
    """Decides whether a checkpoint there belongs to this training."""
    on_progress: Progress | None
    on_row: Callable[[LossRow], None] | None = None
    """Told every step's row of the loss log, for trackers."""


def fit(
    model: Any,
    head: nn.Module,
    data: Steps,
    optimizer_groups: list[dict[str, Any]],
    job: Job,
    ranks: Ranks,
) -> tuple[Any, Sequence[LossRow]]:
    """Train the model, from the newest checkpoint where there is one.

    Args:
        model: with what learns marked by `requires_grad`, on the device.
        head: its output embeddings.
        data: one item per step of the job's schedule.
        optimizer_groups: AdamW's; `lr` is the peak.
        job: what is done, and where. ranks: who does it.

    Returns:
        The model as the processes hold it, and the loss log.

    Raises:
        TrainError: the loss or the gradient is not finite, the model refuses a batch, or a checkpoint is of
            another model.
    """
    config, total = job.config, len(job.schedule)
    with _deterministic(), _short_turns():
        optimizer: Any = torch.optim.AdamW(optimizer_groups, fused=True)
        peaks = [float(group["lr"]) for group in optimizer.param_groups]
        model, optimizer = ranks.prepare(model, optimizer)
        losses: list[LossRow] = []
        first = 0
        if (last := checkpoints.newest(job.work, job.key)) is not None:
            ranks.load(model, optimizer, last)
            losses = list(checkpoints.load_losses(last))
            first = checkpoints.step_of(last)
        model.train()
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for number, item in enumerate(_loader(data, first, total, config.execution.workers), start=first):
            factor = learning_rate_factor(number, total, config.warmup_ratio)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            loss = _step(model, head, item, job, ranks, number, learning)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(
                LossRow(
                    step=number + 1,
                    epoch=(number + 1) / job.steps_per_epoch,
                    loss=loss,
                    learning_rate=config.learning_rate * factor,
                    tokens=job.schedule[number].n_trained,
                )
            )
            if (number + 1) % config.save_every == 0 or number + 1 == total:
                _save(model, optimizer, losses, job, ranks)
            if ranks.rank == 0:
                _tell(job, losses[-1], total)
    return model, losses


def _tell(job: Job, row: LossRow, total: int) -> None:
    if job.on_row is not None:
        job.on_row(row)
    if job.on_progress is not None:
        job.on_progress(row.step, total, row.loss)


def _ahead(data: Steps, numbers: Sequence[int]) -> Iterator[Any]:
    """Yield the steps, the next one prepared by a thread while this one is trained on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = thread.submit(data.__getitem__, numbers[0]) if numbers else None
        for following in [*numbers[1:], None]:
            if waiting is None:
                return
            item = waiting.result()
            waiting = None if following is None else thread.submit(data.__getitem__, following)
            yield item


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let the thread that prepares steps hold Python's lock for short turns: the other one needs it often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _loader(data: Steps, first: int, total: int, workers: int) -> Iterable[Any]:
    if not workers:
        return _ahead(data, range(first, total))
    return DataLoader(
        data,
        batch_size=None,
        sampler=range(first, total),
        num_workers=workers,
        prefetch_factor=2,
        generator=torch.Generator(),  # its own: it draws a seed, which would move dropout's numbers
    )


def _step(
    model: Any,
    head: nn.Module,
    item: Mapping[str, Any],
    job: Job,
    ranks: Ranks,
    number: int,
    learning: Sequence[nn.Parameter],
) -> float:
    """Do the passes of one step and return its loss; gradients are left clipped."""
    n_trained = job.schedule[number].n_trained
    total = torch.zeros((), device=ranks.device)
    n_passes = len(item["batches"])
    for index, (batch, ids) in enumerate(zip(item["batches"], item["ids"], strict=True)):
        with ranks.passing(model, is_last=index + 1 == n_passes):
            loss = _loss(model, head, batch, ids, job, ranks) / n_trained
            if loss.requires_grad:  # text alone teaches nothing to a projector that learns alone
                ranks.backward(loss)
        total += loss.detach()
    for parameter in learning:
        if parameter.grad is None:
            # A step without pictures, say: what learns moves on as it does in one of several processes.
            parameter.grad = torch.zeros_like(parameter)
    norm = ranks.clip(model, learning, job.config.max_gradient_norm)
    value = float(ranks.summed(total))
    if not (math.isfinite(value) and math.isfinite(norm)):
        raise TrainError(
            f"The loss is not finite at step {number + 1} (loss {value}, gradient norm {norm}). Lower "
            "`train.learning_rate`, lengthen `train.warmup_ratio`, or set `train.precision` to fp32; then "
            "run again."
        )
    return value


def _loss(
    model: Any,
    head: nn.Module,
    batch: Mapping[str, Any],
    ids: Sequence[str],
    job: Job,
    ranks: Ranks,
) -> Tensor:
    mixed = job.config.precision == "bf16"
    moved = {
        name: value.to(ranks.device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }
    try:
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=mixed):
            return summed_loss(model, head, moved)
    except (ValueError, IndexError) as error:
        raise TrainError(
            f"The model refuses a batch ({' '.join(str(error).split())[:300]}) of conversations "
            f"{', '.join(ids[:8])}. Leave them out, or check that processor and weights belong together."
        ) from error


def _save(model: Any, optimizer: Any, losses: Sequence[LossRow], job: Job, ranks: Ranks) -> None:
    if ranks.rank == 0:
        part = checkpoints.begin(job.work)
        checkpoints.save_losses(losses, part)
    ranks.wait()
    ranks.save(model, optimizer, checkpoints.unfinished(job.work))
    ranks.wait()
    if ranks.rank == 0:
        checkpoints.finish(checkpoints.unfinished(job.work), job.work, len(losses), job.key)
    ranks.wait()


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask PyTorch for repeatable kernels; leave everything as it was found."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    switches: Any = torch.utils.deterministic
    fills = switches.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    switches.fill_uninitialized_memory = False  # filling costs time and changes no result
    try:
        with warnings.catch_warnings():
            # A family's own code may call what its library is about to drop; nobody here can act on it.
            warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
            yield
    finally:
        torch.use_deterministic_algorithms(mode=before[0], warn_only=before[1])
        switches.fill_uninitialized_memory = fills
