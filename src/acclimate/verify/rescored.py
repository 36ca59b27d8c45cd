"""Whether stored scores follow from the stored predictions: every answer is marked again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD
from acclimate.errors import AcclimateError
from acclimate.evaluate.judged import Judgement, marked_again
from acclimate.evaluate.stage import score
from acclimate.files import read_json, read_records
from acclimate.records import Item, Prediction, Score
from acclimate.verify.findings import Finding

_TOLERANCE = 1e-9
"""Of a mark: sums of floats may be added in another order by another version of numpy."""


def score_findings(home: Path, items_home: Path, shown: str) -> Iterator[Finding]:
    """Yield every stored score and count that does not follow from the predictions beside it.

    Args:
        home: an evaluation's artifact. items_home: the artifact of the questions.
        shown: how the evaluation is called in findings.
    """
    try:
        items = list(read_records(items_home / "items.parquet", Item))
        asked: Any = read_json(items_home / "benchmarks.json")
        predictions = list(read_records(home / "predictions.parquet", Prediction))
        stored = list(read_records(home / "scores.parquet", Score))
        judgements = (
            list(read_records(home / "judgements.parquet", Judgement))
            if (home / "judgements.parquet").is_file()
            else []
        )
        own = [
            *score(items, predictions, asked.get("scorers")),
            *marked_again(items, predictions, judgements),
        ]
    except AcclimateError as error:
        yield Finding("score", shown, "predictions that can be scored", str(error))
        return
    yield from _differences(own, stored, f"{shown}/scores.parquet")
    yield from _counts(read_json(home / RECORD), predictions, f"{shown}/{RECORD}")


def _key(each: Score) -> tuple[str, ...]:
    return each.model, each.condition, each.benchmark, each.item_id, each.scorer


def _differences(own: Sequence[Score], stored: Sequence[Score], shown: str) -> Iterator[Finding]:
    mine: Mapping[tuple[str, ...], Score] = {_key(each): each for each in own}
    seen: set[tuple[str, ...]] = set()
    for each in stored:
        key = _key(each)
        where = f"{shown}: {'/'.join(key)}"
        if key in seen:
            yield Finding("score", where, "one score", "a second one")
        elif key not in mine:
            yield Finding("score", where, "no score", f"{each.value:g}")
        else:
            for name, right, found in _unequal(mine[key], each):
                yield Finding("score", f"{where}: {name}", f"{right}, from the stored prediction", found)
        seen.add(key)
    for key in mine.keys() - seen:
        yield Finding("score", f"{shown}: {'/'.join(key)}", f"{mine[key].value:g}", "no score")


def _unequal(right: Score, found: Score) -> Iterator[tuple[str, str, str]]:
    for each in fields(Score):
        first, second = getattr(right, each.name), getattr(found, each.name)
        if isinstance(first, float):
            same = abs(first - second) <= _TOLERANCE
        elif each.name == "parts":
            pairs = zip(first, second, strict=False)
            same = len(first) == len(second) and all(abs(a - b) <= _TOLERANCE for a, b in pairs)
        else:
            same = first == second
        if not same:
            yield each.name, repr(first), repr(second)


def _counts(record: Mapping[str, Any], predictions: Sequence[Prediction], shown: str) -> Iterator[Finding]:
    counts = record["counts"]
    truncated = sum(each.finish_reason == "length" for each in predictions)
    for name, right in (
        ("outputs", len(predictions)),
        ("truncated", truncated),
        ("inputs", len(predictions)),
    ):
        if counts.get(name) != right:
            yield Finding("count", f"{shown}: counts.{name}", str(right), str(counts.get(name)))
