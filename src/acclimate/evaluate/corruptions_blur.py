"""Blur: out of focus, behind frosted glass, moved, zoomed, and plainly Gaussian.

Source: Hendrycks and Dietterich 2019 (arXiv 1903.12261); constants as published with ImageNet-C.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import correlate1d

from acclimate.evaluate.corruptions_exact import (
    Draws,
    Floats,
    Pixels,
    dragged,
    filtered,
    smooth,
    to_pixels,
    whole_weights,
)

DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
"""Radius of the disc, deviation of the Gaussian that softens its rim, in pixels."""
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Deviation of the Gaussian, reach of the exchange, both in pixels; rounds."""
MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""Radius, deviation, in pixels."""
ZOOM = ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11))
"""By how much a zoom grows from 1, and how many zooms there are."""
GAUSSIAN_DEVIATION = (1, 2, 3, 4, 6)
"""In pixels."""


def defocus_blur(pixels: Pixels, severity: int) -> Pixels:
    """Blur by a disc with a soft rim."""
    radius, softness = DEFOCUS[severity - 1]
    return to_pixels(filtered(pixels, _disc(radius, softness)))


def _disc(radius: int, softness: float) -> Floats:
    reach = max(radius, 8)
    along = np.arange(-reach, reach + 1)
    disc = (along[:, None] ** 2 + along**2 <= radius**2).astype(np.float64)
    rim = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    softening = np.exp(-0.5 * (rim / softness) ** 2)
    for axis in (0, 1):
        disc = correlate1d(disc, softening, axis=axis, mode="mirror")
    return whole_weights(disc)


def gaussian_blur(pixels: Pixels, severity: int) -> Pixels:
    """Blur by a Gaussian."""
    return _gaussian(pixels, GAUSSIAN_DEVIATION[severity - 1])


def _gaussian(pixels: Pixels, deviation: float) -> Pixels:
    return to_pixels(smooth(pixels, (deviation, deviation), 4.0, "nearest"))


def glass_blur(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Blur, let every pixel take the colour of one near it, several rounds, and blur again.

    A round goes from the last pixel to the first, and a pixel may take what an earlier one of the round has
    already taken. So each pixel points at another, visited before or not, and following the pointers until
    they leave the visited pixels says in a few gathers what the walk would have done pixel by pixel.
    """
    deviation, reach, rounds = GLASS[severity - 1]
    blurred = _gaussian(pixels, deviation)
    height, width = pixels.shape[:2]
    sources = np.arange(height * width)
    for _ in range(rounds):
        sources = sources[_exchange(height, width, int(reach), draws)]
    shuffled = blurred.reshape(-1, 3)[sources].reshape(pixels.shape)
    return _gaussian(shuffled, deviation)


def _exchange(height: int, width: int, reach: int, draws: Draws) -> npt.NDArray[np.intp]:
    """Return which pixel each has the colour of after one round."""
    n = height * width
    itself = np.arange(n).reshape(height, width)
    takes = itself.copy()
    # Pixels nearer to the border than the reach keep their colours; a step is one of -reach to reach - 1.
    rows = slice(reach + 1, max(height - reach + 1, reach + 1))
    columns = slice(reach + 1, max(width - reach + 1, reach + 1))
    inside = itself[rows, columns]
    if not inside.size:
        return itself.ravel()
    steps = draws.words(2, *inside.shape).astype(np.intp) * (2 * reach) >> 16
    takes[rows, columns] += (steps[0] - reach) * width + steps[1] - reach
    visited = np.zeros((height, width), bool)
    visited[rows, columns] = True
    # Node p is pixel p after its visit, node n + p what it showed before the round.
    earlier = visited.ravel()[takes] & (takes > itself)
    pointers = np.where(earlier, takes, takes + n).ravel()
    while (open_ends := pointers < n).any():
        pointers[open_ends] = pointers[pointers[open_ends]]
    return pointers - n


def motion_blur(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Smear to one side, at most 45 degrees from the horizontal."""
    radius, deviation = MOTION[severity - 1]
    return dragged(pixels, radius, deviation, draws.below(90_001) / 1000 - 45)


def zoom_blur(pixels: Pixels, severity: int) -> Pixels:
    """Average the picture with itself at growing zooms about its centre."""
    step, n = ZOOM[severity - 1]
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    total = pixels.astype(np.int32)
    for at in range(n):
        # As published, by floats: their last bits decide where a size falls on half a pixel.
        zoom = 1 + at * ((1 + step) - 1)
        down, across = (_zoom_box(size, zoom) for size in (height, width))
        box = (across[0], down[0], across[1], down[1])
        total += np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box))
    return to_pixels(total / (n + 1))


def _zoom_box(size: int, zoom: float) -> tuple[float, float]:
    """Return where a zoomed picture's edges lie in the picture, in pixels along one axis.

    A centred cut is stretched, its outermost pixels' centres to the outermost pixels' centres, and what the
    whole numbers leave over is trimmed.
    """
    cut = math.ceil(size / zoom)
    stretched = round(cut * zoom)
    scale = (cut - 1) / max(stretched - 1, 1) or 1.0
    start = (size - cut) // 2 + (stretched - size) // 2 * scale + 0.5 - scale / 2
    return max(start, 0.0), min(start + size * scale, float(size))
