"""The card of a trained model, README.md on the Hugging Face hub, filled from what was measured. Pure.

The head is the hub's: licence, base model, data sets, `model-index` with every benchmark's score. The body
says nothing that was not measured, recorded or given: what is missing is called so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import huggingface_hub
import yaml
from huggingface_hub import EvalResult, ModelCardData

from acclimate.licences import NO_ADVICE, Derived, derived_licence, named_licence, slug
from acclimate.records import Measurement
from acclimate.report import further_tables, tables
from acclimate.report.blocks import Table
from acclimate.report.card_text import DataSource, card, hub_ids, is_hub_id, languages, licence_head, line
from acclimate.report.claims import headline, points, span
from acclimate.report.columns import ORIGINAL
from acclimate.report.evidence.record import Record
from acclimate.report.inputs import BenchmarkFacts, ReportInputs, Snippet
from acclimate.report.tested import NO_INTERVAL, judged
from acclimate.report.usage import transformers_snippets

BARELY = 0.05
"""Visual reliance, a fraction of full marks: an interval wholly under it is called `barely`. Our own rule."""
TASK = "image-text-to-text"
Relation: TypeAlias = Literal["finetune", "adapter"]
_NOTE = (
    "Points of 100 with 95 % intervals (paired cluster bootstrap). * p < .05, ** p < .01, *** p < .001 "
    "(sign-flip permutation of whole clusters, adjusted by Holm). † another interval than the bootstrap's."
)
_OUT_OF_SCOPE = (
    "Decisions about people (medical, legal, financial, of safety) without somebody qualified who looks at "
    "the same picture: the scores below are of benchmarks, not of such use.",
    "Domains, kinds of pictures and languages other than those it was trained and scored on.",
)


@dataclass(frozen=True, slots=True)
class HubBenchmark:
    """Where a benchmark's questions are on the hub."""

    dataset: str
    """`organisation/name`."""
    config: str = ""
    split: str = ""
    revision: str = ""
    """Git SHA of the data set."""
    task_id: str = ""
    """Of the hub's own leaderboard, as the data set's `eval.yaml` has it; empty where it has none."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Everything a model card shows. Equal facts give equal bytes."""

    name: str
    """The model's name, as the hub shows it."""
    inputs: ReportInputs
    """As the report was written from: rooms, benchmarks, reliance, robustness, environment, notes."""
    measurements: tuple[Measurement, ...]
    """`stage.report_measurements(inputs, config)`."""
    base_model: str
    """As a reader knows it: a hub name or the recipe's word."""
    base_licence: str
    """As the base model's card names it; empty where it names none."""
    sources: tuple[DataSource, ...]
    """Every data set that training read: pairs, ready conversations, general data."""
    record: Record | None = None
    """The record's manifest; None where there is none, which the card says."""
    repo: str = ""
    """`organisation/name` of this model on the hub; empty shows how to use it from a folder."""
    base_id: str = ""
    """`organisation/name` of the base model on the hub; empty where it is not there."""
    relation: Relation = "finetune"
    """`adapter` where only LoRA updates are published."""
    about: tuple[tuple[str, str], ...] = ()
    """What it is and how it was trained, as rows: name and value."""
    licence: str = ""
    """Named by whoever publishes; empty derives it from `base_licence` and `sources`."""
    licence_link: str = ""
    """Of a licence that the hub has no identifier for."""
    language: tuple[str, ...] = ()
    """ISO 639 codes of what it was trained on; empty where nobody stated it."""
    tags: tuple[str, ...] = ()
    """Beside our own."""
    intended_use: str = ""
    """In the publisher's words; empty says what follows from the benchmarks."""
    out_of_scope: tuple[str, ...] = ()
    """Beside what every card of ours says."""
    on_hub: Mapping[str, HubBenchmark] = field(default_factory=dict)
    """By benchmark name."""
    citation: str = ""
    """BibTeX or words."""


def model_card(facts: CardFacts) -> str:
    """Return the README.md of a trained model."""
    found = tables.found_in(facts.inputs, facts.measurements)
    licence = licence_of_model(facts)
    record = facts.record
    return card(
        _head(facts, licence),
        "model_card.md.j2",
        facts=facts,
        title=line(facts.name),
        licence=licence,
        advice=NO_ADVICE,
        record=record,
        lead=_lead(found, facts.measurements),
        made=_made(facts),
        intended=facts.intended_use or _intended(found),
        out_of_scope=(*facts.out_of_scope, *_OUT_OF_SCOPE),
        snippets=_snippets(facts),
        rooms=further_tables.rooms(facts.inputs.rooms),
        tokens=further_tables.tokens(facts.inputs.trained_tokens),
        comparison=_with_note(tables.comparison(found)),
        baselines=_with_note(tables.against_baselines(found)),
        benchmarks=tables.facts(found),
        claims=_claims(facts),
        reliance_sentence=reliance_sentence(found.by_key),
        reliance=_means(tables.reliance(found)),
        vector=further_tables.reliance_vector(facts.inputs.reliance),
        robustness=further_tables.robustness(facts.inputs.robustness),
        forgetting_sentence=tables.forgetting_sentence(found),
        forgetting=_with_note(tables.forgetting(found)) if found.general else None,
        limits=_limits(facts, licence),
        environment=_environment(facts),
        citations=list(dict.fromkeys(each.citation for each in facts.inputs.benchmarks if each.citation)),
    )


def card_files(facts: CardFacts) -> dict[str, str]:
    """Return every file that the hub reads beside the weights, by its path in the repository.

    README.md, and `.eval_results/NAME.yaml` for each benchmark with a leaderboard on the hub, where the
    installed huggingface_hub knows that form.
    """
    entry = getattr(huggingface_hub, "EvalResultEntry", None)
    to_yaml = getattr(huggingface_hub, "eval_result_entries_to_yaml", None)
    files = {"README.md": model_card(facts)}
    if entry is None or to_yaml is None:
        return files
    for benchmark in facts.inputs.benchmarks:
        place = facts.on_hub.get(benchmark.name)
        score = _score(facts, benchmark)
        if score is None or place is None or not place.task_id or not is_hub_id(place.dataset):
            continue
        made: Any = entry(
            dataset_id=place.dataset,
            task_id=line(place.task_id),
            value=_value(score),
            dataset_revision=line(place.revision) or None,
            date=facts.record.created if facts.record else None,
            notes=_metric_name(benchmark, score),
        )
        text = yaml.safe_dump(to_yaml([made]), sort_keys=False, allow_unicode=True, width=10**6)
        files[f".eval_results/{_free(slug(benchmark.name), files)}.yaml"] = text
    return files


def licence_of_model(facts: CardFacts) -> Derived:
    """Return the licence that was named, else the one that follows from the base model's and the data's."""
    if facts.licence:
        return named_licence(facts.licence, facts.licence_link)
    return derived_licence(
        [each.licence for each in facts.sources],
        base_model=facts.base_licence,
        names=[line(each.name) for each in facts.sources],
    )


def eval_results(facts: CardFacts) -> list[EvalResult]:
    """Return the adapted model's scores in the hub's form, those of general skills included.

    Values are points of 100, as in the report; the interval stands in the metric's name, since the form has
    no field for it. `verified` is left to the hub, whose own evaluations it marks.
    """
    results = []
    for benchmark in facts.inputs.benchmarks:
        score = _score(facts, benchmark)
        if score is None:
            continue
        place = facts.on_hub.get(benchmark.name)
        if place is not None and not is_hub_id(place.dataset):
            place = None
        name = line(benchmark.name)
        results.append(
            EvalResult(
                task_type=TASK,
                task_name="Image-Text-to-Text",
                dataset_type=place.dataset if place else name,
                dataset_name=name,
                dataset_config=(line(place.config) or None) if place else None,
                dataset_split=(line(place.split) or None) if place else None,
                dataset_revision=(line(place.revision) or None) if place else None,
                metric_type=line(benchmark.scorer) or "score",
                metric_name=_metric_name(benchmark, score),
                metric_value=_value(score),
            )
        )
    return results


def reliance_sentence(by_key: Mapping[str, Measurement]) -> str:
    """Return in plain words how much the adapted model's score rests on the picture; empty if not measured.

    `barely` where the whole 95 % interval lies under `BARELY`; `rests on` where it lies above 0; else nothing
    is shown. Our own rule.
    """
    vrs = by_key.get(f"{tables.MACRO}/adapted/vrs")
    if vrs is None:
        return ""
    verb = "gains" if vrs.value < 0.0 else "loses"
    numbers = f"with another question's picture it {verb} {points(abs(vrs.value))} points"
    whole = by_key.get(f"{tables.MACRO}/adapted/{ORIGINAL}")
    if whole is not None:
        numbers += f" of the {points(whole.value)} it scores"
    if vrs.method == NO_INTERVAL:
        return f"How much the answers depend on the picture is not resolved: {numbers}, without an interval."
    numbers += f" (95 % interval of the loss {span(vrs)})"
    if vrs.high < BARELY:
        return f"The answer barely depends on the picture: {numbers}, less than {points(BARELY)}."
    if vrs.low > 0.0:
        return f"The score rests on the picture: {numbers}."
    return f"It is not shown that the answers depend on the picture: {numbers}."


def _head(facts: CardFacts, licence: Derived) -> ModelCardData:
    results = eval_results(facts)
    return ModelCardData(
        **licence_head(licence),
        base_model=facts.base_id if is_hub_id(facts.base_id) else None,
        base_model_relation=facts.relation if is_hub_id(facts.base_id) else None,
        library_name="transformers" if facts.relation == "finetune" else "peft",
        pipeline_tag=TASK,
        language=languages(facts.language),
        datasets=hub_ids(each.hub_id for each in facts.sources) or None,
        tags=[tag for tag in map(line, ("acclimate", "domain-adaptation", *facts.tags)) if tag],
        model_name=(line(facts.name) or "model") if results else None,
        eval_results=results or None,
    )


def _score(facts: CardFacts, benchmark: BenchmarkFacts) -> Measurement | None:
    key = f"{benchmark.name}/adapted/{ORIGINAL}"
    return next((each for each in facts.measurements if each.key == key), None)


def _value(score: Measurement) -> float:
    return round(100 * score.value, 2)


def _metric_name(benchmark: BenchmarkFacts, score: Measurement) -> str:
    """Return the metric with its interval; it begins with the benchmark, as several may share a data set."""
    interval = "no interval" if score.method == NO_INTERVAL else f"95 % interval {span(score)}"
    return (
        f"{line(benchmark.name)}: {line(benchmark.scorer)}, points of 100, {interval}, "
        f"n = {score.n} ({score.n_clusters} clusters)"
    )


def _free(name: str, taken: Iterable[str]) -> str:
    names, at = set(taken), 2
    made = name
    while f".eval_results/{made}.yaml" in names:
        made, at = f"{name}-{at}", at + 1
    return made


def _lead(found: tables.Found, measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """Return the report's first sentences; those on visual reliance have a section of their own."""
    apart = {each.name for each in found.general} | {tables.GENERAL}
    own = [each for each in measurements if each.key.partition("/")[0].partition("[")[0] not in apart]
    return headline([each for each in own if not each.key.endswith("/vrs")])


def _made(facts: CardFacts) -> tuple[tuple[str, str], ...]:
    rooms = " → ".join(f"{each.name} ({each.inputs} in, {each.outputs} out)" for each in facts.inputs.rooms)
    rows = [
        ("Base model", facts.base_model or "not stated"),
        (
            "What is published",
            "the whole model" if facts.relation == "finetune" else "updates of its weights",
        ),
        *facts.about,
    ]
    if rooms:
        rows.append(("The line of rooms", rooms))
    return tuple(rows)


def _intended(found: tables.Found) -> str:
    names = ", ".join(each.name for each in found.domain)
    if not names:
        return "Nobody stated an intended use, and nothing was scored: treat it as an experiment."
    return (
        f"Questions about pictures of the kind that it was scored on ({names}), for research and building "
        "on, by people who check its answers. Nobody stated another use."
    )


def _snippets(facts: CardFacts) -> tuple[Snippet, ...]:
    if facts.inputs.snippets is not None:
        return facts.inputs.snippets
    if facts.relation == "adapter":
        return ()
    return transformers_snippets(facts.repo or "path/to/this/folder")


def _with_note(table: Table | None) -> Table | None:
    """Return a table with a note that stands by itself: the report's points to a section of the report."""
    return None if table is None else replace(table, note=_NOTE)


def _means(table: Table | None) -> Table | None:
    """Return the rows of the mean over benchmarks, where there are several; all are in the report."""
    means = () if table is None else tuple(row for row in table.rows if row.is_total)
    return replace(table, rows=means) if table is not None and means else table


@dataclass(frozen=True, slots=True)
class ShownClaim:
    """A claim as the card prints it."""

    standing: str
    sentence: str
    reason: str
    is_after: bool
    verdict: str
    """Of the gate, with its reason; empty where there is no record."""


def _claims(facts: CardFacts) -> tuple[ShownClaim, ...]:
    """Return the record's claims, or where there is no record the recipe's as they were judged."""
    if facts.record is not None:
        return tuple(
            ShownClaim(
                each.standing,
                each.sentence,
                each.reason,
                each.written == "after",
                f"{each.verdict.status}: {each.verdict.reason}",
            )
            for each in facts.record.claims
        )
    found = judged(facts.inputs.claims, facts.measurements, facts.inputs.written_before)
    return tuple(
        ShownClaim(each.standing, each.claim.sentence, each.reason, each.written == "after", "")
        for each in found
    )


def _limits(facts: CardFacts, licence: Derived) -> tuple[str, ...]:
    """Return the record's limits, and those that follow from what is missing here."""
    found = list(facts.record.limits) if facts.record else []
    if facts.record is None:
        found.append("There is no evidence record: nobody can check these numbers against what they rest on.")
    if not facts.language:
        found.append("Nobody stated the language of the training data.")
    if licence.is_refused:
        found.append("Its licence was not derived.")
    found.append("It may describe what no picture shows, and repeat what base model or data got wrong.")
    return tuple(dict.fromkeys(found))


def _environment(facts: CardFacts) -> tuple[tuple[str, str], ...]:
    recorded = facts.record.environment if facts.record else None
    if recorded is None:
        return tuple(facts.inputs.environment.items())
    return (("python", recorded.python), ("platform", recorded.platform), *sorted(recorded.packages.items()))
