"""How far answers rest on the picture: measured wherever a model was asked under several conditions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.evaluate.conditions import CONTRAST, ORIGINAL, parted
from acclimate.evaluate.donors import contrast_pairs
from acclimate.evaluate.normalised import normalised_answer
from acclimate.files import write_records
from acclimate.records import Item, Prediction, Score
from acclimate.report.reliance import VECTOR, How, ItemReliance, Reliance, item_reliance, measure_reliance
from acclimate.report.reliance_rows import Reading, Row, rows_of, usual_chance

_SHOWN = ("benchmark", "macro")
_BESIDES = ("IS", "HVRR", "MG", "PairAcc", "Collapse", "VRS_ll")


@dataclass(frozen=True, slots=True)
class Readable:
    """What reliance can be measured from."""

    rows: tuple[Row, ...]
    scorers: Mapping[str, str]
    """The headline scorer of every benchmark that is in."""
    left_out: tuple[str, ...]
    """Benchmarks whose headline is no mean of single answers."""


def readable(
    items: Sequence[Item],
    predictions: Sequence[Prediction],
    scores: Iterable[Score],
    primary: Mapping[str, str],
    *,
    chance: Mapping[str, float] | None = None,
    likelihoods: Mapping[tuple[str, str, str, str], float] | None = None,
) -> Readable:
    """Return the rows of all models' headline scores.

    Args:
        primary: each benchmark's headline scorer.
        chance: what its definition says a guesser scores, by benchmark; used where the kind of question does
            not tell (`reliance_rows.usual_chance`).
        likelihoods: of right answers (`evaluate.likelihoods.by_answer`), where they were measured.
    """
    kept = [each for each in scores if primary[each.benchmark] == each.scorer]
    sums = sorted({each.benchmark for each in kept if each.parts})
    own = {name: scorer for name, scorer in primary.items() if name not in sums}
    known = chance or {}
    by_item = {
        (item.benchmark, item.id): known[item.benchmark]
        for item in items
        if item.benchmark in known and math.isnan(usual_chance(item))
    }
    reading = Reading(normalised_answer, by_item, log_likelihood=likelihoods or {})
    rows = rows_of(items, predictions, [each for each in kept if each.benchmark in own], own, reading)
    return Readable(tuple(rows), own, tuple(sums))


def write_reliance(
    items: Sequence[Item],
    predictions: Sequence[Prediction],
    scores: Iterable[Score],
    primary: dict[str, str],
    out: Path,
    comparisons: Sequence[tuple[str, str]] = (),
    *,
    chance: Mapping[str, float] | None = None,
    likelihoods: Mapping[tuple[str, str, str, str], float] | None = None,
) -> list[dict[str, Any]]:
    """Measure visual reliance; return the measures that belong side by side, and write all of them.

    Args:
        primary: each benchmark's headline scorer; benchmarks whose headline is no mean of items are left out.
        out: receives `reliance.parquet` and `reliance_items.parquet`.
        comparisons: pairs of models.
        chance: as for `readable`; likewise `likelihoods`.

    Returns:
        Per benchmark and over all of them: `model`, `measure`, `value` (a fraction; None where it is not
        defined; VRS_ll is in nats per token) and its interval. Nothing where a model was asked under one
        condition only.
    """
    asked = {parted(each.condition)[0] for each in predictions}
    if ORIGINAL not in asked or len(asked) < 2:
        return []
    found = readable(items, predictions, scores, primary, chance=chance, likelihoods=likelihoods)
    if not found.rows:
        return []
    measured = measured_reliance(items, found, comparisons, has_pairs=CONTRAST in asked)
    write_records(out / "reliance.parquet", measured, Reliance)
    write_records(out / "reliance_items.parquet", item_reliance(found.rows), ItemReliance)
    shown = {*VECTOR, *_BESIDES, *(f"d{name}" for name in VECTOR)}
    return [
        {
            "benchmark": "all" if each.level == "macro" else each.benchmark,
            "model": each.model,
            "measure": each.measure,
            **{name: _number(getattr(each, name)) for name in ("value", "low", "high")},
            "n": each.n,
            "p": each.p,
            "flag": each.flag,
            "definition": each.definition,
            "donor_policy": each.donor_policy,
            "replicates": each.replicates,
        }
        for each in measured
        if each.level in _SHOWN and each.kind in (_kind_of(each), "all") and each.measure in shown
    ]


def measured_reliance(
    items: Sequence[Item], found: Readable, comparisons: Sequence[tuple[str, str]], *, has_pairs: bool
) -> list[Reliance]:
    """Return every measure of what can be read.

    Args:
        comparisons: pairs of models.
        has_pairs: whether contrast pairs were asked.
    """
    scored = sorted({row.benchmark for row in found.rows})
    pairs = {
        name: contrast_pairs(item for item in items if item.benchmark == name)
        for name in (scored if has_pairs else ())
    }
    how = How(
        comparisons=comparisons,
        pairs={name: each for name, each in pairs.items() if each},
        scorers=found.scorers,
    )
    return measure_reliance(found.rows, how)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _kind_of(each: Reliance) -> str:
    return each.kind if each.level == "benchmark" else "all"
