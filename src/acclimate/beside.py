"""What a run's answers say beside their scores: whether they rest on pictures, what corruption costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from acclimate.answered import Answered
from acclimate.artifacts import RECORD
from acclimate.evaluate.conditions import CONTRAST, ORIGINAL, parted
from acclimate.evaluate.likelihoods import FILE as LIKELIHOODS
from acclimate.evaluate.likelihoods import Likelihood, by_answer
from acclimate.files import read_json, read_records
from acclimate.reliance_scoring import measured_reliance, readable
from acclimate.report.inputs import BenchmarkFacts
from acclimate.report.reliance import Reliance
from acclimate.report.robustness import How as HowRobust
from acclimate.report.robustness import Robustness, corruption_of, measure_robustness
from acclimate.report.tables import parted as parted_facts

_COMPARED = (("adapted", "base"),)


def looks_of(
    homes: Mapping[str, Path], facts: Sequence[BenchmarkFacts], answered: Answered
) -> tuple[tuple[Reliance, ...], tuple[Robustness, ...]]:
    """Return the reliance and the robustness of every model that a run scored.

    Benchmarks of general skills are left out, as in the headline. Nothing is returned of a model that was
    asked under one condition only.

    Args:
        homes: the run's finished artifacts by step.
        facts: of the benchmarks.
    """
    domain, _ = parted_facts(facts)
    names = {each.name for each in domain}
    scores = [each for each in answered.scores if each.benchmark in names]
    corruptions = {each for each in {one.condition for one in scores} if corruption_of(each) is not None}
    plain = [each for each in scores if each.condition not in corruptions]
    conditions = {parted(each)[0] for each in {one.condition for one in plain}}
    models = {each.model for each in scores}
    compared = [pair for pair in _COMPARED if models.issuperset(pair)]
    robust: list[Robustness] = []
    if corruptions:
        robust = measure_robustness(scores, answered.primary, HowRobust(comparisons=compared))
    if ORIGINAL not in conditions or len(conditions) < 2:
        return (), tuple(robust)
    items = [item for item in answered.items if item.benchmark in names]
    found = readable(
        items,
        [
            each
            for each in answered.predictions
            if each.benchmark in names and each.condition not in corruptions
        ],
        plain,
        answered.primary,
        chance={each.name: each.chance for each in domain if each.chance is not None},
        likelihoods=_likelihoods([home for step, home in homes.items() if step.startswith("evaluate-")]),
    )
    if not found.rows:
        return (), tuple(robust)
    reliant = measured_reliance(items, found, compared, has_pairs=CONTRAST in conditions)
    return tuple(reliant), tuple(robust)


def _likelihoods(evaluations: Sequence[Path]) -> dict[tuple[str, str, str, str], float]:
    found: dict[tuple[str, str, str, str], float] = {}
    for home in evaluations:
        if (home / LIKELIHOODS).is_file():
            role = str(read_json(home / RECORD)["config"]["role"])
            found |= by_answer(role, list(read_records(home / LIKELIHOODS, Likelihood)))
    return found
