"""Robustness: what corrupted pictures cost a score, the words for several corruptions, and the tables."""

import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from acclimate.cli_evaluate import scores_text
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import Request
from acclimate.engines.spec import EngineExecution
from acclimate.errors import BenchmarkError
from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.conditions import GROUPS as WORDS
from acclimate.evaluate.conditions import expanded, is_corruption, unknown_conditions
from acclimate.evaluate.corruptions import CORRUPTIONS, EXTRA, IMAGENET_C, SEVERITIES
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.stage import EvaluateConfig, in_order, predict
from acclimate.evaluate.stage import score as scored
from acclimate.files import ImageStore, read_records
from acclimate.lab.render import write_caption_benchmark
from acclimate.lab.world import GENERAL
from acclimate.records import Score
from acclimate.report.reliance import Reliance
from acclimate.report.robustness import FAMILIES, How, Robustness, corruption_of, measure_robustness
from acclimate.robustness_scoring import write_robustness
from acclimate.scoring import score_checkpoint, score_predictions

N_DRAWS = 1_000
ALL_95 = [f"{name}_{severity}" for name in CORRUPTIONS for severity in SEVERITIES]
Value = Callable[[int, str], float]
"""From the item's number and the condition."""
Found = dict[tuple[str, str, str, int], Robustness]


def scores(
    value: Value,
    conditions: Sequence[str],
    n: int = 40,
    *,
    model: str = "m",
    benchmark: str = "b",
    scorer: str = "accuracy_strict",
    per_cluster: int = 2,
    parts: Callable[[int, str], tuple[float, ...]] = lambda _, __: (),
) -> list[Score]:
    return [
        Score(
            item_id=f"i{at:03d}",
            benchmark=benchmark,
            model=model,
            condition=condition,
            scorer=scorer,
            value=value(at, condition),
            parsed=True,
            reason="",
            cluster=f"c{at // per_cluster:03d}",
            parts=parts(at, condition),
        )
        for condition in conditions
        for at in range(n)
    ]


def measured(
    given: Iterable[Score], *comparisons: tuple[str, str], level: str = "benchmark", **primary: str
) -> Found:
    """By model, measure, corruption and severity, of the primary scorer."""
    names = primary or {"b": "accuracy_strict"}
    found = measure_robustness(given, names, How(comparisons=comparisons, n_draws=N_DRAWS))
    return {
        (each.model, each.measure, each.corruption, each.severity): each
        for each in found
        if each.level == level and each.is_primary
    }


def share_right(**by_condition: int) -> Value:
    """Right on the first so many of 40 items; under other conditions on none."""
    return lambda at, condition: float(at < by_condition.get(condition, 0))


def noisy(seed: str, **chance: float) -> Value:
    """Right with a condition's chance; `others` for those that are not named."""

    def value(at: int, condition: str) -> float:
        share = chance.get(condition, chance.get("others", 0.0))
        return float(random.Random(f"{seed}/{at}/{condition}").random() < share)

    return value


# --- measures -------------------------------------------------------------------------------------


def test_drops_and_their_means_are_those_worked_out_by_hand() -> None:
    right = {"original": 32, "fog_1": 28, "fog_3": 20, "snow_3": 16, "contrast_3": 8}
    found = measured(scores(share_right(**right), list(right)))
    expected = {
        ("score", "original", 0): 0.8,
        ("score", "fog", 1): 0.7,
        ("drop", "fog", 1): 0.1,
        ("relative_drop", "fog", 1): 0.125,
        ("relative_drop", "fog", 3): 0.375,
        ("relative_drop", "fog", 0): 0.25,  # mean over severities 1 and 3
        ("relative_drop", "snow", 0): 0.5,
        ("relative_drop", "contrast", 3): 0.75,
        ("relative_drop", "weather", 0): 0.375,  # mean of fog's 0.25 and snow's 0.5, not of three conditions
        ("relative_drop", "digital", 0): 0.75,
        ("relative_drop", "all", 1): 0.125,
        ("relative_drop", "all", 3): (0.375 + 0.5 + 0.75) / 3,
        ("relative_drop", "all", 0): 0.5,
        ("drop", "all", 0): 0.4,
        ("score", "all", 0): 0.4,
    }
    for key, value in expected.items():
        assert found["m", *key].value == pytest.approx(value), key
    assert not {key for key in found if key[2] in ("noise", "blur", "extra", "imagenet_c", "all_19")}
    each = found["m", "relative_drop", "all", 0]
    assert (each.n_corruptions, each.n_conditions, each.severities) == (3, 4, "1,3")
    assert (each.n, each.n_clusters, each.n_benchmarks, each.flag) == (40, 20, 1, "")
    assert each.low < each.value < each.high


def test_the_ratio_is_computed_anew_in_every_draw_of_whole_clusters() -> None:
    """Against a bootstrap written out here, with other random numbers."""
    value = noisy("boot", original=0.6, fog_3=0.3)
    given = scores(value, ["original", "fog_3"], n=200, per_cluster=5)
    each = measured(given)["m", "relative_drop", "fog", 3]
    clusters = np.array(
        [
            [sum(value(5 * at + i, condition) for i in range(5)) for condition in ("original", "fog_3")]
            for at in range(40)
        ]
    )
    rng = np.random.default_rng(1)
    sums = np.array([clusters[rng.integers(40, size=40)].sum(axis=0) for _ in range(4_000)])
    low, high = np.quantile(1 - sums[:, 1] / sums[:, 0], [0.025, 0.975])
    assert (each.low, each.high) == pytest.approx((low, high), abs=0.02)
    # With the denominator held fixed it would be another interval.
    fixed = np.quantile((sums[:, 0] - sums[:, 1]) / clusters[:, 0].sum(), [0.025, 0.975])
    assert abs((fixed[1] - fixed[0]) - (high - low)) > 0.03


def test_the_15_and_the_19_stand_only_where_none_is_missing() -> None:
    of_15 = [f"{name}_3" for name in IMAGENET_C]
    value = noisy("whole", original=0.9, others=0.5)
    found = measured(scores(value, ["original", *of_15]))
    each = found["m", "relative_drop", "imagenet_c", 3]
    assert (each.n_corruptions, each.n_conditions) == (15, 15)
    assert each.value == pytest.approx(found["m", "relative_drop", "all", 3].value)
    assert ("m", "relative_drop", "imagenet_c", 0) not in found, "four severities are missing"
    assert ("m", "relative_drop", "all_19", 3) not in found
    assert ("m", "relative_drop", "imagenet_c", 3) not in measured(scores(value, ["original", *of_15[1:]]))
    found = measured(scores(value, ["original", *ALL_95]))
    wholes = [found["m", "relative_drop", group, 0] for group in ("imagenet_c", "all_19", "all")]
    assert [(each.n_corruptions, each.n_conditions) for each in wholes] == [(15, 75), (19, 95), (19, 95)]
    assert wholes[0].value != wholes[1].value == wholes[2].value
    means = [found["m", "relative_drop", name, 0].value for name in IMAGENET_C]
    assert wholes[0].value == pytest.approx(math.fsum(means) / 15)


def test_families_are_those_of_the_corruptions_and_names_are_read_as_they_are_written() -> None:
    assert {f"corruptions:{name}": members for name, members in FAMILIES.items()} == {
        name: members for name, members in WORDS.items() if name not in ("corruptions", "corruptions:15")
    }
    assert tuple(name for members in FAMILIES.values() for name in members) == CORRUPTIONS
    assert [corruption_of(each) for each in ALL_95] == [
        (name, severity) for name in CORRUPTIONS for severity in SEVERITIES
    ]
    for other in ("original", "blank", "fog", "fog_6", "fog_3.1", "patch_shuffle", "blank_3", "noise"):
        assert corruption_of(other) is None
        assert not is_corruption(other)


@pytest.mark.parametrize(("n_right", "flag"), [(0, "no_original_score"), (1, "original_not_resolved_from_0")])
def test_a_relative_drop_is_not_defined_where_there_may_be_nothing_to_lose(n_right: int, flag: str) -> None:
    found = measured(scores(share_right(original=n_right, fog_1=1), ["original", "fog_1"]))
    each = found["m", "relative_drop", "fog", 1]
    assert math.isnan(each.value)
    assert math.isnan(each.low)
    assert (each.flag, each.method) == (flag, "undefined")
    assert found["m", "drop", "fog", 1].value == pytest.approx((n_right - 1) / 40)


def test_a_single_cluster_has_a_relative_drop_but_no_interval() -> None:
    given = scores(share_right(original=40, fog_1=30), ["original", "fog_1"], per_cluster=40)
    each = measured(given)["m", "relative_drop", "fog", 1]
    assert each.value == pytest.approx(0.25)
    assert math.isnan(each.low)
    assert math.isnan(each.high)
    assert each.flag == each.method == "one_cluster"


def test_a_model_that_loses_nothing_has_a_drop_of_0_that_says_so() -> None:
    each = measured(scores(lambda at, _: float(at % 3 > 0), ["original", "fog_1"]))
    for name in ("drop", "relative_drop"):
        row = each["m", name, "fog", 1]
        assert (row.value, row.low, row.high, row.flag) == (0.0, 0.0, 0.0, "no_variation")


def test_a_rise_is_a_negative_drop() -> None:
    found = measured(scores(share_right(original=20, saturate_3=30), ["original", "saturate_3"]))
    assert found["m", "relative_drop", "extra", 0].value == pytest.approx(-0.5)


# --- other metrics --------------------------------------------------------------------------------


def test_cider_goes_to_ten_and_is_not_averaged_with_fractions() -> None:
    def cider(at: int, condition: str) -> float:
        return (8.0 if condition == "original" else 2.0) + at % 3 / 2

    given = scores(cider, ["original", "fog_5"], benchmark="caps", scorer="cider_d_strict")
    given += scores(share_right(original=32, fog_5=24), ["original", "fog_5"], benchmark="vqa")
    names = {"caps": "cider_d_strict", "vqa": "accuracy_strict"}
    found = measure_robustness(given, names, How(n_draws=N_DRAWS))
    by_key = {(each.benchmark, each.measure): each for each in found if each.corruption == "fog"}
    assert by_key["caps", "drop"].value == pytest.approx(6.0)
    share = 6.0 / (8.0 + math.fsum(at % 3 / 2 for at in range(40)) / 40)
    assert by_key["caps", "relative_drop"].value == pytest.approx(share)
    macro = by_key["all", "relative_drop"]
    assert macro.value == pytest.approx((share + 0.25) / 2)
    assert (macro.level, macro.n_benchmarks, macro.n, macro.scorer) == ("macro", 2, 80, "")
    assert ("all", "drop") not in by_key
    assert ("all", "score") not in by_key


def test_a_metric_of_summed_parts_is_computed_over_the_corpus() -> None:
    def parts(at: int, condition: str) -> tuple[float, ...]:
        return (float(at), 10.0 + at) if condition == "original" else (float(at) / 2, 10.0 + at)

    given = scores(lambda _, __: 0.9, ["original", "fog_5"], scorer="f1_strict", parts=parts)
    found = measured(given, b="f1_strict")
    total = sum(range(40)) / (400 + sum(range(40)))
    assert found["m", "score", "original", 0].value == pytest.approx(total)
    each = found["m", "relative_drop", "fog", 5]
    assert each.value == pytest.approx(0.5)
    assert each.low == pytest.approx(0.5), "numerators are halved in every draw"


def test_several_scorers_of_a_benchmark_stand_side_by_side_and_losses_of_side_ones_are_counted() -> None:
    value = noisy("side", original=0.9, others=0.5)
    given = scores(value, ["original", "fog_1"])
    beside = scores(value, ["original", "fog_1"], scorer="f1_strict")[:-4]  # four items less under fog
    found = measure_robustness([*given, *beside], {"b": "accuracy_strict"}, How(n_draws=N_DRAWS))
    own = {each.scorer: each for each in found if (each.measure, each.corruption) == ("relative_drop", "fog")}
    assert [(name, each.n, each.n_lost, each.is_primary) for name, each in own.items()] == [
        ("accuracy_strict", 40, 0, True),
        ("f1_strict", 36, 4, False),
    ]
    with pytest.raises(BenchmarkError, match="cover different items"):
        measure_robustness(given[:-4], {"b": "accuracy_strict"})


def test_other_conditions_and_the_order_of_scores_change_nothing() -> None:
    conditions = ["original", "fog_1", "frost_2"]
    value = noisy("order", original=0.9, others=0.5)
    found = measured(scores(value, conditions))
    more = scores(value, [*conditions, "original.1", "blank", "mismatch.2", "noise"])
    assert measured(random.Random(0).sample(more, len(more))) == found
    # Nor does another corruption change what a row about one says, to the last bit.
    wider = measured(scores(value, [*conditions, "snow_4"]))
    assert wider["m", "relative_drop", "fog", 1] == found["m", "relative_drop", "fog", 1]
    assert measure_robustness(scores(value, ["original", "blank"]), {"b": "accuracy_strict"}) == []
    assert measure_robustness(scores(value, ["fog_1"]), {"b": "accuracy_strict"}) == []


def test_a_benchmark_without_a_primary_scorer_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="no primary scorer is named for benchmark b"):
        measure_robustness(scores(lambda _, __: 1.0, ["original", "fog_1"]), {"c": "accuracy_strict"})


# --- several benchmarks, two models ---------------------------------------------------------------


def test_the_macro_mean_weighs_benchmarks_alike_and_needs_all_of_them() -> None:
    conditions = ["original", "fog_1"]
    given = scores(share_right(original=32, fog_1=24), conditions, benchmark="b")
    given += scores(share_right(original=8, fog_1=4), conditions, 10, benchmark="c")
    names = {"b": "accuracy_strict", "c": "accuracy_strict"}
    each = measured(given, level="macro", **names)["m", "relative_drop", "all", 0]
    assert each.value == pytest.approx((0.25 + 0.5) / 2)
    assert each.low < each.value < each.high
    assert (each.n_benchmarks, each.n, each.n_clusters) == (2, 50, 25)
    given += scores(share_right(original=0), conditions, 10, benchmark="d")
    each = measured(given, level="macro", **names, d="accuracy_strict")["m", "relative_drop", "all", 0]
    assert math.isnan(each.value)
    assert each.flag == "no_original_score"


def test_two_models_are_compared_in_pairs() -> None:
    conditions = ["original", "fog_1", "fog_2"]
    value = noisy("pair", original=0.8, others=0.4)
    given = scores(value, conditions, model="adapted") + scores(value, conditions, model="base")
    each = measured(given, ("adapted", "base"))["adapted-base", "drelative_drop", "fog", 0]
    assert (each.value, each.low, each.high) == (0.0, 0.0, 0.0)

    def better(at: int, condition: str) -> float:
        return max(value(at, condition), float(condition != "original" and at % 4 == 0))

    given = scores(better, conditions, 200, model="adapted") + scores(value, conditions, 200, model="base")
    found = measured(given, ("adapted", "base"))
    own = [found[name, "relative_drop", "fog", 0] for name in ("adapted", "base")]
    each = found["adapted-base", "drelative_drop", "fog", 0]
    assert each.value == pytest.approx(own[0].value - own[1].value)
    assert each.high < 0.0
    assert each.high - each.low < sum(row.high - row.low for row in own)
    dropped = found["adapted-base", "ddrop", "fog", 0].value
    assert dropped == pytest.approx(
        sum(found[m, "drop", "fog", 0].value * s for m, s in (("adapted", 1), ("base", -1)))
    )


def test_conditions_that_only_one_model_has_are_not_compared() -> None:
    value = noisy("only", original=0.8, others=0.4)
    given = scores(value, ["original", "fog_1", "fog_2"], model="a")
    given += scores(value, ["original", "fog_1"], model="b")
    found = measured(given, ("a", "b"))
    compared = {(key[2], key[3]) for key in found if key[:2] == ("a-b", "drelative_drop")}
    assert compared == {("fog", 1), ("weather", 1), ("all", 1)}
    assert found["a-b", "CE", "fog", 0].severities == "1"


def test_mce_is_the_papers_ratio_of_summed_errors() -> None:
    conditions = ["original", "fog_1", "fog_2", "snow_1"]
    first = share_right(original=36, fog_1=32, fog_2=28, snow_1=30)
    second = share_right(original=32, fog_1=24, fog_2=16, snow_1=20)
    given = scores(first, conditions, model="a") + scores(second, conditions, model="b")
    found = measured(given, ("a", "b"))
    # Errors of 40: fog 8 + 12 over 16 + 24, snow 10 over 20; less 4 and 8 on originals each.
    assert found["a-b", "CE", "fog", 0].value == pytest.approx(20 / 40)
    assert found["a-b", "relative_CE", "fog", 0].value == pytest.approx((20 - 8) / (40 - 16))
    assert found["a-b", "relative_CE", "snow", 0].value == pytest.approx(6 / 12)
    assert found["a-b", "mCE", "all", 0].value == pytest.approx(0.5)
    assert found["a-b", "relative_mCE", "weather", 0].value == pytest.approx((0.5 + 0.5) / 2)
    each = found["a-b", "mCE", "all", 0]
    assert each.low < each.value < each.high
    given = scores(first, conditions, model="a") + scores(lambda _, __: 1.0, conditions, model="b")
    each = measured(given, ("a", "b"))["a-b", "mCE", "all", 0]
    assert math.isnan(each.value)
    assert each.flag == "reference_not_resolved_from_0"
    wide = scores(lambda at, _: 5.0 + at % 2, conditions, model="a", scorer="cider_d_strict")
    wide += scores(lambda at, _: 5.0 + at % 2, conditions, model="b", scorer="cider_d_strict")
    assert not {key[1] for key in measured(wide, ("a", "b"), b="cider_d_strict")} & {"CE", "mCE"}


# --- words for several corruptions ----------------------------------------------------------------


def test_one_word_stands_for_several_corruptions_and_is_written_out() -> None:
    for word, meant in (
        ("fog", [f"fog_{severity}" for severity in SEVERITIES]),
        ("fog_3", ["fog_3"]),
        ("corruptions", ALL_95),
        ("corruptions:15", ALL_95[:75]),
        ("corruptions_3", [f"{name}_3" for name in CORRUPTIONS]),
        ("corruptions:15_5", [f"{name}_5" for name in IMAGENET_C]),
        ("corruptions:noise_1", ["gaussian_noise_1", "shot_noise_1", "impulse_noise_1"]),
        ("corruptions:extra_2", [f"{name}_2" for name in EXTRA]),
        ("noise", ["noise"]),  # a condition of its own
        ("blank", ["blank"]),
    ):
        assert list(expanded([word])) == meant
        assert list(EvaluateConfig(conditions=(word,)).conditions) == meant
    assert expanded(["original", "fog_2", "fog", "original"]) == (
        "original",
        "fog_2",
        "fog_1",
        "fog_3",
        "fog_4",
        "fog_5",
    )
    assert all(condition in CORRUPTIONS or not is_corruption(condition) for condition in WORDS)


def test_identity_is_that_of_the_list_written_out() -> None:
    short = EvaluateConfig(conditions=("original", "corruptions:blur_2"))
    long = EvaluateConfig.model_validate(
        {
            "conditions": ["original", *WORDS["corruptions:blur"]][:1]
            + [f"{name}_2" for name in WORDS["corruptions:blur"]]
        }
    )
    assert short == long
    assert short.model_dump_json() == long.model_dump_json()


def test_a_misspelt_word_is_refused_with_the_nearest_and_other_kinds_of_value_as_before() -> None:
    for word, nearest in (
        ("corruption", "corruptions"),
        ("corruptions:blurr", "corruptions:blur"),
        ("fogg", "fog"),
    ):
        with pytest.raises(ValidationError, match=f"nearest known one is '{nearest}'"):
            EvaluateConfig(conditions=(word,))
    assert "corruptions:15" in unknown_conditions(["12345"])[0]
    for wrong in ("fog", [1], None):
        with pytest.raises(ValidationError):
            EvaluateConfig.model_validate({"conditions": wrong})


# --- through the doors ----------------------------------------------------------------------------


def caption_bench(folder: Path, n: int = 12) -> tuple[Path, dict[str, str]]:
    """Write a caption benchmark; return its YAML and the gold captions by item."""
    path = write_caption_benchmark(folder, GENERAL[0], n, 0)
    rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return path, {row["id"]: row["answer"] for row in rows}


def test_a_caption_benchmark_under_corruptions_has_the_cider_drop_in_its_table(tmp_path: Path) -> None:
    path, gold = caption_bench(tmp_path / "bench")

    def reply(request: Request) -> str:
        _, item, condition = request.id.split("/")
        return gold[item] if condition == "original" else " ".join(gold[item].split()[:4])

    result = score_checkpoint(
        Path(__file__).parents[1] / "src/acclimate/lab/weights/general-mllm",
        [path],
        tmp_path / "out",
        config=EvaluateConfig(conditions=("original", "blank", "contrast_1", "corruptions:digital_3")),
        execution=EngineExecution(),
        substitute=lambda _: FakeEngine(reply),
    )
    rows = {(each["scorer"], each["corruption"], each["severity"]): each for each in result["robustness"]}
    cider = rows["cider_d_strict", "all", 0]
    assert 0.3 < cider["low"] <= cider["value"] <= cider["high"] <= 1.0
    assert (cider["n_corruptions"], cider["n_conditions"]) == (4, 5)
    assert {key[1:] for key in rows} == {("all", 0), ("all", 1), ("all", 3), ("digital", 0)}
    every = {
        (each.scorer, each.corruption, each.severity): each
        for each in read_records(tmp_path / "out" / "robustness.parquet", Robustness)
        if each.measure == "relative_drop"
    }
    assert every["cider_d_strict", "pixelate", 3].value == pytest.approx(cider["value"])
    assert {"bleu_4_strict", "rouge_l_strict"} < {key[0] for key in every}
    text = scores_text(result)
    line = next(each for each in text.splitlines() if "cider_d_strict" in each and " all " in each)
    assert f"{cider['value']:.3f}" in line
    assert "contrast_1" not in text, "95 of them would bury the scores"
    assert "contrast_1" in result["measurements"]["kites_captions"]
    # Reliance is about the other conditions: its p values are not adjusted for corruptions.
    measures = {each.measure for each in read_records(tmp_path / "out" / "reliance.parquet", Reliance)}
    assert "G_blank" in measures
    assert not any("contrast" in name or "pixelate" in name for name in measures)


def test_two_files_of_predictions_under_corruptions_are_compared(tmp_path: Path) -> None:
    path, gold = caption_bench(tmp_path / "bench")
    for name, n_words in (("new", 6), ("old", 2)):
        rows = [
            {
                "id": item,
                "condition": condition,
                "text": text if condition == "original" else " ".join(text.split()[:n_words]),
            }
            for condition in ("original", "fog_1", "fog_4")
            for item, text in gold.items()
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = score_predictions([tmp_path / "new.jsonl", tmp_path / "old.jsonl"], [path], tmp_path / "out")
    difference = [each for each in result["robustness"] if each["measure"] == "drelative_drop"]
    assert difference
    assert all(each["high"] < 0.0 for each in difference)
    assert "drelative_drop all" in scores_text(result)
    alone = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines()][len(gold) :]
    (tmp_path / "alone.jsonl").write_text("".join(json.dumps(row) + "\n" for row in alone))
    result = score_predictions([tmp_path / "alone.jsonl"], [path], tmp_path / "out2")
    assert result["robustness"] == []
    assert "ask under the condition original too" in scores_text(result)


def test_severities_are_shown_where_there_are_several(tmp_path: Path) -> None:
    for conditions, shown in ((["fog_2", "snow_2"], {0}), (["fog_2", "fog_4"], {0, 2, 4})):
        given = scores(noisy("shown", original=0.9, others=0.5), ["original", *conditions])
        rows = write_robustness(given, {"b": "accuracy_strict"}, tmp_path)
        assert {each["severity"] for each in rows if each["corruption"] == "all"} == shown
        assert {each["severity"] for each in rows if each["corruption"] != "all"} == {0}


def test_nothing_is_written_where_no_picture_was_corrupted(tmp_path: Path) -> None:
    given = scores(share_right(original=20), ["original", "blank"])
    assert write_robustness(given, {"b": "accuracy_strict"}, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


# --- real data ------------------------------------------------------------------------------------

CHEAP = ("original", "original.1", "mismatch", "blank", "text_only")


@pytest.mark.data
@pytest.mark.parametrize(
    "conditions",
    [CHEAP, pytest.param(("noise", "patch_shuffle", "gaussian_noise_3"), marks=pytest.mark.slow)],
)
def test_every_condition_covers_all_of_the_real_vqa_rad_test_set(
    shared_data: Path, tmp_path: Path, conditions: tuple[str, ...]
) -> None:
    store = ImageStore(tmp_path)
    loaded = load_benchmark(locate("vqa_rad", data=shared_data), store)
    own = {(each.benchmark, each.id): each for each in loaded.items}
    config = EvaluateConfig(conditions=conditions)
    answers = predict(loaded.items, FakeEngine(lambda _: "yes"), config, model="m", store=store, log=None)
    predictions = in_order(answers, loaded.items, conditions)
    by_condition = {name: [each for each in predictions if each.condition == name] for name in conditions}
    assert {name: len(each) for name, each in by_condition.items()} == dict.fromkeys(conditions, 451)
    assert len({each.cluster for each in loaded.items}) == 203
    for each in predictions:
        image = own[each.benchmark, each.item_id].image
        assert image is not None
        if each.condition == "text_only":
            assert each.image is None
        elif each.condition.startswith("original"):
            assert each.image == image
        else:
            assert each.image is not None
            assert each.image.sha256 != image.sha256
    if "mismatch" in conditions:
        # The donors of each benchmark are its own questions, each shown once.
        for name in ("vqa_rad_closed", "vqa_rad_open"):
            shown = [each.image for each in by_condition["mismatch"] if each.benchmark == name]
            held = [each.image for each in loaded.items if each.benchmark == name]
            assert sorted(map(str, shown)) == sorted(map(str, held))
        found = list(scored(loaded.items, predictions, loaded.scorers_by_benchmark))
        closed = [each for each in found if each.scorer == "accuracy_strict" and each.condition == "blank"]
        n_open = len({each.item_id for each in found if each.benchmark == "vqa_rad_open"})
        assert (len(closed), n_open) == (272, 179)
        assert len({each.cluster for each in found}) == 203
