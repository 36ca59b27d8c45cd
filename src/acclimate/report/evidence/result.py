"""What one verification did and found: `verification/<n>/result.json`. Pure.

A result cannot say more than its checks: whether a check holds follows from its two values, and success from
the checks; a file that says otherwise does not parse.
"""

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from acclimate.report.evidence.record import Depth, Environment, Input
from acclimate.report.evidence.shape import STRICT, Moment, Sha256, Words

VERIFICATION_CONTRACT = "acclimate-verification/v1"


class Check(BaseModel):
    """One comparison."""

    model_config = STRICT

    name: Words
    claims: tuple[str, ...]
    """Ids of the claims that rest on it; empty where all do (the hash of an input, say)."""
    expected: bool | int | float | str | None
    """As the record has it; None where it has no such value."""
    found: bool | int | float | str | None
    """As the verification found it; None where it found none, which never holds."""
    tolerance: float | None = Field(default=None, ge=0.0)
    """Largest difference of two numbers; None asks for equal values."""
    ok: bool

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.ok != holds(self.expected, self.found, self.tolerance):
            said = "holds" if not self.ok else "does not hold"
            raise ValueError(f"ok is {str(self.ok).lower()}, but the comparison {said}")
        return self


def holds(
    expected: bool | int | float | str | None,  # noqa: FBT001 - a value like any other
    found: bool | int | float | str | None,  # noqa: FBT001 - a value like any other
    tolerance: float | None,
) -> bool:
    """Return whether two values agree: numbers within the tolerance, anything else exactly."""
    if expected is None or found is None:
        return False
    if _is_number(expected) and _is_number(found):
        return abs(float(found) - float(expected)) <= (tolerance or 0.0)
    return type(expected) is type(found) and expected == found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class VerificationResult(BaseModel):
    """What was run, on what, and what came out."""

    model_config = STRICT

    contract: Literal["acclimate-verification/v1"]
    kind: Literal["sandbox", "proof"]
    depth: Depth | None
    """Of a sandbox reproduction; None for a proof."""
    subject: Sha256
    """What was verified: `digests.subject_digest` of the record."""
    commands: tuple[Words, ...] = Field(min_length=1)
    isolation: tuple[str, ...] = ()
    """What sealed it: `user`, `mount`, `network`, ..."""
    started: Moment
    ended: Moment
    environment: Environment
    inputs: tuple[Input, ...]
    """What was read, with its hashes."""
    checks: tuple[Check, ...] = Field(min_length=1)
    success: bool
    log_sha256: Sha256
    """Of the log beside it."""
    theorem: str | None = None
    """Of a proof: the statement that type-checks, as the checker prints it."""
    axioms: tuple[str, ...] = ()
    """Of a proof: the axioms it rests on."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.depth is None) != (self.kind == "proof"):
            raise ValueError("a sandbox reproduction has a depth and a proof has none")
        if self.success != all(each.ok for each in self.checks):
            raise ValueError("success is not what the checks say")
        if self.ended[:19] < self.started[:19]:
            raise ValueError("it ended before it started")
        return self
