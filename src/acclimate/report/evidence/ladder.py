"""The four rungs of the ladder, and who stands on which. Pure.

| rung | name | stands on it |
|---|---|---|
| L1 | extracted | a sentence, nothing behind it |
| L2 | source-grounded | a claim with a passage or a stored measurement behind it |
| L3 | reproduced | a claim whose own verdict is VERIFIED |
| L4 | externally archived | a record on L3 whose digest is registered elsewhere |

Source: seed 000 names L2 ("Source-grounded claims") and L4 ("External archival record"); L1, L3 and what it
takes to stand on each are our own. A record stands where its lowest claim stands; L4 is a record's alone.
"""

from collections.abc import Mapping

from acclimate.report.evidence.record import ClaimEntry, ClaimLevel, Level, Record

NAMES: Mapping[Level, str] = {
    "L1": "extracted",
    "L2": "source-grounded",
    "L3": "reproduced",
    "L4": "externally archived",
}


def is_grounded(claim: ClaimEntry) -> bool:
    """Return whether a passage or a stored measurement is behind the claim."""
    return bool(claim.passages) or claim.measurement is not None


def claim_level(claim: ClaimEntry) -> ClaimLevel:
    """Return the rung that a claim stands on."""
    if claim.verdict.status == "VERIFIED":
        return "L3"
    return "L2" if is_grounded(claim) else "L1"


def record_level(record: Record) -> Level:
    """Return the rung that a record stands on; one without claims stands on the lowest.

    A record that was corrected after its registration has another digest, and must be registered again.
    """
    rungs = {claim_level(each) for each in record.claims} or {"L1"}
    lowest: Level = "L1" if "L1" in rungs else "L2" if "L2" in rungs else "L3"
    is_archived = record.registration is not None and record.registration.digest == record.digest
    return "L4" if lowest == "L3" and is_archived else lowest
