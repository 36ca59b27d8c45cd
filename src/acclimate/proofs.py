"""Mathematical claims by proof: a Lean 4 source that type-checks, with no `sorry` and no axiom of its own.

Lean runs in the sandbox, for elaboration can run code that the source brings. What the source may not hold is
found in its words before that (`lean_source.py`), what its proof rests on is what Lean says of it
(`#print axioms`). A proof is of the statement that Lean read, which is returned to be shown beside the claim:
that the two say the same is for people to judge.
"""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from acclimate.lean_source import SORRY, AmbiguousError, forbidden, is_name, statement, words
from acclimate.sandbox import Bind, SandboxError, Settings, run_sealed
from acclimate.sealing import system_mounts, within

Status: TypeAlias = Literal["proved", "refused", "unavailable"]

STANDARD_AXIOMS = frozenset({"propext", "Classical.choice", "Quot.sound"})
"""What Lean's own library rests on. Source: Theorem Proving in Lean 4, "Axioms and Computation"."""
_FILE = "Proof.lean"
_PLACE = "/in/proof"
_START_S = 60.0
"""For a program to say its version; elan's stand-in may look for its toolchain."""
_VERSION = re.compile(r"Lean \(version (\d+)\.[^)]*\)")
_NO_LIBRARY = re.compile(
    r"unknown (?:module prefix|package) |object file .+ does not exist|incompatible header"
)
_SAYS_SORRY = re.compile(r"declaration uses ['`]sorry['`]")
_AXIOMS = re.compile(r"\s*['`](?P<name>.+?)['`] depends on axioms:\s*\[(?P<axioms>[^\]]*)\]\s*", re.DOTALL)
_NO_AXIOMS = re.compile(r"\s*['`](?P<name>.+?)['`] does not depend on any axioms\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ProofResult:
    """What a check found."""

    status: Status
    """`refused`: something is wrong with the proof. `unavailable`: that could not be found out."""
    code: str
    """Empty when proved. Refused: `source_unreadable`, `ambiguous`, `forbidden`, `uses_sorry`,
    `theorem_missing`, `type_error`, `undeclared_axiom`. Unavailable: `no_lean`, `no_library`, `no_sandbox`,
    `timeout`, `lean_failed`."""
    detail: str
    """The token, axiom, line and message, or cause, in words."""
    theorem: str
    statement: str = ""
    """The statement as Lean prints it after reading; empty where it did not come so far."""
    stated: str = ""
    """The statement as the source writes it."""
    axioms: tuple[str, ...] = ()
    """All that the proof rests on, sorted."""
    lean: str = ""
    """What the program says of its version."""
    source_sha256: str = ""
    log: str = ""
    """All that Lean printed."""

    @property
    def proved(self) -> bool:
        """Whether the theorem stands."""
        return self.status == "proved"

    @property
    def reason(self) -> str:
        """Why it does not, in one line; empty where it does."""
        return f"{self.code}: {self.detail}" if self.code else ""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a program."""

    status: int
    output: str
    errors: str = ""
    timed_out: bool = False


class Runner(Protocol):
    """Runs Lean."""

    def __call__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float
    ) -> Ran:
        """Run a command with a working folder that it only reads.

        Raises:
            SandboxError: it cannot be run sealed.
        """
        ...


@dataclass(frozen=True, slots=True)
class SealedRunner:
    """Runs Lean in the sandbox, with nothing but its toolchain, the libraries and the source."""

    toolchain: Path
    libraries: tuple[Path, ...] = ()
    settings: Settings = field(default_factory=Settings)

    def __call__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float
    ) -> Ran:
        """Run a command; the toolchain and the libraries have the same paths inside as outside.

        Raises:
            SandboxError: it cannot be run sealed.
        """
        seen = [one.inside for one in system_mounts()]
        kept = [Bind(folder, _PLACE)]
        for each in (self.toolchain, *self.libraries):
            if not any(within(str(each), one) for one in seen):
                kept.append(Bind(each, str(each)))
                seen.append(str(each))
        with tempfile.TemporaryDirectory(prefix="acclimate-proof-out-") as name:
            sealed = run_sealed(
                command,
                inputs=kept,
                out=Path(name) / "out",
                work=Path(_PLACE),
                environment=environment,
                limit_s=limit_s,
                settings=self.settings,
            )
            output, errors = (
                path.read_text(encoding="utf-8", errors="replace") for path in (sealed.stdout, sealed.stderr)
            )
        return Ran(sealed.status, output, errors, sealed.timed_out)


@dataclass(frozen=True, slots=True)
class _Lean:
    """A Lean program that was found."""

    program: Path
    toolchain: Path
    version: str


@dataclass(frozen=True, slots=True)
class _Message:
    """One of Lean's messages."""

    severity: str
    line: int
    text: str


def check_proof(
    source: Path,
    theorem: str,
    *,
    lean: str | None = None,
    path: str = "",
    limit_s: float,
    run: Runner | None = None,
    axioms: Collection[str] = STANDARD_AXIOMS,
    libraries: Sequence[Path] = (),
) -> ProofResult:
    """Check that a Lean 4 source proves a theorem, and return what was found; problems are never exceptions.

    Args:
        theorem: its full name; the source must state it, with `theorem` or `lemma`.
        lean: the program; None looks for `lean` in `path`, a PATH (the command line's).
        limit_s: seconds for Lean.
        run: how Lean is run; None seals it.
        axioms: those that the proof may rest on.
        libraries: folders of compiled Lean modules (`.olean`) that the source may import, for `LEAN_PATH`.
            They are trusted: what a library's author compiled is not checked again.
    """
    try:
        data = source.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        return ProofResult("refused", "source_unreadable", f"{source}: {error.strerror}", theorem)
    except UnicodeDecodeError as error:
        return ProofResult("refused", "source_unreadable", f"{source}: no UTF-8, byte {error.start}", theorem)
    digest = hashlib.sha256(data).hexdigest()
    code, detail, stated = _read(text, theorem)
    if code:
        return ProofResult("refused", code, detail, theorem, stated=stated, source_sha256=digest)
    found = _find(lean, path)
    if isinstance(found, str):
        return ProofResult("unavailable", "no_lean", found, theorem, stated=stated, source_sha256=digest)
    runner = (
        SealedRunner(found.toolchain, tuple(each.resolve() for each in libraries)) if run is None else run
    )
    try:
        ran = _type_check(text, theorem, found, runner, libraries, limit_s)
    except SandboxError as error:
        return ProofResult(
            "unavailable", "no_sandbox", str(error), theorem, "", stated, (), found.version, digest
        )
    log = (ran.output + ran.errors).strip()
    judged = _judge(ran, text, theorem, axioms, limit_s)
    return ProofResult(
        judged.status,
        judged.code,
        judged.detail,
        theorem,
        judged.statement,
        stated,
        judged.axioms,
        found.version,
        digest,
        log,
    )


def _read(text: str, theorem: str) -> tuple[str, str, str]:
    """Return why a source is refused unread by Lean (a code, and in words), or nothing; and its statement."""
    if not is_name(theorem):
        return "theorem_missing", f"`{theorem}` is no name of a theorem", ""
    try:
        bad = next(forbidden(text), None)
        stated = statement(text, theorem)
    except AmbiguousError as error:
        return "ambiguous", str(error), ""
    if bad is not None:
        word, line = bad
        code = "uses_sorry" if word in SORRY else "forbidden"
        return code, f"`{word}` in line {line}", stated or ""
    if stated is None:
        return "theorem_missing", f"the source states no theorem {theorem}", ""
    return "", "", stated


def _find(lean: str | None, path: str) -> _Lean | str:
    """Return the Lean 4 that is there, or why there is none."""
    program = shutil.which("lean", path=path) if lean is None else shutil.which(lean)
    if program is None:
        where = f"in {path or 'the empty PATH'}" if lean is None else f"at {lean}"
        return f"no lean program {where}; install Lean 4 (https://lean-lang.org) and check again"
    version = _asked(program, "--version")
    found = _VERSION.search(version)
    if found is None or found[1] != "4":
        return f"{program} is no Lean 4: it says {version[:100]!r} of its version"
    prefix = Path(_asked(program, "--print-prefix") or "/nowhere")
    own = prefix / "bin" / "lean"
    if own.is_file():
        return _Lean(own.resolve(), prefix.resolve(), found[0])
    return _Lean(Path(program).resolve(), Path(program).resolve().parent, found[0])


def _asked(program: str, question: str) -> str:
    try:
        done = subprocess.run(
            [program, question],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={"PATH": f"{Path(program).parent}:/usr/bin:/bin"},
            timeout=_START_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _type_check(
    text: str, theorem: str, found: _Lean, run: Runner, libraries: Sequence[Path], limit_s: float
) -> Ran:
    """Run Lean over a copy of the source that ends with two questions about the theorem."""
    environment = {"PATH": f"{found.program.parent}:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
    if libraries:
        environment["LEAN_PATH"] = ":".join(str(each.resolve()) for each in libraries)
    with tempfile.TemporaryDirectory(prefix="acclimate-proof-") as name:
        questions = f"\nset_option pp.fullNames true in #check @{theorem}\n#print axioms {theorem}\n"
        (Path(name) / _FILE).write_bytes((text + questions).encode("utf-8"))
        return run([str(found.program), "--json", _FILE], Path(name).resolve(), environment, limit_s)


@dataclass(frozen=True, slots=True)
class _Judged:
    status: Status
    code: str = ""
    detail: str = ""
    statement: str = ""
    axioms: tuple[str, ...] = ()


def _judge(ran: Ran, text: str, theorem: str, allowed: Collection[str], limit_s: float) -> _Judged:
    """Return what Lean's messages mean."""
    if ran.timed_out:
        return _Judged("unavailable", "timeout", f"Lean was not done after {limit_s:g} seconds")
    messages = list(_messages(ran.output))
    asked = text.count("\n") + 2
    for each in messages:
        if each.severity == "error" and _NO_LIBRARY.search(each.text):
            return _Judged("unavailable", "no_library", f"line {each.line}: {each.text.strip()[:300]}")
        if each.severity == "error" and each.line < asked:
            return _Judged("refused", "type_error", f"line {each.line}: {each.text.strip()}")
    if any(_SAYS_SORRY.search(each.text) for each in messages):
        return _Judged("refused", "uses_sorry", "Lean reports a declaration that uses sorry")
    for each in messages:
        if each.severity == "error":
            return _Judged("refused", "theorem_missing", each.text.strip())
    shown = [each.text.strip() for each in messages if each.line == asked]
    rests = [each.text for each in messages if each.line == asked + 1]
    if ran.status != 0 or len(shown) != 1 or len(rests) != 1:
        said = (ran.errors or ran.output).strip()[:300]
        return _Judged("unavailable", "lean_failed", f"Lean ended with status {ran.status}; it said: {said}")
    return _rests_on(shown[0], rests[0], theorem, allowed)


def _rests_on(shown: str, said: str, theorem: str, allowed: Collection[str]) -> _Judged:
    """Return what the list of axioms means for a proof in which nothing else is wrong."""
    found = _AXIOMS.fullmatch(said) or _NO_AXIOMS.fullmatch(said)
    if found is None:
        return _Judged("unavailable", "lean_failed", f"an unknown answer about axioms: {said.strip()[:300]}")
    name = found["name"]
    if not _same_name(name, theorem):
        return _Judged("refused", "theorem_missing", f"Lean speaks of {name} in place of {theorem}")
    listed = found.groupdict().get("axioms") or ""
    axioms = tuple(sorted(each.strip() for each in listed.split(",") if each.strip()))
    if "sorryAx" in axioms:
        return _Judged("refused", "uses_sorry", "the proof rests on sorryAx", shown, axioms)
    strange = [each for each in axioms if each not in allowed]
    if strange:
        return _Judged("refused", "undeclared_axiom", ", ".join(strange), shown, axioms)
    return _Judged("proved", statement=shown, axioms=axioms)


def _same_name(said: str, theorem: str) -> bool:
    """Return whether Lean's name is the one asked for; a private theorem's may have a prefix."""
    if not is_name(said):
        return False
    name, asked = next(words(said)).name, next(words(theorem)).name
    return name == asked or (name.startswith("_private.") and name.endswith(f".{asked}"))


def _messages(output: str) -> Iterator[_Message]:
    """Yield Lean's messages, one JSON object a line; other lines are no messages."""
    for each in output.split("\n"):
        try:
            told: Any = json.loads(each)
        except ValueError:
            continue
        place = told.get("pos") if isinstance(told, dict) else None
        line = place.get("line") if isinstance(place, dict) else None
        if isinstance(line, int):
            yield _Message(str(told.get("severity")), line, str(told.get("data", "")))
