"""Builds a small line in a process of its own, which a test kills: `python kill_driver.py RECIPE JSON`.

The JSON says: `steps` to build, `calls` (a file that gets one line per answer and unit of work), `wait_s`
per answer of the fake engine or per training step, `hang` (a step that stops for good when its files are
written and its record is not), and `real` (use the models that the recipe names).
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from acclimate import artifacts
from acclimate.engines.protocol import ChoiceRequest, Engine, Request
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.workplace import Silent
from tests.small_lines import fake_engine, synthetic_reply, verdict


class Counted(Silent):
    """Writes down every unit of work that is done, and takes its time over it."""

    def __init__(self, calls: Path, wait_s: float) -> None:
        self.calls, self.wait_s = calls, wait_s

    def advance(self, step: str, done: int, note: str = "") -> None:
        count(self.calls, f"done {step} {done}")
        if step == "train":
            time.sleep(self.wait_s)


def count(calls: Path, what: str) -> None:
    with calls.open("a", encoding="utf-8") as handle:
        handle.write(what + "\n")


def hang_before_the_record_of(step: str, calls: Path) -> None:
    write_json = artifacts.write_json

    def hooked(path: Path, value: Any) -> None:
        if path.name == artifacts.RECORD and path.parent.parent.name == step:
            count(calls, "hangs")
            time.sleep(600)
        write_json(path, value)

    artifacts.write_json = hooked


def main(recipe: Path, settings: dict[str, Any]) -> None:
    calls = Path(settings["calls"])
    if settings.get("hang"):
        hang_before_the_record_of(settings["hang"], calls)

    def reply(request: Request) -> str:
        time.sleep(settings.get("wait_s", 0))
        count(calls, f"reply {request.id}")
        return synthetic_reply(request)

    def choose(request: ChoiceRequest) -> tuple[float, float, float]:
        time.sleep(settings.get("wait_s", 0))
        count(calls, f"choice {request.id}")
        return verdict(request)

    def substitute(model: Path) -> Engine:
        return fake_engine(model, reply, choose)

    line = Line(
        load_recipe(recipe),
        recipe.parent,
        progress=Counted(calls, settings.get("wait_s", 0) if settings.get("real") else 0),
        substitute=None if settings.get("real") else substitute,
    )
    count(calls, "begins")
    line.build(settings["steps"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
