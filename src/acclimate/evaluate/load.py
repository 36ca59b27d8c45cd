"""Reads a benchmark's YAML, its file of questions and its pictures, and accounts for every row."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from acclimate.errors import BenchmarkError
from acclimate.evaluate.benchmark import BenchmarkSpec
from acclimate.evaluate.catalogue import Located, digest, locate
from acclimate.evaluate.prior import Given, given_away
from acclimate.evaluate.prompts import LETTERS, render_shots
from acclimate.evaluate.row_pictures import SHORTEST_BASE64, RowPictures, is_empty, picture_name
from acclimate.evaluate.rows import BadRow, Cells, Row, cell_text, cell_texts, first, part_of, read_cells
from acclimate.evaluate.tables import matching, read_rows
from acclimate.files import ImageStore
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
    """Questions of the file per score row, rejected ones included: what coverage is a fraction of."""
    n_left_out: int = 0
    """Rows of the file that are no part of the benchmark (`where`, `rows_by.values`)."""
    sha256: str = ""
    """Of the files of questions."""
    files: tuple[str, ...] = ()
    """Where they were; below the hub's cache their path names the commit."""
    given: Mapping[str, Given] = field(default_factory=dict)
    """What the benchmark's own training file gives away, by score row; empty where it is not here."""
    numbers: tuple[int, ...] = ()
    """Of each item the row of the file it was made from, from 0."""

    @property
    def max_tokens_by_benchmark(self) -> Mapping[str, int]:
        """Longest reply in tokens, per score row."""
        return {item.benchmark: self.spec.max_tokens_of(item.kind) for item in self.items}

    @property
    def scorers_by_benchmark(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the scorers per score row, the headline first."""
        return {item.benchmark: self.spec.scorers_of(item.kind) for item in self.items}


def benchmark_files(path: Path) -> tuple[Path, ...]:
    """Return the files that define a benchmark: its YAML and its files of questions (not the pictures)."""
    return (path, *locate(path).require())


def load_benchmark(where: Path | Located, store: ImageStore, limit: int | None = None) -> Benchmark:
    """Read a benchmark and put its pictures into the store.

    Args:
        where: the benchmark's YAML, or what `locate` found.
        store: where the pictures go.
        limit: use only this many rows (a test run): those whose content hashes lowest, so that the choice
            does not depend on the order of the file.

    Raises:
        BenchmarkError: a file or column is missing, an id stands twice, or no row can be used.
    """
    located = where if isinstance(where, Located) else locate(where)
    files = located.require()
    return benchmark_of(located, read_rows(files), files, store=store, limit=limit)


def benchmark_of(
    located: Located,
    rows: Sequence[Row],
    files: Sequence[Path],
    *,
    store: ImageStore | None,
    limit: int | None = None,
) -> Benchmark:
    """Make a benchmark of rows that were read already.

    Args:
        rows: of its file, or of a file of predictions that repeats the benchmark's columns.
        files: where the rows come from, for messages and the pin.
        store: where the pictures go; None leaves them closed: scoring answers needs none.
        limit: as in `load_benchmark`.

    Raises:
        BenchmarkError: as in `load_benchmark`.
    """
    folder = located.folder or files[0].parent
    spec = located.spec
    source = files[0]
    wanted = [row for row in rows if _is_part(spec, row)]
    _check_columns(spec, rows, source, with_pictures=store is not None)
    if spec.labels_from_answers and not spec.labels:
        spec = spec.model_copy(update={"labels": _labels(spec, wanted)})
    joined = _Joined(spec, folder)
    numbered = [(number, joined.to(row)) for number, row in enumerate(rows, start=1) if _is_part(spec, row)]
    if limit is not None:
        chosen = {number for number, _ in sorted(numbered, key=lambda each: _row_id(spec, each[1]))[:limit]}
        numbered = [each for each in numbered if each[0] in chosen]
    maker = _Maker(spec, folder, store, numbered)
    items: list[Item] = []
    numbers: list[int] = []
    questions: dict[str, str] = {}
    rejections: list[Rejection] = []
    n_rows: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for number, row in numbered:
        outcome = maker.items_or_fault(row)
        if isinstance(outcome, BadRow):
            n_rows[outcome.benchmark] += 1
            detail = f"{source.name} row {number}: {outcome.detail}"
            rejection_id = _rejection_id(spec, row, seen)
            rejections.append(Rejection(id=rejection_id, room=ROOM, reason=outcome.reason, detail=detail))
        else:
            n_rows[outcome[0].benchmark] += len(outcome)
            made = list(_with_own_ids(spec, outcome, row, seen))
            items += made
            numbers += [number - 1] * len(made)
            asked = first(row, spec.columns.question) or first(row, spec.columns.prompt)
            questions |= {item.id: cell_text(asked, item.kind) for item in made}
    _check_usable(items, rejections, source)
    del n_rows[""]
    return Benchmark(
        spec,
        tuple(items),
        tuple(rejections),
        dict(sorted(n_rows.items())),
        len(rows) - len(wanted),
        digest(files),
        tuple(map(str, files)),
        _given(spec, folder, items, questions) if store is not None else {},
        tuple(numbers),
    )


def _given(
    spec: BenchmarkSpec, folder: Path, items: Sequence[Item], questions: Mapping[str, str]
) -> Mapping[str, Given]:
    files = () if spec.train is None else matching(folder, spec.train)
    if not files:
        return {}
    rows = [row for row in read_rows(files) if _is_part(spec, row)]
    return given_away(spec, rows, items, questions, _image_root(spec, folder))


def _image_root(spec: BenchmarkSpec, folder: Path) -> Path:
    return next((folder / name for name in spec.image_root if (folder / name).is_dir()), folder)


def _is_part(spec: BenchmarkSpec, row: Row) -> bool:
    for column, wanted in spec.where.items():
        said = cell_text(row.get(column), "open")
        if column in row and said not in ((wanted,) if isinstance(wanted, str) else wanted):
            return False
    return part_of(spec, row) is not None


def _labels(spec: BenchmarkSpec, rows: Sequence[Row]) -> tuple[str, ...]:
    said = {text for row in rows for text in cell_texts(first(row, spec.columns.answer), "multi_label")}
    return tuple(sorted(said))


class _Joined:
    """Rows with the columns of further files."""

    def __init__(self, spec: BenchmarkSpec, folder: Path) -> None:
        self._tables: list[tuple[str, dict[str, Row]]] = []
        for also in spec.also:
            files = matching(folder, also.file)
            if files:
                by_key: dict[str, Row] = {
                    cell_text(row.get(also.on), "open"): {
                        f"{also.prefix}{name}": cell for name, cell in row.items()
                    }
                    for row in read_rows(files)
                }
                self._tables.append((also.on, by_key))

    def to(self, row: Row) -> Row:
        merged: dict[str, object] = {}
        for key, by_key in self._tables:
            merged |= by_key.get(cell_text(row.get(key), "open"), {})
        return {**merged, **row} if merged else row


class _Maker:
    """Turns rows into questions."""

    def __init__(
        self, spec: BenchmarkSpec, folder: Path, store: ImageStore | None, rows: Sequence[tuple[int, Row]]
    ) -> None:
        self._spec = spec
        self._base64_by_id = _base64_by_id(spec, rows)
        self._pictures = None if store is None else RowPictures(_image_root(spec, folder), store)
        self._shots = _read_shots(spec, folder)
        self._rotates = spec.circular and not _has_rotations(spec, rows)

    def items_or_fault(self, row: Row) -> list[Item] | BadRow:
        benchmark = ""
        try:
            cells: Cells = read_cells(self._spec, row)
            benchmark = cells.benchmark
            cells.check()
            image = self._image(row)
        except BadRow as fault:
            return BadRow(fault.reason, fault.detail, benchmark)
        turns = range(len(cells.choices)) if self._rotates else range(1)
        made = [self._item(cells.rotated(turn), row, image) for turn in turns]
        if not self._rotates:
            return made
        return [replace(item, group=made[0].id) for item in made]

    def _item(self, cells: Cells, row: Row, image: ImageRef | None) -> Item:
        spec = self._spec
        by = "" if spec.shots is None or spec.shots.by is None else cell_text(row.get(spec.shots.by), "open")
        question = self._asked(cells, by)
        picture = "" if image is None else image.sha256
        named = picture or picture_name(self._cell(row))
        item_id = content_id("item", cells.benchmark, question, picture, *cells.gold)
        return Item(
            id=item_id,
            benchmark=cells.benchmark,
            question=question,
            image=image,
            kind=cells.kind,
            gold=cells.gold,
            choices=cells.choices,
            cluster=cells.cluster or named or cells.group or item_id,
            stratum=cells.stratum,
            group=cells.group,
            subsets=cells.subsets,
            context=cells.context,
        )

    def _asked(self, cells: Cells, by: str) -> str:
        spec = self._spec
        if spec.shots is None:
            return cells.asked(spec)
        examples = list(self._shots.get(by, ()))[: spec.shots.n]
        while True:
            prompt = cells.asked(spec, shots=render_shots(spec, examples), by=by.replace("_", " "))
            if not examples or len(prompt) <= spec.shots.most_characters:
                return prompt
            examples.pop()

    def _image(self, row: Row) -> ImageRef | None:
        if self._spec.columns.image is None or self._pictures is None:
            return None
        cell = self._cell(row)
        if self._spec.image_optional and is_empty(cell):
            return None
        return self._pictures.get(cell)

    def _cell(self, row: Row) -> object:
        """Return the cell that holds a row's picture, or says where it is."""
        columns = self._spec.columns
        cell = first(row, columns.image)
        if not isinstance(cell, str):
            return cell
        folder = cell_text(first(row, columns.image_folder), "open")
        if folder and cell.strip() and "/" not in cell:
            return f"{folder}/{cell.strip()}"
        return self._base64_by_id.get(cell.strip(), cell)


def _base64_by_id(spec: BenchmarkSpec, rows: Sequence[tuple[int, Row]]) -> Mapping[str, str]:
    """Return the pictures that stand in rows as base64, which other rows may name by that row's id.

    Source:
        MMBench's published TSV: the rotations of a question name the row that has its picture.
    """
    found: dict[str, str] = {}
    for _, row in rows:
        cell, own = first(row, spec.columns.image), _own_id(spec, row)
        if own is not None and isinstance(cell, str) and len(cell) >= SHORTEST_BASE64:
            found[own] = cell
    return found


def _has_rotations(spec: BenchmarkSpec, rows: Sequence[tuple[int, Row]]) -> bool:
    """Return whether the file itself has rotations of its questions: numbers from the modulo on."""
    if spec.group is None or spec.group.modulo is None:
        return False
    said = [cell_text(first(row, spec.group.column), "open") for _, row in rows]
    return any(each.isdigit() and int(each) >= spec.group.modulo for each in said)


def _read_shots(spec: BenchmarkSpec, folder: Path) -> Mapping[str, list[tuple[str, tuple[str, ...], str]]]:
    if spec.shots is None:
        return {}
    files = matching(folder, spec.shots.file)
    if not files:
        raise BenchmarkError(
            f"the worked examples of {spec.name} are not here: put {' or '.join(spec.shots.file)} into "
            f"{folder}"
        )
    found: dict[str, list[tuple[str, tuple[str, ...], str]]] = {}
    for row in read_rows(files):
        cells = read_cells(spec, row)
        cells.check()
        letter = LETTERS[cells.choices.index(cells.gold[0])] if cells.choices else cells.gold[0]
        by = "" if spec.shots.by is None else cell_text(row.get(spec.shots.by), "open")
        found.setdefault(by, []).append((cells.question, cells.choices, letter))
    return found


def _with_own_ids(spec: BenchmarkSpec, items: Sequence[Item], row: Row, seen: Counter[str]) -> Iterator[Item]:
    own = _own_id(spec, row)
    if len(items) == 1:
        yield replace(
            items[0], id=_unique(own or items[0].id, seen, items[0].benchmark, is_own=own is not None)
        )
        return
    group = _unique(own or items[0].id, seen, items[0].benchmark, is_own=own is not None)
    for turn, item in enumerate(items):
        yield replace(item, id=f"{group}@{turn}", group=group)


def _rejection_id(spec: BenchmarkSpec, row: Row, seen: Counter[str]) -> str:
    own = _own_id(spec, row)
    return _unique(own or _row_id(spec, row), seen, spec.name, is_own=own is not None)


def _own_id(spec: BenchmarkSpec, row: Row) -> str | None:
    cell = first(row, spec.columns.id)
    return None if cell is None or not str(cell).strip() else cell_text(cell, "open")


def _unique(wanted: str, seen: Counter[str], benchmark: str, *, is_own: bool) -> str:
    """Return the id; the k-th of several identical rows gets `-k`, which no other row's id depends on."""
    key = f"{benchmark}/{wanted}"
    seen[key] += 1
    if seen[key] == 1:
        return wanted
    if is_own:
        raise BenchmarkError(
            f"benchmark {benchmark}: the id {wanted!r} stands in several rows; make the ids unique, "
            "or leave `columns.id` out to have ids made from the content"
        )
    return f"{wanted}-{seen[key]}"


def _row_id(spec: BenchmarkSpec, row: Row) -> str:
    picture = first(row, spec.columns.image)
    bare = {name: repr(value) for name, value in row.items() if value is not picture}
    return content_id("row", spec.name, picture_name(picture), json.dumps(bare, sort_keys=True))


def _check_columns(spec: BenchmarkSpec, rows: Sequence[Row], source: Path, *, with_pictures: bool) -> None:
    if not rows:
        raise BenchmarkError(f"{source} holds no rows; check `file` in the benchmark's YAML")
    present = {name for row in rows for name in row}
    columns = spec.columns
    needed: list[tuple[str, ...] | None] = [columns.id, columns.choices, columns.cluster, columns.stratum]
    is_ready = columns.prompt is not None and any(name in present for name in columns.prompt)
    if not is_ready and not spec.question:
        needed.append(columns.question)
    if with_pictures and not spec.image_optional:
        needed.append(columns.image)
    if not all(kind == "compared" for kind in spec.kinds) or not spec.kinds:
        needed.append(columns.answer)
    if spec.kind_column is not None:
        needed.append((spec.kind_column.column,))
    if spec.rows_by is not None:
        needed.append(spec.rows_by.column)
    optional = {columns.id, columns.choices, columns.cluster} if spec.hub is not None else set()
    missing = [
        " or ".join(names)
        for names in dict.fromkeys(needed)
        if names is not None and names not in optional and not any(name in present for name in names)
    ]
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
    first_one = f"; the first: {rejections[0].detail}" if rejections else ""
    raise BenchmarkError(
        f"none of the {len(rejections)} rows of {source} can be used ({reasons}{first_one}); "
        "check `image_root` and `columns` in the benchmark's YAML"
    )
