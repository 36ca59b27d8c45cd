"""Verifies a record: looks at every hash, then runs sealed what its claims rest on; that opens the gate.

A record that is altered, or that does not follow from its own artifacts, is left as it is: to write it anew
would make the alteration follow. Else the result is attached, good or bad, and the record is rendered with
the verdict that it gives.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import constants

from acclimate.carded import Filled, follow
from acclimate.errors import AcclimateError, ArtifactError, UsageError
from acclimate.files import JSON, ImageStore, read_json, sha256_file, write_json
from acclimate.origin import RECIPE, Origin, kept_proofs
from acclimate.recipe import load_recipe
from acclimate.recorded import inputs_of, write_record
from acclimate.report.evidence import corrections
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.report.evidence.manifest import read_manifest
from acclimate.report.evidence.record import Depth, Record, Verdict
from acclimate.report.evidence.shape import parsed
from acclimate.sandbox import ENVIRONMENT, Bind, Sealed, run_sealed
from acclimate.verify.altered import altered_in, of_problem, pictures_of
from acclimate.verify.asked import binds_of_asked
from acclimate.verify.attempt import attach
from acclimate.verify.findings import Finding
from acclimate.verify.inside import FINDINGS, Plan
from acclimate.verify.proved import Lean, Proved, checked, log_of, result_of
from acclimate.verify.results import result_of_run, with_rebuilt
from acclimate.verify.retrained import (
    MOST_TOLERANCE,
    TOLERANCE,
    Retrained,
    inputs_of_rebuild,
    recorded_seconds,
    retrained,
)

_INCONSISTENT = ("score", "count", "page", "manifest")
"""Findings of a record that does not follow from its own artifacts."""
_BYTES = ("shape", "altered_form", "altered_section", "altered_record")
"""Rules about the manifest's bytes; what breaks them is named by them."""
PROGRAM = "the program"
"""Where a finding says that another version of this program made the record."""
_CODE = f"{MANIFEST}: code."
"""Where a manifest names the program; another one's result is shown and not attached."""
_LIMIT_S: Mapping[Depth, float] = {"score": 1800.0, "generate": 86_400.0, "train": 1800.0}
"""Of the first sealed run; what is trained again has a limit of its own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a record is verified."""

    depth: Depth = "score"
    sample: int | None = None
    """At depth `generate`: so many items are asked again; None asks all."""
    seed: int = 0
    """Of the sample."""
    run: Path | None = None
    """The run's folder, where it is not where the record says."""
    expect: str | None = None
    """The digest that was noted when the record was written; None compares nothing."""
    tolerance: float = TOLERANCE
    """At depth `train`: largest difference of a claim's measurement, 0 to `MOST_TOLERANCE`."""
    lean: Lean = field(default_factory=Lean)
    """What checks the record's proofs."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found."""

    record: Path
    depth: Depth
    altered: tuple[Finding, ...]
    """Files, artifacts, pictures and sections that are not what the record names, and what in the record does
    not follow from them; the record was left as it is."""
    findings: tuple[Finding, ...]
    """What is not what the models answer; it stands in the record now."""
    verdict: Verdict | None
    """The gate's, once the result is attached; None where nothing was attached."""
    digest: str
    """Of the record as it now stands."""
    seconds: float
    proofs: tuple[Proved, ...] = ()
    """What became of each proof, in the record's order."""
    retrained: Retrained | None = None
    """What the line that was built again is; None at other depths."""
    claims: Mapping[str, Verdict] = field(default_factory=dict)
    """Every claim's verdict, once the result is attached."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found and no proof was refused."""
        return not self.altered and not self.findings and not self.refused

    @property
    def refused(self) -> tuple[Proved, ...]:
        """The proofs that were refused."""
        return tuple(each for each in self.proofs if each.result.status == "refused")


def verify(folder: Path, asked: Asked, say: Callable[[str], None] = lambda _: None) -> Verified:
    """Verify a record, attach the result and render the record anew; return what was found.

    Args:
        folder: the record's; or the run's, whose `report` is taken.
        say: told how far it is, where it takes long.

    Raises:
        UsageError: there is no record, its run is not found, or its line cannot be built again.
        SandboxError: nothing can be sealed here.
    """
    if not 0.0 <= asked.tolerance <= MOST_TOLERANCE:
        raise UsageError(f"The tolerance is {asked.tolerance:g}; it may be 0 to {MOST_TOLERANCE:g}.")
    began = datetime.now(tz=UTC)
    record_folder = _record_folder(folder)
    data, problems = read_manifest(record_folder)
    record = parsed(Record, data)
    if isinstance(record, list):
        return _refused(
            record_folder, asked, [*map(of_problem, problems or record)], str(data.get("digest", "")), began
        )
    root = _root(record_folder, asked.run)
    # A rule that the record breaks does not say which field was altered: rendering it again does.
    broken = [of_problem(each) for each in problems if each.rule not in _BYTES]
    altered = [of_problem(each) for each in problems if each.rule in _BYTES]
    altered += altered_in(record_folder, record, root, asked.expect)
    if altered:
        return _refused(record_folder, asked, altered, record.digest, began)
    base = (root / Origin.read(record_folder).base).resolve()
    sources = inputs_of_rebuild(record_folder, root, base) if asked.depth == "train" else []
    with TemporaryDirectory(prefix="acclimate-verify-") as name:
        place = Path(name)
        plan = _plan(record_folder, record, root, base, asked, place)
        sealed = _sealed(plan, record, place)
        findings = _found(place, sealed)
        other_code = [each for each in findings if each.where.startswith(_CODE)]
        findings = [each for each in findings if each not in other_code]
        if other_code:  # which may render other pages: that the record was altered cannot be said then
            found = [Finding("step", PROGRAM, each.expected, each.found) for each in other_code]
            told, digest = (*broken, *findings, *found), record.digest
            return Verified(record_folder, asked.depth, (), told, None, digest, _since(began))
        if broken or any(each.check in _INCONSISTENT for each in findings):
            return _refused(record_folder, asked, [*broken, *findings], record.digest, began)
        log = _log_text(sealed, findings)
        result = result_of_run(record, plan, sealed, findings, place, log, began)
        again: Retrained | None = None
        if asked.depth == "train" and not findings:
            again = _built_again(record, plan, sources, asked.tolerance, place / "again", say)
            if again.broken_off:
                told, digest = again.broken_off, record.digest
                return Verified(record_folder, asked.depth, (), told, None, digest, _since(began), (), again)
            findings = list(again.findings)
            log = f"{log}\n{_log_text(again.sealed, again.unequal)}"
            result = with_rebuilt(result, again, log)
        attach(record_folder, result, log)
    proofs = _proofs_attached(record_folder, record, asked.lean)
    written = _rendered(record_folder, record, root, proofs)
    return Verified(
        record_folder,
        asked.depth,
        (),
        tuple(findings),
        written.gate.verdict,
        written.digest,
        _since(began),
        tuple(proofs),
        again,
        {each.id: each.verdict for each in written.claims},
    )


def _refused(
    folder: Path, asked: Asked, altered: Sequence[Finding], digest: str, began: datetime
) -> Verified:
    return Verified(folder, asked.depth, tuple(altered), (), None, digest, _since(began))


def _since(began: datetime) -> float:
    return (datetime.now(tz=UTC) - began).total_seconds()


def _record_folder(folder: Path) -> Path:
    for each in (folder, folder / "report"):
        if (each / MANIFEST).is_file():
            return each.resolve()
    raise UsageError(
        f"{folder} is no record: it has no {MANIFEST}. Give the folder that a run's report was written to."
    )


def _root(record: Path, named: Path | None) -> Path:
    if named is not None:
        return named.resolve()
    try:
        root = (record / Origin.read(record).run).resolve()
    except AcclimateError:
        root = record.parent
    if not (root / "artifacts").is_dir():
        raise UsageError(
            f"{root} is not the run's folder of {record}: it holds no artifacts. Name it by --run."
        )
    return root


# --- what is run ---------------------------------------------------------------------------------


def _plan(folder: Path, record: Record, root: Path, base: Path, asked: Asked, place: Path) -> Plan:
    outside = place / "pictures"
    outside.mkdir()
    store, copies = ImageStore(root), ImageStore(outside)
    for ref in pictures_of(root, record):
        path = store.locate(ref)
        if path is not None and not path.resolve().is_relative_to(root):
            copies.add(path.read_bytes())
    return Plan(
        record=str(folder),
        root=str(root),
        base=str(base),
        folders=[(each.step, str(root / each.folder)) for each in record.artifacts],
        pictures=str(outside),
        depth=asked.depth,
        sample=asked.sample,
        seed=asked.seed,
    )


def _sealed(plan: Plan, record: Record, place: Path) -> Sealed:
    write_json(place / "plan.json", asdict(plan))
    root = Path(plan.root)
    binds = [Bind(place / "plan.json", str(place / "plan.json")), Bind(Path(plan.pictures), plan.pictures)]
    record_folder = Path(plan.record)
    listed = {path.relative_to(record_folder).as_posix(): path for path in record_folder.rglob("*")}
    hashes = {name: sha256_file(path) for name, path in listed.items() if path.is_file()}
    binds += [Bind(record_folder, plan.record, hashes)]
    binds += [Bind(root / each.folder, str(root / each.folder), each.files) for each in record.artifacts]
    binds += [
        Bind(root / name, str(root / name)) for name in ("images", "claims.jsonl") if (root / name).exists()
    ]
    if plan.depth == "generate":
        binds += binds_of_asked(load_recipe(Path(plan.record) / RECIPE), Path(plan.base))
    command = [sys.executable, "-m", "acclimate.verify.inside", str(place / "plan.json"), "/out"]
    environment = {**ENVIRONMENT, "HF_HUB_CACHE": str(constants.HF_HUB_CACHE)}
    return run_sealed(
        command, inputs=binds, out=place / "out", environment=environment, limit_s=_LIMIT_S[plan.depth]
    )


def _built_again(
    record: Record,
    plan: Plan,
    sources: Sequence[Bind],
    tolerance: float,
    place: Path,
    say: Callable[[str], None],
) -> Retrained:
    """Build the record's line again in an empty folder, and say before that how long it may take."""
    folder, root, base = (Path(each) for each in (plan.record, plan.root, plan.base))
    n, took = len(record.artifacts), recorded_seconds(record, root)
    say(f"The run's {n} steps took {took:.0f} s; building them again takes about as long.")
    place.mkdir()
    return retrained(record, folder, root, base, place, inputs=sources, tolerance=tolerance, say=say)


def _found(place: Path, sealed: Sealed) -> list[Finding]:
    path = place / "out" / FINDINGS
    if sealed.ok and path.is_file():
        rows: Any = read_json(path)
        return [Finding(**each) for each in rows]
    said = sealed.stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = (
        "it ran longer than it may" if sealed.timed_out else (said[-1] if said else f"status {sealed.status}")
    )
    return [Finding("step", "the sealed run", "a run that ends by itself", why)]


# --- what comes of it ----------------------------------------------------------------------------


def _log_text(sealed: Sealed, findings: Sequence[Finding]) -> str:
    """Return what was run, what it said and what was found, as one text."""
    rows: list[JSON] = [asdict(each) for each in findings]
    said = sealed.stderr.read_text(encoding="utf-8", errors="replace")
    return json.dumps({"sandbox": sealed.as_json(), "findings": rows}, indent=1) + f"\n\n{said}"


def _proofs_attached(folder: Path, record: Record, lean: Lean) -> list[Proved]:
    """Check the proofs of a record and attach what was found out."""
    began = datetime.now(tz=UTC)
    found = checked(record, folder, lean)
    for each in found:
        if each.absent is None:
            result = result_of(record, each, began, datetime.now(tz=UTC))
            attach(folder, result, log_of(each))
    return found


def _rendered(folder: Path, record: Record, root: Path, proofs: Sequence[Proved] | None = None) -> Record:
    """Write a record anew, with the verdicts that its attempts give.

    Args:
        proofs: what was found of its proofs just now; None leaves the reasons that stand there.
    """
    recipe, origin = load_recipe(folder / RECIPE), Origin.read(folder)
    if proofs is not None:
        absent = {each.claim: each.absent for each in proofs if each.absent is not None}
        origin = replace(origin, unproved=absent)
    homes = {each.step: root / each.folder for each in record.artifacts}
    inputs = inputs_of(recipe, root, homes, ImageStore(root), origin, kept_proofs(recipe, folder))
    written = write_record(recipe, root, homes, inputs, folder, origin=origin)
    follow(Filled(recipe, (root / origin.base).resolve(), homes, inputs, written), root, folder)
    return written.record


def corrected(folder: Path, note: corrections.Note) -> Record:
    """Append a correction to a record and render it with it; return the record as it now stands.

    Raises:
        UsageError: there is no record. ArtifactError: its corrections are broken, or it is altered: then
            nothing was appended.
    """
    home = _record_folder(folder)
    data, problems = read_manifest(home)
    record = parsed(Record, data)
    faults = [*problems, *(record if isinstance(record, list) else ())]
    if faults or isinstance(record, list):
        first = faults[0]
        raise ArtifactError(
            f"{home} cannot be corrected, for it is altered: {first} `acclimate verify` says more."
        )
    root = _root(home, None)
    altered = next(altered_in(home, record, root, None), None)
    if altered is not None:
        raise ArtifactError(f"{home} cannot be corrected, for it is altered: {altered}.")
    corrections.append(home, note)
    return _rendered(home, record, root)
