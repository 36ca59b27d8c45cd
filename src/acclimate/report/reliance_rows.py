"""The data that visual reliance is measured from: one row per model, item, condition and replicate. Pure."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from acclimate.errors import BenchmarkError
from acclimate.records import Item, Prediction, Score
from acclimate.report.statistics import Column
from acclimate.report.visual_claims import VISUAL_WORDS, ClaimDetector

ORIGINAL = "original"
TEXT_ONLY = "text_only"
POLICIES: Mapping[str, str] = {
    "mismatch": "within_benchmark",
    "mismatch_within_stratum": "within_stratum",
    "mismatch_cross_stratum": "cross_stratum",
    "mismatch_contrast": "contrast",
}
"""Donor policies by condition."""
PARTIAL: frozenset[str] = frozenset({"mismatch_contrast"})
"""Conditions that may leave items out, the same for all models."""
Join: TypeAlias = Literal["strict", "inner"]
Cell: TypeAlias = tuple[str, str, int]
"""Model, condition and replicate."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one model answered to one item under one condition, and its mark."""

    model: str
    item: str
    benchmark: str
    condition: str
    """Without the replicate."""
    replicate: int
    s: float
    """The one scorer's mark, 0 to 1."""
    y: str
    """The answer, normalised: equal where the reply says the same."""
    valid: bool
    """Whether an answer could be read; where not, `s` is 0."""
    cluster: str
    chance: float = math.nan
    """What a guesser is expected to score on the item, 0 to 1; NaN where unknown."""
    kind: str = ""
    """The answer kind; one per benchmark."""
    stratum: str = ""
    gold: str = ""
    """The right answer, normalised."""
    image: str = ""
    """SHA-256 of the picture shown; empty for none."""
    claim: bool = False
    """Whether the reply claims to see something particular."""
    log_likelihood: float | None = None
    """Of the right answer given picture and question, in nats per token."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How records are read as rows."""

    normalised: Callable[[Item, str], str]
    """A reply as an answer (`evaluate.normalised.normalised_answer`)."""
    chance: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By benchmark and item, where it is not `usual_chance`: the training file's majority of open answers."""
    detector: ClaimDetector = VISUAL_WORDS
    log_likelihood: Mapping[tuple[str, str, str, str], float] = field(default_factory=dict)
    """By benchmark, item, model and condition with replicate."""


def usual_chance(item: Item) -> float:
    """Return 1/K for K choices and 1/2 for a closed question without choices; NaN for other kinds."""
    if item.kind == "choice" or (item.kind == "closed" and item.choices):
        return 1.0 / len(item.choices)
    return 0.5 if item.kind == "closed" else math.nan


def parted(condition: str) -> tuple[str, int]:
    """Return a condition's name and its replicate: `mismatch.2` is the third, `mismatch` the first."""
    name, _, replicate = condition.partition(".")
    return (name, int(replicate)) if replicate.isdecimal() else (condition, 0)


def rows_of(
    items: Iterable[Item],
    predictions: Iterable[Prediction],
    scores: Iterable[Score],
    primary: Mapping[str, str],
    reading: Reading,
) -> list[Row]:
    """Return one row per score of the primary scorer.

    Args:
        items: of all benchmarks.
        predictions: at least those that were scored.
        scores: of every scorer; the primary one's are used.
        primary: each benchmark's one scorer, the same for all conditions.
        reading: how replies become answers, chance levels and claims.

    Raises:
        BenchmarkError: a score has no item or no prediction, a benchmark has no primary scorer, or the
            primary one is a metric that is no mean of the items' marks.
    """
    item_by_key = {(each.benchmark, each.id): each for each in items}
    said = {(each.model, each.condition, each.benchmark, each.item_id): each for each in predictions}
    rows = []
    for score in scores:
        where = f"benchmark {score.benchmark}: item {score.item_id} ({score.model}, {score.condition})"
        if score.benchmark not in primary:
            raise BenchmarkError(f"{where} has no primary scorer; name one for its benchmark")
        if score.scorer != primary[score.benchmark]:
            continue
        item = item_by_key.get((score.benchmark, score.item_id))
        prediction = said.get((score.model, score.condition, score.benchmark, score.item_id))
        if item is None or prediction is None:
            raise BenchmarkError(f"{where} has a score but no question or no reply; give all three together")
        if score.parts:
            raise BenchmarkError(
                f"{where} is marked by {score.scorer}, which is no mean of the items' marks, so no item has "
                "a reliance of its own; name another scorer"
            )
        rows.append(_row(item, prediction, score, reading))
    return rows


def _row(item: Item, prediction: Prediction, score: Score, reading: Reading) -> Row:
    condition, replicate = parted(score.condition)
    key = (item.benchmark, item.id)
    return Row(
        model=score.model,
        item=item.id,
        benchmark=item.benchmark,
        condition=condition,
        replicate=replicate,
        s=score.value,
        y=reading.normalised(item, prediction.text),
        valid=score.parsed,
        cluster=score.cluster,
        chance=reading.chance.get(key, usual_chance(item)),
        kind=item.kind,
        stratum=item.stratum,
        gold=" | ".join(sorted(gold.strip().casefold() for gold in item.gold)),
        image="" if prediction.image is None else prediction.image.sha256,
        claim=reading.detector.has_claim(item.question, prediction.text),
        log_likelihood=reading.log_likelihood.get((*key, score.model, score.condition)),
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an item whoever answers it."""

    cluster: str
    chance: float
    kind: str
    stratum: str
    gold: str


@dataclass(frozen=True, slots=True)
class Table:
    """One benchmark's rows, checked."""

    benchmark: str
    facts: Mapping[str, Facts]
    """By item, in order; all of them are covered by every condition that is not partial."""
    cells: Mapping[Cell, Mapping[str, Row]]
    n_lost: int = 0
    """Items that some condition or model had and others not; only an inner join loses any."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models, in order of coming."""
        return tuple(dict.fromkeys(model for model, _, _ in self.cells))

    @property
    def kind(self) -> str:
        """The answer kind of all items; `mixed` where they have several."""
        kinds = {each.kind for each in self.facts.values()}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def clusters(self) -> Mapping[str, str]:
        """Cluster by item."""
        return {item: facts.cluster for item, facts in self.facts.items()}

    def conditions(self, model: str) -> dict[str, int]:
        """Return a model's conditions and how many replicates each has."""
        found: dict[str, int] = {}
        for who, condition, _ in self.cells:
            if who == model:
                found[condition] = found.get(condition, 0) + 1
        return found

    def of(self, items: Collection[str], conditions: Collection[str] | None = None) -> "Table":
        """Return the table of some of the items, under some of the conditions (all that cover them)."""
        wanted = set(items)
        cells = {
            cell: {item: row for item, row in rows.items() if item in wanted}
            for cell, rows in self.cells.items()
            if (conditions is None or cell[1] in conditions) and wanted <= rows.keys()
        }
        facts = {item: each for item, each in self.facts.items() if item in wanted}
        return Table(self.benchmark, facts, cells)

    def partial(self) -> dict[str, "Table"]:
        """Return, for each condition that leaves items out, the table of those it covers."""
        found: dict[str, frozenset[str]] = {}
        for (_, condition, _), rows in self.cells.items():
            if condition in PARTIAL:
                found[condition] = found.get(condition, frozenset(rows)) & rows.keys()
        return {
            condition: self.of(items, (ORIGINAL, condition)) for condition, items in found.items() if items
        }

    def whole(self) -> "Table":
        """Return the table of the conditions that cover all items."""
        return self.of(self.facts, {condition for _, condition, _ in self.cells} - PARTIAL)


def tables_of(rows: Iterable[Row], *, join: Join = "strict") -> dict[str, Table]:
    """Return the rows by benchmark, in order of name, checked to be comparable.

    Args:
        rows: in any order.
        join: `strict` refuses models and conditions that cover different items; `inner` keeps the items that
            all of them cover, and counts the others (`Table.n_lost`).

    Raises:
        BenchmarkError: a mark or chance level outside 0 to 1 (percent?), a row that stands twice, an item
            with two clusters (or golds, ...), different items, or a replicate that is missing.
    """
    by_benchmark: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_benchmark[row.benchmark].append(row)
    return {name: _table(name, by_benchmark[name], join) for name in sorted(by_benchmark)}


def _table(benchmark: str, rows: Iterable[Row], join: Join) -> Table:
    cells: dict[Cell, dict[str, Row]] = defaultdict(dict)
    facts: dict[str, Facts] = {}
    for row in sorted(rows, key=lambda each: (each.model, each.condition, each.replicate, each.item)):
        where = f"benchmark {benchmark}: item {row.item} ({row.model}, {row.condition}.{row.replicate})"
        _check_scale(row, where)
        own = Facts(row.cluster, row.chance, row.kind, row.stratum, row.gold)
        if not _same(facts.setdefault(row.item, own), own):
            raise BenchmarkError(f"{where} has another cluster, chance, kind, stratum or gold than elsewhere")
        cell = cells[row.model, row.condition, row.replicate]
        if row.item in cell:
            raise BenchmarkError(f"{where} stands twice; give every answer once")
        cell[row.item] = row
    _check_replicates(benchmark, cells)
    kept, n_lost = _joined(benchmark, cells, join)
    found = {
        cell: {item: each for item, each in by_item.items() if item in kept}
        for cell, by_item in cells.items()
    }
    return Table(benchmark, {item: facts[item] for item in sorted(kept)}, found, n_lost)


def _check_scale(row: Row, where: str) -> None:
    if not 0.0 <= row.s <= 1.0:
        raise BenchmarkError(f"{where} is marked {row.s}; marks are fractions, 0 to 1, not percent")
    if not (math.isnan(row.chance) or 0.0 <= row.chance <= 1.0):
        raise BenchmarkError(f"{where} has the chance level {row.chance}; it is a fraction, 0 to 1")
    if row.log_likelihood is not None and not math.isfinite(row.log_likelihood):
        raise BenchmarkError(f"{where} has the log-likelihood {row.log_likelihood}; it is a finite number")


def _same(one: Facts, other: Facts) -> bool:
    chances = (one.chance, other.chance)
    is_same_chance = chances[0] == chances[1] or all(map(math.isnan, chances))
    rest = [(each.cluster, each.kind, each.stratum, each.gold) for each in (one, other)]
    return is_same_chance and rest[0] == rest[1]


def _check_replicates(benchmark: str, cells: Iterable[Cell]) -> None:
    """Refuse a replicate that is missing: numbers with a gap, or fewer than another model has.

    Raises:
        BenchmarkError: one is.
    """
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for model, condition, replicate in cells:
        numbers[model, condition].add(replicate)
    most: dict[str, int] = defaultdict(int)
    for (_, condition), found in numbers.items():
        most[condition] = max(most[condition], max(found) + 1)
    for (model, condition), found in numbers.items():
        missing = sorted(set(range(most[condition])) - found)
        if missing:
            raise BenchmarkError(
                f"benchmark {benchmark}: {model} has no replicate {missing[0]} of {condition}, of which "
                f"there are {most[condition]}; evaluate every model under the same conditions"
            )


def _joined(
    benchmark: str, cells: Mapping[Cell, Mapping[str, Row]], join: Join
) -> tuple[frozenset[str], int]:
    """Return the items that all cover, and how many others there are.

    Raises:
        BenchmarkError: there are others and the join is strict, or none are left.
    """
    common: frozenset[str] | None = None
    every: set[str] = set()
    by_partial: dict[str, set[frozenset[str]]] = defaultdict(set)
    for (_, condition, _), by_item in cells.items():
        covered = frozenset(by_item)
        every |= covered
        if condition in PARTIAL:
            by_partial[condition].add(covered)
        else:
            common = covered if common is None else common & covered
    kept = frozenset(every) if common is None else common
    uneven = [condition for condition, sets in by_partial.items() if len(sets) > 1]
    n_lost = len(every - kept)
    if (n_lost or uneven) and join == "strict":
        raise BenchmarkError(
            f"benchmark {benchmark}: models and conditions cover different items ({n_lost} of {len(every)} "
            "are not in all of them); evaluate them again, or ask for an inner join, which counts its losses"
        )
    if not kept:
        raise BenchmarkError(f"benchmark {benchmark}: no item is covered by all models and conditions")
    return kept, n_lost


def columns_of(table: Table, model: str) -> dict[str, Column]:
    """Return what one model's measures are made of, by name; all conditions of the table cover its items.

    s/CONDITION         mean mark over the replicates (of the original: the first alone)
    valid/CONDITION     share of replicates that could be read
    retest              share of further originals whose answer differs from the first
    claim               whether the reply to the original claims to see something
    benefit/MISMATCH    mean over replicates of max(0, original - mismatch); 1 where right becomes wrong
    harm/MISMATCH       mean over replicates of max(0, mismatch - original)
    changed/MISMATCH    share of replicates whose answer differs
    claim_same/MISMATCH share of replicates with a claim and the same answer
    both/MISMATCH       mean over replicates of the difference where both are valid, else 0
    both_n/MISMATCH     share of replicates where both are valid
    ll/MISMATCH         mean over replicates of the difference of log-likelihoods, where all are given
    chance              the chance level, where all are known
    """
    conditions, items = table.conditions(model), table.facts
    found: dict[str, Column] = {}
    for condition, n in conditions.items():
        cells = [table.cells[model, condition, at] for at in range(1 if condition == ORIGINAL else n)]
        found[f"s/{condition}"] = _mean({i: [rows[i].s for rows in cells] for i in items})
        found[f"valid/{condition}"] = _mean({i: [rows[i].valid for rows in cells] for i in items})
    if ORIGINAL not in conditions:
        return found
    own = table.cells[model, ORIGINAL, 0]
    if conditions[ORIGINAL] > 1:
        again = [table.cells[model, ORIGINAL, at] for at in range(1, conditions[ORIGINAL])]
        found["retest"] = _mean({i: [rows[i].y != own[i].y for rows in again] for i in items})
    found["claim"] = _mean({i: [own[i].claim] for i in items})
    if not any(math.isnan(facts.chance) for facts in items.values()):
        found["chance"] = _mean({i: [facts.chance] for i, facts in items.items()})
    for condition in POLICIES:
        if condition in conditions:
            others = [table.cells[model, condition, at] for at in range(conditions[condition])]
            pairs = {i: [(own[i], rows[i]) for rows in others] for i in items}
            found |= {f"{name}/{condition}": each for name, each in _exchanged(pairs).items()}
    return found


def _exchanged(pairs: Mapping[str, Sequence[tuple[Row, Row]]]) -> dict[str, Column]:
    """Return the columns of one mismatch condition from the rows under the original and under it."""

    def over(number: Callable[[Row, Row], float]) -> dict[str, list[float]]:
        return {item: [number(own, other) for own, other in rows] for item, rows in pairs.items()}

    found = {
        "benefit": _mean(over(lambda own, other: max(0.0, own.s - other.s))),
        "harm": _mean(over(lambda own, other: max(0.0, other.s - own.s))),
        "changed": _mean(over(lambda own, other: own.y != other.y)),
        "claim_same": _mean(over(lambda own, other: own.claim and own.y == other.y)),
        "both": _signed(over(lambda own, other: (own.valid and other.valid) * (own.s - other.s))),
        "both_n": _mean(over(lambda own, other: own.valid and other.valid)),
    }
    likelihoods = [each.log_likelihood for rows in pairs.values() for pair in rows for each in pair]
    if None not in likelihoods:
        found["ll"] = _signed(
            over(lambda own, other: (own.log_likelihood or 0.0) - (other.log_likelihood or 0.0))
        )
    return found


def _mean(numbers: Mapping[str, Sequence[float]]) -> Column:
    return Column({item: math.fsum(each) / len(each) for item, each in numbers.items()})


def _signed(numbers: Mapping[str, Sequence[float]]) -> Column:
    """Return the column of means that are not within 0 to 1."""
    means = _mean(numbers).values
    return Column(means, {item: (value, 1.0) for item, value in means.items()})
