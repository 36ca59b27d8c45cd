"""How good synthetic tasks are: AdaMLLM's Tables 6 to 8, measured on a recipe over several seeds.

By what the synthesizer is shown (6), with and without the filter (7), against other ways of writing them (8).
Table 6 is measured on seed examples kept out of tuning, Tables 7 and 8 on the recipe's pairs. Every arm is
the recipe with a few values replaced, in one run folder per seed, so that arms share what they have in
common, and a study that was interrupted goes on where it stopped.

Diversity is the number of types expected among 200 tasks, as many as the paper's people rated; it grows with
the number of tasks. In Table 6 an example without a task counts with level 1 and no type: else an arm that
loses its hard tasks would gain. Tasks alone are `per task`; `per answerable task` leaves out those of which
nothing right can be said (knowledge level 1), since a method that writes more of them has lower means.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from acclimate import artifacts
from acclimate.curate.intervals import (
    Draws,
    Span,
    mean_difference,
    mean_span,
    rarefied_difference,
    rarefied_span,
)
from acclimate.curate.quality_measures import DIVERSITY, Sample, compared, spans
from acclimate.curate.quality_rubrics import paper_scale, strict_scale
from acclimate.curate.ratings import ASPECTS, Rating
from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError
from acclimate.files import JSON, read_records
from acclimate.pipeline import Line
from acclimate.recipe import Recipe
from acclimate.records import ImageCaption, JudgedTriplet, Triplet, content_id
from acclimate.steps import read_pairs
from acclimate.studies.arms import replaced
from acclimate.studies.combined import Combined, Standing, combined, error_cut, standing
from acclimate.studies.synthesis_claims import (
    ALL,
    BLANKED,
    BOTH,
    CAPTION,
    CLAIMS,
    IMAGE,
    KEPT,
    MEASURES,
    NONE,
    RULES,
    SHARES,
    SYNTHESIZER,
    TABLE_6_COLUMNS,
    TEXT_TEACHER,
    Claim,
    Table,
)
from acclimate.workplace import Progress

PER_SET = 200
"""Tasks of which diversity is counted, per seed and data set."""
VALIDATION = 0.1
"""Share of the seed examples kept out of tuning, as published."""
PER_TASK, ANSWERABLE = "per task", "per answerable task"
HAS_TASK, IS_ANSWERABLE = "examples with a task", "answerable tasks"
_NOTHING = Span(0.0, 0.0, 0.0, 0, 0, "constant")
"""The diversity of no tasks."""
_RIGHT = 4
"""The least level of accuracy at which a conclusion is right."""

Rater: TypeAlias = Callable[[Sequence[JudgedTriplet], Mapping[str, ImageCaption]], Mapping[str, Rating]]
"""From tasks and their pairs by id to ratings by task id."""
_Value: TypeAlias = str | bool | float | int | Mapping[str, Any]

_INPUTS = "synthesize.synthesizer.inputs"
_TUNED: Mapping[str, Mapping[str, _Value]] = {
    NONE: {
        _INPUTS: "image_and_caption",
        "synthesize.synthesizer.mode": "prompted",
        "synthesize.synthesizer.grammar": "strict",
        "synthesize.synthesizer.second_question": "written",
    },
    IMAGE: {_INPUTS: "image_only", "synthesizer.blank_images": 0.0},
    CAPTION: {_INPUTS: "caption_only", "synthesizer.blank_images": 0.0},
    BOTH: {_INPUTS: "image_and_caption", "synthesizer.blank_images": 0.0},
    BLANKED: {_INPUTS: "image_and_caption", "synthesizer.blank_images": 0.1},
}
"""What each column of Table 6 replaces in the recipe; the first one also asks the checkpoint that the others
are tuned from."""
N_TUNED = len(_TUNED) - 1


@dataclass(frozen=True, slots=True)
class Setting:
    """One seed's ground: a recipe, who rates, and which model is the text teacher."""

    recipe: Recipe
    """With a share of the seed examples kept out of tuning."""
    base: Path
    """What the recipe's paths count from."""
    rate: Rater
    teacher: str | Mapping[str, Any] | None = None
    """What `synthesize.model` is for the text teacher; None leaves it out."""
    teacher_values: Mapping[str, _Value] = field(default_factory=dict)
    """What else the teacher replaces in the recipe."""
    per_set: int | None = None
    """Pairs per data set whose tasks are rated, the same ones in every arm; None rates all."""
    keys: Keys | None = None
    """Where the API keys of models on servers are read."""
    accounts: Accounts = field(default_factory=Accounts)
    """What servers have taken so far; shared by all seeds of a study."""
    shares_pairs: bool = False
    """Whether all seeds have the same pairs."""


Prepare: TypeAlias = Callable[[int], Setting]
"""Makes a seed's setting; called once per seed, in their order."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One arm's tasks with their ratings, of one seed."""

    tasks: tuple[JudgedTriplet, ...]
    rating_by_id: Mapping[str, Rating]
    asked: tuple[str, ...]
    """Ids of the pairs, or examples, that tasks were to be written for."""

    def readable(self) -> float:
        """Return the share of the pairs that have at least one task."""
        return len({task.pair_id for task in self.tasks}) / len(self.asked) if self.asked else 0.0


@dataclass(frozen=True, slots=True)
class Seed:
    """Everything one seed gives."""

    table_6: Mapping[str, DataSet]
    table_7: DataSet
    """All tasks of the last column of Table 6 on the recipe's pairs, with the filter's labels."""
    table_8: Mapping[str, DataSet]
    keep: tuple[str, ...]
    shares_pairs: bool = False


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
    cells: Mapping[Table, Mapping[str, Mapping[str, Combined]]]
    """By table, column and measure: shares as fractions, levels 1 to 5."""
    claims: tuple[Judged, ...]
    counts: Mapping[str, tuple[int, ...]]
    """Tasks per column, one number per seed."""

    def to_json(self) -> dict[str, JSON]:
        """Return everything as plain values."""
        tables: dict[str, JSON] = {
            table: {
                column: {measure: _cell(measure, found) for measure, found in row.items()}
                for column, row in columns.items()
            }
            for table, columns in self.cells.items()
        }
        claims: list[JSON] = [
            {
                "claim": each.claim.sentence,
                **asdict(each.claim),
                "found": None if each.found is None else asdict(each.found),
                "standing": each.standing,
            }
            for each in self.claims
        ]
        counts: dict[str, JSON] = {name: list(each) for name, each in self.counts.items()}
        return {"seeds": list(self.seeds), "tables": tables, "tasks": counts, "claims": claims}


def _cell(measure: str, found: Combined) -> dict[str, JSON]:
    cell: dict[str, JSON] = asdict(found)
    if measure in ASPECTS:
        cell |= {"paper": paper_scale(found.value), "strict": strict_scale(found.value)}
    return cell


def run_study(
    seeds: Sequence[int], prepare: Prepare, *, progress: Progress | None = None, draws: int = 2000
) -> Study:
    """Run the study, or what is missing of it, and return what it found.

    Args:
        seeds: of tuning, synthesis and, where the setting makes any, data.
        draws: of the bootstrap.
    """
    found = [gather(prepare(seed), progress) for seed in seeds]
    return summed_up(tuple(seeds), found, Draws(n=draws))


def _line(setting: Setting, values: Mapping[str, _Value], progress: Progress | None) -> Line:
    """Return the line of the recipe with some values replaced."""
    return Line(
        replaced(setting.recipe, values),
        setting.base,
        progress=progress,
        keys=setting.keys,
        accounts=setting.accounts,
    )


def gather(setting: Setting, progress: Progress | None = None) -> Seed:
    """Build every arm of one seed, or what is missing of it, and rate its tasks.

    Raises:
        RecipeError: the recipe cannot have one of the arms, or keeps no example out.
    """
    others = _other_methods(setting)
    for values in others.values():
        _line(setting, values, None)  # what cannot be done is said before hours of tuning
    lines = {column: _line(setting, _column(setting, column), progress) for column in TABLE_6_COLUMNS}
    table_6 = {}
    for column, line in lines.items():
        name = line.plan_validation()
        data = artifacts.build(line.steps["tuning-data"], line.root)
        examples = read_pairs(data, "validation")
        if not examples:
            raise RecipeError(
                "No seed example is kept out of tuning for Table 6: there are too few. Bring more, raise "
                "synthesizer.validation, or take a larger --limit."
            )
        home = line.build([name], aside=True)[name]
        _forget(line)
        table_6[column] = _rated(setting, _unjudged(home), examples)
    line = lines[BLANKED]
    homes = line.build(["curate"], aside=True)
    pairs = read_pairs(homes["ingest"], "pairs")
    judged = list(read_records(homes["curate"] / "judged.parquet", JudgedTriplet))
    keep = line.recipe.compose.keep
    _forget(line)
    whole = _rated(setting, judged, pairs)
    kept = replace(whole, tasks=tuple(task for task in whole.tasks if task.label in keep))
    table_8 = {SYNTHESIZER: kept}
    for column, values in others.items():
        table_8[column] = _written(setting, values, pairs, progress)
    return Seed(table_6, whole, table_8, keep, setting.shares_pairs)


def _column(setting: Setting, column: str) -> Mapping[str, _Value]:
    """Return what a column of Table 6 replaces in the recipe."""
    values = dict(_TUNED[column])
    if column == NONE and setting.recipe.synthesizer is not None:
        values["synthesize.model"] = setting.recipe.synthesizer.model
    return values


def _other_methods(setting: Setting) -> dict[str, dict[str, _Value]]:
    """Return what the other columns of Table 8 replace in the recipe."""
    one: dict[str, _Value] = {"synthesize.samples_per_pair": 1}
    found = {RULES: {**one, "synthesize.generator": "rules"}}
    if setting.teacher is not None:
        own = {f"synthesize.{key}": value for key, value in setting.teacher_values.items()}
        model = {"synthesize.generator": "text_teacher", "synthesize.model": setting.teacher}
        found[TEXT_TEACHER] = {**one, **model, **own}
    return found


def _forget(line: Line) -> None:
    """Let the line's models go before the next one's are opened."""
    line.place.engines.opened.clear()
    gc.collect()


def _written(
    setting: Setting, values: Mapping[str, _Value], pairs: Sequence[ImageCaption], progress: Progress | None
) -> DataSet:
    """Return what another method writes for the same pairs."""
    line = _line(setting, values, progress)
    home = line.build(["synthesize"], aside=True)["synthesize"]
    _forget(line)
    return _rated(setting, _unjudged(home), pairs)


def _unjudged(home: Path) -> list[JudgedTriplet]:
    """Return a step's tasks, no filter having seen them."""
    return [
        JudgedTriplet(
            **asdict(each), label="unjudged", p_consistent=0.0, p_inconsistent=0.0, p_open=0.0, judge=""
        )
        for each in read_records(home / "triplets.parquet", Triplet)
    ]


def _rated(setting: Setting, tasks: Sequence[JudgedTriplet], pairs: Sequence[ImageCaption]) -> DataSet:
    if setting.per_set is not None:
        order = sorted(pairs, key=lambda pair: content_id("study", pair.id))
        pairs = sorted(order[: setting.per_set], key=lambda pair: pair.id)
        chosen = {pair.id for pair in pairs}
        tasks = [task for task in tasks if task.pair_id in chosen]
    ratings = setting.rate(tasks, {pair.id: pair for pair in pairs})
    return DataSet(tuple(tasks), dict(ratings), tuple(pair.id for pair in pairs))


# --- measuring -----------------------------------------------------------------------------------


def summed_up(seeds: tuple[int, ...], found: Sequence[Seed], draws: Draws) -> Study:
    """Return the tables and claims of finished seeds."""
    cells: dict[Table, dict[str, dict[str, Combined]]] = {"6": {}, "7": {}, "8": {}}
    counts: dict[str, tuple[int, ...]] = {}
    shared = found[0].shares_pairs
    for column in TABLE_6_COLUMNS:
        sets = [seed.table_6[column] for seed in found]
        row = _together([_levels(_with_lost(each), draws) for each in sets], shared)
        row |= _together([_per_task(each, draws) for each in sets], shared)
        row |= _together([_has_task(each, draws) for each in sets], shared)
        cells["6"][column] = row
        counts[f"6 {column}"] = tuple(len(each.tasks) for each in sets)
    for column in (ALL, KEPT):
        cells["7"][column] = _together([_shares(seed, column, draws) for seed in found], shared)
        counts[f"7 {column}"] = tuple(len(_values(seed, "precise", kept=column == KEPT)) for seed in found)
    for column in found[0].table_8:
        sets = [seed.table_8[column] for seed in found]
        row = _together([_levels(each, draws) for each in sets], shared)
        own = _together([_per_task(each, draws) for each in sets], shared)
        cells["8"][column] = row | {name: own[name] for name in own if not name.endswith(PER_TASK)}
        counts[f"8 {column}"] = tuple(len(each.tasks) for each in sets)
    claims = tuple(_judged(claim, found, draws) for claim in CLAIMS)
    return Study(seeds, cells, claims, counts)


def _together(by_seed: Sequence[Mapping[str, Span]], shared: bool) -> dict[str, Combined]:  # noqa: FBT001
    """Return the measures that every seed has."""
    names = [name for name in by_seed[0] if all(name in each for each in by_seed)]
    return {name: combined([each[name] for each in by_seed], shared=shared) for name in names}


def _has_task(data: DataSet, draws: Draws) -> dict[str, Span]:
    having = {task.pair_id for task in data.tasks}
    values = [(name, float(name in having)) for name in data.asked]
    return {HAS_TASK: mean_span(values, (0.0, 1.0), draws, key=HAS_TASK)}


def _with_lost(data: DataSet) -> DataSet:
    """Return the data set with a worthless task for every example that has none."""
    having = {task.pair_id for task in data.tasks}
    lost = [name for name in data.asked if name not in having]
    blank = JudgedTriplet("", "", "", "", "", "", "unjudged", 0.0, 0.0, 0.0, "")
    tasks = tuple(replace(blank, id=f"lost/{name}", pair_id=name) for name in lost)
    ratings = {task.id: Rating(task.id, "", None, 1, 1, 1) for task in tasks}
    return DataSet((*data.tasks, *tasks), {**data.rating_by_id, **ratings}, data.asked)


def _sample(data: DataSet) -> Sample:
    return Sample("", data.tasks, data.rating_by_id)


def _levels(data: DataSet, draws: Draws) -> dict[str, Span]:
    """Return the measures of Tables 6 and 8 that the data set has."""
    sample = _sample(data)
    types = sample.types()
    found = {name: _NOTHING for name in DIVERSITY}
    if types:
        found = {
            name: rarefied_span(types, known, PER_SET, draws, key=name) for name, known in DIVERSITY.items()
        }
    means = spans(sample, draws)
    return found | {name: means[name] for name in MEASURES if name in means and name not in DIVERSITY}


def _per_task(data: DataSet, draws: Draws) -> dict[str, Span]:
    """Return the levels of tasks alone, and of those of which something right can be said."""
    known = {each.task_id for each in data.rating_by_id.values() if (each.knowledge or 0) > 1}
    few = replace(data, tasks=tuple(task for task in data.tasks if task.id in known))
    found: dict[str, Span] = {}
    for what, chosen in ((PER_TASK, data), (ANSWERABLE, few)):
        means = spans(_sample(chosen), draws)
        found |= {f"{name} {what}": means[name] for name in MEASURES if name in ASPECTS and name in means}
    share = [(task.pair_id, float(task.id in known)) for task in data.tasks]
    if share:
        found[IS_ANSWERABLE] = mean_span(share, (0.0, 1.0), draws, key=IS_ANSWERABLE)
    return found


def _values(seed: Seed, measure: str, *, kept: bool) -> list[tuple[str, float]]:
    """Return pair and value of Table 7's tasks, of those that have one."""
    data, found = seed.table_7, []
    for task in data.tasks:
        rating = data.rating_by_id.get(task.id)
        if rating is None or (kept and task.label not in seed.keep):
            continue
        level = {"precise": rating.accuracy_precise, "informative": rating.accuracy_informative}.get(measure)
        if measure == "consistency" and rating.consistent is not None:
            found.append((task.pair_id, float(rating.consistent == "consistent")))
        elif level is not None:
            found.append((task.pair_id, float(level >= _RIGHT)))
    return found


def _shares(seed: Seed, column: str, draws: Draws) -> dict[str, Span]:
    values = {measure: _values(seed, measure, kept=column == KEPT) for measure in SHARES}
    return {
        measure: mean_span(each, (0.0, 1.0), draws, key=measure) for measure, each in values.items() if each
    }


def _judged(claim: Claim, found: Sequence[Seed], draws: Draws) -> Judged:
    per_seed = [_difference(claim, seed, draws) for seed in found]
    known = [each for each in per_seed if each is not None]
    shared = found[0].shares_pairs
    result = combined(known, shared=shared) if len(known) == len(per_seed) else None
    stands = standing(result, at_least=claim.at_least, sign=claim.sign)
    is_empty = claim.table != "7" and any(
        all(name in _arms(claim, seed) and not _arms(claim, seed)[name].tasks for seed in found)
        for name in (claim.first, claim.second)
    )
    return Judged(claim, result, "no tasks" if is_empty and stands != "not measured" else stands)


def _arms(claim: Claim, seed: Seed) -> Mapping[str, DataSet]:
    return seed.table_6 if claim.table == "6" else seed.table_8


def _difference(claim: Claim, seed: Seed, draws: Draws) -> Span | None:
    """Return the claim's difference in one seed, or None where it cannot be measured."""
    if claim.table == "7":
        return _of_the_filter(claim, seed, draws)
    arms = _arms(claim, seed)
    if claim.first not in arms or claim.second not in arms:
        return None
    both = [arms[claim.first], arms[claim.second]]
    if claim.table == "6":
        both = [_with_lost(each) for each in both]
    one, other = map(_sample, both)
    if claim.measure not in DIVERSITY:
        found = compared(one, other, draws)
        return next((each.span for each in found if each.measure == claim.measure), None)
    if one.types() and other.types():
        known = DIVERSITY[claim.measure]
        return rarefied_difference(one.types(), other.types(), known, PER_SET, draws, key=claim.measure)
    own, its = (_levels(each, draws)[claim.measure] for each in both)
    return replace(own, value=own.value - its.value, low=own.low - its.high, high=own.high - its.low)


def _of_the_filter(claim: Claim, seed: Seed, draws: Draws) -> Span | None:
    if claim.at_least is not None:
        return error_cut(_errors(seed), draws, key=claim.measure)
    first, second = (_values(seed, claim.measure, kept=kept) for kept in (True, False))
    if not first or not second:
        return None
    return mean_difference(first, second, (0.0, 1.0), draws, key=claim.measure)


def _errors(seed: Seed) -> list[tuple[str, bool, bool]]:
    """Return pair, right and kept of every task whose precise answer was rated."""
    rows = []
    for task in seed.table_7.tasks:
        rating = seed.table_7.rating_by_id.get(task.id)
        if rating is not None and rating.accuracy_precise is not None:
            right = rating.accuracy_precise >= _RIGHT
            rows.append((task.pair_id, right, task.label in seed.keep))
    return rows
