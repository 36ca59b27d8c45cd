"""Steps, their directories, the reply log, and what a kill leaves behind."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acclimate.artifacts import (
    Outcome,
    ReplyLog,
    Step,
    Workspace,
    build,
    changed_files,
    fingerprint,
    finished,
    home_of,
    list_artifacts,
    prune,
)
from acclimate.errors import ArtifactError
from acclimate.files import read_json, write_text

SOURCE = Path(__file__).parents[1] / "src"


def count_step(n: int = 3, *, version: int = 1, inputs: dict[str, Step] | None = None, run=None) -> Step:
    def write_numbers(space: Workspace) -> Outcome:
        for number in range(n):
            write_text(space.out / "shards" / f"{number}.txt", f"{number}\n")
        facts = {role: sorted(each.name for each in path.iterdir()) for role, path in space.inputs.items()}
        return Outcome({"inputs": n, "outputs": n}, {}, ("CC0", "CC0"), facts, {"speed": time.time()})

    return Step("count", version, {"n": n}, inputs or {}, run or write_numbers, {"judge": "digest"})


def test_a_step_is_built_once_and_its_record_says_what_it_holds(tmp_path: Path):
    home = build(count_step(), tmp_path)
    record = read_json(home / "record.json")
    assert home == home_of(count_step(), tmp_path) == finished(count_step(), tmp_path)
    assert record["fingerprint"] == fingerprint(count_step())
    assert home.name == record["fingerprint"][:16]
    assert record["counts"] == {"inputs": 3, "outputs": 3}
    assert record["licences"] == ["CC0"]
    assert record["engines"] == {"judge": "digest"}
    assert sorted(record["files"]) == ["shards/0.txt", "shards/1.txt", "shards/2.txt"]
    assert read_json(home / "run.json")["speed"] > 0
    assert not home.with_name(home.name + ".work").exists()

    def refuse(_space: Workspace) -> Outcome:
        raise AssertionError("a finished artifact is reused")

    assert build(count_step(run=refuse), tmp_path) == home


def test_two_roots_give_the_same_record_to_the_byte(tmp_path: Path):
    homes = [build(count_step(inputs={"a": count_step(2)}), tmp_path / name) for name in ("x", "y ü")]
    first, second = ((home / "record.json").read_bytes() for home in homes)
    assert first == second
    assert str(tmp_path).encode() not in first


def test_the_fingerprint_changes_with_everything_that_decides_the_content():
    plain = count_step()
    others = [
        count_step(4),
        count_step(version=2),
        count_step(inputs={"a": count_step(2)}),
        count_step(inputs={"b": count_step(2)}),
        count_step(inputs={"a": count_step(2, version=9)}),
        Step("other", 1, plain.config, {}, plain.run, plain.engines),
        Step("count", 1, plain.config, {}, plain.run, {"judge": "another"}),
        Step("count", 1, {"n": 3.5}, {}, plain.run, plain.engines),
    ]
    prints = {fingerprint(each) for each in [plain, *others]}
    assert len(prints) == len(others) + 1
    assert fingerprint(count_step()) == fingerprint(plain), "the function's identity does not enter"


@pytest.mark.parametrize(
    "value", [Path("x"), {1, 2}, float("nan"), {1: 2}, b"x", object()], ids=lambda value: type(value).__name__
)
def test_a_config_that_is_not_plain_json_is_refused_by_name(value: object):
    step = Step("count", 1, {"outer": [{"inner": value}]}, {}, count_step().run)
    with pytest.raises(TypeError, match=r"count\.config\.outer\[0\]"):
        fingerprint(step)


def test_inputs_are_built_first_and_seen_by_the_step(tmp_path: Path):
    home = build(count_step(inputs={"small": count_step(1)}), tmp_path)
    assert read_json(home / "record.json")["facts"] == {"small": ["record.json", "run.json", "shards"]}
    assert read_json(home / "record.json")["inputs"] == {"small": fingerprint(count_step(1))}


def test_a_failed_step_leaves_its_scratch_and_the_next_try_starts_with_a_clean_output(tmp_path: Path):
    seen = []

    def fail_once(space: Workspace) -> Outcome:
        seen.append((sorted(path.name for path in space.out.iterdir()), (space.work / "log").exists()))
        (space.out / "half").touch()
        (space.work / "log").touch()
        if len(seen) == 1:
            raise ValueError("broken")
        (space.out / "half").unlink()
        return Outcome({}, {})

    step = count_step(run=fail_once)
    with pytest.raises(ValueError, match="broken"):
        build(step, tmp_path)
    assert finished(step, tmp_path) is None
    assert [each.finished for each in list_artifacts(tmp_path)] == [False]
    build(step, tmp_path)
    assert seen == [([], False), ([], True)]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="from the system"),
        pytest.param(RuntimeError("IoError(Os { code: 28, kind: StorageFull })"), id="in words"),
    ],
)
def test_a_full_disk_is_an_error_with_a_remedy_and_keeps_the_scratch(tmp_path: Path, error: Exception):
    def fill(space: Workspace) -> Outcome:
        (space.out / "big").write_bytes(b"x")
        (space.work / "log").write_bytes(b"paid for")
        raise error

    step = count_step(run=fill)
    with pytest.raises(ArtifactError, match=r"is full.*acclimate prune"):
        build(step, tmp_path)
    home = home_of(step, tmp_path)
    assert not home.exists()
    assert (home.with_name(home.name + ".work") / "log").read_bytes() == b"paid for"


def test_damage_is_noticed(tmp_path: Path):
    home = build(count_step(), tmp_path)
    (home / "shards" / "1.txt").write_text("edited")
    assert changed_files(home) == ["shards/1.txt"]
    (home / "shards" / "1.txt").unlink()
    with pytest.raises(ArtifactError, match=r"shards/1\.txt is missing"):
        build(count_step(), tmp_path)


def test_prune_frees_what_no_recipe_needs(tmp_path: Path):
    kept, gone = build(count_step(1), tmp_path), build(count_step(2), tmp_path)
    assert {each.fingerprint for each in list_artifacts(tmp_path)} == {
        fingerprint(count_step(1)),
        fingerprint(count_step(2)),
    }
    size = sum(path.stat().st_size for path in gone.rglob("*") if path.is_file())
    assert prune(tmp_path, {fingerprint(count_step(1))}) == size
    assert kept.exists()
    assert not gone.exists()
    assert sorted(path.name for path in kept.parent.iterdir()) == [kept.name, kept.name + ".lock"]


# --- kills ---------------------------------------------------------------------------------------

WORKER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {source!r})
from acclimate import artifacts
from acclimate.artifacts import Outcome, ReplyLog, Step, build
from acclimate.files import write_text

root, instant, pause_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def die(name):
    if name == instant:
        os.kill(os.getpid(), signal.SIGKILL)

write_json = artifacts.write_json

def write_json_or_die(path, value):
    die("before " + path.name)
    write_json(path, value)
    die("after " + path.name)

artifacts.write_json = write_json_or_die

def run(space):
    die("start")
    log = ReplyLog(space.work / "replies")
    asked = 0
    for batch in range(10):
        keys = [f"{{batch}}/{{row}}" for row in range(4)]
        missing = [key for key in keys if log.get(key) is None]
        asked += len(missing)
        time.sleep(pause_s)
        log.append([(key, {{"text": "reply " + key}}) for key in missing])
        die(f"batch {{batch}}")
    for shard in range(10):
        text = "".join(log.get(f"{{shard}}/{{row}}")["text"] + "\\n" for row in range(4))
        write_text(space.out / f"{{shard}}.txt", text)
        die(f"shard {{shard}}")
    (root / "asked.txt").open("a").write(f"{{asked}}\\n")
    return Outcome({{"inputs": 40, "outputs": 40}}, {{}})

home = build(Step("slow", 1, {{}}, {{}}, run), root)
die("end")
print(home)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(source=str(SOURCE)))
    return script


def start(worker: Path, root: Path, instant: str = "never", pause_s: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, str(worker), str(root), instant, str(pause_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[Path, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return Path(out.strip()), err


def contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(home.iterdir()) if path.name != "run.json"}


@pytest.mark.parametrize(
    ("instant", "n_asked"),
    [
        ("start", 40),
        ("batch 4", 20),
        ("batch 9", 0),
        ("shard 0", 0),
        ("shard 9", 0),
        ("before run.json", 0),
        ("before record.json", 0),
        ("after record.json", None),
        ("end", None),
    ],
)
def test_a_kill_at_any_instant_loses_no_reply_and_changes_no_byte(
    tmp_path: Path, worker: Path, instant: str, n_asked: int | None
):
    undisturbed, _ = finish(start(worker, tmp_path / "a"))
    killed = start(worker, tmp_path / "b", instant)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    resumed, _ = finish(start(worker, tmp_path / "b"))
    assert contents(resumed) == contents(undisturbed)
    assert [path.name for path in resumed.parent.iterdir() if path.suffix == ".work"] == []
    asked = (tmp_path / "b" / "asked.txt").read_text().split()
    if n_asked is not None:
        assert int(asked[-1]) == n_asked


def test_random_kills_from_outside_change_no_byte_and_redo_at_most_one_batch_each(
    tmp_path: Path, worker: Path
):
    undisturbed, _ = finish(start(worker, tmp_path / "a"))
    chance = random.Random(0)
    for _ in range(5):
        process = start(worker, tmp_path / "b", pause_s=0.1)
        time.sleep(0.4 + chance.random())
        process.kill()
        process.communicate()
    resumed, _ = finish(start(worker, tmp_path / "b"))
    assert contents(resumed) == contents(undisturbed)


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path: Path, worker: Path):
    first = start(worker, tmp_path / "a", pause_s=0.1)
    deadline = time.monotonic() + 30
    while not list((tmp_path / "a").glob("artifacts/slow/*.work/replies/*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    home, err = finish(start(worker, tmp_path / "a"))
    assert "waiting" in err
    assert finish(first)[0] == home
    assert (tmp_path / "a" / "asked.txt").read_text().split() == ["40"]


# --- the reply log -------------------------------------------------------------------------------


def test_replies_come_back_in_another_process_and_the_first_row_of_a_key_stands(tmp_path: Path):
    log = ReplyLog(tmp_path)
    log.append([("a", {"text": "né 🙂"}), ("b", {"text": "2"}), ("a", {"text": "later"})])
    log.append([("a", {"text": "later still"})])
    assert log.get("a") == {"text": "né 🙂"}
    again = ReplyLog(tmp_path)
    assert (again.get("a"), again.get("b"), again.get("c")) == ({"text": "né 🙂"}, {"text": "2"}, None)
    assert len(again) == 2
    again.append([("c", {"text": "3"})])
    assert len(list(tmp_path.glob("*.jsonl"))) == 2, "each process has a segment of its own"
    assert ReplyLog(tmp_path).get("c") == {"text": "3"}


def test_a_torn_or_spoiled_line_counts_as_never_written(tmp_path: Path):
    log = ReplyLog(tmp_path)
    log.append([(key, {"text": key * 20}) for key in "abc"])
    (segment,) = tmp_path.glob("*.jsonl")
    whole = segment.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole)):
        segment.write_bytes(whole[:cut])
        torn = ReplyLog(tmp_path)
        assert (torn.get("a") is not None, torn.get("b") is not None, torn.get("c")) == (True, True, None)
    segment.write_bytes(whole.replace(b"bbb", b"bxb", 1))
    spoiled = ReplyLog(tmp_path)
    assert spoiled.get("b") is None
    assert spoiled.get("c") == {"text": "c" * 20}


def test_a_failed_append_logs_nothing_and_the_next_one_is_whole(tmp_path: Path, monkeypatch):
    log = ReplyLog(tmp_path)
    log.append([("a", {"text": "1"})])
    write = os.write

    def half_then_full(descriptor: int, data: bytes) -> int:
        write(descriptor, bytes(data)[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "write", half_then_full)
        log.append([("b", {"text": "2"})])
    assert log.get("b") is None
    log.append([("b", {"text": "2"}), ("c", {"text": "3"})])
    for each in (log, ReplyLog(tmp_path)):
        assert [each.get(key) for key in "abc"] == [{"text": "1"}, {"text": "2"}, {"text": "3"}]


def test_an_interrupt_while_the_disk_is_waited_for_logs_nothing_twice(tmp_path: Path, monkeypatch):
    log, whole = ReplyLog(tmp_path), os.fsync

    def interrupted(descriptor: int) -> None:
        whole(descriptor)
        raise KeyboardInterrupt

    log._own_segment()
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.append([("a", {"n": 1}), ("b", {"n": 2})])
    monkeypatch.setattr(os, "fsync", whole)
    log.append([("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})])
    lines = [line for path in tmp_path.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(lines) == 3
    assert len(ReplyLog(tmp_path)) == 3


def test_an_interrupt_right_after_a_write_logs_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, whole = ReplyLog(tmp_path), os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        whole(descriptor, bytes(data)[:-5])  # the second line stays torn
        raise KeyboardInterrupt

    rows = [("a", {"text": "1"}), ("b", {"text": "2"})]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "write", interrupted)
        log.append(rows)
    log.append(rows)
    lines = [line for path in tmp_path.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(lines) == 3  # a, half of b, b
    for each in (log, ReplyLog(tmp_path)):
        assert [each.get(key) for key, _ in rows] == [value for _, value in rows]


def test_a_logged_line_can_be_read_by_people(tmp_path: Path):
    ReplyLog(tmp_path).append([("key", {"text": "x"})])
    (segment,) = tmp_path.glob("*.jsonl")
    checksum, body = segment.read_text().split(" ", 1)
    assert len(checksum) == 8
    assert json.loads(body) == ["key", {"text": "x"}]
