"""The study of synthesis as text: the paper's tables beside ours, and how every claim stands (pure)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from acclimate.curate.quality_rubrics import paper_scale
from acclimate.curate.ratings import ASPECTS
from acclimate.studies.combined import Combined
from acclimate.studies.grids import grid
from acclimate.studies.synthesis import ANSWERABLE, HAS_TASK, IS_ANSWERABLE, PER_TASK, Judged, Study
from acclimate.studies.synthesis_claims import (
    ALL,
    KEPT,
    MEASURES,
    SHARES,
    TABLE_6,
    TABLE_6_COLUMNS,
    TABLE_7,
    TABLE_8,
)


def page(study: Study, notes: Sequence[str]) -> str:
    """Return the study as Markdown.

    Args:
        notes: what a reader must know of the setting, one sentence each.
    """
    lines = ["# Synthesis quality", "", f"Seeds {', '.join(map(str, study.seeds))}. {' '.join(notes)}", ""]
    lines += [
        "Numbers are percent; levels 1 to 5 stand on the paper's scale, mean times 20. Ours: the mean of the "
        "seeds with its 95 % interval for other pictures, then every seed's value.",
        "",
    ]
    lines += ["## Table 6: what the synthesizer is shown", ""]
    lines += grid(_table_6(study))
    lines += ["", "## Table 7: the filter", ""]
    lines += grid(_table_7(study))
    lines += ["", "## Table 8: other ways of writing tasks", ""]
    lines += grid(_table_8(study))
    counted = Counter(each.standing for each in study.claims)
    lines += ["", "## Directions that the paper's numbers predict", ""]
    lines += [
        ", ".join(f"{n} {name}" for name, n in counted.items()) + ". An interval of 95 % each, no correction "
        "for their number; diversity's are still a little too narrow (docs/methods.md).",
        "",
    ]
    lines += grid([["claim", "the paper", "ours", "standing"], *map(_claim_row, study.claims)])
    return "\n".join(lines) + "\n"


def _table_6(study: Study) -> Iterator[list[str]]:
    yield ["measure", "whose", *TABLE_6_COLUMNS]
    for measure, name in MEASURES.items():
        yield [name, "paper", *(f"{value:.1f}" for value in TABLE_6[measure])]
        yield [name, "ours", *_row(study.cells["6"], TABLE_6_COLUMNS, measure)]
        for what in (PER_TASK, ANSWERABLE) if measure in ASPECTS else ():
            own = f"{measure} {what}"
            yield [own, "ours", *_row(study.cells["6"], TABLE_6_COLUMNS, own)]
    for measure in (HAS_TASK, IS_ANSWERABLE):
        yield [measure, "ours", *_row(study.cells["6"], TABLE_6_COLUMNS, measure)]


def _table_7(study: Study) -> Iterator[list[str]]:
    yield ["measure", "whose", ALL, KEPT]
    for measure in SHARES:
        name = SHARES[measure]
        yield [name, "paper (BioMed, Food)", *(TABLE_7[measure][column] for column in (ALL, KEPT))]
        yield [name, "ours", *_row(study.cells["7"], (ALL, KEPT), measure)]


def _table_8(study: Study) -> Iterator[list[str]]:
    columns = tuple(study.cells["8"])
    yield ["measure", "whose", *columns]
    for measure, name in MEASURES.items():
        yield [name, "paper", *(TABLE_8[measure][column] for column in columns)]
        yield [name, "ours", *_row(study.cells["8"], columns, measure)]
        if measure in ASPECTS:
            own = f"{measure} {ANSWERABLE}"
            yield [own, "ours", *_row(study.cells["8"], columns, own)]
    yield [IS_ANSWERABLE, "ours", *_row(study.cells["8"], columns, IS_ANSWERABLE)]


def _row(cells: Mapping[str, Mapping[str, Combined]], columns: Sequence[str], measure: str) -> Iterator[str]:
    for column in columns:
        found = cells[column].get(measure)
        yield "-" if found is None else shown(found, measure)


def shown(found: Combined, measure: str) -> str:
    """Return a value as percent, or on the paper's scale of levels, with its interval and seeds."""
    scale = paper_scale if measure.split(" ")[0] in ASPECTS else (lambda value: 100 * value)
    seeds = " ".join(f"{scale(value):.1f}" for value in found.by_seed)
    return f"{scale(found.value):.1f} ({scale(found.low):.1f} to {scale(found.high):.1f}; {seeds})"


def _claim_row(each: Judged) -> list[str]:
    found = "-"
    if each.found is not None:
        size = 20 if each.claim.measure in ASPECTS else 100
        seeds = " ".join(f"{size * value:+.1f}" for value in each.found.by_seed)
        spread = f"{size * each.found.low:+.1f} to {size * each.found.high:+.1f}"
        found = f"{size * each.found.value:+.1f} ({spread}; {seeds})"
    return [each.claim.sentence, each.claim.paper, found, each.standing]
