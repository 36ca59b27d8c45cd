"""How the reliance of many tasks is distributed (pure): measures in, rows of a table out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from acclimate.curate.intervals import Draws, mean_span
from acclimate.curate.reliance import TaskReliance
from acclimate.files import JSON

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which are given; linear between neighbours (numpy's default, Hyndman and Fan's type 7)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The reliance of some tasks, in nats per token."""

    n: int
    n_pairs: int
    """Tasks of one pair are resampled together."""
    mean: float
    low: float
    """Of the mean's 95 % interval, by pair (`curate.intervals`); likewise `high`."""
    high: float
    below_zero: float
    """Share of the tasks whose own picture speaks against their answer, 0 to 1."""
    quantiles: tuple[float, ...]
    """At `QUANTILES`."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """All tasks' reliance, and that of groups of them."""

    groups: Mapping[str, Spread]
    """`all`, then `label NAME` and `kind NAME` for what there is; nothing where no task was measured."""
    unmeasured: Mapping[str, int]
    """Tasks without a measure, per reason."""
    floor: float | None
    n_below_floor: int | None
    """None where there is no floor."""

    def to_json(self) -> dict[str, JSON]:
        """Return everything as plain data."""
        groups: dict[str, JSON] = {}
        for name, spread in self.groups.items():
            groups[name] = {**asdict(spread), "quantiles": list(spread.quantiles)}
        return {
            "groups": groups,
            "unmeasured": dict(self.unmeasured),
            "floor": self.floor,
            "below_floor": self.n_below_floor,
        }

    def lines(self) -> list[str]:
        """Return the table for people, one line per group."""
        named = "".join(f"{f'{q:.0%}':>8}" for q in QUANTILES)
        lines = [f"{'nats per token':<26}{'tasks':>7}{'mean':>8}{'95 % interval':>18}{'below 0':>9}{named}"]
        for name, each in self.groups.items():
            values = "".join(f"{value:>8.2f}" for value in each.quantiles)
            span = f"{each.low:.3f} to {each.high:.3f}"
            lines.append(f"{name:<26}{each.n:>7}{each.mean:>8.3f}{span:>18}{each.below_zero:>9.1%}{values}")
        if self.unmeasured:
            told = ", ".join(f"{reason} {n}" for reason, n in self.unmeasured.items())
            lines.append(f"not measured: {told}")
        if self.floor is not None and "all" in self.groups:
            share = (self.n_below_floor or 0) / self.groups["all"].n
            lines.append(f"below the floor of {self.floor:g}: {self.n_below_floor} ({share:.1%})")
        return lines


def distribution(
    rows: Sequence[TaskReliance], unmeasured: Mapping[str, int], floor: float | None
) -> Distribution:
    """Return how the reliance of measured tasks is distributed, by label and by kind.

    Args:
        unmeasured: tasks without a measure, per reason.
        floor: nats per token; None has none.
    """
    groups: dict[str, list[TaskReliance]] = {"all": list(rows)} if rows else {}
    for row in sorted(rows, key=lambda each: each.label):
        groups.setdefault(f"label {row.label}", []).append(row)
    for row in sorted(rows, key=lambda each: each.kind):
        if row.kind:
            groups.setdefault(f"kind {row.kind}", []).append(row)
    n_below = None if floor is None else sum(row.reliance < floor for row in rows)
    spreads = {name: _spread(name, each) for name, each in groups.items()}
    return Distribution(spreads, dict(unmeasured), floor, n_below)


def _spread(name: str, rows: Sequence[TaskReliance]) -> Spread:
    values = [row.reliance for row in rows]
    span = mean_span([(row.pair_id, row.reliance) for row in rows], None, Draws(), key=f"reliance/{name}")
    at = np.quantile(np.asarray(values, dtype=np.float64), QUANTILES)
    return Spread(
        n=len(rows),
        n_pairs=span.n_clusters,
        mean=span.value,
        low=span.low,
        high=span.high,
        below_zero=sum(value < 0 for value in values) / len(values),
        quantiles=tuple(float(value) for value in at),
    )
