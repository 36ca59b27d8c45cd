"""Means and differences with 95 % intervals. Pure: arrays in, numbers out.

The items of a benchmark are not independent: questions about one picture (or patient) succeed and fail
together. So clusters are drawn, not items; on the real layout of SLAKE (11 questions a picture) an interval
over items would cover the truth in 67 % of cases instead of 95 %. All columns of one benchmark (models,
conditions, scorers) are resampled *together*, so a difference of two columns is paired by construction.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
N_DRAWS = 10_000
BOOTSTRAP = "cluster_bootstrap"
WILSON = "wilson_clusters"
ONE_CLUSTER = "one_cluster"
_CHUNK_CELLS = 4_000_000
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    method: str
    """`cluster_bootstrap`; `wilson_clusters` where a score of 0 or 100 % leaves nothing to resample;
    `one_cluster` where a difference has a single cluster and so no interval but the whole scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """One column's mean, and its means over resampled clusters."""

    value: float
    draws: Array
    """(n_draws,) means; draw k of every column of a benchmark used the same clusters."""
    n: int
    n_clusters: int
    is_extreme: bool = False
    """All values are 0, or all are 1: every draw is the same and says nothing about uncertainty."""
    is_difference: bool = False

    def __sub__(self, other: "Resampled") -> "Resampled":
        """Return the paired difference, item by item."""
        return Resampled(
            self.value - other.value, self.draws - other.draws, self.n, self.n_clusters, is_difference=True
        )


def resample(
    columns: Mapping[str, Mapping[str, float]],
    cluster_by_item: Mapping[str, str],
    *,
    key: str,
    seed: int,
    n_draws: int = N_DRAWS,
) -> Mapping[str, Resampled]:
    """Return every column's mean and resampled means.

    Args:
        columns: by name, each the value of every item (0 to 1). The items are the same in all columns.
        cluster_by_item: of the same items; the result does not depend on the order of either.
        key: the benchmark's name. Draws depend on the seed and this name only, so benchmarks are resampled
            independently of each other.
        seed: of the draws.
        n_draws: how often clusters are drawn.

    Raises:
        ValueError: no items, columns over different items, or a value outside 0 to 1.

    Source:
        Paired cluster bootstrap, percentile interval: Davison and Hinkley 1997, section 3.8 (clusters drawn
        whole) and 5.3; Field and Welsh 2007. A draw's mean is the sum of its items over their number, so
        clusters of unequal size weigh what they hold.
    """
    names = sorted(cluster_by_item)
    if not names:
        raise ValueError(f"{key}: nothing was scored")
    if any(values.keys() != cluster_by_item.keys() for values in columns.values()):
        raise ValueError(f"{key}: models and conditions cover different items")
    clusters = {cluster: index for index, cluster in enumerate(sorted(set(cluster_by_item.values())))}
    member = np.array([clusters[cluster_by_item[name]] for name in names])
    table = np.array([[values[name] for values in columns.values()] for name in names], dtype=np.float64)
    if table.size and not (table.min() >= 0.0 and table.max() <= 1.0):
        raise ValueError(f"{key}: scores are fractions of 1; found one outside 0 to 1")
    sums = np.zeros((len(clusters), len(columns)))
    np.add.at(sums, member, table)
    counts = np.bincount(member, minlength=len(clusters)).astype(np.float64)
    draws = _draws(sums, counts, f"{seed}/{key}", n_draws)
    means = sums.sum(axis=0) / counts.sum()
    return {
        name: Resampled(
            value=float(means[at]),
            draws=draws[:, at],
            n=len(names),
            n_clusters=len(clusters),
            is_extreme=bool(np.all(table[:, at] == table[0, at]) and table[0, at] in (0.0, 1.0)),
        )
        for at, name in enumerate(columns)
    }


def _draws(sums: Array, counts: Array, key: str, n_draws: int) -> Array:
    n_clusters = len(counts)
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))
    even = np.full(n_clusters, 1.0 / n_clusters)
    chunk = max(1, _CHUNK_CELLS // n_clusters)
    parts = []
    for start in range(0, n_draws, chunk):
        times = generator.multinomial(n_clusters, even, size=min(chunk, n_draws - start)).astype(np.float64)
        parts.append((times @ sums) / (times @ counts)[:, None])
    return np.concatenate(parts)


def interval(parts: Sequence[Resampled]) -> Interval:
    """Return the unweighted mean of one or more benchmarks with its interval.

    A benchmark that has nothing to resample (0 or 100 %, or a single cluster) gets its own interval, and the
    mean's is put together from the benchmarks' by MOVER; its method's name says so.

    Raises:
        ValueError: no benchmarks.

    Source:
        MOVER: Zou and Donner 2008, for a sum of independent estimates. Which cases need it: our own rule.
    """
    if not parts:
        raise ValueError("an interval needs at least one benchmark")
    value = math.fsum(part.value for part in parts) / len(parts)
    if not any(map(_needs_other, parts)):
        draws = np.mean([part.draws for part in parts], axis=0)
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(value, float(low), float(high), BOOTSTRAP)
    own = [_own_interval(part) for part in parts]
    below = math.sqrt(math.fsum((each.value - each.low) ** 2 for each in own)) / len(parts)
    above = math.sqrt(math.fsum((each.high - each.value) ** 2 for each in own)) / len(parts)
    method = ONE_CLUSTER if any(each.method == ONE_CLUSTER for each in own) else WILSON
    return Interval(value, value - below, value + above, method)


def _needs_other(part: Resampled) -> bool:
    return part.n_clusters < 2 or (part.is_extreme and not part.is_difference)


def _own_interval(part: Resampled) -> Interval:
    if not _needs_other(part):
        return interval([part])
    if part.is_difference:
        return Interval(part.value, -1.0, 1.0, ONE_CLUSTER)
    low, high = wilson(part.value, part.n_clusters)
    return Interval(part.value, low, high, WILSON)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in `n` independent trials (here: clusters).

    Source:
        Wilson 1927. Taking clusters for trials is our own, cautious rule: it treats the items of a cluster as
        one.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
