"""Draws visual reliance as SVG: scores by picture, differences, original against mismatch. Pure.

Every figure is drawn from `Reliance` rows alone, so that the CSV of those rows is the data behind it. Arms
are told apart by colour and by marker, conditions and models by their names beside them. The colours are
those of Okabe and Ito 2008, which colour-blind readers can tell apart; their greys differ in print.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from acclimate.report.figures import GRID, INK, STYLE, svg
from acclimate.report.reliance import Reliance

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
_NAMES: Mapping[str, str] = {
    "A_orig": "its own",
    "A_mismatch": "another's",
    "A_blank": "grey",
    "A_noise": "noise",
    "A_patch": "shuffled patches",
    "A_pixel": "shuffled pixels",
    "A_text": "none",
}
CONDITION_MEASURES = tuple(_NAMES)
"""Measures that `condition_bars` shows, in its order."""


def condition_bars(by_model: Mapping[str, Sequence[Reliance]]) -> str:
    """Return every model's score under each picture with its 95 % interval, grouped by picture.

    Args:
        by_model: rows of the measures `A_CONDITION`, one of each.
    """
    found = {model: {each.measure: each for each in rows} for model, rows in by_model.items()}
    names = [name for name in CONDITION_MEASURES if any(name in rows for rows in found.values())]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        width = 0.84 / max(1, len(found))
        for at, (model, rows) in enumerate(found.items()):
            shown = [(place, rows[name]) for place, name in enumerate(names) if name in rows]
            places = [place - 0.42 + width * (at + 0.5) for place, _ in shown]
            axes.bar(
                places,
                [100 * each.value for _, each in shown],
                width=0.92 * width,
                color=_of(_COLOURS, at),
                hatch=_of(_HATCHES, at),
                edgecolor="white",
                label=model,
            )
            axes.errorbar(
                places,
                [100 * each.value for _, each in shown],
                yerr=_whiskers([each for _, each in shown]),
                fmt="none",
                ecolor=INK,
                elinewidth=1.1,
                capsize=2,
            )
        axes.set_xticks(range(len(names)), [_NAMES[name] for name in names])
        axes.grid(visible=False, axis="x")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("picture beside the question")
        axes.set_ylabel("score, points of 100")
        figure.legend(frameon=False, ncols=min(4, len(found)), loc="outside upper center")
        return svg(figure)


def forest(rows: Sequence[tuple[str, Reliance]], *, label: str) -> str:
    """Return differences with their 95 % intervals, the first on top; summaries are diamonds.

    Args:
        rows: a name and a difference each; rows of level `macro` and `micro` are the summaries.
        label: what is measured, for the axis.
    """
    shown = [(name, each) for name, each in rows if math.isfinite(each.value)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.0 + 0.34 * len(shown)), layout="constrained")
        axes = figure.subplots()
        for place, (_, each) in zip(range(len(shown), 0, -1), shown, strict=True):
            is_summary = each.level in ("macro", "micro")
            is_resolved = each.low > 0.0 or each.high < 0.0
            colour = _COLOURS[0] if is_resolved else _COLOURS[-1]
            ends = [100 * each.low, 100 * each.high]
            axes.plot(ends, [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot(
                [100 * each.value],
                [place],
                color=colour,
                marker="D" if is_summary else "o",
                markersize=8 if is_summary else 6,
            )
        axes.axvline(0.0, color=INK, linewidth=1.0)
        axes.set_yticks(list(range(len(shown), 0, -1)), [name for name, _ in shown])
        axes.set_ylim(0.4, len(shown) + 0.6)
        axes.grid(visible=False, axis="y")
        figure.supxlabel(f"{label}, points of 100 (95 % interval; grey: not told from 0)", fontsize=10)
        return svg(figure)


def against_mismatch(by_model: Mapping[str, Sequence[tuple[Reliance, Reliance]]]) -> str:
    """Return scores with the right picture (up) against those with another's (across), by benchmark.

    On the diagonal the picture makes no difference; the height above it is VRS.

    Args:
        by_model: `A_orig` and `A_mismatch` of one benchmark each; macro rows are drawn larger.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 5.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=INK, linewidth=1.0, linestyle="--")
        for at, (model, points) in enumerate(by_model.items()):
            colour, marker = _of(_COLOURS, at), _of(_MARKERS, at)
            for own, other in points:
                is_macro = own.level == "macro"
                axes.errorbar(
                    [100 * other.value],
                    [100 * own.value],
                    xerr=_whiskers([other]),
                    yerr=_whiskers([own]),
                    fmt=marker,
                    color=colour,
                    ecolor=colour if is_macro else GRID,
                    elinewidth=1.4 if is_macro else 0.8,
                    markersize=10 if is_macro else 5,
                    markeredgecolor=INK if is_macro else colour,
                    zorder=3 if is_macro else 2,
                    label=model if is_macro else None,
                )
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("score with another question's picture, points of 100")
        axes.set_ylabel("score with the right picture, points of 100")
        axes.legend(frameon=False, loc="lower right")
        return svg(figure)


def _of(values: Sequence[str], at: int) -> str:
    return values[at % len(values)]


def _whiskers(rows: Sequence[Reliance]) -> list[list[float]]:
    return [
        [100 * max(0.0, each.value - each.low) for each in rows],
        [100 * max(0.0, each.high - each.value) for each in rows],
    ]
