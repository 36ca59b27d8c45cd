"""Intervals: worked values, symmetry, pairing, and coverage by simulation."""

import random

import numpy as np
import pytest

from acclimate.errors import BenchmarkError
from acclimate.records import Score
from acclimate.report.measure import measure, summary
from acclimate.report.statistics import Interval, Resampled, interval, resample, wilson

N_DRAWS = 2_000


def resampled(
    values: dict[str, list[float]], clusters: list[str], *, key: str = "bench", seed: int = 0
) -> dict[str, Resampled]:
    columns = {
        name: {f"i{at:04d}": value for at, value in enumerate(column)} for name, column in values.items()
    }
    by_item = {f"i{at:04d}": cluster for at, cluster in enumerate(clusters)}
    return dict(resample(columns, by_item, key=key, seed=seed, n_draws=N_DRAWS))


def one(values: list[float], clusters: list[str] | None = None, *, seed: int = 0) -> Interval:
    names = clusters or [str(at) for at in range(len(values))]
    return interval([resampled({"a": values}, names, seed=seed)["a"]])


def test_a_mean_is_weighted_by_items_not_by_clusters() -> None:
    assert one([1.0, 1.0, 1.0, 0.0], ["x", "x", "x", "y"]).value == pytest.approx(0.75)


def test_two_clusters_give_the_four_equally_likely_resamples() -> None:
    # Clusters of means 0 and 1: (0,0), (0,1), (1,0), (1,1), so a quarter of the draws is 0.
    part = resampled({"a": [0.0, 1.0]}, ["x", "y"])["a"]
    shares = {value: float(np.mean(part.draws == value)) for value in (0.0, 0.5, 1.0)}
    assert shares == pytest.approx({0.0: 0.25, 0.5: 0.5, 1.0: 0.25}, abs=0.04)


def test_the_interval_of_many_independent_items_is_the_normal_one() -> None:
    rng = random.Random("normal")
    values = [float(rng.random() < 0.3) for _ in range(1000)]
    found = one(values)
    half = 1.96 * (found.value * (1 - found.value) / 1000) ** 0.5
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.004)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = [at * at % 61 / 61 for at in range(60)]  # of many sizes, so that equal quantiles are no chance
    assert one(values) == one(values)
    assert one(values) != one(values, seed=1)


def test_the_order_of_the_items_changes_nothing() -> None:
    rng = random.Random("order")
    values = {f"i{at}": rng.random() for at in range(80)}
    clusters = {name: str(hash_ % 17) for hash_, name in enumerate(values)}
    shuffled = sorted(values, key=lambda name: name[::-1])
    first = resample({"a": values}, clusters, key="k", seed=0, n_draws=500)["a"]
    second = resample(
        {"a": {name: values[name] for name in shuffled}},
        {name: clusters[name] for name in shuffled},
        key="k",
        seed=0,
        n_draws=500,
    )["a"]
    assert first.value == second.value
    assert np.array_equal(first.draws, second.draws)


def test_swapping_two_columns_negates_the_difference_and_mirrors_its_interval() -> None:
    rng = random.Random("swap")
    columns = {
        name: [float(rng.random() < share) for _ in range(90)] for name, share in (("a", 0.7), ("b", 0.4))
    }
    parts = resampled(columns, [str(at // 3) for at in range(90)])
    forth, back = interval([parts["a"] - parts["b"]]), interval([parts["b"] - parts["a"]])
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))


def test_equal_differences_have_no_width_and_equal_columns_are_exactly_zero() -> None:
    rng = random.Random("equal")
    base = [round(rng.random() / 2, 3) for _ in range(40)]
    parts = resampled(
        {"a": [value + 0.25 for value in base], "b": base, "c": base}, [str(at // 4) for at in range(40)]
    )
    shifted = interval([parts["a"] - parts["b"]])
    assert (shifted.low, shifted.high) == pytest.approx((0.25, 0.25))
    same = interval([parts["b"] - parts["c"]])
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_a_negative_difference_is_not_clipped() -> None:
    # Zafar et al. 2026: PathVQA, text-only training, 0.56 with the real and 0.65 with a shuffled picture.
    columns = {"original": [1.0] * 56 + [0.0] * 44, "mismatch": [1.0] * 65 + [0.0] * 35}
    parts = resampled(columns, [str(at) for at in range(100)])
    assert interval([parts["original"] - parts["mismatch"]]).value == pytest.approx(-0.09)


def test_duplicated_clusters_with_new_names_shrink_the_interval_by_the_root() -> None:
    rng = random.Random("dup")
    values = [float(rng.random() < 0.5) for _ in range(120)]
    clusters = [str(at // 3) for at in range(120)]
    narrow = one(values * 4, [f"{copy}/{name}" for copy in range(4) for name in clusters])
    wide = one(values, clusters)
    assert (narrow.high - narrow.low) / (wide.high - wide.low) == pytest.approx(0.5, abs=0.08)


def test_a_paired_interval_is_narrower_than_an_unpaired_one_on_correlated_columns() -> None:
    rng = random.Random("paired")
    skill = [rng.random() for _ in range(400)]
    columns = {
        name: [float(each > 0.5 + shift) for each in skill] for name, shift in (("a", 0.0), ("b", 0.05))
    }
    clusters = [str(at) for at in range(400)]
    parts = resampled(columns, clusters)
    other = resampled({"b": columns["b"]}, clusters, key="unrelated")["b"]
    paired, unpaired = interval([parts["a"] - parts["b"]]), interval([parts["a"] - other])
    assert (paired.high - paired.low) < 0.6 * (unpaired.high - unpaired.low)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_score_of_zero_or_one_gets_wilsons_interval_on_clusters(value: float) -> None:
    found = one([value] * 30, [str(at // 3) for at in range(30)])
    assert found.method == "wilson_clusters"
    # Wilson 1927 at 0 of 10: 0 to z^2 / (10 + z^2).
    width = 1.959964**2 / (10 + 1.959964**2)
    assert found.high - found.low == pytest.approx(width, abs=1e-5)
    assert found.low <= value <= found.high


def test_wilson_by_hand() -> None:
    # 8 of 10: the textbook values.
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_a_single_cluster_bounds_nothing() -> None:
    parts = resampled({"a": [1.0, 0.0], "b": [0.0, 0.0]}, ["x", "x"])
    assert interval([parts["a"]]).method == "wilson_clusters"
    difference = interval([parts["a"] - parts["b"]])
    assert (difference.low, difference.high, difference.method) == (-1.0, 1.0, "one_cluster")


def test_the_macro_mean_weighs_benchmarks_alike_and_resamples_them_independently() -> None:
    rng = random.Random("macro")
    values = [float(rng.random() < 0.5) for _ in range(200)]
    names = [str(at) for at in range(200)]
    first = resampled({"a": values}, names, key="one")["a"]
    second = resampled({"a": values}, names, key="two")["a"]
    small = resampled({"a": [0.0, 0.0, 1.0, 0.0]}, names[:4], key="three")["a"]
    assert interval([first, small]).value == pytest.approx((first.value + 0.25) / 2)
    single, macro = interval([first]), interval([first, second])
    assert (macro.high - macro.low) / (single.high - single.low) == pytest.approx(0.5**0.5, abs=0.06)


def test_a_benchmark_at_100_percent_still_widens_the_macro_interval() -> None:
    names = [str(at) for at in range(12)]
    sure = resampled({"a": [1.0] * 12}, names, key="one")["a"]
    found = interval([sure, resampled({"a": [1.0] * 12}, names, key="two")["a"]])
    assert found.value == 1.0
    assert found.high == 1.0
    # Each alone reaches down to wilson(1, 12); the mean of two independent ones by the root of two less.
    assert 1.0 - found.low == pytest.approx((1.0 - wilson(1.0, 12)[0]) / 2**0.5)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_value_outside_the_scale_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="fractions of 1"):
        resampled({"a": [0.5, value]}, ["x", "y"])


def test_clustered_intervals_cover_the_truth_where_item_intervals_do_not() -> None:
    # A small layout like SLAKE's: many questions per picture that succeed together.
    rng = random.Random("coverage")
    truth, n_pictures, n_questions, n_worlds = 0.6, 40, 10, 150
    hits = {"cluster": 0, "item": 0}
    for world in range(n_worlds):
        values, clusters = [], []
        for picture in range(n_pictures):
            share = rng.betavariate(0.6 * 1.5, 0.4 * 1.5)
            values += [float(rng.random() < share) for _ in range(n_questions)]
            clusters += [str(picture)] * n_questions
        for name, ids in (("cluster", clusters), ("item", [str(at) for at in range(len(values))])):
            columns = {"a": {str(at): value for at, value in enumerate(values)}}
            by_item = {str(at): each for at, each in enumerate(ids)}
            found = interval([resample(columns, by_item, key=f"{world}", seed=0, n_draws=400)["a"]])
            hits[name] += found.low <= truth <= found.high
    assert 0.88 <= hits["cluster"] / n_worlds <= 0.99
    assert hits["item"] / n_worlds < 0.80


def score(
    item: str, model: str, condition: str, value: float, *, scorer: str = "s", benchmark: str = "b"
) -> Score:
    return Score(item, benchmark, model, condition, scorer, value, value >= 0.0, "", f"picture {item[0]}")


def world(adapted_mismatch: float = 0.0) -> list[Score]:
    """Return a base model that ignores the picture, and an adapted one that needs its own picture."""
    scores = []
    for at, item in enumerate(["a1", "a2", "b1", "c1", "d1", "e1"]):
        for condition in ("original", "mismatch", "blank"):
            scores.append(score(item, "base", condition, float(at % 2)))
            adapted = 1.0 if condition == "original" else adapted_mismatch
            scores.append(score(item, "adapted", condition, adapted))
        scores.append(score(item, "base", "original", 1.0, scorer="p"))
    return scores


def test_visual_reliance_is_zero_for_a_blind_model_and_one_for_a_seeing_one() -> None:
    found = {each.key: each for each in measure(world(), {"b": "s"}, n_draws=N_DRAWS)}
    blind, seeing = found["b/base/vrs"], found["b/adapted/vrs"]
    assert (blind.value, blind.low, blind.high) == (0.0, 0.0, 0.0)
    assert (seeing.value, seeing.low, seeing.high) == (1.0, 1.0, 1.0)
    assert found["b/adapted-base/vrs"].value == pytest.approx(1.0)
    assert found["b/adapted-base/original"].value == pytest.approx(0.5)
    assert found["b/base/original/p"].value == 1.0
    assert found["macro/base/original"].value == found["b/base/original"].value == 0.5


def test_measurements_do_not_depend_on_the_order_of_the_scores() -> None:
    shuffled = sorted(world(0.5), key=lambda each: each.item_id[::-1] + each.condition)
    assert measure(world(0.5), {"b": "s"}, n_draws=200) == measure(shuffled, {"b": "s"}, n_draws=200)


def test_coverage_counts_rejected_rows() -> None:
    found = {
        each.key: each for each in measure(world(), {"b": "s"}, n_rows_by_benchmark={"b": 8}, n_draws=200)
    }
    assert found["b/base/original"].coverage == pytest.approx(0.75)
    assert (found["b/base/original"].n, found["b/base/original"].n_clusters) == (6, 5)


def test_unread_replies_are_measured_per_condition() -> None:
    scores = [Score("a", "b", "base", "original", "s", 0.0, False, "unparsed", "x")]
    scores += [Score("c", "b", "base", "original", "s", 1.0, True, "", "y")]
    found = {each.key: each.value for each in measure(scores, {"b": "s"}, n_draws=200)}
    assert found["b/base/unparsed"] == found["macro/base/unparsed"] == 0.5


def test_conditions_over_different_items_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="different items"):
        measure(world()[:-3], {"b": "s"}, n_draws=200)


def test_two_scores_of_one_item_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="two scores"):
        measure([*world(), world()[0]], {"b": "s"}, n_draws=200)


def test_the_summary_has_the_promised_shape() -> None:
    second = [
        Score(
            each.item_id, "other", each.model, each.condition, each.scorer, each.value, True, "", each.cluster
        )
        for each in world(0.5)
    ]
    found = summary(measure([*world(), *second], {"b": "s", "other": "s"}, n_draws=500))
    assert found["benchmarks"] == {"b": {"base": 0.5, "adapted": 1.0}, "other": {"base": 0.5, "adapted": 1.0}}
    assert found["gain"].keys() == {"value", "low", "high"}
    assert found["gain"]["value"] == pytest.approx(0.5)
    assert found["base"] == {"macro": 0.5, "unparsed": 0.0}
    assert found["reliance"]["adapted"] == pytest.approx(
        {"original": 1.0, "mismatch": 0.25, "blank": 0.25, "vrs": 0.75}
    )
    assert found["reliance"]["vrs_gain"]["value"] == pytest.approx(0.75)


def test_a_summary_of_one_model_leaves_the_comparison_out() -> None:
    found = summary(measure([each for each in world() if each.model == "base"], {"b": "s"}, n_draws=200))
    assert found["gain"] == {}
    assert found["adapted"] == {}
    assert found["benchmarks"] == {"b": {"base": 0.5}}
