"""What a verification's runs came to, as the result that is attached to the record."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acclimate.files import read_json
from acclimate.report.evidence.digests import subject_digest
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.report.evidence.record import Depth, Environment, Record
from acclimate.report.evidence.result import Check, VerificationResult, holds
from acclimate.sandbox import Sealed
from acclimate.verify.attempt import NAMESPACES, moment, sha256_text
from acclimate.verify.findings import Finding
from acclimate.verify.inside import AGAIN, Plan
from acclimate.verify.retrained import Retrained

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "stored scores and counts follow from the stored predictions": ("score", "count"),
    "pages, tables and figures follow from the artifacts": ("page",),
    "the manifest follows from the artifacts": ("manifest",),
    "models give the stored replies": ("reply",),
}


def result_of_run(
    record: Record,
    plan: Plan,
    sealed: Sealed,
    findings: Sequence[Finding],
    place: Path,
    log: str,
    began: datetime,
) -> VerificationResult:
    """Return the result of the sealed run that scores, renders and asks again.

    Args:
        findings: what it found. place: the folder that it wrote to.
        log: of which the result has the hash. began: when the verification did.
    """
    checks = [*_claim_checks(record, place / "out" / AGAIN / MANIFEST), *_family_checks(findings, plan.depth)]
    environment = record.environment
    if environment is None:
        environment = Environment(python=sys.version.split()[0], platform=sys.platform, packages={})
    return VerificationResult(
        contract="acclimate-verification/v1",
        kind="sandbox",
        depth=plan.depth,
        subject=subject_digest(record),
        commands=(" ".join(sealed.command),),
        isolation=NAMESPACES,
        started=moment(began),
        ended=moment(datetime.now(tz=UTC)),
        environment=environment,
        inputs=record.provenance.inputs,
        checks=tuple(checks),
        success=all(each.ok for each in checks),
        log_sha256=sha256_text(log),
    )


def with_rebuilt(result: VerificationResult, again: Retrained, log: str) -> VerificationResult:
    """Return the result with what was found of the line that was built again."""
    checks = (*result.checks, *again.checks)
    return result.model_copy(
        update={
            "commands": (*result.commands, " ".join(again.sealed.command)),
            "ended": moment(datetime.now(tz=UTC)),
            "checks": checks,
            "success": all(each.ok for each in checks),
            "log_sha256": sha256_text(log),
        }
    )


def _claim_checks(record: Record, again: Path) -> Iterator[Check]:
    """Yield, of every claim with a number, whether the number was found again."""
    found: Mapping[str, Any] = {}
    if again.is_file():
        found = {each["id"]: each["measurement"] for each in read_json(again)["claims"]}
    for claim in record.claims:
        if claim.measurement is None:
            continue
        own = found.get(claim.id) or {}
        for name in ("value", "low", "high"):
            expected, other = getattr(claim.measurement, name), own.get(name)
            yield _check(f"{claim.id}: {name} of {claim.measure}", (claim.id,), expected, other, 1e-9)


def _family_checks(findings: Sequence[Finding], depth: Depth) -> Iterator[Check]:
    for name, kinds in _FAMILIES.items():
        if kinds == ("reply",) and depth != "generate":
            continue
        yield _check(name, (), 0, sum(each.check in kinds for each in findings), None)
    known = {kind for kinds in _FAMILIES.values() for kind in kinds}
    yield _check(
        "the sealed run ended by itself", (), 0, sum(each.check not in known for each in findings), None
    )


def _check(
    name: str, claims: tuple[str, ...], expected: float, found: float | None, tolerance: float | None
) -> Check:
    return Check(
        name=name,
        claims=claims,
        expected=expected,
        found=found,
        tolerance=tolerance,
        ok=holds(expected, found, tolerance),
    )
