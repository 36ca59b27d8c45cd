"""What a report says, section by section, before it is HTML, Markdown or LaTeX (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acclimate.records import Measurement
from acclimate.report import drawings, further_tables, tables
from acclimate.report.blocks import Block, Code, Drawing, Points, Section, Table, Text
from acclimate.report.claims import headline
from acclimate.report.evidence_tables import evidence
from acclimate.report.inputs import Audit, ReportInputs
from acclimate.report.tested import judged
from acclimate.report.usage import transformers_snippets

_READING = (
    "A score is a mean over questions; a gain or a visual reliance is a mean of differences on the same "
    "questions. The mean of benchmarks weighs each benchmark alike.",
    "Intervals come from 95 % of resamplings of whole clusters (a picture or a case with all its questions), "
    "both models together. An interval that holds 0 is “not resolved”: the benchmark is too small to tell.",
    "p: sign-flip permutation of whole clusters, two-sided, adjusted over the table's benchmarks by Holm's "
    "method. The mean of benchmarks has an interval only.",
    "† wilson_clusters: a score of exactly 0 or 100 has nothing to resample, so Wilson's interval on the "
    "number of clusters stands there. † one_cluster: one picture alone cannot bound a difference.",
)
_RELIANCE = (
    "Each question is also asked with another question's picture from the same benchmark (mismatch) and with "
    "a uniform grey one (blank). Visual reliance = original − mismatch (acc_real_minus_mismatch/v1); a model "
    "that ignores the picture has 0."
)
_CLAIMS = (
    "Each sentence was judged from its measurement's 95 % interval alone: supported where all of it lies on "
    "the claimed side of the margin, refuted where all of it lies on the other, else open. A refuted or an "
    "open sentence is not something this run shows."
)


@dataclass(frozen=True, slots=True)
class Document:
    """A report before it has a form."""

    title: str
    lead: tuple[str, ...]
    """The first sentences."""
    notes: tuple[str, ...]
    limit: int | None
    sections: tuple[Section, ...]

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """All figures, in order."""
        return tuple(each for each in self._blocks() if isinstance(each, Drawing))

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in order."""
        return tuple(each for each in self._blocks() if isinstance(each, Table))

    def _blocks(self) -> Iterable[Block]:
        return (block for section in self.sections for block in section.blocks)


def document(inputs: ReportInputs, measurements: Sequence[Measurement], title: str) -> Document:
    """Return the report of what was measured."""
    found = tables.found_in(inputs, measurements)
    drawn = drawings.all_of(found)
    made = (
        _comparison(found, drawn),
        _claims(inputs, measurements),
        _section("evidence", "Evidence", "", *evidence(inputs.record, inputs.corrections)),
        _reliance(found, drawn),
        _robustness(inputs, drawn),
        _forgetting(found, drawn),
        _ablations(found),
        _scorers(found),
        _section(
            "parts",
            "Parts of benchmarks",
            "Primary scorer. Parts may overlap; no test is made on them.",
            tables.parts(found),
        ),
        _section(
            "unread",
            "Replies no answer could be read from",
            "Such a reply counts as wrong.",
            tables.unparsed(found),
        ),
        _audits(inputs.audits),
        _data(inputs, drawn),
        _section("training", "Training", "", further_tables.tokens(inputs.trained_tokens), drawn.get("loss")),
        _section(
            "costs",
            "Times and costs",
            "",
            further_tables.times(inputs.times),
            further_tables.costs(inputs.costs),
        ),
        _usage(inputs),
        Section("reading", "How to read this", _there(Points(_READING), tables.facts(found))),
        _section("environment", "Environment", "", further_tables.environment(inputs)),
    )
    headline_keys = {each.name for each in found.general} | {tables.GENERAL}
    own = [each for each in measurements if each.key.partition("/")[0].partition("[")[0] not in headline_keys]
    return Document(
        title,
        (*headline(own), *filter(None, [tables.forgetting_sentence(found)])),
        inputs.notes,
        inputs.limit,
        tuple(each for each in made if each is not None),
    )


def _there(*blocks: Block | None) -> tuple[Block, ...]:
    return tuple(each for each in blocks if each is not None)


def _section(name: str, title: str, text: str, *blocks: Block | None) -> Section | None:
    """Return a section, or None where it would be empty."""
    there = _there(*blocks)
    told: tuple[Block, ...] = (Text(text),) if text else ()
    return Section(name, title, (*told, *there)) if there else None


def _comparison(found: tables.Found, drawn: Mapping[str, Drawing]) -> Section | None:
    text = "Points of 100, same questions for all models, each benchmark's primary scorer; the small figures "
    text += "are 95 % intervals (paired cluster bootstrap)."
    return _section(
        "comparison",
        "Comparison",
        text,
        tables.comparison(found),
        drawn.get("gain"),
        tables.against_baselines(found),
        tables.totals(found),
        drawn.get("radar"),
    )


def _claims(inputs: ReportInputs, measurements: Sequence[Measurement]) -> Section | None:
    found = judged(inputs.claims, measurements, inputs.written_before)
    return _section("claims", "Claims", _CLAIMS, *further_tables.verdicts(found))


def _reliance(found: tables.Found, drawn: Mapping[str, Drawing]) -> Section | None:
    return _section(
        "reliance",
        "Does the model look at the picture?",
        _RELIANCE,
        drawn.get("reliance"),
        tables.reliance(found),
        drawn.get("reliance-conditions"),
        further_tables.reliance_vector(found.inputs.reliance),
        drawn.get("reliance-differences"),
    )


def _robustness(inputs: ReportInputs, drawn: Mapping[str, Drawing]) -> Section | None:
    text = "How much of a score is lost when the pictures are corrupted."
    figure, table = drawn.get("robustness"), further_tables.robustness(inputs.robustness)
    return _section("robustness", "Corrupted pictures", text, figure, table)


def _forgetting(found: tables.Found, drawn: Mapping[str, Drawing]) -> Section | None:
    text = "What the untouched model could do already, before and after. A change below 0 is forgotten."
    return _section("forgetting", "Forgetting", text, tables.forgetting(found), drawn.get("forgetting"))


def _ablations(found: tables.Found) -> Section | None:
    text = "The whole recipe with one part changed at a time, on the same questions."
    return _section("ablations", "Ablations", text, further_tables.ablations(found))


def _scorers(found: tables.Found) -> Section | None:
    text = (
        "“strict” is ours: whole words, nothing guessed. “paper” repeats the official scripts, quirks "
        "included, for comparison with published numbers. The first scorer of a benchmark is its primary one."
    )
    drawn = tables.guesses(found)
    told = (
        "Where a reply cannot be read, a paper scorer may draw an answer at random. Points it gave that way "
    )
    told += "are part of its score."
    more = (Text(told), drawn) if drawn else ()
    return _section("scorers", "Strict and paper scorers", text, tables.forms(found), *more)


def _audits(audits: Sequence[Audit]) -> Section | None:
    made = (further_tables.audit(each, f"audit-{at}") for at, each in enumerate(audits, start=1))
    return _section("audits", "Audits", "", *made)


def _data(inputs: ReportInputs, drawn: Mapping[str, Drawing]) -> Section | None:
    quality = (further_tables.audit(each, f"quality-{at}") for at, each in enumerate(inputs.quality, start=1))
    return _section(
        "data",
        "The data: what was kept, and why not the rest",
        "",
        further_tables.rooms(inputs.rooms),
        drawn.get("task-types"),
        further_tables.task_types(inputs.task_types),
        *quality,
    )


def _usage(inputs: ReportInputs) -> Section | None:
    snippets = inputs.snippets
    if snippets is None:
        snippets = transformers_snippets(inputs.checkpoint) if inputs.checkpoint else ()
    where = f"It lies in {inputs.checkpoint} and needs nothing but transformers." if inputs.checkpoint else ""
    return _section(
        "use", "Use the checkpoint", where, *(Code(each.title, each.code, each.language) for each in snippets)
    )
