"""A study's differences, from its `study.json` or from the Markdown page that `acclimate study` writes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from acclimate.claim_sets.numbers import Difference, Spread, StudyNumbers
from acclimate.claim_sets.said import Said, measured, said, trained_from
from acclimate.claim_sets.sets import Kind
from acclimate.errors import DataError

_LEVELS = {"knowledge", "complexity", "accuracy"}
"""Levels 1 to 5 of the synthesis study; a level is a fifth of the scale."""
_HALF_A_STEP = 0.0005
"""Pages print tenths of points."""
_TITLES: dict[str, Kind] = {
    "# Ways of post-training": "training",
    "# Synthesis quality": "synthesis",
    "# Truth and norms after visual instruction tuning": "alignment",
}
_CELL = re.compile(r"([+-]?\d+(?:\.\d+)?) \(([+-]?\d+(?:\.\d+)?) to ([+-]?\d+(?:\.\d+)?)(?:; ([^)]+))?\)")


def kind_of(data: dict[str, Any]) -> Kind | None:
    """Return which study a JSON object is the result of; None where it is of none."""
    marks: tuple[tuple[Kind, set[str]], ...] = (
        ("training", {"shares_of_gain", "changes", "claims"}),
        ("synthesis", {"tables", "tasks", "claims"}),
        ("alignment", {"checks", "changes", "claims"}),
        ("reliance", {"measured", "token_ratio"}),
    )
    return next((kind for kind, keys in marks if keys <= data.keys()), None)


def study_of_json(data: dict[str, Any], kind: Kind, path: Path) -> StudyNumbers:
    """Return the differences of a `study.json`.

    Raises:
        DataError: it is not what that study writes.
    """
    try:
        if kind == "reliance":
            differences, arms = _reliance(data)
        else:
            differences = [*_judged(data["claims"], kind, path), *_changes(data.get("changes", {}))]
            cells = data["tables"].values() if kind == "synthesis" else [data["scores"]]
            arms = {name for rows in cells for name in rows}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"{path} is not a whole study.json of the {kind} study ({type(error).__name__}: {error}); "
            "give the file as `acclimate study` wrote it."
        ) from error
    return StudyNumbers(path, kind, tuple(differences), frozenset(arms), limit=data.get("limit"))


def study_of_page(text: str, path: Path) -> StudyNumbers:
    """Return the differences of a study's Markdown page.

    Raises:
        DataError: the page is of no study that is read here, or a cell of its claims is not as it should be.
    """
    title = next((line for line in text.splitlines() if line.startswith("# ")), "")
    kind = next((kind for begin, kind in _TITLES.items() if title.startswith(begin)), None)
    if kind is None:
        raise DataError(
            f"{path} is no page of a study whose claims are read here (training, synthesis, alignment: "
            "told by its first heading); give the study's study.json."
        )
    differences: list[Difference] = []
    arms: set[str] = set()
    has_claims = False
    for head, rows in _tables(text):
        if {"claim", "ours", "standing"} <= set(head):
            has_claims = True
            differences += _claims_of_page(head, rows, kind, path)
        elif head[0] == "model":
            arms |= {row[0].rstrip("*") for row in rows}
        elif head[:2] == ["measure", "whose"]:
            arms |= set(head[2:])
    if not has_claims:
        raise DataError(f"{path} has no table with the columns claim, ours and standing; give a whole page.")
    differences += _changes_of_page(text, path)
    limit = re.search(r"used a limit of (\d+) rows", text)
    bound = int(limit.group(1)) if limit else None
    return StudyNumbers(path, kind, tuple(differences), frozenset(arms), _HALF_A_STEP, bound)


# --- study.json ------------------------------------------------------------------------------------------


def _judged(claims: Sequence[dict[str, Any]], kind: Kind, path: Path) -> Iterator[Difference]:
    for each in claims:
        what = _taken_apart(each["claim"], kind, path)
        size = 0.2 if kind == "synthesis" and what.of in _LEVELS else 1.0
        yield _difference(what, _spread(each["found"], size), each["standing"])


def _changes(changes: dict[str, Any]) -> Iterator[Difference]:
    for arm, row in changes.items():
        for name, found in row.items():
            yield Difference(arm, trained_from(arm), measured(name), _spread(found))


def _spread(found: dict[str, Any] | None, size: float = 1.0) -> Spread | None:
    if found is None:
        return None
    own = found.get("span", found)
    seeds = tuple(size * float(each) for each in own["by_seed"])
    value, low, high = (size * float(own[name]) for name in ("value", "low", "high"))
    return Spread(value, low, high, seeds, len(seeds))


def _reliance(data: dict[str, Any]) -> tuple[list[Difference], set[str]]:
    """Return the differences over all benchmarks, with donors of the default policy."""
    rows = [
        each
        for each in data["measured"]
        if (each["level"], each["kind"]) == ("macro", "all")
        and each["donor_policy"] in ("within_benchmark", "none")
    ]
    arms = {each["model"] for each in rows if not each["measure"].startswith("d")}
    differences = []
    for each in rows:
        first, _, second = each["model"].rpartition("-")
        if each["measure"].startswith("d") and first:
            value, low, high = (each[end] for end in ("value", "low", "high"))
            is_there = None not in (value, low, high)
            found = Spread(value, low, high, n_seeds=each["n_seeds"]) if is_there else None
            differences.append(Difference(first, second, each["measure"].removeprefix("d"), found))
    return differences, arms


# --- pages -----------------------------------------------------------------------------------------------


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield every Markdown table: its head, and its rows as cells."""
    lines: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if len(lines) > 2:
            yield lines[0], lines[2:]
        lines = []


def _claims_of_page(
    head: Sequence[str], rows: Sequence[Sequence[str]], kind: Kind, path: Path
) -> Iterator[Difference]:
    for row in rows:
        if len(row) != len(head):
            raise DataError(f"{path}: the row {row[0]!r} has {len(row)} cells for {len(head)} columns.")
        by_name = dict(zip(head, row, strict=True))
        what = _taken_apart(by_name["claim"], kind, path)
        yield _difference(what, _spread_of_cell(by_name["ours"], row[0], path), by_name["standing"])


def _changes_of_page(text: str, path: Path) -> Iterator[Difference]:
    below = text.partition("\n## Changes\n")[2].partition("\n## ")[0]
    for head, rows in _tables(below):
        for row in rows:
            by_name = dict(zip(head, row, strict=False))
            arm = row[0].rstrip("*")
            start = by_name.get("against", trained_from(arm))
            for name, cell in by_name.items():
                if name not in ("model", "against") and not name.startswith("share of"):
                    found = _spread_of_cell(cell, f"{row[0]}, {name}", path)
                    yield Difference(arm, start, measured(name), found)


def _spread_of_cell(cell: str, where: str, path: Path) -> Spread | None:
    """Return the value of `+0.7 (-0.5 to +2.0; -0.6 +0.1 +2.7)`, in points, as fractions."""
    if cell == "-":
        return None
    found = _CELL.fullmatch(cell)
    if found is None:
        raise DataError(
            f"{path}: the cell {cell!r} of {where!r} is not of the form `value (low to high; seeds)`; "
            "give the page as `acclimate study` wrote it."
        )
    value, low, high, seeds = found.groups()
    by_seed = tuple(float(each) / 100 for each in (seeds or value).split())
    return Spread(float(value) / 100, float(low) / 100, float(high) / 100, by_seed, len(by_seed))


# --- both ------------------------------------------------------------------------------------------------


def _taken_apart(sentence: str, kind: Kind, path: Path) -> Said:
    found = said(sentence, kind)
    if found is None:
        raise DataError(
            f"{path}: {sentence!r} is not how the {kind} study words a claim; "
            "use the version of acclimate that wrote the file."
        )
    return found


def _difference(what: Said, found: Spread | None, standing: str) -> Difference:
    return Difference(
        what.first,
        what.second,
        what.of,
        found,
        what.sign,
        standing,
        what.table,
        what.share,
        what.over,
    )
