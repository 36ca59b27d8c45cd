"""The few figures that a support score rests on. Pure. Source: our own choice of features."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from acclimate.grounding.conflicts import Conflict, conflicts
from acclimate.grounding.names import holds_name
from acclimate.grounding.quantities import Number, same_meaning, same_number
from acclimate.grounding.reading import Reading

FEATURES = ("coverage", "order", "missing_numbers", "missing_names", "conflict", "dilution")
"""In the order of the weights."""
_NEAR = 4
_MOST_DILUTION = 2.0


@dataclass(frozen=True, slots=True)
class Features:
    """How a passage answers to a claim; every figure is 0 to 1, `dilution` 0 to 2."""

    coverage: float
    """Share of the claim's words that the passage holds, rare words weighing more."""
    order: float
    """Share of the claim's neighbouring words that stand in the passage in that order, at most four apart."""
    missing_numbers: float
    """Share of the claim's numbers that the passage does not hold exactly, or holds as another measure."""
    missing_names: float
    """Share of the claim's names that the passage does not hold."""
    conflict: float
    """1 where the passage speaks against the claim (`conflicts`), else 0."""
    dilution: float
    """Natural logarithm of how many times longer than the claim the passage is, in words; 0 to 2."""
    conflicts: tuple[Conflict, ...]
    """What speaks against the claim."""

    def vector(self) -> tuple[float, ...]:
        """Return the figures in the order of `FEATURES`."""
        return (
            self.coverage, self.order, self.missing_numbers, self.missing_names, self.conflict, self.dilution
        )  # fmt: skip


def features(claim: Reading, passage: Sequence[Reading], rarity: Mapping[str, float]) -> Features:
    """Return the features of a claim and a passage.

    Args:
        passage: one to three sentences.
        rarity: weight of a stem, above 0, at most 1; stems that are not there weigh 1.
    """
    stems = [each for sentence in passage for each in sentence.stems]
    against: dict[Conflict, None] = {}
    for at, sentence in enumerate(passage):
        overlap = coverage(claim.stems, set(sentence.stems), rarity)
        nearby = [each for place, other in enumerate(passage) if place != at for each in other.numbers]
        for conflict in conflicts(claim, sentence, overlap, nearby):
            against.setdefault(conflict)
    n_claim, n_passage = max(1, len(claim.stems)), max(1, len(stems))
    lost = set(missing_numbers(claim.numbers, passage))
    return Features(
        coverage(claim.stems, set(stems), rarity),
        _ordered(claim.stems, stems),
        _share(sum(each in lost for each in claim.numbers), len(claim.numbers)),
        _share(len(names_not_in(passage, claim.names)), len(claim.names)),
        float(bool(against)),
        min(_MOST_DILUTION, max(0.0, math.log(n_passage / n_claim))),
        tuple(against),
    )


def coverage(wanted: Iterable[str], held: set[str], rarity: Mapping[str, float]) -> float:
    """Return the weighted share of the wanted stems that are held, each counted once; 0 for none wanted."""
    whole = part = 0.0
    for each in dict.fromkeys(wanted):
        weight = rarity.get(each, 1.0)
        whole += weight
        part += weight * (each in held)
    return part / whole if whole else 0.0


def missing_numbers(wanted: Iterable[Number], passage: Sequence[Reading]) -> tuple[Number, ...]:
    """Return the numbers that a passage does not hold in value, unit and meaning."""
    return tuple(
        number
        for number in wanted
        if not any(
            same_number(number, each) and same_meaning(number, each, sentence.numbers)
            for sentence in passage
            for each in sentence.numbers
        )
    )


def names_not_in(passage: Sequence[Reading], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the names that no sentence of a passage holds."""
    return tuple(name for name in wanted if not any(holds_name(each.text, name) for each in passage))


def _ordered(wanted: Sequence[str], held: Sequence[str]) -> float:
    pairs = list(pairwise(wanted))
    if not pairs:
        return float(bool(wanted) and wanted[0] in held)
    near = {(first, second) for at, first in enumerate(held) for second in held[at + 1 : at + 1 + _NEAR]}
    return sum(pair in near for pair in pairs) / len(pairs)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
