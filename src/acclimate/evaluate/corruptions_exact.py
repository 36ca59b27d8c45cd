"""What the corruptions compute with: seeded draws and filters that give the same numbers on every machine.

Three habits keep the bytes equal. Random numbers are 16-bit words of a bit generator's raw stream, which
NumPy keeps fixed, turned into distributions by tables of whole numbers. Filters have whole weights that sum
to 65,536 and are applied to whole numbers, so that every sum is exact in whatever order, by whatever vector
unit or transform it is taken. Everything else is elementwise +, -, *, / and sqrt, which IEEE 754 fixes to the
bit, and is rounded at the end. Where `exp`, `sin` and the like make a table, the table is rounded to whole
numbers: a library whose last bit differs changes nothing unless a value lies within 1e-12 of a tie.
"""

import hashlib
import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import correlate1d
from scipy.special import ndtri

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Height by width by red, green and blue."""
Floats: TypeAlias = npt.NDArray[np.float64]
Wholes: TypeAlias = npt.NDArray[np.int64]

ONE = 1 << 16
"""What the weights of a filter sum to, and how many values a word has."""
BELL_ONE = 1 << 12
"""A standard deviation of `Draws.bells`."""


class Draws:
    """The random numbers of one corrupted picture."""

    def __init__(self, key: str, name: str, severity: int) -> None:
        """Seed by the picture's content hash, the corruption and its severity."""
        digest = hashlib.sha256(f"{key}/{name}/{severity}".encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest, "big"))

    def words(self, *shape: int) -> npt.NDArray[np.uint16]:
        """Return whole numbers, uniform from 0 to 65,535."""
        n = math.prod(shape)
        raw = self._bits.random_raw(-(-n // 4)).astype("<u8", copy=False)
        return raw.view("<u2")[:n].astype(np.uint16, copy=False).reshape(shape)

    def below(self, n: int) -> int:
        """Return one whole number from 0 to n - 1, n being far below 2**64."""
        return int(self._bits.random_raw(1)[0]) * n >> 64

    def bells(self, *shape: int) -> npt.NDArray[np.int16]:
        """Return standard normal numbers in units of 1/4096, cut off at 4.3 standard deviations."""
        drawn: npt.NDArray[np.int16] = bell_table()[self.words(*shape)]
        return drawn


@lru_cache(maxsize=1)
def bell_table() -> npt.NDArray[np.int16]:
    """Return the normal quantile of every word, in units of 1/4096."""
    quantiles: Floats = ndtri((np.arange(ONE) + 0.5) / ONE)
    table: npt.NDArray[np.int16] = np.rint(quantiles * BELL_ONE).astype(np.int16)
    return table


def to_pixels(values: npt.NDArray[np.floating]) -> Pixels:
    """Round to the nearest level of 0 to 255."""
    levels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


def whole_weights(weights: Floats, middle: int | None = None) -> Floats:
    """Return weights as whole numbers that sum to 65,536.

    Args:
        middle: where what rounding leaves over goes, by default to the middle one of an odd number.
    """
    whole: Floats = np.rint(weights * (ONE / math.fsum(weights.ravel())))
    whole.flat[whole.size // 2 if middle is None else middle] += ONE - whole.sum()
    return whole


def bell_weights(sigma: float, radius: int) -> Floats:
    """Return a Gaussian's whole weights from -radius to radius."""
    return whole_weights(np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2))


def smooth(values: npt.NDArray[np.generic], sigmas: tuple[float, float], cut: float, mode: str) -> Floats:
    """Return whole numbers below 2**20 under a Gaussian over rows and columns.

    Args:
        values: height by width, or height by width by channels.
        sigmas: down and across, in pixels.
        cut: standard deviations after which the Gaussian ends.
        mode: SciPy's name of how the border goes on.
    """
    smoothed = values.astype(np.float64)
    for axis, sigma in enumerate(sigmas):
        radius = int(cut * sigma + 0.5)
        if radius:
            weights = bell_weights(sigma, radius)
            smoothed = correlate1d(smoothed, weights, axis=axis, mode=mode) / ONE
    return smoothed


def filtered(pixels: Pixels, weights: Floats) -> Floats:
    """Return the picture under a filter of whole weights, its border mirrored about the outermost pixels.

    The transform's errors are about 1e-8; the sums it stands for are whole, so rounding gives them exactly.
    """
    height, width, _ = pixels.shape
    down, across = (n // 2 for n in weights.shape)
    padded = np.pad(pixels, ((down, down), (across, across), (0, 0)), mode="reflect")
    shape = tuple(fft.next_fast_len(n, real=True) for n in padded.shape[:2])
    # The transform of a filter that is its own mirror image about both axes; others would need turning.
    spectrum = fft.rfft2(weights, shape)
    found = np.empty(pixels.shape)
    for channel in range(3):
        product = fft.rfft2(padded[..., channel].astype(np.float64), shape) * spectrum
        whole = fft.irfft2(product, shape)[2 * down : 2 * down + height, 2 * across : 2 * across + width]
        found[..., channel] = np.rint(whole)
    return found / ONE


def dragged(pixels: npt.NDArray[np.uint8], radius: int, sigma: float, degrees: float) -> Pixels:
    """Return a picture (any number of axes after the first two) smeared to one side along a line.

    Weights are half a Gaussian over 2 * radius + 1 steps of one pixel, each step rounded to a pixel; the
    outermost pixels go on beyond the border.
    """
    steps = np.arange(2 * radius + 1)
    weights = whole_weights(np.exp(-0.5 * (steps / sigma) ** 2), 0)
    angle = math.radians(degrees)
    shifts: dict[tuple[int, int], float] = {}
    for step, weight in zip(steps.tolist(), weights.tolist(), strict=True):
        at = (round(step * math.sin(angle)), round(step * math.cos(angle)))
        shifts[at] = shifts.get(at, 0.0) + weight
    height, width = pixels.shape[:2]
    high = max(abs(down) for down, _ in shifts)
    wide = max(abs(across) for _, across in shifts)
    edges = ((high, high), (wide, wide), *((0, 0),) * (pixels.ndim - 2))
    padded = np.pad(pixels, edges, mode="edge")
    # Every sum is a whole number below 2**24, so 32 bits hold it exactly.
    smeared = np.zeros(pixels.shape, np.float32)
    for (down, across), weight in shifts.items():
        if weight:
            part = padded[high + down : high + down + height, wide + across : wide + across + width]
            smeared += part * np.float32(weight)
    return to_pixels(smeared / np.float32(ONE))


def plasma(size: int, decay: float, draws: Draws) -> Floats:
    """Return a plasma fractal on a torus, size by size, from 0 to 1: diamonds and squares in turn.

    Args:
        size: a power of two.
        decay: the amplitude falls by its square from each halving of the grid to the next.
    """
    field = np.zeros((size, size))
    step, reach = size, 1.0
    while step > 1:
        half = step // 2
        corners = field[::step, ::step].copy()
        shape = corners.shape
        pairs = corners + np.roll(corners, -1, 0)
        centres = (pairs + np.roll(pairs, -1, 1)) / 4 + _shaken(draws, shape, reach)
        beside = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        below = centres + np.roll(centres, 1, 1) + pairs
        field[half::step, half::step] = centres
        field[::step, half::step] = beside / 4 + _shaken(draws, shape, reach)
        field[half::step, ::step] = below / 4 + _shaken(draws, shape, reach)
        step, reach = half, reach / (decay * decay)
    field -= field.min()
    highest = field.max()
    return field / highest if highest > 0 else field


def _shaken(draws: Draws, shape: tuple[int, ...], reach: float) -> Floats:
    words: Floats = draws.words(*shape).astype(np.float64)
    return (words - (ONE - 1) / 2) * (reach / (ONE / 2))
