"""Turns scores into measurements, and measurements into the few numbers a program asks for.

Keys, where SUBJECT is a benchmark's name or `macro`, the unweighted mean of all benchmarks:

    SUBJECT/base/original             the primary score under a condition
    SUBJECT/base/vrs                  visual reliance: original - mismatch, `acc_real_minus_mismatch/v1`
    SUBJECT/base/unparsed             share of replies no answer could be read from, original pictures
    SUBJECT/base/unparsed_blank       the same under another condition
    SUBJECT/adapted-base/original     paired difference: the gain
    SUBJECT/first_stage-base/original  the same of the first of two stages, where it was scored
    SUBJECT/adapted-first_stage/original  and of the second
    SUBJECT/adapted-base/vrs          paired difference of visual reliance
    NAME/base/original/recall_paper   another scorer of one benchmark; differences likewise
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from acclimate.errors import BenchmarkError
from acclimate.records import Measurement, Score
from acclimate.report.statistics import N_DRAWS, Resampled, interval, resample

MACRO = "macro"
ORIGINAL = "original"
Summary: TypeAlias = dict[str, Any]
_Columns: TypeAlias = dict[str, dict[str, float]]
COMPARISONS = (("adapted", "base"), ("first_stage", "base"), ("adapted", "first_stage"))
"""Which models a report compares, as far as they were scored."""


def measure(
    scores: Iterable[Score],
    primary: Mapping[str, str],
    *,
    n_rows_by_benchmark: Mapping[str, int] | None = None,
    seed: int = 0,
    n_draws: int = N_DRAWS,
    comparisons: Sequence[tuple[str, str]] = COMPARISONS,
) -> list[Measurement]:
    """Return every measurement, benchmarks in order of name, the macro mean last.

    Args:
        scores: of every scorer, model and condition; their order does not matter.
        primary: each benchmark's primary scorer, which the headline uses.
        n_rows_by_benchmark: rows of the benchmark's file, rejected ones included, for the coverage.
        seed: of the bootstrap.
        n_draws: of the bootstrap.
        comparisons: pairs of models; their difference is first minus second.

    Raises:
        BenchmarkError: a benchmark has no primary scorer or no scores, or its models and conditions cover
            different items.
    """
    by_benchmark: dict[str, list[Score]] = defaultdict(list)
    for each in scores:
        by_benchmark[each.benchmark].append(each)
    measurements: list[Measurement] = []
    parts: dict[str, list[Resampled]] = defaultdict(list)
    total_rows = 0
    for benchmark in sorted(by_benchmark):
        if benchmark not in primary:
            raise BenchmarkError(
                f"no primary scorer is named for benchmark {benchmark}; known: {', '.join(primary)}"
            )
        columns, clusters = _columns(by_benchmark[benchmark], primary[benchmark])
        try:
            resampled = dict(resample(columns, clusters, key=benchmark, seed=seed, n_draws=n_draws))
        except ValueError as error:
            raise BenchmarkError(f"benchmark {error}; evaluate every model and condition again") from error
        resampled |= _differences(resampled, comparisons)
        n_rows = (n_rows_by_benchmark or {}).get(benchmark, len(clusters))
        total_rows += n_rows
        for name, part in resampled.items():
            measurements.append(_measurement(f"{benchmark}/{name}", [part], n_rows))
            if name.count("/") == 1:
                parts[name].append(part)
    for name, every in parts.items():
        if len(every) == len(by_benchmark):
            measurements.append(_measurement(f"{MACRO}/{name}", every, total_rows))
    return measurements


def _columns(scores: Sequence[Score], primary: str) -> tuple[_Columns, Mapping[str, str]]:
    """Return the columns `model/condition[/scorer]` and `model/unparsed...`, and every item's cluster."""
    columns: _Columns = defaultdict(dict)
    clusters: dict[str, str] = {}
    for each in sorted(scores, key=lambda score: (score.model, score.condition, score.scorer, score.item_id)):
        is_primary = each.scorer == primary
        if not is_primary and each.condition != ORIGINAL:
            continue
        name = f"{each.model}/{each.condition}"
        column = columns[name if is_primary else f"{name}/{each.scorer}"]
        if each.item_id in column or clusters.setdefault(each.item_id, each.cluster) != each.cluster:
            raise BenchmarkError(
                f"benchmark {each.benchmark}: item {each.item_id} has two scores or two clusters under "
                f"{name}; score its predictions once"
            )
        column[each.item_id] = each.value
        if is_primary:
            suffix = "" if each.condition == ORIGINAL else f"_{each.condition}"
            columns[f"{each.model}/unparsed{suffix}"][each.item_id] = float(not each.parsed)
    return columns, clusters


def _differences(
    columns: Mapping[str, Resampled], comparisons: Sequence[tuple[str, str]]
) -> dict[str, Resampled]:
    models = dict.fromkeys(name.partition("/")[0] for name in columns)
    found = {
        f"{model}/vrs": columns[f"{model}/original"] - columns[f"{model}/mismatch"]
        for model in models
        if f"{model}/original" in columns and f"{model}/mismatch" in columns
    }
    every = {**columns, **found}
    for first, second in comparisons:
        for name in every:
            model, _, rest = name.partition("/")
            is_compared = rest == "vrs" or rest == ORIGINAL or rest.startswith(f"{ORIGINAL}/")
            if model == first and is_compared and f"{second}/{rest}" in every:
                found[f"{first}-{second}/{rest}"] = every[name] - every[f"{second}/{rest}"]
    return found


def _measurement(key: str, parts: Sequence[Resampled], n_rows: int) -> Measurement:
    found = interval(parts)
    n = sum(part.n for part in parts)
    return Measurement(
        key=key,
        value=found.value,
        low=found.low,
        high=found.high,
        n=n,
        n_clusters=sum(part.n_clusters for part in parts),
        coverage=n / n_rows,
        method=found.method,
    )


def summary(measurements: Iterable[Measurement]) -> Summary:
    """Return the headline numbers as one JSON object, fractions 0 to 1; what was not measured is left out.

    Returns:
        `base` and `adapted` (`macro`, `unparsed`), `gain` (`value`, `low`, `high`), `benchmarks` (by name:
        `base`, `adapted`), `reliance` (`base` and `adapted`: `original`, `mismatch`, `blank`, `vrs`; and
        `vrs_gain`). Where the first of two stages was scored, `first_stage` stands beside `base` and
        `adapted` everywhere, and `stages` has the gain of the `first` and of the `second`.
    """
    by_key = {each.key: each for each in measurements}
    names = list(dict.fromkeys(key.partition("/")[0] for key in by_key))
    is_staged = f"{MACRO}/first_stage/original" in by_key
    models = ("base", "first_stage", "adapted") if is_staged else ("base", "adapted")
    out: Summary = {
        model: _values(
            by_key, {"macro": f"{MACRO}/{model}/original", "unparsed": f"{MACRO}/{model}/unparsed"}
        )
        for model in models
    }
    out["gain"] = _interval_of(by_key, f"{MACRO}/adapted-base/original")
    out["benchmarks"] = {
        name: _values(by_key, {model: f"{name}/{model}/original" for model in models})
        for name in names
        if name != MACRO
    }
    shown = ("original", "mismatch", "blank", "vrs")
    out["reliance"] = {
        model: _values(by_key, {what: f"{MACRO}/{model}/{what}" for what in shown}) for model in models
    }
    out["reliance"]["vrs_gain"] = _interval_of(by_key, f"{MACRO}/adapted-base/vrs")
    if is_staged:
        out["stages"] = {
            "first": _interval_of(by_key, f"{MACRO}/first_stage-base/original"),
            "second": _interval_of(by_key, f"{MACRO}/adapted-first_stage/original"),
        }
    return out


def _values(by_key: Mapping[str, Measurement], wanted: Mapping[str, str]) -> dict[str, object]:
    return {name: by_key[key].value for name, key in wanted.items() if key in by_key}


def _interval_of(by_key: Mapping[str, Measurement], key: str) -> dict[str, object]:
    found = by_key.get(key)
    return {} if found is None else {"value": found.value, "low": found.low, "high": found.high}
