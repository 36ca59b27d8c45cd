"""What is shown beside each question: its own picture, another question's, one made from it, or none.

All else is the same to the byte: prompt, decoding, longest reply.

    original                 its own picture
    mismatch                 another question's picture (see `donors`), and with other donors
    mismatch_within_stratum, mismatch_cross_stratum, mismatch_contrast
    blank                    uniform grey of the same size; blank_black, blank_white, blank_mean alike
    noise, patch_shuffle, pixel_shuffle   see `altered`
    fog_3, ...               its own picture under a corruption and severity, see `corruptions`
    text_only                no picture at all: no image tokens; never replaced by a blank one

Several corruptions are written in one word, NAME_SEVERITY, or NAME for all five severities, where NAME is a
corruption or one of `GROUPS`: `fog` is fog_1 to fog_5, `corruptions_3` all 19 at severity 3, `corruptions:15`
the 15 of ImageNet-C at all severities. `expanded` writes them out before anything else sees them.

`mismatch.1`, `mismatch.2`, ... are replicates: the same with other donors, or another draw. `original.1` asks
the same again, which shows how much answers change for no reason. Every condition covers all items but
`mismatch_contrast`, which covers those with a donor; which these are depends on the items alone, so it is the
same set for all models, seeds and replicates.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from acclimate.errors import BenchmarkError
from acclimate.evaluate.altered import ALTERATIONS, OWN, VERSION, Made, Source, altered_png
from acclimate.evaluate.corruptions import CORRUPTIONS, EXTRA, IMAGENET_C, SEVERITIES
from acclimate.evaluate.donors import Policy, contrast_ids, donor_by_id
from acclimate.files import ImageStore
from acclimate.records import ImageRef, Item

ORIGINAL = "original"
TEXT_ONLY = "text_only"
CONTRAST = "mismatch_contrast"
POLICIES: Mapping[str, Policy] = {
    "mismatch": "within_benchmark",
    "mismatch_within_stratum": "within_stratum",
    "mismatch_cross_stratum": "cross_stratum",
    CONTRAST: "contrast",
}
"""The donor policy of every condition that shows another question's picture."""
CONDITIONS: tuple[str, ...] = (ORIGINAL, *POLICIES, *ALTERATIONS, TEXT_ONLY)
"""Every condition's name, without replicates."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "corruptions": CORRUPTIONS,
    "corruptions:15": IMAGENET_C,
    "corruptions:noise": IMAGENET_C[:3],
    "corruptions:blur": IMAGENET_C[3:7],
    "corruptions:weather": IMAGENET_C[7:11],
    "corruptions:digital": IMAGENET_C[11:],
    "corruptions:extra": EXTRA,
}
"""Corruptions that are named together; the four families are those of the 15 in arXiv 1903.12261."""
SHORTHAND: Mapping[str, tuple[str, ...]] = {
    **{
        name: tuple(f"{each}_{severity}" for each in members for severity in SEVERITIES)
        for name, members in (*GROUPS.items(), *((name, (name,)) for name in CORRUPTIONS))
    },
    **{
        f"{name}_{severity}": tuple(f"{each}_{severity}" for each in members)
        for name, members in GROUPS.items()
        for severity in SEVERITIES
    },
}
"""Conditions by the word that stands for several of them."""
KNOWN = (
    f"{', '.join((ORIGINAL, *POLICIES, *OWN, TEXT_ONLY))}, and NAME_1 to NAME_5, or NAME for all five, of "
    f"the corruptions {', '.join(CORRUPTIONS)} and their groups {', '.join(GROUPS)}"
)
"""The same for people."""
ItemKey: TypeAlias = tuple[str, str]
"""A benchmark's name and an item's id in it."""
Shown: TypeAlias = dict[ItemKey, ImageRef | None]


def parted(condition: str) -> tuple[str, int]:
    """Return a condition's name and its replicate, which is 0 for the first: `mismatch.2` is the third."""
    name, _, replicate = condition.partition(".")
    return (name, int(replicate)) if replicate.isdecimal() else (condition, 0)


def is_corruption(condition: str) -> bool:
    """Return whether a condition shows the item's own picture under a corruption, such as `fog_3`."""
    return condition.rpartition("_")[0] in CORRUPTIONS and condition in ALTERATIONS


def expanded(texts: Iterable[str]) -> tuple[str, ...]:
    """Return conditions with every word for several of them written out, each once, in order of coming.

    What is no such word stays as it is, so that `condition_named` can say what is wrong with it.
    """
    return tuple(dict.fromkeys(each for text in texts for each in SHORTHAND.get(text, (text,))))


def condition_named(text: str) -> str:
    """Return the text if it names a condition.

    Raises:
        ValueError: it does not; the nearest one that does is named. Or the condition has no replicates.
    """
    name, dot, replicate = text.partition(".")
    if name not in CONDITIONS:
        near = difflib.get_close_matches(name, (*CONDITIONS, *SHORTHAND), n=1, cutoff=0.4)
        nearest = f"; the nearest known one is {near[0]!r}" if near else f"; known: {KNOWN}"
        raise ValueError(f"unknown condition {text!r}{nearest}")
    if not dot:
        return text
    is_number = replicate.isascii() and replicate.isdigit() and not replicate.startswith("0")
    if not is_number or not has_replicates(name):
        raise ValueError(
            f"unknown condition {text!r}; replicates are counted from 1 ('mismatch.1'), and there are some "
            f"of {', '.join(filter(has_replicates, CONDITIONS))}"
        )
    return text


def unknown_conditions(texts: Iterable[str]) -> list[str]:
    """Return what is wrong with each text that names no condition."""
    found = []
    for text in texts:
        try:
            condition_named(text)
        except ValueError as error:
            found.append(str(error))
    return found


Condition: TypeAlias = Annotated[str, AfterValidator(condition_named)]
"""A condition's name, with its replicate where it is not the first."""


def has_replicates(name: str) -> bool:
    """Return whether a condition may be asked several times, with other draws or to see answers change."""
    return name == ORIGINAL or name in POLICIES or (name in ALTERATIONS and ALTERATIONS[name].is_drawn)


def exchanges_pictures(conditions: Iterable[str]) -> bool:
    """Return whether some condition shows another question's picture."""
    return any(parted(condition)[0] in POLICIES for condition in conditions)


def covers_all(condition: str) -> bool:
    """Return whether every item is asked under a condition, whatever the items are."""
    return parted(condition)[0] != CONTRAST


def covered_items(items: Sequence[Item], condition: str) -> frozenset[ItemKey]:
    """Return the items that are asked under a condition; it depends on them alone."""
    if covers_all(condition):
        return frozenset((item.benchmark, item.id) for item in items)
    return frozenset(
        (benchmark, item_id)
        for benchmark, by_id in _by_benchmark(items).items()
        for item_id in contrast_ids(by_id.values())
    )


def left_out(items: Sequence[Item], conditions: Iterable[str]) -> Mapping[str, Mapping[str, int]]:
    """Return how many items of each benchmark each condition leaves out, of the conditions that may."""
    found: dict[str, Mapping[str, int]] = {}
    for condition in dict.fromkeys(conditions):
        if covers_all(condition):
            continue
        covered = covered_items(items, condition)
        n_by_benchmark: dict[str, int] = defaultdict(int)
        for item in items:
            n_by_benchmark[item.benchmark] += (item.benchmark, item.id) not in covered
        found[condition] = dict(n_by_benchmark)
    return found


def n_questions(items: Sequence[Item], conditions: Iterable[str]) -> int:
    """Return how many questions are asked under these conditions together."""
    return sum(len(covered_items(items, each)) for each in dict.fromkeys(conditions))


def check_conditions(items: Sequence[Item], conditions: Iterable[str], *, seed: int) -> None:
    """Find out, before anything is made or asked, that a condition is impossible.

    Raises:
        BenchmarkError: as for `shown_images`.
    """
    for condition in dict.fromkeys(conditions):
        name, replicate = parted(condition)
        if name in POLICIES:
            _exchanged(items, name, replicate, seed)


def shown_images(
    items: Sequence[Item], condition: Condition, *, seed: int, store: ImageStore
) -> Mapping[ItemKey, ImageRef | None]:
    """Return the picture that each item is shown under a condition; items without a picture stay without.

    Items that the condition does not cover (see `covered_items`) are not in the answer.

    Args:
        items: of any number of benchmarks.
        condition: as `condition_named` takes it.
        seed: of donors and drawn pixels.
        store: gives the pictures that others are made from, and takes the new ones.

    Raises:
        BenchmarkError: no such condition, or it is impossible for one of the benchmarks.
    """
    try:
        name, replicate = parted(condition_named(condition))
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    if name == TEXT_ONLY:
        return {(item.benchmark, item.id): None for item in items}
    if name in POLICIES:
        return _exchanged(items, name, replicate, seed)
    if name in ALTERATIONS:
        return _altered(items, condition, seed, store)
    return {(item.benchmark, item.id): item.image for item in items}


def _by_benchmark(items: Iterable[Item]) -> Mapping[str, Mapping[str, Item]]:
    by_benchmark: dict[str, dict[str, Item]] = defaultdict(dict)
    for item in items:
        by_benchmark[item.benchmark][item.id] = item
    return by_benchmark


def _exchanged(items: Sequence[Item], name: str, replicate: int, seed: int) -> Shown:
    shown: Shown = {}
    for benchmark, by_id in _by_benchmark(items).items():
        with_picture = [item for item in by_id.values() if item.image is not None]
        donors = donor_by_id(with_picture, seed, policy=POLICIES[name], replicate=replicate)
        shown |= {(benchmark, item_id): by_id[donor].image for item_id, donor in donors.items()}
        if name != CONTRAST:
            shown |= {(benchmark, item.id): None for item in by_id.values() if item.image is None}
    if items and not shown:
        raise BenchmarkError(
            "no two questions have the same text, other right answers and other pictures, so "
            "`mismatch_contrast` has nothing to show; leave it out of evaluate.conditions"
        )
    return shown


def _altered(items: Sequence[Item], condition: str, seed: int, store: ImageStore) -> Shown:
    alteration = ALTERATIONS[parted(condition)[0]]
    made = Made(store, condition)
    start = f"{seed}/{condition}" if alteration.is_drawn else condition

    def of(image: ImageRef) -> ImageRef:
        size = (image.width_px, image.height_px)
        same = "x".join(map(str, size)) if alteration.is_by_size else image.sha256
        key = f"{start}/{same}"
        known = made.get(f"{VERSION}/{key}")
        if known is not None:
            return known
        source = Source(image.sha256, *size, partial(store.open, image))
        ref = store.add(altered_png(alteration, source, key))
        made.keep(f"{VERSION}/{key}", ref)
        return ref

    return {(item.benchmark, item.id): item.image and of(item.image) for item in items}
