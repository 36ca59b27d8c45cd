"""Noise: of a sensor, of few photons, of dead pixels, and growing with the light.

Source: Hendrycks and Dietterich 2019 (arXiv 1903.12261); constants as published with ImageNet-C,
for pixels of 0 to 1.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from acclimate.evaluate.corruptions_exact import BELL_ONE, ONE, Draws, Floats, Pixels, bell_table

GAUSSIAN_DEVIATION = (0.08, 0.12, 0.18, 0.26, 0.38)
SHOT_PHOTONS = (60, 25, 12, 5, 3)
"""Expected of a white pixel."""
IMPULSE_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)
SPECKLE_DEVIATION = (0.15, 0.2, 0.35, 0.45, 0.6)


def gaussian_noise(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Add normal noise to every channel of every pixel."""
    table = _gaussian_table(GAUSSIAN_DEVIATION[severity - 1])
    noisy = pixels + table[draws.words(*pixels.shape)]
    clipped: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return clipped


def shot_noise(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Replace every channel by a Poisson count about it."""
    counts = _poisson_table(SHOT_PHOTONS[severity - 1])
    index = pixels.astype(np.intp)
    index <<= 16
    index |= draws.words(*pixels.shape)
    return counts.take(index)


def impulse_noise(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Set a share of the channel values to black or white, each as often."""
    half = round(IMPULSE_SHARE[severity - 1] * ONE / 2)
    words = draws.words(*pixels.shape)
    noisy = pixels.copy()
    noisy[words < half] = 0
    noisy[words >= ONE - half] = 255
    return noisy


def speckle_noise(pixels: Pixels, severity: int, draws: Draws) -> Pixels:
    """Add normal noise in proportion to the light."""
    scale = SPECKLE_DEVIATION[severity - 1] * (ONE / BELL_ONE)
    table: npt.NDArray[np.int32] = np.rint(bell_table() * scale).astype(np.int32)
    noise = table[draws.words(*pixels.shape)]
    noise *= pixels
    noise += ONE // 2
    noise >>= 16
    noise += pixels
    return np.clip(noise, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _gaussian_table(deviation: float) -> npt.NDArray[np.int16]:
    """Return the noise of every word. Pixels are whole, so it may be rounded before it is added."""
    table: npt.NDArray[np.int16] = np.rint(bell_table() * (255 * deviation / BELL_ONE)).astype(np.int16)
    return table


@lru_cache(maxsize=8)
def _poisson_table(photons: int) -> Pixels:
    """Return the level that each of 256 levels becomes for each word, level * 65,536 + word: 16 MiB."""
    table = np.empty((256, ONE), np.uint8)
    levels = np.minimum(np.rint(np.arange(8 * photons + 64) * (255 / photons)), 255).astype(np.uint8)
    for level in range(256):
        shares = np.rint(_poisson_shares(level * photons / 255, len(levels)) * ONE).astype(np.intp)
        n_words = np.diff(shares, prepend=0, append=ONE)
        table[level] = np.repeat(np.append(levels, 255), n_words)
    return table.ravel()


def _poisson_shares(mean: float, n: int) -> Floats:
    """Return the shares of counts of at most 0, 1, ... n - 1."""
    factors = np.empty(n)
    factors[0] = np.exp(-mean)
    factors[1:] = mean / np.arange(1, n)
    return np.minimum(np.cumsum(np.cumprod(factors)), 1.0)
