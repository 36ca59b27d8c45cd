"""Ready-made conversations beside the composed ones: which of them a training sees (pure)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from acclimate.compose.general import drawn
from acclimate.records import Conversation, Rejection

ROOM = "compose"


@dataclass(frozen=True, slots=True)
class Replay:
    """How many conversations of one source are used."""

    ratio: float
    """At most so many per other conversation of the same stage."""
    seed: int


def mixed(
    composed: Sequence[Conversation], ready: Sequence[Conversation], replays: Mapping[str, Replay]
) -> Iterator[Conversation | Rejection]:
    """Yield the conversations that are trained on, and a rejection `not_drawn` for each one left out.

    A replayed conversation's place in the order of choice depends on its id and the seed alone; how many are
    used depends on how many others there are, which is what a ratio means. Others are the composed ones and
    the ready-made ones without a ratio.

    Args:
        ready: their first source is the name of where they come from.
        replays: by that name; a name that is missing is used whole.
    """
    by_name: dict[str, list[Conversation]] = {name: [] for name in replays}
    others = list(composed)
    for each in ready:
        by_name.get(each.sources[0], others).append(each)
    yield from others
    n_by_stage = Counter(each.stage for each in others)
    for name, conversations in by_name.items():
        replay = replays[name]
        for stage in sorted({each.stage for each in conversations}):
            same = [each for each in conversations if each.stage == stage]
            used = drawn(same, replay.ratio, n_by_stage[stage], replay.seed)
            yield from (each for each in same if each.id in used)
            detail = f"{name}: {replay.ratio:g} per other conversation of stage {stage}"
            yield from (Rejection(each.id, ROOM, "not_drawn", detail) for each in same if each.id not in used)
