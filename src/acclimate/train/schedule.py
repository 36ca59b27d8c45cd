"""Which conversations each step sees, in which micro-batches, and at which learning rate: pure functions.

The order of an epoch is decided by hashing (seed, epoch, conversation id), so removing a conversation
changes the relative order of no others. A step is `batch_size` conversations in a row. Inside a step the
rows are sorted by length before they are cut into micro-batches, which spares padding and leaves the
step's gradient what it was; a micro-batch never mixes rows with different numbers of images.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowSize:
    """What the schedule needs to know of a row."""

    id: str
    n_tokens: int
    n_trained: int
    n_images: int


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step."""

    epoch: int
    """From 0."""
    micro_batches: tuple[tuple[int, ...], ...]
    """Positions of rows."""
    n_trained: int
    """Trained tokens in the step: what its loss is divided by."""
    n_tokens: int


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Return the positions of the ids in the order in which the epoch visits them."""

    def key(position: int) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed}/{epoch}/{ids[position]}".encode()).digest(), ids[position]

    return sorted(range(len(ids)), key=key)


def n_steps(n_rows: int, batch_size: int, epochs: int, max_steps: int | None) -> int:
    """Return the number of optimizer steps; `max_steps` only ever shortens a run."""
    total = epochs * math.ceil(n_rows / batch_size)
    return total if max_steps is None else min(total, max_steps)


def schedule(
    rows: Sequence[RowSize],
    *,
    batch_size: int,
    micro_batch: int,
    epochs: int,
    max_steps: int | None,
    seed: int,
) -> list[Step]:
    """Return every step of the run, in order; the last step of an epoch may hold fewer rows."""
    total = n_steps(len(rows), batch_size, epochs, max_steps)
    ids = [row.id for row in rows]
    steps: list[Step] = []
    for epoch in range(epochs):
        order = epoch_order(ids, seed, epoch)
        for start in range(0, len(order), batch_size):
            if len(steps) == total:
                return steps
            steps.append(_step(rows, order[start : start + batch_size], micro_batch, epoch))
    return steps


def _step(rows: Sequence[RowSize], positions: Sequence[int], micro_batch: int, epoch: int) -> Step:
    micro_batches: list[tuple[int, ...]] = []
    for n_images in sorted({rows[position].n_images for position in positions}):
        group = [position for position in positions if rows[position].n_images == n_images]
        group.sort(key=lambda position: -rows[position].n_tokens)
        micro_batches += [tuple(group[i : i + micro_batch]) for i in range(0, len(group), micro_batch)]
    return Step(
        epoch=epoch,
        micro_batches=tuple(micro_batches),
        n_trained=sum(rows[position].n_trained for position in positions),
        n_tokens=sum(rows[position].n_tokens for position in positions),
    )


def learning_rate_factor(step: int, total: int, warmup_ratio: float) -> float:
    """Return the factor of the peak learning rate at a step: linear warm-up, then half a cosine to 0.

    Source: the schedule of `spec/official-behaviour.md` 1.8; the warm-up's first step is one part of the
    peak and not 0, so that no step is spent without learning (our own rule).

    Args:
        step: from 0 to `total` (where the scheduler stands after the last step).
        total: of the run.
        warmup_ratio: fraction of the run that warms up, rounded up to whole steps.
    """
    warmup = math.ceil(total * warmup_ratio)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if step >= total:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
