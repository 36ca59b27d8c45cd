"""Whether files are the bytes that a record names, and artifacts what their fingerprints say."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD, RUN, recorded_fingerprint
from acclimate.errors import DataError
from acclimate.files import ImageStore, read_json, sha256_file
from acclimate.records import ImageRef
from acclimate.verify.findings import Finding

MISSING = "missing"
_SHORT = 16


def changed(
    folder: Path, files: Mapping[str, str], shown: str, *, ignored: Iterable[str] = ()
) -> Iterator[Finding]:
    """Yield every file of a folder that is altered, missing, or not named.

    Args:
        files: SHA-256 (64 hex digits) by path from the folder.
        shown: how the folder is called in findings.
        ignored: files and folders (ending in `/`) of the folder that nobody names.
    """
    for name, digest in sorted(files.items()):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            yield Finding("file", f"{shown}/{name}", "the file that the record names", MISSING)
        elif (own := sha256_file(path)) != digest:
            yield Finding(
                "file", f"{shown}/{name}", f"SHA-256 {digest[:_SHORT]}", f"altered ({own[:_SHORT]})"
            )
    passed = tuple(ignored)
    for name in _names(folder):
        is_passed = any(name == each or (each.endswith("/") and name.startswith(each)) for each in passed)
        if name not in files and not is_passed:
            yield Finding("file", f"{shown}/{name}", "no such file", "a file that the record does not name")


def _names(folder: Path) -> list[str]:
    return sorted(
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
    )


def artifact_findings(
    home: Path, shown: str, inputs: Mapping[str, str], files: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Yield what is wrong with an artifact by its own record: identity, inputs, files.

    Args:
        home: the artifact's folder.
        shown: how it is called in findings.
        inputs: the whole fingerprints of the run's artifacts by the first digits that name their folders.
        files: their hashes, where they were compared already: the own record must name the same. None reads
            and hashes them.
    """
    try:
        record: Any = read_json(home / RECORD)
        own = recorded_fingerprint(record)
    except (DataError, OSError, KeyError, TypeError, ValueError):
        yield Finding("fingerprint", f"{shown}/{RECORD}", "a record", "not readable as one")
        return
    if own != record.get("fingerprint"):
        yield Finding(
            "fingerprint",
            f"{shown}/{RECORD}: fingerprint",
            f"{own[:_SHORT]}, which follows from its config, inputs and engines",
            str(record.get("fingerprint"))[:_SHORT],
        )
    if home.name != own[: len(home.name)]:
        yield Finding("fingerprint", f"{shown}", f"a folder named {own[:_SHORT]}", home.name)
    known = set(inputs.values())
    for role, digest in sorted(record["inputs"].items()):
        if digest not in known:
            yield Finding(
                "fingerprint",
                f"{shown}/{RECORD}: inputs.{role}",
                "an artifact of this run",
                str(digest)[:_SHORT],
            )
    if files is None:
        yield from changed(home, record["files"], shown, ignored=(RECORD, RUN))
        return
    listed = {name: digest for name, digest in files.items() if name not in (RECORD, RUN)}
    for name in sorted(listed.keys() | record["files"].keys()):
        if listed.get(name) != record["files"].get(name):
            told = str(record["files"].get(name))[:_SHORT]
            yield Finding("file", f"{shown}/{RECORD}: files.{name}", str(listed.get(name))[:_SHORT], told)


def picture_findings(refs: Iterable[ImageRef], store: ImageStore) -> Iterator[Finding]:
    """Yield every picture whose bytes are gone or are not those that its reference names."""
    for ref in sorted(set(refs), key=lambda each: each.sha256):
        path = store.locate(ref)
        if path is None:
            yield Finding("picture", f"picture {ref.sha256[:_SHORT]}", "its bytes", MISSING)
            continue
        own = sha256_file(path)
        if own != ref.sha256:
            yield Finding("picture", str(path), f"SHA-256 {ref.sha256[:_SHORT]}", f"altered ({own[:_SHORT]})")
