"""Ready-made conversations: published visual-instruction files, read for training as they stand.

Pictures are checked as in the door and rows are rejected for the same reasons; what a row says is read by
`chats` and `scienceqa`. A conversation's id depends on its pictures, turns and stage alone, so a shuffled
file or a removed row changes no other record; the row's own id is kept among its sources.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import DataError
from acclimate.files import JSON, ImageMode, ImageStore, cached_sha256
from acclimate.ingest.chats import Chat, ChatShape, Picture, read_chat, without_pictures
from acclimate.ingest.images import check_images, image_folder, image_path, is_url, load_image
from acclimate.ingest.pool import in_order
from acclimate.ingest.readers import RawRow, read_rows
from acclimate.ingest.rows import TURN_FIELDS, Problem, turn_fields
from acclimate.ingest.scienceqa import FIELDS, IMAGES, science_chats
from acclimate.ingest.stage import IngestExecution
from acclimate.records import Conversation, ImageRef, Rejection, content_id

ROOM = "ingest"
_TABLES = (".csv", ".tsv")
_ROWS_LOOKED_AT = 200


class ConversationSource(BaseModel):
    """Which ready-made conversations are read, how, and how many of them are used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """The data file: .json, .jsonl or .parquet; a relative path counts from the recipe."""
    name: str = ""
    """What its conversations are called by; empty takes the file's name without its ending."""
    format: Literal["auto", "sharegpt", "llava", "messages", "scienceqa"] = "auto"
    """The layout of a row; `auto` looks."""
    image_root: str = ""
    """The folder that image paths start from; empty means the data file's own (ScienceQA: `images` in it)."""
    split: str | None = None
    """ScienceQA only: which problems are read; None takes `train`."""
    stage: Literal[1, 2] = 1
    """The training stage its conversations belong to. Where all are of one stage, there is one training."""
    ratio: float | None = Field(default=None, gt=0)
    """Replay against forgetting: use at most so many of its conversations per other one of the same stage,
    chosen by their ids. None uses all."""
    seed: int = 0
    """Of the choice that `ratio` makes."""
    licence: str = "unknown"
    """What the source states."""
    pictures: Literal["own", "none"] = "own"
    """`none` leaves the pictures out: the text-only arm of Sight Beyond Text."""
    images: ImageMode = "hardlink"
    """Whether the run refers to the images, links them or copies them."""
    limit: int | None = Field(default=None, ge=1)
    """Read the first so many rows only; for tests."""
    execution: IngestExecution = IngestExecution()

    @property
    def title(self) -> str:
        """What its conversations are called by."""
        return self.name or Path(self.source).stem


def read_conversations(
    sources: Sequence[ConversationSource],
    *,
    store: ImageStore,
    base: Path,
    on_row: Callable[[int], None] | None = None,
) -> Iterator[Conversation | Rejection]:
    """Return one Conversation or one Rejection per row of every source.

    Rejections come as rows are read, conversations after the last row: of equal ones (same pictures, turns
    and stage) that of the first source stands, and in it that of the least own id; the others are rejected
    as `duplicate_conversation`. A conversation's sources are its source's name and the row's own id.

    Reasons are those of `read_chat`; no_problem for ScienceQA; and those of `ingest` for pictures:
    image_is_url, outside_root, missing_file, image_empty, image_unreadable, image_truncated, image_too_large.

    Args:
        base: what relative paths in a source count from: the recipe's folder.
        on_row: told after every row how many are done.

    Raises:
        DataError: a source as a whole cannot be used; the message says what to change.
    """
    opened = [(config, *_open(config, base)) for config in sources]
    return _outcomes(opened, store, on_row)


def _outcomes(
    opened: Sequence[tuple[ConversationSource, Path, Callable[[], Iterator[Chat]]]],
    store: ImageStore,
    on_row: Callable[[int], None] | None,
) -> Iterator[Conversation | Rejection]:
    done, rejected = 0, Counter[str]()
    told: dict[str, list[tuple[int, str, Conversation]]] = {}
    for number, (config, root, chats) in enumerate(opened):

        def load(
            chat: Chat, root: Path = root, config: ConversationSource = config
        ) -> tuple[Chat, list[ImageRef] | Problem]:
            return chat, chat.problem or _pictures(chat, root, store, config.images)

        for chat, found in in_order(load, chats(), config.execution.workers):
            if isinstance(found, list):
                conversation = _conversation(chat, tuple(found), config)
                told.setdefault(conversation.id, []).append((number, chat.label, conversation))
            else:
                rejected[chat.id] += 1
                yield _rejection(chat, rejected[chat.id], *found)
            done += 1
            if on_row is not None:
                on_row(done)
    for conversation_id, equal in told.items():
        first, *others = sorted(equal, key=lambda each: each[:2])
        yield first[2]
        for copy, (_, label, _other) in enumerate(others, start=2):
            detail = f"the same images and turns as conversation {conversation_id}"
            yield _rejection(Chat(conversation_id, label), copy, "duplicate_conversation", detail)


def _pictures(chat: Chat, root: Path, store: ImageStore, mode: ImageMode) -> list[ImageRef] | Problem:
    """Return a chat's pictures from the store, or why one of them cannot be had."""
    found: list[ImageRef] = []
    for picture in chat.pictures:
        image = load_image(picture, root, store, mode)
        if not isinstance(image, ImageRef):
            return image
        found.append(image)
    return found


def _conversation(chat: Chat, images: tuple[ImageRef, ...], config: ConversationSource) -> Conversation:
    first_user = next(index for index, turn in enumerate(chat.turns) if turn.role == "user")
    places = chat.picture_turns if any(each != first_user for each in chat.picture_turns) else ()
    parts = [json.dumps([turn.role, turn.text, turn.trained]) for turn in chat.turns]
    pictures = [f"{image.sha256} {turn}" for image, turn in zip(images, chat.picture_turns, strict=True)]
    sources = (config.title, chat.label) if chat.label else (config.title,)
    chat_id = content_id("ready", str(config.stage), str(len(pictures)), *pictures, *parts)
    return Conversation(chat_id, images, chat.turns, config.stage, sources, places)


def _rejection(chat: Chat, copy: int, reason: str, detail: str) -> Rejection:
    own_id = chat.id if copy == 1 else f"{chat.id}/{copy}"
    return Rejection(own_id, ROOM, reason, f"row {chat.label}: {detail}" if chat.label else detail)


# --- files ---------------------------------------------------------------------------------------


def _open(config: ConversationSource, base: Path) -> tuple[Path, Callable[[], Iterator[Chat]]]:
    """Look through a source once and return its image folder and a way to read what its rows say.

    Raises:
        DataError: the file cannot be read, holds no conversations, or none of its pictures is there.
    """
    source = base / config.source
    if source.suffix.lower() in _TABLES:
        raise DataError(
            f"{source} is a table, and a conversation has turns. Give .json, .jsonl or .parquet; captions in "
            "tables are read under `ingest`."
        )
    held = list(read_rows(source)) if source.suffix.lower() == ".json" else None

    def rows() -> Iterator[RawRow]:
        return iter(held) if held is not None else read_rows(source)

    names = {name for row in islice(rows(), _ROWS_LOOKED_AT) if isinstance(row, dict) for name in row}
    is_science = config.format == "scienceqa"
    if config.format == "auto":
        is_science = names.issuperset(FIELDS) and names.isdisjoint(TURN_FIELDS["auto"])
    if not is_science:
        _check_fields(config, source, names)
    root = _root(config, source, base, is_science=is_science)
    shape: ChatShape = "auto" if config.format == "scienceqa" else config.format

    def chats() -> Iterator[Chat]:
        if is_science:
            read: Iterator[Chat] = science_chats(list(rows()), source, config.split or "train")
        else:
            read = (read_chat(row, shape) for row in rows())
        if config.pictures == "none":
            read = map(without_pictures, read)
        return islice(read, config.limit)

    _check_chats(chats(), root, source)
    return root, chats


def _check_fields(config: ConversationSource, source: Path, names: Collection[str]) -> None:
    if names and not any(name in names for name in TURN_FIELDS["auto"]):
        raise DataError(
            f"{source} has no field {turn_fields('auto')}, so it holds no conversations; its fields are: "
            f"{', '.join(sorted(names))}. Images with captions are read under `ingest`."
        )
    if config.split is not None:
        raise DataError(
            f"`split: {config.split}` is for the problems of ScienceQA, and {source} holds other rows; leave "
            "it out."
        )


def _root(config: ConversationSource, source: Path, base: Path, *, is_science: bool) -> Path:
    beside = source.parent / IMAGES
    if is_science and not config.image_root and beside.is_dir():
        return beside
    return image_folder(source, config.image_root, base)


def _check_chats(chats: Iterable[Chat], root: Path, source: Path) -> None:
    """Refuse a source of which every row would be rejected."""
    first: Problem | None = None
    named: list[Picture] = []
    n_rows = n_problems = 0
    for chat in chats:
        n_rows += 1
        n_problems += chat.problem is not None
        first = first or chat.problem
        named += [picture if isinstance(picture, str) else b"" for picture in chat.pictures]
    if not n_rows:
        raise DataError(f"{source} has no rows; give conversations, one object per conversation.")
    if first is not None and n_problems == n_rows:
        raise DataError(
            f"Not one of the {n_rows} rows of {source} is a conversation that can be trained on; the first: "
            f"{first[0]} ({first[1]}). Check `format` under `conversations`, and the file."
        )
    if named:
        check_images(named, root, source)


def conversations_identity(
    sources: Sequence[ConversationSource], *, base: Path, cache_dir: Path, rehash: bool = False
) -> list[dict[str, JSON]]:
    """Return what decides the output of `read_conversations`: per source its rows and pictures, in any order.

    Args:
        cache_dir: where hashes of image files are kept. rehash: read every image anew.

    Raises:
        DataError: as `read_conversations`.
    """
    facts: list[dict[str, JSON]] = []
    for config in sources:
        root, chats = _open(config, base)
        parts = []
        for chat in chats():
            digests = [_digest(each, root, cache_dir, rehash=rehash) for each in chat.pictures]
            parts.append(content_id(chat.id, chat.label, repr(chat.problem), *digests))
        facts.append(
            {
                "name": config.title,
                "format": config.format,
                "stage": config.stage,
                "licence": config.licence,
                "pictures": config.pictures,
                "rows": content_id(*sorted(parts)),
                "n_rows": len(parts),
            }
        )
    return facts


def _digest(picture: Picture, root: Path, cache_dir: Path, *, rehash: bool) -> str:
    if isinstance(picture, bytes):
        return hashlib.sha256(picture).hexdigest()
    path = None if is_url(picture) or "\0" in picture else image_path(picture, root)
    if path is None or not path.is_file():
        return ""
    return cached_sha256(path, cache_dir, rehash=rehash)
