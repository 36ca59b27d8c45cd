"""Contrast, saturation, elastic deformation, big pixels and JPEG.

Source: Hendrycks and Dietterich 2019 (arXiv 1903.12261); constants as published with ImageNet-C,
those of the elastic deformation as in the package `imagecorruptions`, which scales it to the picture.
"""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from acclimate.evaluate.corruptions_exact import ONE, Draws, Floats, Pixels, smooth, to_pixels

CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
SATURATION = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))
"""What the saturation of 0 to 1 is multiplied by, and what is added."""
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)
JPEG_QUALITY = (25, 18, 15, 10, 7)
ELASTIC_GAIN = (12.5, 16.25, 21.25, 25.0, 30.0)
ELASTIC_REACH = 0.005
"""Of the height: a shift before it is smoothed and multiplied by the gain."""
ELASTIC_DEVIATION = 0.01
"""Of the height and of the width: the smoothing Gaussian's."""
_BAND = 256
"""Rows that are deformed at a time."""
_FRACTION = 256
"""Parts of a pixel that an elastic shift is rounded to."""


def contrast(pixels: Pixels, severity: int) -> Pixels:
    """Draw every channel towards its mean over the picture."""
    factor = CONTRAST[severity - 1]
    n = pixels.shape[0] * pixels.shape[1]
    drawn = np.empty_like(pixels)
    for channel in range(3):
        mean = int(pixels[..., channel].sum(dtype=np.int64)) / n
        table = to_pixels((np.arange(256) - mean) * factor + mean)
        drawn[..., channel] = table[pixels[..., channel]]
    return drawn


def saturate(pixels: Pixels, severity: int) -> Pixels:
    """Change the saturation in HSV; grey has the hue red, so what is added tints it."""
    factor, extra = SATURATION[severity - 1]
    top, bottom = pixels.max(axis=2), pixels.min(axis=2)
    # A channel's distance from the value grows with the saturation; a grey's green and blue lie a whole
    # value away.
    gains = _saturation_gains(factor, extra)[top, bottom]
    value = top.astype(np.float64)[..., None]
    distance: Floats = value - pixels
    distance[..., 1:][top == bottom] = value[top == bottom]
    return to_pixels(value - distance * gains[..., None])


def _saturation_gains(factor: float, extra: float) -> Floats:
    """Return, by highest and lowest channel, the saturation after as a multiple of the one before."""
    levels = np.arange(256.0)
    top, spread = levels[:, None], np.maximum(levels[:, None] - levels, 0)
    before = spread / np.maximum(top, 1)
    after = np.clip(before * factor + extra, 0, 1)
    gains: Floats = np.where(spread > 0, after / np.where(spread > 0, before, 1), after)
    return gains


def pixelate(pixels: Pixels, severity: int) -> Pixels:
    """Shrink by areas and enlarge by repetition."""
    height, width = pixels.shape[:2]
    share = PIXELATE[severity - 1]
    small = (max(int(width * share), 1), max(int(height * share), 1))
    shrunk = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
    return np.asarray(shrunk.resize((width, height), Image.Resampling.NEAREST))


def jpeg_compression(pixels: Pixels, severity: int) -> Pixels:
    """Store as JPEG and read again."""
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=JPEG_QUALITY[severity - 1])
    with Image.open(stored) as opened:
        return np.asarray(opened.convert("RGB"))


def elastic_transform(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Shift every pixel by a smooth random field."""
    height, width = pixels.shape[:2]
    sigmas = (ELASTIC_DEVIATION * height, ELASTIC_DEVIATION * width)
    scale = ELASTIC_REACH * height * ELASTIC_GAIN[severity - 1] * _FRACTION / (ONE / 2)
    shifts = []
    for _ in range(2):
        field = draws.words(height, width).astype(np.int32) - ONE // 2
        shift = np.rint(smooth(field, sigmas, 3.0, "reflect") * scale)
        shifts.append(shift.astype(np.int32))
    bent = np.empty_like(pixels)
    for start in range(0, height, _BAND):
        rows = slice(start, min(start + _BAND, height))
        places = np.mgrid[rows, 0:width].astype(np.int32) * _FRACTION
        bent[rows] = _sampled(pixels, places[0] + shifts[0][rows], places[1] + shifts[1][rows])
    return bent


def _sampled(pixels: Pixels, down: npt.NDArray[np.int32], across: npt.NDArray[np.int32]) -> Pixels:
    """Return the colours at places between pixels, given in parts of a pixel."""
    height, width = pixels.shape[:2]
    flat = pixels.reshape(-1, 3)
    top, left = down // _FRACTION, across // _FRACTION
    low, right = (down % _FRACTION)[..., None], (across % _FRACTION)[..., None]
    total = np.full((*down.shape, 3), _FRACTION**2 // 2, np.int32)
    for row, row_weight in ((top, _FRACTION - low), (top + 1, low)):
        starts = _mirrored(row, height) * width
        for column, column_weight in ((left, _FRACTION - right), (left + 1, right)):
            total += flat[starts + _mirrored(column, width)] * (row_weight * column_weight)
    total >>= 16
    return total.astype(np.uint8)


def _mirrored(places: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.intp]:
    """Return places inside: beyond the border the picture goes on mirrored, its outermost pixel twice."""
    turned = places.astype(np.intp) % (2 * size)
    return np.minimum(turned, 2 * size - 1 - turned)
