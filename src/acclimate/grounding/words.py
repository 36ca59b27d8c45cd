"""Words of a text for comparison: folded, lightly stemmed, stop words apart. Pure.

Source: our own rules throughout; the stemmer only takes off common English endings, and the groups of like
words are a short list of our own. Other languages are compared word by word, unstemmed where no ending fits.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)*(?:['’][^\W_]+)?%?")
_VOWEL = re.compile(r"[aeiouy]")
_LEAST_GLUED = 16
_MOST_GLUED = 200
_LEAST_PART = 2


def listed(text: str) -> frozenset[str]:
    """Return the words of a list that is written as text."""
    return frozenset(text.split())


STOP = listed(
    """
    a about after again all also although am among an and any are as at be because been before being
    both but by can could did do does doing done during each either etc few for from further had has
    have having he her here hers him his how however i if in into is it its itself just let may me might
    more most must my neither no nor not of off often on once only onto or other our ours out over own
    per rather same shall she should since so some such than that the their theirs them then there
    therefore these they this those through thus to too under until up upon us very was we were what
    when where whereas which while who whom whose why will with within without would yet you your yours
    via whether cannot
    """
)
"""Words without content of their own; negation and comparison among them are looked at elsewhere."""

_LIKE = (
    "increase raise rise grow gain boost climb",
    "decrease reduce drop fall decline diminish lessen shrink",
    "improve enhance better",
    "harm degrade worsen hurt impair damage",
    "outperform surpass exceed beat",
    "reach attain achieve yield obtain",
    "show demonstrate reveal indicate find exhibit display observe",
    "use employ utilize utilise apply",
    "produce generate create synthesize synthesise make",
    "propose introduce present",
    "large big",
    "quick fast rapid",
    "cheap inexpensive",
    "keep preserve retain maintain",
    "start begin",
    "stop halt cease",
    "remove discard delete eliminate",
    "replace substitute swap",
    "need require",
    "help support assist",
    "allow enable permit let",
    "dataset data",
    "image picture photo photograph",
    "patient subject participant",
    "author researcher",
    "public open",
    "available release",
    "forget lose",
    "method approach technique",
    "benchmark test evaluation",
    "performance result",
    "drug medication",
    "error mistake",
    "defect flaw fault",
    "hour hr",
    "minute min",
    "second sec",
    "complete whole entire",
)

_SUFFIXES = (
    ("izations", "iz"), ("ization", "iz"), ("isations", "iz"), ("isation", "iz"),
    ("ational", "at"), ("ations", "at"), ("ation", "at"), ("ators", "at"), ("ator", "at"), ("ative", "at"),
    ("ating", "at"), ("ated", "at"), ("ates", "at"), ("ate", "at"),
    ("izing", "iz"), ("ized", "iz"), ("izes", "iz"), ("ize", "iz"),
    ("ising", "iz"), ("ised", "iz"), ("ises", "iz"), ("ise", "iz"),
    ("iveness", "iv"), ("fulness", "ful"), ("ements", ""), ("ement", ""), ("ments", ""), ("ment", ""),
    ("nesses", ""), ("ness", ""), ("ically", "ic"), ("ical", "ic"), ("ally", "al"), ("ily", "y"), ("ly", ""),
    ("ities", ""), ("ity", ""), ("ions", ""), ("ion", ""), ("ives", ""), ("ive", ""),
    ("ings", ""), ("ing", ""), ("edly", ""), ("ied", "y"), ("ed", ""), ("ies", "y"),
    ("ers", ""), ("er", ""), ("ors", ""), ("or", ""), ("sses", "ss"), ("es", ""), ("s", ""),
)  # fmt: skip
_IRREGULAR = {
    "using": "use", "used": "use", "uses": "use", "usage": "use",
    "rose": "rise", "risen": "rise", "fell": "fall", "fallen": "fall", "grew": "grow", "grown": "grow",
    "shown": "show", "found": "find", "made": "make", "kept": "keep", "lost": "lose", "began": "begin",
    "begun": "begin", "led": "lead", "built": "build", "held": "hold", "gave": "give", "given": "give",
    "took": "take", "taken": "take", "went": "go", "gone": "go", "ran": "run", "wrote": "write",
    "written": "write", "chosen": "choose", "chose": "choose", "taught": "teach", "sold": "sell",
    "bought": "buy", "cost": "cost", "better": "better", "images": "image", "data": "data", "less": "less",
    "children": "child", "men": "man", "women": "woman", "analyses": "analysis", "criteria": "criterion",
    "worse": "worse", "does": "do", "series": "series", "species": "species", "bias": "bias",
    "loss": "loss", "losses": "loss",
    "forgot": "forget", "forgotten": "forget", "datum": "data", "its": "its", "us": "us",
    "sped": "speed", "fewer": "fewer", "lower": "lower", "higher": "higher", "larger": "larger",
}  # fmt: skip


def folded(text: str) -> str:
    """Return the text in one form of every letter and of every dash, space and quote; case stays."""
    plain = unicodedata.normalize("NFKC", text).replace("\u00ad", "")
    return plain.translate(_DASHES)


_DASHES = str.maketrans(
    dict.fromkeys("‐‑‒–−", "-") | dict.fromkeys("‘’ʼ`´", "'") | dict.fromkeys("“”„«»", '"')
)


def words(text: str) -> list[str]:
    """Return the words in order, in lower case; hyphens part words, a possessive ending is taken off.

    Numbers stay one word with their decimals and percent sign: `85.1%`.
    """
    found = []
    for match in _WORD.finditer(folded(text).casefold()):
        found.append(match.group().removesuffix("'s").removesuffix("'"))
    return found


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """Return the word without its common English endings, or the first of its group of like words.

    Words with digits and words of up to three letters stay.
    """
    bare = _bare(word)
    return _GROUP.get(bare, bare)


def _bare(word: str) -> str:
    if len(word) <= 3 or any(sign.isdigit() for sign in word):
        return word
    word = _IRREGULAR.get(word, word)
    for ending, instead in _SUFFIXES:
        if word.endswith(ending) and _may_lose(word, ending):
            return _rounded(word[: -len(ending)] + instead)
    return _rounded(word)


def _may_lose(word: str, ending: str) -> bool:
    if ending == "s" and word.endswith(("ss", "us", "is")):
        return False
    rest = word[: -len(ending)]
    return len(rest) >= (3 if ending in ("s", "es", "ed", "ing") else 4) and bool(_VOWEL.search(rest))


def _rounded(rest: str) -> str:
    """Return a stem without its last `e` and without a doubled last consonant, so that forms meet."""
    if len(rest) > 3 and rest[-1] == "e":
        rest = rest[:-1]
    if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "aeiousl":
        rest = rest[:-1]
    return rest[:-1] + "i" if len(rest) > 3 and rest[-1] == "y" else rest


_GROUP = {_bare(word): _bare(group.split()[0]) for group in _LIKE for word in group.split()}


def content(text: str, known: Collection[str] = ()) -> list[str]:
    """Return the stems of the words that carry content, in order, repeats kept; numbers are left out.

    Args:
        known: words of the document; long words that are made of them only are taken apart. Text out of PDF
            files often has lost its spaces.
    """
    return content_of(words(text), known)


def content_of(found: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """Return the stems of the words that carry content; as `content`, for words already had."""
    stems = []
    for word in found:
        if len(word) >= _LEAST_GLUED and known and word not in known:
            parts = unglued(word, known)
            stems += [stem(part) for part in parts if part not in STOP]
            stems += [stem(word)] if len(parts) > 1 else []  # it may be one long word after all
        elif word not in STOP and len(word) > 1 and not word[0].isdigit():
            stems.append(stem(word))
    return stems


def unglued(word: str, known: Collection[str]) -> list[str]:
    """Return the known words that the word is made of, the longest first at every place, or the word itself.

    Source: our own rule; places from where no known words lead to the end are tried once.
    """
    if len(word) > _MOST_GLUED:
        return [word]
    ends, dead = [0], set[int]()
    least: list[int] = [_LEAST_GLUED]  # at each place, parts of this length and more were tried
    while ends[-1] < len(word):
        at = ends[-1]
        longest = min(least[-1] - 1, len(word) - at)
        length = next(
            (
                n
                for n in range(longest, _LEAST_PART - 1, -1)
                if at + n not in dead and word[at : at + n] in known
            ),
            0,
        )
        if length:
            least[-1] = length
            ends.append(at + length)
            least.append(_LEAST_GLUED)
            continue
        dead.add(at)
        if len(ends) == 1:
            return [word]
        ends.pop()
        least.pop()
    return [word[start:end] for start, end in pairwise(ends)]


def vocabulary(found: Iterable[str]) -> frozenset[str]:
    """Return the words of a document that long words may be made of: letters only, shorter than glued ones.

    Words of two letters count only where they are stop words; `a` and `i` never do.
    """
    return frozenset(
        word
        for word in found
        if word.isalpha() and (2 < len(word) < _LEAST_GLUED or (len(word) == 2 and word in STOP))
    )
