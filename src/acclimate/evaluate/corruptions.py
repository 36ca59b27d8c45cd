"""Pictures made worse on purpose: the 15 corruptions of ImageNet-C and its 4 extra ones, severities 1 to 5.

Source: Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (arXiv 1903.12261), with the constants published with ImageNet-C. docs/robustness.md describes
each one and where it differs from the package `imagecorruptions`.

The same picture, name and severity give the same pixels in every run: randomness comes from the picture's
content hash alone.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from acclimate.evaluate import corruptions_blur as blur
from acclimate.evaluate import corruptions_digital as digital
from acclimate.evaluate import corruptions_noise as noise
from acclimate.evaluate import corruptions_weather as weather
from acclimate.evaluate.corruptions_exact import Draws, Pixels

VERSION = 1
"""Rises when the same picture, name and severity come to give other pixels."""
SEVERITIES = (1, 2, 3, 4, 5)

PLAIN: Mapping[str, Callable[[Pixels, int], Pixels]] = {
    "defocus_blur": blur.defocus_blur,
    "zoom_blur": blur.zoom_blur,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "gaussian_blur": blur.gaussian_blur,
    "saturate": digital.saturate,
}
"""Those without randomness."""
RANDOM: Mapping[str, Callable[[Pixels, int, Draws], Pixels]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "elastic_transform": digital.elastic_transform,
    "speckle_noise": noise.speckle_noise,
    "spatter": weather.spatter,
}
"""Those that draw."""

IMAGENET_C = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 of the benchmark, in its order."""
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The 4 that the paper keeps for validation."""
CORRUPTIONS = IMAGENET_C + EXTRA


def corrupt(image: Image.Image, name: str, severity: int, key: str) -> Image.Image:
    """Return the picture under a corruption, in RGB and of the same size.

    Args:
        image: in RGB, as `ImageStore.open` returns it.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        key: the picture's content hash; another key gives other noise.

    Raises:
        ValueError: the name or severity is unknown, or the picture is not in RGB.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"{name!r} is no known corruption; known are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"{severity!r} is no known severity; known are {', '.join(map(str, SEVERITIES))}")
    if image.mode != "RGB":
        raise ValueError(f"the picture is in {image.mode}, not in RGB; open it by `ImageStore.open`")
    pixels = np.asarray(image)
    if name in PLAIN:
        return Image.fromarray(PLAIN[name](pixels, severity))
    return Image.fromarray(RANDOM[name](pixels, severity, Draws(key, name, severity)))


def corrupted_png(image: Image.Image, name: str, severity: int, key: str) -> bytes:
    """Return `corrupt`'s picture as PNG.

    Pixels are the same everywhere; the bytes are so only where Pillow has the same zlib, for another one may
    pack the same pixels otherwise.
    """
    stored = io.BytesIO()
    corrupt(image, name, severity, key).save(stored, "PNG", compress_level=6)
    return stored.getvalue()
