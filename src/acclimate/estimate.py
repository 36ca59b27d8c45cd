"""What a run will take: requests, tokens, time and disk, before anything is loaded.

Source: our own rule. Compute is 6 (training) or 2 (generating) floating-point operations per parameter and
token; the machine's speed is measured by a matrix product of a tenth of a second, of which small models
reach about a fifth in training and a tenth in generation (measured on the lab's model). Where an NVIDIA
device is present, its speed is taken to be 100 TFLOP/s, since measuring it would load torch. Requests to a
server are counted by `engines.cost`, from the finished pairs and tasks or else from a few of the input's
rows; how long a server takes is not known.
"""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acclimate import artifacts
from acclimate.curate import stage as curate_room
from acclimate.engines.cost import CostEstimate, estimate_cost
from acclimate.engines.open import EngineSpec, spec_of
from acclimate.engines.protocol import ChoiceRequest, Request
from acclimate.files import read_json, read_records
from acclimate.ingest import stage as ingest_room
from acclimate.ingest.readers import read_rows
from acclimate.pipeline import HELD_OUT_SHARE, Line
from acclimate.records import ImageCaption, Triplet
from acclimate.steps import read_pairs
from acclimate.synthesize import stage as synthesize_room

_TRAINING_SHARE = 0.2
_GENERATION_SHARE = 0.1
_TOKENS_OF_A_CHAT = 160
_TOKENS_OF_A_REPLY = 80
_GPU_FLOPS = 1e14
_SAMPLE = 32
"""Pairs that stand for all, where they are not read yet."""


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
    cost: CostEstimate | None = None
    """What is asked of a server; None where none is."""


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
    models = {"train": spec_of(recipe.train.model, line.base)}
    if recipe.synthesizer is not None:
        tuned = spec_of(recipe.synthesizer.model, line.base)
        models |= {"tune-synthesizer": tuned, "synthesize": tuned}
    for verb, model in (("synthesize", recipe.synthesize.model), ("curate", recipe.curate.judge)):
        if model not in ("tuned", "base", "none"):
            models[verb] = spec_of(model, line.base)
    return [_row(line, name, chosen, models, speed) for name in line.steps]


def _row(
    line: Line, name: str, amounts: Amounts, models: Mapping[str, EngineSpec], speed: float
) -> StepEstimate:
    verb = name.removesuffix("-heldout").removesuffix("-general")
    spec = models.get(verb, models["train"])
    is_served = spec.engine == "openai"
    size = 0 if is_served else parameters(Path(spec.model))
    finished = artifacts.finished(line.steps[name], line.root) is not None
    cost = None
    if name in ("train", "train-captions", "tune-synthesizer"):
        tokens, work = _training(line, name, amounts)
        flops, disk = 6.0 * size * tokens / _TRAINING_SHARE, size * 16
    elif verb in ("synthesize", "curate"):
        asked = _asked(line, name, amounts, spec)
        n = asked.n_requests
        tokens = n * (_TOKENS_OF_A_CHAT + (0 if verb == "curate" else _TOKENS_OF_A_REPLY))
        if is_served:
            cost, tokens = asked, asked.prompt_tokens + asked.reply_tokens
        flops, disk = 2.0 * size * tokens / _GENERATION_SHARE, 800 * max(n, amounts.pairs)
        work = f"{n:,} requests" if n else "no model is asked"
    elif name.startswith("evaluate"):
        n = amounts.items
        tokens = n * (_TOKENS_OF_A_CHAT + _TOKENS_OF_A_REPLY)
        flops, disk, work = 2.0 * size * tokens / _GENERATION_SHARE, 800 * n, f"{n} requests"
    else:
        examples = f"{amounts.seeds} examples"
        count = {"seeds": examples, "tuning-data": examples, "items": f"{amounts.items} questions"}
        tokens, flops, disk, work = 0, 0.0, 400 * amounts.pairs, count.get(name, f"{amounts.pairs} pairs")
    if finished:
        return StepEstimate(name, finished, work, tokens, 0.0, 0)
    return StepEstimate(name, finished, work, tokens, flops / speed, disk, cost)


def _asked(line: Line, name: str, amounts: Amounts, spec: EngineSpec) -> CostEstimate:
    """Return what a step asks a model, from the records that are there or else from a sample's."""
    recipe = line.recipe
    server = (recipe.curate if name.startswith("curate") else recipe.synthesize).execution.server
    pairs, n_pairs = _pairs(line, name, amounts)
    requests: Iterable[Request | ChoiceRequest]
    if name.startswith("synthesize"):
        general = name.endswith("-general")
        requests = () if general else synthesize_room.planned(pairs, recipe.synthesize)
        times = n_pairs / len(pairs) if pairs else 0.0
    else:
        triplets, times = _triplets(line, name, pairs, n_pairs)
        images = {pair.id: pair.image for pair in pairs}
        requests = curate_room.planned(triplets, recipe.curate, images)
    found = estimate_cost(
        requests,
        server.prices,
        image_tokens=server.image_tokens,
        log_probabilities=spec.log_probabilities,
    )
    return found.times(times)


def _pairs(line: Line, name: str, amounts: Amounts) -> tuple[list[ImageCaption], int]:
    """Return pairs that a step works on, all of them or a sample, and how many there are."""
    share = HELD_OUT_SHARE if name.endswith("-heldout") else 1.0
    if name.endswith("-general"):
        step = "general" if line.recipe.general is not None else "seeds"
        home = artifacts.finished(line.steps[step], line.root)
        if home is not None:
            pairs = read_pairs(home, "examples")
            return pairs, len(pairs)
        return _sample(line), amounts.seeds
    home = artifacts.finished(line.steps["ingest"], line.root)
    if home is not None:
        pairs = read_pairs(home, "held_out" if name.endswith("-heldout") else "pairs")
        return pairs, len(pairs)
    return _sample(line), round(amounts.pairs * share)


def _sample(line: Line) -> list[ImageCaption]:
    config = line.ingest_config()
    few = config.model_copy(update={"limit": min(_SAMPLE, config.limit or _SAMPLE)})
    outcomes = ingest_room.ingest(few, store=line.store, base=line.base)
    return [each for each in outcomes if isinstance(each, ImageCaption)]


def _triplets(
    line: Line, name: str, pairs: Sequence[ImageCaption], n_pairs: int
) -> tuple[list[Triplet], float]:
    """Return the tasks to judge, and how many each stands for.

    Where they are not written yet, one per pair and sample, with the caption in the place of every text.
    """
    config = line.recipe.synthesize
    home = artifacts.finished(line.steps[name.replace("curate", "synthesize")], line.root)
    if home is not None:
        return list(read_records(home / "triplets.parquet", Triplet)), 1.0
    is_double = config.generator == "synthesizer" or name.endswith("-general")
    if not is_double or not pairs:
        return [], 0.0
    samples = 1 if name.endswith("-general") else config.samples_per_pair
    stand_ins = [
        Triplet(pair.id, pair.id, pair.caption, pair.caption, pair.caption, config.generator, "")
        for pair in pairs
    ]
    return stand_ins, samples * n_pairs / len(pairs)


def _training(line: Line, name: str, amounts: Amounts) -> tuple[int, str]:
    """Return the tokens of a training, and what it does in words."""
    recipe = line.recipe
    is_post = name != "tune-synthesizer" or recipe.synthesizer is None
    config = recipe.train if is_post or recipe.synthesizer is None else recipe.synthesizer.train
    n = amounts.pairs if is_post else amounts.seeds
    steps = -(-n // config.batch_size) * config.epochs
    steps = min(steps, config.max_steps or steps)
    return steps * config.batch_size * _TOKENS_OF_A_CHAT, f"{n} conversations, {steps} steps"


def _seed_count(line: Line) -> int:
    recipe = line.recipe
    own = recipe.synthesizer.seeds if recipe.synthesizer is not None else None
    for name, chosen in (("seeds", own), ("general", recipe.general)):
        if name not in line.steps or chosen is None:
            continue
        home = artifacts.finished(line.steps[name], line.root)
        if home is not None:
            return int(read_json(home / artifacts.RECORD)["counts"]["inputs"])
        n = sum(1 for _ in read_rows(line.base / chosen.source))
        return min(n, chosen.limit or n, recipe.limit or n)
    return 0
