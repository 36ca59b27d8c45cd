"""The sheet on which people rate tasks: written without a word of who made which, and read back.

    sheet.csv       one row per task, in an order that tells nothing; raters fill in the last columns
    sheet_key.csv   which data sets a task stands in; not for raters
    rubric.md       what the levels and types mean

Source: AdaMLLM's appendix D has people rate 200 tasks of each data set; the form of the sheet is ours.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from acclimate.curate.labelled import ROOM, TRUTHS
from acclimate.curate.quality_rubrics import LEVELS, RUBRICS
from acclimate.curate.quality_types import TASK_TYPES
from acclimate.curate.ratings import Rating
from acclimate.curate.tables import TableRow, read_table, write_table
from acclimate.errors import DataError
from acclimate.files import write_text
from acclimate.records import ImageCaption, JudgedTriplet, Label, Rejection

SHEET = "sheet.csv"
KEY = "sheet_key.csv"
RUBRIC = "rubric.md"
SHOWN = ("id", "picture", "caption", "instruction", "informative", "precise")
LEVEL_COLUMNS = ("knowledge", "complexity", "accuracy")
FILLED = ("task_type", *LEVEL_COLUMNS, "consistent", "comment")
_READ = ("id", *FILLED[:-1])
_TYPE_BY_WORD: Mapping[str, str] = {
    **{name.casefold(): name for name in TASK_TYPES},
    **{str(number): name for number, name in enumerate(TASK_TYPES, start=1)},
}


def write_sheet(
    folder: Path,
    tasks: Sequence[JudgedTriplet],
    pair_by_id: Mapping[str, ImageCaption],
    sets_by_id: Mapping[str, Sequence[str]],
    picture: Callable[[ImageCaption], str],
) -> None:
    """Write the sheet, its key and the rubric.

    Args:
        tasks: in the order of the rows.
        pair_by_id: of all tasks.
        sets_by_id: names of the data sets that a task stands in, by task id.
        picture: what stands in a pair's picture column, for instance a path relative to the folder.
    """
    blank = [""] * len(FILLED)
    rows = (
        [
            task.id,
            picture(pair_by_id[task.pair_id]),
            pair_by_id[task.pair_id].caption,
            task.instruction,
            task.informative,
            task.precise,
            *blank,
        ]
        for task in tasks
    )
    write_table(folder / SHEET, (*SHOWN, *FILLED), rows)
    key = ([task.id, name, task.pair_id, task.generator] for task in tasks for name in sets_by_id[task.id])
    write_table(folder / KEY, ("id", "data_set", "pair_id", "generator"), key)
    write_text(folder / RUBRIC, rubric_page())


def rubric_page() -> str:
    """Return what raters read first."""
    lines = [
        "# How to rate",
        "",
        f"Fill in the columns {', '.join(FILLED)} of `{SHEET}`. Look at the picture for every task. Leave a",
        "cell empty where you cannot tell. Rate alone; do not look at another rater's sheet.",
        "",
    ]
    for name in LEVEL_COLUMNS:
        rubric = RUBRICS[name]
        lines += [f"## {name}", "", rubric.question, ""]
        lines += [f"- {level}: {said}" for level, said in zip(LEVELS, rubric.levels, strict=True)]
        lines.append("")
    lines += ["## consistent", "", "Do the informative and the precise answer agree?", ""]
    lines += [
        "- yes: who reads only the informative answer would give the precise one.",
        "- no: the informative answer says something else or does not lead there.",
        "- open: the question has no single right answer.",
        "- empty: there is one answer only.",
        "",
        "## task_type",
        "",
        "Write the name, or its number.",
        "",
    ]
    lines += [f"{number}. {name}: {said}." for number, (name, said) in enumerate(TASK_TYPES.items(), start=1)]
    return "\n".join([*lines, ""])


def read_key(folder: Path) -> dict[str, list[str]]:
    """Return the tasks' ids by data set, in the order of the sheet.

    Raises:
        DataError: the key is missing or damaged.
    """
    ids_by_set: dict[str, list[str]] = {}
    for row in read_table(folder / KEY, ("id", "data_set")):
        ids_by_set.setdefault(row.cells["data_set"], []).append(row.cells["id"])
    return ids_by_set


def read_sheet(path: Path, rater: str, known: Sequence[str]) -> list[Rating | Rejection]:
    """Return a rater's rows: one Rating or Rejection each, and a Rejection for each task without a row.

    Reasons: `bad_row`, `unknown_task`, `repeated_task`, `bad_level`, `unknown_type`, `bad_label`,
    `not_rated`, `missing_row`. A row with one bad cell is left out as a whole.

    Args:
        rater: the name that the ratings bear.
        known: ids of the sheet's tasks.

    Raises:
        DataError: the file cannot be read, lacks a column, or holds no rating.
    """
    found: list[Rating | Rejection] = []
    waiting = dict.fromkeys(known)
    seen: set[str] = set()
    for row in read_table(path, _READ):
        outcome = _rating(path, row, rater)
        task_id = row.cells.get("id", "")
        if isinstance(outcome, Rating) and task_id in seen:
            outcome = _rejected(path, row, "repeated_task", "the task has an earlier row")
        elif isinstance(outcome, Rating) and task_id not in waiting:
            outcome = _rejected(path, row, "unknown_task", f"{task_id!r} is no task of this sheet")
        seen.add(task_id)
        found.append(outcome)
    if not any(isinstance(each, Rating) for each in found):
        reasons = sorted({each.reason for each in found if isinstance(each, Rejection)})
        raise DataError(
            f"{path} holds no rating that can be read ({', '.join(reasons) or 'no rows'}); fill in the "
            f"columns {', '.join(FILLED)} of {SHEET}."
        )
    missing = (each for each in known if each not in seen)
    found += [
        Rejection(each, ROOM, "missing_row", f"{path.name} has no row of task {each}") for each in missing
    ]
    return found


def _rating(path: Path, row: TableRow, rater: str) -> Rating | Rejection:
    if row.problem:
        return _rejected(path, row, "bad_row", row.problem)
    cells = row.cells
    if not any(cells[name] for name in _READ[1:]):
        return _rejected(path, row, "not_rated", "all of the rater's cells are empty")
    levels: dict[str, int | None] = {}
    for name in LEVEL_COLUMNS:
        said = cells[name].removesuffix(".0").removesuffix(",0")
        if said and said not in {str(level) for level in LEVELS}:
            return _rejected(path, row, "bad_level", f"{name} is {cells[name]!r}; write a number from 1 to 5")
        levels[name] = int(said) if said else None
    kind = cells["task_type"].casefold()
    if kind and kind not in _TYPE_BY_WORD:
        return _rejected(path, row, "unknown_type", f"{cells['task_type'][:40]!r} is no task type")
    truth: Label | None = None
    if cells["consistent"]:
        truth = TRUTHS.get(cells["consistent"].lower())
        if truth is None:
            return _rejected(path, row, "bad_label", "`consistent` is none of yes, no and open")
    return Rating(
        task_id=cells["id"],
        rater=rater,
        task_type=_TYPE_BY_WORD.get(kind),
        knowledge=levels["knowledge"],
        complexity=levels["complexity"],
        accuracy=levels["accuracy"],
        consistent=truth,
    )


def _rejected(path: Path, row: TableRow, reason: str, why: str) -> Rejection:
    task_id = row.cells.get("id") or f"row {row.number}"
    return Rejection(task_id, ROOM, reason, f"{path.name}, row {row.number}: {why}")
