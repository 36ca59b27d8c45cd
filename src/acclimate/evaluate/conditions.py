"""What is shown beside each question: its own picture, another question's, or a grey one of the same size."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from acclimate.evaluate.donors import donor_by_id
from acclimate.files import ImageStore, blank_png
from acclimate.records import ImageRef, Item

Condition = Literal["original", "mismatch", "blank"]
ORIGINAL: Condition = "original"
ItemKey = tuple[str, str]
"""A benchmark's name and an item's id in it."""

GREY = 128
"""Of 255. A uniform grey picture is the published blank condition (arXiv 2603.03437)."""


def shown_images(
    items: Sequence[Item], condition: Condition, *, seed: int, store: ImageStore
) -> Mapping[ItemKey, ImageRef | None]:
    """Return the picture that each item is shown under a condition; items without a picture stay without.

    Raises:
        BenchmarkError: `mismatch` is impossible for one of the benchmarks.
    """
    makers: Mapping[Condition, Callable[[], Mapping[ItemKey, ImageRef | None]]] = {
        "original": lambda: {(item.benchmark, item.id): item.image for item in items},
        "mismatch": lambda: _mismatched(items, seed),
        "blank": lambda: _blanked(items, store),
    }
    return makers[condition]()


def _mismatched(items: Sequence[Item], seed: int) -> Mapping[ItemKey, ImageRef | None]:
    by_benchmark: dict[str, dict[str, Item]] = defaultdict(dict)
    for item in items:
        by_benchmark[item.benchmark][item.id] = item
    shown: dict[ItemKey, ImageRef | None] = {}
    for benchmark, by_id in by_benchmark.items():
        donors = donor_by_id((item for item in by_id.values() if item.image is not None), seed)
        shown |= {
            (benchmark, item_id): by_id[donors[item_id]].image if item_id in donors else None
            for item_id in by_id
        }
    return shown


def _blanked(items: Sequence[Item], store: ImageStore) -> Mapping[ItemKey, ImageRef | None]:
    by_size: dict[tuple[int, int], ImageRef] = {}
    shown: dict[ItemKey, ImageRef | None] = {}
    for item in items:
        if item.image is None:
            shown[item.benchmark, item.id] = None
            continue
        size = (item.image.width_px, item.image.height_px)
        if size not in by_size:
            by_size[size] = store.add(blank_png(*size, GREY))
        shown[item.benchmark, item.id] = by_size[size]
    return shown
