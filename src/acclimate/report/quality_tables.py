"""Reads what `acclimate curate --quality` measured (`quality.json`) as the report's tables. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from acclimate.report.claims import points
from acclimate.report.inputs import Audit

TaskTypes: TypeAlias = Mapping[str, Mapping[str, int]]
_FRACTIONS: Mapping[str, str] = {
    "diversity_17": "Diversity, of 17 types, %",
    "diversity_20": "Diversity, of 20 types, %",
    "consistency": "Consistency, %",
}
_LEVELS: Mapping[str, str] = {
    "knowledge": "Domain knowledge",
    "complexity": "Complexity",
    "accuracy": "Accuracy",
    "accuracy_precise": "Accuracy of the precise answer",
    "accuracy_informative": "Accuracy of the informative answer",
}
"""Mean levels, 1 to 5."""
_NOTE = (
    "Intervals are 95 %, from the bootstrap over pictures. Levels 1 to 5 are given on two scales of 100: "
    "paper is the mean times 20, strict the mean less 1, times 25. Diversity grows with the number of rated "
    "tasks: compare sets of which equally many were rated."
)


def quality_from(found: Mapping[str, Any]) -> tuple[TaskTypes, tuple[Audit, ...]]:
    """Return the task types by data set, and the tables of data quality.

    Args:
        found: the parsed `quality.json` of the run's folder `quality`.
    """
    sets: Mapping[str, Any] = found["sets"]
    types = {name: dict(each["task_types"]) for name, each in sets.items() if each["task_types"]}
    tables = [_measures(sets, str(found.get("judge_name", "")), str(found.get("note", ""))), _texts(sets)]
    compared = _comparisons(found.get("comparisons", ()))
    return types, tuple(table for table in (*tables, compared) if table.rows)


def _measures(sets: Mapping[str, Any], judge: str, note: str) -> Audit:
    rows = []
    for key, title in _FRACTIONS.items():
        if any(key in each["measures"] for each in sets.values()):
            rows.append((title, *(_percent(each["measures"].get(key)) for each in sets.values())))
    for key, title in _LEVELS.items():
        if any(key in each["measures"] for each in sets.values()):
            for scale, factor, least in (("paper", 20.0, 0.0), ("strict", 25.0, 1.0)):
                shown = (_scaled(each["measures"].get(key), factor, least) for each in sets.values())
                rows.append((f"{title}, {scale}", *shown))
    who = f"Rated by the model {judge}." if judge else "Nobody rated these tasks."
    told = " ".join(part for part in (note, who, _NOTE) if part)
    return Audit("Quality of the synthetic tasks", ("measure", *sets), tuple(rows), told)


def _texts(sets: Mapping[str, Any]) -> Audit:
    rows: list[tuple[str, ...]] = [
        ("Tasks", *(str(each["tasks"]) for each in sets.values())),
        ("Pairs", *(str(each["pairs"]) for each in sets.values())),
        ("Tasks rated", *(f"{each['rated']} of {each['sampled']}" for each in sets.values())),
    ]
    for label in sorted({name for each in sets.values() for name in each["labels"]}):
        rows.append((f"Labelled {label}", *(str(each["labels"].get(label, 0)) for each in sets.values())))
    domains = sorted({name for each in sets.values() for name in each["image_domains"]})
    for domain in domains:
        shown = (str(each["image_domains"].get(domain, 0)) for each in sets.values())
        rows.append((f"Pictures: {domain}", *shown))
    return Audit("Tasks, labels and picture domains", ("what", *sets), tuple(rows))


def _comparisons(found: Sequence[Mapping[str, Any]]) -> Audit:
    rows = []
    for each in found:
        measure = str(each["measure"])
        factor = 100.0 if measure in _FRACTIONS else 1.0
        value, low, high = (factor * float(each[part]) for part in ("value", "low", "high"))
        title = {**_FRACTIONS, **_LEVELS}.get(measure, measure).removesuffix(", %")
        unit = "points" if measure in _FRACTIONS else "levels" if measure in _LEVELS else "words"
        shown = f"{value:+.2f} {unit} ({low:+.2f} to {high:+.2f})"
        rows.append((str(each["first"]), str(each["second"]), title, shown, str(each["n_shared_pairs"])))
    columns = ("first", "second", "measure", "first minus second", "pairs in both")
    return Audit("Data sets compared", columns, tuple(rows))


def _percent(span: Mapping[str, Any] | None) -> str:
    if span is None:
        return ""
    return f"{points(span['value'])} ({points(span['low'])} to {points(span['high'])})"


def _scaled(span: Mapping[str, Any] | None, factor: float, least: float) -> str:
    if span is None:
        return ""
    value, low, high = (factor * (float(span[part]) - least) for part in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"
