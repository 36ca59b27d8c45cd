"""Scores of several models on the same questions, their differences, and shares of a gain. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.curate.intervals import LEVEL, Span
from acclimate.records import Measurement, Score
from acclimate.report.columns import ORIGINAL, table_of
from acclimate.report.measure import MACRO, measure
from acclimate.report.statistics import N_DRAWS, Array, resample
from acclimate.studies.combined import Combined

ALL_BENCHMARKS = MACRO
"""Stands for the unweighted mean of all benchmarks."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What several models scored on the same benchmarks."""

    scores: tuple[Score, ...]
    """Of every model, scorer and benchmark, on the original pictures."""
    primary: Mapping[str, str]
    """Each benchmark's primary scorer."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Values and differences with their intervals."""

    values: Mapping[tuple[str, str], Span]
    """By model and benchmark; `macro` is the mean of all benchmarks. Fractions of full marks."""
    differences: Mapping[tuple[str, str, str], Span]
    """By first and second model, and benchmark: first minus second, question by question."""


def spans(marks: Marks, pairs: Iterable[tuple[str, str]], *, n_draws: int = N_DRAWS) -> Spans:
    """Return every model's scores, and the differences of the pairs of which both are there.

    Raises:
        BenchmarkError: the models answered different questions.
    """
    models = list(dict.fromkeys(each.model for each in marks.scores))
    wanted = [(first, second) for first, second in pairs if first in models and second in models]
    found = {
        each.key: _span(each)
        for each in measure(marks.scores, marks.primary, n_draws=n_draws, comparisons=wanted)
    }
    names = [MACRO, *sorted({each.benchmark for each in marks.scores})]
    return Spans(
        {(model, name): found[f"{name}/{model}/{ORIGINAL}"] for model in models for name in names},
        {
            (first, second, name): found[f"{name}/{first}-{second}/{ORIGINAL}"]
            for first, second in wanted
            for name in names
        },
    )


def _span(found: Measurement) -> Span:
    return Span(found.value, found.low, found.high, found.n, found.n_clusters, found.method)


def gain_share(
    seeds: Sequence[Marks], first: str, second: str, base: str, *, shared: bool, n_draws: int = N_DRAWS
) -> Combined | None:
    """Return the first model's gain over the base as a share of the second's, over all seeds.

    It is the ratio of the mean gains. Pictures are drawn once for all models of a seed, and, where all seeds
    are asked the same questions, once for all seeds. Source: paired cluster bootstrap of a ratio (Davison and
    Hinkley 1997, 2.4 and 5.3).

    Returns:
        None where the second model's gain, in some draw, is none: it has no share then.
    """
    gains = [
        _gains(marks, (first, second), base, seed=0 if shared else number, n_draws=n_draws)
        for number, marks in enumerate(seeds)
    ]
    own = math.fsum(values[0] for values, _, _ in gains)
    whole = math.fsum(values[1] for values, _, _ in gains)
    drawn = np.sum([draws for _, draws, _ in gains], axis=0)
    if whole <= 0 or min(values[1] for values, _, _ in gains) <= 0 or not (drawn[1] > 0).all():
        return None
    low, high = np.quantile(drawn[0] / drawn[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Combined(
        own / whole,
        float(low),
        float(high),
        sum(n for _, _, n in gains),
        tuple(values[0] / values[1] for values, _, _ in gains),
    )


def _gains(
    marks: Marks, models: Sequence[str], base: str, *, seed: int, n_draws: int
) -> tuple[list[float], Array, int]:
    """Return each model's mean gain over the base, its draws (models, n_draws), and the questions' number."""
    values = np.zeros(len(models))
    draws: Array = np.zeros((len(models), n_draws))
    n = 0
    names = sorted(marks.primary)
    for name in names:
        asked = (*models, base)
        own = [each for each in marks.scores if each.benchmark == name and each.model in asked]
        table = table_of(own, marks.primary[name])
        columns = {model: table.columns[f"{model}/{ORIGINAL}"] for model in asked}
        found = resample(columns, table.clusters, key=name, seed=seed, n_draws=n_draws)
        n += found[base].n
        for at, model in enumerate(models):
            gain = found[model] - found[base]
            values[at] += gain.value / len(names)
            draws[at] += gain.draws / len(names)
    return values.tolist(), draws, n
