"""Wires the rooms: a recipe becomes steps, steps become artifacts, and the last of them a report.

ingest ─▶ synthesize ─▶ curate ─▶ compose ─▶ train ─▶ evaluate ─▶ report
seeds ─▶ tuning-data ─▶ tune-synthesizer ─▲
seeds ─▶ synthesize-general ─▶ curate-general ─▶ compose        (where general tasks are used)
curate ─▶ reliance ─▶ compose                                   (where the need of pictures is measured)
conversations ─▶ train                                          (ready-made ones, where no pairs are named)
compose, conversations ─▶ mixture ─▶ train                      (where both are, or some are replayed)
items (benchmarks, or held-out pairs) ─▶ evaluate
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from acclimate import artifacts
from acclimate.artifacts import Step, build, fingerprint
from acclimate.carded import Filled, unscored, write_cards
from acclimate.claimed import note_claims
from acclimate.curate.reliance import TUNED
from acclimate.engines.keys import Keys
from acclimate.engines.protocol import Engine
from acclimate.engines.spec import EngineExecution, require_scores
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError, UsageError
from acclimate.evaluate import heldout
from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.load import Benchmark, load_benchmark
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.files import JSON, ImageStore, read_json, write_json, write_text
from acclimate.ingest.stage import IngestConfig
from acclimate.origin import Origin, proofs_of, quality_of
from acclimate.recipe import Recipe, recipe_text
from acclimate.recorded import Written, inputs_of, write_record
from acclimate.report.inputs import Audit, ReportInputs
from acclimate.report.proved import Stated
from acclimate.report.tested import Claim
from acclimate.steps import (
    Part,
    composition_step,
    conversations_step,
    curation_step,
    evaluation_step,
    examples_step,
    held_out_items_step,
    ingest_step,
    items_step,
    mixture_step,
    reliance_step,
    synthesis_step,
    training_step,
    tuning_data_step,
)
from acclimate.synthesize.stage import SynthesizeConfig
from acclimate.workplace import Engines, Model, Place, Progress, Silent

HELD_OUT_SHARE = 0.1
"""Share of the images kept from training where the user brings no benchmark."""
LINE = "line.json"
"""In a run's folder: the line's steps in order, and the folders of their artifacts."""
WHOLE = ("items", "train")
"""What a whole run is for beside all scores; it builds these, as far as there are such steps, and what they
need."""
FIRST_STAGE = "first_stage"
"""The role of the model between two stages."""
_GENERAL = SynthesizeConfig(generator="general_task")


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
        keys: Keys | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """Plan a recipe's steps; nothing is built yet.

        Args:
            base: what the recipe's paths count from: its folder.
            progress: told how the work goes; nobody where None.
            substitute: an engine in place of every model's own, for tests.
            rehash: read every input file anew instead of trusting the cache of hashes.
            scratch: pictures and hashes go there and not into the run folder, which then stays untouched:
                for plans that are only looked at.
            keys: where the API keys of models on servers are read; None has none.
            accounts: what servers have taken in this command; None begins anew.

        Raises:
            DataError: a file that the recipe names cannot be used. EngineError: a model cannot.
        """
        self.recipe = recipe
        self.base = base
        self.root = (base / recipe.run_dir).resolve()
        self.store = ImageStore(scratch or self.root)
        self.cache = (scratch or self.root) / "hashes"
        self.rehash = rehash
        engines = Engines(
            self.store, self.cache, substitute=substitute, keys=keys, accounts=accounts or Accounts()
        )
        self.place = Place(self.root, self.store, engines, progress or Silent())
        self._benchmarks: tuple[Benchmark, ...] | None = None
        self.steps: dict[str, Step] = {}
        self._writes: Model | None = None
        self._measured: list[str] = []
        self.scored: dict[str, tuple[str, Model]] = {}
        """Role and model of every evaluation, by step."""
        self._reported: tuple[ReportInputs, Written] | None = None
        self._plan()

    def _plan(self) -> None:
        recipe, place, own = self.recipe, self.place, self.steps
        proofs_of(recipe, self.base)  # one that is missing is told before anything is run
        start = Model.checkpoint(recipe.train.model, self.base, "train.model")
        told = self._composed() if recipe.ingest is not None else None
        if recipe.conversations:
            told = self._with_ready(told)
        if told is None:
            raise RecipeError("The recipe names no data; add `ingest` or `conversations`.")
        if recipe.evaluate.benchmarks and "items" not in own:
            own["items"] = items_step(self.benchmarks(), recipe.evaluate)
        self._check_general()
        asked = recipe.evaluate, recipe.synthesize.execution, place
        marker = self.marker()
        if "items" in own:
            self.scored["evaluate-base"] = "base", start
            own["evaluate-base"] = evaluation_step("base", own["items"], start, *asked, judge=marker)
        last = recipe.train.of_stage(2)
        if len(recipe.stages) > 1:
            first = recipe.train.of_stage(1)
            own["train-captions"] = training_step("train-captions", told, first, start, place, stage=1)
            middle = Model(step=own["train-captions"])
            if recipe.evaluate.after_first_stage and "items" in own:
                self.scored["evaluate-captions"] = FIRST_STAGE, middle
                own["evaluate-captions"] = evaluation_step(
                    FIRST_STAGE, own["items"], middle, *asked, name="evaluate-captions", judge=marker
                )
            own["train"] = training_step("train", told, last, middle, place, stage=2)
        else:
            own["train"] = training_step("train", told, last, start, place)
        if "items" in own:
            trained = Model(step=own["train"])
            self.scored["evaluate-adapted"] = "adapted", trained
            own["evaluate-adapted"] = evaluation_step("adapted", own["items"], trained, *asked, judge=marker)
            self._further(own["items"], asked, marker)

    def _check_general(self) -> None:
        """Refuse names of general benchmarks that are not asked, before anything is run.

        Raises:
            RecipeError: one is not.
        """
        own = [name for each in self.benchmarks() for name in each.n_rows_by_benchmark]
        asked = own or [heldout.CAPTIONS, heldout.TASKS]
        unknown = [name for name in self.recipe.report.general if name not in asked]
        if unknown:
            raise RecipeError(
                f"report.general names {unknown[0]!r}, which this run does not ask; it asks "
                f"{', '.join(asked)}."
            )

    def _further(
        self, items: Step, asked: tuple[EvaluateConfig, EngineExecution, Place], marker: Model | None
    ) -> None:
        """Plan the scoring of further models: baselines, and arms of ablations."""
        for at, each in enumerate(self.recipe.evaluate.further):
            name, model = f"evaluate-{each.role}", self.asked(each.model, f"evaluate.further.{at}.model")
            self.scored[name] = each.role, model
            self.steps[name] = evaluation_step(each.role, items, model, *asked, judge=marker)

    def _composed(self) -> Step:
        """Plan everything from pairs to the conversations that are composed of them."""
        recipe, place, own = self.recipe, self.place, self.steps
        scored_on_own = not recipe.evaluate.benchmarks
        own["ingest"] = ingest_step(
            self.ingest_config(), place, self.base, needed=scored_on_own, rehash=self.rehash
        )
        writer = self._writes = self._writer()
        judge = self.judge()
        general = self._general(judge)
        mixed_in: Step | None = None
        if recipe.synthesize.generator != _GENERAL.generator:
            config = recipe.synthesize
            own["synthesize"] = synthesis_step("synthesize", own["ingest"], "pairs", writer, config, place)
            if scored_on_own:
                own["synthesize-heldout"] = synthesis_step(
                    "synthesize-heldout", own["ingest"], "held_out", writer, config, place
                )
            own["curate"] = curation_step(
                "curate", own["synthesize"], (own["ingest"], "pairs"), judge, recipe.curate, place
            )
            mixed_in = own["curate"] if recipe.compose.has_synthetic else None
            self._measure(own["curate"], (own["ingest"], "pairs"), used=mixed_in is not None)
        if scored_on_own:
            own["items"] = self._held_out_items(own, judge)
        else:
            own["items"] = items_step(self.benchmarks(), recipe.evaluate)
        measuring, floor = recipe.curate.reliance, None
        if measuring is not None and measuring.floor is not None:
            floor = (measuring.floor, [own[name] for name in self._measured])
        own["compose"] = composition_step(
            own["ingest"],
            mixed_in,
            general,
            recipe.compose,
            place,
            floor=floor,
            general_licence=recipe.general_seeds.licence if recipe.general_seeds is not None else "",
        )
        return own["compose"]

    def _measure(self, judged: Step, data: tuple[Step, Part], *, used: bool) -> None:
        """Plan the measuring of how much judged tasks need their pictures, where the recipe asks for it.

        Args:
            used: the tasks are part of the mixture, so that a whole run measures them.
        """
        config, model = self.recipe.curate.reliance, self.measurer()
        if config is None or model is None:
            return
        name = judged.name.replace("curate", "reliance")
        self.steps[name] = reliance_step(name, judged, data, model, config, self.place)
        self._measured += [name] if used else []

    def _with_ready(self, composed: Step | None) -> Step:
        """Plan the reading of ready-made conversations, and their mixture with composed ones."""
        limit = self.recipe.limit
        sources = self.recipe.conversations
        if limit is not None:
            sources = tuple(
                each.model_copy(update={"limit": min(limit, each.limit or limit)}) for each in sources
            )
        ready = conversations_step(sources, self.place, self.base, rehash=self.rehash)
        self.steps["conversations"] = ready
        if composed is None and all(each.ratio is None for each in sources):
            return ready
        self.steps["mixture"] = mixture_step(composed, ready, sources)
        return self.steps["mixture"]

    def ingest_config(self) -> IngestConfig:
        """Return how pairs are read: the recipe's part, its limit and a share held out where it is needed.

        Raises:
            RecipeError: the recipe names no pairs.
        """
        recipe, config = self.recipe, self.recipe.ingest
        if config is None:
            raise RecipeError(
                "The recipe has no image-caption pairs: it trains on ready-made conversations. Add `ingest: "
                "{source: ...}` for what needs pairs."
            )
        if recipe.limit is not None:
            config = config.model_copy(update={"limit": min(recipe.limit, config.limit or recipe.limit)})
        if not recipe.evaluate.benchmarks and config.holdout == 0:
            config = config.model_copy(update={"holdout": HELD_OUT_SHARE})
        return config

    def _writer(self) -> Model | None:
        """Return the model that writes tasks, None where the method asks none; plan its tuning if need be."""
        recipe = self.recipe
        config = recipe.synthesize
        if not config.needs_engine:
            return None
        if config.model != "tuned":
            return self.asked(config.model, "synthesize.model")
        if config.generator != "synthesizer" or config.synthesizer.mode != "continue":
            name = config.generator if config.generator != "synthesizer" else "a prompted synthesizer"
            raise RecipeError(
                f"synthesize.model is `tuned`, but {name} asks a model that this recipe does not tune. Name "
                "it: a checkpoint's folder, `base` for the model that is to be trained, or a model on a "
                "server (openai:NAME@URL)."
            )
        if recipe.synthesizer is None:
            raise RecipeError(
                "synthesize.model is `tuned`, but the recipe has no `synthesizer` part to tune one. Add "
                "`synthesizer: {model: ..., seeds: {source: ...}}`, or name a tuned synthesizer's folder."
            )
        tuning = recipe.synthesizer
        self.steps["tuning-data"] = tuning_data_step(self._examples(), tuning, config, self.place)
        self.steps["tune-synthesizer"] = training_step(
            "tune-synthesizer",
            self.steps["tuning-data"],
            tuning.train,
            Model.checkpoint(tuning.model, self.base, "synthesizer.model"),
            self.place,
        )
        return Model(step=self.steps["tune-synthesizer"])

    def _examples(self, *, general: bool = False) -> Step:
        """Return the step that reads the seed examples, planned once for tuning and for general tasks."""
        recipe = self.recipe
        is_own = general and recipe.general is not None
        name, key = ("general", "general") if is_own else ("seeds", "synthesizer.seeds")
        own = recipe.synthesizer.seeds if recipe.synthesizer is not None else None
        seeds = recipe.general if is_own else own
        if seeds is None:
            raise RecipeError(
                "compose.tasks asks for general tasks, but the recipe names no seed examples. Add `general: "
                "{source: ...}`, or set compose.tasks to `synthetic`."
            )
        if recipe.limit is not None:
            seeds = seeds.model_copy(update={"limit": min(recipe.limit, seeds.limit or recipe.limit)})
        if name not in self.steps:
            self.steps[name] = examples_step(name, seeds, self.place, self.base, key=key, rehash=self.rehash)
        return self.steps[name]

    def judge(self) -> Model | None:
        """Return the model that judges tasks; None where nobody does."""
        config = self.recipe.curate
        return self.asked(config.judge, "curate.judge") if config.needs_judge else None

    def measurer(self) -> Model | None:
        """Return the model that measures how much tasks need their pictures; None where nobody does.

        Raises:
            RecipeError: it cannot score given answers, or is to be the tuned synthesizer and none is tuned.
        """
        config, key = self.recipe.curate.reliance, "curate.reliance.model"
        if config is None:
            return None
        if config.model == TUNED:
            if "tune-synthesizer" not in self.steps:
                raise RecipeError(
                    f"{key} is `tuned`, but this recipe tunes no synthesizer. Name a model: `base`, or a "
                    "checkpoint's folder."
                )
            return Model(step=self.steps["tune-synthesizer"])
        model = self.asked(config.model, key)
        require_scores(model.at(self.root), key)
        return model

    def rater(self) -> Model | None:
        """Return the model that rates tasks for their quality; None where nobody does."""
        config = self.recipe.quality
        return self.asked(config.judge, "quality.judge") if config.needs_judge else None

    def marker(self) -> Model | None:
        """Return the model that marks answers where a benchmark needs a judge; None where none is named."""
        value = self.recipe.evaluate.judge
        return None if value is None else self.asked(value, "evaluate.judge")

    def asked(self, value: str | Mapping[str, Any], key: str) -> Model:
        """Return the model that a recipe's value means; `base` is the one that is to be trained."""
        is_base = value == "base"
        return Model.named(self.recipe.train.model if is_base else value, self.base, key)

    def _general(self, judge: Model | None) -> tuple[Step, Step] | None:
        """Plan the general tasks, where the mixture uses any: seed examples through the same filter."""
        if not self.recipe.compose.has_general:
            return None
        examples = self._examples(general=True)
        tasks = synthesis_step("synthesize-general", examples, "examples", None, _GENERAL, self.place)
        data: tuple[Step, Literal["examples"]] = (examples, "examples")
        judged = curation_step("curate-general", tasks, data, judge, self.recipe.curate, self.place)
        self.steps |= {"synthesize-general": tasks, "curate-general": judged}
        self._measure(judged, data, used=True)
        return examples, judged

    def _held_out_items(self, own: dict[str, Step], judge: Model | None) -> Step:
        """Plan what is asked of held-out pairs: their captions, and tasks made from them if any are."""
        recipe, place = self.recipe, self.place
        judged = None
        if "synthesize-heldout" in own:
            judged = own["curate-heldout"] = curation_step(
                "curate-heldout",
                own["synthesize-heldout"],
                (own["ingest"], "held_out"),
                judge,
                recipe.curate,
                place,
            )
        return held_out_items_step(own["ingest"], judged, recipe.compose.keep, recipe.evaluate)

    def plan_validation(self) -> str:
        """Add the step that writes tasks for the seed examples that tuning is not shown; return its name.

        Raises:
            RecipeError: the recipe keeps no example out.
        """
        recipe = self.recipe
        if recipe.synthesizer is None or not recipe.synthesizer.validation:
            raise RecipeError(
                "This recipe keeps no seed examples out of tuning; set synthesizer.validation to a share."
            )
        name, config = "synthesize-validation", recipe.synthesize
        if "tuning-data" not in self.steps:
            self.steps["tuning-data"] = tuning_data_step(
                self._examples(), recipe.synthesizer, config, self.place
            )
        data = self.steps["tuning-data"]
        self.steps[name] = synthesis_step(name, data, "validation", self._writes, config, self.place)
        return name

    def benchmarks(self) -> tuple[Benchmark, ...]:
        """Return the recipe's benchmarks, read once."""
        if self._benchmarks is None:
            limit = self.recipe.evaluate.limit or self.recipe.limit
            data = self.base / self.recipe.evaluate.data
            found = [locate(name, data=data, base=self.base) for name in self.recipe.evaluate.benchmarks]
            for each in found:
                each.require()  # of all of them before the first picture is read
            self._benchmarks = tuple(load_benchmark(each, self.store, limit) for each in found)
        return self._benchmarks

    # --- building --------------------------------------------------------------------------------

    def build(self, names: Sequence[str] | None = None, *, aside: bool = False) -> dict[str, Path]:
        """Build the named steps (where None, those of a whole run) and what they need; return their folders.

        Args:
            aside: the run folder goes on to show another recipe's line; for controls.

        Raises:
            RecipeError: the recipe has no such step.
        """
        missing = sorted(set(names or ()) - self.steps.keys())
        if missing:
            raise RecipeError(
                f"This recipe has no step {missing[0]}; it has {', '.join(self.steps)}."
                f"{self._remedy(missing[0])}"
            )
        self.root.mkdir(parents=True, exist_ok=True)
        if not aside:
            write_text(self.root / "recipe.yaml", recipe_text(self.recipe))
            places = {name: artifacts.home_of(step, self.root) for name, step in self.steps.items()}
            shown: list[JSON] = [
                {"step": name, "folder": home.relative_to(self.root).as_posix()}
                for name, home in places.items()
            ]
            write_json(self.root / LINE, shown)
            self._note_claims()
        wanted = self.needed(names)
        homes = {}
        for name, step in self.steps.items():
            if name not in wanted:
                continue
            reused = artifacts.finished(step, self.root) is not None
            self.place.begin()
            homes[name] = build(step, self.root)
            self.place.progress.end(name, reused=reused)
        return homes

    def _note_claims(self) -> None:
        """Write down what the recipe claims, before the trained model is scored if it is not yet."""
        scored = self.steps.get("evaluate-adapted")
        if scored is not None:
            is_there = artifacts.finished(scored, self.root) is not None
            claims: tuple[Claim | Stated, ...] = (
                *self.recipe.report.claims,
                *proofs_of(self.recipe, self.base),
            )
            note_claims(self.root, claims, fingerprint(scored), scored=is_there)

    def _remedy(self, missing: str) -> str:
        """Return what to do about a step that the recipe has not."""
        if missing.startswith("evaluate"):
            return (
                " There is nothing to score: it names no benchmark and holds no pairs out. Name one under "
                "evaluate.benchmarks."
            )
        if self.recipe.ingest is None:
            return (
                " It trains on ready-made conversations and makes no tasks: `acclimate ingest` reads them, "
                "`acclimate train` trains on them. Add `ingest` with image-caption pairs to make some."
            )
        if missing == "tune-synthesizer":
            return (
                " A synthesizer is tuned where the recipe has a `synthesizer` part and synthesize.model is "
                "`tuned`."
            )
        return ""

    def needed(self, names: Sequence[str] | None = None) -> set[str]:
        """Return the named steps (where None, those of a whole run) and all that they need."""
        whole = (*WHOLE, *self.scored, *self._measured)
        chosen = [self.steps[name] for name in names or whole if name in self.steps]
        return {
            name
            for name, step in self.steps.items()
            if any(step is each or _needs(each, step) for each in chosen)
        }

    def fingerprints(self) -> set[str]:
        """Return the fingerprint of every step, inputs included."""
        return {fingerprint(step) for step in self.steps.values()}

    def report(
        self, homes: Mapping[str, Path], *, audits: Sequence[Audit] = (), notes: Sequence[str] = ()
    ) -> Mapping[str, object]:
        """Write the record of finished artifacts and its cards; return its summary, where it is, the digest.

        `licence` is the model's as its card has it; `licence_refused` says why none was derived, or is empty.
        """
        out = self.root / "report"
        quality, told = quality_of(self.root, homes)
        origin = Origin.of(self.base, self.root, out, audits, (*notes, *told), quality)
        proofs = proofs_of(self.recipe, self.base)
        inputs = inputs_of(self.recipe, self.root, homes, self.store, origin, proofs)
        written = write_record(self.recipe, self.root, homes, inputs, out, origin=origin)
        self._reported = inputs, written
        cards = write_cards(self.card_of(homes), self.root)
        return {
            **written.summary,
            "report": str(out / "index.html"),
            "digest": written.record.digest,
            "cards": str(cards.folder),
            "licence": cards.licence.printed,
            "licence_refused": cards.licence.reason if cards.licence.is_refused else "",
        }

    def card_of(self, homes: Mapping[str, Path], repo: str = "", licence: str = "") -> Filled:
        """Return what cards are filled from; with the scores, where this line wrote the report.

        Args:
            repo: `organisation/name` on the hub. licence: named by whoever publishes; empty derives it.
        """
        inputs, written = self._reported or (unscored(self.recipe, homes, self.store), None)
        return Filled(self.recipe, self.base, homes, inputs, written, repo, licence)


def steps_of(root: Path) -> dict[str, Path]:
    """Return the folders of a run's steps, built or not, in the order of the line.

    Raises:
        UsageError: the folder is not a run's.
    """
    if not (root / LINE).is_file():
        raise UsageError(
            f"{root} is not a run's folder: it has no {LINE}. Give the folder that a recipe names as run_dir."
        )
    return {each["step"]: root / each["folder"] for each in read_json(root / LINE)}


def _needs(step: Step, other: Step) -> bool:
    return any(each is other or _needs(each, other) for each in step.inputs.values())
