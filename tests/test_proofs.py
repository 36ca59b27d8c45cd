"""Proofs in Lean 4: reading sources, and judging what Lean says.

No real Lean was to be had where these tests were written: `fake_lean` prints messages in the shape of
`lean --json`, steered by `--!` comments. The last tests run a real one where there is one.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from acclimate.lean_source import FORBIDDEN, AmbiguousError, is_name, statement, words
from acclimate.proofs import ProofResult, Ran, check_proof
from acclimate.sandbox import Settings, available

LIMIT_S = 300.0

# --- reading sources -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("theorem t : True := trivial", ["theorem", "t", ":", "True", ":=", "trivial"]),
        ("a -- sorry\nb", ["a", "b"]),
        ("a -- no end", ["a"]),
        ("a--sorry\nb", ["a", "b"]),
        ("-- /- opens nothing\nb", ["b"]),
        ("a /- sorry -/ b", ["a", "b"]),
        ("a /- one /- two -/ sorry -/ b", ["a", "b"]),
        ("a /- -- -/ b", ["a", "b"]),
        ("a /-/ sorry -/ b", ["a", "b"]),
        ("a /- --/ b", ["a", "b"]),
        ("/-- sorry, says the doc -/ a", ["a"]),
        ("/-! # sorry -/ a", ["a"]),
        ('a "sorry" b', ["a", "b"]),
        (r'a "\" sorry \\" b', ["a", "b"]),
        ('a "-- /-" b', ["a", "b"]),
        ('a "two\nlines" b', ["a", "b"]),
        ('a r"sorry \\" b', ["a", "b"]),
        ('a r#"say "sorry" \\"# b', ["a", "b"]),
        ('a r##"x"# sorry"## b', ["a", "b"]),
        ('bar"sorry"', ["bar"]),
        ("a '\"' b", ["a", "b"]),
        (r"a '\'' b '\"' c", ["a", "b", "c"]),
        (r"a '\\' b", ["a", "b"]),
        (r"('\x41', '\u03b1')", ["(", ",", ")"]),
        ("x' y'' sorry'", ["x'", "y''", "sorry'"]),
        ("f '' s", ["f", "''", "s"]),
        ("f ⁻¹' s sorry", ["f", "⁻¹'", "s", "sorry"]),
        ("∑' n, f n", ["∑", "'", "n", ",", "f", "n"]),
        ("xsorry sorry_1 sorryAx", ["xsorry", "sorry_1", "sorryAx"]),
        ("λsorry", ["λ", "sorry"]),
        ("αsorry", ["αsorry"]),
        ("sᶜsorry", ["s", "ᶜ", "sorry"]),
        ("x₁sorry", ["x₁sorry"]),
        ("1sorry", ["1", "sorry"]),
        ("(sorry)", ["(", "sorry", ")"]),
        ("·sorry", ["·", "sorry"]),
        ("«sorry» «a b»", ["«sorry»", "«a b»"]),
        ("Foo.«bar baz».qux", ["Foo.«bar baz».qux"]),
        ("Foo.bar. baz", ["Foo.bar", ".", "baz"]),
        ("x <--1", ["x", "<-", "-", "1"]),
        ("#eval! f", ["#eval!", "f"]),
        ("# eval", ["#", "eval"]),
        ("", []),
    ],
)
def test_comments_and_literals_are_passed_over_and_names_are_whole(source: str, expected: list[str]):
    assert [each.text for each in words(source)] == expected


@pytest.mark.parametrize(
    "source",
    [
        "/- never ended",
        "/- /- -/",
        '"never ended',
        '"ended by nothing \\"',
        'r#"never ended"',
        "«never ended",
        "/--/ is read in two ways",
        's!"code {sorry} in a string"',
        "∑'\"' \"",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(source: str):
    with pytest.raises(AmbiguousError, match="line 1"):
        list(words(source))


def test_a_name_s_parts_lose_their_guillemets_and_know_that_they_had_them():
    (name,) = words("Foo.«a.b».c'")
    assert name.parts == ("Foo", "a.b", "c'")
    assert name.quoted == (False, True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo", True),
        ("Foo.bar'", True),
        ("«a b».c", True),
        ("foo bar", False),
        ("foo\n#eval 1", False),
        ("foo -- bar", False),
        (" foo", False),
        ("1", False),
        ("", False),
        ('"', False),
    ],
)
def test_only_one_whole_name_is_a_name(text: str, expected: bool):
    assert is_name(text) is expected


SCOPES = """
import Foo
namespace A.B
section Inner
theorem one : 1 = 1 := rfl
end Inner
/-- doc -/
@[simp] protected theorem two.three (n : Nat) (h : n = 0 := by simp) :
    n + 0 = n := by
  simp
end A.B
section
lemma four {p : Prop} : p → p
  | h => h
end
theorem _root_.five : let x := 2; x = 2 := rfl
namespace C
theorem _root_.six : True where
theorem seven : True -- the end
  := trivial
"""


@pytest.mark.parametrize(
    ("theorem", "expected"),
    [
        ("A.B.one", "theorem one : 1 = 1"),
        ("A.B.two.three", "theorem two.three (n : Nat) (h : n = 0 := by simp) :\n    n + 0 = n"),
        ("four", "lemma four {p : Prop} : p → p"),
        ("five", "theorem _root_.five : let x := 2; x = 2"),
        ("six", "theorem _root_.six : True"),
        ("C.seven", "theorem seven : True -- the end"),
        ("one", None),
        ("A.one", None),
        ("seven", None),
        ("Foo.bar", None),
    ],
)
def test_a_statement_is_found_by_its_full_name(theorem: str, expected: str | None):
    assert statement(SCOPES, theorem) == expected


# --- the check, with a program that speaks like Lean ----------------------------------------------

FAKE = '''
"""Prints what Lean 4 would, in the shape of `lean --json`; the source's `--!` comments say what that is."""
import json, os, re, sys, time
VERSION = "Lean (version 4.99.0, x86_64-unknown-linux-gnu, commit 0123456789ab, Release)"
if sys.argv[1:] == ["--version"]:
    print(VERSION)
    sys.exit(0)
if sys.argv[1:] == ["--print-prefix"]:
    print(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(0)
assert sys.argv[1] == "--json" and len(sys.argv) == 3, sys.argv
lines = open(sys.argv[2], encoding="utf-8").read().split("\\n")
n_errors = 0
def say(severity, line, text):
    global n_errors
    n_errors += severity == "error"
    place = {"line": line, "column": 0}
    end = {"line": line, "column": 4}
    print(json.dumps({"severity": severity, "pos": place, "keepFullRange": False, "kind": "[anonymous]",
        "isSilent": False, "fileName": sys.argv[2], "endPos": end, "data": text}, ensure_ascii=False))
told, known = {}, set()
for number, line in enumerate(lines, start=1):
    found = re.search(r"--! (\\w+): (.*)", line)
    if found and found[1] in ("error", "warning"):
        say(found[1], number, found[2])
    elif found and found[1] == "sleep":
        time.sleep(float(found[2]))
    elif found and found[1] == "crash":
        print("Stack overflow detected. Aborting.", file=sys.stderr)
        os.abort()
    elif found and found[1] == "look":
        seen = "seen" if os.path.exists(found[2]) else "not seen"
        print(seen, os.environ.get("LEAN_PATH"), file=sys.stderr)
    elif found:
        told[found[1]] = found[2].replace("NEWLINE", "\\n")
    known.update(re.findall(r"(?:theorem|lemma) (\\S+)", line))
    question = re.fullmatch(r"set_option pp.fullNames true in #check @(\\S+)", line)
    if question and question[1] in known | set(told):
        say("information", number, f"@{question[1]} : {told.get('is', 'True')}")
    elif question:
        say("error", number, f"unknown identifier '{question[1]}'")
    question = re.fullmatch(r"#print axioms (\\S+)", line)
    if question and "says" in told:
        say("information", number, told["says"])
    elif question and "axioms" in told:
        say("information", number, f"'{question[1]}' depends on axioms: [{told['axioms']}]")
    elif question and question[1] in known:
        say("information", number, f"'{question[1]}' does not depend on any axioms")
    elif question:
        say("error", number, f"unknown constant '{question[1]}'")
sys.exit(1 if n_errors else 0)
'''


@pytest.fixture
def fake_lean(tmp_path: Path) -> str:
    program = tmp_path / "toolchain" / "bin" / "lean"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}{FAKE}", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def plainly(command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float) -> Ran:
    """Run a command unsealed: for tests of what is made of Lean's messages."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Ran(137, "", "", timed_out=True)
    return Ran(process.returncode, output, errors)


@pytest.fixture
def check(fake_lean: str, tmp_path: Path):
    """Check a source with the fake program, unsealed."""

    def go(text: str, theorem: str = "t", **further: object) -> ProofResult:
        source = tmp_path / "source.lean"
        source.write_bytes(text.encode("utf-8"))
        options = {"lean": fake_lean, "limit_s": LIMIT_S, "run": plainly, **further}
        return check_proof(source, theorem, **options)

    return go


def test_a_proof_without_axioms_stands_and_shows_its_statement(check):
    text = "--! is: ∀ (n : Nat), n + 0 = n\ntheorem t (n : Nat) : n + 0 = n := rfl\n"
    result = check(text)
    assert result.proved, result
    assert result.reason == ""
    assert result.statement == "@t : ∀ (n : Nat), n + 0 = n"
    assert result.stated == "theorem t (n : Nat) : n + 0 = n"
    assert result.axioms == ()
    assert result.lean == "Lean (version 4.99.0, x86_64-unknown-linux-gnu, commit 0123456789ab, Release)"
    assert result.source_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert "does not depend on any axioms" in result.log


@pytest.mark.parametrize("last", ["", "\n", "\n\n", " -- a comment without an end of line"])
def test_however_a_source_ends_the_questions_after_it_are_heard(check, last: str):
    assert check("theorem t : True := trivial" + last).proved


def test_the_standard_axioms_are_allowed_in_one_line_or_several(check):
    for listed in (
        "propext, Classical.choice, Quot.sound",
        "propext,NEWLINE Classical.choice,NEWLINE Quot.sound",
    ):
        result = check(f"--! axioms: {listed}\ntheorem t : True := trivial")
        assert result.proved
        assert result.axioms == ("Classical.choice", "Quot.sound", "propext")


def test_another_axiom_is_refused_by_name_and_can_be_allowed(check):
    text = "--! axioms: propext, Lib.riemann\ntheorem t : True := trivial"
    result = check(text)
    assert (result.status, result.code, result.detail) == ("refused", "undeclared_axiom", "Lib.riemann")
    assert result.axioms == ("Lib.riemann", "propext")
    assert check(text, axioms={"propext", "Lib.riemann"}).proved
    assert check(text, axioms={"Lib.riemann"}).detail == "propext"


def test_native_decide_is_refused_also_where_a_tactic_hides_it(check):
    result = check("--! axioms: Lean.ofReduceBool\ntheorem t : 2 + 2 = 4 := by decide +native")
    assert (result.code, result.detail) == ("undeclared_axiom", "Lean.ofReduceBool")


def test_sorry_is_refused_in_words_in_warnings_and_among_axioms(check):
    result = check("theorem t : True := by\n  sorry")
    assert (result.status, result.code, result.detail) == ("refused", "uses_sorry", "`sorry` in line 2")
    assert check("theorem t : True := by admit").code == "uses_sorry"
    assert check("theorem t : True := sorryAx _").code == "uses_sorry"
    assert check("theorem t : True := «sorryAx» _").code == "uses_sorry"
    for said in ("declaration uses 'sorry'", "declaration uses `sorry`"):
        assert check(f"theorem t : True := by exact? --! warning: {said}").code == "uses_sorry"
    assert check("--! axioms: propext, sorryAx\ntheorem t : True := x").code == "uses_sorry"


def test_sorry_in_comments_strings_and_longer_names_does_not_count(check):
    text = (
        "/- sorry /- axiom -/ sorry -/\n-- sorry\n"
        'def s := "sorry, axiom"\ndef r := r#"say "sorry""#\ndef «sorry» := 1\ndef sorry\' := 2\n'
        "theorem t : True := trivial"
    )
    assert check(text).proved


@pytest.mark.parametrize(
    "word",
    [
        "axiom",
        "unsafe",
        "native_decide",
        "macro",
        "notation",
        "#eval",
        "#exit",
        "run_cmd",
        "initialize",
        "elab",
    ],
)
def test_a_forbidden_word_is_refused_with_its_line(check, word: str):
    result = check(f"theorem t : True := trivial\n{word} x")
    assert (result.status, result.code, result.detail) == ("refused", "forbidden", f"`{word}` in line 2")


def test_forbidden_names_are_found_within_longer_ones_and_in_guillemets(check):
    for text, word in (
        ("@[implemented_by g] def f := 1", "implemented_by"),
        ("@[«implemented_by» g] def f := 1", "implemented_by"),
        ("set_option debug.skipKernelTC true", "skipKernelTC"),
        ("def f := Lean.ofReduceBool", "ofReduceBool"),
        ("def f : IO Unit := pure ()", "IO"),
    ):
        assert check(f"theorem t : True := trivial\n{text}").detail == f"`{word}` in line 2"
        assert word in FORBIDDEN


def test_a_source_that_can_be_read_in_two_ways_is_refused(check):
    result = check('def s := s!"{sorry}"\ntheorem t : True := trivial')
    assert (result.status, result.code) == ("refused", "ambiguous")
    assert "line 1" in result.detail


def test_a_type_error_is_refused_with_its_line(check):
    result = check("theorem u : True := trivial\ntheorem t : 1 = 2 := rfl --! error: type mismatch")
    assert (result.status, result.code, result.detail) == ("refused", "type_error", "line 2: type mismatch")


def test_a_library_that_is_not_there_is_no_refutation(check):
    for text in (
        "unknown module prefix 'Mathlib'",
        "object file '/x/Mathlib.olean' of module Mathlib does not exist",
    ):
        result = check(f"import Mathlib --! error: {text}\ntheorem t : True := trivial")
        assert (result.status, result.code) == ("unavailable", "no_library")
        assert "Mathlib" in result.detail


def test_a_theorem_that_the_source_does_not_state_is_missing(check):
    for text, theorem in (
        ("theorem u : True := trivial", "t"),
        ("def t := 1", "t"),
        ("example : True := trivial", "t"),
        ("namespace A\ntheorem t : True := trivial\nend A", "t"),
        ("-- theorem t : True := trivial\ntheorem u : True := trivial", "t"),
        ("theorem t : True := trivial", "Nat.add_comm"),
        ("theorem t : True := trivial", "t\n#eval 1"),
    ):
        result = check(text, theorem)
        assert (result.status, result.code) == ("refused", "theorem_missing"), text


def test_a_theorem_that_lean_does_not_know_is_missing(check):
    # The fake knows names as written; the open namespace makes our reading differ, as a macro would.
    result = check("namespace A\ntheorem  t : True := trivial", "A.t")
    assert (result.status, result.code) == ("refused", "theorem_missing")
    assert "unknown identifier" in result.detail


def test_an_answer_about_another_theorem_is_not_taken(check):
    result = check("--! says: 'A.t' does not depend on any axioms\ntheorem t : True := trivial")
    assert (result.status, result.code) == ("refused", "theorem_missing")
    assert "A.t in place of t" in result.detail


def test_messages_that_only_look_like_answers_prove_nothing(check):
    # The answer must stand at the question's own place: what a source prints elsewhere is not heard.
    result = check(
        "theorem t : True := trivial --! warning: 't' does not depend on any axioms\n"
        "--! says: no answer that is known"
    )
    assert (result.status, result.code) == ("unavailable", "lean_failed")


def test_a_crash_is_no_refutation(check):
    result = check("theorem t : True := trivial\n--! crash: now")
    assert (result.status, result.code) == ("unavailable", "lean_failed")
    assert "Stack overflow" in result.detail


def test_a_timeout_is_no_refutation(check):
    result = check("theorem t : True := trivial\n--! sleep: 1000", limit_s=1.0)
    assert (result.status, result.code) == ("unavailable", "timeout")
    assert "1 seconds" in result.detail


def test_without_lean_the_check_is_unavailable_and_says_why(check, tmp_path: Path):
    text = "theorem t : True := trivial"
    for options in (
        {"lean": None, "path": str(tmp_path)},
        {"lean": None},
        {"lean": str(tmp_path / "nowhere")},
    ):
        result = check(text, **options)
        assert (result.status, result.code) == ("unavailable", "no_lean")
        assert "install Lean 4" in result.detail
        assert result.stated == "theorem t : True"


def test_lean_is_found_in_a_path(check, fake_lean: str):
    assert check("theorem t : True := trivial", lean=None, path=f"/nowhere:{Path(fake_lean).parent}").proved


def test_another_lean_than_4_is_unavailable(check, tmp_path: Path):
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 'Lean (version 3.51.1, commit cce7990ea86a, Release)'\n")
    old.chmod(0o755)
    result = check("theorem t : True := trivial", lean=str(old))
    assert (result.status, result.code) == ("unavailable", "no_lean")
    assert "is no Lean 4" in result.detail


def test_a_bad_source_is_refused_even_where_there_is_no_lean(check):
    assert check("theorem t : True := sorry", lean=None).code == "uses_sorry"


def test_a_source_that_cannot_be_read_is_refused(check, fake_lean: str, tmp_path: Path):
    assert check_proof(tmp_path / "no.lean", "t", lean=fake_lean, limit_s=9).code == "source_unreadable"
    (tmp_path / "bad.lean").write_bytes(b"\xff\xfe")
    assert check_proof(tmp_path / "bad.lean", "t", lean=fake_lean, limit_s=9).code == "source_unreadable"


def test_by_default_lean_runs_sealed_with_its_libraries(check, tmp_path: Path):
    if available().tool is None:
        pytest.skip(available().sentence)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "lib").mkdir()
    text = f"theorem t : True := trivial\n--! look: {tmp_path / 'secret'}"
    outside = check(text, libraries=[tmp_path / "lib"])
    assert outside.proved
    assert f"\nseen {tmp_path / 'lib'}" in outside.log
    inside = check(text, libraries=[tmp_path / "lib"], run=None)
    assert inside.proved, inside
    assert f"\nnot seen {tmp_path / 'lib'}" in inside.log


def test_without_a_sandbox_nothing_is_run(check, tmp_path: Path):
    def refusing(*_: object) -> Ran:
        from acclimate.sandbox import run_sealed

        run_sealed(
            ["true"],
            inputs=(),
            out=tmp_path / "o",
            limit_s=1,
            settings=Settings(places=str(tmp_path / "none")),
        )
        raise AssertionError("not reached")

    result = check("theorem t : True := trivial", run=refusing)
    assert (result.status, result.code) == ("unavailable", "no_sandbox")
    assert "bubblewrap" in result.detail


# --- the real one --------------------------------------------------------------------------------


@pytest.fixture
def real_lean() -> str:
    program = shutil.which("lean")
    if program is None:
        pytest.skip("needs a real Lean 4 (`lean` in the PATH)")
    return program


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("theorem t (n : Nat) : n + 0 = n := rfl", ""),
        ("theorem t (p : Prop) : p ∨ ¬p := Classical.em p", ""),
        ("theorem t : 1 = 2 := rfl", "type_error"),
        ("theorem t : 2 + 2 = 4 := by decide +native", "undeclared_axiom"),
        ("theorem t : True := by stop trivial", "uses_sorry"),
        ("namespace A\ntheorem u : True := trivial\nend A\ntheorem t : True := A.u", ""),
    ],
)
def test_a_real_lean_is_understood(real_lean: str, tmp_path: Path, text: str, code: str):
    (tmp_path / "t.lean").write_text(text, encoding="utf-8")
    result = check_proof(tmp_path / "t.lean", "t", lean=real_lean, limit_s=LIMIT_S)
    assert result.code == code, result
    assert code or result.statement.startswith(("@t", "t"))
