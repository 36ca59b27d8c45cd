"""The pages that show quality to people. Percent and the scales of 100 exist only from here on (pure)."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.curate.intervals import Span
from acclimate.curate.quality_measures import CONSISTENCY, DIVERSITY, MEANS, Comparison, SetQuality
from acclimate.curate.quality_rubrics import paper_scale, strict_scale
from acclimate.curate.quality_texts import Lengths
from acclimate.curate.quality_types import IMAGE_DOMAINS, TASK_TYPES
from acclimate.curate.ratings import ASPECTS, Rating
from acclimate.records import ImageCaption, JudgedTriplet

_NAMES: Mapping[str, str] = {
    **{measure: f"Diversity, of {len(known)} types" for measure, known in DIVERSITY.items()},
    "knowledge": "Domain knowledge",
    "complexity": "Complexity",
    "accuracy": "Accuracy",
    "accuracy_precise": "Accuracy, precise answers",
    "accuracy_informative": "Accuracy, informative answers",
    CONSISTENCY: "Consistency",
    "words_instruction": "Words per instruction",
    "words_informative": "Words per informative answer",
    "words_precise": "Words per precise answer",
}
_MARKS = re.compile(r"([\\`*_\[\]|~#$])")
_NOTES = (
    "Intervals are 95 %, from the bootstrap over pictures. Levels 1 to 5 are given twice: `paper` is the "
    "mean times 20, the scale that the paper's numbers fit and on which nothing is below 20; `strict` is the "
    "mean less 1, times 25.",
    "Diversity counts the types that occur among the rated tasks, so it grows with their number: compare "
    "data sets of which equally many were rated. Effective types are exp of the entropy, which one mistaken "
    "type hardly moves.",
    "Consistency is the share of judged tasks whose label is `consistent`. Where the labels are the filter's "
    "own, that of a filtered set is 100 % by construction; only people or another judge can measure it.",
)


@dataclass(frozen=True, slots=True)
class Case:
    """The tasks that every data set has on one pair."""

    pair: ImageCaption
    picture: str
    """Path of the picture, relative to the page; empty where there is none."""
    tasks: Sequence[tuple[str, JudgedTriplet, Rating | None]]
    """Data set, task, and what the judge says of it."""


def quality_page(
    sets: Sequence[SetQuality], comparisons: Sequence[Comparison], title: str, notes: Sequence[str]
) -> str:
    """Return the page of tables.

    Args:
        sets: one column each.
        comparisons: rows of the last table.
        title: without marks.
        notes: sentences that stand first.
    """
    names = [each.name for each in sets]
    lines = [f"# {text_cell(title)}", ""]
    for note in (*notes, *_NOTES):
        lines += [note, ""]
    lines += ["## Measures", "", *markdown_table(["", *names], _measure_rows(sets)), ""]
    lines += ["## Tasks and texts", "", *markdown_table(["", *names], _text_rows(sets)), ""]
    lines += ["## Task types", "", *_counts(sets, [each.task_types for each in sets], tuple(TASK_TYPES)), ""]
    domains = [each.image_domains for each in sets]
    lines += ["## Image domains", "", *_counts(sets, domains, tuple(IMAGE_DOMAINS)), ""]
    if comparisons:
        header = ["first", "second", "measure", "first minus second", "pairs in both"]
        rows = [
            [each.first, each.second, _NAMES[each.measure], _difference(each), str(each.n_shared_pairs)]
            for each in comparisons
        ]
        lines += ["## Comparisons", "", *markdown_table(header, rows), ""]
    return "\n".join(lines)


def _measure_rows(sets: Sequence[SetQuality]) -> list[list[str]]:
    rows = []
    for measure in (*DIVERSITY, CONSISTENCY):
        rows.append([_NAMES[measure], *(_percent(each.spans.get(measure)) for each in sets)])
    for aspect in ASPECTS:
        if any(aspect in each.spans for each in sets):
            cells = [each.spans.get(aspect) for each in sets]
            rows.append([f"{_NAMES[aspect]}, paper", *(_scaled(cell, is_paper=True) for cell in cells)])
            rows.append([f"{_NAMES[aspect]}, strict", *(_scaled(cell, is_paper=False) for cell in cells)])
    effective = ["-" if each.effective_types is None else f"{each.effective_types:.1f}" for each in sets]
    rows.insert(len(DIVERSITY), ["Effective types", *effective])
    return rows


def _text_rows(sets: Sequence[SetQuality]) -> list[list[str]]:
    labels = sorted({label for each in sets for label in each.labels})
    rows = [
        ["Tasks", *(str(each.n_tasks) for each in sets)],
        ["Pairs", *(str(each.n_pairs) for each in sets)],
        ["Tasks rated", *(f"{each.n_rated} of {each.n_sampled}" for each in sets)],
        ["Generators", *(", ".join(f"{k} {n}" for k, n in each.generators.items()) for each in sets)],
        *([f"Labelled {label}", *(str(each.labels.get(label, 0)) for each in sets)] for label in labels),
    ]
    for measure in MEANS:
        if measure.startswith("words_"):
            field = measure.removeprefix("words_")
            cells = [_lengths(each.texts.lengths.get(field)) for each in sets]
            rows.append([f"{_NAMES[measure]}: mean (p10 / median / p90)", *cells])
    at = "; ".join(sorted({str(each.texts.n_equal) for each in sets}, key=int))
    for n in (1, 2, 3):
        shares = [each.texts.distinct.get(n) for each in sets]
        rows.append([f"Distinct-{n} of instructions, over {at} tasks", *(_share(share) for share in shares)])
    repeated = [each.texts.duplicate_instructions for each in sets]
    rows.append([f"Instructions that stood before, over {at} tasks", *(_share(each) for each in repeated)])
    whole = [each.texts.duplicate_tasks for each in sets]
    rows.append([f"Whole tasks that stood before, over {at} tasks", *(_share(each) for each in whole)])
    total = [each.texts.duplicates_of_all for each in sets]
    rows.append(["Instructions that stood before, over all tasks", *(_share(each) for each in total)])
    return rows


def _lengths(facts: Lengths | None) -> str:
    if facts is None:
        return "-"
    middle = f"{facts.p10} / {facts.median} / {facts.p90}"
    return f"{facts.mean:.1f} ({middle}, at most {facts.greatest})"


def _counts(
    sets: Sequence[SetQuality], counts: Sequence[Mapping[str, int]], known: Sequence[str]
) -> list[str]:
    present = [name for name in known if any(name in each for each in counts)]
    if not present:
        return ["Not rated."]
    rows = []
    for name in sorted(present, key=lambda name: -sum(each.get(name, 0) for each in counts)):
        cells = []
        for each in counts:
            total = sum(each.values())
            cells.append(f"{each.get(name, 0)} ({each.get(name, 0) / total:.1%})" if total else "-")
        rows.append([name, *cells])
    rows.append(["distinct", *(f"{len(each)} of {len(known)}" for each in counts)])
    return markdown_table(["", *(each.name for each in sets)], rows)


def side_by_side_page(cases: Sequence[Case]) -> str:
    """Return the page that shows what each data set makes of the same pair."""
    lines = ["# The same pairs side by side", ""]
    for case in cases:
        lines += [f"## Pair {text_cell(case.pair.id)}", ""]
        if case.picture:
            lines += [f"![]({case.picture})", ""]
        lines += [f"Caption: {text_cell(case.pair.caption)}", ""]
        rows = []
        for name, task, rating in case.tasks:
            said = "" if rating is None else _said(rating)
            rows.append([name, task.instruction, task.informative, task.precise, task.label, said])
        header = ["", "instruction", "informative", "precise", "label", "judge"]
        lines += [*markdown_table(header, rows), ""]
    return "\n".join(lines)


def _said(rating: Rating) -> str:
    levels = [f"{aspect} {rating.level(aspect)}" for aspect in ASPECTS if rating.level(aspect) is not None]
    return "; ".join([rating.task_type or "", *levels])


def text_cell(text: str) -> str:
    """Return a text that stands in a page or a table's cell as it is, whatever marks it holds."""
    escaped = _MARKS.sub(r"\\\1", html.escape(text, quote=False))
    return "<br>".join(escaped.split("\n"))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; cells are plain text."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(text_cell(cell) for cell in cells) + " |"

    return [line(header), "|" + " --- |" * len(header), *(line(row) for row in rows)]


def _percent(span: Span | None) -> str:
    if span is None:
        return "-"
    return f"{100 * span.value:.1f} ({100 * span.low:.1f} to {100 * span.high:.1f})"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _scaled(span: Span | None, *, is_paper: bool) -> str:
    if span is None:
        return "-"
    scale = paper_scale if is_paper else strict_scale
    return f"{scale(span.value):.1f} ({scale(span.low):.1f} to {scale(span.high):.1f})"


def _difference(each: Comparison) -> str:
    span = each.span
    if each.measure in DIVERSITY or each.measure == CONSISTENCY:
        factor, unit = 100.0, "points"
    elif each.measure in ASPECTS:
        factor, unit = 20.0, "points, paper"
    else:
        factor, unit = 1.0, "words"
    return f"{factor * span.value:+.1f} ({factor * span.low:+.1f} to {factor * span.high:+.1f}) {unit}"
