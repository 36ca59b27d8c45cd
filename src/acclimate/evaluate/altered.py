"""Pictures made from a picture: uniform ones, noise, its own pixels in another order, corrupted ones.

Whatever is drawn comes from SHAKE-256 of a key, so the pixels are the same on every machine and with every
version of every library; the key holds the picture's content hash, so one picture is altered in one way
however many questions ask about it.

Sources:
    Uniform grey: arXiv 2603.03437. Permuted patches as a test of what a model needs from a picture: Naseer et
    al. 2021, section 3.3. The rest is our own rule.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from acclimate.evaluate.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from acclimate.evaluate.corruptions import VERSION as CORRUPTIONS_VERSION
from acclimate.files import ImageStore
from acclimate.records import ImageRef

Pixels: TypeAlias = npt.NDArray[np.uint8]
GREY = 128
"""Of 255. A uniform grey picture is the published blank condition (arXiv 2603.03437)."""
PATCH_PX = 16
VERSION = f"1/{CORRUPTIONS_VERSION}"
"""Rises when the same picture, condition and key come to give other pixels."""


@dataclass(frozen=True, slots=True)
class Source:
    """The picture to be altered."""

    sha256: str
    """Of its encoded bytes."""
    width_px: int
    height_px: int
    open: Callable[[], Image.Image]
    """Decodes it, upright and in RGB; called only where its pixels matter."""


Maker: TypeAlias = Callable[[Source, str], Image.Image]
"""Makes a picture of the source's size; the key decides what is drawn."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """One way to make a picture from a picture: a value in `ALTERATIONS`."""

    make: Maker
    is_drawn: bool = True
    """Whether another key gives another picture, so that there are replicates."""
    is_by_size: bool = False
    """Whether the size alone decides the picture."""
    level: int = 1
    """Of the packing, 0 (none, as for pixels that cannot be packed) to 9."""


def uniform(level: int) -> Maker:
    """Return what makes a picture of one grey level, 0 (black) to 255 (white)."""
    return lambda source, _: Image.new("RGB", (source.width_px, source.height_px), (level,) * 3)


def mean_colour(source: Source, _: str) -> Image.Image:
    """Return a picture of the source's own mean colour (mean of each channel, rounded)."""
    pixels = _pixels(source)
    red, green, blue = (round(float(value)) for value in pixels.reshape(-1, 3).mean(axis=0))
    return Image.new("RGB", (pixels.shape[1], pixels.shape[0]), (red, green, blue))


def noise(source: Source, key: str) -> Image.Image:
    """Return uniform noise: every channel of every pixel 0 to 255, independent of the source's pixels."""
    shape = (source.height_px, source.width_px, 3)
    drawn = hashlib.shake_256(key.encode()).digest(shape[0] * shape[1] * 3)
    return Image.fromarray(np.frombuffer(drawn, dtype=np.uint8).reshape(shape))


def pixel_shuffle(source: Source, key: str) -> Image.Image:
    """Return the source's own pixels in another order."""
    pixels = _pixels(source)
    flat = pixels.reshape(-1, 3)
    return Image.fromarray(flat[_order(len(flat), key)].reshape(pixels.shape))


def patch_shuffle(source: Source, key: str) -> Image.Image:
    """Return the source's own 16 by 16 patches in another order.

    Where its sides are no multiples of 16, the narrower patches at the right and lower edges change places
    among themselves, and the corner stays. A picture with a side below 32 pixels gets patches of half that
    side.
    """
    pixels = _pixels(source)
    height, width = pixels.shape[:2]
    side = max(1, min(PATCH_PX, min(height, width) // 2))
    out = pixels.copy()
    rows, columns = height - height % side, width - width % side
    _permute(out[:rows, :columns], (side, side), f"{key}/whole")
    _permute(out[:rows, columns:], (side, width - columns), f"{key}/right")
    _permute(out[rows:, :columns], (height - rows, side), f"{key}/lower")
    return Image.fromarray(out)


def _permute(area: Pixels, size: tuple[int, int], key: str) -> None:
    """Exchange the patches of an area in place; its sides are multiples of theirs."""
    if 0 in area.shape:
        return
    height, width = size
    n_down, n_across = area.shape[0] // height, area.shape[1] // width
    patches = area.reshape(n_down, height, n_across, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
    moved = patches[_order(len(patches), key)].reshape(n_down, n_across, height, width, 3)
    area[:] = moved.swapaxes(1, 2).reshape(area.shape)


def _order(n: int, key: str) -> npt.NDArray[np.intp]:
    """Return a drawn order of n things that is not the one they are in, where there is another."""
    for attempt in range(64):
        drawn = hashlib.shake_256(f"{key}/{attempt}".encode()).digest(8 * n)
        order: npt.NDArray[np.intp] = np.argsort(np.frombuffer(drawn, dtype="<u8"), kind="stable")
        if n < 2 or (order != np.arange(n)).any():
            break
    return order


def _pixels(source: Source) -> Pixels:
    return np.asarray(source.open().convert("RGB"), dtype=np.uint8)


def altered_png(alteration: Alteration, source: Source, key: str) -> bytes:
    """Return the altered picture as PNG, which keeps every pixel."""
    out = io.BytesIO()
    alteration.make(source, key).save(out, "PNG", compress_level=alteration.level)
    return out.getvalue()


class Made:
    """Which pictures a store already holds, by what they were made from, so that no run makes one twice.

    One line each in `altered/CONDITION.jsonl` beside the store's pictures. A torn line is none.
    """

    def __init__(self, store: ImageStore, condition: str) -> None:
        """Read what earlier runs have made under a condition."""
        self._store = store
        self._path = store.root / "altered" / f"{condition}.jsonl"
        self._refs: dict[str, ImageRef] = {}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        for line in lines:
            try:
                row = json.loads(line)
                key = row.pop("key")
                self._refs[key] = ImageRef(**row)
            except (ValueError, TypeError, LookupError):
                continue

    def get(self, key: str) -> ImageRef | None:
        """Return the picture made with this key, if the store still holds it."""
        ref = self._refs.get(key)
        return ref if ref is not None and self._store.locate(ref) is not None else None

    def keep(self, key: str, ref: ImageRef) -> None:
        """Remember a picture that the store now holds."""
        self._refs[key] = ref
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, **asdict(ref)}) + "\n"
        # One write in append mode: lines of several processes never mix.
        with self._path.open("ab", buffering=0) as handle:
            handle.write(line.encode())


def corrupted(name: str, severity: int) -> Maker:
    """Return what corrupts a picture; the same in every run, whatever the seed."""
    return lambda source, _: corrupt(source.open(), name, severity, source.sha256)


OWN: Mapping[str, Alteration] = {
    "blank": Alteration(uniform(GREY), is_drawn=False, is_by_size=True, level=6),
    "blank_black": Alteration(uniform(0), is_drawn=False, is_by_size=True, level=6),
    "blank_white": Alteration(uniform(255), is_drawn=False, is_by_size=True, level=6),
    "blank_mean": Alteration(mean_colour, is_drawn=False),
    "noise": Alteration(noise, level=0),
    "patch_shuffle": Alteration(patch_shuffle),
    "pixel_shuffle": Alteration(pixel_shuffle),
}
"""By the condition's name, without the corruptions."""
ALTERATIONS: Mapping[str, Alteration] = {
    **OWN,
    **{
        f"{name}_{severity}": Alteration(corrupted(name, severity), is_drawn=False)
        for name in CORRUPTIONS
        for severity in SEVERITIES
    },
}
"""By the condition's name; of corruptions it ends in the severity (`fog_3`)."""
