"""Does visual instruction tuning change what a language model holds for true and right?

Every arm is a recipe: {all weights, LoRA} by {pictures with texts, the same texts alone} by a part of the
instructions, from one or two language models, after one alignment of the projector that all arms of a model
share. The language model inside is asked without pictures, before and after, by lm-eval; all are asked the
same questions. What is finished is an artifact, and a study that was interrupted goes on where it stopped.

Arms on all of the instructions have every seed; the others have the first one and are descriptive.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from acclimate import artifacts
from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError
from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import JSON, read_json, read_records
from acclimate.pipeline import Line
from acclimate.recipe import Recipe, validated
from acclimate.records import Item, Score
from acclimate.studies.alignment_claims import (
    ALL,
    BOTH,
    CHAT,
    CLAIMS,
    FULL,
    HARDLY,
    LORA,
    PLAIN,
    TEXT,
    TRUTH,
    Arm,
    Claim,
    name_of,
)
from acclimate.studies.alignment_numbers import Found, Scored, scored
from acclimate.studies.arms import Named
from acclimate.studies.combined import Standing, standing
from acclimate.text_scoring import TextConfig, TextExecution, score_text
from acclimate.workplace import Progress, Silent

FALSE = "all + falsehoods"
"""The part of the control: all of the instructions, and conversations that say false facts."""
UNTOLD = "text LM, untold"
"""On the lab: the shipped text LM before it is told anything."""
ABOVE_CHANCE = 0.20
"""By how much a language model must beat chance to have something to lose. Source: our own rule."""
ALPHA = 0.05

Verdict: TypeAlias = Standing | Literal["descriptive", "no gain to share"]
"""`descriptive`: one of its arms has a single seed, so the claim is not judged; `no gain to share`: the gain
that a share is asked of is not above 0."""


@dataclass(frozen=True, slots=True)
class Start:
    """A language model that arms start from."""

    model: str
    """The multimodal checkpoint it stands in, as `train.model` names one."""
    language_model: str | None = None
    """The text-only model that was assembled, which is asked before; None asks the checkpoint itself, without
    pictures, which is the same as long as only its projector was trained."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the study is done on."""

    recipe: Recipe
    """Its `conversations` of stage 1 align the projector; those of stage 2, or of the one stage, instruct."""
    base: Path
    """What the recipe's paths count from."""
    starts: Mapping[str, Start]
    """By `alignment_claims.PLAIN` and, where there is one, `CHAT`."""
    parts: Mapping[str, tuple[str, ...]]
    """By a part's name the names of its sources of conversations; `all` is what all of them hold."""
    lora: Mapping[str, Any]
    """What LoRA replaces in the recipe beside the method, by dotted key."""
    tasks: tuple[str, ...]
    """As `text_scoring.score_text` takes them."""
    text: TextConfig
    execution: TextExecution
    chance: Mapping[str, float] = field(default_factory=dict)
    """What guessing scores, by subject, where it is known: then it is checked that the base beats it."""
    untold: str | None = None
    """On the lab: a language model that was told nothing."""
    falsehoods: tuple[str, ...] = ()
    """Names of sources that state falsehoods: they are the control's alone."""
    keys: Keys | None = None
    accounts: Accounts = field(default_factory=Accounts)


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what was measured of it."""

    claim: Claim
    found: Found | None
    standing: Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold for the study to say anything."""

    name: str
    subject: str
    found: Found
    bar: float
    """What the value must reach; of a difference 0, which its whole interval must be below."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Study:
    """What the study found."""

    seeds: tuple[int, ...]
    n_seeds: Mapping[str, int]
    """By arm or language model: seeds it was trained with; 0 for one that is not trained here."""
    scores: Mapping[str, Mapping[str, Found]]
    """By arm or language model and subject; fractions of full marks."""
    changes: Mapping[str, Mapping[str, Found]]
    """By arm: the same minus its language model's before, question by question."""
    checks: tuple[Check, ...]
    claims: tuple[Judged, ...]
    tokens: Mapping[str, int]
    """By arm: tokens that its first seed learned from."""

    def to_json(self) -> dict[str, JSON]:
        """Return everything as plain values."""

        def plain(cells: Mapping[str, Mapping[str, Found]]) -> dict[str, JSON]:
            return {who: {name: asdict(found) for name, found in row.items()} for who, row in cells.items()}

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
            "n_seeds": dict(self.n_seeds),
            "scores": plain(self.scores),
            "changes": plain(self.changes),
            "checks": [asdict(each) for each in self.checks],
            "claims": claims,
            "trained_tokens": dict(self.tokens),
        }


# --- arms ----------------------------------------------------------------------------------------------


def arms_of(setting: Setting, seeds: Sequence[int]) -> dict[Arm, tuple[int, ...]]:
    """Return every arm with its seeds: all of them on all of the instructions, else the first one."""
    found: dict[Arm, tuple[int, ...]] = {}
    first = tuple(seeds[:1])
    parts = [ALL, *(setting.parts if len(setting.parts) > 1 else ())]
    for start in setting.starts:
        for part in parts if start == PLAIN else [ALL]:
            for method in (FULL, LORA):
                for modality in (BOTH, TEXT):
                    several = start == PLAIN and part == ALL
                    found[Arm(start, method, modality, part)] = tuple(seeds) if several else first
    if setting.falsehoods:
        found[Arm(PLAIN, FULL, BOTH, FALSE)] = first
    return found


def recipe_of(setting: Setting, arm: Arm, model: str, seed: int) -> Recipe:
    """Return an arm's recipe.

    Args:
        model: the checkpoint with its projector aligned.

    Raises:
        RecipeError: the recipe cannot have it.
    """
    recipe = setting.recipe
    wanted = [title for titles in setting.parts.values() for title in titles]
    if arm.part == FALSE:
        wanted += setting.falsehoods
    elif arm.part != ALL:
        wanted = list(setting.parts[arm.part])
    sources = [
        {**each.model_dump(mode="json"), "stage": 1, "pictures": "own" if arm.modality == BOTH else "none"}
        for each in recipe.conversations
        if each.title in wanted
    ]
    values: dict[str, Any] = {"train.model": model, "train.seed": seed}
    if arm.method == LORA:
        values |= {"train.method": "lora", **setting.lora}
    return _with(recipe, sources, recipe.train.of_stage(2).model_dump(mode="json"), values)


def alignment_of(setting: Setting, model: str) -> Recipe | None:
    """Return the recipe that aligns a checkpoint's projector; None where the recipe has no stage 1."""
    recipe = setting.recipe
    if len(recipe.stages) < 2:
        return None
    sources = [each.model_dump(mode="json") for each in recipe.conversations if each.stage == 1]
    return _with(recipe, sources, recipe.train.of_stage(1).model_dump(mode="json"), {"train.model": model})


def instructing(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the sources that instruct: those of the last stage."""
    last = max(recipe.stages)
    return tuple(each.title for each in recipe.conversations if each.stage == last)


def _with(recipe: Recipe, sources: list[Any], train: Mapping[str, Any], values: Mapping[str, Any]) -> Recipe:
    data = recipe.model_dump(mode="json")
    data |= {"conversations": sources, "train": {**data["train"], **train, "first_stage": {}}}
    data["evaluate"] |= {"conditions": ["original"], "after_first_stage": False}
    for key, value in values.items():
        *parents, last = key.split(".")
        level = data
        for name in parents:
            level = level[name]
        level[last] = value
    return validated(data, "the study's recipe")


def _check(setting: Setting) -> None:
    """Refuse a setting without its ground.

    Raises:
        RecipeError: it has pairs, no instructions, or names a source that is not there.
    """
    recipe = setting.recipe
    if recipe.ingest is not None:
        raise RecipeError(
            "The study tunes on ready-made conversations, and the recipe has image-caption pairs; give a "
            "recipe with `conversations` alone (`ingest` left out)."
        )
    known = {each.title for each in recipe.conversations}
    for part, titles in {**setting.parts, "falsehoods": setting.falsehoods}.items():
        missing = next((title for title in titles if title not in known), None)
        if missing is not None:
            raise RecipeError(
                f"The part {part!r} is of the conversations {missing!r}, and the recipe has "
                f"{', '.join(sorted(known))}. Name a source of its `conversations`."
            )
    if not any(setting.parts.values()):
        raise RecipeError(
            "The recipe has no conversations that instruct; add some under `conversations`, with stage 2 "
            "where others align the projector."
        )


# --- running -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Gathered:
    """What was scored so far."""

    scores: list[Score] = field(default_factory=list)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)


def run_study(
    seeds: Sequence[int], setting: Setting, *, progress: Progress | None = None, n_draws: int = 10_000
) -> Study:
    """Run the study, or what is missing of it, and return what it found.

    Args:
        seeds: of training, for the arms that have several.
        n_draws: of the bootstrap.

    Raises:
        RecipeError: the recipe cannot have one of the arms. EngineError: a model cannot be opened, or lm-eval
            is not installed. BenchmarkError: a task or its data is not there.
    """
    _check(setting)
    told, found = progress or Silent(), _Gathered()
    if setting.untold is not None:
        _ask(setting, UNTOLD, UNTOLD, setting.untold, found, told)
    aligned: dict[str, str] = {}
    for start, each in setting.starts.items():
        before = each.language_model or _whole(setting, each.model)
        _ask(setting, start, start, before, found, told)
        if each.language_model is not None:
            name = f"{start}, multimodal"
            _ask(setting, name, name, _whole(setting, each.model), found, told)
        aligned[start] = _aligned(setting, start, told)
    for arm, own in arms_of(setting, seeds).items():
        for seed in own:
            _tuned(setting, arm, aligned[arm.start], seed, found, told)
    return summed_up(tuple(seeds), found.scores, found.members, found.pictures, found.tokens, setting.chance,
                     n_draws=n_draws)  # fmt: skip


def _whole(setting: Setting, name: str) -> str:
    """Return a checkpoint's folder as a whole path, or its name on the hub."""
    return str((setting.base / name).resolve()) if (setting.base / name).is_dir() else name


def _line(setting: Setting, recipe: Recipe, name: str, progress: Progress) -> Line:
    return Line(
        recipe, setting.base, progress=Named(name, progress), keys=setting.keys, accounts=setting.accounts
    )


def _aligned(setting: Setting, start: str, progress: Progress) -> str:
    """Return the checkpoint of a start with its projector aligned; itself where nothing aligns it."""
    model = setting.starts[start].model
    recipe = alignment_of(setting, model)
    if recipe is None:
        return _whole(setting, model)
    home = _line(setting, recipe, f"{start}, alignment", progress).build(["train"], aside=True)["train"]
    return str(home / "checkpoint")


def _tuned(setting: Setting, arm: Arm, model: str, seed: int, found: _Gathered, progress: Progress) -> None:
    """Train one arm with one seed and ask it."""
    called = model_name(arm.name, seed)
    line = _line(setting, recipe_of(setting, arm, model, seed), called, progress)
    names = ["train", *(["evaluate-adapted"] if line.recipe.evaluate.benchmarks else [])]
    homes = line.build(names, aside=True)
    if arm.name not in found.tokens:
        record: Any = read_json(homes["train"] / artifacts.RECORD)
        found.tokens[arm.name] = int(record["facts"]["trained_tokens"])
    if "evaluate-adapted" in homes:
        rows = read_records(homes["evaluate-adapted"] / "scores.parquet", Score)
        found.scores += [replace(each, model=called) for each in rows]
        asked: Any = read_json(homes["items"] / "benchmarks.json")
        items = read_records(homes["items"] / "items.parquet", Item)
        found.pictures |= primary_by_benchmark(items, asked.get("scorers"))
    line.place.engines.opened.clear()
    gc.collect()
    _ask(setting, arm.name, called, str(homes["train"] / "checkpoint"), found, progress)


def model_name(arm: str, seed: int) -> str:
    """Return what an arm's model of one seed is called."""
    return f"{arm} #{seed}"


def _ask(setting: Setting, who: str, called: str, model: str, found: _Gathered, progress: Progress) -> None:
    """Let a model answer the text tasks, or what is missing; keep its scores."""
    out = (setting.base / setting.recipe.run_dir).resolve() / "text"
    score_text(
        model,
        setting.tasks,
        out,
        config=setting.text,
        execution=setting.execution,
        progress=Named(called, progress),
    )
    found.scores += [replace(each, model=called) for each in read_records(out / "scores.parquet", Score)]
    found.members[who] = (*found.members.get(who, ()), called)


# --- measuring -----------------------------------------------------------------------------------------


def summed_up(
    seeds: tuple[int, ...],
    scores: Sequence[Score],
    members: Mapping[str, Sequence[str]],
    pictures: Mapping[str, str],
    tokens: Mapping[str, int],
    chance: Mapping[str, float],
    *,
    n_draws: int = 10_000,
) -> Study:
    """Return the scores, changes, checks and claims of finished arms.

    Args:
        scores: of all models; a trained one is called as `model_name` says.
        members: by arm its models, by seed; a language model stands for itself.
        pictures: the primary scorer of benchmarks about pictures.
        tokens: see `Study`.
        chance: see `Setting`.
    """
    table = scored(scores, members, pictures=pictures, n_draws=n_draws)
    trained = [who for who, models in members.items() if who not in models]
    values: dict[str, dict[str, Found]] = {}
    changes: dict[str, dict[str, Found]] = {}
    for who in members:
        values[who] = _row((name, table.value(name, who)) for name in table.subjects)
        if who in trained:
            changes[who] = _row((name, table.change(name, who, start_of(who))) for name in table.subjects)
    return Study(
        seeds,
        {who: len(models) if who in trained else 0 for who, models in members.items()},
        values,
        changes,
        tuple(_checks(table, chance, seeds)),
        tuple(_judged(claim, table) for claim in CLAIMS),
        tokens,
    )


def start_of(arm: str) -> str:
    """Return the language model that an arm started from, by its name."""
    return CHAT if arm.startswith(f"{CHAT}: ") else PLAIN


def _row(cells: Iterator[tuple[str, Found | None]]) -> dict[str, Found]:
    return {name: found for name, found in cells if found is not None}


def _checks(table: Scored, chance: Mapping[str, float], seeds: Sequence[int]) -> Iterator[Check]:
    """Yield what must hold: the base has something to lose, and a run on falsehoods is found out."""
    for subject, guessed in chance.items():
        found = table.value(subject, PLAIN)
        if found is not None:
            bar = guessed + ABOVE_CHANCE
            yield Check(
                "the base knows enough to lose something", subject, found, bar, found.span.value >= bar
            )
    control = name_of(part=FALSE)
    if control not in table.members:
        return
    rival = model_name(name_of(), seeds[0])
    for subject in TRUTH:
        for other, called in ((PLAIN, PLAIN), (rival, "the same arm without them")):
            name = f"falsehoods are found out against {called}"
            found = table.change(subject, control, other)
            if found is not None:
                passed = found.span.high < 0 and found.p is not None and found.p < ALPHA
                yield Check(name, subject, found, 0.0, passed)


def _judged(claim: Claim, table: Scored) -> Judged:
    known = {claim.first, claim.second, *(claim.against or ())} <= table.members.keys()
    found = table.contrast(claim.subject, _factors(claim)) if known else None
    if found is None:
        return Judged(claim, None, "not measured")
    arms = [claim.first, claim.second, *(claim.against or ())]
    if any(len(table.members[arm]) < 2 and arm not in table.members[arm] for arm in arms):
        return Judged(claim, found, "descriptive")
    if claim.share is not None:
        whole = table.change(claim.subject, claim.second, start_of(claim.second))
        if whole is None or standing(whole.span) != "supported":
            return Judged(claim, found, "no gain to share")
    if claim.sign == 0:
        return Judged(claim, found, _hardly(found))
    return Judged(claim, found, standing(found.span, sign=-1 if claim.against is not None else claim.sign))


def _factors(claim: Claim) -> dict[str, float]:
    """Return the contrast a claim is about, by arm."""
    if claim.against is not None:
        other, start = claim.against
        return {claim.first: 1.0, claim.second: -1.0, other: -1.0, start: 1.0}
    if claim.share is not None:
        start = start_of(claim.first)
        return {claim.first: 1.0, claim.second: -claim.share, start: claim.share - 1.0}
    return {claim.first: 1.0, claim.second: -1.0}


def _hardly(found: Found) -> Standing:
    """Return how a claim stands that a change is within `HARDLY` of none."""
    span = found.span
    if span.low > -HARDLY and span.high < HARDLY and all(abs(each) < HARDLY for each in span.by_seed):
        return "supported"
    return "refuted" if span.low > HARDLY or span.high < -HARDLY else "open"
