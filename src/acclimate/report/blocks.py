"""What a page is made of before it is HTML, Markdown or LaTeX: sections of texts, tables and figures (data).

Every text here is plain: it is escaped where a page is written, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone: TypeAlias = Literal["", "good", "bad", "open"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    interval: str = ""
    """Its 95 % interval, formatted; empty where there is none."""
    marks: str = ""
    """Stars and daggers, which the table's note explains."""
    tone: Tone = ""
    """Colours a word that says the same."""
    bar: float | None = None
    """Drawn as a bar of so many percent beside the text."""
    is_strong: bool = False


NOTHING = Cell("–")
"""Where there is no number."""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column."""

    title: str
    is_number: bool = False
    is_wide: bool = False
    """Whether it holds sentences, which wrap."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; its first cell names it."""

    cells: tuple[Cell, ...]
    is_total: bool = False
    """Set apart, for means and sums."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption."""

    name: str
    """Unique on the page: letters, digits and hyphens."""
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with the numbers behind it."""

    name: str
    """Its file's stem: letters, digits and hyphens."""
    caption: str
    alt: str
    """What it shows, with its numbers, for whoever does not see it."""
    svg: str
    csv: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    is_soft: bool = True
    """Whether it explains rather than tells."""


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """A program text with its title."""

    title: str
    code: str
    language: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim as it is printed."""

    standing: Literal["supported", "refuted", "open"]
    sentence: str
    reason: str
    is_after: bool
    """Whether it was written after the results were known."""
    key: str
    """Of the measurement that decides it; empty hides it."""


Block: TypeAlias = Table | Drawing | Text | Points | Code | Verdict


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    name: str
    """Its anchor: letters, digits and hyphens."""
    title: str
    blocks: tuple[Block, ...]


def numbers(*titles: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(Column(title, is_number=True) for title in titles)


def words(*titles: str) -> tuple[Column, ...]:
    """Return columns of short texts."""
    return tuple(Column(title) for title in titles)


def cells(values: Sequence[object]) -> tuple[Cell, ...]:
    """Return values as plain cells; an empty one is a dash."""
    return tuple(Cell(str(value)) if str(value) else NOTHING for value in values)
