"""What a row of ready-made conversations says: its turns, and which picture stands in which turn (pure).

Three layouts are known, and are told apart by their fields. LLaVA JSON: `conversations` of `from` and
`value`, and `image`. ShareGPT as LLaMA-Factory reads it: `conversations` or `messages`, and `images`.
Messages of OpenAI and TRL: `messages` of `role` and `content`, whose content is a text or a list of parts. A
picture's place is the marker `<image>` in a text, or a part of its own.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from acclimate.ingest.readers import BrokenRow, RawRow, row_id
from acclimate.ingest.rows import (
    ASSISTANT,
    TURN_FIELDS,
    Problem,
    has_lone_surrogate,
    picture_in,
    printable,
    turn_fields,
)
from acclimate.records import Role, Turn

ChatShape: TypeAlias = Literal["auto", "sharegpt", "llava", "messages"]
Picture: TypeAlias = str | bytes
"""A path or URL, or encoded bytes."""

MARKER = "<image>"
_ROLE_BY_NAME: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    **dict.fromkeys(ASSISTANT, "assistant"),
}
_ID_NAMES = ("id", "uid", "key")
_OTHER_MEDIA = ("video", "videos", "audio", "audios")
_TEXT_PARTS = ("text", "input_text", "output_text")
_PICTURE_PARTS = ("image", "image_url", "input_image")
_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation as its file tells it; its pictures are not looked at yet."""

    id: str
    """Content id of the row: the same wherever it stands."""
    label: str
    """How a message calls the row: the user's own id, or its picture's name; may be empty."""
    turns: tuple[Turn, ...] = ()
    pictures: tuple[Picture, ...] = ()
    picture_turns: tuple[int, ...] = ()
    """For each picture the turn it stands in, from 0."""
    problem: Problem | None = None
    """Reason and detail where the row is no conversation that can be trained on."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """The place of a picture in a turn."""

    own: Picture | None = None
    """The picture that is named there; None takes the row's next one."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One turn as the row tells it."""

    role: Role
    text: str
    slots: tuple[_Slot, ...] = ()
    is_trained: bool = False


class _Unusable(Exception):  # noqa: N818
    """Carries a rejection's reason and detail out of the reading of a row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.problem: Problem = (reason, detail)


def read_chat(raw: RawRow, shape: ChatShape) -> Chat:
    """Return the conversation that a row holds; one that cannot be used carries its problem.

    Texts come without outer white space. Markers at the beginning or the end of a user's turn are taken out,
    for pictures stand before the text of their turn. Answers count in the loss; empty ones, and those that
    the file says not to train on (`weight: 0`, `loss: false`), stay in the conversation and do not. An empty
    system turn is left out.

    Problems: bad_row, no_conversation, empty_conversation, unknown_role, roles_not_alternating, other_media,
    marker_in_text, image_in_answer, image_count, empty_question, empty_answer, nothing_to_learn.
    """
    if isinstance(raw, BrokenRow):
        detail = f"{raw.detail}; the row begins: {printable(raw.text)[:120]}"
        return Chat(row_id(raw), "", problem=("bad_row", detail))
    chat = Chat(row_id(raw), label_of(raw))
    try:
        told = _without_empty_system([_told(each) for each in _entries(raw, shape)])
        _check_roles(told)
        pictures, picture_turns = _placed(told, _listed(raw), may_lack_markers=_is_messages(raw, shape))
        return replace(
            chat, turns=_turns(told, picture_turns), pictures=pictures, picture_turns=picture_turns
        )
    except _Unusable as error:
        return replace(chat, problem=error.problem)


def without_pictures(chat: Chat) -> Chat:
    """Return the chat as text alone; a question that was a picture alone is then `empty_question`."""
    if chat.problem is not None or not chat.pictures:
        return chat
    text_only = replace(chat, pictures=(), picture_turns=())
    empty = next((n for n, turn in enumerate(chat.turns, 1) if turn.role == "user" and not turn.text), None)
    if empty is None:
        return text_only
    return replace(text_only, problem=("empty_question", f"turn {empty} is a picture alone"))


def label_of(raw: Mapping[str, Any]) -> str:
    """Return how messages call a row: its own id, else its first picture's path; empty without either."""
    own = next((raw[name] for name in _ID_NAMES if raw.get(name) not in (None, "")), None)
    if own is None:
        pictures = raw.get("images") or raw.get("image")
        first = pictures[0] if isinstance(pictures, list) and pictures else pictures
        own = first if isinstance(first, str) else ""
    return printable(str(own))[:80]


# --- turns ---------------------------------------------------------------------------------------


def _field(raw: Mapping[str, Any], shape: ChatShape) -> str | None:
    return next((name for name in TURN_FIELDS[shape] if raw.get(name) is not None), None)


def _is_messages(raw: Mapping[str, Any], shape: ChatShape) -> bool:
    """Return whether the row's layout is the one in which markers may be left out (as TRL's does)."""
    return shape in ("auto", "messages") and _field(raw, shape) == "messages"


def _entries(raw: Mapping[str, Any], shape: ChatShape) -> Iterator[Mapping[str, Any]]:
    """Yield the row's turns as they stand there, its system text first."""
    name = _field(raw, shape)
    if name is None:
        raise _Unusable("no_conversation", f"the row has no field {turn_fields(shape)}")
    entries = raw[name]
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise _Unusable("no_conversation", f"{name} is no list of turns")
    if not entries:
        raise _Unusable("empty_conversation", f"{name} has no turns")
    system = raw.get("system")
    if isinstance(system, str) and _role_name(entries[0]) != "system":
        yield {"role": "system", "content": system}
    yield from entries


def _role_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("from") or entry.get("role") or "").lower()


def _told(entry: Mapping[str, Any]) -> _Told:
    name = _role_name(entry)
    if name not in _ROLE_BY_NAME or entry.get("tool_calls"):
        what = "a turn that calls tools" if entry.get("tool_calls") else f"a turn of {name or 'nobody'!r}"
        raise _Unusable("unknown_role", f"{what}; turns are of user, assistant and system")
    content = entry.get("value") if entry.get("value") is not None else entry.get("content")
    parts = list(_parts(content))
    texts = [index for index, each in enumerate(parts) if isinstance(each, str)]
    slots = [(index, each) for index, each in enumerate(parts) if isinstance(each, _Slot)]
    if any(texts[0] < index < texts[-1] for index, _ in slots if texts):
        raise _Unusable("marker_in_text", "an image stands between two pieces of text")
    text = "\n".join(each for each in parts if isinstance(each, str)).strip()
    if has_lone_surrogate(text):
        raise _Unusable("bad_row", "the text holds half of a surrogate pair, which is no character")
    role = _ROLE_BY_NAME[name]
    is_left_out = entry.get("weight") == 0 or entry.get("loss") is False
    is_trained = role == "assistant" and bool(text) and not is_left_out
    return _Told(role, text, tuple(slot for _, slot in slots), is_trained)


def _parts(content: object) -> Iterator[str | _Slot]:
    """Yield a turn's texts that are not blank, and the places of its pictures, in order."""
    pieces = content if isinstance(content, list) else [] if content is None else [content]
    for piece in pieces:
        kind = piece.get("type") if isinstance(piece, Mapping) else "text"
        text = piece.get("text") if isinstance(piece, Mapping) else piece
        if kind in _PICTURE_PARTS and isinstance(piece, Mapping):
            yield _Slot(_named(piece.get("image") or piece.get("image_url") or piece))
        elif kind not in _TEXT_PARTS:
            raise _Unusable(
                "other_media", f"a part of the type {str(kind)[:40]!r}; texts and images are read"
            )
        elif not isinstance(text, str):
            raise _Unusable("bad_row", f"a turn's text is a {type(text).__name__}")
        else:
            first, *rest = text.split(MARKER)
            if first.strip():
                yield first
            for each in rest:
                yield _Slot()
                if each.strip():
                    yield each


def _without_empty_system(told: list[_Told]) -> list[_Told]:
    return [each for each in told if each.role != "system" or each.text or each.slots]


def _check_roles(told: Sequence[_Told]) -> None:
    """Refuse what is not: at most one system turn first, then a user's and an assistant's by turns."""
    roles = [each.role for each in told]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken:
        raise _Unusable("empty_conversation", "the conversation has nothing but a system turn")
    wanted = [("user", "assistant")[index % 2] for index in range(len(spoken))]
    if spoken != wanted or len(spoken) % 2:
        shown = ", ".join(roles[:8]) + (", ..." if len(roles) > 8 else "")
        raise _Unusable("roles_not_alternating", f"{shown}; user and assistant must take turns, user first")


def _turns(told: Sequence[_Told], picture_turns: Sequence[int]) -> tuple[Turn, ...]:
    for index, each in enumerate(told):
        if each.role == "user" and not each.text and index not in picture_turns:
            raise _Unusable("empty_question", f"turn {index + 1} has neither text nor image")
    if not any(each.is_trained for each in told):
        if any(each.text for each in told if each.role == "assistant"):
            raise _Unusable("nothing_to_learn", "the file says to train on none of its answers")
        raise _Unusable("empty_answer", "no answer has any text")
    return tuple(Turn(each.role, each.text, each.is_trained) for each in told)


# --- pictures ------------------------------------------------------------------------------------


def _listed(raw: Mapping[str, Any]) -> list[Picture]:
    """Return the pictures that the row names beside its turns."""
    media = next((name for name in _OTHER_MEDIA if raw.get(name)), None)
    if media is not None:
        raise _Unusable("other_media", f"the row has {media}; only text and images are read")
    value = raw.get("images") or raw.get("image")
    values = value if isinstance(value, list | tuple) else [value]
    return [each for each in map(_named, values) if each is not None]


def _named(value: object) -> Picture | None:
    """Return the picture that a field names, decoded where it is a data URI; None where it names none."""
    picture, problem = picture_in(value)
    if problem is not None:
        raise _Unusable(*problem)
    if isinstance(picture, str) and _DATA_URI.match(picture):
        try:
            return base64.b64decode(picture.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise _Unusable("bad_row", f"a data URI is not base64 ({error})") from None
    if has_lone_surrogate(picture):
        raise _Unusable("bad_row", "an image's path holds half of a surrogate pair, which is no character")
    return picture


def _placed(
    told: Sequence[_Told], listed: Sequence[Picture], *, may_lack_markers: bool
) -> tuple[tuple[Picture, ...], tuple[int, ...]]:
    """Return the pictures in the order of their places, and the turn of each.

    Args:
        may_lack_markers: pictures without any marker stand in the user's first turn.
    """
    slots = [(index, slot) for index, each in enumerate(told) for slot in each.slots]
    outside = next((told[index].role for index, _ in slots if told[index].role != "user"), None)
    if outside is not None:
        raise _Unusable("image_in_answer", f"an image stands in a turn of {outside}")
    if not slots and listed and may_lack_markers:
        first = next(index for index, each in enumerate(told) if each.role == "user")
        return tuple(listed), (first,) * len(listed)
    n_open = sum(slot.own is None for _, slot in slots)
    if n_open != len(listed):
        raise _Unusable("image_count", f"{n_open} places for images in the turns, {len(listed)} images")
    waiting = iter(listed)
    pictures = [slot.own if slot.own is not None else next(waiting) for _, slot in slots]
    return tuple(pictures), tuple(index for index, _ in slots)
