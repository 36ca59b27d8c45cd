"""Reads the numbers that claims are judged on: what a file holds is told by its content."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.claim_sets.numbers import Measured, Numbers, Row, Table
from acclimate.claim_sets.paper_tables import is_paper_tables, rows_of_paper
from acclimate.claim_sets.study_numbers import kind_of, study_of_json, study_of_page
from acclimate.errors import DataError
from acclimate.files import read_json
from acclimate.records import Measurement

_INSIDE = ("study.json", "manifest.json", "report/manifest.json")
"""What is read of a folder."""
_FORMS = (
    "a table (CSV, or JSON rows with attributes and `scores`), the numbers of a paper's tables (`table14`), "
    "a study's study.json or its page (.md), or a run's manifest.json or list of measurements"
)


def read_numbers(path: Path) -> Numbers:
    """Return what a file, or a study's or a run's folder, holds.

    Raises:
        DataError: the file cannot be read, or holds nothing that claims can be judged on.
    """
    if path.is_dir():
        held = next((path / name for name in _INSIDE if (path / name).is_file()), None)
        if held is None:
            raise DataError(f"{path} holds none of {', '.join(_INSIDE)}; name the file with the numbers.")
        path = held
    if path.suffix == ".md":
        return study_of_page(_text(path), path)
    if path.suffix == ".csv":
        return Table(path, tuple(_rows_of_csv(_text(path), path)))
    return _of_json(read_json(path), path)


def _of_json(data: Any, path: Path) -> Numbers:  # noqa: ANN401 - any JSON value
    if isinstance(data, dict):
        if is_paper_tables(data):
            return Table(path, rows_of_paper(data, path))
        kind = kind_of(data)
        if kind is not None:
            return study_of_json(data, kind, path)
        if {"contract", "claims"} <= data.keys():
            return Measured(path, _measured_of_record(data["claims"], path))
    listed = data
    if isinstance(data, dict):
        listed = data.get("rows", data.get("measurements"))
    if isinstance(listed, list) and listed and all(isinstance(each, dict) for each in listed):
        if all("scores" in each for each in listed):
            return Table(path, tuple(_row(each, at, path) for at, each in enumerate(listed, 1)))
        if all("key" in each for each in listed):
            found = (_measurement(each, each["key"], path) for each in listed)
            return Measured(path, {each.key: each for each in found})
    raise DataError(f"{path} holds no numbers that claims can be judged on. Give {_FORMS}.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


# --- tables ----------------------------------------------------------------------------------------------


def _rows_of_csv(text: str, path: Path) -> Iterator[Row]:
    """Yield a CSV's rows: a column that holds numbers alone is a score, `average` the table's own average."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path} is not CSV ({error}); save it with commas and a first row of names."
        ) from error
    if not rows:
        raise DataError(f"{path} has no rows below its head; give one row per model.")
    names = list(rows[0])
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise DataError(f"{path}, line {line}: it has not as many cells as the head; correct it there.")
    scores = [
        name
        for name in names
        if any(row[name].strip() for row in rows)
        and all(not row[name].strip() or _number(row[name]) is not None for row in rows)
    ]
    if not scores or len(scores) == len(names):
        raise DataError(
            f"{path} needs columns of words (model, pipeline, ...) and columns of numbers alone (scores); "
            f"its columns are {', '.join(names)}."
        )
    for row in rows:
        found = {name: value for name in scores if (value := _number(row[name])) is not None}
        printed = found.pop("average", None)
        yield Row({name: row[name].strip() for name in names if name not in scores}, found, printed)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _row(each: Mapping[str, Any], at: int, path: Path) -> Row:
    own, scores, printed = each.get("attributes"), each["scores"], each.get("average")
    if own is None:
        own = {key: value for key, value in each.items() if key not in ("scores", "average")}
    is_good = (
        isinstance(own, dict)
        and all(isinstance(value, str) for value in own.values())
        and isinstance(scores, dict)
        and all(_is_number(value) for value in scores.values())
        and (printed is None or _is_number(printed))
        and (scores or printed is not None)
    )
    if not is_good:
        raise DataError(
            f"{path}, row {at}: a row is attributes that are texts, `scores` by benchmark that are numbers, "
            "and, where the table prints one, an `average`; correct it there."
        )
    return Row(
        own,
        {name: float(value) for name, value in scores.items()},
        None if printed is None else float(printed),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- measurements ----------------------------------------------------------------------------------------


def _measured_of_record(claims: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Measurement]:
    """Return the measurements that a record's manifest keeps: those that its own claims rest on."""
    found = {}
    for each in claims:
        if each.get("measure") and each.get("measurement"):
            found[each["measure"]] = _measurement(each["measurement"], each["measure"], path)
    return found


def _measurement(values: Mapping[str, Any], key: str, path: Path) -> Measurement:
    if not all(_is_number(values.get(name)) for name in ("value", "low", "high")):
        raise DataError(f"{path}: the measurement {key!r} needs the numbers value, low and high.")
    return Measurement(
        key=key,
        value=float(values["value"]),
        low=float(values["low"]),
        high=float(values["high"]),
        n=int(values.get("n", 0)),
        n_clusters=int(values.get("n_clusters", 0)),
        coverage=float(values.get("coverage", 1.0)),
        method=str(values.get("method", "")),
        p=values.get("p"),
    )
