"""Triplets with the verdict of a person or an oracle, in CSV files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from acclimate.curate.tables import TableRow, read_table, write_table
from acclimate.records import JudgedTriplet, Label, Rejection, Triplet

COLUMNS = ("instruction", "informative", "precise", "label")
ROOM = "curate"
TRUTHS: Mapping[str, Label] = {
    "consistent": "consistent",
    "inconsistent": "inconsistent",
    "open": "open",
    "yes": "consistent",
    "no": "inconsistent",
}
"""What may stand in a label's cell, in any case; the judge's own words too."""


@dataclass(frozen=True, slots=True)
class LabelledTriplet:
    """A triplet of which the right verdict is known."""

    row: int
    """Its row in the file, as a spreadsheet counts; 0 where it comes from no file."""
    instruction: str
    informative: str
    precise: str
    label: Label


def read_labelled(path: Path) -> list[LabelledTriplet | Rejection]:
    """Return the rows of a CSV with the columns instruction, informative, precise and label.

    A row that cannot be used is a Rejection with reason `bad_row`, `bad_label` or `missing_text`; its detail
    names file and row.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    return [_labelled(path, row) for row in read_table(path, COLUMNS)]


def _labelled(path: Path, row: TableRow) -> LabelledTriplet | Rejection:
    def rejected(reason: str, why: str) -> Rejection:
        return Rejection(f"row {row.number}", ROOM, reason, f"{path.name}, row {row.number}: {why}")

    if row.problem:
        return rejected("bad_row", row.problem)
    instruction, informative, precise, said = (row.cells[name] for name in COLUMNS)
    missing = [name for name in COLUMNS[:3] if not row.cells[name]]
    if missing:
        return rejected("missing_text", f"{missing[0]} is empty, so there is nothing to compare")
    truth = TRUTHS.get(said.lower())
    if truth is None:
        return rejected("bad_label", f"the label is {said[:40]!r}; write one of {', '.join(TRUTHS)}")
    return LabelledTriplet(row.number, instruction, informative, precise, truth)


def write_labelled(
    path: Path, triplets: Iterable[Triplet | JudgedTriplet], label_by_id: Mapping[str, Label]
) -> int:
    """Write a CSV that `read_labelled` reads, and return how many rows it has.

    Left out are triplets without a label or labelled `unjudged`, and tasks with one answer only.

    Args:
        label_by_id: the right verdicts by triplet id.
    """
    rows = (
        (each.id, each.instruction, each.informative, each.precise, label_by_id[each.id])
        for each in triplets
        if each.precise and label_by_id.get(each.id, "unjudged") != "unjudged"
    )
    return write_table(path, ("id", *COLUMNS), rows)
