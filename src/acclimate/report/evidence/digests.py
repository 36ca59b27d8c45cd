"""Digests of a record: one for each section, one for the whole. Pure.

The digest of the whole leaves out `level` and `registration`, which say where that very digest is kept: so a
record can be registered and say so. Both have digests of their own, and rules that they must obey.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from acclimate.files import JSON
from acclimate.report.evidence.record import Record
from acclimate.report.evidence.shape import Problem, canonical

_NOT_HASHED = ("digest", "digests")
_NOT_IN_THE_WHOLE = (*_NOT_HASHED, "level", "registration")
_OF_THE_MEASURED = ("id", "sentence", "kind", "measure", "direction", "margin", "measurement", "statement")


def sha256_of(value: JSON) -> str:
    """Return the hash of a JSON value's canonical form, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def section_digests(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of every top-level section, by name."""
    return {name: sha256_of(value) for name, value in sorted(data.items()) if name not in _NOT_HASHED}


def record_digest(data: Mapping[str, Any]) -> str:
    """Return the digest of the whole."""
    return sha256_of({name: value for name, value in data.items() if name not in _NOT_IN_THE_WHOLE})


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record's data with its digests made anew."""
    bare = {name: value for name, value in data.items() if name not in _NOT_HASHED}
    return {**bare, "digests": section_digests(bare), "digest": record_digest(bare)}


def subject_digest(record: Record) -> str:
    """Return the digest of what a verification is about.

    The question, what the claims say and measured, the inputs and the artifacts: all that a verification
    rests on, and nothing that it changes. A result that was made for another subject opens no gate.
    """
    data = record_json(record)
    return sha256_of(
        {
            "question": data["question"]["text"],
            "claims": [_measured(each) for each in data["claims"]],
            "inputs": data["provenance"]["inputs"],
            "artifacts": data["artifacts"],
        }
    )


def _measured(claim: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a verification of a claim is about; the proof only where there is one."""
    found = {name: claim[name] for name in _OF_THE_MEASURED}
    return found if claim["proof"] is None else {**found, "proof": claim["proof"]}


def digest_problems(data: Mapping[str, Any]) -> list[Problem]:
    """Name every section that is not what its digest says, and then the whole."""
    stated: Mapping[str, str] = data["digests"]
    found = section_digests(data)
    remedy = "Restore the section, or render the record again from its artifacts."
    problems = [
        Problem("altered_section", name, _altered(name, stated.get(name), digest), remedy)
        for name, digest in found.items()
        if stated.get(name) != digest
    ]
    problems += [
        Problem(
            "altered_section", f"digests.{name}", f"A digest stands for {name}, which is not there.", remedy
        )
        for name in sorted(set(stated) - set(found))
    ]
    whole = record_digest(data)
    if data["digest"] != whole:
        said = f"The record's digest is {whole[:16]}..., its manifest says {data['digest'][:16]}...."
        problems.append(Problem("altered_record", "digest", said, remedy, str(data["digest"])))
    return problems


def file_problems(listed: Mapping[str, str], found: Mapping[str, str], where: str) -> list[Problem]:
    """Name every file that is not as it is listed: altered, missing, or not listed.

    Args:
        listed: hash by path, as the manifest has it.
        found: hash by path of what lies there.
        where: what the paths count from, for the messages: `files`, or an artifact's folder.
    """
    remedy = "Restore the file, or render the record again from its artifacts."
    problems = []
    for path in sorted({*listed, *found}):
        if path not in found:
            problems.append(Problem("missing_file", f"{where}: {path}", f"{path} is not there.", remedy))
        elif path not in listed:
            said = f"{path} lies there and is not listed."
            problems.append(Problem("unlisted_file", f"{where}: {path}", said, "Take it away."))
        elif listed[path] != found[path]:
            said = f"{path} was altered: its hash is {found[path][:16]}..., listed is {listed[path][:16]}...."
            problems.append(Problem("altered_file", f"{where}: {path}", said, remedy))
    return problems


def _altered(name: str, stated: str | None, found: str) -> str:
    if stated is None:
        return f"The section {name} has no digest."
    return (
        f"The section {name} was altered: its digest is {found[:16]}..., the manifest says {stated[:16]}...."
    )


def record_json(record: Record) -> dict[str, Any]:
    """Return the record as plain JSON values, every field present."""
    return record.model_dump(mode="json")
