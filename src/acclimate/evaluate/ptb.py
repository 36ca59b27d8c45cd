"""Words as caption evaluation counts them: Penn Treebank tokens, lower-cased, without punctuation.

COCO's caption evaluation (Chen et al. 2015, section 3) reads references and captions with Stanford's
PTBTokenizer, `-preserveLines -lowerCase`, and drops a list of punctuation tokens before it counts. This is
a set of regular expressions for the same tokens, the longest match taking its place, written from the Penn
Treebank's tokenisation rules (MacIntyre 1995) and from the Java program's answers to probes, so that no Java
is needed. `tests/parity/test_caption_oracle.py` holds it against that program.
"""

import re
from functools import lru_cache
from itertools import pairwise

DROPPED = frozenset({"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"})
"""What COCO's evaluation drops. Its list has the brackets' names too, but in capitals, and the tokens are in
small letters by then: `-lrb-` and its kin stay, as there."""

MAX_CHUNK = 256
"""Characters without white space that are read as one; longer ones are cut."""

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_SPELLED = str.maketrans(
    {
        **dict.fromkeys("’›", "'"),
        **dict.fromkeys("‘‛‹", "`"),
        **dict.fromkeys("“”«»", '"'),
        **dict.fromkeys("–—", "--"),
        **dict.fromkeys("\u00ad\u200c\u200d\u2060\ufe0f\ufeff", ""),
        "\u200b": " ",
        "…": "...",
        "¢": " cents ",
        "£": "#",
        "€": "$",
        "¼": " 1/4 ",
        "½": " 1/2 ",
        "¾": " 3/4 ",
    }
)
_ENTITIES = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&apos;": "'",
    "&nbsp;": " ",
    "&mdash;": "--",
}
_ENTITY = re.compile("|".join(_ENTITIES), re.IGNORECASE)

_MONTHS = "jan feb mar apr jun jul aug sep sept oct nov dec"
_DAYS = "mon tue tues wed thu thurs fri"
_STATES = (
    "ala ariz calif colo conn ct dak fla ga ind kan kans ky md mich minn mo mont neb nev okla penn tenn va "
    "vt wis wisc wyo"
)
_TITLES = (
    "adj adm adv asst assoc atty attys brig capt cmdr col comdr cpl det dr drs ens esq gen gov govs hon insp "
    "jr lieut lt maj messrs mlle mme mr mrs ms msgr pfc pres prof profs pvt rep reps rev sen sens sfc sgt "
    "spc sr ste supt supts"
)
_FIRMS = (
    "assn bancorp bhd bros cie co corp cos dept elec inc intl invt ltd mfg natl plc ppte ppty pte ptes pty "
    "ptys sys univ"
)
_OTHERS = "al alex ave bldg blvd cf est etc ext ft jos mt mtg ph rd rt seq sq st tel vs wm"
_ABBREVIATIONS = frozenset(" ".join((_MONTHS, _DAYS, _STATES, _TITLES, _FIRMS, _OTHERS)).split())
_BEFORE_NUMBERS = frozenset({"art", "ca", "fig", "figs", "no", "nos", "op", "pp", "prop"})
"""Abbreviations only where a number follows."""

_OPENING = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More "
    "Now Once One Other Our She Since So Some Such That The Their Then There These They This We What When "
    "While Yet You Mr. Ms."
)
_OPENERS = frozenset(_OPENING.split())
"""Words that open a sentence: a single letter's period before one of them ends the sentence."""

_ASSIMILATED = {
    "cannot": ("can", "not"),
    "gimme": ("gim", "me"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "lemme": ("lem", "me"),
    "wanna": ("wan", "na"),
    "more'n": ("more", "'n"),
}

# The vowel signs of Indic and Thai script and other combining marks belong to words; \w leaves them out.
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff\u0e00-\u0eff"
)
_L = rf"(?:[^\W\d_]|[{_MARKS}])"
_W = rf"(?:[^\W_]|[{_MARKS}])"
_END = rf"(?!{_W})"
_NUMBER = r"\d+(?:[.,:]\d+)*"
_INITIALS = rf"{_L}(?:\.{_L})+\.?"
_URL_END = r"""[^\s<>"'.,!?;:()\[\]]"""

_RULES = tuple(
    (name, re.compile(rule, re.IGNORECASE))
    for name, rule in (
        ("address", rf"""(?:(?:https?|ftp)://|www\.)[^\s<>"]*{_URL_END}"""),
        ("address", rf"{_W}[\w-]*(?:\.[\w-]+)*\.(?:com|org|net|edu|gov)(?:/[^\s<>\"]*{_URL_END}|/)?"),
        ("address", rf"{_W}[\w.+-]*@{_W}[\w-]*(?:\.{_W}[\w-]*)*"),
        ("address", rf"@{_L}\w*|#{_L}+"),
        ("tag", r"&#\d+;"),
        ("face", rf"[:;=]-?[()\[\]]|[:;=]-?[dp]{_END}|\^_\^|:'[()]"),
        ("assimilated", rf"(?:cannot|gimme|gonna|gotta|lemme|wanna|more'n){_END}"),
        ("negated", rf"{_L}+n't{_END}"),
        ("clipped", rf"'n'|'(?:em|cause|til|n){_END}|(?<!\d)'\d\ds?{_END}|ol'(?!{_W})"),
        ("suffix", rf"(?:'(?:s|m|d|re|ve|ll)|n't){_END}|'t(?=is{_END}|was)"),
        ("joined", rf"(?!.'(?:s|m|d|re|ve|ll){_END})(?:[odlcn]|qu)'{_L}+"),
        ("joined", rf"ma'am{_END}|[en]e?'er{_END}|y'(?=all{_END})"),
        ("letter", rf"{_L}\."),
        ("abbreviation", rf"{_INITIALS}{_END}|(?:ph|ed)\.d\.?{_END}"),
        ("abbreviation", rf"(?:{'|'.join(sorted(_ABBREVIATIONS))}|(?-i:La|Pa|PA|LA))\."),
        ("numbered", rf"(?:{'|'.join(sorted(_BEFORE_NUMBERS))})\.(?=\d|$)"),
        ("word", rf"{_W}+"),
        ("word", rf"{_L}{_W}*(?:[.!?]{_L}{_W}*)+"),
        ("word", rf"{_W}+(?:_{_W}+)+"),
        ("word", rf"(?:{_NUMBER}|{_INITIALS}|{_W}+)(?:[-\u2011](?:{_INITIALS}{_END}|{_W}+))+"),
        ("word", rf"{_W}+(?:-{_W}+)*(?:/{_W}+(?:-{_W}+)*){{1,2}}"),
        ("word", rf"(?-i:[A-Z]{{1,3}}&[A-Z]{{1,2}}){_END}|c\+\+|[cf]#"),
        ("number", rf"[-+]?(?:{_NUMBER}|(?:[.,:]\d+)+)"),
        ("money", r"(?:us|[ac])\$"),
        ("run", r"[?!]+|_+|\*+|(?:\\\*){1,3}|#+|\.{2,}|-{2,}|'{2}|`{2}"),
        ("other", r"."),
    )
)
_PERIOD_ENDS = frozenset({("numbered", ""), ("numbered", "opener"), ("letter", "opener")})
"""Rules and kinds of what follows where the period is not the word's own."""
_TAG = re.compile(rf"(</?{_L}[^<>]*>)")
_QUOTES = "'\"`("
_DOTS_AND_QUOTES = '.-"'
_HIGH = re.compile("[\U00010000-\U0010ffff]")


def ptb_tokens(text: str) -> list[str]:
    """Return the words of a text as COCO's caption evaluation counts them.

    Contractions are split (`do n't`, `man 's`, `can not`), abbreviations keep their period (`st.`),
    hyphenated words are one word, and brackets stay as `-lrb-` and `-rrb-`, as they do in COCO's own
    evaluation. A mixed fraction is two words (`22`, `3/4`): the Java program joins them by a no-break space,
    at which COCO's BLEU and CIDEr split again; its ROUGE-L does not. Every text is read alone, where the Java
    program reads a period at a text's end with the next text's first word in view.

    Returns:
        The tokens in order; an empty list where the text has only punctuation.
    """
    clean = _HIGH.sub(" ", _ENTITY.sub(lambda found: _ENTITIES[found[0].lower()], text)).translate(_SPELLED)
    tokens: list[str] = []
    for part in _TAG.split(clean):
        if _TAG.fullmatch(part):
            tokens += part.lower().split()
        else:
            chunks = [each for chunk in part.split() for each in _bounded(chunk)]
            for chunk, following in pairwise((*chunks, "")):
                tokens += _chunk_tokens(chunk, _kind(following))
    return tokens


def _bounded(chunk: str) -> list[str]:
    """Return a text without white space in pieces of bounded length, so that time stays linear."""
    if len(chunk) <= MAX_CHUNK:
        return [chunk]
    return [chunk[at : at + MAX_CHUNK] for at in range(0, len(chunk), MAX_CHUNK)]


def _kind(following: str) -> str:
    """Return what the chunk that follows means for an abbreviation's period."""
    if following[:1].isdigit():
        return "number"
    return "opener" if following.strip(_QUOTES) in _OPENERS else ""


@lru_cache(maxsize=1 << 16)
def _chunk_tokens(chunk: str, before: str) -> tuple[str, ...]:
    """Return the kept tokens of a text without white space; `before` is the `_kind` of the next one."""
    at, tokens = 0, list[str]()
    while at < len(chunk):
        name, found = _longest(chunk, at)
        at = found.end()
        token, is_last = found[0].lower(), at == len(chunk)
        if is_last and (name, before) in _PERIOD_ENDS:
            token = token.removesuffix(".")
        tokens += _split(name, token)
    return tuple(each for each in tokens if each not in DROPPED and each.strip(_DOTS_AND_QUOTES))


def _split(name: str, token: str) -> tuple[str, ...]:
    """Return the tokens that a match of a rule stands for."""
    if name == "negated":
        return token[:-3], token[-3:]
    if name == "assimilated":
        return _ASSIMILATED[token]
    if name in ("face", "other"):
        return ("".join(_BRACKETS.get(each, each) for each in token),)
    return (token,)


def _longest(chunk: str, at: int) -> tuple[str, re.Match[str]]:
    """Return the rule with the longest match at a place and the match; of equals the first."""
    matches = ((name, rule.match(chunk, at)) for name, rule in _RULES)
    found = [(name, match) for name, match in matches if match is not None]
    return max(found, key=lambda each: each[1].end())
