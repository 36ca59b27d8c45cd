"""Copies: documents that only repeat the record under check, and documents that are there twice. Pure.

A record quotes its sources, so shared text alone makes no copy: an original shares its abstract with every
record about it. What tells them apart is what only the record has. Source: our own rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acclimate.grounding.claims import ClaimsFile, question_of, table_claims, title_of
from acclimate.grounding.documents import Document
from acclimate.grounding.words import words

Sign: TypeAlias = Literal["same_text", "same_title", "same_question", "same_claims_table"]

SHINGLE = 5
"""Words per shingle."""
SAME_TEXT = 0.9
"""From this overlap on, both ways, a document is the claims file itself."""
SAME_RECORD = 0.1
"""Least share of a document that the claims file holds too, for a copy by title and question."""
_HALF = 0.5
_LEAST_CLAIMS = 2


@dataclass(frozen=True, slots=True)
class Copy:
    """A document that repeats the claims file and gives no support."""

    document: str
    overlap: float
    """Share of the document's five-word shingles that the claims file holds too, 0 to 1."""
    overlap_of_claims_file: float
    """Share of the claims file's shingles that the document holds too, 0 to 1."""
    signs: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A document that says word for word what an earlier one says; it is counted once."""

    document: str
    of: str


def copy_of(document: Document, record: ClaimsFile) -> Copy | None:
    """Return how a document copies the claims file, or None where it does not.

    A copy is a document that
    - has the same text: 90 % of the shingles of each are in the other; or
    - is the same record: it has the record's title and its research question, or one of the two and a table
    of
      at least half of its claims, and the claims file holds 10 % or more of what it says; or
    - lists the claims: at least half of them, and two or more, stand in its table with a column named Claim.

    An original that the claims quote has neither the record's question nor its table of claims, and says far
    more than the record does.
    """
    theirs, ours = shingles(document.words), shingles(words(record.text))
    shared = len(theirs & ours)
    overlap = shared / len(theirs) if theirs else 0.0
    back = shared / len(ours) if ours else 0.0
    signs: list[Sign] = []
    if min(overlap, back) >= SAME_TEXT:
        signs.append("same_text")
    if record.title and _same(record.title, _title(document)):
        signs.append("same_title")
    if record.question and _same(record.question, question_of(document.text)):
        signs.append("same_question")
    if _lists_claims(document, record):
        signs.append("same_claims_table")
    is_record = len(signs) > 1 and overlap >= SAME_RECORD
    if "same_text" in signs or "same_claims_table" in signs or is_record:
        return Copy(document.name, overlap, back, tuple(signs))
    return None


def duplicates(documents: Sequence[Document]) -> list[Duplicate]:
    """Return the documents whose words are those of an earlier one, in the same order."""
    first: dict[tuple[str, ...], str] = {}
    found = []
    for document in documents:
        earlier = first.setdefault(document.words, document.name)
        if earlier != document.name:
            found.append(Duplicate(document.name, earlier))
    return found


def shingles(found: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """Return every run of five words; a shorter text is one shingle."""
    if len(found) < SHINGLE:
        return frozenset([tuple(found)] if found else [])
    return frozenset(zip(*(found[at:] for at in range(SHINGLE)), strict=False))


def _title(document: Document) -> str:
    return title_of(document.head)


def _same(one: str, other: str) -> bool:
    return bool(one) and words(one) == words(other)


def _lists_claims(document: Document, record: ClaimsFile) -> bool:
    listed = {tuple(words(claim)) for _, claim in table_claims(document.text)}
    shared = sum(tuple(words(claim.text)) in listed for claim in record.claims)
    return shared >= max(_LEAST_CLAIMS, _HALF * len(record.claims))
