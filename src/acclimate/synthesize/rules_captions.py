"""Tasks that rules make of a caption, its further captions and its boxes (pure).

Our own rules: no paper has any for captions. Each kind asks only for what the texts or the boxes state, and a
kind that finds nothing in them is passed over. What two captions say differently, or what boxes contradict,
is not asked for.
"""

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal, TypeAlias

from acclimate.records import Box, Boxes, ImageCaption
from acclimate.synthesize.rules_templates import (
    ABSENT,
    BLANK,
    CHOICE,
    COLOUR,
    COUNT,
    DESCRIBE,
    FILL_IN,
    ORDER,
    PRESENCE,
    SIDE,
    TOPIC,
)
from acclimate.synthesize.rules_words import (
    Stated,
    closed,
    colours,
    content_words,
    counts,
    filled,
    is_english,
    is_number,
    is_plural,
    n_words,
    numeral,
    sentences,
    stem,
    things,
    with_article,
    words_of,
)

CaptionKind: TypeAlias = Literal[
    "describe", "topic", "fill_in", "presence", "choice", "colour", "count", "order", "side"
]
Task: TypeAlias = tuple[str, str]

_APART = 0.1
"""How far the right edge of one box lies from the left edge of the other at least, of the width."""
_LABEL = re.compile(r"[a-z]+(?: [a-z]+)*")


@dataclass(frozen=True, slots=True)
class Material:
    """What rules read of one pair."""

    caption: str
    sentences: tuple[str, ...]
    """Of the caption."""
    all_sentences: tuple[str, ...]
    """Of all captions."""
    is_english: bool
    """Whether every caption is, as far as can be told."""
    boxes: tuple[Box, ...]
    told: tuple[str, ...]
    """Every word of the captions, in lower case."""

    @classmethod
    def of(cls, pair: ImageCaption) -> "Material":
        """Return the pair's material."""
        annotation = pair.annotation if isinstance(pair.annotation, Boxes) else Boxes((), ())
        texts = [pair.caption.strip(), *annotation.captions]
        return cls(
            caption=texts[0],
            sentences=tuple(sentences(texts[0])),
            all_sentences=tuple(each for text in texts for each in sentences(text)),
            is_english=all(is_english(text) for text in texts),
            boxes=annotation.boxes,
            told=tuple(word.key for text in texts for word in words_of(text)),
        )


def caption_task(kind: CaptionKind, material: Material, rng: random.Random) -> Task | None:
    """Return question and answer, or None where nothing of this kind can be asked."""
    return _MAKERS[kind](material, rng)


def _describe(material: Material, rng: random.Random) -> Task | None:
    return (rng.choice(DESCRIBE), material.caption) if n_words(material.caption) >= 3 else None


def _topic(material: Material, rng: random.Random) -> Task | None:
    first, *others = material.sentences or ("",)
    return (rng.choice(TOPIC), closed(first)) if others and n_words(first) >= 4 else None


def _fill_in(material: Material, rng: random.Random) -> Task | None:
    usable = [each for each in material.sentences if 5 <= n_words(each) <= 40 and content_words(each)]
    if not usable:
        return None
    sentence = rng.choice(usable)
    word = rng.choice(content_words(sentence))
    text = sentence[: word.start] + BLANK + sentence[word.end :]
    return filled(rng.choice(FILL_IN), text=text), word.text


def _present(material: Material) -> list[str]:
    """Return what is surely there, with its article, each noun once."""
    labels = [box.label.casefold().strip() for box in material.boxes]
    labelled = [with_article(each) for each in labels if _LABEL.fullmatch(each) and not is_plural(each)]
    told = [thing.lower() for sentence in material.all_sentences for thing in things(sentence)]
    by_noun = {thing.partition(" ")[2]: thing for thing in reversed([*told, *labelled])}
    return list(reversed(by_noun.values()))


def _absent(material: Material) -> list[str]:
    """Return what is surely not there, since captions would have said so.

    Where one of them may not be in English there is no telling, and nothing is returned.
    """
    if not material.is_english:
        return []
    words = [*material.told, *(word for box in material.boxes for word in box.label.casefold().split())]
    found = []
    for beginnings, names in ABSENT:
        if any(word.startswith(tuple(beginnings.split())) for word in words):
            continue
        for thing in names.split("|"):
            noun = thing.rpartition(" ")[2]
            if not any(word.startswith(noun) for word in words):
                found.append(thing)
    return found


def _presence(material: Material, rng: random.Random) -> Task | None:
    """Ask for something that is there or something that is not, with even odds."""
    present, absent = _present(material), _absent(material)
    if not present or not absent:
        return None
    is_there = rng.random() < 0.5
    thing = rng.choice(present if is_there else absent)
    return filled(rng.choice(PRESENCE), thing=thing), "Yes" if is_there else "No"


def _choice(material: Material, rng: random.Random) -> Task | None:
    present, absent = _present(material), _absent(material)
    if not present or len(absent) < 3:
        return None
    right = rng.choice(present)
    options = [right, *rng.sample(absent, 3)]
    rng.shuffle(options)
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return filled(rng.choice(CHOICE), text="\n".join(lines)), lines[options.index(right)]


def _agreed(material: Material, stated: Iterable[Stated], value: Callable[[str], str]) -> list[Stated]:
    """Return what the captions state and none contradicts: one value, and the noun in one form everywhere."""
    found: dict[str, list[Stated]] = {}
    for each in stated:
        found.setdefault(stem(_head(each.noun)), []).append(each)
    agreed = []
    for noun, group in found.items():
        forms = {word for word in material.told if stem(word) == noun}
        nouns = {_head(each.noun).casefold() for each in group}
        if len({value(each.value) for each in group}) == 1 and forms <= nouns and len(nouns) == 1:
            agreed.append(group[0])
    return agreed


def _head(noun: str) -> str:
    return noun.rpartition(" ")[2]


def _colour(material: Material, rng: random.Random) -> Task | None:
    stated = [each for sentence in material.all_sentences for each in colours(sentence)]
    agreed = [each for each in _agreed(material, stated, str.casefold) if _n_boxes(material, each.noun) < 2]
    if not agreed:
        return None
    one = rng.choice(agreed)
    verb = "are" if is_plural(one.noun) else "is"
    return filled(rng.choice(COLOUR), noun=one.noun.lower(), **{"is": verb}), one.value


def _count(material: Material, rng: random.Random) -> Task | None:
    stated = [each for sentence in material.all_sentences for each in counts(sentence)]
    agreed = [
        each
        for each in _agreed(material, stated, numeral)
        if _n_boxes(material, each.noun) in (0, int(numeral(each.value)))
        and _numbers(material, each.noun) == {numeral(each.value)}
    ]
    if not agreed:
        return None
    one = rng.choice(agreed)
    return filled(rng.choice(COUNT), noun=one.noun.lower()), one.value.casefold()


def _numbers(material: Material, noun: str) -> set[str]:
    """Return every number that stands right before the noun, or before the words that belong to it."""
    n_words, head = noun.count(" ") + 1, stem(_head(noun))
    found = set()
    for place, word in enumerate(material.told):
        if stem(word) == head:
            before = material.told[max(0, place - n_words) : place]
            found |= {numeral(each) for each in before if is_number(each)}
    return found


def _n_boxes(material: Material, noun: str) -> int:
    return sum(stem(_head(box.label)) == stem(_head(noun)) for box in material.boxes)


def _order(material: Material, rng: random.Random) -> Task | None:
    told = material.sentences
    is_usable = 3 <= len(told) <= 6 and len(set(told)) == len(told)
    if not is_usable or any(n_words(each) < 3 for each in told):
        return None
    places = list(range(len(told)))
    while places == sorted(places):
        rng.shuffle(places)
    text = "\n".join(
        f"{letter}. {told[place]}" for letter, place in zip(ascii_uppercase, places, strict=False)
    )
    answer = ", ".join(ascii_uppercase[places.index(place)] for place in range(len(told)))
    return filled(rng.choice(ORDER), text=text), answer


def _side(material: Material, rng: random.Random) -> Task | None:
    """Ask which of two things is further left: each has one box, and a gap lies between them."""
    single = _single(material)
    pairs = [(left, right) for left in single for right in single if right.x0 - left.x1 >= _APART]
    if not pairs:
        return None
    left, right = (f"the {box.label}" for box in rng.choice(pairs))
    named = {"first": left, "second": right} if rng.random() < 0.5 else {"first": right, "second": left}
    question = filled(rng.choice(SIDE), **named)
    return question[0].upper() + question[1:], left


def _single(material: Material) -> list[Box]:
    """Return the boxes whose label no other box has and no caption speaks of in the plural."""
    told = {stem(key) for key in material.told if is_plural(key)}
    counted = [stem(box.label) for box in material.boxes]
    return [
        box
        for box, noun in zip(material.boxes, counted, strict=True)
        if _LABEL.fullmatch(box.label)
        and not is_plural(box.label)
        and counted.count(noun) == 1
        and stem(_head(box.label)) not in told
    ]


_MAKERS: dict[CaptionKind, Callable[[Material, random.Random], Task | None]] = {
    "describe": _describe,
    "topic": _topic,
    "fill_in": _fill_in,
    "presence": _presence,
    "choice": _choice,
    "colour": _colour,
    "count": _count,
    "order": _order,
    "side": _side,
}
