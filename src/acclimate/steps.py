"""The line's steps: each is a room's door between reading its inputs and writing its outputs.

Nothing here loads torch until a model is opened or trained. What decides a result is in a step's config;
rows, threads and devices are not, and stand in its run.json.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from acclimate.artifacts import Outcome, Step, Workspace, licences_of
from acclimate.compose import stage as compose_room
from acclimate.compose.general import GeneralData
from acclimate.compose.replay import Replay, mixed
from acclimate.curate import reliance as task_reliance
from acclimate.curate import stage as curate_room
from acclimate.engines.hub import hub_name
from acclimate.engines.spec import EngineExecution, require_scores
from acclimate.errors import BenchmarkError, DataError
from acclimate.evaluate import heldout, likelihoods
from acclimate.evaluate import stage as evaluate_room
from acclimate.evaluate.conditions import check_conditions, exchanges_pictures, left_out, n_questions
from acclimate.evaluate.donors import donor_by_id
from acclimate.evaluate.judged import Judgement, needs_judge, require_judge
from acclimate.evaluate.judged import judge as judge_answers
from acclimate.evaluate.load import Benchmark
from acclimate.evaluate.samples import write_samples
from acclimate.evaluate.scorers import primary_scorer
from acclimate.evaluate.sums import published_sums
from acclimate.files import (
    JSON,
    blank_png,
    read_json,
    read_records,
    write_json,
    write_records,
)
from acclimate.ingest import stage as ingest_room
from acclimate.ingest.conversations import ConversationSource, conversations_identity, read_conversations
from acclimate.ingest.seeds import SeedConfig, read_seeds, seeds_identity
from acclimate.licences import licence_of
from acclimate.recipe import SynthesizerTuning, identity
from acclimate.records import (
    Conversation,
    ImageCaption,
    Item,
    JudgedTriplet,
    Label,
    Prediction,
    Rejection,
    Score,
    SeedExample,
    Triplet,
)
from acclimate.report.inputs import BenchmarkFacts
from acclimate.synthesize import stage as synthesize_room
from acclimate.synthesize.general_task import pair_of
from acclimate.train import stage as train_room
from acclimate.workplace import Model, Place, counted, how, reasons, sorted_out

BLANK_PX = 64
BASE = "base"
"""In a training's run.json: the checkpoint that it began with, by name, name on the hub and licence."""
Part = Literal["pairs", "held_out", "examples", "validation"]
"""A file of records in a step's folder: image-caption pairs, or seed examples."""
_EXAMPLES: tuple[Part, ...] = ("examples", "validation")


def ingest_step(
    config: ingest_room.IngestConfig, place: Place, base: Path, *, needed: bool, rehash: bool
) -> Step:
    """Return the step that reads and checks the pairs.

    Args:
        needed: the held-out pairs are all there is to score.
    """

    def run(space: Workspace) -> Outcome:
        outcomes = ingest_room.ingest(config, store=place.store, base=base)
        pairs, rejections = sorted_out(place.tracked("ingest", outcomes, None), ImageCaption)
        kept, held_out = _split(pairs, config.holdout, config.seed, needed=needed)
        write_records(space.out / "pairs.parquet", kept, ImageCaption)
        write_records(space.out / "held_out.parquet", held_out, ImageCaption)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        counts = {
            "inputs": len(pairs) + len(rejections),
            "outputs": len(pairs),
            "pairs": len(kept),
            "held_out": len(held_out),
        }
        return Outcome(counts, reasons(rejections), licences=tuple({pair.licence for pair in pairs}))

    cache = place.engines.cache
    facts = ingest_room.source_identity(config, base=base, cache_dir=cache, rehash=rehash)
    facts["held_out_needed"] = needed
    return Step("ingest", ingest_room.VERSION, facts, {}, run)


def conversations_step(
    sources: Sequence[ConversationSource], place: Place, base: Path, *, rehash: bool
) -> Step:
    """Return the step that reads and checks ready-made conversations."""
    name = "conversations"
    identities = conversations_identity(sources, base=base, cache_dir=place.engines.cache, rehash=rehash)
    total = sum(int(str(each["n_rows"])) for each in identities)

    def run(space: Workspace) -> Outcome:
        place.progress.start(name, total)

        def tell(n_rows: int) -> None:
            place.progress.advance(name, n_rows)

        outcomes = read_conversations(sources, store=place.store, base=base, on_row=tell)
        rows, rejections = sorted_out(outcomes, Conversation)
        write_records(space.out / "conversations.parquet", rows, Conversation)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        done = counted(len(rows) + len(rejections), len(rows), rejections)
        return replace(done, licences=tuple({each.licence for each in sources}))

    facts: dict[str, JSON] = {"sources": identities}
    return Step(name, ingest_room.VERSION, facts, {}, run)


def mixture_step(composed: Step | None, ready: Step, sources: Sequence[ConversationSource]) -> Step:
    """Return the step that puts ready-made conversations beside the composed ones, and draws replayed ones.

    Args:
        composed: None where nothing is composed.
    """
    replays = {each.title: Replay(each.ratio, each.seed) for each in sources if each.ratio is not None}

    def run(space: Workspace) -> Outcome:
        own = _conversations(space.inputs["composed"]) if composed is not None else []
        others = _conversations(space.inputs["conversations"])
        rows, rejections = sorted_out(mixed(own, others, replays), Conversation)
        write_records(space.out / "conversations.parquet", rows, Conversation)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        counts = {
            "inputs": len(own) + len(others),
            "outputs": len(rows),
            "composed": len(own),
            "ready": len(rows) - len(own),
        }
        return Outcome(counts, reasons(rejections))

    facts: dict[str, JSON] = {"replay": {name: asdict(each) for name, each in replays.items()}}
    inputs = {"conversations": ready} | ({"composed": composed} if composed is not None else {})
    return Step("mixture", compose_room.VERSION, facts, inputs, run)


def _conversations(folder: Path) -> list[Conversation]:
    return list(read_records(folder / "conversations.parquet", Conversation))


def examples_step(name: str, config: SeedConfig, place: Place, base: Path, *, key: str, rehash: bool) -> Step:
    """Return the step that reads seed examples.

    Args:
        key: where the recipe names them, for messages.
    """

    def run(space: Workspace) -> Outcome:
        outcomes = read_seeds(config, store=place.store, base=base)
        examples, rejections = sorted_out(place.tracked(name, outcomes, None), SeedExample)
        write_records(space.out / "examples.parquet", examples, SeedExample)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        return counted(len(examples) + len(rejections), len(examples), rejections)

    if not (base / config.source).is_file():
        raise DataError(f"The seed data {base / config.source} does not exist; check {key}.source.")
    facts = seeds_identity(config, base=base, cache_dir=place.engines.cache, rehash=rehash)
    return Step(name, ingest_room.VERSION, facts, {}, run)


def tuning_data_step(
    examples: Step, tuning: SynthesizerTuning, config: synthesize_room.SynthesizeConfig, place: Place
) -> Step:
    """Return the step that turns seed examples into the conversations a synthesizer is tuned on.

    Examples kept out of it are written to `validation.parquet`, with all others about their pictures.
    """
    asked = config.synthesizer

    def run(space: Workspace) -> Outcome:
        rows = list(read_records(space.inputs["examples"] / "examples.parquet", SeedExample))
        hidden = {each.image.sha256 for each in rows if tuning.is_kept_out(each.id)}
        kept_out = {each.id for each in rows if each.image.sha256 in hidden}
        conversations = synthesize_room.tuning_conversations(
            (each for each in rows if each.id not in kept_out),
            blank_rate=tuning.blank_images,
            seed=tuning.seed,
            caption_question=asked.caption_question,
            blank=place.store.add(blank_png(BLANK_PX, BLANK_PX, 255)),
            inputs=asked.inputs,
            system=asked.system,
        )
        write_records(space.out / "conversations.parquet", conversations, Conversation)
        validation = [each for each in rows if each.id in kept_out]
        write_records(space.out / "validation.parquet", validation, SeedExample)
        counts = {"inputs": len(rows), "outputs": len(rows), "validation": len(validation)}
        return Outcome(counts, {})

    facts: dict[str, JSON] = {
        "blank_images": tuning.blank_images,
        "validation": tuning.validation,
        "seed": tuning.seed,
        "caption_question": asked.caption_question,
        "inputs": asked.inputs,
        "system": asked.system,
    }
    return Step("tuning-data", synthesize_room.VERSION, facts, {"examples": examples}, run)


def training_step(
    name: str,
    data: Step,
    config: train_room.TrainConfig,
    start: Model,
    place: Place,
    *,
    stage: int | None = None,
) -> Step:
    """Return the step that trains a checkpoint on conversations.

    Args:
        stage: only the conversations of this stage are its inputs; None takes all.
    """

    def run(space: Workspace) -> Outcome:
        told = _conversations(space.inputs["conversations"])
        rows = [each for each in told if stage in (None, each.stage)]
        _check_stages(told, stage)
        place.engines.opened.clear()
        started: list[int] = []

        def tell(step: int, total: int, loss: float) -> None:
            if not started:
                started.append(step)
                place.progress.start(name, total)
            place.progress.advance(name, step, f"loss {loss:.3f}")

        outcome = train_room.train(
            rows,
            train_room.TrainConfig.model_validate(config.model_dump()),
            model=start.folder(place.root),
            store=place.store,
            out=space.out / "checkpoint",
            work=space.work / "training",
            on_progress=tell,
            on_plan=lambda plan: place.progress.say("\n".join([f"{name}:", *plan.lines()])),
            licences=licences_of(space.inputs.values()),
        )
        write_records(space.out / "losses.parquet", outcome.losses, train_room.LossRow)
        shutil.copyfile(space.work / "training" / train_room.LOSSES, space.out / train_room.LOSSES)
        write_records(space.out / "rejections.parquet", outcome.rejections, Rejection)
        done = counted(len(rows), len(outcome.trained), outcome.rejections)
        facts = {"trained_tokens": outcome.trained_tokens, "total_tokens": outcome.total_tokens}
        shortened = {f"shortened_{way}": n for way, n in outcome.shortened.items()}
        counts = {**done.counts, **shortened}
        ran = {**how(config.execution), BASE: _known_of(start.folder(place.root))}
        return replace(done, counts=counts, facts=facts, run=ran)

    inputs, engines = place.needs(start)
    facts = identity(config, "save_every", "check_reload")
    if stage is not None:
        facts["stage"] = stage
    return Step(name, train_room.VERSION, facts, {"conversations": data, **inputs}, run, engines)


def _known_of(folder: Path) -> JSON:
    """Return what a reader may know of a checkpoint: its name, its name on the hub, its card's licence."""
    name = hub_name(folder)
    return {"name": name or folder.resolve().name, "hub": name or "", "licence": licence_of(folder)}


def _check_stages(told: Sequence[Conversation], stage: int | None) -> None:
    """Find out before the first of two stages that one of them has nothing to learn from.

    Raises:
        DataError: it is so.
    """
    if stage != 1:
        return
    what = {1: "no conversation was kept for the first stage", 2: "no task was kept for the second stage"}
    empty = next((each for each in what if all(one.stage != each for one in told)), None)
    if empty is not None:
        raise DataError(
            f"There are two stages, but {what[empty]} (`acclimate inspect` shows why). Keep more, or train "
            "in one stage: compose.mixture single_stage or captions_only, and conversations of one stage."
        )


def synthesis_step(
    name: str,
    data: Step,
    part: Part,
    model: Model | None,
    config: synthesize_room.SynthesizeConfig,
    place: Place,
) -> Step:
    """Return the step that writes tasks for pairs, or for seed examples.

    Its inputs are replies where a model is asked, else pairs; one may give several tasks.

    Args:
        data: the step that wrote them. model: None where the method asks none.
    """

    def run(space: Workspace) -> Outcome:
        units = read_units(space.inputs["pairs"], part)
        engine, log = place.open(model, config.execution) if model is not None else (None, None)
        outcomes = synthesize_room.synthesize(units, engine, config, log=log)
        is_one_each = config.generator in ("synthesizer", "general_task")
        total = len(units) * config.samples_per_pair if is_one_each else None
        triplets, rejections = sorted_out(place.tracked(name, outcomes, total), Triplet)
        write_records(space.out / "triplets.parquet", triplets, Triplet)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        told = {each.reply_id if config.needs_engine else each.pair_id for each in triplets}
        told |= {each.id.split("#")[0] for each in rejections}
        done = counted(len(told), len(triplets), rejections)
        return replace(done, run=place.how(config.execution) if engine is not None else {})

    inputs, engines = place.needs(model) if model is not None else ({}, {})
    facts: dict[str, JSON] = {**identity(config.decisive(), "model"), "part": part}
    return Step(name, synthesize_room.VERSION, facts, {"pairs": data, **inputs}, run, engines)


def read_units(folder: Path, part: Part) -> list[ImageCaption] | list[SeedExample]:
    """Return the pairs or the seed examples in a finished step's folder."""
    if part in _EXAMPLES:
        return list(read_records(folder / f"{part}.parquet", SeedExample))
    return list(read_records(folder / f"{part}.parquet", ImageCaption))


def read_pairs(folder: Path, part: Part) -> list[ImageCaption]:
    """Return the pairs in a finished step's folder; of seed examples, their pictures and captions."""
    return [pair_of(each) if isinstance(each, SeedExample) else each for each in read_units(folder, part)]


def curation_step(
    name: str,
    triplets_step: Step,
    data: tuple[Step, Part],
    model: Model | None,
    config: curate_room.CurateConfig,
    place: Place,
) -> Step:
    """Return the step that judges triplets.

    Args:
        data: the pairs that the triplets were made from.
        model: the judge; None where nobody judges.
    """
    pairs_step, part = data

    def run(space: Workspace) -> Outcome:
        triplets = list(read_records(space.inputs["triplets"] / "triplets.parquet", Triplet))
        asked, engine, log = config, None, None
        if model is not None and any(triplet.precise for triplet in triplets):
            engine, log = place.open(model, config.execution)
        else:
            asked = config.model_copy(update={"judge": curate_room.NO_JUDGE})
        images = None
        if config.needs_images:
            images = {pair.id: pair.image for pair in read_pairs(space.inputs["pairs"], part)}
        judged = curate_room.curate(triplets, engine, asked, log=log, images=images)
        rows = list(place.tracked(name, judged, len(triplets)))
        write_records(space.out / "judged.parquet", rows, JudgedTriplet)
        verdicts: Counter[str] = Counter(row.label for row in rows)
        counts = {"inputs": len(triplets), "outputs": len(rows), **verdicts}
        return Outcome(counts, {}, run=place.how(config.execution) if engine is not None else {})

    inputs, engines = place.needs(model) if model is not None else ({}, {})
    if config.needs_images:
        inputs["pairs"] = pairs_step
    facts: dict[str, JSON] = {**identity(config.decisive(), "judge", "reliance"), "part": part}
    return Step(name, curate_room.VERSION, facts, {"triplets": triplets_step, **inputs}, run, engines)


def reliance_step(
    name: str,
    judged_step: Step,
    data: tuple[Step, Part],
    model: Model,
    config: task_reliance.RelianceConfig,
    place: Place,
) -> Step:
    """Return the step that measures how much every judged task needs its picture.

    Args:
        data: the pairs that the tasks were made from.
    """
    pairs_step, part = data

    def run(space: Workspace) -> Outcome:
        judged = _judged(space.inputs["judged"])
        images = {pair.id: pair.image for pair in read_pairs(space.inputs["pairs"], part)}
        outcomes: Iterable[task_reliance.TaskReliance | Rejection] = ()
        if judged:
            engine, log = place.open(model, config.execution)
            outcomes = task_reliance.measure(judged, images, engine, config, store=place.store, log=log)
        tracked = place.tracked(name, outcomes, len(judged))
        rows, rejections = sorted_out(tracked, task_reliance.TaskReliance)
        write_records(space.out / task_reliance.MEASURES, rows, task_reliance.TaskReliance)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        below_zero = sum(row.reliance < 0 for row in rows)
        done = counted(len(judged), len(rows), rejections, below_zero=below_zero)
        return replace(done, run=place.how(config.execution) if judged else {})

    needed, engines = place.needs(model)
    facts: dict[str, JSON] = {**identity(config.decisive(), "model", "floor"), "part": part}
    inputs = {"judged": judged_step, "pairs": pairs_step, **needed}
    return Step(name, task_reliance.VERSION, facts, inputs, run, engines)


def composition_step(
    pairs_step: Step,
    judged_step: Step | None,
    general: tuple[Step, Step] | None,
    config: compose_room.ComposeConfig,
    place: Place,
    *,
    floor: tuple[float, Sequence[Step]] | None = None,
    general_licence: str = "unknown",
) -> Step:
    """Return the step that makes the training conversations.

    Args:
        judged_step: None where the domain's pairs have no tasks.
        general: the steps with the general examples and with their judged tasks.
        floor: least visual reliance of a task, in nats per token, and the steps that measured it.
        general_licence: of the general examples, as the recipe states it.
    """
    least, measured = floor if floor is not None else (0.0, ())

    def run(space: Workspace) -> Outcome:
        pairs = read_pairs(space.inputs["pairs"], "pairs")
        judged = _judged(space.inputs["judged"]) if judged_step is not None else []
        data = None
        if general is not None:
            own = read_pairs(space.inputs["general"], "examples")
            data = GeneralData(own, _judged(space.inputs["general_judged"]))
        rows_by_step = (read_measures(space.inputs[step.name])[0] for step in measured)
        unreliant = {name for rows in rows_by_step for name in task_reliance.below(rows, least)}
        outcomes = compose_room.compose(pairs, judged, config, general=data, unreliant=unreliant)
        rows, rejections = sorted_out(place.tracked("compose", outcomes, None), Conversation)
        write_records(space.out / "conversations.parquet", rows, Conversation)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        used = {source for row in rows for source in row.sources}
        with_task = sum(len(row.sources) > 1 for row in rows)
        n_general = len(data.pairs) + len(data.judged) if data is not None else 0
        counts = {
            "inputs": len(pairs) + len(judged) + n_general,
            "outputs": len(used),
            "conversations": len(rows),
            "with_task": with_task,
            "caption_only": len(rows) - with_task,
        }
        licences = () if general is None else (general_licence,)
        return Outcome(counts, reasons(rejections), licences=licences)

    inputs = {"pairs": pairs_step}
    if judged_step is not None:
        inputs["judged"] = judged_step
    if general is not None:
        inputs |= {"general": general[0], "general_judged": general[1]}
    inputs |= {step.name: step for step in measured}
    facts = identity(config)
    if measured:
        facts["least_reliance"] = least
    if general is not None:
        facts["general_licence"] = general_licence
    return Step("compose", compose_room.VERSION, facts, inputs, run)


def read_measures(folder: Path) -> tuple[list[task_reliance.TaskReliance], dict[str, int]]:
    """Return the measures in a finished reliance step's folder, and how many tasks have none, by reason."""
    rows = list(read_records(folder / task_reliance.MEASURES, task_reliance.TaskReliance))
    return rows, reasons(read_records(folder / "rejections.parquet", Rejection))


def _judged(folder: Path) -> list[JudgedTriplet]:
    return list(read_records(folder / "judged.parquet", JudgedTriplet))


def held_out_items_step(
    pairs_step: Step,
    judged_step: Step | None,
    keep: Sequence[Label],
    config: evaluate_room.EvaluateConfig,
) -> Step:
    """Return the step that asks about held-out pairs: their captions, and the kept tasks made from them.

    Args:
        judged_step: None where no tasks were made from them.
    """

    def run(space: Workspace) -> Outcome:
        pairs = read_pairs(space.inputs["pairs"], "held_out")
        judged = _judged(space.inputs["judged"]) if judged_step is not None else []
        kept = [each for each in judged if each.label in keep]
        tasks = list(heldout.task_items(kept, pairs))
        few = exchanges_pictures(config.conditions) and not _can_exchange_pictures(tasks)
        items = [*heldout.caption_items(pairs, config.caption_question), *(() if few else tasks)]
        used = {item.id for item in items}
        dropped = {item.id for item in tasks if few}
        asked = [*(pair.id for pair in pairs), *(each.id for each in kept)]
        one_answer = {each.id for each in kept if not each.precise}

        def why(name: str) -> str:
            if name in dropped:
                return "too_few_pictures"
            return "no_precise_answer" if name in one_answer else "no_words"

        rejections = [Rejection(name, "items", why(name)) for name in asked if name not in used]
        rejections += [
            Rejection(each.id, "items", f"judged_{each.label}") for each in judged if each.label not in keep
        ]
        check_conditions(items, config.conditions, seed=config.seed)
        facts = [
            asdict(
                BenchmarkFacts(
                    name=name,
                    scorer=next(primary_scorer(i.kind) for i in items if i.benchmark == name),
                    n_rows=sum(item.benchmark == name for item in items),
                    note=heldout.NOT_CHECKED,
                )
            )
            for name in sorted({item.benchmark for item in items})
        ]
        lengths = {heldout.CAPTIONS: config.caption_max_tokens, heldout.TASKS: config.caption_max_tokens}
        write_records(space.out / "items.parquet", items, Item)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        write_json(space.out / "benchmarks.json", {"facts": facts, "max_tokens": lengths})
        return counted(len(pairs) + len(judged), len(items), rejections)

    content: dict[str, JSON] = {
        "question": config.caption_question,
        "max_tokens": config.caption_max_tokens,
        "keep": list(keep),
        "conditions": list(config.conditions),
    }
    inputs = {"pairs": pairs_step} | ({"judged": judged_step} if judged_step is not None else {})
    return Step("items", evaluate_room.VERSION, content, inputs, run)


def items_step(benchmarks: Sequence[Benchmark], config: evaluate_room.EvaluateConfig) -> Step:
    """Return the step that writes down the questions of benchmarks, and what a reader must know of them."""
    items = [item for benchmark in benchmarks for item in benchmark.items]
    rejections = [each for benchmark in benchmarks for each in benchmark.rejections]
    facts = [
        asdict(_facts(benchmark, name, n))
        for benchmark in benchmarks
        for name, n in benchmark.n_rows_by_benchmark.items()
    ]
    lengths = {k: v for benchmark in benchmarks for k, v in benchmark.max_tokens_by_benchmark.items()}
    scorers = {k: list(v) for benchmark in benchmarks for k, v in benchmark.scorers_by_benchmark.items()}
    require_judge(items, has_judge=config.judge is not None)

    def run(space: Workspace) -> Outcome:
        check_conditions(items, config.conditions, seed=config.seed)
        write_records(space.out / "items.parquet", items, Item)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        sums: JSON = {name: [list(term) for term in terms] for name, terms in published_sums(scorers).items()}
        told: JSON = {"facts": facts, "max_tokens": lengths, "scorers": scorers, "sums": sums}
        write_json(space.out / "benchmarks.json", told)
        left_out = sum(benchmark.n_left_out for benchmark in benchmarks)
        return counted(len(items) + len(rejections), len(items), rejections, left_out=left_out)

    content: dict[str, JSON] = {
        "items": _digest([asdict(item) for item in items]),
        "rejections": _digest([asdict(each) for each in rejections]),
        "facts": _digest(facts),
        "max_tokens": lengths,
        "scorers": _digest(scorers),
    }
    return Step("items", evaluate_room.VERSION, content, {}, run)


def evaluation_step(
    role: str,
    items_step: Step,
    model: Model,
    config: evaluate_room.EvaluateConfig,
    execution: EngineExecution,
    place: Place,
    *,
    name: str | None = None,
    judge: Model | None = None,
) -> Step:
    """Return the step that asks a model every question under every condition, and scores its answers.

    Args:
        name: of the step; None takes `evaluate-` and the role.
        judge: marks the answers of benchmarks that need one.
    """
    name = name or f"evaluate-{role}"

    def run(space: Workspace) -> Outcome:
        items = list(read_records(space.inputs["items"] / "items.parquet", Item))
        asked = read_json(space.inputs["items"] / "benchmarks.json")
        lengths: Mapping[str, int] = asked["max_tokens"]
        engine, log = place.open(model, execution)
        answers = evaluate_room.predict(
            items,
            engine,
            config,
            model=role,
            store=place.store,
            log=log,
            max_tokens_by_benchmark=lengths,
        )
        total = n_questions(items, config.conditions)
        predictions = evaluate_room.in_order(place.tracked(name, answers, total), items, config.conditions)
        scores = list(evaluate_room.score(items, predictions, asked.get("scorers")))
        if judge is not None and needs_judge(items):
            judging, judge_log = place.open(judge, execution)
            marked, said = judge_answers(items, predictions, judging, config.judging, log=judge_log)
            scores += marked
            write_records(space.out / "judgements.parquet", said, Judgement)
        write_samples(
            space.out / "samples",
            items,
            predictions,
            model_digest=engine.identity.digest,
            scorers_by_benchmark=asked.get("scorers"),
        )
        write_records(space.out / "predictions.parquet", predictions, Prediction)
        write_records(space.out / "scores.parquet", scores, Score)
        if config.log_likelihood:
            right = likelihoods.planned(items, config, store=place.store)
            told = place.tracked(
                f"{name}: right answers", likelihoods.likelihoods(right, engine, log), len(right)
            )
            write_records(space.out / likelihoods.FILE, told, likelihoods.Likelihood)
        truncated = sum(each.finish_reason == "length" for each in predictions)
        counts = {"inputs": total, "outputs": len(predictions), "truncated": truncated}
        for condition, by_benchmark in left_out(items, config.conditions).items():
            counts[f"not asked under {condition}"] = sum(by_benchmark.values())
        return Outcome(counts, {}, run=place.how(execution))

    inputs, engines = place.needs(model)
    without = ["benchmarks", "data", "limit", "after_first_stage", "judge", "further"]
    if config.log_likelihood:
        if model.step is None:
            require_scores(model.at(place.root), "evaluate.log_likelihood")
    else:
        without.append("log_likelihood")
    if judge is not None:
        engines = {**engines, "judge": place.engines.identity(judge.at(place.root))}
    else:
        without.append("judging")
    facts: dict[str, JSON] = {**identity(config, *without), "role": role}
    return Step(name, evaluate_room.VERSION, facts, {"items": items_step, **inputs}, run, engines)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _facts(benchmark: Benchmark, name: str, n_rows: int) -> BenchmarkFacts:
    spec = benchmark.spec
    kind = next((item.kind for item in benchmark.items if item.benchmark == name), None)
    published = spec.counts.get(name)
    notes = [benchmark.given[name].text] if name in benchmark.given else []
    if published is not None and published != n_rows:
        notes.append(f"{n_rows} questions; the published benchmark has {published}")
    return BenchmarkFacts(
        name=name,
        scorer=benchmark.scorers_by_benchmark[name][0] if kind else "",
        n_rows=n_rows,
        chance=spec.chance_of(kind) if kind else None,
        licence=spec.licence,
        citation=spec.citation,
        note="; ".join(notes),
        sha256=benchmark.sha256,
    )


def _split(
    pairs: Sequence[ImageCaption], share: float, seed: int, *, needed: bool
) -> tuple[list[ImageCaption], list[ImageCaption]]:
    """Return the pairs to train on and those held out.

    Where the held-out ones are all there is to score, and a small data set gives so few images that not every
    question could be shown another one's picture, the share is doubled until it can. Source: our own rule.

    Raises:
        DataError: there are not enough images to hold any out.
    """
    while True:
        kept, held_out = ingest_room.split_holdout(pairs, min(share, 0.999), seed)
        per_image = Counter(pair.image.sha256 for pair in held_out)
        enough = bool(held_out) and 2 * max(per_image.values()) <= len(held_out)
        if not needed or (kept and enough):
            return kept, held_out
        if share >= 1:
            raise DataError(
                f"The {len(pairs)} usable pairs are too few to hold some out for scoring. Bring more pairs, "
                "or name a benchmark under evaluate.benchmarks."
            )
        share *= 2


def _can_exchange_pictures(items: Sequence[Item]) -> bool:
    try:
        donor_by_id(items, 0)
    except BenchmarkError:
        return False
    return True
