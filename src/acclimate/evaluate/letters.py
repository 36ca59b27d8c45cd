"""Reads the letter of an option out of a reply, as ScienceQA's published scorer does and as it ought to be.

Source: LLaVA's ScienceQA scripts, from a description of what they do. The strict reading is ours.
"""

import re

from acclimate.evaluate.answers import choice_index, is_several, letters_claimed, plain_text

LETTERS = "ABCDE"
"""ScienceQA's options."""

_PAPER_STATEMENT = re.compile(r"The answer is ([A-Z]).")


def paper_letter(text: str, n_options: int) -> int | None:
    """Return the option's index as the published scorer reads it, or None where it stores -1.

    Args:
        n_options: of this item, 1 to 5.

    Source:
        LLaVA's ScienceQA evaluation: the text is a letter A to E; else it begins with one, a dot and a blank;
        else "The answer is X" with any character behind it stands in it exactly once. Quirks kept: a reply
        that ends right behind the letter is not read, nor one that says the same answer twice; a letter
        beyond the item's options is no answer, and nothing else is looked for then.
    """
    letter = _paper_letter_said(text)
    return None if letter is None else option_index(letter, n_options)


def _paper_letter_said(text: str) -> str | None:
    if len(text) == 1 and text in LETTERS:
        return text
    if text[:1] in LETTERS and text[1:3] == ". ":
        return text[0]
    return paper_statement(text)


def paper_statement(text: str) -> str | None:
    """Return the letter of the only "The answer is X." of a text, with any character behind the letter."""
    said = _PAPER_STATEMENT.findall(text)
    return said[0] if len(said) == 1 else None


def option_index(letter: str, n_options: int) -> int | None:
    """Return the index of an option's letter; None beyond the item's options."""
    at = LETTERS[:n_options].find(letter)
    return at if at >= 0 else None


STATEMENT = re.compile(
    r"\banswer(?:\sis\s?:?|\s?:)\s?(?:(?:option|choice)\s)?[*(\"']*(?P<letter>[A-Z])(?![A-Z0-9])"
    r"(?P<close>[*)\"']*)(?=(?P<after>[.,;:!?]|\s?\Z|\n|\\n|\s(?:because|since)\b)?)",
    re.IGNORECASE,
)
_ANOTHER = re.compile(r"\s?(?:,\s?(?:and\s|or\s)?|;\s?|/|&\s?|\b(?:and|or)\s)[*(\"']*[A-HJ-Z](?![\w'])")
_HEDGE = re.compile(r"\b(?:not|never|if|whether|unless|cannot)\b|n['’]t\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?\n]")
_HEAD = re.compile(r"[*(\"']*([A-Z])[*)\"']*[.:)](?=\s)")
_REACH = 60
"""Characters before a statement in which a "not" or an "if" takes it back."""


def strict_letter(text: str, n_options: int) -> int | None:
    """Return the option that a reply names by its letter, or None where it names none or is in any doubt.

    Args:
        n_options: of this item, 1 to 5.

    Returns:
        The index that every "the answer is X" or "Answer: X" of the text agrees on, whatever stands behind
        the letter and however often it is said; without such a statement what `answers.choice_index` reads
        on the first line ("B", "(B)", "B. because ..."). None: statements that differ, an opening letter or
        an "it is B" that differs, a letter beyond the options, several letters ("A or B"), a statement taken
        back ("not sure if the answer is A").

    Source:
        Our own rule.
    """
    plain = plain_text(text)
    if is_several(plain):
        return None
    said: set[str] = set()
    n_statements = 0
    for match in STATEMENT.finditer(plain):
        if not _is_closed(match):
            continue
        n_statements += 1
        if _ANOTHER.match(plain, match.end()):
            return None
        if not _is_hedged(plain, match.start()):
            said.add(match["letter"].upper())
    if n_statements == 0:
        return choice_index(("",) * n_options, plain.partition("\n")[0])
    if len(said | letters_claimed(plain)) != 1 or not said:
        return None
    index = option_index(said.pop(), n_options)
    head = _HEAD.match(plain)
    opening = option_index(head[1], n_options) if head else None
    return index if opening is None or opening == index else None


def _is_closed(match: re.Match[str]) -> bool:
    """Return whether a statement's letter is one: "is B." and "is (B) heart", never "is a plant"."""
    if ")" in match["close"]:
        return True
    return match["after"] is not None and (match["letter"].isupper() or match["after"] in (".", "", "\n"))


def _is_hedged(text: str, at: int) -> bool:
    before = _SENTENCE_END.split(text[max(at - _REACH, 0) : at])[-1]
    return _HEDGE.search(before) is not None
