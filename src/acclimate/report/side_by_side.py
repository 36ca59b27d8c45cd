"""Joins items, predictions and scores into the answers that a report shows side by side. Pure.

The sample is drawn by item, from the seed and its id alone, so that a run of any size is read once and only
the answers that may be shown are kept.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acclimate.records import ImageRef, Item, Prediction, Score
from acclimate.report.inputs import Answer, Reply

_Key = tuple[str, str, str]
"""Benchmark, item, condition."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A sample of answers, and what was drawn from."""

    answers: tuple[Answer, ...]
    """In the order of the items; conditions in the order of the predictions."""
    n_answers: int
    """Questions with their conditions in the whole run."""
    images: Mapping[str, ImageRef]
    """The pictures shown, by `Answer.picture`."""


def side_by_side(
    items: Sequence[Item],
    predictions: Iterable[Prediction],
    scores: Iterable[Score],
    primary: Mapping[str, str],
    *,
    n_most: int,
    seed: int,
) -> SideBySide:
    """Return a sample of answers with the primary scorer's marks.

    Args:
        items: of all benchmarks.
        predictions: of all models and conditions; those without a mark are left out.
        scores: of every scorer.
        primary: each benchmark's primary scorer.
        n_most: so many items are drawn, with all their conditions; the pages cut what is too much.
        seed: as `ReportConfig.seed`, which the pages draw by.
    """
    ranked = sorted(items, key=lambda item: place(seed, item.benchmark, item.id))
    drawn = {(item.benchmark, item.id) for item in ranked[:n_most]}
    marks = {
        (each.benchmark, each.item_id, each.condition, each.model): each
        for each in scores
        if (each.benchmark, each.item_id) in drawn and each.scorer == primary.get(each.benchmark)
    }
    seen: set[_Key] = set()
    replies: dict[_Key, dict[str, Reply]] = {}
    images: dict[_Key, ImageRef | None] = {}
    for each in predictions:
        key = (each.benchmark, each.item_id, each.condition)
        seen.add(key)
        mark = marks.get((*key, each.model))
        if mark is not None:
            replies.setdefault(key, {})[each.model] = Reply(each.text, mark.value, mark.parsed)
            images.setdefault(key, each.image)
    by_item: dict[tuple[str, str], list[str]] = {}
    for benchmark, item_id, condition in replies:
        by_item.setdefault((benchmark, item_id), []).append(condition)
    answers = tuple(
        _answer(item, condition, replies[key], images[key])
        for item in items
        for condition in by_item.get((item.benchmark, item.id), ())
        for key in [(item.benchmark, item.id, condition)]
    )
    shown = {ref.sha256: ref for ref in images.values() if ref is not None}
    return SideBySide(answers, len(seen), shown)


def place(seed: int, benchmark: str, item_id: str) -> str:
    """Return where an item stands in the draw; hexadecimal, so that texts compare as numbers would."""
    text = f"{seed}\n{benchmark}\n{item_id}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _answer(item: Item, condition: str, replies: Mapping[str, Reply], image: ImageRef | None) -> Answer:
    return Answer(
        item.id,
        item.benchmark,
        condition,
        item.question,
        " / ".join(dict.fromkeys(item.gold)),
        replies,
        "" if image is None else image.sha256,
    )
