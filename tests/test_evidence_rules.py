"""What no record may say: the seeds' record is refused with every contradiction named."""

import copy
import functools
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.report.evidence.contradictions import RULES, check_record
from acclimate.report.evidence.digests import file_problems, record_json, sealed
from acclimate.report.evidence.schema import record_schema, rules_in_schema
from acclimate.report.evidence.shape import Problem
from tests.evidence_parts import RECORDS, derived, read, whole

Data = dict[str, Any]
Edit = Callable[[Data], object]
SEEDS = RECORDS.parents[2] / "shared" / "seeds"
REF = {"path": "verification/1/result.json", "sha256": "3" * 64}
HELD = {"status": "VERIFIED", "code": "reproduced", "reason": "It held.", "depth": "score", "artifact": REF}


def fired(problems: list[Problem]) -> set[str]:
    return {each.rule for each in problems}


def changed(data: Data, edit: Edit) -> Data:
    edited = copy.deepcopy(data)
    edit(edited)
    return sealed(edited)


def put(path: str, value: Any) -> Edit:
    """An edit that puts a value at a path such as `claims.0.level`."""
    *parents, last = path.split(".")

    def edit(data: Data) -> None:
        level: Any = data
        for part in parents:
            level = level[int(part)] if isinstance(level, list) else level[part]
        level[last] = value

    return edit


def edits(*each: Edit) -> Edit:
    def edit(data: Data) -> None:
        for one in each:
            one(data)

    return edit


def cut(data: Data) -> None:
    data["claims"][0]["sentence"] = data["claims"][0]["sentence"][:120]


def copy_abstract(data: Data) -> None:
    data["abstract"] = f"In this paper: {data['claims'][0]['sentence']}"


# One contradiction each, in the seeds' record put right; grades and tier follow where it moves them.
SEED_EDITS: list[tuple[str, Edit]] = [
    ("verified_word", put("counts.verified", 8)),
    ("verified_word", put("abstract", "Eight claims were independently verified.")),
    ("verified_word", put("claims.0.marks", [{"name": "Verified", "value": "✓"}])),
    ("verified_word", put("tier.note", "Verified claims count.")),
    ("verified_word", put("gate.verdict.reason", "All of it is verified.")),
    ("title_cut", put("title", "Comparison of Visual Reliance Score in Models Fine-Tuned for")),
    ("title_cut", put("title", "Comparison of Visual Reli-")),
    ("abstract_cut", put("abstract", "Eight sentences. Our early experime")),
    ("abstract_cut", put("abstract", "Eight sentences. Our early exper-")),
    ("abstract_cut", put("abstract", "Eight sentences ...")),
    ("abstract_copied", copy_abstract),
    ("claim_cut", cut),
    ("claim_cut", put("claims.0.sentence", "LLaVA is better than")),
    ("claim_not_testable", put("claims.7.testable", None)),
    ("claim_not_testable", put("claims.7.testable", " ")),
    ("confidence_unexplained", put("claims.0.confidence.meaning", None)),
    ("confidence_unexplained", put("claims.0.confidence.calibration", None)),
    ("question_not_answered", put("question.answer", None)),
    ("question_not_answered", put("question.answer.status", "answered")),
    ("claim_off_question", put("claims.0.bears_on_question", True)),
    ("reason_against_dates", put("gate.verdict.code", "before_activation")),
    ("verdict_without_artifact", put("gate.verdict.status", "FAILED")),
    ("verdict_without_artifact", put("gate.verdict.code", "reproduced")),
    ("attempts_against_verdict", put("gate.attempts", [REF])),
    (
        "attempts_against_verdict",
        edits(put("gate.verdict.code", "artifact_missing"), put("gate.verdict.artifact", REF)),
    ),
    ("claim_beyond_gate", put("claims.0.verdict.artifact", REF)),
    (
        "claim_beyond_gate",
        edits(
            put("gate.attempts", [REF]),
            put("gate.verdict", HELD),
            put("claims.0.verdict", HELD),
            put("claims.0.level", "L3"),
            put("counts.verified", 1),
        ),
    ),
    (
        "standing_without_ground",
        edits(put("claims.0.standing", "supported"), put("counts.supported", 1), put("counts.open", 7)),
    ),
    ("level_by_ladder", put("claims.0.level", "L2")),
    ("level_by_ladder", put("level", "L2")),
    ("archived_without_digest", put("registration", {"where": "Registered", "digest": None})),
    ("archived_without_digest", put("level", "L4")),
    ("two_levels", put("provenance.level", "L4")),
    ("high_reproducibility", put("dimensions.reproducibility_status.grade", "HIGH")),
    ("dimension_without_basis", put("dimensions.evidence_strength.rule", "")),
    ("dimension_without_basis", put("dimensions.evidence_strength.values", {})),
    ("dimension_by_rule", put("dimensions.evidence_strength.grade", "MEDIUM")),
    ("dimension_by_rule", put("dimensions.evidence_strength.values.bearing", 8)),
    ("tier_without_thresholds", put("tier.basis", [])),
    ("tier_beside_low_confidence", put("tier.name", "Flagship candidate")),
    ("tier_by_rule", put("tier.name", "standard")),
    ("claims_not_exposed", put("provenance.claims_source", "not publicly specified")),
    ("claims_not_exposed", put("counts.source_grounded", 8)),
    ("sources_not_listed", put("provenance.search", {"where": "databases", "retrieved": 10})),
    ("reference_unused", lambda data: data["provenance"]["references"].append({"where": "x", "use": ""})),
    ("corrections_without_chain", put("corrections.head", None)),
    ("corrections_without_chain", put("corrections.count", 1)),
    ("name_unknown", put("question.answer.claims", ["c9"])),
    ("name_unknown", put("claims.1.id", "c1")),
]
MOVES_GRADES = {"claim_off_question", "claim_beyond_gate", "verdict_without_artifact", "reference_unused"}
MEASURED_EDITS: list[tuple[str, Edit]] = [
    ("standing_against_interval", put("claims.0.standing", "refuted")),
    ("standing_against_interval", put("claims.0.margin", 0.05)),
    ("standing_against_interval", put("claims.1.direction", None)),
    ("created_against_artifacts", put("created", "2026-11-20")),
    ("claim_off_question", put("claims.0.bears_on_question", False)),
    ("verified_word", put("claims.0.sentence", "The gain is verified.")),
    ("name_unknown", put("artifacts.1.folder", "artifacts/train/1")),
    ("standing_without_ground", put("claims.2.standing", "supported")),
    ("high_reproducibility", put("dimensions.reproducibility_status.grade", "HIGH")),
]


def names(cases: list[tuple[str, Edit]]) -> list[str]:
    return [f"{rule}-{at}" for at, (rule, _) in enumerate(cases)]


@pytest.mark.parametrize(("rule", "edit"), SEED_EDITS, ids=names(SEED_EDITS))
def test_each_contradiction_alone_is_named_and_nothing_else(rule: str, edit: Edit) -> None:
    data = changed(read("seed_corrected.json"), edit)
    if rule in MOVES_GRADES:
        data = derived(data)
    problems = check_record(data)
    assert fired(problems) == {rule}
    assert all(each.sentence.endswith(".") and each.remedy.endswith(".") for each in problems)


@pytest.mark.parametrize(("rule", "edit"), MEASURED_EDITS, ids=names(MEASURED_EDITS))
def test_so_is_each_in_a_measured_record(rule: str, edit: Edit) -> None:
    data = changed(record_json(whole()), edit)
    data["counts"] = {}
    problems = check_record(derived(data) if rule != "high_reproducibility" else sealed(data))
    answers = {"question_not_answered"} if rule in ("claim_off_question",) else set()
    assert fired(problems) - answers == {rule}


def test_every_rule_is_broken_by_some_case_above() -> None:
    assert {rule for rule, _ in [*SEED_EDITS, *MEASURED_EDITS]} == {each.name for each in RULES}


def test_the_seeds_own_record_is_refused_and_each_of_its_contradictions_named() -> None:
    problems = check_record(read("seed.json"))
    own = {"created_against_artifacts", "attempts_against_verdict", "claim_beyond_gate", "name_unknown"}
    derived_only = {"dimension_by_rule", "tier_by_rule", "standing_against_interval"}
    assert fired(problems) == {each.name for each in RULES} - own - derived_only - {
        "verdict_without_artifact"
    }
    told = {each.where: each.sentence for each in problems}
    assert "8 claims" in told["counts.verified"] and "UNVERIFIED" in told["counts.verified"]
    assert "independently verified" in told["provenance.method"]
    assert "2026-06-10" in told["gate.verdict.reason"] and "2026-06-11" in told["gate.verdict.reason"]
    assert "HIGH" in told["dimensions.reproducibility_status"]
    assert "0.3475" in told["tier.name"]
    assert (
        "10 documents" in told["provenance.search.retrieved"] and "3" in told["provenance.search.retrieved"]
    )
    assert "for" in told["title"] and "L4" in told["provenance.level"] and "L2" in told["provenance.level"]
    assert sum(each.rule == "claim_off_question" for each in problems) == 8
    assert sum(each.rule == "claim_not_testable" for each in problems) == 8
    assert sum(each.rule == "claim_cut" for each in problems) == 4
    assert sum(each.rule == "confidence_unexplained" for each in problems) == 8


def test_the_seeds_record_put_right_passes_and_says_that_nothing_is_answered() -> None:
    data = read("seed_corrected.json")
    assert check_record(data) == []
    assert data["question"]["answer"]["status"] == "not_answered"
    assert data["gate"]["verdict"]["code"] == "none_attempted"
    assert {each["grade"] for each in data["dimensions"].values()} == {"LOW"}


def test_a_measured_record_passes() -> None:
    assert check_record(record_json(whole())) == []


def test_words_copied_from_a_source_that_the_reader_holds_are_found() -> None:
    data = read("seed_corrected.json")
    words = "A wholly different document that says: " + data["abstract"]
    found = check_record(data, texts={"paper.md": words})
    assert fired(found) == {"abstract_copied"} and "paper.md" in found[0].sentence
    assert check_record(data, texts={"paper.md": words[:90]}) == []


def test_an_abstract_may_quote() -> None:
    data = read("seed_corrected.json")
    sentence = data["claims"][0]["sentence"]
    assert check_record(changed(data, put("abstract", f"The paper says “{sentence}” and no more."))) == []
    assert check_record(changed(data, put("abstract", "Nothing here is verified."))) != []
    assert (
        check_record(changed(data, put("abstract", "Nothing is claimed to hold; it was not verified."))) == []
    )


def test_the_word_may_stand_where_the_gate_is_open_but_nothing_is_independently_verified() -> None:
    record = whole()
    data = record_json(record)
    data["gate"]["verdict"] = HELD
    data["gate"]["attempts"] = [REF]
    data["abstract"] = "The numbers are verified."
    assert check_record(derived(data)) == []
    data["abstract"] = "The numbers are independently verified."
    assert fired(check_record(derived(data))) == {"verified_word"}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [each for name, below in value.items() for each in leaves(below, (*path, name))]
    if isinstance(value, list):
        return [each for at, below in enumerate(value) for each in leaves(below, (*path, at))]
    return [path]


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else "x"


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_an_edit_of_any_one_value_is_found_and_its_section_named(chance: random.Random) -> None:
    data = record_json(whole())
    path = chance.choice(leaves(data))
    level: Any = data
    for part in path[:-1]:
        level = level[part]
    level[path[-1]] = another(level[path[-1]])
    problems = check_record(data)
    section = path[1] if path[0] == "digests" else path[0]
    assert any(each.where.startswith((section, f"digests.{section}")) for each in problems)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.randoms(use_true_random=False), values)
def test_whatever_stands_in_a_field_the_answer_is_a_list_of_problems(
    chance: random.Random, value: Any
) -> None:
    data = read("seed_corrected.json")
    path = chance.choice(leaves(data))
    level: Any = data
    for part in path[:-1]:
        level = level[part]
    level[path[-1]] = value
    assert all(isinstance(each, Problem) and str(each) for each in check_record(data))


def test_files_beside_their_list_are_altered_missing_or_unlisted() -> None:
    listed = {"a": "1" * 64, "b": "2" * 64, "c": "3" * 64}
    told = file_problems(listed, {"a": "1" * 64, "b": "4" * 64, "d": "5" * 64}, "files")
    assert [(each.rule, each.where) for each in told] == [
        ("altered_file", "files: b"),
        ("missing_file", "files: c"),
        ("unlisted_file", "files: d"),
    ]
    assert file_problems(listed, listed, "files") == []


def test_the_transcription_is_faithful_to_the_seeds_word_for_word() -> None:
    found = sorted(SEEDS.glob("00[01]_*.txt"))
    if not found:
        pytest.skip(f"needs the seeds in {SEEDS}")
    page, report = (each.read_text(encoding="utf-8") for each in found)
    data = read("seed.json")
    for said in (data["title"], data["abstract"], data["question"]["text"], data["tier"]["note"]):
        assert said in page
    assert data["gate"]["name"] in page and data["gate"]["verdict"]["reason"] in page
    assert data["provenance"]["note"] in page and data["provenance"]["claims_source"] in page
    for name, each in data["dimensions"].items():
        assert f"| {name.replace('_', ' ').capitalize()} | {each['grade']} |" in page
    rows = [f"| {each['sentence']} | ✓ | {each['confidence']['value']} |" for each in data["claims"]]
    assert [row for row in rows if row not in report] == []
    assert report.count("✓") == len(rows)
    assert [f"- <{each['where']}>" in report for each in data["provenance"]["references"]] == [True] * 3


@pytest.mark.parametrize(
    ("edit", "where", "words"),
    [
        (put("level", "L9"), "level", ["L9", "L1"]),
        (put("claims.2.kind", "guess"), "claims[2].kind", ["guess", "empirical"]),
        (put("claims.2.margin", "0"), "claims[2].margin", ['"0"', "a number"]),
        (put("created", "2026-13-01"), "created", ["2026-13-01"]),
        (put("counts.verified", -1), "counts.verified", ["-1", "at least 0"]),
        (put("limits", []), "limits", ["at least 1"]),
        (put("gate.extra", 1), "gate.extra", ["No such field"]),
        (lambda data: data["question"].pop("text"), "question.text", ["missing"]),
        (put("title", ""), "title", ["not empty"]),
        (put("tier.basis.0.value", "nine"), "tier.basis[0].value", ["nine"]),
        (put("corrections.head", "abc"), "corrections.head", ["abc"]),
        (put("files", [{"path": "../x", "sha256": "0" * 64, "bytes": 1}]), "files[0].path", ["../x"]),
        (put("files", [{"path": "/x", "sha256": "0" * 64, "bytes": 1}]), "files[0].path", ["/x"]),
    ],
)
def test_a_fault_of_shape_names_path_value_and_remedy(edit: Edit, where: str, words: list[str]) -> None:
    data = read("seed_corrected.json")
    edit(data)
    problems = check_record(data)
    assert fired(problems) == {"shape"}
    told = next(str(each) for each in problems if each.where == where)
    assert all(word in told for word in words)
    assert "pydantic" not in told and "Input should" not in told


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_hold_is_a_fault_and_no_crash(value: Any) -> None:
    data = read("seed_corrected.json")
    data["provenance"]["review"]["score"] = value
    assert fired(check_record(data)) == {"shape"}


def test_a_record_is_judged_in_under_50_milliseconds() -> None:
    data = record_json(whole())
    data["claims"] = [{**each, "id": f"c{at}"} for at, each in enumerate(data["claims"] * 10)]
    times = []
    for _ in range(5):
        start = time.process_time()
        check_record(data)
        times.append(time.process_time() - start)
    assert min(times) < 0.05


# --- the published schema, before a validator that is not ours -----------------------------------


@functools.cache
def judge() -> tuple[Data, Any]:
    """The schema and jsonschema's validator of it."""
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (the dev extra)")
    schema = record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema, jsonschema.Draft202012Validator(schema)


def refused_by(data: Data) -> set[str]:
    """The rules by which jsonschema refuses the data; `shape` where no rule's name stands on the way."""
    schema, validator = judge()
    named = set()
    errors = list(validator.iter_errors(data))
    while errors:
        error = errors.pop()
        path = list(error.absolute_schema_path)
        titles = [_title(schema, path[: at + 1]) for at in range(len(path))]
        rules = [each for each in titles if each in rules_in_schema()]
        named.update(rules[-1:])
        errors.extend(error.context or ())
        if not rules and not error.context:
            named.add("shape")
    return named


def _title(schema: Any, path: list[Any]) -> str:
    level = schema
    for part in path:
        while isinstance(level, dict) and "$ref" in level and part not in level:
            level = schema["$defs"][level["$ref"].rsplit("/", 1)[1]]
        level = level[part]
    while isinstance(level, dict) and "$ref" in level and "title" not in level:
        level = schema["$defs"][level["$ref"].rsplit("/", 1)[1]]
    return str(level.get("title", "")) if isinstance(level, dict) else ""


@pytest.mark.parametrize(("rule", "edit"), SEED_EDITS, ids=names(SEED_EDITS))
def test_the_schema_refuses_by_no_rule_that_does_not_fire(rule: str, edit: Edit) -> None:
    refused = refused_by(changed(read("seed_corrected.json"), edit))
    assert refused <= {rule, "shape"}
    assert not refused or rule in rules_in_schema()


def test_the_schema_refuses_each_rule_that_it_says_it_holds() -> None:
    held: set[str] = set()
    for start, cases in ((read("seed_corrected.json"), SEED_EDITS), (record_json(whole()), MEASURED_EDITS)):
        for rule, edit in cases:
            if rule not in held and rule in refused_by(changed(start, edit)):
                held.add(rule)
    assert held == rules_in_schema()


def test_the_schema_refuses_the_seeds_own_record_by_name_and_accepts_it_put_right() -> None:
    refused = refused_by(read("seed.json"))
    assert {
        "verified_word", "title_cut", "abstract_cut", "claim_cut", "claim_not_testable", "two_levels",
        "confidence_unexplained", "question_not_answered", "high_reproducibility", "dimension_without_basis",
        "archived_without_digest", "tier_without_thresholds", "claims_not_exposed", "reference_unused",
        "corrections_without_chain", "standing_without_ground",
    } <= refused  # fmt: skip
    assert refused_by(read("seed_corrected.json")) == set()


def test_the_schema_accepts_measured_records_before_and_after_verification() -> None:
    assert refused_by(record_json(whole())) == set()


def test_the_two_records_stand_in_the_form_that_manifests_are_written_in() -> None:
    for name in ("seed.json", "seed_corrected.json"):
        text = (RECORDS / name).read_text(encoding="utf-8")
        data = json.loads(text)
        assert text == json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
        assert sealed(data) == data
