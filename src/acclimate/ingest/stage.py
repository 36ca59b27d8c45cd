"""The door of ingest: rows of the user's file become ImageCaption records or Rejections.

A pair's id depends on its image and caption alone. So a shuffled file or a removed row changes no other
record, and the pipeline, which writes pairs sorted by id, writes the same bytes.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import DataError
from acclimate.files import JSON, ImageMode, ImageStore, cached_sha256
from acclimate.ingest.images import check_images, image_folder, image_path, is_url, load_image
from acclimate.ingest.near import gradient_hash, near_duplicates
from acclimate.ingest.pool import in_order
from acclimate.ingest.readers import BrokenRow, read_rows
from acclimate.ingest.rows import Columns, Row, Shape, annotation_of, find_columns, read_row
from acclimate.records import ImageCaption, ImageRef, Rejection, content_id

VERSION = 2
_ROWS_LOOKED_AT = 200


class IngestExecution(BaseModel):
    """How the work is done; never what comes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=2, ge=1, le=64)
    """Threads that read and decode images."""


class IngestConfig(BaseModel):
    """Which rows are read, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """The data file: .json, .jsonl, .csv, .tsv or .parquet; a relative path counts from the recipe."""
    format: Shape = "auto"
    """`llava`, `sharegpt` and `messages` are chats; `table` has columns; `auto` looks."""
    image_root: str = ""
    """The folder that image paths start from; empty means the data file's own."""
    columns: Columns = Columns()
    licence: str = "unknown"
    """What the source states, for every pair."""
    images: ImageMode = "hardlink"
    """Whether the run refers to the images, links them or copies them."""
    holdout: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of the images that `split_holdout` keeps from training, 0 to 1."""
    seed: int = 0
    """Of the choice of held-out images."""
    limit: int | None = Field(default=None, ge=1)
    """Read the first so many rows only; for tests."""
    near_duplicates: Literal["keep", "drop"] = "keep"
    """Whether images that look the same as another one are rejected."""
    execution: IngestExecution = IngestExecution()


def ingest(config: IngestConfig, *, store: ImageStore, base: Path) -> Iterator[ImageCaption | Rejection]:
    """Return one ImageCaption or one Rejection per row, in file order.

    Equal pairs (same image bytes, same caption) come out once; the others are rejected as
    `duplicate_pair`. Reasons: bad_row, no_caption_turn, missing_image_field, empty_caption, image_is_url,
    outside_root, missing_file, image_empty, image_unreadable, image_truncated, image_too_large,
    duplicate_pair, near_duplicate.

    Args:
        base: what relative paths in the config count from: the recipe's folder.

    Raises:
        DataError: the source as a whole cannot be used; the message says what to change.
    """
    source, root, rows = _open(config, base)
    outcomes = _outcomes(rows(), config, root, store, source.name)
    return outcomes if config.near_duplicates == "keep" else _without_near_duplicates(outcomes, store)


def _open(config: IngestConfig, base: Path) -> tuple[Path, Path, Callable[[], Iterator[Row]]]:
    """Look through the source once and return it, its image folder and a way to read its rows."""
    source = base / config.source
    raw_rows = list(islice(read_rows(source), _ROWS_LOOKED_AT))
    if not raw_rows:
        raise DataError(
            f"{source} has no rows; give a file with one row per image, or check how it was written."
        )
    readable = [raw for raw in raw_rows if not isinstance(raw, BrokenRow)]
    if not readable and isinstance(raw_rows[0], BrokenRow):
        raise DataError(
            f"Not one of the first {len(raw_rows)} rows of {source} can be read; the first is "
            f"{raw_rows[0].text[:80]!r}: {raw_rows[0].detail}. Check the file's format."
        )
    # A caption column that the user names comes before any conversation.
    shape: Shape = "table" if config.columns.caption else config.format
    columns = find_columns((name for raw in readable for name in raw), config.columns, shape, str(source))
    root = image_folder(source, config.image_root, base)

    def rows() -> Iterator[Row]:
        for raw in islice(read_rows(source), config.limit):
            yield read_row(raw, columns, shape)

    _check_rows(rows(), root, source)
    return source, root, rows


def _check_rows(rows: Iterable[Row], root: Path, source: Path) -> None:
    """Refuse a source of which every row would be rejected for one reason."""
    images: list[str | bytes] = []
    n_captions = n_problems = 0
    for row in rows:
        images += [row.image] if row.image is not None else []
        n_captions += bool(row.caption)
        n_problems += row.problem is not None
    if n_problems:
        return
    if not images:
        raise DataError(
            f"No row of {source} names an image; say which column does: `columns: {{image: ...}}`."
        )
    if not n_captions:
        raise DataError(
            f"Every caption in {source} is empty; say which column holds them: `columns: {{caption: ...}}`."
        )
    check_images(images, root, source)


def _outcomes(
    rows: Iterable[Row], config: IngestConfig, root: Path, store: ImageStore, source: str
) -> Iterator[ImageCaption | Rejection]:
    def load(row: Row) -> tuple[Row, ImageRef | tuple[str, str]]:
        problem = _text_problem(row)
        if problem is not None or row.image is None:
            return row, problem or ("missing_image_field", "")
        return row, load_image(row.image, root, store, config.images)

    seen: Counter[str] = Counter()
    for row, image in in_order(load, rows, config.execution.workers):
        if isinstance(image, ImageRef) and row.caption is not None:
            pair_id = content_id("pair", image.sha256, row.caption)
            seen[pair_id] += 1
            if seen[pair_id] > 1:
                detail = f"the same image and caption as pair {pair_id}"
                yield Rejection(f"{pair_id}/{seen[pair_id]}", "ingest", "duplicate_pair", detail)
                continue
            annotation = annotation_of(row, image)
            yield ImageCaption(pair_id, image, row.caption, source, config.licence, annotation)
        elif not isinstance(image, ImageRef):
            seen[row.id] += 1
            yield _rejection(row, seen[row.id], *image)


def _text_problem(row: Row) -> tuple[str, str] | None:
    """Return why the row cannot be used, as far as its text says."""
    if row.problem is not None:
        return row.problem
    if row.image is None:
        return "missing_image_field", "the row names no image"
    if not row.caption:
        return "empty_caption", "the row has no caption"
    return None


def _rejection(row: Row, copy: int, reason: str, detail: str) -> Rejection:
    row_id = row.id if copy == 1 else f"{row.id}/{copy}"
    return Rejection(row_id, "ingest", reason, f"row {row.label}: {detail}" if row.label else detail)


def _without_near_duplicates(
    outcomes: Iterable[ImageCaption | Rejection], store: ImageStore
) -> Iterator[ImageCaption | Rejection]:
    """Reject pairs whose image looks like another one; needs all images before the first pair."""
    kept = list(outcomes)
    image_by_sha256 = {each.image.sha256: each.image for each in kept if isinstance(each, ImageCaption)}
    twins = near_duplicates({sha: gradient_hash(store.open(ref)) for sha, ref in image_by_sha256.items()})
    for each in kept:
        twin = twins.get(each.image.sha256) if isinstance(each, ImageCaption) else None
        if twin is None:
            yield each
        else:
            yield Rejection(each.id, "ingest", "near_duplicate", f"its image looks like image {twin[:16]}")


def split_holdout(
    pairs: Sequence[ImageCaption], fraction: float, seed: int
) -> tuple[list[ImageCaption], list[ImageCaption]]:
    """Return the pairs to train on and those held out, each in the order given.

    The choice is made image by image from its hash, so all pairs of an image go the same way and a removed
    pair moves no other; the rate is therefore met on average, not exactly.
    """
    train: list[ImageCaption] = []
    held_out: list[ImageCaption] = []
    for pair in pairs:
        draw = int(hashlib.sha256(f"{seed}/{pair.image.sha256}".encode()).hexdigest()[:13], 16) / 16**13
        (held_out if draw < fraction else train).append(pair)
    return train, held_out


def source_identity(
    config: IngestConfig, *, base: Path, cache_dir: Path, rehash: bool = False
) -> dict[str, JSON]:
    """Return what decides the output of `ingest`, for the step's config: no path, no order of rows.

    Args:
        cache_dir: where hashes of image files are kept, by path, size, time and inode.
        rehash: read every image anew.

    Raises:
        DataError: as `ingest`.
    """
    source, root, rows = _open(config, base)
    parts = []
    for row in rows():
        digest = ""
        if isinstance(row.image, bytes):
            digest = hashlib.sha256(row.image).hexdigest()
        elif row.image and not is_url(row.image) and "\0" not in row.image:
            path = image_path(row.image, root)
            if path is not None and path.is_file():
                digest = cached_sha256(path, cache_dir, rehash=rehash)
        parts.append(content_id(row.id, digest, repr(row.problem), repr(row.boxes), *row.captions))
    identity: dict[str, JSON] = config.model_dump(
        mode="json", exclude={"source", "image_root", "images", "limit", "execution"}
    )
    return {**identity, "source": source.name, "rows": content_id(*sorted(parts)), "n_rows": len(parts)}
