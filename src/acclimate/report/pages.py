"""Puts the whole report together as texts by file name (pure but for decoding pictures)."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from acclimate.records import Measurement
from acclimate.report.document import document
from acclimate.report.examples import shown
from acclimate.report.inputs import ReportInputs
from acclimate.report.latex import latex_tables
from acclimate.report.render import EXAMPLES, page_name, render_examples, render_html, render_markdown
from acclimate.report.tables import MODELS


class Layout(Protocol):
    """What of the report's config the pages need."""

    @property
    def title(self) -> str:
        """Of the report."""

    @property
    def seed(self) -> int:
        """Of the sample of answers."""

    @property
    def n_examples(self) -> int:
        """At most so many tasks are shown."""

    @property
    def n_answers(self) -> int:
        """At most so many answers are shown."""


def pages(inputs: ReportInputs, measurements: Sequence[Measurement], layout: Layout) -> Mapping[str, str]:
    """Return every file of the report but `summary.json`, by its path in the report's folder."""
    made = document(inputs, measurements, layout.title)
    names = dict(MODELS) | {each.role: each.name for each in inputs.baselines}
    names |= {each.role: each.name for each in inputs.ablations}
    examples = shown(
        inputs.examples,
        inputs.answers,
        inputs.pictures,
        names,
        n_examples=layout.n_examples,
        n_answers=layout.n_answers,
        of_answers=inputs.n_answers,
        seed=layout.seed,
    )
    files = {
        "index.html": render_html(made, examples),
        "report.md": render_markdown(made, examples),
        "tables.tex": latex_tables(made.tables),
    }
    for drawing in made.drawings:
        files[f"figures/{drawing.name}.svg"] = drawing.svg
        files[f"figures/{drawing.name}.csv"] = drawing.csv
    for page in examples.pages[1:]:
        files[f"{EXAMPLES}/{page_name(page.number)}"] = render_examples(made, examples, page)
    return files
