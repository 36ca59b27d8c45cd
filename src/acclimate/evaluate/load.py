"""Reads a benchmark's YAML, its file of questions and its pictures, and accounts for every row."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet
import yaml

from acclimate.errors import BenchmarkError
from acclimate.evaluate.benchmark import BenchmarkSpec, parse_spec, render_prompt
from acclimate.evaluate.rows import BadRow, Cells, read_cells
from acclimate.files import BadImage, ImageStore
from acclimate.records import ImageRef, Item, Rejection, content_id

ROOM = "evaluate"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark ready to be asked."""

    spec: BenchmarkSpec
    items: tuple[Item, ...]
    """In the order of the file."""
    rejections: tuple[Rejection, ...]
    n_rows_by_benchmark: Mapping[str, int]
    """Rows of the file per score row, rejected ones included: what coverage is a fraction of."""

    @property
    def max_tokens_by_benchmark(self) -> Mapping[str, int]:
        """Longest reply in tokens, per score row."""
        return {item.benchmark: self.spec.max_tokens_of(item.kind) for item in self.items}


def benchmark_files(path: Path) -> tuple[Path, ...]:
    """Return the files that define a benchmark: its YAML and its file of questions (not the pictures)."""
    return (path, path.parent / read_spec(path).file)


def read_spec(path: Path) -> BenchmarkSpec:
    """Read a benchmark's YAML.

    Raises:
        BenchmarkError: the file is missing, not YAML, or has a wrong field.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"cannot read the benchmark {path}: {error}; check the path in evaluate.benchmarks"
        ) from error
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BenchmarkError(f"{path} is not YAML: {error}; correct the line it names") from error
    return parse_spec(fields, str(path))


def load_benchmark(path: Path, store: ImageStore, limit: int | None = None) -> Benchmark:
    """Read a benchmark and put its pictures into the store.

    Args:
        path: the benchmark's YAML.
        store: where the pictures go.
        limit: use only this many rows (a test run): those whose content hashes lowest, so that the choice
            does not depend on the order of the file.

    Raises:
        BenchmarkError: a file or column is missing, an id stands twice, or no row can be used.
    """
    spec = read_spec(path)
    source = path.parent / spec.file
    rows = list(_rows(source))
    _check_columns(spec, rows, source)
    numbered = list(enumerate(rows, start=1))
    if limit is not None:
        chosen = {number for number, _ in sorted(numbered, key=lambda each: _row_id(spec, each[1]))[:limit]}
        numbered = [each for each in numbered if each[0] in chosen]
    pictures = _Pictures(path.parent / spec.image_root, store)
    items: list[Item] = []
    rejections: list[Rejection] = []
    n_rows: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for number, row in numbered:
        outcome = _item_or_fault(spec, row, pictures)
        if isinstance(outcome, Item):
            n_rows[outcome.benchmark] += 1
            items.append(_with_own_id(spec, outcome, row, seen))
        else:
            n_rows[outcome.benchmark] += 1
            detail = f"{source.name} row {number}: {outcome.detail}"
            rejection_id = _rejection_id(spec, row, seen)
            rejections.append(Rejection(id=rejection_id, room=ROOM, reason=outcome.reason, detail=detail))
    _check_usable(items, rejections, source)
    del n_rows[""]
    return Benchmark(spec, tuple(items), tuple(rejections), dict(sorted(n_rows.items())))


class _Pictures:
    """Reads each picture once, however many questions it has."""

    def __init__(self, root: Path, store: ImageStore) -> None:
        self._root = root.resolve()
        self._store = store
        self._known: dict[str, ImageRef | BadRow] = {}

    def get(self, cell: object) -> ImageRef:
        if isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes):
            found = self._added(cell["bytes"])
        else:
            named = cell.get("path") if isinstance(cell, Mapping) else cell
            name = "" if named is None else str(named).strip()
            if name not in self._known:
                self._known[name] = self._read(name)
            found = self._known[name]
        if isinstance(found, BadRow):
            raise BadRow(found.reason, found.detail)
        return found

    def _read(self, name: str) -> ImageRef | BadRow:
        if not name:
            return BadRow("missing_image", "the image cell is empty")
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            return BadRow("missing_image", f"{name!r} lies outside image_root")
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            return BadRow(
                "missing_image", f"{name!r} cannot be read below image_root ({type(error).__name__})"
            )
        return self._added(data)

    def _added(self, data: bytes) -> ImageRef | BadRow:
        try:
            return self._store.add(data)
        except BadImage as error:
            return BadRow(error.reason, error.detail)


def _item_or_fault(spec: BenchmarkSpec, row: Mapping[str, object], pictures: _Pictures) -> Item | BadRow:
    benchmark = ""
    try:
        cells: Cells = read_cells(spec, row)
        benchmark = cells.benchmark
        cells.check()
        image = pictures.get(row[spec.columns.image])
    except BadRow as fault:
        return BadRow(fault.reason, fault.detail, benchmark)
    question = render_prompt(spec, cells.question, cells.choices if cells.kind == "choice" else ())
    return Item(
        id=content_id("item", benchmark, question, image.sha256, *cells.gold),
        benchmark=benchmark,
        question=question,
        image=image,
        kind=cells.kind,
        gold=cells.gold,
        choices=cells.choices,
        cluster=cells.cluster or image.sha256,
        stratum=cells.stratum,
    )


def _with_own_id(spec: BenchmarkSpec, item: Item, row: Mapping[str, object], seen: Counter[str]) -> Item:
    own = _own_id(spec, row)
    return replace(item, id=_unique(own or item.id, seen, spec.name, is_own=own is not None))


def _rejection_id(spec: BenchmarkSpec, row: Mapping[str, object], seen: Counter[str]) -> str:
    own = _own_id(spec, row)
    return _unique(own or _row_id(spec, row), seen, spec.name, is_own=own is not None)


def _own_id(spec: BenchmarkSpec, row: Mapping[str, object]) -> str | None:
    cell = None if spec.columns.id is None else row.get(spec.columns.id)
    return None if cell is None or not str(cell).strip() else str(cell).strip()


def _unique(wanted: str, seen: Counter[str], benchmark: str, *, is_own: bool) -> str:
    """Return the id; the k-th of several identical rows gets `-k`, which no other row's id depends on."""
    seen[wanted] += 1
    if seen[wanted] == 1:
        return wanted
    if is_own:
        raise BenchmarkError(
            f"benchmark {benchmark}: the id {wanted!r} stands in several rows; make the ids unique, "
            "or leave `columns.id` out to have ids made from the content"
        )
    return f"{wanted}-{seen[wanted]}"


def _row_id(spec: BenchmarkSpec, row: Mapping[str, object]) -> str:
    picture = row.get(spec.columns.image)
    bare = {name: repr(value) for name, value in row.items() if value is not picture}
    named = str(picture.get("path")) if isinstance(picture, Mapping) else str(picture)
    return content_id("row", spec.name, named, json.dumps(bare, sort_keys=True))


def _check_columns(spec: BenchmarkSpec, rows: Sequence[Mapping[str, object]], source: Path) -> None:
    if not rows:
        raise BenchmarkError(f"{source} holds no rows; check `file` in the benchmark's YAML")
    present = {name for row in rows for name in row}
    wanted = [name for name in spec.columns.model_dump().values() if name is not None]
    if spec.kind_column is not None:
        wanted.append(spec.kind_column.column)
    missing = [name for name in dict.fromkeys(wanted) if name not in present]
    if missing:
        raise BenchmarkError(
            f"{source} has no column {', '.join(map(repr, missing))}; it has {', '.join(sorted(present))}; "
            "correct `columns` (or `kind.column`) in the benchmark's YAML"
        )


def _check_usable(items: Sequence[Item], rejections: Sequence[Rejection], source: Path) -> None:
    if items:
        return
    reasons = ", ".join(
        f"{reason} {count}" for reason, count in Counter(each.reason for each in rejections).most_common()
    )
    raise BenchmarkError(
        f"none of the {len(rejections)} rows of {source} can be used ({reasons}; "
        f"the first: {rejections[0].detail}); "
        "check `image_root` and `columns` in the benchmark's YAML"
    )


def _rows(source: Path) -> Iterator[Mapping[str, object]]:
    suffix = source.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from pyarrow.parquet.read_table(source).to_pylist()
            return
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pyarrow.ArrowInvalid) as error:
        raise BenchmarkError(
            f"cannot read {source}: {error}; check `file` in the benchmark's YAML"
        ) from error
    if suffix == ".csv":
        yield from _csv_rows(text)
        return
    numbered = enumerate(text.splitlines(), start=1) if suffix == ".jsonl" else [(1, text)]
    for line, part in numbered:
        if part.strip():
            yield from _json_rows(part, f"{source} line {line}", is_list=suffix == ".json")


def _csv_rows(text: str) -> Iterator[Mapping[str, object]]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="")


def _json_rows(text: str, where: str, *, is_list: bool) -> Iterator[Mapping[str, object]]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BenchmarkError(f"{where} is not JSON ({error}); correct it") from error
    rows = value if is_list else [value]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BenchmarkError(f"{where}: expected a list of objects, one per question")
    yield from rows
