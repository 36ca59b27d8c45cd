"""The whole line: accounting, identity, reuse and independence of records, mostly on the fake engine."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acclimate import artifacts
from acclimate.engines.open import open_engine
from acclimate.engines.protocol import Engine, Request
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.errors import DataError, EngineError, RecipeError
from acclimate.files import ImageStore, read_json, read_records
from acclimate.inspection import status
from acclimate.lab.demo import GENERAL_MLLM
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import (
    Conversation,
    ImageCaption,
    Item,
    JudgedTriplet,
    Prediction,
    Rejection,
    Score,
    Triplet,
)
from acclimate.workplace import Silent
from tests.small_lines import (
    artifact_bytes,
    fake_engine,
    llava_row,
    png,
    whole_task,
    write_benchmark,
    write_line,
    write_pairs,
    write_recipe,
)
from tests.tiny_models import tiny_llava, tiny_mllama, tiny_qwen3_vl

WIRED = ("ingest", "synthesize", "curate", "compose", "items", "evaluate-base")
"""Steps that need no training."""


class Told(Silent):
    """Remembers which steps were built and which were reused."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.reused: list[str] = []

    def end(self, step: str, *, reused: bool) -> None:
        (self.reused if reused else self.built).append(step)


def line_of(recipe: Path, *overrides: str, **options: Any) -> Line:
    return Line(load_recipe(recipe, overrides), recipe.parent, **{"substitute": fake_engine, **options})


def wired(recipe: Path, *overrides: str) -> dict[str, Path]:
    line = line_of(recipe, *overrides)
    return line.build([name for name in WIRED if name in line.steps])


def records(home: Path, stem: str, kind: type) -> dict[str, Any]:
    rows = list(read_records(home / f"{stem}.parquet", kind))
    by_id = {row.id: row for row in rows}
    assert len(by_id) == len(rows), f"an id stands twice in {stem}"
    return by_id


def content_of(homes: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Every record of the rooms before training, by room and id."""
    return {
        "pairs": records(homes["ingest"], "pairs", ImageCaption),
        "triplets": records(homes["synthesize"], "triplets", Triplet),
        "not triplets": records(homes["synthesize"], "rejections", Rejection),
        "judged": records(homes["curate"], "judged", JudgedTriplet),
        "conversations": records(homes["compose"], "conversations", Conversation),
    }


# --- accounting -----------------------------------------------------------------------------------


BAD_ROWS = (
    llava_row(900, image="nowhere.png"),
    llava_row(901, image="https://example.org/a.png"),
    llava_row(902, image="../outside.png"),
    llava_row(903, caption="", image="p0.png"),
    llava_row(904, image="broken.png"),
    {"id": "no image", "conversations": llava_row(1)["conversations"]},
    llava_row(3),
    {"id": "odd", "image": "p0.png", "conversations": "none"},
)


def test_every_id_of_every_room_comes_out_or_is_rejected_once(tmp_path: Path):
    recipe = write_line(tmp_path, synthesize={"model": "synth", "samples_per_pair": 2})
    write_pairs(tmp_path, range(20), BAD_ROWS)
    (tmp_path / "images" / "broken.png").write_bytes(png(1)[:50])
    homes = wired(recipe)

    pairs = records(homes["ingest"], "pairs", ImageCaption)
    refused = records(homes["ingest"], "rejections", Rejection)
    assert len(pairs) == 20
    assert len(refused) == len(BAD_ROWS)
    assert not pairs.keys() & refused.keys()
    assert {each.reason for each in refused.values()} >= {
        "missing_file",
        "image_is_url",
        "outside_root",
        "duplicate_pair",
        "missing_image_field",
    }

    triplets = records(homes["synthesize"], "triplets", Triplet)
    not_read = records(homes["synthesize"], "rejections", Rejection)
    asked = {f"{pair}/{sample}" for pair in pairs for sample in range(2)}
    replies = [each.reply_id for each in triplets.values()]
    assert sorted([*replies, *not_read]) == sorted(asked)
    assert triplets
    assert {"truncated", "malformed_turn", "duplicate_task"} & {each.reason for each in not_read.values()}

    judged = records(homes["curate"], "judged", JudgedTriplet)
    assert judged.keys() == triplets.keys()
    assert {each.label for each in judged.values()} == {"consistent", "inconsistent", "open"}

    conversations = records(homes["compose"], "conversations", Conversation)
    dropped = records(homes["compose"], "rejections", Rejection)
    used = {source for each in conversations.values() for source in each.sources}
    assert not used & dropped.keys()
    assert used | dropped.keys() == pairs.keys() | judged.keys()
    assert dropped.keys() == {key for key, each in judged.items() if each.label != "consistent"}

    items = records(homes["items"], "items", Item)
    predictions = list(read_records(homes["evaluate-base"] / "predictions.parquet", Prediction))
    conditions = ("original", "mismatch", "blank")
    answered = sorted((each.item_id, each.condition) for each in predictions)
    assert answered == sorted((key, condition) for key in items for condition in conditions)


def test_the_counts_of_a_record_are_those_of_its_files(tmp_path: Path):
    recipe = write_line(tmp_path)
    write_pairs(tmp_path, range(20), BAD_ROWS)
    (tmp_path / "images" / "broken.png").write_bytes(png(1)[:50])
    for name, home in wired(recipe).items():
        record = read_json(home / artifacts.RECORD)
        counts, rejected = record["counts"], sum(record["rejections"].values())
        if (home / "rejections.parquet").is_file():
            assert len(records(home, "rejections", Rejection)) == rejected, name
        assert counts["inputs"] == counts["outputs"] + rejected, name


# --- identity -------------------------------------------------------------------------------------


def test_the_same_recipe_in_two_directories_builds_the_same_bytes(tmp_path: Path):
    first, second = tmp_path / "one", tmp_path / "zwei ü" / "deep"
    for folder in (first, second):
        recipe = write_line(folder)
        write_pairs(folder, range(15), BAD_ROWS[:4])
        wired(recipe)
    assert line_of(first / "recipe.yaml").fingerprints() == line_of(second / "recipe.yaml").fingerprints()
    built = artifact_bytes(first / "run")
    assert len(built) > 12
    assert built == artifact_bytes(second / "run")


def test_a_removed_pair_changes_no_other_record(tmp_path: Path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder, numbers in ((whole, range(20)), (part, [n for n in range(20) if n != 5])):
        write_line(folder)
        write_pairs(folder, numbers)
    before, after = (content_of(wired(folder / "recipe.yaml")) for folder in (whole, part))
    gone = before["pairs"].keys() - after["pairs"].keys()
    assert len(gone) == 1
    for kind, rows in after.items():
        assert rows.items() <= before[kind].items(), kind
        lost = [row for key, row in before[kind].items() if key not in rows]
        names = [
            {getattr(row, "pair_id", ""), row.id.split("/")[0], *getattr(row, "sources", ())} for row in lost
        ]
        assert all(gone & each for each in names), f"{kind}: a record went that the pair has no part in"


def test_a_shuffled_input_file_builds_the_same_bytes(tmp_path: Path):
    tidy, mixed = tmp_path / "tidy", tmp_path / "mixed"
    for folder in (tidy, mixed):
        write_line(folder)
        write_pairs(folder, range(20), BAD_ROWS)
        (folder / "images" / "broken.png").write_bytes(png(1)[:50])
    rows = json.loads((mixed / "pairs.json").read_text())
    random.Random(1).shuffle(rows)
    (mixed / "pairs.json").write_text(json.dumps(rows))
    for folder in (tidy, mixed):
        wired(folder / "recipe.yaml")
    assert artifact_bytes(tidy / "run") == artifact_bytes(mixed / "run")


def test_a_changed_recipe_builds_anew_only_what_depends_on_the_change(tmp_path: Path):
    recipe = write_line(tmp_path)
    before = wired(recipe)
    told = Told()
    line = line_of(recipe, "curate.threshold=0.9", progress=told)
    after = line.build(list(WIRED))
    assert told.built == ["curate", "compose"]
    assert set(told.reused) == {"ingest", "synthesize", "items", "evaluate-base"}
    assert before["curate"] != after["curate"]
    assert all((home / artifacts.RECORD).is_file() for home in before.values()), "the first ones stand"


@pytest.mark.parametrize(
    "override",
    [
        "ingest.execution.workers=5",
        "ingest.images=copy",
        "synthesize.execution.rows=8",
        "synthesize.execution.threads=1",
        "curate.execution.rows=8",
        "train.execution.micro_batch=1",
        "train.save_every=3",
        "run_dir=elsewhere",
        "report.title=Another",
    ],
)
def test_how_a_run_is_done_is_no_part_of_its_identity(tmp_path: Path, override: str):
    recipe = write_line(tmp_path)
    assert line_of(recipe, override).fingerprints() == line_of(recipe).fingerprints()


@pytest.mark.parametrize(
    "override",
    [
        "ingest.licence=CC0",
        "synthesize.temperature=0.5",
        "synthesize.model=another",
        "curate.judge=another",
        "compose.seed=1",
        "train.seed=1",
        "train.model=another",
        "evaluate.conditions=[original]",
        "limit=3",
    ],
)
def test_what_a_run_does_is_its_identity(tmp_path: Path, override: str):
    recipe = write_line(tmp_path)
    assert line_of(recipe, override).fingerprints() != line_of(recipe).fingerprints()


def test_rows_and_threads_of_an_engine_stand_in_the_run_record(tmp_path: Path):
    homes = wired(write_line(tmp_path), "synthesize.execution.rows=8")
    ran = read_json(homes["synthesize"] / artifacts.RUN)
    assert ran["execution"]["rows"] == 8
    assert "rows" not in json.dumps(read_json(homes["synthesize"] / artifacts.RECORD))


def test_a_plan_that_is_only_looked_at_touches_nothing(tmp_path: Path):
    recipe = write_line(tmp_path / "user")
    before = sorted((tmp_path / "user").rglob("*"))
    line = line_of(recipe, scratch=tmp_path / "scratch")
    assert line.fingerprints() == line_of(recipe, "run_dir=../other").fingerprints()
    assert sorted((tmp_path / "user").rglob("*")) == before


def test_a_control_built_aside_leaves_the_run_showing_its_own_line(tmp_path: Path):
    recipe = write_line(tmp_path)
    homes = wired(recipe)
    line_of(recipe, "compose.pictures=shuffled").build(["compose"], aside=True)
    shown = status(tmp_path / "run")["rooms"]["compose"]["folder"]
    assert tmp_path / "run" / shown == homes["compose"]


# --- recipes that cannot be run, and small data --------------------------------------------------


def test_an_unknown_model_folder_is_named_before_anything_is_built(tmp_path: Path):
    recipe = write_line(tmp_path)
    with pytest.raises(EngineError, match=r"There is no model at .*synth\b"):
        Line(load_recipe(recipe), tmp_path)
    assert not (tmp_path / "run" / "artifacts").exists()


def test_a_step_that_the_recipe_does_not_have_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match="no step tune-synthesizer"):
        line_of(write_line(tmp_path)).build(["tune-synthesizer"])


def test_a_synthesizer_must_be_tuned_or_named(tmp_path: Path):
    recipe = write_line(tmp_path, synthesize={"model": "tuned"})
    with pytest.raises(RecipeError, match="has no `synthesizer` part"):
        line_of(recipe)


def test_without_a_benchmark_captions_and_tasks_of_held_out_images_are_asked(tmp_path: Path):
    recipe = write_line(tmp_path, 60, evaluate={"benchmarks": []})
    line = line_of(recipe)
    homes = line.build([name for name in line.steps if name not in ("train", "evaluate-adapted")])
    pairs = records(homes["ingest"], "pairs", ImageCaption)
    held_out = records(homes["ingest"], "held_out", ImageCaption)
    assert len(pairs) + len(held_out) == 60
    assert 2 <= len(held_out) <= 14
    judged = records(homes["curate-heldout"], "judged", JudgedTriplet)
    assert {each.pair_id for each in judged.values()} <= held_out.keys()
    items = records(homes["items"], "items", Item)
    refused = records(homes["items"], "rejections", Rejection)
    assert items.keys() | refused.keys() == held_out.keys() | judged.keys()
    assert not items.keys() & refused.keys()
    assert {each.benchmark for each in items.values()} == {"heldout_captions", "heldout_tasks"}
    notes = {each["note"] for each in read_json(homes["items"] / "benchmarks.json")["facts"]}
    assert notes == {"not checked by people"}
    trained = records(homes["compose"], "conversations", Conversation)
    hidden = {pair.image.sha256 for pair in held_out.values()}
    assert not hidden & {each.images[0].sha256 for each in trained.values()}


@pytest.mark.parametrize("n", [4, 5, 8])
def test_a_handful_of_pairs_is_enough_to_hold_two_out(tmp_path: Path, n: int):
    recipe = write_line(tmp_path, n, evaluate={"benchmarks": []})
    homes = line_of(recipe).build(["ingest", "evaluate-base"])
    held_out = records(homes["ingest"], "held_out", ImageCaption)
    assert len(held_out) >= 2
    assert len(held_out) + len(records(homes["ingest"], "pairs", ImageCaption)) == n


def test_a_single_pair_cannot_be_both_trained_and_scored(tmp_path: Path):
    recipe = write_line(tmp_path, 1, evaluate={"benchmarks": []})
    with pytest.raises(DataError, match=r"too few .*evaluate\.benchmarks"):
        line_of(recipe).build(["ingest"])


def test_held_out_tasks_with_one_picture_are_left_out_and_counted(tmp_path: Path):
    recipe = write_line(tmp_path, 60, evaluate={"benchmarks": []})
    hidden = sorted(records(wired(recipe)["ingest"], "held_out", ImageCaption))

    def one_task(request: Request) -> str:
        return whole_task(request) if request.id.startswith(hidden[0]) else ""

    def agrees(request: object) -> tuple[float, float, float]:
        return 0.0, -9.0, -9.0

    line = line_of(recipe, substitute=lambda model: fake_engine(model.with_name("one"), one_task, agrees))
    homes = line.build(["items"])
    refused = records(homes["items"], "rejections", Rejection)
    judged = records(homes["curate-heldout"], "judged", JudgedTriplet)
    assert len(judged) == 1
    assert {key: each.reason for key, each in refused.items()} == dict.fromkeys(judged, "too_few_pictures")
    assert {each.benchmark for each in records(homes["items"], "items", Item).values()} == {
        "heldout_captions"
    }


# --- real models ---------------------------------------------------------------------------------


def seeds_of(folder: Path, n: int = 6) -> dict[str, Any]:
    rows = [
        {
            "id": f"s{number}",
            "image": f"p{number}.png",
            "caption": f"A scene with {number} stars.",
            "instruction": "How many stars are there?",
            "precise": str(number),
            "informative": f"There are {number} stars in the scene.",
        }
        for number in range(n)
    ]
    (folder / "seeds.json").write_text(json.dumps(rows))
    return {"source": "seeds.json", "image_root": "images"}


def real_recipe(folder: Path, model: Path, n: int = 8) -> Path:
    """A line on a tiny random model, tuning included."""
    write_pairs(folder, range(n))
    write_benchmark(folder, 4)
    few = {"batch_size": 4, "max_steps": 2, "max_tokens": 4096, "learning_rate": 1e-3, "check_reload": False}
    name = str(model)
    rows = {"execution": {"rows": 4}}
    return write_recipe(
        folder,
        synthesizer={"model": name, "seeds": seeds_of(folder), "train": few},
        synthesize={"model": "tuned", "max_tokens": 12, **rows},
        curate=rows,
        train={"model": name, **few},
        evaluate={"benchmarks": ["small.yaml"], "max_tokens": {"small": 4}},
    )


def report_of(recipe: Path, *overrides: str) -> tuple[Line, dict[str, Path], dict[str, Any]]:
    line = Line(load_recipe(recipe, overrides), recipe.parent)
    homes = line.build()
    return line, homes, dict(line.report(homes))


@pytest.mark.parametrize("make", [tiny_llava, tiny_mllama], ids=["LLaVA-1.5", "Mllama"])
def test_the_line_runs_on_another_family_and_every_count_adds_up(
    tmp_path: Path, make: Callable[[Path], Path]
):
    recipe = real_recipe(tmp_path, make(tmp_path / "model"))
    line, homes, summary = report_of(recipe)
    for name, room in status(line.root)["rooms"].items():
        assert room["finished"]
        if not name.startswith("evaluate"):
            assert room["inputs"] == room["outputs"] + sum(room["rejections"].values()), name
    assert len(list(read_records(homes["evaluate-adapted"] / "scores.parquet", Score))) >= 12
    assert set(summary["benchmarks"]) == {"small"}
    assert (homes["train"] / "checkpoint" / "model.safetensors").is_file()
    page = (line.root / "report" / "index.html").read_text()
    assert "small" in page


REUSE = """
import sys
sys.argv = ["acclimate", "run", sys.argv[1], "--json", *sys.argv[2:]]
from acclimate.cli import main
try:
    main()
finally:
    print(sorted({"torch", "transformers"} & set(sys.modules)), file=sys.stderr)
"""


def test_a_finished_run_is_reported_anew_without_torch_and_at_once(tmp_path: Path):
    recipe = real_recipe(tmp_path, tiny_qwen3_vl(tmp_path / "model"))
    _, _, summary = report_of(recipe, "limit=7")
    first = artifact_bytes(tmp_path / "run")
    started = time.monotonic()
    shell = [sys.executable, "-c", REUSE, str(recipe), "limit=7"]
    again = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 15
    assert again.stderr.strip() == "[]", "neither torch nor transformers was loaded"
    printed = json.loads(again.stdout)
    assert printed["gain"] == summary["gain"]
    assert printed["limit"] == 7, "a limited run says so"
    assert artifact_bytes(tmp_path / "run") == first
    assert "test" in (tmp_path / "run" / "report" / "report.md").read_text().lower()


class Interrupted:
    """An engine that stops after so many answers, as a crash would."""

    def __init__(self, engine: Engine, n_answers: int) -> None:
        self.engine, self.left = engine, n_answers
        self.identity, self.markers = engine.identity, engine.markers

    def _until_stopped(self, answers: Iterator[Any]) -> Iterator[Any]:
        for answer in answers:
            if not self.left:
                raise EngineError("stopped here")
            self.left -= 1
            yield answer

    def generate(self, requests: Any) -> Iterator[Any]:
        return self._until_stopped(self.engine.generate(requests))

    def choose(self, requests: Any) -> Iterator[Any]:
        return self._until_stopped(self.engine.choose(requests))


N_LAB = 21
Content = dict[str, dict[str, Any]]


def lab_content(
    folder: Path, numbers: Iterable[int], *, shuffled: bool = False, stop_at: int = -1
) -> Content:
    """Every record up to the judge, in bf16 on the shipped model.

    Once it synthesizes, and once it judges what a fake wrote: so there are verdicts whatever the model's own
    replies are worth. With `stop_at` each run is broken off after so many answers and then run again.
    """
    write_pairs(folder, numbers)
    if shuffled:
        rows = json.loads((folder / "pairs.json").read_text())
        random.Random(3).shuffle(rows)
        (folder / "pairs.json").write_text(json.dumps(rows))
    write_benchmark(folder)
    lab, rows_8 = str(GENERAL_MLLM), {"execution": {"rows": 8}}
    recipe = write_recipe(folder, curate=rows_8, train={"model": lab})
    found: Content = {}
    for synthesizer, room in ((lab, "synthesize"), ("synth", "curate")):
        settings = [
            f"synthesize.model={synthesizer}",
            "synthesize.max_tokens=20",
            "synthesize.temperature=0.7",
        ]
        store = ImageStore(folder / "run")
        real = open_engine(EngineSpec(model=lab), store, EngineExecution(rows=8))

        def build(engine: Engine, settings: list[str] = settings, room: str = room) -> dict[str, Path]:
            def chosen(model: Path) -> Engine:
                return fake_engine(model) if model.name == "synth" else engine

            return line_of(recipe, *settings, substitute=chosen).build([room])

        if stop_at >= 0:
            with pytest.raises(EngineError, match="stopped here"):
                build(Interrupted(real, stop_at))
        homes = build(real)
        found[f"{room}: triplets"] = records(homes["synthesize"], "triplets", Triplet)
        found[f"{room}: rejections"] = records(homes["synthesize"], "rejections", Rejection)
    found["judged"] = records(homes["curate"], "judged", JudgedTriplet)
    return found


@pytest.fixture(scope="module")
def lab_whole(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return lab_content(tmp_path_factory.mktemp("whole"), range(N_LAB))


def test_on_the_lab_engine_a_removed_pair_changes_no_other_record(tmp_path: Path, lab_whole: Content):
    part = lab_content(tmp_path, [number for number in range(N_LAB) if number != 3])
    assert len(part["judged"]) >= 10
    for kind, rows in part.items():
        assert rows.items() <= lab_whole[kind].items(), kind
    assert sum(map(len, lab_whole.values())) - sum(map(len, part.values())) <= 3


def test_on_the_lab_engine_a_shuffled_file_changes_no_record(tmp_path: Path, lab_whole: Content):
    assert lab_content(tmp_path, range(N_LAB), shuffled=True) == lab_whole


@pytest.mark.parametrize("stop_at", [0, 11])
def test_on_the_lab_engine_a_resumed_run_changes_no_record(tmp_path: Path, lab_whole: Content, stop_at: int):
    assert lab_content(tmp_path, range(N_LAB), stop_at=stop_at) == lab_whole
