"""A record beside the bytes of its verification artifacts: do its verdicts follow from them? Pure."""

from collections.abc import Iterator, Sequence
from typing import get_args

from acclimate.report.evidence.digests import subject_digest
from acclimate.report.evidence.gate import (
    ABSENT_CODES,
    Absent,
    Attachment,
    record_verdict,
    verdict_of_claim,
    with_unproved,
)
from acclimate.report.evidence.record import Record, Verdict
from acclimate.report.evidence.shape import Problem

_REMEDY = "Restore the artifact, or run `acclimate verify` again; never write a verdict by hand."


def gate_problems(record: Record, attachments: Sequence[Attachment]) -> list[Problem]:
    """Return every verdict of the record that its artifacts do not give, by name.

    Args:
        attachments: one for each of `record.gate.attempts`, in their order, with the bytes that lie there.
    """
    stated = record.gate.verdict
    if tuple(each.ref for each in attachments) != record.gate.attempts:
        said = "The artifacts that were looked at are not the attempts that the gate lists."
        return [Problem("verdict_against_artifact", "gate.attempts", said, _REMEDY)]
    subject, needs = subject_digest(record), record.gate.needs
    pairs = []
    for at, claim in enumerate(record.claims):
        absent = _absent(claim.verdict if claim.kind == "mathematical" else stated)
        found = verdict_of_claim(claim.id, claim.kind, attachments, subject, absent=absent, needs=needs)
        pairs.append((f"claims[{at}].verdict", claim.verdict, found))
    proofs = {
        claim.id: due
        for claim, (_, _, due) in zip(record.claims, pairs, strict=True)
        if claim.kind == "mathematical"
    }
    whole = record_verdict(attachments, subject, absent=_absent(stated), needs=needs)
    return list(_differences([("gate.verdict", stated, with_unproved(whole, proofs)), *pairs]))


def _absent(stated: Verdict) -> Absent:
    """Return why nothing was attempted, as the record says it: no artifact can say that."""
    known: tuple[Absent, ...] = get_args(Absent)
    return next((each for each in known if each == stated.code), "none_attempted")


def _differences(pairs: Sequence[tuple[str, Verdict, Verdict]]) -> Iterator[Problem]:
    for where, stated, due in pairs:
        both_absent = stated.code in ABSENT_CODES and due.code in ABSENT_CODES
        if stated != due and not both_absent:
            said = f"Stated is {stated.status} ({stated.code}); the artifacts say {due.status}: {due.reason}"
            yield Problem("verdict_against_artifact", where, said, _REMEDY, stated.reason)
