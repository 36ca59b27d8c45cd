"""Benchmarks that a judge marks: through the predictions door and through a checkpoint's evaluation."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import Request
from acclimate.engines.spec import EngineExecution
from acclimate.errors import BenchmarkError
from acclimate.evaluate.judge import JudgeConfig
from acclimate.evaluate.judged import relative_marks
from acclimate.evaluate.reviews import read_verdict
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.scoring import score_checkpoint, score_predictions, score_reviews

QUESTIONS = ("What is shown?", "Describe it.", "Why is it there?", "How many are there?")
CATEGORIES = ("conv", "detail", "complex", "conv")


def picture_bytes(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 10, 10)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    folder = tmp_path / "bench"
    folder.mkdir()
    rows = [
        {
            "question_id": at,
            "image": f"{at}.png",
            "text": text,
            "category": CATEGORIES[at],
            "gpt_answer": f"reference {at}",
            "caption": f"a red thing {at}",
        }
        for at, text in enumerate(QUESTIONS)
    ]
    for row in rows:
        (folder / str(row["image"])).write_bytes(picture_bytes(int(str(row["question_id"]))))
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def answers(folder: Path) -> Path:
    path = folder.parent / "answers.jsonl"
    rows = [{"question_id": at, "text": f"answer {at}"} for at in range(len(QUESTIONS))]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def judge(request: Request) -> str:
    """Gives the reference 8 and the answer 6, wherever they stand, and cannot be read on the third."""
    text = request.messages[-1].text
    if "Why is it there?" in text:
        return "Both are fine."
    return "8 6\nbecause" if text.index("reference ") < text.index("answer ") else "6 8\nbecause"


def asked_judge(swap: bool = False) -> tuple[FakeEngine, EvaluateConfig, None]:
    return FakeEngine(judge), EvaluateConfig(judging=JudgeConfig(swap=swap)), None


@pytest.mark.parametrize("swap", [False, True])
def test_relative_scores_leave_unread_reviews_out_in_strict_and_count_them_minus_one_in_paper(
    bench: Path, tmp_path: Path, swap: bool
) -> None:
    result = score_predictions(
        [answers(bench)], ["llava_bench_in_the_wild"], tmp_path / "out", data=bench, judging=asked_judge(swap)
    )
    found = result["measurements"]["llava_bench_in_the_wild"]
    assert found["original"]["value"] == pytest.approx(6 / 8)
    assert found["original/relative_paper"]["value"] == pytest.approx((6 * 3 - 1) / (8 * 3 - 1))
    assert found["original/relative_of_items_strict"]["value"] == pytest.approx(6 / 8)
    assert found["unparsed"]["value"] == pytest.approx(1 / 4)
    assert result["measurements"]["llava_bench_in_the_wild[category conv]"]["original"]["n"] == 2


def test_a_judged_benchmark_without_a_judge_is_refused(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"llava_bench_in_the_wild: .*--judge"):
        score_predictions([answers(bench)], ["llava_bench_in_the_wild"], tmp_path / "out", data=bench)


def test_grades_are_the_mean_of_those_that_could_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "mm_vet"
    folder.mkdir()
    rows = {
        f"v1_{at}": {"imagename": f"{at}.png", "question": text, "answer": "a <AND> b", "capability": ["ocr"]}
        for at, text in enumerate(QUESTIONS)
    }
    (folder / "mm-vet.json").write_text(json.dumps(rows), encoding="utf-8")
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({name: f"reply {name}" for name in rows}), encoding="utf-8")
    grades = {"v1_0": "0.5", "v1_1": "1.0", "v1_2": "rather good", "v1_3": "0.0"}

    def grade(request: Request) -> str:
        text = request.messages[-1].text
        return next(value for name, value in grades.items() if f"reply {name}" in text)

    engine = (FakeEngine(grade), EvaluateConfig(), None)
    result = score_predictions([path], ["mm_vet"], tmp_path / "out", data=tmp_path, judging=engine)
    found = result["measurements"]["mm_vet"]
    assert found["original"]["value"] == pytest.approx(0.5)
    assert found["unparsed"]["value"] == pytest.approx(0.25)
    assert "mm_vet[capability ocr]" in result["measurements"]


def test_a_checkpoint_is_judged_in_the_step_that_asks_it(bench: Path, tmp_path: Path) -> None:
    def both(request: Request) -> str:
        text = request.messages[-1].text
        return judge(request) if "[System]" in text else f"answer to {text}"

    result = score_checkpoint(
        Path("fake"),
        ["llava_bench_in_the_wild"],
        tmp_path / "out",
        config=EvaluateConfig(data=str(bench), judge=str(bench), conditions=("original",)),
        execution=EngineExecution(),
        substitute=lambda _: FakeEngine(both),
    )
    found = result["measurements"]["llava_bench_in_the_wild"]
    assert found["original"]["value"] == pytest.approx(6 / 8)
    step = Path(result["predictions"]).parent
    assert (step / "judgements.parquet").is_file()


def test_reviews_are_scored_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"question_id": 1, "category": "conv", "text": "8 6\nok"},
        {"question_id": 2, "category": "conv", "text": "10 10\nok"},
        {"question_id": 3, "category": "detail", "text": "I like both."},
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = score_reviews(path)
    by_key = {(row["category"], row["form"]): row["relative"] for row in result["rows"]}
    assert by_key["all", "strict"] == pytest.approx(100 * 16 / 18)
    assert by_key["all", "paper"] == pytest.approx(round(100 * round(15 / 3, 3) / round(17 / 3, 3), 1))
    assert by_key["conv", "strict of items"] == pytest.approx(100 * (0.75 + 1) / 2)
    assert result["unread"] == {"strict": ["3"], "paper": ["3"]}


def test_a_swapped_pair_counts_as_the_mean_of_its_two_orders() -> None:
    given = read_verdict("i", "conv", "8 6")
    swapped = read_verdict("i", "conv", "10 4", order="swapped")
    assert relative_marks(given, swapped)["relative_strict"].parts == (8.0, 6.0)
