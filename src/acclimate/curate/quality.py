"""The door of the quality analysis: data sets of tasks in, a folder of measures, tables and sheets out.

    quality.json       everything                     quality.md        the tables
    measures.csv       every measure with interval    comparisons.csv   one data set against another
    task_types.csv     counts by data set             image_domains.csv likewise
    lengths.csv        histograms of words            ratings.csv       what the judge said of each task
    side_by_side.md    tasks on the same pairs        side_by_side.csv  likewise
    sheet.csv, sheet_key.csv, rubric.md               for people; `write_agreement` reads what they filled in
    ratings.parquet, tasks.parquet, pictures/         what the two doors pass on

Source: AdaMLLM, tables 6 to 8 and figures 3, 4, 5, 8 and 9, with appendix D.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.artifacts import ReplyLog
from acclimate.curate.intervals import Draws, Span
from acclimate.curate.quality_judge import Sees, View, image_domains, rated
from acclimate.curate.quality_measures import Comparison, Sample, SetQuality, compared, measured_set
from acclimate.curate.quality_pages import Case, quality_page, side_by_side_page
from acclimate.curate.quality_rubrics import paper_scale, strict_scale
from acclimate.curate.quality_sample import in_drawn_order, mixed, once_each, sampled, shared_pairs
from acclimate.curate.quality_sheet import write_sheet
from acclimate.curate.ratings import ASPECTS, ImageDomain, Rating, Response
from acclimate.curate.stage import NO_JUDGE
from acclimate.curate.tables import write_table
from acclimate.engines.protocol import Engine
from acclimate.engines.spec import EngineExecution, require_model
from acclimate.errors import DataError
from acclimate.files import JSON, ImageStore, replacing, write_json, write_records, write_text
from acclimate.records import ImageCaption, JudgedTriplet

VERSION = 1
RATINGS = "ratings.parquet"
TASKS = "tasks.parquet"
_PICTURES = "pictures"
_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}


class QualityConfig(BaseModel):
    """How many tasks are rated, by whom, and what the rater sees."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    judge: str | dict[str, Any] = "base"
    """The rating model: a checkpoint's folder, `openai:NAME@URL` or a mapping (docs/engines.md); `base`: the
    model that is to be trained; `none`: no model rates, and what the texts alone show is measured."""
    per_set: int | None = Field(default=200, ge=1)
    """Tasks of each data set that are rated; null rates all."""
    sees: Sees = "picture_and_caption"
    """What the judge is shown beside the task. A model without vision needs `caption`."""
    responses: tuple[Response, ...] = ("combined",)
    """Whose accuracy is rated: of both answers together, or of `precise` or `informative` alone."""
    cases: int = Field(default=6, ge=0)
    """Pairs that are shown side by side."""
    draws: int = Field(default=2000, ge=100)
    """Draws of the bootstrap."""
    seed: int = 0
    execution: EngineExecution = EngineExecution()

    @field_validator("judge")
    @classmethod
    def _is_a_model(cls, judge: str | dict[str, Any]) -> str | dict[str, Any]:
        return judge if judge in ("base", NO_JUDGE) else require_model(judge)

    @property
    def needs_judge(self) -> bool:
        """Whether the door needs an engine."""
        return self.judge != NO_JUDGE


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured."""

    sets: tuple[SetQuality, ...]
    comparisons: tuple[Comparison, ...]
    ratings: tuple[Rating, ...]
    """The judge's; each rated task once."""
    domains: tuple[ImageDomain, ...]
    judge: str
    """The judge's engine identity; empty where nobody rated."""

    def to_json(self) -> dict[str, JSON]:
        """Return the measures as plain values; fractions and levels, not percent."""
        return {
            "judge": self.judge,
            "sets": {each.name: set_json(each) for each in self.sets},
            "comparisons": [comparison_json(each) for each in self.comparisons],
        }


def write_quality(
    folder: Path,
    tasks_by_set: Mapping[str, Sequence[JudgedTriplet]],
    pairs: Iterable[ImageCaption],
    engine: Engine | None,
    config: QualityConfig,
    *,
    log: ReplyLog | None,
    store: ImageStore | None = None,
    note: str = "",
) -> Quality:
    """Measure data sets of tasks and write everything about them under a folder.

    Args:
        tasks_by_set: by the data set's name, in the order of the tables. Sets may share tasks (a filtered set
            is part of the whole one) and pairs; every two of them are compared, earlier minus later.
        pairs: those that the tasks were made from; others are not used.
        engine: the judge; None rates nothing.
        log: replies found in it are not asked again.
        store: where pictures are read for people to see; None shows none.
        note: a sentence that readers must see first.

    Raises:
        DataError: there is no task at all, a task's pair is not among the pairs, or a set has two tasks of
            one id.
        EngineError: the judge failed, or gives no log-probabilities.
    """
    pair_by_id = _checked(tasks_by_set, pairs)
    samples = sampled(tasks_by_set, config.per_set, config.seed)
    chosen = once_each(samples)
    ratings: tuple[Rating, ...] = ()
    domains: tuple[ImageDomain, ...] = ()
    if engine is not None:
        view = View(config.sees, config.responses, config.seed)
        ratings = tuple(rated(chosen, pair_by_id, engine, view, log=log))
        seen = [pair_by_id[pair_id] for pair_id in dict.fromkeys(task.pair_id for task in chosen)]
        domains = tuple(image_domains(seen, engine, view, log=log))
    rating_by_id = {rating.task_id: rating for rating in ratings}
    named = [Sample(name, tasks, rating_by_id) for name, tasks in samples.items()]
    draws = Draws(config.seed, config.draws)
    n_equal = min(len(tasks) for tasks in tasks_by_set.values() if tasks)
    quality = Quality(
        sets=tuple(
            measured_set(
                in_drawn_order(tasks_by_set[each.name], config.seed), each, domains, draws, n_equal=n_equal
            )
            for each in named
        ),
        comparisons=tuple(
            found for first, second in combinations(named, 2) for found in compared(first, second, draws)
        ),
        ratings=ratings,
        domains=domains,
        judge="" if engine is None else engine.identity.digest,
    )
    _write_measures(folder, quality, engine, config, note)
    _write_for_people(folder, tasks_by_set, samples, pair_by_id, rating_by_id, config=config, store=store)
    return quality


def _checked(
    tasks_by_set: Mapping[str, Sequence[JudgedTriplet]], pairs: Iterable[ImageCaption]
) -> dict[str, ImageCaption]:
    """Return the pairs of the tasks by id."""
    if not any(tasks_by_set.values()):
        raise DataError(
            "There are no tasks to measure: every data set given is empty. Run `synthesize` first, or look "
            "with `acclimate inspect` why it kept none."
        )
    wanted = {task.pair_id for tasks in tasks_by_set.values() for task in tasks}
    pair_by_id = {pair.id: pair for pair in pairs if pair.id in wanted}
    for name, tasks in tasks_by_set.items():
        ids: set[str] = set()
        for task in tasks:
            if task.pair_id not in pair_by_id:
                raise DataError(
                    f"Task {task.id} of data set {name!r} belongs to pair {task.pair_id}, which is not among "
                    "the pairs given. Measure tasks with the pairs they were made from."
                )
            if task.id in ids:
                raise DataError(f"Data set {name!r} has two tasks with the id {task.id}; remove one of them.")
            ids.add(task.id)
    return pair_by_id


def span_json(span: Span) -> dict[str, JSON]:
    """Return a span as plain values."""
    return asdict(span)


def set_json(each: SetQuality) -> dict[str, JSON]:
    """Return a data set's measures as plain values."""
    measures: dict[str, JSON] = {}
    for measure, span in each.spans.items():
        entry = span_json(span)
        if measure in ASPECTS:
            entry |= {"paper": paper_scale(span.value), "strict": strict_scale(span.value)}
        measures[measure] = entry
    lengths: dict[str, JSON] = {field: asdict(facts) for field, facts in each.texts.lengths.items()}
    labels: dict[str, JSON] = {name: n for name, n in each.labels.items()}
    return {
        "tasks": each.n_tasks,
        "pairs": each.n_pairs,
        "sampled": each.n_sampled,
        "rated": each.n_rated,
        "labels": labels,
        "generators": dict(each.generators),
        "measures": measures,
        "task_types": dict(each.task_types),
        "effective_types": each.effective_types,
        "image_domains": dict(each.image_domains),
        "lengths": lengths,
        "texts": {
            "tasks": each.texts.n_equal,
            "distinct": {str(n): share for n, share in each.texts.distinct.items()},
            "duplicate_instructions": each.texts.duplicate_instructions,
            "duplicate_tasks": each.texts.duplicate_tasks,
            "duplicates_of_all": each.texts.duplicates_of_all,
        },
    }


def comparison_json(each: Comparison) -> dict[str, JSON]:
    """Return a comparison as plain values."""
    about: dict[str, JSON] = {"first": each.first, "second": each.second, "measure": each.measure}
    return about | {"n_shared_pairs": each.n_shared_pairs} | span_json(each.span)


_SPAN_COLUMNS = ("value", "low", "high", "n", "n_clusters", "method")


def _span_cells(span: Span) -> list[str]:
    return [
        f"{span.value:.6g}",
        f"{span.low:.6g}",
        f"{span.high:.6g}",
        str(span.n),
        str(span.n_clusters),
        span.method,
    ]


def write_measures(folder: Path, sets: Sequence[SetQuality], comparisons: Sequence[Comparison]) -> None:
    """Write the tables `measures.csv`, `comparisons.csv` and `task_types.csv`."""
    measures = (
        [each.name, measure, *_span_cells(span)] for each in sets for measure, span in each.spans.items()
    )
    write_table(folder / "measures.csv", ("data_set", "measure", *_SPAN_COLUMNS), measures)
    rows = (
        [each.first, each.second, each.measure, *_span_cells(each.span), str(each.n_shared_pairs)]
        for each in comparisons
    )
    header = ("first", "second", "measure", *_SPAN_COLUMNS, "n_shared_pairs")
    write_table(folder / "comparisons.csv", header, rows)
    types = ([each.name, kind, str(n)] for each in sets for kind, n in each.task_types.items())
    write_table(folder / "task_types.csv", ("data_set", "task_type", "tasks"), types)


def _write_measures(
    folder: Path, quality: Quality, engine: Engine | None, config: QualityConfig, note: str
) -> None:
    about: dict[str, JSON] = {
        "version": VERSION,
        "note": note,
        "config": config.model_dump(mode="json", exclude={"judge", "execution"}),
        "judge_name": "" if engine is None else engine.identity.name,
    }
    write_json(folder / "quality.json", about | quality.to_json())
    write_measures(folder, quality.sets, quality.comparisons)
    domains = (
        [each.name, domain, str(n)] for each in quality.sets for domain, n in each.image_domains.items()
    )
    write_table(folder / "image_domains.csv", ("data_set", "image_domain", "pairs"), domains)
    lengths = (
        [each.name, field, str(least), str(n)]
        for each in quality.sets
        for field, facts in each.texts.lengths.items()
        for least, n in facts.histogram
    )
    write_table(folder / "lengths.csv", ("data_set", "field", "words_from", "texts"), lengths)
    rows = (
        [
            each.task_id,
            each.rater,
            each.task_type or "",
            *("" if each.level(aspect) is None else str(each.level(aspect)) for aspect in ASPECTS),
        ]
        for each in quality.ratings
    )
    write_table(folder / "ratings.csv", ("id", "rater", "task_type", *ASPECTS), rows)
    write_records(folder / RATINGS, quality.ratings, Rating)
    who = "Nobody rated these tasks; only their texts are measured."
    if engine is not None:
        who = f"Rated by the model `{engine.identity.name}` ({engine.identity.digest[:16]})."
    page = quality_page(
        quality.sets, quality.comparisons, "Quality of synthetic tasks", [note, who] if note else [who]
    )
    write_text(folder / "quality.md", page)


def _write_for_people(
    folder: Path,
    tasks_by_set: Mapping[str, Sequence[JudgedTriplet]],
    samples: Mapping[str, Sequence[JudgedTriplet]],
    pair_by_id: Mapping[str, ImageCaption],
    rating_by_id: Mapping[str, Rating],
    *,
    config: QualityConfig,
    store: ImageStore | None,
) -> None:
    def picture(pair: ImageCaption) -> str:
        """Put the pair's picture beside the pages and return its path there."""
        if store is None:
            return ""
        extension = _EXTENSIONS.get(pair.image.media_type, "bin")
        name = f"{pair.image.sha256[:16]}.{extension}"
        target = folder / _PICTURES / name
        if not target.exists():
            data = store.read(pair.image)
            with replacing(target) as handle:
                handle.write(data)
        return f"{_PICTURES}/{name}"

    tasks = mixed(once_each(samples), config.seed)
    sets_by_id: dict[str, list[str]] = {}
    for name, sample in samples.items():
        for task in sample:
            sets_by_id.setdefault(task.id, []).append(name)
    write_sheet(folder, tasks, pair_by_id, sets_by_id, picture)
    write_records(folder / TASKS, tasks, JudgedTriplet)
    cases = [
        Case(
            pair_by_id[pair_id],
            picture(pair_by_id[pair_id]),
            [
                (name, task, rating_by_id.get(task.id))
                for name, found in tasks_by_set.items()
                for task in found
                if task.pair_id == pair_id
            ],
        )
        for pair_id in shared_pairs(samples, config.cases, config.seed)
    ]
    write_text(folder / "side_by_side.md", side_by_side_page(cases))
    rows = (
        [
            case.pair.id,
            case.picture,
            case.pair.caption,
            name,
            task.generator,
            task.id,
            task.instruction,
            task.informative,
            task.precise,
            task.label,
        ]
        for case in cases
        for name, task, _ in case.tasks
    )
    header = ("pair_id", "picture", "caption", "data_set", "generator", "id")
    texts = ("instruction", "informative", "precise", "label")
    write_table(folder / "side_by_side.csv", (*header, *texts), rows)
