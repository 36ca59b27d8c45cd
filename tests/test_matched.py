"""Equal shares of two sets of conversations."""

import random
from collections import Counter

import pytest

from acclimate.compose.matched import NO_PARTNER, NO_PICTURE_LEFT, matched, trained_length
from acclimate.records import Conversation, ImageRef, Turn


def told(name, picture, length, *, asked=10):
    images = () if picture is None else (ImageRef(f"{picture:064d}", 8, 8, "image/png"),)
    turns = (Turn("user", "q" * asked, trained=False), Turn("assistant", "a" * length, trained=True))
    return Conversation(name, images, turns, 1, (name,))


def ids(conversations):
    return [each.id for each in conversations]


def test_every_id_is_kept_or_left_out_once_and_the_sides_are_equally_many():
    rng = random.Random(3)
    first = [told(f"s{n}", rng.randrange(20), rng.randrange(5, 80)) for n in range(70)]
    second = [told(f"a{n}", rng.randrange(10, 40), rng.randrange(5, 80)) for n in range(90)]
    found = matched(first, second, seed=1)
    assert len(found.first) == len(found.second) > 0
    for side, kept, left in (
        (first, found.first, found.first_left_out),
        (second, found.second, found.second_left_out),
    ):
        assert Counter([*ids(kept), *(each.id for each in left)]) == Counter(ids(side))
        assert ids(kept) == [each.id for each in side if each.id in set(ids(kept))]  # in their given order
    shown = [{each.images[0].sha256 for each in side} for side in (found.first, found.second)]
    assert len(shown[0]) == len(shown[1])


def test_partners_on_a_shared_picture_are_those_of_nearest_length():
    first = [told("s1", 1, 30), told("s2", 1, 100)]
    second = [told("a1", 1, 10), told("a2", 1, 33), told("a3", 1, 60), told("a4", 1, 90)]
    found = matched(first, second)
    assert ids(found.second) == ["a2", "a4"]
    assert [(each.id, each.reason) for each in found.second_left_out] == [
        ("a1", NO_PARTNER),
        ("a3", NO_PARTNER),
    ]
    assert found.n_shared_pictures == 1
    assert sum(map(trained_length, found.second)) == 123


def test_untrained_text_has_no_length():
    assert trained_length(told("s", 1, 7, asked=500)) == 7


def test_pictures_that_are_not_shared_are_paired_the_richest_first():
    first = [told("s1", 1, 9), told("s2", 1, 9), told("s3", 2, 9)]
    second = [told("a1", 7, 9), told("a2", 8, 9), told("a3", 8, 9), told("a4", 9, 9)]
    found = matched(first, second)
    assert ids(found.first) == ["s1", "s2", "s3"]
    assert {"a2", "a3"} < set(ids(found.second))
    left = {each.id: each.reason for each in found.second_left_out}
    assert len(left) == 1 and set(left.values()) == {NO_PICTURE_LEFT} and set(left) < {"a1", "a4"}


def test_the_result_does_not_depend_on_order_but_on_the_seed():
    rng = random.Random(5)
    first = [told(f"s{n}", n, 10 + n) for n in range(12)]
    second = [told(f"a{n}", 100 + n, 10 + n) for n in range(30)]
    found = matched(first, second, seed=0)
    mixed = matched(rng.sample(first, 12), rng.sample(second, 30), seed=0)
    assert set(ids(found.second)) == set(ids(mixed.second))
    assert set(ids(found.second)) != set(ids(matched(first, second, seed=1).second))


def test_conversations_without_a_picture_are_partners_of_each_other():
    found = matched([told("s1", None, 5), told("s2", 1, 5)], [told("a1", None, 5), told("a2", 1, 5)])
    assert found.n_shared_pictures == 2 and len(found.first) == 2


@pytest.mark.parametrize("empty", [0, 1])
def test_nothing_on_one_side_leaves_nothing(empty):
    sides = [[told("x", 1, 5)], [told("y", 1, 5)]]
    sides[empty] = []
    found = matched(*sides)
    assert not found.first and not found.second
    left = [*found.first_left_out, *found.second_left_out]
    assert [each.reason for each in left] == [NO_PICTURE_LEFT]
