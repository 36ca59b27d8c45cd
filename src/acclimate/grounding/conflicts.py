"""What in a passage speaks against a claim: other numbers, other measures, negations, opposite words. Pure.

Source: our own rules. Each asks first that claim and sentence are about one thing, which is the share of the
claim's words that the sentence holds, weighted as in `features`, and the claim's names.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acclimate.grounding.names import missing_names
from acclimate.grounding.quantities import Number, same_kind, same_meaning, same_number
from acclimate.grounding.reading import Pole, Reading
from acclimate.grounding.words import stem

Kind: TypeAlias = Literal["other_number", "other_quantity", "negation", "opposite"]

SAME_SUBJECT = 0.6
"""From this share of the claim's words on, a sentence is taken to be about the claim's subject."""
SAME_NUMBER_SUBJECT = 0.3
"""The same where the sentence has the very number, with three digits or more, and half of the names."""
_LONG_NUMBER = 3
_HALF = 0.5
_FIRST_REACHED = 2
_LESS = frozenset(stem(word) for word in ("less", "few", "fewer", "least"))
_PREFIXES = ("un", "in", "im", "non", "dis", "ir")


@dataclass(frozen=True, slots=True)
class Conflict:
    """One thing that speaks against the claim."""

    kind: Kind
    """`other_number`: same subject, another number. `other_quantity`: the same number of something else.
    `negation`: one says not. `opposite`: more against less, or the two sides of `than` changed."""
    detail: str
    """One sentence for people."""


def conflicts(
    claim: Reading, sentence: Reading, overlap: float, nearby: Iterable[Number] = ()
) -> tuple[Conflict, ...]:
    """Return what a sentence says against a claim.

    Args:
        overlap: 0 to 1, weighted share of the claim's words that the sentence holds.
        nearby: numbers of the sentences beside it; a number of the claim that is among them is not missed.
    """
    missing = missing_names(sentence.text, claim.names)
    found = list(_of_numbers(claim, sentence, overlap, len(missing), tuple(nearby)))
    if overlap >= SAME_SUBJECT and len(missing) <= _HALF * len(claim.names):
        found += _of_negation(claim, sentence)
        found += _of_contraries(claim, sentence)
        found += _of_opposites(claim, sentence)
    return tuple(found)


def _of_numbers(
    claim: Reading, sentence: Reading, overlap: float, n_missing: int, nearby: tuple[Number, ...]
) -> Iterator[Conflict]:
    for number in claim.numbers:
        equal = [each for each in sentence.numbers if same_number(number, each)]
        if any(same_meaning(number, each, sentence.numbers) for each in equal):
            continue
        if equal:
            digits = sum(sign.isdigit() for sign in number.value)
            least = SAME_NUMBER_SUBJECT if digits >= _LONG_NUMBER else SAME_SUBJECT
            if overlap >= least and n_missing <= _HALF * len(claim.names):
                said = f"{number.text} as {_meaning(equal[0])}; the claim has it as {_meaning(number)}"
                yield Conflict("other_quantity", f"The passage gives {said}.")
            continue
        if overlap < SAME_SUBJECT or n_missing or any(same_number(number, each) for each in nearby):
            continue
        others = [each for each in sentence.numbers if same_kind(number, each) and same_meaning(number, each)]
        taken = [each for each in others if any(same_number(each, mine) for mine in claim.numbers)]
        if others and len(taken) < len(others):
            told = ", ".join(each.text for each in others if each not in taken)
            yield Conflict("other_number", f"The passage gives {told}; the claim has {number.text}.")


def _meaning(number: Number) -> str:
    return " and ".join(sorted(number.measures)) or f"a number of {number.counted or 'something'}"


def _of_negation(claim: Reading, sentence: Reading) -> Iterator[Conflict]:
    denied_here = _denied(sentence, claim)
    denied_there = _denied(claim, sentence)
    if bool(denied_here) != bool(denied_there):
        one, who = (sentence, "passage") if denied_here else (claim, "claim")
        other = claim if denied_here else sentence
        yield from _flipped(one, other, denied_here or denied_there, who)


def _denied(one: Reading, other: Reading) -> list[tuple[str, ...]]:
    """Return the negations of a sentence that are about what the other one says."""
    return [each for each in one.negated if 2 * sum(part in other.stems for part in each) >= len(each)]


def _says_less(reading: Reading, of: tuple[str, ...]) -> bool:
    """Return whether a sentence says `less`, `few`, ... of the stems: a negation in other words."""
    return any(pole.stem in _LESS and pole.around & set(of) for pole in reading.poles)


def _flipped(one: Reading, other: Reading, denied: list[tuple[str, ...]], who: str) -> Iterator[Conflict]:
    for reached in denied:
        first = [each for each in reached[:_FIRST_REACHED] if each in other.plain and each not in one.plain]
        if first and not _says_less(other, reached):
            shared = ", ".join(each for each in reached if each in other.stems)
            yield Conflict("negation", f"Only the {who} negates {shared!r}.")
            return


def _of_contraries(claim: Reading, sentence: Reading) -> Iterator[Conflict]:
    for mine in claim.plain - set(sentence.stems):
        if any(f"{prefix}{mine}" in sentence.plain for prefix in _PREFIXES):
            yield Conflict("negation", f"The passage has the opposite of {mine!r}.")
            return
    for theirs in sentence.plain - set(claim.stems):
        if any(f"{prefix}{theirs}" in claim.plain for prefix in _PREFIXES):
            yield Conflict("negation", f"The claim has the opposite of {theirs!r}.")
            return


def _of_opposites(claim: Reading, sentence: Reading) -> Iterator[Conflict]:
    crossed = _crossed(claim, sentence)
    opposite = _opposite(claim, sentence, sides_count=crossed is not None)
    if opposite is not None and not crossed:
        mine, theirs = opposite
        yield Conflict("opposite", f"The claim has {mine.stem!r} where the passage has {theirs.stem!r}.")
    elif crossed and opposite is None:
        yield Conflict("opposite", "The two sides of the comparison are changed over.")


def _opposite(claim: Reading, sentence: Reading, *, sides_count: bool) -> tuple[Pole, Pole] | None:
    """Return a word of comparison of the claim and its opposite in the sentence; None where there are none.

    Both must have a neighbour in common, or stand in comparisons. Of several words of one axis the one counts
    whose neighbours are most like the claim's.
    """
    denied = {each for reached in (*claim.negated, *sentence.negated) for each in reached}
    for mine in claim.poles:
        if mine.stem in denied or any(
            each.axis == mine.axis and each.sign != mine.sign for each in claim.poles
        ):
            continue
        if mine.head and mine.head not in sentence.stems:
            continue  # `more accurate` and `less time` are no opposites
        near = {1: -1, -1: -1}
        nearest: dict[int, Pole] = {}
        for each in sentence.poles:
            alike = len(mine.around & each.around)
            if each.axis == mine.axis and alike > near[each.sign]:
                near[each.sign], nearest[each.sign] = alike, each
        theirs = nearest.get(-mine.sign)
        least = 0 if sides_count else 1
        if theirs and theirs.stem not in denied and near[-mine.sign] >= max(least, near[mine.sign] + 1):
            return mine, theirs
    return None


def _crossed(claim: Reading, sentence: Reading) -> bool | None:
    """Return whether the two sides of a comparison are changed over; None where it cannot be told."""
    if claim.sides is None or sentence.sides is None:
        return None
    (left, right), (their_left, their_right) = claim.sides, sentence.sides
    return bool(left & their_right) and bool(right & their_left) and not right & their_right
