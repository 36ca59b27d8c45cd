"""What a run will take: requests, tokens, time and disk, before anything is loaded.

Source: our own rule. Compute is 6 (training) or 2 (generating) floating-point operations per parameter and
token; the machine's speed is measured by a matrix product of a tenth of a second, of which small models
reach about a fifth in training and a tenth in generation (measured on the lab's model). Where an NVIDIA
device is present, its speed is taken to be 100 TFLOP/s, since measuring it would load torch.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acclimate import artifacts
from acclimate.files import read_json
from acclimate.ingest.readers import read_rows
from acclimate.pipeline import HELD_OUT_SHARE, Line

_TRAINING_SHARE = 0.2
_GENERATION_SHARE = 0.1
_TOKENS_OF_A_CHAT = 160
_TOKENS_OF_A_REPLY = 80
_GPU_FLOPS = 1e14


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much a line works on; upper bounds where it is not known before the work is done."""

    pairs: int
    seeds: int
    items: int
    """Questions, each condition counted."""


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
    """Return the machine's speed in a float32 matrix product: the fastest of a tenth of a second's products.

    The fastest, since another process on the same cores may slow most of them twentyfold.
    """
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return _GPU_FLOPS
    a = np.ones((512, 512), dtype=np.float32)
    fastest, until = math.inf, time.perf_counter() + 0.1
    while (started := time.perf_counter()) < until:
        a @ a
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * 512**3 / fastest


def amounts_of(line: Line) -> Amounts:
    """Return how much a line works on, from its input files."""
    recipe = line.recipe
    n_pairs = int(str(line.steps["ingest"].config["n_rows"]))
    n_items = sum(len(b.items) for b in line.benchmarks()) if recipe.evaluate.benchmarks else n_pairs // 5
    return Amounts(n_pairs, _seed_count(line), n_items * len(recipe.evaluate.conditions))


def estimate(line: Line, amounts: Amounts | None = None) -> list[StepEstimate]:
    """Return one row per step, in the order they run; finished steps cost nothing.

    Args:
        amounts: how much there is to do; counted in the line's input files where None.
    """
    chosen = amounts or amounts_of(line)
    recipe, speed = line.recipe, flops_per_second()
    models = {"train": recipe.train.model}
    if recipe.synthesizer is not None:
        models |= {name: recipe.synthesizer.model for name in ("tune-synthesizer", "synthesize")}
    n_parameters = {name: parameters(line.folder(model)) for name, model in models.items()}
    return [_row(line, name, chosen, n_parameters, speed) for name in line.steps]


def _row(
    line: Line, name: str, amounts: Amounts, n_parameters: Mapping[str, int], speed: float
) -> StepEstimate:
    verb = name.removesuffix("-heldout")
    size = n_parameters.get(verb, n_parameters["train"])
    if name in ("train", "tune-synthesizer"):
        tokens, work = _training(line, name, amounts)
        flops, disk = 6.0 * size * tokens / _TRAINING_SHARE, size * 16
    elif verb in ("synthesize", "curate") or name.startswith("evaluate"):
        n = amounts.pairs * line.recipe.synthesize.samples_per_pair
        if name.startswith("evaluate"):
            n = amounts.items
        elif name.endswith("-heldout"):
            n = round(n * HELD_OUT_SHARE)
        tokens = n * (_TOKENS_OF_A_CHAT + (0 if verb == "curate" else _TOKENS_OF_A_REPLY))
        flops, disk, work = 2.0 * size * tokens / _GENERATION_SHARE, 800 * n, f"{n} requests"
    else:
        count = {"seeds": f"{amounts.seeds} examples", "items": f"{amounts.items} questions"}
        tokens, flops, disk, work = 0, 0.0, 400 * amounts.pairs, count.get(name, f"{amounts.pairs} pairs")
    finished = artifacts.finished(line.steps[name], line.root) is not None
    return StepEstimate(
        name, finished, work, tokens, 0.0 if finished else flops / speed, 0 if finished else disk
    )


def _training(line: Line, name: str, amounts: Amounts) -> tuple[int, str]:
    """Return the tokens of a training, and what it does in words."""
    recipe = line.recipe
    config = recipe.train if name == "train" or recipe.synthesizer is None else recipe.synthesizer.train
    n = amounts.pairs if name == "train" else amounts.seeds
    steps = -(-n // config.batch_size) * config.epochs
    steps = min(steps, config.max_steps or steps)
    return steps * config.batch_size * _TOKENS_OF_A_CHAT, f"{n} conversations, {steps} steps"


def _seed_count(line: Line) -> int:
    chosen = line.recipe.synthesizer
    if chosen is None or "seeds" not in line.steps:
        return 0
    home = artifacts.finished(line.steps["seeds"], line.root)
    if home is not None:
        return int(read_json(home / artifacts.RECORD)["counts"]["inputs"])
    n = sum(1 for _ in read_rows(line.base / chosen.seeds.source))
    return min(n, chosen.seeds.limit or n, line.recipe.limit or n)
