"""Weather: snow, frost, fog, brightness, and spatter of water or mud.

Source: Hendrycks and Dietterich 2019 (arXiv 1903.12261); constants as published with ImageNet-C,
for pixels of 0 to 1. Frost is drawn, not photographed, and the light on water drops is our own: see
docs/robustness.md.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import correlate1d, distance_transform_edt

from acclimate.evaluate.corruptions_exact import (
    BELL_ONE,
    Draws,
    Floats,
    Pixels,
    dragged,
    plasma,
    smooth,
    to_pixels,
)

SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""Mean and deviation of the flakes' field, its zoom, its threshold; radius and deviation of the fall; how
much of the picture's own colour is left."""
FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Shares of the picture and of the frost."""
FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""Share of the fog, decay of its fractal."""
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
SPATTER = (
    (0.65, 0.3, 4.0, 0.69, 0.6, False),
    (0.65, 0.3, 3.0, 0.68, 0.6, False),
    (0.65, 0.3, 2.0, 0.68, 0.5, False),
    (0.65, 0.3, 1.0, 0.65, 1.5, True),
    (0.67, 0.4, 1.0, 0.65, 1.5, True),
)
"""Mean, deviation and smoothing of the liquid's field, its threshold; water's strength, or mud's smoothing;
whether it is mud."""
WATER = (175.0, 238.0, 238.0)
MUD = (63.0, 42.0, 20.0)
MUD_THRESHOLD = 0.8
FURTHEST = 20.0
"""Pixels from a drop's rim after which the light changes no more."""

FROST_TINTS = ((102, 115, 127), (153, 163, 173), (112, 158, 173), (204, 207, 212), (212, 214, 219))
"""Mean colours of our five frosts; together those of the photographs in `imagecorruptions`, which were
measured on a black picture: (0.62, 0.67, 0.71), each deviating 0.10 inside."""
FROST_DEVIATION = 25.5
FROST_SIZE = 1024


def brightness(pixels: Pixels, severity: int) -> Pixels:
    """Raise the value in HSV: every colour is multiplied as its highest channel is raised."""
    table = _brightness_table(BRIGHTNESS[severity - 1])
    top = pixels.max(axis=2).astype(np.intp)
    raised: Pixels = table.take((top << 8)[..., None] | pixels)
    return raised


@lru_cache(maxsize=8)
def _brightness_table(raised: float) -> Pixels:
    """Return the new level, by the pixel's highest channel * 256 + the level."""
    top, level = np.arange(256.0)[:, None], np.arange(256.0)
    value = np.minimum(top + 255 * raised, 255)
    # Black has no colour: all of its channels rise.
    table = to_pixels(np.where(top > 0, level * value / np.maximum(top, 1), value))
    return np.ravel(table)


def fog(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Add a plasma fractal and darken until the brightest white is what it was."""
    share, decay = FOG[severity - 1]
    height, width = pixels.shape[:2]
    size = 1 << (max(height, width, 2) - 1).bit_length()
    brightest = int(pixels.max()) / 255
    haze = plasma(size, decay, draws)[:height, :width] * (255 * share)
    return to_pixels((pixels + haze[..., None]) * (brightest / (brightest + share)))


def snow(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Whiten the picture and let flakes fall through it, twice: once upright and once upside down."""
    mean, deviation, zoom, threshold, radius, fall, own = SNOW[severity - 1]
    field = _zoomed(draws, pixels.shape[:2], zoom) * (deviation / BELL_ONE) + mean
    flakes = to_pixels(np.where(field < threshold, 0, field) * 255)
    fallen = dragged(flakes, int(radius), fall, draws.below(90_001) / 1000 - 135)
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    grey = 299 * red + 587 * green + 114 * blue
    pale = (grey * 1.5 / 1000 + 127.5)[..., None]
    whitened = pixels * own + np.maximum(pixels, pale) * (1 - own)
    both = fallen.astype(np.float64) + fallen[::-1, ::-1]
    return to_pixels(whitened + both[..., None])


def _zoomed(draws: Draws, shape: tuple[int, ...], zoom: float) -> Floats:
    """Return a field of normal numbers stretched to a shape, linear between them."""
    cuts = [max(int(np.ceil(size / zoom)), 1) for size in shape]
    field: Floats = draws.bells(*cuts).astype(np.float64)
    for axis, (size, cut) in enumerate(zip(shape, cuts, strict=True)):
        places = np.arange(size) * ((cut - 1) / max(size - 1, 1))
        first = np.floor(places).astype(np.intp)
        part = (places - first)[:, None] if axis == 0 else places - first
        low = field.take(first, axis)
        high = field.take(np.minimum(first + 1, cut - 1), axis)
        field = low + (high - low) * part
    return field


def frost(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Lay a random cut of a frost over the picture; where the picture is larger, the frost is enlarged."""
    own, share = FROST[severity - 1]
    texture = _frost_texture(draws.below(len(FROST_TINTS)))
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest > FROST_SIZE:
        cut = (width * FROST_SIZE // longest or 1, height * FROST_SIZE // longest or 1)
    else:
        cut = (width, height)
    left, top = (draws.below(FROST_SIZE - size + 1) for size in cut)
    ice = texture.crop((left, top, left + cut[0], top + cut[1]))
    if cut != (width, height):
        ice = ice.resize((width, height), Image.Resampling.BILINEAR)
    return to_pixels(pixels * own + np.asarray(ice) * share)


@lru_cache(maxsize=len(FROST_TINTS))
def _frost_texture(at: int) -> Image.Image:
    """Return one of the frosts: ferns of ice over a plasma fractal, in a tint of its own."""
    draws = Draws("acclimate", "frost texture", at)
    ferns = Image.new("L", (FROST_SIZE, FROST_SIZE))
    pen = ImageDraw.Draw(ferns)
    for _ in range(1500):
        _draw_fern(pen, draws)
    soft = smooth(np.asarray(ferns), (0.7, 0.7), 3.0, "wrap")
    relief = np.rint(plasma(FROST_SIZE, 1.4, draws) * 4096 + soft * 8).astype(np.int64)
    # Whole numbers: their sums do not depend on the order.
    mean = int(relief.sum()) / relief.size
    spread = int((relief * relief).sum()) / relief.size - mean * mean
    shade = (relief - mean) * (FROST_DEVIATION / np.sqrt(spread))
    return Image.fromarray(to_pixels(shade[..., None] + np.array(FROST_TINTS[at], np.float64)))


def _draw_fern(pen: ImageDraw.ImageDraw, draws: Draws) -> None:
    """Draw a stem with branches that shorten towards its tip, 60 degrees to either side."""
    x, y, turn = draws.below(FROST_SIZE), draws.below(FROST_SIZE), draws.below(360)
    length, light = 20 + draws.below(60), 60 + draws.below(196)
    tip = _ahead(x, y, turn, length)
    pen.line([(x, y), tip], fill=light)
    for along in range(4, length, 4):
        foot = _ahead(x, y, turn, along)
        for side in (60, -60):
            pen.line([foot, _ahead(*foot, turn + side, (length - along) // 3)], fill=light)


def _ahead(x: int, y: int, turn: int, length: int) -> tuple[int, int]:
    across, down = _directions()[turn % 360]
    return x + across * length // 4096, y + down * length // 4096


@lru_cache(maxsize=1)
def _directions() -> list[tuple[int, int]]:
    """Return the unit vector of every degree, in units of 1/4096."""
    angles = np.radians(np.arange(360))
    vectors = np.rint(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 4096)
    return [(int(across), int(down)) for across, down in vectors]


def spatter(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Throw water (severities 1 to 3) or mud (4 and 5) on the lens."""
    mean, deviation, smoothing, threshold, strength, is_mud = SPATTER[severity - 1]
    bells = draws.bells(*pixels.shape[:2])
    liquid = smooth(bells, (smoothing, smoothing), 4.0, "nearest") * (deviation / BELL_ONE) + mean
    if is_mud:
        return _muddied(pixels, liquid > threshold, strength)
    return _wetted(pixels, np.where(liquid < threshold, 0, liquid), strength)


def _muddied(pixels: Pixels, splashes: npt.NDArray[np.bool_], smoothing: float) -> Pixels:
    cover = smooth(splashes, (smoothing, smoothing), 4.0, "nearest")
    cover[cover < MUD_THRESHOLD] = 0
    return to_pixels(pixels * (1 - cover)[..., None] + cover[..., None] * np.array(MUD))


def _wetted(pixels: Pixels, liquid: Floats, strength: float) -> Pixels:
    """Add light to drops: more the thicker they are and the further from a rim, most on the lower right.

    How far counts as a rank among all of the picture's pixels, so the light has the same spread whether drops
    are many or few.
    """
    rims = _rims(liquid > 0)
    if not rims.any():
        return pixels.copy()
    # Whole sixteenths of a pixel, so that sums are exact.
    away = np.floor(np.minimum(distance_transform_edt(~rims), FURTHEST) * 16)
    levels = (_box(away) // (9 * 16)).astype(np.intp)
    n_levels = np.bincount(levels.ravel())
    n_nearest = int(n_levels[n_levels > 0][0])
    ranks = np.rint(255 * (np.cumsum(n_levels) - n_nearest) / max(levels.size - n_nearest, 1))
    height = np.pad(ranks[levels], 1, mode="reflect")
    light = height[1:-1, 1:-1] + 2 * (height[2:, 2:] - height[:-2, :-2])
    light += height[2:, 1:-1] + height[1:-1, 2:] - height[:-2, 1:-1] - height[1:-1, :-2]
    glint: Floats = liquid * _box(np.clip(light, 0, 255))
    highest = glint.max()
    if highest <= 0:
        return pixels.copy()
    return to_pixels(pixels + (glint * (strength / highest))[..., None] * np.array(WATER))


def _rims(wet: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the wet pixels that have a dry one above, below or beside them; the border is no rim."""
    framed = np.pad(wet, 1, mode="edge")
    surrounded = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return wet & ~surrounded


def _box(values: Floats) -> Floats:
    """Return the sums over three by three pixels."""
    for axis in (0, 1):
        values = correlate1d(values, np.ones(3), axis=axis, mode="mirror")
    return values
