"""Tests of the difference between two models on the same items. Pure: resampled columns in, p values out."""

from collections.abc import Iterator, Mapping

import numpy as np

from acclimate.report.statistics import CHUNK_CELLS, N_DRAWS, Array, Resampled, generator_of, statistic

MOST_ENUMERATED = 12
"""Up to so many clusters in which the models differ all 2^12 exchanges are looked at, not a draw of them."""
_TIE = 1e-9


def sign_flip_p(first: Resampled, second: Resampled, *, key: str, seed: int, n_draws: int = N_DRAWS) -> float:
    """Return the two-sided p of the difference, if in every cluster either model could have been the other.

    In each cluster the two models' sums are exchanged or not, and the metrics are computed from all sums
    anew; p is the share of exchanges whose difference is as far from 0 as the one seen. So it holds for
    means, ratios and BLEU alike, and for differences of them (visual reliance, where all of a model's columns
    are exchanged together).

    Args:
        first: a column of one benchmark, or a difference of its columns.
        second: the other model's, resampled together with it; exchanging the two does not change p.
        key: the draws depend on it and the seed only.
        seed: of the draws.
        n_draws: used where the models differ in more than 12 clusters; p is at least 1 / (n_draws + 1) then.

    Returns:
        Above 0, at most 1; 1 where the models do not differ in any cluster.

    Raises:
        ValueError: the two are not columns of one kind over the same clusters.

    Source:
        Paired randomisation test: Fisher 1935, section 21; for metrics that are no means Noreen 1989; whole
        clusters exchanged: Winkler et al. 2015. (hits + 1) / (draws + 1): Davison and Hinkley 1997, 4.2.
        Differences within 1e-9 are taken for equal: our own rule.
    """
    shapes = [[(factor, sums.shape) for factor, sums in each.terms] for each in (first, second)]
    if not first.terms or shapes[0] != shapes[1]:
        raise ValueError(f"{key}: a test compares two columns of one kind over the same clusters")
    factors = [factor for factor, _ in first.terms]
    ends = list(np.cumsum([sums.shape[1] for _, sums in first.terms])[:-1])
    one, other = (np.concatenate([sums for _, sums in each.terms], axis=1) for each in (first, second))

    def difference(ones: Array, others: Array) -> Array:
        found = np.zeros(len(ones))
        split = zip(np.split(ones, ends, axis=1), np.split(others, ends, axis=1), strict=True)
        for factor, (left, right) in zip(factors, split, strict=True):
            found += factor * (_of_sums(left) - _of_sums(right))
        return found

    totals = one.sum(axis=0), other.sum(axis=0)
    apart = one - other
    apart = apart[apart.any(axis=1)]
    seen = abs(difference(totals[0][None], totals[1][None])[0])
    limit = seen - _TIE * max(1.0, seen)
    hits = n_seen = 0
    for flips in _exchanges(len(apart), f"{seed}/{key}/sign_flip", n_draws):
        moved = np.zeros((len(flips), apart.shape[1]))
        for at in np.flatnonzero(apart.any(axis=0)):
            moved[:, at] = np.einsum("ij,j->i", flips, np.ascontiguousarray(apart[:, at]))
        drawn = difference(totals[0] - moved, totals[1] + moved)
        hits += int(np.count_nonzero(np.abs(drawn) >= limit))
        n_seen += len(flips)
    return hits / n_seen if len(apart) <= MOST_ENUMERATED else (hits + 1) / (n_seen + 1)


def _of_sums(sums: Array) -> Array:
    return statistic(np.ascontiguousarray(sums))


def _exchanges(n_clusters: int, key: str, n_draws: int) -> Iterator[Array]:
    """Yield rows (n, n_clusters) of 0 and 1, where 1 means exchanged: all there are, or a draw of them."""
    if n_clusters <= MOST_ENUMERATED:
        numbers = np.arange(1 << n_clusters)
        yield ((numbers[:, None] >> np.arange(n_clusters)) & 1).astype(np.float64)
        return
    generator = generator_of(key)
    n_bytes = -(-n_clusters // 32) * 4
    chunk = max(1, CHUNK_CELLS // n_clusters)
    for start in range(0, n_draws, chunk):
        n_here = min(chunk, n_draws - start)
        drawn = np.frombuffer(generator.bytes(n_here * n_bytes), dtype=np.uint8).reshape(n_here, n_bytes)
        yield np.unpackbits(drawn, axis=1, count=n_clusters).astype(np.float64)


def mcnemar_p(first: Resampled, second: Resampled) -> float | None:
    """Return the exact McNemar p of two columns of marks; None where the test does not hold for them.

    It holds where every mark is 0 or 1 and every cluster has one item, since it takes items for independent.
    """
    if not (_has_lone_marks(first) and _has_lone_marks(second)):
        return None
    return mcnemar_exact(*discordant(first, second))


def discordant(first: Resampled, second: Resampled) -> tuple[int, int]:
    """Return how many items only the first model has right, and how many only the second.

    Raises:
        ValueError: a mark is neither 0 nor 1, or a cluster has several items.
    """
    if not (_has_lone_marks(first) and _has_lone_marks(second)):
        raise ValueError("McNemar's test needs marks of 0 or 1 and one item in every cluster")
    one, other = first.terms[0][1][:, 0], second.terms[0][1][:, 0]
    return int(np.count_nonzero(one > other)), int(np.count_nonzero(other > one))


def _has_lone_marks(part: Resampled) -> bool:
    if part.is_difference or len(part.terms) != 1 or part.n != part.n_clusters:
        return False
    sums = part.terms[0][1]
    return sums.shape[1] == 2 and bool(np.all(sums[:, 1] == 1.0) and np.isin(sums[:, 0], (0.0, 1.0)).all())


def mcnemar_exact(n10: int, n01: int) -> float:
    """Return McNemar's exact two-sided p from the numbers of items that only one model has right.

    Returns:
        0 to 1; 1 where the models never differ.

    Raises:
        ValueError: a number is negative or not whole; soft scores have no such numbers.

    Source:
        McNemar 1947, with the binomial distribution (n10 + n01 trials, chance 1/2) in place of chi squared;
        both tails are twice the smaller one.
    """
    if not all(float(number).is_integer() and number >= 0 for number in (n10, n01)):
        raise ValueError(f"McNemar's test counts items: {n10} and {n01} are not both whole numbers from 0 on")
    n, fewer = int(n10) + int(n01), int(min(n10, n01))
    ways = tail = 1
    for k in range(1, fewer + 1):
        ways = ways * (n - k + 1) // k
        tail += ways
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p values adjusted for being several, in the order given.

    The i-th smallest of m, from 0, is multiplied by m - i; none becomes smaller than one before it, none
    larger than 1.

    Raises:
        ValueError: a p value is not within 0 to 1.

    Source:
        Holm 1979. It keeps the chance of any false claim in the family below the level, however the tests
        depend on each other.
    """
    if not all(0.0 <= p <= 1.0 for p in p_values.values()):
        raise ValueError(f"p values lie within 0 to 1; found one outside: {dict(p_values)}")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
