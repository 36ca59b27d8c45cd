"""General data beside the domain's: what it is, and how much of it is taken (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.records import Conversation, ImageCaption, JudgedTriplet, content_id


@dataclass(frozen=True, slots=True)
class GeneralData:
    """Pairs of no particular domain with their judged tasks, for instance the seed data after the filter."""

    pairs: Sequence[ImageCaption]
    """Only their pictures are used: general captions are part of no arm."""
    judged: Sequence[JudgedTriplet]


def drawn(conversations: Sequence[Conversation], ratio: float | None, n_pairs: int, seed: int) -> set[str]:
    """Return the ids of the general conversations that are used: the first ones in an order by content.

    A conversation's place in that order depends on its own id and the seed alone. How many are used depends
    on how many domain pairs there are; that is what a ratio means, so one pair less takes its share of
    conversations from the end of the order and changes no other. Our own rule.

    Args:
        ratio: general conversations per domain pair; None uses all. More than there are cannot be had: none
            is told twice.
        n_pairs: domain pairs in the mixture.
    """
    ids = [each.id for each in conversations]
    if ratio is None:
        return set(ids)
    ids.sort(key=lambda each: content_id(str(seed), "general", each))
    return set(ids[: int(ratio * n_pairs + 0.5)])
