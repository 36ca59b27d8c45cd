"""The reading of judges' reviews and the relative scores, against 320 published GPT-4 reviews."""

import json
from pathlib import Path

import pytest

from acclimate.evaluate.reviews import (
    Verdict,
    mean_of_ratios,
    mean_of_ratios_mark,
    paper_pair,
    ratio_of_means,
    ratio_of_means_mark,
    read_verdict,
    strict_pair,
)

pytestmark = pytest.mark.data

MODELS = ("bard", "gpt35", "alpaca-13b", "llama-13b")
MATH = {"68", "69", "70"}
"""`question_id`s (the 68th to 70th line): there the rule asks for a solution first and a tuple last."""
HAND_FILLED = {
    ("bard", "68"): (10, 4),
    ("bard", "69"): (10, 1),
    ("bard", "70"): (10, 4),
    ("gpt35", "68"): (10, 6),
    ("gpt35", "69"): (10, 1),
    ("gpt35", "70"): (10, 4),
    ("alpaca-13b", "68"): (1, 8),
    ("alpaca-13b", "69"): (1, 3),
    ("alpaca-13b", "70"): (1, 5),
    ("llama-13b", "68"): (1, 7),
    ("llama-13b", "69"): (1, 2),
    ("llama-13b", "70"): (10, 4),
}
"""What a person reads in the twelve replies. The stored scores say (10, 2) for the two below."""
STORED_WRONG = {("bard", "70"), ("llama-13b", "70")}


def _rows(shared_data: Path, model: str) -> list[dict]:
    path = shared_data / "llava_judge" / f"review_{model}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 80
    return rows


def _verdicts(shared_data: Path, model: str) -> list[Verdict]:
    return [read_verdict(str(row["question_id"]), "text", row["text"]) for row in _rows(shared_data, model)]


@pytest.mark.parametrize("model", MODELS)
def test_the_published_reading_fails_on_the_three_items_of_the_math_rule_only(shared_data: Path, model: str):
    for at, row in enumerate(_rows(shared_data, model)):
        name, stored = str(row["question_id"]), tuple(row["score"])
        assert int(name) == at + 1
        assert paper_pair(row["text"]) == (None if name in MATH else stored)


@pytest.mark.parametrize("model", MODELS)
def test_the_strict_reading_reads_all_80_and_what_a_person_reads(shared_data: Path, model: str):
    for row in _rows(shared_data, model):
        name, stored = str(row["question_id"]), tuple(row["score"])
        assert strict_pair(row["text"]) == HAND_FILLED.get((model, name), stored)
        assert (strict_pair(row["text"]) == stored) == ((model, name) not in STORED_WRONG)


@pytest.mark.parametrize(
    ("model", "stored", "paper", "without", "strict"),
    [
        ("bard", 98.7, 102.3, 102.3, 99.0),
        ("gpt35", 92.1, 94.5, 94.6, 92.1),
        ("alpaca-13b", 120.8, 118.7, 118.6, 120.8),
        ("llama-13b", 135.3, 136.5, 136.3, 135.7),
    ],
)
def test_the_relative_scores_are_the_published_ones(
    shared_data: Path, model: str, stored: float, paper: float, without: float, strict: float
):
    """`paper` has the failures in its means as (-1, -1); `without` leaves them out."""
    rows, verdicts = _rows(shared_data, model), _verdicts(shared_data, model)
    kept = [f"{row['score'][0]} {row['score'][1]}" for row in rows]
    as_stored = [read_verdict(str(at), "text", text) for at, text in enumerate(kept)]
    assert ratio_of_means(as_stored, "paper")["all"].relative == stored
    published = ratio_of_means(verdicts, "paper")["all"]
    assert (published.n, published.n_unread, published.relative) == (80, 3, paper)
    left = ratio_of_means([each for each in verdicts if each.item_id not in MATH])["all"]
    assert (left.n, round(left.relative, 1)) == (77, without)
    ours = ratio_of_means(verdicts)
    assert (ours["all"].n, ours["all"].n_unread, round(ours["all"].relative, 1)) == (80, 0, strict)
    assert ours["text"] == ours["all"]


@pytest.mark.parametrize("form", ["strict", "paper"])
def test_the_parts_give_the_ratio_of_means(shared_data: Path, form: str):
    for model in MODELS:
        verdicts = [
            read_verdict(each.item_id, "text", each.text, form=form) for each in _verdicts(shared_data, model)
        ]
        marks = [ratio_of_means_mark(each) for each in verdicts]
        sums = [sum(each) for each in zip(*(mark.parts for mark in marks), strict=True)]
        value = ratio_of_means(verdicts, form)["all"].relative
        assert 100 * sums[0] / sums[1] == pytest.approx(value, abs=0.06 if form == "paper" else 1e-9)
        assert sum(not mark.parsed for mark in marks) == (3 if form == "paper" else 0)


def test_a_reference_that_got_0_has_no_ratio_and_is_counted(shared_data: Path):
    """LLaMA's review of item 74 says "0 9": LLaVA-Med's ratio has no value there, LLaVA's has."""
    verdicts = _verdicts(shared_data, "llama-13b")
    row = mean_of_ratios(verdicts)["all"]
    assert (row.n, row.n_unread, row.n_zero_reference) == (79, 0, 1)
    assert row.relative == pytest.approx(155.52, abs=0.01)
    (zero,) = [each for each in verdicts if each.first == 0]
    assert mean_of_ratios_mark(zero).reason == "zero_reference"
    assert ratio_of_means_mark(zero).parts == (9.0, 0.0)
