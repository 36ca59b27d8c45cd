"""Numbers of a sentence: value, unit, and what they measure. Pure. Source: our own rules."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from acclimate.grounding.words import STOP, content, folded, listed, stem

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]])[-+])?(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<part>\.\d+)?"
    r"(?P<scale>\s?(?:thousand|million|billion|bn)\b|[kKMB](?![\w]))?"
)
_UNIT = re.compile(
    r"[\s-]?(?P<unit>%|percentage points?\b|percent\b|per cent\b|pp\b|points?\b|°\s?[CF]\b"
    r"|degrees? [CF]\b|degrees?\b"
    r"|(?:micro|milli|kilo)?(?:gram|metre|meter|litre|liter|second|watt|volt)s?\b"
    r"|(?:mg|kg|g|lb|oz|ml|mL|dl|l|L|cm|mm|km|nm|µm|μm|m|ms|µs|s|h|hz|kHz|MHz|GHz|Hz|dB|kW|W|kV|mV|V|mA|A"
    r"|Nm|N|kPa|MPa|Pa|bar|GB|MB|kB|TB|mSv|Gy|rpm|mmHg|kcal|kJ|J)(?:/[A-Za-z]+)?\b"
    r"|(?:minutes?|min|hours?|hrs?|days?|weeks?|months?|years?|seconds?|secs?)\b"
    r"|(?:x|times|-?fold)\b|dollars?\b|euros?\b|pounds?\b|cups?\b|ounces?\b|tablespoons?\b|teaspoons?\b"
    r"|inch(?:es)?\b)"
)
_UNIT_NAMES = {
    "percent": "%", "per cent": "%", "pp": "points", "point": "points", "percentage point": "points",
    "percentage points": "points", "gram": "g", "kilogram": "kg", "milligram": "mg", "metre": "m",
    "meter": "m",
    "millimetre": "mm", "millimeter": "mm", "litre": "l", "liter": "l", "millilitre": "ml",
    "milliliter": "ml", "minute": "min", "hour": "h", "hr": "h", "second": "s", "sec": "s",
    "x": "times", "fold": "times",
    "°c": "°c", "degree c": "°c", "°f": "°f", "degree f": "°f", "millisecond": "ms", "watt": "w", "volt": "v",
    "kilowatt": "kw", "inche": "inch",
}  # fmt: skip
_KEPT_CASE = {"m", "MB", "GB", "kB", "TB"}
_SCALES = {"k": 3, "K": 3, "M": 6, "B": 9, "thousand": 3, "million": 6, "billion": 9, "bn": 9}
_SPELLED = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SPELLED_WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(_SPELLED)})(?!\w)", re.IGNORECASE)
_CITATION = re.compile(r"\[\d+(?:\s*[,–-]\s*\d+)*\]")
_TOKEN_BEFORE = re.compile(r"[\w.\-/]*$")
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*|[,;:()]|\.(?=\s|$)")

_SPECIFIC = listed(
    """
    accuracy precision recall sensitivity specificity f1 auc auroc bleu rouge cider meteor perplexity
    loss error weight mass volume temperature length width height depth thickness duration latency cost
    price output throughput speed dose dosage pressure voltage current prevalence incidence mortality
    survival revenue profit margin humidity density diameter energy power age agreement coverage
    diversity complexity torque frequency turnover concentration exposure salary tax scrap downtime
    waste humidity viscosity strength hardness
    """
)
_COMPOUND = listed(
    """
    score rate ratio index level time
    """
)
"""Measures that mean something of their own only with the word before them: `relative score`."""
_NO_MODIFIER = STOP | listed(
    """
    new high low higher lower best better worse overall final good great impressive standard average
    mean total current reported measured state art the highest lowest record similar maximum minimum
    first last
    """
)
_AFTER_STOPS = listed(
    """
    , ; : ( ) . and but while whereas with compared versus vs on for in at by than from to when after
    before which that although over per
    """
)
_PART_STOPS = _AFTER_STOPS | listed(
    """
    is are was were be been being has have had
    """
)
_BEFORE_STOPS = listed(
    """
    , ; : ( ) . and but while whereas although
    """
)
_LONGEST_NAME = 80
_REACH = 6
_NOUN_REACH = 3


@dataclass(frozen=True, slots=True)
class Number:
    """A number as a sentence gives it."""

    text: str
    """As written, with its unit: `85.1%`."""
    value: str
    """In plain decimal form without trailing zeros: `85.1`, `80000`; a sign stays only where it is minus."""
    unit: str
    """`%`, `points`, `mg`, ...; empty where it counts things or has none."""
    measures: frozenset[str]
    """What the sentence says it is a number of, where a measure of our list stands by it: `{accuracy}`."""
    counted: str
    """Stem of the plural noun that follows a number without unit (`10 papers`, `two-stage`); empty else."""
    part_of: frozenset[str]
    """Stems of what a share is taken of, `30% of the task triplets`; empty else."""

    @property
    def is_percent(self) -> bool:
        """Whether it is a percentage."""
        return self.unit == "%"


def numbers(text: str) -> tuple[Number, ...]:
    """Return the numbers of a sentence in order; parts of names (`GPT-4`) and citations (`[12]`) are none.

    Number words from two to twenty and the tens count; `one` does not.
    """
    plain = _plain(text)
    return tuple(_number(plain, (start, end), value, unit) for start, end, value, unit in _places(plain))


def units_by_value(texts: Iterable[str]) -> dict[str, set[str]]:
    """Return the units that each number of the texts stands with, for `is_among`."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for _, _, value, unit in _places(_plain(text)):
            found.setdefault(value, set()).add(unit)
    return found


def is_among(number: Number, held: Mapping[str, Collection[str]]) -> bool:
    """Return whether a number is held in value and unit, whatever it measures there."""
    return any(_same_unit(number.unit, unit) for unit in held.get(number.value, ()))


def _plain(text: str) -> str:
    return _CITATION.sub(lambda match: " " * len(match.group()), folded(text))


def _places(plain: str) -> list[tuple[int, int, str, str]]:
    """Return start, end, value and unit of every number, in order."""
    found: list[tuple[int, int, str, str]] = []
    for match in _NUMBER.finditer(plain):
        before = _TOKEN_BEFORE.search(plain, max(0, match.start() - _LONGEST_NAME), match.start())
        token = before.group() if before else ""
        if any(sign.isalpha() for sign in token) or token.endswith("."):
            continue
        end, unit = _unit(plain, match.end())
        if end < len(plain) and (plain[end].isalnum() or plain[end] == "_"):
            continue  # part of a name: `3D`, `7B-chat`
        found.append((match.start(), end, _value(match), unit))
    for match in _SPELLED_WORD.finditer(plain):
        end, unit = _unit(plain, match.end())
        found.append((match.start(), end, str(_SPELLED[match.group().casefold()]), unit))
    return sorted(found)


def _value(match: re.Match[str]) -> str:
    value = Decimal(match["digits"].replace(",", "") + (match["part"] or ""))
    value = value.scaleb(_SCALES.get((match["scale"] or "").strip(), 0)).normalize()
    sign = "-" if match["sign"] == "-" and value else ""
    return sign + format(value, "f")


def _unit(text: str, at: int) -> tuple[int, str]:
    match = _UNIT.match(text, at)
    if match is None:
        currency = text[max(0, at - 24) : at]
        found = re.search(r"([$€£])\s?[\d.,]+(?:[kKMB]|\s\w+)?$", currency)
        return at, found[1] if found else ""
    unit = re.sub(r"\s+", " ", match["unit"]).replace("° ", "°").lstrip("-")
    if unit in _KEPT_CASE:
        return match.end(), unit
    lowered = unit.casefold()
    single = lowered.removesuffix("s") if len(lowered) > 2 else lowered
    return match.end(), _UNIT_NAMES.get(lowered, _UNIT_NAMES.get(single, single))


def _number(text: str, span: tuple[int, int], value: str, unit: str) -> Number:
    start, end = span
    before = [each.group() for each in _WORD.finditer(text[:start])]
    after = [each.group() for each in _WORD.finditer(text[end : end + 160])]
    counted = "" if unit else _counted(after, hyphened=text[end : end + 1] == "-")
    return Number(text[start:end].strip(), value, unit, _measures(before, after), counted, _part_of(after))


def _part_of(after: Sequence[str]) -> frozenset[str]:
    if not after or after[0].casefold() != "of":
        return frozenset()
    part: list[str] = []
    for word in after[1 : 1 + _REACH]:
        if word.casefold() in _PART_STOPS:
            break
        part.append(word)
    return frozenset(content(" ".join(part)))


def _counted(after: Sequence[str], *, hyphened: bool) -> str:
    if hyphened and after and after[0].isalpha():
        return stem(after[0].casefold())
    for word in after[:_NOUN_REACH]:
        lowered = word.casefold()
        if lowered in STOP or not word[0].isalpha():
            return ""
        if lowered.endswith("s") and not lowered.endswith(("ss", "us", "is", "'s")):
            return stem(lowered)
    return ""


def _measures(before: Sequence[str], after: Sequence[str]) -> frozenset[str]:
    """Return the measure nearest to the number in its part of the sentence: behind it, else before it."""
    reach: list[str] = []
    for word in after[:_REACH]:
        if word.casefold() in _AFTER_STOPS:
            break
        reach.append(word)
    found = _named(reach)
    if found:
        return frozenset(found[:1])
    part: list[str] = []
    for at in range(len(before) - 1, -1, -1):
        word = before[at].casefold()
        if word in _BEFORE_STOPS and not _joins_measures(before, at):
            break
        part.insert(0, before[at])
    found = _named(part)
    joined = any(word.casefold() == "and" for word in part)
    return frozenset(found[-2:] if joined else found[-1:])


def _joins_measures(before: Sequence[str], at: int) -> bool:
    """Return whether the word is an `and` between two measures: `precision and recall were 90% and 85%`."""
    if before[at].casefold() != "and" or not 0 < at < len(before) - 1:
        return False
    return {before[at - 1].casefold(), before[at + 1].casefold()} <= _SPECIFIC


def _named(part: Sequence[str]) -> list[str]:
    found = []
    for at, word in enumerate(part):
        head = word.casefold().removesuffix("'s")
        single = head if head in _SPECIFIC | _COMPOUND else head.removesuffix("s")
        if single in _SPECIFIC:
            found.append(single)
        elif single in _COMPOUND:
            modifier = part[at - 1].casefold() if at else ""
            specific = modifier and modifier not in _NO_MODIFIER and modifier[0].isalpha()
            found.append(f"{modifier} {single}" if specific else single)
    return found


def same_meaning(one: Number, other: Number, beside: Sequence[Number] = ()) -> bool:
    """Return whether two numbers may be of the same thing: nothing that is said of them speaks against it.

    What speaks against it: two measures of our list, where a bare `score` or `rate` may be any, and `relative
    score` and `accuracy` are two; shares of two things; and a counted noun that another number beside counts.

    Args:
        beside: the numbers of the sentence that holds `other`.
    """
    if one.measures and other.measures and not _agree(one.measures, other.measures):
        return False
    if one.part_of and other.part_of and not one.part_of & other.part_of:
        return not (one.is_percent and other.is_percent) or bool(one.measures & other.measures)
    elsewhere = {each.counted for each in beside if each is not other}
    return not (one.counted and other.counted and one.counted != other.counted and one.counted in elsewhere)


def _agree(one: Iterable[str], other: Iterable[str]) -> bool:
    return any(a == b or a in _COMPOUND or b in _COMPOUND for a in one for b in other)


def same_number(one: Number, other: Number) -> bool:
    """Return whether two numbers are equal in value and unit, whatever they measure.

    Exactly: `85.1%` is not `85.10 points`, nor `85%`; a number without unit equals one with a unit that is no
    percentage, point or factor (`30` and `30 min`). A minus sign must stand in both or in neither.
    """
    return one.value == other.value and _same_unit(one.unit, other.unit)


def _same_unit(one: str, other: str) -> bool:
    return one == other or (not (one and other) and not {one, other} & {"%", "points", "times"})


def same_kind(one: Number, other: Number) -> bool:
    """Return whether two numbers could stand in one place: same unit, and the same noun where they count."""
    return one.unit == other.unit and (bool(one.unit) or (bool(one.counted) and one.counted == other.counted))
