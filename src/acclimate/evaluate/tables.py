"""Reads a benchmark's files of questions: JSON, JSON lines, CSV, TSV and Parquet, rows as plain mappings.

Pictures inside a Parquet file are not read here: their cells become `Embedded`, a place to read them from
later, so that a benchmark of 25,000 pictures never stands in memory whole.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet

from acclimate.errors import BenchmarkError
from acclimate.evaluate.rows import Row

_LONGEST_CELL = 1 << 30
_ROWS_AT_ONCE = 64
KEY = "_key"
"""The column that holds the name of each entry where a JSON file maps names to rows."""
FILE = "_file"
"""The column that holds the name of the row's file, without its ending, where there are several files."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A picture inside a Parquet file."""

    file: Path
    column: str
    index: int
    """Row, from 0."""
    path: str
    """What the file says it was called; may be empty."""


def matching(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Return the files of the first name that is there; of one with `*` all that match, in order of name."""
    for name in names:
        found = sorted(folder.glob(name)) if "*" in name else [folder / name]
        there = tuple(path for path in found if path.is_file())
        if there:
            return there
    return ()


def read_rows(files: Sequence[Path]) -> list[Row]:
    """Return the rows of one or several files, one after the other.

    Raises:
        BenchmarkError: a file cannot be read; it names the file and the line.
    """
    rows = ((path, _flattened(row)) for path in files for row in _rows(path))
    return [{**row, FILE: path.stem} if len(files) > 1 else row for path, row in rows]


def _flattened(row: Row) -> Row:
    """Return a row of LLaVA's JSON as plain columns: what is said first is `prompt`, the reply is `answer`.

    Its `question` and `hint` (what stands behind "Context:") are parts of the prompt.
    """
    turns = row.get("conversations")
    if not isinstance(turns, list) or len(turns) < 2 or not all(isinstance(turn, dict) for turn in turns):
        return row
    prompt = str(turns[0].get("value", "")).replace("<image>", "").strip()
    lead, _, rest_of_line = prompt.partition("\n")[0].partition("Context:")
    context = "" if lead else rest_of_line.strip()
    rest = {name: cell for name, cell in row.items() if name != "conversations"}
    said = {"prompt": prompt, "question": prompt, "answer": str(turns[1].get("value", "")).strip()}
    return {**said, "hint": "" if context == "N/A" else context, **rest}


def _rows(source: Path) -> Iterator[Row]:
    suffix = source.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(source)
            return
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pyarrow.ArrowInvalid) as error:
        raise BenchmarkError(
            f"cannot read {source}: {error}; check `file` in the benchmark's YAML"
        ) from error
    if suffix in (".csv", ".tsv"):
        yield from _csv_rows(text, is_tsv=suffix == ".tsv")
        return
    if suffix == ".jsonl":
        for line, part in enumerate(text.split("\n"), start=1):
            if part.strip():
                yield from _json_rows(part, f"{source} line {line}", is_line=True)
        return
    if "}\n{" in text and text.startswith("{"):  # JSON lines under the name of JSON, as POPE's files are
        for line, part in enumerate(text.strip().split("\n"), start=1):
            yield from _json_rows(part, f"{source} line {line}", is_line=True)
        return
    yield from _json_rows(text, str(source), is_line=False)


def _parquet_rows(source: Path) -> Iterator[Row]:
    with pyarrow.parquet.ParquetFile(source) as file:
        schema = file.schema_arrow
        pictures = [field.name for field in schema if _holds_bytes(field.type)]
        wanted = [field.name for field in schema if field.name not in pictures]
        paths = [f"{name}.path" for name in pictures if _has_path(schema.field(name).type)]
        table = file.read(columns=[*wanted, *paths])
    for index, row in enumerate(table.to_pylist()):
        for name in pictures:
            told = row.get(name)
            if told is None and _has_path(schema.field(name).type):
                row[name] = None  # the whole cell is empty: no picture
                continue
            path = str((told or {}).get("path") or "") if isinstance(told, Mapping) else ""
            row[name] = Embedded(source, name, index, path)
        yield row


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    if pyarrow.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _has_path(kind: pyarrow.DataType) -> bool:
    return pyarrow.types.is_struct(kind) and any(field.name == "path" for field in kind)


class EmbeddedReader:
    """Reads the pictures inside Parquet files; fast where they are asked for in the order of the rows."""

    def __init__(self) -> None:
        self._at: tuple[Path, str] | None = None
        self._batches: Iterator[pyarrow.RecordBatch] = iter(())
        self._held: list[object] = []
        self._start = 0

    def read(self, cell: Embedded) -> bytes | None:
        """Return a picture's bytes; None where the cell is empty."""
        if self._at != (cell.file, cell.column) or cell.index < self._start:
            file = pyarrow.parquet.ParquetFile(cell.file, memory_map=True)
            self._at = (cell.file, cell.column)
            self._batches = file.iter_batches(_ROWS_AT_ONCE, columns=[cell.column])
            self._held, self._start = [], 0
        while cell.index >= self._start + len(self._held):
            self._start += len(self._held)
            self._held = next(self._batches).column(0).to_pylist()
        held = self._held[cell.index - self._start]
        data = held.get("bytes") if isinstance(held, Mapping) else held
        return data if isinstance(data, bytes) else None


def _csv_rows(text: str, *, is_tsv: bool) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)  # a TSV may hold its pictures
    header = text.partition("\n")[0]
    delimiter = "\t" if is_tsv else max(",;\t", key=header.count)
    yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="")


def _json_rows(text: str, where: str, *, is_line: bool) -> Iterator[Row]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BenchmarkError(f"{where} is not JSON ({error}); correct it") from error
    rows = [value] if is_line else _row_list(value)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BenchmarkError(f"{where}: expected a list of objects, one per question")
    yield from rows


def _row_list(value: object) -> object:
    """Return the rows of a JSON file: a list, an object's only list, or an object that names each row."""
    if not isinstance(value, dict):
        return value
    lists = [part for part in value.values() if isinstance(part, list)]
    if len(lists) == 1:
        return lists[0]
    if all(isinstance(part, dict) for part in value.values()):
        return [{KEY: name, **part} for name, part in value.items()]
    return value
