"""Does a model trained on synthetic tasks look at the picture less than one trained on authentic ones?

Both sides start from one base and learn from as many conversations, on the same number of pictures (the same
pictures where both have them), about as long, in as many steps; only the texts differ. Every side is trained
with several seeds. All models answer the same questions under the same altered pictures, so that reliance is
compared question by question. `--arms all` also asks what the filter, the two stages, and the captions in the
mixture do to reliance: each an arm with one value of the recipe replaced.

Every step is an artifact: a study that was interrupted goes on where it stopped.
"""

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from acclimate import artifacts
from acclimate.artifacts import Step
from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.errors import BenchmarkError, RecipeError
from acclimate.evaluate.conditions import CONTRAST, check_conditions
from acclimate.evaluate.donors import contrast_pairs
from acclimate.evaluate.likelihoods import FILE as LIKELIHOODS
from acclimate.evaluate.likelihoods import Likelihood, by_answer
from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import JSON, read_json, read_records
from acclimate.pipeline import Line
from acclimate.recipe import Recipe
from acclimate.records import Conversation, Item, Prediction, Score
from acclimate.reliance_scoring import Readable, readable
from acclimate.report.reliance import How, ItemReliance, Reliance, item_reliance, measure_reliance
from acclimate.report.reliance_rows import Row
from acclimate.report.statistics import N_DRAWS
from acclimate.steps import evaluation_step, training_step
from acclimate.studies.arms import Named, replaced
from acclimate.studies.reliance_data import SIDES, Authentic, Side, authentic_step, facts_of, matched_step
from acclimate.train.stage import LOSSES
from acclimate.workplace import Model, Progress, Silent

Arms: TypeAlias = Literal["core", "all"]
SYNTHETIC, AUTHENTIC = SIDES
BASE = "base"
WHOLE, UNFILTERED, TWO_STAGES, NO_CAPTIONS = "whole", "unfiltered", "two stages", "no captions"
CONDITIONS = (
    "original",
    "original.1",
    "mismatch",
    "mismatch.1",
    "mismatch.2",
    "blank",
    "noise",
    "patch_shuffle",
    "text_only",
)
"""Asked of every model; with `mismatch_contrast` where the benchmarks have contrast pairs, and whatever the
recipe asks beside them."""
DESIGNS: Mapping[str, Mapping[str, Any]] = {
    UNFILTERED: {"compose.keep": ["consistent", "inconsistent", "open", "unjudged"]},
    TWO_STAGES: {"compose.mixture": "two_stage"},
    NO_CAPTIONS: {"compose.mixture": "tasks_only"},
}
"""What the arms beside the two sides replace in the recipe."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One recipe with its authentic counterpart: a domain of the lab, or a user's own."""

    name: str
    recipe: Recipe
    base: Path
    """What the recipe's paths count from."""
    authentic: Authentic
    keys: Keys | None = None
    """Where the API keys of models on servers are read."""
    accounts: Accounts = field(default_factory=Accounts)


@dataclass(frozen=True, slots=True)
class Learned:
    """What one trained model learned from."""

    ground: str
    arm: str
    seed: int
    conversations: int
    images: int
    steps: int
    trained_tokens: int
    """Over all steps."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything one ground gives."""

    name: str
    rows: tuple[Row, ...]
    """Of all models: `base`, and the arm with the seed after a hyphen."""
    pairs: Mapping[str, Sequence[tuple[str, str]]]
    """Contrast pairs by benchmark."""
    scorers: Mapping[str, str]
    """The headline scorer by benchmark."""
    learned: tuple[Learned, ...]
    left_out: Mapping[str, int]
    """By side, conversations without a partner."""
    shared_images: int
    reference: str
    """The arm that the others are compared with: `synthetic` where it is all that was synthesized, `whole`
    where some of it has no authentic partner."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """What the study found."""

    seeds: tuple[int, ...]
    grounds: tuple[Gathered, ...]
    measured: tuple[Reliance, ...]
    """Over all grounds: benchmarks, micro and macro."""
    by_ground: Mapping[str, tuple[Reliance, ...]]
    """The same by ground, macro alone; empty where there is one ground."""
    items: tuple[ItemReliance, ...]

    @property
    def learned(self) -> tuple[Learned, ...]:
        """What all models learned from."""
        return tuple(each for ground in self.grounds for each in ground.learned)

    def token_ratio(self) -> float:
        """Return the trained tokens of the synthetic side over those of the authentic side."""
        by_arm = {
            side: sum(each.trained_tokens for each in self.learned if each.arm == side) for side in SIDES
        }
        return by_arm[SYNTHETIC] / by_arm[AUTHENTIC]

    def to_json(self) -> dict[str, JSON]:
        """Return everything but the single items as plain values."""
        shown = [each for each in self.measured if each.level in ("macro", "benchmark")]
        return {
            "seeds": list(self.seeds),
            "measured": [_plain(each) for each in shown],
            "by_ground": {name: [_plain(each) for each in own] for name, own in self.by_ground.items()},
            "learned": [asdict(each) for each in self.learned],
            "token_ratio": self.token_ratio(),
            "left_out": {each.name: dict(each.left_out) for each in self.grounds},
        }


def _plain(measured: Reliance) -> dict[str, JSON]:
    """Return a measure as plain values; what is not defined is null, and `flag` says why."""
    values = asdict(measured)
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def run_study(
    seeds: Sequence[int],
    grounds: Sequence[Callable[[], Ground]],
    *,
    arms: Arms = "core",
    progress: Progress | None = None,
    n_draws: int = N_DRAWS,
) -> Study:
    """Run the study, or what is missing of it, and return what it found.

    Args:
        seeds: of training.
        grounds: each called once, when it is its turn.
        arms: `core` trains the two sides, `all` the arms of `DESIGNS` as well.
        n_draws: of the bootstrap.

    Raises:
        RecipeError: the recipe cannot have one of the arms. DataError, BenchmarkError: its data cannot.
    """
    found = [gather(make(), seeds, arms, progress or Silent()) for make in grounds]
    return summed_up(tuple(seeds), found, n_draws=n_draws)


def gather(ground: Ground, seeds: Sequence[int], arms: Arms, progress: Progress) -> Gathered:
    """Build every model of one ground, or what is missing of it, and collect its answers."""
    _check(ground.recipe)
    line = _line(ground, {"compose.mixture": "single_stage", "train.first_stage": {}}, BASE, progress)
    line.build(["compose", "items"], aside=True)
    items = list(read_records(artifacts.home_of(line.steps["items"], line.root) / "items.parquet", Item))
    conditions, notes = _conditions(ground.recipe, items)
    asked = {"evaluate.conditions": conditions, "evaluate.after_first_stage": False}
    one = {"compose.mixture": "single_stage", "train.first_stage": {}, **asked}
    line = _line(ground, one, BASE, progress)
    homes = {BASE: line.build(["evaluate-base"], aside=True)["evaluate-base"]}
    authentic = authentic_step(ground.authentic, line)
    told = {side: matched_step(side, line.steps["compose"], authentic, 0) for side in SIDES}
    learned: list[Learned] = []
    for side in SIDES:
        for seed in seeds:
            homes[f"{side}-{seed}"], facts = _side(line, ground, side, told[side], seed, progress)
            learned.append(facts)
    matching = {side: facts_of(step, line.root) for side, step in told.items()}
    reference = WHOLE if matching[SYNTHETIC]["left_out"] else SYNTHETIC
    for arm, values in _designs(arms, reference, ground.recipe):
        for seed in seeds:
            homes[f"{arm}-{seed}"], facts = _design(ground, arm, {**one, **values}, seed, progress)
            learned.append(facts)
    told_of: Any = read_json(artifacts.home_of(line.steps["items"], line.root) / "benchmarks.json")
    read = _rows(homes, items, told_of)
    pairs = {name: contrast_pairs(item for item in items if item.benchmark == name) for name in read.scorers}
    left = (f"{name} is left out: its headline is no mean of single answers." for name in read.left_out)
    return Gathered(
        ground.name,
        read.rows,
        {name: each for name, each in pairs.items() if each and CONTRAST in conditions},
        read.scorers,
        tuple(learned),
        {side: facts["left_out"] for side, facts in matching.items()},
        matching[SYNTHETIC]["shared_images"],
        reference,
        (*notes, *left),
    )


def _check(recipe: Recipe) -> None:
    """Refuse a recipe that has nothing to set against authentic conversations."""
    if recipe.ingest is None:
        raise RecipeError(
            "The study needs tasks made for image-caption pairs on the synthetic side, and the recipe names "
            "no pairs; add `ingest: {source: ...}`."
        )
    if recipe.conversations:
        raise RecipeError(
            "The recipe mixes ready-made conversations in, so the synthetic side would not be synthetic; "
            "leave `conversations` out. Authentic ones are named by --authentic."
        )


def _line(ground: Ground, values: Mapping[str, Any], arm: str, progress: Progress) -> Line:
    return Line(
        replaced(ground.recipe, values),
        ground.base,
        progress=Named(f"{ground.name}, {arm}", progress),
        keys=ground.keys,
        accounts=ground.accounts,
    )


def _conditions(recipe: Recipe, items: Sequence[Item]) -> tuple[list[str], tuple[str, ...]]:
    """Return the conditions that are asked, and what must be said of them.

    Raises:
        BenchmarkError: pictures cannot be exchanged, without which there is no reliance to measure.
    """
    seed = recipe.evaluate.seed
    own = [each for each in recipe.evaluate.conditions if each not in CONDITIONS]
    check_conditions(items, CONDITIONS, seed=seed)
    wanted = [*CONDITIONS, *own]
    if CONTRAST in own:
        return wanted, ()
    try:
        check_conditions(items, [CONTRAST], seed=seed)
    except BenchmarkError as error:
        return wanted, (f"There are no contrast pairs: {error}",)
    return [*wanted, CONTRAST], ()


def _side(
    line: Line, ground: Ground, side: Side, told: Step, seed: int, progress: Progress
) -> tuple[Path, Learned]:
    """Train one side with one seed and let it answer; return its answers' folder and what it learned."""
    recipe = line.recipe
    place = replace(line.place, progress=Named(f"{ground.name}, {side} {seed}", progress))
    start = Model.checkpoint(recipe.train.model, line.base, "train.model")
    config = recipe.train.of_stage(2).model_copy(update={"seed": seed})
    train = training_step("train", told, config, start, place)
    asked = recipe.evaluate, recipe.synthesize.execution, place
    answers = evaluation_step("adapted", line.steps["items"], Model(step=train), *asked, judge=line.marker())
    for step in (told, train, answers):
        reused = artifacts.finished(step, line.root) is not None
        artifacts.build(step, line.root)
        place.progress.end(step.name, reused=reused)
    place.engines.opened.clear()
    gc.collect()
    facts = facts_of(told, line.root)
    return artifacts.home_of(answers, line.root), Learned(
        ground.name, side, seed, facts["conversations"], facts["images"], *_trained(train, line.root)
    )


def _trained(step: Step, root: Path) -> tuple[int, int]:
    """Return the steps and trained tokens of a finished training."""
    home = artifacts.home_of(step, root)
    record: Any = read_json(home / artifacts.RECORD)
    n_steps = len((home / LOSSES).read_text(encoding="utf-8").splitlines())
    return n_steps, int(record["facts"]["trained_tokens"])


def _designs(arms: Arms, reference: str, recipe: Recipe) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the arms beside the two sides, and what each replaces."""
    if arms == "core":
        return
    if reference == WHOLE:
        yield WHOLE, {}
    for arm, values in DESIGNS.items():
        own = {"train.first_stage": recipe.train.first_stage} if arm == TWO_STAGES else {}
        yield arm, {**values, **own}


def _design(
    ground: Ground, arm: str, values: Mapping[str, Any], seed: int, progress: Progress
) -> tuple[Path, Learned]:
    """Train an arm of the recipe with one seed and let it answer."""
    line = _line(ground, {**values, "train.seed": seed}, f"{arm} {seed}", progress)
    home = line.build(["evaluate-adapted"], aside=True)["evaluate-adapted"]
    line.place.engines.opened.clear()
    gc.collect()
    steps, tokens = 0, 0
    for name in ("train-captions", "train"):
        if name in line.steps:
            more = _trained(line.steps[name], line.root)
            steps, tokens = steps + more[0], tokens + more[1]
    composed = artifacts.home_of(line.steps["compose"], line.root) / "conversations.parquet"
    told = list(read_records(composed, Conversation))
    images = {image.sha256 for each in told for image in each.images}
    return home, Learned(ground.name, arm, seed, len(told), len(images), steps, tokens)


def _rows(homes: Mapping[str, Path], items: Sequence[Item], told: Mapping[str, Any]) -> Readable:
    """Return the rows of all models."""
    primary = primary_by_benchmark(items, told.get("scorers"))
    chance = {each["name"]: each["chance"] for each in told["facts"] if each.get("chance") is not None}
    predictions: list[Prediction] = []
    scores: list[Score] = []
    likely: dict[tuple[str, str, str, str], float] = {}
    for model, home in homes.items():
        predictions += (
            replace(e, model=model) for e in read_records(home / "predictions.parquet", Prediction)
        )
        scores += (replace(each, model=model) for each in read_records(home / "scores.parquet", Score))
        if (home / LIKELIHOODS).is_file():
            likely |= by_answer(model, list(read_records(home / LIKELIHOODS, Likelihood)))
    return readable(items, predictions, scores, primary, chance=chance, likelihoods=likely)


# --- measuring -----------------------------------------------------------------------------------


def summed_up(seeds: tuple[int, ...], found: Sequence[Gathered], *, n_draws: int = N_DRAWS) -> Study:
    """Return all measures of finished grounds.

    An arm's models of one seed are one model to the bootstrap, whatever the ground: seeds are drawn together
    in all grounds, pictures apart.

    Raises:
        BenchmarkError: two grounds have a benchmark of the same name.
    """
    names = [name for each in found for name in each.scorers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BenchmarkError(f"two recipes have a benchmark called {twice}; give one another name")
    rows = [row for each in found for row in each.rows]
    measured = measure_reliance(rows, _how(seeds, found, n_draws))
    by_ground: dict[str, tuple[Reliance, ...]] = {}
    if len(found) > 1:
        for each in found:
            own = measure_reliance(each.rows, _how(seeds, [each], n_draws))
            by_ground[each.name] = tuple(one for one in own if one.level == "macro")
    return Study(seeds, tuple(found), tuple(measured), by_ground, tuple(item_reliance(rows)))


def comparisons(arms: Sequence[str], reference: str) -> list[tuple[str, str]]:
    """Return which arms are compared: the two sides, either with the untouched model, the rest by design."""
    found = [(SYNTHETIC, AUTHENTIC), (SYNTHETIC, BASE), (AUTHENTIC, BASE)]
    return found + [(arm, reference) for arm in arms if arm in DESIGNS]


def _how(seeds: Sequence[int], found: Sequence[Gathered], n_draws: int) -> How:
    names = dict.fromkeys(one.arm for each in found for one in each.learned)
    whole = any(each.reference == WHOLE for each in found)
    reference = WHOLE if whole and WHOLE in names else SYNTHETIC
    return How(
        comparisons=comparisons(list(names), reference),
        arms={arm: [f"{arm}-{seed}" for seed in seeds] for arm in names},
        base_llm=BASE,
        pairs={name: each for ground in found for name, each in ground.pairs.items()},
        scorers={name: each for ground in found for name, each in ground.scorers.items()},
        n_draws=n_draws,
    )
