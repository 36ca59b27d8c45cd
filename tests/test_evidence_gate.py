"""The gate opens for an attached artifact whose result is a success, and for nothing else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.report.evidence.assemble import resealed, with_verdicts
from acclimate.report.evidence.attached import gate_problems
from acclimate.report.evidence.contradictions import check_record
from acclimate.report.evidence.digests import record_json, subject_digest
from acclimate.report.evidence.gate import (
    Attachment,
    claim_verdict,
    opened,
    record_verdict,
    verdict,
    verdict_of_claim,
)
from acclimate.report.evidence.record import (
    ArtifactRef,
    Calibration,
    Confidence,
    Counts,
    Record,
    Review,
    Verdict,
)
from acclimate.report.evidence.result import VerificationResult, holds
from acclimate.report.evidence.schema import VERIFICATION_SCHEMA, verification_schema
from acclimate.report.evidence.shape import parsed
from tests.evidence_parts import SOUND, attached, check, result, whole

SOUND_RESULT = result(whole())
BROKEN = check("gain again", "gain", found=0.9)


def parsed_result(data: dict[str, Any]) -> VerificationResult:
    found = parsed(VerificationResult, data)
    assert isinstance(found, VerificationResult), found
    return found


def proof(record: Record, *, ok: bool = True) -> dict[str, Any]:
    one = {
        "name": "type-checks",
        "claims": ["identity"],
        "expected": True,
        "found": ok,
        "tolerance": None,
        "ok": ok,
    }
    return result(record, one, kind="proof", depth=None, theorem="theorem vrs : v = b - d")


def test_a_success_opens_the_gate_a_failure_fails_it_and_nothing_leaves_it_shut() -> None:
    record = whole()
    assert verdict(parsed_result(result(record))).status == "VERIFIED"
    failed = verdict(parsed_result(result(record, *SOUND[1:], BROKEN)))
    assert (failed.status, failed.code) == ("FAILED", "not_reproduced")
    assert "1 of 2" in failed.reason and "gain again" in failed.reason
    assert verdict(None).status == "UNVERIFIED"


@pytest.mark.parametrize(
    "absent", ["none_attempted", "before_activation", "no_lean", "sandbox_unavailable", "not_finished"]
)
def test_without_an_artifact_the_reason_is_said(absent: Any) -> None:
    found = verdict(None, absent=absent)
    assert (found.status, found.code, found.artifact) == ("UNVERIFIED", absent, None)


@pytest.mark.parametrize(
    ("depth", "needs", "status"),
    [
        ("score", "score", "VERIFIED"),
        ("score", "generate", "UNVERIFIED"),
        ("generate", "generate", "VERIFIED"),
        ("generate", "train", "UNVERIFIED"),
        ("train", "score", "VERIFIED"),
    ],
)
def test_a_shallower_reproduction_than_asked_for_opens_nothing(depth: Any, needs: Any, status: str) -> None:
    found = verdict(parsed_result(result(whole(), depth=depth)), needs=needs)
    assert (found.status, found.depth) == (status, depth)


def test_an_attachment_counts_only_with_its_own_bytes_and_its_own_record() -> None:
    record = whole()
    subject = subject_digest(record)
    good = attached(result(record))
    assert good.content is not None
    cases = {
        "artifact_missing": replace(good, content=None),
        "artifact_altered": replace(good, content=good.content.replace(b"0.5", b"0.6", 1)),
        "artifact_of_another_record": attached(result(record, subject="9" * 64)),
        "artifact_unreadable": attached({"success": True}),
    }
    for code, each in cases.items():
        found = record_verdict([each], subject)
        assert (found.status, found.code) == ("UNVERIFIED", code)
        assert found.artifact == each.ref
    assert record_verdict([good], subject).status == "VERIFIED"


def test_an_altered_attachment_shuts_a_gate_that_another_opened_and_a_failure_goes_first() -> None:
    record = whole()
    subject = subject_digest(record)
    good, lost = attached(result(record)), replace(attached(result(record, depth="train"), 2), content=None)
    assert record_verdict([good, lost], subject).code == "artifact_missing"
    failed = attached(result(record, BROKEN, depth="generate"), 3)
    assert record_verdict([good, lost, failed], subject).code == "not_reproduced"


def test_the_latest_attempt_of_a_depth_stands_and_the_deepest_gives_the_verdict() -> None:
    record = whole()
    subject = subject_digest(record)
    failed, again = attached(result(record, BROKEN)), attached(result(record), 2)
    assert record_verdict([failed, again], subject).status == "VERIFIED"
    assert record_verdict([again, failed], subject).status == "FAILED"
    deep = attached(result(record, depth="train"), 3)
    assert record_verdict([deep, again], subject).depth == "train"
    assert record_verdict([deep, failed], subject).status == "FAILED"


def test_a_claim_has_the_verdict_of_its_own_checks_and_of_those_that_concern_all() -> None:
    record = whole()
    mixed = parsed_result(result(record, SOUND[1], BROKEN))
    assert claim_verdict(mixed, "gain", "empirical").status == "FAILED"
    assert claim_verdict(mixed, "looks", "empirical").status == "VERIFIED"
    assert claim_verdict(mixed, "other", "empirical").code == "not_covered"
    spoiled = parsed_result(result(record, *SOUND, check("hash of the predictions", found=0.9)))
    assert claim_verdict(spoiled, "looks", "empirical").status == "FAILED"


def test_a_kind_of_claim_needs_its_kind_of_gate() -> None:
    record = whole()
    shown = parsed_result(proof(record))
    assert claim_verdict(shown, "identity", "mathematical").code == "proved"
    assert claim_verdict(shown, "identity", "empirical").code == "not_covered"
    assert claim_verdict(parsed_result(result(record)), "gain", "mathematical").code == "not_covered"
    assert claim_verdict(shown, "identity", "literature").code == "not_empirical"
    refused = claim_verdict(parsed_result(proof(record, ok=False)), "identity", "mathematical")
    assert (refused.status, refused.code) == ("FAILED", "proof_rejected")


def test_what_only_a_proof_decides_says_why_there_is_none() -> None:
    record = whole()
    after = with_verdicts(record, [attached(result(record))], unproved="no_lean")
    assert [each.verdict.code for each in after.claims] == ["reproduced", "reproduced", "no_lean"]
    assert after.gate.verdict.status == "VERIFIED"
    assert gate_problems(after, [attached(result(record))]) == []


def test_a_record_follows_its_artifacts_and_still_passes() -> None:
    record = whole()
    after = with_verdicts(record, [attached(result(record)), attached(proof(record), 2)])
    assert [each.verdict.status for each in after.claims] == ["VERIFIED"] * 3
    assert [each.level for each in after.claims] == ["L3"] * 3
    assert (after.level, after.counts.verified) == ("L3", 3)
    assert after.claims[2].standing == "supported"
    assert after.dimensions.reproducibility_status.grade == "MEDIUM"
    assert check_record(record_json(after)) == []
    assert after.abstract != record.abstract
    deep = with_verdicts(record, [attached(result(record, depth="generate"))])
    assert deep.dimensions.reproducibility_status.grade == "HIGH"
    assert deep.level == "L1"  # the claim that only a proof decides has nothing behind it
    assert check_record(record_json(deep)) == []
    failed = with_verdicts(record, [attached(result(record, BROKEN))])
    assert failed.dimensions.reproducibility_status.grade == "LOW"
    assert check_record(record_json(failed)) == []


def test_an_artifact_stays_the_records_own_after_the_record_has_followed_it() -> None:
    record = whole()
    one = attached(result(record))
    after = with_verdicts(record, [one])
    assert subject_digest(after) == subject_digest(record)
    assert gate_problems(after, [one]) == []


def test_a_verdict_written_by_hand_is_found() -> None:
    record = whole()
    one = attached(result(record, BROKEN))
    after = with_verdicts(record, [one])
    held = Verdict(status="VERIFIED", code="reproduced", reason="It held.", depth="score", artifact=one.ref)
    forged = after.model_copy(update={"gate": after.gate.model_copy(update={"verdict": held})})
    assert [each.where for each in gate_problems(forged, [one])] == ["gate.verdict"]
    hidden = with_verdicts(record, [])
    assert gate_problems(hidden, [one])[0].where == "gate.attempts"
    assert gate_problems(hidden, []) == []


def test_a_record_whose_claim_was_changed_loses_its_artifact() -> None:
    record = whole()
    one = attached(result(record))
    after = with_verdicts(record, [one])
    first = after.claims[0].model_copy(update={"margin": 0.001})
    told = gate_problems(after.model_copy(update={"claims": (first, *after.claims[1:])}), [one])
    assert told and "something else" in told[0].sentence


grades = st.sampled_from(["LOW", "MEDIUM", "HIGH"])


@settings(deadline=None)
@given(
    tier=st.text(min_size=1, max_size=20),
    grade=grades,
    score=st.floats(0, 10),
    n=st.integers(0, 1000),
    level=st.sampled_from(["L1", "L2", "L3", "L4"]),
    confidence=st.floats(0, 1),
    attempt=st.sampled_from(["none", "good", "bad", "lost"]),
)
def test_no_tier_grade_review_count_level_or_confidence_moves_a_verdict(
    tier: str, grade: Any, score: float, n: int, level: Any, confidence: float, attempt: str
) -> None:
    record = whole()
    attachments = {
        "none": [],
        "good": [attached(result(record))],
        "bad": [attached(result(record, BROKEN))],
        "lost": [replace(attached(result(record)), content=None)],
    }[attempt]
    plain = with_verdicts(record, attachments)
    graded = {name: each.model_copy(update={"grade": grade}) for name, each in record.dimensions}
    sure = Confidence(value=confidence, meaning="m", calibration=Calibration(method="m", n=1))
    dressed = record.model_copy(
        update={
            "tier": record.tier.model_copy(update={"name": tier}),
            "dimensions": record.dimensions.model_copy(update=graded),
            "counts": Counts(claims=n, source_grounded=n, verified=n),
            "level": level,
            "provenance": record.provenance.model_copy(
                update={"review": Review(method="panel", score=score, out_of=10.0)}
            ),
            "claims": tuple(
                each.model_copy(update={"confidence": sure, "level": "L3"}) for each in record.claims
            ),
        }
    )
    moved = with_verdicts(dressed, attachments)
    assert moved.gate == plain.gate
    assert [each.verdict for each in moved.claims] == [each.verdict for each in plain.claims]
    if attempt == "none":
        assert moved.gate.verdict.status == "UNVERIFIED"


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_a_verdict_is_verified_exactly_where_all_checks_hold(flags: list[bool]) -> None:
    checks = [check(f"check {at}", "gain", found=0.5 if ok else 0.7) for at, ok in enumerate(flags)]
    data = {**SOUND_RESULT, "checks": checks, "success": all(flags)}
    found = verdict(parsed_result(data))
    assert (found.status == "VERIFIED") == all(flags)
    assert (found.status == "FAILED") == (not all(flags))


# --- the artifact itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "ok"),
    [
        (0.5, 0.51, 0.02, True),
        (0.5, 0.53, 0.02, False),
        (3, 3, None, True),
        (3, 3.5, None, False),
        ("abc", "abc", None, True),
        ("abc", "abd", 1.0, False),
        (True, True, None, True),
        (True, 1, None, False),
        (None, None, None, False),
        (0.5, None, 1.0, False),
    ],
)
def test_a_check_holds_by_its_values(expected: Any, found: Any, tolerance: Any, ok: bool) -> None:
    assert holds(expected, found, tolerance) is ok


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"success": False}, "success is not what the checks say"),
        ({"checks": [{**SOUND[0], "found": 0.9}]}, "does not hold"),
        ({"checks": [{**SOUND[0], "ok": False}], "success": False}, "the comparison holds"),
        ({"checks": []}, "at least 1"),
        ({"depth": None}, "has a depth"),
        ({"kind": "proof"}, "has a depth"),
        ({"ended": "2026-11-22T03:59:59Z"}, "ended before it started"),
        ({"started": "yesterday"}, "yesterday"),
        ({"contract": "v0"}, "acclimate-verification/v1"),
    ],
)
def test_a_result_cannot_say_more_than_its_checks(changes: dict[str, Any], words: str) -> None:
    problems = parsed(VerificationResult, {**result(whole()), **changes})
    assert isinstance(problems, list)
    assert words in " ".join(map(str, problems))


def test_the_published_schema_of_results_is_what_the_models_give_and_agrees_with_them() -> None:
    published = json.loads(VERIFICATION_SCHEMA.read_text(encoding="utf-8"))
    assert published == verification_schema()
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (the dev extra)")
    validator = jsonschema.Draft202012Validator(published)
    good = result(whole())
    assert validator.is_valid(good) and validator.is_valid(proof(whole()))
    for changes in ({"success": False}, {"depth": None}, {"kind": "proof"}, {"checks": []}, {"more": 1}):
        assert not validator.is_valid({**good, **changes})


def test_a_claim_of_a_record_without_attachments_says_why() -> None:
    ref = ArtifactRef(path="verification/1/result.json", sha256="0" * 64)
    found = verdict_of_claim("gain", "empirical", [], "0" * 64, absent="sandbox_unavailable")
    assert found.code == "sandbox_unavailable"
    assert isinstance(opened(Attachment(ref, None), "0" * 64), Verdict)
    assert resealed(whole()) == whole()
