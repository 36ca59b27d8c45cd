"""Rows of a data file, whatever its container: JSON, JSON lines, CSV, TSV or Parquet.

A reader knows containers only; what a row means is the business of `rows`. A file that cannot be read at
all is a DataError. A single line that cannot be read is a BrokenRow, and the reading goes on.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from acclimate.errors import DataError
from acclimate.files import read_json
from acclimate.records import content_id

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that could not be read."""

    id: str
    """Content id of all its text."""
    text: str
    """How it begins."""
    detail: str


RawRow: TypeAlias = dict[str, Any] | BrokenRow


def row_id(raw: RawRow) -> str:
    """Return an id that depends on all of the row's content and not on where it stands."""
    if isinstance(raw, BrokenRow):
        return raw.id
    return content_id("row", json.dumps(raw, sort_keys=True, default=repr))


def read_rows(path: Path) -> Iterator[RawRow]:
    """Yield the rows of a data file in file order.

    Raises:
        DataError: the file is missing, of an unknown kind, or broken as a whole.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise DataError(f"The data file {path} does not exist; check `source` in the recipe.")
    if path.is_dir() or suffix not in SUFFIXES:
        raise DataError(
            f"{path} is not a data file that can be read; give one that ends in {', '.join(SUFFIXES)}."
        )
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix in (".csv", ".tsv"):
        return _table_rows(path)
    if suffix == ".json" and not _holds_lines(path):
        return _json_rows(path)
    return _line_rows(path)


def _holds_lines(path: Path) -> bool:
    """Return whether a .json file is JSON lines after all: its first line is a whole object."""
    with path.open("rb") as handle:
        first = handle.readline().removeprefix(codecs.BOM_UTF8)
        if not first.lstrip().startswith(b"{") or not any(line.strip() for line in handle):
            return False
    try:
        json.loads(first.decode("utf-8"))
    except ValueError:
        return False
    return True


def _json_rows(path: Path) -> Iterator[RawRow]:
    if not path.read_bytes().removeprefix(codecs.BOM_UTF8).strip():
        return
    value = read_json(path)
    if isinstance(value, dict):
        value = _rows_of(value)
    if not isinstance(value, list):
        raise DataError(
            f"{path} holds no list of rows; write one JSON list of objects, one object per image."
        )
    for each in value:
        yield each if isinstance(each, dict) else _not_an_object(each)


def _rows_of(value: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return the one list that an object holds, or all rows of several lists where their fields are the same.

    LLaVA-Med's file has one list per image domain. Lists of different things, such as COCO's `images` and
    `annotations`, are no rows of one kind: the object is returned as it is. Where every value is an object,
    as in ScienceQA's `problems.json`, each is a row, with its key as `id` unless it has one.
    """
    if value and all(isinstance(each, dict) for each in value.values()):
        return [{"id": key, **each} for key, each in value.items()]
    lists = [each for each in value.values() if isinstance(each, list)]
    if len(lists) == 1:
        return lists[0]
    first_rows = [each[0] for each in lists if each]
    fields = {frozenset(row) if isinstance(row, dict) else None for row in first_rows}
    is_grouped = len(lists) == len(value) and len(fields) == 1 and None not in fields
    return [row for each in lists for row in each] if is_grouped else value


def _not_an_object(value: Any) -> BrokenRow:  # noqa: ANN401
    return _broken(json.dumps(value, sort_keys=True), "the row is not an object with named fields")


def _broken(text: str, detail: str) -> BrokenRow:
    return BrokenRow(content_id("row", text), text[:200], detail)


def _line_rows(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
            if text.strip():
                yield _line_row(text)


def _line_row(line: bytes) -> RawRow:
    text = line.decode("utf-8", "backslashreplace").strip()
    try:
        value = json.loads(line.decode("utf-8"))
    except json.JSONDecodeError as error:
        return _broken(text, f"not JSON at column {error.colno}: {error.msg}")
    except UnicodeDecodeError:
        return _broken(text, "not UTF-8 text")
    return value if isinstance(value, dict) else _not_an_object(value)


def _table_rows(path: Path) -> Iterator[RawRow]:
    """Yield the rows of a delimited file, whose first row names the columns."""
    with io.StringIO(_table_text(path), newline="") as handle:
        reader = csv.reader(handle, delimiter=_delimiter(path), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            for cells in reader:
                if len(cells) == len(header):
                    yield dict(zip(header, cells, strict=True))
                elif cells:
                    yield _broken(
                        "\t".join(cells),
                        f"{len(cells)} cells in {len(header)} columns; quote cells that hold a delimiter",
                    )
        except csv.Error as error:
            raise DataError(
                f"{path} cannot be read from line {reader.line_num} on: {error}. Check the quotes there "
                '(a quote inside a cell is written twice: "").'
            ) from error


def _table_text(path: Path) -> str:
    data = path.read_bytes()
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as `CSV UTF-8` and run again."
        ) from error


def _delimiter(path: Path) -> str:
    """Return the delimiter that the header uses most; tab for .tsv when it uses none."""
    header = _table_text(path).partition("\n")[0]
    unquoted = "".join(header.split('"')[::2])
    best = max(_DELIMITERS, key=unquoted.count)
    if unquoted.count(best):
        return best
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({error}); write it anew or give another file."
        ) from error
