"""Reads an answer out of a reply. Reading and marking are different acts; nothing is ever guessed here.

Every function returns None where the reply cannot be read as exactly one answer, so that unreadable
replies are counted instead of marked by accident.
"""

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[぀-ヿ㐀-鿿가-힯]|[^\W_぀-ヿ㐀-鿿가-힯]+(?:'[^\W\d_]+)?")
_ARTICLES = frozenset({"a", "an", "the"})
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {name: str(value) for value, name in enumerate(_SMALL)}
_NOTHING = frozenset({"none", "nothing"})


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a text: compatibility-normalised, case-folded, no punctuation.

    Source:
        Our own rule. Numbers keep their decimals; Chinese, Japanese and Korean characters stand alone,
        because those scripts have no spaces to count words by.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return tuple(_WORD.findall(folded))


def words(text: str) -> tuple[str, ...]:
    """Return the words that count in an answer: no articles, small numbers as digits.

    Source:
        Our own rule, after the VQA convention (articles dropped, zero to ten as digits) that the paper's
        scorer follows too. A text of nothing but articles keeps them, so that it is not empty.
    """
    every = plain_words(text)
    kept = tuple(_NUMBERS.get(word, word) for word in every if word not in _ARTICLES)
    return kept or every


def find_words(wanted: Sequence[str], text: Sequence[str]) -> list[int]:
    """Return every position where the wanted words stand next to each other in the text."""
    size = len(wanted)
    if size == 0:
        return []
    return [at for at in range(len(text) - size + 1) if tuple(text[at : at + size]) == tuple(wanted)]


def yes_or_no(text: str) -> str | None:
    """Return `yes` or `no` if the text says exactly one of them as a word, else None.

    Source:
        Our own rule. Substring search, which much public code uses, reads "no" in "abnormal". A reply
        that says both ("Yes, there is no nodule") is not read: which of the two answers is a guess.
    """
    said = {"yes", "no"} & set(plain_words(text))
    return said.pop() if len(said) == 1 else None


def either_or(question: str, options: Sequence[str], gold: str, text: str) -> str | None:
    """Read the answer to a closed question that is not answered by yes or no.

    Args:
        question: its text; the words next to an "or" are what it offers ("left or right").
        options: what may be answered, where the benchmark says so; replaces what the question offers.
        gold: the right answer.
        text: the reply.

    Returns:
        The gold's words joined by spaces when the reply equals them, or says them as whole words and no
        other option; another option's words when it says those only; None when it says several options,
        none of them, or nothing.

    Source:
        Our own rule. Substring search reads "normal" in "abnormal".
    """
    said = words(text)
    right = words(gold)
    rivals = [option for option in map(words, options) if option and option != right] or _offered(
        question, right
    )
    if not said:
        return None
    if said == right:
        return " ".join(right)
    is_right = bool(find_words(right, said))
    others = [rival for rival in rivals if find_words(rival, said) and not find_words(rival, right)]
    if is_right:
        return None if others else " ".join(right)
    if not rivals:
        return " ".join(said)
    return " ".join(others[0]) if len(others) == 1 else None


def _offered(question: str, gold: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the words next to each "or" of a question, the gold's own words left out."""
    asked = words(question)
    beside: dict[str, None] = {}
    for at, word in enumerate(asked):
        if word == "or":
            beside.update(dict.fromkeys([*asked[max(at - 1, 0) : at], *asked[at + 1 : at + 2]]))
    return [(word,) for word in beside if word not in gold]


_LETTER_IN_BRACKETS = re.compile(r"(?<!\w)\(([A-Za-z])\)")
_LETTER_FIRST = re.compile(r"\A[\s*_\"'(\[]*([A-Z])(?=[*_\"'\])]*(?:[.:,;)\]]|\s*\Z))")
_LETTER_ALONE = re.compile(r"\A\W*([A-Za-z])\W*\Z")
_LETTER_SAID = re.compile(r"\b(?i:answer|option|choice)\b(?:\s+is)?\s*:?\s*[*(]*([A-Z])(?=[*).,:;!]|\s*\Z)")
_LETTER_LISTED = re.compile(r"(?<=\s)\(?([A-Z])[.:)]\s+(?=\S)")


def choice_index(choices: Sequence[str], text: str) -> int | None:
    """Return which choice a reply names, by letter ("B", "(B)", "B.", "B: text", "option B") or by content.

    Returns:
        The choice's index; None when the reply names none, names several, or its letter and its text name
        different choices.

    Source:
        Our own rule. The paper's reader guesses at random here (`scorers.paper_choice` keeps that).
    """
    by_letter = _letters_said(text, len(choices))
    by_content = set(contents_said(choices, text))
    if by_letter is None or len(by_letter) > 1:
        return None
    if by_letter:
        (index,) = by_letter
        return index if not by_content or index in by_content else None
    return by_content.pop() if len(by_content) == 1 else None


def _letters_said(text: str, n_choices: int) -> set[int] | None:
    """Return the indices of the letters said; None when a letter stands for no choice."""
    if n_choices > 26:
        return set()
    first = _LETTER_ALONE.findall(text) or _LETTER_FIRST.findall(text)
    letters = {*first, *_LETTER_IN_BRACKETS.findall(text), *_LETTER_SAID.findall(text)}
    if first:
        # "A. lung B. heart" repeats the choices; "It is vitamin C. It ..." does not name the third one.
        letters |= set(_LETTER_LISTED.findall(text))
    indices = {ord(letter.upper()) - ord("A") for letter in letters}
    return indices if all(index < n_choices for index in indices) else None


def contents_said(names: Sequence[str], text: str) -> list[int]:
    """Return the indices of the names that a text says as whole words, longest names first.

    Words already read as a longer name are not read again, so "sweet potato" does not also say "potato".
    Of names that read alike only the first is found.

    Source:
        Our own rule; the paper's multi-label reader searches substrings instead ("pho" in "photo").
    """
    rest: list[str] = list(words(text))
    wanted = [words(name) for name in names]
    order = sorted(range(len(names)), key=lambda index: -len(wanted[index]))
    found = []
    for index in order:
        places = find_words(wanted[index], rest)
        for at in places:
            rest[at : at + len(wanted[index])] = [""] * len(wanted[index])
        if places:
            found.append(index)
    return sorted(found)


def labels_said(labels: Sequence[str], text: str) -> tuple[str, ...] | None:
    """Return the labels a reply names, in the vocabulary's order; () for "none"; None when unreadable."""
    found = tuple(labels[index] for index in contents_said(labels, text))
    if found or _NOTHING & set(plain_words(text)):
        return found
    return None
