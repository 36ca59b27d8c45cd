"""What a threshold of the consistency filter keeps and loses, and which one to take (pure).

Right means that the known verdict is `consistent`: precision is the share of kept triplets that are right,
recall the share of right ones that are kept.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.curate.consistency import LABELS, label
from acclimate.curate.intervals import wilson
from acclimate.records import Label

GRID = tuple(step / 20 for step in range(20))
"""The thresholds that are tried: 0 to 0.95 by 0.05."""
_BETA_SQUARED = 0.25


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What one threshold does to the labelled triplets."""

    threshold: float
    n_kept: int
    n_right: int
    """Kept ones whose known verdict is `consistent`."""
    precision: float | None
    """None where nothing is kept."""
    precision_low: float | None
    """Of Wilson's 95 % interval; likewise the next."""
    precision_high: float | None
    recall: float | None
    """None where no triplet is known to be consistent."""
    f_half: float | None
    """The F measure that weighs precision twice as much as recall; None where either is None."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole table, and what was picked from it."""

    n: int
    n_consistent: int
    margin: float
    rows: tuple[ThresholdRow, ...]
    picked: ThresholdRow | None
    """None where no threshold does what was asked."""
    rule: str
    """How it was picked, in words."""
    confusion: Mapping[tuple[Label, Label], int]
    """Triplets by known verdict and the judge's at the picked threshold; empty where none was picked."""


def thresholds(
    truths: Sequence[Label],
    p: Sequence[tuple[float, float, float]],
    *,
    margin: float = 0.0,
    least_precision: float | None = None,
    grid: Sequence[float] = GRID,
) -> Thresholds:
    """Return precision and recall by threshold, and the threshold to take.

    With a least precision, the threshold of highest recall among those that reach it; without, the one of
    highest F0.5. Of equally good neighbours the middle one is taken, which stands safest. Source: our own
    rules.

    Args:
        truths: known verdicts.
        p: the judge's three probabilities, in the order of the truths.
        margin: as in the configuration; kept fixed.
        least_precision: fraction, 0 to 1.
        grid: thresholds in rising order.
    """
    rows = tuple(_row(truths, p, threshold, margin) for threshold in grid)
    if least_precision is None:
        rule = "highest F0.5"
        eligible = [(row, row.f_half) for row in rows if row.f_half is not None]
    else:
        rule = f"highest recall with a precision of at least {least_precision:.2f}"
        eligible = [
            (row, row.recall)
            for row in rows
            if row.precision is not None and row.recall is not None and row.precision >= least_precision
        ]
    best = max((value for _, value in eligible), default=0.0)
    tied = [row for row, value in eligible if value == best and row.n_right > 0]
    picked = tied[(len(tied) - 1) // 2] if tied else None
    confusion: Counter[tuple[Label, Label]] = Counter()
    if picked is not None:
        said = [label(each, picked.threshold, margin) for each in p]
        confusion.update(zip(truths, said, strict=True))
    n_consistent = sum(truth == "consistent" for truth in truths)
    return Thresholds(len(truths), n_consistent, margin, rows, picked, rule, dict(confusion))


def _row(
    truths: Sequence[Label], p: Sequence[tuple[float, float, float]], threshold: float, margin: float
) -> ThresholdRow:
    kept = [
        truth for truth, each in zip(truths, p, strict=True) if label(each, threshold, margin) == "consistent"
    ]
    n_all = sum(truth == "consistent" for truth in truths)
    n_right = sum(truth == "consistent" for truth in kept)
    recall = n_right / n_all if n_all else None
    if not kept:
        return ThresholdRow(threshold, 0, 0, None, None, None, recall, None)
    precision = n_right / len(kept)
    low, high = wilson(precision, len(kept))
    f_half = None if recall is None else _f(precision, recall)
    return ThresholdRow(threshold, len(kept), n_right, precision, low, high, recall, f_half)


def _f(precision: float, recall: float) -> float:
    weighed = _BETA_SQUARED * precision + recall
    return (1 + _BETA_SQUARED) * precision * recall / weighed if weighed else 0.0


def table(found: Thresholds) -> list[str]:
    """Return the lines that show the table and the pick to a person."""

    def shown(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.3f}"

    lines = [
        f"{found.n} labelled triplets, {found.n_consistent} of them consistent; margin {found.margin:.2f}",
        "threshold   kept  right  precision  (95 % interval)   recall   F0.5",
    ]
    for row in found.rows:
        mark = " <-" if row is found.picked else ""
        lines.append(
            f"{row.threshold:9.2f}  {row.n_kept:5d}  {row.n_right:5d}      {shown(row.precision)}  "
            f"({shown(row.precision_low)}-{shown(row.precision_high)})    {shown(row.recall)}  "
            f"{shown(row.f_half)}{mark}"
        )
    if found.picked is None:
        lines.append(f"No threshold is picked: none gives the {found.rule}.")
        return lines
    lines.append(f"Picked: curate.threshold={found.picked.threshold:.2f}, the {found.rule}.")
    lines.append("At this threshold, known verdicts by row and the judge's by column:")
    lines.append(" " * 14 + "".join(f"{name:>14}" for name in LABELS))
    for truth in LABELS:
        counts = "".join(f"{found.confusion.get((truth, said), 0):14d}" for said in LABELS)
        lines.append(f"{truth:>14}{counts}")
    return lines
