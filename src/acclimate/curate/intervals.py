"""Means, distinct shares and their differences with 95 % intervals. Pure: values in, numbers out.

Tasks about one picture succeed and fail together, so pictures (clusters) are drawn, not tasks. Two data sets
about the same pictures are drawn together, which makes their difference a paired one.

Source: percentile intervals of the cluster bootstrap (Davison and Hinkley 1997, 3.8 and 5.3). Where nothing
varies, Wilson's interval over clusters takes its place, and differences are put together by MOVER (Zou and
Donner 2008). Which cases need it is our own, cautious rule.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

LEVEL = 0.95
BOOTSTRAP = "cluster_bootstrap"
CENTRED = "cluster_bootstrap_centred"
WILSON = "wilson_clusters"
CONSTANT = "constant"
_CHUNK_CELLS = 4_000_000
Array: TypeAlias = npt.NDArray[np.float64]
Scale: TypeAlias = tuple[float, float]
Valued: TypeAlias = Sequence[tuple[str, float]]
"""Cluster and value of every task."""
Named: TypeAlias = Sequence[tuple[str, str]]
"""Cluster and type of every task."""


@dataclass(frozen=True, slots=True)
class Span:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Tasks; of a difference, those of both data sets together."""
    n_clusters: int
    method: str
    """`cluster_bootstrap`; `cluster_bootstrap_centred` for shares of distinct types; `wilson_clusters` where
    nothing varies or there is a single cluster; `constant` where that is so on a scale without an end: no
    interval can be had, and its ends are the value."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How resampling is done."""

    seed: int = 0
    n: int = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    names: tuple[str, ...]
    """Clusters."""
    sums: Array
    """(clusters, columns)."""
    counts: Array
    """(clusters,) tasks."""


_Statistic: TypeAlias = Callable[[Array, Array], Array]
"""From sums (draws, columns) and counts (draws,) to the statistic (draws,)."""


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in `n` independent trials."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_span(values: Valued, scale: Scale | None, draws: Draws, *, key: str) -> Span:
    """Return the mean over tasks with its interval.

    Args:
        values: at least one.
        scale: least and greatest value there can be; None where there is no greatest.
        key: draws depend on it and the seed.
    """
    table = _mean_table(values)
    value = _whole(table, _mean)
    if _needs_wilson(values):
        if scale is None:
            return Span(value, value, value, len(values), len(table.names), CONSTANT)
        low, high = _wilson_on(scale, value, len(table.names))
        return Span(value, low, high, len(values), len(table.names), WILSON)
    (drawn,) = _resampled([table], _mean, draws, key)
    low, high = _percentiles(drawn)
    return Span(value, low, high, len(values), len(table.names), BOOTSTRAP)


def mean_difference(first: Valued, second: Valued, scale: Scale | None, draws: Draws, *, key: str) -> Span:
    """Return the first mean minus the second; tasks of one cluster stay together across both.

    Args:
        first: at least one task; likewise `second`.
        scale: as for `mean_span`.
        key: as for `mean_span`.
    """
    tables = [_mean_table(first), _mean_table(second)]
    n_clusters = len({name for table in tables for name in table.names})
    n = len(first) + len(second)
    if _needs_wilson(first) or _needs_wilson(second):
        one = mean_span(first, scale, draws, key=f"{key}/first")
        other = mean_span(second, scale, draws, key=f"{key}/second")
        value = one.value - other.value
        below = math.hypot(one.value - one.low, other.high - other.value)
        above = math.hypot(one.high - one.value, other.value - other.low)
        method = CONSTANT if scale is None else WILSON
        return Span(value, value - below, value + above, n, n_clusters, method)
    value = _whole(tables[0], _mean) - _whole(tables[1], _mean)
    drawn = _resampled(tables, _mean, draws, key)
    low, high = _percentiles(drawn[0] - drawn[1])
    return Span(value, low, high, n, n_clusters, BOOTSTRAP)


def distinct_span(types: Named, known: Sequence[str], draws: Draws, *, key: str) -> Span:
    """Return how many of the known types occur, over their number.

    Drawing with replacement always loses rare types, so the draws are moved to the value's place before their
    percentiles are read, and cut to 0 and 1. Source: our own rule.

    Args:
        types: at least one task; a type that is not known is left out of the count.
        known: the denominator.
        key: as for `mean_span`.
    """
    table, statistic = _type_table(types, known), _distinct(len(known))
    value = _whole(table, statistic)
    (drawn,) = _resampled([table], statistic, draws, key)
    low, high = _percentiles(drawn - drawn.mean() + value)
    return Span(value, max(0.0, low), min(1.0, high), len(types), len(table.names), CENTRED)


def distinct_difference(first: Named, second: Named, known: Sequence[str], draws: Draws, *, key: str) -> Span:
    """Return the first share of distinct types minus the second; as `distinct_span`."""
    tables, statistic = [_type_table(first, known), _type_table(second, known)], _distinct(len(known))
    value = _whole(tables[0], statistic) - _whole(tables[1], statistic)
    drawn = _resampled(tables, statistic, draws, key)
    difference = drawn[0] - drawn[1]
    low, high = _percentiles(difference - difference.mean() + value)
    n_clusters = len({name for table in tables for name in table.names})
    return Span(value, max(-1.0, low), min(1.0, high), len(first) + len(second), n_clusters, CENTRED)


def rarefied_span(types: Named, known: Sequence[str], n: int, draws: Draws, *, key: str) -> Span:
    """Return how many of the known types are expected among `n` of the tasks, over their number.

    The same as counting them in a sample of `n`, without that sample's luck. Pictures are drawn for the
    interval, moved to the value's place as in `distinct_span`: with many rare types it is still too narrow
    (`benchmarks/diversity_interval.py` measures by how much).

    Source: rarefaction (Hurlbert 1971); the interval is our own rule.

    Args:
        types: at least one task. n: at least 1; all tasks where there are fewer.
        known: the denominator. draws, key: as for `mean_span`.
    """
    table, statistic = _type_table(types, known), _rarefied(len(known), n)
    value = _whole(table, statistic)
    (drawn,) = _resampled([table], statistic, draws, key)
    low, high = _percentiles(drawn - drawn.mean() + value)
    return Span(value, max(0.0, low), min(1.0, high), len(types), len(table.names), CENTRED)


def rarefied_difference(
    first: Named, second: Named, known: Sequence[str], n: int, draws: Draws, *, key: str
) -> Span:
    """Return the first expected share of distinct types minus the second; as `rarefied_span`."""
    tables, statistic = [_type_table(first, known), _type_table(second, known)], _rarefied(len(known), n)
    value = _whole(tables[0], statistic) - _whole(tables[1], statistic)
    drawn = _resampled(tables, statistic, draws, key)
    difference = drawn[0] - drawn[1]
    low, high = _percentiles(difference - difference.mean() + value)
    n_clusters = len({name for table in tables for name in table.names})
    return Span(value, max(-1.0, low), min(1.0, high), len(first) + len(second), n_clusters, CENTRED)


def _needs_wilson(values: Valued) -> bool:
    return len({value for _, value in values}) == 1 or len({name for name, _ in values}) == 1


def _wilson_on(scale: Scale, value: float, n: int) -> tuple[float, float]:
    least, greatest = scale
    size = greatest - least
    low, high = wilson((value - least) / size, n)
    return least + low * size, least + high * size


def _mean_table(values: Valued) -> _Table:
    names = tuple(sorted({name for name, _ in values}))
    place = {name: at for at, name in enumerate(names)}
    sums, counts = np.zeros((len(names), 1)), np.zeros(len(names))
    for name, value in values:
        sums[place[name], 0] += value
        counts[place[name]] += 1
    return _Table(names, sums, counts)


def _type_table(types: Named, known: Sequence[str]) -> _Table:
    names = tuple(sorted({name for name, _ in types}))
    place = {name: at for at, name in enumerate(names)}
    column = {name: at for at, name in enumerate(known)}
    sums, counts = np.zeros((len(names), len(known))), np.zeros(len(names))
    for name, kind in types:
        counts[place[name]] += 1
        if kind in column:
            sums[place[name], column[kind]] += 1
    return _Table(names, sums, counts)


def _mean(sums: Array, counts: Array) -> Array:
    means: Array = sums[:, 0] / counts
    return means


def _distinct(n_known: int) -> _Statistic:
    def statistic(sums: Array, _counts: Array) -> Array:
        shares: Array = (sums > 0).sum(axis=1) / float(n_known)
        return shares

    return statistic


def _rarefied(n_known: int, n: int) -> _Statistic:
    def statistic(sums: Array, counts: Array) -> Array:
        total = np.asarray(counts, dtype=np.float64)[:, None]
        size = np.minimum(float(n), total)
        others = total - sums
        log_missed = (
            gammaln(others + 1)
            - gammaln(np.maximum(others - size, 0) + 1)
            - gammaln(total + 1)
            + gammaln(total - size + 1)
        )
        seen = np.where(others < size, 1.0, 1.0 - np.exp(log_missed))
        shares: Array = np.where(sums > 0, seen, 0.0).sum(axis=1) / float(n_known)
        return shares

    return statistic


def _whole(table: _Table, statistic: _Statistic) -> float:
    return float(statistic(table.sums.sum(axis=0)[None, :], table.counts.sum()[None])[0])


def _percentiles(drawn: Array) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _resampled(tables: Sequence[_Table], statistic: _Statistic, draws: Draws, key: str) -> list[Array]:
    """Return the statistic of every table over the draws; draw k of all tables used the same clusters."""
    n_clusters = sum(len(table.names) for table in tables)
    chunk = max(1, _CHUNK_CELLS // n_clusters)
    parts: list[list[Array]] = [[] for _ in tables]
    for start in range(0, draws.n, chunk):
        size = min(chunk, draws.n - start)
        for at, times in enumerate(_multiplicities(tables, f"{draws.seed}/{key}/{start}", size)):
            table = tables[at]
            parts[at].append(statistic(times @ table.sums, times @ table.counts))
    return [np.concatenate(each) for each in parts]


def _multiplicities(tables: Sequence[_Table], key: str, size: int) -> Iterator[Array]:
    """Yield per table how often each of its clusters is drawn, (draws, clusters).

    Clusters that belong to the same tables are a stratum and are drawn among themselves, so every table keeps
    its size, and what tables share is drawn once for all of them.
    """
    member: dict[str, list[int]] = defaultdict(list)
    for at, table in enumerate(tables):
        for name in table.names:
            member[name].append(at)
    strata: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name in sorted(member):
        strata[tuple(member[name])].append(name)
    drawn: dict[str, Array] = {}
    for places, names in sorted(strata.items()):
        seed = hashlib.sha256(f"{key}/{places}".encode()).digest()[:8]
        even = np.full(len(names), 1.0 / len(names))
        times = np.random.default_rng(int.from_bytes(seed)).multinomial(len(names), even, size=size)
        drawn |= {name: times[:, at].astype(np.float64) for at, name in enumerate(names)}
    for table in tables:
        yield np.stack([drawn[name] for name in table.names], axis=1)
