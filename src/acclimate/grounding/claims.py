"""The claims to check: sentences out of a list, a table, JSON, CSV or a whole record page."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from acclimate.errors import DataError
from acclimate.grounding.decoding import BadDocument, decoded
from acclimate.grounding.words import listed

FIELDS = ("claim", "text", "sentence")
"""Names of the field that holds a claim, in JSON and CSV; the first that is there is taken."""
_ITEM = re.compile(r"^\s*(?:[-*+•·▪◦]|\(?\d{1,3}[.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+")
_CLOSED = re.compile(r"[.!?。!?][\"'”’)\]]*$")
_OPEN_END = re.compile(r"(?:\.\.\.|…|[-‐])$")
_FUNCTION_WORDS = listed(
    """
    a an the of and or to in on for with by from that which as at is are was were
    """
)
_SECTION = re.compile(r"^(?:\d+(?:\.\d+)*\.?\s+)?[A-Z][A-Za-z -]{2,60}$")
_QUESTION = re.compile(r"research question\s*:\s*(?P<question>.{1,600}?\?)", re.IGNORECASE | re.DOTALL)
_EXAMINES = re.compile(r"\bexamines(?: the question)?:?\s+(?P<question>[^.?\n]{1,600}[.?])", re.IGNORECASE)
_TITLE_MARK = re.compile(r"^\**title:?\**:?\s*", re.IGNORECASE)
_LONG = 60
_CUT_WIDTH = 80
_SAME_WIDTH = 3
_COMMON_CUT = 118
_MAX_CLAIM = 2000


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence to be checked."""

    text: str
    line: int
    """Where it stands in its file, from 1; in JSON the number of the entry."""
    truncated: bool
    """The sentence is cut off in the file; it is checked for what it says."""


@dataclass(frozen=True, slots=True)
class ClaimsFile:
    """What a file of claims holds."""

    claims: tuple[Claim, ...]
    title: str
    """Empty where the file is a plain list."""
    question: str
    """The research question that it states; empty where it states none."""
    text: str
    """All of the file, for finding its copies."""


def read_claims(path: Path) -> ClaimsFile:
    """Return the claims of a file.

    JSON, JSON lines and CSV need a field `claim`, `text` or `sentence`. A Markdown table with a column named
    Claim gives that column and nothing else of the file is a claim. Else every list item is one, or, where
    there are no list items, every line that is no heading.

    Raises:
        DataError: the file cannot be read, or no claim is in it.
    """
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a file of claims.") from error
    except BadDocument as error:
        raise DataError(f"{path} cannot be read ({error.detail}); give a text file of claims.") from error
    found = claims_in(text, path)
    if not found:
        raise DataError(
            f"{path} holds no claim. Write one sentence per line, a Markdown table with a column named "
            "Claim, or JSON lines or CSV with a field named claim."
        )
    cut = cut_offs([claim for _, claim in found])
    listed = tuple(Claim(claim, line, off) for (line, claim), off in zip(found, cut, strict=True))
    is_data = path.suffix.casefold() in (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
    return ClaimsFile(listed, "" if is_data else title_of(text), question_of(text), text)


def claims_in(text: str, path: Path) -> list[tuple[int, str]]:
    """Return the claims of a text with their lines, in order, as its ending says how to read it.

    Raises:
        DataError: JSON or CSV that cannot be read as such.
    """
    ending = path.suffix.casefold()
    if ending in (".jsonl", ".ndjson"):
        found = list(_of_json_lines(text, path))
    elif ending == ".json":
        found = _of_entries(_json(text, path, 1), path)
    elif ending in (".csv", ".tsv"):
        found = _of_csv(text, path, "\t" if ending == ".tsv" else ",")
    else:
        found = table_claims(text) or _of_lines(text)
    return [(line, _plain(claim)) for line, claim in found if _plain(claim)]


def _plain(claim: str) -> str:
    bare = re.sub(r"\*\*|__|`", "", claim).replace("\\|", "|")
    return re.sub(r"\s+", " ", bare).strip()[:_MAX_CLAIM]


def _json(text: str, path: Path, line: int) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {line}: not JSON ({error}); mend the line or leave it out.") from error


def _of_json_lines(text: str, path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, _claim_of(_json(line, path, number), path, number)


def _of_entries(value: object, path: Path) -> list[tuple[int, str]]:
    if isinstance(value, dict):
        value = next((value[key] for key in ("claims", "sentences", "data") if key in value), [value])
    if not isinstance(value, list):
        raise DataError(
            f"{path} holds no list; give a list of objects with a field named claim, or of sentences."
        )
    return [(number, _claim_of(entry, path, number)) for number, entry in enumerate(value, start=1)]


def _claim_of(entry: object, path: Path, number: int) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, dict):
        found = next((entry[name] for name in FIELDS if name in entry), None)
        if isinstance(found, str):
            return found
    raise DataError(f"{path}, entry {number}: no text in a field named claim, text or sentence; add it.")


def _of_csv(text: str, path: Path, separator: str) -> list[tuple[int, str]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    by_name: Mapping[str, str] = {name.strip().casefold(): name for name in rows.fieldnames or ()}
    column = next((by_name[name] for name in FIELDS if name in by_name), None)
    if column is None:
        raise DataError(f"{path} has no column named claim, text or sentence; name one so in its first line.")
    return [(rows.line_num, str(row[column] or "")) for row in rows]


def table_claims(text: str) -> list[tuple[int, str]]:
    """Return the cells of the columns named Claim of every Markdown table, with their lines."""
    found: list[tuple[int, str]] = []
    column: int | None = None
    previous_was_row = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.lstrip().startswith("|"):
            column, previous_was_row = None, False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not previous_was_row:
            names = [re.sub(r"[*_`]", "", cell).casefold() for cell in cells]
            column = next((at for at, name in enumerate(names) if name in ("claim", "claims")), None)
        elif column is not None and column < len(cells) and not re.fullmatch(r"[\s:-]*", cells[column]):
            found.append((number, cells[column]))
        previous_was_row = True
    return found


def _of_lines(text: str) -> list[tuple[int, str]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    items = [(number, _ITEM.sub("", line)) for number, line in lines if _ITEM.match(line)]
    if items:
        return items
    return [(number, line) for number, line in lines if not _HEADING.match(line) and not line.startswith("|")]


def cut_offs(claims: Sequence[str]) -> list[bool]:
    """Return for each claim whether it is cut off before its end.

    It is where it has no closing mark and ends with an ellipsis or a hyphen, ends with a word such as `the`
    or
    `of`, is about 120 characters long, is as long as another such claim of 80 characters or more, or is 60
    characters or longer where another claim of the file has a closing mark. Source: our own rule.
    """
    open_lengths = [len(claim) for claim in claims if not _is_closed(claim)]
    any_closed = len(open_lengths) < len(claims)
    found = []
    for claim in claims:
        n = len(claim)
        last = re.sub(r"\W+$", "", claim).rsplit(" ", 1)[-1].casefold()
        twins = sum(abs(n - each) < _SAME_WIDTH for each in open_lengths) > 1
        found.append(
            not _is_closed(claim)
            and (
                bool(_OPEN_END.search(claim))
                or last in _FUNCTION_WORDS
                or abs(n - _COMMON_CUT - 1) < _SAME_WIDTH
                or (n >= _CUT_WIDTH and twins)
                or (n >= _LONG and any_closed)
            )
        )
    return found


def _is_closed(claim: str) -> bool:
    return bool(_CLOSED.search(claim)) and not _OPEN_END.search(claim)


def title_of(text: str) -> str:
    """Return the title of a text; empty where it has none.

    It is a line `Title: ...`, else the first heading or first line. A first line that is a list item, a table
    row, or ends as a sentence is no title.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines[:20]:
        if _TITLE_MARK.match(line) and _TITLE_MARK.sub("", line):
            return _plain(_TITLE_MARK.sub("", line))
    if not lines:
        return ""
    first = lines[0]
    if _HEADING.match(first):
        return _plain(_HEADING.sub("", first))
    if _ITEM.match(first) or first.startswith("|") or _CLOSED.search(first) or len(lines) == 1:
        return ""
    return _plain(first)


def question_of(text: str) -> str:
    """Return the research question that a text states; empty where it states none.

    Looked for: `Research question: ...?`, a heading `Research Question` and the line under it, and
    `examines ...?`.
    """
    found = _QUESTION.search(text)
    if found:
        return _plain(found["question"])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line, follow in pairwise(lines):
        heading = re.sub(r"[#*:\d.\s]+", " ", line).strip().casefold()
        if heading == "research question":
            return _plain(follow)
    found = _EXAMINES.search(text)
    return _plain(found["question"]) if found else ""
