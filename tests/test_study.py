"""The study of synthesis: seeds together, how claims stand, and the whole of it on a tiny world."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from acclimate.curate.intervals import Draws, Span
from acclimate.curate.ratings import Rating
from acclimate.records import JudgedTriplet, Label
from acclimate.studies.combined import Combined, combined, error_cut, standing
from acclimate.studies.synthesis import DataSet, Seed, Study, summed_up
from acclimate.studies.synthesis_claims import (
    ALL,
    BLANKED,
    BOTH,
    CAPTION,
    CLAIMS,
    IMAGE,
    KEPT,
    NONE,
    RULES,
    SYNTHESIZER,
    TABLE_6,
    TABLE_6_COLUMNS,
    TABLE_7,
    TABLE_8,
    TEXT_TEACHER,
)
from acclimate.studies.synthesis_page import page

DRAWS = Draws(n=200)


def span(value: float, half: float) -> Span:
    return Span(value, value - half, value + half, 10, 10, "cluster_bootstrap")


# --- seeds together ---------------------------------------------------------------------------------


def test_seeds_are_averaged_and_their_intervals_add_in_squares():
    found = combined([span(0.1, 0.03), span(0.3, 0.04)])
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - 0.05 / 2)
    assert found.high == pytest.approx(0.2 + 0.05 / 2)
    assert found.n == 20
    assert found.by_seed == (0.1, 0.3)


@pytest.mark.parametrize(
    ("low", "high", "by_seed", "sign", "stands"),
    [
        (0.1, 0.3, (0.1, 0.3), 1, "supported"),
        (0.1, 0.3, (0.1, 0.3), -1, "refuted"),
        (-0.3, -0.1, (-0.2, -0.2), -1, "supported"),
        (-0.1, 0.3, (0.1, 0.1), 1, "open"),
        (0.0, 0.3, (0.1, 0.1), 1, "open"),
        (0.1, 0.3, (-0.1, 0.5), 1, "open"),  # one seed says otherwise
    ],
)
def test_a_direction_stands_by_its_interval_and_every_seed(
    low: float, high: float, by_seed: tuple[float, ...], sign: int, stands: str
):
    assert standing(Combined((low + high) / 2, low, high, 10, by_seed), sign=sign) == stands


@pytest.mark.parametrize(
    ("low", "high", "by_seed", "stands"),
    [
        (0.25, 0.4, (0.25, 0.4), "supported"),
        (0.24, 0.4, (0.3, 0.3), "open"),
        (0.1, 0.24, (0.2, 0.2), "refuted"),
    ],
)
def test_a_size_stands_where_the_whole_interval_reaches_it(
    low: float, high: float, by_seed: tuple[float, ...], stands: str
):
    assert standing(Combined((low + high) / 2, low, high, 10, by_seed), at_least=0.25) == stands


def test_what_was_not_measured_is_not_judged():
    assert standing(None) == "not measured"


def test_the_cut_of_errors_is_one_minus_the_ratio_of_error_rates():
    # 40 wrong of 100; of the 60 kept 12 are wrong: .4 against .2
    rows = [(f"p{n}", n >= 40, n < 12 or n >= 52) for n in range(100)]
    found = error_cut(rows, DRAWS, key="x")
    assert found is not None
    assert found.value == pytest.approx(1 - (12 / 60) / (40 / 100))
    assert found.low < found.value < found.high
    assert error_cut([(f"p{n}", True, True) for n in range(9)], DRAWS, key="x") is None, "no errors"
    assert error_cut([(f"p{n}", n % 2 == 0, False) for n in range(9)], DRAWS, key="x") is None, "none kept"
    assert error_cut([], DRAWS, key="x") is None


# --- claims ----------------------------------------------------------------------------------------


def test_every_claim_has_the_direction_of_the_papers_numbers():
    assert len(CLAIMS) == 6 * 4 + 4 + 2 * 4
    assert len({each.sentence for each in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        if claim.at_least is None and claim.table != "7":
            first, second = map(float, claim.paper.split(" against "))
            assert math.copysign(1, first - second) == claim.sign
    accuracy = [each for each in CLAIMS if each.table == "8" and each.measure == "accuracy"]
    assert [each.sign for each in accuracy] == [-1, -1]


@pytest.mark.data
def test_the_papers_numbers_are_those_of_its_tables(shared_data: Path):
    tables = json.loads((shared_data / "paper_tables" / "adamllm.json").read_text())
    six = tables["table6"]
    assert tuple(six["columns"]) == TABLE_6_COLUMNS
    assert {name: list(row) for name, row in TABLE_6.items()} == {
        "diversity_17": six["diversity"],
        "knowledge": six["knowledge"],
        "complexity": six["complexity"],
        "accuracy": six["accuracy"],
    }
    seven = [tables["table7"]["BioMed."], tables["table7"]["Food"]]
    without, with_filter = ([each[key] for each in seven] for key in ("without_filter", "with_filter"))
    for ours, before, after in (
        ("consistency", "consistency", "consistency"),
        ("precise", "precise_acc", "accuracy"),
        ("informative", "informative_acc", "accuracy"),
    ):
        assert TABLE_7[ours][ALL] == ", ".join(str(each[before]) for each in without)
        assert TABLE_7[ours][KEPT] == ", ".join(str(each[after]) for each in with_filter)
    eight = tables["table8"]
    for ours, row in TABLE_8.items():
        theirs = eight[ours.removesuffix("_17")]
        assert row == {
            SYNTHESIZER: f"{theirs[1]}, {theirs[3]}",
            RULES: str(theirs[0]),
            TEXT_TEACHER: str(theirs[2]),
        }


# --- the tables ------------------------------------------------------------------------------------

TYPES = ("Object Recognition", "Anomaly Detection", "Text Detection and OCR", "Style Classification")
Made = Callable[[int], tuple[str, int, bool, Label]]
"""From a task's number to its type, its level, whether its two answers agree, and the filter's label."""


def data_set(made: Made, n: int = 60, asked: int = 60) -> DataSet:
    tasks, ratings = [], {}
    for number in range(n):
        kind, level, agrees, label = made(number)
        task = JudgedTriplet(
            f"t{number}", f"p{number}", "q", "long", "short", "synthesizer", label, 0.0, 0.0, 0.0, ""
        )
        tasks.append(task)
        said: Label = "consistent" if agrees else "inconsistent"
        ratings[task.id] = Rating(task.id, "oracle", kind, level, level, level, level, level, said)
    return DataSet(tuple(tasks), ratings, tuple(f"p{number}" for number in range(asked)))


def seed_of(shift: int = 0) -> Seed:
    """Arms in the paper's order; the filter keeps what agrees, which is right more often."""

    def arm(level: int, n_types: int) -> DataSet:
        return data_set(lambda n: (TYPES[n % n_types], level - (n + shift) % 2, True, "unjudged"))

    whole = data_set(
        lambda n: (
            TYPES[n % 2],
            5 if n % 3 or n % 4 == 0 else 2,
            n % 2 == 0,
            "consistent" if n % 2 == 0 else "inconsistent",
        )
    )
    kept = replace(whole, tasks=tuple(task for task in whole.tasks if task.label == "consistent"))
    nothing = DataSet((), {}, tuple(f"p{n}" for n in range(60)))
    table_6 = {NONE: nothing, IMAGE: arm(3, 1), CAPTION: arm(3, 2), BOTH: arm(4, 3), BLANKED: arm(5, 4)}
    rules = data_set(lambda _n: (TYPES[0], 5, True, "unjudged"))
    return Seed(table_6, whole, {SYNTHESIZER: kept, RULES: rules}, ("consistent",))


def study_of(*seeds: Seed) -> Study:
    return summed_up(tuple(range(len(seeds))), seeds, DRAWS)


def test_tables_and_claims_follow_from_the_ratings():
    study = study_of(seed_of(), seed_of(1))
    cells = study.cells
    assert cells["6"][BLANKED]["accuracy"].value == pytest.approx(4.5)
    assert cells["6"][BLANKED]["diversity_17"].value == pytest.approx(4 / 17)
    assert cells["6"][NONE]["diversity_17"].value == 0.0
    assert cells["6"][NONE]["accuracy"].value == 1.0, "an example without a task counts with level 1"
    assert "accuracy per task" not in cells["6"][NONE]
    assert cells["6"][NONE]["examples with a task"].value == 0.0
    assert cells["7"][ALL]["consistency"].value == pytest.approx(0.5)
    assert cells["7"][KEPT]["consistency"].value == 1.0
    assert study.counts[f"7 {KEPT}"] == (30, 30)
    answerable = cells["6"][IMAGE]["knowledge per answerable task"]
    assert answerable.value == pytest.approx(2.5)
    by_sentence = {each.claim.sentence: each for each in study.claims}
    stands = {sentence: each.standing for sentence, each in by_sentence.items()}
    assert stands["Table 6: image+caption, 10% blank has more accuracy than no fine-tuning"] == "no tasks"
    assert stands["Table 6: image+caption, 10% blank has more knowledge than image"] == "supported"
    assert stands["Table 6: image+caption has more complexity than caption"] == "supported"
    assert stands["Table 7: kept tasks have a larger share of consistent tasks than all tasks"] == "supported"
    assert stands["Table 8: synthesizer has less accuracy than rules"] == "supported"
    assert stands["Table 8: synthesizer has less accuracy than text teacher"] == "not measured"
    cut = by_sentence["Table 7: the filter cuts the error rate of precise answers by at least 25%"]
    rights = [5 if n % 3 or n % 4 == 0 else 2 for n in range(60)]
    wrong, wrong_kept = sum(r == 2 for r in rights), sum(r == 2 for r in rights[::2])
    assert cut.found is not None
    assert cut.found.value == pytest.approx(1 - (wrong_kept / 30) / (wrong / 60))


def test_seeds_on_the_same_pictures_have_the_wider_interval():
    spans = [span(0.1, 0.03), span(0.3, 0.04)]
    apart, together = combined(spans), combined(spans, shared=True)
    assert together.value == apart.value
    assert together.high - together.low == pytest.approx(0.07)
    assert together.low < apart.low


def test_diversity_is_what_is_expected_among_two_hundred_tasks():
    """One type in 399 of 400 tasks: a sample of 200 holds the other with probability one half."""
    tasks = data_set(lambda n: (TYPES[0] if n else TYPES[1], 4, True, "unjudged"), 400, 400)
    seed = replace(seed_of(), table_6={**seed_of().table_6, BLANKED: tasks})
    found = study_of(seed).cells["6"][BLANKED]["diversity_17"]
    assert found.value == pytest.approx(1.5 / 17)
    assert found.low < found.value < found.high


def test_a_claim_against_the_numbers_is_refuted():
    seed = seed_of()
    turned = replace(
        seed, table_6={**seed.table_6, BLANKED: seed.table_6[CAPTION], CAPTION: seed.table_6[BLANKED]}
    )
    stands = {each.claim.sentence: each.standing for each in study_of(turned).claims}
    assert stands["Table 6: image+caption, 10% blank has more accuracy than caption"] == "refuted"


def test_the_page_and_the_json_say_the_same():
    study = study_of(seed_of(), seed_of(1))
    text, data = page(study, ["A note."]), study.to_json()
    assert "A note." in text
    assert "90.0 (" in text, "level 4.5 on the paper's scale"
    tables = json.loads(json.dumps(data))["tables"]
    assert tables["6"][BLANKED]["accuracy"]["paper"] == pytest.approx(90.0)
    assert tables["6"][BLANKED]["accuracy"]["strict"] == pytest.approx(87.5)
    for each in study.claims:
        assert each.claim.sentence in text
        assert each.standing in text
    assert "85.5" in text, "the paper's own number stands beside ours"


# --- the whole ---------------------------------------------------------------------------------------

STUDY = ("-m", "acclimate", "study", "synthesis", "synthesizer.train.max_steps=1", "--limit", "24", "--json")


@pytest.mark.slow
def test_the_study_runs_on_the_lab_and_goes_on_where_it_stopped(tmp_path: Path):
    first = subprocess.run(
        [sys.executable, *STUDY, "--seeds", "0", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert first.returncode == 0, first.stderr
    data = json.loads(first.stdout)
    assert set(data["tables"]["8"]) == {SYNTHESIZER, RULES, TEXT_TEACHER}
    assert len(data["claims"]) == len(CLAIMS)
    assert data["limit"] == 24
    assert data["tables"]["8"][RULES]["accuracy"]["value"] > 4.5
    again = subprocess.run(
        [sys.executable, *STUDY, "--seeds", "0", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.stdout == first.stdout
    log = (tmp_path / "out" / "study.log").read_text()
    second = log[log.rindex("train-teacher") :]
    assert "done in" not in second, "everything was there"


def test_a_dry_run_says_what_the_study_takes_and_writes_nothing(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "acclimate", "study", "synthesis", "--dry-run", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = {row["step"]: row for row in json.loads(done.stdout)["plan"]}
    assert plan["tune-synthesizer"]["seconds"] > 0
    assert "3 seeds" in plan["synthesize"]["work"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0,0"], "different whole numbers"),
        (["--domain", "moons"], "no target domain"),
        (["nowhere.yaml"], "no recipe at nowhere.yaml"),
    ],
)
def test_what_the_study_cannot_use_is_named(tmp_path: Path, arguments: list[str], said: str):
    done = subprocess.run(
        [sys.executable, "-m", "acclimate", "study", "synthesis", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
