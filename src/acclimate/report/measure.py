"""Turns scores into measurements, and measurements into the few numbers a program asks for.

Keys, where SUBJECT is a benchmark's name or `macro`, the unweighted mean of all benchmarks:

    SUBJECT/base/original             the primary score under a condition
    SUBJECT/base/vrs                  visual reliance: original - mismatch, `acc_real_minus_mismatch/v1`
    SUBJECT/base/unparsed             share of replies no answer could be read from, original pictures
    SUBJECT/base/unparsed_blank       the same under another condition
    SUBJECT/base/guessed              share of items whose answer an official scorer drew at random, and
    SUBJECT/base/guessed_points       mean of the official score that these alone give; where any was drawn
    SUBJECT/adapted-base/original     paired difference: the gain
    SUBJECT/first_stage-base/original  the same of the first of two stages, where it was scored
    SUBJECT/adapted-first_stage/original  and of the second
    SUBJECT/adapted-base/vrs          paired difference of visual reliance
    NAME/base/original/recall_paper   another scorer of one benchmark; differences likewise
    NAME[subset]/base/original        a part of it, primary and official scorers; differences likewise
    SUM/base/original                 a weighted sum that was asked for; differences likewise

A benchmark's differences between models have p values; those of subsets, sums and the macro mean have none.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from acclimate.errors import BenchmarkError
from acclimate.records import Measurement, Score
from acclimate.report.columns import ORIGINAL as ORIGINAL
from acclimate.report.columns import Table, table_of
from acclimate.report.comparisons import holm, mcnemar_p, sign_flip_p
from acclimate.report.statistics import N_DRAWS, Resampled, Term, interval_of_sum, resample

MACRO = "macro"
Summary: TypeAlias = dict[str, Any]
COMPARISONS = (("adapted", "base"), ("first_stage", "base"), ("adapted", "first_stage"))
"""Which models a report compares, as far as they were scored."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A weighted sum of scores, such as a published average or MME's total."""

    name: str
    terms: tuple[tuple[str, str, float], ...]
    """Benchmark (or `NAME[subset]`), scorer (empty: the primary one) and factor. Different benchmarks and
    subsets are taken for independent; scorers of one are of the same draws."""


@dataclass(frozen=True, slots=True)
class _Resampling:
    """How all tables of one call are resampled."""

    seed: int
    n_draws: int
    comparisons: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A benchmark, or a subset of one, resampled."""

    name: str
    primary: str
    n_rows: float
    columns: Mapping[str, Resampled]
    """By `model/condition[/scorer]` and so on; differences between models included."""
    p_values: Mapping[str, tuple[float, float | None]]
    """Sign-flip and McNemar p by column, of the differences between models."""


def measure(
    scores: Iterable[Score],
    primary: Mapping[str, str],
    *,
    n_rows_by_benchmark: Mapping[str, int] | None = None,
    seed: int = 0,
    n_draws: int = N_DRAWS,
    comparisons: Sequence[tuple[str, str]] = COMPARISONS,
    sums: Sequence[Sum] = (),
) -> list[Measurement]:
    """Return every measurement: benchmarks in order of name, each with its subsets; the macro mean; the sums.

    Args:
        scores: of every scorer, model and condition; their order does not matter.
        primary: each benchmark's primary scorer, which the headline uses.
        n_rows_by_benchmark: rows of the benchmark's file, rejected ones included, for the coverage. A subset
            has its benchmark's.
        seed: of the bootstrap and of the sign-flip test.
        n_draws: of both.
        comparisons: pairs of models; their difference is first minus second.
        sums: measured for every model, and difference between models, that has all their terms.

    Raises:
        BenchmarkError: a benchmark has no primary scorer or no scores, its models and conditions cover
            different items, its scores do not fit their scorer, or a sum has no terms or a taken name.
    """
    by_benchmark: dict[str, list[Score]] = defaultdict(list)
    for each in scores:
        by_benchmark[each.benchmark].append(each)
    _check_sums(sums, by_benchmark)
    how = _Resampling(seed, n_draws, comparisons)
    measurements: list[Measurement] = []
    benchmarks: list[_Subject] = []
    subjects: dict[str, _Subject] = {}
    for name in sorted(by_benchmark):
        if name not in primary:
            raise BenchmarkError(
                f"no primary scorer is named for benchmark {name}; known: {', '.join(primary)}"
            )
        n_rows = (n_rows_by_benchmark or {}).get(name)
        found = _subjects(name, table_of(by_benchmark[name], primary[name]), primary[name], n_rows, how)
        benchmarks.append(found[0])
        for subject in found:
            subjects[subject.name] = subject
            measurements += _measurements(subject)
    measurements += _macro(benchmarks)
    for each_sum in sums:
        measurements += _sum(each_sum, subjects)
    return _with_holm(measurements, by_benchmark, comparisons)


def _check_sums(sums: Sequence[Sum], taken: Iterable[str]) -> None:
    names = {MACRO, *taken}
    for each in sums:
        if each.name in names or not each.terms:
            raise BenchmarkError(
                f"the sum {each.name!r} has no terms, or the name of a benchmark or of another sum; "
                "give it terms and a name of its own"
            )
        names.add(each.name)


def _subjects(
    benchmark: str, table: Table, primary: str, n_rows: int | None, how: _Resampling
) -> list[_Subject]:
    """Return a benchmark and then its subsets, resampled."""
    n = len(table.clusters)
    whole = n if n_rows is None else n_rows
    columns = _resampled(benchmark, table, how)
    pairs = list(_pairs(columns, how.comparisons))
    p_values = {
        name: _tested(columns[first], columns[second], benchmark, how) for name, first, second in pairs
    }
    found = [_Subject(benchmark, primary, whole, columns | _differences(columns, pairs), p_values)]
    for subset, items in table.subsets.items():
        name = f"{benchmark}[{subset}]"
        columns = _resampled(name, table.part(subset), how)
        differences = _differences(columns, _pairs(columns, how.comparisons))
        found.append(_Subject(name, primary, whole * len(items) / n, columns | differences, {}))
    return found


def _resampled(name: str, table: Table, how: _Resampling) -> dict[str, Resampled]:
    """Return a table's columns resampled, with the visual reliance of every model that has both conditions.

    Raises:
        BenchmarkError: the columns do not fit together.
    """
    try:
        found = dict(resample(table.columns, table.clusters, key=name, seed=how.seed, n_draws=how.n_draws))
    except ValueError as error:
        raise BenchmarkError(f"benchmark {error}; evaluate every model and condition again") from error
    for model in dict.fromkeys(column.partition("/")[0] for column in table.columns):
        if f"{model}/original" in found and f"{model}/mismatch" in found:
            found[f"{model}/vrs"] = found[f"{model}/original"] - found[f"{model}/mismatch"]
    return found


def _tested(
    first: Resampled, second: Resampled, benchmark: str, how: _Resampling
) -> tuple[float, float | None]:
    """Return the sign-flip and the McNemar p of one difference.

    Raises:
        BenchmarkError: only one of the two has parts.
    """
    try:
        p = sign_flip_p(first, second, key=benchmark, seed=how.seed, n_draws=how.n_draws)
    except ValueError as error:
        raise BenchmarkError(f"benchmark {error}; evaluate every model and condition again") from error
    return p, mcnemar_p(first, second)


def _pairs(columns: Iterable[str], comparisons: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of every difference between models, and of its two columns."""
    names = list(columns)
    for first, second in comparisons:
        for name in names:
            model, _, rest = name.partition("/")
            is_compared = rest == "vrs" or rest == ORIGINAL or rest.startswith(f"{ORIGINAL}/")
            if model == first and is_compared and f"{second}/{rest}" in names:
                yield f"{first}-{second}/{rest}", name, f"{second}/{rest}"


def _differences(
    columns: Mapping[str, Resampled], pairs: Iterable[tuple[str, str, str]]
) -> dict[str, Resampled]:
    return {name: columns[first] - columns[second] for name, first, second in pairs}


def _measurements(subject: _Subject) -> Iterator[Measurement]:
    for name, part in subject.columns.items():
        found = _measurement(f"{subject.name}/{name}", [[(part, 1.0)]], subject.n_rows)
        p, p_mcnemar = subject.p_values.get(name, (None, None))
        yield replace(found, p=p, p_mcnemar=p_mcnemar)


def _macro(benchmarks: Sequence[_Subject]) -> Iterator[Measurement]:
    """Yield the means of what every benchmark has."""
    n_rows = sum(each.n_rows for each in benchmarks)
    for name in dict.fromkeys(name for each in benchmarks for name in each.columns):
        parts = [each.columns[name] for each in benchmarks if name in each.columns]
        if name.count("/") == 1 and len(parts) == len(benchmarks):
            terms = [[(part, 1.0)] for part in parts]
            yield _measurement(f"{MACRO}/{name}", terms, n_rows, divisor=len(parts))


def _sum(wanted: Sum, subjects: Mapping[str, _Subject]) -> Iterator[Measurement]:
    """Yield the sum for every model, and every difference of two, that has all its terms."""
    used = [subjects[name] for name in dict.fromkeys(name for name, _, _ in wanted.terms) if name in subjects]
    for who in dict.fromkeys(name.partition("/")[0] for each in used for name in each.columns):
        terms: dict[str, list[Term]] = defaultdict(list)
        for name, scorer, factor in wanted.terms:
            part = _column_of(subjects.get(name), who, scorer)
            if part is None:
                break
            terms[name].append((part, factor))
        else:
            key = f"{wanted.name}/{who}/{ORIGINAL}"
            yield _measurement(key, list(terms.values()), sum(each.n_rows for each in used))


def _column_of(subject: _Subject | None, who: str, scorer: str) -> Resampled | None:
    if subject is None:
        return None
    is_primary = scorer in ("", subject.primary)
    return subject.columns.get(f"{who}/{ORIGINAL}" if is_primary else f"{who}/{ORIGINAL}/{scorer}")


def _with_holm(
    measurements: Sequence[Measurement], benchmarks: Iterable[str], comparisons: Sequence[tuple[str, str]]
) -> list[Measurement]:
    """Return the measurements with the adjusted p of each pair's primary scores."""
    p_by_key = {each.key: each.p for each in measurements if each.p is not None}
    names = list(benchmarks)
    adjusted: dict[str, float] = {}
    for first, second in comparisons:
        family = [f"{name}/{first}-{second}/{ORIGINAL}" for name in names]
        adjusted |= holm({key: p_by_key[key] for key in family if key in p_by_key})
    return [replace(each, p_holm=adjusted.get(each.key)) for each in measurements]


def _measurement(
    key: str, benchmarks: Sequence[Sequence[Term]], n_rows: float, *, divisor: int = 1
) -> Measurement:
    found = interval_of_sum(benchmarks, divisor=divisor)
    firsts = [terms[0][0] for terms in benchmarks]
    n = sum(part.n for part in firsts)
    return Measurement(
        key=key,
        value=found.value,
        low=found.low,
        high=found.high,
        n=n,
        n_clusters=sum(part.n_clusters for part in firsts),
        coverage=n / n_rows,
        method=found.method,
    )


def benchmark_names(measurements: Iterable[Measurement]) -> list[str]:
    """Return the benchmarks that were measured, in order; subsets, sums and the macro mean are none.

    A benchmark has a share of unparsed replies, which subsets and sums have not.
    """
    names = [each.key.partition("/")[0] for each in measurements if each.key.endswith("/unparsed")]
    return [name for name in dict.fromkeys(names) if name != MACRO]


def summary(measurements: Iterable[Measurement]) -> Summary:
    """Return the headline numbers as one JSON object, fractions 0 to 1; what was not measured is left out.

    Returns:
        `base` and `adapted` (`macro`, `unparsed`), `gain` (`value`, `low`, `high`), `benchmarks` (by name:
        `base`, `adapted`), `reliance` (`base` and `adapted`: `original`, `mismatch`, `blank`, `vrs`; and
        `vrs_gain`). Where the first of two stages was scored, `first_stage` stands beside `base` and
        `adapted` everywhere, and `stages` has the gain of the `first` and of the `second`.
    """
    by_key = {each.key: each for each in measurements}
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
        for name in benchmark_names(by_key.values())
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
