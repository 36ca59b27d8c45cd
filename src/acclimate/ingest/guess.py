"""What a folder of the user's holds: which file has the captions and where its images are.

`acclimate init FOLDER` writes a recipe from the answer, and prints the notes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from acclimate.errors import DataError
from acclimate.ingest.images import image_path, is_url
from acclimate.ingest.readers import SUFFIXES, BrokenRow, read_rows
from acclimate.ingest.rows import Columns, Shape, find_columns, read_row

_ROWS_TRIED = 200
_DEPTH = 3
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".jp2")


@dataclass(frozen=True, slots=True)
class Guess:
    """How a folder can be ingested."""

    source: Path
    """The data file."""
    format: Shape
    image_root: Path
    columns: Columns
    n_rows: int
    n_tried: int
    """Rows whose image was looked for, at most 200."""
    n_found: int
    """Of these, images that exist."""
    notes: tuple[str, ...]
    """What was guessed, one sentence each, for the user."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    source: Path
    format: Shape
    image_root: Path
    columns: Columns
    n_tried: int
    n_found: int
    n_urls: int


def guess(folder: Path) -> Guess:
    """Return how the folder's pairs can be read: the data file of which most images are found.

    Raises:
        DataError: nothing fits; the message says what is missing.
    """
    if not folder.is_dir():
        raise DataError(
            f"The folder {folder} does not exist; give the one that holds your captions and images."
        )
    files = sorted(_files(folder))
    data_files = [path for path in files if path.suffix.lower() in SUFFIXES]
    image_files = [path for path in files if path.suffix.lower() in _IMAGE_SUFFIXES]
    roots = _roots(folder, image_files)
    problems: list[str] = []
    candidates: list[_Candidate] = []
    for path in data_files:
        try:
            candidates.append(_candidate(path, roots))
        except DataError as error:
            problems.append(str(error))
    best = max(candidates, key=lambda each: each.n_found, default=None)
    if best is None or best.n_found == 0:
        raise DataError(_nothing_fits(folder, image_files, candidates, problems))
    others = [each.source for each in candidates if each is not best and each.n_found]
    n_rows = sum(1 for _ in read_rows(best.source))
    return Guess(
        source=best.source,
        format=best.format,
        image_root=best.image_root,
        columns=best.columns,
        n_rows=n_rows,
        n_tried=best.n_tried,
        n_found=best.n_found,
        notes=tuple(_notes(folder, best, n_rows, others)),
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files under the folder, three levels deep, hidden ones left out."""
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = [] if depth >= _DEPTH else sorted(each for each in folders if not each.startswith("."))
        yield from (Path(place) / name for name in names if not name.startswith("."))


def _roots(folder: Path, image_files: list[Path]) -> list[Path]:
    """Return folders that image paths may start from: those with images and what holds them."""
    roots = {folder: None}
    for parent in sorted({path.parent for path in image_files}):
        for each in (parent, *parent.parents):
            if each.is_relative_to(folder):
                roots[each] = None
    return list(roots)


def _candidate(path: Path, roots: list[Path]) -> _Candidate:
    raw_rows = [raw for raw in islice(read_rows(path), _ROWS_TRIED) if not isinstance(raw, BrokenRow)]
    if not raw_rows:
        raise DataError(f"{path} has no readable rows.")
    names = dict.fromkeys(name for raw in raw_rows for name in raw)
    columns = find_columns(names, Columns(), "auto", str(path))
    rows = [read_row(raw, columns, "auto") for raw in raw_rows]
    if not any(row.caption for row in rows):
        raise DataError(f"{path} has no captions.")
    values = [row.image for row in rows if row.image is not None]
    paths = [each for each in values if isinstance(each, str)]

    def n_found(root: Path) -> int:
        inside = (image_path(each, root) for each in paths if not is_url(each) and "\0" not in each)
        return sum(1 for each in inside if each is not None and each.is_file())

    shape = _shape(names)
    root = max([path.parent, *roots], key=n_found)
    return _Candidate(
        source=path,
        format=shape,
        image_root=root,
        columns=columns if shape == "table" else columns.model_copy(update={"caption": ""}),
        n_tried=len(values),
        n_found=n_found(root) + len(values) - len(paths),
        n_urls=sum(map(is_url, paths)),
    )


def _shape(names: dict[str, None]) -> Shape:
    if "messages" in names:
        return "messages"
    if "conversations" in names:
        return "sharegpt" if "images" in names else "llava"
    return "table"


def _nothing_fits(
    folder: Path, image_files: list[Path], candidates: list[_Candidate], problems: list[str]
) -> str:
    """Return why no data file of the folder can be used, and the remedy."""
    with_urls = next((each for each in candidates if each.n_urls), None)
    if with_urls is not None:
        return (
            f"The image column of {with_urls.source} holds URLs. Nothing is downloaded here: download the "
            f"images first, and write their paths into the column {with_urls.columns.image!r}."
        )
    if candidates:
        each = candidates[0]
        return (
            f"{each.source} looks right, but not one of its first {each.n_tried} images was found under "
            f"{folder}. Put the images there, or write the recipe by hand and set `ingest.image_root`."
        )
    if problems:
        return f"No data file in {folder} can be used. {problems[0]}"
    if image_files:
        return (
            f"{folder} holds {len(image_files)} images but no captions. Add a file that has them, for "
            "instance captions.csv with the columns image and caption, one row per image."
        )
    return (
        f"{folder} holds neither images nor a data file ({', '.join(SUFFIXES)}). Give a folder with images "
        "and one file that names each image and its caption."
    )


def _notes(folder: Path, best: _Candidate, n_rows: int, others: list[Path]) -> Iterator[str]:
    kind = {"llava": "LLaVA conversations", "sharegpt": "ShareGPT conversations", "messages": "chat messages"}
    name = best.source.relative_to(folder)
    yield f"The pairs are read from {name}: {n_rows} rows, as {kind.get(best.format, 'a table')}."
    if best.format == "table":
        yield f"The image is in column {best.columns.image!r} and the caption in {best.columns.caption!r}."
    else:
        yield "The caption is the assistant's first turn."
    yield f"Image paths start from {best.image_root.relative_to(folder.parent)}."
    yield f"Of the first {best.n_tried} images, {best.n_found} were found."
    if others:
        listed = ", ".join(str(each.relative_to(folder)) for each in others)
        yield f"Not used, though it could be: {listed}."
