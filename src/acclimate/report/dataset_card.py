"""The card of a data set that was made here, README.md on the Hugging Face hub. Pure.

It is about conversations, or the tasks that they were made from. The head names every Parquet file under
`configs`, so that `datasets.load_dataset` finds them; the body says how they were made and what was left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from huggingface_hub import DatasetCardData

from acclimate.licences import (
    NO_ADVICE,
    Derived,
    derived_licence,
    named_licence,
    restriction_of,
    slug,
)
from acclimate.records import Conversation, JudgedTriplet, Triplet
from acclimate.report import further_tables
from acclimate.report.card_text import DataSource, card, hub_ids, is_hub_id, languages, licence_head, line
from acclimate.report.evidence.record import Record
from acclimate.report.inputs import Audit, RoomSummary

Rows: TypeAlias = Literal["conversation", "judged_task", "task"]

KINDS: Mapping[Rows, type[Any]] = {
    "conversation": Conversation,
    "judged_task": JudgedTriplet,
    "task": Triplet,
}
"""The record that each kind of row holds."""
_TASK = {
    "id": "Made from the content: the same task has the same id everywhere.",
    "pair_id": "The pair of picture and caption that it was written for.",
    "instruction": "What the user asks.",
    "informative": "The long answer.",
    "precise": "The short answer; empty where the method writes one answer only.",
    "generator": "What wrote it.",
    "reply_id": "The model's reply that it was read from; empty where it was not kept.",
    "kind": "What the method calls this sort of task; empty where it has no sorts.",
    "turn": "Place among the tasks of one reply that are one conversation, from 0.",
}
FIELDS: Mapping[Rows, Mapping[str, str]] = {
    "conversation": {
        "id": "Made from the content: the same conversation has the same id everywhere.",
        "images": "Pictures by content: `sha256` of the bytes, `width_px`, `height_px`, `media_type`.",
        "turns": "In order: `role` (system, user, assistant), `text`, `trained`: whether it is learned.",
        "stage": "The stage of training that it belongs to, from 1.",
        "sources": "Ids of the pairs and tasks that it was made from.",
        "image_turns": "For each picture its turn, from 0; empty where all stand in the first user turn.",
    },
    "judged_task": {
        **_TASK,
        "label": "The consistency judge's verdict: consistent, inconsistent, open, or unjudged.",
        "p_consistent": "Probability of this verdict, 0 to 1; the three sum to 1, or are 0 if not judged.",
        "p_inconsistent": "The same of inconsistent.",
        "p_open": "The same of open.",
        "judge": "Which judge; empty where nobody judged.",
    },
    "task": _TASK,
}
"""What each column holds, by kind of row."""
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_PERSONAL = (
    "Nobody searched it for personal data. Pictures and captions are the sources', as they were; texts that "
    "a model wrote may name or describe people in a picture, and may be wrong about them. Whoever finds such "
    "data can ask the publisher to take it out: every row names what it was made from."
)
_LIMITS = (
    "The tasks and answers were written by a program or a model and not by people; some are wrong.",
    "The consistency judge, where there was one, held the two answers against each other.",
)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of the data set."""

    path: str
    """From the repository's root, for instance `data/conversations.parquet`."""
    n_rows: int
    rows: Rows = "conversation"
    config: str = "default"
    split: str = "train"
    """Letters, digits and `_`; files of one config and split belong together."""


@dataclass(frozen=True, slots=True)
class Maker:
    """What wrote or judged a part of it."""

    role: str
    """For instance `synthesizer`, `teacher`, `judge`."""
    name: str
    licence: str = ""
    """Of the model, as its card names it; empty where it names none, or it is no model."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Everything a data set's card shows. Equal facts give equal bytes."""

    name: str
    files: tuple[DataFile, ...]
    sources: tuple[DataSource, ...]
    """What the pictures and captions were taken from."""
    makers: tuple[Maker, ...] = ()
    rooms: tuple[RoomSummary, ...] = ()
    """In the order of the line, up to the one that wrote the files."""
    quality: tuple[Audit, ...] = ()
    """Tables of data quality (`quality_tables.quality_from`)."""
    task_types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Number of tasks by data set, then by task type."""
    record: Record | None = None
    repo: str = ""
    """`organisation/name` of this data set on the hub; empty where it is not there."""
    about: str = ""
    """What it is, in the publisher's words."""
    has_pictures: bool = False
    """Whether the pictures' bytes go along; else rows name them by hash."""
    personal_data: str = ""
    """What was done about personal data; empty says that nothing was."""
    limits: tuple[str, ...] = ()
    """Beside those that every card of ours has."""
    language: tuple[str, ...] = ()
    """ISO 639 codes; empty where nobody stated it."""
    tags: tuple[str, ...] = ()
    licence: str = ""
    """Named by whoever publishes; empty derives it from the sources'."""
    licence_link: str = ""
    limit: int | None = None
    """Set when the run used only so many records."""
    citation: str = ""


def dataset_card(facts: DataFacts) -> str:
    """Return the README.md of a data set that was made here."""
    licence = licence_of_data(facts)
    kinds = list(dict.fromkeys(each.rows for each in facts.files))
    return card(
        _head(facts, licence),
        "dataset_card.md.j2",
        facts=facts,
        title=line(facts.name),
        licence=licence,
        advice=NO_ADVICE,
        record=facts.record,
        n_rows=sum(each.n_rows for each in facts.files),
        makers=[(each, restriction_of(each.licence)) for each in facts.makers],
        fields=[(kind, _described(kind)) for kind in kinds],
        rooms=further_tables.rooms(facts.rooms),
        quality=[further_tables.audit(each, f"quality-{at}") for at, each in enumerate(facts.quality)],
        task_types=further_tables.task_types(facts.task_types),
        limits=(*facts.limits, *_LIMITS),
        personal=facts.personal_data or _PERSONAL,
        place=json.dumps(facts.repo if is_hub_id(facts.repo) else "ORGANISATION/NAME"),
        first=_config_name(facts.files[0].config) if facts.files else "",
    )


def licence_of_data(facts: DataFacts) -> Derived:
    """Return the licence that was named, or else the one that follows from the sources'."""
    if facts.licence:
        return named_licence(facts.licence, facts.licence_link)
    return derived_licence(
        [each.licence for each in facts.sources],
        base_model=None,
        names=[line(each.name) for each in facts.sources],
    )


def size_category(n_rows: int) -> str:
    """Return the hub's name for a number of rows."""
    return next((name for bound, name in _SIZES if n_rows < bound), "n>100M")


def _head(facts: DataFacts, licence: Derived) -> DatasetCardData:
    known = hub_ids(each.hub_id for each in facts.sources)
    codes = languages(facts.language)
    return DatasetCardData(
        pretty_name=line(facts.name) or "data set",
        **licence_head(licence),
        language=codes,
        multilinguality=None if codes is None else "monolingual" if len(codes) == 1 else "multilingual",
        task_categories=["image-text-to-text", "visual-question-answering"],
        size_categories=[size_category(sum(each.n_rows for each in facts.files))],
        annotations_creators=["machine-generated"],
        language_creators=["machine-generated", "found"],
        source_datasets=known or ["original"],
        tags=[tag for tag in map(line, ("acclimate", "synthetic", *facts.tags)) if tag],
        configs=_configs(facts) or None,
    )


def _configs(facts: DataFacts) -> list[dict[str, Any]]:
    """Return the files by config and split, in the form that `datasets.load_dataset` reads."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in facts.files:
        splits = found.setdefault(_config_name(each.config), {})
        splits.setdefault(_split_name(each.split), []).append(each.path)
    return [
        {
            "config_name": config,
            "data_files": [{"split": split, "path": paths} for split, paths in splits.items()],
        }
        for config, splits in found.items()
    ]


def _config_name(name: str) -> str:
    """Return a name that `datasets` takes for a config: it refuses `<>:/|?*` and the like."""
    return slug(name) if name else "default"


def _split_name(name: str) -> str:
    """Return a name that `datasets` takes for a split: letters, digits and `_`."""
    return "".join(each if each.isascii() and each.isalnum() else "_" for each in name) or "train"


def _described(rows: Rows) -> list[tuple[str, str]]:
    """Return the columns of a kind of row with what they hold, in their order."""
    meant = FIELDS[rows]
    return [(each.name, meant.get(each.name, "")) for each in fields(KINDS[rows])]
