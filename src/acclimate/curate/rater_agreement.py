"""How far raters agree beyond chance (pure).

Source: Cohen 1960 and, with weights, 1968; Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
No library that is kept well and installed computes both, so they are written here from the definitions.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from acclimate.curate.intervals import LEVEL, Draws

Weights: TypeAlias = Literal["unweighted", "linear", "quadratic"]
Metric: TypeAlias = Literal["nominal", "ordinal", "interval"]
Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa of two raters."""

    n: int
    """Tasks that both rated."""
    agreement: float
    """Share of tasks on which they say the same."""
    value: float | None
    """None where chance alone would make them agree on everything: both always say one and the same."""
    low: float | None
    """Of the 95 % interval; None where too many draws have no value."""
    high: float | None


def cohen_kappa(
    pairs: Sequence[tuple[str, str]], categories: Sequence[str], weights: Weights, draws: Draws
) -> Kappa | None:
    """Return Cohen's kappa with a bootstrap interval over tasks; None without tasks.

    Args:
        pairs: what the two raters said of each task that both rated.
        categories: in their order, which weights depend on.
        weights: of a disagreement: all alike, by distance, or by its square.
        draws: of the interval.
    """
    if not pairs:
        return None
    place = {name: at for at, name in enumerate(categories)}
    size = len(categories)
    table = np.zeros((size, size))
    for first, second in pairs:
        table[place[first], place[second]] += 1
    weight = _weights(size, weights)
    value = float(_kappas(table[None], weight)[0])
    key = f"{draws.seed}/kappa/{weights}/{table.tolist()}"
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))
    drawn = generator.multinomial(len(pairs), table.ravel() / len(pairs), size=draws.n)
    kappas = _kappas(drawn.reshape(-1, size, size).astype(np.float64), weight)
    usable = kappas[np.isfinite(kappas)]
    has_value, has_span = bool(np.isfinite(value)), len(usable) >= LEVEL * draws.n
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if has_span else (0.0, 0.0)
    return Kappa(
        n=len(pairs),
        agreement=float(np.trace(table) / len(pairs)),
        value=value if has_value else None,
        low=float(low) if has_value and has_span else None,
        high=float(high) if has_value and has_span else None,
    )


def _weights(size: int, weights: Weights) -> Array:
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    if weights == "unweighted":
        return (distance > 0).astype(np.float64)
    squared: Array = distance**2
    return squared if weights == "quadratic" else distance


def _kappas(tables: Array, weight: Array) -> Array:
    """Return kappa of each (categories, categories) table; NaN where no disagreement is expected."""
    n = tables.sum(axis=(1, 2))
    expected = tables.sum(axis=2)[:, :, None] * tables.sum(axis=1)[:, None, :] / n[:, None, None]
    by_chance = (expected * weight).sum(axis=(1, 2))
    observed = (tables * weight).sum(axis=(1, 2))
    found: Array = np.full(len(tables), np.nan)
    is_some = by_chance > 0
    found[is_some] = 1 - observed[is_some] / by_chance[is_some]
    return found


def krippendorff_alpha(
    units: Sequence[Mapping[str, Hashable]], categories: Sequence[Hashable], metric: Metric
) -> float | None:
    """Return Krippendorff's alpha of any number of raters, any of whom may have left tasks out.

    Args:
        units: per task, what each rater said.
        categories: in their order; numbers for `interval`.
        metric: how far two categories are apart.

    Returns:
        None where fewer than two raters rated any task, or all values are the same.
    """
    counts = [Counter(unit.values()) for unit in units if len(unit) >= 2]
    totals = Counter[Hashable]()
    for unit in counts:
        totals.update(unit)
    n = sum(totals.values())
    distance = _distance(categories, totals, metric)
    observed = sum(_disagreement(unit, distance) / (sum(unit.values()) - 1) for unit in counts)
    expected = _disagreement(totals, distance)
    return 1 - (n - 1) * observed / expected if expected else None


def _disagreement(counts: Mapping[Hashable, int], distance: Callable[[Hashable, Hashable], float]) -> float:
    return sum(
        n_one * n_other * distance(one, other)
        for one, n_one in counts.items()
        for other, n_other in counts.items()
        if one != other
    )


def _distance(
    categories: Sequence[Hashable], totals: Mapping[Hashable, int], metric: Metric
) -> Callable[[Hashable, Hashable], float]:
    place = {name: at for at, name in enumerate(categories)}

    def ordinal(one: Hashable, other: Hashable) -> float:
        low, high = sorted((place[one], place[other]))
        between = sum(totals.get(categories[at], 0) for at in range(low, high + 1))
        ends = (totals.get(one, 0) + totals.get(other, 0)) / 2
        return float((between - ends) ** 2)

    def interval(one: Hashable, other: Hashable) -> float:
        return (float(str(one)) - float(str(other))) ** 2

    def nominal(one: Hashable, other: Hashable) -> float:
        return float(one != other)

    return {"nominal": nominal, "ordinal": ordinal, "interval": interval}[metric]
