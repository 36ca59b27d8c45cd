"""Reads the cells of one benchmark row: kind, question, choices, gold answer, or why it cannot be used."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from acclimate.evaluate.answers import words
from acclimate.evaluate.benchmark import BenchmarkSpec, choice_labels
from acclimate.records import AnswerKind


class BadRow(Exception):  # noqa: N818 - a fault of one row becomes a Rejection; it is not an error of the run
    """Why a row cannot be used."""

    def __init__(self, reason: str, detail: str, benchmark: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        """A short constant."""
        self.detail = detail
        self.benchmark = benchmark
        """The score row it belongs to; empty when its kind is unknown."""


@dataclass(frozen=True, slots=True)
class Cells:
    """What a row says, pictures aside."""

    benchmark: str
    kind: AnswerKind
    question: str
    answer: object
    choices: tuple[str, ...]
    gold: tuple[str, ...]
    """As an Item holds it; empty when the answer is empty or is none of the choices."""
    cluster: str
    stratum: str

    def check(self) -> None:
        """Raise BadRow when the question or the gold answer cannot be used."""
        if not self.question:
            raise BadRow("empty_question", "the question is empty")
        texts = cell_texts(self.answer, self.kind)
        if not texts or not all(words(text) for text in texts):
            raise BadRow("empty_answer", "the answer is empty, or has no word in it")
        if not self.gold:
            known = " | ".join(self.choices[:30])
            raise BadRow("gold_not_in_choices", f"answer {self.answer!r} is not exactly one of: {known}")


def read_cells(spec: BenchmarkSpec, row: Mapping[str, object]) -> Cells:
    """Read a row's cells.

    Raises:
        BadRow: the row's kind is none of those the benchmark declares.
    """
    columns = spec.columns
    kind = _kind(spec, row)
    choices = spec.labels if kind == "multi_label" else _choices(row.get(columns.choices or ""))
    answer = row.get(columns.answer)
    texts = cell_texts(answer, kind)
    if kind == "multi_label":
        gold = _gold_labels(texts, choices)
    elif kind == "choice":
        gold = _gold_choice(texts, choices)
    else:
        gold = texts
    return Cells(
        benchmark=spec.item_benchmark(kind),
        kind=kind,
        question=cell_text(row.get(columns.question), kind, keep_lines=True),
        answer=answer,
        choices=choices,
        gold=gold,
        cluster=cell_text(row.get(columns.cluster or ""), kind),
        stratum=cell_text(row.get(columns.stratum or ""), kind),
    )


def _kind(spec: BenchmarkSpec, row: Mapping[str, object]) -> AnswerKind:
    column = spec.kind_column
    if column is None:
        for kind in get_args(AnswerKind):
            if spec.kind == kind:
                return kind  # type: ignore[no-any-return]
    else:
        said = str(row.get(column.column, "")).strip()
        if said in column.values:
            return column.values[said]
        raise BadRow(
            "unknown_kind", f"{column.column} is {said!r}; `kind.values` names {', '.join(column.values)}"
        )
    raise BadRow("unknown_kind", "the benchmark declares no kind")


def cell_text(cell: object, kind: AnswerKind, *, keep_lines: bool = False) -> str:
    """Return a cell's text: a missing value is empty; a boolean is yes or no in closed questions."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return ("yes" if cell else "no") if kind == "closed" else str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip() if keep_lines else " ".join(str(cell).split())


def cell_texts(cell: object, kind: AnswerKind) -> tuple[str, ...]:
    """Return the answers in a cell: several for multi_label, at most one else."""
    if kind != "multi_label":
        only = cell[0] if isinstance(cell, list) and len(cell) == 1 else cell
        text = cell_text(only, kind)
        return (text,) if text else ()
    parts: Sequence[object] = cell if isinstance(cell, list) else str(cell or "").split("|")
    return tuple(text for text in (cell_text(part, kind) for part in parts) if text)


def _choices(cell: object) -> tuple[str, ...]:
    if cell is None or cell == "":
        return ()
    if isinstance(cell, Mapping):
        parts: Sequence[object] = [cell[letter] for letter in sorted(cell)]
    else:
        parts = cell if isinstance(cell, list) else str(cell).split("|")
    return tuple(cell_text(part, "choice") for part in parts)


def _gold_choice(texts: tuple[str, ...], choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the content of the right choice: named by its text, else by its letter."""
    if not texts:
        return ()
    by_content = [choice for choice in choices if words(choice) == words(texts[0]) or choice == texts[0]]
    exact = [choice for choice in by_content if choice == texts[0]]
    for found in (exact, by_content):
        if found:
            return tuple(found) if len(found) == 1 else ()
    letters = choice_labels(len(choices))
    letter = texts[0].strip("(). ").upper()
    if letter in letters:
        content = choices[letters.index(letter)]
        return (content,) if choices.count(content) == 1 else ()
    return ()


def _gold_labels(texts: tuple[str, ...], labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return every right label as the vocabulary writes it, or nothing when one is not in it."""
    known = {words(label): label for label in reversed(labels)}
    found = [known.get(words(text)) for text in texts]
    named = tuple(dict.fromkeys(label for label in found if label is not None))
    return named if None not in found else ()
