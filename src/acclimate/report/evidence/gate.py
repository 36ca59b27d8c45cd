"""The gate: what a verification artifact says, and nothing else. Pure.

A verdict is computed from the artifact's presence and success alone. Source: the rule of seed 000, "VERIFIED
requires an attached reproducible artifact ...; it is not derived from review score or claim count". No
function here takes a level, a tier, a grade, a count or a review.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acclimate.report.evidence.record import ArtifactRef, Code, Depth, Kind, Verdict
from acclimate.report.evidence.result import Check, VerificationResult
from acclimate.report.evidence.shape import parsed

NAME = "Gate 2 — Verification (formal proof or sandbox reproduction)"
"""As seed 000 names it."""
ACTIVATED = "2026-11-22"
"""From this day on `acclimate verify` existed."""

Absent: TypeAlias = Literal[
    "none_attempted",
    "before_activation",
    "no_lean",
    "no_library",
    "timeout",
    "lean_failed",
    "sandbox_unavailable",
    "not_finished",
]
DEPTHS: tuple[Depth, ...] = ("score", "generate", "train")
"""From the shallowest to the deepest."""

_ABSENT: Mapping[Absent, str] = {
    "none_attempted": "No sandbox reproduction and no formal proof was attempted.",
    "before_activation": "The record is older than the gate, and nothing was attempted since.",
    "no_lean": "No `lean` program was found, so no proof could be checked.",
    "no_library": "A library that the proof imports was not found, so it could not be checked.",
    "timeout": "Lean was not done in the time it was given.",
    "lean_failed": "Lean broke off, or answered in a way that is not known.",
    "sandbox_unavailable": "This machine has no sealed sandbox, so nothing was run.",
    "not_finished": "An attempt broke off before it had a result.",
}
ABSENT_CODES: frozenset[str] = frozenset(_ABSENT)
"""Reasons of a record that nothing was attempted on."""
SEALED: frozenset[str] = frozenset({"user", "mount", "network"})
"""Namespaces that a sandbox result must name; another one opens nothing. Source: our own rule."""
_SHOWN: Mapping[Depth, str] = {
    "score": "The stored predictions were scored again",
    "generate": "The models were asked again",
    "train": "The models were trained and asked again",
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A verification artifact as the manifest names it, and what lies there."""

    ref: ArtifactRef
    content: bytes | None
    """The file's bytes; None where there is no such file."""


def verdict(
    artifact: VerificationResult | None,
    ref: ArtifactRef | None = None,
    *,
    absent: Absent = "none_attempted",
    needs: Depth = "score",
) -> Verdict:
    """Return what an artifact says of the record.

    Args:
        ref: where the artifact lies, for the verdict to name.
        absent: why there is none; not read where there is one.
        needs: the least depth that counts as a reproduction; not asked of a proof.
    """
    if artifact is None:
        return Verdict(status="UNVERIFIED", code=absent, reason=_ABSENT[absent])
    return _of_checks(artifact, artifact.checks, ref, needs)


def claim_verdict(
    artifact: VerificationResult | None,
    claim_id: str,
    kind: Kind,
    ref: ArtifactRef | None = None,
    *,
    absent: Absent = "none_attempted",
    needs: Depth = "score",
) -> Verdict:
    """Return what an artifact says of one claim.

    The checks that name the claim count, and those that name none (hashes of inputs, say), which concern
    all; without one that names it the claim is not covered. Nothing reproduces a claim about the literature.
    """
    if kind == "literature":
        reason = "It is about the literature: a passage can ground it, no reproduction or proof can."
        return Verdict(status="UNVERIFIED", code="not_empirical", reason=reason)
    if artifact is None:
        return verdict(None, absent=absent)
    checks = [each for each in artifact.checks if claim_id in each.claims or not each.claims]
    fits = (artifact.kind == "proof") == (kind == "mathematical")
    if not fits or not any(claim_id in each.claims for each in checks):
        reason = f"No check of the {artifact.kind} is about this claim."
        return Verdict(status="UNVERIFIED", code="not_covered", reason=reason)
    return _of_checks(artifact, checks, ref, needs)


def _of_checks(
    artifact: VerificationResult, checks: Sequence[Check], ref: ArtifactRef | None, needs: Depth
) -> Verdict:
    failed = [each.name for each in checks if not each.ok]
    is_proof = artifact.kind == "proof"
    if failed and is_proof:
        said = next((str(each.found) for each in checks if not each.ok and each.found is not None), failed[0])
        return Verdict(status="FAILED", code="proof_rejected", reason=f"The proof is {said}.", artifact=ref)
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        reason = f"{len(failed)} of {len(checks)} checks failed: {failed[0]}{more}."
        return Verdict(
            status="FAILED", code="not_reproduced", reason=reason, depth=artifact.depth, artifact=ref
        )
    depth = artifact.depth
    if depth is None:
        reason = f"The formal proof type-checks: {_all(len(checks))} passed."
        return Verdict(status="VERIFIED", code="proved", reason=reason, artifact=ref)
    if DEPTHS.index(depth) < DEPTHS.index(needs):
        reason = f"{_SHOWN[depth]}; this record asks for the depth `{needs}`."
        return Verdict(
            status="UNVERIFIED", code="depth_too_shallow", reason=reason, depth=depth, artifact=ref
        )
    reason = f"{_SHOWN[depth]} in a sealed sandbox: {_all(len(checks))} passed."
    return Verdict(status="VERIFIED", code="reproduced", reason=reason, depth=depth, artifact=ref)


def _all(n: int) -> str:
    return "its one check" if n == 1 else f"all {n} checks"


def opened(attachment: Attachment, subject: str) -> VerificationResult | Verdict:
    """Return the result that an attachment holds, or the verdict where it holds none.

    Args:
        subject: what the record is about, `digests.subject_digest`.
    """
    ref, content = attachment.ref, attachment.content
    if content is None:
        return _unusable("artifact_missing", f"{ref.path} is not there.", ref)
    if hashlib.sha256(content).hexdigest() != ref.sha256:
        return _unusable("artifact_altered", f"{ref.path} is not what the manifest says it is.", ref)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return _unusable("artifact_unreadable", f"{ref.path} is not JSON.", ref)
    found = parsed(VerificationResult, data)
    if isinstance(found, list):
        said = f"{ref.path} is no verification result: {found[0].where}: {found[0].sentence}"
        return _unusable("artifact_unreadable", said, ref)
    if found.subject != subject:
        return _unusable("artifact_of_another_record", f"{ref.path} is about something else.", ref)
    lacks = sorted(SEALED - set(found.isolation))
    if found.kind == "sandbox" and lacks:
        said = f"{ref.path} does not say that it was run in namespaces of its own: {', '.join(lacks)}."
        return _unusable("not_sealed", said, ref)
    return found


def _unusable(code: Code, reason: str, ref: ArtifactRef) -> Verdict:
    return Verdict(status="UNVERIFIED", code=code, reason=reason, artifact=ref)


def record_verdict(
    attachments: Sequence[Attachment],
    subject: str,
    *,
    absent: Absent = "none_attempted",
    needs: Depth = "score",
) -> Verdict:
    """Return what all verification artifacts of a record, in order, say together.

    The latest attempt of each kind and depth stands, of proofs the latest of each claim. FAILED where one of
    those failed; else UNVERIFIED where one cannot be used (missing, altered); else VERIFIED by the deepest.
    Source: our own rule.
    """
    results, unusable = _standing(attachments, subject)
    return _together([verdict(each, ref, needs=needs) for ref, each in results], unusable, absent)


def verdict_of_claim(
    claim_id: str,
    kind: Kind,
    attachments: Sequence[Attachment],
    subject: str,
    *,
    absent: Absent = "none_attempted",
    needs: Depth = "score",
) -> Verdict:
    """Return what all verification artifacts of a record say of one claim; as `record_verdict`.

    Only those of the claim's kind are asked, of proofs its own; `absent` is why there are none of them.
    """
    results, unusable = _standing(attachments, subject)
    if kind == "mathematical":
        fitting = [(ref, each) for ref, each in results if claim_id in _proved(each)]
    else:
        fitting = [(ref, each) for ref, each in results if each.kind == "sandbox"]
    if kind == "literature" or not (fitting or unusable):
        return claim_verdict(None, claim_id, kind, absent=absent)
    single = [claim_verdict(each, claim_id, kind, ref, needs=needs) for ref, each in fitting]
    return _together(single, unusable, absent)


def _standing(
    attachments: Sequence[Attachment], subject: str
) -> tuple[list[tuple[ArtifactRef, VerificationResult]], list[Verdict]]:
    latest: dict[tuple[str, Depth | None, frozenset[str]], tuple[ArtifactRef, VerificationResult]] = {}
    unusable = []
    for each in attachments:
        found = opened(each, subject)
        if isinstance(found, Verdict):
            unusable.append(found)
        else:
            latest[found.kind, found.depth, _proved(found)] = (each.ref, found)
    return list(latest.values()), unusable


def _proved(found: VerificationResult) -> frozenset[str]:
    """Return the claims of a proof; a sandbox reproduction is told apart by its depth alone."""
    if found.kind != "proof":
        return frozenset()
    return frozenset(name for each in found.checks for name in each.claims)


def printed_statement(claim_id: str, attachments: Sequence[Attachment], subject: str) -> str | None:
    """Return a claim's theorem as the checker printed it; None where no usable proof holds it."""
    results, _ = _standing(attachments, subject)
    return next((each.theorem for _, each in results if claim_id in _proved(each)), None)


def with_unproved(whole: Verdict, claims: Mapping[str, Verdict]) -> Verdict:
    """Return the record's verdict, which names the mathematical claims that it does not speak for.

    A record that was reproduced is VERIFIED also where a proof could not be checked: each claim has a verdict
    of its own. Its reason must not let a reader think otherwise. Source: our own rule.

    Args:
        claims: the verdicts of the mathematical claims by id.
    """
    shut = [f"{name} ({each.code})" for name, each in claims.items() if each.status != "VERIFIED"]
    if whole.status != "VERIFIED" or not shut:
        return whole
    return whole.model_copy(update={"reason": f"{whole.reason} No proof was accepted of: {', '.join(shut)}."})


def _together(verdicts: Sequence[Verdict], unusable: Sequence[Verdict], absent: Absent) -> Verdict:
    failed = [each for each in verdicts if each.status == "FAILED"]
    held = [each for each in verdicts if each.status == "VERIFIED"]
    if failed:
        return failed[-1]
    if unusable:
        return unusable[0]
    if held:
        return max(held, key=lambda each: -1 if each.depth is None else DEPTHS.index(each.depth))
    shallow = [each for each in verdicts if each.code == "depth_too_shallow"]
    if shallow:
        return shallow[-1]
    return verdicts[-1] if verdicts else verdict(None, absent=absent)
