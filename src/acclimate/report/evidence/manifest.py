"""`manifest.json` on disk: one form only, so that any edit of the file is an edit of what it says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.errors import DataError
from acclimate.files import read_json, write_text
from acclimate.report.evidence.contradictions import check_record
from acclimate.report.evidence.shape import Problem

FILE = "manifest.json"


def manifest_text(data: Mapping[str, Any]) -> str:
    """Return the file's text: keys sorted, indented by one, a line end last; as `files.write_json`."""
    return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_manifest(folder: Path, data: Mapping[str, Any]) -> Path:
    """Write a record's manifest, replacing the file as a whole, and return its path.

    Raises:
        DataError: the record breaks a rule; nothing was written then.
    """
    path = folder / FILE
    problems = check_record(data)
    if problems:
        told = "; ".join(map(str, problems[:5])) + (f"; and {len(problems) - 5} more" if problems[5:] else "")
        raise DataError(f"{path} was not written, for the record may not say what it says: {told}")
    write_text(path, manifest_text(data))
    return path


def read_manifest(folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Return a record's data and everything that may not stand in it.

    Besides what `check_record` finds: a file in another form than the one it was written in (a field twice,
    another order, other spaces), which its digests cannot see.

    Raises:
        DataError: the file is missing, or holds no JSON object.
    """
    path = folder / FILE
    data = read_json(path)
    if not isinstance(data, dict):
        raise DataError(f"{path} is no manifest: it must hold one JSON object. Render the report again.")
    problems = check_record(data)
    if problems and problems[0].rule == "shape":
        return data, problems
    if path.read_bytes() != manifest_text(data).encode("utf-8"):
        said = "The file is not in the form that it was written in: a field twice, another order, or spaces."
        problems = [Problem("altered_form", FILE, said, "Render the record again."), *problems]
    return data, problems
