"""The door of the report room: plain data in, `index.html`, `report.md` and their figures out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import DataError
from acclimate.files import write_json, write_text
from acclimate.records import Measurement
from acclimate.report.inputs import ReportInputs
from acclimate.report.measure import Sum, Summary, measure, summary
from acclimate.report.statistics import N_DRAWS

VERSION = 2
"""Rises when the same config and inputs come to give other measurements."""

_FIGURES = ("gain", "reliance", "loss")


class ReportConfig(BaseModel):
    """How measurements are made and what the pages show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = "Adaptation report"
    seed: int = 0
    """Of the bootstrap."""
    n_draws: int = Field(default=N_DRAWS, ge=100)
    """Of the bootstrap; 2,000 and more give stable intervals."""
    n_examples: int = Field(default=24, ge=0)
    """At most so many tasks are shown with their pictures."""


def report_measurements(inputs: ReportInputs, config: ReportConfig) -> list[Measurement]:
    """Return the measurements that the report shows.

    Raises:
        BenchmarkError: models or conditions cover different items, or a benchmark has no facts.
    """
    return measure(
        inputs.scores,
        {each.name: each.scorer for each in inputs.benchmarks},
        n_rows_by_benchmark={each.name: each.n_rows for each in inputs.benchmarks},
        seed=config.seed,
        n_draws=config.n_draws,
        sums=[Sum(name, terms) for name, terms in inputs.sums.items()],
    )


def write_report(inputs: ReportInputs, out: Path, config: ReportConfig | None = None) -> Summary:
    """Write `index.html`, `report.md`, `summary.json` and `figures/`, and return the summary.

    Args:
        inputs: everything the report shows; equal inputs give equal bytes.
        out: the folder; it is made where it is missing.
        config: the defaults where None.

    Raises:
        BenchmarkError: the scores do not fit together.
        DataError: the folder cannot be written.
    """
    # Templates and matplotlib take half a second to load, which only a report should pay.
    from acclimate.report import render

    chosen = config or ReportConfig()
    measurements = report_measurements(inputs, chosen)
    figures = _figures(inputs, measurements)
    examples = render.shown_examples(inputs.examples, chosen.n_examples)
    uris = dict.fromkeys(_FIGURES, "")
    uris |= {name: render.data_uri(svg.encode("utf-8"), "image/svg+xml") for name, svg in figures.items()}
    page: Mapping[str, object] = {"title": chosen.title, "examples": examples, "figures": uris}
    headline = summary(measurements)
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for name, svg in figures.items():
            write_text(out / "figures" / f"{name}.svg", svg)
        write_text(out / "index.html", render.render_html(inputs, measurements, page))
        write_text(out / "report.md", render.render_markdown(inputs, measurements, page))
        write_json(out / "summary.json", headline)
    except OSError as error:
        raise DataError(
            f"cannot write the report to {out}: {error}; free space or choose another folder"
        ) from error
    return headline


def _figures(inputs: ReportInputs, measurements: Sequence[Measurement]) -> Mapping[str, str]:
    from acclimate.report import figures

    by_key = {each.key: each for each in measurements}
    drawn = {}
    if inputs.losses:
        drawn["loss"] = figures.loss_curve(inputs.losses)
    subjects = [(each.name, each.name) for each in inputs.benchmarks]
    if len(subjects) > 1:
        subjects.append(("macro", "mean of benchmarks"))
    gains = [(name, by_key.get(f"{key}/adapted-base/original")) for key, name in subjects]
    shown = [(name, gain) for name, gain in gains if gain is not None]
    if shown:
        drawn["gain"] = figures.gain_bars(shown)
    conditions = {
        model: {
            name: by_key[key]
            for name in ("original", "mismatch", "blank")
            if (key := f"macro/{model}/{name}") in by_key
        }
        for model in ("base", "adapted")
    }
    if any(len(found) > 1 for found in conditions.values()):
        drawn["reliance"] = figures.reliance_bars(
            {model: found for model, found in conditions.items() if found}
        )
    return drawn
