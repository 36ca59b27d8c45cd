"""Draws the report's figures as SVG. Equal inputs give equal bytes: no date, ids from a fixed salt.

Text is drawn as outlines of matplotlib's own font, so a figure looks the same everywhere; letters that the
font lacks become boxes there, and stand readable in the tables.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from acclimate.records import Measurement
from acclimate.report.inputs import LossPoint

INK, GRID = "#333a45", "#e3e7ed"
_BASE, _ADAPTED = "#9aa3b0", "#2f6fdb"
_COLOUR_BY_MODEL: Mapping[str, str] = {"base": _BASE, "adapted": _ADAPTED}
STYLE: Any = {
    "svg.hashsalt": "acclimate",
    "svg.fonttype": "path",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def loss_curve(losses: Sequence[LossPoint]) -> str:
    """Return the training loss over steps: each value, and their running mean."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        steps, values = [each.step for each in losses], [each.loss for each in losses]
        axes.plot(
            steps,
            values,
            color=_BASE,
            linewidth=0.8,
            marker="." if len(losses) < 30 else "",
            label="each record",
        )
        axes.plot(
            steps,
            _running_mean(values, max(1, len(values) // 20)),
            color=_ADAPTED,
            linewidth=1.8,
            label="mean",
        )
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats per trained token")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        return svg(figure)


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    """Return, at each place, the mean of the last `window` values."""
    parts = [values[max(0, at - window + 1) : at + 1] for at in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def gain_bars(gains: Sequence[tuple[str, Measurement]], *, label: str = "adapted minus base") -> str:
    """Return each subject's gain in points with its 95 % interval, the first on top.

    Args:
        label: what a gain is.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.34 * len(gains)), layout="constrained")
        axes = figure.subplots()
        places = range(len(gains), 0, -1)
        for place, (_, gain) in zip(places, gains, strict=True):
            is_resolved = gain.low > 0.0 or gain.high < 0.0
            colour = _ADAPTED if is_resolved else _BASE
            axes.plot(
                [100 * gain.low, 100 * gain.high],
                [place, place],
                color=colour,
                linewidth=2.4,
                solid_capstyle="butt",
            )
            axes.plot([100 * gain.value], [place], color=colour, marker="o", markersize=6)
        axes.axvline(0.0, color=INK, linewidth=1.0)
        axes.set_yticks(list(places), [name for name, _ in gains])
        axes.set_ylim(0.4, len(gains) + 0.6)
        axes.grid(visible=False, axis="y")
        figure.supxlabel(f"{label}, points of 100 (95 % interval; grey: not resolved)", fontsize=10)
        return svg(figure)


def reliance_bars(by_model: Mapping[str, Mapping[str, Measurement]]) -> str:
    """Return each model's score under each image condition.

    Args:
        by_model: per model, per condition, its measurement.
    """
    conditions = list(dict.fromkeys(name for measured in by_model.values() for name in measured))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / max(1, len(by_model))
        for at, (model, measured) in enumerate(by_model.items()):
            shown = [(place, measured[name]) for place, name in enumerate(conditions) if name in measured]
            places = [place - 0.4 + width * (at + 0.5) for place, _ in shown]
            heights = [100 * each.value for _, each in shown]
            below = [100 * max(0.0, each.value - each.low) for _, each in shown]
            above = [100 * max(0.0, each.high - each.value) for _, each in shown]
            colour = _COLOUR_BY_MODEL.get(model, INK)
            axes.bar(places, heights, width=0.92 * width, color=colour, label=model)
            axes.errorbar(
                places, heights, yerr=[below, above], fmt="none", ecolor=INK, elinewidth=1.2, capsize=3
            )
        axes.set_xticks(range(len(conditions)), [f"{name} picture" for name in conditions])
        axes.grid(visible=False, axis="x")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("score, points of 100")
        axes.legend(frameon=False)
        return svg(figure)


def svg(figure: Figure) -> str:
    """Return a finished figure as SVG, the same bytes every time."""
    FigureCanvasSVG(figure)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue().decode("utf-8")
