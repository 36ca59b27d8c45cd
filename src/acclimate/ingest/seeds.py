"""Seed data: worked examples that teach the synthesizer, from JSON or JSON lines.

A row is `{id?, image, caption, instruction, informative, precise}`. Images are checked as in the door, and
rows are rejected for the same reasons.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import DataError
from acclimate.files import JSON, ImageMode, ImageStore, cached_sha256
from acclimate.ingest.images import check_images, image_folder, image_path, is_url, load_image
from acclimate.ingest.pool import in_order
from acclimate.ingest.readers import BrokenRow, RawRow, read_rows, row_id
from acclimate.records import ImageRef, Rejection, SeedExample, content_id

_FIELDS = ("caption", "instruction", "informative", "precise")
Problem = tuple[str, str]


class SeedConfig(BaseModel):
    """Which seed examples are read, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """The data file; a relative path counts from the recipe."""
    image_root: str = ""
    """The folder that image paths start from; empty means the data file's own."""
    licence: str = "unknown"
    """Licence of the examples, as the source states it; asked for where they are trained on as general tasks,
    and no part of what tuning a synthesizer on them depends on."""
    images: ImageMode = "hardlink"
    limit: int | None = Field(default=None, ge=1)
    """Read the first so many rows only; for tests."""
    workers: int = Field(default=2, ge=1, le=64)
    """Threads that read and decode images; execution, never identity."""


def read_seeds(config: SeedConfig, *, store: ImageStore, base: Path) -> Iterator[SeedExample | Rejection]:
    """Return one SeedExample or one Rejection per row, in file order.

    Reasons are those of `ingest`, and `empty_field` for a text that is missing or empty.

    Raises:
        DataError: the source as a whole cannot be used; the message says what to change.
    """
    source = base / config.source
    rows = list(islice(read_rows(source), config.limit))
    if not rows:
        raise DataError(f"{source} has no rows; give seed examples, one object per example.")
    names = {name for row in rows if isinstance(row, dict) for name in row}
    missing = [name for name in ("image", *_FIELDS) if name not in names]
    if missing:
        raise DataError(
            f"{source} has no field {missing[0]!r}; a seed example has the fields image, "
            f"{', '.join(_FIELDS)} (here: {', '.join(sorted(names)) or 'none'})."
        )
    root = image_folder(source, config.image_root, base)
    check_images([value for row in rows if (value := _image_value(row))], root, source)
    return _outcomes(rows, config, root, store, source.name)


def seeds_identity(
    config: SeedConfig, *, base: Path, cache_dir: Path, rehash: bool = False
) -> dict[str, JSON]:
    """Return what decides the output of `read_seeds`: the rows and the pictures they name, in any order.

    Args:
        cache_dir: where hashes of image files are kept. rehash: read every image anew.

    Raises:
        DataError: as `read_seeds`.
    """
    source = base / config.source
    root = image_folder(source, config.image_root, base)
    parts = []
    for row in islice(read_rows(source), config.limit):
        digest, value = "", _image_value(row)
        if value and "\0" not in value and not is_url(value):
            path = image_path(value, root)
            if path is not None and path.is_file():
                digest = cached_sha256(path, cache_dir, rehash=rehash)
        told = repr(row) if isinstance(row, BrokenRow) else json.dumps(row, sort_keys=True, default=repr)
        parts.append(content_id(digest, told))
    return {"source": source.name, "rows": content_id(*sorted(parts)), "n_rows": len(parts)}


def _image_value(row: RawRow) -> str | None:
    value = row.get("image") if isinstance(row, dict) else None
    return value if isinstance(value, str) and value else None


def _outcomes(
    rows: list[RawRow], config: SeedConfig, root: Path, store: ImageStore, source: str
) -> Iterator[SeedExample | Rejection]:
    def load(row: RawRow) -> tuple[RawRow, ImageRef | Problem]:
        problem = _text_problem(row)
        if problem is not None:
            return row, problem
        return row, load_image(_image_value(row) or "", root, store, config.images)

    seen: Counter[str] = Counter()
    for row, image in in_order(load, rows, config.workers):
        if isinstance(row, dict) and isinstance(image, ImageRef):
            texts = [row[name].strip() for name in _FIELDS]
            caption, instruction, informative, precise = texts
            seed_id = content_id("seed", image.sha256, *texts)
            seen[seed_id] += 1
            if seen[seed_id] == 1:
                yield SeedExample(seed_id, image, caption, instruction, informative, precise, source)
            else:
                detail = f"the same image and texts as example {seed_id}"
                yield Rejection(f"{seed_id}/{seen[seed_id]}", "ingest", "duplicate_pair", detail)
        elif not isinstance(image, ImageRef):
            rejected_id = row_id(row)
            seen[rejected_id] += 1
            copy = "" if seen[rejected_id] == 1 else f"/{seen[rejected_id]}"
            own_id = row.get("id") if isinstance(row, dict) else None
            reason, detail = image
            yield Rejection(
                rejected_id + copy,
                "ingest",
                reason,
                f"row {str(own_id)[:80]}: {detail}" if own_id else detail,
            )


def _text_problem(row: RawRow) -> Problem | None:
    """Return why the row cannot be used, as far as its text says."""
    if isinstance(row, BrokenRow):
        return "bad_row", row.detail
    if not _image_value(row):
        return "missing_image_field", "the row names no image"
    for name in _FIELDS:
        value = row.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return ("empty_caption" if name == "caption" else "empty_field"), f"{name} is missing or empty"
        if not isinstance(value, str):
            return "bad_row", f"{name} is no text"
        if any("\ud800" <= character <= "\udfff" for character in value):
            return "bad_row", f"{name} holds half of a surrogate pair, which is no character"
    return None
