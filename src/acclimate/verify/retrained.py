"""Whether a run can be made again from its sources: the line is built anew, sealed, and compared.

Nothing of the run goes into the new one. What must be equal: every step's identity; on the machine that made
the run every file, bit for bit; elsewhere each claim's measurement, within a tolerance, and its standing.
"""

import json
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from acclimate.artifacts import RECORD, RUN
from acclimate.files import read_json, write_json
from acclimate.origin import RECIPE
from acclimate.recipe import load_recipe
from acclimate.report.evidence.record import Record
from acclimate.report.evidence.result import Check, holds
from acclimate.sandbox import ENVIRONMENT, Bind, Sealed, run_sealed
from acclimate.sealing import system_mounts
from acclimate.verify.findings import Finding
from acclimate.verify.rebuild import PROGRESS, REBUILT, Built, Plan
from acclimate.verify.sources import shown, sources_of

TOLERANCE = 0.02
"""Largest difference of a claim's measurement, in its own unit (a fraction of full marks for scores). Source:
our own rule."""
MOST_TOLERANCE = 0.1
"""No larger one may be asked for. Source: our own rule."""
_LIMIT_S = 7 * 86_400.0
_SAME = ("python", "platform", "versions", "cpus")
"""Of run.json: where these, the host and the threads are equal, the machine is taken for the same."""
_CARDS = ("/dev/nvidia0", "/dev/kfd")
"""Where one is, the run may have used it, and a sealed run sees none."""
_IN = "/in"
_SHOWN = 16
_FIELDS = 3
_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Retrained:
    """What a line that was built again is, beside the recorded one."""

    sealed: Sealed
    moved: tuple[Finding, ...]
    """Steps that are not the recorded ones any more, by the sources or settings that changed. Nothing was
    built then, and nothing is known of the record."""
    failed: tuple[Finding, ...]
    """Why the line was not built to its end."""
    unequal: tuple[Finding, ...]
    """Files whose bytes are others than the recorded ones."""
    n_artifacts: int
    n_equal: int
    """Artifacts of which every file but run.json is, bit for bit, the recorded one."""
    otherwise: tuple[str, ...]
    """In what this machine is not the one that made the run; where it is the same, every artifact must be
    equal."""
    checks: tuple[Check, ...]

    @property
    def is_same_machine(self) -> bool:
        """Whether the run was made here: same host, system, packages, processors and threads, and no card."""
        return not self.otherwise

    @property
    def broken_off(self) -> tuple[Finding, ...]:
        """Why nothing can be said of the record: other sources, or a line that was not built to its end."""
        return self.moved or self.failed

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What speaks against the record."""
        wrong = [
            Finding("retrained", each.name, _told(each.expected, each.tolerance), str(each.found))
            for each in self.checks
            if not each.ok and each.claims
        ]
        return (*(self.unequal if self.is_same_machine else ()), *wrong)


def recorded_seconds(record: Record, root: Path) -> float:
    """Return how long the recorded steps took together, in seconds."""
    return sum(float(read_json(root / each.folder / RUN)["seconds"]) for each in record.artifacts)


def inputs_of_rebuild(record: Path, root: Path, base: Path) -> list[Bind]:
    """Return what a line needs to be built again, each at its own path.

    Args:
        record: the record's folder. root: the run's, of which nothing is shown.
        base: what the recipe's paths count from.

    Raises:
        UsageError: the line cannot be built again here; see `sources_of`.
    """
    sources = sources_of(load_recipe(record / RECIPE), base)
    system = [Path(each.inside) for each in system_mounts()]
    return [Bind(path, str(path)) for path in shown(sources, root, system)]


def retrained(
    record: Record,
    folder: Path,
    root: Path,
    base: Path,
    place: Path,
    *,
    inputs: Sequence[Bind],
    tolerance: float,
    say: Callable[[str], None],
) -> Retrained:
    """Build the recorded line again, sealed, and compare.

    Args:
        folder: the record's. root: the run's. base: what the recipe's paths count from.
        place: an empty folder of this machine for the new run: as large as the recorded one.
        inputs: of `inputs_of_rebuild`.
        tolerance: of each claim's measurement.
        say: told after every step how far it is.

    Raises:
        SandboxError: nothing can be sealed here, or an input was changed meanwhile.
    """
    ran = {each.step: read_json(root / each.folder / RUN) for each in record.artifacts}
    steps = {each.step: each.fingerprint for each in record.artifacts}
    write_json(place / "plan.json", asdict(Plan(f"{_IN}/{RECIPE}", str(base), steps)))
    own = [Bind(place / "plan.json", f"{_IN}/plan.json"), Bind(folder / RECIPE, f"{_IN}/{RECIPE}")]
    seen = [*(Path(each.inside) for each in system_mounts()), *(Path(each.inside) for each in inputs)]
    if not any(each.is_relative_to(base) or base.is_relative_to(each) for each in seen):
        own.append(Bind(place / "plan.json", str(base / "plan.json")))  # paths with .. need the folder
    threads = max((int(each["threads"]) for each in ran.values() if each["threads"]), default=1)
    environment = {
        **ENVIRONMENT,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_CACHE": str(constants.HF_HUB_CACHE),
    }
    out = place / "out"
    out.mkdir()
    command = [sys.executable, "-m", "acclimate.verify.rebuild", f"{_IN}/plan.json", "/out"]
    with _followed(out / PROGRESS, say):
        sealed = run_sealed(
            command, inputs=[*own, *inputs], out=out, environment=environment, limit_s=_LIMIT_S
        )
    if not (sealed.ok and (out / REBUILT).is_file()):
        said = sealed.stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = said[-1] if said else f"status {sealed.status}"
        return compared(record, root, sealed, Built({}, error=why), ran, tolerance)
    return compared(record, root, sealed, Built(**read_json(out / REBUILT)), ran, tolerance)


@contextmanager
def _followed(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Pass on the steps that the sealed run writes to a file."""
    over = threading.Event()

    def follow() -> None:
        read = 0
        is_last = False
        while not is_last:
            is_last = over.wait(_POLL_S)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
            for line in lines[read:]:
                if line.endswith("\n"):
                    told = json.loads(line)
                    say(f"{told['step']} stands: {told['done']} of {told['total']}, {told['seconds']:.0f} s")
                    read += 1

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- what is compared ----------------------------------------------------------------------------


def compared(
    record: Record,
    root: Path,
    sealed: Sealed,
    built: Built,
    ran: Mapping[str, Mapping[str, Any]],
    tolerance: float,
) -> Retrained:
    """Return how a line that was built again is beside the recorded one.

    Args:
        root: the run's folder; of it only the steps' own records are read, to say what changed.
        ran: what the recorded run.json say, by step.
        tolerance: of each claim's measurement, in its own unit.
    """
    moved = () if built.error and not built.identities else tuple(_moved(record, root, built))
    failed: tuple[Finding, ...] = ()
    if built.error:
        failed = (Finding("retrained", "the line", "a line that is built to its end", built.error),)
    unequal, n_equal = _unequal(record, built)
    otherwise = _otherwise(ran, built.runs)
    n = len(record.artifacts)
    checks = [
        _check("the line was built to its end, steps", (), n, len(built.files), None),
        _check(
            "artifacts that are bit for bit the recorded ones", (), n, n_equal, float(n) if otherwise else 0.0
        ),
    ]
    for claim in record.claims:
        if claim.kind != "empirical":
            continue
        own = built.claims.get(claim.id, {})
        name = f"{claim.id}, trained again"
        if claim.measurement is not None:
            value = own.get("value")
            checks.append(
                _check(f"{name}: {claim.measure}", (claim.id,), claim.measurement.value, value, tolerance)
            )
        checks.append(_check(f"{name}: standing", (claim.id,), claim.standing, own.get("standing"), None))
    return Retrained(sealed, moved, failed, tuple(unequal), n, n_equal, otherwise, tuple(checks))


def _moved(record: Record, root: Path, built: Built) -> Iterator[Finding]:
    """Yield the steps that are others than the recorded ones by themselves, not only by what they rest on."""
    due = {each.step: each.fingerprint for each in record.artifacts}
    others = {
        name for name, digest in due.items() if built.identities.get(name, {}).get("fingerprint") != digest
    }
    for each in record.artifacts:
        found = built.identities.get(each.step)
        if each.step not in others:
            continue
        if found is None:
            yield Finding("retrained", each.step, "a step of the recipe's line", "no such step")
        elif not others & set(found["inputs"].values()):
            names = list(_differing(read_json(root / each.folder / RECORD), found))
            what = ", ".join(names[:_FIELDS]) + (
                f" and {len(names) - _FIELDS} more" if names[_FIELDS:] else ""
            )
            yield Finding(
                "retrained",
                f"{each.step}: {what}",
                f"the source or setting that was recorded ({each.fingerprint[:_SHOWN]})",
                f"another one ({str(found['fingerprint'])[:_SHOWN]})",
            )


def _differing(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name in ("version", "config", "engines"):
        yield from _paths(recorded[name], found[name], name)


def _paths(first: Any, second: Any, where: str) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in sorted(first.keys() | second.keys()):
            yield from _paths(first.get(name), second.get(name), f"{where}.{name}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for at, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _paths(one, other, f"{where}[{at}]")
    elif first != second:
        yield where


def _unequal(record: Record, built: Built) -> tuple[list[Finding], int]:
    """Return every file that is not the recorded one, and the number of artifacts without such a file."""
    found, n_equal = [], 0
    for each in record.artifacts:
        mine = built.files.get(each.step)
        if mine is None:
            continue
        theirs = {name: digest for name, digest in each.files.items() if name != RUN}
        names = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
        n_equal += not names
        # The artifact's own record lists the others' hashes: alone it says something, beside them nothing.
        for name in [one for one in names if one != RECORD] or names:
            own, other = mine.get(name), theirs.get(name)
            found.append(
                Finding(
                    "retrained",
                    f"{each.folder}/{name}",
                    "no such file" if own is None else f"SHA-256 {own[:_SHOWN]}, as it was built again",
                    "missing" if other is None else other[:_SHOWN],
                )
            )
    return found, n_equal


def _otherwise(
    recorded: Mapping[str, Mapping[str, Any]], built: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Return in what this machine is not the one that made the run; nothing where it is the same."""
    found = {f"a graphics card ({each})" for each in _CARDS if Path(each).exists()}
    for step, again in built.items():
        own = recorded[step]
        found |= {name for name in _SAME if own[name] != again[name]}
        found |= {"host"} if own["host"] != platform.node() else set()
        if None not in (own["threads"], again["threads"]) and own["threads"] != again["threads"]:
            found.add("threads")  # None: torch was not loaded yet, and decided nothing
    return tuple(sorted(found))


def _check(
    name: str,
    claims: tuple[str, ...],
    expected: float | str,
    found: float | str | None,
    tolerance: float | None,
) -> Check:
    return Check(
        name=name,
        claims=claims,
        expected=expected,
        found=found,
        tolerance=tolerance,
        ok=holds(expected, found, tolerance),
    )


def _told(expected: object, tolerance: float | None) -> str:
    return str(expected) if not tolerance else f"{expected} within {tolerance:g}"
