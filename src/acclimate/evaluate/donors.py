"""Chooses whose picture every question is shown in the mismatch conditions. Pure: items in, ids out.

Definition: `acc_real_minus_mismatch/v1`. The map depends on the seed, the replicate, the benchmark's name and
its items, never on a model or on the order of the items. No question gets a picture with its own content or
from its own cluster. Which other picture, is the donor policy's:

    within_benchmark  any other; the pictures are dealt out again, each is shown as often as before
    within_stratum    one of its own stratum (its modality, its organ), dealt out within each stratum
    cross_stratum     one of another stratum, dealt out over the benchmark
    contrast          one of a question with the same text and another right answer, drawn for each question
                      alone; a question without such a donor is left out (`contrast_pairs` says what is one)

Source: Zafar, Krishna Murali and Vashist 2026 (arXiv 2603.03437) for "a random other image from the same
data set"; the rest, from the derangement on content to the clusters, is our own rule.
"""

import hashlib
import itertools
import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from acclimate.errors import BenchmarkError
from acclimate.evaluate.answers import words
from acclimate.records import Item

Policy: TypeAlias = Literal["within_benchmark", "within_stratum", "cross_stratum", "contrast"]
DONOR_POLICY: Policy = "within_benchmark"


def donor_by_id(
    items: Iterable[Item], seed: int, *, policy: Policy = DONOR_POLICY, replicate: int = 0
) -> Mapping[str, str]:
    """Return, for each item of one benchmark, the id of the item whose picture it is shown.

    Args:
        items: those of one benchmark that have a picture; ids are unique.
        seed: another seed gives another map.
        policy: whose pictures may be shown; under `contrast` items without a donor are not in the map.
        replicate: another one gives another map; 0 is the first.

    Raises:
        BenchmarkError: more than half of the questions (of one stratum, under `within_stratum`) share one
            picture, cluster or, under `cross_stratum`, stratum, so that no such map exists; or the policy
            needs strata and an item has none. Pictures and clusters are taken together: two clusters that
            share a picture count as one.
    """
    every = sorted(items, key=lambda item: item.id)
    if not every:
        return {}
    key = f"{seed}/{every[0].benchmark}" + (f"/replicate {replicate}" if replicate else "")
    if policy == "contrast":
        return _contrasted(every, f"{key}/contrast")
    if policy == "within_benchmark":
        return _deranged(_groups(every), key, every[0].benchmark)
    without = next((item.id for item in every if not item.stratum), None)
    if without is not None:
        raise BenchmarkError(
            f"benchmark {every[0].benchmark}: item {without} has no stratum, which donors {policy} go by; "
            "name the column under columns.stratum, or leave the condition out of evaluate.conditions"
        )
    if policy == "cross_stratum":
        return _deranged(_groups(every, by_stratum=True), f"{key}/cross", every[0].benchmark, "stratum")
    donors: dict[str, str] = {}
    for stratum in sorted({item.stratum for item in every}):
        own = _groups([item for item in every if item.stratum == stratum])
        donors |= _deranged(own, f"{key}/within/{stratum}", f"{every[0].benchmark}, stratum {stratum}")
    return donors


def contrast_pairs(items: Iterable[Item]) -> list[tuple[str, str]]:
    """Return the pairs of one benchmark's items that ask the same of two pictures and have other golds.

    Two items are a contrast pair when

    - their questions are the same text, but for letter case, runs of blanks and Unicode compatibility forms
      (not "the same words": an article or a comma more is another prompt, and then more has changed than
      the picture);
    - their golds differ as words (`answers.words`: no articles, no punctuation, small numbers as digits), so
      that "CT" and "ct." are no contrast; several accepted answers have none in common, and sets of labels
      (multi_label) are not equal;
    - their pictures and clusters differ.

    On SLAKE's English test questions this gives 99 questions with 3,695 pairs over 714 items.
    """
    found = []
    for group in _askings(sorted(items, key=lambda item: item.id)):
        found += [
            (one.id, other.id)
            for (one, root), (other, other_root) in itertools.combinations(group, 2)
            if root != other_root and _is_contrast(one, other)
        ]
    return found


def contrast_ids(items: Iterable[Item]) -> frozenset[str]:
    """Return the ids of one benchmark's items that have a contrast donor."""
    return frozenset(
        item.id for item, candidates in _candidates(sorted(items, key=lambda item: item.id)) if candidates
    )


def _contrasted(items: Sequence[Item], key: str) -> Mapping[str, str]:
    donors = {}
    for item, candidates in _candidates(items):
        if candidates:
            donors[item.id] = random.Random(f"{key}/{item.id}").choice(candidates)
    return donors


def _candidates(items: Sequence[Item]) -> Iterator[tuple[Item, list[str]]]:
    """Yield every item with the ids of its possible contrast donors, in order."""
    for group in _askings(items):
        for item, root in group:
            yield (
                item,
                [other.id for other, there in group if there != root and _is_contrast(item, other)],
            )


def _askings(items: Sequence[Item]) -> Iterator[list[tuple[Item, str]]]:
    """Yield the items with a picture that ask the same, each with its group's name."""
    shown = [item for item in items if item.image is not None]
    root_by_id = {item.id: group[0].id for group in _groups(shown) for item in group}
    by_question: dict[tuple[str, str], list[tuple[Item, str]]] = defaultdict(list)
    for item in shown:
        text = unicodedata.normalize("NFKC", item.question).casefold()
        by_question[item.kind, " ".join(text.split())].append((item, root_by_id[item.id]))
    yield from by_question.values()


def _is_contrast(one: Item, other: Item) -> bool:
    first, second = ({words(gold) for gold in item.gold} for item in (one, other))
    return first != second if one.kind == "multi_label" else not first & second


def _deranged(
    groups: Sequence[Sequence[Item]], key: str, where: str, shared: str = "picture or cluster"
) -> dict[str, str]:
    """Return a donor from another group for each item; every item is a donor once.

    Raises:
        BenchmarkError: one group has more than half of the items.
    """
    order = _dealt(groups, key)
    largest = max(map(len, order))
    dealt = [item.id for group in order for item in group]
    if largest > len(dealt) - largest:
        raise BenchmarkError(
            f"benchmark {where}: {largest} of its {len(dealt)} questions share one {shared}, "
            "so not every question can be shown another one's picture; use more questions (a higher "
            "--limit), or leave `mismatch` out of evaluate.conditions"
        )
    # Groups lie side by side, so a shift of at least the largest group's size, and of at most the rest's,
    # takes every position out of its own group.
    shift = random.Random(f"{key}/shift").randint(largest, len(dealt) - largest)
    return {item_id: dealt[(at + shift) % len(dealt)] for at, item_id in enumerate(dealt)}


def _groups(items: Sequence[Item], *, by_stratum: bool = False) -> list[list[Item]]:
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
        if by_stratum:
            parent[root(f"stratum {item.stratum}")] = root(f"cluster {item.cluster}")
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
