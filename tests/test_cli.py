"""The command line as a user meets it: a process, its exit code, and what it says."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.small_lines import llava_row, png, write_benchmark, write_pairs, write_recipe
from tests.tiny_models import tiny_mllama, tiny_qwen3_vl

ACCLIMATE = Path(sys.executable).parent / "acclimate"
VERBS = (
    "demo", "init", "run", "ingest", "tune-synthesizer", "synthesize", "curate", "compose", "train",
    "evaluate", "report", "inspect", "runs", "prune", "doctor", "lab",
)  # fmt: skip
Done = subprocess.CompletedProcess[str]


def acclimate(*args: object, cwd: Path, timeout: float = 120) -> Done:
    command = [str(ACCLIMATE), *map(str, args)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )


def check_message(done: Done, code: int, *words: str) -> None:
    """A failure is one paragraph on stderr with the remedy in it, nothing on stdout, and its exit code."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one paragraph"
    for each in words:
        assert each in done.stderr


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3_vl(tmp_path_factory.mktemp("models") / "tiny")


def line(folder: Path, model: Path, n: int = 6, **parts: Any) -> Path:
    """Write a whole line's files on a checkpoint; return the recipe."""
    write_pairs(folder, range(n))
    write_benchmark(folder, 4)
    few = {"batch_size": 4, "max_steps": 2, "max_tokens": 4096, "check_reload": False}
    rooms: dict[str, Any] = {
        "synthesize": {"model": str(model), "max_tokens": 12, "execution": {"rows": 4}},
        "curate": {"execution": {"rows": 4}},
        "train": {"model": str(model), **few},
        "evaluate": {"benchmarks": ["small.yaml"], "max_tokens": {"small": 4}},
    }
    for room, values in parts.items():
        rooms[room] = {**rooms.get(room, {}), **values}
    return write_recipe(folder, **rooms)


# --- help and usage -------------------------------------------------------------------------------


def test_help_comes_at_once_and_names_every_verb(tmp_path: Path):
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        done = acclimate("--help", cwd=tmp_path)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 0.5
    assert done.returncode == 0
    listed = [text.split()[0] for text in done.stdout.splitlines() if text.startswith("  ") and text.split()]
    assert [name for name in listed if name in VERBS] == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(tmp_path: Path, verb: str):
    done = acclimate(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Usage: acclimate" in done.stdout
    if verb not in ("init", "inspect", "runs", "doctor", "lab", "prune"):
        for option in ("--json", "--dry-run", "--limit"):
            assert option in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ("rum",),
        ("run",),
        ("run", "recipe.yaml", "--no-such-option"),
        ("run", "recipe.yaml", "--limit", "none"),
        ("evaluate",),
        ("evaluate", "recipe.yaml", "--benchmark", "b.yaml"),
        ("evaluate", "--model", "m"),
        ("demo", "--domain", "cars"),
        ("run", "nowhere.yaml"),
        ("inspect", "nowhere"),
        ("inspect", "."),
    ],
)
def test_wrong_usage_leaves_with_2_and_says_what_is_right(tmp_path: Path, args: Sequence[str]):
    done = acclimate(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


# --- bad input ------------------------------------------------------------------------------------


def test_an_unknown_recipe_key_names_the_nearest_known_one(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model, train={"learning_rat": 1e-3})
    check_message(acclimate("run", recipe, cwd=tmp_path), 2, "train.learning_rat", "train.learning_rate")
    recipe = line(tmp_path, model)
    check_message(acclimate("run", recipe, "temperature=1", cwd=tmp_path), 2, "synthesize.temperature")
    check_message(acclimate("run", recipe, "train.epochs=many", cwd=tmp_path), 2, "train.epochs")
    assert not (tmp_path / "run").exists()


def test_a_missing_image_folder_is_named(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model, ingest={"image_root": "pictures"})
    check_message(acclimate("run", recipe, cwd=tmp_path), 1, str(tmp_path / "pictures"), "image_root")
    check_message(
        acclimate("init", "no-folder", cwd=tmp_path / "images"), 1, "no-folder", "captions and images"
    )
    shutil.rmtree(tmp_path / "images")
    recipe = line(tmp_path / "again", model)
    shutil.rmtree(tmp_path / "again" / "images")
    (tmp_path / "again" / "images").mkdir()
    check_message(acclimate("ingest", recipe, cwd=tmp_path), 1, "p0.png", "image_root")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("pairs.json", "[]", ("no rows",), id="an empty list"),
        pytest.param("pairs.json", "", ("pairs.json",), id="no bytes at all"),
        pytest.param("pairs.csv", "image,caption\n", ("no rows",), id="a header only"),
        pytest.param("pairs.csv", "image,caption\np0.png,\np1.png,\n", ("caption", "columns"), id="no text"),
    ],
)
def test_an_empty_caption_file_is_named(
    tmp_path: Path, model: Path, name: str, content: str, words: Sequence[str]
):
    recipe = line(tmp_path, model, ingest={"source": name})
    (tmp_path / name).write_text(content)
    check_message(acclimate("run", recipe, cwd=tmp_path), 1, str(tmp_path / name), *words)


def test_a_checkpoint_that_is_none_is_named_with_what_it_lacks(tmp_path: Path, model: Path):
    empty, pickled = tmp_path / "empty", tmp_path / "pickled"
    empty.mkdir()
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "qwen3_vl"}')
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    recipe = line(tmp_path, model)
    check_message(acclimate("run", recipe, "train.model=gone", cwd=tmp_path), 1, "no model at", "gone")
    check_message(acclimate("run", recipe, "train.model=empty", cwd=tmp_path), 1, "no config.json")
    check_message(acclimate("train", recipe, "train.model=pickled", cwd=tmp_path), 1, "pickled", "Convert")
    check_message(acclimate("init", tmp_path, "--model", empty, cwd=tmp_path / "empty"), 1, "no config.json")
    done = acclimate("evaluate", "--model", empty, "--benchmark", "small.yaml", cwd=tmp_path)
    check_message(done, 1, "no config.json")


def test_urls_in_the_image_column_are_refused_with_the_remedy(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model)
    rows = [llava_row(number, image=f"https://example.org/{number}.jpg") for number in range(3)]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    check_message(
        acclimate("run", recipe, cwd=tmp_path), 1, "https://example.org/0.jpg", "download the images"
    )
    data = tmp_path / "data"
    data.mkdir()
    (data / "c.csv").write_text("image,caption\nhttps://example.org/1.png,One cell.\n")
    check_message(acclimate("init", data, cwd=data), 1, "URLs", "download the images")


def test_a_benchmark_that_cannot_be_used_is_named(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model)
    done = acclimate("run", recipe, "evaluate.benchmarks=[none.yaml]", cwd=tmp_path)
    check_message(done, 1, "none.yaml", "evaluate.benchmarks")


def test_a_csv_with_bom_and_semicolons_works_as_it_is(tmp_path: Path, model: Path):
    data = tmp_path / "Daten für uns"
    (data / "bilder").mkdir(parents=True)
    rows = ["image;caption"]
    for number in range(5):
        (data / "bilder" / f"p{number}.png").write_bytes(png(number))
        rows.append(f'p{number}.png;"Zellen; {number} größere"')
    (data / "captions.csv").write_text("\r\n".join(rows) + "\r\n", encoding="utf-8-sig")
    assert acclimate("init", data, "--model", model, cwd=tmp_path).returncode == 0
    done = acclimate("ingest", "recipe.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    room = json.loads(done.stdout)["rooms"]["ingest"]
    assert (room["inputs"], room["outputs"], room["rejections"]) == (5, 5, {})
    pairs = json.loads(acclimate("inspect", "recipe.yaml", "--json", cwd=tmp_path).stdout)
    assert pairs["rooms"]["ingest"]["outputs"] == 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True
    )
    if not made or made.returncode:
        pytest.skip("this machine does not let us mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_stops_the_work_with_the_remedy_and_keeps_what_is_finished(
    small_disk: Path, tmp_path: Path, model: Path
):
    recipe = line(tmp_path / "user", model, 60, ingest={"images": "copy"})
    run = f"run_dir={small_disk}/run"
    assert acclimate("ingest", recipe, run, "ingest.limit=10", cwd=tmp_path).returncode == 0
    finished = list(small_disk.glob("run/artifacts/ingest/*/record.json"))
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as handle, pytest.raises(OSError, match="No space"):
        while True:
            handle.write(b"\0" * 4096)
    done = acclimate("ingest", recipe, run, cwd=tmp_path)
    assert "is full" in done.stderr
    check_message(done, 1, "prune", "same command again")
    assert finished[0].is_file()
    filler.unlink()
    done = acclimate("ingest", recipe, run, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rooms"]["ingest"]["outputs"] == 60
    assert len(list(small_disk.glob("run/artifacts/ingest/*/record.json"))) == 2


def test_what_the_system_refuses_is_said_in_a_sentence(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model)
    done = acclimate("ingest", recipe, "run_dir=pairs.json", cwd=tmp_path)
    check_message(done, 1, "The system refused", "pairs.json")


BROKEN = """
import sys
from acclimate import pipeline
from acclimate.cli import main

def broken(*_, **__):
    raise ValueError("an odd thing\\nwith a second line")

pipeline.Line.build = broken
sys.argv = ["acclimate", "run", sys.argv[1]]
main()
"""


def test_a_fault_of_ours_is_one_line_and_its_details_are_in_the_log(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model)
    shell = [sys.executable, "-c", BROKEN, str(recipe)]
    done = subprocess.run(shell, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("unexpected error: ValueError: an odd thing.")
    assert done.stderr.count("\n") == 1
    log = tmp_path / "run" / "run.log"
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text()


# --- interrupted ----------------------------------------------------------------------------------


def unignored() -> None:
    """A test that runs in the background would hand its ignored SIGINT on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_with_130_and_the_same_command_goes_on(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model, 80, synthesize={"max_tokens": 80})
    process = subprocess.Popen(
        [str(ACCLIMATE), "synthesize", str(recipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=unignored,
    )
    replies = tmp_path / "run" / "replies"
    deadline = time.monotonic() + 90
    while not any(path.stat().st_size for path in replies.glob("*/*.jsonl")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.strip().endswith("interrupted; what is finished stays. The same command goes on from there.")
    kept = sum(path.read_text().count("\n") for path in replies.glob("*/*.jsonl"))
    assert 0 < kept < 80
    done = acclimate("synthesize", recipe, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    room = json.loads(done.stdout)["rooms"]["synthesize"]
    assert room["inputs"] == 80 == room["outputs"] + sum(room["rejections"].values())
    logged = sum(path.read_text().count("\n") for path in replies.glob("*/*.jsonl"))
    assert logged == 80, "no reply was asked for twice"


# --- a run, and looking at it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A whole run by the command line, and what it printed; Mllama, whose library warns the most."""
    folder = tmp_path_factory.mktemp("whole run")
    recipe = line(folder, tiny_mllama(folder / "model"), train={"check_reload": True})
    return recipe, acclimate("run", recipe, "--yes", cwd=folder)


def test_a_run_prints_its_table_and_how_to_go_on_and_nothing_stray(finished: tuple[Path, Done]):
    recipe, done = finished
    assert done.returncode == 0, done.stderr
    for word in ("small", "gain", "index.html", "vllm serve", "from_pretrained"):
        assert word in done.stdout
    steps = (
        "ingest",
        "synthesize",
        "curate",
        "items",
        "compose",
        "evaluate-base",
        "train",  # what it will train
        "train",
        "evaluate-adapted",
    )
    told = done.stderr.splitlines()
    plan = [text for text in told if text.startswith("  ")]
    assert [text.split()[0] for text in plan] == ["vision", "projector", "language", "memory"]
    assert all(" learn at " in text for text in plan[:3])
    assert [text.split(":")[0] for text in told if text not in plan] == list(steps), "no library's words"
    log = (recipe.parent / "run" / "run.log").read_text()
    assert log.index(" learn at ") < log.index("train: started")


def test_json_is_one_object_and_all_is_reused(finished: tuple[Path, Done]):
    recipe, _ = finished
    done = acclimate("run", recipe, "--json", cwd=recipe.parent)
    assert done.returncode == 0
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert {"base", "adapted", "gain", "benchmarks", "reliance", "report", "rooms"} <= result.keys()
    for name, room in result["rooms"].items():
        assert room["finished"], name


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model)
    before = snapshot(tmp_path)
    done = acclimate("run", recipe, "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = {row["step"]: row for row in json.loads(done.stdout)["plan"]}
    assert not plan["train"]["finished"]
    assert plan["train"]["work"] == "6 conversations, 2 steps"
    assert plan["evaluate-base"]["work"] == "12 requests"
    assert plan["train"]["tokens"] > 0
    assert snapshot(tmp_path) == before
    for verb in ("ingest", "train", "evaluate", "report"):
        done = acclimate(verb, recipe, "--dry-run", cwd=tmp_path)
        assert done.returncode == 0
        assert "to do" in done.stdout
    done = acclimate("prune", recipe, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert snapshot(tmp_path) == before


def test_the_demo_can_be_planned_without_its_files(tmp_path: Path):
    done = acclimate("demo", "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = {row["step"]: row for row in json.loads(done.stdout)["plan"]}
    assert plan["synthesize"]["work"].endswith(" requests")
    assert plan["evaluate-adapted"]["tokens"] > 100_000
    assert not list(tmp_path.iterdir())


def test_inspect_shows_counts_records_reasons_and_the_mask(finished: tuple[Path, Done]):
    recipe, _ = finished
    folder = recipe.parent
    status = json.loads(acclimate("inspect", folder / "run", "--json", cwd=folder).stdout)
    rooms = status["rooms"]
    assert rooms["ingest"]["outputs"] == 6
    assert next(iter(rooms)) == "ingest"
    assert "ingest" in acclimate("inspect", recipe, cwd=folder).stdout
    reason = next(iter(rooms["synthesize"]["rejections"]))
    found = json.loads(acclimate("inspect", recipe, reason, "--json", cwd=folder).stdout)["records"]
    assert found[0]["reason"] == reason
    pair = found[0]["id"].split("/")[0]
    found = json.loads(acclimate("inspect", recipe, pair, cwd=folder).stdout)["records"]
    assert {"ingest/pairs", "compose/conversations"} <= {each["in"] for each in found}
    done = acclimate("inspect", recipe, "--batch", "-n", "2", "--json", cwd=folder)
    assert done.stderr == ""
    shown = json.loads(done.stdout)["conversations"]
    assert len(shown) == 2
    for each in shown:
        trained = each["text"].split("«")[1].split("»")[0]
        assert trained.startswith("Sample")
        assert "Describe" not in trained
    check_message(acclimate("inspect", recipe, "nothing-like-it", cwd=folder), 1, "nothing-like-it")


def test_runs_lists_artifacts_and_prune_frees_what_no_recipe_needs(tmp_path: Path, model: Path):
    recipe = line(tmp_path, model)
    for limit in ("ingest.limit=3", "ingest.limit=5"):
        assert acclimate("ingest", recipe, limit, cwd=tmp_path).returncode == 0
    rows = json.loads(acclimate("runs", recipe, "--json", cwd=tmp_path).stdout)["artifacts"]
    assert [row["name"] for row in rows] == ["ingest", "ingest"]
    assert all(row["finished"] for row in rows)
    assert acclimate("runs", tmp_path / "run", cwd=tmp_path).stdout.count("ingest") == 2
    freed = json.loads(acclimate("prune", recipe, "ingest.limit=5", "--json", cwd=tmp_path).stdout)
    assert freed["freed_bytes"] > 0
    rows = json.loads(acclimate("runs", recipe, "--json", cwd=tmp_path).stdout)["artifacts"]
    assert [row["counts"]["inputs"] for row in rows] == [5]


def test_doctor_says_what_works_and_looks_at_a_checkpoint(tmp_path: Path, model: Path):
    done = acclimate("doctor", model, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    checks = {row["what"]: row for row in json.loads(done.stdout)["checks"]}
    assert checks["torch"]["ok"]
    assert checks[str(model)]["ok"]
    assert "Qwen3-VL" in checks[str(model)]["detail"]
    done = acclimate("doctor", tmp_path / "gone", cwd=tmp_path)
    assert f"no  {tmp_path / 'gone'}" in done.stdout


# --- scoring a checkpoint -------------------------------------------------------------------------


def test_a_checkpoint_is_scored_without_a_recipe(tmp_path: Path, model: Path):
    write_benchmark(tmp_path, 6)
    options = ("--model", model, "--benchmark", "small.yaml", "--out", "scores")
    plan = acclimate("evaluate", *options, "--dry-run", cwd=tmp_path)
    assert "6 questions" in plan.stdout
    assert not (tmp_path / "scores").exists()
    done = acclimate("evaluate", *options, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["rows"] == {"small": 6}
    measured = result["measurements"]["small"]
    assert {"original", "mismatch", "blank", "vrs", "unparsed"} <= measured.keys()
    assert measured["original"]["n"] == 6
    assert measured["original"]["low"] <= measured["original"]["value"] <= measured["original"]["high"]
    again = acclimate("evaluate", *options, cwd=tmp_path)
    assert "items: already built" in again.stderr
    assert "evaluate-model: already built" in again.stderr
    assert "small" in again.stdout
    few = json.loads(acclimate("evaluate", *options, "--limit", 3, "--json", cwd=tmp_path).stdout)
    assert few["limit"] == 3
    assert few["measurements"]["small"]["original"]["n"] == 3


def test_init_does_not_replace_a_recipe_unasked(tmp_path: Path, model: Path):
    write_pairs(tmp_path / "data", range(3))
    assert acclimate("init", "data", "--model", model, cwd=tmp_path).returncode == 0
    first = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert first["train"]["model"]
    check_message(acclimate("init", "data", cwd=tmp_path), 2, "--force")
    assert acclimate("init", "data", "--model", model, "--force", "--json", cwd=tmp_path).returncode == 0
