"""Reads informative answers back: what they conclude, and what they state about a scene (pure).

The wordings are those of `language.py`, with any words in their slots. What is misspelt stays as it is
written, and what does not fit a wording is not read: nothing is guessed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from acclimate.lab.language import a
from acclimate.lab.oracle import read
from acclimate.lab.world import NUMBERS, PLACES, Lexicon, Scene, rule_of

APART_KINDS = ("domain", "count", "exist", "rule")
"""Kinds whose conclusion has a clause of its own (`..., so the answer is yes`) behind the reasons; in the
others one statement is both."""

_W = r"[^\W_]+"
_PLACE = f"(?:{'|'.join(PLACES)})"
_END = r"\W*$"
_A_THING = f"an? {_W}"
_A_PLACED = f"an? {_W} at the {_PLACE}"
_CONCLUDING = {
    kind: re.compile(pattern + _END)
    for kind, pattern in {
        "domain": rf"\bso it is of (?:an?|the) (?P<value>{_W})",
        "object": rf"\bat the {_PLACE} of the {_W} is (?:an?|the) (?P<value>{_W})",
        "colour": rf"\bhas an? (?P<value>{_W}) (?P<attribute>{_W})",
        "mark": rf"\bhas an? (?P<value>{_W}) (?P<attribute>{_W})",
        "where": rf"\bstands at the (?P<value>{_W}(?: {_W})?)(?: of the {_W})?",
        "count": rf"\bthat is (?P<value>{_W}) {_W}",
        "exist": r"\bso the answer is (?P<value>yes|no)",
        "reverse": rf"\bis the (?P<value>{_W}) at the {_PLACE}",
        "rule": rf"\bso the (?P<attribute>{_W}) is (?P<value>{_W})",
        "list": rf"\bare (?P<value>{_A_THING}(?:, {_A_THING})*(?: and {_A_THING})?)",
        "order": rf"\bstand in order: (?P<value>{_A_PLACED}(?:(?:,| and) {_A_PLACED})*)",
        "odd": rf"\bonly the (?P<value>{_W}) has an? {_W} {_W}(?:, so it is unlike the others)?",
    }.items()
}
_NAMED = re.compile(rf"\ban? ({_W})")
_LEADING = re.compile(r"(?P<value>yes|no)(?=[,.;:!])")
"""`Yes, ...` of an answer without the clause that closes the lab's own."""
_ALONE = re.compile(rf"(?:[a-d] )?(?:the |an? )?(?P<value>{_W}|{_PLACE})")
_ALONE_LIST = re.compile(rf"(?P<value>{_W}(?:, (?:then )?{_W})*(?: and {_W})?){_END}")


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What an informative answer concludes."""

    value: str
    """As a precise answer would put it, in lower case: `monocyte`, `upper left`, `star, moon`."""
    reasons: str
    """What the answer says besides; the whole answer where one statement is reason and conclusion."""


def words(text: str) -> str:
    """Return the words of a text, in lower case, one blank between them."""
    return " ".join(re.findall(_W, text.lower()))


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def conclusion(kind: str, answer: str, lexicon: Lexicon) -> Conclusion | None:
    """Return what the answer to a question of the kind concludes, or None where that cannot be read.

    Read are the closing statement of the kind's wording, `Yes, ...` for yes and no, and a value that stands
    alone. A statement about another attribute than the one asked for concludes nothing.
    """
    text = _folded(answer)
    pattern = _CONCLUDING.get(kind)
    if pattern is None:
        return None
    match = pattern.search(text)
    if match is None:
        return _short(kind, text)
    wanted = {
        "colour": lexicon.colour_attribute,
        "mark": lexicon.mark_attribute,
        "rule": lexicon.rule_attribute,
    }
    if kind in wanted and match["attribute"] != wanted[kind]:
        return None
    value = match["value"]
    if kind in ("list", "order"):
        value = (", " if kind == "list" else ", then ").join(_NAMED.findall(value))
    return Conclusion(value, text[: match.start()] if kind in APART_KINDS else text)


def _short(kind: str, text: str) -> Conclusion | None:
    """Return the conclusion of an answer in other words than the lab's: the value first, or alone."""
    if kind == "exist" and (leading := _LEADING.match(text)):
        return Conclusion(leading["value"], text[leading.end() :])
    alone = _ALONE_LIST.fullmatch(text) if kind in ("list", "order") else _ALONE.fullmatch(words(text))
    if alone is None:
        return None
    return Conclusion(alone["value"], "" if kind in APART_KINDS else text)


def same(kind: str, question: str, one: str, other: str, lexicon: Lexicon) -> bool:
    """Say whether two short answers to a question say the same, by their words.

    An article, a letter of the choices, the order of a list and the choice between `two` and `2` make no
    difference, nor which of its three names the domain is given; a misspelt word does.
    """
    first, second = (_key(kind, question, text, lexicon) for text in (one, other))
    return bool(first) and first == second


def _key(kind: str, question: str, text: str, lexicon: Lexicon) -> tuple[str, ...]:
    said = words(text)
    if kind == "list":
        parts = re.split(r",|\band\b", text.lower())
        return tuple(sorted(_bare(words(part)) for part in parts if words(part)))
    if "choices are" in question:
        said = re.sub(r"^[a-d] (?=\w)", "", said)
    said = _bare(said)
    if kind == "domain" and said in (lexicon.noun, lexicon.plural):
        said = lexicon.frame
    digits = {name: str(number) for number, name in enumerate(NUMBERS)}
    return tuple(digits.get(word, word) for word in said.split() if not (kind == "order" and word == "then"))


def _bare(said: str) -> str:
    return re.sub(r"^(?:the|an?) (?=\w)", "", said)


def stands_in(short: str, long: str) -> bool:
    """Say whether the words of a short answer stand side by side in a long one."""
    said = _bare(words(short))
    return bool(said) and f" {said} " in f" {words(long)} "


_TRAITS = rf"(?P<traits>an? {_W} {_W}(?: and an? {_W} {_W})*)"
_AT = f"at the (?P<place>{_PLACE})"
_OWN_WORDS = frozenset(
    {"the", "and", "are", "has", "holds", "only", "shows", "stands", "that", "this", "with"}
)
"""Of the wordings; an invented word may be the same, and then names nothing where it stands alone."""
_THE = rf"\b(?:an?|the) (?P<head>{_W})"
_THINGS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_THE}(?: with {_TRAITS})?(?: (?:is|stands))? {_AT}\b",
        rf"{_THE}(?: {_AT})? has {_TRAITS}",
        rf"{_THE} with {_TRAITS}",
        rf"\b{_AT} is an? (?P<head>{_W})(?: with {_TRAITS})?",
        rf"\b{_AT} of the {_W} is (?:an?|the) (?P<head>{_W})",
        rf"\bwith {_TRAITS} is the (?P<head>{_W})(?: {_AT})?",
    )
)
_LISTED = re.compile(rf"\b(?:holds|are) ({_A_THING}(?:, {_A_THING})*(?: and {_A_THING})?)\b")
_FRAMED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\bthe (?P<frame>{_W}) (?:holds|shows)\b",
        rf"\b{_PLACE} of the (?P<frame>{_W})",
        rf"\bon the (?P<frame>{_W}) are\b",
        rf"\b(?:shows|this is) an? (?P<frame>{_W}) with\b",
        rf"\blived on an? (?P<frame>{_W})",
    )
)
_COUNTED = re.compile(rf"\b({'|'.join(NUMBERS)}|five|six|seven|eight|nine|ten|\d+) ({_W})")
_RULED = re.compile(rf"\bthe ({_W}) is ({_W})")


def statements(text: str, scene: Scene, lexicon: Lexicon) -> list[bool]:
    """Return, of everything the text states about the scene, whether it is true.

    Read are: a thing with its colour, mark or place, or a list of things, each of which one subject must
    fit; any other form that is named, which must be there; what the picture is of; how many things there are;
    the rule's value. Not read: that something is missing, is the only one, or is all there is.
    """
    text = _folded(text)
    said = [_is_there(scene, thing, lexicon) for thing in _things(text, lexicon)]
    present = {lexicon.forms[subject.form] for subject in scene.subjects}
    named = set(words(text).split()) & set(lexicon.forms) - _OWN_WORDS
    said += [form in present for form in sorted(named)]
    known = (lexicon.frame, lexicon.noun, lexicon.plural, "picture", "image")
    said += [match["frame"] in known for pattern in _FRAMED for match in pattern.finditer(text)]
    n = len(scene.subjects)
    counted = [m[1] for m in _COUNTED.finditer(text) if m[2] in (lexicon.noun, lexicon.plural)]
    said += [number in (NUMBERS[n], str(n)) for number in counted]
    rule = rule_of(scene)
    ruled = [m[2] for m in _RULED.finditer(text) if m[1] == lexicon.rule_attribute]
    return said + [rule is not None and value == lexicon.rules[rule] for value in ruled]


def _things(text: str, lexicon: Lexicon) -> Iterator[str]:
    """Yield every phrase about a thing, as the oracle's questions put it, with one trait each at most."""
    attributes = (lexicon.colour_attribute, lexicon.mark_attribute)
    for pattern in _THINGS:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            if parts["head"] in (lexicon.frame, "picture", "image"):
                continue
            place = f" at the {parts['place']}" if parts.get("place") else ""
            first, *more = (parts.get("traits") or "").split(" and ")
            traits = [first, *(trait for trait in more if trait.split()[-1] in attributes)]
            for trait in traits:
                yield parts["head"] + (f" with {trait}" if trait else "") + place
    for match in _LISTED.finditer(text):
        yield from _NAMED.findall(match[1])


def _is_there(scene: Scene, thing: str, lexicon: Lexicon) -> bool:
    reading = read(scene, f"Is there {a(thing)}?", lexicon)
    return reading is not None and reading.kind == "exist" and reading.answers == (("yes",),)
