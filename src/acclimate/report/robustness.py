"""Robustness: how much of a score is lost when pictures are corrupted. Pure: scores in, rows out.

    score          A: the metric under a condition (of a group: the mean over its conditions)
    drop           A_original - A_corrupted, in the metric's own unit
    relative_drop  (A_original - A_corrupted) / A_original, the share of the score that is lost
    CE             of two models: the first one's errors (1 - A), summed over severities, over the second's
    relative_CE    the same with errors less those on original pictures
    mCE, relative_mCE   their means over corruptions

A row is about one corruption and severity, or about a mean: severity 0 is the mean over the severities that
were asked; `corruption` may be a family (noise, blur, weather, digital of the 15; extra: the other 4), `all`
that were asked, `imagenet_c` the 15 or `all_19`, these two only where none is missing. A mean over
corruptions is that of the corruptions' means over severities. As all shares have one denominator, the mean of
relative drops is the relative drop of the mean.

Any metric will do: means of items, CIDEr (a mean of items, up to 10), and ratios or BLEU, which are computed
over the corpus in every draw. Clusters are drawn whole and together for all conditions and models; ratios are
computed anew in every draw. A relative drop is not defined (NaN, and a flag) where the original score's
interval reaches 0: then there is nothing that could be lost.

Sources: CE, mCE and their relative forms: Hendrycks and Dietterich 2019 (arXiv 1903.12261), with any model
for their AlexNet and as fractions, not percent (1: as the reference). The relative drop is 1 - corrupted /
clean, by which Sight Beyond Text compares captions of MSCOCO-C (severities 1, 3 and 5). What is not defined,
and the other means, are our own rules.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from acclimate.errors import BenchmarkError
from acclimate.records import Score
from acclimate.report.columns import ORIGINAL, table_of
from acclimate.report.reliance_measures import NO_SCORE, NO_VARIATION, joined
from acclimate.report.statistics import (
    BOOTSTRAP,
    LEVEL,
    N_DRAWS,
    ONE_CLUSTER,
    Interval,
    Resampled,
    interval_of_sum,
    resample,
)

DEFINITION = "relative_drop/v1"
SEVERITIES = (1, 2, 3, 4, 5)
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""The four families of the 15 corruptions of ImageNet-C, and the 4 others."""
ALL = "all"
IMAGENET_C = "imagenet_c"
ALL_19 = "all_19"
_ALL_19 = tuple(name for members in FAMILIES.values() for name in members)
_WHOLE = {IMAGENET_C: _ALL_19[:15], ALL_19: _ALL_19}
GROUPS: tuple[str, ...] = (ALL, *_WHOLE, *FAMILIES)
"""What `Robustness.corruption` may be beside a corruption and `original`."""
UNDEFINED = "undefined"
UNDEFINED_DRAWS = "undefined_draws"
UNRESOLVED = "original_not_resolved_from_0"
NO_ERRORS = "reference_not_resolved_from_0"
Level: TypeAlias = Literal["benchmark", "macro"]
Asked: TypeAlias = tuple[tuple[str, int], ...]
"""Corruptions with their severities."""
Key: TypeAlias = tuple[str, str, str, int]
"""Model, measure, corruption or group, severity."""


@dataclass(frozen=True, slots=True)
class How:
    """What is compared, and how it is resampled."""

    comparisons: Sequence[tuple[str, str]] = ()
    """Pairs of models: differences are first minus second, and CE is over the second's errors."""
    seed: int = 0
    n_draws: int = N_DRAWS


@dataclass(frozen=True, slots=True)
class Robustness:
    """One measure with its 95 % interval."""

    level: Level
    benchmark: str
    """`all` for the mean over benchmarks (macro)."""
    scorer: str
    """Empty for macro, which is over the benchmarks' primary scorers."""
    is_primary: bool
    model: str
    """A model, or two with a hyphen between them: first minus second; of CE first over second."""
    measure: str
    """As above; of a difference of two models with `d` before it."""
    corruption: str
    """A corruption, a group of `GROUPS`, or `original`."""
    severity: int
    """1 to 5; 0 for the mean over severities (of CE the sum)."""
    value: float
    """A fraction; of `score` and `drop` in the metric's unit. NaN where not defined; `flag` says why."""
    low: float
    high: float
    method: str
    """As in `statistics.Interval`; `undefined` where there is none."""
    n: int
    """Items."""
    n_clusters: int
    n_corruptions: int
    n_conditions: int
    """Corruptions with severities that are in it."""
    severities: str
    """Which ones: `1,3,5`."""
    draws: int
    seed: int
    n_benchmarks: int = 1
    flag: str = ""
    n_lost: int = 0
    """Items that a scorer did not mark under every condition, and that are left out; 0 of primary ones."""
    definition: str = DEFINITION


@dataclass(frozen=True, slots=True)
class _Estimate:
    """One measure of one model, or of two, on one benchmark."""

    part: Resampled
    asked: Asked = ()
    flag: str = ""
    is_in_unit: bool = False
    """Whether the value is in the metric's unit, which another benchmark's may not be; else it is a ratio."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """One benchmark in one scorer."""

    benchmark: str
    scorer: str
    is_primary: bool
    n_lost: int
    columns: Mapping[str, Mapping[str, Resampled]]
    """By model and condition, resampled together."""
    estimates: Mapping[Key, _Estimate]


def corruption_of(condition: str) -> tuple[str, int] | None:
    """Return the corruption and severity that a condition's name says, `fog_3`; None for other conditions."""
    name, _, severity = condition.rpartition("_")
    is_known = name in _ALL_19 and severity in tuple(map(str, SEVERITIES))
    return (name, int(severity)) if is_known else None


def measure_robustness(
    scores: Iterable[Score], primary: Mapping[str, str], how: How | None = None
) -> list[Robustness]:
    """Return every measure of every scorer, model and comparison, by benchmark; then the means over them.

    Args:
        scores: of every scorer, model and condition, in any order; those of other conditions than `original`
            and corruptions are not used, nor are models and scorers that lack either.
        primary: each benchmark's primary scorer.
        how: what is compared and how it is resampled.

    Returns:
        Nothing where no model was scored under `original` and a corruption.

    Raises:
        BenchmarkError: a benchmark has no primary scorer, an item has two scores in one column, or the
            primary scorer marked other items under one condition or model than under another.
    """
    how = how or How()
    by_subject: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for each in scores:
        if each.condition == ORIGINAL or corruption_of(each.condition) is not None:
            by_subject[each.benchmark, each.scorer].append(each)
    subjects = []
    for benchmark, scorer in sorted(
        by_subject, key=lambda key: (key[0], key[1] != primary.get(key[0]), key[1])
    ):
        if benchmark not in primary:
            raise BenchmarkError(
                f"no primary scorer is named for benchmark {benchmark}; known: {', '.join(primary)}"
            )
        own = _with_both(by_subject[benchmark, scorer])
        if own:
            subjects.append(_subject(benchmark, own, how, is_primary=scorer == primary[benchmark]))
    rows = [row for each in subjects for row in _rows(each, how)]
    return rows + list(_macro([each for each in subjects if each.is_primary], how))


def _with_both(scores: Sequence[Score]) -> list[Score]:
    """Return the scores of models that were scored under `original` and under a corruption."""
    by_model: dict[str, set[str]] = defaultdict(set)
    for each in scores:
        by_model[each.model].add(each.condition)
    return [each for each in scores if ORIGINAL in by_model[each.model] and len(by_model[each.model]) > 1]


def _subject(benchmark: str, scores: Sequence[Score], how: How, *, is_primary: bool) -> _Subject:
    kept, n_lost = (list(scores), 0) if is_primary else _joined(scores)
    scorer = scores[0].scorer
    if not kept:
        return _Subject(benchmark, scorer, is_primary, n_lost, {}, {})
    table = table_of(kept, scorer)
    names = dict.fromkeys((each.model, each.condition) for each in kept)
    wanted = {f"{model}/{condition}": table.columns[f"{model}/{condition}"] for model, condition in names}
    try:
        drawn = resample(wanted, table.clusters, key=benchmark, seed=how.seed, n_draws=how.n_draws)
    except ValueError as error:
        raise BenchmarkError(f"benchmark {error}; evaluate every model and condition again") from error
    columns: dict[str, dict[str, Resampled]] = defaultdict(dict)
    for model, condition in names:
        columns[model][condition] = drawn[f"{model}/{condition}"]
    estimates: dict[Key, _Estimate] = {}
    for model, own in columns.items():
        estimates |= _of_model(model, own)
    for first, second in how.comparisons:
        if first in columns and second in columns:
            estimates |= _differences(estimates, first, second)
            estimates |= _errors(columns[first], columns[second], f"{first}-{second}")
    return _Subject(benchmark, scorer, is_primary, n_lost, columns, estimates)


def _joined(scores: Sequence[Score]) -> tuple[list[Score], int]:
    """Return the scores of the items that were marked under every condition and model; count the others."""
    marked: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in scores:
        marked[each.model, each.condition].add(each.item_id)
    common = set.intersection(*marked.values())
    every = set.union(*marked.values())
    return [each for each in scores if each.item_id in common], len(every - common)


def _cells(asked: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int, Asked]]:
    """Yield every corruption or group and severity, with what is in it."""
    there = sorted(asked, key=lambda each: (_ALL_19.index(each[0]), each[1]))
    for group in (*_ALL_19, *GROUPS):
        members = _WHOLE.get(group) or FAMILIES.get(group) or (_ALL_19 if group == ALL else (group,))
        for severity in (0, *SEVERITIES):
            found = tuple(each for each in there if each[0] in members and severity in (0, each[1]))
            n_whole = len(members) * (1 if severity else len(SEVERITIES))
            if found and (group not in _WHOLE or len(found) == n_whole):
                yield group, severity, found


def _of_model(model: str, columns: Mapping[str, Resampled]) -> dict[Key, _Estimate]:
    original = columns[ORIGINAL]
    found = {(model, "score", ORIGINAL, 0): _Estimate(original, is_in_unit=True)}
    by_place = {place: part for name, part in columns.items() if (place := corruption_of(name)) is not None}
    for group, severity, asked in _cells(by_place):
        mean = _mean([_mean([by_place[each] for each in own]) for own in _by_corruption(asked)])
        drop = original - mean
        found[model, "score", group, severity] = _Estimate(mean, asked, is_in_unit=True)
        found[model, "drop", group, severity] = _Estimate(drop, asked, is_in_unit=True)
        found[model, "relative_drop", group, severity] = _ratio(drop, original, asked, UNRESOLVED)
    return found


def _by_corruption(asked: Asked) -> list[list[tuple[str, int]]]:
    by_name: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for each in asked:
        by_name[each[0]].append(each)
    return list(by_name.values())


def _mean(parts: Sequence[Resampled]) -> Resampled:
    """Return the mean of columns that were resampled together."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        value=math.fsum(part.value for part in parts) / len(parts),
        draws=np.sum([part.draws for part in parts], axis=0) / len(parts),
        is_extreme=all(part.is_extreme and part.value == parts[0].value for part in parts),
        terms=(),
    )


def _ratio(above: Resampled, below: Resampled, asked: Asked, why: str) -> _Estimate:
    """Return a ratio, computed anew in every draw; NaN unless the denominator's interval lies above 0."""
    if interval_of_sum([[(below, 1.0)]]).low > 0.0 and below.value > 0.0:
        nothing = np.full_like(above.draws, np.nan)
        draws = np.divide(above.draws, below.draws, out=nothing, where=below.draws != 0)
        part = Resampled(above.value / below.value, draws, above.n, above.n_clusters, is_difference=True)
        return _Estimate(part, asked)
    draws = np.full_like(above.draws, np.nan)
    part = Resampled(math.nan, draws, above.n, above.n_clusters, is_difference=True)
    return _Estimate(part, asked, NO_SCORE if below.value == 0.0 and why == UNRESOLVED else why)


def _differences(estimates: Mapping[Key, _Estimate], first: str, second: str) -> dict[Key, _Estimate]:
    """Return first minus second of every measure that both models have over the same conditions."""
    found: dict[Key, _Estimate] = {}
    for (model, measure, group, severity), one in estimates.items():
        other = estimates.get((second, measure, group, severity))
        if model == first and other is not None and one.asked == other.asked:
            flag = joined([one.flag, other.flag])
            key = (f"{first}-{second}", f"d{measure}", group, severity)
            found[key] = _Estimate(one.part - other.part, one.asked, flag, one.is_in_unit)
    return found


def _errors(
    first: Mapping[str, Resampled], second: Mapping[str, Resampled], model: str
) -> dict[Key, _Estimate]:
    """Return the first model's errors over the second's, where full marks are 1."""
    if first[ORIGINAL].top != 1.0:
        return {}
    conditions = [name for name in first if name in second]
    by_place = {place: name for name in conditions if (place := corruption_of(name)) is not None}
    found: dict[Key, _Estimate] = {}
    for measure in ("CE", "relative_CE"):
        is_relative = measure == "relative_CE"
        by_name: dict[str, _Estimate] = {}
        for own in _by_corruption(tuple(by_place)):
            names = [by_place[each] for each in own]
            above, below = (_error(each, names, is_relative=is_relative) for each in (first, second))
            asked = tuple(sorted(own, key=lambda each: each[1]))
            by_name[own[0][0]] = _ratio(above, below, asked, NO_ERRORS)
        for group, severity, asked in _cells(by_place):
            if severity:
                continue
            name = measure if group in _ALL_19 else measure.replace("CE", "mCE")
            members = [by_name[each] for each in dict.fromkeys(each for each, _ in asked)]
            part = _mean([each.part for each in members])
            found[model, name, group, 0] = _Estimate(part, asked, joined([each.flag for each in members]))
    return found


def _error(columns: Mapping[str, Resampled], names: Sequence[str], *, is_relative: bool) -> Resampled:
    """Return the mean error over conditions, less that under `original` where relative."""
    mean = _mean([columns[name] for name in names])
    if is_relative:
        return columns[ORIGINAL] - mean
    # Not extreme: an error of 0 in all draws leaves a ratio undefined by its value already.
    return replace(mean, value=1.0 - mean.value, draws=1.0 - mean.draws, is_extreme=False, terms=())


def _rows(subject: _Subject, how: How) -> Iterator[Robustness]:
    for key, each in subject.estimates.items():
        row = _row("benchmark", subject.benchmark, key, [each], how)
        yield replace(row, scorer=subject.scorer, is_primary=subject.is_primary, n_lost=subject.n_lost)


def _macro(subjects: Sequence[_Subject], how: How) -> Iterator[Robustness]:
    """Yield the unweighted means of what all benchmarks have; of scores and drops where all have one unit."""
    tops = {part.top for each in subjects for own in each.columns.values() for part in own.values()}
    for key in subjects[0].estimates if len(subjects) > 1 else ():
        members = [each.estimates[key] for each in subjects if key in each.estimates]
        is_one_unit = len(tops) == 1 or not any(each.is_in_unit for each in members)
        is_same = len({each.asked for each in members}) == 1
        if len(members) == len(subjects) and is_one_unit and is_same:
            yield _row("macro", ALL, key, members, how)


def _row(level: Level, benchmark: str, key: Key, members: Sequence[_Estimate], how: How) -> Robustness:
    model, measure, group, severity = key
    is_ratio = not any(each.is_in_unit for each in members)
    span, beware = _interval([each.part for each in members], is_ratio=is_ratio)
    asked = members[0].asked
    return Robustness(
        level=level,
        benchmark=benchmark,
        scorer="",
        is_primary=True,
        model=model,
        measure=measure,
        corruption=group,
        severity=severity,
        value=span.value,
        low=span.low,
        high=span.high,
        method=span.method,
        n=sum(each.part.n for each in members),
        n_clusters=sum(each.part.n_clusters for each in members),
        n_corruptions=len({name for name, _ in asked}),
        n_conditions=len(asked),
        severities=",".join(str(each) for each in sorted({severity for _, severity in asked})),
        draws=how.n_draws,
        seed=how.seed,
        n_benchmarks=len(members),
        flag=joined([*(each.flag for each in members), beware]),
    )


def _interval(parts: Sequence[Resampled], *, is_ratio: bool) -> tuple[Interval, str]:
    """Return the mean of independent benchmarks with its interval, and what to beware of."""
    value = math.fsum(part.value for part in parts) / len(parts)
    if math.isnan(value):
        return Interval(math.nan, math.nan, math.nan, UNDEFINED), ""
    if is_ratio and any(part.n_clusters < 2 for part in parts):
        return Interval(value, math.nan, math.nan, ONE_CLUSTER), ONE_CLUSTER
    if any(np.isnan(part.draws).any() for part in parts):
        draws = np.sum([part.draws for part in parts], axis=0) / len(parts)
        draws = draws[~np.isnan(draws)]
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(value, float(low), float(high), BOOTSTRAP), UNDEFINED_DRAWS
    found = interval_of_sum([[(part, 1.0)] for part in parts], divisor=float(len(parts)))
    is_fixed = found.method == BOOTSTRAP and all(np.all(part.draws == part.draws[0]) for part in parts)
    return found, NO_VARIATION if is_fixed else ""
