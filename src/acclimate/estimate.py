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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate import artifacts
from acclimate.curate import reliance as task_reliance
from acclimate.curate import stage as curate_room
from acclimate.curate.quality_judge import View
from acclimate.curate.quality_judge import planned as rating_requests
from acclimate.curate.ratings import Response
from acclimate.engines.cost import CostEstimate, estimate_cost
from acclimate.engines.protocol import ChoiceRequest, Request
from acclimate.engines.spec import EngineSpec, spec_of
from acclimate.files import read_records
from acclimate.ingest import stage as ingest_room
from acclimate.pipeline import Line
from acclimate.records import ImageCaption, JudgedTriplet, Triplet
from acclimate.steps import read_pairs
from acclimate.synthesize import stage as synthesize_room
from acclimate.train import stage as train_room
from acclimate.train.stage import TrainConfig, TrainPlan

_TRAINING_SHARE = 0.2
_GENERATION_SHARE = 0.1
_TOKENS_OF_A_CHAT = 160
_TOKENS_OF_A_REPLY = 80
_GPU_FLOPS = 1e14
_TRAININGS = ("tune-synthesizer", "train-captions", "train")
_SAMPLE = 32
"""Pairs that stand for all, where they are not read yet."""
_MOST = 4000
"""Pairs of which requests are counted at most; the others are like them."""


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
    training: TrainPlan | None = None
    """What would learn; None where it was not asked for, or the step trains nothing."""


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
    n_pairs, n_items = 0, 0
    if recipe.ingest is not None:
        n_pairs = int(str(line.steps["ingest"].config["n_rows"]))
        n_items = round(2 * n_pairs * line.ingest_config().holdout)
    if recipe.evaluate.benchmarks:
        n_items = sum(len(b.items) for b in line.benchmarks())
    return Amounts(n_pairs, _examples(line, "seeds"), n_items * len(recipe.evaluate.conditions))


def estimate(
    line: Line,
    amounts: Amounts | None = None,
    *,
    wanted: Collection[str] | None = None,
    plans: bool = False,
) -> list[StepEstimate]:
    """Return one row per step, in the order they run; finished steps cost nothing.

    Args:
        amounts: how much there is to do; counted in the line's input files where None.
        wanted: names of steps; None takes all.
        plans: also look at the models that are trained: what learns, at which rates, and the memory it
            takes. Loads torch, but no weights.

    Raises:
        TrainError: a training has nothing to learn (with `plans`).
    """
    chosen = amounts or amounts_of(line)
    recipe, speed = line.recipe, flops_per_second()
    models = {"train": spec_of(recipe.train.model, line.base)}
    if recipe.synthesizer is not None:
        tuned = spec_of(recipe.synthesizer.model, line.base)
        models |= {"tune-synthesizer": tuned, "synthesize": tuned}
    for verb, model in (("synthesize", recipe.synthesize.model), ("curate", recipe.curate.judge)):
        if recipe.ingest is None or model == "base":
            models[verb] = models["train"]
        elif model not in ("tuned", "none"):
            models[verb] = spec_of(model, line.base)
    if (measuring := recipe.curate.reliance) is not None:
        if measuring.model == task_reliance.TUNED:
            models["reliance"] = models["synthesize"]
        elif measuring.model != "base":
            models["reliance"] = spec_of(measuring.model, line.base)
    models |= {
        step: model.spec
        for step, (_, model) in line.scored.items()
        if step not in ("evaluate-base", "evaluate-adapted") and model.spec is not None
    }
    names = [name for name in line.steps if wanted is None or name in wanted]
    rows = [_row(line, name, chosen, models, speed) for name in names]
    return [_with_plan(line, row, chosen, models) for row in rows] if plans else rows


def _with_plan(
    line: Line, row: StepEstimate, amounts: Amounts, models: Mapping[str, EngineSpec]
) -> StepEstimate:
    """Return a training's row with what would learn."""
    if row.finished or row.step not in _TRAININGS:
        return row
    config, n = _trained(line, row.step, amounts)
    folder = Path(models.get(row.step, models["train"]).model)
    return replace(row, training=train_room.plan(config, model=folder, n_conversations=n))


def _row(
    line: Line, name: str, amounts: Amounts, models: Mapping[str, EngineSpec], speed: float
) -> StepEstimate:
    verb = name.removesuffix("-heldout").removesuffix("-general")
    spec = models.get(verb, models["train"])
    is_served = spec.engine == "openai"
    if artifacts.finished(line.steps[name], line.root) is not None:
        return StepEstimate(name, finished=True, work="", tokens=0, seconds=0.0, disk_bytes=0)
    size = 0 if is_served else parameters(Path(spec.model))
    cost = None
    if name in _TRAININGS:
        tokens, work = _training(line, name, amounts)
        flops, disk = 6.0 * size * tokens / _TRAINING_SHARE, size * 16
    elif verb in ("synthesize", "curate", "reliance"):
        asked = _asked(line, name, amounts, spec)
        n = asked.n_requests
        tokens = n * (_TOKENS_OF_A_CHAT + (_TOKENS_OF_A_REPLY if verb == "synthesize" else 0))
        if is_served:
            cost, tokens = asked, asked.prompt_tokens + asked.reply_tokens
        flops, disk = 2.0 * size * tokens / _GENERATION_SHARE, 800 * max(n, amounts.pairs)
        work = f"{n:,} requests" if n else "no model is asked"
    elif name.startswith("evaluate"):
        n = amounts.items
        tokens = n * (_TOKENS_OF_A_CHAT + _TOKENS_OF_A_REPLY)
        flops, disk, work = 2.0 * size * tokens / _GENERATION_SHARE, 800 * n, f"{n} requests"
    else:
        work = f"{amounts.pairs} pairs"
        if name == "items":
            work = f"{amounts.items} questions"
        elif name in ("seeds", "tuning-data", "general"):
            work = f"{_examples(line, name) if name == 'general' else amounts.seeds} examples"
        elif name == "conversations":
            work = f"{sum(_rows_by_source(line).values())} conversations"
        elif name == "mixture":
            work = f"{sum(_mixed(line, stage, amounts) for stage in (1, 2))} conversations"
        tokens, flops, disk = 0, 0.0, 400 * amounts.pairs
    return StepEstimate(
        name, finished=False, work=work, tokens=tokens, seconds=flops / speed, disk_bytes=disk, cost=cost
    )


def _asked(line: Line, name: str, amounts: Amounts, spec: EngineSpec) -> CostEstimate:
    """Return what a step asks a model, from the records that are there or else from a sample's."""
    recipe, measuring = line.recipe, line.recipe.curate.reliance
    server = (recipe.curate if name.startswith("curate") else recipe.synthesize).execution.server
    pairs, n_pairs = _pairs(line, name, amounts)
    requests: Iterable[Request | ChoiceRequest]
    if name.startswith("synthesize"):
        general = name.endswith("-general")
        requests = () if general else synthesize_room.planned(pairs, recipe.synthesize)
        times = n_pairs / len(pairs) if pairs else 0.0
    elif name.startswith("reliance") and measuring is not None:
        triplets, times = _triplets(line, name.replace("reliance", "curate"), pairs, n_pairs)
        requests = task_reliance.planned(triplets, {pair.id: pair.image for pair in pairs}, measuring)
        server = measuring.execution.server
        times *= 1 + (measuring.donors if measuring.against == "mismatch" else 1)
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
    held_out = line.ingest_config().holdout
    share = held_out if name.endswith("-heldout") else 1.0 - held_out
    if name.endswith("-general"):
        step = "general" if line.recipe.general is not None else "seeds"
        home = artifacts.finished(line.steps[step], line.root)
        if home is not None:
            pairs = read_pairs(home, "examples")
            return pairs[:_MOST], len(pairs)
        return _sample(line), _examples(line, step)
    home = artifacts.finished(line.steps["ingest"], line.root)
    if home is not None:
        pairs = read_pairs(home, "held_out" if name.endswith("-heldout") else "pairs")
        return pairs[:_MOST], len(pairs)
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
        found = list(read_records(home / "triplets.parquet", Triplet))
        known = {pair.id for pair in pairs}
        few = [each for each in found if each.pair_id in known]
        return few, len(found) / len(few) if few else 0.0
    is_double = config.generator == "synthesizer" or name.endswith("-general")
    if not is_double or not pairs:
        return [], 0.0
    samples = 1
    if not name.endswith("-general"):
        samples = config.samples_per_pair * config.synthesizer.triplets_per_reply
    stand_ins = [
        Triplet(pair.id, pair.id, pair.caption, pair.caption, pair.caption, config.generator, "")
        for pair in pairs
    ]
    return stand_ins, samples * n_pairs / len(pairs)


def _trained(line: Line, name: str, amounts: Amounts) -> tuple[TrainConfig, int]:
    """Return how a training is done, and the most conversations it may have."""
    recipe = line.recipe
    if name == "tune-synthesizer" and recipe.synthesizer is not None:
        return TrainConfig.model_validate(recipe.synthesizer.train.model_dump()), amounts.seeds
    stage = 1 if name == "train-captions" else 2
    return recipe.train.of_stage(stage), _conversations(line, name, amounts)


def _training(line: Line, name: str, amounts: Amounts) -> tuple[int, str]:
    """Return the tokens of a training, and what it does in words."""
    config, n = _trained(line, name, amounts)
    steps = -(-n // config.batch_size) * config.epochs
    steps = min(steps, config.max_steps or steps)
    return steps * config.batch_size * _TOKENS_OF_A_CHAT, f"{n} conversations, {steps} steps"


def estimate_rating(line: Line, n_sets: int, responses: tuple[Response, ...] | None = None) -> StepEstimate:
    """Return what the rating of data sets takes: an upper bound, since sets share tasks.

    Args:
        n_sets: data sets of `quality.per_set` tasks each.
        responses: whose accuracy is asked for; None takes the recipe's.
    """
    config = line.recipe.quality
    if not config.needs_judge:
        return StepEstimate("rate", finished=False, work="nobody rates", tokens=0, seconds=0.0, disk_bytes=0)
    spec = spec_of(line.recipe.train.model if config.judge == "base" else config.judge, line.base)
    pairs = _sample(line)
    stand_ins = [
        JudgedTriplet(*(pair.id, pair.id, *3 * (pair.caption,), ""), "unjudged", 0.0, 0.0, 0.0, "")
        for pair in pairs
    ]
    view = View(config.sees, responses or config.responses, config.seed)
    server = config.execution.server
    asked = estimate_cost(
        rating_requests(stand_ins, {pair.id: pair for pair in pairs}, view),
        server.prices,
        image_tokens=server.image_tokens,
        log_probabilities=spec.log_probabilities,
    )
    n_tasks = n_sets * (config.per_set or _MOST)
    found = asked.times(n_tasks / len(pairs) if pairs else 0.0)
    work = f"{found.n_requests:,} requests about {n_tasks:,} tasks"
    is_served = spec.engine == "openai"
    seconds = 0.0
    if not is_served:
        flops = 2.0 * parameters(Path(spec.model)) * found.prompt_tokens / _GENERATION_SHARE
        seconds = flops / flops_per_second()
    return StepEstimate(
        "rate",
        finished=False,
        work=work,
        tokens=found.prompt_tokens + found.reply_tokens,
        seconds=seconds,
        disk_bytes=800 * n_tasks,
        cost=found if is_served else None,
    )


def _conversations(line: Line, name: str, amounts: Amounts) -> int:
    """Return how many conversations a post-training may have: an upper bound."""
    stages = sorted(line.recipe.stages)
    if len(stages) > 1:
        stages = [1] if name == "train-captions" else [2]
    return sum(_mixed(line, stage, amounts) for stage in stages)


def _mixed(line: Line, stage: int, amounts: Amounts) -> int:
    """Return how many conversations of a stage there may be, composed and ready-made."""
    recipe = line.recipe
    n = _composed(line, stage, amounts)
    if not recipe.conversations:
        return n
    n_rows = _rows_by_source(line)
    own = [each for each in recipe.conversations if each.stage == stage]
    n += sum(n_rows[each.title] for each in own if each.ratio is None)
    return n + sum(min(n_rows[c.title], round(c.ratio * n)) for c in own if c.ratio is not None)


def _rows_by_source(line: Line) -> dict[str, int]:
    """Return how many rows each source of ready-made conversations has."""
    facts: Any = line.steps["conversations"].config["sources"]
    return {each["name"]: each["n_rows"] for each in facts}


def _composed(line: Line, stage: int, amounts: Amounts) -> int:
    """Return how many conversations of a stage may be composed of pairs."""
    if line.recipe.ingest is None:
        return 0
    config, synthesis = line.recipe.compose, line.recipe.synthesize
    vision = synthesis.vision_teacher
    most_by_generator = {
        "synthesizer": synthesis.samples_per_pair * synthesis.synthesizer.triplets_per_reply,
        "rules": synthesis.rules.tasks_per_pair,
        "text_teacher": len(synthesis.text_teacher.kinds),
        "vision_teacher": vision.scenarios_per_pair + int(vision.description),
    }
    own = most_by_generator.get(synthesis.generator, 0)
    tasks = amounts.pairs * own if config.has_synthetic else 0
    captions = amounts.pairs if config.has_captions else 0
    general = 0
    if config.has_general:
        general = _examples(line, "general" if line.recipe.general is not None else "seeds")
        if config.general_ratio is not None:
            general = min(general, round(config.general_ratio * amounts.pairs))
    if config.mixture == "two_stage":
        return captions if stage == 1 else tasks + general
    return max(captions, tasks) + general if stage == 1 else 0


def _examples(line: Line, name: str) -> int:
    """Return how many seed examples a step of this name reads; 0 where there is no such step."""
    recipe = line.recipe
    own = recipe.synthesizer.seeds if recipe.synthesizer is not None else None
    chosen = recipe.general if name == "general" else own
    if name not in line.steps or chosen is None:
        return 0
    n = int(str(line.steps[name].config["n_rows"]))
    return min(n, recipe.limit or n)
