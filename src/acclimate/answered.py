"""What a run asked and what its models answered, read once for all that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import read_json, read_records
from acclimate.records import Item, Prediction, Score


@dataclass(frozen=True, slots=True)
class Answered:
    """Questions, answers and marks of all models; empty where nothing was asked."""

    items: tuple[Item, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    scores: tuple[Score, ...] = ()
    """Of every scorer, model and condition, those of partial conditions included."""
    primary: Mapping[str, str] = field(default_factory=dict)
    """Each benchmark's primary scorer."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """`benchmarks.json` of the artifact of questions."""


def answered_in(homes: Mapping[str, Path]) -> Answered:
    """Return what the models of a run were asked and answered.

    Args:
        homes: its finished artifacts by step.
    """
    if "items" not in homes:
        return Answered()
    items = tuple(read_records(homes["items"] / "items.parquet", Item))
    asked: Any = read_json(homes["items"] / "benchmarks.json")
    scored = [home for step, home in homes.items() if step.startswith("evaluate-")]
    return Answered(
        items,
        tuple(each for home in scored for each in read_records(home / "predictions.parquet", Prediction)),
        tuple(each for home in scored for each in read_records(home / "scores.parquet", Score)),
        primary_by_benchmark(items, asked.get("scorers")),
        asked,
    )
