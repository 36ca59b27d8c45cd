"""What texts give away: cut sentences, borrowed words, the word that belongs to the gate. Pure.

All rules here are our own; each says what it may miss.
"""

import re
from collections.abc import Iterator, Mapping

BORROWED_WORDS = 12
"""So many words in a row that also stand in a source are copied."""
WHOLE_LENGTH = 100
"""A shorter sentence without a full stop may be whole: writers of claims leave it out."""

_CLOSERS = "\"'”’»)]*_`"
_ENDS = (".", "!", "?", "。", "！", "？", "।", "؟")
_CUT_ENDS = ("...", "…", "-", "‐", "–", "—", ",", ";", ":", "(", "[", "/")
_DANGLING = frozenset(
    [
        *("a", "an", "the", "of", "for", "in", "on", "at", "to", "by", "with", "without", "from", "into"),
        *("onto", "over", "under", "between", "among", "across", "and", "or", "nor", "but", "than", "that"),
        *("which", "whose", "vs", "versus", "via", "per", "as", "is", "are", "was", "were", "be"),
    ]
)
"""English words that no title and no sentence ends with."""
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"|«[^»]*»|„[^“”]*[“”]")
_VERIFIED = re.compile(r"(?<![a-z])(independently[\s-]+)?verified(?![a-z])", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not|never|nor|cannot|can't|isn't|without)(?:\s+(?:be|been|yet|get))*\s+$", re.IGNORECASE
)


def sentence_is_ended(text: str) -> bool:
    """Return whether a text ends as a sentence does; three dots end nothing."""
    bare = text.rstrip().rstrip(_CLOSERS).rstrip()
    return bare.endswith(_ENDS) and not bare.endswith("...")


def title_is_cut(title: str) -> bool:
    """Return whether a title stops where none does: at a dash, at an open bracket, at a word such as "for".

    A title cut between two nouns is not seen.
    """
    bare = title.strip()
    last = re.findall(r"\w+", bare)[-1:]
    open_brackets = any(bare.count(start) > bare.count(end) for start, end in ("()", "[]"))
    return bare.endswith(_CUT_ENDS) or open_brackets or (bool(last) and last[0].lower() in _DANGLING)


def sentence_is_cut(sentence: str) -> bool:
    """Return whether a claim's sentence was cut.

    Without the mark of a sentence's end, it is cut from 100 characters on, and at any length where it stops
    as no title does.
    """
    if sentence_is_ended(sentence):
        return False
    return len(sentence.strip()) >= WHOLE_LENGTH or title_is_cut(sentence)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def borrowed(text: str, sources: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first source that the text copies and the longest run of words from it, or None.

    What stands in quotation marks is quoted, not copied. Only runs of 12 words or more count, so a short
    text or a paraphrase is never found.
    """
    own = [_words(part) for part in _QUOTED.split(text)]
    for name, source in sources.items():
        theirs = _words(source)
        if len(theirs) < BORROWED_WORDS:
            continue
        grams = {tuple(theirs[at : at + BORROWED_WORDS]) for at in range(len(theirs) - BORROWED_WORDS + 1)}
        runs: list[list[str]] = [run for part in own for run in _runs(part, grams)]
        if runs:
            longest = max(len(run) for run in runs)
            return name, " ".join(next(run for run in runs if len(run) == longest))
    return None


def _runs(words: list[str], grams: set[tuple[str, ...]]) -> Iterator[list[str]]:
    start = None
    last = len(words) - BORROWED_WORDS
    for at in range(last + 1):
        known = tuple(words[at : at + BORROWED_WORDS]) in grams
        if known and start is None:
            start = at
        if start is not None and (not known or at == last):
            yield words[start : at + BORROWED_WORDS - (not known)]
            start = None


def says_verified(text: str, *, gate_opened: bool) -> str | None:
    """Return the strongest words that call something verified though the gate does not, or None.

    `VERIFIED` in capitals is the verdict's own name, and "not verified" denies it; both may stand. Nothing
    here is "independently verified": the gate runs the record's own program.
    """
    said = [
        found.group()
        for found in _VERIFIED.finditer(text)
        if not found.group().isupper() and not _DENIED.search(text[: found.start()])
        if found.group(1) or not gate_opened
    ]
    return max(said, key=len, default=None)


def names(text: str, quantity: str) -> bool:
    """Return whether a text names a quantity, as whole words, whatever their case."""
    return re.search(rf"(?<!\w){re.escape(quantity)}(?!\w)", text, re.IGNORECASE) is not None
