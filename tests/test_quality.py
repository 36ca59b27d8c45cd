"""Quality: types and levels by a judge, measures with intervals, pages, and sheets that people fill in."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from acclimate.curate.intervals import (
    Draws,
    distinct_difference,
    distinct_span,
    mean_difference,
    mean_span,
)
from acclimate.curate.quality import Quality, QualityConfig, write_quality
from acclimate.curate.quality_agreement import write_agreement
from acclimate.curate.quality_judge import View, image_domains, rated
from acclimate.curate.quality_measures import effective_number
from acclimate.curate.quality_pages import text_cell
from acclimate.curate.quality_rubrics import RUBRICS, paper_scale, strict_scale
from acclimate.curate.quality_sample import mixed, sampled, shared_pairs
from acclimate.curate.quality_sheet import read_sheet
from acclimate.curate.quality_texts import distinct, duplicates, lengths
from acclimate.curate.quality_types import FIGURE_TYPES, IMAGE_DOMAINS, TASK_TYPES
from acclimate.curate.rater_agreement import cohen_kappa, krippendorff_alpha
from acclimate.curate.ratings import ImageDomain, Rating
from acclimate.curate.tables import read_table, write_table
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import ChoiceRequest
from acclimate.errors import DataError, UsageError
from acclimate.files import ImageStore, blank_png
from acclimate.records import ImageCaption, ImageRef, JudgedTriplet, Label, Rejection

PICTURE = ImageRef("a" * 64, 8, 8, "image/png")
DRAWS = Draws(seed=0, n=400)
LIKERT = (1.0, 5.0)


def _pair(name: str, image: ImageRef = PICTURE) -> ImageCaption:
    return ImageCaption(name, image, f"caption of {name}", "source", "unknown")


def _task(
    name: str,
    pair_id: str,
    instruction: str = "How many?",
    precise: str = "two",
    label: Label = "consistent",
    generator: str = "synthesizer",
) -> JudgedTriplet:
    return JudgedTriplet(
        name, pair_id, instruction, "There are two.", precise, generator, label, 0.5, 0.3, 0.2, "j", "r"
    )


def _letter(request: ChoiceRequest, name: str) -> list[float]:
    """Log-probabilities that pick the choice whose line names a type."""
    (line,) = [each for each in request.messages[0].text.split("\n") if each[1:].startswith(f". {name}: ")]
    return [-0.1 if choice == line[0] else -4.0 for choice in request.choices]


def _level(request: ChoiceRequest, level: int) -> list[float]:
    return [-0.1 if choice == str(level) else -4.0 for choice in request.choices]


def _judge(
    types: Mapping[str, str], levels: Mapping[str, int], asked: list[ChoiceRequest] | None = None
) -> FakeEngine:
    """Rate by the task's or pair's id and the aspect: `t1/knowledge`, else `knowledge`, else 3."""

    def choose(request: ChoiceRequest) -> list[float]:
        if asked is not None:
            asked.append(request)
        name, _, aspect = request.id.rpartition("/")
        if aspect == "type":
            return _letter(request, types[name])
        if not name:
            return _letter(request, types.get(request.id, "Medical"))
        return _level(request, levels.get(request.id, levels.get(aspect, 3)))

    return FakeEngine(lambda _: "", choose)


# --- lists and scales ----------------------------------------------------------------------------


def test_the_lists_have_the_papers_numbers_of_names() -> None:
    assert (len(TASK_TYPES), len(FIGURE_TYPES), len(IMAGE_DOMAINS)) == (20, 17, 20)
    assert set(TASK_TYPES) - set(FIGURE_TYPES) == {"Visual Grounding", "Segmentation", "Visual Storytelling"}
    assert len(set(TASK_TYPES.values())) == len(set(IMAGE_DOMAINS.values())) == 20
    assert all(len(set(rubric.levels)) == 5 for rubric in RUBRICS.values())


def test_seventeen_is_the_denominator_of_the_papers_table_8() -> None:
    printed = [23.5, 52.9, 47.1, 58.8, 64.7, 76.5]
    assert [round(100 * k / len(FIGURE_TYPES), 1) for k in (4, 9, 8, 10, 11, 13)] == printed
    assert not any(round(100 * k / len(TASK_TYPES), 1) in printed for k in range(21))


def test_the_two_scales_of_a_level_are_the_stated_ones() -> None:
    assert [paper_scale(level) for level in (1, 3.5, 5)] == [20, 70, 100]
    assert [strict_scale(level) for level in (1, 3.5, 5)] == [0, 62.5, 100]


# --- the judge -----------------------------------------------------------------------------------


def test_types_and_levels_are_read_from_the_choices() -> None:
    tasks = [_task("t1", "p1"), _task("t2", "p2", precise=""), _task("t3", "p1")]
    types = {"t1": "Segmentation", "t2": "Caption Generation", "t3": "Domain Classification"}
    levels = {
        "t1/knowledge": 5,
        "t1/complexity": 4,
        "t1/accuracy": 1,
        "accuracy_precise": 2,
        "t3/knowledge": 1,
    }
    engine = _judge(types, levels)
    view = View(responses=("combined", "precise", "informative"))
    pairs = {name: _pair(name) for name in ("p1", "p2")}
    assert list(rated(tasks, pairs, engine, view, log=None)) == [
        Rating("t1", "judge", "Segmentation", 5, 4, 1, 2, 3),
        Rating("t2", "judge", "Caption Generation", 3, 3, 3, None, None),
        Rating("t3", "judge", "Domain Classification", 1, 3, 3, 2, 3),
    ]


def test_the_judge_sees_picture_caption_task_and_the_response_that_is_asked_about() -> None:
    asked: list[ChoiceRequest] = []
    view = View(responses=("combined", "precise", "informative"))
    engine = _judge({"t1": "Segmentation"}, {}, asked)
    list(rated([_task("t1", "p1")], {"p1": _pair("p1")}, engine, view, log=None))
    by_id = {request.id: request for request in asked}
    assert list(by_id) == [
        f"t1/{what}"
        for what in (
            "type",
            "knowledge",
            "complexity",
            "accuracy",
            "accuracy_precise",
            "accuracy_informative",
        )
    ]
    head = "Caption of the picture: caption of p1\nTask: How many?\n"
    both = f"{head}Response: There are two.\nConclusion: two\n"
    for what in ("type", "knowledge", "complexity", "accuracy"):
        assert both in by_id[f"t1/{what}"].messages[0].text
    precise = by_id["t1/accuracy_precise"].messages[0]
    assert f"{head}Response: two\n" in precise.text
    assert "There are two." not in precise.text
    informative = by_id["t1/accuracy_informative"].messages[0].text
    assert f"{head}Response: There are two.\n" in informative
    assert "Conclusion" not in informative
    assert all(request.messages[0].images == (PICTURE,) for request in asked)
    assert by_id["t1/knowledge"].choices == ("1", "2", "3", "4", "5")
    for level, said in enumerate(RUBRICS["complexity"].levels, start=1):
        assert f"\n{level}: {said}\n" in by_id["t1/complexity"].messages[0].text


@pytest.mark.parametrize(("sees", "has_caption", "n_images"), [("picture", False, 1), ("caption", True, 0)])
def test_a_judge_can_be_shown_less(sees: str, has_caption: bool, n_images: int) -> None:
    asked: list[ChoiceRequest] = []
    config = QualityConfig.model_validate({"sees": sees})
    engine = _judge({"t1": "Segmentation"}, {}, asked)
    view = View(config.sees)
    list(rated([_task("t1", "p1")], {"p1": _pair("p1")}, engine, view, log=None))
    list(image_domains([_pair("p1")], engine, view, log=None))
    assert len(asked) == 5
    for request in asked:
        assert ("caption of p1" in request.messages[0].text) is has_caption
        assert len(request.messages[0].images) == n_images


def test_types_are_offered_in_an_order_of_each_tasks_own() -> None:
    asked: list[ChoiceRequest] = []
    tasks = [_task(f"t{n}", "p1") for n in range(6)]
    engine = _judge({task.id: "Logo Detection" for task in tasks}, {}, asked)
    ratings = list(rated(tasks, {"p1": _pair("p1")}, engine, View(), log=None))
    assert {rating.task_type for rating in ratings} == {"Logo Detection"}
    offered = {}
    for request in asked:
        if request.id.endswith("/type"):
            lines = [line for line in request.messages[0].text.split("\n") if line[1:3] == ". "]
            assert [line[0] for line in lines] == list("ABCDEFGHIJKLMNOPQRST") == list(request.choices)
            assert sorted(line[3:].split(": ")[0] for line in lines) == sorted(TASK_TYPES)
            offered[request.id] = request.messages[0].text
    assert len(set(offered.values())) == 6
    again: list[ChoiceRequest] = []
    engine = _judge({task.id: "Logo Detection" for task in tasks}, {}, again)
    list(rated(tasks[2:], {"p1": _pair("p1")}, engine, View(), log=None))
    assert {r.id: r.messages[0].text for r in again if r.id.endswith("/type")} == {
        key: text for key, text in offered.items() if key not in ("t0/type", "t1/type")
    }


def test_each_picture_gets_one_of_the_twenty_domains() -> None:
    engine = _judge({"p1": "Food", "p2": "Sketch/Drawing"}, {})
    found = list(image_domains([_pair("p1"), _pair("p2")], engine, View(), log=None))
    assert found == [ImageDomain("p1", "Food"), ImageDomain("p2", "Sketch/Drawing")]


# --- intervals -----------------------------------------------------------------------------------


def test_the_mean_is_over_tasks_and_pictures_are_drawn_whole() -> None:
    span = mean_span([("a", 1.0), ("a", 1.0), ("b", 4.0)], LIKERT, Draws(0, 4000), key="k")
    assert (span.value, span.n, span.n_clusters) == (2.0, 3, 2)
    # Draws: a a, a b, b a, b b: means 1, 2, 2, 4; the ends have a probability of a quarter each.
    assert (span.low, span.high) == (1.0, 4.0)


def test_where_nothing_varies_the_interval_is_wilsons_and_not_empty() -> None:
    span = mean_span([(f"p{n}", 5.0) for n in range(10)], LIKERT, DRAWS, key="k")
    # Wilson's interval of 10 in 10: 0.722 to 1; on the scale 1 to 5.
    assert (span.low, span.high) == pytest.approx((1 + 4 * 0.7225, 5.0), abs=0.001)
    assert span.method == "wilson_clusters"
    alone = mean_span([("p", 2.0), ("p", 4.0)], LIKERT, DRAWS, key="k")
    assert alone.method == "wilson_clusters"
    assert alone.low < 1.5
    assert alone.high > 4.5
    words = mean_span([("p", 3.0), ("q", 3.0)], None, DRAWS, key="k")
    assert (words.low, words.high, words.method) == (3.0, 3.0, "constant")


def test_the_interval_covers_the_truth_where_tasks_of_a_picture_go_together() -> None:
    n_covered = 0
    for trial in range(150):
        rng = random.Random(f"coverage/{trial}")
        values = [(f"p{n}", value) for n in range(40) for value in [float(rng.randint(1, 5))] * 5]
        span = mean_span(values, LIKERT, Draws(trial, 300), key="k")
        n_covered += span.low <= 3.0 <= span.high
    assert n_covered >= 130  # 95 % would be 142; an interval over tasks covers about 60 %.


def test_a_difference_about_the_same_pictures_is_paired() -> None:
    rng = random.Random(1)
    first = [(f"p{n}", float(rng.randint(1, 5))) for n in range(60)]
    shifted = [(name, value - 0.5) for name, value in first]
    scale = (0.0, 5.0)
    same = mean_difference(first, shifted, scale, DRAWS, key="k")
    assert (same.value, same.low, same.high) == pytest.approx((0.5, 0.5, 0.5))
    others = [(f"q{name}", value) for name, value in shifted]
    apart = mean_difference(first, others, scale, DRAWS, key="k")
    assert apart.value == pytest.approx(0.5)
    assert apart.low < 0.2
    assert apart.high > 0.8
    assert (same.n_clusters, apart.n_clusters) == (60, 120)


def test_a_difference_to_a_set_without_variation_is_put_together_from_both_intervals() -> None:
    first = [(f"p{n}", 1.0) for n in range(10)]
    second = [(f"p{n}", 0.0) for n in range(10)]
    span = mean_difference(first, second, (0.0, 1.0), DRAWS, key="k")
    # Wilson of 10 in 10 reaches down 0.2775, of 0 in 10 up as far: sqrt(2) * 0.2775 = 0.392.
    assert (span.value, span.low, span.high) == pytest.approx((1.0, 1 - 0.3925, 1.0), abs=0.001)


def test_distinct_types_are_counted_among_the_known_ones() -> None:
    types = [
        ("p1", "Segmentation"),
        ("p2", "Logo Detection"),
        ("p3", "Logo Detection"),
        ("p4", "Caption Generation"),
    ]
    seventeen = distinct_span(types, FIGURE_TYPES, DRAWS, key="k")
    twenty = distinct_span(types, tuple(TASK_TYPES), DRAWS, key="k")
    assert (seventeen.value, twenty.value) == (2 / 17, 3 / 20)
    assert seventeen.low < 2 / 17 <= seventeen.high
    none = distinct_difference(types, types, FIGURE_TYPES, DRAWS, key="k")
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)
    fewer = [("q1", "Logo Detection"), ("q2", "Logo Detection")]
    assert distinct_difference(types, fewer, tuple(TASK_TYPES), DRAWS, key="k").value == pytest.approx(2 / 20)


def test_the_interval_of_distinct_types_holds_the_count_that_was_seen() -> None:
    # Each of ten types once: a draw with replacement holds 6.5 of them on average and never more than ten.
    types = [(f"p{at}", name) for at, name in enumerate(FIGURE_TYPES[:10])]
    span = distinct_span(types, FIGURE_TYPES, Draws(0, 2000), key="k")
    assert span.low < 10 / 17 < span.high
    assert span.high - span.low < 6 / 17
    every = distinct_span(
        [(f"p{at}", name) for at, name in enumerate(FIGURE_TYPES)], FIGURE_TYPES, DRAWS, key="k"
    )
    assert (every.value, every.high) == (1.0, 1.0)


def test_effective_types_are_exp_of_the_entropy() -> None:
    assert effective_number({"a": 5, "b": 5, "c": 5, "d": 5}) == pytest.approx(4.0)
    assert effective_number({"a": 3, "b": 1}) == pytest.approx(4 / 3**0.75)
    assert effective_number({}) is None


# --- texts ---------------------------------------------------------------------------------------


def test_distinct_runs_do_not_cross_texts() -> None:
    texts = [("the", "cat"), ("the", "dog"), ("the", "cat", "sat")]
    assert distinct(texts, 1) == pytest.approx(4 / 7)
    assert distinct(texts, 2) == pytest.approx(3 / 4)
    assert distinct(texts, 3) == 1.0
    assert distinct(texts, 4) is None


def test_duplicates_are_what_stood_before() -> None:
    assert duplicates(["a", "b", "a", "a"]) == 0.5
    assert duplicates(["a", "b"]) == 0.0
    assert duplicates([]) is None


def test_lengths_are_counted_in_words() -> None:
    texts = [" ".join(["word"] * n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 30)]
    found = lengths([*texts, "", "  "])
    assert found is not None
    assert (found.n, found.mean, found.least, found.greatest) == (10, 7.5, 1, 30)
    assert (found.p10, found.median, found.p90) == (1, 5, 9)
    assert found.histogram == ((1, 1), (2, 3), (5, 5), (20, 1))
    assert lengths([""]) is None
    cjk = lengths(["左肺に影"])
    assert cjk is not None
    assert cjk.mean == 4


# --- agreement -----------------------------------------------------------------------------------


def test_cohens_kappa_is_the_textbook_one() -> None:
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    kappa = cohen_kappa(pairs, ("y", "n"), "unweighted", DRAWS)
    assert kappa is not None
    # Agreement 0.7, by chance 0.5.
    assert (kappa.n, kappa.agreement, kappa.value) == pytest.approx((50, 0.7, 0.4))
    assert kappa.low is not None
    assert kappa.high is not None
    # Its large-sample standard error is 0.127: 0.15 to 0.65.
    assert (kappa.low, kappa.high) == pytest.approx((0.15, 0.65), abs=0.05)


def test_weighted_kappa_is_the_one_worked_out_by_hand() -> None:
    pairs = [("1", "1"), ("1", "1"), ("2", "2"), ("3", "1")]
    expected = {"unweighted": 1 - 1 / 2.25, "linear": 1 - 2 / 3, "quadratic": 1 - 4 / 4.5}
    for weights, value in expected.items():
        kappa = cohen_kappa(pairs, ("1", "2", "3"), weights, DRAWS)  # type: ignore[arg-type]
        assert kappa is not None
        assert kappa.value == pytest.approx(value), weights


def test_kappa_has_no_value_where_both_always_say_the_same_word() -> None:
    kappa = cohen_kappa([("1", "1")] * 5, ("1", "2"), "quadratic", DRAWS)
    assert kappa is not None
    assert (kappa.agreement, kappa.value, kappa.low, kappa.high) == (1.0, None, None, None)
    assert cohen_kappa([], ("1", "2"), "quadratic", DRAWS) is None


def test_krippendorffs_alpha_is_his_published_example() -> None:
    # Krippendorff 2011, section E: four observers, twelve units, missing values.
    rows = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    units = [{str(at): row[unit] for at, row in enumerate(rows) if row[unit] != "."} for unit in range(12)]
    categories = ("1", "2", "3", "4", "5")
    assert krippendorff_alpha(units, categories, "nominal") == pytest.approx(0.743, abs=0.0005)
    assert krippendorff_alpha(units, categories, "ordinal") == pytest.approx(0.815, abs=0.0005)
    assert krippendorff_alpha(units, categories, "interval") == pytest.approx(0.849, abs=0.0005)


def test_alpha_has_no_value_without_two_raters_or_without_two_values() -> None:
    assert krippendorff_alpha([{"a": "1"}, {"b": "2"}], ("1", "2"), "nominal") is None
    assert krippendorff_alpha([{"a": "1", "b": "1"}], ("1", "2"), "nominal") is None


# --- the sample ----------------------------------------------------------------------------------


def _two_sets(n: int = 12) -> dict[str, list[JudgedTriplet]]:
    """Two generators' tasks on the same pairs; the second lacks the last pair."""
    first = [_task(f"s{at}", f"p{at}", f"Which of {at}?") for at in range(n)]
    second = [_task(f"r{at}", f"p{at}", "Describe it.", "", "unjudged", "rules") for at in range(n - 1)]
    return {"synthesizer": first, "rules": second}


def test_data_sets_about_the_same_pairs_are_rated_on_the_same_ones() -> None:
    found = sampled(_two_sets(), 5, seed=0)
    assert {name: len(tasks) for name, tasks in found.items()} == {"synthesizer": 5, "rules": 5}
    shared = {task.pair_id for task in found["synthesizer"]} & {task.pair_id for task in found["rules"]}
    assert len(shared) >= 4
    assert sampled(_two_sets(), 5, seed=1) != found
    assert len(sampled(_two_sets(), None, seed=0)["rules"]) == 11


def test_removing_one_pair_changes_no_other_place_in_the_sample_or_sheet() -> None:
    sets = _two_sets()
    whole = sampled(sets, None, seed=0)["synthesizer"]
    gone = whole[3].pair_id
    rest = sampled({"synthesizer": [t for t in sets["synthesizer"] if t.pair_id != gone]}, None, seed=0)
    assert rest["synthesizer"] == [task for task in whole if task.pair_id != gone]
    assert mixed(rest["synthesizer"], 0) == [task for task in mixed(whole, 0) if task.pair_id != gone]
    assert mixed(whole, 0) != whole


def test_pairs_that_most_sets_have_tasks_of_stand_side_by_side() -> None:
    sets = _two_sets()
    found = shared_pairs(sets, 11, seed=0)
    assert sorted(found) == sorted(f"p{at}" for at in range(11))
    assert shared_pairs(sets, 12, seed=0)[-1] == "p11"


# --- the door ------------------------------------------------------------------------------------

CONFIG = QualityConfig(per_set=None, cases=2, draws=200)


def _golden(folder: Path, store: ImageStore | None = None, image: ImageRef = PICTURE) -> Quality:
    """Write the quality of a whole set, its kept part and another generator's tasks."""
    every = [
        _task("a", "p1", "Which organ?", "lung"),
        _task("b", "p2", "Where is it?", "left", label="inconsistent"),
        _task("c", "p3", "which ORGAN", "liver"),
        _task("d", "p4", "Tell a <story> | of it.", "", label="unjudged"),
    ]
    rules = [_task("e", "p1", "Name the dish.", "soup", generator="rules")]
    types = {
        "a": "Object Recognition",
        "b": "Visual Grounding",
        "c": "Object Recognition",
        "d": "Visual Storytelling",
        "e": "Object Recognition",
        "p2": "Food",
    }
    levels = {
        "a/knowledge": 5,
        "b/knowledge": 4,
        "c/knowledge": 4,
        "d/knowledge": 1,
        "b/accuracy": 2,
        "accuracy": 5,
    }
    pairs = [_pair(f"p{n}", image) for n in (1, 2, 3, 4, 5)]
    sets = {"all": every, "kept": [every[0], every[2]], "rules": rules}
    return write_quality(folder, sets, pairs, _judge(types, levels), CONFIG, log=None, store=store)


def test_the_measures_are_the_hand_counted_ones(tmp_path: Path) -> None:
    quality = _golden(tmp_path / "q")
    every, kept, rules = quality.sets
    assert (every.name, every.n_tasks, every.n_pairs, every.n_sampled, every.n_rated) == ("all", 4, 4, 4, 4)
    assert every.labels == {"consistent": 2, "inconsistent": 1, "unjudged": 1}
    assert every.task_types == {"Object Recognition": 2, "Visual Grounding": 1, "Visual Storytelling": 1}
    assert every.image_domains == {"Food": 1, "Medical": 3}
    assert {name: span.value for name, span in every.spans.items()} == pytest.approx(
        {
            "diversity_17": 1 / 17,
            "diversity_20": 3 / 20,
            "knowledge": 3.5,
            "complexity": 3.0,
            "accuracy": (5 + 2 + 5 + 5) / 4,
            "consistency": 2 / 3,
            "words_instruction": (2 + 3 + 2 + 5) / 4,
            "words_informative": 3.0,
            "words_precise": 1.0,
        }
    )
    assert kept.spans["consistency"].value == 1.0
    assert kept.spans["knowledge"].value == 4.5
    assert rules.generators == {"rules": 1}
    # Equal numbers of tasks: one of each.
    assert [each.texts.n_equal for each in quality.sets] == [1, 1, 1]
    assert every.texts.duplicates_of_all == 0.25
    found = {(each.first, each.second, each.measure): each for each in quality.comparisons}
    assert found["all", "kept", "knowledge"].span.value == -1.0
    assert found["all", "kept", "diversity_20"].span.value == pytest.approx(2 / 20)
    assert found["all", "rules", "accuracy"].n_shared_pairs == 1
    assert ("kept", "rules", "consistency") in found


def test_a_task_of_two_data_sets_is_rated_once(tmp_path: Path) -> None:
    quality = _golden(tmp_path)
    assert sorted(rating.task_id for rating in quality.ratings) == ["a", "b", "c", "d", "e"]
    assert sorted(each.pair_id for each in quality.domains) == ["p1", "p2", "p3", "p4"]


def test_every_file_is_written_and_the_json_holds_both_scales(tmp_path: Path) -> None:
    folder = tmp_path / "quality ü"
    quality = _golden(folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("quality.json", "quality.md", "measures.csv", "comparisons.csv", "task_types.csv"),
        *("image_domains.csv", "lengths.csv", "ratings.csv", "ratings.parquet", "tasks.parquet"),
        *("side_by_side.md", "side_by_side.csv", "sheet.csv", "sheet_key.csv", "rubric.md"),
    }
    whole = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
    knowledge = whole["sets"]["all"]["measures"]["knowledge"]
    assert (knowledge["value"], knowledge["paper"], knowledge["strict"], knowledge["n"]) == (
        3.5,
        70.0,
        62.5,
        4,
    )
    assert whole["judge"] == quality.judge
    assert whole["judge_name"] == "fake"
    assert len(whole["comparisons"]) == len(quality.comparisons)
    page = (folder / "quality.md").read_text(encoding="utf-8")
    assert "| Diversity, of 17 types | 5.9 (" in page
    assert "| Diversity, of 20 types | 15.0 (" in page
    assert "| Domain knowledge, paper | 70.0 (" in page
    assert "| Domain knowledge, strict | 62.5 (" in page
    rows = read_table(folder / "measures.csv", ("data_set", "measure", "value"))
    values = {(row.cells["data_set"], row.cells["measure"]): row.cells["value"] for row in rows}
    assert values["all", "knowledge"] == "3.5"
    assert values["kept", "accuracy"] == "5"


def test_writing_the_same_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _golden(tmp_path / name)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_tasks_on_one_pair_stand_side_by_side_whatever_marks_they_hold(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    data = blank_png(8, 8, 90)
    _golden(tmp_path / "q", store, store.add(data))
    page = (tmp_path / "q" / "side_by_side.md").read_text(encoding="utf-8")
    first = page.split("## Pair ")[1]
    assert first.startswith("p1\n")
    assert (
        "| all | Which organ? | There are two. | lung | consistent | Object Recognition; knowledge 5;"
        in first
    )
    assert "| rules | Name the dish. |" in first
    (picture,) = (tmp_path / "q" / "pictures").iterdir()
    assert picture.read_bytes() == data
    assert f"![](pictures/{picture.name})" in first
    rows = read_table(tmp_path / "q" / "side_by_side.csv", ("pair_id", "data_set", "id"))
    assert [row.cells["id"] for row in rows if row.cells["pair_id"] == "p1"] == ["a", "a", "e"]
    assert text_cell("a|b\n<script>`x` *y* [z](u)") == ("a\\|b<br>&lt;script&gt;\\`x\\` \\*y\\* \\[z\\](u)")


def test_without_a_judge_the_texts_alone_are_measured(tmp_path: Path) -> None:
    pairs = [_pair(f"p{n}") for n in range(12)]
    quality = write_quality(tmp_path, _two_sets(), pairs, None, QualityConfig(judge="none"), log=None)
    first, second = quality.sets
    assert (first.n_sampled, first.n_rated, first.task_types) == (12, 0, {})
    assert "knowledge" not in first.spans
    assert first.spans["words_instruction"].value == 3.0
    assert "words_precise" not in second.spans
    assert (first.texts.n_equal, second.texts.n_equal) == (11, 11)
    assert first.texts.duplicate_instructions == 0.0
    assert second.texts.duplicate_instructions == pytest.approx(10 / 11)
    assert second.texts.distinct == pytest.approx({1: 2 / 22, 2: 1 / 11})
    assert quality.judge == ""
    assert "Nobody rated" in (tmp_path / "quality.md").read_text(encoding="utf-8")


def test_only_the_sample_is_rated(tmp_path: Path) -> None:
    asked: list[ChoiceRequest] = []
    sets = _two_sets()
    engine = _judge({task.id: "Segmentation" for tasks in sets.values() for task in tasks}, {}, asked)
    config = QualityConfig(per_set=3, draws=100)
    pairs = [_pair(f"p{n}") for n in range(12)]
    quality = write_quality(tmp_path, sets, pairs, engine, config, log=None)
    assert [(each.n_tasks, each.n_sampled, each.n_rated) for each in quality.sets] == [(12, 3, 3), (11, 3, 3)]
    assert sum(request.id.endswith("/type") for request in asked) == 6
    assert len(read_table(tmp_path / "sheet.csv", ("id",))) == 6


def test_the_door_refuses_tasks_it_cannot_place(tmp_path: Path) -> None:
    one = _task("a", "p1")
    for sets, pairs, message in (
        ({"x": []}, [_pair("p1")], "no tasks"),
        ({"x": [one]}, [_pair("p2")], "pair p1"),
        ({"x": [one, one]}, [_pair("p1")], "two tasks with the id a"),
    ):
        with pytest.raises(DataError, match=message):
            write_quality(tmp_path, sets, pairs, None, QualityConfig(), log=None)
    with pytest.raises(ValidationError):
        QualityConfig.model_validate({"responses": ["both"]})


# --- people --------------------------------------------------------------------------------------


def _fill(folder: Path, name: str, said: Mapping[str, Mapping[str, str]]) -> Path:
    """Fill a copy of the sheet in, by task id and column, as a person would."""
    columns = [*("id", "picture", "caption", "instruction", "informative", "precise")]
    columns += ["task_type", "knowledge", "complexity", "accuracy", "consistent", "comment"]
    rows = []
    for row in read_table(folder / "sheet.csv", ("id", "task_type", "consistent")):
        cells = {**row.cells, **said.get(row.cells["id"], {})}
        rows.append([cells[column] for column in columns])
    path = folder / f"{name}.csv"
    write_table(path, columns, rows)
    return path


def test_the_sheet_says_nothing_of_who_made_a_task(tmp_path: Path) -> None:
    _golden(tmp_path)
    raw = (tmp_path / "sheet.csv").read_text(encoding="utf-8-sig")
    rows = read_table(tmp_path / "sheet.csv", ("id", "caption", "knowledge"))
    assert sorted(row.cells["id"] for row in rows) == ["a", "b", "c", "d", "e"]
    assert not any(word in raw for word in ("synthesizer", "rules", "kept", "unjudged"))
    assert all(row.cells["knowledge"] == "" for row in rows)
    key = read_table(tmp_path / "sheet_key.csv", ("id", "data_set", "generator"))
    assert sorted((row.cells["id"], row.cells["data_set"]) for row in key) == [
        *(
            ("a", "all"),
            ("a", "kept"),
            ("b", "all"),
            ("c", "all"),
            ("c", "kept"),
            ("d", "all"),
            ("e", "rules"),
        ),
    ]
    rubric = (tmp_path / "rubric.md").read_text(encoding="utf-8")
    assert all(f"{at}. {name}: " in rubric for at, name in enumerate(TASK_TYPES, start=1))
    assert all(said in rubric for each in RUBRICS.values() for said in each.levels)


def test_a_filled_sheet_is_read_row_by_row(tmp_path: Path) -> None:
    _golden(tmp_path)
    path = _fill(
        tmp_path,
        "ann",
        {
            "a": {
                "task_type": "2",
                "knowledge": "5",
                "complexity": "4.0",
                "accuracy": "",
                "consistent": "Yes",
            },
            "b": {"task_type": "logo detection", "knowledge": "1", "accuracy": "2"},
            "c": {"knowledge": "6"},
            "d": {"task_type": "Poetry"},
        },
    )
    by_id = {getattr(row, "task_id", None) or row.id: row for row in read_sheet(path, "ann", list("abcdef"))}  # type: ignore[union-attr]
    assert by_id["a"] == Rating("a", "ann", "Object Recognition", 5, 4, None, consistent="consistent")
    assert by_id["b"] == Rating("b", "ann", "Logo Detection", 1, None, 2)
    reasons = {name: row.reason for name, row in by_id.items() if isinstance(row, Rejection)}
    assert reasons == {"c": "bad_level", "d": "unknown_type", "e": "not_rated", "f": "missing_row"}
    assert isinstance(by_id["c"], Rejection)
    assert by_id["c"].detail.startswith("ann.csv, row ")


def test_unknown_and_repeated_tasks_are_named_and_a_blank_sheet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bob.csv"
    columns = ("id", "task_type", "knowledge", "complexity", "accuracy", "consistent")
    row = ["a", "1", "3", "3", "3", "maybe"]
    good = ["a", "1", "3", "3", "3", "open"]
    write_table(path, columns, [row, ["x", *good[1:]], good, ["b", *good[1:]], ["b", *good[1:]]])
    found = read_sheet(path, "bob", ["a", "b"])
    assert [each.reason if isinstance(each, Rejection) else each.task_id for each in found] == [
        *("bad_label", "unknown_task", "repeated_task", "b", "repeated_task"),
    ]
    write_table(path, columns, [["a", "", "", "", "", ""]])
    with pytest.raises(DataError, match="not_rated"):
        read_sheet(path, "bob", ["a"])


def _levels(values: Sequence[int], **other: str) -> dict[str, dict[str, str]]:
    return {name: {"knowledge": str(value), **other} for name, value in zip("abcde", values, strict=True)}


def test_peoples_ratings_give_their_own_tables_and_their_agreement(tmp_path: Path) -> None:
    _golden(tmp_path)
    # The judge says 5, 4, 4, 1, 3.
    ann = _fill(tmp_path, "ann", _levels([5, 4, 4, 1, 3], task_type="2", consistent="no"))
    bob = _fill(tmp_path, "bob", _levels([5, 4, 4, 1, 2]))
    found = write_agreement(tmp_path, {"ann": ann, "bob": bob}, DRAWS)
    kappas = {(each.question, each.first, each.second): each for each in found.pairs}
    exact = kappas["knowledge", "ann", "judge"]
    assert (exact.kappa.n, exact.kappa.value, exact.weights) == (5, pytest.approx(1.0), "quadratic")
    near = kappas["knowledge", "ann", "bob"].kappa
    # Observed 1; by chance the mean over all 25 pairs of the two columns, squared.
    squares = [(one - other) ** 2 for one in (5, 4, 4, 1, 3) for other in (5, 4, 4, 1, 2)]
    assert near.value == pytest.approx(1 - 1 / (sum(squares) / 5))
    assert ("task_type", "ann", "bob") not in kappas
    types = kappas["task_type", "ann", "judge"].kappa
    assert (types.n, types.agreement) == (5, pytest.approx(0.6))
    verdicts = kappas["consistent", "ann", "filter"].kappa
    assert (verdicts.n, verdicts.agreement) == (4, 0.25)
    groups = {(each.question, each.raters): each for each in found.groups}
    assert groups["knowledge", ("ann", "bob")].n == 5
    alpha = groups["knowledge", ("ann", "bob", "judge")].alpha
    assert alpha is not None
    assert 0.8 < alpha < 1
    every = {each.name: each for each in found.sets_by_rater["ann"]}
    assert every["all"].spans["knowledge"].value == 3.5
    assert every["all"].spans["consistency"].value == 0.0
    assert "accuracy" not in every["all"].spans
    assert "consistency" not in {each.name: each for each in found.sets_by_rater["bob"]}["all"].spans
    assert (tmp_path / "people" / "ann" / "quality.md").is_file()
    assert "Cohen's kappa, quadratic" in (tmp_path / "agreement.md").read_text(encoding="utf-8")
    whole = json.loads((tmp_path / "agreement.json").read_text(encoding="utf-8"))
    assert whole["raters"]["ann"]["sets"]["all"]["measures"]["knowledge"]["paper"] == 70.0


def test_sheets_are_read_without_a_judge_too(tmp_path: Path) -> None:
    pairs = [_pair(f"p{n}") for n in range(3)]
    tasks = [replace(_task(name, f"p{at}"), label="unjudged") for at, name in enumerate("abc")]
    write_quality(tmp_path, {"x": tasks}, pairs, None, QualityConfig(judge="none", draws=100), log=None)
    said = {name: {"accuracy": str(level)} for name, level in zip("abc", (5, 5, 3), strict=True)}
    found = write_agreement(tmp_path, {"ann": _fill(tmp_path, "ann", said)}, DRAWS)
    assert (found.pairs, found.groups) == ((), ())
    assert found.sets_by_rater["ann"][0].spans["accuracy"].value == pytest.approx(13 / 3)


@pytest.mark.parametrize("name", ["judge", "filter", "..", "a/b", ""])
def test_a_name_that_no_rater_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a rater's name"):
        write_agreement(tmp_path, {name: tmp_path / "x.csv"})
    with pytest.raises(UsageError, match="no sheets"):
        write_agreement(tmp_path, {})


def test_the_golden_interval_is_that_of_the_seed() -> None:
    values = [(f"p{n}", float(1 + n % 5)) for n in range(50)]
    span = mean_span(values, LIKERT, Draws(0, 2000), key="knowledge")
    # The standard error of 50 such values is sqrt(2 / 50) = 0.2.
    assert (span.low, span.high) == pytest.approx((3 - 1.96 * 0.2, 3 + 1.96 * 0.2), abs=0.03)
    assert span == mean_span(list(reversed(values)), LIKERT, Draws(0, 2000), key="knowledge")
    assert math.isclose(span.value, 3.0)
