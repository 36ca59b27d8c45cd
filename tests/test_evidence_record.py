"""Records are built from judged claims and artifacts, to the byte; grades and tier follow published rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import DataError
from acclimate.report.evidence.assemble import (
    Grounds,
    artifact_entry,
    assemble,
    empirical,
    environment_of,
    literature,
    registered,
    with_verdicts,
)
from acclimate.report.evidence.bearing import answer_of, bears
from acclimate.report.evidence.contradictions import RULES, check_record
from acclimate.report.evidence.digests import record_json
from acclimate.report.evidence.dimensions import (
    CITATION_RULE,
    EVIDENCE_RULE,
    REPRODUCIBILITY_RULE,
    UNCERTAINTY_RULE,
)
from acclimate.report.evidence.manifest import FILE, manifest_text, read_manifest, write_manifest
from acclimate.report.evidence.record import (
    Calibration,
    Confidence,
    Passage,
    Provenance,
    Question,
    Record,
    Reference,
    Registration,
    Source,
)
from acclimate.report.evidence.schema import RECORD_SCHEMA, record_schema, rules_in_schema, schema_text
from acclimate.report.evidence.wording import borrowed, says_verified, sentence_is_cut, title_is_cut
from acclimate.report.tested import Claim, judge
from tests.evidence_parts import GAIN, attached, contents, measured, result, whole

DOCS = Path(__file__).parents[1] / "docs" / "record.md"
QUESTION = Question(text="Does it?", measures=(GAIN, "visual reliance score"))


def gain_claim(low: float, high: float, n_clusters: int = 40, **changes: Any) -> Any:
    claim = Claim(**{"id": "gain", "sentence": "It scores higher.", "measure": GAIN, **changes})
    return empirical(judge(claim, measured(claim.measure, low, high, n_clusters), "before"), QUESTION)


def test_equal_inputs_give_equal_bytes() -> None:
    first, second = (manifest_text(record_json(assemble(contents()))) for _ in range(2))
    assert first == second
    assert json.loads(first)["created"] == "2026-11-21"  # the later of the two artifacts


def test_a_record_needs_a_date_from_its_artifacts_or_its_contents() -> None:
    with pytest.raises(DataError, match="no date"):
        assemble(contents(artifacts=()))
    assert assemble(contents(artifacts=(), created="2026-11-19")).created == "2026-11-19"


def test_a_part_that_no_record_holds_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="limits"):
        assemble(contents(limits=()))


def test_counts_levels_and_answer_follow_from_the_claims() -> None:
    record = whole()
    assert [each.standing for each in record.claims] == ["supported", "refuted", "open"]
    assert [each.level for each in record.claims] == ["L2", "L2", "L1"]
    assert record.level == "L1"
    counts = record.counts
    assert (counts.claims, counts.source_grounded, counts.verified) == (3, 2, 0)
    assert (counts.supported, counts.refuted, counts.open) == (1, 1, 1)
    answer = record.question.answer
    assert answer is not None
    assert (answer.status, answer.claims) == ("answered", ("gain",))
    assert [each.bears_on_question for each in record.claims] == [True, False, False]


def test_the_ladders_last_rung_takes_this_records_digest_registered_elsewhere() -> None:
    record = assemble(contents(claims=contents().claims[:2]))
    reproduced = with_verdicts(record, [attached(result(record))])
    assert reproduced.level == "L3"
    there = Registration(where="archive.example", identifier="7", day="2026-11-22", digest=reproduced.digest)
    archived = registered(reproduced, there)
    assert (archived.level, archived.digest) == ("L4", reproduced.digest)
    assert check_record(record_json(archived)) == []
    elsewhere = registered(reproduced, there.model_copy(update={"digest": "0" * 64}))
    assert elsewhere.level == "L3"
    assert registered(record, there.model_copy(update={"digest": record.digest})).level == "L2"


@pytest.mark.parametrize(
    ("sentence", "measure", "expected"),
    [
        ("It scores higher.", GAIN, True),
        ("It scores higher.", "other/key", False),
        ("The Visual Reliance Score falls.", None, True),
        ("The visual reliance scores fall.", None, False),
        ("LLaVA yields 85.1%.", None, False),
    ],
)
def test_a_claim_bears_on_the_question_by_its_measure_or_by_name(
    sentence: str, measure: str | None, expected: bool
) -> None:
    assert bears(sentence, measure, QUESTION)[0] is expected


def test_the_answer_counts_the_decided_claims_that_bear() -> None:
    won, unclear = gain_claim(0.01, 0.05), gain_claim(-0.01, 0.05, id="other")
    assert answer_of([won]).status == "answered"
    assert answer_of([won, unclear]).status == "partly"
    assert answer_of([unclear]).status == "not_answered"
    assert answer_of([]).status == "not_answered"
    assert answer_of([won, unclear]).claims == ("gain",)


# --- dimensions and tier -------------------------------------------------------------------------


def grades(record: Record) -> dict[str, str]:
    return {name: each.grade for name, each in record.dimensions}


@pytest.mark.parametrize(
    ("claims", "grade"),
    [
        ([gain_claim(0.01, 0.05)], "HIGH"),
        ([gain_claim(0.01, 0.05, n_clusters=29)], "MEDIUM"),
        ([gain_claim(0.01, 0.05), gain_claim(-0.01, 0.05, id="b")], "MEDIUM"),
        ([gain_claim(-0.01, 0.05)], "LOW"),
        ([gain_claim(0.01, 0.05, measure="other/key")], "LOW"),
        ([], "LOW"),
    ],
)
def test_evidence_is_as_strong_as_the_decided_claims_that_bear(claims: list[Any], grade: str) -> None:
    record = assemble(contents(claims=tuple(claims), question=QUESTION))
    assert grades(record)["evidence_strength"] == grade


def cited(passages: int, claims: int = 2, *, hashed: bool = True, used: bool = True) -> Record:
    listed = Source(id="p", title="Paper", sha256="a" * 64 if hashed else None)
    quote = Grounds("supported", "It says so.", (Passage(source="p", quote="So it is."),))
    entries = tuple(
        literature(
            f"c{at}", "So it is.", QUESTION, testable="Look it up.",
            **({"grounds": quote} if at < passages else {}),
        )
        for at in range(claims)
    )  # fmt: skip
    reference = Reference(where="doi", use="The paper." if used else "")
    provenance = Provenance(publisher="x", note="y", sources=(listed,), references=(reference,))
    return assemble(contents(claims=entries, question=QUESTION, provenance=provenance))


def test_citations_are_graded_by_passages_hashes_and_use() -> None:
    assert grades(cited(2))["citation_grounding"] == "HIGH"
    assert grades(cited(1))["citation_grounding"] == "MEDIUM"
    assert grades(cited(2, hashed=False))["citation_grounding"] == "MEDIUM"
    assert grades(cited(2, used=False))["citation_grounding"] == "MEDIUM"
    assert grades(cited(0))["citation_grounding"] == "LOW"
    bare = Provenance(publisher="x", note="y")
    assert grades(assemble(contents(provenance=bare)))["citation_grounding"] == "LOW"


def test_uncertainty_is_graded_by_the_numbers_that_disclose_it() -> None:
    lone = gain_claim(0.01, 0.05, id="b")
    lone = lone.model_copy(
        update={
            "measurement": lone.measurement.model_copy(update={"method": "one_cluster"}),
            "standing": "open",
        }
    )
    sure = Confidence(
        value=0.9, meaning="The passage supports it.", calibration=Calibration(method="m", n=60)
    )
    unsure = sure.model_copy(update={"calibration": Calibration(method="none", n=0)})
    said = [
        literature(f"c{at}", "So.", QUESTION, testable="Look.", confidence=each)
        for at, each in enumerate((sure, unsure))
    ]
    cases = [
        ([gain_claim(0.01, 0.05)], "HIGH"),
        ([gain_claim(0.01, 0.05), lone], "MEDIUM"),
        ([lone], "LOW"),
        ([said[0]], "HIGH"),
        (said, "MEDIUM"),
        ([said[1]], "LOW"),
        ([], "LOW"),
    ]
    for claims, grade in cases:
        record = assemble(contents(claims=tuple(claims), question=QUESTION))
        assert grades(record)["uncertainty_disclosure"] == grade


def test_reproducibility_without_a_reproduction_is_at_most_medium() -> None:
    assert grades(whole())["reproducibility_status"] == "MEDIUM"
    for name, empty in (("code", None), ("environment", None), ("seeds", {}), ("artifacts", ())):
        record = assemble(contents(**{name: empty, "created": "2026-11-21"}))
        assert grades(record)["reproducibility_status"] == "LOW"


def test_the_tier_follows_its_thresholds() -> None:
    gain = gain_claim(0.01, 0.05)
    high = assemble(contents(claims=(gain,), question=QUESTION))
    assert high.tier.name == "flagship candidate"
    assert all(each.met for each in high.tier.basis)
    late = gain.model_copy(update={"written": "after"})
    assert assemble(contents(claims=(late,), question=QUESTION)).tier.name == "standard"
    assert assemble(contents(claims=(), question=QUESTION)).tier.name == "listed"
    low = Confidence(value=0.3475, meaning="m", calibration=Calibration(method="m", n=1))
    unsure = gain.model_copy(update={"confidence": low})
    assert assemble(contents(claims=(unsure,), question=QUESTION)).tier.name == "listed"


# --- artifacts, manifest, schema, docs -----------------------------------------------------------


def test_an_artifacts_entry_holds_its_hashes_and_its_day() -> None:
    run = {
        "started": "2026-11-20T23:59:01+00:00", "python": "3.11.9", "platform": "Linux",
        "versions": {"torch": "2.13.0"},
    }  # fmt: skip
    entry = artifact_entry(
        "train", "artifacts/train/1", {"fingerprint": "a" * 64, "files": {"x": "b" * 64}}, run
    )
    assert (entry.ran, entry.files) == ("2026-11-20", {"x": "b" * 64})
    assert environment_of(run).packages == {"torch": "2.13.0"}


def test_a_manifest_is_written_and_read_and_every_byte_counts(tmp_path: Path) -> None:
    data = record_json(whole())
    path = write_manifest(tmp_path, data)
    assert read_manifest(tmp_path) == (data, [])
    text = path.read_text(encoding="utf-8")
    twice = text.replace('{\n "abstract"', '{\n "title": "A better one",\n "abstract"', 1)
    for altered in (text + "\n", text.replace(": ", ":  ", 1), twice):
        path.write_text(altered, encoding="utf-8")
        assert [each.rule for each in read_manifest(tmp_path)[1]] == ["altered_form"]


def test_a_record_that_breaks_a_rule_is_not_written(tmp_path: Path) -> None:
    data = record_json(assemble(contents(title="A comparison of")))
    with pytest.raises(DataError, match="title_cut"):
        write_manifest(tmp_path, data)
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).write_text("[]")
    with pytest.raises(DataError, match="one JSON object"):
        read_manifest(tmp_path)


def test_the_published_schema_is_what_the_models_give() -> None:
    assert RECORD_SCHEMA.read_text(encoding="utf-8") == schema_text(record_schema())


def test_the_docs_list_every_rule_with_its_statement_and_source() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for each in RULES:
        mark = "yes" if each.name in rules_in_schema() else "no"
        assert f"| `{each.name}` | {each.statement} | {each.source} | {mark} |" in text
    for rule in (EVIDENCE_RULE, CITATION_RULE, UNCERTAINTY_RULE, REPRODUCIBILITY_RULE):
        assert rule in text


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("It is so.", False),
        ("It is so", False),
        ("It is so (see there).", False),
        ('He said "It is so."', False),
        ("模型更好。", False),
        ("It is better than", True),
        ("It is bet-", True),
        ("It is ...", True),
        ("It is…", True),
        ("It is (as", True),
        ("a" * 99, False),
        ("a" * 100, True),
    ],
)
def test_a_cut_sentence_is_told_from_a_whole_one(text: str, cut: bool) -> None:
    assert sentence_is_cut(text) is cut


@pytest.mark.parametrize(
    ("title", "cut"),
    [
        ("A study", False),
        ("What it is good for", True),
        ("Reliance (VRS", True),
        ("Reliance:", True),
        ("Why?", False),
    ],
)
def test_a_cut_title_is_told_from_a_whole_one(title: str, cut: bool) -> None:
    assert title_is_cut(title) is cut


@pytest.mark.parametrize(
    ("text", "opened", "found"),
    [
        ("8 verified claims", False, "verified"),
        ("Independently verified", True, "Independently verified"),
        ("8 verified claims", True, None),
        ("The gate is VERIFIED.", False, None),
        ("It is UNVERIFIED, unverified.", False, None),
        ("It was not verified; it has never been verified.", False, None),
        ("verification", False, None),
    ],
)
def test_the_word_is_found_where_it_is_not_the_gates(text: str, opened: bool, found: str | None) -> None:
    assert says_verified(text, gate_opened=opened) == found


def test_twelve_words_in_a_row_are_borrowed_and_eleven_are_not() -> None:
    source = "one two three four five six seven eight nine ten eleven twelve thirteen"
    eleven, twelve = " ".join(source.split()[1:12]), " ".join(source.split()[1:13])
    assert borrowed(f"we say {eleven} so", {"s": source}) is None
    assert borrowed(f"We say {twelve.upper()}, so.", {"s": source}) == ("s", twelve)
    assert borrowed(f"We say “{twelve}”, so.", {"s": source}) is None
    assert borrowed(source, {"s": source}) == ("s", source)
