"""Hand-labelled pairs of a claim and a passage, and their folds. Pure but for `read_pairs`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acclimate.errors import DataError
from acclimate.grounding.claims import cut_offs
from acclimate.grounding.passages import Line, sentences
from acclimate.grounding.reading import Reading, read
from acclimate.records import content_id


class Pair(BaseModel):
    """A claim, a passage, and what a person says about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str = Field(min_length=1)
    passage: str = Field(min_length=1)
    label: Literal["supports", "does_not_support", "contradicts"]
    """`supports`: who has only the passage accepts all that the claim says. `contradicts`: the passage says
    otherwise. `does_not_support`: neither; a claim that is supported in part belongs here."""
    source: str
    """Where the passage is from."""
    note: str = ""
    group: str = ""
    """Pairs of one group stay in one fold; set by `read_pairs`."""

    def claim_read(self) -> Reading:
        """Return the claim, read; a cut-off one without its last word."""
        return read(self.claim, truncated=cut_offs([self.claim])[0])

    def passage_read(self) -> tuple[Reading, ...]:
        """Return the sentences of the passage, read."""
        return tuple(read(each.text) for each in sentences([Line(1, None, self.passage)]))


def read_pairs(path: Path) -> list[Pair]:
    """Return the labelled pairs of a file of JSON lines, each with its group.

    Raises:
        DataError: the file cannot be read, or a line is no pair.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a file of JSON lines in UTF-8.") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            pairs.append(Pair.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise DataError(
                f"{path}, line {number}: {first}. A pair is a JSON object with claim, passage, label "
                "(supports, does_not_support or contradicts) and source."
            ) from error
    return grouped(pairs)


def grouped(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with their groups: pairs that share a claim or a passage, also by others, are one."""
    root: dict[str, str] = {}

    def top(key: str) -> str:
        while root.setdefault(key, key) != key:
            key = root[key]
        return key

    for pair in pairs:
        one, other = top(f"claim {pair.claim}"), top(f"passage {pair.passage}")
        root[max(one, other)] = min(one, other)
    return [pair.model_copy(update={"group": content_id(top(f"claim {pair.claim}"))}) for pair in pairs]


def folds(pairs: Sequence[Pair], n_folds: int) -> list[int]:
    """Return the fold of every pair: groups, largest first, each to the fold that has the fewest pairs."""
    sizes: dict[str, int] = {}
    for pair in pairs:
        sizes[pair.group] = sizes.get(pair.group, 0) + 1
    filled = [0] * n_folds
    fold_of: dict[str, int] = {}
    for group in sorted(sizes, key=lambda each: (-sizes[each], each)):
        fold = min(range(n_folds), key=lambda each: (filled[each], each))
        fold_of[group] = fold
        filled[fold] += sizes[group]
    return [fold_of[pair.group] for pair in pairs]
