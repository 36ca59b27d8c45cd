"""From a row's image field to an image in the store, or the reason why not."""

import os.path
import re
from pathlib import Path

from acclimate.errors import DataError
from acclimate.files import BadImage, ImageMode, ImageStore
from acclimate.records import ImageRef

_URL = re.compile(r"^([a-z][a-z0-9+.-]*://|data:)", re.IGNORECASE)
_DOWNLOAD = "download the images first and write their paths into the file"


def is_url(value: object) -> bool:
    """Return whether an image field holds a URL rather than a path."""
    return isinstance(value, str) and bool(_URL.match(value))


def image_folder(source: Path, image_root: str, base: Path) -> Path:
    """Return the folder that image paths start from: as the recipe says, else the data file's own.

    Raises:
        DataError: it does not exist.
    """
    root = base / image_root if image_root else source.parent
    if not root.is_dir():
        raise DataError(
            f"The image folder {root} does not exist; set `image_root` to the folder that the image paths in "
            f"{source.name} start from (a relative one counts from {base})."
        )
    return root


def image_path(value: str, root: Path) -> Path | None:
    """Return the file that a row's path means, or None where it leads out of the root.

    Only the path's text is judged: links that the user made inside the root are followed.
    """
    inside = Path(os.path.normpath(root.absolute() / value))
    return inside if inside.is_relative_to(os.path.normpath(root.absolute())) else None


def load_image(
    value: str | bytes, root: Path, store: ImageStore, mode: ImageMode
) -> ImageRef | tuple[str, str]:
    """Return the stored image, or reason and detail of its rejection."""
    if isinstance(value, bytes):
        try:
            return store.add(value)
        except BadImage as error:
            return error.reason, error.detail
    if is_url(value):
        return "image_is_url", f"{value[:120]}; {_DOWNLOAD}"
    path = image_path(value, root)
    if path is None or "\0" in value:
        return "outside_root", f"{value[:120]} leads out of the image folder; paths must stay inside it"
    if not path.is_file():
        return "missing_file", value[:120]
    try:
        return store.add_file(path, mode)
    except BadImage as error:
        # Never the resolved path: a rejection is the same on every machine.
        return error.reason, f"{value[:120]}: {error.detail.removeprefix(f'{path}: ')}"


def check_images(values: list[str | bytes], root: Path, source: Path) -> None:
    """Refuse a source of which no image could be read at all, in one sentence instead of many rejections.

    Raises:
        DataError: every image is a URL, or not one of the files exists.
    """
    paths = [each for each in values if isinstance(each, str)]
    if len(paths) < len(values):
        return
    if all(is_url(each) for each in paths):
        raise DataError(
            f"Every image in {source} is a URL (the first: {paths[0][:120]}). Nothing is downloaded here: "
            f"{_DOWNLOAD}."
        )
    for each in paths:
        path = None if is_url(each) or "\0" in each else image_path(each, root)
        if path is None or path.is_file():
            return
    raise DataError(
        f"None of the {len(paths)} images that {source} names is in {root} (the first: {paths[0][:120]}). "
        "Set `image_root` to the folder that these paths start from."
    )
