"""The shipped checkpoints: complete, small, bound to the world, and as able as their card says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from acclimate.engines.open import open_engine
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.stage import EvaluateConfig, predict, primary_by_benchmark, score
from acclimate.files import ImageStore
from acclimate.lab.demo import GENERAL_MLLM, WEIGHTS
from acclimate.lab.documents import scene_of
from acclimate.lab.draw import draw, png
from acclimate.lab.render import write_benchmarks
from acclimate.lab.skills import skills
from acclimate.lab.world import CELLS, MEALS, VERSION, Domain
from acclimate.report.usage import transformers_snippets

FOLDERS = ("general-mllm", "text-lm", "vision-tower")
LARGEST_BYTES = 16_000_000
CARD_SCORES = json.loads((WEIGHTS / "skills.json").read_text())


@pytest.mark.parametrize("name", FOLDERS)
def test_a_shipped_checkpoint_is_small_safe_and_has_a_card(name: str) -> None:
    folder = WEIGHTS / name
    files = list(folder.iterdir())
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") <= LARGEST_BYTES
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pth", ".pickle")]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0")
    assert f"version {VERSION}" in card


def test_the_processor_configuration_is_whole_so_that_other_clients_take_the_folder() -> None:
    config = json.loads((GENERAL_MLLM / "processor_config.json").read_text())
    assert {"image_processor", "video_processor"} <= config.keys()
    tokens = (GENERAL_MLLM / "tokenizer.json").read_text()
    for token in ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|endoftext|>"):
        assert token in tokens


@pytest.mark.parametrize(
    "text", ["naïve café 東京 🙂 ﷺ", "a\u0301\u2060b\x00c", "\u200f שלום \ud7ff", "  two  spaces\n\n"]
)
def test_any_unicode_text_round_trips_through_the_tokenizer(text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(GENERAL_MLLM)
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.parametrize("kind", CARD_SCORES["kinds"])
def test_the_card_says_that_a_kind_is_a_fifth_above_chance(kind: str) -> None:
    row = CARD_SCORES["kinds"][kind]
    assert row["chance"] <= 0.5
    assert row["accuracy"] >= row["chance"] + 0.20


def test_the_card_meets_the_skill_bars_over_all_kinds() -> None:
    assert len(CARD_SCORES["kinds"]) >= 10
    assert CARD_SCORES["macro"] >= 0.75
    assert CARD_SCORES["macro"] - CARD_SCORES["macro_mismatch"] >= 0.30
    assert CARD_SCORES["judge"] >= 0.85


def test_the_shipped_model_is_as_able_as_its_card_says() -> None:
    seen = skills(GENERAL_MLLM, 30)
    assert seen["macro"] == pytest.approx(CARD_SCORES["macro"], abs=0.08)
    assert seen["judge"] >= 0.85
    assert seen["macro"] - seen["macro_mismatch"] >= 0.30


@pytest.mark.slow
def test_the_cards_scores_can_be_measured_again() -> None:
    seen = skills(GENERAL_MLLM, 100)
    assert seen["macro"] == pytest.approx(CARD_SCORES["macro"], abs=0.005)
    for name, row in seen["kinds"].items():
        assert row["accuracy"] == pytest.approx(CARD_SCORES["kinds"][name]["accuracy"], abs=0.02)


@pytest.mark.parametrize("domain", [CELLS, MEALS], ids=lambda domain: domain.key)
def test_on_a_target_domain_the_model_starts_low_but_not_broken(tmp_path: Path, domain: Domain) -> None:
    write_benchmarks(tmp_path, domain, 60, 7)
    store = ImageStore(tmp_path / "run")
    engine = open_engine(EngineSpec(model=str(GENERAL_MLLM)), store, EngineExecution())
    config = EvaluateConfig(conditions=("original",))
    means = {}
    for path in sorted(tmp_path.glob("*.yaml")):
        benchmark = load_benchmark(path, store)
        primary = primary_by_benchmark(benchmark.items)
        answers = predict(
            benchmark.items, engine, config, model="base", store=store, log=None,
            max_tokens_by_benchmark=benchmark.max_tokens_by_benchmark,
        )  # fmt: skip
        marks = [s for s in score(benchmark.items, list(answers)) if s.scorer == primary[s.benchmark]]
        means[benchmark.spec.name] = sum(mark.value for mark in marks) / len(marks)
        assert sum(not mark.parsed for mark in marks) <= 0.10 * len(marks), path.name
    assert sum(means.values()) / len(means) <= 0.45
    assert means[f"{domain.key}_closed"] >= 0.45 - 0.08
    assert means[f"{domain.key}_choice"] >= 0.28 - 0.05 - 0.08


def test_the_general_model_answers_in_a_process_without_this_package(tmp_path: Path) -> None:
    snippet = next(
        each.code for each in transformers_snippets(str(GENERAL_MLLM)) if "without" in each.title.lower()
    )
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(draw(scene_of(5, test=True), "x")))
    code = "import sys\nsys.modules['acclimate'] = None\n" + snippet
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
