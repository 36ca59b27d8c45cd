"""What a run will take: requests, tokens, time and disk, before anything is loaded.

Source: our own rule. Compute is 6 (training) or 2 (generating) floating-point operations per parameter and
token; the machine's speed is measured by a matrix product of a tenth of a second, of which small models
reach about a fifth in training and a tenth in generation (measured on the lab's model).
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acclimate import artifacts
from acclimate.files import read_json
from acclimate.pipeline import Line

_TRAINING_SHARE = 0.2
_GENERATION_SHARE = 0.1
_TOKENS_OF_A_CHAT = 160
_TOKENS_OF_A_REPLY = 80


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """One step of a plan."""

    step: str
    finished: bool
    work: str
    """What it does, in numbers; upper bounds where the input is not built yet."""
    tokens: int
    seconds: float
    disk_bytes: int


def parameters(folder: Path) -> int:
    """Return the number of parameters in a checkpoint folder's safetensors files, from their headers."""
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                total += int(np.prod(tensor["shape"]))
    return total


def flops_per_second() -> float:
    """Return the machine's speed in a float32 matrix product, measured for about a tenth of a second."""
    a = np.ones((512, 512), dtype=np.float32)
    a @ a
    started, n = time.perf_counter(), 0
    while time.perf_counter() - started < 0.1:
        a @ a
        n += 1
    return 2 * 512**3 * n / (time.perf_counter() - started)


def estimate(line: Line) -> list[StepEstimate]:
    """Return one row per step, in the order they run; finished steps cost nothing."""
    recipe = line.recipe
    speed = flops_per_second()
    n_pairs = int(str(line.steps["ingest"].config["n_rows"]))
    if recipe.limit is not None:
        n_pairs = min(n_pairs, recipe.limit)
    n_requests = n_pairs * recipe.synthesize.samples_per_pair
    n_seeds = _seed_count(line)
    n_items = sum(len(b.items) for b in line.benchmarks()) if recipe.evaluate.benchmarks else n_pairs // 5
    n_items *= len(recipe.evaluate.conditions)
    size = parameters(line._folder(recipe.train.model))
    rows = []
    for name, step in line.steps.items():
        finished = artifacts.finished(step, line.root) is not None
        tokens, flops, disk, work = 0, 0.0, 0, ""
        if name in ("ingest", "compose", "items", "seeds"):
            work = {"seeds": f"{n_seeds} examples", "items": f"{n_items} questions"}.get(name, f"{n_pairs} pairs")
            disk = 400 * n_pairs
        elif name in ("train", "tune-synthesizer"):
            config = recipe.train if name == "train" or recipe.synthesizer is None else recipe.synthesizer.train
            n = n_pairs if name == "train" else n_seeds
            steps = -(-n // config.batch_size) * config.epochs
            steps = min(steps, config.max_steps or steps)
            tokens = steps * config.batch_size * _TOKENS_OF_A_CHAT
            flops = 6.0 * size * tokens / _TRAINING_SHARE
            disk = size * 16
            work = f"{n} conversations, {steps} steps"
        else:
            n = n_items if name.startswith("evaluate") else n_requests
            if name.endswith("heldout"):
                n = n // 10
            prompt = n * _TOKENS_OF_A_CHAT
            tokens = prompt + (n * _TOKENS_OF_A_REPLY if not name.startswith("curate") else 0)
            flops = 2.0 * size * tokens / _GENERATION_SHARE
            disk = 800 * n
            work = f"{n} requests"
        seconds = 0.0 if finished else flops / speed
        rows.append(StepEstimate(name, finished, work, tokens, seconds, 0 if finished else disk))
    return rows


def _seed_count(line: Line) -> int:
    chosen = line.recipe.synthesizer
    if chosen is None:
        return 0
    home = artifacts.finished(line.steps["seeds"], line.root)
    if home is not None:
        record = read_json(home / artifacts.RECORD)
        return int(record["counts"]["inputs"])  # type: ignore[index,call-overload,arg-type]
    from acclimate.ingest.readers import read_rows

    n = sum(1 for _ in read_rows(line.base / chosen.seeds.source))
    return min(n, chosen.seeds.limit or n)
