"""Visual reliance: the sixteen test groups of its definition (visual-reliance.md, 1.4), by number."""

import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acclimate.errors import BenchmarkError
from acclimate.evaluate.normalised import normalised_answer
from acclimate.files import read_records, write_records
from acclimate.records import Item, Prediction, Score
from acclimate.reliance_scoring import readable
from acclimate.report.comparisons import discordant, mcnemar_exact
from acclimate.report.reliance import (
    DEFINITION,
    VECTOR,
    How,
    ItemReliance,
    Reliance,
    detectable,
    item_reliance,
    measure_reliance,
)
from acclimate.report.reliance_measures import collision_of
from acclimate.report.reliance_rows import Reading, Row, rows_of, tables_of, usual_chance
from acclimate.report.statistics import resample, resample_pairs
from acclimate.report.visual_claims import VISUAL_WORDS

N_DRAWS = 1_000
SIX = ("original", "mismatch", "blank", "noise", "patch_shuffle", "text_only")
Answer = Callable[[int, str, int], str]
"""From the item's number, the condition and the replicate."""


def rows(
    answer: Answer,
    n: int = 60,
    *,
    model: str = "m",
    benchmark: str = "b",
    conditions: Sequence[str] = SIX,
    replicates: int = 1,
    per_cluster: int = 3,
    n_golds: int = 2,
    **fields: object,
) -> list[Row]:
    """Rows of a model whose answers are marked 1 where they are the item's gold, `g0`, `g1`, ..."""
    found = []
    for condition in conditions:
        for replicate in range(replicates if condition.startswith("mismatch") else 1):
            for at in range(n):
                y, gold = answer(at, condition, replicate), f"g{at % n_golds}"
                row = Row(
                    model=model,
                    item=f"i{at:04d}",
                    benchmark=benchmark,
                    condition=condition,
                    replicate=replicate,
                    s=float(y == gold),
                    y=y,
                    valid=y != "",
                    cluster=f"c{at // per_cluster:04d}",
                    chance=1 / n_golds,
                    kind="closed",
                    gold=gold,
                )
                found.append(replace(row, **fields))
    return found


def table(found: Iterable[Reliance], level: str = "benchmark") -> dict[tuple[str, str], Reliance]:
    """By model and measure; donors within the benchmark where there are several policies."""
    kept = [each for each in found if each.level == level and each.stratum == ""]
    return {(each.model, each.measure): each for each in kept if each.donor_policy != "contrast"}


def measured(
    given: Iterable[Row], how: How | None = None, level: str = "benchmark", **fields: object
) -> dict[tuple[str, str], Reliance]:
    return table(measure_reliance(given, replace(how or How(n_draws=N_DRAWS), **fields)), level)


def same(one: dict[tuple[str, str], Reliance], other: dict[tuple[str, str], Reliance]) -> bool:
    return list(map(str, one.values())) == list(map(str, other.values()))


def noisy(seed: str, right: float, right_without: float) -> Answer:
    """Right with one chance on its own picture, with another under every other condition."""

    def answer(at: int, condition: str, replicate: int) -> str:
        rng = random.Random(f"{seed}/{at}/{condition}/{replicate}")
        share = right if condition == "original" else right_without
        return f"g{at % 2}" if rng.random() < share else f"g{1 - at % 2}"

    return answer


# --- 1 --------------------------------------------------------------------------------------------


def test_group_01_a_blind_model_has_no_reliance_at_all() -> None:
    found = measured(rows(lambda at, _, __: "g0" if at % 3 else "g1"))
    for name in ("VRS", "G_blank", "G_noise", "G_patch", "MG", "IS", "VBR", "VDR", "nVRS"):
        each = found["m", name]
        assert (each.value, each.low, each.high) == (0.0, 0.0, 0.0) or name == "nVRS", name
    for name in ("RET_mismatch", "RET_blank", "RET_noise", "RET_patch", "RET_text"):
        each = found["m", name]
        assert (each.value, each.low, each.high) == (1.0, 1.0, 1.0)
    assert found["m", "VRS"].p == found["m", "MG"].p == 1.0
    assert "no_variation" in found["m", "VRS"].flag


# --- 2 --------------------------------------------------------------------------------------------


def test_group_02_a_lookup_oracle_has_one_and_a_model_that_is_always_wrong_has_none() -> None:
    oracle = measured(rows(lambda at, c, _: f"g{at % 2}" if c == "original" else f"g{1 - at % 2}"))
    assert oracle["m", "VRS"].value == oracle["m", "IS"].value == oracle["m", "VBR"].value == 1.0
    assert oracle["m", "nVRS"].value == pytest.approx(2.0)
    assert oracle["m", "RET_mismatch"].value == 0.0
    wrong = measured(rows(lambda at, _, __: f"g{1 - at % 2}"))
    assert (wrong["m", "VRS"].value, wrong["m", "A_orig"].value) == (0.0, 0.0)
    for name in ("RET_blank", "RET_text", "RET_mismatch"):
        each = wrong["m", name]
        assert all(map(math.isnan, (each.value, each.low, each.high)))
        assert (each.flag, each.method) == ("no_original_score", "undefined")
    assert math.isnan(wrong["m", "nVRS"].value)
    assert wrong["m", "nVRS"].flag == "below_chance"
    at_zero_chance = measured(rows(lambda at, _, __: f"g{1 - at % 2}", chance=0.0))["m", "nVRS"]
    assert math.isnan(at_zero_chance.value)
    assert at_zero_chance.flag == "not_resolved_from_chance"
    assert not any(math.isinf(each.value) for each in wrong.values())


# --- 3 --------------------------------------------------------------------------------------------


def test_group_03_exchanging_original_and_mismatch_negates_and_mirrors() -> None:
    given = rows(noisy("swap", 0.8, 0.5), conditions=("original", "mismatch"))
    other = {"original": "mismatch", "mismatch": "original"}
    forth = measured(given)["m", "VRS"]
    back = measured([replace(row, condition=other[row.condition]) for row in given])["m", "VRS"]
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))
    assert forth.p == back.p


def test_group_03_a_model_does_not_differ_from_itself_and_differences_are_antisymmetric() -> None:
    given = rows(noisy("a", 0.8, 0.4)) + rows(noisy("b", 0.7, 0.5), model="n")
    how = How(comparisons=(("m", "m"), ("m", "n"), ("n", "m")), n_draws=N_DRAWS)
    found = measured(given, how)
    itself = found["m-m", "dVRS"]
    assert (itself.value, itself.low, itself.high, itself.p) == (0.0, 0.0, 0.0, 1.0)
    for name in ("dVRS", "dnVRS", "dA_orig", "dMG", "dIS", "dRET_text"):
        forth, back = found["m-n", name], found["n-m", name]
        assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))
        assert forth.p == back.p
        own = found["m", name[1:]].value - found["n", name[1:]].value
        assert forth.value == pytest.approx(own)


# --- 4 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_group_04_identities(seed: int) -> None:
    rng = random.Random(seed)
    given = rows(noisy(f"id{seed}", rng.random(), rng.random()), n=30, replicates=rng.randint(1, 3))
    found = {name: each.value for (_, name), each in measured(given, n_draws=20).items()}
    assert found["VRS"] == pytest.approx(found["VBR"] - found["VDR"], abs=1e-12)
    assert found["IS"] >= found["VBR"] + found["VDR"] - 1e-12
    assert found["VBR"] + found["VDR"] >= abs(found["VRS"]) - 1e-12
    steps = found["VRS"] + (found["A_mismatch"] - found["A_blank"]) + (found["A_blank"] - found["A_text"])
    assert found["MG"] == pytest.approx(steps, abs=1e-12)
    assert found["VRS"] == pytest.approx(found["A_orig"] - found["A_mismatch"], abs=1e-12)


def test_group_04_soft_marks_split_into_benefit_and_harm_too() -> None:
    rng = random.Random("soft")
    given = [replace(row, s=round(rng.random(), 2)) for row in rows(noisy("s", 0.5, 0.5), replicates=2)]
    found = {name: each.value for (_, name), each in measured(given, n_draws=20).items()}
    assert found["VRS"] == pytest.approx(found["VBR"] - found["VDR"], abs=1e-12)


# --- 5 --------------------------------------------------------------------------------------------


def test_group_05_no_order_matters_and_answers_may_be_renamed() -> None:
    given = rows(noisy("o", 0.8, 0.5), replicates=2) + rows(noisy("p", 0.6, 0.5), model="n", replicates=2)
    how = How(comparisons=(("m", "n"),), n_draws=200)
    found = measured(given, how)
    shuffled = random.Random(1).sample(given, len(given))
    again = measured(shuffled, how)
    assert same(again, found)
    names = {"g0": "blue", "g1": "a hen"}
    renamed = [replace(row, y=names[row.y], gold=names[row.gold]) for row in given]
    assert same(measured(renamed, how), found)


def test_group_05_answers_are_compared_normalised() -> None:
    asked = Item("a", "b", "Is it?", None, "closed", ("yes",), (), "c")
    assert normalised_answer(asked, "Yes.") == normalised_answer(asked, " yes")
    found = measured(from_records({"original": "Yes.", "mismatch": " yes"}))
    assert found["m", "IS"].value == 0.0


def from_records(texts: dict[str, str], n: int = 4, **reading: object) -> list[Row]:
    items = [Item(f"i{at}", "b", "Is it?", None, "closed", ("yes",), (), f"c{at}") for at in range(n)]
    predictions = [
        Prediction(item.id, "b", "m", condition, None, text, "stop")
        for condition, text in texts.items()
        for item in items
    ]
    scores = [
        Score(each.item_id, "b", "m", each.condition, scorer, 1.0, True, "", f"c{each.item_id[1:]}")
        for each in predictions
        for scorer in ("accuracy_strict", "another")
    ]
    return rows_of(
        items, predictions, scores, {"b": "accuracy_strict"}, Reading(normalised_answer, **reading)
    )


# --- 6 --------------------------------------------------------------------------------------------


def test_group_06_clusters_copied_with_their_ids_change_nothing_and_as_new_ones_narrow_the_interval() -> None:
    given = rows(noisy("dup", 0.8, 0.5), n=120, conditions=("original", "mismatch"))
    once = measured(given)["m", "VRS"]
    k = 4
    copies = [replace(row, item=f"{row.item}/{copy}") for row in given for copy in range(k)]
    with_ids = measured(copies)["m", "VRS"]
    assert with_ids.value == pytest.approx(once.value)
    assert (with_ids.low + with_ids.high) / 2 == pytest.approx((once.low + once.high) / 2)
    assert with_ids.half_width == pytest.approx(once.half_width)
    fresh = [replace(row, cluster=f"{row.cluster}/{row.item[-1]}") for row in copies]
    assert measured(fresh)["m", "VRS"].half_width / once.half_width == pytest.approx(k**-0.5, abs=0.06)


# Group 7, donors, is in tests/test_conditions.py.
# --- 8 --------------------------------------------------------------------------------------------


def test_group_08_conditions_cover_the_same_items_or_the_loss_is_reported() -> None:
    given = rows(noisy("j", 0.8, 0.5))
    short = [row for row in given if not (row.condition == "blank" and row.item in ("i0003", "i0004"))]
    with pytest.raises(BenchmarkError, match="2 of 60 are not in all"):
        measure_reliance(short)
    found = table(measure_reliance(short, How(n_draws=50), join="inner"))["m", "VRS"]
    assert (found.n, found.n_lost) == (58, 2)
    whole = [row for row in given if row.item not in ("i0003", "i0004")]
    assert found.value == measured(whole)["m", "VRS"].value
    assert measured(whole)["m", "VRS"].n_lost == 0
    with pytest.raises(BenchmarkError, match="no item is covered"):
        measure_reliance(
            [row for row in given if (row.condition == "blank") == (row.item < "i0030")], join="inner"
        )


def test_group_08_a_missing_replicate_is_an_error() -> None:
    given = rows(noisy("r", 0.8, 0.5), replicates=3)
    for lost in (1, 0):
        with pytest.raises(BenchmarkError, match=f"no replicate {lost} of mismatch"):
            measure_reliance([row for row in given if (row.condition, row.replicate) != ("mismatch", lost)])
    other = rows(noisy("r", 0.8, 0.5), replicates=2, model="n")
    with pytest.raises(BenchmarkError, match="n has no replicate 2 of mismatch"):
        measure_reliance([*given, *other])
    with pytest.raises(BenchmarkError, match="different items"):
        measure_reliance(given[:-1] if given[-1].condition == "mismatch" else [*given[:70], *given[71:]])


def test_group_08_a_row_stands_once_and_an_item_has_one_cluster() -> None:
    given = rows(noisy("r", 0.8, 0.5))
    with pytest.raises(BenchmarkError, match="stands twice"):
        measure_reliance([*given, given[0]])
    with pytest.raises(BenchmarkError, match="another cluster"):
        measure_reliance([replace(given[0], cluster="?"), *given[1:]])


# --- 9 --------------------------------------------------------------------------------------------


def shares(n: int, **right: float) -> list[Row]:
    """Rows of which under every condition the first so many are right."""
    return rows(
        lambda at, condition, _: f"g{at % 2}" if at < round(right[condition] * n) else f"g{1 - at % 2}",
        n=n,
        conditions=tuple(right),
        per_cluster=1,
    )


def test_group_09_published_values() -> None:
    # Zafar et al. 2026: PathVQA, text-only training.
    found = measured(shares(100, original=0.56, mismatch=0.65))
    assert found["m", "VRS"].value == pytest.approx(-0.09)
    assert found["m", "VRS"].low < -0.09 < found["m", "VRS"].high
    # The same, image training: 0.588 and VRS 0.100.
    assert measured(shares(1000, original=0.588, mismatch=0.488))["m", "VRS"].value == pytest.approx(0.100)
    # VQA-RAD, text-only training: 63 %, of which 81 % is left with a blank picture.
    assert measured(shares(10_000, original=0.63, blank=0.5103))["m", "RET_blank"].value == pytest.approx(
        0.81
    )
    # MMStar, table 3: LLaVA-1.5-7B 30.3 with MG 10.7, InternLM-XComposer2 55.4 with MG 28.1.
    assert measured(shares(1000, original=0.303, text_only=0.196))["m", "MG"].value == pytest.approx(0.107)
    assert measured(shares(1000, original=0.554, text_only=0.273))["m", "MG"].value == pytest.approx(0.281)


def test_group_09_leakage_is_measured_against_the_base_llm_and_clipped_at_zero() -> None:
    given = shares(100, original=0.6, text_only=0.5)
    for base, expected in ((0.3, 0.2), (0.7, 0.0)):
        llm = [replace(row, model="llm") for row in shares(100, text_only=base)]
        found = measured([*given, *llm], base_llm="llm")
        assert found["m", "ML"].value == pytest.approx(expected)
        assert found["m", "ML"].low >= 0.0
        assert ("llm", "A_orig") not in found
    assert ("m", "ML") not in measured(given)


# --- 10 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [56.0, -0.1, 1.0001, math.nan])
def test_group_10_marks_outside_zero_to_one_are_refused(s: float) -> None:
    given = rows(noisy("x", 0.5, 0.5))
    with pytest.raises(BenchmarkError, match="not percent"):
        measure_reliance([replace(given[7], s=s), *given[:7], *given[8:]])
    with pytest.raises(BenchmarkError, match="chance level"):
        measure_reliance([replace(row, chance=50.0) for row in given])


def test_group_10_soft_marks_are_measured_and_mcnemar_refuses_them() -> None:
    sharp = rows(noisy("x", 0.8, 0.5), per_cluster=1)
    n10 = sum(each.d == 1.0 for each in item_reliance(sharp))
    n01 = sum(each.d == -1.0 for each in item_reliance(sharp))
    assert measured(sharp)["m", "VRS"].p_mcnemar == mcnemar_exact(n10, n01)
    soft = [replace(row, s=row.s * 0.9 + 0.03) for row in sharp]
    found = measured(soft)["m", "VRS"]
    assert found.value == pytest.approx(0.9 * measured(sharp)["m", "VRS"].value)
    assert found.p is not None
    assert found.p_mcnemar is None
    assert measured(rows(noisy("x", 0.8, 0.5), per_cluster=2))["m", "VRS"].p_mcnemar is None  # clustered
    columns = {name: {"a": 0.3, "b": 1.0} for name in ("one", "other")}
    parts = resample(columns, {"a": "a", "b": "b"}, key="k", seed=0, n_draws=10)
    with pytest.raises(ValueError, match="marks of 0 or 1"):
        discordant(parts["one"], parts["other"])


# --- 11 -------------------------------------------------------------------------------------------


def test_group_11_a_random_answerer_has_no_reliance_beyond_its_error_and_no_normalised_one() -> None:
    given = rows(noisy("random", 0.5, 0.5), n=900)
    found = measured(given)
    assert abs(found["m", "VRS"].value) < 4 * found["m", "VRS"].half_width / 1.96
    assert math.isnan(found["m", "nVRS"].value)
    assert found["m", "nVRS"].flag == "not_resolved_from_chance"


def test_group_11_the_chance_level_enters_nothing_but_nvrs() -> None:
    given = rows(noisy("skill", 0.9, 0.5), n=300)
    half = measured(given)
    quarter = measured([replace(row, chance=0.25) for row in given])
    unknown = measured([replace(row, chance=math.nan) for row in given])
    a, vrs = half["m", "A_orig"].value, half["m", "VRS"].value
    assert half["m", "nVRS"].value == pytest.approx(vrs / (a - 0.5))
    assert quarter["m", "nVRS"].value == pytest.approx(vrs / (a - 0.25))
    assert unknown["m", "nVRS"].flag == "no_chance"
    for name in {name for _, name in half} - {"nVRS"}:
        assert str(half["m", name]) == str(quarter["m", name]) == str(unknown["m", name])


def test_the_usual_chance_is_one_in_so_many_choices() -> None:
    asked = Item("a", "b", "?", None, "choice", ("x",), ("x", "y", "z", "w"), "c")
    assert usual_chance(asked) == 0.25
    assert usual_chance(replace(asked, kind="closed", choices=())) == 0.5
    assert math.isnan(usual_chance(replace(asked, kind="open", choices=())))


# --- 12 -------------------------------------------------------------------------------------------


def test_group_12_the_bootstrap_is_seeded() -> None:
    given = rows(noisy("seed", 0.8, 0.5), n=150)
    assert same(measured(given), measured(given))
    one, other = measured(given)["m", "VRS"], measured(given, seed=1)["m", "VRS"]
    assert (one.value, one.seed, other.seed) == (other.value, 0, 1)
    assert (one.low, one.high) != (other.low, other.high)


def test_group_12_a_paired_interval_is_narrower_than_an_unpaired_one() -> None:
    def answer(at: int, condition: str, _: int) -> str:
        luck = random.Random(f"luck {at}").random()
        return f"g{at % 2}" if luck < (0.7 if condition == "original" else 0.6) else f"g{1 - at % 2}"

    given = rows(answer, n=400, per_cluster=1)
    paired = measured(given)
    spread = (paired["m", "A_orig"].half_width ** 2 + paired["m", "A_mismatch"].half_width ** 2) ** 0.5
    assert paired["m", "VRS"].half_width < 0.6 * spread


def test_group_12_equal_differences_have_no_width() -> None:
    found = measured(
        [replace(row, s=0.75 if row.condition == "original" else 0.5) for row in rows(noisy("e", 0.5, 0.5))]
    )["m", "VRS"]
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_group_12_items_as_clusters_give_the_item_bootstrap() -> None:
    given = rows(noisy("item", 0.8, 0.5), n=200, per_cluster=1)
    found = measured(given, n_draws=10_000)["m", "VRS"]
    d = np.array([each.d for each in item_reliance(given)])
    rng = np.random.default_rng(0)
    draws = d[rng.integers(len(d), size=(10_000, len(d)))].mean(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.006)


@pytest.mark.data
def test_group_12_intervals_cover_the_truth_on_the_real_slake_layout(shared_data: Path) -> None:
    # Every picture has its own chance of a loss, with correlation 0.4 between its questions; true VRS 0.18.
    names = [
        row["img_name"]
        for row in json.loads((shared_data / "slake_text" / "test.json").read_text(encoding="utf-8"))
        if row["q_lang"] == "en"
    ]
    places = {name: at for at, name in enumerate(sorted(set(names)))}
    picture = np.array([places[name] for name in names])
    clusters = {f"q{at:04d}": f"p{place:03d}" for at, place in enumerate(picture)}
    rng = np.random.default_rng(7)
    n_worlds, held, strength = 1500, 0, 1 / 0.4 - 1
    for world in range(n_worlds):
        columns = {}
        for name, truth in (("original", 0.60), ("mismatch", 0.42)):
            chances = rng.beta(truth * strength, (1 - truth) * strength, size=len(places))
            marks = rng.random(len(picture)) < chances[picture]
            columns[name] = {item: float(mark) for item, mark in zip(clusters, marks, strict=True)}
        drawn = resample(columns, clusters, key=f"world {world}", seed=0, n_draws=1000)
        low, high = np.quantile((drawn["original"] - drawn["mismatch"]).draws, [0.025, 0.975])
        held += low <= 0.18 <= high
    assert 0.93 <= held / n_worlds <= 0.97


# Group 13, the pictures themselves, is in tests/test_conditions.py.
# --- 14 -------------------------------------------------------------------------------------------


def test_group_14_refusals_are_visible_and_leave_vrs_alone() -> None:
    given = rows(noisy("ref", 0.8, 0.5), n=90)
    wrong = [row for row in given if row.condition == "mismatch" and row.s == 0.0][:9]
    refused = [
        replace(row, y="", valid=False) if any(row is each for each in wrong) else row for row in given
    ]
    before, after = measured(given), measured(refused)
    assert after["m", "VRS"].value == before["m", "VRS"].value
    assert (before["m", "valid_mismatch"].value, after["m", "valid_mismatch"].value) == pytest.approx(
        (1.0, 0.9)
    )
    assert after["m", "valid_orig"].value == 1.0
    assert before["m", "VRS_both_valid"].value == pytest.approx(before["m", "VRS"].value)
    kept = {row.item for row in refused if row.condition == "mismatch" and row.valid}
    d = [each.d for each in item_reliance(refused) if each.item in kept]
    assert after["m", "VRS_both_valid"].value == pytest.approx(sum(d) / len(d))
    assert after["m", "VRS_both_valid"].value != before["m", "VRS_both_valid"].value
    mute = [replace(row, valid=row.condition == "original") for row in given]
    assert measured(mute)["m", "VRS_both_valid"].flag == "no_valid_pairs"


# --- 15 -------------------------------------------------------------------------------------------


def test_group_15_one_answer_put_right_raises_vrs_by_one_nth() -> None:
    given = rows(noisy("mono", 0.6, 0.5), n=80)
    at = next(at for at, row in enumerate(given) if row.condition == "original" and row.s == 0.0)
    mended = [replace(row, s=1.0, y=row.gold) if place == at else row for place, row in enumerate(given)]
    assert measured(mended)["m", "VRS"].value - measured(given)["m", "VRS"].value == pytest.approx(1 / 80)


def test_group_15_replicates_are_averaged() -> None:
    given = rows(noisy("rep", 0.8, 0.5), replicates=3, conditions=("original", "mismatch"))
    alone = [
        measured(
            [
                replace(row, replicate=0)
                for row in given
                if row.condition == "original" or row.replicate == replicate
            ]
        )["m", "VRS"].value
        for replicate in range(3)
    ]
    found = measured(given)["m", "VRS"]
    assert found.value == pytest.approx(sum(alone) / 3)
    assert found.replicates == 3


def test_group_15_micro_weighs_items_and_macro_benchmarks() -> None:
    small = rows(noisy("one", 0.9, 0.4), n=40, benchmark="small", stratum="x")
    large = rows(noisy("two", 0.7, 0.5), n=160, benchmark="large", kind="open")
    large = [replace(row, stratum="ab"[row.item < "i0060"]) for row in large]
    found = measure_reliance([*small, *large], How(n_draws=N_DRAWS))

    def value(level: str, measure: str, **where: str) -> float:
        (only,) = [
            each.value
            for each in found
            if (each.level, each.measure) == (level, measure)
            and all(getattr(each, name) == wanted for name, wanted in where.items())
        ]
        return only

    for measure in ("VRS", "A_orig", "IS", "MG"):
        of_small, of_large = (value("benchmark", measure, benchmark=name) for name in ("small", "large"))
        assert value("macro", measure, kind="all") == pytest.approx((of_small + of_large) / 2)
        assert value("micro", measure, kind="all") == pytest.approx((40 * of_small + 160 * of_large) / 200)
        of_a, of_b = (value("stratum", measure, stratum=name) for name in "ab")
        assert of_large == pytest.approx((100 * of_a + 60 * of_b) / 160)
        assert value("macro", measure, kind="open") == of_large
    # A ratio over all items is that of the sums; its mean over benchmarks is the mean of the ratios.
    sums = [value("micro", name, kind="all") for name in ("A_text", "A_orig")]
    assert value("micro", "RET_text", kind="all") == pytest.approx(sums[0] / sums[1])
    each = [value("benchmark", "RET_text", benchmark=name) for name in ("small", "large")]
    assert value("macro", "RET_text", kind="all") == pytest.approx(sum(each) / 2)
    assert not [row for row in found if row.level == "stratum" and row.benchmark == "small"]


def test_group_15_the_macro_mean_resamples_benchmarks_independently() -> None:
    one = rows(noisy("same", 0.8, 0.5), n=150, benchmark="one")
    two = [replace(row, benchmark="two") for row in one]
    narrow = measured([*one, *two], level="macro")["m", "VRS"]
    assert narrow.half_width / measured(one)["m", "VRS"].half_width == pytest.approx(2**-0.5, abs=0.07)
    ratio = measured([*one, *two], level="macro")["m", "nVRS"]
    assert ratio.half_width / measured(one)["m", "nVRS"].half_width == pytest.approx(2**-0.5, abs=0.09)


# --- 16 -------------------------------------------------------------------------------------------


def test_group_11_a_chance_level_of_zero_is_known_and_widens_nothing() -> None:
    given = rows(lambda at, _, __: f"g{at % 2}" if at < 6 else "?", per_cluster=1, chance=0.0)
    assert measured(given)["m", "nVRS"].value == 0.0, "a tenth right is resolved from chance 0"


@pytest.mark.parametrize("seed", range(10))
def test_group_16_hallucinated_reasoning_is_bounded_by_claims_and_by_answers_that_stay(seed: int) -> None:
    rng = random.Random(seed)
    given = [
        replace(row, claim=row.condition == "original" and rng.random() < 0.6)
        for row in rows(noisy(f"c{seed}", 0.7, 0.5), n=45, replicates=1 + seed % 2)
    ]
    found = {name: each.value for (_, name), each in measured(given, n_draws=20).items()}
    assert 0.0 < found["HVRR"] <= min(found["P_claim"], 1 - found["IS"]) + 1e-12
    assert found["HVRR_cond"] * found["P_claim"] == pytest.approx(found["HVRR"])


def test_group_16_published_joint_and_conditional_rates_agree() -> None:
    # Image training: HVRR 43 %, given a claim 61 %; so claims in 70.5 %, within the published 68 to 74 %.
    def answer(at: int, condition: str, _: int) -> str:
        return "g0" if condition == "original" or at < 430 else "g1"

    given = [
        replace(row, claim=int(row.item[1:]) < 705)
        for row in rows(answer, n=1000, conditions=("original", "mismatch"))
    ]
    found = measured(given, n_draws=200)
    assert found["m", "HVRR"].value == pytest.approx(0.43)
    assert found["m", "P_claim"].value == pytest.approx(0.43 / 0.61, abs=0.0005)
    assert found["m", "HVRR_cond"].value == pytest.approx(0.61, abs=0.0005)
    assert found["m", "HVRR"].claim_detector == "visual_words/v1"
    assert found["m", "VRS"].claim_detector == ""
    none = measured([replace(row, claim=False) for row in given], n_draws=50)
    assert math.isnan(none["m", "HVRR_cond"].value)
    assert none["m", "HVRR_cond"].flag == "no_claims"


@pytest.mark.parametrize(
    ("reply", "is_claim"),
    [
        ("yes", False),
        ("The image shows an enlarged heart.", True),
        ("There is a mass in the right upper lobe", True),
        ("It is a benign tumour of the skin", False),
        ("I cannot see a mass on the left side.", False),
        ("The left lung is the right answer here", True),
    ],
)
def test_group_16_the_default_detector_wants_words_about_what_is_seen(reply: str, is_claim: bool) -> None:
    assert VISUAL_WORDS.has_claim("Is there a tumour?", reply) is is_claim


def test_words_of_the_question_are_no_claim() -> None:
    assert not VISUAL_WORDS.has_claim("Is the left lung dark?", "yes the left lung is dark")


# --- beside the groups ----------------------------------------------------------------------------


def test_answers_that_change_for_no_reason_are_the_floor_of_the_change_rate() -> None:
    def answer(at: int, condition: str, replicate: int) -> str:
        if condition == "mismatch":
            return "g1" if at < 30 else "g0"
        return "g1" if replicate and at < 6 else "g0"

    given = rows(answer, n=60, conditions=("original", "mismatch"))
    again = [
        replace(row, replicate=1, s=0.0, valid=False, y=answer(int(row.item[1:]), "original", 1))
        for row in given
        if row.condition == "original"
    ]
    found = measured([*given, *again])
    assert found["m", "IS"].value == pytest.approx(0.5)
    assert found["m", "IS_retest"].value == pytest.approx(0.1)
    assert found["m", "IS_net"].value == pytest.approx(0.4)
    assert found["m", "A_orig"].value == measured(given)["m", "A_orig"].value, "a retest is no replicate"
    assert found["m", "valid_orig"].value == 1.0
    calm = measured([*given, *(replace(row, replicate=1) for row in given if row.condition == "original")])
    floor = calm["m", "IS_retest"]
    assert (floor.value, floor.low, floor.high) == (0.0, 0.0, 0.0)
    assert calm["m", "IS_net"].half_width == calm["m", "IS"].half_width
    assert ("m", "IS_net") not in measured(given)


def test_log_likelihoods_give_a_reliance_in_nats() -> None:
    given = [
        replace(row, log_likelihood=-0.5 if row.condition == "original" else -1.25 - int(row.item[1:]) % 2)
        for row in rows(noisy("ll", 0.8, 0.5))
    ]
    found = measured(given)["m", "VRS_ll"]
    assert found.value == pytest.approx(1.25)
    assert found.low < 1.25 < found.high
    part = [replace(row, log_likelihood=None) if row.item == "i0001" else row for row in given]
    assert ("m", "VRS_ll") not in measured(part)
    with pytest.raises(BenchmarkError, match="finite number"):
        measure_reliance([replace(row, log_likelihood=-math.inf) for row in given])


def test_the_ceiling_is_what_answering_by_the_shown_picture_would_reach() -> None:
    found = measured(rows(noisy("q", 0.9, 0.5), n=60, n_golds=2))
    assert found["m", "VRS_max"].value == pytest.approx(found["m", "A_orig"].value - 0.5)


@pytest.mark.data
def test_measured_answer_collisions_of_the_real_benchmarks(shared_data: Path) -> None:
    def collision(golds: Sequence[str]) -> float:
        given = [
            Row("m", f"i{at}", "b", "original", 0, 1.0, "", True, f"c{at}", gold=gold.strip().lower())
            for at, gold in enumerate(golds)
        ]
        return collision_of(tables_of(given)["b"])

    rad = json.loads((shared_data / "vqa_rad" / "testset.json").read_text(encoding="utf-8"))
    slake = json.loads((shared_data / "slake_text" / "test.json").read_text(encoding="utf-8"))
    closed, opened = (
        [str(row["answer"]) for row in rad if row["answer_type"] == kind] for kind in ("CLOSED", "OPEN")
    )
    assert collision(closed) == pytest.approx(0.428, abs=0.0005)
    assert collision(opened) == pytest.approx(0.014, abs=0.0005)
    english = [row["answer"] for row in slake if (row["q_lang"], row["answer_type"]) == ("en", "CLOSED")]
    assert collision(english) == pytest.approx(0.366, abs=0.0005)


def test_contrast_pairs_count_both_right_and_the_same_answer_to_both() -> None:
    # Golds alternate, so that i0 and i1, i0 and i3, ... are pairs; every item is its own cluster.
    given = rows(lambda at, _, __: "g0" if at < 4 else f"g{at % 2}", n=8, per_cluster=1)
    pairs = [(f"i{a:04d}", f"i{b:04d}") for a in range(8) for b in range(a + 1, 8) if (a + b) % 2]
    found = measure_reliance(given, How(pairs={"b": pairs}, n_draws=N_DRAWS))
    by_name = {
        each.measure: each for each in found if each.level == "benchmark" and each.donor_policy == "contrast"
    }
    right = {0, 2, 4, 5, 6, 7}
    both = sum(int(a[1:]) in right and int(b[1:]) in right for a, b in pairs) / len(pairs)
    said = {at: "g0" if at < 4 else f"g{at % 2}" for at in range(8)}
    alike = sum(said[int(a[1:])] == said[int(b[1:])] for a, b in pairs) / len(pairs)
    assert by_name["PairAcc"].value == pytest.approx(both)
    assert by_name["Collapse"].value == pytest.approx(alike)
    assert (by_name["PairAcc"].n, by_name["PairAcc"].n_clusters) == (16, 8)
    assert by_name["PairAcc"].low < both < by_name["PairAcc"].high
    blind = measure_reliance(rows(lambda *_: "g0", n=8, per_cluster=1), How(pairs={"b": pairs}, n_draws=50))
    values = {each.measure: each.value for each in blind if each.level == "benchmark"}
    assert (values["PairAcc"], values["Collapse"]) == (0.0, 1.0)
    for wrong in (("i0000", "i0002"), ("i0000", "gone")):
        with pytest.raises(BenchmarkError, match="no contrast pair"):
            measure_reliance(given, How(pairs={"b": [wrong]}, n_draws=50))


def test_pairs_are_weighted_by_how_often_a_draw_takes_both_their_clusters() -> None:
    names = [f"i{at}" for at in range(10)]
    clusters = {name: f"c{at // 2}" for at, name in enumerate(names)}
    pairs = [("i0", "i2"), ("i1", "i4"), ("i3", "i5"), ("i0", "i5"), ("i7", "i2"), ("i9", "i6")]
    values = dict(zip(pairs, (1.0, 0.0, 0.5, 0.25, 0.1, 0.9), strict=True))
    found = resample_pairs({"a": values}, clusters, key="k", seed=0, n_draws=40)["a"]
    ones = {f"n{at}": {name: float(clusters[name] == f"c{at}") for name in names} for at in range(5)}
    counts = resample(ones, clusters, key="k", seed=0, n_draws=40)
    assert found.value == pytest.approx(2.75 / 6)
    for draw in range(40):
        times = {f"c{at}": round(counts[f"n{at}"].draws[draw] * 5) for at in range(5)}
        weights = {pair: times[clusters[pair[0]]] * times[clusters[pair[1]]] for pair in pairs}
        total = sum(weights.values())
        if total:
            expected = sum(weights[pair] * values[pair] for pair in pairs) / total
            assert found.draws[draw] == pytest.approx(expected)
        else:
            assert math.isnan(found.draws[draw])
    with pytest.raises(ValueError, match="different clusters"):
        resample_pairs({"a": {("i0", "i1"): 1.0}}, clusters, key="k", seed=0)


def test_a_contrast_condition_is_measured_on_the_items_it_covers() -> None:
    given = rows(noisy("k", 0.8, 0.5), n=60)
    part = [
        row
        for row in rows(noisy("k", 0.8, 0.2), n=60, conditions=("mismatch_contrast",))
        if row.item < "i0030"
    ]
    found = measure_reliance([*given, *part], How(n_draws=200))
    of_part = {
        each.measure: each for each in found if each.donor_policy == "contrast" and each.level == "benchmark"
    }
    original = [row.s for row in given if row.condition == "original" and row.item < "i0030"]
    expected = sum(original) / 30 - sum(row.s for row in part) / 30
    assert (of_part["VRS"].n, of_part["VRS"].value) == (30, pytest.approx(expected))
    assert of_part["VRS_max"].value == of_part["A_mismatch"].value + of_part["VRS"].value, "no right answer"
    assert table(found)["m", "VRS"].n == 60
    assert len([each for each in item_reliance([*given, *part]) if each.donor_policy == "contrast"]) == 30
    other = [replace(row, model="n") for row in [*given, *part[:-1]]]
    with pytest.raises(BenchmarkError, match="different items"):
        measure_reliance([*given, *part, *other])


def test_every_row_says_how_it_was_made_and_survives_a_file(tmp_path: Path) -> None:
    given = rows(noisy("f", 0.8, 0.5), replicates=2) + rows(
        noisy("f", 0.8, 0.4), conditions=("mismatch_within_stratum",)
    )
    found = measure_reliance(given, How(n_draws=100, seed=3, scorers={"b": "accuracy_strict"}))
    assert {each.definition for each in found} == {DEFINITION} == {"acc_real_minus_mismatch/v1"}
    assert {(each.draws, each.seed) for each in found} == {(100, 3)}
    vrs = {each.donor_policy: each.replicates for each in found if each.measure == "VRS"}
    assert vrs == {"within_benchmark": 2, "within_stratum": 1}
    assert {each.donor_policy for each in found if each.measure in ("MG", "G_blank", "A_orig")} == {"none"}
    assert {each.scorer for each in found if each.level == "benchmark"} == {"accuracy_strict"}
    write_records(tmp_path / "reliance.parquet", found, Reliance)
    assert list(map(str, read_records(tmp_path / "reliance.parquet", Reliance))) == list(map(str, found))
    items = item_reliance(given)
    write_records(tmp_path / "items.parquet", items, ItemReliance)
    assert list(read_records(tmp_path / "items.parquet", ItemReliance)) == items
    whole = [each.d for each in items if each.donor_policy == "within_benchmark"]
    assert sum(whole) / len(whole) == pytest.approx(
        table(found)["m", "A_orig"].value
        - next(
            each.value
            for each in found
            if each.measure == "A_mismatch" and each.donor_policy == "within_benchmark"
        )
    )


def test_holm_is_over_benchmarks_and_measures_of_one_model() -> None:
    given = [
        *rows(noisy("h1", 0.8, 0.5), benchmark="one", conditions=("original", "mismatch", "blank")),
        *rows(noisy("h2", 0.7, 0.5), benchmark="two", conditions=("original", "mismatch", "blank")),
    ]
    found = [each for each in measure_reliance(given, How(n_draws=500)) if each.p is not None]
    assert {(each.benchmark, each.measure) for each in found} == {
        (benchmark, measure) for benchmark in ("one", "two") for measure in ("VRS", "G_blank")
    }
    smallest = min(found, key=lambda each: each.p or 0.0)
    assert smallest.p_holm == pytest.approx(min(1.0, 4 * (smallest.p or 0.0)))
    assert all((each.p_holm or 0.0) >= (each.p or 0.0) for each in found)


def test_the_smallest_detectable_difference_is_so_many_half_widths() -> None:
    found = measured(rows(noisy("mde", 0.8, 0.5)))["m", "VRS"]
    assert found.half_width == pytest.approx((found.high - found.low) / 2)
    assert found.mde / found.half_width == pytest.approx((1.959964 + 0.841621) / 1.959964, abs=1e-5)
    assert detectable(0.5) == pytest.approx(1.0)


# --- arms -----------------------------------------------------------------------------------------


def arm_rows(arm: str, skills: Sequence[float], n: int = 120, **fields: object) -> list[Row]:
    return [
        row
        for at, skill in enumerate(skills)
        for row in rows(noisy(f"{arm}{at}", skill, 0.5), n=n, model=f"{arm}{at}", **fields)
    ]


def test_an_arm_is_the_mean_of_its_seeds_and_its_interval_holds_their_spread() -> None:
    given = [*arm_rows("syn", (0.95, 0.75, 0.55)), *arm_rows("auth", (0.7, 0.7, 0.7))]
    arms = {name: [f"{name}{at}" for at in range(3)] for name in ("syn", "auth")}
    how = How(arms=arms, comparisons=(("syn", "auth"),), n_draws=4_000)
    found = measured(given, how)
    for name in ("VRS", "A_orig", "IS", "RET_text"):
        each = [found[f"syn{at}", name].value for at in range(3)]
        assert found["syn", name].value == pytest.approx(sum(each) / 3)
    difference = found["syn-auth", "dVRS"]
    assert difference.value == pytest.approx(found["syn", "VRS"].value - found["auth", "VRS"].value)
    assert (difference.n_seeds, found["syn", "VRS"].n_seeds, found["syn0", "VRS"].n_seeds) == (3, 3, 1)
    assert 0.0 < (difference.p or 0.0) <= 1.0
    # Seeds of 0.2 standard deviation add s^2 / 3 to the clusters' variance.
    assert found["syn", "VRS"].half_width > 1.5 * found["auth", "VRS"].half_width
    equal = measured([*given, *arm_rows("one", (0.7,))], replace(how, arms={**arms, "lone": ["one0"]}))
    assert equal["lone", "VRS"].flag == "one_seed"
    assert equal["lone", "VRS"].half_width == pytest.approx(equal["one0", "VRS"].half_width)


def test_the_spread_of_an_arm_is_that_of_a_mean_of_its_seeds() -> None:
    # All items alike within a seed: nothing but the seeds varies. Three of the four are drawn, put back,
    # which has the variance s^2 / 4 of a mean of four.
    marks = (0.2, 0.5, 0.8, 0.6)
    given = [
        replace(row, s=mark if row.condition == "original" else 0.1)
        for at, mark in enumerate(marks)
        for row in rows(noisy("x", 0.5, 0.5), n=12, model=f"m{at}")
    ]
    how = How(arms={"arm": [f"m{at}" for at in range(4)]}, n_draws=20_000)
    part = measured(given, how)["arm", "A_orig"]
    assert part.value == pytest.approx(np.mean(marks))
    means = [sum(drawn) / 3 for drawn in itertools.product(marks, repeat=3)]
    assert np.std(means) == pytest.approx(np.std(marks, ddof=1) / 2)
    assert (part.low, part.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-6)


def test_arms_draw_the_same_seeds_in_all_benchmarks() -> None:
    skills = (0.9, 0.7, 0.5)
    given = [
        replace(row, s=skills[at] if row.condition == "original" else 0.1)
        for at in range(3)
        for name in ("one", "two")
        for row in rows(noisy("x", 0.5, 0.5), n=12, model=f"m{at}", benchmark=name)
    ]
    how = How(arms={"arm": ["m0", "m1", "m2"]}, n_draws=2_000)
    single, macro = (
        measured(given[:0] + [row for row in given if row.benchmark == "one"], how),
        measured(given, how, level="macro"),
    )
    assert macro["arm", "A_orig"].half_width == pytest.approx(single["arm", "A_orig"].half_width)


@pytest.mark.parametrize("arms", [{"m": ["m"]}, {"arm": []}, {"arm": ["m", "gone"]}])
def test_arms_that_make_no_sense_are_refused(arms: dict[str, list[str]]) -> None:
    with pytest.raises(BenchmarkError, match="the arm"):
        measure_reliance(rows(noisy("x", 0.5, 0.5)), How(arms=arms))


# --- from records ---------------------------------------------------------------------------------


def test_rows_come_from_items_predictions_and_the_primary_scores() -> None:
    found = from_records(
        {"original": "Yes, the image shows it.", "mismatch.1": "no", "text_only": "?"},
        chance={("b", "i1"): 0.3},
        log_likelihood={("b", "i0", "m", "mismatch.1"): -2.0},
    )
    by_key = {(row.item, row.condition, row.replicate): row for row in found}
    assert len(by_key) == len(found) == 12
    first = by_key["i0", "original", 0]
    assert (first.y, first.claim, first.chance, first.gold, first.cluster) == ("yes", True, 0.5, "yes", "c0")
    assert by_key["i1", "original", 0].chance == 0.3
    assert by_key["i0", "mismatch", 1].log_likelihood == -2.0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"primary": {}}, "no primary scorer"),
        ({"predictions": []}, "no question or no reply"),
        ({"parts": (1.0, 2.0)}, "no mean of the items"),
    ],
)
def test_records_that_do_not_fit_are_refused(spoil: dict[str, object], said: str) -> None:
    asked = Item("a", "b", "?", None, "closed", ("yes",), (), "c")
    predictions = spoil.get("predictions", [Prediction("a", "b", "m", "original", None, "yes", "stop")])
    marked = Score("a", "b", "m", "original", "s", 1.0, True, "", "c", spoil.get("parts", ()))
    with pytest.raises(BenchmarkError, match=said):
        rows_of([asked], predictions, [marked], spoil.get("primary", {"b": "s"}), Reading(normalised_answer))


def test_the_vector_is_measured_where_its_conditions_are_given() -> None:
    llm = [replace(row, model="llm") for row in rows(noisy("v", 0.3, 0.3), conditions=("text_only",))]
    again = [replace(row, replicate=1) for row in rows(noisy("v", 0.9, 0.5), conditions=("original",))]
    found = measured([*rows(noisy("v", 0.9, 0.5)), *again, *llm], base_llm="llm")
    assert all(("m", name) in found for name in VECTOR)


@pytest.mark.data
def test_the_real_vqa_rad_test_set_under_eight_conditions(shared_data: Path, tmp_path: Path) -> None:
    # An oracle that answers by the question and the picture shown; blind where it never saw the pair.
    from acclimate.engines.fake import FakeEngine
    from acclimate.engines.protocol import Request
    from acclimate.evaluate.conditions import left_out
    from acclimate.evaluate.donors import contrast_pairs
    from acclimate.evaluate.load import load_benchmark
    from acclimate.evaluate.stage import EvaluateConfig, predict, primary_by_benchmark, score
    from acclimate.files import ImageStore

    spec = {
        "name": "vqa_rad",
        "version": 1,
        "file": str(shared_data / "vqa_rad" / "testset.json"),
        "image_root": str(shared_data / "vqa_rad" / "images"),
        "columns": {
            "id": "qid",
            "image": "image_name",
            "question": "question",
            "answer": "answer",
            "stratum": "image_organ",
        },
        "kind": {"column": "answer_type", "values": {"OPEN": "open", "CLOSED": "closed"}},
    }
    (tmp_path / "vqa_rad.yaml").write_text(json.dumps(spec), encoding="utf-8")
    store = ImageStore(tmp_path / "store")
    items = load_benchmark(tmp_path / "vqa_rad.yaml", store).items
    gold = {(" ".join(each.question.casefold().split()), each.image): each.gold[0] for each in items}

    def oracle(request: Request) -> str:
        (message,) = request.messages
        shown = message.images[0] if message.images else None
        return gold.get((" ".join(message.text.casefold().split()), shown), "I cannot tell")

    conditions = (
        *("original", "original.1", "mismatch", "mismatch.1", "mismatch_within_stratum"),
        *("mismatch_contrast", "blank", "text_only"),
    )
    config = EvaluateConfig(conditions=conditions)
    predictions = list(predict(items, FakeEngine(oracle), config, model="m", store=store, log=None))
    primary = primary_by_benchmark(items)
    given = rows_of(items, predictions, score(items, predictions), primary, Reading(normalised_answer))
    pairs = {name: contrast_pairs([each for each in items if each.benchmark == name]) for name in primary}
    found = measure_reliance(given, How(pairs=pairs, scorers=primary, n_draws=500))
    values = {
        (each.level, each.benchmark, each.measure, each.donor_policy): each
        for each in found
        if not each.stratum
    }
    for name in primary:
        assert values["benchmark", name, "A_orig", "none"].value == 1.0
        assert values["benchmark", name, "A_text", "none"].value == 0.0
        assert values["benchmark", name, "IS_retest", "none"].value == 0.0
        assert values["benchmark", name, "VRS", "within_benchmark"].value > 0.9
        assert values["benchmark", name, "VRS", "within_stratum"].value > 0.9
        asked = {row.item for row in given if (row.benchmark, row.condition) == (name, "mismatch_contrast")}
        assert len(asked) == sum(each.benchmark == name for each in items) - left_out(items, conditions)[
            "mismatch_contrast"
        ].get(name, 0)
        contrast = values["benchmark", name, "IS", "contrast"]
        assert (contrast.n, contrast.value) == (len(asked), 1.0), "it answers by the picture shown"
        assert values["benchmark", name, "PairAcc", "contrast"].value == 1.0
        assert values["benchmark", name, "Collapse", "contrast"].value == 0.0
    (macro,) = [
        each
        for each in found
        if (each.level, each.kind, each.measure, each.donor_policy)
        == ("macro", "all", "VRS", "within_benchmark")
    ]
    assert macro.n == 451


@pytest.mark.parametrize(("n_seeds", "at_least", "at_most"), [(1, 0.0, 0.5), (3, 0.8, 1.0)])
def test_three_seeds_cover_a_difference_that_varies_with_the_seed_and_one_does_not(
    n_seeds: int, at_least: float, at_most: float
) -> None:
    rng = np.random.default_rng(0)
    n_clusters, n_worlds, held = 60, 80, 0
    clusters = {f"q{at:03d}": f"c{at // 2:03d}" for at in range(2 * n_clusters)}
    for world in range(n_worlds):
        luck = rng.normal(0, 0.05, size=n_clusters).repeat(2)
        given = []
        for arm, truth in (("x", 0.6), ("y", 0.5)):
            for seed in range(n_seeds):
                marks = np.clip(
                    truth + rng.normal(0, 0.06) + luck + rng.normal(0, 0.05, size=len(luck)), 0, 1
                )
                given += [
                    Row(f"{arm}{seed}", name, "b", "original", 0, float(s), "", True, cluster)
                    for (name, cluster), s in zip(clusters.items(), marks, strict=True)
                ]
        arms = {arm: [f"{arm}{seed}" for seed in range(n_seeds)] for arm in ("x", "y")}
        how = How(arms=arms, comparisons=(("x", "y"),), seed=world, n_draws=300)
        found = measured(given, how)["x-y", "dA_orig"]
        held += found.low <= 0.1 <= found.high
    assert at_least <= held / n_worlds <= at_most


def test_a_definitions_chance_stands_in_where_the_kind_does_not_tell():
    items = [
        Item("q", "short", "What?", None, "open", ("a",), (), "c"),
        Item("q", "yesno", "Is it?", None, "closed", ("yes",), (), "c"),
        Item("q", "unknown", "What?", None, "open", ("a",), (), "c"),
    ]
    names = [each.benchmark for each in items]
    told = [Prediction("q", name, "m", "original", None, "a", "stop") for name in names]
    scores = [Score("q", name, "m", "original", "exact", 1.0, True, "", "c") for name in names]
    found = readable(items, told, scores, dict.fromkeys(names, "exact"), chance={"short": 0.2, "yesno": 0.3})
    chance = {row.benchmark: row.chance for row in found.rows}
    assert (chance["short"], chance["yesno"]) == (0.2, 0.5)
    assert math.isnan(chance["unknown"])
    summed = [replace(each, parts=(1.0, 2.0)) if each.benchmark == "short" else each for each in scores]
    left = readable(items, told, summed, dict.fromkeys(names, "exact"))
    assert left.left_out == ("short",) and set(left.scorers) == {"yesno", "unknown"}
