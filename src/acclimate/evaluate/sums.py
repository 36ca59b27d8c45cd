"""Published totals of several score rows: the AdaMLLM paper's averages, MME's totals (`sums.yaml`)."""

from collections.abc import Collection, Mapping
from importlib.resources import files as package_files
from typing import Any, TypeAlias

import yaml

Terms: TypeAlias = tuple[tuple[str, str, float], ...]
"""Score row, scorer, factor."""


def published_sums(scorers_by_benchmark: Mapping[str, Collection[str]]) -> dict[str, Terms]:
    """Return the sums all of whose scores are there, by name.

    Args:
        scorers_by_benchmark: names of the scorers of every score row; the headline is the first of a
            sequence.

    Returns:
        Terms as `report.measure.Sum` takes them: a headline scorer is named "".
    """
    text = (package_files("acclimate.evaluate") / "sums.yaml").read_text(encoding="utf-8")
    listed: Any = yaml.safe_load(text)
    found: dict[str, Terms] = {}
    for name, terms in listed.items():
        if all(scorer in scorers_by_benchmark.get(row, ()) for row, scorer, _ in terms):
            found[name] = tuple(
                (row, "" if scorer == next(iter(scorers_by_benchmark[row])) else scorer, float(factor))
                for row, scorer, factor in terms
            )
    return found
