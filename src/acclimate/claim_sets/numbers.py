"""The numbers that claims are judged on, as plain values: tables, studies and measurements (pure)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from acclimate.claim_sets.sets import Kind
from acclimate.records import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table without intervals."""

    attributes: Mapping[str, str]
    """What the row is of: model, pipeline, source."""
    scores: Mapping[str, float]
    """By benchmark or measure; points of 100."""
    printed: float | None = None
    """The average that the table itself gives."""

    @property
    def name(self) -> str:
        """Return the row's attributes for people."""
        return ", ".join(self.attributes.values())

    @property
    def mean(self) -> float | None:
        """Return the unweighted mean of the scores; None where there are none."""
        return math.fsum(self.scores.values()) / len(self.scores) if self.scores else None

    @property
    def average(self) -> float | None:
        """Return the average that the table prints, else the mean of the scores."""
        return self.mean if self.printed is None else self.printed


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of numbers that have no intervals."""

    path: Path
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """A difference with its 95 % interval; fractions of full marks."""

    value: float
    low: float
    high: float
    by_seed: tuple[float, ...] = ()
    n_seeds: int = 0
    """0 where it is not told."""

    @property
    def turned(self) -> "Spread":
        """Return the same for second minus first."""
        return Spread(-self.value, -self.high, -self.low, tuple(-each for each in self.by_seed), self.n_seeds)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a study says of two of its arms: first minus second."""

    first: str
    second: str
    of: str
    found: Spread | None
    """None where the study could not measure it."""
    sign: int = 1
    """What the study claimed: 1 more, -1 less, 0 hardly a change."""
    standing: str | None = None
    """How the study itself judged it; None where it judged nothing, and the interval alone is told."""
    table: str | None = None
    share: float | None = None
    over: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class StudyNumbers:
    """A study's differences."""

    path: Path
    kind: Kind
    differences: tuple[Difference, ...]
    arms: frozenset[str]
    """Everything that the study measured, by name."""
    rounding: float = 0.0
    """How far a printed number may lie from the one it was rounded from; a fraction."""
    limit: int | None = None
    """A study that used a limit on its rows is a test only."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's measurements."""

    path: Path
    by_key: Mapping[str, Measurement] = field(default_factory=dict)


Numbers: TypeAlias = Table | StudyNumbers | Measured
