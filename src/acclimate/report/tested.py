"""Claims that a recipe makes before its run, and how each stands after it. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from acclimate.records import Measurement
from acclimate.report.claims import points, span

Direction: TypeAlias = Literal["higher", "lower", "within", "not_lower", "not_higher"]
Standing: TypeAlias = Literal["supported", "refuted", "open"]
Written: TypeAlias = Literal["before", "after"]
"""Before or after the first score of the trained model existed."""

NO_INTERVAL = "one_cluster"
"""`Measurement.method` of a difference whose interval is only the whole scale."""


class Claim(BaseModel):
    """A sentence that one measurement decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Unique in the recipe."""
    sentence: str = Field(min_length=1, max_length=1000)
    """What is claimed, for people; the report prints it beside its standing."""
    measure: str = Field(min_length=1)
    """`Measurement.key`, for instance `macro/adapted-base/original`."""
    direction: Direction = "higher"
    """`higher`: more than `margin`; `lower`: less than `-margin`; `within`: at most `margin` from 0;
    `not_lower`: more than `-margin`; `not_higher`: less than `margin`."""
    margin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """In the measurement's unit: a fraction of full marks for scores."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim and how it stands."""

    claim: Claim
    standing: Standing
    reason: str
    """One sentence: the interval, or why there is none."""
    written: Written
    measurement: Measurement | None
    """None where the run did not measure it."""


def judge(claim: Claim, found: Measurement | None, written: Written) -> Judged:
    """Return how a claim stands beside what was measured.

    `supported` where the whole 95 % interval lies on the claimed side of the margin, `refuted` where all of
    it lies on the other side, else `open`. Source: our own rule (an interval test of a margin, as in
    non-inferiority and equivalence trials).
    """
    if found is None:
        reason = f"The run has no measurement {claim.measure}."
        return Judged(claim, "open", reason, written, None)
    if found.method == NO_INTERVAL:
        reason = f"{points(found.value, signed=True)} points; one picture for all questions: no interval."
        return Judged(claim, "open", reason, written, found)
    standing = _standing(claim, found.low, found.high)
    interval = f"{points(found.value, signed=True)} points, 95 % interval {span(found, signed=True)}"
    bar = {
        "higher": f"more than {points(claim.margin, signed=True)}",
        "lower": f"less than {points(-claim.margin, signed=True)}",
        "within": f"at most {points(claim.margin)} from 0",
        "not_lower": f"more than {points(-claim.margin, signed=True)}",
        "not_higher": f"less than {points(claim.margin, signed=True)}",
    }[claim.direction]
    return Judged(claim, standing, f"{interval}; claimed: {bar}.", written, found)


def _standing(claim: Claim, low: float, high: float) -> Standing:
    if claim.direction == "within":
        if -claim.margin <= low and high <= claim.margin:
            return "supported"
        return "refuted" if low > claim.margin or high < -claim.margin else "open"
    bar = claim.margin if claim.direction in ("higher", "lower") else -claim.margin
    if claim.direction in ("lower", "not_higher"):
        low, high = -high, -low
    if low > bar:
        return "supported"
    return "refuted" if high <= bar else "open"


def judged(
    claims: Iterable[Claim], measurements: Iterable[Measurement], before: Collection[str]
) -> tuple[Judged, ...]:
    """Return every claim's standing, in the order given.

    Args:
        before: ids of the claims that were written down, word for word, before the trained model was scored.
    """
    by_key: Mapping[str, Measurement] = {each.key: each for each in measurements}
    return tuple(
        judge(each, by_key.get(each.measure), "before" if each.id in before else "after") for each in claims
    )
