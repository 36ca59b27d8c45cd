"""What corrupted pictures cost: measured where a model was asked under `original` and under corruptions."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.files import write_records
from acclimate.records import Score
from acclimate.report.robustness import ALL, GROUPS, How, Robustness, measure_robustness

_BESIDES = ("cider",)
"""Scorers that are shown beside a benchmark's primary one, by how their names begin."""
_MEASURES = ("relative_drop", "drelative_drop", "mCE", "relative_mCE")


def write_robustness(
    scores: Sequence[Score],
    primary: dict[str, str],
    out: Path,
    comparisons: Sequence[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    """Measure robustness; return the relative drops by group and by severity, and write all of it.

    Args:
        scores: of every scorer, model and condition.
        primary: each benchmark's headline scorer.
        out: receives `robustness.parquet`.
        comparisons: pairs of models.

    Returns:
        Per benchmark, for its headline scorer and CIDEr, and over all benchmarks: `model`, `measure`,
        `corruption` (a group of corruptions), `severity` (0: mean), `value` (a fraction; None where it is not
        defined), its interval, and how many corruptions and conditions are in it. Nothing where no model was
        asked under `original` and a corruption.
    """
    measured = measure_robustness(scores, primary, How(comparisons=comparisons))
    if not measured:
        return []
    write_records(out / "robustness.parquet", measured, Robustness)
    wholes = [each for each in measured if (each.corruption, each.severity) == (ALL, 0)]
    several = {(each.benchmark, each.scorer) for each in wholes if "," in each.severities}
    return [
        {
            "benchmark": each.benchmark,
            "scorer": each.scorer,
            "model": each.model,
            "measure": each.measure,
            "corruption": each.corruption,
            "severity": each.severity,
            **{name: _number(getattr(each, name)) for name in ("value", "low", "high")},
            "n": each.n,
            "n_corruptions": each.n_corruptions,
            "n_conditions": each.n_conditions,
            "severities": each.severities,
            "flag": each.flag,
            "definition": each.definition,
        }
        for each in measured
        if _is_shown(each) and (each.severity == 0 or (each.benchmark, each.scorer) in several)
    ]


def _is_shown(each: Robustness) -> bool:
    is_over = each.corruption == ALL or (each.corruption in GROUPS and each.severity == 0)
    return (each.is_primary or each.scorer.startswith(_BESIDES)) and each.measure in _MEASURES and is_over


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
