"""Makes pictures small enough for a page: decoded and encoded anew, so that nothing of the file is left."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from acclimate.files import BadImage, probe_image

SHOWN_MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
LONGEST_PX = 256
"""Of a thumbnail's longer side; smaller pictures keep their size."""
_JPEG_QUALITY = 80


def data_uri(data: bytes, media_type: str) -> str:
    """Return bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def thumbnail_uri(data: bytes, media_type: str) -> str:
    """Return a picture as a small data URI, PNG or JPEG, whichever is smaller; without its metadata.

    Returns:
        An empty text where there are no bytes, the type is none of `SHOWN_MEDIA_TYPES`, or the bytes are no
        readable picture: a report of pictures that a model could not read either is still a report.
    """
    if not data or media_type not in SHOWN_MEDIA_TYPES:
        return ""
    try:
        probe_image(data)
        small, is_lossy = _small(data)
    except (BadImage, OSError, ValueError):
        return ""
    png, jpeg = io.BytesIO(), io.BytesIO()
    small.save(png, "PNG", optimize=True)
    small.save(jpeg, "JPEG", quality=_JPEG_QUALITY)
    # A lossless copy of what was lossless, where it costs little.
    slack = 1.0 if is_lossy else 1.5
    if png.tell() <= slack * jpeg.tell():
        return data_uri(png.getvalue(), "image/png")
    return data_uri(jpeg.getvalue(), "image/jpeg")


def media_type_of(data: bytes) -> str:
    """Return the media type that the bytes themselves show; empty where they are no picture."""
    try:
        return probe_image(data).media_type
    except BadImage:
        return ""


def _small(data: bytes) -> tuple[Image.Image, bool]:
    """Return the picture upright, in RGB and small, and whether its own encoding was lossy."""
    with Image.open(io.BytesIO(data)) as opened:
        is_lossy = opened.format in ("JPEG", "WEBP")
        upright = ImageOps.exif_transpose(opened)
        small = _rgb(upright)
    small.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    return small, is_lossy


def _rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB: alpha over white, deeper greys scaled to 8 bits."""
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image).astype(np.float64) / 257)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        low, high = float(values.min()), float(values.max())
        return _grey((values - low) * (255 / max(high - low, 1e-9)))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")


def _grey(values: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")
