"""What of a record is not the bytes that it names: looked at before anything is run."""

import json
from collections.abc import Iterator
from pathlib import Path

from acclimate.artifacts import RECORD
from acclimate.errors import AcclimateError
from acclimate.files import ImageStore, read_records, sha256_file
from acclimate.recorded import RESULT, VERIFICATIONS, attached_to
from acclimate.records import ImageCaption, ImageRef, Item
from acclimate.report.evidence import corrections
from acclimate.report.evidence.attached import gate_problems
from acclimate.report.evidence.gate import Attachment
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.report.evidence.record import Record
from acclimate.report.evidence.result import VerificationResult
from acclimate.report.evidence.shape import Problem, parsed
from acclimate.verify.attempt import LOG
from acclimate.verify.findings import Finding
from acclimate.verify.integrity import artifact_findings, changed, picture_findings

_APART = (MANIFEST, corrections.FILE, f"{VERIFICATIONS}/")
_ITEMS, _PAIRS, _HELD_OUT = "items.parquet", "pairs.parquet", "held_out.parquet"


def of_problem(problem: Problem) -> Finding:
    """Return a problem of the manifest as a finding."""
    where = f"{MANIFEST}: {problem.where}" if problem.where else MANIFEST
    return Finding("manifest", where, problem.remedy, f"{problem.sentence} [{problem.rule}]")


def altered_in(folder: Path, record: Record, root: Path, expect: str | None) -> Iterator[Finding]:
    """Yield everything that is not the bytes that the record names.

    Args:
        folder: the record's. root: the run's.
        expect: the digest that was noted when the record was written; None compares nothing.
    """
    if expect is not None and record.digest != expect:
        yield Finding("manifest", f"{MANIFEST}: digest", expect, record.digest)
    yield from changed(folder, {each.path: each.sha256 for each in record.files}, "record", ignored=_APART)
    known = {each.folder: each.fingerprint for each in record.artifacts}
    for each in record.artifacts:
        shown = each.folder
        yield from changed(root / each.folder, each.files, shown)
        if (root / each.folder / RECORD).is_file():
            yield from artifact_findings(root / each.folder, shown, known, each.files)
    yield from _stored_pictures(root)
    inside = str(root / "images")
    for found in picture_findings(pictures_of(root, record), ImageStore(root)):
        if not found.where.startswith(inside):
            yield found
    yield from _history_findings(folder, record)


def _history_findings(folder: Path, record: Record) -> Iterator[Finding]:
    """Yield what is wrong with corrections and verifications, by themselves and beside the manifest."""
    chain = corrections.read(folder)
    for problem in corrections.chain_problems(chain, record.corrections):
        yield Finding("correction", problem.where, problem.remedy, problem.sentence)
    attempts = attached_to(folder)
    for problem in gate_problems(record, attempts):
        yield Finding("manifest", f"{MANIFEST}: {problem.where}", problem.remedy, problem.sentence)
    for attempt in attempts:
        yield from _attempt_findings(folder, attempt)
    listed = {str(Path(each.path).parent) for each in record.gate.attempts}
    for path in sorted(folder.glob(f"{VERIFICATIONS}/*")):
        name = f"{VERIFICATIONS}/{path.name}"
        if name not in listed:
            yield Finding("file", f"record/{name}", "no such verification", "one that the gate does not list")


def _attempt_findings(folder: Path, attempt: Attachment) -> Iterator[Finding]:
    """Yield what is altered of a verification's log, and files beside it that nobody names."""
    found = parsed(VerificationResult, json.loads(attempt.content or b"null"))
    home = Path(attempt.ref.path).parent
    files = {RESULT: attempt.ref.sha256}
    if not isinstance(found, list):
        files[LOG] = found.log_sha256
    yield from changed(folder / home, files, f"record/{home.as_posix()}")


def _stored_pictures(root: Path) -> Iterator[Finding]:
    """Yield every picture of the run's store whose bytes are not those that it is named by."""
    for path in sorted((root / "images").glob("*/*")):
        if sha256_file(path) != path.name.partition(".")[0]:
            shown = path.relative_to(root).as_posix()
            yield Finding("picture", shown, "the bytes that its name is the SHA-256 of", "altered")


def pictures_of(root: Path, record: Record) -> set[ImageRef]:
    """Return the pictures of pairs and questions."""
    found: set[ImageRef] = set()
    for each in record.artifacts:
        home = root / each.folder
        try:
            if (home / _ITEMS).is_file():
                found |= {one.image for one in read_records(home / _ITEMS, Item) if one.image is not None}
            for name in (_PAIRS, _HELD_OUT):
                if (home / name).is_file():
                    found |= {one.image for one in read_records(home / name, ImageCaption)}
        except AcclimateError:
            continue  # the file's hash is a finding of its own
    return found
