"""The recipes that ship: as published, and alive on tiny models of their families.

A recipe is copied beside data written where it expects them, and the models it names lie in a cache of the
Hugging Face hub made for the test, so nothing of it is replaced but the device and the sizes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from acclimate import artifacts
from acclimate.engines.checkpoint import read_model_type
from acclimate.engines.protocol import Engine
from acclimate.engines.spec import spec_of
from acclimate.estimate import estimate
from acclimate.files import read_json, read_records
from acclimate.pipeline import Line
from acclimate.recipe import Recipe, load_recipe
from acclimate.train.stage import LossRow
from tests.small_lines import fake_engine, png, whole_task
from tests.tiny_models import tiny_llava, tiny_llava_next, tiny_mllama, tiny_qwen2_vl

ACCLIMATE = Path(sys.executable).parent / "acclimate"
FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(path.name for path in FOLDER.glob("*.yaml"))
QUICK = (
    "adamllm-released-biomed-llava.yaml",
    "adamllm-released-food-llama32.yaml",
    "adamllm-raw-qwen2vl-two-stage.yaml",
    "scienceqa.yaml",
    "sight-beyond-text-lora.yaml",
)
"""One of every family and of every kind of data; the others are slow tests."""
N = 16

FAMILY_BY_MODEL: dict[str, Callable[[Path], Path]] = {
    "llava-hf/llama3-llava-next-8b-hf": tiny_llava_next,
    "Qwen/Qwen2-VL-2B-Instruct": tiny_qwen2_vl,
    "meta-llama/Llama-3.2-11B-Vision-Instruct": tiny_mllama,
    "models/llava-vicuna-13b": tiny_llava,
    "models/llava-llama-2-7b-chat": tiny_llava,
}
"""Which tiny model stands for a published one; a model that is missing here fails the test."""

TABLE_9 = {
    "epochs": 2,
    "batch_size": 128,
    "max_tokens": 6144,
    "learning_rate": 2e-5,
    "vision_learning_rate": 2e-6,
    "weight_decay": 0.0,
    "warmup_ratio": 0.03,
    "mask": "continuation",
}
TABLE_10 = {
    "llava": {"learning_rate": 2e-5, "vision_learning_rate": 2e-6, "weight_decay": 0.0, "warmup_ratio": 0.03},
    "qwen2vl": {
        "learning_rate": 1e-5,
        "vision_learning_rate": None,
        "weight_decay": 0.1,
        "warmup_ratio": 0.1,
    },
    "llama32": {
        "learning_rate": 5e-6,
        "vision_learning_rate": None,
        "weight_decay": 0.1,
        "warmup_ratio": 0.1,
    },
}
"""AdaMLLM's Tables 9 and 10; all of Table 10 has 1 epoch, batch 128 and 6144 tokens."""


def load(name: str, *overrides: str) -> Recipe:
    return load_recipe(FOLDER / name, overrides)


# --- what the recipes say -------------------------------------------------------------------------


def test_there_is_a_recipe_for_every_setting():
    sources, models = ("raw", "refined", "food"), ("llava", "qwen2vl", "llama32")
    wanted = {f"adamllm-{s}-{m}{end}.yaml" for s in sources for m in models for end in ("", "-two-stage")}
    wanted |= {f"adamllm-released-{domain}-{m}.yaml" for domain in ("biomed", "food") for m in models}
    wanted |= {"llava-595k.yaml", "llava-558k.yaml", "scienceqa.yaml"}
    wanted |= {"sight-beyond-text-full.yaml", "sight-beyond-text-lora.yaml"}
    assert set(RECIPES) == wanted
    assert set(QUICK) <= wanted


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_loads_and_says_at_its_head_what_to_get_and_what_is_not_published(name: str):
    recipe = load(name)
    text = (FOLDER / name).read_text(encoding="utf-8")
    head = text[: text.index("\nname: ")]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "# Get (paths count from this folder):" in head
    assert re.search("[Nn]ot stated", head)
    assert recipe.train.model in FAMILY_BY_MODEL
    named = {recipe.train.model}
    if recipe.ingest is not None:
        assert recipe.synthesizer is not None
        named |= {recipe.synthesizer.model, str(recipe.curate.judge)}
    for model in named:
        if not model.startswith("models/"):
            assert f"hf download {model}" in head, "the head says how to get every model"
    for source in [recipe.ingest, *recipe.conversations]:
        if source is not None:
            assert source.source.startswith("data/")
            assert Path(source.source).parts[1] in head or "as in " in head


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("adamllm")])
def test_the_settings_are_those_of_tables_9_and_10(name: str):
    recipe = load(name)
    model = next(key for key in TABLE_10 if f"-{key}" in name)
    last = recipe.train.of_stage(2)
    expected = {
        "epochs": 1,
        "batch_size": 128,
        "max_tokens": 6144,
        "method": "full",
        "freeze": (),
        **TABLE_10[model],
    }
    assert {key: getattr(last, key) for key in expected} == expected
    if recipe.synthesizer is not None:
        tuning = recipe.synthesizer.train
        assert {key: getattr(tuning, key) for key in TABLE_9} == TABLE_9
        assert recipe.synthesizer.blank_images == 0.1
    if "two-stage" in name:
        own = {"freeze": ("vision", "language"), "learning_rate": 2e-3} if model == "llava" else {}
        assert recipe.train.of_stage(1) == last.model_copy(update=own)
        assert recipe.stages == {1, 2}
    else:
        assert recipe.stages == {1}


@pytest.mark.parametrize("name", ["llava-595k.yaml", "llava-558k.yaml", "scienceqa.yaml"])
def test_llava_is_aligned_as_published_and_tuned_for_3_or_12_epochs(name: str):
    recipe = load(name)
    first, last = recipe.train.of_stage(1), recipe.train.of_stage(2)
    assert (first.format, first.freeze, first.learning_rate) == ("plain", ("vision", "language"), 2e-3)
    assert (first.epochs, first.batch_size, first.max_tokens) == (1, 128, 2048)
    assert (last.format, last.freeze, last.learning_rate) == ("chat", ("vision",), 2e-5)
    assert (last.epochs, last.batch_size) == ((12, 128) if name == "scienceqa.yaml" else (3, 32))


def test_sight_beyond_text_is_trained_whole_or_by_lora_after_the_same_alignment():
    full, lora = load("sight-beyond-text-full.yaml"), load("sight-beyond-text-lora.yaml")
    assert lora.train.method == "lora"
    assert (lora.train.lora.rank, lora.train.lora.alpha, lora.train.lora.dropout) == (64, 16, 0.05)
    assert full.train.of_stage(2).freeze == ("vision",)
    for recipe in (full, lora):
        first = recipe.train.of_stage(1)
        assert (first.method, first.format, first.freeze) == ("full", "plain", ("vision", "language"))
        assert (recipe.train.epochs, recipe.train.batch_size, recipe.train.learning_rate) == (1, 32, 2e-5)


MODELS_BY_WORD = {"llama32": "Llama-3.2-11B", "llava": "LLaVA-v1.6-8B", "qwen2vl": "Qwen2-VL-2B"}
SOURCES_BY_WORD = {"raw": "PMC_Raw", "refined": "PMC_Refined", "biomed": "PMC_Refined", "food": "Recipe1M"}


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("adamllm-")])
def test_what_a_recipe_says_was_published_is_what_the_paper_s_tables_say(name: str, shared_data: Path):
    tables = json.loads((shared_data / "paper_tables" / "adamllm.json").read_text(encoding="utf-8"))
    plain = name.removesuffix(".yaml").removeprefix("adamllm-").removeprefix("released-")
    pipeline = "two-stage" if plain.endswith("-two-stage") else "single-stage"
    captions, word = plain.removesuffix("-two-stage").split("-")
    source, model = SOURCES_BY_WORD[captions], MODELS_BY_WORD[word]
    adapted = next(
        row["scores"]
        for row in tables["table14"]
        if (row["source"], row["model"], row["pipeline"], row["instruction"])
        == (source, model, pipeline, "synthesizer")
    )
    table = "table3" if source == "Recipe1M" else "table2"
    base = next(row["scores"] for row in tables[table] if row["model"] == model)
    published = load_recipe(FOLDER / name).report.published
    assert published is not None
    assert published.scores == {
        each: {"base": base[each], "adapted": value} for each, value in adapted.items()
    }


# --- data in the published layouts ----------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(png(number))


def write_data(data: Path) -> None:
    """Write every data set that a recipe names, a few rows each, in the layout it is published in."""

    def llava(number: int, image: str, *, field: str = "conversations", marker_last: bool = False) -> Any:
        question = f"What is shown in {number}?"
        asked = f"{question}\n<image>" if marker_last else f"<image>\n{question}"
        turns = [
            {"from": "human", "value": asked},
            {"from": "gpt", "value": f"There are {number} round cells."},
        ]
        return {"id": f"{number:09}", "image": image, field: turns}

    figures = [f"{number}_F1.jpg" for number in range(N)]
    write_pictures(data / "llava-med" / "images", figures)
    alignment = [llava(n, name, field="conversatons", marker_last=True) for n, name in enumerate(figures)]
    write_json(data / "llava-med" / "llava_med_alignment_500k.json", alignment)

    for home in ("biomed-visual-instructions", "food-visual-instructions"):
        names = [f"pmc_{number}_0.jpg" for number in range(N)]
        write_pictures(data / home / "images", names)
        rounds = [
            [
                {"role": "user", "content": f"<image>Describe the image, {number}."},
                {"role": "assistant", "content": f"It shows {number} round cells and a slice of bread."},
                {"role": "user", "content": "How many are there?"},
                {"role": "assistant", "content": f"There are {number}. Therefore, the answer is {number}."},
            ]
            for number in range(N)
        ]
        told = [{"images": [name], "messages": turns} for name, turns in zip(names, rounds, strict=True)]
        write_json(data / home / "image_caption_and_synthetic_task.json", told)
        pairs = [{**each, "messages": each["messages"][:2]} for each in told]
        write_json(data / home / "image_caption_pairs.json", pairs)

    seeds = [f"seed{number}.png" for number in range(N)]
    write_pictures(data / "seeds" / "images", seeds)
    examples = [
        {
            "image": name,
            "caption": f"A plate with {number} beans.",
            "instruction": "How many beans are there?",
            "informative": f"The plate holds {number} beans.",
            "precise": f"{number}",
        }
        for number, name in enumerate(seeds)
    ]
    write_json(data / "seeds" / "seeds.json", examples)

    cc3m = [f"GCC_train_{number:09}.jpg" for number in range(N)]
    write_pictures(data / "llava-cc3m-595k" / "images", cc3m)
    write_json(data / "llava-cc3m-595k" / "chat.json", [llava(n, name) for n, name in enumerate(cc3m)])
    blip = [f"00453/{number:09}.jpg" for number in range(N)]
    write_pictures(data / "llava-pretrain" / "images" / "00453", [Path(name).name for name in blip])
    rows = [llava(n, name, marker_last=n % 2 == 1) for n, name in enumerate(blip)]
    write_json(data / "llava-pretrain" / "blip_laion_cc_sbu_558k.json", rows)
    coco = [f"{number:012}.jpg" for number in range(N)]
    write_pictures(data / "coco" / "train2017", coco)
    for name in ("llava_instruct_150k.json", "llava_instruct_80k.json"):
        write_json(data / "llava-instruct" / name, [llava(100 + n, name) for n, name in enumerate(coco)])

    problems = {}
    for number in range(N):
        problems[str(number)] = {
            "question": f"Which is {number}?",
            "choices": ["one", "two"],
            "answer": number % 2,
            "hint": "",
            "image": None if number % 4 == 0 else "image.png",
            "lecture": "Count them.",
            "solution": "There are as many.",
            "split": "train",
        }
        if problems[str(number)]["image"]:
            write_pictures(data / "scienceqa" / "images" / "train" / str(number), ["image.png"])
    write_json(data / "scienceqa" / "problems.json", problems)
    write_json(data / "scienceqa" / "pid_splits.json", {"train": list(problems), "val": [], "test": []})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all recipes, their data, and a hub cache with a tiny model under every name."""
    root = tmp_path_factory.mktemp("world")
    write_data(root / "data")
    made: dict[Callable[[Path], Path], Path] = {}
    for name, build in FAMILY_BY_MODEL.items():
        if build not in made:
            made[build] = build(root / "tiny" / build.__name__)
        home = root / "cache" / f"models--{name.replace('/', '--')}"
        target = root / name if name.startswith("models/") else home / "snapshots" / ("0" * 40)
        shutil.copytree(made[build], target)
        if not name.startswith("models/"):
            (home / "refs").mkdir()
            (home / "refs" / "main").write_text("0" * 40, encoding="ascii")
    for name in RECIPES:
        shutil.copy(FOLDER / name, root / name)
    return root


@pytest.fixture(autouse=True)
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "world" in request.fixturenames:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(request.getfixturevalue("world") / "cache"))


def small(name: str) -> list[str]:
    """Return what is replaced for a test: device, processes, and sizes, so that 16 rows give three steps."""
    recipe = load(name)
    parts = ["train"] + ["synthesizer.train"] * (recipe.synthesizer is not None)
    changes = [
        f"{part}.{key}"
        for part in parts
        for key in (
            "execution.device=cpu", "execution.processes=1", "execution.threads=1", "batch_size=4",
            "max_steps=3", "check_reload=false",
        )
    ]  # fmt: skip
    if "batch_size" in recipe.train.first_stage:
        changes.append("train.first_stage.batch_size=4")
    return changes


# --- plans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_plans_every_step_with_its_tokens(world: Path, name: str, tmp_path: Path):
    recipe = load_recipe(world / name, small(name))
    line = Line(recipe, world, scratch=tmp_path, substitute=fake_engine)
    rows = {row.step: row for row in estimate(line, plans=True)}
    trainings = [step for step in ("tune-synthesizer", "train-captions", "train") if step in rows]
    assert ("tune-synthesizer" in trainings) == (recipe.synthesizer is not None)
    assert ("train-captions" in trainings) == (recipe.stages == {1, 2})
    assert ("evaluate-captions" in rows) == recipe.evaluate.after_first_stage
    for step in trainings:
        assert rows[step].work == f"{N} conversations, 3 steps"
        assert rows[step].tokens > 0
        assert rows[step].disk_bytes > 0
        plan = rows[step].training
        assert plan is not None
        assert plan.steps == 3
        assert plan.memory_bytes > 16 * sum(group.trainable for group in plan.groups)
        learn = {group.group for group in plan.groups if group.trainable}
        config = recipe.train.of_stage(1 if step == "train-captions" else 2)
        if step == "tune-synthesizer":
            assert learn == {"vision", "projector", "language"}
        elif config.method == "lora":
            assert learn == set(config.lora.targets)
        else:
            assert learn == {"vision", "projector", "language"} - set(config.freeze)
        rates = {group.group: group.learning_rate for group in plan.groups}
        if step != "tune-synthesizer":
            assert rates["language"] == config.learning_rate
            assert rates["vision"] == (config.vision_learning_rate or config.learning_rate)


def acclimate(*args: object, world: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_CACHE": str(world / "cache")}
    return subprocess.run(
        [str(ACCLIMATE), *map(str, args)],
        cwd=world,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_dry_run_finds_models_in_the_hubs_cache_and_touches_nothing(world: Path):
    done = acclimate(
        "train", "llava-558k.yaml", *small("llava-558k.yaml"), "--dry-run", "--json", world=world
    )
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in json.loads(done.stdout)["plan"]] == [
        "conversations",
        "train-captions",
        "train",
    ]
    done = acclimate(
        "run", "adamllm-food-qwen2vl.yaml", *small("adamllm-food-qwen2vl.yaml"), "--dry-run", world=world
    )
    assert done.returncode == 0, done.stderr
    assert "tune-synthesizer" in done.stdout
    assert re.search(
        r"train:\n +vision +[\d,]+ parameters, +[\d,]+ learn at 1e-05, decay 0\.1\n", done.stdout
    )
    assert re.search(r"memory +[\d.]+ GB per process at most", done.stdout)
    assert not (world / "runs" / "llava-558k").exists()


def test_a_model_that_is_not_on_the_machine_is_asked_for_by_its_command(world: Path, tmp_path: Path):
    name = "adamllm-released-food-qwen2vl.yaml"
    shutil.copy(FOLDER / name, world / name)
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "empty")}
    done = subprocess.run(
        [str(ACCLIMATE), "train", name, "--dry-run"],
        cwd=world,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "hf download Qwen/Qwen2-VL-2B-Instruct" in done.stderr
    assert done.stderr.count("\n") == 1


# --- three steps ----------------------------------------------------------------------------------


def losses(home: Path) -> list[float]:
    return [row.loss for row in read_records(home / "losses.parquet", LossRow)]


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
)
def test_a_recipe_trains_three_steps_on_its_family(world: Path, name: str, tmp_path: Path):
    """Tasks are written and judged by the fake engine; every model that is trained is a real one."""
    recipe = load_recipe(world / name, [*small(name), f"run_dir={tmp_path / 'run'}"])

    def ready(folder: Path) -> Engine:
        return fake_engine(folder, whole_task, lambda _request: (-0.1, -3.0, -3.0))

    line = Line(recipe, world, substitute=ready)
    homes = line.build(["train"])
    trainings = [step for step in ("tune-synthesizer", "train-captions", "train") if step in homes]
    assert trainings == [step for step in line.steps if step in trainings]
    for step in trainings:
        found = losses(homes[step])
        assert len(found) == 3
        assert all(0.0 < loss < 20.0 for loss in found)
        record = read_json(homes[step] / artifacts.RECORD)
        assert record["rejections"] == {}
        assert record["counts"]["inputs"] == record["counts"]["outputs"] > 0
        assert (homes[step] / "checkpoint" / "config.json").is_file()
    model = Path(spec_of(recipe.train.model, world).model)
    assert read_model_type(homes["train"] / "checkpoint") == read_model_type(model)
