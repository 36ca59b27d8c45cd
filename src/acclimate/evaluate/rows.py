"""Reads the cells of one benchmark row: kind, question, choices, gold answer, or why it cannot be used."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from acclimate.evaluate.answers import words
from acclimate.evaluate.benchmark import BenchmarkSpec, Subset
from acclimate.evaluate.prompts import choice_labels, choices_in, render_prompt
from acclimate.records import AnswerKind

Row = Mapping[str, object]
_LISTS = frozenset({"vqa", "caption"})
_TEXT_KEYS = ("answer", "caption", "text", "raw")


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
    prompt: str = ""
    """Ready made; empty where it is rendered from the question."""
    hint: str = ""
    context: str = ""
    group: str = ""
    subsets: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise BadRow when the question or the gold answer cannot be used."""
        if not self.question and not self.prompt:
            raise BadRow("empty_question", "the question is empty")
        if self.kind == "compared":
            return
        texts = cell_texts(self.answer, self.kind)
        has_words = [bool(words(text)) for text in texts]
        if not (any(has_words) if self.kind in _LISTS else all(has_words) and texts):
            raise BadRow("empty_answer", "the answer is empty, or has no word in it")
        if self.kind == "choice" and not self.choices:
            raise BadRow("no_choices", "the row lists no choices")
        if not self.gold:
            known = " | ".join(self.choices[:30])
            raise BadRow("gold_not_in_choices", f"answer {self.answer!r} is not exactly one of: {known}")

    def asked(self, spec: BenchmarkSpec, *, shots: str = "", by: str = "") -> str:
        """Return the whole prompt."""
        if self.prompt:
            return self.prompt
        is_listed = self.kind == "choice" or (
            self.kind == "multi_label" and "{choices}" in (spec.prompt or "")
        )
        choices = self.choices if is_listed else ()
        return render_prompt(spec, self.question, choices, hint=self.hint, shots=shots, by=by)

    def rotated(self, by: int) -> "Cells":
        """Return the same question with its choices turned by so many places."""
        return replace(self, choices=self.choices[by:] + self.choices[:by])


def first(row: Row, names: Sequence[str] | None) -> object:
    """Return the first of several columns that a row has; None where it has none."""
    return next((row[name] for name in names or () if name in row), None)


def part_of(spec: BenchmarkSpec, row: Row) -> str | None:
    """Return a row's value of `rows_by`, as it stands in names; None where the row is left out."""
    if spec.rows_by is None:
        return ""
    said = cell_text(first(row, spec.rows_by.column), "open")
    said = spec.rows_by.names.get(said, said)
    if spec.rows_by.values and said not in spec.rows_by.values:
        return None
    return re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")


def read_cells(spec: BenchmarkSpec, row: Row) -> Cells:
    """Read a row's cells.

    Raises:
        BadRow: the row's kind is none of those the benchmark declares.
    """
    columns = spec.columns
    kind = _kind(spec, row)
    question = cell_text(first(row, columns.question), kind, keep_lines=True) or spec.question
    choices = _choices_of(spec, row, kind, question)
    answer = first(row, columns.answer)
    texts = cell_texts(answer, kind)
    if kind == "multi_label":
        gold = _gold_labels(texts, choices)
    elif kind == "choice":
        gold = _gold_at(texts, choices) if spec.answer_is == "index" else _gold_choice(texts, choices)
    else:
        gold = texts
    return Cells(
        benchmark=spec.item_benchmark(kind, part_of(spec, row) or ""),
        kind=kind,
        question=question,
        answer=answer,
        choices=choices,
        gold=gold,
        cluster=cell_text(first(row, columns.cluster), kind),
        stratum=cell_text(first(row, columns.stratum), kind),
        prompt=cell_text(first(row, columns.prompt), kind, keep_lines=True),
        hint=_filled_text(first(row, columns.hint)),
        context=_context(spec, row),
        group=group_of(spec, row),
        subsets=tuple(
            f"{name} {part}"
            for name, subset in spec.subsets.items()
            for part in _parts_of(subset, row)
            if part
        ),
    )


def group_of(spec: BenchmarkSpec, row: Row) -> str:
    """Return what a row's questions belong together by; empty where each stands alone."""
    if spec.group is None:
        return ""
    said = cell_text(first(row, spec.group.column), "open")
    if spec.group.modulo is not None and said.isdigit():
        return str(int(said) % spec.group.modulo)
    return said


def _parts_of(subset: Subset, row: Row) -> Sequence[str]:
    if subset.filled:
        named = [part for column, part in subset.filled.items() if _is_filled(row.get(column))]
        return named or [subset.otherwise]
    cell = first(row, subset.column)
    if subset.separator and isinstance(cell, str):
        cell = cell.split(subset.separator)
    every = cell if isinstance(cell, list) else [cell]
    said = [cell_text(each, "open").replace("/", "-") for each in every]  # keys are cut at "/"
    return [subset.values.get(each, each) for each in said]


def _filled_text(cell: object) -> str:
    """Return a cell's text; "nan" is what published tables write for nothing."""
    text = cell_text(cell, "open", keep_lines=True)
    return "" if text.lower() == "nan" else text


def _context(spec: BenchmarkSpec, row: Row) -> str:
    """Return what a judge is told of the picture: captions as lines, then the boxes (LLaVA's layout)."""
    told, boxes = first(row, spec.columns.context), first(row, spec.columns.boxes)
    lines = told if isinstance(told, list) else [told]
    text = "\n".join(cell_text(each, "open", keep_lines=True) for each in lines)
    if not isinstance(boxes, list):
        return text
    listed = [f"{each.get('category')}: {each.get('bbox')}" for each in boxes if isinstance(each, Mapping)]
    return "\n".join([text, "", *listed]).strip()


def _is_filled(cell: object) -> bool:
    if isinstance(cell, Mapping):
        return any(part is not None for part in cell.values())
    return cell is not None and bool(str(cell).strip())


def _kind(spec: BenchmarkSpec, row: Row) -> AnswerKind:
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
    """Return the answers in a cell: several for multi_label, vqa and caption, at most one else."""
    if kind in _LISTS:
        every = cell if isinstance(cell, list) else _listed(cell, kind)
        keep_lines = kind == "caption"
        texts = (cell_text(_of_struct(each), kind, keep_lines=keep_lines) for each in every)
        return tuple(text for text in texts if text)
    if kind != "multi_label":
        only = cell[0] if isinstance(cell, list) and len(cell) == 1 else cell
        text = cell_text(only, kind)
        return (text,) if text else ()
    parts: Sequence[object] = cell if isinstance(cell, list) else str(cell or "").split("|")
    return tuple(text for text in (cell_text(part, kind) for part in parts) if text)


def _listed(cell: object, kind: AnswerKind) -> Sequence[object]:
    """Return the texts of a cell that is no list: JSON's own form, `|` between annotators, or one caption."""
    text = cell_text(cell, kind, keep_lines=True)
    if text.startswith("["):
        try:
            read = json.loads(text)
        except json.JSONDecodeError:
            read = None
        if isinstance(read, list):
            return read
    return text.split("|") if kind == "vqa" else [text]


def _of_struct(cell: object) -> object:
    return first(cell, _TEXT_KEYS) if isinstance(cell, Mapping) else cell


def _choices_of(spec: BenchmarkSpec, row: Row, kind: AnswerKind, question: str) -> tuple[str, ...]:
    if kind == "multi_label":
        return spec.labels
    if spec.columns.choice_columns:
        texts = (cell_text(first(row, names), "choice") for names in spec.columns.choice_columns)
        return _without_letters([text for text in texts if text and text.lower() != "nan"])
    found = _choices(first(row, spec.columns.choices))
    if not found and spec.choices_in_question:
        return choices_in(question)
    return found or (spec.labels if kind == "choice" else ())


def _without_letters(texts: Sequence[str]) -> tuple[str, ...]:
    """Return choices without their letters where each begins with its own ("A: a cat", "B: a dog")."""
    bare = [
        text.removeprefix(f"{letter}:").strip()
        for letter, text in zip(choice_labels(len(texts)), texts, strict=False)
    ]
    are_lettered = len(bare) == len(texts) and all(len(a) < len(b) for a, b in zip(bare, texts, strict=True))
    return tuple(bare if are_lettered and all(bare) else texts)


def _choices(cell: object) -> tuple[str, ...]:
    if cell is None or cell == "":
        return ()
    if isinstance(cell, Mapping):
        parts: Sequence[object] = [cell[letter] for letter in sorted(cell)]
    else:
        parts = cell if isinstance(cell, list) else str(cell).split("|")
    return tuple(cell_text(part, "choice") for part in parts)


def _gold_at(texts: tuple[str, ...], choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the content of the right choice, named by its index from 0, or by its letter."""
    said = texts[0].strip("(). ") if texts else ""
    letters = choice_labels(len(choices))
    if said.upper() in letters:
        return (choices[letters.index(said.upper())],)
    return (choices[int(said)],) if said.isdigit() and int(said) < len(choices) else ()


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
