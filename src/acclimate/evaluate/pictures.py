"""Pictures for other programs: bytes that any decoder turns into the pixels that our engine sees."""

import io

from PIL import Image

from acclimate.files import ImageStore
from acclimate.records import ImageRef

_ORIENTATION_TAG = 0x0112
"""Source: Exif 2.32."""


def plain_picture(store: ImageStore, ref: ImageRef) -> bytes:
    """Return an image's encoded bytes, upright and in 8-bit RGB or grey.

    The image's own bytes where they are that already; else a PNG of what `ImageStore.open` decodes: alpha
    over white, 16 bits scaled to 8, turned as EXIF says. Other programs differ in all of these.

    Raises:
        DataError: the image is gone or has changed.
    """
    data = store.read(ref)
    with Image.open(io.BytesIO(data)) as image:
        is_plain = (
            image.format in ("PNG", "JPEG")
            and image.mode in ("RGB", "L")
            and "transparency" not in image.info
            and image.getexif().get(_ORIENTATION_TAG, 1) == 1
        )
    return data if is_plain else png(store.open(ref))


def png(image: Image.Image) -> bytes:
    """Return a picture as PNG, written fast rather than small; its pixels are kept."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
