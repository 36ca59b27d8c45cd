"""What a real benchmark's training file gives away, and questions that are loaded without pictures."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.predictions import match
from acclimate.files import ImageStore

pytestmark = pytest.mark.data


def test_vqa_rad_gives_away_a_tenth_to_a_half_of_its_answers_and_all_its_pictures(
    shared_data: Path, tmp_path: Path
):
    benchmark = load_benchmark(locate("vqa_rad", data=shared_data), ImageStore(tmp_path / "store"))
    assert benchmark.n_rows_by_benchmark == benchmark.spec.counts
    assert benchmark.rejections == ()
    closed, opened = benchmark.given["vqa_rad_closed"], benchmark.given["vqa_rad_open"]
    assert round(closed.prior, 3) == 0.529
    assert round(opened.prior, 3) == 0.095
    whole = benchmark.given["vqa_rad"]
    assert (whole.n_pictures, whole.n_pictures_in_train) == (203, 203)
    assert "203 of 203 pictures" in whole.text
    assert closed.n_train + opened.n_train == 3064


def test_the_prior_is_what_counting_by_hand_gives(shared_data: Path, tmp_path: Path):
    """The commonest training answer to the same words, else the commonest to questions of the kind."""
    train, test = (
        json.loads((shared_data / "vqa_rad" / f"{name}set.json").read_text(encoding="utf-8"))
        for name in ("train", "test")
    )

    def answer(row: dict[str, Any]) -> str:
        return " ".join(str(row["answer"]).split()).lower()

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        said = re.findall(r"[a-z0-9]+", row["question"].lower())
        return (row["answer_type"].strip(), *(word for word in said if word not in ("a", "an", "the")))

    by_question: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        by_question[key(row)][answer(row)] += 1
        by_kind[key(row)[0]][answer(row)] += 1
    right: Counter[str] = Counter()
    for row in test:
        counts = by_question.get(key(row)) or by_kind[key(row)[0]]
        right[key(row)[0]] += counts.most_common(1)[0][0] == answer(row)
    benchmark = load_benchmark(locate("vqa_rad", data=shared_data), ImageStore(tmp_path / "store"))
    assert benchmark.given["vqa_rad_open"].prior == pytest.approx(right["OPEN"] / 179, abs=1 / 179)
    assert benchmark.given["vqa_rad_closed"].prior == pytest.approx(right["CLOSED"] / 272, abs=1 / 272)


def test_the_questions_of_slake_are_loaded_through_predictions_without_a_picture(
    shared_data: Path, tmp_path: Path
):
    path = tmp_path / "data" / "slake" / "test.json"
    path.parent.mkdir(parents=True)
    path.symlink_to(shared_data / "slake_text" / "test.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    said = tmp_path / "said.json"
    said.write_text(json.dumps({str(row["qid"]): "" for row in rows if row["q_lang"] == "en"}))
    matched = match(said, locate("slake", data=tmp_path / "data"), model="model")
    benchmark = matched.benchmark
    assert benchmark.n_rows_by_benchmark == {"slake_open": 645, "slake_closed": 416}
    assert benchmark.n_left_out == 2094 - 645 - 416
    assert all(item.image is None for item in benchmark.items)
    english = {row["img_name"] for row in rows if row["q_lang"] == "en"}
    assert {item.cluster for item in benchmark.items} == english
    assert matched.n_missing == 0


def test_slake_brings_its_own_questions(shared_data: Path, tmp_path: Path):
    rows = json.loads((shared_data / "slake_text" / "test.json").read_text(encoding="utf-8"))
    said = tmp_path / "said.jsonl"
    said.write_text("".join(json.dumps(row | {"prediction": "x"}) + "\n" for row in rows), encoding="utf-8")
    matched = match(said, locate("slake", data=tmp_path / "none"), model="model")
    assert matched.benchmark.n_rows_by_benchmark == {"slake_open": 645, "slake_closed": 416}
