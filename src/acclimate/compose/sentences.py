"""Where sentences end, and whether an answer is a phrase (pure).

Our own rules. They know the full stops of several scripts, closing quotes and brackets behind a stop, common
abbreviations and decimal points. A single letter before a stop ends its sentence: `The answer is B.` is more
common in answers than a person's initial.
"""

import re

STOPS = ".!?…。！？｡．।॥؟۔։።"
_CLOSERS = "\"'”’»›)]}」』）】*_"
_WIDE_STOPS = "。！？｡．"
"""Stops that need no space behind them."""

_END = re.compile(
    rf"[{re.escape(STOPS)}]+[{re.escape(_CLOSERS)}]*(?=\s)|[{_WIDE_STOPS}]+[{re.escape(_CLOSERS)}]*|\n+"
)
_CLOSED = re.compile(rf"[{re.escape(STOPS)}][{re.escape(_CLOSERS)}]*$")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘]+$")

_TITLES = frozenset(
    {"dr", "mr", "mrs", "ms", "prof", "e.g", "i.e", "vs", "cf", "approx", "fig", "figs", "eq"}
)
"""A stop behind one of these never ends a sentence."""
_NUMBERED = frozenset({"no", "nos", "vol", "pp", "p", "sec", "ch", "tab"})
"""A stop behind one of these ends none before a digit."""
_TRAILING = frozenset({"etc", "al", "ca", "incl", "a.m", "p.m", "u.s"})
"""A stop behind one of these ends none before a small letter, a digit or a bracket."""

_CLAUSE = re.compile(r"(i|it|this|that|these|those|there|they|we|he|she|you|here)\b", re.IGNORECASE)
"""First words that make a clause of what follows; `its colour` is none."""
_PHRASE_WORDS = 12
_NEARBY = 16
"""Characters looked at on either side of a stop; every abbreviation is shorter."""


def _is_abbreviation(before: str, after: str) -> bool:
    found = _LAST_WORD.search(before)
    word = found.group().lower() if found else ""
    following = after.lstrip()[:1]
    if word in _NUMBERED:
        return following.isdigit()
    if word in _TRAILING:
        return following.islower() or following.isdigit() or following == "("
    return word in _TITLES


def last_sentence(text: str) -> str:
    """Return the last sentence, or the last line where it has no stop; empty for a blank text."""
    text = text.strip()
    start = 0
    for end in _END.finditer(text):
        before = text[max(0, end.start() - _NEARBY) : end.start()]
        after = text[end.end() : end.end() + _NEARBY]
        goes_on = end.group() == "." and _is_abbreviation(before, after)
        if end.end() < len(text) and not goes_on:
            start = end.end()
    return text[start:].strip()


def is_blank(text: str) -> bool:
    """Say whether a text holds nothing but white space and stops."""
    return not text.strip(f"{STOPS} \t\r\n")


def closed(text: str) -> str:
    """Return the text with a full stop where it ends in none."""
    text = text.rstrip()
    return text if _CLOSED.search(text) else text.rstrip(",;:") + "."


def is_phrase(text: str) -> bool:
    """Say whether the text reads well behind `the answer is`: no whole sentence, no list, no second line.

    One word always does. Several do if they begin with a small letter or a digit, do not begin like a
    clause (`it`, `there`, ...), hold no stop but at their end, and are at most 12.
    """
    text = text.strip()
    words = text.split()
    inner = text[:-1] if text.endswith(".") else text
    if is_blank(text) or "\n" in text or _CLOSED.search(inner) or _END.search(inner):
        return False
    if re.search(r"[:;](\s|$)", text):
        return False
    if len(words) == 1:
        return True
    starts_small = text[0].islower() or text[0].isdigit()
    return starts_small and len(words) <= _PHRASE_WORDS and not _CLAUSE.match(text)
