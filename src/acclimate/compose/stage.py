"""The door of compose: pairs and judged triplets become the conversations that are trained on."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from acclimate.compose.tasks import caption_comes_first, caption_turns, task_turns
from acclimate.errors import DataError
from acclimate.records import (
    Conversation,
    ImageCaption,
    ImageRef,
    JudgedTriplet,
    Label,
    Rejection,
    content_id,
)

VERSION = 1
ROOM = "compose"


class ComposeConfig(BaseModel):
    """What goes into the mixture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: tuple[Label, ...] = ("consistent",)
    """Verdicts whose triplets are used."""
    mixture: Literal["single_stage", "captions_only", "tasks_only"] = "single_stage"
    """`single_stage`: caption task and synthetic task in one conversation."""
    pictures: Literal["own", "shuffled"] = "own"
    """`shuffled` gives every pair another pair's picture: a control that shows what the texts alone teach."""
    seed: int = 0


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


def compose(
    pairs: Iterable[ImageCaption], judged: Iterable[JudgedTriplet], config: ComposeConfig
) -> Iterator[Conversation | Rejection]:
    """Yield one conversation per pair and kept triplet, and one rejection per triplet that is not kept.

    A pair with no kept triplet keeps its caption task; with `tasks_only` it is rejected as
    `no_kept_task`. The caption task joins the pair's first triplet (by id); further ones stand alone.
    Rejections of triplets: `judged_consistent`, `judged_inconsistent`, `judged_open` (as far as the verdict
    is not kept), `not_in_mixture`, `pair_missing`.

    Raises:
        DataError: pictures are to be shuffled and there is only one.
    """
    by_pair: dict[str, list[JudgedTriplet]] = {}
    for triplet in judged:
        if config.mixture == "captions_only":
            yield Rejection(triplet.id, ROOM, "not_in_mixture")
        elif triplet.label not in config.keep:
            yield Rejection(triplet.id, ROOM, f"judged_{triplet.label}", triplet.instruction)
        else:
            by_pair.setdefault(triplet.pair_id, []).append(triplet)
    pairs = list(pairs)
    if config.pictures == "shuffled":
        stand_ins = _shuffled(pairs, config.seed)
        pairs = [replace(pair, image=stand_ins[pair.id]) for pair in pairs]
    for pair in pairs:
        yield from _of_pair(pair, sorted(by_pair.pop(pair.id, []), key=lambda each: each.id), config)
    for orphans in by_pair.values():
        for triplet in orphans:
            yield Rejection(triplet.id, ROOM, "pair_missing", triplet.pair_id)


def _of_pair(
    pair: ImageCaption, kept: list[JudgedTriplet], config: ComposeConfig
) -> Iterator[Conversation | Rejection]:
    with_caption = config.mixture != "tasks_only"
    if not kept and not with_caption:
        yield Rejection(pair.id, ROOM, "no_kept_task")
        return
    caption = caption_turns(pair, config.seed) if with_caption else ()
    for index, triplet in enumerate(kept or [None]):
        task = task_turns(triplet, config.seed) if triplet else ()
        parts = (caption, task) if caption_comes_first(pair.id, config.seed) else (task, caption)
        turns = sum(parts, ()) if index == 0 else task
        sources = (pair.id, *([triplet.id] if triplet else []))
        yield Conversation(content_id("conversation", *sources), (pair.image,), turns, 1, sources)
