"""What rules find in a caption: sentences, words, things, colours and numbers (pure).

Our own rules, for English. They know no grammar: a thing is found only where its article and what follows it
leave little doubt, so most words are passed over and what is found is nearly always right. In a sentence that
negates, doubts or quotes nothing is found.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.synthesize.rules_vocabulary import (
    ABBREVIATIONS,
    ADJECTIVES,
    AFTER_NOUN,
    COLOURLESS,
    COLOURS,
    COMPARING,
    DEPICTING,
    ENGLISH,
    FUNCTION_WORDS,
    NUMBERS,
    NUMERALS,
    PEOPLE,
    PLURALS,
    SHADES,
    SINGULARS,
    UNASKABLE,
    UNCOUNTED,
    VAGUE,
)

_STOPS = ".!?…।؟۔։።"
_WIDE_STOPS = "。！？｡"
"""Stops that need no space behind them."""
_CLOSERS = "\"'”’»)\\]」』）】"
_END = re.compile(rf"[{_STOPS}]+[{_CLOSERS}]*(?=\s)|[{_WIDE_STOPS}]+[{_CLOSERS}]*|\n+")
_CLOSED = re.compile(rf"[{_STOPS}{_WIDE_STOPS}][{_CLOSERS}]*$")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"
)
"""Characters of scripts that put no space between words."""
_DOUBT = re.compile(
    r"(?<!\w)(?:no|not|never|none|without|absen(?:t|ce)|negative|free of|neither|nor|lacks?|lacking|instead"
    r"|rather|except|may|might|could|would|possibl[ey]|probabl[ey]|likely|suspected|suspicious|suggest\w*|if|unless"
    r"|inscription|says?|saying|reads?|text|words?|titled|entitled|lettering|called|named)(?!\w)"
    r"|n['’]t(?!\w)|[\"“”«»`?]",
    re.IGNORECASE,
)
"""Words that negate, doubt or quote what stands in their sentence."""
_NEARNESS = {("next", "to"), ("close", "to"), ("adjacent", "to")}


def numeral(number: str) -> str:
    """Return a number in digits, as a word up to twelve or in digits already."""
    return NUMERALS.get(number.casefold(), number)


def is_number(word: str) -> bool:
    """Say whether a word is a number from two to twenty, as `counts` reads them."""
    return word.casefold() in NUMBERS


def filled(wording: str, **values: str) -> str:
    """Return the wording with its slots filled; braces in the values are text."""
    return re.sub(r"\{(\w+)\}", lambda slot: values[slot.group(1)], wording)


def n_words(text: str) -> int:
    """Return the number of words; a character of a script without spaces counts as one."""
    spaced = _UNSPACED.sub(lambda match: f" {match.group()} ", text)
    return sum(any(character.isalnum() for character in token) for token in spaced.split())


def sentences(text: str) -> list[str]:
    """Return the sentences in order, without outer white space.

    A full stop ends one only where the next word begins in no small letter, no bracket is open, and what
    stands before it is no abbreviation and no single letter. A line ends one too.
    """
    found, start = [], 0
    for end in _END.finditer(text):
        if _goes_on(text[start : end.start()], end.group(), text[end.end() :]):
            continue
        found.append(text[start : end.end()])
        start = end.end()
    return [each.strip() for each in [*found, text[start:]] if any(map(str.isalnum, each))]


def _goes_on(before: str, mark: str, after: str) -> bool:
    if mark[0] != ".":
        return False
    tokens = before.split()
    word = tokens[-1].lstrip("([\"'“‘").casefold() if tokens else ""
    is_short = word in ABBREVIATIONS or (len(word) == 1 and word.isalpha())
    following = after.lstrip()[:1]
    return is_short or following.islower() or before.count("(") > before.count(")") + mark.count(")")


def closed(sentence: str) -> str:
    """Return the sentence with a full stop where it ends in none."""
    sentence = sentence.strip()
    return sentence if _CLOSED.search(sentence) else sentence.rstrip(",;: ") + "."


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a sentence, without the marks around it."""

    text: str
    start: int
    end: int
    """Where it stands in the sentence, marks left out."""
    is_last: bool
    """Whether a mark follows it, or nothing: a phrase ends here."""

    @property
    def key(self) -> str:
        """The word, whatever its case."""
        return self.text.casefold()


def words_of(sentence: str) -> list[Word]:
    """Return the words between white space; a token of marks alone ends the phrase before it."""
    found: list[Word] = []
    for token in re.finditer(r"\S+", sentence):
        inner = [index for index, each in enumerate(token.group()) if _is_letter(each)]
        if not inner:
            found[-1:] = [Word(each.text, each.start, each.end, is_last=True) for each in found[-1:]]
            continue
        first, last = inner[0], inner[-1] + 1
        start = token.start() + first
        text = token.group()[first:last]
        if first and found:
            found[-1] = Word(found[-1].text, found[-1].start, found[-1].end, is_last=True)
        found.append(Word(text, start, start + len(text), is_last=last < len(token.group())))
    found[-1:] = [Word(each.text, each.start, each.end, is_last=True) for each in found[-1:]]
    return found


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def content_words(sentence: str) -> list[Word]:
    """Return the words worth asking for: three letters or more, no function word, once in the sentence."""
    words = words_of(sentence)
    keys = [word.key for word in words]
    return [
        word
        for word in words
        if len(word.text) >= 3
        and all(unicodedata.category(each)[0] in "LM" for each in word.text)
        and word.key not in FUNCTION_WORDS
        and keys.count(word.key) == 1
    ]


def is_english(text: str) -> bool:
    """Say whether one of the commonest English words is in the text: as far as rules can tell."""
    return any(word.key in ENGLISH for word in words_of(text))


def _is_clear(sentence: str) -> bool:
    """Say whether the sentence is English, as far as can be told, and neither negates, doubts nor quotes."""
    return not _DOUBT.search(sentence) and is_english(sentence)


def _is_noun(word: Word) -> bool:
    key = word.key
    is_plain = re.fullmatch(r"[a-z]+(?:-[a-z]+)*", key) is not None and len(key) >= 3
    return is_plain and not any(key in each for each in (FUNCTION_WORDS, ADJECTIVES, COLOURS, UNASKABLE))


def _ends_phrase(words: Sequence[Word], index: int) -> bool:
    return words[index].is_last or words[index + 1].key in AFTER_NOUN


def is_plural(noun: str) -> bool:
    """Say whether a noun looks like a plural."""
    noun = noun.casefold()
    return noun in PLURALS or (noun.endswith("s") and not noun.endswith(("ss", "us", "is")))


def stem(noun: str) -> str:
    """Return what singular and plural of a noun have in common, to compare by; not always a word."""
    key = noun.casefold()
    if key in SINGULARS:
        return SINGULARS[key]
    if key.endswith("ies") and len(key) > 4:
        return key[:-3] + "y"
    if key.endswith(("sses", "xes", "zes", "ches", "shes", "uses", "oes")):
        return key[:-2]
    return key[:-1] if key.endswith("s") and not key.endswith(("ss", "us", "is")) else key


def with_article(noun: str) -> str:
    """Return `a dog` or `an owl`: by the first letter, and by sound for the commonest exceptions."""
    key = noun.casefold()
    is_vowel = key[0] in "aeiou" and not key.startswith(("uni", "use", "usu", "eu", "one", "ufo"))
    return f"{'an' if is_vowel or key.startswith(('hour', 'honest', 'heir')) else 'a'} {noun}"


def things(sentence: str) -> list[str]:
    """Return what the sentence says is there, each with `a` or `an`, once each.

    A thing is one word behind `a` or `an`, adjectives of a list and colours between them left out, that ends
    its phrase. It is passed over behind words such as `like` and behind `of`, unless a picture is meant
    (`a photo of a dog`).
    """
    if not _is_clear(sentence):
        return []
    words = words_of(sentence)
    found: list[str] = []
    for index, word in enumerate(words[:-1]):
        if word.key not in ("a", "an") or word.is_last or _is_compared(words, index):
            continue
        at = index + 1
        while words[at].key in ADJECTIVES | COLOURS and not words[at].is_last:
            at += 1
        noun = words[at]
        is_thing = _is_noun(noun) and not is_plural(noun.text) and not _is_shade(words, at)
        if is_thing and _ends_phrase(words, at):
            own = at == index + 1
            found.append(f"{word.key} {noun.text}" if own else with_article(noun.text))
    return list(dict.fromkeys(found))


def _is_shade(words: Sequence[Word], index: int) -> bool:
    """Say whether a word may be a colour, as in `a peach and gold suit`."""
    after = [word.key for word in words[index + 1 : index + 3]]
    return len(after) == 2 and after[0] in ("and", "or") and after[1] in COLOURS | {"gold", "silver"}


def _is_compared(words: Sequence[Word], index: int) -> bool:
    """Say whether what follows the article at `index` need not be there."""
    before = words[index - 1].key if index else ""
    earlier = words[index - 2].key if index > 1 else ""
    if before == "of":
        return earlier not in DEPICTING
    return before in COMPARING and (earlier, before) not in _NEARNESS


@dataclass(frozen=True, slots=True)
class Stated:
    """Something the sentence says of a thing: its colour, or how many there are."""

    noun: str
    """Without article; with its adjectives where they were between number and noun."""
    value: str


def colours(sentence: str) -> list[Stated]:
    """Return the colour of each thing that has exactly one and is named once.

    The colour stands right before the noun, and no other colour, `and` or `or` before it; a shade such as
    `dark` belongs to it. People have none, and a few nouns whose name begins with a colour are left out.
    """
    if not _is_clear(sentence):
        return []
    words = words_of(sentence)
    keys = [word.key for word in words]
    found = []
    for index, word in enumerate(words[:-1]):
        if word.key not in COLOURS or word.is_last:
            continue
        first = index - 1 if index and keys[index - 1] in SHADES else index
        noun = words[index + 1]
        before = keys[first - 1] if first else ""
        if before in COLOURS | {"and", "or"} or not _has_colour(noun) or not _ends_phrase(words, index + 1):
            continue
        if [stem(key) for key in keys].count(stem(noun.key)) == 1:
            found.append(Stated(noun.text, " ".join(keys[first : index + 1])))
    return found


def _has_colour(noun: Word) -> bool:
    return _is_noun(noun) and noun.key not in PEOPLE | COLOURLESS


def counts(sentence: str) -> list[Stated]:
    """Return the things whose number is told, two to twenty, as a word up to twelve.

    Between the number and the plural at most two words stand, adjectives or a noun such as `soccer`. Numbers
    behind words such as `about` or `least`, measures and words such as `types` are passed over.
    """
    if not _is_clear(sentence):
        return []
    words = words_of(sentence)
    stems = [stem(word.key) for word in words]
    found = []
    for index, word in enumerate(words[:-1]):
        before = words[index - 1].key if index else ""
        if word.key not in NUMBERS or word.is_last or before in VAGUE | NUMBERS:
            continue
        at = _plural_after(words, index)
        if at is not None and stems.count(stems[at]) == 1:
            noun = " ".join(each.text for each in words[index + 1 : at + 1])
            found.append(Stated(noun, word.text))
    return found


def _plural_after(words: Sequence[Word], index: int) -> int | None:
    """Return the place of the plural that the number at `index` counts, or None where that is not clear."""
    for at in range(index + 1, min(index + 4, len(words))):
        word = words[at]
        if is_plural(word.text):
            is_thing = re.fullmatch(r"[a-z]+", word.key) is not None and word.key not in UNCOUNTED
            return at if is_thing and _ends_phrase(words, at) else None
        is_between = re.fullmatch(r"[a-z]+", word.key) is not None and word.key not in FUNCTION_WORDS
        if word.is_last or not is_between or word.key.endswith("ing"):
            return None
    return None
