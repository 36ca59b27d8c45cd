"""CSV files that people fill in with a spreadsheet: written to open well, read however it saves.

Source: our own rules. Files are UTF-8 with a byte-order mark; comma, semicolon or tab is found by the header.
A cell that a spreadsheet would run as a formula gets an apostrophe in front, which reading takes away again.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import DataError
from acclimate.files import write_text

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")
_BOM = "\ufeff"
_MAX_CELL = 1 << 24


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row as it stands in the file."""

    number: int
    """As a spreadsheet shows it: the header is row 1."""
    cells: Mapping[str, str]
    """By column, in lower case; without outer white space."""
    problem: str = ""
    """Why the row does not fit the header; empty where it does."""


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write a table and return how many rows it has, the header not counted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    n_written = 0
    for row in rows:
        writer.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in row])
        n_written += 1
    write_text(path, _BOM + out.getvalue())
    return n_written


def read_table(path: Path, required: Sequence[str]) -> list[TableRow]:
    """Return a table's rows, empty ones left out.

    Args:
        required: columns that must be there, in lower case; others may be.

    Raises:
        DataError: the file cannot be read, is no CSV in UTF-8, or lacks a column.
    """
    text = _text(path)
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    limit = csv.field_size_limit(_MAX_CELL)
    try:
        found = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file ({error}); save it again as `CSV UTF-8`.") from error
    finally:
        csv.field_size_limit(limit)
    columns = [name.strip().lower() for name in found[0]] if found else []
    missing = [name for name in required if name not in columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; its columns are: {', '.join(columns) or 'none'}. "
            "Name the columns so in its first row."
        )
    doubled = next((name for name in required if columns.count(name) > 1), None)
    if doubled is not None:
        raise DataError(f"{path} has two columns named {doubled}; delete or rename one of them.")
    return [
        _row(number, columns, cells)
        for number, cells in enumerate(found[1:], start=2)
        if any(cell.strip() for cell in cells)
    ]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); in the spreadsheet, save it as `CSV UTF-8`."
        ) from error


def _row(number: int, columns: Sequence[str], cells: Sequence[str]) -> TableRow:
    plain = [cell[1:] if _QUOTED_FORMULA.match(cell) else cell.strip() for cell in cells]
    extra = [cell for cell in plain[len(columns) :] if cell]
    problem = ""
    if extra or len(cells) < len(columns):
        problem = f"the row has {len(cells)} cells where the header has {len(columns)}"
    return TableRow(number, dict(zip(columns, plain, strict=False)), problem)
