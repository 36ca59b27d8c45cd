"""Judges any answer to any question it can read, from the scene alone.

The oracle reads questions by the grammar of `language.py`, whatever words fill it, and works the right
answers out from the scene's parameters. It never sees an image or a model.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from acclimate.lab.language import OPEN_KINDS, TEMPLATES
from acclimate.lab.world import DOMAINS, NUMBERS, PLACES, Lexicon, Scene, Subject, odd_one, rule_of


@dataclass(frozen=True, slots=True)
class Reading:
    """What a question asks."""

    kind: str
    answers: tuple[tuple[str, ...], ...]
    """Every right answer, each a tuple of words or phrases; empty for questions without a single one."""
    open: bool = False


def _alternatives(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


@dataclass(frozen=True, slots=True)
class _Grammar:
    thing: re.Pattern[str]
    questions: tuple[tuple[str, re.Pattern[str]], ...]


@lru_cache(maxsize=256)
def _grammar(lexicon: Lexicon) -> _Grammar:
    colour = f"an? (?P<colour>{_alternatives(lexicon.colours)}) {re.escape(lexicon.colour_attribute)}"
    mark = f"an? (?P<mark>{_alternatives(lexicon.marks)}) {re.escape(lexicon.mark_attribute)}"
    thing = (
        rf"(?:(?P<form>{_alternatives(lexicon.forms)})|{re.escape(lexicon.noun)})"
        rf"(?: with {colour})?(?: (?:with|and) {mark})?(?: at the (?P<place>{_alternatives(PLACES)}))?"
    )
    slots = {
        "frame": re.escape(lexicon.frame),
        "noun": re.escape(lexicon.noun),
        "plural": re.escape(lexicon.plural),
        "colour_attribute": re.escape(lexicon.colour_attribute),
        "mark_attribute": re.escape(lexicon.mark_attribute),
        "rule_attribute": re.escape(lexicon.rule_attribute),
        "place": f"(?P<place>{_alternatives(PLACES)})",
        "thing": "(?P<thing>.+?)",
        "a_thing": "an? (?P<thing>.+?)",
        "a_trait": f"(?:{colour}|{mark})",
    }
    questions = []
    for kind, templates in TEMPLATES.items():
        for template in templates:
            pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}").format(**slots)
            questions.append((kind, re.compile(pattern)))
    return _Grammar(re.compile(thing), tuple(questions))


def _matching(scene: Scene, lexicon: Lexicon, parts: dict[str, str | None]) -> list[Subject]:
    def fits(subject: Subject) -> bool:
        return (
            parts.get("form") in (None, lexicon.forms[subject.form])
            and parts.get("colour") in (None, lexicon.colours[subject.colour])
            and parts.get("mark") in (None, lexicon.marks[subject.mark])
            and parts.get("place") in (None, PLACES[subject.place])
        )

    return [subject for subject in scene.subjects if fits(subject)]


def _one(values: list[str]) -> tuple[tuple[str, ...], ...]:
    """Return the single right answer where all values agree, else none: an ambiguous question has none."""
    return ((values[0],),) if len(set(values)) == 1 else ()


def _answers(
    kind: str, scene: Scene, lexicon: Lexicon, parts: dict[str, str | None]
) -> tuple[tuple[str, ...], ...]:
    found = _matching(scene, lexicon, parts)
    if kind == "exist":
        return (("yes",),) if found else (("no",),)
    values = {
        "object": [lexicon.forms[subject.form] for subject in found],
        "reverse": [lexicon.forms[subject.form] for subject in found],
        "colour": [lexicon.colours[subject.colour] for subject in found],
        "mark": [lexicon.marks[subject.mark] for subject in found],
        "where": [PLACES[subject.place] for subject in found],
    }
    return _one(values[kind]) if kind in values else _of_whole(kind, scene, lexicon)


def _of_whole(kind: str, scene: Scene, lexicon: Lexicon) -> tuple[tuple[str, ...], ...]:
    """Return the right answers to a question about the whole scene."""
    forms = [lexicon.forms[subject.form] for subject in scene.subjects]
    if kind == "domain":
        return ((lexicon.frame,), (lexicon.noun,), (lexicon.plural,))
    if kind == "count":
        return ((NUMBERS[len(forms)],), (str(len(forms)),))
    if kind == "rule":
        rule = rule_of(scene)
        return () if rule is None else ((lexicon.rules[rule],),)
    if kind == "list":
        return (tuple(sorted(set(forms))),)
    if kind == "order":
        return (tuple(forms),)
    odd = odd_one(scene)
    return () if odd is None else ((lexicon.forms[odd.form],),)


def read(scene: Scene, question: str, lexicon: Lexicon | None = None) -> Reading | None:
    """Return what the question asks about the scene, or None where it cannot be read.

    A question whose premise is false (it names what is not there) or that has two different right answers is
    read, with no right answer: whatever is said to it is wrong.
    """
    lexicon = lexicon or DOMAINS[scene.domain].lexicon
    grammar = _grammar(lexicon)
    text = question.split("\nThe choices are:")[0].strip()
    for kind, pattern in grammar.questions:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        parts: dict[str, str | None] = dict(match.groupdict())
        phrase = parts.pop("thing", None)
        if phrase is not None:
            inner = grammar.thing.fullmatch(phrase)
            if inner is None:
                continue
            parts |= inner.groupdict()
        if kind in OPEN_KINDS:
            return Reading(kind, (), open=True)
        return Reading(kind, _answers(kind, scene, lexicon, parts))
    return None


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def is_right(scene: Scene, question: str, answer: str, lexicon: Lexicon | None = None) -> bool | None:
    """Say whether a precise answer is right; None where the question cannot be read.

    The answer must be the right words and nothing else, an article or a letter of the choices apart; for
    `list` any order is right. An open question's answer is right when every form it names is in the scene.
    """
    reading = read(scene, question, lexicon)
    if reading is None:
        return None
    lexicon = lexicon or DOMAINS[scene.domain].lexicon
    said = _words(answer)
    if reading.open:
        present = {lexicon.forms[subject.form] for subject in scene.subjects}
        named = {form for form in lexicon.forms if re.search(rf"\b{re.escape(form)}\b", said)}
        counts = {n for n in NUMBERS if re.search(rf"\b{n}\b", said)}
        return bool(said) and named <= present and counts <= {NUMBERS[len(scene.subjects)]}
    said = re.sub(
        r"^(?:the |an? )", "", re.sub(r"^[a-d] (?=\w)", "", said) if "choices are" in question else said
    )
    if reading.kind == "list":
        parts = sorted(part for part in re.split(r"\s*(?:,|\band\b)\s*", answer.lower().strip(" .")) if part)
        return tuple(parts) in reading.answers
    if reading.kind == "order":
        return any(said == _words(" then ".join(right)) for right in reading.answers)
    return any(said == _words(right[0]) for right in reading.answers)
