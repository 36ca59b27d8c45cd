"""What every attempt at a verification leaves: a numbered folder with a result and its log."""

import hashlib
import json
from datetime import datetime
from pathlib import Path

from acclimate.files import write_json, write_text
from acclimate.recorded import RESULT, VERIFICATIONS
from acclimate.report.evidence.result import VerificationResult

LOG = "log.txt"
NAMESPACES = ("user", "mount", "pid", "ipc", "uts", "network")
"""What the sandbox gives of its own, whichever tool makes it."""


def moment(when: datetime) -> str:
    """Return a time in UTC, to the second."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def attach(folder: Path, result: VerificationResult, log: str) -> None:
    """Write a result and its log under the next number of a record's folder."""
    numbers = [int(path.name) for path in (folder / VERIFICATIONS).glob("*") if path.name.isdigit()]
    home = folder / VERIFICATIONS / str(max(numbers, default=0) + 1)
    home.mkdir(parents=True)
    write_text(home / LOG, log)
    write_json(home / RESULT, json.loads(result.model_dump_json()))
