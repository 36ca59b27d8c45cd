"""Wires the rooms: a recipe becomes steps, steps become artifacts, and the last of them a report.

    ingest ─▶ synthesize ─▶ curate ─▶ compose ─▶ train ─▶ evaluate ─▶ report
    seeds ─▶ tune-synthesizer ─▲          items (benchmarks, or held-out pairs) ─▲

A step's work is a room's door between reading its inputs and writing its outputs. Nothing here loads torch
until a model is opened or trained. What decides a result is in a step's config; rows, threads and devices
are not, and stand in its run.json.
"""

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel

from acclimate import artifacts
from acclimate.artifacts import Outcome, ReplyLog, Step, Workspace, build, fingerprint
from acclimate.compose import stage as compose_room
from acclimate.curate import stage as curate_room
from acclimate.engines.open import EngineExecution, EngineSpec, engine_identity, open_engine
from acclimate.engines.protocol import Engine
from acclimate.errors import BenchmarkError, DataError, RecipeError
from acclimate.evaluate import heldout
from acclimate.evaluate import stage as evaluate_room
from acclimate.evaluate.conditions import shown_images
from acclimate.evaluate.donors import donor_by_id
from acclimate.evaluate.load import Benchmark, load_benchmark
from acclimate.evaluate.scorers import primary_scorer
from acclimate.files import (
    JSON,
    ImageStore,
    blank_png,
    cached_sha256,
    read_json,
    read_records,
    sha256_file,
    write_json,
    write_records,
    write_text,
)
from acclimate.gathered import report_inputs
from acclimate.ingest import stage as ingest_room
from acclimate.ingest.seeds import SeedConfig, read_seeds
from acclimate.recipe import Recipe, identity, recipe_text
from acclimate.records import (
    Conversation,
    ImageCaption,
    ImageRef,
    Item,
    JudgedTriplet,
    Prediction,
    Rejection,
    Score,
    SeedExample,
    Triplet,
)
from acclimate.report.inputs import Audit, BenchmarkFacts
from acclimate.report.stage import write_report
from acclimate.synthesize import stage as synthesize_room
from acclimate.train import stage as train_room

_T = TypeVar("_T")
HELD_OUT_SHARE = 0.1
"""Share of the images kept from training where the user brings no benchmark."""
BLANK_PX = 64
LINE = "line.json"
"""In a run's folder: the line's steps in order, and the folders of their artifacts."""


class Progress(Protocol):
    """Told how the work goes."""

    def start(self, step: str, total: int | None) -> None:
        """A step begins; `total` units of work are known, or not."""
        ...

    def advance(self, step: str, done: int, note: str = "") -> None:
        """So many units are done."""
        ...

    def end(self, step: str, *, reused: bool) -> None:
        """A step's artifact stands."""
        ...


class Silent:
    """Says nothing."""

    def start(self, step: str, total: int | None) -> None:
        """Say nothing."""

    def advance(self, step: str, done: int, note: str = "") -> None:
        """Say nothing."""

    def end(self, step: str, *, reused: bool) -> None:
        """Say nothing."""


@dataclass(slots=True)
class Engines:
    """Opens engines, one at a time: a second model is loaded only after the first has gone."""

    store: ImageStore
    cache: Path
    opened: dict[str, Engine] = field(default_factory=dict)
    substitute: Callable[[Path], Engine] | None = None
    """Tests put a fake here; it answers for every folder."""

    def identity(self, model: Path) -> str:
        """Return the digest of what decides the model's replies."""
        if self.substitute is not None:
            return self.substitute(model).identity.digest
        return engine_identity(EngineSpec(model=str(model)), self.cache).digest

    def open(self, model: Path, execution: EngineExecution) -> Engine:
        """Return the engine for a checkpoint folder."""
        if self.substitute is not None:
            return self.substitute(model)
        key = f"{model}\0{execution.model_dump_json()}"
        if key not in self.opened:
            self.opened.clear()
            gc.collect()
            self.opened[key] = open_engine(EngineSpec(model=str(model)), self.store, execution, self.cache)
        return self.opened[key]


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint a step uses: a folder the recipe names, or what another step makes."""

    folder: Path | None = None
    step: Step | None = None

    def path(self, root: Path) -> Path:
        """Return the checkpoint's folder; its step must be finished."""
        if self.step is not None:
            return artifacts.home_of(self.step, root) / "checkpoint"
        if self.folder is None:
            raise RecipeError("The recipe names no model here.")
        return self.folder


@dataclass(slots=True)
class Place:
    """Where steps are built, and who is told."""

    root: Path
    store: ImageStore
    engines: Engines
    progress: Progress

    def open(self, model: Model, execution: EngineExecution) -> tuple[Engine, ReplyLog]:
        """Return the engine of a model, and the log of the replies it has given in this folder."""
        engine = self.engines.open(model.path(self.root), execution)
        return engine, ReplyLog(self.root / "replies" / engine.identity.digest[:16])

    def needs(self, model: Model) -> tuple[dict[str, Step], dict[str, str]]:
        """Return what a step that uses the model says of it: an input, or an engine's identity."""
        if model.step is not None:
            return {"model": model.step}, {}
        return {}, {"model": self.engines.identity(model.path(self.root))}

    def tracked(self, step: str, outcomes: Iterable[_T], total: int | None) -> Iterator[_T]:
        """Yield the outcomes and tell how many there have been."""
        self.progress.start(step, total)
        for count, outcome in enumerate(outcomes, start=1):
            self.progress.advance(step, count)
            yield outcome


class Line:
    """One recipe's steps, in the order they are built."""

    def __init__(
        self,
        recipe: Recipe,
        base: Path,
        *,
        progress: Progress | None = None,
        substitute: Callable[[Path], Engine] | None = None,
        rehash: bool = False,
        scratch: Path | None = None,
    ) -> None:
        """Plan a recipe's steps; nothing is built yet.

        Args:
            base: what the recipe's paths count from: its folder.
            progress: told how the work goes; nobody where None.
            substitute: an engine in place of every model's own, for tests.
            rehash: read every input file anew instead of trusting the cache of hashes.
            scratch: pictures and hashes go there and not into the run folder, which then stays untouched:
                for plans that are only looked at.

        Raises:
            DataError: a file that the recipe names cannot be used. EngineError: a model cannot.
        """
        self.recipe = recipe
        self.base = base
        self.root = (base / recipe.run_dir).resolve()
        self.store = ImageStore(scratch or self.root)
        self.cache = (scratch or self.root) / "hashes"
        self.rehash = rehash
        engines = Engines(self.store, self.cache, substitute=substitute)
        self.place = Place(self.root, self.store, engines, progress or Silent())
        self._benchmarks: tuple[Benchmark, ...] | None = None
        self.steps: dict[str, Step] = {}
        self._plan()

    def _plan(self) -> None:
        recipe = self.recipe
        own = {"ingest": self._ingest()}
        tuned: Model | None = None
        if recipe.synthesizer is not None and recipe.synthesize.model == "tuned":
            own["seeds"] = self._seeds()
            base = Model(folder=self.folder(recipe.synthesizer.model))
            own["tune-synthesizer"] = self._training(
                "tune-synthesizer", own["seeds"], recipe.synthesizer.train, base
            )
            tuned = Model(step=own["tune-synthesizer"])
        synthesizer = tuned
        if recipe.synthesize.model != "tuned":
            synthesizer = Model(folder=self.folder(recipe.synthesize.model))
        if synthesizer is None:
            raise RecipeError(
                "synthesize.model is `tuned`, but the recipe has no `synthesizer` part to tune one. Add "
                "`synthesizer: {model: ..., seeds: {source: ...}}`, or name a tuned synthesizer's folder."
            )
        judge_name = recipe.train.model if recipe.curate.judge == "base" else recipe.curate.judge
        judge = Model(folder=self.folder(judge_name))
        start = Model(folder=self.folder(recipe.train.model))
        own["synthesize"] = self._synthesize("synthesize", own["ingest"], "pairs", synthesizer)
        if recipe.evaluate.benchmarks:
            own["curate"] = self._curate("curate", own["synthesize"], judge)
            own["items"] = items_step(self.benchmarks(), recipe.evaluate, self.store)
        else:
            own["synthesize-heldout"] = self._synthesize(
                "synthesize-heldout", own["ingest"], "held_out", synthesizer
            )
            own["curate"] = self._curate("curate", own["synthesize"], judge)
            own["curate-heldout"] = self._curate("curate-heldout", own["synthesize-heldout"], judge)
            own["items"] = self._held_out_items(own["ingest"], own["curate-heldout"])
        own["compose"] = self._compose(own["ingest"], own["curate"])
        own["evaluate-base"] = self._evaluate("base", own["items"], start)
        own["train"] = self._training("train", own["compose"], recipe.train, start)
        own["evaluate-adapted"] = self._evaluate("adapted", own["items"], Model(step=own["train"]))
        self.steps = own

    def folder(self, name: str) -> Path:
        """Return the folder that a model's name in the recipe means."""
        return (self.base / name).resolve()

    # --- the rooms' steps ------------------------------------------------------------------------

    def _ingest(self) -> Step:
        recipe = self.recipe
        config = recipe.ingest
        if recipe.limit is not None:
            config = config.model_copy(update={"limit": min(recipe.limit, config.limit or recipe.limit)})
        if not recipe.evaluate.benchmarks and config.holdout == 0:
            config = config.model_copy(update={"holdout": HELD_OUT_SHARE})

        def run(space: Workspace) -> Outcome:
            outcomes = ingest_room.ingest(config, store=self.store, base=self.base)
            pairs, rejections = _sorted_out(self.place.tracked("ingest", outcomes, None), ImageCaption)
            kept, held_out = _split(pairs, config.holdout, config.seed, needed=not recipe.evaluate.benchmarks)
            write_records(space.out / "pairs.parquet", kept, ImageCaption)
            write_records(space.out / "held_out.parquet", held_out, ImageCaption)
            write_records(space.out / "rejections.parquet", rejections, Rejection)
            return Outcome(
                {
                    "inputs": len(pairs) + len(rejections),
                    "outputs": len(pairs),
                    "pairs": len(kept),
                    "held_out": len(held_out),
                },
                _reasons(rejections),
                licences=tuple({pair.licence for pair in pairs}),
            )

        facts = ingest_room.source_identity(config, base=self.base, cache_dir=self.cache, rehash=self.rehash)
        facts["held_out_needed"] = not recipe.evaluate.benchmarks
        return Step("ingest", ingest_room.VERSION, facts, {}, run)

    def _seeds(self) -> Step:
        chosen, recipe = self.recipe.synthesizer, self.recipe
        if chosen is None:
            raise RecipeError("The recipe has no `synthesizer` part.")
        seeds: SeedConfig = chosen.seeds
        if recipe.limit is not None:
            seeds = seeds.model_copy(update={"limit": min(recipe.limit, seeds.limit or recipe.limit)})

        def run(space: Workspace) -> Outcome:
            outcomes = read_seeds(seeds, store=self.store, base=self.base)
            examples, rejections = _sorted_out(self.place.tracked("seeds", outcomes, None), SeedExample)
            conversations = synthesize_room.tuning_conversations(
                examples,
                blank_rate=chosen.blank_images,
                seed=chosen.seed,
                caption_question=recipe.synthesize.caption_question,
                blank=self._blank(),
            )
            write_records(space.out / "conversations.parquet", conversations, Conversation)
            write_records(space.out / "rejections.parquet", rejections, Rejection)
            return _outcome(len(examples) + len(rejections), len(examples), rejections)

        source = self.base / seeds.source
        if not source.is_file():
            raise DataError(f"The seed data {source} does not exist; check synthesizer.seeds.source.")
        facts: dict[str, JSON] = {
            "source": sha256_file(source),
            "images": self._folder_digest(
                self.base / seeds.image_root if seeds.image_root else source.parent
            ),
            "limit": seeds.limit,
            "blank_images": chosen.blank_images,
            "seed": chosen.seed,
            "caption_question": recipe.synthesize.caption_question,
        }
        return Step("seeds", synthesize_room.VERSION, facts, {}, run)

    def _folder_digest(self, folder: Path) -> str:
        """Return a hash of the pictures under a folder, names and bytes."""
        digest = hashlib.sha256()
        suffixes = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes):
            digest.update(f"{path.relative_to(folder).as_posix()}\0".encode("utf-8", "surrogateescape"))
            digest.update(cached_sha256(path, self.cache, rehash=self.rehash).encode())
        return digest.hexdigest()

    def _blank(self) -> ImageRef:
        """Return the white picture that stands for no picture."""
        return self.store.add(blank_png(BLANK_PX, BLANK_PX, 255))

    def _training(self, name: str, data: Step, config: train_room.TrainConfig, start: Model) -> Step:
        def run(space: Workspace) -> Outcome:
            rows = list(read_records(space.inputs["conversations"] / "conversations.parquet", Conversation))
            self.place.engines.opened.clear()
            started: list[int] = []

            def tell(step: int, total: int, loss: float) -> None:
                if not started:
                    started.append(step)
                    self.place.progress.start(name, total)
                self.place.progress.advance(name, step, f"loss {loss:.3f}")

            outcome = train_room.train(
                rows,
                train_room.TrainConfig.model_validate(config.model_dump(exclude={"model"})),
                model=start.path(self.root),
                store=self.store,
                out=space.out / "checkpoint",
                work=space.work / "training",
                on_progress=tell,
            )
            write_records(space.out / "losses.parquet", outcome.losses, train_room.LossRow)
            write_records(space.out / "rejections.parquet", outcome.rejections, Rejection)
            counted = _outcome(len(rows), len(outcome.trained), outcome.rejections)
            facts = {"trained_tokens": outcome.trained_tokens, "total_tokens": outcome.total_tokens}
            return replace(counted, facts=facts, run=_how(config.execution))

        inputs, engines = self.place.needs(start)
        return Step(
            name,
            train_room.VERSION,
            identity(config, "model", "save_every", "check_reload"),
            {"conversations": data, **inputs},
            run,
            engines,
        )

    def _synthesize(self, name: str, pairs_step: Step, part: str, model: Model) -> Step:
        config = self.recipe.synthesize

        def run(space: Workspace) -> Outcome:
            pairs = list(read_records(space.inputs["pairs"] / f"{part}.parquet", ImageCaption))
            engine, log = self.place.open(model, config.execution)
            outcomes = synthesize_room.synthesize(pairs, engine, config, log=log)
            total = len(pairs) * config.samples_per_pair
            triplets, rejections = _sorted_out(self.place.tracked(name, outcomes, total), Triplet)
            write_records(space.out / "triplets.parquet", triplets, Triplet)
            write_records(space.out / "rejections.parquet", rejections, Rejection)
            return replace(_outcome(total, len(triplets), rejections), run=_how(config.execution))

        inputs, engines = self.place.needs(model)
        facts: dict[str, JSON] = {**identity(config, "model"), "part": part}
        return Step(name, synthesize_room.VERSION, facts, {"pairs": pairs_step, **inputs}, run, engines)

    def _curate(self, name: str, triplets_step: Step, model: Model) -> Step:
        config = self.recipe.curate

        def run(space: Workspace) -> Outcome:
            triplets = list(read_records(space.inputs["triplets"] / "triplets.parquet", Triplet))
            engine, log = self.place.open(model, config.execution)
            judged = curate_room.curate(triplets, engine, config, log=log)
            rows = list(self.place.tracked(name, judged, len(triplets)))
            write_records(space.out / "judged.parquet", rows, JudgedTriplet)
            verdicts: Counter[str] = Counter(row.label for row in rows)
            counts = {"inputs": len(triplets), "outputs": len(rows), **verdicts}
            return Outcome(counts, {}, run=_how(config.execution))

        inputs, engines = self.place.needs(model)
        config_facts = identity(config, "judge")
        return Step(
            name, curate_room.VERSION, config_facts, {"triplets": triplets_step, **inputs}, run, engines
        )

    def _compose(self, pairs_step: Step, judged_step: Step) -> Step:
        config = self.recipe.compose

        def run(space: Workspace) -> Outcome:
            pairs = list(read_records(space.inputs["pairs"] / "pairs.parquet", ImageCaption))
            judged = list(read_records(space.inputs["judged"] / "judged.parquet", JudgedTriplet))
            outcomes = compose_room.compose(pairs, judged, config)
            rows, rejections = _sorted_out(self.place.tracked("compose", outcomes, None), Conversation)
            write_records(space.out / "conversations.parquet", rows, Conversation)
            write_records(space.out / "rejections.parquet", rejections, Rejection)
            used = {source for row in rows for source in row.sources}
            with_task = sum(len(row.sources) > 1 for row in rows)
            return Outcome(
                {
                    "inputs": len(pairs) + len(judged),
                    "outputs": len(used),
                    "conversations": len(rows),
                    "with_task": with_task,
                    "caption_only": len(rows) - with_task,
                },
                _reasons(rejections),
            )

        return Step(
            "compose",
            compose_room.VERSION,
            identity(config),
            {"pairs": pairs_step, "judged": judged_step},
            run,
        )

    def benchmarks(self) -> tuple[Benchmark, ...]:
        """Return the recipe's benchmarks, read once."""
        if self._benchmarks is None:
            limit = self.recipe.evaluate.limit or self.recipe.limit
            paths = [self.base / name for name in self.recipe.evaluate.benchmarks]
            self._benchmarks = tuple(load_benchmark(path, self.store, limit) for path in paths)
        return self._benchmarks

    def _held_out_items(self, pairs_step: Step, judged_step: Step) -> Step:
        config, keep = self.recipe.evaluate, self.recipe.compose.keep

        def run(space: Workspace) -> Outcome:
            pairs = list(read_records(space.inputs["pairs"] / "held_out.parquet", ImageCaption))
            judged = list(read_records(space.inputs["judged"] / "judged.parquet", JudgedTriplet))
            kept = [each for each in judged if each.label in keep]
            tasks = list(heldout.task_items(kept, pairs))
            few = "mismatch" in config.conditions and not _can_exchange_pictures(tasks)
            items = [*heldout.caption_items(pairs, config.caption_question), *(() if few else tasks)]
            used = {item.id for item in items}
            dropped = {item.id for item in tasks if few}
            asked = [*(pair.id for pair in pairs), *(each.id for each in kept)]
            rejections = [
                Rejection(name, "items", "too_few_pictures" if name in dropped else "no_words")
                for name in asked
                if name not in used
            ]
            rejections += [
                Rejection(each.id, "items", f"judged_{each.label}")
                for each in judged
                if each.label not in keep
            ]
            _check_conditions(items, config, self.store)
            facts = [
                asdict(
                    BenchmarkFacts(
                        name=name,
                        scorer=next(primary_scorer(i.kind, i.stratum) for i in items if i.benchmark == name),
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
            return _outcome(len(pairs) + len(judged), len(items), rejections)

        content: dict[str, JSON] = {
            "question": config.caption_question,
            "max_tokens": config.caption_max_tokens,
            "keep": list(keep),
            "conditions": list(config.conditions),
        }
        return Step(
            "items", evaluate_room.VERSION, content, {"pairs": pairs_step, "judged": judged_step}, run
        )

    def _evaluate(self, role: str, items: Step, model: Model) -> Step:
        execution = self.recipe.synthesize.execution
        return evaluation_step(role, items, model, self.recipe.evaluate, execution, self.place)

    # --- building --------------------------------------------------------------------------------

    def build(self, names: Sequence[str] | None = None, *, aside: bool = False) -> dict[str, Path]:
        """Build the named steps (all, where None) and what they need; return their folders.

        Args:
            aside: the run folder goes on to show another recipe's line; for controls.

        Raises:
            RecipeError: the recipe has no such step.
        """
        missing = sorted(set(names or ()) - self.steps.keys())
        if missing:
            raise RecipeError(
                f"This recipe has no step {missing[0]}; it has {', '.join(self.steps)}. A synthesizer is "
                "tuned where the recipe has a `synthesizer` part and synthesize.model is `tuned`."
            )
        self.root.mkdir(parents=True, exist_ok=True)
        if not aside:
            write_text(self.root / "recipe.yaml", recipe_text(self.recipe))
        wanted = set(names or self.steps)
        homes = {}
        for name, step in self.steps.items():
            if name not in wanted and not any(_needs(self.steps[each], step) for each in wanted):
                continue
            reused = artifacts.finished(step, self.root) is not None
            homes[name] = build(step, self.root)
            self.place.progress.end(name, reused=reused)
        if not aside:
            places = {name: artifacts.home_of(step, self.root) for name, step in self.steps.items()}
            shown: list[JSON] = [
                {"step": name, "folder": home.relative_to(self.root).as_posix()}
                for name, home in places.items()
            ]
            write_json(self.root / LINE, shown)
        return homes

    def fingerprints(self) -> set[str]:
        """Return the fingerprint of every step, inputs included."""
        return {fingerprint(step) for step in self.steps.values()}

    def report(
        self, homes: Mapping[str, Path], *, audits: Sequence[Audit] = (), notes: Sequence[str] = ()
    ) -> Mapping[str, object]:
        """Write the report of finished artifacts; return its summary with the report's path."""
        inputs = report_inputs(
            homes,
            self.store,
            keep=self.recipe.compose.keep,
            n_examples=self.recipe.report.n_examples,
            limit=self.recipe.limit,
            audits=audits,
            notes=notes,
        )
        out = self.root / "report"
        summary = write_report(inputs, out, self.recipe.report)
        return {**summary, "report": str(out / "index.html")}


def items_step(
    benchmarks: Sequence[Benchmark], config: evaluate_room.EvaluateConfig, store: ImageStore
) -> Step:
    """Return the step that writes down the questions of benchmarks, and what a reader must know of them."""
    items = [item for benchmark in benchmarks for item in benchmark.items]
    rejections = [each for benchmark in benchmarks for each in benchmark.rejections]
    facts = [
        asdict(_facts(benchmark, name, n))
        for benchmark in benchmarks
        for name, n in benchmark.n_rows_by_benchmark.items()
    ]
    lengths = {k: v for benchmark in benchmarks for k, v in benchmark.max_tokens_by_benchmark.items()}

    def run(space: Workspace) -> Outcome:
        _check_conditions(items, config, store)
        write_records(space.out / "items.parquet", items, Item)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        write_json(space.out / "benchmarks.json", {"facts": facts, "max_tokens": lengths})
        return _outcome(len(items) + len(rejections), len(items), rejections)

    content: dict[str, JSON] = {
        "items": _digest([asdict(item) for item in items]),
        "rejections": _digest([asdict(each) for each in rejections]),
        "facts": _digest(facts),
        "max_tokens": lengths,
    }
    return Step("items", evaluate_room.VERSION, content, {}, run)


def evaluation_step(
    role: str,
    items_step: Step,
    model: Model,
    config: evaluate_room.EvaluateConfig,
    execution: EngineExecution,
    place: Place,
) -> Step:
    """Return the step that asks a model every question under every condition, and scores its answers."""
    name = f"evaluate-{role}"

    def run(space: Workspace) -> Outcome:
        items = list(read_records(space.inputs["items"] / "items.parquet", Item))
        lengths: Mapping[str, int] = read_json(space.inputs["items"] / "benchmarks.json")["max_tokens"]
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
        total = len(items) * len(config.conditions)
        predictions = list(place.tracked(name, answers, total))
        scores = list(evaluate_room.score(items, predictions))
        write_records(space.out / "predictions.parquet", predictions, Prediction)
        write_records(space.out / "scores.parquet", scores, Score)
        truncated = sum(each.finish_reason == "length" for each in predictions)
        counts = {"inputs": total, "outputs": len(predictions), "truncated": truncated}
        return Outcome(counts, {}, run=_how(execution))

    inputs, engines = place.needs(model)
    facts: dict[str, JSON] = {**identity(config, "benchmarks", "limit"), "role": role}
    return Step(name, evaluate_room.VERSION, facts, {"items": items_step, **inputs}, run, engines)


def _needs(step: Step, other: Step) -> bool:
    return any(each is other or _needs(each, other) for each in step.inputs.values())


def _sorted_out(outcomes: Iterable[_T | Rejection], kind: type[_T]) -> tuple[list[_T], list[Rejection]]:
    """Return records and rejections, each sorted by id: the order of the input shows nowhere."""
    good: list[_T] = []
    bad: list[Rejection] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            bad.append(outcome)
        elif isinstance(outcome, kind):
            good.append(outcome)
    good.sort(key=lambda record: record.id)  # type: ignore[attr-defined]
    return good, sorted(bad, key=lambda rejection: (rejection.id, rejection.reason))


def _reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    return dict(sorted(Counter(each.reason for each in rejections).items()))


def _outcome(inputs: int, outputs: int, rejections: Sequence[Rejection]) -> Outcome:
    return Outcome({"inputs": inputs, "outputs": outputs}, _reasons(rejections))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _facts(benchmark: Benchmark, name: str, n_rows: int) -> BenchmarkFacts:
    spec = benchmark.spec
    kinds = [item for item in benchmark.items if item.benchmark == name]
    scorer = primary_scorer(kinds[0].kind, kinds[0].stratum) if kinds else ""
    return BenchmarkFacts(
        name=name,
        scorer=scorer,
        n_rows=n_rows,
        chance=spec.chance,
        licence=spec.licence,
        citation=spec.citation,
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


def _check_conditions(items: Sequence[Item], config: evaluate_room.EvaluateConfig, store: ImageStore) -> None:
    """Find out that a condition is impossible before anything is trained."""
    if "mismatch" in config.conditions:
        shown_images(items, "mismatch", seed=config.seed, store=store)


def _how(execution: BaseModel) -> dict[str, JSON]:
    """Return how a step was run, for run.json: rows and threads decide the last bits of a model's numbers."""
    how: dict[str, JSON] = {"execution": execution.model_dump(mode="json")}
    return how
