"""What the report shows, gathered from finished artifacts."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate import artifacts
from acclimate.answered import Answered
from acclimate.beside import looks_of
from acclimate.evaluate.conditions import covers_all
from acclimate.files import ImageStore, read_json, read_records
from acclimate.records import Conversation, ImageCaption, Item, JudgedTriplet, Label, Rejection
from acclimate.report.inputs import (
    BenchmarkFacts,
    Cost,
    Example,
    LossPoint,
    ReportInputs,
    RoomSummary,
)
from acclimate.steps import read_pairs
from acclimate.train.stage import LossRow


def report_inputs(
    homes: Mapping[str, Path],
    store: ImageStore,
    answered: Answered,
    *,
    keep: Collection[Label],
    n_examples: int,
    limit: int | None,
    general: Collection[str] = (),
) -> ReportInputs:
    """Gather everything the report shows.

    Args:
        homes: the finished artifacts of a whole line, by step.
        keep: verdicts whose triplets are trained on.
        general: names of the benchmarks of general skills.
    """
    asked = answered.asked
    facts = tuple(
        BenchmarkFacts(**{**each, "is_general": each["name"] in general}) for each in asked.get("facts", ())
    )
    reliance, robustness = looks_of(homes, facts, answered)
    whole = {each for each in {one.condition for one in answered.scores} if covers_all(each)}
    trainings = [homes[name] for name in ("train-captions", "train") if name in homes]
    losses = [row for home in trainings for row in read_records(home / "losses.parquet", LossRow)]
    return ReportInputs(
        scores=tuple(each for each in answered.scores if each.condition in whole),
        benchmarks=facts,
        reliance=reliance,
        robustness=robustness,
        costs=tuple(_costs(homes)),
        rooms=tuple(_room(name, home) for name, home in homes.items()),
        examples=tuple(_examples(homes, store, keep, n_examples)),
        losses=tuple(
            LossPoint(step, row.loss, row.learning_rate) for step, row in enumerate(losses, start=1)
        ),
        trained_tokens={home.parent.name: _trained_tokens(home) for home in trainings},
        times=tuple(
            (name, float(read_json(home / artifacts.RUN)["seconds"])) for name, home in homes.items()
        ),
        environment=_environment(homes["train"]),
        checkpoint=str(homes["train"] / "checkpoint"),
        notes=tuple(_overlap_notes(homes, answered.items)),
        sums={
            name: tuple((str(row), str(scorer), float(factor)) for row, scorer, factor in terms)
            for name, terms in asked.get("sums", {}).items()
        },
        limit=limit,
    )


def _room(name: str, home: Path) -> RoomSummary:
    record: Any = read_json(home / artifacts.RECORD)
    counts = dict(record["counts"])
    n_inputs, n_outputs = int(counts.pop("inputs", 0)), int(counts.pop("outputs", 0))
    return RoomSummary(name, n_inputs, n_outputs, dict(record["rejections"]), counts)


def _trained_tokens(home: Path) -> int:
    record: Any = read_json(home / artifacts.RECORD)
    return int(record["facts"]["trained_tokens"])


def _costs(homes: Mapping[str, Path]) -> Iterator[Cost]:
    for name, home in homes.items():
        ran: Any = read_json(home / artifacts.RUN)
        for each in ran.get("served", ()):
            yield Cost(
                f"{name}: {each['model']}",
                each["requests"],
                each["prompt_tokens"],
                each["reply_tokens"],
                each["money"],
            )


def _environment(home: Path) -> dict[str, str]:
    ran: Any = read_json(home / artifacts.RUN)
    versions = dict(ran["versions"])
    shown = {name: str(versions[name]) for name in ("acclimate", "torch", "transformers") if name in versions}
    return {
        "python": str(ran["python"]),
        "platform": str(ran["platform"]),
        **shown,
        "threads": str(ran["threads"]),
    }


def _overlap_notes(homes: Mapping[str, Path], items: Sequence[Item]) -> Iterator[str]:
    """Say how many benchmark pictures also occur in training, by content."""
    if not items:
        return
    trained = _trained_pictures(homes)
    by_name: dict[str, set[str]] = {}
    for item in items:
        if item.image is not None:
            by_name.setdefault(item.benchmark, set()).add(item.image.sha256)
    for name, images in sorted(by_name.items()):
        shared = len(images & trained)
        if shared:
            yield f"{name}: {shared} of its {len(images)} pictures also occur among the training data."


def _trained_pictures(homes: Mapping[str, Path]) -> set[str]:
    """Return the hashes of the pictures that training may have shown: of pairs and of ready conversations."""
    found: set[str] = set()
    if "ingest" in homes:
        pairs = read_records(homes["ingest"] / "pairs.parquet", ImageCaption)
        found |= {pair.image.sha256 for pair in pairs}
    if "conversations" in homes:
        ready = read_records(homes["conversations"] / "conversations.parquet", Conversation)
        found |= {image.sha256 for each in ready for image in each.images}
    return found


def _examples(
    homes: Mapping[str, Path], store: ImageStore, keep: Collection[Label], n: int
) -> Iterator[Example]:
    """Yield kept and rejected tasks, half and half, chosen by their ids alone."""
    judged, pairs = _tasks_shown(homes)
    unreliant = _unreliant(homes)
    by_label: dict[Label, list[JudgedTriplet]] = {}
    for each in judged:
        by_label.setdefault(each.label, []).append(each)
    for label, rows in sorted(by_label.items()):
        share = n // 2 if label in keep else n - n // 2
        for each in sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).hexdigest())[:share]:
            pair = pairs[each.pair_id]
            p = {"consistent": each.p_consistent, "inconsistent": each.p_inconsistent, "open": each.p_open}
            yield Example(
                image=store.read(pair.image),
                media_type=pair.image.media_type,
                caption=pair.caption,
                instruction=each.instruction,
                informative=each.informative,
                precise=each.precise,
                is_kept=each.label in keep and each.id not in unreliant,
                reason=(f"{each.label} {p[each.label]:.2f}" if each.label in p else each.label)
                + (", low visual reliance" if each.id in unreliant else ""),
            )


def _unreliant(homes: Mapping[str, Path]) -> set[str]:
    """Return the ids of the tasks that compose left out since they hardly need their picture."""
    file = homes["compose"] / "rejections.parquet" if "compose" in homes else None
    if file is None or not file.is_file():
        return set()
    return {each.id for each in read_records(file, Rejection) if each.reason == "low_visual_reliance"}


def _tasks_shown(homes: Mapping[str, Path]) -> tuple[list[JudgedTriplet], dict[str, ImageCaption]]:
    """Return the judged tasks to take examples from, and their pairs: general ones if there are no own."""
    name = "curate" if "curate" in homes else "curate-general"
    if name not in homes:
        return [], {}
    judged = list(read_records(homes[name] / "judged.parquet", JudgedTriplet))
    if name == "curate":
        pairs = read_pairs(homes["ingest"], "pairs")
    else:
        pairs = read_pairs(homes["general" if "general" in homes else "seeds"], "examples")
    return judged, {pair.id: pair for pair in pairs}
