"""Turns measurements and inputs into the text of the two pages. Percent and points exist only from here on.

Every text of a user or a model goes through a template with autoescape; nothing is marked safe.
"""

import base64
import html
import re
from collections.abc import Mapping, Sequence

import jinja2

from acclimate.records import Measurement
from acclimate.report.claims import headline, points, span, standing
from acclimate.report.inputs import Example, ReportInputs, RoomSummary
from acclimate.report.usage import transformers_snippets

MACRO = "macro"
MODELS = ("base", "first_stage", "adapted")
"""Shown where they are scored; `first_stage` stands between two stages of training."""
CONDITIONS = ("original", "mismatch", "blank")
_SHOWN_MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_MARKDOWN_MARKS = re.compile(r"([\\`*\[\]<>|~#$]|(?<!\w)_|_(?!\w))")
Row = Mapping[str, object]


def render_html(inputs: ReportInputs, measurements: Sequence[Measurement], page: Mapping[str, object]) -> str:
    """Return `index.html`: one file, no network, no script."""
    return (
        _environment(is_html=True)
        .get_template("index.html.j2")
        .render(_context(inputs, measurements), **page)
    )


def render_markdown(
    inputs: ReportInputs, measurements: Sequence[Measurement], page: Mapping[str, object]
) -> str:
    """Return `report.md`; its figures lie beside it."""
    return (
        _environment(is_html=False)
        .get_template("report.md.j2")
        .render(_context(inputs, measurements), **page)
    )


def data_uri(data: bytes, media_type: str) -> str:
    """Return bytes as a data URI; empty when there are none or a browser need not show the type."""
    if not data or media_type not in _SHOWN_MEDIA_TYPES | {"image/svg+xml"}:
        return ""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _environment(*, is_html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("acclimate.report"),
        autoescape=is_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_text
    environment.filters["fence"] = _fence
    return environment


def markdown_text(value: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    line = " ".join(str(value).split())
    return (
        html.escape(_MARKDOWN_MARKS.sub(r"\\\1", line), quote=False)
        .replace("\\&lt;", "&lt;")
        .replace("\\&gt;", "&gt;")
    )


def _fence(code: str) -> str:
    """Return a fence longer than any run of backticks in the code."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    return "`" * max(3, longest + 1)


def _context(inputs: ReportInputs, measurements: Sequence[Measurement]) -> dict[str, object]:
    by_key = {each.key: each for each in measurements}
    has_gain = f"{MACRO}/adapted-base/original" in by_key
    return {
        "headline": headline(measurements),
        "has_gain": has_gain,
        "models": [model for model in MODELS if f"{MACRO}/{model}/original" in by_key],
        "comparison": _comparison(inputs, by_key),
        "totals": _totals(inputs, by_key),
        "forms": _forms(inputs, by_key),
        "parts": _parts(by_key),
        "guesses": _guesses(inputs, by_key),
        "reliance": _reliance(inputs, by_key),
        "unparsed": _unparsed(inputs, by_key),
        "facts": inputs.benchmarks,
        "coverage": {each.name: _coverage(each.name, by_key) for each in inputs.benchmarks},
        "chance": {
            each.name: "" if each.chance is None else points(each.chance) for each in inputs.benchmarks
        },
        "rooms": [_room(room) for room in inputs.rooms],
        "times": _times(inputs.times),
        "environment": dict(inputs.environment),
        "checkpoint": inputs.checkpoint,
        "snippets": _snippets(inputs),
        "audits": inputs.audits,
        "notes": inputs.notes,
        "limit": inputs.limit,
    }


def _subjects(inputs: ReportInputs) -> list[tuple[str, str]]:
    """Return keys and printed names of the table's rows, the mean last."""
    named = [(each.name, each.name) for each in inputs.benchmarks]
    return [*named, (MACRO, "mean of benchmarks")] if len(named) > 1 else named


def _cell(by_key: Mapping[str, Measurement], key: str, *, signed: bool = False) -> Row | None:
    found = by_key.get(key)
    if found is None:
        return None
    return {
        "value": points(found.value, signed=signed),
        "span": span(found, signed=signed),
        "n": found.n,
        "n_clusters": found.n_clusters,
        "method": found.method,
        "flag": "" if found.method == "cluster_bootstrap" else "*",
        "standing": standing(found) if signed else "",
        "p": _p_text(found),
    }


def _p_text(found: Measurement) -> str:
    """Return a difference's p: adjusted over the table where it is one of a family."""
    p = found.p if found.p_holm is None else found.p_holm
    if p is None:
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0")


def _comparison(inputs: ReportInputs, by_key: Mapping[str, Measurement]) -> list[Row]:
    scorer_by_name = {each.name: each.scorer for each in inputs.benchmarks}
    rows: list[Row] = []
    for key, name in _subjects(inputs):
        cells = {model: _cell(by_key, f"{key}/{model}/original") for model in MODELS}
        gain = _cell(by_key, f"{key}/adapted-base/original", signed=True)
        if any(cells.values()):
            shown = cells["adapted"] or cells["base"] or {}
            rows.append(
                {
                    "name": name,
                    "scorer": scorer_by_name.get(key, ""),
                    "is_mean": key == MACRO,
                    "cells": cells,
                    "gain": gain,
                }
                | {"n": shown.get("n"), "n_clusters": shown.get("n_clusters")}
            )
    return rows


def _forms(inputs: ReportInputs, by_key: Mapping[str, Measurement]) -> list[Row]:
    """Return every scorer of every benchmark, the primary one first: strict and paper stand together."""
    rows: list[Row] = []
    for each in inputs.benchmarks:
        prefix = f"{each.name}/base/original/", f"{each.name}/adapted/original/"
        others = dict.fromkeys(key.rpartition("/")[2] for key in by_key if key.startswith(prefix))
        for scorer in (each.scorer, *others):
            suffix = "original" if scorer == each.scorer else f"original/{scorer}"
            cells = {model: _cell(by_key, f"{each.name}/{model}/{suffix}") for model in MODELS}
            gain = _cell(by_key, f"{each.name}/adapted-base/{suffix}", signed=True)
            if any(cells.values()):
                rows.append(
                    {
                        "name": each.name,
                        "scorer": scorer,
                        "is_primary": scorer == each.scorer,
                        "cells": cells,
                        "gain": gain,
                    }
                )
    return rows


def _totals(inputs: ReportInputs, by_key: Mapping[str, Measurement]) -> list[Row]:
    """Return the published totals of several benchmarks."""
    return [row for name in inputs.sums if (row := _of_models(by_key, name)) is not None]


def _parts(by_key: Mapping[str, Measurement]) -> list[Row]:
    """Return the named parts of benchmarks, by their primary scorer."""
    names = dict.fromkeys(key.partition("/")[0] for key in by_key if "[" in key)
    return [row for name in names if (row := _of_models(by_key, name)) is not None]


def _of_models(by_key: Mapping[str, Measurement], name: str) -> Row | None:
    cells = {model: _cell(by_key, f"{name}/{model}/original") for model in MODELS}
    shown = next((cell for cell in cells.values() if cell), None)
    if shown is None:
        return None
    gain = _cell(by_key, f"{name}/adapted-base/original", signed=True)
    return {"name": name, "cells": cells, "gain": gain, "n": shown["n"], "n_clusters": shown["n_clusters"]}


def _guesses(inputs: ReportInputs, by_key: Mapping[str, Measurement]) -> list[Row]:
    """Return how many answers the paper scorers drew at random, and the points they gave."""
    rows: list[Row] = []
    for each in inputs.benchmarks:
        for model in MODELS:
            share = by_key.get(f"{each.name}/{model}/guessed")
            gained = by_key.get(f"{each.name}/{model}/guessed_points")
            if share is not None and gained is not None:
                rows.append(
                    {
                        "name": each.name,
                        "model": model,
                        "share": points(share.value),
                        "points": points(gained.value),
                    }
                )
    return rows


def _reliance(inputs: ReportInputs, by_key: Mapping[str, Measurement]) -> list[Row]:
    rows: list[Row] = []
    for key, name in _subjects(inputs):
        for model in MODELS:
            if f"{key}/{model}/vrs" in by_key:
                cells = {condition: _cell(by_key, f"{key}/{model}/{condition}") for condition in CONDITIONS}
                vrs = _cell(by_key, f"{key}/{model}/vrs", signed=True)
                rows.append(
                    {"name": name, "model": model, "is_mean": key == MACRO, "cells": cells, "vrs": vrs}
                )
        change = _cell(by_key, f"{key}/adapted-base/vrs", signed=True)
        if change is not None:
            blanks = dict.fromkeys(CONDITIONS)
            rows.append(
                {
                    "name": name,
                    "model": "adapted − base",
                    "is_mean": key == MACRO,
                    "cells": blanks,
                    "vrs": change,
                }
            )
    return rows


def _unparsed(inputs: ReportInputs, by_key: Mapping[str, Measurement]) -> list[Row]:
    rows: list[Row] = []
    for key, name in _subjects(inputs):
        for model in MODELS:
            keys = ("unparsed", "unparsed_mismatch", "unparsed_blank")
            found = [by_key.get(f"{key}/{model}/{part}") for part in keys]
            if found[0] is not None:
                cells = ["" if each is None else points(each.value) for each in found]
                rows.append({"name": name, "model": model, "is_mean": key == MACRO, "cells": cells})
    return rows


def _coverage(name: str, by_key: Mapping[str, Measurement]) -> str:
    found = [by_key[key] for key in (f"{name}/adapted/original", f"{name}/base/original") if key in by_key]
    return points(found[0].coverage) if found else ""


def _room(room: RoomSummary) -> Row:
    n_rejected = sum(room.rejections.values())
    kept = f"{100 * (room.inputs - n_rejected) / room.inputs:.1f}" if room.inputs else ""
    reasons = sorted(room.rejections.items(), key=lambda each: (-each[1], each[0]))
    return {
        "room": room,
        "n_rejected": n_rejected,
        "kept": kept,
        "reasons": reasons,
        "counts": dict(room.counts),
    }


def _times(times: Sequence[tuple[str, float]]) -> list[Row]:
    total = sum(seconds for _, seconds in times)
    rows: list[Row] = [
        {
            "name": name,
            "seconds": _duration(seconds),
            "share": f"{100 * seconds / total:.0f}" if total else "0",
        }
        for name, seconds in times
    ]
    return (
        [*rows, {"name": "together", "seconds": _duration(total), "share": "100"}] if len(rows) > 1 else rows
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{seconds / 60:.1f} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _snippets(inputs: ReportInputs) -> Sequence[object]:
    if inputs.snippets is not None:
        return inputs.snippets
    return transformers_snippets(inputs.checkpoint) if inputs.checkpoint else ()


def shown_examples(examples: Sequence[Example], n_most: int) -> list[Row]:
    """Return the examples to show: kept and rejected in turn, in their given order, at most `n_most`."""
    kept = [each for each in examples if each.is_kept]
    rejected = [each for each in examples if not each.is_kept]
    n_rejected = min(len(rejected), max(n_most // 2, n_most - len(kept)))
    chosen = [*kept[: n_most - n_rejected], *rejected[:n_rejected]]
    return [{"example": each, "uri": _picture_uri(each)} for each in chosen]


def _picture_uri(example: Example) -> str:
    return data_uri(example.image, example.media_type) if example.media_type in _SHOWN_MEDIA_TYPES else ""
