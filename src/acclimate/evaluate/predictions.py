"""Reads a file of predictions: what a model answered, made by any tool, to be scored without the model.

Forms: JSON lines, JSON, CSV or Parquet with an id and a text per row; one JSON object of ids and texts, or
with `outputs` that is one (ScienceQA's form); the samples that lmms-eval and lm-eval log; our own
`predictions.parquet`. Rows that repeat the benchmark's columns (flat, or in lmms-eval's `doc`) bring their
questions and gold answers with them, and then the benchmark's own files need not be here.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from acclimate.errors import BenchmarkError
from acclimate.evaluate.benchmark import BenchmarkSpec
from acclimate.evaluate.catalogue import Located
from acclimate.evaluate.conditions import ORIGINAL
from acclimate.evaluate.load import Benchmark, benchmark_of
from acclimate.evaluate.rows import BadRow, Row, cell_text, first, part_of, read_cells
from acclimate.evaluate.samples import read_samples
from acclimate.evaluate.tables import KEY, read_rows
from acclimate.files import ImageStore
from acclimate.records import Prediction

_PLACE = "doc_id"
"""What the tools that count rows call the number of a row, from 0."""
_IDS = ("item_id", "id", "question_id", "qid", "index", "idx", KEY, "image_id")
_TEXTS = (
    "prediction",
    "pred",
    "response",
    "output",
    "reply",
    "text",
    "model_answer",
    "generated_text",
    "answer",
    "caption",
)


Content: TypeAlias = tuple[str, str, tuple[str, ...], str]
"""Score row, prompt, gold answer and group of a question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of a file of predictions."""

    row: int
    """From 1."""
    id: str
    """As the row names its question; empty where it does not."""
    text: str | None
    own: Row | None
    """The benchmark's columns, where the row repeats them."""
    condition: str
    benchmark: str
    """The score row, where the row names it."""
    is_place: bool = False
    """Whether `id` is the number of a row of the benchmark's file, from 0, and not a name."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Predictions joined with the questions they answer."""

    benchmark: Benchmark
    predictions: tuple[Prediction, ...]
    n_missing: int
    """Questions that the file has no answer to (of the first condition in it)."""


def read_answers(path: Path, spec: BenchmarkSpec) -> list[Answer]:
    """Read a file of predictions.

    Raises:
        BenchmarkError: the file cannot be read, or a row has neither an id nor the benchmark's columns, or no
            text; DataError: it is in the samples' form and broken.
    """
    rows = _rows(path)
    if any("resps" in row or "filtered_resps" in row for row in rows):
        has_ids = any("item_id" in row for row in rows)
        return [
            Answer(
                number,
                str(each["id"]),
                each["text"],
                _own(spec, each["doc"], each["target"]),
                ORIGINAL,
                _row_of(spec, each["doc"] or {}),
                not has_ids and "id" not in (each["doc"] or {}),
            )
            for number, each in enumerate(read_samples(path), start=1)
        ]
    return [_answer(spec, row, number, path) for number, row in enumerate(rows, start=1)]


def _rows(path: Path) -> list[Row]:
    if path.suffix.lower() == ".json" and path.is_file():
        try:
            value = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, OSError) as error:
            raise BenchmarkError(f"cannot read {path}: {error}; give a file of predictions") from error
        outputs = value.get("outputs", value) if isinstance(value, dict) else None
        if isinstance(outputs, dict) and all(isinstance(each, str | None) for each in outputs.values()):
            return [{"id": name, "prediction": text} for name, text in outputs.items()]
    return read_rows((path,))


def _own(spec: BenchmarkSpec, doc: Row | None, target: object = None) -> Row | None:
    """Return a row's own question and gold, or None where it does not repeat them."""
    if doc is None:
        return None
    named = {name: cell for name, cell in doc.items() if cell is not None}
    if first(named, spec.columns.answer) is None and target is not None and spec.columns.answer is not None:
        named = {**named, spec.columns.answer[0]: target}
    has_gold = first(named, spec.columns.answer) is not None
    has_question = bool(spec.question) or any(
        first(named, names) is not None for names in (spec.columns.question, spec.columns.prompt)
    )
    return named if has_gold and has_question else None


def _answer(spec: BenchmarkSpec, row: Row, number: int, path: Path) -> Answer:
    name = next((each for each in _TEXTS if each in row and not _is_gold(spec, row, each)), None)
    if name is None:
        raise BenchmarkError(
            f"{path} row {number} has no text; it has {', '.join(map(str, row))}; call the reply `text` or "
            f"one of {', '.join(_TEXTS)}"
        )
    rest = {key: cell for key, cell in row.items() if key != name}
    own = _own(spec, rest)
    said = row[name]
    ids = (*(spec.columns.id or ()), *_IDS)
    found_id = cell_text(first(row, (*ids, _PLACE)), "open")
    if not found_id and own is None:
        raise BenchmarkError(
            f"{path} row {number} names no question: give it an `id` as in the benchmark's file"
        )
    return Answer(
        number,
        found_id,
        None if said is None else str(said),
        own,
        cell_text(row.get("condition"), "open") or ORIGINAL,
        cell_text(row.get("benchmark"), "open") or _row_of(spec, row),
        first(row, ids) is None,
    )


def _is_gold(spec: BenchmarkSpec, row: Row, name: str) -> bool:
    """Return whether a cell is the benchmark's own answer and no reply: beside its question, or a list."""
    if name not in (spec.columns.answer or ()):
        return False
    return isinstance(row[name], list) or first(row, spec.columns.question) is not None


def _row_of(spec: BenchmarkSpec, row: Row) -> str:
    """Return the score row that a prediction names by the benchmark's own column; empty if it names none."""
    if spec.rows_by is None or spec.kind_column is not None or first(row, spec.rows_by.column) is None:
        return ""
    part = part_of(spec, row)
    return f"{spec.name}_{part}" if part else ""


@dataclass(frozen=True, slots=True)
class Review:
    """One row of a file of a judge's reviews."""

    id: str
    category: str
    text: str


def read_reviews(path: Path) -> list[Review]:
    """Read a file of pairwise reviews: rows with the judge's words as `text` (or `content`, `review`).

    Raises:
        BenchmarkError: the file cannot be read, or a row has no text.
    """
    found = []
    for number, row in enumerate(read_rows((path,)), start=1):
        text = first(row, ("text", "content", "review"))
        if not isinstance(text, str):
            raise BenchmarkError(
                f"{path} row {number} has no review; it has {', '.join(map(str, row))}; call the judge's "
                "reply `text`"
            )
        named = cell_text(first(row, ("question_id", "id", "review_id")), "open")
        found.append(Review(named or str(number), cell_text(row.get("category"), "open"), text))
    return found


def match(
    path: Path, located: Located, *, model: str, store: ImageStore | None = None, limit: int | None = None
) -> Matched:
    """Read a file of predictions and join it with a benchmark's questions.

    Questions are joined by their id; rows that repeat the benchmark's columns by themselves; and where ids of
    the file are row numbers (`doc_id`), by the row of the benchmark's file, from 0.

    Args:
        model: what the model is called in the scores.
        store: pictures are looked at only where it is given (clusters by content need them).

    Raises:
        BenchmarkError: a row answers no question of the benchmark, or one twice; or the benchmark's files are
            not here and the rows do not repeat them.
    """
    answers = read_answers(path, located.spec)
    if not answers:
        raise BenchmarkError(f"{path} holds no predictions")
    if not any("@" in each.id for each in answers):
        # Nobody answered rotations made here, so none are made.
        located = replace(located, spec=located.spec.model_copy(update={"circular": False}))
    own = [each.own for each in answers]
    if located.files and not _same_file(path, located.files):
        files = located.require()
        benchmark = benchmark_of(located, read_rows(files), files, store=store, limit=limit)
        return _joined(path, benchmark, answers, model, by_row=False)
    rows = [each for each in own if each is not None]
    if len(rows) != len(answers):
        located.require()  # says what to put where
    benchmark = benchmark_of(located, rows, (path,), store=None, limit=limit)
    return _joined(path, benchmark, answers, model, by_row=True)


def _same_file(path: Path, files: Sequence[Path]) -> bool:
    return any(path.resolve() == each.resolve() for each in files)


def _joined(
    path: Path, benchmark: Benchmark, answers: Sequence[Answer], model: str, *, by_row: bool
) -> Matched:
    places = _places(benchmark, answers, by_row=by_row)
    contents = _by_content(benchmark) if any(each.own for each in answers) else {}
    seen: Counter[tuple[str, int]] = Counter()
    found: list[Prediction] = []
    rejected = {each.id for each in benchmark.rejections}
    names = {item.benchmark for item in benchmark.items}
    for answer in answers:
        if answer.benchmark and answer.benchmark not in names:
            continue  # our own files hold several benchmarks
        at = places.get((answer.benchmark, str(answer.row - 1) if by_row else answer.id))
        if at is None and answer.own is not None and not by_row:
            content = _content(benchmark.spec, answer.own)
            at = None if content is None else contents.get(content)
        if at is None:
            if by_row or answer.id in rejected:
                continue  # a row that cannot be used is among the rejections
            raise BenchmarkError(
                f"{path} row {answer.row} answers {answer.id!r}, which is no question of "
                f"{benchmark.spec.name}; ids look like {benchmark.items[0].id!r}"
            )
        seen[answer.condition, at] += 1
        if seen[answer.condition, at] > 1:
            raise BenchmarkError(f"{path} row {answer.row} answers {answer.id!r} a second time; remove one")
        item = benchmark.items[at]
        reason = "missing" if answer.text is None else "unknown"
        found.append(
            Prediction(
                item.id, item.benchmark, model, answer.condition, item.image, answer.text or "", reason
            )
        )
    if not found:
        raise BenchmarkError(f"{path} answers no question of {benchmark.spec.name}")
    n_answered = sum(condition == found[0].condition for condition, _ in seen)
    return Matched(benchmark, tuple(found), len(benchmark.items) - n_answered)


def _places(
    benchmark: Benchmark, answers: Sequence[Answer], *, by_row: bool
) -> Mapping[tuple[str, str], int]:
    """Return the index of the item that each way of naming a question means."""
    if by_row:
        return _by_name(benchmark, {at: str(number) for at, number in enumerate(benchmark.numbers)}, answers)
    named = _by_name(benchmark, {at: item.id for at, item in enumerate(benchmark.items)}, answers)
    if any((each.benchmark, each.id) in named and not each.is_place for each in answers):
        return named
    return _by_name(benchmark, {at: str(number) for at, number in enumerate(benchmark.numbers)}, answers)


def _by_name(
    benchmark: Benchmark, names: Mapping[int, str], answers: Sequence[Answer]
) -> Mapping[tuple[str, str], int]:
    rows = {each.benchmark for each in answers}
    found: dict[tuple[str, str], int] = {}
    twice: set[tuple[str, str]] = set()
    for at, name in names.items():
        for row in rows:
            if row in ("", benchmark.items[at].benchmark):
                twice |= {(row, name)} & found.keys()
                found[row, name] = at
    for answer in answers:
        if (answer.benchmark, answer.id) in twice:
            raise BenchmarkError(
                f"several questions of {benchmark.spec.name} are called {answer.id!r}; say which is meant in "
                "a column `benchmark` that holds the score row's name"
            )
    return found


def _by_content(benchmark: Benchmark) -> Mapping[Content, int]:
    """Return the index of the item by what it asks, where only one asks it."""
    found: dict[Content, int] = {}
    twice: set[Content] = set()
    for at, item in enumerate(benchmark.items):
        content = (item.benchmark, item.question, item.gold, item.group)
        twice |= {content} & found.keys()
        found[content] = at
    return {content: at for content, at in found.items() if content not in twice}


def _content(spec: BenchmarkSpec, row: Row) -> Content | None:
    try:
        cells = read_cells(spec, row)
    except BadRow:
        return None
    return cells.benchmark, cells.asked(spec), cells.gold, cells.group
