"""How the claims of a set stand beside numbers. Pure.

Numbers without intervals leave every claim open: how many rows agree is told, and is no standing. A study's
own standing is taken where it judged the same difference; else the interval decides, by `report.tested`.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from acclimate.claim_sets.numbers import (
    Difference,
    Measured,
    Numbers,
    Row,
    Spread,
    StudyNumbers,
    Table,
)
from acclimate.claim_sets.sets import AVERAGE, EACH, ClaimSet, Part, SetClaim, Values
from acclimate.errors import DataError
from acclimate.records import Measurement
from acclimate.report import tested
from acclimate.report.claims import points
from acclimate.report.tested import Standing

NO_INTERVALS = "no intervals: the numbers have no items or seeds to resample"
APART = 0.05
"""From which difference on, in points, a printed average is named as not the mean of its row; scores of a
paper are rounded to tenths, so that a mean may be off by as much."""
_NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class Compared:
    """One row against another, or one part of a claim on a study."""

    what: str
    """Which rows, or which arms and measure."""
    difference: float | None
    """First minus second, points of 100; None where it was not measured."""
    first: float | None = None
    second: float | None = None
    agrees: bool | None = None
    """Of a table's rows: the difference lies on the claimed side of the margin."""
    low: float | None = None
    high: float | None = None
    by_seed: tuple[float, ...] = ()
    standing: Standing | None = None
    """Of a study's parts; None for rows of a table, which have none."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A claim, how it stands, and why."""

    claim: SetClaim
    standing: Standing
    reason: str
    rows: tuple[Compared, ...] = ()

    @property
    def n_agree(self) -> int | None:
        """Return how many rows of a table agree; None for other numbers, and where there is no row."""
        told = [each.agrees for each in self.rows if each.agrees is not None]
        return sum(told) if told else None

    @property
    def mean(self) -> float | None:
        """Return the mean difference in points; None where nothing was measured."""
        found = [each.difference for each in self.rows if each.difference is not None]
        return round(math.fsum(found) / len(found), 6) if found else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every claim of a set beside the same numbers."""

    claims: ClaimSet
    numbers: str
    """The file."""
    form: str
    """What it holds, for people."""
    results: tuple[Result, ...]
    remarks: tuple[str, ...] = ()


def judge_set(claims: ClaimSet, numbers: Numbers) -> Judgement:
    """Return exactly one result per claim, in the set's order.

    Raises:
        DataError: a table's rows cannot be told apart.
    """
    if isinstance(numbers, Table):
        form, remarks = "a table without intervals", tuple(averages_apart(numbers.rows))
        results = [_on_table(each, numbers) for each in claims.claims]
    elif isinstance(numbers, StudyNumbers):
        form, remarks = f"the {numbers.kind} study", _limits(numbers)
        results = [_on_study(each, numbers) for each in claims.claims]
    else:
        form, remarks = "a run's measurements", ()
        results = [_on_run(each, numbers) for each in claims.claims]
    return Judgement(claims, str(numbers.path), form, tuple(results), remarks)


# --- tables ----------------------------------------------------------------------------------------------


def averages_apart(rows: Sequence[Row]) -> list[str]:
    """Return how many printed averages are not the mean of their row, and a sentence on each of them."""
    printed = [
        (each, each.printed, each.mean) for each in rows if each.printed is not None and each.mean is not None
    ]
    off = [
        f"{row.name}: printed {average:g}, the mean of its scores is {mean:.3f} ({average - mean:+.3f})."
        for row, average, mean in printed
        if abs(average - mean) > APART + _NOISE
    ]
    if not printed:
        return []
    told = f"{len(off)} of {len(printed)} printed averages differ by more than {APART} from the row's mean."
    return [told, *off]


def _on_table(claim: SetClaim, table: Table) -> Result:
    if claim.compares is None:
        return Result(claim, "open", f"{NO_INTERVALS}; and the set names no rows that would show it.")
    rows = [row for pair in _pairs(claim, table) for row in _compared(claim, *pair)]
    if not rows:
        return Result(claim, "open", f"{NO_INTERVALS}; and no two rows of these numbers show it.")
    return Result(claim, "open", f"{NO_INTERVALS}.", tuple(rows))


def _pairs(claim: SetClaim, table: Table) -> list[tuple[Row, Row]]:
    """Return the rows that a claim compares: those that differ in what it names and in nothing else."""
    if claim.compares is None:
        return []
    named = {*claim.compares.first, *claim.compares.second}
    pairs = []
    for first in (each for each in table.rows if _is(each, claim.compares.first) and _counts(each, claim)):
        partners = [
            each for each in table.rows if _is(each, claim.compares.second) and _are_alike(first, each, named)
        ]
        kinds = {tuple(sorted((name, each.attributes.get(name, "")) for name in named)) for each in partners}
        if len(partners) > len(kinds):
            raise DataError(
                f"{table.path}: for the claim {claim.id!r} the row {first.name!r} can be compared with "
                f"{len(partners)} rows ({'; '.join(each.name for each in partners[:3])}); give rows an "
                "attribute that tells which belongs to it."
            )
        pairs += [(first, partner) for partner in partners]
    return pairs


def _is(row: Row, wanted: Mapping[str, Values]) -> bool:
    return all(row.attributes.get(name) in _listed(value) for name, value in wanted.items())


def _counts(row: Row, claim: SetClaim) -> bool:
    return claim.over == "all" or _is(row, claim.over)


def _are_alike(first: Row, second: Row, named: set[str]) -> bool:
    """Return whether rows agree in all that both have but what the claim names, benchmarks among it."""
    shared = (first.attributes.keys() & second.attributes.keys()) - named
    return first.scores.keys() == second.scores.keys() and all(
        first.attributes[name] == second.attributes[name] for name in shared
    )


def _compared(claim: SetClaim, first: Row, second: Row) -> list[Compared]:
    named = set(claim.compares.first) | set(claim.compares.second) if claim.compares else set()
    label = ", ".join(value for name, value in first.attributes.items() if name not in named)
    against = {} if claim.compares is None else claim.compares.second
    if label == "":
        label = f"{first.name} against {second.name}"
    elif many := [second.attributes[name] for name, value in against.items() if len(_listed(value)) > 1]:
        label += f" (against {', '.join(many)})"
    if claim.quantity == AVERAGE:
        values = [(label, first.average, second.average)]
    else:
        wanted = list(first.scores) if claim.quantity == EACH else [claim.quantity]
        values = [(f"{label}: {name}", first.scores.get(name), second.scores.get(name)) for name in wanted]
    return [
        _row(claim, what, own, other) for what, own, other in values if own is not None and other is not None
    ]


def _row(claim: SetClaim, what: str, own: float, other: float) -> Compared:
    difference = round(own - other, 6)
    margin = 100 * claim.margin
    agrees = {
        "higher": difference > margin,
        "lower": difference < -margin,
        "within": abs(difference) <= margin,
    }[claim.direction]
    return Compared(what, difference, own, other, agrees)


# --- studies ---------------------------------------------------------------------------------------------


def _limits(study: StudyNumbers) -> tuple[str, ...]:
    if study.limit is None:
        return ()
    return (f"The study used a limit of {study.limit} rows: it is a test only.",)


def _on_study(claim: SetClaim, study: StudyNumbers) -> Result:
    parts = [each for each in claim.study if each.kind == study.kind]
    if not parts:
        reason = f"this study has no arm for it: the set maps the claim on nothing in the {study.kind} study."
        return Result(claim, "open", reason)
    rows = tuple(_part(claim, part, study) for part in parts)
    if len(rows) == 1:
        return Result(claim, rows[0].standing or "open", rows[0].reason, rows)
    counted = Counter(each.standing for each in rows)
    told = ", ".join(f"{counted[name]} {name}" for name in ("supported", "open", "refuted") if counted[name])
    missing = next((each.reason for each in rows if each.difference is None), "")
    reason = f"{told} of {len(rows)} differences; claimed of {claim.extent}" + (
        f"; {missing}" if missing else "."
    )
    return Result(claim, _together(counted, len(rows), claim), reason, rows)


def _together(counted: Mapping[Standing | None, int], n: int, claim: SetClaim) -> Standing:
    """Return how a claim about several differences stands. Source: our own rule."""
    if claim.extent == "most":
        if 2 * counted.get("supported", 0) > n:
            return "supported"
        return "refuted" if 2 * counted.get("refuted", 0) >= n else "open"
    if counted.get("refuted", 0):
        return "refuted"
    return "supported" if counted.get("supported", 0) == n else "open"


def _part(claim: SetClaim, part: Part, study: StudyNumbers) -> Compared:
    found = _find(part, study)
    first, second = (" or ".join(_listed(each)) for each in (part.first, part.second))
    what = f"{part.of}: {first} against {second}"
    if found is None:
        reason = _missing(part, study)
        return Compared(what, None, standing="open", reason=reason)
    difference, spread = found, found.found
    what = f"{part.of}: {found.first} against {found.second}"
    if spread is None:
        return Compared(what, None, standing="open", reason=f"the study could not measure {what}.")
    standing, reason = _standing(claim, part, difference, spread, study.rounding)
    return Compared(
        what,
        _points(spread.value),
        low=_points(spread.low),
        high=_points(spread.high),
        by_seed=tuple(map(_points, spread.by_seed)),
        standing=standing,
        reason=reason,
    )


def _find(part: Part, study: StudyNumbers) -> Difference | None:
    """Return the study's difference of a part's arms: one that it judged, else one that it only told."""
    same = [
        each
        for each in study.differences
        if (each.of, each.table, each.share, each.over) == (part.of, part.table, part.share, part.over)
    ]
    pairs = [(first, second) for first in _listed(part.first) for second in _listed(part.second)]
    for is_judged in (True, False):
        for pair in pairs:
            for each in same:
                if (each.standing is not None) == is_judged and (each.first, each.second) == pair:
                    return each
            for each in same if part.share is None and part.over is None else ():
                if (each.standing is not None) == is_judged and (each.second, each.first) == pair:
                    return _turned(each)
    return None


def _turned(each: Difference) -> Difference:
    found = None if each.found is None else each.found.turned
    return replace(each, first=each.second, second=each.first, found=found, sign=-each.sign)


def _missing(part: Part, study: StudyNumbers) -> str:
    wanted = [_listed(part.first), _listed(part.second), *((each,) for each in part.over or ())]
    absent = [" or ".join(names) for names in wanted if not study.arms & set(names)]
    if absent:
        return f"this study has no arm {' and no arm '.join(repr(each) for each in absent)}."
    first, second = (" or ".join(_listed(each)) for each in (part.first, part.second))
    return f"this study gives no difference between {first!r} and {second!r} on {part.of}."


_SIGN = {"higher": 1, "lower": -1, "within": 0}


def _standing(
    claim: SetClaim, part: Part, difference: Difference, spread: Spread, rounding: float
) -> tuple[Standing, str]:
    """Return the study's own standing where it judged the same, else what the interval says."""
    interval = _interval(spread)
    own = difference.standing
    if own is not None and own not in ("supported", "refuted", "open"):
        return "open", f"{interval}; the study judged nothing here: {own}."
    wanted = _SIGN[claim.direction]
    is_sized = part.share is not None or part.over is not None
    if own is not None and (is_sized or (difference.sign == wanted and (wanted == 0 or claim.margin == 0.0))):
        standing: Standing = "supported" if own == "supported" else "refuted" if own == "refuted" else "open"
        return standing, f"{interval}; {standing} by the study's own rule."
    if own is not None and wanted != 0 and difference.sign == -wanted and claim.margin == 0.0:
        standing = "refuted" if own == "supported" else "supported" if own == "refuted" else "open"
        return standing, f"{interval}; the study judged the opposite claim: {own}."
    return _by_interval(claim, spread, rounding)


def _by_interval(claim: SetClaim, spread: Spread, rounding: float) -> tuple[Standing, str]:
    """Return what `report.tested` says of an interval, open where the seeds do not agree with it."""
    if spread.n_seeds == 1:
        return "open", f"{_interval(spread)}; one seed: descriptive, and the study judged nothing here."
    asked = tested.Claim(
        id=claim.id, sentence=claim.sentence, measure="-", direction=claim.direction, margin=claim.margin
    )
    wide = tested.judge(asked, _measurement(spread, rounding), "after")
    reason = tested.judge(asked, _measurement(spread, 0.0), "after").reason
    if wide.standing == "open":
        return "open", reason
    alike = {
        tested.judge(asked, _measurement(Spread(each, each, each), rounding), "after").standing
        for each in spread.by_seed
    }
    if alike - {wide.standing}:
        return "open", f"{reason} Not every seed says so."
    return wide.standing, reason


def _measurement(spread: Spread, rounding: float) -> Measurement:
    return Measurement(
        key="-",
        value=spread.value,
        low=spread.low - rounding,
        high=spread.high + rounding,
        n=0,
        n_clusters=0,
        coverage=1.0,
        method="",
    )


def _points(value: float) -> float:
    """Return a fraction in points, without the digits that floating point adds."""
    return round(100 * value, 6)


def _interval(spread: Spread) -> str:
    value, low, high = (points(each, signed=True) for each in (spread.value, spread.low, spread.high))
    return f"{value} points, 95 % interval {low} to {high}"


# --- runs ------------------------------------------------------------------------------------------------


def _on_run(claim: SetClaim, run: Measured) -> Result:
    if claim.measure is None:
        return Result(claim, "open", "the set names no measurement of a run that decides it.")
    found = run.by_key.get(claim.measure)
    asked = tested.Claim(
        id=claim.id,
        sentence=claim.sentence,
        measure=claim.measure,
        direction=claim.direction,
        margin=claim.margin,
    )
    judged = tested.judge(asked, found, "after")
    if found is None:
        return Result(claim, judged.standing, judged.reason)
    row = Compared(
        claim.measure,
        _points(found.value),
        low=_points(found.low),
        high=_points(found.high),
        standing=judged.standing,
        reason=judged.reason,
    )
    return Result(claim, judged.standing, judged.reason, (row,))


def _listed(values: Values) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values
