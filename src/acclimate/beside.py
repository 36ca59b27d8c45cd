"""What a run's answers say beside their scores: whether they rest on pictures, what corruption costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD
from acclimate.evaluate.conditions import CONTRAST, ORIGINAL, parted
from acclimate.evaluate.likelihoods import FILE as LIKELIHOODS
from acclimate.evaluate.likelihoods import Likelihood, by_answer
from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import read_json, read_records
from acclimate.records import Item, Prediction, Score
from acclimate.reliance_scoring import measured_reliance, readable
from acclimate.report.inputs import BenchmarkFacts
from acclimate.report.reliance import Reliance
from acclimate.report.robustness import How as HowRobust
from acclimate.report.robustness import Robustness, corruption_of, measure_robustness

_COMPARED = (("adapted", "base"),)


def looks_of(
    homes: Mapping[str, Path], facts: Sequence[BenchmarkFacts], scores: Sequence[Score]
) -> tuple[tuple[Reliance, ...], tuple[Robustness, ...]]:
    """Return the reliance and the robustness of every model that a run scored.

    Benchmarks of general skills are left out, as in the headline. Nothing is returned of a model that was
    asked under one condition only.

    Args:
        homes: the run's finished artifacts by step.
        facts: of the benchmarks.
        scores: of every scorer, model and condition, those of partial conditions included.
    """
    general = {each.name for each in facts if each.is_general}
    if len(general) == len(facts):
        general = set()
    own = [each for each in scores if each.benchmark not in general]
    models = {each.model for each in own}
    compared = [pair for pair in _COMPARED if models.issuperset(pair)]
    asked: Any = read_json(homes["items"] / "benchmarks.json")
    items = [
        item for item in read_records(homes["items"] / "items.parquet", Item) if item.benchmark not in general
    ]
    primary = primary_by_benchmark(items, asked.get("scorers"))
    robust: list[Robustness] = []
    if any(corruption_of(each.condition) is not None for each in own):
        robust = measure_robustness(own, primary, HowRobust(comparisons=compared))
    return _reliance(homes, items, own, primary, facts, compared), tuple(robust)


def _reliance(
    homes: Mapping[str, Path],
    items: Sequence[Item],
    scores: Sequence[Score],
    primary: Mapping[str, str],
    facts: Sequence[BenchmarkFacts],
    compared: Sequence[tuple[str, str]],
) -> tuple[Reliance, ...]:
    plain = [each for each in scores if corruption_of(each.condition) is None]
    conditions = {parted(each.condition)[0] for each in plain}
    if ORIGINAL not in conditions or len(conditions) < 2:
        return ()
    evaluations = [home for step, home in homes.items() if step.startswith("evaluate-")]
    wanted = {item.benchmark for item in items}
    predictions = [
        each
        for home in evaluations
        for each in read_records(home / "predictions.parquet", Prediction)
        if each.benchmark in wanted and corruption_of(each.condition) is None
    ]
    found = readable(
        items,
        predictions,
        plain,
        primary,
        chance={each.name: each.chance for each in facts if each.chance is not None},
        likelihoods=_likelihoods(evaluations),
    )
    if not found.rows:
        return ()
    return tuple(measured_reliance(items, found, compared, has_pairs=CONTRAST in conditions))


def _likelihoods(evaluations: Sequence[Path]) -> dict[tuple[str, str, str, str], float]:
    found: dict[tuple[str, str, str, str], float] = {}
    for home in evaluations:
        if (home / LIKELIHOODS).is_file():
            role = str(read_json(home / RECORD)["config"]["role"])
            found |= by_answer(role, list(read_records(home / LIKELIHOODS, Likelihood)))
    return found
