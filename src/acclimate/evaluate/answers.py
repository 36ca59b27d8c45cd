"""Reads an answer out of a reply. Reading and marking are different acts; nothing is ever guessed here.

Every function returns None where the reply cannot be read as exactly one answer, so that unreadable
replies are counted instead of marked by accident.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

_INVISIBLE = re.compile("[\u00ad\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]")
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff\u0e00-\u0eff"
)
"""Vowel signs and other combining marks: they belong to words, and `\\w` leaves them out."""
_WORD = re.compile(rf"\d+(?:[.,]\d+)*|[぀-ヿ㐀-鿿가-힯]|(?:[^\W_぀-ヿ㐀-鿿가-힯]|[{_MARKS}])+(?:'[^\W\d_]+)?")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ARTICLES = frozenset({"a", "an", "the"})
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {name: str(value) for value, name in enumerate(_SMALL)}
_NOTHING = frozenset({"none", "nothing"})
_BREAK = re.compile(r"[.,;:!?()\[\]\n。，、；：！？–—]|\s-\s")
_BREAKING = "but however so yet although though whereas while because since"
_DENYING = "not no never neither nor without cannot than except unlike if whether unless dont isnt"
_STARTING = (
    "is are was were it its it's this that that's there has have had shows show see rather instead i yes no"
)
_UNANSWERED = "image images picture pictures photo doubt question way idea information problem context"
_BREAKERS, _DENIERS = frozenset(_BREAKING.split()), frozenset(_DENYING.split())
_BEING = frozenset({"is", "are", "was", "were", "can", "could", "would", "does", "did"})
_ABSENT = frozenset({"not", "absent", "incorrect", "wrong", "unlikely", "excluded"})
_STARTERS = frozenset(_STARTING.split())
"""Words that make the piece behind a comma a statement of its own, so that a "not" before it is over."""
_NO_ANSWER = frozenset(_UNANSWERED.split())
"""What "no" stands before without being an answer: "there is no image", "there is no doubt"."""


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a text: compatibility-normalised, case-folded, no punctuation.

    Source:
        Our own rule. Numbers keep their decimals and lose the commas between thousands; Chinese, Japanese
        and Korean characters stand alone, because those scripts have no spaces to count words by.
    """
    return tuple(map(_number, _WORD.findall(_folded(text))))


def _folded(text: str) -> str:
    normal = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return _INVISIBLE.sub("", normal)


def _number(word: str) -> str:
    return word.replace(",", "") if "," in word and _THOUSANDS.fullmatch(word) else word


def words(text: str) -> tuple[str, ...]:
    """Return the words that count in an answer: no articles, small numbers as digits.

    Source:
        Our own rule, after the VQA convention (articles dropped, zero to ten as digits) that the paper's
        scorer follows too. A text of nothing but articles keeps them, so that it is not empty.
    """
    every = plain_words(text)
    kept = tuple(_NUMBERS.get(word, word) for word in every if word not in _ARTICLES)
    return kept or every


def yes_or_no(text: str) -> str | None:
    """Return `yes` or `no` if the text says exactly one of them as a word, else None.

    Source:
        Our own rule. Substring search, which much public code uses, reads "no" in "abnormal". A reply
        that says both ("Yes, there is no nodule") is not read: which of the two answers is a guess. Nor is
        one that takes its word back ("I cannot say yes"), nor the "no" of "there is no image".
    """
    said, is_denied = _said(text)
    answers = {
        word
        for at, word in enumerate(said)
        if word in ("yes", "no") and not is_denied[at] and not (word == "no" and _is_no_answer(said, at))
    }
    return answers.pop() if len(answers) == 1 else None


def _is_no_answer(said: Sequence[str], at: int) -> bool:
    return at + 1 < len(said) and said[at + 1] in _NO_ANSWER


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
        none of them, or nothing. What a reply denies ("it isn't the left") it does not say.

    Source:
        Our own rule. Substring search reads "normal" in "abnormal".
    """
    right = words(gold)
    rivals = [option for option in map(words, options) if option and option != right] or _offered(
        question, right
    )
    if words(text) == right:
        return " ".join(right) or None
    affirmed, denied = _mentions([right, *rivals], text)
    if 0 in affirmed:
        return " ".join(right) if affirmed == {0} and 0 not in denied else None
    if not rivals:
        return None if denied else " ".join(words(text)) or None
    return " ".join(rivals[min(affirmed) - 1]) if len(affirmed) == 1 else None


def _offered(question: str, gold: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the words next to each "or" of a question, the gold's own words left out."""
    asked = words(question)
    beside: dict[str, None] = {}
    for at, word in enumerate(asked):
        if word == "or":
            beside.update(dict.fromkeys([*asked[max(at - 1, 0) : at], *asked[at + 1 : at + 2]]))
    return [(word,) for word in beside if word not in gold]


_MARKUP = re.compile(r"[*`$]|\\(?:boxed|text|mathrm|textbf)\b")
_TAG = re.compile(r"</?answer>", re.IGNORECASE)
_CLOSED = r"""(?=["'_\])}>]*(?:[:,;!?。、]|\.(?!\w)|\s?\Z|\n|\s[-–—]\s|\s(?:because|since)\b|[\])}]))"""
_RIGHT = r"(?=\sis\s(?:the\s)?(?:correct|right|best)\b)"
_OPEN = r"""["'(\[{<_]*"""
_LETTER_ALONE = re.compile(r"\A\W*([A-Za-z])\W*\Z")
_LETTER_FIRST = re.compile(rf"\A\s?{_OPEN}(?:([A-Z])(?:{_CLOSED}|{_RIGHT})|([a-z])(?=[).:](?:\s|\Z)))")
_LETTER_IN_BRACKETS = re.compile(r"(?<!\w)[({]([A-Za-z])[)}]")
_LETTER_STATED = re.compile(
    r"(?:\b(?i:answer|(?:correct|right|best)\s(?:option|choice))(?i:\s(?:is|(?:would|should|must)\sbe))?|"
    r"答案[是为為]?|选[择项]?|選[擇項]?)"
    rf"\s?[:=–-]?\s?(?i:(?:option|choice)\s)?{_OPEN}(?:([A-Z]){_CLOSED}|([b-z])(?=[).]|\s?\Z|\n))"
)
_LETTER_NAMED = re.compile(rf"\b(?i:option|choice)\s?:?\s?{_OPEN}([A-Z])(?:{_CLOSED}|{_RIGHT})")
_LETTER_CLAIMED = re.compile(
    r"\b(?i:it(?:'s|\sis)|i(?:'d|\swould)?\s(?:choose|pick|select|say|go\swith)|choose|pick|select)"
    rf"\s?:?\s?{_OPEN}([A-Z]){_CLOSED}"
)
_LETTER_LISTED = re.compile(r"(?:^|(?<=\s))\(?([A-Z])[.:)]\s(?=\S)")
_ANOTHER = re.compile(
    r"""["')\]]*\s?(?:,\s?(?:and\s|or\s)?|;\s?|/|&\s?|、|\b(?:and|or)\s)["'(\[]*([A-Z])(?![\w'])"""
)
_SEVERAL = re.compile(r"\W*(?:[A-Za-z]\W+)+[A-Za-z]\W*")
_TAKEN_BACK = re.compile(
    r"\b(?:not|never|cannot|if|whether|unless|incorrect|wrong|except|than|neither|nor|eliminate|exclude|"
    r"rule[sd]?\sout|ruling\sout)\b|n't\b|不",
    re.IGNORECASE,
)
_REFUTED = re.compile(
    r"""["')\]}.,]*\s(?:cannot|can't|(?:is|was|can|could|would)(?:n't|\s(?:be\s)?(?:clearly\s|also\s)?"""
    r"(?:not|incorrect|wrong|false|unlikely|ruled|excluded|eliminated)))\b",
    re.IGNORECASE,
)
_POINTING = "figure fig fig. panel panels image picture part in see label arrow region row column"
_POINTERS = frozenset(_POINTING.split())
_CLAUSE_END = re.compile(r"[.,;!?\n]|\bbut\b")
_REACH = 60
"""Characters before a letter in which a "not" takes it back."""


def plain_text(text: str) -> str:
    """Return a text without what is only for the eye: bold, formulas, runs of blanks, hidden characters."""
    normal = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).replace("’", "'")
    shown = _TAG.sub("\n", _MARKUP.sub("", normal.replace("“", '"').replace("”", '"')))
    return "\n".join(" ".join(line.split()) for line in shown.split("\n") if line.strip())


def choice_index(choices: Sequence[str], text: str) -> int | None:
    """Return which choice a reply names, by letter ("B", "(B)", "B.", "B: text", "option B") or by content.

    Returns:
        The choice's index; None when the reply names none, names several, takes one back ("not option B"), or
        its letter and its text name different choices.

    Source:
        Our own rule. The paper's reader guesses at random here (`scorers.paper_choice` keeps that).
    """
    plain = plain_text(text)
    own = _letter_with_its_text(choices, plain)
    if own is not None:
        return own
    whole = _wholes(choices, text)
    is_letters = is_several(plain) or _LETTER_ALONE.match(plain)
    if whole and is_letters:  # "y", where a choice is y
        meant = whole | (_letters_said(plain, len(choices)) or set())
        return meant.pop() if len(meant) == 1 else None
    letters = _letters_said(plain, len(choices))
    if letters is None or len(letters) > 1:
        return None
    affirmed, denied = (whole, set[int]()) if whole else _contents(choices, text)
    if letters:
        (index,) = letters
        return index if index not in denied and (not affirmed or index in affirmed) else None
    return affirmed.pop() if len(affirmed) == 1 and not affirmed & denied else None


def _contents(choices: Sequence[str], text: str) -> tuple[set[int], set[int]]:
    """Return the indices of the choices whose text a reply affirms, and of those whose text it denies.

    Choices with the same words ("+5" and "-5") are affirmed together.
    """
    wanted = list(map(words, choices))
    affirmed, denied = _mentions(wanted, text)
    alike = {wanted[index]: choices[index] for index in affirmed}
    others = {at for at, name in enumerate(wanted) if name in alike and choices[at] != alike[name]}
    return affirmed | others, denied


def _letter_with_its_text(choices: Sequence[str], plain: str) -> int | None:
    """Return the choice of which a reply is the letter and the whole text: "B. y", whatever the text is."""
    first = _LETTER_FIRST.match(plain)
    if first is None or len(choices) > 26:
        return None
    at, letter = _place(first)
    index = ord(letter.upper()) - ord("A")
    rest = _line(plain[at + 1 :].lstrip("\"'_)]}>.:,;-–— \n"))
    return index if index < len(choices) and rest and rest == _line(choices[index]) else None


def _wholes(choices: Sequence[str], text: str) -> set[int]:
    """Return the choices that are a reply's whole text; of equal ones the first."""
    line = _line(text)
    same = {choice: at for at, choice in reversed(list(enumerate(choices))) if line and _line(choice) == line}
    return {same[text.strip()]} if text.strip() in same else set(same.values())


def _line(text: str) -> str:
    return " ".join(_folded(text).split()).removesuffix(".")


def _letters_said(plain: str, n_choices: int) -> set[int] | None:
    """Return the indices of the letters said; None when one is in doubt or stands for no choice."""
    if n_choices > 26:
        return set()
    if is_several(plain):
        return None
    indices, seen = set[int](), set[tuple[str, str]]()
    for at, letter in _letter_places(plain):
        index = ord(letter.upper()) - ord("A")
        around = plain[max(at - _REACH, 0) : at], plain[at : at + _REACH]
        if around in seen:  # a reply in a loop
            continue
        if index >= n_choices or _is_taken_back(plain, at, n_choices):
            return None
        indices.add(index)
        seen.add(around)
    return indices


def letters_claimed(plain: str) -> set[str]:
    """Return the letters that a text gives without the word "answer": "it is B", "I choose B"."""
    return set(_LETTER_CLAIMED.findall(plain))


def is_several(plain: str) -> bool:
    """Return whether a text is nothing but letters, and more than one: "B, C"."""
    return _SEVERAL.fullmatch(plain) is not None and len(set(filter(str.isalpha, plain))) > 1


def _letter_places(plain: str) -> Iterator[tuple[int, str]]:
    """Yield the letters that a text names, with their places: those stated as the answer, else every one."""
    first = _LETTER_ALONE.match(plain) or _LETTER_FIRST.match(plain)
    listed = list(_LETTER_LISTED.finditer(plain)) if first else []
    stated = list(_LETTER_STATED.finditer(plain))
    is_list = len({match[1] for match in listed}) > 1
    if first and not (stated and is_list):
        yield _place(first)
    yield from map(_place, (*stated, *_LETTER_CLAIMED.finditer(plain)))
    if stated:
        return
    if is_list:
        # "A. lung B. heart" repeats the choices; "It is vitamin C. It ..." does not name the third one.
        yield from map(_place, listed)
    pointing: dict[str, bool] = {}
    for match in _LETTER_IN_BRACKETS.finditer(plain):
        before = plain[max(match.start() - 20, 0) : match.start()]
        if before not in pointing:
            pointing[before] = not _POINTERS.isdisjoint(before.lower().split()[-1:])
        if not pointing[before]:
            yield _place(match)
    yield from map(_place, _LETTER_NAMED.finditer(plain))


def _place(match: re.Match[str]) -> tuple[int, str]:
    group = match.lastindex or 0
    return match.start(group), match[group]


def _is_taken_back(plain: str, at: int, n_choices: int) -> bool:
    """Return whether a letter is denied, or only one of several."""
    before = _CLAUSE_END.split(plain[max(at - _REACH, 0) : at])[-1]
    another = _ANOTHER.match(plain, at + 1)
    is_one_of_several = another is not None and ord(another[1]) - ord("A") < n_choices
    is_denied = _TAKEN_BACK.search(before) is not None or _REFUTED.match(plain, at + 1) is not None
    return is_one_of_several or is_denied


def _said(text: str) -> tuple[list[str], list[bool]]:
    """Return the words of a text as `words` does, and for each whether the text denies or doubts it.

    A "not", "no" or "if" holds for the words behind it up to the next mark or "but", and for a short piece
    behind a comma that is no statement of its own ("not a cat, a lung or rice").
    """
    folded = _folded(text)
    said: list[str] = []
    is_denied: list[bool] = []
    for clause in _clauses(folded):
        is_open = bool(is_denied) and is_denied[-1] and _is_piece(clause)
        for word in clause:
            if word not in _ARTICLES:
                said.append(_NUMBERS.get(word, word))
                is_denied.append(is_open)
            is_open = is_open or word in _DENIERS or word.endswith("n't")
    if said:
        return said, is_denied
    every = words(text)
    return list(every), [False] * len(every)


def _is_piece(clause: Sequence[str]) -> bool:
    return len(clause) <= 4 and clause[0] not in _BREAKERS and _STARTERS.isdisjoint(clause)


def _clauses(folded: str) -> Iterator[list[str]]:
    """Yield the words between two marks, or before a word such as "but"; none is empty."""
    clause: list[str] = []
    breaks: dict[str, bool] = {}  # few different things stand between words
    end = 0
    for match in _WORD.finditer(folded):
        between = folded[end : match.start()]
        if between not in breaks:
            breaks[between] = _BREAK.search(between) is not None
        if clause and (breaks[between] or match[0] in _BREAKERS):
            yield clause
            clause = []
        clause.append(_number(match[0]))
        end = match.end()
    if clause:
        yield clause


def _mentions(wanted: Sequence[Sequence[str]], text: str) -> tuple[set[int], set[int]]:
    """Return the indices of the names that a text affirms, and of those that it denies, longest first."""
    said, is_denied = _said(text)
    places: dict[str, list[int]] = defaultdict(list)
    for at, word in enumerate(said):
        places[word].append(at)
    affirmed, denied = set[int](), set[int]()
    for index in sorted(range(len(wanted)), key=lambda index: -len(wanted[index])):
        name = list(wanted[index])
        found = [at for at in _starts(name, places) if said[at : at + len(name)] == name]
        for at in found:
            end = at + len(name)
            (denied if is_denied[at] or _is_denied_behind(said[end : end + 2]) else affirmed).add(index)
            said[at:end] = [""] * len(name)
    return affirmed, denied


def _is_denied_behind(words_behind: Sequence[str]) -> bool:
    verb, what = (*words_behind, "", "")[:2]
    return verb.endswith("n't") or verb == "cannot" or (verb in _BEING and what in _ABSENT)


def _starts(name: Sequence[str], places: Mapping[str, Sequence[int]]) -> list[int]:
    """Return where a name may start in a text: by its rarest word, so that time stays bounded."""
    if not name:
        return []
    offset = min(range(len(name)), key=lambda at: len(places.get(name[at], ())))
    return [at - offset for at in places.get(name[offset], ()) if at >= offset]


def contents_said(names: Sequence[str], text: str) -> list[int]:
    """Return the indices of the names that a text says as whole words, longest names first.

    Words already read as a longer name are not read again, so "sweet potato" does not also say "potato".
    Of names that read alike only the first is found. A name that the text denies ("no rice") is not said.

    Source:
        Our own rule; the paper's multi-label reader searches substrings instead ("pho" in "photo").
    """
    return sorted(_mentions(list(map(words, names)), text)[0])


def labels_said(labels: Sequence[str], text: str) -> tuple[str, ...] | None:
    """Return the labels a reply names, in the vocabulary's order; () for "none"; None when unreadable."""
    found = tuple(labels[index] for index in contents_said(labels, text))
    if found or _NOTHING & set(plain_words(text)):
        return found
    return None
