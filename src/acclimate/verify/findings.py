"""What a verification finds: one line for everything that does not follow."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Check: TypeAlias = Literal[
    "file",
    "fingerprint",
    "picture",
    "score",
    "count",
    "page",
    "manifest",
    "correction",
    "claim",
    "reply",
    "step",
    "retrained",
]
"""What was looked at: a file's hash, an artifact's identity, a picture's bytes, a stored score, a stored
count, a page or table, the manifest, the corrections, the claims' own record, a model's reply, the
sealed run itself, what the line gives when it is built again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the record says."""

    check: Check
    where: str
    """The file, from the run's folder, and what in it: a row's key, a field's path, a line's number."""
    expected: str
    """What it should be, as far as that is known."""
    found: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; expected {self.expected}"
