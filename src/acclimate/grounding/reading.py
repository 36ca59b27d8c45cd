"""A claim or a sentence, read once: its stems, numbers, names, negations and comparisons. Pure.

Source: our own rules. What a negation reaches: the next six words with content, up to the end of its clause.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from acclimate.grounding.names import names
from acclimate.grounding.quantities import Number, numbers
from acclimate.grounding.words import content_of, folded, listed, stem, words

_TOKEN = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['][^\W_]+)?|[,;:.!?]")
_BREAKS = listed(
    """
    , ; : . ! ? but while whereas although though and or because
    """
)
_SCOPE = 6

_CUES = listed(
    """
    not no never cannot neither nor none nobody nothing non hardly rarely seldom lack lacks lacked
    lacking unable negligible insufficient fail fails failed failing absent
    """
)
_UNDOES = frozenset({"without", "unless", "until", "except"})
"""In the reach of a negation they turn it: `must not be run without oil`."""
_NOT_CUES = (("not", "only"), ("no", "longer", "than"), ("no", "less"), ("not", "just"), ("nothing", "but"))

_AXES = (
    (
        "more greater higher increase increased increases increasing raise raised raises rise rises "
        "rose risen grow grew grown grows gain gains gained most highest larger largest bigger "
        "climbed climb exceed exceeds exceeded many majority",
        "less fewer lower decrease decreased decreases decreasing reduce reduced reduces reducing "
        "drop drops dropped fall falls fell fallen decline declined declines least lowest smaller "
        "smallest shrink shrank shrunk cut cuts few minority diminish diminished diminishes lowers "
        "lowered",
    ),
    (
        "improve improved improves improving improvement better best enhance enhanced enhances "
        "enhancing outperform outperforms outperformed surpass surpasses surpassed beat beats "
        "superior stronger strengthen strengthens",
        "worse worst worsen worsened worsens degrade degraded degrades degrading harm harms harmed "
        "harming hurt hurts impair impairs impaired underperform underperforms underperformed "
        "inferior weaker weaken weakens deteriorate deteriorates deteriorated",
    ),
    (
        "faster fastest quicker sooner speed speeds accelerate accelerates accelerated",
        "slower slowest slow slows slowed",
    ),
    (
        "longer longest lengthen lengthens extend extends",
        "shorter shortest shorten shortens shortened",
    ),
    (
        "before earlier",
        "after later",
    ),
    (
        "hot hotter warmer warm",
        "cold colder cooler cool",
    ),
    (
        "cheap cheaper cheapest inexpensive",
        "expensive costly costlier dearer",
    ),
    (
        "easy easier",
        "hard harder difficult",
    ),
    (
        "positive positively",
        "negative negatively",
    ),
    (
        "malignant",
        "benign",
    ),
    (
        "left",
        "right",
    ),
    (
        "always",
        "never",
    ),
    (
        "all every",
        "none",
    ),
    (
        "include includes included including",
        "exclude excludes excluded excluding",
    ),
    (
        "accept accepts accepted",
        "reject rejects rejected refuse refuses refused",
    ),
    (
        "success successful succeed succeeds succeeded",
        "failure unsuccessful",
    ),
    (
        "single one-stage",
        "two multiple double",
    ),
    (
        "open",
        "closed",
    ),
    (
        "public publicly",
        "private privately secret",
    ),
    (
        "wet moist",
        "dry",
    ),
    (
        "maximum",
        "minimum",
    ),
    (
        "sensitive",
        "robust",
    ),
    (
        "safe safer",
        "dangerous unsafe",
    ),
    (
        "strong",
        "weak",
    ),
    (
        "common commonly",
        "rare rarely uncommon",
    ),
    (
        "prohibited forbidden banned prohibits forbids bans",
        "permitted allowed allows permits",
    ),
)
_POLES = {
    word: (axis, sign)
    for axis, sides in enumerate(_AXES)
    for sign, side in zip((1, -1), sides, strict=True)
    for word in side.split()
}
_PIVOTS = listed(
    """
    than outperform outperforms outperformed outperforming surpass surpasses surpassed exceed exceeds
    exceeded beat beats underperform underperforms underperformed
    """
)
_AROUND = 3
_DEGREES = listed(
    """
    more less fewer most least
    """
)
_ORDERING = frozenset({"before", "after"})
_OBJECT_ENDS = listed(
    """
    in on for by at with when while as from during across over within
    """
)


@dataclass(frozen=True, slots=True)
class Pole:
    """A word of comparison and what stands around it."""

    axis: int
    sign: int
    """1 or -1: the two ends of the axis."""
    stem: str
    around: frozenset[str]
    """Stems of the three content words before it and the three behind it, in its clause; of `before` and
    `after`
    only of those behind."""
    head: str
    """Of `more`, `less`, ... the stem that they belong to: the next word's; empty else."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sentence says, as far as it is looked at."""

    text: str
    stems: tuple[str, ...]
    """Of the words with content, in order; numbers apart."""
    numbers: tuple[Number, ...]
    names: tuple[str, ...]
    negated: tuple[tuple[str, ...], ...]
    """For each negation the stems that it reaches, in order."""
    plain: frozenset[str]
    """Stems that stand outside of every negation."""
    poles: tuple[Pole, ...]
    sides: tuple[frozenset[str], frozenset[str]] | None
    """Stems before and behind `than`, `outperforms`, ...: back to the clause's start, on to the next
    preposition;
    None where there is not exactly one."""


def read(text: str, known: Collection[str] = (), *, truncated: bool = False) -> Reading:
    """Read a sentence.

    Args:
        known: words of the document, for words that have lost their spaces (`words.content`).
        truncated: the text is cut off; its last word may be half a word and is left out.
    """
    whole = _without_last_word(text) if truncated else text
    tokens = [token.removesuffix("'s") for token in _TOKEN.findall(folded(whole).casefold())]
    stems = tuple(content_of(words(whole), known))
    negated, plain = _negations(tokens)
    return Reading(
        text, stems, numbers(whole), names(whole), negated, plain & set(stems), _poles(tokens), _sides(tokens)
    )


def _without_last_word(text: str) -> str:
    return re.sub(r"[^\W_]+\W*$", "", text.rstrip())


def _content(tokens: Sequence[str]) -> list[str]:
    return content_of(tokens)


def _is_cue(tokens: Sequence[str], at: int) -> bool:
    if any(tuple(tokens[at : at + len(each)]) == each for each in _NOT_CUES):
        return False
    return tokens[at] in _CUES or tokens[at].endswith("n't")


def _negations(tokens: Sequence[str]) -> tuple[tuple[tuple[str, ...], ...], frozenset[str]]:
    reached: list[tuple[str, ...]] = []
    inside: set[int] = set()
    for at in range(len(tokens)):
        if not _is_cue(tokens, at):
            continue
        inside.add(at)
        scope: list[str] = []
        doubled = False
        for place in range(at + 1, len(tokens)):
            if tokens[place] in _BREAKS or len(scope) == _SCOPE:
                break
            doubled = doubled or tokens[place] in _UNDOES
            scope += _content(tokens[place : place + 1])
            inside.add(place)
        if scope and not doubled:
            reached.append(tuple(scope))
    plain = _content([token for at, token in enumerate(tokens) if at not in inside])
    return tuple(reached), frozenset(plain)


def _poles(tokens: Sequence[str]) -> tuple[Pole, ...]:
    found = []
    for at, token in enumerate(tokens):
        if token not in _POLES or _is_bound(tokens, at):
            continue
        axis, sign = _POLES[token]
        begin, end = _clause(tokens, at)
        before = _content(tokens[begin:at])[-_AROUND:]
        after = _content(tokens[at + 1 : end])[:_AROUND]
        around = after if token in _ORDERING else [*before, *after]
        head = after[0] if after and token in _DEGREES else ""
        found.append(Pole(axis, sign, stem(token), frozenset(around), head))
    return tuple(found)


def _clause(tokens: Sequence[str], at: int) -> tuple[int, int]:
    """Return where the clause of a word begins and ends; `and` and `or` do not part clauses here."""
    breaks = _BREAKS - {"and", "or"}
    begin = max((place + 1 for place in range(at) if tokens[place] in breaks), default=0)
    return begin, min(
        (place for place in range(at, len(tokens)) if tokens[place] in breaks), default=len(tokens)
    )


def _is_bound(tokens: Sequence[str], at: int) -> bool:
    """Return whether a word of comparison only bounds a number: `more than 17`, `above 3`, `up to 5`."""
    after = tokens[at + 1 : at + 3]
    return any(token[0].isdigit() for token in after) and (
        after[0] == "than" or tokens[at] in ("above", "below", "up", "after", "before")
    )


def _sides(tokens: Sequence[str]) -> tuple[frozenset[str], frozenset[str]] | None:
    places = [at for at, token in enumerate(tokens) if token in _PIVOTS and tokens[at - 1 : at] != ["rather"]]
    if len(places) != 1:
        return None
    at = places[0]
    begin, end = _clause(tokens, at)
    end = min((place for place in range(at + 2, end) if tokens[place] in _OBJECT_ENDS), default=end)
    left, right = frozenset(_content(tokens[begin:at])), frozenset(_content(tokens[at + 1 : end]))
    return left - right, right - left
