"""Makes pictures small enough for a page: decoded and encoded anew, so that nothing of the file is left."""

import base64
import io

from PIL import Image

from acclimate.files import BadImage, decoded, probe_image

SHOWN_MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
LONGEST_PX = 256
"""Of a thumbnail's longer side; smaller pictures keep their size."""
_JPEG_QUALITY = 80
_LOSSY = frozenset({"image/jpeg", "image/webp"})


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
        is_lossy = probe_image(data).media_type in _LOSSY
        small = decoded(data)
        small.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
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
