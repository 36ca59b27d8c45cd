"""Says in words what the intervals support, and nothing more."""

from collections.abc import Iterable, Mapping
from typing import Literal

from acclimate.records import Measurement

Standing = Literal["higher", "lower", "not resolved"]


def standing(difference: Measurement) -> Standing:
    """Return which way a difference's 95 % interval lies; an interval that holds 0 resolves nothing."""
    if difference.low > 0.0:
        return "higher"
    return "lower" if difference.high < 0.0 else "not resolved"


def points(value: float, *, signed: bool = False) -> str:
    """Return a fraction of full marks in points of 100."""
    text = f"{100 * value:{'+' if signed else ''}.1f}"
    return text[1:] if text in ("-0.0", "+0.0") else text


def span(measured: Measurement, *, signed: bool = False) -> str:
    """Return the interval in points."""
    return f"{points(measured.low, signed=signed)} to {points(measured.high, signed=signed)}"


def headline(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Return the report's first sentences: the gain, the gain's spread, visual reliance."""
    by_key = {each.key: each for each in measurements}
    # A part of a benchmark (`NAME[part]`) and a published total have no share of unread replies.
    every = dict.fromkeys(key.partition("/")[0] for key in by_key if key.count("/") == 2)
    read = {key.partition("/")[0] for key in by_key if key.endswith("/unparsed")}
    benchmarks = [name for name in every if name != "macro" and (name in read or not read)]
    said = [_gain(by_key, len(benchmarks)), _single_gains(by_key, benchmarks), _reliance(by_key)]
    return tuple(sentence for sentence in said if sentence)


def _gain(by_key: Mapping[str, Measurement], n_benchmarks: int) -> str:
    gain = by_key.get("macro/adapted-base/original")
    if gain is None:
        alone = by_key.get("macro/base/original") or by_key.get("macro/adapted/original")
        if alone is None:
            return "Nothing was scored."
        model = alone.key.split("/")[1]
        return (
            f"The {model} model scores {points(alone.value)} of 100 on average (95 % interval {span(alone)})."
        )
    base, adapted = by_key["macro/base/original"], by_key["macro/adapted/original"]
    where = f"over {n_benchmarks} benchmarks" if n_benchmarks > 1 else "on one benchmark"
    scores = f"{points(adapted.value)} against {points(base.value)} of 100"
    difference = f"difference {points(gain.value, signed=True)}, 95 % interval {span(gain, signed=True)}"
    found = standing(gain)
    if found == "not resolved":
        return (
            f"No difference between the adapted and the base model is shown {where}: {scores} ({difference})."
        )
    return f"The adapted model scores {found} than the base model {where}: {scores} ({difference})."


def _single_gains(by_key: Mapping[str, Measurement], benchmarks: Iterable[str]) -> str:
    gains = {name: by_key.get(f"{name}/adapted-base/original") for name in benchmarks}
    found = [(name, standing(gain)) for name, gain in gains.items() if gain is not None]
    if len(found) < 2:
        return ""
    lower = [name for name, which in found if which == "lower"]
    counts = {which: sum(each == which for _, each in found) for which in ("higher", "lower", "not resolved")}
    text = (
        f"Taken alone, {counts['higher']} of {len(found)} benchmarks are higher, {counts['lower']} lower, "
        f"{counts['not resolved']} not resolved"
    )
    return f"{text} (lower: {', '.join(lower)})." if lower else f"{text}."


def _reliance(by_key: Mapping[str, Measurement]) -> str:
    change = by_key.get("macro/adapted-base/vrs")
    if change is None:
        return ""
    base, adapted = by_key["macro/base/vrs"], by_key["macro/adapted/vrs"]
    numbers = (
        f"with another question's picture the adapted model loses {points(adapted.value)} points, "
        f"the base model {points(base.value)} (difference {points(change.value, signed=True)}, "
        f"95 % interval {span(change, signed=True)})"
    )
    verb = {"higher": "rests more on", "lower": "rests less on"}.get(standing(change))
    if verb is None:
        return f"No change in how much the answers rest on the picture is shown: {numbers}."
    return f"The adapted model's score {verb} the picture than the base model's: {numbers}."
