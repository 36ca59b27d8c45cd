"""The parts that every model of evidence is made of: exact values, and faults in words. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from acclimate.files import JSON

STRICT = ConfigDict(
    frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
)
"""Of every model here: nothing unknown, nothing converted (`"8"` is not 8), no NaN."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that may not stand in a record."""

    rule: str
    """The rule's name, as in docs/record.md."""
    where: str
    """Path of the field, for instance `claims[2].sentence`; empty for the record as a whole."""
    sentence: str
    """What contradicts what."""
    remedy: str
    """What to do, as a sentence."""
    value: str = ""
    """What stands there, cut to 200 characters; empty where that says nothing."""

    def __str__(self) -> str:
        """Return the problem as one paragraph."""
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.sentence} {self.remedy} [{self.rule}]"


def _is_a_day(text: str) -> str:
    date.fromisoformat(text)
    return text


def _is_a_moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _stays_inside(path: str) -> str:
    if path.startswith("/") or "\\" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError("a path counts from the record's folder or the run's, with / between its parts")
    return path


Day: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_is_a_day)]
"""A day as `YYYY-MM-DD`; days compare as text."""
Moment: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+]00:00)$"),
    AfterValidator(_is_a_moment),
]
"""A moment in UTC, to the second."""
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""64 hex digits."""
Inside: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[^/\\]"), AfterValidator(_stays_inside)]
"""A relative path that never leaves its folder."""
Words: TypeAlias = Annotated[str, Field(min_length=1)]
"""Text that may not be empty."""


def canonical(value: JSON) -> bytes:
    """Return the one form of a JSON value that is hashed: keys sorted, no spaces, UTF-8.

    Numbers are written as Python writes them (the shortest digits that give the same double); 8 and 8.0
    differ. Source: our own rule.

    Raises:
        ValueError: the value holds NaN, infinity or half of a surrogate pair.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def parsed(model: type[M], data: JSON) -> M | list[Problem]:
    """Return the model of a JSON value, or every fault of its shape in words."""
    try:
        text = canonical(data)
    except (ValueError, TypeError, RecursionError) as error:
        said = f"The value cannot be written as JSON in UTF-8 ({error})."
        return [Problem("shape", "", said, "Take NaN, infinities and broken characters out of it.")]
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        return [_fault(each, data) for each in error.errors(include_url=False)]


def _fault(error: Any, data: JSON) -> Problem:  # noqa: ANN401 - a pydantic error is an untyped dict
    where = _path(error["loc"], data)
    kind, limits = error["type"], error.get("ctx", {})
    shown = _shown(error.get("input"))
    if kind == "missing":
        name, _, last = where.rpartition(".")
        return Problem(
            "shape", where, f"The field {last} is missing.", f"Give {name or 'the record'} this field."
        )
    if kind == "extra_forbidden":
        return Problem("shape", where, "No such field is known.", "Take it out, or correct its name.", shown)
    if kind == "literal_error":
        return Problem(
            "shape", where, f"It is {shown}.", f"It must be {_list(limits['expected'])}.", value=shown
        )
    if kind == "value_error":
        said = str(limits.get("error", error["msg"]))
        return Problem("shape", where, f"It is {shown}: {said}.", "Correct the value.", shown)
    needed = _NEEDED.get(kind)
    if needed is None:
        needed = _in_words(error["msg"])
    return Problem("shape", where, f"It is {shown}.", f"It must be {needed.format(**limits)}.", shown)


_NEEDED: Mapping[str, str] = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "string_too_long": "text of at most {max_length} characters",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "too_short": "a list of at least {min_length}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "string_pattern_mismatch": "text of the form {pattern}",
}


def _in_words(message: str) -> str:
    said = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return said.replace("{", "{{").replace("}", "}}").rstrip(".")


def _list(expected: str) -> str:
    return expected.replace("'", "")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:197] + "..."


def _path(location: Sequence[int | str], data: JSON) -> str:
    """Return the field's path; the members of a union, which pydantic adds to it, are left out."""
    path, level = "", data
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            level = level[part] if isinstance(level, list) and part < len(level) else None
        elif isinstance(level, Mapping) and part in level:
            path += f".{part}"
            level = level[part]
        elif part is location[-1] and not _is_a_type(part):
            path += f".{part}"
    return path.removeprefix(".")


def _is_a_type(part: str) -> bool:
    return part in ("int", "float", "str", "bool", "none") or re.search(r"[\[(]", part) is not None
