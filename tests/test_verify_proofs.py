"""Mathematical claims of a run: proofs travel in the record, and only a checked proof opens the gate."""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from acclimate.cli import app
from acclimate.errors import RecipeError
from acclimate.files import read_json
from acclimate.pipeline import Line
from acclimate.proofs import ProofResult
from acclimate.recipe import load_recipe
from acclimate.report.evidence.assemble import assemble, mathematical, with_verdicts
from acclimate.report.evidence.attached import gate_problems
from acclimate.report.evidence.contradictions import check_record
from acclimate.report.evidence.digests import record_json, sealed, subject_digest
from acclimate.report.evidence.gate import opened
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.report.evidence.manifest import manifest_text
from acclimate.report.evidence.record import FileEntry, ProofEntry, Record, Verdict
from acclimate.sandbox import available
from acclimate.verify.proved import Lean, Proved, result_of
from acclimate.verify.stage import Asked, Verified, verify
from tests.evidence_parts import attached, contents, result
from tests.small_lines import fake_engine, write_line
from tests.test_pipeline import real_recipe
from tests.test_proofs import FAKE
from tests.test_verify import reseal as resealed_demo
from tests.tiny_models import tiny_qwen3_vl

SOUND = "--! is: ∀ (v b d : Int), v = b - d → v + d = b\ntheorem Vrs.sum (v b d : Int) : v + d = b := rest\n"
NAMED = "theorem Vrs.sum (v b d : Int) : v + d = b"
SENTENCES = {
    "sum": "VRS and VDR together are VBR.",
    "admitted": "What is admitted holds.",
    "assumed": "What is assumed holds.",
}
SOURCES = {
    "sum": SOUND,
    "admitted": "theorem Vrs.sum : True := by\n  sorry\n",
    "assumed": "--! axioms: propext, Lib.riemann\ntheorem Vrs.sum : True := trivial\n",
}
START, END = datetime(2026, 11, 22, 5, tzinfo=UTC), datetime(2026, 11, 22, 6, tzinfo=UTC)

# --- the recipe ----------------------------------------------------------------------------------


def proofs(*names: str) -> str:
    rows = (
        f"{{id: {name}, sentence: {SENTENCES[name]}, file: {name}.lean, theorem: Vrs.sum}}" for name in names
    )
    return f"report.proofs=[{', '.join(rows)}]"


def write_sources(folder: Path) -> None:
    for name, text in SOURCES.items():
        (folder / f"{name}.lean").write_text(text, encoding="utf-8")


def test_a_proof_that_is_missing_is_told_before_anything_is_run(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    with pytest.raises(RecipeError, match=r"report\.proofs\.0\.file: .*sum\.lean .*Put the Lean source"):
        Line(load_recipe(recipe, [proofs("sum")]), tmp_path, substitute=fake_engine)
    write_sources(tmp_path)
    Line(load_recipe(recipe, [proofs("sum")]), tmp_path, substitute=fake_engine)


def test_a_source_that_states_another_theorem_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    for text, said in (
        (b"theorem Vrs.other : True := trivial", r"states no theorem Vrs\.sum"),
        (b"/- no end", "two ways"),
        (b"theorem Vrs.sum : \xff", "byte 18 is not UTF-8"),
    ):
        (tmp_path / "sum.lean").write_bytes(text)
        with pytest.raises(RecipeError, match=said):
            Line(load_recipe(recipe, [proofs("sum")]), tmp_path, substitute=fake_engine)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{id: a, sentence: It holds., file: a.lean, theorem: 'a b'}", r"theorem: 'a b' is no name in Lean"),
        ("{id: gain, sentence: It holds., file: a.lean, theorem: t}", "claim gain stands twice"),
        ("{id: a, sentence: It is verified., file: a.lean, theorem: t}", "only the gate may say"),
        ("{id: a, sentence: It holds for, file: a.lean, theorem: t}", "cut off"),
        ("{id: a, sentence: It holds., file: a.lean}", "'report.proofs.0.theorem' is missing"),
    ],
)
def test_what_no_record_may_hold_is_refused_in_the_recipe(tmp_path: Path, entry: str, said: str) -> None:
    recipe = write_line(tmp_path)
    gain = "report.claims=[{id: gain, sentence: It gains., measure: macro/adapted-base/original}]"
    with pytest.raises(RecipeError, match=said):
        load_recipe(recipe, [gain, f"report.proofs=[{entry}]"])


# --- the gate ------------------------------------------------------------------------------------


def with_proof(*names: str) -> Record:
    """The small record, with a claim by proof for each name."""
    base = contents()
    made = tuple(
        mathematical(
            name, SENTENCES[name], NAMED, base.question,
            proof=ProofEntry(path=f"proofs/{name}.lean", sha256="a" * 64, theorem="Vrs.sum"),
        )
        for name in names
    )  # fmt: skip
    files = tuple(FileEntry(path=f"proofs/{name}.lean", sha256="a" * 64, bytes=9) for name in names)
    return assemble(contents(claims=(*base.claims[:2], *made), files=(*base.files, *files)))


def proof_result(record: Record, name: str, **found: Any) -> dict[str, Any]:
    told = {
        "status": "proved", "code": "", "detail": "", "theorem": "Vrs.sum", "statement": "@Vrs.sum : True",
        "stated": NAMED, "lean": "Lean (version 4.99.0)", "source_sha256": "a" * 64, "axioms": ("propext",),
        **found,
    }  # fmt: skip
    made = result_of(record, Proved(name, ProofResult(**told), None), START, END)
    return made.model_dump(mode="json")


def verdicts(record: Record) -> dict[str, Verdict]:
    return {each.id: each.verdict for each in record.claims}


def test_each_claim_has_the_verdict_of_its_own_proof_whatever_came_after_it() -> None:
    record = with_proof("sum", "assumed")
    refused = {"status": "refused", "code": "undeclared_axiom", "detail": "Lib.riemann"}
    given = [
        attached(result(record)),
        attached(proof_result(record, "sum"), 2),
        attached(proof_result(record, "assumed", **refused), 3),
    ]
    after = with_verdicts(record, given)
    found = verdicts(after)
    assert (found["sum"].status, found["sum"].code) == ("VERIFIED", "proved")
    assert (found["assumed"].status, found["assumed"].code) == ("FAILED", "proof_rejected")
    assert found["assumed"].reason == "The proof is refused: undeclared_axiom: Lib.riemann."
    assert found["gain"].status == "VERIFIED"
    assert after.gate.verdict.status == "FAILED"
    assert [each.printed for each in after.claims] == [None, None, "@Vrs.sum : True", "@Vrs.sum : True"]
    assert gate_problems(after, given) == []
    assert check_record(record_json(after)) == []


def test_without_lean_a_record_is_reproduced_and_names_the_claims_it_does_not_speak_for() -> None:
    record = with_proof("sum", "assumed")
    given = [attached(result(record)), attached(proof_result(record, "sum"), 2)]
    after = with_verdicts(record, given, unproved={"assumed": "no_lean"})
    assert verdicts(after)["assumed"].code == "no_lean"
    assert after.gate.verdict.status == "VERIFIED"
    assert after.gate.verdict.reason.endswith("No proof was accepted of: assumed (no_lean).")
    assert after.level == "L1"
    assert gate_problems(after, given) == []
    hidden = after.gate.verdict.model_copy(update={"reason": "All 2 checks passed."})
    forged = after.model_copy(update={"gate": after.gate.model_copy(update={"verdict": hidden})})
    assert [each.where for each in gate_problems(forged, given)] == ["gate.verdict"]


def test_a_proof_of_another_source_opens_nothing() -> None:
    record = with_proof("sum")
    good = attached(proof_result(record, "sum"))
    other = record.claims[2].model_copy(
        update={"proof": record.claims[2].proof.model_copy(update={"sha256": "b" * 64})}  # type: ignore[union-attr]
    )
    changed = record.model_copy(update={"claims": (*record.claims[:2], other)})
    assert subject_digest(changed) != subject_digest(record)
    assert verdicts(with_verdicts(record, [good]))["sum"].status == "VERIFIED"
    stale = proof_result(record, "sum", source_sha256="b" * 64)
    assert stale["success"] is False


def test_what_lean_says_never_calls_a_claim_by_the_gates_own_word() -> None:
    record = with_proof("sum")
    told = proof_result(record, "sum", status="refused", code="type_error", detail="line 1: is verified")
    after = with_verdicts(record, [attached(told)])
    assert verdicts(after)["sum"].reason == "The proof is refused: type_error."
    assert check_record(record_json(after)) == []


@pytest.mark.parametrize("lack", ["user", "mount", "network"])
def test_a_sandbox_result_that_does_not_say_what_sealed_it_opens_nothing(lack: str) -> None:
    record = with_proof("sum")
    named = [each for each in ("user", "mount", "pid", "network") if each != lack]
    found = opened(attached(result(record, isolation=named)), subject_digest(record))
    assert isinstance(found, Verdict)
    assert (found.status, found.code) == ("UNVERIFIED", "not_sealed")
    assert lack in found.reason
    after = with_verdicts(record, [attached(result(record, isolation=named))])
    assert verdicts(after)["gain"].status == "UNVERIFIED"
    assert check_record(record_json(after)) == []


# --- a whole run ---------------------------------------------------------------------------------

sealable = pytest.mark.skipif(
    available().tool is None, reason=f"nothing can be sealed here: {available().sentence}"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a tiny model, with one claim by proof that was noted before the scores."""
    folder = tmp_path_factory.mktemp("proofs") / "work"
    folder.mkdir()
    write_sources(folder)
    recipe = real_recipe(folder, tiny_qwen3_vl(folder / "model"))
    render(recipe, "sum")
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    shutil.copytree(finished, folder, symlinks=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(str(finished), str(folder)), "utf-8")
    yield folder


def render(recipe: Path, *names: str) -> None:
    gain = "report.claims=[{id: gain, sentence: It gains., measure: small/adapted-base/original}]"
    line = Line(load_recipe(recipe, [gain, proofs(*names)]), recipe.parent)
    line.report(line.build())


@pytest.fixture
def lean(tmp_path: Path) -> str:
    program = tmp_path / "toolchain" / "bin" / "lean"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}{FAKE}", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def told(found: Verified) -> str:
    return "\n".join(str(each) for each in (*found.altered, *found.findings))


@pytest.mark.slow
@sealable
def test_a_checked_proof_opens_the_gate_of_its_claim_and_its_theorem_is_shown(work: Path, lean: str) -> None:
    record = work / "run" / "report"
    before = read_json(record / MANIFEST)
    (claim,) = (each for each in before["claims"] if each["id"] == "sum")
    assert (claim["written"], claim["verdict"]["code"]) == ("before", "none_attempted")
    assert (record / "proofs" / "sum.lean").read_text(encoding="utf-8") == SOURCES["sum"]
    assert "proofs/sum.lean" in [each["path"] for each in before["files"]]
    assert "as the source states it" in (record / "index.html").read_text(encoding="utf-8")

    (work / "sum.lean").unlink()  # the record is whole without the recipe's folder
    found = verify(work / "run", Asked(lean=Lean(path="")))
    assert found.ok, told(found)
    assert found.claims["sum"].code == "no_lean"
    assert (found.claims["gain"].status, found.verdict and found.verdict.status) == ("VERIFIED", "VERIFIED")
    assert found.verdict is not None
    assert "No proof was accepted of: sum (no_lean)." in found.verdict.reason

    again = verify(work / "run", Asked(lean=Lean(program=lean), expect=found.digest))
    assert again.ok, told(again)
    assert again.claims["sum"].status == "VERIFIED"
    assert again.proofs[0].statement == (
        "@Vrs.sum : ∀ (v b d : Int), v = b - d → v + d = b",
        "as Lean prints it",
    )
    page = (record / "index.html").read_text(encoding="utf-8")
    assert "v = b - d → v + d = b" in page
    assert "as Lean prints it" in page
    assert "b - d → v + d = b" in (record / "report.md").read_text(encoding="utf-8")

    spoken = CliRunner().invoke(app, ["verify", str(work / "run"), "--lean", lean])
    assert spoken.exit_code == 0, spoken.output
    assert "proof of sum: proved" in spoken.output
    assert "the theorem, as Lean prints it: @Vrs.sum : ∀ (v b d : Int)" in spoken.output


@pytest.mark.slow
@sealable
def test_sorry_and_undeclared_axioms_fail_their_claims_and_no_other(work: Path, lean: str) -> None:
    render(work / "recipe.yaml", "sum", "admitted", "assumed")
    found = verify(work / "run", Asked(lean=Lean(program=lean)))
    assert not found.ok
    assert {name: each.status for name, each in found.claims.items()} == {
        "gain": "VERIFIED",
        "sum": "VERIFIED",
        "admitted": "FAILED",
        "assumed": "FAILED",
    }
    assert "uses_sorry: `sorry` in line 2" in found.claims["admitted"].reason
    assert "undeclared_axiom: Lib.riemann" in found.claims["assumed"].reason
    assert found.verdict is not None
    assert found.verdict.status == "FAILED"
    results = [read_json(path) for path in sorted((work / "run/report/verification").glob("*/result.json"))]
    assert [(each["kind"], each["success"]) for each in results] == [
        ("sandbox", True),
        ("proof", True),
        ("proof", False),
        ("proof", False),
    ]


@pytest.mark.slow
@sealable
def test_a_tampered_proof_is_found_and_named_also_where_every_hash_follows(work: Path, lean: str) -> None:
    record = work / "run" / "report"
    source = record / "proofs" / "sum.lean"
    source.write_text(SOURCES["sum"] + "-- and nothing else\n", encoding="utf-8")
    assert "record/proofs/sum.lean" in told(verify(work / "run", Asked(lean=Lean(program=lean))))
    resealed_demo(work)
    assert "proofs/sum.lean" in told(verify(work / "run", Asked(lean=Lean(program=lean))))
    data = read_json(record / MANIFEST)
    listed = {each["path"]: each["sha256"] for each in data["files"]}
    data["claims"][1]["proof"]["sha256"] = listed["proofs/sum.lean"]
    (record / MANIFEST).write_text(manifest_text(sealed(data)), encoding="utf-8")
    found = verify(work / "run", Asked(lean=Lean(program=lean)))
    assert "manifest.json: claims[1].written" in told(found)
    assert found.verdict is None
