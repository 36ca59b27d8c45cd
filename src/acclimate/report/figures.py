"""Draws the report's figures as SVG. Equal inputs give equal bytes: no date, ids from a fixed salt.

Text is drawn as outlines of matplotlib's own font, so a figure looks the same everywhere; letters that the
font lacks become boxes there, and stand readable in the tables. Models are told apart by colour and by hatch,
marker or line style. The colours are those of Okabe and Ito 2008, which colour-blind readers can tell apart;
their greys differ in print. On a dark screen a figure turns dark by a style of its own.
"""

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from acclimate.records import Measurement
from acclimate.report.characters import shortened, visible
from acclimate.report.inputs import LossPoint

INK, GRID = "#333a45", "#e3e7ed"
COLOURS = ("#999999", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("--", "-", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
_QUIET, _LOUD = COLOURS[0], COLOURS[1]
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
_DARK: Mapping[str, str] = {INK: "#c9d1db", GRID: "#333c48", "#ffffff": "#171c23", _LOUD: "#3d9be0"}
"""What a colour becomes on a dark screen."""


def loss_curve(losses: Sequence[LossPoint]) -> str:
    """Return the training loss over steps, each value and their running mean; the learning rate below."""
    rates = [(each.step, each.learning_rate) for each in losses if each.learning_rate is not None]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2 if rates else 3.0), layout="constrained")
        if rates:
            axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
            below.plot([step for step, _ in rates], [rate for _, rate in rates], color=INK, linewidth=1.4)
            below.set_ylabel("learning rate")
            below.set_ylim(bottom=0)
            below.set_xlabel("step")
        else:
            axes = figure.subplots()
            axes.set_xlabel("step")
        steps, values = [each.step for each in losses], [each.loss for each in losses]
        dots = "." if len(losses) < 30 else ""
        axes.plot(steps, values, color=_QUIET, linewidth=0.8, marker=dots, label="each record")
        smooth = running_mean(values, max(1, len(values) // 20))
        axes.plot(steps, smooth, color=_LOUD, linewidth=1.8, label="running mean")
        axes.set_ylabel("loss, nats per trained token")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        return svg(figure)


def running_mean(values: Sequence[float], window: int) -> list[float]:
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
            colour = _LOUD if is_resolved else _QUIET
            axes.plot(
                [100 * gain.low, 100 * gain.high],
                [place, place],
                color=colour,
                linewidth=2.4,
                solid_capstyle="butt",
            )
            marker = "o" if is_resolved else "D"
            axes.plot([100 * gain.value], [place], color=colour, marker=marker, markersize=6)
        axes.axvline(0.0, color=INK, linewidth=1.0)
        short = shortened(name for name, _ in gains)
        axes.set_yticks(list(places), [short[name] for name, _ in gains])
        axes.set_ylim(0.4, len(gains) + 0.6)
        axes.grid(visible=False, axis="y")
        told = f"{label}, points of 100 (95 % interval; grey diamond: not resolved)"
        figure.supxlabel(told, fontsize=10)
        return svg(figure)


def bars(
    by_model: Mapping[str, Mapping[str, tuple[float, float, float]]],
    groups: Sequence[str],
    *,
    label: str,
    is_from_zero: bool = True,
) -> str:
    """Return one bar per model in each group, with its interval.

    Args:
        by_model: by printed model name and group: value and the interval's ends, in the unit of the label.
        groups: in their order along the axis.
        label: of the axis of values.
        is_from_zero: False where values may be negative.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        axes = figure.subplots()
        width = 0.84 / max(1, len(by_model))
        short = shortened(by_model)
        for at, (model, measured) in enumerate(by_model.items()):
            shown = [(place, measured[name]) for place, name in enumerate(groups) if name in measured]
            places = [place - 0.42 + width * (at + 0.5) for place, _ in shown]
            _bars(axes, places, [each for _, each in shown], at=at, width=width, model=short[model])
        axes.set_xticks(range(len(groups)), list(groups))
        axes.grid(visible=False, axis="x")
        if is_from_zero:
            axes.set_ylim(bottom=0)
        else:
            axes.axhline(0.0, color=INK, linewidth=1.0)
        axes.set_ylabel(label)
        figure.legend(frameon=False, ncols=min(4, len(by_model)), loc="outside upper center")
        return svg(figure)


def _bars(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[tuple[float, float, float]],
    *,
    at: int,
    width: float,
    model: str,
) -> None:
    """Draw one model's bars and their intervals."""
    heights = [value for value, _, _ in values]
    below = [max(0.0, value - low) for value, low, _ in values]
    above = [max(0.0, high - value) for value, _, high in values]
    axes.bar(
        places,
        heights,
        width=0.92 * width,
        color=COLOURS[at % len(COLOURS)],
        hatch=HATCHES[at % len(HATCHES)],
        edgecolor="white",
        label=model,
    )
    axes.errorbar(places, heights, yerr=[below, above], fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)


def shares(by_arm: Mapping[str, Mapping[str, float]], kinds: Sequence[str], *, label: str) -> str:
    """Return lying bars: each kind's share in every arm, the first kind on top."""
    with matplotlib.rc_context(STYLE):
        size = 0.9 + len(kinds) * (0.16 + 0.16 * len(by_arm))
        figure = Figure(figsize=(7.2, size), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / max(1, len(by_arm))
        short = shortened(by_arm)
        for at, (arm, found) in enumerate(by_arm.items()):
            places = [len(kinds) - place + 0.4 - width * (at + 0.5) for place in range(len(kinds))]
            axes.barh(
                places,
                [found.get(kind, 0.0) for kind in kinds],
                height=0.92 * width,
                color=COLOURS[(at + 1) % len(COLOURS)],
                hatch=HATCHES[at % len(HATCHES)],
                edgecolor="white",
                label=short[arm],
            )
        named = list(shortened(kinds).values())
        axes.set_yticks([len(kinds) - place for place in range(len(kinds))], named)
        axes.set_ylim(0.4, len(kinds) + 0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(label)
        if len(by_arm) > 1:
            figure.legend(frameon=False, ncols=min(4, len(by_arm)), loc="outside upper center")
        return svg(figure)


def radar(by_model: Mapping[str, Sequence[float | None]], axes_names: Sequence[str]) -> str:
    """Return models as closed lines over the benchmarks as spokes; all spokes share one scale from 0.

    Args:
        by_model: by printed name, its scores in points of 100 in the order of the spokes; None where it was
            not scored, which opens the line there.
        axes_names: of the spokes, three or more.
    """
    n = len(axes_names)
    angles = [2 * math.pi * at / n for at in range(n)]
    top = max((value for values in by_model.values() for value in values if value is not None), default=1.0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        polar: Any = figure.add_subplot(projection="polar")
        short = shortened(by_model)
        polar.set_theta_offset(math.pi / 2)
        polar.set_theta_direction(-1)
        for at, (model, values) in enumerate(by_model.items()):
            closed = [math.nan if value is None else value for value in (*values, values[0])]
            polar.plot(
                [*angles, angles[0]],
                closed,
                color=COLOURS[at % len(COLOURS)],
                linestyle=LINES[at % len(LINES)],
                marker=MARKERS[at % len(MARKERS)],
                markersize=5,
                linewidth=1.8,
                label=short[model],
            )
        polar.set_xticks(angles, list(shortened(axes_names, 24).values()))
        polar.set_ylim(0, 10 * math.ceil(max(top, 1.0) / 10))
        polar.set_rlabel_position(180 / n)
        polar.tick_params(axis="x", pad=8)
        polar.spines["polar"].set_visible(True)
        for angle, text in zip(angles, polar.get_xticklabels(), strict=True):
            side = math.sin(angle)
            text.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
        figure.legend(frameon=False, ncols=min(4, len(by_model)), loc="outside lower center")
        return svg(figure)


def svg(figure: Figure) -> str:
    """Return a finished figure as SVG, the same bytes every time."""
    FigureCanvasSVG(figure)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = visible(out.getvalue().decode("utf-8"))
    return text.replace("</style>", f"{_dark_style()}</style>", 1)


def _dark_style() -> str:
    rules = "".join(
        f'[style*="{part}: {light}"]{{{part}:{dark}!important}}'
        for light, dark in _DARK.items()
        for part in ("fill", "stroke")
    )
    return f"@media screen and (prefers-color-scheme: dark){{{rules}}}"
