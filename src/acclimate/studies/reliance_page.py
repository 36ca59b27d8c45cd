"""The reliance study as text and figures: the answer, the whole vector, every difference (pure)."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from acclimate.report.reliance import VECTOR, Reliance
from acclimate.report.reliance_figures import (
    CONDITION_MEASURES,
    against_mismatch,
    condition_bars,
    forest,
)
from acclimate.studies.grids import grid
from acclimate.studies.reliance import AUTHENTIC, BASE, DESIGNS, SYNTHETIC, WHOLE, Learned, Study
from acclimate.studies.reliance_answer import NO_POLICY, WITHIN, answer, macro

CONDITIONS_FIGURE, FOREST_FIGURE, SCATTER_FIGURE = (
    "conditions.svg",
    "difference-in-reliance.svg",
    "original-against-mismatch.svg",
)
_BESIDES = ("IS", "HVRR", "MG", "G_blank", "G_noise", "G_patch", "RET_blank", "RET_text", "VRS_both_valid")
_SIGNED = ("VRS", "MG", "VRS_both_valid")
PAIR = f"{SYNTHETIC}-{AUTHENTIC}"


def page(study: Study, notes: Sequence[str]) -> str:
    """Return the study as Markdown.

    Args:
        notes: what a reader must know of the setting, one sentence each.
    """
    own = [note for ground in study.grounds for note in ground.notes]
    lines = ["# Does a model trained on synthetic tasks look at the picture less?", ""]
    for paragraph in answer(study):
        lines += [paragraph, ""]
    seeds = ", ".join(map(str, study.seeds))
    lines += [f"Training seeds {seeds}. {' '.join([*notes, *dict.fromkeys(own)])}", ""]
    lines += [
        "Numbers are percent of full marks with 95 % intervals over all benchmarks alike (macro). An arm's "
        "interval draws its seeds and, in each benchmark, its pictures. VRS is the score with the right "
        "picture minus that with another question's (`acc_real_minus_mismatch/v1`); A_blank: a grey picture; "
        "A_text: none; nVRS: VRS as a share of what lies above chance; IS_net: answers that change with the "
        "picture beyond those that change when asked again; ML: what the untouched model does not know "
        "without a picture and this one does. `half` is half the interval's width, `MDE` the smallest "
        "difference that would be found four times out of five.",
        "",
        "## The whole vector",
        "",
    ]
    lines += grid(_vector(study, study.measured, VECTOR))
    for name, measured in study.by_ground.items():
        lines += ["", f"### {name}", "", *grid(_vector(study, measured, VECTOR))]
    lines += ["", f"![Scores by picture]({CONDITIONS_FIGURE})", "", "## Further measures", ""]
    lines += grid(_vector(study, study.measured, _BESIDES))
    lines += ["", "## Differences in reliance", "", *grid(_differences(study))]
    lines += ["", f"![Differences in VRS]({FOREST_FIGURE})", ""]
    lines += [f"![With the right picture against another's]({SCATTER_FIGURE})", ""]
    lines += ["## Benchmark by benchmark", "", *grid(_benchmarks(study))]
    lines += ["", "## What was learned from", "", *grid(_learned(study.learned))]
    return "\n".join(lines) + "\n"


def figures(study: Study) -> dict[str, str]:
    """Return the study's figures as SVG by file name; the data behind them is in `reliance.csv`."""
    arms = _arms(study)
    rows = study.measured
    bars = {
        arm: [found for name in CONDITION_MEASURES if (found := macro(rows, arm, name)) is not None]
        for arm in arms
    }
    differences = _dvrs(study)
    points: dict[str, list[tuple[Reliance, Reliance]]] = {}
    for arm in arms:
        own, other = (
            {
                each.benchmark: each
                for each in rows
                if _is(each, arm, name) and (each.level == "benchmark" or each.kind == "all")
            }
            for name in ("A_orig", "A_mismatch")
        )
        points[arm] = [(own[name], other[name]) for name in own if name in other]
    return {
        CONDITIONS_FIGURE: condition_bars(bars),
        FOREST_FIGURE: forest(differences, label="difference in VRS"),
        SCATTER_FIGURE: against_mismatch(points),
    }


def csv_text(rows: Sequence[Reliance]) -> str:
    """Return measures as CSV: the data behind the figures."""
    names = ("level", "benchmark", "kind", "model", "measure", "value", "low", "high", "half_width", "mde")
    more = ("n", "n_clusters", "n_seeds", "p", "p_holm", "flag", "donor_policy", "replicates", "definition")
    out = io.StringIO()
    told = csv.writer(out, lineterminator="\n")
    told.writerow([*names, *more])
    told.writerows([getattr(each, name) for name in (*names, *more)] for each in rows)
    return out.getvalue()


def _is(each: Reliance, model: str, measure: str) -> bool:
    return (
        each.level in ("benchmark", "macro")
        and (each.model, each.measure) == (model, measure)
        and each.donor_policy in (WITHIN, NO_POLICY)
    )


def _arms(study: Study) -> list[str]:
    trained = {each.arm for each in study.learned}
    return [arm for arm in (BASE, SYNTHETIC, AUTHENTIC, WHOLE, *DESIGNS) if arm == BASE or arm in trained]


def _vector(study: Study, rows: Sequence[Reliance], measures: Sequence[str]) -> Iterator[list[str]]:
    shown = [name for name in measures if any(each.measure == name for each in rows)]
    yield ["model", *shown]
    for arm in _arms(study):
        yield [arm, *(_cell(macro(rows, arm, name), signed=name in _SIGNED) for name in shown)]
    for first, second in _pairs(study):
        found = [macro(rows, f"{first}-{second}", f"d{name}") for name in shown]
        if any(each is not None for each in found):
            yield [f"{first} - {second}", *(_cell(each, signed=True) for each in found)]


def _pairs(study: Study) -> list[tuple[str, str]]:
    named = dict.fromkeys(each.model for each in study.measured if each.measure == "dVRS")
    return [(first, second) for name in named for first, _, second in [name.rpartition("-")]]


def _cell(found: Reliance | None, *, signed: bool = False) -> str:
    if found is None:
        return "-"
    if math.isnan(found.value):
        return found.flag.partition(",")[0] or "-"
    sign = "+" if signed else ""
    return f"{100 * found.value:{sign}.1f} ({100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f})"


def _differences(study: Study) -> Iterator[list[str]]:
    yield ["VRS", "difference", "half", "MDE", "p", "questions", "pictures"]
    for name, row in _dvrs(study):
        p = "-" if row.p is None else f"{row.p:.3f}"
        numbers = [_cell(row, signed=True), f"{100 * row.half_width:.1f}", f"{100 * row.mde:.1f}", p]
        yield [name, *numbers, f"{row.n:,}", f"{row.n_clusters:,}"]


def _dvrs(study: Study) -> list[tuple[str, Reliance]]:
    """Return the differences in VRS: of the two sides by benchmark, of the others overall."""
    found = []
    sides = [each for each in study.measured if _is(each, PAIR, "dVRS")]
    for each in sorted(sides, key=lambda one: one.level != "macro"):
        kind = "benchmarks" if each.kind == "all" else f"of kind {each.kind}"
        name = f"all {kind}" if each.level == "macro" else each.benchmark
        found.append((f"{SYNTHETIC} - {AUTHENTIC}, {name}", each))
    for ground, rows in study.by_ground.items():
        own = macro(rows, PAIR, "dVRS")
        found += [] if own is None else [(f"{SYNTHETIC} - {AUTHENTIC}, all of {ground}", own)]
    for first, second in _pairs(study):
        row = macro(study.measured, f"{first}-{second}", "dVRS")
        if f"{first}-{second}" != PAIR and row is not None:
            found.append((f"{first} - {second}", row))
    return found


def _benchmarks(study: Study) -> Iterator[list[str]]:
    arms = _arms(study)
    yield ["benchmark", "measure", *arms]
    names = dict.fromkeys(each.benchmark for each in study.measured if each.level == "benchmark")
    for name in names:
        own = [each for each in study.measured if each.level == "benchmark" and each.benchmark == name]
        for measure in ("A_orig", "VRS", "PairAcc", "Collapse"):
            cells = [
                next(
                    (
                        e
                        for e in own
                        if (e.model, e.measure) == (arm, measure)
                        and e.donor_policy in (WITHIN, NO_POLICY, "contrast")
                    ),
                    None,
                )
                for arm in arms
            ]
            if any(cells):
                yield [name, measure, *(_cell(each) for each in cells)]


def _learned(learned: Sequence[Learned]) -> Iterator[list[str]]:
    yield ["data", "arm", "seed", "conversations", "pictures", "steps", "trained tokens"]
    for each in learned:
        numbers = (each.conversations, each.images, each.steps, each.trained_tokens)
        yield [each.ground, each.arm, str(each.seed), *(f"{number:,}" for number in numbers)]
