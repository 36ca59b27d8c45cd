"""Every way of writing, judging and mixing tasks, through the whole wiring; and models on servers."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acclimate.engines.cost import estimate_cost
from acclimate.engines.fake import CHATML
from acclimate.engines.keys import Keys
from acclimate.engines.openai import OpenAIEngine
from acclimate.engines.protocol import ChoiceRequest, Request
from acclimate.engines.spending import Accounts
from acclimate.errors import DataError, RecipeError, UsageError
from acclimate.estimate import estimate
from acclimate.files import read_json, read_records
from acclimate.inspection import status
from acclimate.judging import measure_quality
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Conversation, ImageCaption, JudgedTriplet, Rejection, Triplet
from acclimate.steps import read_pairs
from acclimate.synthesize import stage as synthesize_room
from acclimate.synthesize.format import render
from tests.openai_server import Server
from tests.small_lines import fake_engine, synthetic_reply, write_line, write_recipe
from tests.test_pipeline import line_of, real_recipe, records, seeds_of, wired
from tests.tiny_models import tiny_llava, tiny_mllama, tiny_qwen3_vl

ROUNDS = "Question: What is shown?\nAnswer: Round cells are shown.\n\nQuestion: How many?\nAnswer: A few."
TASK = json.dumps({"instruction": "How many?", "informative": "One counts three.", "precise": "Three."})


def check_accounts(homes: dict[str, Path]) -> None:
    """Every pair and task of the rooms before training comes out or is rejected once."""
    pairs = records(homes["ingest"], "pairs", ImageCaption)
    triplets = records(homes["synthesize"], "triplets", Triplet)
    refused = records(homes["synthesize"], "rejections", Rejection)
    told = {each.pair_id for each in triplets.values()} | {key.split("/")[0] for key in refused}
    assert {key.split("#")[0] for key in told} >= pairs.keys()
    judged = records(homes["curate"], "judged", JudgedTriplet)
    assert judged.keys() == triplets.keys()
    used = {
        source
        for each in records(homes["compose"], "conversations", Conversation).values()
        for source in each.sources
    }
    dropped = records(homes["compose"], "rejections", Rejection)
    assert not used & dropped.keys()
    assert used | dropped.keys() == pairs.keys() | judged.keys()


@pytest.mark.parametrize(
    ("generator", "reply", "kinds"),
    [
        ("rules", "", None),
        ("caption_only", "", set()),
        ("text_teacher", ROUNDS, {"conversation"}),
        ("synthesizer", TASK, {""}),
    ],
)
def test_every_method_goes_through_the_same_doors(
    tmp_path: Path, generator: str, reply: str, kinds: set[str] | None
):
    parts: dict[str, Any] = {"generator": generator, "model": "base"}
    if generator == "synthesizer":
        parts["synthesizer"] = {"mode": "prompted"}
    if generator == "text_teacher":
        parts["text_teacher"] = {"kinds": ["conversation", "reasoning"]}
    recipe = write_line(tmp_path, synthesize=parts)
    line = line_of(recipe, substitute=lambda model: fake_engine(model, lambda _request: reply))
    homes = line.build(["ingest", "synthesize", "curate", "compose"])
    check_accounts(homes)
    triplets = records(homes["synthesize"], "triplets", Triplet)
    assert {each.generator for each in triplets.values()} == (set() if kinds == set() else {generator})
    if kinds is not None:
        assert {each.kind for each in triplets.values()} == kinds
    one_answer = [each for each in triplets.values() if not each.precise]
    labels = records(homes["curate"], "judged", JudgedTriplet)
    assert {labels[each.id].label for each in one_answer} <= {"unjudged"}
    if generator in ("rules", "text_teacher"):
        assert one_answer
        composed = records(homes["compose"], "conversations", Conversation)
        used = {source for each in composed.values() for source in each.sources}
        assert used >= triplets.keys(), "tasks with one answer are kept"


def test_a_method_without_a_model_needs_none(tmp_path: Path):
    recipe = write_line(tmp_path, synthesize={"generator": "rules"}, curate={"judge": "none"})

    def nobody(model: Path) -> Any:
        if model.name == "base":  # the model that is to be trained and asked
            return fake_engine(model)
        raise AssertionError(f"{model} was opened")

    homes = line_of(recipe, substitute=nobody).build(["compose"])
    assert records(homes["synthesize"], "triplets", Triplet)


@pytest.mark.parametrize("generator", ["text_teacher", "vision_teacher"])
def test_a_teacher_must_be_named(tmp_path: Path, generator: str):
    recipe = write_line(tmp_path, synthesize={"generator": generator, "model": "tuned"})
    with pytest.raises(RecipeError, match=r"synthesize\.model is `tuned`, but .*openai:NAME@URL"):
        line_of(recipe)


def test_without_a_judge_every_task_is_kept_unjudged(tmp_path: Path):
    recipe = write_line(tmp_path, curate={"judge": "none"})
    homes = wired(recipe)
    labels = {each.label for each in records(homes["curate"], "judged", JudgedTriplet).values()}
    assert labels == {"unjudged"}
    assert not any(
        each.reason.startswith("judged_")
        for each in records(homes["compose"], "rejections", Rejection).values()
    )


def test_self_consistency_judges_from_the_pictures(tmp_path: Path):
    recipe = write_line(
        tmp_path, curate={"method": "self_consistency", "self_consistency": {"k": 2}, "threshold": 0.5}
    )

    def reply(request: Request) -> str:
        return synthetic_reply(request) if request.opens == "user" else "Three."

    line = line_of(recipe, substitute=lambda model: fake_engine(model, reply))
    judged = records(line.build(["curate"])["curate"], "judged", JudgedTriplet)
    assert {each.label for each in judged.values()} == {"consistent"}
    assert {each.p_consistent for each in judged.values()} == {1.0}


# --- general tasks and stages -----------------------------------------------------------------------


def general_recipe(folder: Path, tasks: str, **more: Any) -> Path:
    write_line(folder)
    return write_recipe(folder, general=seeds_of(folder), compose={"tasks": tasks}, **more)


def test_general_tasks_come_from_seed_examples_through_the_same_filter(tmp_path: Path):
    line = line_of(general_recipe(tmp_path, "both"))
    homes = line.build(["compose"])
    judged = records(homes["curate-general"], "judged", JudgedTriplet)
    assert len(judged) == 6
    composed = records(homes["compose"], "conversations", Conversation)
    dropped = records(homes["compose"], "rejections", Rejection)
    used = {source for each in composed.values() for source in each.sources}
    examples = {pair.id for pair in read_pairs(homes["general"], "examples")}
    own = records(homes["ingest"], "pairs", ImageCaption).keys()
    tasks = records(homes["curate"], "judged", JudgedTriplet).keys() | judged.keys()
    assert used | dropped.keys() == own | examples | tasks
    kept = {key for key, each in judged.items() if each.label == "consistent"}
    assert kept
    assert kept <= used


def test_the_general_task_method_alone_leaves_the_domain_its_captions(tmp_path: Path):
    recipe = general_recipe(tmp_path, "general", synthesize={"generator": "general_task"})
    line = line_of(recipe)
    assert "synthesize" not in line.steps
    homes = line.build(["compose"])
    record = read_json(homes["compose"] / "record.json")
    assert record["counts"]["caption_only"] == 12
    assert record["counts"]["inputs"] == record["counts"]["outputs"] + sum(record["rejections"].values())
    folder, quality = measure_quality(line_of(recipe, "quality.judge=none"))
    assert [each.name for each in quality.sets] == ["all tasks", "kept tasks"]
    assert (folder / "sheet.csv").is_file()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"synthesize": {"generator": "general_task"}}, r"compose\.tasks to `general`"),
        ({"compose": {"tasks": "both"}}, "names no seed examples"),
    ],
)
def test_general_tasks_without_a_source_or_a_use_are_refused(tmp_path: Path, parts: Any, said: str):
    with pytest.raises(RecipeError, match=said):
        load_recipe(write_line(tmp_path, **parts))


# --- real models -------------------------------------------------------------------------------------


def test_synthesizer_judge_and_adapted_model_are_of_three_families_and_stages_follow(tmp_path: Path):
    """LLaVA-1.5 writes, Mllama judges, Qwen3-VL is trained, in two stages."""
    recipe = real_recipe(tmp_path, tiny_qwen3_vl(tmp_path / "qwen"), 8)
    overrides = (
        f"synthesizer.model={tiny_llava(tmp_path / 'llava')}",
        f"curate.judge={tiny_mllama(tmp_path / 'mllama')}",
        "synthesize.synthesizer.mode=continue",
        "compose.mixture=two_stage",
        "compose.tasks=both",
        "compose.keep=[consistent, inconsistent, open, unjudged]",
    )
    line = Line(load_recipe(recipe, overrides), recipe.parent)
    homes = line.build()
    summary = dict(line.report(homes))
    rooms = status(line.root)["rooms"]
    assert all(room["finished"] for room in rooms.values())
    composed = records(homes["compose"], "conversations", Conversation)
    by_stage = {stage: sum(each.stage == stage for each in composed.values()) for stage in (1, 2)}
    assert rooms["train-captions"]["inputs"] == by_stage[1] == 8
    assert rooms["train"]["inputs"] == by_stage[2] == 6, "the general tasks"
    judges = {each.judge for each in read_records(homes["curate-general"] / "judged.parquet", JudgedTriplet)}
    assert len(judges) == 1
    assert set(summary["benchmarks"]) == {"small"}  # type: ignore[call-overload]
    names = {name: read_json(home / "record.json") for name, home in homes.items()}
    assert names["train"]["inputs"]["model"] == names["train-captions"]["fingerprint"]


def test_a_run_with_general_tasks_alone_is_reported(tmp_path: Path):
    recipe = real_recipe(tmp_path, tiny_qwen3_vl(tmp_path / "qwen"), 6)
    overrides = (
        "synthesize.generator=general_task",
        "synthesize.model=base",
        "compose.tasks=general",
        "compose.keep=[consistent, inconsistent, open]",
    )
    line = Line(load_recipe(recipe, overrides), recipe.parent)
    homes = line.build()
    assert "synthesize" not in homes
    assert "tune-synthesizer" not in homes
    line.report(homes)
    assert "How many stars are there?" in (line.root / "report" / "index.html").read_text()


def test_a_second_stage_without_tasks_is_refused_before_the_first_is_trained(tmp_path: Path):
    recipe = real_recipe(tmp_path, tiny_qwen3_vl(tmp_path / "qwen"), 6)
    overrides = ("synthesize.generator=caption_only", "synthesize.model=base", "compose.mixture=two_stage")
    line = Line(load_recipe(recipe, overrides), recipe.parent)
    with pytest.raises(DataError, match="no task was kept for the second stage"):
        line.build(["train"])


# --- models on servers --------------------------------------------------------------------------------

KEY = "sk-loopback-4711-never-shown"


def served_recipe(folder: Path, server: Server, **server_values: Any) -> Path:
    model = {"model": "teacher", "base_url": server.url}
    execution = {"server": {"api_key_env": "TEACHER_API_KEY", "backoff_s": 0.01, **server_values}}
    return write_line(
        folder,
        synthesize={
            "generator": "text_teacher",
            "model": model,
            "text_teacher": {"kinds": ["conversation"], "examples": 1},
            "execution": execution,
        },
        curate={"judge": "none"},
        train={"model": str(tiny_qwen3_vl(folder / "base"))},
    )


def test_a_teacher_on_a_server_writes_tasks_and_its_key_is_shown_nowhere(tmp_path: Path):
    with Server(lambda _body: ROUNDS) as server:
        recipe = served_recipe(tmp_path, server)
        done = subprocess.run(
            [sys.executable, "-m", "acclimate", "synthesize", str(recipe), "--json", "--yes"],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TEACHER_API_KEY": KEY},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert {each["authorization"] for each in server.headers} == {f"Bearer {KEY}"}
        assert len(server.bodies) == 12
    assert json.loads(done.stdout)["rooms"]["synthesize"]["outputs"] == 24
    shown = [done.stdout, done.stderr]
    shown += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY in text for text in shown)


def test_without_its_key_a_server_is_refused_by_the_variables_name(tmp_path: Path):
    with Server() as server:
        recipe = served_recipe(tmp_path, server)
        line = Line(load_recipe(recipe), recipe.parent, keys=Keys({}))
        with pytest.raises(Exception, match="TEACHER_API_KEY is not set"):
            line.build(["synthesize"])
        assert not server.bodies


def test_what_a_server_will_cost_is_said_before_anything_is_sent(tmp_path: Path):
    with Server(lambda _body: ROUNDS) as server:
        recipe = served_recipe(tmp_path, server, prices={"prompt": 2.0, "reply": 8.0})
        line = Line(load_recipe(recipe), recipe.parent, keys=Keys({"TEACHER_API_KEY": KEY}))
        rows = {row.step: row for row in estimate(line)}
        home = line.build(["ingest"])["ingest"]
        assert not server.bodies
        pairs = read_pairs(home, "pairs")
        exact = estimate_cost(
            synthesize_room.planned(pairs, line.recipe.synthesize),
            line.recipe.synthesize.execution.server.prices,
        )
        assert rows["synthesize"].cost == exact
        assert exact.money_most
        assert exact.n_requests == 12
        assert rows["curate"].cost is None, "nobody judges"
        line.build(["synthesize"])
        assert len(server.bodies) == exact.n_requests


# --- quality of two runs -------------------------------------------------------------------------------


def test_the_tasks_of_two_runs_on_the_same_pairs_are_compared(tmp_path: Path):
    recipe = write_line(tmp_path / "one")
    other = write_line(tmp_path / "two", synthesize={"generator": "rules"})
    wired(other)
    line = line_of(recipe, "quality.judge=none")
    folder, quality = measure_quality(line, {"rules": line_of(other).root})
    assert [each.name for each in quality.sets] == ["all tasks", "kept tasks", "rules"]
    assert {(each.first, each.second) for each in quality.comparisons} >= {("kept tasks", "rules")}
    shared = {each.n_shared_pairs for each in quality.comparisons if each.second == "rules"}
    assert max(shared) > 0
    assert "rules" in (folder / "side_by_side.md").read_text()
    with pytest.raises(DataError, match=r"none has a verdict .*compose\.keep"):
        measure_quality(line_of(recipe, "compose.keep=[open]"), {"rules": line_of(other).root})
    with pytest.raises(UsageError, match="not a run's folder"):
        measure_quality(line, {"nothing": tmp_path / "nowhere"})


def test_two_runs_of_one_method_keep_their_own_texts_and_ratings(tmp_path: Path):
    """The same pairs and the same method give the same ids, though another model wrote the tasks."""
    recipe = write_line(tmp_path / "one")
    other = write_line(tmp_path / "two")

    def line_with(path: Path, said: str) -> Line:
        def reply(request: Request) -> str:
            return render(f"How many? {said}", "Three.", f"{said} counts three.", CHATML)

        return line_of(
            path,
            "compose.keep=[consistent, inconsistent, open]",
            "quality.per_set=null",
            substitute=lambda model: fake_engine(model.with_name(said), reply, rates),
        )

    def rates(request: ChoiceRequest) -> tuple[float, ...]:
        good = "theirs" in request.messages[0].text
        n = len(request.choices)
        return tuple(-0.1 if place == (n - 1 if good else 0) else -9.0 for place in range(n))

    line_with(other, "theirs").build(["curate"])
    folder, quality = measure_quality(line_with(recipe, "ours"), {"theirs": other.parent / "run"})
    levels = {each.name: each.spans["accuracy"].value for each in quality.sets}
    assert levels == {"all tasks": 1.0, "kept tasks": 1.0, "theirs": 5.0}
    sheet = (folder / "sheet.csv").read_text()
    assert "theirs counts three" in sheet
    assert "ours counts three" in sheet


def test_what_decides_nothing_retrains_nothing(tmp_path: Path):
    recipe = write_line(tmp_path)
    first = line_of(recipe).fingerprints()
    assert line_of(recipe, "curate.self_consistency.k=9").fingerprints() == first
    none = line_of(recipe, "curate.judge=none").fingerprints()
    assert line_of(recipe, "curate.judge=none", "curate.threshold=0.9").fingerprints() == none
    alone = line_of(recipe, "compose.mixture=captions_only")
    assert "synthesize" not in alone.needed()
    assert "curate" in alone.steps


def test_pictures_beside_the_seeds_are_not_part_of_them(tmp_path: Path):
    recipe = general_recipe(tmp_path, "both")
    first = line_of(recipe).fingerprints()
    (tmp_path / "images" / "unrelated.png").write_bytes(b"another picture")
    assert line_of(recipe).fingerprints() == first
    (tmp_path / "images" / "p1.png").write_bytes((tmp_path / "images" / "p2.png").read_bytes())
    assert line_of(recipe).fingerprints() != first


def test_a_run_that_failed_can_be_inspected(tmp_path: Path):
    recipe = write_line(tmp_path, train={"model": str(tiny_qwen3_vl(tmp_path / "base"))})
    line = line_of(recipe, "synthesize.generator=caption_only", "compose.mixture=tasks_only", substitute=None)
    with pytest.raises(Exception, match="conversations"):
        line.build()
    rooms = status(line.root)["rooms"]
    assert rooms["compose"]["finished"]
    assert rooms["compose"]["outputs"] == 0


@pytest.mark.parametrize("key", ["train.model", "synthesizer.model"])
def test_a_model_on_a_server_cannot_be_trained_and_that_is_said_at_once(tmp_path: Path, key: str):
    write_line(tmp_path)
    recipe = write_recipe(
        tmp_path, synthesizer={"model": "base", "seeds": seeds_of(tmp_path)}, synthesize={"model": "tuned"}
    )
    with pytest.raises(RecipeError, match=rf"{key}: .*stands on a server"):
        line_of(recipe, f"{key}=openai:x@http://127.0.0.1:1/v1")


@pytest.mark.parametrize("key", ["synthesize.model", "curate.judge", "quality.judge"])
def test_a_key_in_a_models_value_is_refused_and_not_repeated(tmp_path: Path, key: str):
    recipe = write_line(tmp_path)
    secret = "sk-in-the-wrong-place"
    for value in (
        f"{{model: x, base_url: 'http://u:{secret}@h/v1'}}",
        f"{{model: x, base_url: 'http://h', api_key: {secret}}}",
    ):
        with pytest.raises(RecipeError) as caught:
            load_recipe(recipe, [f"{key}={value}"])
        assert key in str(caught.value)
        assert secret not in str(caught.value)


def test_the_ceiling_holds_over_reopened_engines(tmp_path: Path):
    """Two steps of one command ask the same server; the second one does not begin at nothing."""
    with Server(lambda _body: ROUNDS) as server:
        recipe = served_recipe(tmp_path, server, budget_tokens=100_000)
        accounts = Accounts()
        for run in ("one", "two"):
            line = Line(
                load_recipe(recipe, [f"run_dir={run}"]),
                recipe.parent,
                keys=Keys({"TEACHER_API_KEY": KEY}),
                accounts=accounts,
            )
            line.build(["synthesize"])
        (engine,) = line.place.engines.opened.values()
        assert isinstance(engine, OpenAIEngine)
        assert engine.usage.n_answers == len(server.bodies) == 24


# --- the command line ------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "acclimate", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def filled(sheet: Path, copy: Path, level: int) -> None:
    """Rate every task of a sheet with one level."""
    with sheet.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        rows = list(reader)
        names = list(reader.fieldnames or ())
    for row in rows:
        row |= {"task_type": "2", "consistent": "yes"}
        row |= dict.fromkeys(("knowledge", "complexity", "accuracy"), str(level))
    with copy.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, names)
        writer.writeheader()
        writer.writerows(rows)


def test_quality_and_agreement_from_the_command_line(tmp_path: Path):
    write_line(
        tmp_path,
        synthesize={"generator": "rules"},
        curate={"judge": "none"},
        quality={"judge": "none"},
        train={"model": str(tiny_qwen3_vl(tmp_path / "base"))},
    )
    done = command(tmp_path, "curate", "recipe.yaml", "--quality")
    assert done.returncode == 0, done.stderr
    assert "kept tasks" in done.stdout
    assert "words" in done.stdout
    folder = tmp_path / "run" / "quality"
    filled(folder / "sheet.csv", tmp_path / "ann.csv", 4)
    filled(folder / "sheet.csv", tmp_path / "ben.csv", 3)
    done = command(
        tmp_path, "curate", "recipe.yaml", "--agreement", "ann=ann.csv", "--agreement", "ben=ben.csv"
    )
    assert done.returncode == 0, done.stderr
    assert "ann and ben" in done.stdout
    assert (folder / "people" / "ann" / "quality.md").is_file()
    done = command(tmp_path, "curate", "recipe.yaml", "--calibrate", "ann.csv")
    assert done.returncode == 1
    assert "column" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--with", "a=b"], "--with goes with --quality"),
        (["--precision", "0.9"], "--precision with --calibrate"),
        (["--quality", "--calibrate", "a.csv"], "one at a time"),
        (["--agreement", "nameless"], "NAME=PATH"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path: Path, arguments: list[str], said: str):
    write_line(tmp_path, train={"model": str(tiny_qwen3_vl(tmp_path / "base"))})
    done = command(tmp_path, "curate", "recipe.yaml", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
