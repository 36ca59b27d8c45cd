"""Proper names of a sentence, and whether a text holds them exactly. Pure. Source: our own rules."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from acclimate.grounding.words import STOP, folded

_UNIT = re.compile(r"[^\W_]+(?:[-./+&'][^\W_]+)*\+?|[^\w\s]")
_PARENS = re.compile(r"\(([A-Z][A-Za-z]*s?)\)")
_LINKS = frozenset({"of", "the", "for", "de", "von", "van"})
_MOST_PARTS = 8


def names(text: str) -> tuple[str, ...]:
    """Return the proper names of a sentence, each once, in order.

    A name is a word with a capital inside or a digit beside letters (`LLaVA`, `GPT-4`, `ScienceQA`), or a run
    of capitalised words (`Science QA`, `Visual Reliance Score`). A sentence's first word counts only where it
    cannot be an ordinary word with a capital. A short form in brackets behind its own words, `language models
    (LMs)`, is no name of its own. Sentences in title case or capitals give none.
    """
    units = _units(text)
    worded = [unit for unit in units if unit[0].isalnum()]
    short = set(short_forms(text))
    capitals = [unit for unit in worded if unit[0].isupper()]
    if len(worded) > 4 and len(capitals) > 0.8 * len(worded):
        return ()
    found: dict[str, None] = {}
    for run in _runs(units):
        name = " ".join(run)
        if name not in short:
            found.setdefault(name)
    return tuple(found)


def short_forms(text: str) -> tuple[str, ...]:
    """Return the short forms in brackets behind their own words: `VRS` of `Visual Reliance Score (VRS)`."""
    worded = [unit for unit in _units(text) if unit[0].isalnum()]
    return tuple(match[1] for match in _PARENS.finditer(folded(text)) if _spelled_out(match[1], worded))


def _units(text: str) -> list[str]:
    return [bare for unit in _UNIT.findall(folded(text)) if (bare := _without_ending(unit))]


def _without_ending(unit: str) -> str:
    """Return the word without a possessive and without an ending in small letters: `GPT-4-generated`."""
    unit = unit.removesuffix("'s").removesuffix("'")
    while True:
        head, hyphen, last = unit.rpartition("-")
        if not (hyphen and len(last) > 1 and last.isalpha() and last.islower() and _is_marked(head)):
            return unit
        unit = head


def _is_marked(unit: str) -> bool:
    """Return whether a word is a name by its shape alone."""
    if not any(sign.isalpha() for sign in unit) or unit[0].isdigit():
        return False
    inner = any(sign.isupper() for sign in unit[1:])
    digit = any(sign.isdigit() for sign in unit)
    parts = unit.split("-")
    if inner and len(parts) > 1 and all(part[:1].isupper() and part[1:].islower() for part in parts):
        return True
    return (inner and not unit[1:].startswith("'")) or (digit and any(s.isupper() for s in unit))


def _runs(units: Sequence[str]) -> Iterator[tuple[str, ...]]:
    at, opens = 0, True
    while at < len(units):
        unit = units[at]
        if not unit[0].isalnum():
            opens = opens or unit in '.!?:"“|'
            at += 1
            continue
        run = _run(units, at, opens=opens)
        opens = False
        if run:
            yield run
        at += max(1, len(run))


def _run(units: Sequence[str], at: int, *, opens: bool) -> tuple[str, ...]:
    """Return the name that starts at a word; empty where none does."""
    if _is_marked(units[at]):
        if not _is_plain_capital(units, at + 1):
            return (units[at],)
    elif not _is_plain_capital(units, at) or (opens and not _starts_name(units, at)):
        return ()
    run = [units[at]]
    while len(run) < _MOST_PARTS:
        follow = at + len(run)
        if _is_plain_capital(units, follow) or (
            follow < len(units) and _is_marked(units[follow]) and _joins(run, units[follow])
        ):
            run.append(units[follow])
        elif (
            follow < len(units)
            and units[follow] in _LINKS
            and _is_plain_capital(units, follow + 1)
            and not opens
        ):
            run += units[follow : follow + 2]
        else:
            break
    return tuple(run)


def _joins(run: Sequence[str], unit: str) -> bool:
    """Return whether a marked word goes on a name: `Science QA`, and not `Recently GPT-4`."""
    return unit.isupper() and unit.isalpha() and run[-1][1:].islower()


def _starts_name(units: Sequence[str], at: int) -> bool:
    """Return whether a sentence's first word starts a name: a capital follows, and it is no stop word."""
    follows = _is_plain_capital(units, at + 1) or (at + 1 < len(units) and _joins([units[at]], units[at + 1]))
    return units[at].casefold() not in STOP and follows


def _is_plain_capital(units: Sequence[str], at: int) -> bool:
    if at >= len(units):
        return False
    unit = units[at]
    is_word = len(unit) > 1 and unit[0].isupper() and unit.replace("-", "").replace("'", "").isalpha()
    return is_word and unit.casefold() not in STOP and not _is_marked_strictly(unit)


def _is_marked_strictly(unit: str) -> bool:
    return any(sign.isupper() for part in unit.split("-") for sign in part[1:])


def _spelled_out(short: str, worded: Iterable[str]) -> bool:
    """Return whether consecutive words begin with the letters of a short form."""
    letters = short.removesuffix("s").casefold()
    if len(letters) < 2:
        return False
    initials = "".join(word[0] for unit in worded for word in unit.split("-") if word).casefold()
    return letters in initials


@lru_cache(maxsize=20_000)
def _keys(text: str) -> tuple[frozenset[str], str]:
    """Return what names may match in a text: its words and their runs without marks, and the initials."""
    units = [unit for unit in _units(text) if unit[0].isalnum()]
    bare = ["".join(sign for sign in unit if sign.isalnum() or sign == "+").casefold() for unit in units]
    runs = {
        "".join(bare[start : start + length])
        for length in range(1, _MOST_PARTS + 1)
        for start in range(len(bare) - length + 1)
    }
    worded = [word for unit in units for word in unit.casefold().split("-")]
    initials = "".join(word[0] for word in worded if len(word) > 2 and word not in STOP)
    return frozenset(runs), initials


def holds_name(text: str, name: str) -> bool:
    """Return whether a text holds a name exactly, but for case, spaces, hyphens and a plural s.

    `Science QA` and `ScienceQA` are one name; `GPT-4` and `GPT-4V` are two, as are `LLaVA` and `LLaVA-Med`. A
    short form of three letters or more is also held by words with content that begin with its letters in
    order.
    """
    runs, initials = _keys(text)
    bare = "".join(sign for sign in folded(name) if sign.isalnum() or sign == "+").casefold()
    short = bare.removesuffix("s")
    if bare in runs or short in runs or f"{bare}s" in runs:
        return True
    letters = name.removesuffix("s")
    return len(letters) >= 3 and letters.isalpha() and letters.isupper() and letters.casefold() in initials


def missing_names(text: str, wanted: Collection[str]) -> tuple[str, ...]:
    """Return the names that a text does not hold, in order."""
    return tuple(name for name in wanted if not holds_name(text, name))
