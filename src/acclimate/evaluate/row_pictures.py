"""Puts the pictures of benchmark rows into the store, each read once however many questions it has."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path

from acclimate.evaluate.rows import BadRow
from acclimate.evaluate.tables import Embedded, EmbeddedReader
from acclimate.files import BadImage, ImageStore
from acclimate.records import ImageRef

SHORTEST_BASE64 = 256
"""Characters; a file's name is shorter."""


class RowPictures:
    """Where a benchmark's pictures are."""

    def __init__(self, root: Path, store: ImageStore) -> None:
        self._root = root.resolve()
        self._store = store
        self._known: dict[object, ImageRef | BadRow] = {}
        self._embedded = EmbeddedReader()

    def get(self, cell: object) -> ImageRef:
        """Return the picture that a cell means.

        Raises:
            BadRow: there is none, or it cannot be decoded.
        """
        found = self._found(cell)
        if isinstance(found, BadRow):
            raise BadRow(found.reason, found.detail)
        return found

    def _found(self, cell: object) -> ImageRef | BadRow:
        if isinstance(cell, Embedded):
            data = self._embedded.read(cell)
            return self._named(cell.path) if data is None else self._added(data)
        if isinstance(cell, Mapping):
            data = cell.get("bytes")
            return self._added(data) if isinstance(data, bytes) else self._named(str(cell.get("path") or ""))
        if isinstance(cell, bytes):
            return self._added(cell)
        name = "" if cell is None else str(cell).strip()
        data = _decoded(name) if len(name) >= SHORTEST_BASE64 else None
        return self._named(name) if data is None else self._added(data)

    def _named(self, name: str) -> ImageRef | BadRow:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

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


def is_empty(cell: object) -> bool:
    """Return whether a cell holds no picture."""
    if isinstance(cell, Embedded):
        return EmbeddedReader().read(cell) is None and not cell.path
    if isinstance(cell, Mapping):
        return not cell.get("bytes") and not cell.get("path")
    return cell is None or not str(cell).strip()


def picture_name(cell: object) -> str:
    """Return what tells a cell's picture from others without opening it."""
    if isinstance(cell, Embedded):
        return cell.path or f"{cell.file.name}/{cell.index}"
    if isinstance(cell, Mapping):
        return str(cell.get("path") or cell.get("bytes"))
    text = "" if cell is None else str(cell)
    return text if len(text) < SHORTEST_BASE64 else hashlib.sha256(text.encode()).hexdigest()


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
