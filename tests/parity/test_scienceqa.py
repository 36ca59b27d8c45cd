"""Letters and joint answers on two real sets of 4,241 ScienceQA outputs against what is stored with them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from acclimate.evaluate.ensemble import (
    Answered,
    complement,
    tally,
    upper_bound,
)
from acclimate.evaluate.letters import LETTERS, paper_letter, strict_letter

pytestmark = pytest.mark.data

N = 4241
BEYOND = "3247"
"""LLaVA says "The answer is D." to a question with two options; the stored index is a lucky random draw."""
SAID_TWICE = {"12662", "14376", "16836", "17176", "19351", "20340"}
"""GPT-3 states the same answer twice: the rule of exactly one match reads none."""


@pytest.fixture
def llava(shared_data: Path) -> dict[str, Any]:
    return _read(shared_data, "outputs_llava_13b_v0.json")


@pytest.fixture
def gpt3(shared_data: Path) -> dict[str, Any]:
    return _read(shared_data, "outputs_gpt3_2shot.json")


@pytest.fixture
def questions(shared_data: Path) -> dict[str, dict[str, Any]]:
    rows = _read(shared_data, "test_questions_gold.json")
    assert len(rows) == N
    return {
        row["id"]: {
            "question": row["conversations"][0]["value"],
            "n_options": len(re.findall(r"(?m)^[A-E]\. ", row["conversations"][0]["value"])),
            "gold": LETTERS.index(row["conversations"][1]["value"]),
            "has_image": "image" in row,
        }
        for row in rows
    }


def _read(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "scienceqa" / name).read_text(encoding="utf-8"))


def _letters(reader: Any, outputs: dict[str, str], questions: dict[str, Any]) -> dict[str, int | None]:
    assert outputs.keys() == questions.keys()
    return {name: reader(text, questions[name]["n_options"]) for name, text in outputs.items()}


def _n_right(indices: dict[str, int | None], questions: dict[str, Any]) -> int:
    return sum(indices[name] == each["gold"] for name, each in questions.items())


def _percent(right: int, of: int = N) -> float:
    return round(100 * right / of, 3)


def test_the_published_reading_of_llava_gives_its_stored_accuracy(llava: Any, questions: Any):
    read = _letters(paper_letter, llava["outputs"], questions)
    assert (llava["correct"], llava["count"]) == (3855, N)
    assert (_n_right(read, questions), _percent(_n_right(read, questions))) == (3855, 90.898)
    assert {name for name in read if read[name] != llava["results"][name]} == {BEYOND}
    assert read[BEYOND] is None
    assert llava["outputs"][BEYOND].endswith("The answer is D.")
    assert questions[BEYOND]["n_options"] == 2


def test_the_stored_indices_of_llava_give_the_published_table(llava: Any, questions: Any):
    """90.92, and 89.49, 88.00, 90.66 for text, image, neither: the paper's row has the lucky draw in it."""
    stored = llava["results"]
    assert (_n_right(stored, questions), _percent(_n_right(stored, questions))) == (3856, 90.922)
    assert stored[BEYOND] == questions[BEYOND]["gold"]
    image = {name for name, each in questions.items() if each["has_image"]}
    text = {
        name
        for name, each in questions.items()
        if each["question"].removeprefix("<image>\n").startswith("Context: ")
    }
    neither = questions.keys() - image - text
    assert all(("<image>" in each["question"]) == each["has_image"] for each in questions.values())
    assert (len(text), len(image), len(neither)) == (2046, 2017, 1435)

    def percent(names: Any) -> float:
        return round(100 * sum(stored[name] == questions[name]["gold"] for name in names) / len(names), 2)

    assert [percent(names) for names in (text, image, neither)] == [89.49, 88.0, 90.66]


def test_the_strict_reading_of_llava_agrees_everywhere(llava: Any, questions: Any):
    strict = _letters(strict_letter, llava["outputs"], questions)
    assert strict == _letters(paper_letter, llava["outputs"], questions)


def test_gpt3_was_stored_with_a_guess_for_each_reply_that_says_nothing(gpt3: Any, questions: Any):
    stored, outputs = gpt3["results"], gpt3["outputs"]
    assert (_n_right(stored, questions), _percent(_n_right(stored, questions))) == (3188, 75.171)
    paper = _letters(paper_letter, outputs, questions)
    strict = _letters(strict_letter, outputs, questions)
    empty = {name for name, text in outputs.items() if not text}
    assert len(empty) == 243
    assert {name for name in paper if paper[name] is None} == empty | SAID_TWICE
    assert {name for name in strict if strict[name] is None} == empty
    assert all(paper[name] in (None, stored[name]) for name in stored)
    assert [name for name in stored if strict[name] not in (None, stored[name])] == ["19351"]
    assert (_n_right(paper, questions), _n_right(strict, questions)) == (3061, 3066)


def _items(ours: Any, other: Any, questions: Any) -> list[Answered]:
    return [
        Answered(
            item_id=name,
            question=each["question"],
            n_options=each["n_options"],
            gold=each["gold"],
            ours=ours["outputs"][name],
            other=other["outputs"][name],
        )
        for name, each in questions.items()
    ]


def test_the_complement_of_gpt3_by_llava_is_what_counting_by_hand_gives(
    llava: Any, gpt3: Any, questions: Any
):
    items = _items(llava, gpt3, questions)
    ours = _letters(strict_letter, llava["outputs"], questions)
    other = _letters(strict_letter, gpt3["outputs"], questions)
    n_right = either = 0
    for name, each in questions.items():
        taken = ours[name] if other[name] is None else other[name]
        n_right += taken == each["gold"]
        either += each["gold"] in (ours[name], other[name])
    strict = tally(complement(items))
    assert strict.n_right == n_right == 3248
    assert strict.by_how == {"agreed": 3030, "other": 968, "ours": 243}
    assert upper_bound(items) == either / N == 3993 / N

    paper = tally(complement(items, "paper"))
    assert (paper.n, paper.n_right) == (N, 3249)
    assert paper.by_how == {"agreed": 3025, "other": 967, "ours": 249}


def test_the_complement_of_llava_by_gpt3_changes_one_item(llava: Any, gpt3: Any, questions: Any):
    items = _items(gpt3, llava, questions)
    strict = tally(complement(items))
    assert (strict.n_right, strict.by_how["ours"]) == (3856, 1)
    paper = tally(complement(items, "paper"))
    assert paper.by_how["guessed"] == 1, "a letter beyond the options is an answer there, by chance"
    assert paper.n_right in (3855, 3856)
    assert tally(complement(items, "paper")) == paper
