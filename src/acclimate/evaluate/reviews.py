"""Reads what a judge wrote about two answers, and turns its scores into LLaVA's and LLaVA-Med's figures.

Two answers to one question, a reference and a candidate, are scored 1 to 10 by a judge who is asked to open
its reply with the two numbers. `paper` forms keep the published behaviour: a reply that does not open so is
stored as (-1, -1) and counted into the means. `strict` forms read what is there to be read, leave out what is
not, and say how much that was.

Source: LLaVA's review scripts (reading, means, relative score) and LLaVA-Med v1.0.0 (mean of the items'
ratios), from a description of what they do. The rules of the strict reading, the averaging over both orders
and the measure of position bias are ours.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from acclimate.errors import BenchmarkError
from acclimate.records import Mark

Form: TypeAlias = Literal["strict", "paper"]
Order: TypeAlias = Literal["given", "swapped", "both"]
Pair: TypeAlias = tuple[float, float]

ALL = "all"
"""Name of the row over every category."""
FAILED_PAIR: Pair = (-1.0, -1.0)
"""What the published scripts store for a reply that they cannot read."""
HIGHEST = 10.0
"""Full marks. The rules ask for 1 to 10, but real judges also give 0 to an empty answer, so 0 is read too."""
UNREAD = "unread"
ZERO_REFERENCE = "zero_reference"

_NUMBER = r"((?:10|[0-9])(?:\.[0-9]+)?)"
_OF_TEN = rf"{_NUMBER}\s?/\s?10"
_BETWEEN = r"(?:\s?[,;|&]\s?|\s+and\s+|\s+)"
_BARE_PAIR = re.compile(rf"{_NUMBER}{_BETWEEN}{_NUMBER}\.?|{_OF_TEN}{_BETWEEN}{_OF_TEN}\.?")
_TUPLE = re.compile(
    rf"[(\[]\s?(?:{_NUMBER}\s?[,;]\s?{_NUMBER}|{_OF_TEN}\s?[,;]\s?{_OF_TEN})\s?[)\]]\.?",
)
_SCORE_WORD = r"(?:scores?|ratings?)"
_TITLE = re.compile(rf"(?:(?:the|my|final|overall)\s)*(?:output|{_SCORE_WORD})\s?[:=]\s?", re.IGNORECASE)
_BARE_HEADING = re.compile(rf"(?:(?:the|my|final|overall)\s)*{_SCORE_WORD}", re.IGNORECASE)
_SPEAKS_OF_SCORES = re.compile(rf"\b{_SCORE_WORD}\b", re.IGNORECASE)
_TUPLE_SAID = re.compile(
    rf"\b{_SCORE_WORD}\s(?:(?:are|is|would be|of)\s)?\(\s?{_NUMBER}\s?,\s?{_NUMBER}\s?\)", re.IGNORECASE
)
_LABELLED = re.compile(
    rf"(?P<of>{_SCORE_WORD}\s(?:of|for)\s)?assistant\s?\#?(?P<who>[12ab])\b(?:'s)?"
    rf"(?P<word>\s(?:(?:final|overall)\s)?{_SCORE_WORD})?\s?[:=–—-]\s?{_NUMBER}(?P<ten>\s?/\s?10)?"
    r"(?=\s*(?:[.,;]?\s*\Z|[,;]?\s+(?:and\s+)?(?:score\s(?:of|for)\s)?assistant\b|\(|[–—-]\s[^\W\d]))",
    re.IGNORECASE,
)
_JOINT = re.compile(r"\s?(?:\([^()]*\))?[\s,;.]*(?:and\s+)?", re.IGNORECASE)
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x3001: ","}
_PLACES = {"1": 0, "a": 0, "2": 1, "b": 1}


def paper_pair(text: str) -> Pair | None:
    """Return the two scores as the published scripts read them, or None where they store (-1, -1).

    Returns:
        Whatever two finite numbers the first line has, of any size and sign.

    Source:
        LLaVA's review scripts. Quirks kept: commas become spaces and the line is cut at every single space,
        so "8, 9", "8  9" and "8 9 " are not read. Where we differ: `nan` and `inf`, which Python would take
        for numbers, are not read.
    """
    parts = text.split("\n", 1)[0].replace(",", " ").split(" ")
    if len(parts) != 2:
        return None
    try:
        first, second = float(parts[0]), float(parts[1])
    except ValueError:
        return None
    return (first, second) if math.isfinite(first) and math.isfinite(second) else None


def strict_pair(text: str) -> Pair | None:
    """Return the scores of Assistant 1 and Assistant 2, each 0 to 10, or None where they are in any doubt.

    Read are: two numbers alone on the first line ("8 9", "8, 9", "8/10 9/10", "(8, 9)"); the same behind or
    below a title ("Scores: ...", "Output: ..."); a tuple alone on the last line, or said ("the scores are
    (1, 5)"); and "Assistant 1: 8 ..." with "Assistant 2: 9 ..." where they open the reply, stand below a
    heading that speaks of scores, or are themselves called scores or counted out of 10. Everything found must
    agree. Two other numbers, such as a point in a mathematical solution, are no scores.

    Source:
        Our own rule, tried on LLaVA's 320 published reviews: it reads the 308 that the published rule reads,
        alike, and the other 12.
    """
    lines = [line for line in map(_cleaned, text.translate(_WIDE).split("\n")) if line]
    if not lines:
        return None
    found = {*_pairs_on_lines(lines), *_labelled_blocks(lines)}
    if _TUPLE.fullmatch(lines[-1]):
        found |= _lone_tuples(lines if not found else lines[-1:])
    if len(found) != 1:
        return None
    (pair,) = found
    return pair if max(pair) <= HIGHEST else None


def _cleaned(line: str) -> str:
    """Return a line without emphasis, bullets and heading marks, its runs of blanks as one."""
    plain = " ".join(line.replace("**", "").replace("`", "").split())
    return re.sub(r"\A(?:#{1,6} |> |[-*•] )", "", plain).strip("*_ ")


def _is_heading(line: str) -> bool:
    """Return whether a line announces scores: it speaks of them and ends in a colon, or says nothing else."""
    if _BARE_HEADING.fullmatch(line):
        return True
    return line.endswith(":") and _SPEAKS_OF_SCORES.search(line) is not None


def _pair(line: str) -> Pair | None:
    """Return the pair that a line consists of."""
    match = _BARE_PAIR.fullmatch(line) or _TUPLE.fullmatch(line)
    if match is None:
        return None
    first, second = (float(each) for each in match.groups() if each is not None)
    return first, second


def _pairs_on_lines(lines: Sequence[str]) -> Iterator[Pair]:
    """Yield the pairs that are scores by where they stand or by what is said of them."""
    for at, line in enumerate(lines):
        title = _TITLE.match(line)
        is_marked = at == 0 or title is not None or _is_heading(lines[at - 1])
        pair = _pair(line[title.end() :] if title else line)
        if is_marked and pair is not None:
            yield pair
        for match in _TUPLE_SAID.finditer(line):
            yield float(match[1]), float(match[2])


def _lone_tuples(lines: Sequence[str]) -> set[Pair]:
    """Return the tuples that stand alone on a line."""
    return {pair for line in lines if _TUPLE.fullmatch(line) and (pair := _pair(line))}


@dataclass(frozen=True, slots=True)
class _Label:
    place: int
    score: float
    is_called_a_score: bool


def _labelled_blocks(lines: Sequence[str]) -> Iterator[Pair]:
    """Yield the pair of each run of lines that give one score per assistant."""
    at = 0
    while at < len(lines):
        start, run = at, list[_Label]()
        is_titled = False
        while at < len(lines):
            title = _TITLE.match(lines[at]) if at == start else None
            labels = _labels(lines[at][title.end() :] if title else lines[at])
            if not labels:
                break
            is_titled |= title is not None
            run += labels
            at += 1
        is_marked = (
            start == 0
            or is_titled
            or _is_heading(lines[start - 1])
            or all(each.is_called_a_score for each in run)
        )
        if is_marked and sorted(each.place for each in run) == [0, 1]:
            first, second = (each.score for each in sorted(run, key=lambda each: each.place))
            yield first, second
        at = max(at, start + 1)


def _labels(line: str) -> list[_Label]:
    """Return the scores that a line gives to assistants; it must begin with one."""
    labels = []
    at = 0
    while match := _LABELLED.match(line, at):
        is_called = any(match[name] for name in ("of", "word", "ten"))
        labels.append(_Label(_PLACES[match["who"].lower()], float(match[4]), is_called))
        joint = _JOINT.match(line, match.end())
        at = joint.end() if joint else match.end()
    return labels


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said about the two answers to one item."""

    item_id: str
    category: str
    first: float | None
    """Score of the first answer, the reference, wherever it stood; None where the reply was not read."""
    second: float | None
    """Score of the second answer, the candidate, likewise. Both are None or neither is."""
    order: Order
    """`given`: the reference stood first; `swapped`: the candidate did; `both`: the mean of the two."""
    text: str
    """The judge's reply; empty for `both`."""
    rule: str = ""
    """The rule the judge was given, where it is known."""


def read_verdict(
    item_id: str, category: str, text: str, *, order: Order = "given", form: Form = "strict", rule: str = ""
) -> Verdict:
    """Read one reply; in paper form an unreadable one scores (-1, -1), in strict form None.

    Raises:
        BenchmarkError: `order` is `both`, which no reply has.
    """
    if order == "both":
        raise BenchmarkError(f"item {item_id}: a reply has one order; read it as `given` or `swapped`")
    pair = strict_pair(text) if form == "strict" else paper_pair(text) or FAILED_PAIR
    if pair is None:
        return Verdict(item_id, category, None, None, order, text, rule)
    first, second = pair if order == "given" else (pair[1], pair[0])
    return Verdict(item_id, category, first, second, order, text, rule)


def reread(verdict: Verdict, form: Form) -> Verdict:
    """Return a verdict as the other form reads its text.

    Raises:
        BenchmarkError: it is a mean of two orders; read each and combine again.
    """
    return read_verdict(
        verdict.item_id, verdict.category, verdict.text, order=verdict.order, form=form, rule=verdict.rule
    )


def ratio_of_means_mark(verdict: Verdict) -> Mark:
    """Return one item's part in LLaVA's relative score.

    Returns:
        `parts` are (candidate's score, reference's score), so that the ratio of the items' sums is the
        relative score as a fraction; `value` is the candidate's score as a fraction of 10. An unread verdict
        is not scored (value None, reason `unread`); a (-1, -1) of the paper form is, with value 0.
    """
    if verdict.first is None or verdict.second is None:
        return Mark(None, parsed=False, reason=UNREAD)
    parts = (verdict.second, verdict.first)
    if parts == FAILED_PAIR:
        return Mark(0.0, parsed=False, reason=UNREAD, parts=parts)
    return Mark(verdict.second / HIGHEST, parts=parts)


def mean_of_ratios_mark(verdict: Verdict) -> Mark:
    """Return one item's value in LLaVA-Med's relative score: the candidate's score over the reference's.

    Returns:
        0 or more, above 1 where the candidate is better. Not scored (value None): an unread verdict
        (`unread`), and one whose reference got 0 (`zero_reference`), where the ratio has no value.
    """
    if verdict.first is None or verdict.second is None or (verdict.second, verdict.first) == FAILED_PAIR:
        return Mark(None, parsed=False, reason=UNREAD)
    if verdict.first <= 0:
        return Mark(None, reason=ZERO_REFERENCE)
    return Mark(verdict.second / verdict.first)


@dataclass(frozen=True, slots=True)
class Relative:
    """The scores of one category, or of all."""

    n: int
    """Verdicts in the means."""
    n_unread: int
    """Verdicts that could not be read: left out in strict form, in the means as -1 in paper form."""
    n_zero_reference: int
    """Verdicts left out of a mean of ratios because the reference got 0."""
    first: float | None
    """Mean score of the reference; None where nothing was read. In paper form to 3 decimals."""
    second: float | None
    """Mean score of the candidate, likewise."""
    relative: float | None
    """Candidate in per cent of the reference; in paper form to 1 decimal. None where there is no ratio."""


def ratio_of_means(verdicts: Iterable[Verdict], form: Form = "strict") -> dict[str, Relative]:
    """Return LLaVA's relative score, over `all` and then per category by name.

    Args:
        form: `paper` reads every reply anew by the published rule, counts failures as (-1, -1) and rounds as
            the published summary does: means to 3 decimals *before* dividing, then the ratio to 1; `strict`
            takes the verdicts as they are, leaves out the unread, and rounds nothing.

    Raises:
        BenchmarkError: a category is called `all`; the paper form gets a mean of two orders.
    """
    grouped = _by_category(reread(each, form) if form == "paper" else each for each in verdicts)
    return {name: _ratio(members, form) for name, members in grouped.items()}


def mean_of_ratios(verdicts: Iterable[Verdict]) -> dict[str, Relative]:
    """Return LLaVA-Med's relative score, the mean of the items' ratios, over `all` and per category.

    Raises:
        BenchmarkError: a category is called `all`.
    """
    table = {}
    for name, members in _by_category(verdicts).items():
        marks = [mean_of_ratios_mark(each) for each in members]
        values = [mark.value for mark in marks if mark.value is not None]
        used = [
            (each.first, each.second)
            for each, mark in zip(members, marks, strict=True)
            if mark.value is not None and each.first is not None and each.second is not None
        ]
        table[name] = Relative(
            n=len(values),
            n_unread=sum(mark.reason == UNREAD for mark in marks),
            n_zero_reference=sum(mark.reason == ZERO_REFERENCE for mark in marks),
            first=_mean([first for first, _ in used]),
            second=_mean([second for _, second in used]),
            relative=None if not values else 100 * math.fsum(values) / len(values),
        )
    return table


def _ratio(verdicts: Sequence[Verdict], form: Form) -> Relative:
    read = [
        (each.first, each.second) for each in verdicts if each.first is not None and each.second is not None
    ]
    first, second = _mean([each for each, _ in read]), _mean([each for _, each in read])
    n_unread = len(verdicts) - len(read)
    if form == "paper":
        n_unread += sum(pair == FAILED_PAIR for pair in read)
        first, second = _rounded(first, 3), _rounded(second, 3)
    relative = second / first * 100 if first and second is not None else None
    return Relative(
        n=len(read),
        n_unread=n_unread,
        n_zero_reference=0,
        first=first,
        second=second,
        relative=_rounded(relative, 1) if form == "paper" else relative,
    )


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _by_category(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    grouped: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.category == ALL:
            raise BenchmarkError(
                f"item {verdict.item_id} is of a category called {ALL!r}, which names the row over every "
                "category; give it another name"
            )
        grouped[verdict.category].append(verdict)
    everything = [each for members in grouped.values() for each in members]
    return {ALL: everything} | {name: grouped[name] for name in sorted(grouped)} if everything else {}


def combine(given: Iterable[Verdict], swapped: Iterable[Verdict]) -> list[Verdict]:
    """Return each item's mean over both orders, so that a liking for one place favours neither answer.

    Args:
        given, swapped: verdicts of the same items; every one of `given` is in the result, in its order.

    Returns:
        Verdicts of order `both`. Where an order is missing or was not read, the scores are None: the mean of
        one order is not the mean of two. Items of `swapped` alone come last.

    Raises:
        BenchmarkError: an item stands twice in one order, or a verdict is in the wrong one.

    Source:
        Our own; asking in both orders is the usual remedy against position bias, which the published scripts
        do not take.
    """
    one, other = _by_item(given, "given"), _by_item(swapped, "swapped")
    return [_both(one.get(name), other.get(name)) for name in dict.fromkeys([*one, *other])]


def _by_item(verdicts: Iterable[Verdict], order: Order) -> Mapping[str, Verdict]:
    by_item: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.order != order:
            raise BenchmarkError(
                f"the verdict on item {verdict.item_id} is of order {verdict.order!r}, wanted is {order!r}"
            )
        if verdict.item_id in by_item:
            raise BenchmarkError(f"item {verdict.item_id} has two verdicts in the order {order!r}; keep one")
        by_item[verdict.item_id] = verdict
    return by_item


def _both(given: Verdict | None, swapped: Verdict | None) -> Verdict:
    there = [each for each in (given, swapped) if each is not None]
    firsts = [each.first for each in there if each.first is not None]
    seconds = [each.second for each in there if each.second is not None]
    known = replace(there[0], first=None, second=None, order="both", text="")
    if len(firsts) < 2 or len(seconds) < 2:
        return known
    return replace(known, first=_mean(firsts), second=_mean(seconds))


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How much a judge likes the place an answer stands in."""

    n: int
    """Items that were read in both orders; the others say nothing here."""
    advantage: float | None
    """Mean score of the answer in the first place less that of the answer in the second, over both orders of
    each item, in points: 0 for a fair judge, positive for one who likes the first place."""
    flips: float | None
    """Share of the items, 0 to 1, where one answer wins in one order and the other in the other."""
    changes: float | None
    """Share of the items, 0 to 1, whose outcome is another in the other order, ties included."""


def position_bias(given: Iterable[Verdict], swapped: Iterable[Verdict]) -> PositionBias:
    """Return how the place of an answer moves its score; the quality of the answers cancels out.

    Raises:
        BenchmarkError: as for `combine`.
    """
    one, other = _by_item(given, "given"), _by_item(swapped, "swapped")
    leads = []
    for name in one.keys() & other.keys():
        lead, back = _lead(one[name]), _lead(other[name])
        if lead is not None and back is not None:
            leads.append((lead, back))
    if not leads:
        return PositionBias(0, None, None, None)
    n = len(leads)
    signs = [(_sign(lead), _sign(back)) for lead, back in leads]
    return PositionBias(
        n=n,
        advantage=math.fsum((lead - back) / 2 for lead, back in leads) / n,
        flips=sum(one * other < 0 for one, other in signs) / n,
        changes=sum(one != other for one, other in signs) / n,
    )


def _lead(verdict: Verdict) -> float | None:
    """Return by how much the reference leads."""
    if verdict.first is None or verdict.second is None:
        return None
    return verdict.first - verdict.second


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
