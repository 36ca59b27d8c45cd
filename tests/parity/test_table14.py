"""The paper's Table 14: its printed averages against the means that `published_sums` asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.sums import published_sums

pytestmark = pytest.mark.data

SUITES = {
    "biomedicine": ("slake", "pathvqa", "vqa_rad", "pmc_vqa"),
    "food": ("recipe1m", "nutrition5k", "food101", "foodseg103"),
}


@pytest.fixture
def rows(shared_data: Path) -> list[dict[str, Any]]:
    tables = json.loads((shared_data / "paper_tables" / "adamllm.json").read_text(encoding="utf-8"))
    return list(tables["table14"])


def scorers_of(suite: str) -> dict[str, tuple[str, ...]]:
    """Return the scorers of every score row of a suite, as its YAML files define them."""
    found: dict[str, tuple[str, ...]] = {}
    for name in SUITES[suite]:
        spec = locate(name).spec
        assert spec.suite == suite
        found |= {spec.item_benchmark(kind): spec.scorers_of(kind) for kind in spec.kinds}
    return found


def average(row: dict[str, Any], form: str) -> float:
    """Return a row's average by the sum of its suite; the scores are in per cent, as printed."""
    scores = row["scores"]
    suite = "food" if "food101" in scores else "biomedicine"
    scorers = scorers_of(suite)
    assert scorers.keys() == scores.keys()
    sums = published_sums(scorers)
    assert sorted(sums) == [f"average_{suite}_paper", f"average_{suite}_strict"]
    terms = sums[f"average_{suite}_{form}"]
    assert len({name for name, _, _ in terms}) == len(terms) == len(scores)
    return sum(scores[name] * factor for name, _, factor in terms)


def named(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[key] for key in ("source", "model", "pipeline", "instruction"))


@pytest.mark.parametrize("form", ["strict", "paper"])
def test_thirty_five_of_thirty_six_printed_averages_are_our_means(rows: list[dict[str, Any]], form: str):
    assert len(rows) == 36
    off = {
        named(row): average(row, form) - row["average_printed"]
        for row in rows
        if abs(average(row, form) - row["average_printed"]) > 0.05 + 1e-9
    }
    (odd,) = off
    assert odd == ("PMC_Raw", "Qwen2-VL-2B", "two-stage", "synthesizer")
    assert off[odd] == pytest.approx(0.057, abs=5e-4)
    for row in rows:
        assert average(row, form) == pytest.approx(row["average_of_scores"], abs=5e-4)


def test_one_row_stands_exactly_on_the_boundary(rows: list[dict[str, Any]]):
    """42.050 is printed 42.0: rounded half to even, or the last digit of the scores that were rounded."""
    (row,) = (
        row
        for row in rows
        if (row["source"], row["pipeline"], row["instruction"]) == ("Recipe1M", "single-stage", "synthesizer")
        and row["model"].startswith("LLaVA")
    )
    assert average(row, "paper") == pytest.approx(42.05, abs=1e-9)
    assert row["average_printed"] == 42.0


def test_the_other_rows_differ_by_rounding_only(rows: list[dict[str, Any]]):
    differences = sorted(abs(average(row, "paper") - row["average_printed"]) for row in rows)
    assert differences[-3] < 0.0435
