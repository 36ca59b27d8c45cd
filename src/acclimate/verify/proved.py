"""The proofs of a record's mathematical claims: each is checked, and what comes of it becomes an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from platform import platform, python_version

from acclimate.proofs import ProofResult, check_proof
from acclimate.report.evidence.digests import subject_digest
from acclimate.report.evidence.gate import Absent
from acclimate.report.evidence.record import ClaimEntry, Environment, Input, ProofEntry, Record
from acclimate.report.evidence.result import Check, VerificationResult, holds
from acclimate.report.evidence.wording import says_verified
from acclimate.verify.attempt import NAMESPACES, moment, sha256_text

_REASONS: Mapping[str, Absent] = {
    "no_lean": "no_lean",
    "no_library": "no_library",
    "no_sandbox": "sandbox_unavailable",
    "timeout": "timeout",
    "lean_failed": "lean_failed",
}
"""Of `ProofResult.code`, where nothing was found out: the gate's reason."""
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Lean:
    """Where Lean is, and how long it may take."""

    program: str | None = None
    """None looks for `lean` in `path`."""
    path: str = ""
    """A PATH."""
    libraries: tuple[Path, ...] = ()
    """Folders of compiled modules that proofs may import; trusted as they are."""
    limit_s: float = 3600.0
    """For each proof."""


@dataclass(frozen=True, slots=True)
class Proved:
    """What became of one claim."""

    claim: str
    result: ProofResult
    absent: Absent | None
    """Why nothing was found out; None where the proof was accepted or refused."""

    @property
    def statement(self) -> tuple[str, str]:
        """The theorem, and who states it so: as Lean prints it where it did, else as the source does."""
        if self.result.statement:
            return self.result.statement, "as Lean prints it"
        return self.result.stated or self.result.theorem, "as the source states it"


def checked(record: Record, folder: Path, lean: Lean) -> list[Proved]:
    """Check every proof of a record; problems are never exceptions.

    Args:
        folder: the record's; its files are those that the manifest names.
    """
    found = []
    for claim, proof in _proofs(record):
        result = check_proof(
            folder / proof.path,
            proof.theorem,
            lean=lean.program,
            path=lean.path,
            limit_s=lean.limit_s,
            libraries=lean.libraries,
        )
        absent = _REASONS[result.code] if result.status == "unavailable" else None
        found.append(Proved(claim.id, result, absent))
    return found


def _proofs(record: Record) -> list[tuple[ClaimEntry, ProofEntry]]:
    return [(each, each.proof) for each in record.claims if each.proof is not None]


def log_of(proved: Proved) -> str:
    """Return the log of a check: what was asked, what came out, and all that Lean printed."""
    found = proved.result
    head = [f"theorem {found.theorem}", f"{found.status} {found.reason}".strip(), found.lean]
    return "\n".join([*(each for each in head if each), "", found.log]) + "\n"


def result_of(record: Record, proved: Proved, began: datetime, ended: datetime) -> VerificationResult:
    """Return the artifact of a proof that was accepted or refused."""
    claim, proof = next((each, own) for each, own in _proofs(record) if each.id == proved.claim)
    found, ran = proved.result, bool(proved.result.lean)
    said = "proved" if found.proved else _words(f"refused: {found.reason}", found.code)
    checks = (
        _check(f"{claim.id}: the source is the record's", claim.id, proof.sha256, found.source_sha256),
        _check(f"{claim.id}: {found.theorem} is proved", claim.id, "proved", said),
    )
    return VerificationResult(
        contract="acclimate-verification/v1",
        kind="proof",
        depth=None,
        subject=subject_digest(record),
        commands=(f"lean --json {proof.path}" if ran else f"read {proof.path}",),
        isolation=NAMESPACES if ran else (),
        started=moment(began),
        ended=moment(ended),
        environment=Environment(
            python=python_version(), platform=platform(), packages={"lean": found.lean} if ran else {}
        ),
        inputs=(Input(role=proof.path, sha256=found.source_sha256 or proof.sha256, n=1),),
        checks=checks,
        success=all(each.ok for each in checks),
        log_sha256=sha256_text(log_of(proved)),
        theorem=found.statement or None,
        axioms=found.axioms,
    )


def _words(text: str, code: str) -> str:
    """Return a refusal in one line; the checker's own words are left out where only the gate may say them."""
    line = " ".join(text.split())[:_SHOWN].rstrip(".")
    return f"refused: {code}" if says_verified(line, gate_opened=False) else line


def _check(name: str, claim: str, expected: str, found: str) -> Check:
    return Check(
        name=name,
        claims=(claim,),
        expected=expected,
        found=found or None,
        tolerance=None,
        ok=holds(expected, found or None, None),
    )
