"""Claim sets: a paper's claims in our own words, and where in which numbers each would show.

A set is a YAML file. Each claim says what it compares in a table of numbers (`compares`, `over`, `quantity`),
on which arms of which study it is mapped (`study`), and which measurement of a run decides it (`measure`).
"""

from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from acclimate.errors import DataError, UsageError
from acclimate.report.tested import Direction

Kind: TypeAlias = Literal["training", "synthesis", "alignment", "reliance"]
"""A study of this package; `acclimate study KIND`."""
Extent: TypeAlias = Literal["all", "most"]
"""Whether a claim is made of every row, or of more than half of them."""
Said: TypeAlias = Literal["text", "numbers", "ours"]
"""`text`: the source says it in words; `numbers`: only its numbers do; `ours`: we claim it beside them."""
Values: TypeAlias = str | tuple[str, ...]

AVERAGE, EACH = "average", "each"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Source(_Strict):
    """Where the claims come from."""

    title: str = Field(min_length=1)
    id: str = Field(min_length=1)
    """For instance `arXiv 2411.19930v1`."""
    note: str = ""
    """What a reader must know of it."""


class Compared(_Strict):
    """The two rows of a table that a claim compares, by attributes; a list of values means any of them."""

    first: dict[str, Values] = Field(min_length=1)
    second: dict[str, Values] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> "Compared":
        if self.first == self.second:
            raise ValueError("first and second are the same rows; give them attributes that differ")
        return self


class Part(_Strict):
    """A difference that a study measures: first minus second."""

    kind: Kind
    first: Values
    """An arm by the name the study's page gives it; of several names the first that the study has."""
    second: Values
    of: str = Field(min_length=1)
    """What is measured, by the name the study's page gives it."""
    table: Literal["6", "7", "8"] | None = None
    """Of the synthesis study: the table that the columns are of."""
    share: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Claimed is that the first's gain is at least so much of the second's."""
    over: tuple[str, str] | None = None
    """Claimed is that the first gains less over the second than the former of these over the latter."""


class SetClaim(_Strict):
    """One claim of a set."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    sentence: str = Field(min_length=10, max_length=1000, pattern=r"[.?!]$")
    """A complete sentence of our own."""
    place: str = Field(alias="in", min_length=1)
    """Where in the source: `Table 4`."""
    said: Said = "text"
    paper: str = ""
    """The source's own numbers, for people."""
    compares: Compared | None = None
    """None where no table of numbers could show it."""
    over: Literal["all"] | dict[str, Values] = "all"
    """The rows that count: all pairs there are, or those with these attributes."""
    quantity: str = AVERAGE
    """`average`, `each` (every benchmark of every pair is a row), or a benchmark's name."""
    extent: Extent = "all"
    direction: Direction = "higher"
    margin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """A fraction of full marks, as in recipes: 0.01 is one point."""
    study: tuple[Part, ...] = ()
    measure: str | None = None
    """`Measurement.key` of a run; first minus second, as `macro/adapted-base/original`."""

    @model_validator(mode="after")
    def _judgeable(self) -> "SetClaim":
        if self.compares is None and not self.study and self.measure is None:
            raise ValueError("nothing can judge it; give it compares, study or measure")
        return self


class ClaimSet(_Strict):
    """The claims of one source."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str = Field(min_length=1)
    source: Source
    claims: tuple[SetClaim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _named_once(self) -> "ClaimSet":
        twice = [name for name, n in Counter(each.id for each in self.claims).items() if n > 1]
        if twice:
            raise ValueError(f"the id {twice[0]!r} stands on several claims; every claim needs its own")
        return self


def shipped() -> tuple[str, ...]:
    """Return the names of the sets that come with the package, sorted."""
    return tuple(sorted(each.name.removesuffix(".yaml") for each in _folder() if each.name.endswith(".yaml")))


def load_set(name: str) -> ClaimSet:
    """Return a set by its name, or from a YAML file of the user's.

    Raises:
        UsageError: there is no such set.
        DataError: the file cannot be read or is not a claim set; every fault is named with its claim.
    """
    if name in shipped():
        return _shipped_set(name)
    path = Path(name)
    if not path.exists() and path.suffix not in {".yaml", ".yml"}:
        raise UsageError(
            f"There is no claim set {name!r}; there are {', '.join(shipped())}, or give a YAML file."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    return parse_set(text, str(path))


def parse_set(text: str, where: str) -> ClaimSet:
    """Return the set that a YAML text holds.

    Args:
        where: the file's name, for messages.

    Raises:
        DataError: it is none.
    """
    try:
        data: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise DataError(f"{where} is not valid YAML{line}: {problem}. Correct it there.") from error
    if not isinstance(data, dict):
        raise DataError(f"{where} is not a claim set; it must hold the keys id, title, source and claims.")
    try:
        return ClaimSet.model_validate(data)
    except ValidationError as error:
        faults = [_fault(each, data) for each in error.errors()]
        raise DataError(f"{where}: {'; '.join(faults)}. docs/claim_sets.md lists the keys.") from error


@cache
def _shipped_set(name: str) -> ClaimSet:
    text = next(each for each in _folder() if each.name == f"{name}.yaml").read_text(encoding="utf-8")
    return parse_set(text, f"{name}.yaml")


def _folder() -> list[Any]:
    return list(files("acclimate.claim_sets").iterdir())


def _fault(error: Any, data: dict[str, Any]) -> str:  # noqa: ANN401 - pydantic's own
    """Return one fault with the claim it stands on and what to do about it."""
    place: tuple[int | str, ...] = error["loc"]
    who = ""
    if len(place) > 1 and place[0] == "claims" and isinstance(place[1], int):
        claim = data["claims"][place[1]]
        named = claim.get("id") if isinstance(claim, dict) else None
        who = f"claim {named!r}: " if named else f"claim number {place[1] + 1}: "
        place = place[2:]
    key = ".".join(map(str, place))
    if error["type"] == "extra_forbidden":
        return f"{who}unknown key {key!r}; take it out or correct its name"
    if error["type"] == "missing":
        return f"{who}the key {key!r} is missing; add it"
    said = " ".join(error["msg"].removeprefix("Value error, ").split())
    return f"{who}{key}: {said}" if key else f"{who}{said}"
