"""Visual reliance: how much of a score needs the right picture. Pure: rows in, rows with intervals out.

    VRS = mean over items of (mark with the own picture - mean mark with another item's picture)

which is `acc_real_minus_mismatch/v1`; `reliance_measures` lists the measures around it, `reliance_rows` the
rows. The unit of resampling is the cluster (picture, case); ratios are recomputed in every draw; all columns
of a benchmark are drawn together, so differences are paired; benchmarks are drawn independently.

    level      what one row is about
    benchmark  one score row of a benchmark, which has one answer kind
    stratum    the items of one stratum of it
    micro      all items of all benchmarks (`all`), or of those of one answer kind
    macro      the unweighted mean over the same benchmarks

A model can be one checkpoint or an arm: several that were trained alike with different seeds. An arm's value
is the mean over its seeds; its draws draw seeds and clusters. Differences (`d` before the measure's name) are
first minus second.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np

from acclimate.errors import BenchmarkError
from acclimate.report.comparisons import holm, mcnemar_p, sign_flip_p
from acclimate.report.reliance_measures import (
    NO_POLICY,
    NO_VARIATION,
    Estimate,
    Measures,
    collision_of,
    gain,
    joined,
    measures_of,
)
from acclimate.report.reliance_rows import (
    ORIGINAL,
    POLICIES,
    TEXT_ONLY,
    Join,
    Row,
    Table,
    columns_of,
    tables_of,
)
from acclimate.report.statistics import (
    BOOTSTRAP,
    LEVEL,
    N_DRAWS,
    Array,
    Interval,
    Resampled,
    generator_of,
    interval_of_sum,
    resample,
    resample_pairs,
)
from acclimate.report.visual_claims import VISUAL_WORDS

DEFINITION = "acc_real_minus_mismatch/v1"
VECTOR = ("A_orig", "A_mismatch", "A_blank", "A_text", "VRS", "nVRS", "IS_net", "ML")
"""What is always printed beside each other: VRS alone rises with A_orig."""
PAIRS = "contrast"
UNDEFINED = "undefined"
UNDEFINED_DRAWS = "undefined_draws"
ONE_SEED = "one_seed"
ALL = "all"
Level: TypeAlias = Literal["benchmark", "stratum", "micro", "macro"]
Key: TypeAlias = tuple[str, str, str]
"""Model, measure and donor policy."""
_TESTED = ("VRS", "MG", "A_orig")
"""And every G_: what has p values, on whole benchmarks."""


@dataclass(frozen=True, slots=True)
class How:
    """What is measured, and how it is resampled."""

    comparisons: Sequence[tuple[str, str]] = ()
    """Pairs of models or arms; their difference is first minus second."""
    arms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Models trained alike with different seeds, by the arm's name."""
    base_llm: str = ""
    """The model, answering under `text_only`, that ML compares with; empty leaves ML out."""
    pairs: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """By benchmark: items that ask the same of two pictures and have other golds
    (`evaluate.donors.contrast_pairs`)."""
    scorers: Mapping[str, str] = field(default_factory=dict)
    """The scorer behind the marks by benchmark, for the record."""
    detector: str = VISUAL_WORDS.name
    """The claim detector behind HVRR, for the record."""
    seed: int = 0
    n_draws: int = N_DRAWS


@dataclass(frozen=True, slots=True)
class Reliance:
    """One measure with its 95 % interval."""

    level: Level
    benchmark: str
    """`all` where it is over several benchmarks."""
    kind: str
    """The answer kind; `all` where it is over several."""
    stratum: str
    model: str
    """A model, an arm, or two with a hyphen between them: first minus second."""
    measure: str
    value: float
    """NaN where it is not defined; `flag` says why."""
    low: float
    high: float
    half_width: float
    """Of the interval: a true difference smaller than this is not told from 0 more often than not."""
    mde: float
    """Smallest difference that would be told from 0 four times out of five: 1.43 half widths."""
    method: str
    n: int
    """Items; of PairAcc and Collapse pairs."""
    n_clusters: int
    donor_policy: str
    """`none` where the measure has no donors."""
    replicates: int
    """R: of the condition that is compared with the original."""
    draws: int
    """B."""
    seed: int
    n_seeds: int = 1
    """Training seeds; the fewer of the two for a difference."""
    p: float | None = None
    """Two-sided sign-flip p of it being 0, exchanging whole clusters; of arms given their checkpoints."""
    p_holm: float | None = None
    """Adjusted for all benchmarks and tested measures of this model or pair."""
    p_mcnemar: float | None = None
    """Exact, where marks are 0 or 1 and every cluster has one item."""
    flag: str = ""
    scorer: str = ""
    claim_detector: str = ""
    """Of measures that rest on one."""
    n_lost: int = 0
    """Items that an inner join left out."""
    definition: str = DEFINITION


@dataclass(frozen=True, slots=True)
class ItemReliance:
    """One item's share in VRS."""

    model: str
    benchmark: str
    item: str
    cluster: str
    stratum: str
    s_orig: float
    s_mismatch: float
    """Mean over the replicates."""
    d: float
    """s_orig - s_mismatch; VRS is its mean."""
    changed: float
    """Share of replicates with another answer."""
    donor_policy: str
    replicates: int
    definition: str = DEFINITION


@dataclass(frozen=True, slots=True)
class _Subject:
    """One benchmark, a stratum of one, or the items of several together, with its estimates."""

    level: Level
    benchmark: str
    kind: str
    estimates: Mapping[Key, Estimate]
    stratum: str = ""
    n_lost: int = 0


@dataclass(frozen=True, slots=True)
class _Bundle:
    """The resampled columns of one table."""

    columns: Mapping[str, Mapping[str, Resampled]]
    """By model and name."""
    replicates: Mapping[str, Mapping[str, int]]
    """By model and condition."""
    collision: Mapping[str, float]
    """By donor policy."""
    n: int


def item_reliance(rows: Iterable[Row], *, join: Join = "strict") -> list[ItemReliance]:
    """Return every item's share in VRS, by benchmark, model, donor policy and item.

    Raises:
        BenchmarkError: as for `reliance_rows.tables_of`.
    """
    found: list[ItemReliance] = []
    for table in tables_of(rows, join=join).values():
        for part in (table.whole(), *table.partial().values()):
            for model, condition in itertools.product(part.models, POLICIES):
                n = part.conditions(model)
                if condition in n and ORIGINAL in n:
                    found += _items(part, model, condition, n[condition])
    return found


def _items(table: Table, model: str, condition: str, n: int) -> Iterator[ItemReliance]:
    own = table.cells[model, ORIGINAL, 0]
    others = [table.cells[model, condition, at] for at in range(n)]
    for item, facts in table.facts.items():
        mean = math.fsum(rows[item].s for rows in others) / n
        yield ItemReliance(
            model=model,
            benchmark=table.benchmark,
            item=item,
            cluster=facts.cluster,
            stratum=facts.stratum,
            s_orig=own[item].s,
            s_mismatch=mean,
            d=own[item].s - mean,
            changed=sum(rows[item].y != own[item].y for rows in others) / n,
            donor_policy=POLICIES[condition],
            replicates=n,
        )


def measure_reliance(rows: Iterable[Row], how: How | None = None, *, join: Join = "strict") -> list[Reliance]:
    """Return every measure of every model, arm and comparison: benchmarks, their strata, micro and macro.

    Args:
        rows: of all models, benchmarks, conditions and replicates; their order does not matter.
        how: what is compared and how it is resampled.
        join: as for `reliance_rows.tables_of`.

    Raises:
        BenchmarkError: as for `reliance_rows.tables_of`; an arm has no models, one that has no rows, or the
            name of a model; a pair of items that is no contrast.

    Source:
        Paired cluster bootstrap and sign flips: `statistics` and `comparisons`. An arm of S seeds draws S - 1
        of them, put back, beside the clusters: Rao and Wu 1988, so that the spread of a mean of few seeds is
        not underestimated by (S - 1) / S; the same draw of seeds in all benchmarks, for they are the same
        checkpoints; seeds and clusters crossed: Owen 2007. Few seeds stay few, and one shows no spread at
        all: `benchmarks/arm_intervals.py` says how often intervals hold the truth (docs/reliance.md).
    """
    how = how or How()
    tables = tables_of(rows, join=join)
    _check_arms(how, {model for table in tables.values() for model in table.models})
    whole = {name: _bundles(table, name, how) for name, table in tables.items()}
    subjects = []
    for name, table in tables.items():
        estimates = _estimates(whole[name], how) | _pair_estimates(table, how)
        subjects.append(_Subject("benchmark", name, table.kind, _compared(estimates, how), "", table.n_lost))
    out = [row for each in subjects for row in _rows(each, how)]
    for name, table in tables.items():
        for each in _strata(table, name, how):
            out += _rows(each, how)
    kinds = list(dict.fromkeys(each.kind for each in subjects))
    for kind in [ALL, *(kinds if len(kinds) > 1 else [])]:
        own = [each for each in subjects if kind in (ALL, each.kind)]
        out += _macro(own, kind, how)
        out += _micro(own, kind, [whole[each.benchmark] for each in own], how)
    return _with_holm(out)


def _check_arms(how: How, models: set[str]) -> None:
    for arm, members in how.arms.items():
        unknown = sorted(set(members) - models)
        if arm in models or not members or unknown:
            raise BenchmarkError(
                f"the arm {arm!r} has no models, the name of a model, or models that answered nothing "
                f"({', '.join(unknown) or 'none'}); known: {', '.join(sorted(models))}"
            )


def _bundles(table: Table, key: str, how: How) -> dict[str, _Bundle]:
    """Return the bundle of the conditions that cover all items (under ""), and those of each other one."""
    found = {"": _bundle(table.whole(), key, how)}
    for condition, part in table.partial().items():
        found[condition] = _bundle(part, f"{key}[{condition}]", how)
    return found


def _bundle(table: Table, key: str, how: How) -> _Bundle:
    columns = {model: columns_of(table, model) for model in table.models}
    flat = {f"{model}\n{name}": each for model, own in columns.items() for name, each in own.items()}
    drawn = resample(flat, table.clusters, key=key, seed=how.seed, n_draws=how.n_draws)
    found: dict[str, dict[str, Resampled]] = defaultdict(dict)
    for name, part in drawn.items():
        model, _, what = name.partition("\n")
        found[model][what] = part
    collisions = {
        policy: collision_of(table, within_stratum=policy == "within_stratum") for policy in POLICIES.values()
    }
    collisions["contrast"] = 0.0  # where the donor's right answer is another one by choice
    return _Bundle(found, {model: table.conditions(model) for model in columns}, collisions, len(table.facts))


def _estimates(bundles: Mapping[str, _Bundle], how: How) -> dict[Key, Estimate]:
    """Return every model's measures; those of a partial condition are its own policy's alone."""
    found: dict[Key, Estimate] = {}
    for condition, bundle in bundles.items():
        base = bundle.columns.get(how.base_llm, {}).get(f"s/{TEXT_ONLY}")
        for model, columns in bundle.columns.items():
            measures = _measures(columns, bundle.replicates[model], bundle.collision, base)
            for (measure, policy), each in measures.items():
                if not condition or policy == POLICIES[condition]:
                    found[model, measure, policy] = each
    return found


def _measures(
    columns: Mapping[str, Resampled],
    replicates: Mapping[str, int],
    collision: Mapping[str, float],
    base: Resampled | None,
) -> Measures:
    """Return one model's measures; the answer collision is that of each donor policy."""
    found: Measures = {}
    for policy in (*POLICIES.values(), NO_POLICY):
        own = measures_of(columns, replicates, collision=collision.get(policy, 0.0), base_text=base)
        found |= {key: each for key, each in own.items() if key[1] == policy}
    return found


def _pair_estimates(table: Table, how: How) -> dict[Key, Estimate]:
    """Return PairAcc and Collapse: both right, and the same answer to both, under the original pictures.

    Raises:
        BenchmarkError: a pair's item is not there, or its items share a cluster or the gold.
    """
    pairs = how.pairs.get(table.benchmark, ())
    if not pairs:
        return {}
    for one, other in pairs:
        facts = [table.facts.get(item) for item in (one, other)]
        if facts[0] is None or facts[1] is None or facts[0].gold == facts[1].gold:
            raise BenchmarkError(
                f"benchmark {table.benchmark}: {one} and {other} are no contrast pair: one was not asked, or "
                "their right answers are equal; make the pairs from the same items"
            )
    columns: dict[str, dict[tuple[str, str], float]] = {}
    for model in table.models:
        own = table.cells.get((model, ORIGINAL, 0))
        if own is not None:
            columns[f"{model}\nPairAcc"] = {(a, b): float(own[a].s == own[b].s == 1.0) for a, b in pairs}
            columns[f"{model}\nCollapse"] = {(a, b): float(own[a].y == own[b].y) for a, b in pairs}
    if not columns:
        return {}
    try:
        drawn = resample_pairs(
            columns, table.clusters, key=table.benchmark, seed=how.seed, n_draws=how.n_draws
        )
    except ValueError as error:
        raise BenchmarkError(f"benchmark {error}; make the pairs from the same items") from error
    found: dict[Key, Estimate] = {}
    for name, part in drawn.items():
        model, _, measure = name.partition("\n")
        found[model, measure, PAIRS] = Estimate(part)
    return found


def _strata(table: Table, name: str, how: How) -> Iterator[_Subject]:
    """Yield the strata of a benchmark, where it has several."""
    by_stratum: dict[str, list[str]] = defaultdict(list)
    for item, facts in table.facts.items():
        by_stratum[facts.stratum].append(item)
    if len(by_stratum) < 2:
        return
    whole = table.whole()
    for stratum in sorted(by_stratum):
        bundle = _bundle(whole.of(by_stratum[stratum]), f"{name}[{stratum}]", how)
        estimates = _compared(_estimates({"": bundle}, how), how)
        yield _Subject("stratum", name, table.kind, estimates, stratum)


def _compared(estimates: Mapping[Key, Estimate], how: How) -> dict[Key, Estimate]:
    """Return the estimates with those of arms and of differences."""
    found = dict(estimates)
    by_model: dict[str, Measures] = defaultdict(dict)
    for (model, measure, policy), each in estimates.items():
        by_model[model][measure, policy] = each
    for arm, models in how.arms.items():
        weights = _seed_weights(arm, len(models), how)
        for key in by_model[models[0]]:
            members = [by_model[model][key] for model in models if key in by_model[model]]
            if len(members) == len(models):
                by_model[arm][key] = found[arm, *key] = _of_arm(members, weights)
    for first, second in how.comparisons:
        for (measure, policy), each in by_model[first].items():
            other = by_model[second].get((measure, policy))
            if other is not None:
                found[f"{first}-{second}", f"d{measure}", policy] = gain(each, other)
    return found


def _seed_weights(arm: str, n: int, how: How) -> Array:
    """Return how much each of an arm's seeds counts in every draw (n_draws, n): S - 1 are drawn, put back."""
    n_drawn = max(1, n - 1)
    chosen = generator_of(f"{how.seed}/arm/{arm}").integers(n, size=(how.n_draws, n_drawn))
    weights: Array = (chosen[:, :, None] == np.arange(n)).sum(axis=1) / n_drawn
    return weights


def _of_arm(members: Sequence[Estimate], weights: Array) -> Estimate:
    """Return the mean over an arm's seeds."""
    parts = [each.part for each in members]
    draws = np.sum([weights[:, at] * part.draws for at, part in enumerate(parts)], axis=0)
    value = math.fsum(part.value for part in parts) / len(parts)
    is_linear = all(each.is_linear for each in members)
    part = Resampled(
        value=value,
        draws=draws,
        n=parts[0].n,
        n_clusters=parts[0].n_clusters,
        is_extreme=all(each.is_extreme and each.value == value for each in parts),
        is_difference=any(each.is_difference for each in parts),
        top=parts[0].top,
        terms=_mean_terms(parts) if is_linear else (),
    )
    tested = None
    if all(each.tested is not None for each in members):
        sides = zip(*(each.tested for each in members if each.tested is not None), strict=True)
        tested = tuple(replace(side[0], terms=_mean_terms(side)) for side in sides)
    flag = joined([each.flag for each in members] + [ONE_SEED] * (len(members) == 1))
    return Estimate(
        part, members[0].replicates, flag, is_linear, None if tested is None else (tested[0], tested[1])
    )


def _mean_terms(parts: Sequence[Resampled]) -> tuple[tuple[float, Array], ...]:
    """Return the terms of the mean of several columns of one kind over the same items."""
    return tuple(
        (same[0][0], np.mean([sums for _, sums in same], axis=0))
        for same in zip(*(part.terms for part in parts), strict=True)
    )


def _macro(subjects: Sequence[_Subject], kind: str, how: How) -> Iterator[Reliance]:
    """Yield the unweighted means of what all benchmarks have."""
    for key in subjects[0].estimates:
        members = [each.estimates[key] for each in subjects if key in each.estimates]
        if len(members) == len(subjects):
            found = _interval([(each.part, 1.0) for each in members])
            yield _row(_Subject("macro", ALL, kind, {}), key, _together(members), found, how)


def _micro(
    subjects: Sequence[_Subject], kind: str, bundles: Sequence[Mapping[str, _Bundle]], how: How
) -> Iterator[Reliance]:
    """Yield the item-weighted measures of all benchmarks together; ratios are those of the pooled sums."""
    pooled = {
        name: _pooled([each[name] for each in bundles])
        for name in bundles[0]
        if all(name in each for each in bundles)
    }
    ratios = _compared(_estimates(pooled, how), how)
    subject = _Subject("micro", ALL, kind, {})
    for key in subjects[0].estimates:
        members = [each.estimates[key] for each in subjects if key in each.estimates]
        if len(members) < len(subjects):
            continue
        one = _together(members)
        if one.is_linear:
            yield _row(
                subject, key, one, _interval([(each.part, float(each.part.n)) for each in members]), how
            )
        elif key in ratios:
            found = replace(ratios[key], part=replace(ratios[key].part, n_clusters=one.part.n_clusters))
            yield _row(subject, key, found, _interval([(found.part, 1.0)]), how)


def _together(members: Sequence[Estimate]) -> Estimate:
    """Return what a row over several benchmarks says beside its value."""
    part = replace(
        members[0].part,
        n=sum(each.part.n for each in members),
        n_clusters=sum(each.part.n_clusters for each in members),
    )
    flag = joined([each.flag for each in members])
    return Estimate(part, members[0].replicates, flag, all(each.is_linear for each in members))


def _pooled(bundles: Sequence[_Bundle]) -> _Bundle:
    """Return the columns of all benchmarks' items together; a benchmark's number of items stays as it is."""
    n = sum(each.n for each in bundles)
    columns: dict[str, dict[str, Resampled]] = {}
    for model in bundles[0].columns:
        own = [each.columns.get(model, {}) for each in bundles]
        columns[model] = {
            name: _mixed([(each[name], bundle.n / n) for each, bundle in zip(own, bundles, strict=True)])
            for name in own[0]
            if all(name in each for each in own)
        }
    replicates = {
        model: {
            condition: count
            for condition, count in bundles[0].replicates[model].items()
            if f"s/{condition}" in columns[model]
        }
        for model in columns
    }
    collision = {
        policy: math.fsum(each.collision[policy] * each.n for each in bundles) / n
        for policy in bundles[0].collision
    }
    return _Bundle(columns, replicates, collision, n)


def _mixed(parts: Sequence[tuple[Resampled, float]]) -> Resampled:
    first = parts[0][0]
    value = math.fsum(part.value * share for part, share in parts)
    return Resampled(
        value=value,
        draws=np.sum([part.draws * share for part, share in parts], axis=0),
        n=sum(part.n for part, _ in parts),
        n_clusters=sum(part.n_clusters for part, _ in parts),
        is_extreme=all(part.is_extreme and part.value == first.value for part, _ in parts),
        is_difference=first.is_difference,
        top=first.top,
    )


def _interval(parts: Sequence[tuple[Resampled, float]]) -> tuple[Interval, str]:
    """Return the weighted mean of independent benchmarks with its interval, and what to beware of."""
    total = math.fsum(factor for _, factor in parts)
    if any(math.isnan(part.value) for part, _ in parts):
        return Interval(math.nan, math.nan, math.nan, UNDEFINED), ""
    if not any(np.isnan(part.draws).any() for part, _ in parts):
        found = interval_of_sum([[each] for each in parts], divisor=total)
        same = all(np.all(part.draws == part.draws[0]) for part, _ in parts)
        is_fixed = same and found.method == BOOTSTRAP
        return found, NO_VARIATION if is_fixed else ""
    value = math.fsum(part.value * factor for part, factor in parts) / total
    draws = np.sum([part.draws * factor for part, factor in parts], axis=0) / total
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return Interval(value, math.nan, math.nan, UNDEFINED), UNDEFINED_DRAWS
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), BOOTSTRAP), UNDEFINED_DRAWS


def _rows(subject: _Subject, how: How) -> Iterator[Reliance]:
    for key, each in subject.estimates.items():
        row = _row(subject, key, each, _interval([(each.part, 1.0)]), how)
        yield _tested(row, each, how) if subject.level == "benchmark" and _is_tested(key[1]) else row


def _is_tested(measure: str) -> bool:
    name = measure.removeprefix("d")
    return name in _TESTED or name.startswith("G_")


def _tested(row: Reliance, each: Estimate, how: How) -> Reliance:
    if each.tested is None or math.isnan(row.value):
        return row
    key = f"{row.benchmark}/{row.measure}/{row.donor_policy}"
    p = sign_flip_p(*each.tested, key=key, seed=how.seed, n_draws=how.n_draws)
    p_mcnemar = None if row.n_seeds > 1 else mcnemar_p(*each.tested)
    return replace(row, p=p, p_mcnemar=p_mcnemar)


def _row(subject: _Subject, key: Key, each: Estimate, found: tuple[Interval, str], how: How) -> Reliance:
    model, measure, policy = key
    span, beware = found
    half = (span.high - span.low) / 2
    claims = ("P_claim", "HVRR", "HVRR_cond")
    return Reliance(
        level=subject.level,
        benchmark=subject.benchmark,
        kind=subject.kind,
        stratum=subject.stratum,
        model=model,
        measure=measure,
        value=span.value,
        low=span.low,
        high=span.high,
        half_width=half,
        mde=half * detectable(),
        method=span.method,
        n=each.part.n,
        n_clusters=each.part.n_clusters,
        donor_policy=policy,
        replicates=each.replicates,
        draws=how.n_draws,
        seed=how.seed,
        n_seeds=_n_seeds(model, how),
        flag=joined([each.flag, beware]),
        scorer=how.scorers.get(subject.benchmark, ""),
        claim_detector=how.detector if measure.removeprefix("d") in claims else "",
        n_lost=subject.n_lost,
    )


def _n_seeds(model: str, how: How) -> int:
    if model in how.arms:
        return len(how.arms[model])
    pair = next((each for each in how.comparisons if "-".join(each) == model), None)
    return 1 if pair is None else min(len(how.arms.get(name, ("",))) for name in pair)


def detectable(power: float = 0.8) -> float:
    """Return how many half widths of its interval a difference must have to be told from 0 with this power.

    Source:
        Bloom 1995: (z of the level + z of the power) standard errors; a half width is z of the level of them.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    return (z + NormalDist().inv_cdf(power)) / z


def _with_holm(rows: Sequence[Reliance]) -> list[Reliance]:
    """Return the rows with p adjusted over all benchmarks and measures of one model or pair."""
    families: dict[str, dict[str, float]] = defaultdict(dict)
    for at, row in enumerate(rows):
        if row.p is not None:
            families[row.model][str(at)] = row.p
    adjusted = {int(at): p for family in families.values() for at, p in holm(family).items()}
    return [replace(row, p_holm=adjusted.get(at)) for at, row in enumerate(rows)]
