"""Recipes on ready-made conversations: the line without pairs, mixtures, replay, and settings per stage."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from acclimate import artifacts
from acclimate.errors import DataError, RecipeError
from acclimate.estimate import estimate
from acclimate.files import read_json, read_records
from acclimate.inspection import masked_conversations
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe, recipe_text, validated
from acclimate.records import Conversation, Prediction, Rejection, Score
from tests.small_lines import fake_engine, png, write_benchmark, write_line
from tests.tiny_models import tiny_qwen3_vl

ACCLIMATE = Path(sys.executable).parent / "acclimate"
FEW = {
    "batch_size": 4,
    "max_steps": 2,
    "check_reload": False,
    "execution": {"device": "cpu", "threads": 1, "micro_batch": 4},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3_vl(tmp_path_factory.mktemp("models") / "tiny")


def row(number: int, answer: str = "A cell.") -> dict[str, Any]:
    return {
        "id": f"chat-{number}",
        "image": f"p{number % 5}.png",
        "conversations": [
            {"from": "human", "value": f"<image>\nWhat is it, {number}?"},
            {"from": "gpt", "value": answer},
        ],
    }


def write_chats(folder: Path, n: int = 8, name: str = "chats.json", first: int = 0) -> None:
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for number in range(5):
        (images / f"p{number}.png").write_bytes(png(number))
    rows = [row(number) for number in range(first, first + n)]
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")


def write(folder: Path, **recipe: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def source(file: str = "chats.json", **options: Any) -> dict[str, Any]:
    return {"source": file, "image_root": "images", **options}


def line_of(recipe: Path, *overrides: str) -> Line:
    return Line(load_recipe(recipe, overrides), recipe.parent, substitute=fake_engine)


def kept(home: Path) -> list[Conversation]:
    return list(read_records(home / "conversations.parquet", Conversation))


# --- the recipe -----------------------------------------------------------------------------------

BASE: dict[str, Any] = {"train": {"model": "base"}}
PAIRS: dict[str, Any] = {**BASE, "ingest": {"source": "pairs.json"}}
CHATS: dict[str, Any] = {**BASE, "conversations": [{"source": "chats.json"}]}
TWO_STAGE: dict[str, Any] = {**PAIRS, "compose": {"mixture": "two_stage"}}


def said(data: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as refused:
        validated(data, "recipe.yaml")
    return str(refused.value)


def with_first(first: Any, **others: Any) -> dict[str, Any]:
    return {**TWO_STAGE, "train": {"model": "base", "first_stage": first, **others}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(BASE, "names no data; add `ingest", id="no data"),
        pytest.param(
            {**CHATS, "compose": {"bare": 0.1}}, "`compose` works on image-caption pairs", id="idle part"
        ),
        pytest.param(
            {**BASE, "conversations": [{"source": "a.json"}, {"source": "b/a.jsonl"}]},
            "called 'a'",
            id="one name",
        ),
        pytest.param(
            {**BASE, "conversations": [{"source": "a", "ratio": 1}]}, "counts per other", id="ratio alone"
        ),
        pytest.param(
            {**PAIRS, "conversations": [{"source": "a", "ratio": 1, "stage": 2}]},
            "of stage 2",
            id="no such stage",
        ),
        pytest.param(
            {**BASE, "conversations": [{"source": "a", "rati": 1}]},
            "unknown key 'conversations.0.rati' (did you mean 'conversations.0.ratio'?)",
            id="unknown key",
        ),
        pytest.param(
            with_first({"learning_rat": 1}),
            "unknown key 'train.first_stage.learning_rat' (did you mean 'train.first_stage.learning_rate'?)",
            id="unknown key of the first stage",
        ),
        pytest.param(
            with_first({"epochs": 0}), "train.first_stage.epochs: ", id="bad value of the first stage"
        ),
        pytest.param(with_first({"lora": {"rang": 4}}), "'train.first_stage.lora.rang'", id="a part's key"),
        pytest.param(with_first({"model": "b"}), "'train.first_stage.model'", id="the model is one"),
        pytest.param(
            {**PAIRS, "train": {"model": "b", "first_stage": {"epochs": 2}}}, "one stage only", id="one stage"
        ),
        pytest.param(
            {**PAIRS, "evaluate": {"after_first_stage": True}},
            "evaluate.after_first_stage is",
            id="one, scored",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_together_says_how(data: dict[str, Any], words: str):
    assert words in said(data)


def test_a_recipe_with_every_value_spelled_out_is_the_same_recipe():
    for data in (CHATS, with_first({"freeze": ["vision"], "learning_rate": 0.002})):
        recipe = validated(data, "recipe.yaml")
        assert validated(yaml.safe_load(recipe_text(recipe)), "again") == recipe


def test_the_first_stage_is_the_training_with_its_own_values_in_place():
    recipe = validated(
        with_first(
            {"freeze": ["vision", "language"], "learning_rate": 2e-3, "lora": {"rank": 4}},
            epochs=3,
            weight_decay=0.0,
            lora={"alpha": 7},
        ),
        "recipe.yaml",
    )
    first, second = recipe.train.of_stage(1), recipe.train.of_stage(2)
    assert (first.freeze, first.learning_rate) == (("vision", "language"), 2e-3)
    assert (first.lora.rank, first.lora.alpha, first.epochs, first.weight_decay) == (4, 7, 3, 0.0)
    assert (second.freeze, second.learning_rate, second.lora.rank) == ((), 1e-5, 16)


def test_stages_come_from_the_mixture_and_from_ready_conversations():
    both = [{"source": "a.json"}, {"source": "b.json", "stage": 2}]
    assert validated(PAIRS, "r").stages == {1}
    assert validated(TWO_STAGE, "r").stages == {1, 2}
    assert validated({**BASE, "conversations": both}, "r").stages == {1, 2}
    assert validated({**BASE, "conversations": both[1:]}, "r").stages == {2}
    assert validated({**PAIRS, "conversations": both[1]}, "r").stages == {1, 2}


# --- the line -------------------------------------------------------------------------------------


def test_without_pairs_the_line_reads_conversations_and_trains(tmp_path: Path):
    write_chats(tmp_path)
    recipe = write(tmp_path, conversations=source(), train={"model": "base"})
    assert list(line_of(recipe).steps) == ["conversations", "train"]
    write_benchmark(tmp_path)
    scored = line_of(recipe, "evaluate.benchmarks=[small.yaml]")
    assert list(scored.steps) == ["conversations", "items", "evaluate-base", "train", "evaluate-adapted"]
    staged = write(tmp_path, conversations=[source(), source(stage=2, name="two")], train={"model": "base"})
    line = line_of(staged, "evaluate.benchmarks=[small.yaml]", "evaluate.after_first_stage=true")
    assert list(line.steps) == [
        "conversations", "items", "evaluate-base", "train-captions", "evaluate-captions", "train",
        "evaluate-adapted",
    ]  # fmt: skip


def test_a_conversation_recipe_has_no_steps_for_tasks_and_says_so(tmp_path: Path):
    write_chats(tmp_path)
    line = line_of(write(tmp_path, conversations=source(), train={"model": "base"}))
    for step in ("ingest", "synthesize", "curate", "compose"):
        with pytest.raises(RecipeError, match="trains on ready-made conversations and makes no tasks"):
            line.build([step])
    with pytest.raises(RecipeError, match=r"Name one under evaluate\.benchmarks"):
        line.build(["evaluate-adapted"])


def test_every_conversation_of_every_source_is_counted(tmp_path: Path):
    write_chats(tmp_path, 6)
    write_chats(tmp_path, 4, "more.json", first=4)
    sources = [source(), source("more.json", stage=2, licence="CC0")]
    home = line_of(write(tmp_path, conversations=sources, train={"model": "b"})).build(["conversations"])
    record = read_json(home["conversations"] / artifacts.RECORD)
    assert record["counts"] == {"inputs": 10, "outputs": 10}
    assert record["licences"] == ["CC0", "unknown"]
    assert [each.stage for each in kept(home["conversations"])].count(2) == 4
    one = [source(), source("more.json", licence="CC0")]
    home = line_of(write(tmp_path, conversations=one, train={"model": "b"})).build(["conversations"])
    record = read_json(home["conversations"] / artifacts.RECORD)
    assert record["counts"] == {"inputs": 10, "outputs": 8}
    assert record["rejections"] == {"duplicate_conversation": 2}


def test_composed_and_ready_conversations_are_mixed_and_replay_is_drawn(tmp_path: Path):
    recipe = write_line(tmp_path, 20)
    write_chats(tmp_path, 30)
    data = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    recipe = write(tmp_path, **data, conversations=[source(ratio=0.5)])
    line = line_of(recipe)
    homes = line.build(["mixture"])
    composed, mixture = kept(homes["compose"]), kept(homes["mixture"])
    assert len(composed) >= 20
    replayed = [each for each in mixture if each.sources[0] == "chats"]
    assert len(replayed) == int(0.5 * len(composed) + 0.5)
    assert [each for each in mixture if each not in replayed] == composed
    left = list(read_records(homes["mixture"] / "rejections.parquet", Rejection))
    assert {each.reason for each in left} == {"not_drawn"}
    assert len(left) + len(replayed) == 30
    counts = read_json(homes["mixture"] / artifacts.RECORD)["counts"]
    assert counts["inputs"] == counts["outputs"] + len(left)
    # The ratio is the mixture's: nothing before it is built again.
    other = line_of(recipe, "conversations=[{source: chats.json, image_root: images, ratio: 0.2}]")
    assert artifacts.finished(other.steps["conversations"], other.root) is not None
    assert artifacts.finished(other.steps["mixture"], other.root) is None


def test_the_plan_counts_rows_replay_and_stages(tmp_path: Path, model: Path):
    write_chats(tmp_path, 30)
    write_chats(tmp_path, 10, "replay.json", first=100)
    sources = [source(), source("replay.json", ratio=0.2), source(name="again", stage=2)]
    training = {
        "model": str(model),
        "batch_size": 4,
        "epochs": 2,
        "first_stage": {"epochs": 1, "batch_size": 9},
    }
    recipe = write(tmp_path, conversations=sources, train=training)
    work = {each.step: each.work for each in estimate(Line(load_recipe(recipe), tmp_path))}
    assert work == {
        "conversations": "70 conversations",
        "mixture": "66 conversations",
        "train-captions": "36 conversations, 4 steps",
        "train": "30 conversations, 16 steps",
    }
    few = {each.step: each.work for each in estimate(Line(load_recipe(recipe, ["limit=5"]), tmp_path))}
    assert few["train"] == "5 conversations, 4 steps"


def test_a_stage_of_which_nothing_was_kept_stops_before_training(tmp_path: Path, model: Path):
    write_chats(tmp_path, 4)
    (tmp_path / "images" / "broken.png").write_bytes(png(1)[:50])
    unusable = [row(900, ""), {**row(901), "image": "broken.png"}]
    (tmp_path / "tasks.json").write_text(json.dumps(unusable), encoding="utf-8")
    sources = [source(), source("tasks.json", stage=2)]
    line = line_of(write(tmp_path, conversations=sources, train={"model": str(model), **FEW}))
    with pytest.raises(DataError, match="no task was kept for the second stage"):
        line.build(["train"])
    assert artifacts.finished(line.steps["train-captions"], line.root) is None


# --- training -------------------------------------------------------------------------------------


def moved(before: Path, after: Path) -> set[str]:
    """Return the parts of a model whose weights differ."""
    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    names = {name for name in old if not bool((old[name] == new[name]).all())}
    return {
        "projector" if "merger" in name else "vision" if "visual" in name else "language" for name in names
    }


def test_two_stages_of_ready_conversations_train_with_their_own_settings(tmp_path: Path, model: Path):
    write_chats(tmp_path, 8)
    write_chats(tmp_path, 8, "tasks.json", first=50)
    write_benchmark(tmp_path)
    recipe = write(
        tmp_path,
        conversations=[source(), source("tasks.json", stage=2)],
        train={
            "model": str(model),
            **FEW,
            "learning_rate": 1e-3,
            "first_stage": {"freeze": ["vision", "language"], "learning_rate": 2e-3, "max_steps": 1},
        },
        evaluate={"benchmarks": ["small.yaml"], "after_first_stage": True},
    )
    line = Line(load_recipe(recipe), tmp_path, substitute=fake_engine)
    homes = line.build()
    first, last = homes["train-captions"] / "checkpoint", homes["train"] / "checkpoint"
    assert moved(model, first) == {"projector"}
    assert moved(first, last) >= {"projector", "language"}
    records = [read_json(homes[name] / artifacts.RECORD) for name in ("train-captions", "train")]
    assert [each["counts"]["inputs"] for each in records] == [8, 8]
    assert [each["config"]["learning_rate"] for each in records] == [2e-3, 1e-3]
    assert all("first_stage" not in each["config"] for each in records)

    answers = read_records(homes["evaluate-captions"] / "predictions.parquet", Prediction)
    assert {each.model for each in answers} == {"first_stage"}
    scores = list(read_records(homes["evaluate-captions"] / "scores.parquet", Score))
    primary = [s.value for s in scores if s.condition == "original" and s.scorer == scores[0].scorer]
    summary: Any = line.report(homes)
    assert summary["first_stage"]["macro"] == pytest.approx(sum(primary) / len(primary))
    assert set(summary["benchmarks"]["small"]) == {"base", "first_stage", "adapted"}
    assert set(summary["stages"]) == {"first", "second"}
    assert set(summary["stages"]["second"]) == {"value", "low", "high"}
    page = (line.root / "report" / "report.md").read_text(encoding="utf-8")
    assert "| first_stage |" in page
    shown = masked_conversations(line.root, 20)
    assert len(shown) == 8, "those of the last stage, as the checkpoint was trained on them"
    assert all("What is it, 5" in each["text"] for each in shown)


@pytest.mark.slow
def test_a_run_without_anything_to_score_is_reported_all_the_same(tmp_path: Path, model: Path):
    write_chats(tmp_path, 6)
    recipe = write(tmp_path, conversations=source(), train={"model": str(model), **FEW})
    done = acclimate("run", recipe, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told["rooms"]) == ["conversations", "train"]
    assert told["rooms"]["train"]["inputs"] == 6
    assert "Nothing was scored." in (tmp_path / "run" / "report" / "report.md").read_text(encoding="utf-8")
    shown = acclimate("inspect", recipe, "--batch", "-n", "1", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "«A cell." in shown.stdout
    found = acclimate("inspect", recipe, "chat-3", cwd=tmp_path)
    assert json.loads(found.stdout)["records"][0]["turns"][0]["text"] == "What is it, 3?"


# --- the command line -----------------------------------------------------------------------------


def acclimate(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ACCLIMATE), *map(str, args)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


@pytest.mark.slow
def test_the_verbs_do_what_they_can_for_a_conversation_recipe(tmp_path: Path, model: Path):
    write_chats(tmp_path, 6)
    recipe = write(tmp_path, conversations=source(), train={"model": str(model), **FEW})
    plan = acclimate("train", recipe, "--dry-run", "--json", cwd=tmp_path)
    assert [each["step"] for each in json.loads(plan.stdout)["plan"]] == ["conversations", "train"]
    assert not (tmp_path / "run").exists()
    read = acclimate("ingest", recipe, "--json", cwd=tmp_path)
    assert json.loads(read.stdout)["rooms"]["conversations"]["outputs"] == 6
    refused = acclimate("synthesize", recipe, cwd=tmp_path)
    assert refused.returncode == 2
    assert "makes no tasks" in refused.stderr
    refused = acclimate("evaluate", recipe, cwd=tmp_path)
    assert refused.returncode == 2
    assert "evaluate.benchmarks" in refused.stderr
