"""Sentences of a document with where they stand, and windows of neighbouring sentences. Pure."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_MAX_WINDOW = 3
_MAX_CHARS = 1200
_END = re.compile(r"(?<=[.!?。!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9À-ÞΑ-ΩА-Я\u3040-\u9fff])|(?<=[。!?])")
_NO_END = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|cf|vs|al|fig|figs|eq|eqs|sec|dr|mr|mrs|ms|prof|no|nos|vol|pp|approx|ca|resp|st|[A-Z])"
    r"\.$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^\s*(?:[-*+•·▪◦]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$|^\s*\|?[\s:|-]+\|[\s:|-]*$")
_WRAPPED = 160
_LEAST_WIDTH = 40
_FULL = 0.55
_MOST_LINES = 400
"""Of a paragraph; bounds the work on hostile files, as the next two do."""
_ABBREVIATION = 20
_PARTED = 120
_HALF_SEEN = 2
"""A half that a line's end parted off stands once anyway; a word of its own stands elsewhere too."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a document."""

    number: int
    """From 1; of the page, where there are pages."""
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or a heading, list item or table row that has no full stop."""

    text: str
    line: int
    """Where it starts, from 1; of the page, where there are pages."""
    page: int | None


@dataclass(frozen=True, slots=True)
class Passage:
    """One to three neighbouring sentences."""

    start: int
    """Place of its first sentence in the document's sentences, from 0."""
    length: int


def windows(at: int, n_sentences: int) -> Iterator[Passage]:
    """Yield the passages of one to three sentences that hold the sentence at `at`."""
    for length in range(1, _MAX_WINDOW + 1):
        for start in range(max(0, at - length + 1), min(at, n_sentences - length) + 1):
            yield Passage(start, length)


def sentences(lines: Sequence[Line]) -> tuple[Sentence, ...]:
    """Return the sentences of a document in order.

    Lines are joined to paragraphs where the text is wrapped: where 95 % of the lines are shorter than 160
    characters and a line is more than 0.55 of the usual width. A word that a hyphen parts at a line's end is
    joined where the joined word stands elsewhere in the document. Source: our own rules.
    """
    width = _width(lines)
    known = Counter(re.findall(r"[^\W\d_]+", "\n".join(line.text for line in lines).casefold()))
    found: list[Sentence] = []
    for paragraph in _paragraphs(lines, width):
        found += _split(paragraph, known)
    return tuple(found)


def _width(lines: Iterable[Line]) -> int | None:
    """Return the width that the text is wrapped at, or None where each line is a paragraph."""
    lengths = sorted(len(line.text) for line in lines if line.text.strip())
    if not lengths or lengths[math.ceil(0.95 * len(lengths)) - 1] >= _WRAPPED:
        return None
    return max(_LEAST_WIDTH, lengths[int(0.9 * (len(lengths) - 1))])


def _paragraphs(lines: Iterable[Line], width: int | None) -> Iterator[list[Line]]:
    held: list[Line] = []
    for line in lines:
        text = line.text.strip()
        ends = len(held) == _MOST_LINES or not (text and held and _goes_on(held[-1].text, line.text, width))
        if held and ends:
            yield held
            held = []
        if text and not _RULE.match(text):
            held.append(line)
    if held:
        yield held


def _goes_on(before: str, text: str, width: int | None) -> bool:
    if width is None or _HEADING.match(before) or _HEADING.match(text) or _ITEM.match(text):
        return False
    if text.lstrip().startswith("|") or before.lstrip().startswith("|"):
        return False
    ended = before.rstrip()
    return len(ended) >= _FULL * width or ended.endswith(("-", ",", "‐")) or text.lstrip()[:1].islower()


def _split(paragraph: Sequence[Line], known: Counter[str]) -> list[Sentence]:
    text = ""
    starts: list[tuple[int, Line]] = []
    for line in paragraph:
        piece = _bare(line.text)
        text = _joined(text, piece, known)
        starts.append((len(text) - len(piece), line))
    found = []
    for begin, end in _spans(text):
        line = next(each for offset, each in reversed(starts) if offset <= begin)
        found.append(Sentence(text[begin:end], line.number, line.page))
    return found


def _bare(text: str) -> str:
    text = _HEADING.sub("", _ITEM.sub("", text)).strip()
    if text.startswith("|"):
        text = " | ".join(cell.strip() for cell in text.strip("|").split("|"))
    return re.sub(r"\s+", " ", text.replace("**", "").replace("__", ""))


def _joined(before: str, piece: str, known: Counter[str]) -> str:
    if not before:
        return piece
    if not (before.endswith(("-", "‐")) and len(before) > 1 and before[-2].isalpha() and piece[:1].islower()):
        return f"{before} {piece}"
    first = re.findall(r"[^\W\d_]+", before[-_PARTED:])[-1].casefold()
    second = re.findall(r"[^\W\d_]+", piece[:_PARTED])[0].casefold()
    if first + second in known or min(known[first], known[second]) < _HALF_SEEN:
        return before[:-1] + piece
    return before + piece


def _spans(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    for match in _END.finditer(text):
        if _NO_END.search(text[max(begin, match.start() - _ABBREVIATION) : match.start()]):
            continue
        yield from _cut(text, begin, match.start() + len(match.group().rstrip()))
        begin = match.end()
    yield from _cut(text, begin, len(text))


def _cut(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the span, in parts where it is too long to be a sentence."""
    while end - begin > _MAX_CHARS:
        stop = text.rfind(" ", begin + _MAX_CHARS // 2, begin + _MAX_CHARS)
        stop = stop if stop > 0 else begin + _MAX_CHARS
        yield begin, stop
        begin = stop + (text[stop] == " ")
    if text[begin:end].strip():
        yield begin, end
