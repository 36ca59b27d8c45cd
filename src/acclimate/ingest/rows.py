"""What a row means: which field holds the image, the caption, the id and what more is known of the image.

Three shapes are known. Chats (`conversations` or `messages`, as LLaVA, ShareGPT and LLaMA-Factory write
them) give the first assistant turn as the caption. Tables give two columns. Both may carry an annotation: a
cooking recipe (ingredients and steps, as Recipe1M has them), sentences that mention the figure (as
LLaVA-Med's file has them), or labelled boxes and further captions. A row that has several of these gives the
first in this order.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from acclimate.errors import DataError
from acclimate.ingest.readers import BrokenRow, RawRow, row_id
from acclimate.records import Box, Boxes, ImageRef, Mentions, RecipeText

Shape: TypeAlias = Literal["auto", "llava", "sharegpt", "messages", "table"]

_MISSPELT = "conversatons"
"""How LLaVA-Med's alignment file (`llava_med_alignment_500k.json`) spells it."""
TURN_FIELDS: Mapping[Shape, tuple[str, ...]] = {
    "auto": ("conversations", "messages", _MISSPELT),
    "llava": ("conversations", _MISSPELT),
    "sharegpt": ("conversations", "messages"),
    "messages": ("messages",),
    "table": (),
}
_IMAGE_NAMES = (
    "image",
    "images",
    "image_path",
    "image_file",
    "image_name",
    "img",
    "img_path",
    "file_name",
    "filename",
    "file",
    "path",
    "picture",
    "photo",
    "figure",
    "image_url",
    "url",
)
_CAPTION_NAMES = (
    "caption",
    "captions",
    "fig_caption",
    "text",
    "description",
    "sentence",
    "title",
    "report",
    "alt_text",
)
_ID_NAMES = ("id", "uid", "key", "image_id", "index")
_BOX_NAMES = ("boxes", "objects", "instances")
_MENTION_NAMES = ("in_text_mention", "in_text_mentions", "inline_mention", "inline_mentions", "mentions")
_TITLE_NAMES = ("title", "name", "recipe_name")
_INGREDIENT_NAMES = ("ingredients", "ingredient_lines")
_STEP_NAMES = ("instructions", "steps", "directions", "method")
ASSISTANT = frozenset({"assistant", "gpt", "model", "bot", "chatgpt"})
_SLOT = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDER = re.compile(r"^\s*(<image>\s*)+|(\s*<image>)+\s*$")


class Columns(BaseModel):
    """Which column holds what; an empty name is guessed from the usual ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = ""
    """May also be a pattern with columns in braces, for rows that name no file: `{pair_id}.jpg`."""
    caption: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row, as far as its text says."""

    id: str
    """Content id of the row: the same wherever it stands."""
    label: str
    """How a message calls the row: the user's own id or the image's name."""
    image: str | bytes | None
    """A path or URL, encoded bytes, or None where the row has no image."""
    caption: str | None
    """Without outer white space; None where the row has none."""
    captions: tuple[str, ...] = ()
    """Further captions."""
    boxes: object = None
    """As the file has them."""
    mentions: tuple[str, ...] = ()
    """Sentences that mention the figure."""
    recipe: RecipeText | None = None
    problem: tuple[str, str] | None = None
    """Reason and detail where the row is unusable already."""


def turn_fields(shape: Shape) -> str:
    """Return the names of the fields that may hold a row's turns, for messages."""
    return " or ".join(name for name in TURN_FIELDS[shape] if name != _MISSPELT)


def find_columns(names: Iterable[str], columns: Columns, shape: Shape, source: str) -> Columns:
    """Return the columns with the guessed ones filled in; chats need no caption column.

    Raises:
        DataError: a named column does not exist, or none of the usual names is there.
    """
    present = list(dict.fromkeys(names))
    listed = ", ".join(present) or "none"
    images = _SLOT.findall(columns.image) or [columns.image]
    for role, name in (
        *(("image", name) for name in images),
        ("caption", columns.caption),
        ("id", columns.id),
    ):
        if name and name not in present:
            raise DataError(
                f"{source} has no column {name!r}, which `columns.{role}` names; its columns are: {listed}."
            )
    is_chat = any(field in present for field in TURN_FIELDS[shape])
    if shape not in ("auto", "table") and not is_chat:
        wanted = turn_fields(shape)
        raise DataError(
            f"{source} has no field {wanted}, which format {shape!r} needs; its fields are: {listed}. "
            "Set `format: auto`, or the format it has."
        )
    found = Columns(
        image=columns.image or _usual(present, _IMAGE_NAMES),
        caption=columns.caption or _usual(present, _CAPTION_NAMES),
        id=columns.id or _usual(present, _ID_NAMES),
    )
    if not found.image and not is_chat:
        raise DataError(
            f"{source} has no column that looks like an image path; its columns are: {listed}. "
            "Say which one it is, for instance `columns: {image: my_column, caption: my_text}`."
        )
    if not found.caption and not is_chat:
        raise DataError(
            f"{source} has no column that looks like a caption; its columns are: {listed}. "
            "Say which one it is, for instance `columns: {caption: my_text}`."
        )
    return found


def _usual(present: Sequence[str], usual: Sequence[str]) -> str:
    name_by_lower = {name.lower().replace(" ", "_"): name for name in reversed(present)}
    return next((name_by_lower[each] for each in usual if each in name_by_lower), "")


def read_row(raw: RawRow, columns: Columns, shape: Shape) -> Row:
    """Return what the row says; a row that cannot be used carries its problem.

    With shape `auto`, a row with turns is a chat and any other one is part of a table.
    """
    if isinstance(raw, BrokenRow):
        return Row(row_id(raw), "", None, None, problem=("bad_row", _about("", raw)))
    own_id = raw.get(columns.id) if columns.id else None
    image, image_problem = _image(raw, columns)
    captions, caption_problem = _captions(raw, columns, shape)
    label = str(own_id) if own_id not in (None, "") else image if isinstance(image, str) else ""
    problem = image_problem or caption_problem
    if problem is None and any(has_lone_surrogate(each) for each in (label, *captions, image)):
        problem = ("bad_row", "the text holds half of a surrogate pair, which is no character")
    return Row(
        id=row_id(raw),
        label=printable(label)[:80],
        image=image,
        caption=captions[0] if captions else None,
        captions=tuple(captions[1:]),
        boxes=_from_json(_first(raw, _BOX_NAMES)),
        mentions=_texts(_first(raw, _MENTION_NAMES)),
        recipe=_recipe(raw),
        problem=problem,
    )


def _about(label: str, raw: BrokenRow) -> str:
    return f"{label}{raw.detail}; the row begins: {printable(raw.text)[:120]}"


def printable(text: str) -> str:
    """Return the text with halves of surrogate pairs replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def has_lone_surrogate(value: object) -> bool:
    """Return whether a text holds half of a surrogate pair, which is no character."""
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


Problem: TypeAlias = tuple[str, str]


def _image(raw: Mapping[str, Any], columns: Columns) -> tuple[str | bytes | None, Problem | None]:
    value = _image_value(raw, columns.image)
    if isinstance(value, list | tuple):
        if len(value) > 1:
            return None, ("bad_row", f"{len(value)} images in one row; write one row per image")
        value = value[0] if value else None
    return picture_in(value)


def picture_in(value: object) -> tuple[str | bytes | None, Problem | None]:
    """Return the path, URL or bytes that a field holds, also in an object as data sets write them.

    None and no problem where it holds nothing.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path") or value.get("file_name") or value.get("url")
    if value is None or value in ("", b""):
        return None, None
    if isinstance(value, str):
        return value.strip() or None, None
    if isinstance(value, bytes):
        return value, None
    return None, ("bad_row", f"the image field holds a {type(value).__name__}, not a path")


def _image_value(raw: Mapping[str, Any], name: str) -> object:
    """Return the image field, or the pattern filled in; None where a part of it is missing."""
    slots = _SLOT.findall(name)
    if not slots:
        return raw.get(name) if name else None
    if any(raw.get(slot) in (None, "") for slot in slots):
        return None
    return _SLOT.sub(lambda slot: str(raw[slot.group(1)]), name)


def _captions(raw: Mapping[str, Any], columns: Columns, shape: Shape) -> tuple[list[str], Problem | None]:
    """Return the row's captions, the main one first."""
    turns = next((raw[name] for name in TURN_FIELDS[shape] if isinstance(raw.get(name), list)), None)
    if turns is not None:
        answer = next((_turn_text(turn) for turn in turns if _is_assistant(turn)), None)
        if answer is None:
            return [], ("no_caption_turn", "the conversation has no turn of the assistant")
        return [_PLACEHOLDER.sub("", answer).strip()], None
    value = raw.get(columns.caption) if columns.caption else None
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        return [], ("bad_row", f"the caption is {json.dumps(value, default=str)[:80]}, which is no text")
    stripped = [each.strip() for each in values]
    return [each for each in stripped if each] or stripped[:1], None


def _is_assistant(turn: object) -> bool:
    return isinstance(turn, Mapping) and str(turn.get("from", turn.get("role", ""))).lower() in ASSISTANT


def _turn_text(turn: Mapping[str, Any]) -> str:
    content = turn.get("value", turn.get("content", ""))
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _first(raw: Mapping[str, Any], names: Iterable[str]) -> object:
    """Return the first of the fields that holds anything; names in any case."""
    value_by_lower: dict[str, object] = {}
    for name, value in raw.items():
        value_by_lower.setdefault(name.lower().replace(" ", "_"), value)
    return next((value_by_lower[name] for name in names if value_by_lower.get(name)), None)


def _from_json(value: object) -> object:
    """Return the list that a cell of a table holds as JSON text, and any other value as it is."""
    if not (isinstance(value, str) and value.lstrip().startswith("[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts of a field: a list of texts or of objects with one, or a text with a line for each.

    A list that holds anything else gives none, for half of a recipe is no recipe; so does a text that looks
    like a list and is no JSON.
    """
    value = _from_json(value)
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = value.splitlines()
    if not isinstance(value, list | tuple):
        return ()
    texts = [_text(each) for each in value]
    if any(text is None or has_lone_surrogate(text) for text in texts):
        return ()
    return tuple(text for text in texts if text)


def _text(value: object) -> str | None:
    """Return a text, or what an object calls its text or tokens; None where there is neither."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("text", "tokens", "sentence") if name in value), None)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    return " ".join(value.split()) if isinstance(value, str) else None


def _recipe(raw: Mapping[str, Any]) -> RecipeText | None:
    """Return the row's recipe, where it has both ingredients and steps."""
    ingredients = _texts(_first(raw, _INGREDIENT_NAMES))
    steps = _texts(_first(raw, _STEP_NAMES))
    if not (ingredients and steps):
        return None
    title = _first(raw, _TITLE_NAMES)
    is_title = isinstance(title, str) and not has_lone_surrogate(title)
    return RecipeText(" ".join(str(title).split()) if is_title else "", ingredients, steps)


def annotation_of(row: Row, image: ImageRef) -> Boxes | Mentions | RecipeText | None:
    """Return what more the row knows of its image, or None where it knows nothing.

    Source:
        Our own rule. Boxes are lists (left, top, right, bottom), as fractions or in pixels. They are used
        only when every one of them lies inside the image with its corners in order; COCO's
        (left, top, width, height) in pixels cannot be told apart reliably and is not read.
    """
    if row.recipe is not None:
        return row.recipe
    if row.mentions:
        return Mentions(row.mentions)
    entries = row.boxes if isinstance(row.boxes, list | tuple) else []
    boxes = [_box(entry, image) for entry in entries]
    known = tuple(box for box in boxes if box is not None)
    if len(known) < len(boxes):
        known = ()
    return Boxes(known, row.captions) if known or row.captions else None


def _box(entry: object, image: ImageRef) -> Box | None:
    if not isinstance(entry, Mapping):
        return None
    corners = entry.get("bbox", entry.get("box"))
    label = next((entry[name] for name in ("label", "category", "name") if name in entry), None)
    if not (isinstance(corners, list) and len(corners) == 4 and isinstance(label, str)):
        return None
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in corners):
        return None
    in_pixels = max(corners) > 1
    width, height = (image.width_px, image.height_px) if in_pixels else (1, 1)
    x0, y0, x1, y1 = corners[0] / width, corners[1] / height, corners[2] / width, corners[3] / height
    is_inside = 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
    return Box(label, x0, y0, x1, y1) if is_inside else None
