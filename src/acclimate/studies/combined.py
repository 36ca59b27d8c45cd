"""One value from several seeds, and how a claim stands beside it. Pure: values in, numbers out."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from acclimate.curate.intervals import LEVEL, Draws, Span

Standing: TypeAlias = Literal["supported", "refuted", "open", "no tasks", "not measured"]
"""`no tasks`: one side has no task in any seed, so the difference says nothing about tasks."""


@dataclass(frozen=True, slots=True)
class Combined:
    """A mean over seeds with its 95 % interval, for these seeds."""

    value: float
    low: float
    high: float
    n: int
    """Tasks of all seeds together."""
    by_seed: tuple[float, ...]


def combined(spans: Sequence[Span], *, shared: bool = False) -> Combined:
    """Return the mean of the seeds' values; how they differ beyond chance is seen in `by_seed`.

    The interval says what other pictures would do, and not what other seeds would. With pictures of their
    own the seeds are independent, and their distances to the ends of the intervals add up in squares; with
    shared ones the mean distance is taken, which is right where seeds err together and else too wide.
    Source: MOVER (Zou and Donner 2008); the second is our own, cautious rule.

    Args:
        spans: one per seed, at least one.
        shared: the seeds are measured on the same pictures.
    """
    n = len(spans)
    value = math.fsum(span.value for span in spans) / n
    down, up = [span.value - span.low for span in spans], [span.high - span.value for span in spans]
    below, above = (
        math.fsum(each) / n if shared else math.sqrt(math.fsum(one**2 for one in each)) / n
        for each in (down, up)
    )
    return Combined(
        value,
        value - below,
        value + above,
        sum(span.n for span in spans),
        tuple(span.value for span in spans),
    )


def standing(found: Combined | None, *, at_least: float | None = None, sign: int = 1) -> Standing:
    """Return how a claim about a difference stands.

    `supported` where the whole interval and every seed's value lie on the claimed side, `refuted` where all
    of them lie on the other side, else `open`. Source: our own rule.

    Args:
        found: None where it was not measured.
        at_least: the value that is claimed to be reached; None claims a difference of the given sign.
        sign: 1 claims more, -1 less; not used with `at_least`.
    """
    if found is None:
        return "not measured"
    bar, sign = (0.0, sign) if at_least is None else (at_least, 1)
    low, high = sorted((sign * (found.low - bar), sign * (found.high - bar)))
    leads = [sign * (value - bar) for value in found.by_seed]
    is_reached = min(low, *leads) > 0 or (at_least is not None and min(low, *leads) == 0)
    if is_reached:
        return "supported"
    return "refuted" if max(high, *leads) < 0 else "open"


def error_cut(rows: Sequence[tuple[str, bool, bool]], draws: Draws, *, key: str) -> Span | None:
    """Return by which share a filter lowers the error rate: 1 - error rate of the kept / that of all.

    Args:
        rows: cluster, whether the task is right, and whether it is kept.
        key: draws depend on it and the seed.

    Returns:
        None where nothing is kept, nothing is wrong, or a draw can be like that: no interval can be had then.
    """
    names = sorted({name for name, _, _ in rows})
    place = {name: at for at, name in enumerate(names)}
    sums = np.zeros((len(names), 4))
    for name, right, kept in rows:
        sums[place[name]] += (1, not right, kept, kept and not right)

    def cut(
        totals: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1.0 - (totals[:, 3] / totals[:, 2]) / (totals[:, 1] / totals[:, 0])

    value = float(cut(sums.sum(axis=0)[None, :])[0]) if rows else math.nan
    if not math.isfinite(value):
        return None
    seed = hashlib.sha256(f"{draws.seed}/{key}".encode()).digest()[:8]
    even = np.full(len(names), 1.0 / len(names))
    times = np.random.default_rng(int.from_bytes(seed)).multinomial(len(names), even, size=draws.n)
    drawn = cut(times.astype(np.float64) @ sums)
    if not np.isfinite(drawn).all():
        return None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Span(value, float(low), float(high), len(rows), len(names), "cluster_bootstrap")
