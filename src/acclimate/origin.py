"""What a record needs beside its run's artifacts to be rendered again; it travels in the record's folder."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD
from acclimate.errors import DataError, RecipeError
from acclimate.files import read_json
from acclimate.recipe import Recipe
from acclimate.report.evidence.gate import ABSENT_CODES, Absent
from acclimate.report.inputs import Audit
from acclimate.report.proved import FOLDER as PROOFS
from acclimate.report.proved import Stated, stated

RECIPE, ORIGIN = "recipe.yaml", "origin.json"
QUALITY, MEASURED = "quality", "of.json"
"""In a run's folder: the measures of its tasks, and there the fingerprint of the judged tasks they are of."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a record needs, beside artifacts, to be rendered again; it lies in the record as `origin.json`."""

    base: str
    """What the recipe's paths count from, seen from the run's folder."""
    run: str
    """The run's folder, seen from the record's."""
    audits: tuple[Audit, ...] = ()
    """Tables that the caller added."""
    notes: tuple[str, ...] = ()
    """Sentences that the caller added."""
    quality: Mapping[str, Any] | None = None
    """What was measured of the tasks' quality, as `quality.json` has it; None where it was not."""
    unproved: Mapping[str, Absent] = field(default_factory=dict)
    """Why the last verification could not check a proof, by claim."""

    @classmethod
    def of(
        cls,
        base: Path,
        root: Path,
        out: Path,
        audits: Sequence[Audit],
        notes: Sequence[str],
        quality: Mapping[str, Any] | None = None,
    ) -> "Origin":
        """Return the origin of a record that is written to `out`."""
        return cls(relative(base, root), relative(root, out), tuple(audits), tuple(notes), quality)

    @classmethod
    def read(cls, record: Path) -> "Origin":
        """Return the origin of a written record.

        Raises:
            DataError: the file is missing or holds something else.
        """
        path = record / ORIGIN
        data = read_json(path)
        try:
            audits = [
                Audit(one["title"], tuple(one["columns"]), tuple(map(tuple, one["rows"])), one["note"])
                for one in data["audits"]
            ]
            told = dict(data.get("unproved", {}))
            unproved = {name: code for name, code in told.items() if code in ABSENT_CODES}
            notes, quality = tuple(map(str, data["notes"])), data.get("quality")
            return cls(str(data["base"]), str(data["run"]), tuple(audits), notes, quality, unproved)
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} is not what a record holds; render the report again.") from error


def relative(path: Path, start: Path) -> str:
    """Return a path as it is seen from a folder."""
    return Path(os.path.relpath(path, start)).as_posix()


def write_proofs(out: Path, proofs: Iterable[Stated]) -> None:
    """Write the sources of the proofs to a record's folder, and remove those of an earlier recipe."""
    texts = {each.path: each.source for each in proofs}
    for path in sorted((out / PROOFS).glob("*")):
        if f"{PROOFS}/{path.name}" not in texts:
            path.unlink()
    for name, text in texts.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(text.encode("utf-8"))


def proofs_of(recipe: Recipe, base: Path) -> tuple[Stated, ...]:
    """Return the recipe's mathematical claims with the sources of their proofs.

    Args:
        base: what the recipe's paths count from: its folder.

    Raises:
        RecipeError: a source is missing, or does not state its theorem; the message names the key.
    """
    found = []
    for at, proof in enumerate(recipe.report.proofs):
        path, key = base / proof.file, f"report.proofs.{at}.file"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RecipeError(
                f"{key}: {path} cannot be read ({error.strerror}). Put the Lean source of {proof.id!r} there "
                "(the path counts from the recipe's folder), or take the entry out of report.proofs."
            ) from error
        found.append(stated(proof, data, f"{key}: {path}"))
    return tuple(found)


def kept_proofs(recipe: Recipe, record: Path) -> tuple[Stated, ...]:
    """Return the same from the sources that a written record keeps.

    Raises:
        DataError: one is missing there. RecipeError: one does not state its theorem.
    """
    found = []
    for proof in recipe.report.proofs:
        path = record / PROOFS / f"{proof.id}.lean"
        if not path.is_file():
            raise DataError(f"{path} is missing; the record is not whole. Restore it from a copy.")
        found.append(stated(proof, path.read_bytes(), str(path)))
    return tuple(found)


def quality_of(root: Path, homes: Mapping[str, Path]) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Return what `acclimate curate --quality` measured of a run's tasks, and a note where it is of others.

    Args:
        root: the run's folder. homes: its finished artifacts by step.
    """
    path = root / QUALITY / "quality.json"
    step = "curate" if "curate" in homes else "curate-general"
    if step not in homes or not path.is_file():
        return None, ()
    of = path.with_name(MEASURED)
    if of.is_file() and read_json(of) == read_json(homes[step] / RECORD)["fingerprint"]:
        return read_json(path), ()
    return None, (
        "The quality of tasks was measured for another recipe's and is left out; `acclimate curate RECIPE "
        "--quality` measures these.",
    )
