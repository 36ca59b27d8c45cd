"""Ways of post-training on the same conversations: one stage or two, all weights, LoRA, the projector alone.

AdaMLLM's Table 4, with what it says of forgetting: after the first of two stages the model is scored as well.
Every arm is the recipe with a few values replaced, in one run folder per seed, so synthesis, filter and
untouched model are shared, and a study that was interrupted goes on where it stopped. A second base, if there
is one, is trained on what the first one's synthesizer wrote.

All arms answer the same questions, so differences are paired; the questions of one picture stay together.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from acclimate import artifacts
from acclimate.artifacts import Step
from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError
from acclimate.evaluate.load import Benchmark, load_benchmark
from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import JSON, read_json, read_records
from acclimate.pipeline import FIRST_STAGE, Line
from acclimate.recipe import Recipe
from acclimate.records import Item, Score
from acclimate.steps import evaluation_step, items_step
from acclimate.studies.arms import Named, replaced
from acclimate.studies.combined import Combined, Standing, combined, standing
from acclimate.studies.gains import ALL_BENCHMARKS, Marks, Spans, gain_share, spans
from acclimate.studies.training_claims import (
    ARMS,
    BASE,
    BASE_OF,
    CLAIMS,
    FIRST,
    LORA,
    OTHER,
    OTHER_BASE,
    PROJECTOR,
    SINGLE,
    TWO,
    Claim,
    Subject,
)
from acclimate.workplace import Model, Progress, Silent

_Values: TypeAlias = Mapping[str, Any]
"""What replaces a recipe's values, by dotted key."""


@dataclass(frozen=True, slots=True)
class SecondBase:
    """Another model that learns from the same conversations."""

    model: str
    """Its checkpoint, as `train.model` names one."""
    values: _Values = field(default_factory=dict)
    """What it replaces in the recipe beside the model: its learning rate, for instance."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One seed's ground: a recipe, what is asked beside its benchmarks, and how the arms differ."""

    recipe: Recipe
    base: Path
    """What the recipe's paths count from."""
    lora: _Values
    """What the arm `LoRA` replaces in the recipe beside the method; likewise below."""
    projector: _Values
    general: tuple[Path, ...] = ()
    """Benchmarks of what the untouched model could do; YAML files."""
    captions: tuple[Path, ...] = ()
    """Benchmarks that ask for what the first stage teaches; YAML files."""
    second: SecondBase | None = None
    keys: Keys | None = None
    """Where the API keys of models on servers are read."""
    accounts: Accounts = field(default_factory=Accounts)
    """What servers have taken so far; shared by all seeds of a study."""
    shares_items: bool = False
    """Whether all seeds are asked the same questions."""


Prepare: TypeAlias = Callable[[int], Setting]
"""Makes a seed's setting; called once per seed, in their order."""


@dataclass(frozen=True, slots=True)
class Seed:
    """Everything one seed gives."""

    marks: Mapping[Subject, Marks]
    """By what is measured, the scores of all arms; a subject that nobody asks about is left out."""
    tokens: Mapping[str, int]
    """Tokens that each trained arm learned from, over all its steps."""
    shares_items: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what was measured of it."""

    claim: Claim
    found: Combined | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Study:
    """What the study found."""

    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[str, Combined]]
    """By arm: `domain`, `captions`, `general`, and every benchmark; fractions of full marks."""
    changes: Mapping[str, Mapping[str, Combined]]
    """The same minus what the arm was trained from: on `general`, less than 0 is forgotten."""
    shares: Mapping[str, Combined]
    """By arm: its gain on the domain as a share of the single stage's."""
    claims: tuple[Judged, ...]
    tokens: Mapping[str, tuple[int, ...]]
    """By arm: tokens learned from, one number per seed."""

    def to_json(self) -> dict[str, JSON]:
        """Return everything as plain values."""

        def plain(cells: Mapping[str, Mapping[str, Combined]]) -> dict[str, JSON]:
            return {arm: {name: asdict(found) for name, found in row.items()} for arm, row in cells.items()}

        claims: list[JSON] = [
            {
                "claim": each.claim.sentence,
                **asdict(each.claim),
                "found": None if each.found is None else asdict(each.found),
                "standing": each.standing,
            }
            for each in self.claims
        ]
        return {
            "seeds": list(self.seeds),
            "scores": plain(self.scores),
            "changes": plain(self.changes),
            "shares_of_gain": {arm: asdict(found) for arm, found in self.shares.items()},
            "trained_tokens": {arm: list(each) for arm, each in self.tokens.items()},
            "claims": claims,
        }


def run_study(
    seeds: Sequence[int], prepare: Prepare, *, progress: Progress | None = None, n_draws: int = 10_000
) -> Study:
    """Run the study, or what is missing of it, and return what it found.

    Args:
        seeds: of training and, where the setting makes any, data.
        n_draws: of the bootstrap.
    """
    found = [gather(prepare(seed), progress) for seed in seeds]
    return summed_up(tuple(seeds), found, n_draws=n_draws)


def arm_values(setting: Setting) -> dict[str, dict[str, Any]]:
    """Return what every trained arm replaces in the recipe.

    The values of `train.first_stage` are those of the arm `two stages` alone.
    """
    recipe = setting.recipe
    asked = {"evaluate.conditions": ["original"], "evaluate.after_first_stage": False}
    one = {**asked, "compose.mixture": "single_stage", "train.method": "full", "train.first_stage": {}}
    frozen = {"train.freeze": ["vision", "language"]}
    found = {
        SINGLE: one,
        TWO: {
            **one,
            "compose.mixture": "two_stage",
            "train.first_stage": recipe.train.first_stage,
            "evaluate.after_first_stage": True,
        },
        LORA: {**one, "train.method": "lora", **setting.lora},
        PROJECTOR: {**one, **frozen, **setting.projector},
    }
    if setting.second is not None:
        own = {"train.model": setting.second.model, **setting.second.values}
        found[OTHER] = {**one, **_by_the_first(recipe), **own}
    return found


def _by_the_first(recipe: Recipe) -> dict[str, str]:
    """Return the recipe's models that are named `base`, by their own name: another base changes no task."""
    first = recipe.train.model
    named = {"curate.judge": recipe.curate.judge, "synthesize.model": recipe.synthesize.model}
    return {key: first for key, value in named.items() if value == "base"}


def gather(setting: Setting, progress: Progress | None = None) -> Seed:
    """Build every arm of one seed, or what is missing of it, and collect its scores.

    Raises:
        RecipeError: the recipe cannot have one of the arms, or a benchmark is named for two subjects.
    """
    _check(setting.recipe)
    lines = {arm: _line(setting, values, arm, progress) for arm, values in arm_values(setting).items()}
    asked = _asked(setting, lines[SINGLE])
    scores: dict[Subject, list[Score]] = {subject: [] for subject in asked}
    tokens: dict[str, int] = {}
    for arm, line in lines.items():
        for name, role, scored, model in _models(arm, line):
            for subject, home in _answered(line, name, role, model, asked).items():
                rows = read_records(home / "scores.parquet", Score)
                scores[subject] += [replace(each, model=scored) for each in rows]
        tokens[arm] = _tokens(line, "train")
        if arm == TWO:
            tokens[FIRST] = _tokens(line, "train-captions")
            tokens[TWO] += tokens[FIRST]
        line.place.engines.opened.clear()  # before the next arm's models are opened
        gc.collect()
    root = lines[SINGLE].root
    marks = {
        subject: Marks(
            tuple(scores[subject]),
            _primary(artifacts.home_of(step, root)),
        )
        for subject, step in asked.items()
    }
    return Seed(marks, tokens, setting.shares_items)


def _primary(asked: Path) -> Mapping[str, str]:
    """Return the headline scorer of every benchmark that a step asks about."""
    named: Any = read_json(asked / "benchmarks.json")
    return primary_by_benchmark(read_records(asked / "items.parquet", Item), named.get("scorers"))


def _check(recipe: Recipe) -> None:
    """Refuse a recipe whose one stage would be two, or that has nothing to make two stages of."""
    if recipe.ingest is None:
        raise RecipeError(
            "The study trains in one stage and in two on tasks made for image-caption pairs, and the recipe "
            "has none; add `ingest: {source: ...}`."
        )
    if any(each.stage == 2 for each in recipe.conversations):
        raise RecipeError(
            "The recipe has ready-made conversations of stage 2, so its single stage would be two. Set their "
            "`stage` to 1, or leave them out."
        )


def _line(setting: Setting, values: _Values, arm: str, progress: Progress | None) -> Line:
    """Return an arm's line."""
    return Line(
        replaced(setting.recipe, values),
        setting.base,
        progress=Named(arm, progress or Silent()),
        keys=setting.keys,
        accounts=setting.accounts,
    )


def _models(arm: str, line: Line) -> Iterator[tuple[str, str, str, Model]]:
    """Yield what an arm's line scores: the step's name, the model's role in it, our name for it, itself."""
    untouched = {SINGLE: BASE, OTHER: OTHER_BASE}.get(arm)
    if untouched is not None:
        start = Model.checkpoint(line.recipe.train.model, line.base, "train.model")
        yield "evaluate-base", "base", untouched, start
    if arm == TWO:
        yield "evaluate-captions", FIRST_STAGE, FIRST, Model(step=line.steps["train-captions"])
    yield "evaluate-adapted", "adapted", arm, Model(step=line.steps["train"])


def _asked(setting: Setting, line: Line) -> dict[Subject, Step]:
    """Return the steps with the questions of every subject; the domain's are the recipe's own."""
    found: dict[Subject, Step] = {"domain": line.steps["items"]}
    config = line.recipe.evaluate
    names = {name: "in the recipe" for each in _own(line) for name in each.n_rows_by_benchmark}
    parts: tuple[tuple[Subject, tuple[Path, ...]], ...] = (
        ("captions", setting.captions),
        ("general", setting.general),
    )
    for subject, files in parts:
        loaded = [load_benchmark(path, line.store, config.limit or line.recipe.limit) for path in files]
        for name in [name for each in loaded for name in each.n_rows_by_benchmark]:
            if name in names:
                raise RecipeError(
                    f"The benchmark {name} is named twice: {names[name]}, and for {subject}. Give every "
                    "benchmark one place."
                )
            names[name] = f"for {subject}"
        if loaded:
            found[subject] = items_step(loaded, config)
    return found


def _own(line: Line) -> tuple[Benchmark, ...]:
    return line.benchmarks() if line.recipe.evaluate.benchmarks else ()


def _answered(
    line: Line, name: str, role: str, model: Model, asked: Mapping[Subject, Step]
) -> dict[Subject, Path]:
    """Let a model answer the questions of every subject, or what is missing; return the folders."""
    found: dict[Subject, Path] = {}
    config, execution = line.recipe.evaluate, line.recipe.synthesize.execution
    for subject, items in asked.items():
        if subject == "domain":
            found[subject] = line.build([name], aside=True)[name]
            continue
        step = evaluation_step(role, items, model, config, execution, line.place, name=f"{name}-on-{subject}")
        reused = artifacts.finished(step, line.root) is not None
        found[subject] = artifacts.build(step, line.root)
        line.place.progress.end(step.name, reused=reused)
    return found


def _tokens(line: Line, name: str) -> int:
    """Return how many tokens a finished training learned from."""
    record: Any = read_json(artifacts.home_of(line.steps[name], line.root) / artifacts.RECORD)
    return int(record["facts"]["trained_tokens"])


# --- measuring -----------------------------------------------------------------------------------


def summed_up(seeds: tuple[int, ...], found: Sequence[Seed], *, n_draws: int = 10_000) -> Study:
    """Return the scores, changes, shares and claims of finished seeds."""
    shared = found[0].shares_items
    against = set(BASE_OF.items())
    pairs = sorted(against | {(claim.first, claim.second) for claim in CLAIMS})
    by_subject = {
        subject: [spans(seed.marks[subject], pairs, n_draws=n_draws) for seed in found]
        for subject in found[0].marks
    }
    scores: dict[str, dict[str, Combined]] = {}
    changes: dict[str, dict[str, Combined]] = {}
    for subject, each in by_subject.items():
        for arm, name in each[0].values:
            row = scores.setdefault(arm, {})
            row[_called(name, subject)] = combined([one.values[arm, name] for one in each], shared=shared)
        for first, second, name in each[0].differences:
            if (first, second) in against:
                values = [one.differences[first, second, name] for one in each]
                changes.setdefault(first, {})[_called(name, subject)] = combined(values, shared=shared)
    shares = {
        arm: share
        for arm in (TWO, FIRST, LORA, PROJECTOR)
        if (share := _share(arm, SINGLE, found, n_draws)) is not None
    }
    claims = tuple(_judged(claim, by_subject, found, shares) for claim in CLAIMS)
    tokens = {arm: tuple(seed.tokens[arm] for seed in found) for arm in found[0].tokens}
    return Study(seeds, _in_order(scores), _in_order(changes), shares, claims, tokens)


def _called(name: str, subject: Subject) -> str:
    return subject if name == ALL_BENCHMARKS else name


def _in_order(cells: Mapping[str, Mapping[str, Combined]]) -> dict[str, Mapping[str, Combined]]:
    return {arm: cells[arm] for arm in ARMS if arm in cells}


def _share(arm: str, whole: str, found: Sequence[Seed], n_draws: int) -> Combined | None:
    marks = [seed.marks["domain"] for seed in found]
    return gain_share(marks, arm, whole, BASE_OF[arm], shared=found[0].shares_items, n_draws=n_draws)


def _judged(
    claim: Claim,
    by_subject: Mapping[Subject, Sequence[Spans]],
    found: Sequence[Seed],
    shares: Mapping[str, Combined],
) -> Judged:
    if claim.at_least is not None:
        share = shares.get(claim.first)
        return Judged(claim, share, standing(share, at_least=claim.at_least))
    each = by_subject.get(claim.subject, ())
    values = [one.differences.get((claim.first, claim.second, ALL_BENCHMARKS)) for one in each]
    known = [value for value in values if value is not None]
    result = combined(known, shared=found[0].shares_items) if known else None
    return Judged(claim, result, standing(result, sign=claim.sign))
