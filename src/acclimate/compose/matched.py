"""Makes two sets of conversations comparable: as many of them, on the same pictures, about as long. Pure.

Used where models that learned from different texts are compared, so that amount and pictures are not the
difference. Nothing is written or shortened: conversations are only left out.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from acclimate.records import Conversation, Rejection

ROOM = "compose"
NO_PARTNER = "no_partner"
NO_PICTURE_LEFT = "no_picture_left"
_Groups = Mapping[tuple[str, ...], list[Conversation]]


@dataclass(frozen=True, slots=True)
class Matched:
    """Two sets of equal size, in their given order, and what was left out of each."""

    first: tuple[Conversation, ...]
    second: tuple[Conversation, ...]
    first_left_out: tuple[Rejection, ...]
    """`no_partner`: the other side has fewer conversations on that picture; `no_picture_left`: it has fewer
    pictures. Likewise below."""
    second_left_out: tuple[Rejection, ...]
    n_shared_pictures: int
    """Pictures on which both sides have conversations; the others are paired with another picture's."""


def trained_length(conversation: Conversation) -> int:
    """Return how much text is learned, in characters: what stands for tokens, which differ by model."""
    return sum(len(turn.text) for turn in conversation.turns if turn.trained)


def matched(first: Sequence[Conversation], second: Sequence[Conversation], *, seed: int = 0) -> Matched:
    """Return the largest parts of two sets that have a partner each, one to one.

    A conversation's partner is on the same picture where the other side has any on it; of these, partners
    are chosen so that the sum of differences in trained length is least. What is left of the pictures is
    paired, those with the most conversations first, equal ones by a hash of the seed and the picture. So the
    result does not depend on the order of either side. Source: our own rule.

    Args:
        first: ids are unique.
        second: likewise.
        seed: another one pairs pictures that are not shared in another way.
    """
    own, other = _by_picture(first), _by_picture(second)
    shared = sorted(own.keys() & other.keys())
    apart = zip(_in_turn(own, shared, seed), _in_turn(other, shared, seed), strict=False)
    kept: set[str] = set()
    partnered: set[str] = set()
    used: list[set[tuple[str, ...]]] = [set(), set()]
    for key, partner in [*((key, key) for key in shared), *apart]:
        used[0].add(key)
        used[1].add(partner)
        for one, two in _pairs(own[key], other[partner]):
            kept.add(one.id)
            partnered.add(two.id)
    return Matched(
        tuple(each for each in first if each.id in kept),
        tuple(each for each in second if each.id in partnered),
        tuple(_left_out(first, kept, used[0])),
        tuple(_left_out(second, partnered, used[1])),
        len(shared),
    )


def _by_picture(conversations: Sequence[Conversation]) -> _Groups:
    found: dict[tuple[str, ...], list[Conversation]] = defaultdict(list)
    for each in sorted(conversations, key=lambda one: one.id):
        found[tuple(image.sha256 for image in each.images)].append(each)
    return found


def _in_turn(groups: _Groups, besides: Sequence[tuple[str, ...]], seed: int) -> list[tuple[str, ...]]:
    def order(key: tuple[str, ...]) -> tuple[int, str]:
        digest = hashlib.sha256(f"{seed}/matched/{'/'.join(key)}".encode()).hexdigest()
        return -len(groups[key]), digest

    return sorted(groups.keys() - set(besides), key=order)


def _pairs(
    own: Sequence[Conversation], other: Sequence[Conversation]
) -> Iterator[tuple[Conversation, Conversation]]:
    lengths = [np.array([trained_length(each) for each in side]) for side in (own, other)]
    rows, columns = linear_sum_assignment(np.abs(lengths[0][:, None] - lengths[1][None, :]))
    for row, column in zip(rows, columns, strict=True):
        yield own[row], other[column]


def _left_out(
    conversations: Sequence[Conversation], kept: set[str], used: set[tuple[str, ...]]
) -> Iterator[Rejection]:
    for each in conversations:
        if each.id not in kept:
            has_picture = tuple(image.sha256 for image in each.images) in used
            yield Rejection(each.id, ROOM, NO_PARTNER if has_picture else NO_PICTURE_LEFT)
