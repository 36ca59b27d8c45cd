"""Metrics and differences with 95 % intervals. Pure: numbers by item in, numbers out.

The items of a benchmark are not independent: questions about one picture (or patient) succeed and fail
together. So clusters are drawn, not items; on the real layout of SLAKE (11 questions a picture, correlation
0.4 within a picture) an interval over items covers the truth in 60 % of cases instead of 95 %, one over
clusters in 94 to 96 % (tests/test_intervals_coverage.py). Percentile intervals are short where clusters are
few ("narrowness bias", Hesterberg 2015): with 20 pictures they cover 90 to 94 %, with 10 only 86 to 91 %. All
columns of one benchmark (models, conditions, scorers) are resampled *together*, so the difference of two
columns is paired by construction.

Every metric is a function of sums over items: a mean is their values' sum / their number, F1 a ratio of two
sums, BLEU a function of 2n + 2 sums. A draw adds up the sums of its clusters and applies the function.
"""

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

LEVEL = 0.95
N_DRAWS = 10_000
BOOTSTRAP = "cluster_bootstrap"
WILSON = "wilson_clusters"
ONE_CLUSTER = "one_cluster"
CHUNK_CELLS = 1 << 18
"""Draws times clusters that are held at once, so that they stay in a core's cache."""
Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float
    method: str
    """`cluster_bootstrap`; `wilson_clusters` where a score of 0 or 100 % leaves nothing to resample;
    `one_cluster` where a difference has a single cluster and so no interval but the whole scale."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one scorer says about every item."""

    values: Mapping[str, float]
    """By item, 0 to `top`."""
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Empty where the metric is the mean of the values. Else by item what it adds to the metric's sums (see
    `statistic`): two numbers, or BLEU's 4, 6, 8, ...; the values do not matter then."""
    top: float = 1.0
    """Full marks, the 100 % of the scale; a ratio may exceed it."""

    def of(self, items: Collection[str]) -> "Column":
        """Return the column of these items alone."""
        parts = {item: self.parts[item] for item in items} if self.parts else {}
        return Column({item: self.values[item] for item in items}, parts, self.top)


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """One column's metric, and the metric over resampled clusters."""

    value: float
    draws: Array
    """(n_draws,) metrics; draw k of every column of a benchmark used the same clusters."""
    n: int
    n_clusters: int
    is_extreme: bool = False
    """The metric is 0 or full marks in every draw, which says nothing about uncertainty."""
    is_difference: bool = False
    top: float = 1.0
    """Full marks; of a difference the furthest it can be from 0."""
    terms: tuple[tuple[float, Array], ...] = ()
    """What the value is made of: factors, and the clusters' sums (n_clusters, n_parts), clusters by name."""

    def __sub__(self, other: "Resampled") -> "Resampled":
        """Return the paired difference, item by item."""
        is_second = self.is_difference and other.is_difference
        return Resampled(
            self.value - other.value,
            self.draws - other.draws,
            self.n,
            self.n_clusters,
            is_difference=True,
            top=self.top + other.top if is_second else max(self.top, other.top),
            terms=(*self.terms, *((-factor, sums) for factor, sums in other.terms)),
        )


def resample(
    columns: Mapping[str, Column | Mapping[str, float]],
    cluster_by_item: Mapping[str, str],
    *,
    key: str,
    seed: int,
    n_draws: int = N_DRAWS,
) -> Mapping[str, Resampled]:
    """Return every column's metric and resampled metrics.

    Args:
        columns: by name; a bare mapping is a column of fractions whose metric is their mean. The items are
            the same in all columns.
        cluster_by_item: of the same items; the result does not depend on the order of either.
        key: the benchmark's name. Draws depend on the seed, this name and the number of clusters only, so
            benchmarks are resampled independently of each other, and what one column gives does not depend,
            to the last bit, on what else is in the table.
        seed: of the draws.
        n_draws: how often clusters are drawn.

    Raises:
        ValueError: no items, columns over different items, a value outside 0 to the column's full marks, or
            parts that are not finite or of no known number.

    Source:
        Paired cluster bootstrap, percentile interval: Davison and Hinkley 1997, section 3.8 (clusters drawn
        whole) and 5.3; Field and Welsh 2007. A draw's metric is that of the summed parts, so clusters of
        unequal size weigh what they hold; for BLEU this is Koehn 2004, with clusters for sentences.
    """
    names = sorted(cluster_by_item)
    if not names:
        raise ValueError(f"{key}: nothing was scored")
    given = {
        name: column if isinstance(column, Column) else Column(column) for name, column in columns.items()
    }
    if any(column.values.keys() != cluster_by_item.keys() for column in given.values()):
        raise ValueError(f"{key}: models and conditions cover different items")
    clusters = {cluster: index for index, cluster in enumerate(sorted(set(cluster_by_item.values())))}
    member = np.array([clusters[cluster_by_item[name]] for name in names])
    sums = {}
    for name, column in given.items():
        sums[name] = np.zeros((len(clusters), _n_parts(column, key)))
        np.add.at(sums[name], member, _rows(column, names, key))
    drawn = _drawn_sums(list(sums.values()), len(clusters), f"{seed}/{key}", n_draws)
    found = {}
    for (name, column), each in zip(given.items(), drawn, strict=True):
        value = float(statistic(np.array([math.fsum(part) for part in sums[name].T])))
        draws = statistic(each)
        found[name] = Resampled(
            value=value,
            draws=draws,
            n=len(names),
            n_clusters=len(clusters),
            is_extreme=value in (0.0, column.top) and bool(np.all(draws == value)),
            top=column.top,
            terms=((1.0, sums[name]),),
        )
    return found


def statistic(sums: Array) -> Array:
    """Return the metric of summed parts, which are the last axis.

    Two parts: first / second, 0 where the second is 0. Four, six, eight, ...: BLEU of the order n from
    m1, c1, ..., mn, cn, length and reference length (matches and candidates of the n-grams); 0 where an order
    has no match or the text no length.

    Source:
        BLEU: Papineni et al. 2002, equal weights, brevity penalty over the whole corpus, no smoothing.
    """
    if sums.shape[-1] == 2:
        numerator, denominator = sums[..., 0], sums[..., 1]
        return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
    matches, candidates = sums[..., 0:-2:2], sums[..., 1:-2:2]
    length, reference = sums[..., -2], sums[..., -1]
    has_score = np.all((matches > 0) & (candidates > 0), axis=-1) & (length > 0)
    shown = has_score[..., None]
    precision = np.where(shown, matches, 1.0) / np.where(shown, candidates, 1.0)
    excess = np.maximum(reference / np.where(length > 0, length, 1.0) - 1.0, 0.0)
    score: Array = np.exp(np.log(precision).mean(axis=-1) - np.where(has_score, excess, 0.0))
    return np.where(has_score, score, 0.0)


def _n_parts(column: Column, key: str) -> int:
    """Return how many sums the column's metric has.

    Raises:
        ValueError: its items have different numbers of parts, or a number that no metric has.
    """
    if not column.parts:
        return 2
    if column.parts.keys() != column.values.keys():
        raise ValueError(f"{key}: some items have parts and some have none")
    numbers = {len(parts) for parts in column.parts.values()}
    if len(numbers) > 1 or min(numbers) < 2 or min(numbers) % 2:
        raise ValueError(f"{key}: all items have 2, 4, 6, 8 or 10 parts; found {sorted(numbers)}")
    return min(numbers)


def _rows(column: Column, names: Sequence[str], key: str) -> Array:
    """Return every item's parts (n_items, n_parts); of a mean they are the value and 1.

    Raises:
        ValueError: a number is not finite, or a value outside the scale.
    """
    if column.parts:
        rows = np.array([column.parts[name] for name in names], dtype=np.float64)
        if not (np.isfinite(rows).all() and all(map(math.isfinite, column.values.values()))):
            raise ValueError(f"{key}: values and their parts are finite numbers; found another")
        return rows
    values = np.array([column.values[name] for name in names], dtype=np.float64)
    if not (values.min() >= 0.0 and values.max() <= column.top):  # which a NaN is not either
        top = f"{column.top:g}"
        raise ValueError(f"{key}: scores are fractions of {top}; found one outside 0 to {top}")
    return np.stack([values, np.ones_like(values)], axis=1)


def generator_of(key: str) -> np.random.Generator:
    """Return the random numbers that belong to a key."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))


def _drawn_sums(blocks: Sequence[Array], n_clusters: int, key: str, n_draws: int) -> list[Array]:
    """Return for each block of cluster sums (n_clusters, n_parts) its sums over draws (n_draws, n_parts).

    As many clusters as there are, drawn with equal chances and put back: a bootstrap by its definition. The
    chosen rows are added up one after the other (as a sparse matrix of ones), so a column's bits depend
    neither on the other columns nor on the threads of a linear-algebra library. It is ten times as fast as
    drawing multinomial counts (benchmarks/intervals.py).
    """
    if not blocks:
        return []
    table = np.concatenate(blocks, axis=1)
    varies = (table != table[0]).any(axis=0)
    varying = np.ascontiguousarray(table[:, varies])
    # Where all clusters have the same sum, so has every draw.
    drawn = np.tile(table[0] * n_clusters, (n_draws, 1))
    for start, rows in _draws(n_clusters, key, n_draws):
        drawn[start : start + rows.shape[0], varies] = rows @ varying
    places = np.cumsum([block.shape[1] for block in blocks])[:-1]
    return [np.ascontiguousarray(each) for each in np.split(drawn, places, axis=1)]


def _draws(n_clusters: int, key: str, n_draws: int) -> Iterator[tuple[int, csr_array]]:
    """Yield draws in parts: the first one's number, and a row of ones at the clusters drawn for each."""
    generator = generator_of(key)
    chunk = max(1, CHUNK_CELLS // n_clusters)
    for start in range(0, n_draws, chunk):
        n_here = min(chunk, n_draws - start)
        chosen = generator.integers(n_clusters, size=n_here * n_clusters, dtype=np.int32)
        ends = np.arange(n_here + 1, dtype=np.int32) * n_clusters
        yield start, csr_array((np.ones(len(chosen)), chosen, ends), shape=(n_here, n_clusters))


def resample_pairs(
    columns: Mapping[str, Mapping[tuple[str, str], float]],
    cluster_by_item: Mapping[str, str],
    *,
    key: str,
    seed: int,
    n_draws: int = N_DRAWS,
) -> Mapping[str, Resampled]:
    """Return the mean over pairs of items of every column, and over resampled clusters.

    The draws are those of `resample` with the same key, seed and clusters; a pair counts in a draw as often
    as its two clusters together, the product of their numbers. A draw without any pair is NaN.

    Args:
        columns: by name; values by pair, the same pairs in all columns.
        cluster_by_item: of all items of the benchmark, also those in no pair.
        key: as for `resample`, likewise below.
        seed: of the draws.
        n_draws: how often clusters are drawn.

    Raises:
        ValueError: no pairs, columns over different pairs, a pair within one cluster, or a value that is not
            finite.

    Source:
        Node bootstrap of dyadic data: Snijders and Borgatti 1999; the product weights: Owen 2007 (pigeonhole
        bootstrap). Pairs that share an item or a cluster so vary together.
    """
    pairs = sorted(next(iter(columns.values()), {}))
    if not pairs or any(sorted(values) != pairs for values in columns.values()):
        raise ValueError(f"{key}: the columns have no pairs, or different ones")
    clusters = {cluster: index for index, cluster in enumerate(sorted(set(cluster_by_item.values())))}
    ends = np.array([[clusters[cluster_by_item[item]] for item in pair] for pair in pairs])
    if (ends[:, 0] == ends[:, 1]).any():
        raise ValueError(f"{key}: the two items of a pair are in different clusters")
    table = {"": np.ones(len(pairs))} | {
        name: np.array([values[pair] for pair in pairs], dtype=np.float64) for name, values in columns.items()
    }
    if not all(np.isfinite(values).all() for values in table.values()):
        raise ValueError(f"{key}: values are finite numbers; found another")
    shape = (len(clusters), len(clusters))
    sums = {
        name: csr_array((values, (ends[:, 0], ends[:, 1])), shape=shape) for name, values in table.items()
    }
    drawn = {name: np.zeros(n_draws) for name in table}
    for start, rows in _draws(len(clusters), f"{seed}/{key}", n_draws):
        counts = rows.toarray()
        for name, matrix in sums.items():
            drawn[name][start : start + len(counts)] = ((rows @ matrix).toarray() * counts).sum(axis=1)
    n = drawn.pop("")
    found = {}
    for name, total in drawn.items():
        value = math.fsum(table[name]) / len(pairs)
        draws = np.divide(total, n, out=np.full(n_draws, np.nan), where=n > 0)
        is_extreme = value in (0.0, 1.0) and bool(np.all(draws[n > 0] == value))
        found[name] = Resampled(value, draws, len(pairs), len(clusters), is_extreme=is_extreme)
    return found


Term: TypeAlias = tuple[Resampled, float]
"""A column of one benchmark, and the factor it counts with."""


def interval(parts: Sequence[Resampled]) -> Interval:
    """Return the unweighted mean of one or more benchmarks with its interval, as `interval_of_sum` does.

    Raises:
        ValueError: no benchmarks.
    """
    return interval_of_sum([[(part, 1.0)] for part in parts], divisor=float(len(parts)))


def interval_of_sum(benchmarks: Sequence[Sequence[Term]], *, divisor: float = 1.0) -> Interval:
    """Return the sum of factor times metric, over a divisor, with its interval.

    A benchmark that has nothing to resample (0 or 100 %, or a single cluster) gets its own interval, and the
    sum's is put together from the benchmarks' by MOVER; its method's name says so. Terms of one benchmark
    are of the same draws and added draw by draw; where one of them has nothing to resample, the benchmark's
    interval is as wide as theirs together.

    Args:
        benchmarks: independent of each other; each the terms that were resampled together.
        divisor: of the whole.

    Raises:
        ValueError: no benchmarks, or one without terms.

    Source:
        MOVER: Zou and Donner 2008, for a sum of independent estimates, with factors (a negative one
        exchanges the ends). Which cases need it, and adding up widths within a benchmark (as if its columns
        rose and fell together, the widest case): our own, cautious rules.
    """
    terms = [term for each in benchmarks for term in each]
    if not benchmarks or not all(benchmarks):
        raise ValueError("an interval needs at least one benchmark")
    value = math.fsum(factor * part.value for part, factor in terms) / divisor
    if not any(_needs_other(part) for part, _ in terms):
        draws = np.sum([factor * part.draws for part, factor in terms], axis=0) / divisor
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(value, float(low), float(high), BOOTSTRAP)
    arms = [_arms(each) for each in benchmarks]
    below = math.sqrt(math.fsum(arm[0] ** 2 for arm in arms)) / divisor
    above = math.sqrt(math.fsum(arm[1] ** 2 for arm in arms)) / divisor
    is_open = any(_needs_other(part) and part.is_difference for part, _ in terms)
    return Interval(value, value - below, value + above, ONE_CLUSTER if is_open else WILSON)


def _arms(terms: Sequence[Term]) -> tuple[float, float]:
    """Return how far one benchmark's interval reaches below and above its value."""
    if not any(_needs_other(part) for part, _ in terms):
        found = interval_of_sum([terms])
        return found.value - found.low, found.high - found.value
    below = above = 0.0
    for part, factor in terms:
        own = _own_interval(part)
        ends = sorted((factor * (own.low - own.value), factor * (own.high - own.value)))
        below, above = below - ends[0], above + ends[1]
    return below, above


def _needs_other(part: Resampled) -> bool:
    return part.n_clusters < 2 or (part.is_extreme and not part.is_difference)


def _own_interval(part: Resampled) -> Interval:
    if not _needs_other(part):
        return interval([part])
    if part.is_difference:
        return Interval(part.value, min(part.value, -part.top), max(part.value, part.top), ONE_CLUSTER)
    share = min(max(part.value / part.top, 0.0), 1.0)
    low, high = (part.top * end for end in wilson(share, part.n_clusters))
    return Interval(part.value, min(part.value, low), max(part.value, high), WILSON)


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
