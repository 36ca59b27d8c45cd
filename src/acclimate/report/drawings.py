"""Chooses which figures a report has, and gives each its words and the numbers behind it (pure)."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from acclimate.records import Measurement
from acclimate.report import figures
from acclimate.report.blocks import Drawing
from acclimate.report.characters import shortened
from acclimate.report.claims import points, span
from acclimate.report.further_tables import drops
from acclimate.report.inputs import BenchmarkFacts, LossPoint, ReportInputs
from acclimate.report.reliance import Reliance
from acclimate.report.reliance_figures import CONDITION_MEASURES, condition_bars, forest
from acclimate.report.robustness import ALL, GROUPS, Robustness
from acclimate.report.tables import CONDITIONS, GAIN, GENERAL, MACRO, Found, subjects

_MOST_TOLD = 40
"""At most so many numbers stand in a text alternative; all of them stand in the CSV."""
_MOST_STEPS = 2000
"""At most so many points are drawn of a curve."""
_MOST_SPOKES = 24
_MEASURED = ("value", "low", "high", "n", "n_clusters", "method")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV with its header."""
    out = io.StringIO()
    told = csv.writer(out, lineterminator="\n")
    told.writerow(header)
    told.writerows(rows)
    return out.getvalue()


def gain(found: Found) -> Drawing | None:
    """Return the gains on the domain."""
    caption = "Gain of the adapted over the base model"
    return _gains(found, found.domain, MACRO, name="gain", caption=caption)


def forgotten(found: Found) -> Drawing | None:
    """Return the gains on general skills; below 0 is forgotten."""
    caption = "Change of general skills: adapted minus base"
    return _gains(found, found.general, GENERAL, name="forgetting", caption=caption)


def _gains(
    found: Found, benchmarks: Sequence[BenchmarkFacts], mean: str, *, name: str, caption: str
) -> Drawing | None:
    named = ((title, found.by_key.get(f"{key}/{GAIN}/original")) for key, title in subjects(benchmarks, mean))
    shown = [(title, each) for title, each in named if each is not None]
    if not shown:
        return None
    told = _told(
        f"{title} {points(each.value, signed=True)} ({span(each, signed=True)})" for title, each in shown
    )
    rows = ((title, *_numbers(each)) for title, each in shown)
    return Drawing(
        name,
        f"{caption}, with 95 % intervals",
        f"{caption} in points of 100 with 95 % intervals: {told}.",
        figures.gain_bars(shown),
        csv_text(("benchmark", *_MEASURED), rows),
    )


def radar(found: Found) -> Drawing | None:
    """Return the models over the benchmarks, where there are at least three; no means."""
    benchmarks = found.domain[:_MOST_SPOKES]
    if len(benchmarks) < 3 or len(found.models) < 2:
        return None
    scored = {
        name: [found.by_key.get(f"{each.name}/{role}/original") for each in benchmarks]
        for role, name in found.models.items()
    }
    values = {
        name: [None if each is None else 100 * each.value for each in measured]
        for name, measured in scored.items()
    }
    told = "; ".join(
        f"{name}: "
        + _told(
            f"{facts.name} {points(each.value)}"
            for facts, each in zip(benchmarks, measured, strict=True)
            if each is not None
        )
        for name, measured in scored.items()
    )
    rows = (
        (facts.name, name, *_numbers(each))
        for name, measured in scored.items()
        for facts, each in zip(benchmarks, measured, strict=True)
        if each is not None
    )
    left_out = len(found.domain) - len(benchmarks)
    caption = "Scores by benchmark, points of 100" + (f"; {left_out} more in the table" if left_out else "")
    return Drawing(
        "radar",
        caption,
        f"Scores in points of 100. {told}.",
        figures.radar(values, [each.name for each in benchmarks]),
        csv_text(("benchmark", "model", *_MEASURED), rows),
    )


def conditions(found: Found) -> Drawing | None:
    """Return every model's mean score by the picture shown."""
    measured = {
        name: {
            condition: each
            for condition in CONDITIONS
            if (each := found.by_key.get(f"{MACRO}/{role}/{condition}")) is not None
        }
        for role, name in found.models.items()
    }
    shown = {name: each for name, each in measured.items() if each}
    if not any(len(each) > 1 for each in shown.values()):
        return None
    told = "; ".join(
        f"{name}: "
        + _told(f"{condition} {points(each.value)} ({span(each)})" for condition, each in of.items())
        for name, of in shown.items()
    )
    rows = (
        (name, condition, *_numbers(each)) for name, of in shown.items() for condition, each in of.items()
    )
    bars = {
        name: {f"{condition} picture": _hundred(each) for condition, each in of.items()}
        for name, of in shown.items()
    }
    groups = [
        f"{condition} picture" for condition in CONDITIONS if any(condition in of for of in shown.values())
    ]
    caption = "Mean score of each model by the picture shown, with 95 % intervals"
    return Drawing(
        "reliance",
        caption,
        f"{caption}, points of 100. {told}.",
        figures.bars(bars, groups, label="score, points of 100"),
        csv_text(("model", "condition", *_MEASURED), rows),
    )


def loss(losses: Sequence[LossPoint]) -> Drawing | None:
    """Return the training curve; of a long one each point is the mean of several steps."""
    if not losses:
        return None
    each_of = -(-len(losses) // _MOST_STEPS)
    drawn = thinned(losses, each_of)
    lowest = min(drawn, key=lambda each: each.loss)
    told = (
        f"Training loss over {len(losses)} steps, in nats per trained token: {drawn[0].loss:.3f} at step "
        f"{drawn[0].step}, {drawn[-1].loss:.3f} at step {drawn[-1].step}; lowest {lowest.loss:.3f} at step "
        f"{lowest.step}."
    )
    rates = [each.learning_rate for each in drawn if each.learning_rate is not None]
    told += f" Learning rate: highest {max(rates):.3g}, last {rates[-1]:.3g}." if rates else ""
    caption = "Training loss over steps" + (" and learning rate" if rates else "")
    rows = (
        (each.step, repr(each.loss), "" if each.learning_rate is None else repr(each.learning_rate))
        for each in drawn
    )
    return Drawing(
        "loss",
        f"{caption}; each point is the mean of {each_of} steps" if each_of > 1 else caption,
        told,
        figures.loss_curve(drawn),
        csv_text(("step", "loss", "learning_rate"), rows),
    )


def thinned(losses: Sequence[LossPoint], each_of: int) -> list[LossPoint]:
    """Return one point per so many: their last step, mean loss and last learning rate."""
    blocks = [losses[at : at + each_of] for at in range(0, len(losses), each_of)]
    return [
        LossPoint(block[-1].step, sum(each.loss for each in block) / len(block), block[-1].learning_rate)
        for block in blocks
    ]


def task_types(by_arm: Mapping[str, Mapping[str, int]]) -> Drawing | None:
    """Return the share of every task type in every data set."""
    totals = {arm: sum(counts.values()) for arm, counts in by_arm.items()}
    shares = {
        arm: {kind: 100 * n / totals[arm] for kind, n in counts.items()}
        for arm, counts in by_arm.items()
        if totals[arm]
    }
    if not shares:
        return None
    kinds = sorted(
        {kind for found in shares.values() for kind in found},
        key=lambda kind: (-sum(found.get(kind, 0.0) for found in shares.values()), kind),
    )
    told = "; ".join(
        f"{arm}: " + _told(f"{kind} {found[kind]:.1f} %" for kind in kinds if kind in found)
        for arm, found in shares.items()
    )
    rows = ((arm, kind, by_arm[arm].get(kind, 0), totals[arm]) for arm in shares for kind in kinds)
    return Drawing(
        "task-types",
        "Distribution of task types",
        f"Share of tasks by type. {told}.",
        figures.shares(shares, kinds, label="% of the data set's tasks"),
        csv_text(("data_set", "task_type", "tasks", "tasks_of_the_data_set"), rows),
    )


def reliance_conditions(rows: Sequence[Reliance]) -> Drawing | None:
    """Return every model's score under each picture, over all benchmarks."""
    by_model: dict[str, dict[str, Reliance]] = {}
    for each in rows:
        if each.level == "macro" and each.measure in CONDITION_MEASURES and math.isfinite(each.value):
            by_model.setdefault(each.model, {}).setdefault(each.measure, each)
    if not by_model:
        return None
    told = "; ".join(
        f"{model}: " + _told(f"{name} {points(each.value)} ({_ends(each)})" for name, each in found.items())
        for model, found in by_model.items()
    )
    short = shortened(by_model)
    caption = "Score by the picture beside the question, mean of benchmarks, with 95 % intervals"
    shown = [each for found in by_model.values() for each in found.values()]
    return Drawing(
        "reliance-conditions",
        caption,
        f"{caption}, points of 100. {told}.",
        condition_bars({short[model]: list(found.values()) for model, found in by_model.items()}),
        _reliance_csv(shown),
    )


def reliance_differences(rows: Sequence[Reliance]) -> Drawing | None:
    """Return differences in VRS between models, by benchmark and over all."""
    shown = [
        each
        for each in rows
        if each.measure == "dVRS" and each.level in ("benchmark", "macro") and math.isfinite(each.value)
    ]
    if not shown:
        return None
    models = {each.model for each in shown}
    named = []
    for each in shown:
        where = "mean of benchmarks" if each.level == "macro" else each.benchmark
        named.append((where if len(models) == 1 else f"{each.model}: {where}", each))
    told = _told(
        f"{name} {points(each.value, signed=True)} ({_ends(each, signed=True)})" for name, each in named
    )
    short = shortened(name for name, _ in named)
    label = f"difference in VRS, {next(iter(models))}" if len(models) == 1 else "difference in VRS"
    return Drawing(
        "reliance-differences",
        "Differences in visual reliance, with 95 % intervals",
        f"Differences in visual reliance in points of 100: {told}.",
        forest([(short[name], each) for name, each in named], label=label),
        _reliance_csv(shown),
    )


def _reliance_csv(rows: Sequence[Reliance]) -> str:
    names = ["level", "benchmark", "model", "measure", *_MEASURED, "donor_policy", "replicates", "definition"]
    return csv_text(names, ([_exact(getattr(each, name)) for name in names] for each in rows))


def robustness(rows: Sequence[Robustness]) -> Drawing | None:
    """Return the share of the score that each model loses, by group of corruptions."""
    shown = [
        each
        for each in drops(rows)
        if not each.measure.startswith("d") and math.isfinite(each.value) and each.corruption in GROUPS
    ]
    if not shown:
        return None
    titles = {name: "all asked" if name == ALL else name for name in GROUPS}
    groups = [titles[name] for name in GROUPS if any(each.corruption == name for each in shown)]
    by_model: dict[str, dict[str, tuple[float, float, float]]] = {}
    for each in shown:
        ends = (100 * each.value, 100 * each.low, 100 * each.high)
        by_model.setdefault(each.model, {})[titles[each.corruption]] = ends
    told = "; ".join(
        f"{model}: "
        + _told(f"{name} {value:.1f} ({low:.1f} to {high:.1f})" for name, (value, low, high) in of.items())
        for model, of in by_model.items()
    )
    names = (
        "level",
        "benchmark",
        "model",
        "measure",
        "corruption",
        "severities",
        "value",
        "low",
        "high",
        "n",
    )
    caption = "Share of the score lost on corrupted pictures, with 95 % intervals"
    return Drawing(
        "robustness",
        caption,
        f"{caption}, %. {told}.",
        figures.bars(by_model, groups, label="relative drop, %", is_from_zero=False),
        csv_text(names, ([_exact(getattr(each, name)) for name in names] for each in shown)),
    )


def all_of(found: Found) -> dict[str, Drawing]:
    """Return the figures that there are numbers for, by name."""
    inputs: ReportInputs = found.inputs
    drawn = (
        gain(found),
        radar(found),
        conditions(found),
        reliance_conditions(inputs.reliance),
        reliance_differences(inputs.reliance),
        robustness(inputs.robustness),
        forgotten(found),
        task_types(inputs.task_types),
        loss(inputs.losses),
    )
    return {each.name: each for each in drawn if each is not None}


def _told(said: Iterable[str]) -> str:
    """Return numbers as a list that can be listened to."""
    items = list(said)
    more = f", and {len(items) - _MOST_TOLD} more in the table" if len(items) > _MOST_TOLD else ""
    return ", ".join(items[:_MOST_TOLD]) + more


def _numbers(found: Measurement) -> tuple[object, ...]:
    return (*(_exact(getattr(found, name)) for name in _MEASURED),)


def _exact(value: object) -> object:
    return repr(value) if isinstance(value, float) else value


def _hundred(found: Measurement) -> tuple[float, float, float]:
    return 100 * found.value, 100 * found.low, 100 * found.high


def _ends(found: Reliance, *, signed: bool = False) -> str:
    return f"{points(found.low, signed=signed)} to {points(found.high, signed=signed)}"
