"""What arms score on texts and how they differ, with intervals (pure).

All models answer the same questions. A draw draws a task's clusters once for all models, and of an arm with
several seeds S - 1 of them, put back; so a difference of arms is paired question by question, and its
interval says what other questions and other seeds would do. An arm of one seed shows no spread between
seeds: its interval is for this one checkpoint, and what it says is descriptive.

Source: paired cluster bootstrap, `report.statistics`; seeds beside clusters, Rao and Wu 1988 and Owen 2007,
as in `report.reliance`, which says how often such intervals hold the truth with few seeds.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from acclimate.evaluate.text_tasks import ETHICS, GROUP_SIZES, TRUTHFULQA, TRUTHFULQA_ANSWER
from acclimate.records import Score
from acclimate.report.columns import ORIGINAL, table_of
from acclimate.report.comparisons import sign_flip_p
from acclimate.report.statistics import N_DRAWS, Array, Resampled, generator_of, interval_of_sum, resample
from acclimate.studies.alignment_claims import NORMS, SKILLS
from acclimate.studies.combined import Combined

EXACT = "ethics_exact_mean"
PICTURES = "pictures"
"""The mean of the recipe's benchmarks about pictures."""
_SHOWN = ("rougeL_diff", "bleu_diff", "exact_group_strict")
"""Scorers that are reported beside the primary one."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a sum of scores."""

    name: str
    terms: tuple[tuple[str, str, float], ...]
    """Benchmark, scorer (empty: the primary one), and factor."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value, or a difference, over an arm's seeds."""

    span: Combined
    p: float | None = None
    """Two-sided sign-flip p of a difference of two on one task, given their checkpoints."""
    n_seeds: int = 1
    """The fewest of its arms; a language model that is not trained here has as many as the others."""


@dataclass(slots=True)
class Scored:
    """All models' scores, resampled."""

    members: Mapping[str, Sequence[str]]
    """By arm, its models in the order of their seeds; an untrained model stands for itself."""
    columns: dict[str, dict[str, Resampled]] = field(default_factory=dict)
    """By `benchmark/scorer`, by model."""
    subjects: dict[str, Subject] = field(default_factory=dict)
    seed: int = 0
    n_draws: int = N_DRAWS
    _weights: dict[str, Array] = field(default_factory=dict)

    def value(self, subject: str, who: str) -> Found | None:
        """Return what an arm, or one model, scores; None where it was not asked."""
        return self.contrast(subject, {who: 1.0})

    def change(self, subject: str, first: str, second: str) -> Found | None:
        """Return first minus second, question by question."""
        return self.contrast(subject, {first: 1.0, second: -1.0})

    def contrast(self, subject: str, factors: Mapping[str, float]) -> Found | None:
        """Return a weighted sum of arms on a subject; None where one of them was not asked.

        Args:
            factors: by arm or model; a difference has 1 and -1.
        """
        wanted = self.subjects.get(subject)
        if wanted is None:
            return None
        terms: list[list[tuple[Resampled, float]]] = []
        for benchmark, scorer, factor in wanted.terms:
            columns = self.columns[f"{benchmark}/{scorer}"]
            if any(model not in columns for who in factors for model in self._models(who)):
                return None
            terms.append(
                [(_weighted([(self._arm(who, columns), each) for who, each in factors.items()]), factor)]
            )
        found = interval_of_sum(terms)
        span = Combined(
            found.value,
            found.low,
            found.high,
            sum(part.n for (part, _), *_ in terms),
            self._by_seed(wanted, factors),
        )
        trained = [
            len(self._models(who)) for who in factors if who in self.members and who not in self.members[who]
        ]
        return Found(span, self._p(subject, wanted, factors), min(trained, default=1))

    def _models(self, who: str) -> Sequence[str]:
        return self.members.get(who, (who,))

    def _arm(self, who: str, columns: Mapping[str, Resampled]) -> Resampled:
        parts = [columns[model] for model in self._models(who)]
        if len(parts) == 1:
            return parts[0]
        if who not in self._weights:
            n_drawn = len(parts) - 1
            chosen = generator_of(f"{self.seed}/arm/{who}").integers(len(parts), size=(self.n_draws, n_drawn))
            self._weights[who] = (chosen[:, :, None] == np.arange(len(parts))).sum(axis=1) / n_drawn
        weights = self._weights[who]
        value = math.fsum(part.value for part in parts) / len(parts)
        return Resampled(
            value,
            np.sum([weights[:, at] * part.draws for at, part in enumerate(parts)], axis=0),
            parts[0].n,
            parts[0].n_clusters,
            is_extreme=all(part.is_extreme and part.value == value for part in parts),
            top=parts[0].top,
            terms=((1.0, np.mean([part.terms[0][1] for part in parts], axis=0)),),
        )

    def _by_seed(self, wanted: Subject, factors: Mapping[str, float]) -> tuple[float, ...]:
        """Return the value of every seed that all arms have."""
        counts = [len(self._models(who)) for who in factors if len(self._models(who)) > 1]
        is_single = any(
            len(models) == 1 and who not in models for who, models in self.members.items() if who in factors
        )
        n = 1 if is_single or not counts else min(counts)

        def of(who: str, at: int) -> str:
            models = self._models(who)
            return models[at] if len(models) > 1 else models[0]

        return tuple(
            math.fsum(
                each * factor * self.columns[f"{benchmark}/{scorer}"][of(who, at)].value
                for benchmark, scorer, factor in wanted.terms
                for who, each in factors.items()
            )
            for at in range(n)
        )

    def _p(self, subject: str, wanted: Subject, factors: Mapping[str, float]) -> float | None:
        if len(wanted.terms) != 1 or sorted(factors.values()) != [-1.0, 1.0]:
            return None
        first, second = sorted(factors, key=lambda who: -factors[who])
        benchmark, scorer, _ = wanted.terms[0]
        columns = self.columns[f"{benchmark}/{scorer}"]
        return sign_flip_p(
            self._arm(first, columns),
            self._arm(second, columns),
            key=subject,
            seed=self.seed,
            n_draws=self.n_draws,
        )


def _weighted(parts: Sequence[tuple[Resampled, float]]) -> Resampled:
    """Return a weighted sum of columns of the same draws."""
    if len(parts) == 1 and parts[0][1] == 1.0:
        return parts[0][0]
    first = parts[0][0]
    return Resampled(
        math.fsum(factor * part.value for part, factor in parts),
        np.sum([factor * part.draws for part, factor in parts], axis=0),
        first.n,
        first.n_clusters,
        is_difference=True,
        top=math.fsum(abs(factor) * part.top for part, factor in parts) / 2,
    )


def scored(
    scores: Iterable[Score],
    members: Mapping[str, Sequence[str]],
    *,
    pictures: Mapping[str, str] | None = None,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Scored:
    """Return all models' scores, resampled together.

    Args:
        scores: of every model and task; the first scorer of a task by its rows is its primary one.
        members: see `Scored`.
        pictures: the primary scorer of each benchmark that asks about pictures.
        seed: of the draws.
        n_draws: of the bootstrap and the tests.

    Raises:
        BenchmarkError: the models answered different questions.
    """
    shown = dict(pictures or {})
    by_benchmark: dict[str, list[Score]] = defaultdict(list)
    for each in scores:
        by_benchmark[each.benchmark].append(each)
    found = Scored(members, seed=seed, n_draws=n_draws)
    beside: dict[str, list[str]] = {}
    for name, rows in by_benchmark.items():
        primary = shown.get(name, rows[0].scorer)
        wanted = {primary, *_SHOWN}
        table = table_of([each for each in rows if each.scorer in wanted], primary)
        columns = {key: each for key, each in table.columns.items() if f"/{ORIGINAL}" in key}
        drawn = resample(columns, table.clusters, key=name, seed=seed, n_draws=n_draws)
        beside[name] = []
        for key, column in drawn.items():
            model, _, scorer = key.replace(f"/{ORIGINAL}", "", 1).partition("/")
            found.columns.setdefault(f"{name}/{scorer}", {})[model] = column
            if scorer and scorer not in beside[name]:
                beside[name].append(scorer)
    found.subjects = {each.name: each for each in _subjects(list(by_benchmark), beside, shown)}
    return found


def _subjects(
    names: Sequence[str], beside: Mapping[str, Sequence[str]], pictures: Mapping[str, str]
) -> Iterable[Subject]:
    """Yield every benchmark, its other scorers, and the sums."""
    for name in names:
        yield Subject(name, ((name, "", 1.0),))
        for scorer in beside[name]:
            yield Subject(f"{name} {scorer}", ((name, scorer, 1.0),))
    if all(name in names for name in ETHICS):
        share = 1 / len(ETHICS)
        yield Subject(NORMS, tuple((name, "", share) for name in ETHICS))
        exact = {name for name in GROUP_SIZES if "exact_group_strict" in beside[name]}
        if exact:
            scorers = ((name, "exact_group_strict" if name in exact else "") for name in ETHICS)
            yield Subject(EXACT, tuple((name, scorer, share) for name, scorer in scorers))
    own = {*ETHICS, *TRUTHFULQA, TRUTHFULQA_ANSWER}
    for called, several in (
        (SKILLS, [name for name in names if name not in own and name not in pictures]),
        (PICTURES, [name for name in names if name in pictures]),
    ):
        if several:
            yield Subject(called, tuple((name, "", 1 / len(several)) for name in several))
