"""Looks into a finished run: one record, the records of a reason, a training batch with its mask."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acclimate import artifacts
from acclimate.curate.reliance import TaskReliance
from acclimate.errors import DataError
from acclimate.files import ImageStore, read_json, read_records
from acclimate.pipeline import steps_of
from acclimate.records import (
    Conversation,
    ImageCaption,
    Item,
    JudgedTriplet,
    Prediction,
    Rejection,
    Triplet,
)

_KINDS: dict[str, type] = {
    "pairs": ImageCaption,
    "held_out": ImageCaption,
    "triplets": Triplet,
    "judged": JudgedTriplet,
    "reliance": TaskReliance,
    "conversations": Conversation,
    "items": Item,
    "predictions": Prediction,
    "rejections": Rejection,
}


def status(root: Path) -> dict[str, Any]:
    """Return what a run has built: inputs, outputs and rejections per room.

    Raises:
        UsageError: the folder is not a run's.
    """
    rooms: dict[str, dict[str, Any]] = {}
    for name, home in steps_of(root).items():
        if not (home / artifacts.RECORD).is_file():
            rooms[name] = {"finished": False}
            continue
        record, ran = read_json(home / artifacts.RECORD), read_json(home / artifacts.RUN)
        counts = dict(record["counts"])
        rooms[name] = {
            "finished": True,
            "inputs": counts.pop("inputs", 0),
            "outputs": counts.pop("outputs", 0),
            "rejections": record["rejections"],
            "counts": counts,
            "seconds": ran["seconds"],
            "fingerprint": record["fingerprint"],
            "folder": home.relative_to(root).as_posix(),
        }
    return {"run": str(root), "rooms": rooms}


def _records(root: Path) -> Iterator[tuple[str, Any]]:
    for room, home in steps_of(root).items():
        if not (home / artifacts.RECORD).is_file():
            continue
        for stem, kind in _KINDS.items():
            if (home / f"{stem}.parquet").is_file():
                records: Iterator[Any] = read_records(home / f"{stem}.parquet", kind)
                for record in records:
                    yield f"{room}/{stem}", record


def find(root: Path, wanted: str, n: int) -> list[dict[str, Any]]:
    """Return up to n records with this id, made from it, or rejected for this reason.

    Raises:
        DataError: nothing in the run has the id or the reason.
    """
    found = []
    for where, record in _records(root):
        names = [getattr(record, key, None) for key in ("id", "pair_id", "item_id", "reason")]
        if wanted in names or wanted in getattr(record, "sources", ()):
            found.append({"in": where, **asdict(record)})
            if len(found) == n:
                break
    if not found:
        raise DataError(
            f"Nothing in {root} has the id or rejection reason {wanted!r}; `acclimate inspect` lists reasons."
        )
    return found


def masked_conversations(root: Path, n: int) -> list[dict[str, Any]]:
    """Return training conversations as the model reads them, the trained text between « and ».

    Raises:
        DataError: the run has no finished training.
    """
    from acclimate.engines.families import load_processor
    from acclimate.train.rows import RowEncoder

    homes = steps_of(root)
    home = homes["train"]
    if not (home / artifacts.RECORD).is_file():
        raise DataError(f"{root} has no finished training; run `acclimate train` first.")
    config: Any = read_json(home / artifacts.RECORD)["config"]
    processor = load_processor(home / "checkpoint")
    encoder = RowEncoder(
        processor,
        ImageStore(root),
        mask=config["mask"],
        max_tokens=config["max_tokens"],
        too_long=tuple(config["too_long"]),
        format=config["format"],
    )
    shown = []
    told = next(homes[name] for name in ("mixture", "compose", "conversations") if name in homes)
    for conversation in read_records(told / "conversations.parquet", Conversation):
        if config.get("stage", conversation.stage) != conversation.stage:
            continue
        row = encoder.encode(conversation)
        if isinstance(row, Rejection):
            continue
        text, inside = "", False
        for token, label in zip(row.input_ids, row.trained, strict=True):
            if bool(label) != inside:
                inside = not inside
                text += "«" if inside else "»"
            text += processor.tokenizer.decode([token])
        text += "»" if inside else ""
        trained = row.n_trained
        shown.append({"id": conversation.id, "trained_tokens": trained, "text": text})
        if len(shown) == n:
            break
    return shown
