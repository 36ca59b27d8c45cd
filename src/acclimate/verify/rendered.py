"""Whether pages, tables and manifest follow from the artifacts: they are rendered again and compared."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acclimate.errors import DataError
from acclimate.files import JSON, read_json, sha256_file
from acclimate.report.evidence.corrections import FILE as CORRECTIONS
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.verify.findings import Finding

_TEXT = frozenset({".html", ".md", ".tex", ".csv", ".json", ".svg", ".yaml", ".lean"})
_TOKEN = re.compile(r"<[^>]*>|[^\s<>]+")
_APART = (MANIFEST, CORRECTIONS, "verification/")
"""Not made by rendering, or compared by themselves."""
_CONTEXT = 3
_SHOWN = 160


def page_findings(record: Path, again: Path) -> Iterator[Finding]:
    """Yield every difference between a record's files and the same files rendered again.

    Args:
        record: the record's folder. again: where it was rendered again from the artifacts.
    """
    mine, theirs = _files(again), _files(record)
    for name in sorted(mine.keys() | theirs.keys()):
        if name not in theirs:
            yield Finding("page", name, "a file that follows from the artifacts", "missing")
        elif name not in mine:
            yield Finding("page", name, "no such file", "a file that does not follow from the artifacts")
        elif mine[name] != theirs[name]:
            if Path(name).suffix in _TEXT:
                yield from _text_findings(again / name, record / name, name)
            else:
                yield Finding("page", name, f"SHA-256 {mine[name][:16]}", theirs[name][:16])


def _files(folder: Path) -> Mapping[str, str]:
    """Return the hash of every file that rendering makes, by its path; the manifest is compared by itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(_APART):
            found[name] = sha256_file(path)
    return found


def _text_findings(right: Path, found: Path, name: str) -> Iterator[Finding]:
    """Yield every run of words that differs, with the words before it."""
    try:
        first, second = right.read_text(encoding="utf-8"), found.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield Finding("page", name, "text in UTF-8", "other bytes")
        return
    lines, others = first.splitlines(), second.splitlines()
    is_any = False
    for tag, a, b, c, d in difflib.SequenceMatcher(None, lines, others, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for words in _words("\n".join(lines[a:b]), "\n".join(others[c:d])):
            is_any = True
            before, own, other = words
            yield Finding(
                "page", f"{name}: line {c + 1}{f', after {before!r}' if before else ''}", own, other
            )
    if not is_any:
        yield Finding("page", name, "the bytes that follow from the artifacts", "other spaces or line ends")


def _words(right: str, found: str) -> Iterator[tuple[str, str, str]]:
    first, second = _TOKEN.findall(right), _TOKEN.findall(found)
    for tag, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if tag != "equal":
            before = [each for each in first[:a] if not each.startswith("<")][-_CONTEXT:]
            yield " ".join(before), _cut(first[a:b]), _cut(second[c:d])


def _cut(words: list[str]) -> str:
    text = " ".join(words) or "nothing"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def manifest_findings(record: Path, again: Path) -> Iterator[Finding]:
    """Yield every field of the manifest that does not follow from the artifacts."""
    try:
        found = read_json(record / MANIFEST)
    except DataError as error:
        yield Finding("manifest", MANIFEST, "one JSON object", str(error))
        return
    yield from _field_findings(read_json(again / MANIFEST), found, "")


_FOLLOWING = ("digest", "digests", "registration", "level")
"""Of the manifest: follow from the rest, or from elsewhere; the gate's own checks look at them."""


def _field_findings(right: Any, found: Any, where: str) -> Iterator[Finding]:  # noqa: ANN401 - any JSON value
    if isinstance(right, dict) and isinstance(found, dict):
        for name in sorted(right.keys() | found.keys()):
            if where or name not in _FOLLOWING:
                path = f"{where}.{name}" if where else name
                yield from _field_findings(right.get(name), found.get(name), path)
    elif isinstance(right, list) and isinstance(found, list) and len(right) == len(found):
        for at, (first, second) in enumerate(zip(right, found, strict=True)):
            yield from _field_findings(first, second, f"{where}[{at}]")
    elif right != found or type(right) is not type(found):
        yield Finding("manifest", f"{MANIFEST}: {where}", _json(right), _json(found))


def _json(value: JSON) -> str:
    return _cut([repr(value)])
