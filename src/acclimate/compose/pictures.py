"""Which picture a pair is shown with (pure)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from acclimate.errors import DataError
from acclimate.records import ImageCaption, ImageRef, content_id

Pictures = Literal["own", "shuffled"]


def pictured(pairs: Sequence[ImageCaption], pictures: Pictures, seed: int) -> Iterator[ImageCaption]:
    """Yield the pairs with the pictures they are to be shown with."""
    stand_ins = _shuffled(pairs, seed) if pictures == "shuffled" else {}
    for pair in pairs:
        yield replace(pair, image=stand_ins.get(pair.id, pair.image))


def _shuffled(pairs: Sequence[ImageCaption], seed: int) -> dict[str, ImageRef]:
    """Return each pair's stand-in picture: the next one in an order drawn by its content, never its own."""
    order = sorted(
        {pair.image.sha256: pair.image for pair in pairs}.items(),
        key=lambda each: content_id(str(seed), each[0]),
    )
    images = [image for _, image in order]
    if len(images) == 1:
        raise DataError(
            "`compose.pictures: shuffled` gives every pair another pair's picture, but all pairs show one "
            "and the same. Give pairs with at least two different pictures, or leave `pictures: own`."
        )
    after = {image.sha256: images[(i + 1) % len(images)] for i, image in enumerate(images)}
    return {pair.id: after[pair.image.sha256] for pair in pairs}
