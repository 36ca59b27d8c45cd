"""What is run sealed at depth `train`: the whole line of a recipe, built anew from its sources.

    python -m acclimate.verify.rebuild PLAN.json OUT

Nothing of the run itself is seen in here. `OUT/run` gets the new run, `OUT/rebuilt.json` what it is: each
step's identity, each artifact's files and their hashes, each claim's measurement. Where a step has another
identity than the recorded one nothing is built, for then its sources are not the recorded ones.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from acclimate.artifacts import RUN, Step, fingerprint
from acclimate.errors import AcclimateError
from acclimate.files import ImageStore, read_json, sha256_file, write_json
from acclimate.origin import Origin
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.recorded import inputs_of
from acclimate.report.stage import report_measurements
from acclimate.report.tested import judged

REBUILT, PROGRESS = "rebuilt.json", "progress.jsonl"
_RUN = "run"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is built. Paths are absolute and are those of the sealed run."""

    recipe: str
    base: str
    """What the recipe's paths count from."""
    steps: Mapping[str, str]
    """The recorded fingerprint of every step, in the order of the line."""


@dataclass(frozen=True, slots=True)
class Built:
    """What came of it, as plain values."""

    identities: Mapping[str, Mapping[str, Any]]
    """Of every recorded step that the line has: `version`, `config`, `engines`, `inputs` (its steps by role)
    and `fingerprint`."""
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By step, the SHA-256 of every file but run.json; empty where nothing was built."""
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By step, what its run.json says."""
    claims: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By id: `value`, `low`, `high` (None where it was not measured) and `standing`."""
    error: str = ""
    """Why the line was not built to its end."""


class _Written:
    """Writes the end of each step as a line."""

    def __init__(self, path: Path, total: int) -> None:
        self.path, self.total = path, total
        self.done = 0
        self.began = time.monotonic()

    def start(self, step: str, total: int | None) -> None:
        """Write nothing."""

    def advance(self, step: str, done: int, note: str = "") -> None:
        """Write nothing."""

    def say(self, text: str) -> None:
        """Write nothing."""

    def end(self, step: str, *, reused: bool) -> None:
        """Write that a step's artifact stands."""
        self.done += 1
        row = {
            "step": step,
            "reused": reused,
            "done": self.done,
            "total": self.total,
            "seconds": round(time.monotonic() - self.began, 1),
        }
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")


def built(plan: Plan, out: Path) -> Built:
    """Build the line and return what came of it; from other sources than the recorded ones build nothing."""
    recipe = load_recipe(Path(plan.recipe))
    recipe = recipe.model_copy(
        update={"run_dir": str(out / _RUN), "report": recipe.report.model_copy(update={"proofs": ()})}
    )
    identities: dict[str, Mapping[str, Any]] = {}
    try:
        line = Line(recipe, Path(plan.base), progress=_Written(out / PROGRESS, len(plan.steps)))
        steps = {name: line.steps[name] for name in plan.steps if name in line.steps}
        identities = {name: _identity(step) for name, step in steps.items()}
        if any(identities.get(name, {}).get("fingerprint") != each for name, each in plan.steps.items()):
            return Built(identities)
        homes = line.build(list(plan.steps))
        claims = _claims(line, homes)
    except AcclimateError as error:
        return Built(identities, error=f"{type(error).__name__}: {error}")
    files = {
        name: {
            path.relative_to(home).as_posix(): sha256_file(path)
            for path in sorted(home.rglob("*"))
            if path.is_file() and path.name != RUN
        }
        for name, home in homes.items()
    }
    runs = {name: read_json(home / RUN) for name, home in homes.items()}
    return Built(identities, files, runs, claims)


def _identity(step: Step) -> dict[str, Any]:
    return {
        "version": step.version,
        "config": step.config,
        "engines": dict(step.engines),
        "inputs": {role: each.name for role, each in step.inputs.items()},
        "fingerprint": fingerprint(step),
    }


def _claims(line: Line, homes: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Measure the recipe's claims on the new run."""
    origin = Origin.of(line.base, line.root, line.root / "report", (), ())
    inputs = inputs_of(line.recipe, line.root, homes, ImageStore(line.root), origin)
    found = {}
    for each in judged(inputs.claims, report_measurements(inputs, line.recipe.report), ()):
        own = each.measurement
        numbers = {name: None if own is None else getattr(own, name) for name in ("value", "low", "high")}
        found[each.claim.id] = {**numbers, "standing": each.standing}
    return found


def main() -> None:
    """Read the plan, build, and write down what came of it."""
    plan, out = Plan(**read_json(Path(sys.argv[1]))), Path(sys.argv[2])
    write_json(out / REBUILT, asdict(built(plan, out)))


if __name__ == "__main__":
    main()
