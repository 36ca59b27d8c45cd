"""Whether a reply gives a certain short answer, by normalised words (pure).

Source: our own rules, after the convention of VQA scoring (articles dropped, zero to ten as digits).
"""

import re
import unicodedata

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[぀-ヿ㐀-鿿가-힯]|[^\W_぀-ヿ㐀-鿿가-힯]+(?:'[^\W\d_]+)?")
_LETTER = re.compile(r"\s*\(?([A-Z])(?:[).:,]|\s*$)")
_BARE_LETTER = re.compile(r"\s*\(?([A-Z])\)?[.:]?\s*")
_ARTICLES = frozenset({"a", "an", "the"})
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {name: str(value) for value, name in enumerate(_SMALL)}
_DENIALS = frozenset({"not", "no", "never", "neither", "nor", "without", "isn't", "aren't", "wasn't"})


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a text: compatibility-normalised, case-folded, no punctuation.

    Chinese, Japanese and Korean characters stand alone, because those scripts have no spaces.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return tuple(_WORD.findall(folded))


def answer_words(text: str) -> tuple[str, ...]:
    """Return the words that count in an answer; a text of nothing but articles keeps them."""
    every = plain_words(text)
    kept = tuple(_NUMBERS.get(word, word) for word in every if word not in _ARTICLES)
    return kept or every


def gives(reply: str, answer: str) -> bool:
    """Return whether the reply gives the answer.

    It does when its words are the answer's, or hold them side by side and not right after a denial. A
    lettered answer needs the same letter in front; `yes` or `no` needs that word and not the other one.
    """
    wanted = answer_words(answer)
    if not wanted:
        return reply.strip().casefold() == answer.strip().casefold() != ""
    letter = _BARE_LETTER.fullmatch(answer)
    if letter is not None:
        found = _LETTER.match(reply)
        return found is not None and found[1] == letter[1]
    said = answer_words(reply)
    if wanted in (("yes",), ("no",)):
        return {"yes", "no"} & set(said) == set(wanted)
    size = len(wanted)
    places = (at for at in range(len(said) - size + 1) if said[at : at + size] == wanted)
    return any(at == 0 or said[at - 1] not in _DENIALS for at in places)
