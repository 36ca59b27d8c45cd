"""Whether stored predictions are what the models answer: they are asked again, all of them or a sample."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.engines.spec import EngineExecution
from acclimate.evaluate.conditions import ItemKey
from acclimate.evaluate.stage import EvaluateConfig, predict
from acclimate.files import read_json, read_records
from acclimate.records import Item, Prediction
from acclimate.verify.findings import Finding
from acclimate.workplace import Model, Place

_SHOWN = 160


def sample_of(items: Sequence[Item], n: int | None, seed: int) -> frozenset[ItemKey] | None:
    """Return the keys of the items that are asked again, drawn by their keys alone; None means all."""
    keys = [(item.benchmark, item.id) for item in items]
    if n is None or n >= len(keys):
        return None
    return frozenset(
        sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{'/'.join(key)}".encode()).digest())[:n]
    )


def reply_findings(
    homes: Mapping[str, Path],
    step: str,
    role: str,
    model: Model,
    place: Place,
    *,
    config: EvaluateConfig,
    execution: EngineExecution,
    only: frozenset[ItemKey] | None,
) -> Iterator[Finding]:
    """Ask a model again, and yield every reply that is not the stored one.

    Args:
        homes: the run's artifacts by step. step: the evaluation. role: the model's, as in its predictions.
        model: asked anew; nothing is replayed.
        only: which items are asked again; None means all.
    """
    items = list(read_records(homes["items"] / "items.parquet", Item))
    asked: Any = read_json(homes["items"] / "benchmarks.json")
    stored = {
        (each.condition, each.benchmark, each.item_id): each
        for each in read_records(homes[step] / "predictions.parquet", Prediction)
    }
    engine = place.engines.open(model.at(place.root), execution)
    again = predict(
        items,
        engine,
        config,
        model=role,
        store=place.store,
        log=None,
        max_tokens_by_benchmark=asked["max_tokens"],
        only=only,
    )
    for each in place.tracked(f"{step}: again", again, None):
        key = (each.condition, each.benchmark, each.item_id)
        where = f"{step}/predictions.parquet: {role}/{'/'.join(key)}"
        old = stored.pop(key, None)
        if old is None:
            yield Finding("reply", where, repr(each.text[:_SHOWN]), "no stored reply")
            continue
        for name in ("text", "finish_reason", "image"):
            right, found = getattr(each, name), getattr(old, name)
            if right != found:
                yield Finding("reply", f"{where}: {name}", _told(right), _told(found))
    if only is None:
        for key in sorted(stored):
            yield Finding(
                "reply", f"{step}/predictions.parquet: {'/'.join(key)}", "no such question", "a reply"
            )


def _told(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
