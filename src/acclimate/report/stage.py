"""The door of the report room: plain data in; pages, tables and figures out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from acclimate.errors import BenchmarkError, DataError
from acclimate.files import write_json, write_text
from acclimate.records import Measurement
from acclimate.report.evidence.wording import says_verified, sentence_is_cut, title_is_cut
from acclimate.report.inputs import BenchmarkFacts, ReportInputs
from acclimate.report.measure import COMPARISONS, Sum, Summary, measure, summary
from acclimate.report.proved import Proof
from acclimate.report.statistics import N_DRAWS
from acclimate.report.tested import Claim

VERSION = 2
"""Rises when the same config and inputs come to give other measurements."""


DEFAULT_QUESTION = (
    "Does the adapted model answer the domain's questions better than the base model, and do its answers "
    "rest on the picture?"
)
DEFAULT_MEASURES = ("macro/adapted-base/original", "macro/adapted-base/vrs", "macro/adapted/vrs")


class Published(BaseModel):
    """What a publication reports of these benchmarks, to stand beside what was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1)
    """Which publication and table."""
    scores: Mapping[str, Mapping[Literal["base", "first_stage", "adapted"], float]]
    """Points of 100 as they are printed, by benchmark (`slake_open`; `macro` for the mean of benchmarks) and
    then by model."""

    def numbers(self, scorers: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
        """Return the numbers as the tables look them up: fractions, by benchmark and by its official scorer.

        Args:
            scorers: of every benchmark, the names of those that repeat an official script.
        """
        found: dict[str, dict[str, float]] = {}
        for name, row in self.scores.items():
            fractions = {str(role): value / 100 for role, value in row.items()}
            found |= {key: fractions for key in (name, *(f"{name}/{each}" for each in scorers.get(name, ())))}
        return found


class ReportConfig(BaseModel):
    """How measurements are made and what the pages show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = "Adaptation report"
    seed: int = 0
    """Of the bootstrap, and of the sample of answers."""
    n_draws: int = Field(default=N_DRAWS, ge=100)
    """Of the bootstrap; 2,000 and more give stable intervals."""
    n_examples: int = Field(default=24, ge=0)
    """At most so many tasks are shown with their pictures."""
    n_answers: int = Field(default=176, ge=0)
    """At most so many answers are shown side by side. Together with the tasks, what is beyond 200 stands on
    pages of its own."""
    question: str = DEFAULT_QUESTION
    """What the run is to answer, one sentence; the record says whether its claims answer it."""
    measures: tuple[str, ...] = Field(default=DEFAULT_MEASURES, min_length=1)
    """What would answer it: keys of measurements, or words that name the quantity."""
    claims: tuple[Claim, ...] = ()
    """What is claimed before the run, each decided by one measurement. Claims that are written after the
    trained model was scored are marked so."""
    general: tuple[str, ...] = ()
    """Benchmarks that ask what the untouched model could do already: they stand under forgetting, with a mean
    of their own, and not in the headline."""
    published: Published | None = None
    """Numbers of a publication that stand beside the measured ones."""
    proofs: tuple[Proof, ...] = ()
    """What is claimed of mathematics, each decided by a Lean 4 proof: the record keeps the sources, and
    `acclimate verify` checks them."""
    publisher: str = Field(default="not named", min_length=1)
    """Who publishes the record."""

    @model_validator(mode="after")
    def _may_stand(self) -> Self:
        """Refuse what no record may hold before anything is run."""
        if title_is_cut(self.title):
            raise ValueError(f"report.title is cut off: {self.title!r}; give the whole title")
        for name, text in (("title", self.title), ("question", self.question)):
            said = says_verified(text, gate_opened=False)
            if said:
                raise ValueError(f"report.{name}: only the gate may say {said!r}; use another word")
        sentences: tuple[Claim | Proof, ...] = (*self.claims, *self.proofs)
        for each in sentences:
            said = says_verified(each.sentence, gate_opened=False)
            if said:
                raise ValueError(f"claim {each.id}: only the gate may say {said!r}; write what is measured")
            if sentence_is_cut(each.sentence):
                raise ValueError(f"claim {each.id}: the sentence is cut off or has no end; write it whole")
        names = [each.id for each in sentences]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"claim {twice[0]} stands twice; give each an id of its own")
        return self


def report_measurements(inputs: ReportInputs, config: ReportConfig) -> list[Measurement]:
    """Return the measurements that the report shows.

    Benchmarks of general skills are measured apart: their mean is `macro_general`, and their p values are
    adjusted among themselves.

    Raises:
        BenchmarkError: models or conditions cover different items, a benchmark has no facts, or a baseline's
            role cannot be used.
    """
    from acclimate.report.tables import GENERAL, MACRO, MODELS, parted

    for role in inputs.further_roles:
        if role in MODELS or not role or set("/-") & set(role):
            raise BenchmarkError(
                f"a further model cannot have the role {role!r}; give it one without '/' and '-' that is "
                f"none of {', '.join(MODELS)}"
            )
    domain, general = parted(inputs.benchmarks)
    measured = _measured(inputs, config, domain, {each.name for each in general})
    if general:
        names = {each.name for each in inputs.benchmarks} - {each.name for each in general}
        for found in _measured(inputs, config, general, names):
            subject, _, rest = found.key.partition("/")
            measured.append(replace(found, key=f"{GENERAL}/{rest}") if subject == MACRO else found)
    return measured


def _measured(
    inputs: ReportInputs, config: ReportConfig, benchmarks: tuple[BenchmarkFacts, ...], others: set[str]
) -> list[Measurement]:
    """Return the measurements of all scores but those of other benchmarks."""
    sums = {
        name: terms
        for name, terms in inputs.sums.items()
        if not {subject.partition("[")[0] for subject, _, _ in terms} & others
    }
    return measure(
        (each for each in inputs.scores if each.benchmark not in others),
        {each.name: each.scorer for each in benchmarks},
        n_rows_by_benchmark={each.name: each.n_rows for each in benchmarks},
        seed=config.seed,
        n_draws=config.n_draws,
        comparisons=(*COMPARISONS, *(("adapted", role) for role in inputs.further_roles)),
        sums=[Sum(name, terms) for name, terms in sums.items()],
    )


def write_report(
    inputs: ReportInputs,
    out: Path,
    config: ReportConfig | None = None,
    *,
    measurements: Sequence[Measurement] | None = None,
) -> Summary:
    """Write the pages, the tables, `summary.json` and `figures/`, and return the summary.

    Args:
        inputs: everything the report shows; equal inputs give equal bytes.
        out: the folder; it is made where it is missing. Pages and figures of an earlier report that this one
            does not have are removed.
        config: the defaults where None.
        measurements: what `report_measurements` gives for these inputs and config, where the caller has it
            already; None measures.

    Raises:
        BenchmarkError: the scores do not fit together.
        DataError: the folder cannot be written.
    """
    # Templates and matplotlib take half a second to load, which only a report should pay.
    from acclimate.report.pages import pages

    chosen = config or ReportConfig()
    measured = report_measurements(inputs, chosen) if measurements is None else measurements
    files = pages(inputs, measured, chosen)
    headline = _apart(summary(measured), {each.name for each in inputs.benchmarks if each.is_general})
    try:
        _remove_others(out, set(files))
        for name, text in files.items():
            write_text(out / name, text)
        write_json(out / "summary.json", headline)
    except OSError as error:
        raise DataError(
            f"cannot write the report to {out}: {error}; free space or choose another folder"
        ) from error
    return headline


def _apart(headline: Summary, general: set[str]) -> Summary:
    """Return the summary with the benchmarks of general skills under `general`, where there are others.

    There they have their mean beside them: `general` has `macro` (by model) and `benchmarks`.
    """
    from acclimate.report.tables import GENERAL

    own = dict(headline["benchmarks"])
    macro = own.pop(GENERAL, None)
    if macro is None:
        return headline
    aside = {name: own.pop(name) for name in sorted(general) if name in own}
    return {**headline, "benchmarks": own, "general": {"macro": macro, "benchmarks": aside}}


def _remove_others(out: Path, names: set[str]) -> None:
    """Remove what an earlier report left in our two folders, and make them."""
    for folder, pattern in (("figures", "*.svg"), ("figures", "*.csv"), ("examples", "page-*.html")):
        for path in sorted((out / folder).glob(pattern)):
            if f"{folder}/{path.name}" not in names:
                path.unlink()
    for parent in {Path(name).parent for name in names}:
        (out / parent).mkdir(parents=True, exist_ok=True)
