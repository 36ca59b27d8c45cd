"""What rules find in a caption: sentences, words, things, colours and numbers (pure).

Our own rules, for English. They know no grammar: a thing is found only where its article and what follows it
leave little doubt, so most words are passed over and what is found is nearly always right. In a sentence that
negates, doubts or quotes nothing is found.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

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
# Split from one line each: quoted words in a tuple are harder to read.
_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st e.g i.e vs cf approx fig figs eq no nos vol pp ca etc al inc ltd jr sr u.s a.m p.m".split()  # noqa: SIM905
)

_FUNCTION_WORDS = frozenset(
    """
    a an the this that these those and or but nor so if then than as at by for from in into of off on onto out over
    to under up upon with within without about above across after against along among around before behind below
    beneath beside besides between beyond down during inside near next outside past per since through throughout
    till toward towards until via is are was were be been being am has have had having do does did doing done will
    would shall should can could may might must not no yes it its he she they them him her his hers their theirs we
    us our you your i me my mine who whom whose which what where when while why how there here all any both each
    either every few many more most much neither other others another some several such same very too also just only
    even still yet again ever never one two three four five six seven eight nine ten eleven twelve first second
    third last because although though however
    """.split()
)
"""Words that say little by themselves; they are never asked for."""
_ADJECTIVES = frozenset(
    """
    big small large little tiny huge giant tall short long wide narrow round square flat thick thin old young new
    modern ancient antique vintage beautiful pretty cute handsome wooden metal plastic glass stone brick marble
    leather cotton paper empty full open closed broken clean dirty dark light bright pale deep shiny wet dry fresh
    hot cold soft smooth rough simple single happy sad busy quiet colorful colourful striped rocky snowy sandy grassy
    muddy dusty fluffy furry domestic wild
    """.split()
)
"""May stand between an article and its noun."""
COLOURS = frozenset(
    "red green blue yellow black white brown pink purple orange grey gray beige turquoise maroon".split()  # noqa: SIM905
)
_SHADES = frozenset({"light", "dark", "bright", "pale", "deep"})
_PREPOSITIONS = """
    in on at with by from to near under over behind beside between against into onto through across along around
    above below inside outside during within beneath among toward towards
""".split()
_PARTICIPLES = """
    sitting standing holding wearing walking running riding playing looking working lying laying hanging showing
    making eating driving flying jumping using featuring swimming smiling posing talking carrying sleeping filled
    covered decorated displayed surrounded parked seen shown
""".split()
_AFTER_NOUN = frozenset(
    [*_PREPOSITIONS, *_PARTICIPLES]
    + "of for and is are was were has have that which who whose where while as".split()  # noqa: SIM905
)
"""Words that end a noun phrase."""

_UNASKABLE = frozenset(
    """
    image picture photo photograph photography figure view shot close-up closeup illustration drawing painting sketch
    rendering render graphic poster print portrait panel scan scene background foreground front back top bottom side
    left right middle center centre corner edge end part piece bit lot group set pair couple bunch number variety
    range series row line kind type sort form shape size style pattern color colour tone shade hue design way day
    night morning evening afternoon time moment year month week world place area space position level case example
    sample view angle note word words text title name number letter caption label sign symbol idea concept theme
    sense look result effect cause change increase decrease history reason half quarter few little while good great
    few total percent result study patient trip event party job lot matter series mixture combination selection
    collection assortment version kind amount distance direction height width depth degree
    """.split()
)
"""Nouns that name no thing in a picture, or that name the picture itself."""
_PEOPLE = frozenset(
    """
    man men woman women person people boy boys girl girls male female child children kid kids baby babies lady
    ladies guy guys gentleman gentlemen couple family families american americans african asian
    """.split()
)
_COLOURLESS = frozenset("blood wine gold juice peel tree trees hole holes house power list meat cell cells".split())  # noqa: SIM905
"""With a colour before them these may be names of something else."""
_UNCOUNTED = frozenset(
    """
    years year months weeks days hours minutes seconds times percent types kinds sorts ways cm mm km m kg g mg ml inches
    feet miles metres meters degrees dollars euros pounds cents points stages steps levels parts photos pictures
    images views panels figures sets pairs series rows sides sizes shades colors colours styles patterns thirds
    quarters halves others dimensions grades cases patients examples samples stars
    """.split()
)
"""Plurals whose number is not a number of things in the picture."""
_PLURALS = frozenset({"men", "women", "people", "children", "sheep", "geese", "teeth", "feet", "mice", "deer"})
_NUMBERS = frozenset("two three four five six seven eight nine ten eleven twelve".split()) | {  # noqa: SIM905
    str(n) for n in range(2, 21)
}
_VAGUE = frozenset(
    "least most than about over under to or nearly almost around between every other another approximately up".split()  # noqa: SIM905
)
"""Before a number, these make it none."""
_COMPARING = frozenset("like as for than into to per resembling becoming without no half such not".split())  # noqa: SIM905
"""Before an article: what follows need not be there."""
_DEPICTING = frozenset(
    "photo image picture photograph illustration drawing painting portrait view group close-up closeup".split()  # noqa: SIM905
)
_DOUBT = re.compile(
    r"(?<!\w)(?:no|not|never|none|without|absen(?:t|ce)|negative|free of|neither|nor|lacks?|lacking|instead|rather"
    r"|except|may|might|could|would|possibl[ey]|probabl[ey]|likely|suspected|suspicious|suggest\w*|if|unless"
    r"|inscription|says?|saying|reads?|text|words?|titled|entitled|lettering|called|named)(?!\w)"
    r"|n['’]t(?!\w)|[\"“”«»`?]",
    re.IGNORECASE,
)
_ENGLISH = frozenset(
    "the of and with is are was were this that from for by at an on in near her his its their two three".split()  # noqa: SIM905
)


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
    is_short = word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())
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
            found[-1:] = [Word(each.text, each.start, each.end, True) for each in found[-1:]]
            continue
        first, last = inner[0], inner[-1] + 1
        start = token.start() + first
        text = token.group()[first:last]
        if first and found:
            found[-1] = Word(found[-1].text, found[-1].start, found[-1].end, True)
        found.append(Word(text, start, start + len(text), last < len(token.group())))
    found[-1:] = [Word(each.text, each.start, each.end, True) for each in found[-1:]]
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
        and word.key not in _FUNCTION_WORDS
        and keys.count(word.key) == 1
    ]


def _is_clear(sentence: str) -> bool:
    """Say whether the sentence is English, as far as can be told, and neither negates, doubts nor quotes."""
    if _DOUBT.search(sentence):
        return False
    return any(word.key in _ENGLISH for word in words_of(sentence))


def _is_noun(word: Word) -> bool:
    key = word.key
    is_plain = re.fullmatch(r"[a-z]+(?:-[a-z]+)*", key) is not None and len(key) >= 3
    return is_plain and not any(key in each for each in (_FUNCTION_WORDS, _ADJECTIVES, COLOURS, _UNASKABLE))


def _ends_phrase(words: Sequence[Word], index: int) -> bool:
    return words[index].is_last or words[index + 1].key in _AFTER_NOUN


def is_plural(noun: str) -> bool:
    """Say whether a noun looks like a plural."""
    noun = noun.casefold()
    return noun in _PLURALS or (noun.endswith("s") and not noun.endswith(("ss", "us", "is")))


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
        while words[at].key in _ADJECTIVES | COLOURS and not words[at].is_last:
            at += 1
        noun = words[at]
        if _is_noun(noun) and _ends_phrase(words, at) and not is_plural(noun.text):
            own = at == index + 1
            found.append(f"{word.key} {noun.text}" if own else with_article(noun.text))
    return list(dict.fromkeys(found))


def _is_compared(words: Sequence[Word], index: int) -> bool:
    """Say whether what follows the article at `index` need not be there."""
    before = words[index - 1].key if index else ""
    if before == "of":
        return index < 2 or words[index - 2].key not in _DEPICTING
    return before in _COMPARING


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
        first = index - 1 if index and keys[index - 1] in _SHADES else index
        noun = words[index + 1]
        before = keys[first - 1] if first else ""
        if before in COLOURS | {"and", "or"} or not _has_colour(noun) or not _ends_phrase(words, index + 1):
            continue
        stems = [key.removesuffix("s") for key in keys]
        if stems.count(noun.key.removesuffix("s")) == 1:
            found.append(Stated(noun.text, " ".join(keys[first : index + 1])))
    return found


def _has_colour(noun: Word) -> bool:
    return _is_noun(noun) and noun.key not in _PEOPLE | _COLOURLESS


def counts(sentence: str) -> list[Stated]:
    """Return the things whose number is told, two to twenty, as a word up to twelve.

    Between the number and the plural at most two words stand, adjectives or a noun such as `soccer`. Numbers
    behind words such as `about` or `least`, measures and words such as `types` are passed over.
    """
    if not _is_clear(sentence):
        return []
    words = words_of(sentence)
    stems = [word.key.removesuffix("s") for word in words]
    found = []
    for index, word in enumerate(words[:-1]):
        before = words[index - 1].key if index else ""
        if word.key not in _NUMBERS or word.is_last or before in _VAGUE | _NUMBERS:
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
            is_thing = re.fullmatch(r"[a-z]+", word.key) is not None and word.key not in _UNCOUNTED
            return at if is_thing and _ends_phrase(words, at) else None
        is_between = re.fullmatch(r"[a-z]+", word.key) is not None and word.key not in _FUNCTION_WORDS
        if word.is_last or not is_between or word.key.endswith("ing"):
            return None
    return None
