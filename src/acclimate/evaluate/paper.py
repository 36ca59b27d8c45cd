"""The scorers of the paper's official evaluation, quirks included, so that published numbers can be compared.

They are written anew from a description of what the official scripts do; each docstring names the quirks.
Nothing else in this package uses them: the headline is always the strict form (`scorers`).
"""

import random
import re
import string
from collections import Counter
from collections.abc import Collection, Sequence

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_DOT = re.compile(r"\.(?!\d)")
_N_DOTS = 32
_SMALL = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {"none": "0", "zero": "0"} | {name: str(value) for value, name in enumerate(_SMALL, start=1)}
_ARTICLES = frozenset({"a", "an", "the"})
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've
needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've
weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've
why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
you've
"""
_CONTRACTIONS = {
    full[:at] + full[at + 1 :]: full
    for full in _CONTRACTED.split()
    for at, character in enumerate(full)
    if character == "'"
} | {"somebody'd": "somebodyd"}
"""Each spelling that lacks one apostrophe, and what it is read as; the last is the published list's slip."""


def paper_normalised(text: str) -> str:
    """Return a reply or a gold answer as the official scorer compares it.

    Source:
        LLaVA-Med's evaluation as the paper's repository carries it. Quirks kept: a punctuation mark is
        deleted where it touches a space *or the text has a comma between digits anywhere*, and becomes a
        space elsewhere; only the first 32 dots are deleted; contractions are expanded where an apostrophe is
        missing, but not those with a capital I, since the text is in lower case by then.
    """
    lowered = text.lower()
    has_number = _DIGIT_COMMA_DIGIT.search(lowered) is not None
    out = lowered
    for mark in _PUNCTUATION:
        touches = f"{mark} " in lowered or f" {mark}" in lowered
        out = out.replace(mark, "" if touches or has_number else " ")
    out = _DOT.sub("", out, count=_N_DOTS)
    kept = (_NUMBERS.get(word, word) for word in out.lower().split())
    expanded = (_CONTRACTIONS.get(word, word) for word in kept if word not in _ARTICLES)
    return " ".join(expanded).replace(",", "")


def paper_recall(gold: str, text: str) -> float:
    """Return the official OPEN recall.

    Source:
        LLaVA-Med's evaluation. Quirk kept: shared words are counted as often as the *reply* says them, so
        gold "left lung" and reply "left left left" give 3/4; the true value is 1/2.
    """
    asked = Counter(paper_normalised(paper_normalised(gold)).split())
    said = Counter(paper_normalised(paper_normalised(text)).split())
    hits = sum(said[word] for word in said if word in asked)
    missed = sum(count for word, count in asked.items() if word not in said)
    return hits / (hits + missed) if hits else 0.0


def paper_closed(gold: str, text: str) -> float:
    """Return the official CLOSED mark.

    Source:
        LLaVA-Med's evaluation. Quirks kept: `yes`, `no` and the gold are looked for as substrings ("no" in
        "normal"), and a gold that is neither yes nor no needs a "yes" or "no" somewhere in the reply.
    """
    said = paper_normalised(text)
    return float(("yes" in said or "no" in said) and paper_normalised(gold) in said)


def paper_choice(choices: Sequence[str], text: str, item_id: str) -> tuple[int, bool]:
    """Return the official reading of a multiple-choice reply, and whether it was a guess.

    Source:
        MMMU's reader as the paper's repository carries it. Quirks kept: "A" as an English article counts
        as choice A; contents are searched as substrings and only in replies longer than five characters;
        of several readings the one said last wins; of none one is drawn at random. More choices than letters
        (Food101) are numbered from 0, so that a bare "5" selects the sixth. Where we differ: the
        draw is seeded by our item id, since the official synthetic ids do not exist here.
    """
    for mark in ",.!?;:'":
        text = text.strip(mark)
    padded = f" {text} "
    n_letters = len(string.ascii_uppercase)
    letters = (
        list(string.ascii_uppercase[: len(choices)]) if len(choices) <= n_letters else _digits(len(choices))
    )
    forms = [f"({letter})" for letter in letters]
    places = {index: padded.rfind(form) for index, form in enumerate(forms) if form in padded}
    if not places:
        places = {
            index: padded.rfind(f" {letter} ")
            for index, letter in enumerate(letters)
            if f" {letter} " in padded
        }
    if not places and len(padded) > 5:
        lowered = padded.lower()
        contents = {index: choice.lower() for index, choice in enumerate(choices)}
        places = {index: lowered.rfind(content) for index, content in contents.items() if content in lowered}
    if not places:
        return random.Random(f"paper_choice/{item_id}").randrange(len(choices)), True
    return max(places, key=lambda index: places[index]), False


def _digits(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def paper_labels(labels: Sequence[str], text: str) -> frozenset[str]:
    """Return the official reading of a multi-label reply.

    Source:
        The paper's FoodSeg103 and Nutrition5K scripts. Quirks kept: names are searched as substrings,
        longest first, and every occurrence is deleted, which can glue its neighbours to a new name.
    """
    rest = text.lower()
    found = set()
    for label in sorted(labels, key=len, reverse=True):
        if label.lower() in rest:
            found.add(label)
            rest = rest.replace(label.lower(), "")
    return frozenset(found)


def paper_label_recall(gold: Collection[str], said: Collection[str]) -> float:
    """Return recall over labels, 1 where there is no gold label (scikit-learn with `zero_division=1`)."""
    return len(set(gold) & set(said)) / len(set(gold)) if gold else 1.0


def paper_label_f1(gold: Collection[str], said: Collection[str]) -> float:
    """Return F1 over labels, 1 where there is neither a gold label nor a named one."""
    total = len(set(gold)) + len(set(said))
    return 2 * len(set(gold) & set(said)) / total if total else 1.0
