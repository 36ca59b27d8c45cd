"""Metrics that are no means, tests between two models, subsets, sums and guesses: checked by other means."""

import itertools
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.stats

from acclimate.errors import BenchmarkError
from acclimate.files import read_records, write_records
from acclimate.records import Measurement, Score
from acclimate.report.comparisons import discordant, holm, mcnemar_exact, mcnemar_p, sign_flip_p
from acclimate.report.measure import Sum, benchmark_names, measure, summary
from acclimate.report.statistics import Column, Resampled, interval, interval_of_sum, resample, wilson

Parts = Sequence[tuple[float, ...]]


def column(values: Sequence[float], parts: Parts = (), top: float = 1.0) -> Column:
    names = [f"i{at:04d}" for at in range(max(len(values), len(parts)))]
    filled = values or [0.0] * len(parts)
    return Column(dict(zip(names, filled, strict=True)), dict(zip(names, parts, strict=False)), top)


def resampled(
    columns: dict[str, Column], clusters: Sequence[str], *, key: str = "bench", n_draws: int = 500
) -> dict[str, Resampled]:
    by_item = {f"i{at:04d}": cluster for at, cluster in enumerate(clusters)}
    return dict(resample(columns, by_item, key=key, seed=0, n_draws=n_draws))


def f1_parts(rng: random.Random, n: int, skill: float) -> list[tuple[float, ...]]:
    """2 TP and 2 TP + FP + FN of single yes-or-no answers."""
    found = []
    for _ in range(n):
        gold, right = rng.random() < 0.5, rng.random() < skill
        found.append((2.0, 2.0) if gold and right else (0.0, float(not right)))
    return found


def bleu_parts(rng: random.Random, n: int, skill: float) -> list[tuple[float, ...]]:
    """m1, c1, ..., m4, c4, length and reference length of made-up sentences."""
    found = []
    for _ in range(n):
        length, reference = rng.randint(5, 14), rng.randint(5, 14)
        parts: list[float] = []
        for order in range(1, 5):
            total = length - order + 1
            parts += [float(sum(rng.random() < skill**order for _ in range(total))), float(total)]
        found.append((*parts, float(length), float(reference)))
    return found


def f1(rows: Parts) -> float:
    below = math.fsum(row[1] for row in rows)
    return math.fsum(row[0] for row in rows) / below if below else 0.0


def bleu(rows: Parts) -> float:
    """BLEU-4 from its definition."""
    sums = [math.fsum(each) for each in zip(*rows, strict=True)]
    *grams, length, reference = sums
    if not length or not all(grams[0::2]):
        return 0.0
    logs = [math.log(m / c) for m, c in zip(grams[0::2], grams[1::2], strict=True)]
    penalty = 1.0 if length >= reference else math.exp(1 - reference / length)
    return penalty * math.exp(sum(logs) / len(logs))


METRICS = [
    pytest.param(f1_parts, f1, id="F1"),
    pytest.param(bleu_parts, bleu, id="BLEU"),
]
Made = Callable[[random.Random, int, float], Parts]
Metric = Callable[[Parts], float]


# --- metrics that are no means ------------------------------------------------------------------------


@pytest.mark.parametrize(("made", "metric"), METRICS)
def test_a_metric_is_that_of_the_summed_parts_in_every_draw(made: Made, metric: Metric) -> None:
    rng = random.Random("metric")
    rows = made(rng, 30, 0.8)
    clusters = [str(at // 3) for at in range(30)]
    # A column of ones per cluster, resampled beside it, says how often a draw took each cluster.
    counters = {f"c{name}": column([float(each == name) for each in clusters]) for name in set(clusters)}
    found = resampled({"a": column([], rows), **counters}, clusters, n_draws=50)
    assert found["a"].value == pytest.approx(metric(rows))
    for draw in range(50):
        taken: list[tuple[float, ...]] = []
        for name in set(clusters):
            times = round(found[f"c{name}"].draws[draw] * 30 / 3)
            taken += times * [row for row, each in zip(rows, clusters, strict=True) if each == name]
        assert len(taken) == 30
        assert found["a"].draws[draw] == pytest.approx(metric(taken))


def test_a_ratio_of_values_and_ones_is_the_mean() -> None:
    values = [0.25, 1.0, 0.0, 0.5, 1.0, 0.75]
    clusters = ["x", "x", "y", "z", "z", "w"]
    found = resampled({"a": column(values), "b": column([], [(value, 1.0) for value in values])}, clusters)
    assert found["a"].value == found["b"].value == pytest.approx(3.5 / 6)
    assert np.array_equal(found["a"].draws, found["b"].draws)


def test_one_mark_per_group_counts_groups() -> None:
    # Two groups of three rotations: the first item of a group carries its mark and its weight.
    parts = [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.0, 0.0)]
    found = resampled({"a": column([1, 1, 1, 1, 1, 0], parts)}, ["x", "x", "x", "y", "y", "y"])["a"]
    assert found.value == 0.5


def test_no_denominator_gives_zero() -> None:
    empty = resampled({"a": column([], [(0.0, 0.0)] * 4)}, ["w", "x", "y", "z"])["a"]
    assert empty.value == 0.0
    assert not empty.draws.any()
    rare = resampled({"a": column([], [(1.0, 1.0), (0.0, 0.0)])}, ["x", "y"])["a"]
    assert rare.value == 1.0
    assert set(rare.draws) == {0.0, 1.0}  # a quarter of the draws never takes the first cluster


def test_bleu_by_hand() -> None:
    # 3 of 4 words, 1 of 2 pairs; 4 words against 5: exp(1 - 5/4) sqrt(3/4 * 1/2).
    found = resampled({"a": column([], [(3.0, 4.0, 1.0, 2.0, 4.0, 5.0)])}, ["x"])["a"]
    assert found.value == pytest.approx(math.exp(-0.25) * math.sqrt(0.375))
    longer = resampled({"a": column([], [(3.0, 4.0, 1.0, 2.0, 6.0, 5.0)])}, ["x"])["a"]
    assert longer.value == pytest.approx(math.sqrt(0.375))
    for parts in ((3.0, 4.0, 0.0, 2.0, 4.0, 5.0), (0.0, 0.0, 0.0, 0.0, 0.0, 5.0)):
        assert resampled({"a": column([], [parts])}, ["x"])["a"].value == 0.0


@pytest.mark.parametrize(("numerator", "value"), [(0.0, 0.0), (2.0, 1.0)])
def test_a_ratio_of_zero_or_one_gets_wilsons_interval(numerator: float, value: float) -> None:
    parts = [(numerator, 2.0)] * 30
    found = interval([resampled({"a": column([], parts)}, [str(at // 3) for at in range(30)])["a"]])
    assert (found.value, found.method) == (value, "wilson_clusters")
    assert (found.low, found.high) == pytest.approx(wilson(value, 10))


def test_a_ratio_that_only_happens_to_be_one_is_resampled() -> None:
    found = interval(
        [resampled({"a": column([], [(3.0, 2.0), (1.0, 2.0)] * 9)}, list("abcdefghijklmnopqr"))["a"]]
    )
    assert (found.value, found.method) == (1.0, "cluster_bootstrap")
    assert found.low < 1.0 < found.high


def test_a_single_cluster_of_a_ratio_above_one_bounds_nothing_and_fails_nowhere() -> None:
    found = interval([resampled({"a": column([], [(3.0, 2.0)])}, ["x"])["a"]])
    assert (found.value, found.high, found.method) == (1.5, 1.5, "wilson_clusters")


def test_full_marks_may_be_more_than_one() -> None:
    found = interval([resampled({"a": column([0.0] * 8, top=10.0)}, list("abcdefgh"))["a"]])
    assert (found.low, found.high) == pytest.approx((0.0, 10 * wilson(0.0, 8)[1]))
    assert resampled({"a": column([7.5, 2.5], top=10.0)}, ["x", "y"])["a"].value == 5.0
    with pytest.raises(ValueError, match="fractions of 10"):
        resampled({"a": column([10.5], top=10.0)}, ["x"])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([(1.0, float("nan")), (1.0, 1.0)], "finite"),
        ([(1.0, float("inf")), (1.0, 1.0)], "finite"),
        ([(1.0, 1.0, 1.0), (1.0, 1.0, 1.0)], "2, 4, 6, 8 or 10 parts"),
        ([(1.0, 1.0), (1.0, 1.0, 1.0, 1.0)], "2, 4, 6, 8 or 10 parts"),
        ([(1.0, 1.0)], "some have none"),
    ],
)
def test_parts_that_no_metric_has_are_refused(parts: Parts, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        resampled({"a": column([0.5, 0.5], parts)}, ["x", "y"])


def test_a_column_does_not_depend_on_the_others_to_the_last_bit() -> None:
    rng = random.Random("others")
    clusters = [str(rng.randrange(40)) for _ in range(200)]
    columns = {
        "mean": column([rng.random() for _ in range(200)]),
        "ratio": column([], [(rng.random(), rng.random()) for _ in range(200)]),
        "bleu": column([], bleu_parts(rng, 200, 0.9)),
        **{f"more {at}": column([rng.random() for _ in range(200)]) for at in range(9)},
    }
    together = resampled(columns, clusters)
    for name in ("mean", "ratio", "bleu"):
        alone = resampled({name: columns[name]}, clusters)[name]
        assert alone.value == together[name].value
        assert np.array_equal(alone.draws, together[name].draws)


# --- sign flips ---------------------------------------------------------------------------------------


def brute_force(first: Parts, second: Parts, clusters: Sequence[str], metric: Metric) -> float:
    """Every exchange of whole clusters, the metric recomputed from items."""
    names = sorted(set(clusters))
    seen = abs(metric(first) - metric(second))
    hits = 0
    for exchanged in itertools.product((False, True), repeat=len(names)):
        swapped = {name for name, each in zip(names, exchanged, strict=True) if each}
        rows = list(zip(first, second, clusters, strict=True))
        one = [b if cluster in swapped else a for a, b, cluster in rows]
        other = [a if cluster in swapped else b for a, b, cluster in rows]
        hits += abs(metric(one) - metric(other)) >= seen - 1e-12
    return float(hits / 2 ** len(names))


def mean(rows: Parts) -> float:
    return math.fsum(row[0] for row in rows) / len(rows)


def test_sign_flips_of_means_are_those_of_brute_force() -> None:
    rng = random.Random("brute")
    for _ in range(5):
        clusters = [str(rng.randrange(8)) for _ in range(24)]
        first, second = ([rng.randrange(3) / 2 for _ in clusters] for _ in range(2))
        found = resampled({"a": column(first), "b": column(second)}, clusters, n_draws=10)
        p = sign_flip_p(found["a"], found["b"], key="k", seed=0)
        rows = [[(value,) for value in values] for values in (first, second)]
        assert p == pytest.approx(brute_force(*rows, clusters, mean))
        assert p == sign_flip_p(found["b"], found["a"], key="k", seed=5)


@pytest.mark.parametrize(("made", "metric"), METRICS)
def test_sign_flips_of_other_metrics_are_those_of_brute_force(made: Made, metric: Metric) -> None:
    rng = random.Random("brute")
    for _ in range(3):
        clusters = [str(at % 9) for at in range(27)]
        first, second = made(rng, 27, 0.9), made(rng, 27, 0.7)
        found = resampled({"a": column([], first), "b": column([], second)}, clusters, n_draws=10)
        p = sign_flip_p(found["a"], found["b"], key="k", seed=0)
        assert p == pytest.approx(brute_force(first, second, clusters, metric))


def test_sign_flips_of_visual_reliance_exchange_all_of_a_models_columns() -> None:
    rng = random.Random("reliance")
    clusters = [str(at % 7) for at in range(21)]
    rows = [[float(rng.random() < share) for _ in clusters] for share in (0.9, 0.3, 0.6, 0.5)]
    found = resampled({str(at): column(values) for at, values in enumerate(rows)}, clusters, n_draws=10)
    p = sign_flip_p(found["0"] - found["1"], found["2"] - found["3"], key="k", seed=0)
    first, second = ([(a - b,) for a, b in zip(rows[at], rows[at + 1], strict=True)] for at in (0, 2))
    assert p == pytest.approx(brute_force(first, second, clusters, mean))


def test_drawn_sign_flips_come_near_to_all_of_them() -> None:
    rng = random.Random("drawn")
    clusters = [str(at) for at in range(14)]  # 2^14 exchanges: more than are enumerated
    first, second = ([(rng.random(), 1.0 + rng.random()) for _ in clusters] for _ in range(2))
    found = resampled({"a": column([], first), "b": column([], second)}, clusters, n_draws=10)
    whole = brute_force(first, second, clusters, f1)
    p = sign_flip_p(found["a"], found["b"], key="k", seed=0)
    assert p == pytest.approx(whole, abs=4 * math.sqrt(whole * (1 - whole) / 10_000) + 2e-4)
    assert p == sign_flip_p(found["b"], found["a"], key="k", seed=0)
    assert p != sign_flip_p(found["a"], found["b"], key="k", seed=1)
    assert p != sign_flip_p(found["a"], found["b"], key="other", seed=0)


def test_equal_columns_differ_in_no_exchange() -> None:
    values = [0.1 * at for at in range(10)]
    found = resampled({"a": column(values), "b": column(values)}, [str(at) for at in range(10)])
    assert sign_flip_p(found["a"], found["b"], key="k", seed=0) == 1.0


def test_a_clear_difference_has_the_smallest_p_there_is() -> None:
    names = [str(at) for at in range(40)]
    found = resampled({"a": column([1.0] * 40), "b": column([0.0] * 40)}, names)
    assert sign_flip_p(found["a"], found["b"], key="k", seed=0, n_draws=999) == 1 / 1000
    few = resampled({"a": column([1.0] * 5), "b": column([0.0] * 5)}, names[:5])
    assert sign_flip_p(few["a"], few["b"], key="k", seed=0) == 2 / 2**5


def test_columns_of_two_kinds_are_not_compared() -> None:
    columns = {"a": column([1.0, 0.0]), "b": column([], [(1.0, 2.0, 1.0, 1.0)] * 2)}
    found = resampled(columns, ["x", "y"])
    with pytest.raises(ValueError, match="one kind"):
        sign_flip_p(found["a"], found["b"], key="k", seed=0)


def test_p_is_uniform_where_the_models_are_alike() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for number in range(300):
        luck = rng.random(30).repeat(3)
        both = [column(list((rng.random(90) < luck) * rng.random(90))) for _ in range(2)]
        found = resampled(dict(zip("ab", both, strict=True)), [str(at // 3) for at in range(90)], n_draws=2)
        p_values.append(sign_flip_p(found["a"], found["b"], key=str(number), seed=0, n_draws=500))
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


# --- McNemar, Holm ------------------------------------------------------------------------------------


def test_mcnemar_by_hand_and_against_scipy() -> None:
    # 1 against 5: 2 (1 + 6) / 64.
    assert mcnemar_exact(1, 5) == mcnemar_exact(5, 1) == 14 / 64
    assert mcnemar_exact(0, 0) == mcnemar_exact(4, 4) == mcnemar_exact(3, 4) == 1.0
    for n10, n01 in ((0, 9), (12, 31), (700, 801)):
        expected = scipy.stats.binomtest(n10, n10 + n01).pvalue
        assert mcnemar_exact(n10, n01) == pytest.approx(expected, rel=1e-9)
    assert 0.0 <= mcnemar_exact(9_000, 16_000) < 1e-300


@pytest.mark.parametrize("counts", [(1.5, 2), (-1, 2), (float("nan"), 1)])
def test_mcnemar_counts_whole_items(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="counts items"):
        mcnemar_exact(*counts)


def test_mcnemar_is_for_marks_of_lone_items() -> None:
    names = list("vwxyz")
    columns = {"a": column([1, 1, 0, 1, 0]), "b": column([0, 0, 1, 1, 0]), "soft": column([0, 0.5, 1, 1, 1])}
    found = resampled(columns, names)
    assert discordant(found["a"], found["b"]) == (2, 1)
    assert mcnemar_p(found["a"], found["b"]) == mcnemar_exact(2, 1)
    clustered = resampled(columns, ["v", "v", *names[2:]])
    for one, other in (
        (found["a"], found["soft"]),
        (clustered["a"], clustered["b"]),
        (found["a"] - found["b"], found["a"] - found["b"]),
    ):
        assert mcnemar_p(one, other) is None
        with pytest.raises(ValueError, match="0 or 1"):
            discordant(one, other)


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, then 0.03 * 2 = 0.06 and 0.04 * 1, raised to the one before.
    found = holm({"d": 0.04, "a": 0.01, "c": 0.03, "b": 0.02})
    assert list(found) == ["d", "a", "c", "b"]
    assert found == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({"a": 0.2}) == {"a": 0.2}
    assert holm({}) == {}
    with pytest.raises(ValueError, match="within 0 to 1"):
        holm({"a": float("nan")})


# --- sums of benchmarks -------------------------------------------------------------------------------


def test_a_sum_over_one_benchmark_adds_its_draws() -> None:
    rng = random.Random("sum")
    names = [str(at // 2) for at in range(60)]
    values = [float(rng.random() < 0.6) for _ in names]
    found = resampled({"a": column(values), "b": column([1 - value for value in values])}, names)
    # Marks that always add up to 1: so do their draws, and the sum is certain.
    exact = interval_of_sum([[(found["a"], 100.0), (found["b"], 100.0)]])
    assert (exact.value, exact.low, exact.high) == pytest.approx((100.0, 100.0, 100.0))
    apart = interval_of_sum([[(found["a"], 100.0), (found["b"], -100.0)]])
    alone = interval([found["a"]])
    assert apart.high - apart.low == pytest.approx(200 * (alone.high - alone.low))


def test_a_sum_with_a_benchmark_at_its_end_is_put_together_from_intervals() -> None:
    names = [str(at) for at in range(12)]
    sure = [resampled({"a": column([1.0] * 12)}, names, key=key)["a"] for key in ("one", "two")]
    reach = 1.0 - wilson(1.0, 12)[0]
    found = interval_of_sum([[(sure[0], 100.0)], [(sure[1], 50.0)]])
    assert (found.value, found.high, found.method) == (150.0, 150.0, "wilson_clusters")
    assert 150.0 - found.low == pytest.approx(math.hypot(100, 50) * reach)
    same = interval_of_sum([[(sure[0], 100.0), (sure[0], 100.0)]])
    assert 200.0 - same.low == pytest.approx(200 * reach)
    negative = interval_of_sum([[(sure[0], -1.0)]])
    assert (negative.low, negative.high) == pytest.approx((-1.0, -1.0 + reach))
    with pytest.raises(ValueError, match="at least one"):
        interval_of_sum([[]])


# --- through the door ---------------------------------------------------------------------------------


def score(
    item: str, model: str, value: float, *, benchmark: str = "b", scorer: str = "s", **more: object
) -> Score:
    fields = {"condition": "original", "parsed": True, "reason": "", "cluster": f"picture {item}", **more}
    return Score(item_id=item, benchmark=benchmark, model=model, scorer=scorer, value=value, **fields)  # type: ignore[arg-type]


def two_models(
    benchmark: str, base: float, adapted: float, *, n: int = 40, scorer: str = "s", **more: object
) -> list[Score]:
    rng = random.Random(f"{benchmark}/{scorer}")
    return [
        score(f"i{at:02d}", model, float(rng.random() < share), benchmark=benchmark, scorer=scorer, **more)
        for model, share in (("base", base), ("adapted", adapted))
        for at in range(n)
    ]


def by_key(found: Sequence[Measurement]) -> dict[str, Measurement]:
    assert len({each.key for each in found}) == len(found)
    return {each.key: each for each in found}


def test_differences_between_models_are_tested_and_adjusted() -> None:
    scores = [
        *two_models("one", 0.2, 0.8),
        *two_models("one", 0.2, 0.8, scorer="t"),
        *two_models("two", 0.4, 0.6),
        *two_models("six", 0.5, 0.5),
        *two_models("one", 0.2, 0.2, condition="mismatch"),
    ]
    found = by_key(measure(scores, dict.fromkeys(("one", "two", "six"), "s"), n_draws=2000))
    gains = {name: found[f"{name}/adapted-base/original"] for name in ("one", "two", "six")}
    assert all(each.p is not None and each.p_mcnemar is not None for each in gains.values())
    assert {name: each.p_holm for name, each in gains.items()} == holm(
        {name: each.p or 0.0 for name, each in gains.items()}
    )
    # Sign flips of marks of lone items are McNemar's test, drawn.
    for each in gains.values():
        assert each.p == pytest.approx(each.p_mcnemar, abs=0.04)
    other = found["one/adapted-base/original/t"]
    assert other.p is not None
    assert other.p_holm is None
    reliance = found["one/adapted-base/vrs"]
    assert reliance.p is not None
    assert reliance.p < 0.01
    assert (reliance.p_holm, reliance.p_mcnemar) == (None, None)
    for key, each in found.items():
        if "adapted-base" not in key or key.startswith("macro/"):
            assert (each.p, each.p_holm, each.p_mcnemar) == (None, None, None)


def test_measurements_with_and_without_p_come_back_as_they_were(tmp_path) -> None:
    found = measure(two_models("b", 0.2, 0.8), {"b": "s"}, n_draws=200)
    assert {each.p is None for each in found} == {True, False}
    write_records(tmp_path / "m.parquet", found, Measurement)
    assert list(read_records(tmp_path / "m.parquet", Measurement)) == found


def test_a_ratio_goes_through_the_door() -> None:
    rng = random.Random("door")
    rows = {model: f1_parts(rng, 30, skill) for model, skill in (("base", 0.6), ("adapted", 0.9))}
    scores = [
        score(f"i{at:02d}", model, 0.0, parts=parts) for model in rows for at, parts in enumerate(rows[model])
    ]
    found = by_key(measure(scores, {"b": "s"}, n_draws=500))
    assert found["b/base/original"].value == pytest.approx(f1(rows["base"]))
    gain = found["b/adapted-base/original"]
    assert gain.value == pytest.approx(f1(rows["adapted"]) - f1(rows["base"]))
    assert gain.p is not None
    assert gain.p_mcnemar is None
    assert found["macro/base/original"].value == found["b/base/original"].value


def test_cider_goes_to_ten_and_nothing_else_does() -> None:
    scores = [*two_models("b", 0.5, 0.5, n=4)]
    high = [score(f"i{at:02d}", "base", 9.0, scorer="cider_d") for at in range(4)]
    found = by_key(measure([*scores, *high], {"b": "s"}, n_draws=100))
    assert found["b/base/original/cider_d"].value == 9.0
    wrong = [score(f"i{at:02d}", "base", 9.0, scorer="rouge") for at in range(4)]
    with pytest.raises(BenchmarkError, match="fractions of 1;"):
        measure([*scores, *wrong], {"b": "s"}, n_draws=100)


def with_subsets() -> list[Score]:
    """Even items belong to `x`, those from 20 on to `y`; a paper score and another one stand beside."""
    found = []
    for each in [
        *two_models("b", 0.3, 0.7),
        *two_models("b", 0.4, 0.5, scorer="s_paper"),
        *two_models("b", 0.4, 0.5, scorer="t"),
    ]:
        at = int(each.item_id[1:])
        names = (("x",) if at % 2 == 0 else ()) + (("y",) if at >= 20 else ())
        found.append(
            score(each.item_id, each.model, each.value, scorer=each.scorer, benchmark="b", subsets=names)
        )
    return found


def test_subsets_are_measured_beside_their_benchmark() -> None:
    scores = with_subsets()
    found = by_key(measure(scores, {"b": "s"}, n_rows_by_benchmark={"b": 50}, n_draws=500))
    evens = [
        each.value for each in scores if each.model == "base" and each.scorer == "s" and "x" in each.subsets
    ]
    subset = found["b[x]/base/original"]
    assert (subset.value, subset.n, subset.n_clusters) == (sum(evens) / 20, 20, 20)
    assert subset.coverage == pytest.approx(0.8)
    assert {key for key in found if key.startswith("b[x]/")} == {
        f"b[x]/{who}/original{rest}"
        for who in ("base", "adapted", "adapted-base")
        for rest in ("", "/s_paper")
    }
    assert found["b[y]/adapted-base/original"].p is None
    # The same items as a benchmark of that name have the same interval, and the benchmark its own of old.
    alone = [
        Score(
            **{**{name: getattr(each, name) for name in Score.__slots__}, "benchmark": "b[x]", "subsets": ()}
        )
        for each in scores
        if "x" in each.subsets
    ]
    again = by_key(measure(alone, {"b[x]": "s"}, n_draws=500))["b[x]/base/original"]
    assert (again.value, again.low, again.high) == (subset.value, subset.low, subset.high)
    plain = by_key(measure(two_models("b", 0.3, 0.7), {"b": "s"}, n_draws=500))
    assert plain["b/base/original"].low == found["b/base/original"].low
    assert found["macro/base/original"].value == found["b/base/original"].value


def test_subsets_and_sums_are_no_benchmarks() -> None:
    measured = measure(
        with_subsets(), {"b": "s"}, n_draws=200, sums=[Sum("average", (("b", "", 0.5), ("b", "t", 0.5)))]
    )
    assert benchmark_names(measured) == ["b"]
    assert list(summary(measured)["benchmarks"]) == ["b"]


def test_an_item_is_in_the_same_subsets_in_every_score() -> None:
    with pytest.raises(BenchmarkError, match="two sets of subsets"):
        measure([score("a", "base", 1.0, subsets=("x",)), score("a", "adapted", 1.0)], {"b": "s"}, n_draws=9)


def test_sums_are_weighted_and_made_for_models_that_have_all_terms() -> None:
    scores = [
        *two_models("one", 0.2, 0.8),
        *two_models("one", 0.3, 0.7, scorer="plus"),
        *two_models("two", 0.4, 0.6),
        *(each for each in two_models("two", 0.4, 0.6, scorer="plus") if each.model == "base"),
    ]
    sums = [
        Sum("average", (("one", "", 0.25), ("two", "s", 0.75))),
        Sum("total", tuple((name, scorer, 100.0) for name in ("one", "two") for scorer in ("s", "plus"))),
        Sum("absent", (("three", "", 1.0),)),
    ]
    primary = {"one": "s", "two": "s"}
    measured = measure(scores, primary, n_draws=500, sums=sums, n_rows_by_benchmark={"one": 50, "two": 50})
    found = by_key(measured)
    for who in ("base", "adapted", "adapted-base"):
        parts = [found[f"{name}/{who}/original"].value for name in ("one", "two")]
        assert found[f"average/{who}/original"].value == pytest.approx(0.25 * parts[0] + 0.75 * parts[1])
    total = found["total/base/original"]
    every = [found[f"{name}/base/original{rest}"] for name in ("one", "two") for rest in ("", "/plus")]
    assert total.value == pytest.approx(100 * sum(each.value for each in every))
    assert (total.n, total.n_clusters, total.coverage) == (80, 80, 0.8)
    assert total.low < total.value < total.high <= 400
    assert "total/adapted/original" not in found
    assert not any(key.startswith("absent/") for key in found)
    assert [each.key for each in measured[-4:]][-1] == "total/base/original"
    assert measure(scores, primary, n_draws=500, n_rows_by_benchmark={"one": 50, "two": 50}) == [
        each for each in measured if not each.key.startswith(("average/", "total/"))
    ]


def test_a_sum_may_add_subsets() -> None:
    sums = [Sum("halves", (("b[x]", "", 1.0), ("b[y]", "s_paper", 1.0)))]
    found = by_key(measure(with_subsets(), {"b": "s"}, n_draws=200, sums=sums))
    parts = found["b[x]/base/original"].value, found["b[y]/base/original/s_paper"].value
    assert found["halves/base/original"].value == pytest.approx(sum(parts))


@pytest.mark.parametrize(
    "wanted", [Sum("b", (("b", "", 1.0),)), Sum("macro", (("b", "", 1.0),)), Sum("c", ())]
)
def test_a_sum_has_terms_and_a_name_of_its_own(wanted: Sum) -> None:
    with pytest.raises(BenchmarkError, match="the sum"):
        measure(two_models("b", 0.5, 0.5, n=4), {"b": "s"}, n_draws=9, sums=[wanted])


def test_guesses_are_counted_with_the_points_they_gave() -> None:
    scores = two_models("b", 0.5, 0.5, n=4)
    for model, values in (("base", [1, 1, 0, 1]), ("adapted", [0, 1, 1, 1])):
        for at, value in enumerate(values):
            was_guessed = model == "base" and at != 0
            scores.append(
                score(
                    f"i{at:02d}",
                    model,
                    float(value),
                    scorer="s_paper",
                    parsed=not was_guessed,
                    reason="guessed" if was_guessed else "",
                )
            )
    found = {each.key: each.value for each in measure(scores, {"b": "s"}, n_draws=100)}
    assert found["b/base/guessed"] == 0.75
    assert found["b/base/guessed_points"] == 0.5  # of the score of 0.75 two thirds are luck
    assert found["b/adapted/guessed"] == found["b/adapted/guessed_points"] == 0.0
    unguessed = [each for each in scores if each.reason != "guessed" and each.scorer == "s"]
    assert not any("guessed" in each.key for each in measure(unguessed, {"b": "s"}, n_draws=100))


def test_nothing_depends_on_the_order_of_the_scores() -> None:
    rng = random.Random("order")
    more = [
        *with_subsets(),
        *two_models("c", 0.3, 0.6),
        *two_models("c", 0.3, 0.3, condition="mismatch"),
        *(
            score(f"i{at:02d}", model, 0.0, benchmark="c", scorer="bleu_paper", parts=parts, reason="guessed")
            for model, skill in (("base", 0.6), ("adapted", 0.9))
            for at, parts in enumerate(bleu_parts(rng, 40, skill))
        ),
    ]
    shuffled = list(more)
    rng.shuffle(shuffled)
    sums = [Sum("average", (("b", "", 0.5), ("c", "bleu_paper", 0.5)))]
    primary = {"b": "s", "c": "s"}
    assert measure(more, primary, n_draws=200, sums=sums) == measure(
        shuffled, primary, n_draws=200, sums=sums
    )
