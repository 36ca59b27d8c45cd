"""Processes killed with `kill -9`, then the same command again: the same artifacts, and little done twice."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from acclimate.engines.ask import _APPEND_EVERY
from tests.small_lines import artifact_bytes, write_benchmark, write_line, write_pairs, write_recipe
from tests.tiny_models import tiny_qwen3_vl

REPOSITORY = Path(__file__).parents[1]
N_PAIRS = 150
WAIT_S = 0.004
"""Per answer of the fake engine and for four kills: 150 pairs keep a process busy for over a second."""
SAVE_EVERY = 2


class Runs:
    """Runs of one command in a folder of their own."""

    def __init__(self, recipe: Path, **settings: Any) -> None:
        self.recipe = recipe
        self.calls = recipe.parent / "calls.txt"
        self.settings = {"calls": str(self.calls), **settings}

    def start(self, **more: Any) -> "subprocess.Popen[bytes]":
        driver = [sys.executable, "-m", "tests.kill_driver", str(self.recipe)]
        return subprocess.Popen([*driver, json.dumps({**self.settings, **more})], cwd=REPOSITORY)

    def to_the_end(self) -> None:
        assert self.start().wait(timeout=300) == 0

    def said(self, what: str) -> int:
        text = self.calls.read_text() if self.calls.is_file() else ""
        return sum(line.startswith(what) for line in text.splitlines())

    def kill_after(self, seconds: float, sign: str = "begins") -> bool:
        """Kill a run so long after its first sign of life; say whether it was still at work."""
        known = self.said(sign)
        process = self.start()
        while self.said(sign) == known and process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        was_at_work = process.poll() is None
        process.kill()
        process.wait(timeout=60)
        return was_at_work

    def kill_before_the_record_of(self, step: str) -> None:
        hung = self.said("hangs")
        process = self.start(hang=step)
        deadline = time.monotonic() + 120
        while self.said("hangs") == hung and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "the process did not get to its record"
        process.kill()
        process.wait(timeout=60)

    def done_twice(self, kind: str) -> int:
        """Return how many answers of a kind were asked for beyond the first time."""
        lines = [line for line in self.calls.read_text().splitlines() if line.startswith(kind)]
        return sum(count - 1 for count in Counter(lines).values())


def fake_runs(folder: Path, wait_s: float) -> Runs:
    recipe = write_line(folder, N_PAIRS)
    return Runs(recipe, steps=["curate", "compose"], wait_s=wait_s)


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The artifacts of a run that nobody killed."""
    runs = fake_runs(tmp_path_factory.mktemp("unharmed"), 0)
    runs.to_the_end()
    assert runs.said("reply") == N_PAIRS
    return artifact_bytes(runs.recipe.parent / "run")


@pytest.mark.parametrize("n_kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_synthesis_and_judging_killed_at_random_end_with_the_same_artifacts(
    tmp_path: Path, unharmed: dict[str, str], n_kills: int
):
    runs = fake_runs(tmp_path, WAIT_S * n_kills / 4)
    rng = random.Random(n_kills)
    at_work = sum(runs.kill_after(rng.uniform(0.0, 0.6)) for _ in range(n_kills))
    runs.to_the_end()
    assert artifact_bytes(tmp_path / "run") == unharmed
    assert at_work >= n_kills // 2, "most kills met a process at work"
    assert runs.done_twice("reply") + runs.done_twice("choice") <= _APPEND_EVERY * n_kills
    assert not list((tmp_path / "run" / "artifacts").glob("*/*.work")), "scratch is gone"


@pytest.mark.parametrize("step", ["ingest", "synthesize", "curate"])
def test_killed_between_the_files_and_the_record_only_that_step_is_written_again(
    tmp_path: Path, unharmed: dict[str, str], step: str
):
    runs = fake_runs(tmp_path, 0)
    runs.kill_before_the_record_of(step)
    homes = list((tmp_path / "run" / "artifacts" / step).glob("*/*.parquet"))
    assert homes, "the files were there"
    assert not list((tmp_path / "run" / "artifacts" / step).glob("*/record.json"))
    runs.to_the_end()
    assert artifact_bytes(tmp_path / "run") == unharmed
    assert runs.done_twice("reply") + runs.done_twice("choice") == 0, "every reply had been logged"


@pytest.mark.slow
def test_a_real_line_killed_at_random_trains_the_same_checkpoint(tmp_path: Path):
    model = tiny_qwen3_vl(tmp_path / "model")
    few = {"batch_size": 4, "max_tokens": 512, "save_every": SAVE_EVERY, "check_reload": False, "epochs": 15}
    harmed, whole = tmp_path / "harmed", tmp_path / "whole"
    for folder in (harmed, whole):
        write_pairs(folder, range(40))
        write_benchmark(folder)
        write_recipe(
            folder,
            synthesize={"model": str(model), "max_tokens": 60, "execution": {"rows": 4}},
            curate={"execution": {"rows": 4}},
            train={"model": str(model), **few},
            evaluate={"conditions": ["original"]},
        )
    Runs(whole / "recipe.yaml", steps=["train"], real=True).to_the_end()
    runs = Runs(harmed / "recipe.yaml", steps=["train"], real=True, wait_s=0.05)
    rng, n_kills = random.Random(0), 20
    at_work = sum(runs.kill_after(rng.uniform(0.0, 0.7), "done") for _ in range(n_kills))
    assert at_work == n_kills, "every kill met a process at work"
    assert runs.said("done train"), "training had begun"
    runs.to_the_end()
    assert artifact_bytes(harmed / "run") == artifact_bytes(whole / "run")
    assert runs.done_twice("done train") <= SAVE_EVERY * n_kills
