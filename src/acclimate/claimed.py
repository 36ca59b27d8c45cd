"""When a recipe's claims were written down: one line for each claim and trained model, before it is scored.

`claims.jsonl` in the run's folder is only ever appended to; each line has the hash of the line before, as
`corrections.jsonl` has. A claim counts as written before the results if its line, word for word and for this
very model, says that the model had no scores then.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acclimate.errors import ArtifactError
from acclimate.files import JSON, sync_folder
from acclimate.report.evidence.digests import sha256_of
from acclimate.report.evidence.shape import canonical
from acclimate.report.proved import Stated
from acclimate.report.tested import Claim

FILE = "claims.jsonl"
_FIRST = "0" * 64
_FIELDS = frozenset({"n", "at", "claim", "model", "written", "previous", "sha256"})


def note_claims(root: Path, claims: Iterable[Claim | Stated], model: str, *, scored: bool) -> None:
    """Write down the claims that are not yet written down for a model, durably.

    Args:
        root: the run's folder.
        model: fingerprint of the trained model's evaluation.
        scored: whether that evaluation is finished, so that its results could be known.

    Raises:
        ArtifactError: the file's chain is broken, or it cannot be written.
    """
    wanted = [_noted(each)[1] for each in claims]
    if not wanted:
        return
    path = root / FILE
    try:
        with path.open("a+b", buffering=0) as handle:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX)
            handle.seek(0)
            lines = _chain(handle.readall(), path)
            known = {(sha256_of(each["claim"]), each["model"]) for each in lines}
            previous = lines[-1]["sha256"] if lines else _FIRST
            added = b""
            for claim in wanted:
                if (sha256_of(claim), model) in known:
                    continue
                row: dict[str, JSON] = {
                    "n": len(lines) + 1,
                    "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
                    "claim": claim,
                    "model": model,
                    "written": "after" if scored else "before",
                    "previous": previous,
                }
                previous = sha256_of(row)
                lines.append({**row, "sha256": previous})
                added += canonical(lines[-1]) + b"\n"
            if added:
                handle.write(added)
                os.fsync(handle.fileno())
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written ({error.strerror}); free space or check rights."
        ) from error
    sync_folder(root)


def written_before(root: Path, claims: Iterable[Claim | Stated], model: str) -> frozenset[str]:
    """Return the ids of the claims that were written down before the model had scores.

    Raises:
        ArtifactError: the file's chain is broken.
    """
    path = root / FILE
    lines = _chain(path.read_bytes(), path) if path.is_file() else []
    before = {
        sha256_of(each["claim"]) for each in lines if (each["model"], each["written"]) == (model, "before")
    }
    noted = map(_noted, claims)
    return frozenset(name for name, claim in noted if sha256_of(claim) in before)


def _noted(claim: Claim | Stated) -> tuple[str, dict[str, JSON]]:
    """Return a claim's id, and what is written down of it."""
    if isinstance(claim, Stated):
        return claim.proof.id, claim.noted()
    return claim.id, claim.model_dump(mode="json")


def _chain(content: bytes, path: Path) -> list[Mapping[str, Any]]:
    """Return the lines of a sound chain.

    Raises:
        ArtifactError: it names the first line that is not what was written.
    """
    lines: list[Mapping[str, Any]] = []
    for at, row in enumerate(content.splitlines(keepends=True), start=1):
        previous = lines[-1]["sha256"] if lines else _FIRST
        found = _line(row)
        if found is None or (found["n"], found["previous"]) != (at, previous):
            raise ArtifactError(
                f"{path}: line {at} is not what was written: it was edited, removed, moved or torn. Restore "
                "the file from a copy, or move it away: all claims then count as written after the results."
            )
        lines.append(found)
    return lines


def _line(row: bytes) -> Mapping[str, Any] | None:
    try:
        data = json.loads(row)
    except ValueError:
        return None
    if not isinstance(data, dict) or data.keys() != _FIELDS or row != canonical(data) + b"\n":
        return None
    bare = {name: value for name, value in data.items() if name != "sha256"}
    return data if sha256_of(bare) == data["sha256"] else None
