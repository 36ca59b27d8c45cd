"""Chooses whose picture every question is shown in the mismatch condition. Pure: items in, ids out.

Definition: `acc_real_minus_mismatch/v1`, donors `within_benchmark`: the pictures of one benchmark are dealt
out again among its questions so that no question gets a picture with its own content or from its own
cluster. Each picture is shown as often as before. The map depends on the seed, the benchmark's name and its
items, never on a model or on the order of the items.

Source: Zafar, Krishna Murali and Vashist 2026 (arXiv 2603.03437) for "a random other image from the same
data set"; the rest, from the derangement on content to the clusters, is our own rule.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from acclimate.errors import BenchmarkError
from acclimate.records import Item

DONOR_POLICY = "within_benchmark"


def donor_by_id(items: Iterable[Item], seed: int) -> Mapping[str, str]:
    """Return, for each item of one benchmark, the id of the item whose picture it is shown.

    Args:
        items: those of one benchmark that have a picture; ids are unique.
        seed: another seed gives another map.

    Raises:
        BenchmarkError: more than half of the questions share one picture or cluster, so that no such
            map exists. Pictures and clusters are taken together: two clusters that share a picture count
            as one.
    """
    every = sorted(items, key=lambda item: item.id)
    if not every:
        return {}
    benchmark = every[0].benchmark
    order = _dealt(_groups(every), f"{seed}/{benchmark}")
    largest = max(map(len, order))
    dealt = [item.id for group in order for item in group]
    if largest > len(dealt) - largest:
        raise BenchmarkError(
            f"benchmark {benchmark}: {largest} of its {len(dealt)} questions share one picture or cluster, "
            "so not every question can be shown another one's picture; use more questions (a higher "
            "--limit), or leave `mismatch` out of evaluate.conditions"
        )
    # Groups lie side by side, so a shift of at least the largest group's size, and of at most the rest's,
    # takes every position out of its own group.
    shift = random.Random(f"{seed}/{benchmark}/shift").randint(largest, len(dealt) - largest)
    return {item_id: dealt[(at + shift) % len(dealt)] for at, item_id in enumerate(dealt)}


def _groups(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items in groups that share a picture or a cluster, directly or through others."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for item in items:
        parent[root(f"image {_picture(item)}")] = root(f"cluster {item.cluster}")
    grouped: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        grouped[root(f"cluster {item.cluster}")].append(item)
    return list(grouped.values())


def _picture(item: Item) -> str:
    if item.image is None:
        raise BenchmarkError(f"benchmark {item.benchmark}: item {item.id} has no picture to exchange")
    return item.image.sha256


def _dealt(groups: Iterable[Sequence[Item]], key: str) -> list[list[Item]]:
    """Return groups and items in an order drawn by their content."""

    def drawn(name: str) -> str:
        return hashlib.sha256(f"{key}/{name}".encode()).hexdigest()

    inside = [sorted(group, key=lambda item: drawn(f"item {item.id}")) for group in groups]
    return sorted(inside, key=lambda group: drawn("group " + min(map(_picture, group))))
