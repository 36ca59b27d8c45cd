"""Which conversations each step sees, in which micro-batches, and at which learning rate: pure functions.

The order of an epoch is decided by hashing (seed, epoch, conversation id), so removing a conversation
changes the relative order of no others. A step is `batch_size` conversations in a row. How a step is cut
into passes, and shared among processes, leaves its gradient what it is but for rounding: packed passes hold
rows one after another, others are padded and hold rows of like length with equally many images.
"""

import hashlib
import heapq
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
class Pass:
    """One forward and backward pass of one process."""

    rows: tuple[int, ...]
    """Positions of rows."""
    filler: int | None = None
    """A row that is passed through and teaches nothing, so that all processes use the same modules."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step."""

    epoch: int
    """From 0."""
    passes: tuple[tuple[Pass, ...], ...]
    """For every process its passes; all have equally many."""
    n_trained: int
    """Trained tokens in the step, over all processes: what its loss is divided by."""
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How a step is cut into passes: this changes no gradient but for rounding."""

    rows: int
    """A pass has at most so many rows."""
    tokens: int = 2**62
    """A packed pass has at most so many tokens, but for one row that has more by itself."""
    packed: bool = False
    """Whether a pass may mix rows with different numbers of images, and is filled by tokens."""
    ranks: int = 1
    """Processes that share a step."""


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
    cut: Cut,
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
            positions = order[start : start + batch_size]
            bins = _packs(rows, positions, cut) if cut.packed else _rectangles(rows, positions, cut)
            passes = _filled(rows, bins, cut)
            steps.append(
                Step(
                    epoch=epoch,
                    passes=tuple(tuple(passes[rank :: cut.ranks]) for rank in range(cut.ranks)),
                    n_trained=sum(rows[position].n_trained for position in positions),
                    n_tokens=sum(rows[position].n_tokens for position in positions),
                )
            )
    return steps


def _packs(rows: Sequence[RowSize], positions: Sequence[int], cut: Cut) -> list[list[int]]:
    """Return packs of even size: each row, the longest first, goes where the fewest tokens are."""
    longest_first = sorted(positions, key=lambda position: (-rows[position].n_tokens, rows[position].id))
    total = sum(min(rows[position].n_tokens, cut.tokens) for position in positions)
    n = max(math.ceil(len(positions) / cut.rows), math.ceil(total / cut.tokens))
    while True:
        n = math.ceil(n / cut.ranks) * cut.ranks
        packs: list[list[int]] = [[] for _ in range(n)]
        heap = [(0, at) for at in range(n)]
        for position in longest_first:
            tokens, at = heapq.heappop(heap)
            packs[at].append(position)
            if len(packs[at]) < cut.rows:
                heapq.heappush(heap, (tokens + rows[position].n_tokens, at))
        if n >= len(positions) or all(
            len(pack) < 2 or sum(rows[position].n_tokens for position in pack) <= cut.tokens for pack in packs
        ):
            return packs
        n += 1


def _rectangles(rows: Sequence[RowSize], positions: Sequence[int], cut: Cut) -> list[list[int]]:
    """Return batches of rows with equally many images, of like length; as many of each as there are ranks."""
    batches: list[list[int]] = []
    for n_images in sorted({rows[position].n_images for position in positions}):
        group = [position for position in positions if rows[position].n_images == n_images]
        group.sort(key=lambda position: -rows[position].n_tokens)
        n = math.ceil(math.ceil(len(group) / cut.rows) / cut.ranks) * cut.ranks
        size = math.ceil(len(group) / n) if cut.ranks > 1 else cut.rows
        cuts = [group[i : i + size] for i in range(0, len(group), size)]
        batches += cuts + [[] for _ in range(n - len(cuts))]
    return batches


def _filled(rows: Sequence[RowSize], bins: Sequence[Sequence[int]], cut: Cut) -> list[Pass]:
    """Return the passes; where processes share a step, each gets what its part lacks.

    A process without rows passes one through all the same, and a pack without a picture gets one: else the
    vision tower would take part in one process and not in another, which then wait for each other for ever.
    """
    if cut.ranks == 1:
        return [Pass(tuple(each)) for each in bins if each]
    shortest = sorted(range(len(rows)), key=lambda position: (rows[position].n_tokens, rows[position].id))
    pictured = next((position for position in shortest if rows[position].n_images), None)
    passes: list[Pass] = []
    for number, each in enumerate(bins):
        if cut.packed:
            has_picture = any(rows[position].n_images for position in each)
            filler = pictured if not has_picture else None
            if not each and pictured is None:
                filler = shortest[0]
        else:
            block = bins[number // cut.ranks * cut.ranks]
            filler = block[-1] if not each else None
        passes.append(Pass(tuple(each), filler))
    return passes


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
