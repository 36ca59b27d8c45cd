"""Corrections: lines that are only ever appended, each with the hash of the line before.

A line's hash covers everything in it but itself, `previous` included. So an edited, removed or moved line is
found from the file alone. What the file alone cannot show is a chain that was cut at its end, or written anew
as a whole: that takes the head and the count in the manifest, and the manifest's digest kept elsewhere.

`parse` and `chain_problems` are pure; `append` and `read` touch the disk.
"""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from acclimate.errors import ArtifactError
from acclimate.files import sync_folder
from acclimate.report.evidence.digests import sealed, sha256_of
from acclimate.report.evidence.record import CORRECTION_CONTRACT, Corrections
from acclimate.report.evidence.shape import STRICT, Day, Problem, Sha256, Words, canonical, parsed

FILE = "corrections.jsonl"
GENESIS = "0" * 64
"""The head of a chain without lines."""
_REMEDY = "Restore corrections.jsonl from a copy; what it once said may not be changed, only corrected again."


class Correction(BaseModel):
    """One line of the chain."""

    model_config = STRICT

    n: int = Field(ge=1)
    """From 1, without gaps."""
    date: Day
    what: Words
    """What is now said instead."""
    why: Words
    where: Words
    """The file, claim or field that is corrected."""
    by: Words
    previous: Sha256
    """Hash of the line before; 64 zeros for the first."""
    sha256: Sha256
    """Of this line's canonical JSON without this field."""


@dataclass(frozen=True, slots=True)
class Note:
    """A correction before it has a place in a chain."""

    date: str
    """`YYYY-MM-DD`; not before that of the chain's last line."""
    what: str
    why: str
    where: str
    by: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Corrections in order, and what is wrong with them."""

    lines: tuple[Correction, ...]
    """Those before the first broken line."""
    problems: tuple[Problem, ...]

    @property
    def head(self) -> str:
        """Hash of the last sound line, 64 zeros where there is none."""
        return self.lines[-1].sha256 if self.lines else GENESIS

    def summary(self) -> Corrections:
        """Return what a manifest says of the chain."""
        return Corrections(
            status="CORRECTED" if self.lines else "CURRENT",
            count=len(self.lines),
            head=self.head,
            contract=CORRECTION_CONTRACT,
        )


def parse(content: bytes) -> Chain:
    """Return the chain that a file's bytes hold; the first broken line ends it, with its problem."""
    rows = content.split(b"\n")
    torn = rows.pop()
    lines: list[Correction] = []
    for at, row in enumerate(rows, start=1):
        found = _line(row, at, lines[-1] if lines else None)
        if isinstance(found, Problem):
            return Chain(tuple(lines), (_told(found, at, rows),))
        lines.append(found)
    if torn:
        at = len(rows) + 1
        said = f"Line {at} has no end: a write was broken off, or its end was cut away."
        return Chain(tuple(lines), (Problem("correction_torn", f"{FILE}:{at}", said, "Take this line out."),))
    return Chain(tuple(lines), ())


def _line(row: bytes, at: int, before: Correction | None) -> Correction | Problem:
    """Return the correction that a row holds, or what is wrong with it, judged by the rows up to it."""
    where = f"{FILE}:{at}"
    try:
        data = json.loads(row)
    except (ValueError, RecursionError):
        return Problem("correction_edited", where, f"Line {at} is not JSON: it was edited.", _REMEDY)
    found = parsed(Correction, data)
    if isinstance(found, list):
        said = f"Line {at} was edited: {found[0].where}: {found[0].sentence}"
        return Problem("correction_edited", where, said, _REMEDY)
    if found.sha256 != _hash(data) or row != canonical(data):
        said = f"Line {at} was edited: its words are not those that it was hashed with."
        return Problem("correction_edited", where, said, _REMEDY)
    previous = before.sha256 if before else GENESIS
    if found.n != at or found.previous != previous:
        said = f"Line {at} says that it is number {found.n} and follows {found.previous[:16]}...."
        return Problem("correction_misplaced", where, said, _REMEDY)
    return found


def _told(problem: Problem, at: int, rows: Sequence[bytes]) -> Problem:
    """Return the problem of a misplaced line with what happened: removed, or reordered."""
    if problem.rule != "correction_misplaced":
        return problem
    numbers = [_number(row) for row in rows]
    where = problem.where
    missing = sorted(set(range(1, max(0, *numbers) + 1)) - set(numbers))
    if missing:
        said = f"Correction {missing[0]} was removed: line {at} holds number {numbers[at - 1]}."
        return Problem("correction_removed", where, said, _REMEDY)
    if numbers != sorted(numbers):
        said = f"The corrections were reordered: line {at} holds number {numbers[at - 1]}."
        return Problem("correction_reordered", where, said, _REMEDY)
    said = f"Line {at} was edited, with its hash: it does not follow line {at - 1}."
    if len(set(numbers)) < len(numbers):
        said = f"Line {at} was put in: number {numbers[at - 1]} stands twice."
    return Problem("correction_edited", where, said, _REMEDY)


def _number(row: bytes) -> int:
    try:
        n = json.loads(row)["n"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return n if isinstance(n, int) else 0


def _hash(data: Mapping[str, Any]) -> str:
    return sha256_of({name: value for name, value in data.items() if name != "sha256"})


def chain_problems(chain: Chain, stated: Corrections) -> list[Problem]:
    """Return what is wrong with a chain, by itself and beside what the manifest says of it."""
    if chain.problems:
        return list(chain.problems)
    if (len(chain.lines), chain.head) == (stated.count, stated.head):
        return []
    n = len(chain.lines)
    if n < stated.count:
        said = f"The manifest counts {stated.count} corrections, {FILE} holds {n}: the last were removed."
        return [Problem("correction_removed", f"{FILE}:{n + 1}", said, _REMEDY)]
    if n > stated.count:
        said = f"The manifest counts {stated.count} corrections, {FILE} holds {n}."
        remedy = "Write the manifest's summary anew where the last was appended and the work then broke off."
        return [Problem("correction_unknown", f"{FILE}:{stated.count + 1}", said, remedy)]
    said = f"The chain was rewritten: its head is {chain.head[:16]}..., the manifest says otherwise."
    return [Problem("correction_edited", f"{FILE}:{max(n, 1)}", said, _REMEDY)]


def chained(note: Note, chain: Chain) -> Correction | list[Problem]:
    """Return the next line of a chain, or what is wrong with the note."""
    data: dict[str, Any] = {
        "n": len(chain.lines) + 1,
        "date": note.date,
        "what": note.what,
        "why": note.why,
        "where": note.where,
        "by": note.by,
        "previous": chain.head,
    }
    found = parsed(Correction, {**data, "sha256": _hash(data)})
    if isinstance(found, Correction) and chain.lines and found.date < chain.lines[-1].date:
        said = f"The correction is of {found.date}, the one before it of {chain.lines[-1].date}."
        return [Problem("shape", "date", said, "Give the day of today.", found.date)]
    return found


def line_of(correction: Correction) -> bytes:
    """Return a correction's line, its end included."""
    return canonical(correction.model_dump(mode="json")) + b"\n"


def with_corrections(data: Mapping[str, Any], chain: Chain) -> dict[str, Any]:
    """Return the manifest's data with the chain's summary, sealed anew; nothing else changes."""
    return sealed({**data, "corrections": chain.summary().model_dump(mode="json")})


def read(folder: Path) -> Chain:
    """Return the chain of a record's folder; no file is a chain without lines.

    Raises:
        ArtifactError: the file is there and cannot be read.
    """
    path = folder / FILE
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return Chain((), ())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); check the path.") from error


def append(folder: Path, note: Note) -> Chain:
    """Append a correction to a record's chain, durably, and return the chain.

    Two processes that append at once wait for each other.

    Raises:
        ArtifactError: the chain is broken, the note has an empty field or an earlier date, or the disk
            refuses; nothing was appended then.
    """
    path = folder / FILE
    try:
        with path.open("a+b", buffering=0) as handle:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX)
            handle.seek(0)
            chain = parse(handle.readall())
            if chain.problems:
                raise ArtifactError(f"{path} is broken, so nothing was appended. {chain.problems[0]}")
            added = chained(note, chain)
            if isinstance(added, list):
                raise ArtifactError(f"The correction cannot be appended to {path}. {added[0]}")
            handle.write(line_of(added))
            os.fsync(handle.fileno())
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written ({error.strerror}); free space or check rights."
        ) from error
    sync_folder(folder)
    return Chain((*chain.lines, added), ())
