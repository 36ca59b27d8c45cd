"""Near-duplicate images by a perceptual hash (pure)."""

from collections import defaultdict
from collections.abc import Mapping

from PIL import Image

_N_BANDS = 4
_BAND_BITS = 16
MAX_DISTANCE = _N_BANDS - 1
"""Hashes that differ in so few bits of 64 share at least one band whole, so the index misses none."""


def gradient_hash(image: Image.Image) -> int:
    """Return 64 bits that say where brightness falls from left to right.

    Source:
        The difference hash: grey, 9 by 8 pixels, one bit for each pair of neighbours in a row.
    """
    pixels = image.convert("L").resize((9, 8), Image.Resampling.LANCZOS).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            left, right = pixels[row * 9 + column], pixels[row * 9 + column + 1]
            bits = bits << 1 | (left > right)
    return bits


def near_duplicates(hash_by_sha256: Mapping[str, int]) -> dict[str, str]:
    """Return, for each image to drop, the kept image it resembles.

    Images are taken in the order of their SHA-256, so the answer does not depend on the file's order.
    """
    kept_by_band: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    kept_instead: dict[str, str] = {}
    for sha256 in sorted(hash_by_sha256):
        bits = hash_by_sha256[sha256]
        bands = [(band, bits >> band * _BAND_BITS & (1 << _BAND_BITS) - 1) for band in range(_N_BANDS)]
        near = (
            other
            for band in bands
            for other in kept_by_band[band]
            if (hash_by_sha256[other] ^ bits).bit_count() <= MAX_DISTANCE
        )
        twin = next(near, None)
        if twin is not None:
            kept_instead[sha256] = twin
            continue
        for band in bands:
            kept_by_band[band].append(sha256)
    return kept_instead
