"""Turns what is not a score of the run itself into tables: rooms, times, costs, ablations, studies (pure)."""

import math
from collections.abc import Iterable, Mapping, Sequence

from acclimate.report.blocks import NOTHING, Cell, Column, Row, Table, Verdict, cells, numbers
from acclimate.report.claims import points
from acclimate.report.inputs import Audit, Cost, ReportInputs, RoomSummary
from acclimate.report.reliance import VECTOR, Reliance
from acclimate.report.robustness import ALL, GROUPS, Robustness
from acclimate.report.tables import MACRO, MARKS_NOTE, Found, cell, subjects
from acclimate.report.tested import Judged

_SIGNED = ("VRS", "dVRS", "MG")
RELATIVE_DROP = "relative_drop"


def verdicts(found: Iterable[Judged]) -> tuple[Verdict, ...]:
    """Return claims as they are printed: supported ones first, then refuted, then open."""
    order = ("supported", "refuted", "open")
    ranked = sorted(found, key=lambda each: order.index(each.standing))
    return tuple(
        Verdict(
            each.standing, each.claim.sentence, each.reason, each.written == "after", key=each.claim.measure
        )
        for each in ranked
    )


def audit(found: Audit, name: str) -> Table:
    """Return a table that the caller formatted."""
    head, *others = found.columns
    is_number = [all(_is_number(row[at]) for row in found.rows) for at in range(1, len(found.columns))]
    columns = [Column(head)]
    columns += [Column(title, is_number=which) for title, which in zip(others, is_number, strict=True)]
    rows = tuple(Row(tuple(Cell(value) for value in row)) for row in found.rows)
    return Table(name, found.title, tuple(columns), rows, found.note)


def _is_number(text: str) -> bool:
    return not text.strip() or text.strip()[0] in "+-−–0123456789"


def rooms(found: Sequence[RoomSummary]) -> Table | None:
    """Return what each room kept, and why not the rest."""
    rows = []
    for each in found:
        n_rejected = sum(each.rejections.values())
        whole = each.inputs
        kept = points((whole - n_rejected) / whole) if whole and n_rejected <= whole else ""
        reasons = sorted(each.rejections.items(), key=lambda item: (-item[1], item[0]))
        why = "; ".join(f"{reason} {n}" for reason, n in reasons)
        more = "; ".join(f"{name} {n}" for name, n in each.counts.items())
        rows.append(Row(cells((each.name, each.inputs, each.outputs, n_rejected, kept, why, more))))
    columns = (
        Column("room"),
        *numbers("inputs", "outputs", "rejected", "kept, %"),
        Column("reasons of rejection", is_wide=True),
        Column("further counts", is_wide=True),
    )
    note = "Every input has at least one output or exactly one rejection."
    return (
        Table("rooms", "Inputs, outputs and rejections of every room", columns, tuple(rows), note)
        if rows
        else None
    )


def times(found: Sequence[tuple[str, float]]) -> Table | None:
    """Return the seconds of every part and their share of the whole."""
    total = sum(seconds for _, seconds in found)
    rows = []
    for name, seconds in found:
        share = 100 * seconds / total if total else 0.0
        rows.append(Row((Cell(name), Cell(duration(seconds)), Cell(f"{share:.0f}", bar=share))))
    if len(rows) > 1:
        rows.append(Row((Cell("together"), Cell(duration(total)), Cell("100")), is_total=True))
    columns = (Column("part"), *numbers("time", "share, %"))
    return Table("times", "Where time went", columns, tuple(rows)) if rows else None


def duration(seconds: float) -> str:
    """Return seconds in the unit that people would say them in."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{seconds / 60:.1f} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def tokens(found: Mapping[str, int]) -> Table | None:
    """Return the tokens that each training learned from."""
    rows = tuple(Row((Cell(name), Cell(f"{n:,}"))) for name, n in found.items())
    columns = (Column("training"), *numbers("trained tokens"))
    return Table("tokens", "Tokens learned from, over all steps", columns, rows) if rows else None


def costs(found: Sequence[Cost]) -> Table | None:
    """Return what servers took: requests, tokens and money."""
    rows = [
        Row(
            cells(
                (
                    each.name,
                    f"{each.requests:,}",
                    f"{each.prompt_tokens:,}",
                    f"{each.reply_tokens:,}",
                    _money(each.money, each.currency),
                )
            )
        )
        for each in found
    ]
    if len(found) > 1:
        currencies = {each.currency for each in found}
        paid = [each.money for each in found if each.money is not None]
        whole = (
            _money(sum(paid), found[0].currency) if len(currencies) == 1 and len(paid) == len(rows) else ""
        )
        sums = (
            sum(each.requests for each in found),
            sum(each.prompt_tokens for each in found),
            sum(each.reply_tokens for each in found),
        )
        rows.append(Row(cells(("together", *(f"{n:,}" for n in sums), whole)), is_total=True))
    columns = (Column("part"), *numbers("requests", "prompt tokens", "reply tokens", "money"))
    return Table("costs", "What servers took", columns, tuple(rows)) if rows else None


def _money(amount: float | None, currency: str) -> str:
    return "" if amount is None else f"{amount:,.2f} {currency}".strip()


def environment(inputs: ReportInputs) -> Table | None:
    """Return what the run ran on."""
    rows = tuple(Row(cells((name, value))) for name, value in inputs.environment.items())
    columns = (Column("what"), Column("value", is_wide=True))
    return Table("environment", "What the run ran on", columns, rows) if rows else None


def ablations(found: Found) -> Table | None:
    """Return the whole recipe and every arm on every benchmark, their mean, and what the arm's part gives."""
    arms = found.inputs.ablations
    named = subjects(found.domain, MACRO)
    rows = [_arm(found, named, "adapted", "the whole recipe", "–")]
    rows += [_arm(found, named, each.role, each.name, each.differs) for each in arms]
    columns = (Column("arm"), Column("differs in", is_wide=True), *numbers(*(title for _, title in named)))
    caption = "Ablations, points of 100 with 95 % intervals"
    whole = f"whole − arm, {named[-1][1]}" if named else ""
    return Table("ablations", caption, (*columns, *numbers(whole)), tuple(rows), MARKS_NOTE) if arms else None


def _arm(found: Found, named: Sequence[tuple[str, str]], role: str, name: str, differs: str) -> Row:
    scores = (cell(found.by_key.get(f"{key}/{role}/original")) for key, _ in named)
    part = found.by_key.get(f"{named[-1][0]}/adapted-{role}/original") if named else None
    return Row((Cell(name), Cell(differs), *scores, cell(part, signed=True)))


def task_types(by_arm: Mapping[str, Mapping[str, int]]) -> Table | None:
    """Return how many tasks of each type every data set has, and their share."""
    counts = {
        kind: sum(arm.get(kind, 0) for arm in by_arm.values()) for arm in by_arm.values() for kind in arm
    }
    rows = []
    for kind in sorted(counts, key=lambda name: (-counts[name], name)):
        shown = [Cell(kind)]
        for arm in by_arm.values():
            n, whole = arm.get(kind, 0), sum(arm.values())
            share = 100 * n / whole if whole else 0.0
            shown += [Cell(str(n)), Cell(f"{share:.1f}", bar=share)]
        rows.append(Row(tuple(shown)))
    columns = [Column("task type")]
    for name in by_arm:
        columns += numbers(f"{name}, tasks", f"{name}, %")
    return Table("task-types", "Tasks by their type", tuple(columns), tuple(rows)) if rows else None


def reliance_vector(found: Sequence[Reliance]) -> Table | None:
    """Return the whole vector of visual reliance over all benchmarks, one row per model or difference."""
    rows = [each for each in found if each.level == "macro"]
    shown = [
        name
        for name in (*VECTOR, *(f"d{name}" for name in VECTOR))
        if any(each.measure == name for each in rows)
    ]
    models = list(dict.fromkeys(each.model for each in rows if each.measure in shown))
    made = []
    for model in models:
        of_model: dict[str, Reliance] = {}
        for each in rows:
            if each.model == model:
                of_model.setdefault(each.measure, each)
        made.append(Row((Cell(model), *(_estimate(of_model.get(name), name) for name in shown))))
    note = (
        "Means over benchmarks. VRS: A_orig − A_mismatch (acc_real_minus_mismatch/v1); nVRS: its share of "
        "what lies above chance; IS_net: answers that change with the picture beyond those that change by "
        "themselves; ML: what the untouched model does not know without a picture and this one does."
    )
    columns = (Column("model"), *numbers(*shown))
    caption = "Visual reliance: the whole vector, points of 100 with 95 % intervals"
    return Table("reliance-vector", caption, columns, tuple(made), note) if made else None


def robustness(found: Sequence[Robustness]) -> Table | None:
    """Return relative drops over all benchmarks (or the only one), by group of corruptions."""
    rows = drops(found)
    groups = [name for name in GROUPS if any(each.corruption == name for each in rows)]
    made = []
    for model in dict.fromkeys(each.model for each in rows):
        of_model = {each.corruption: each for each in rows if each.model == model}
        is_difference = any(each.measure.startswith("d") for each in of_model.values())
        shown = (_drop(of_model.get(name), is_signed=is_difference) for name in groups)
        made.append(Row((Cell(model), *shown)))
    columns = (Column("model"), *numbers(*("all asked" if name == ALL else name for name in groups)))
    caption = "Share of the score that is lost when pictures are corrupted, % with 95 % intervals"
    note = "Relative drop (relative_drop/v1): (original − corrupted) / original; means over severities."
    return Table("robustness", caption, columns, tuple(made), note) if made and groups else None


def drops(found: Sequence[Robustness]) -> list[Robustness]:
    """Return the relative drops, and their differences, of groups of corruptions over all severities."""
    chosen = [
        each
        for each in found
        if each.measure in (RELATIVE_DROP, f"d{RELATIVE_DROP}")
        and each.severity == 0
        and each.corruption in GROUPS
    ]
    whole = [each for each in chosen if each.level == "macro"]
    benchmarks = {each.benchmark for each in chosen}
    return whole or [each for each in chosen if each.is_primary and len(benchmarks) == 1]


def _estimate(found: Reliance | None, measure: str) -> Cell:
    if found is None:
        return NOTHING
    is_signed = measure in _SIGNED or measure.startswith("d")
    return _spanned(found.value, found.low, found.high, found.flag, is_signed=is_signed)


def _drop(found: Robustness | None, *, is_signed: bool) -> Cell:
    if found is None:
        return NOTHING
    return _spanned(found.value, found.low, found.high, found.flag, is_signed=is_signed)


def _spanned(value: float, low: float, high: float, flag: str, *, is_signed: bool) -> Cell:
    """Return a value in points with its interval; what is not defined says why."""
    if not math.isfinite(value):
        return Cell("not defined", flag)
    ends = f"{points(low, signed=is_signed)} to {points(high, signed=is_signed)}"
    return Cell(points(value, signed=is_signed), ends if math.isfinite(low) and math.isfinite(high) else flag)
