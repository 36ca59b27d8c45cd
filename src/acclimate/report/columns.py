"""Sorts one benchmark's scores into columns that are resampled together.

base/original             the primary score under a condition
base/original/recall_paper  another scorer, original pictures only
base/unparsed             share of replies no answer could be read from; `unparsed_blank` and so on
base/guessed              share of items whose answer an official scorer drew at random
base/guessed_points       mean of the official score, counting only those items
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from acclimate.errors import BenchmarkError
from acclimate.records import Score
from acclimate.report.statistics import Column

ORIGINAL = "original"
PAPER = "_paper"
"""How names of official scorers end."""
GUESSED = "guessed"
_TOPS = {"cider": 10.0}
"""Full marks of scorers, by how their name begins, where they are not 1 (CIDEr: Vedantam et al. 2015)."""


@dataclass(frozen=True, slots=True)
class Table:
    """One benchmark's scores, or those of a part of it."""

    columns: Mapping[str, Column]
    clusters: Mapping[str, str]
    """Cluster by item."""
    subsets: Mapping[str, frozenset[str]]
    """Items by subset."""

    def part(self, subset: str) -> "Table":
        """Return the primary and the official scores of a subset's items, original pictures only."""
        items = sorted(self.subsets[subset])
        columns = {name: column.of(items) for name, column in self.columns.items() if _is_of_subsets(name)}
        return Table(columns, {item: self.clusters[item] for item in items}, {})


def table_of(scores: Sequence[Score], primary: str) -> Table:
    """Return the columns of one benchmark; they may still cover different items, which `resample` refuses.

    Raises:
        BenchmarkError: an item has two scores in one column, two clusters, or two sets of subsets.
    """
    columns: dict[str, dict[str, Score]] = defaultdict(dict)
    first_by_item: dict[str, Score] = {}
    for (model, condition, scorer), group in _grouped(scores, primary):
        name = f"{model}/{condition}"
        column = columns[name if scorer == primary else f"{name}/{scorer}"]
        for each in group:
            first = first_by_item.setdefault(each.item_id, each)
            if each.item_id in column or not _is_placed_alike(first, each):
                raise BenchmarkError(
                    f"benchmark {each.benchmark}: item {each.item_id} has two scores, two clusters or two "
                    f"sets of subsets under {name}; score its predictions once"
                )
            column[each.item_id] = each
    found: dict[str, Column] = {}
    for name, column in columns.items():
        found[name] = _column(column)
        model, _, rest = name.partition("/")
        if "/" not in rest:
            suffix = "" if rest == ORIGINAL else f"_{rest}"
            unparsed = {item: float(not each.parsed) for item, each in column.items()}
            found[f"{model}/unparsed{suffix}"] = Column(unparsed)
    subsets: dict[str, set[str]] = defaultdict(set)
    for item, each in first_by_item.items():
        for subset in each.subsets:
            subsets[subset].add(item)
    return Table(
        found | _guesses(columns),
        {item: each.cluster for item, each in first_by_item.items()},
        {subset: frozenset(subsets[subset]) for subset in sorted(subsets)},
    )


def _grouped(scores: Iterable[Score], primary: str) -> Iterator[tuple[tuple[str, str, str], list[Score]]]:
    """Yield the scores that have a column, by model, condition and scorer, each group in order of items.

    Groups are sorted one by one: that is several times as fast as sorting all of them by four texts.
    """
    groups: dict[tuple[str, str, str], list[Score]] = defaultdict(list)
    for each in scores:
        if each.scorer == primary or each.condition == ORIGINAL:
            groups[each.model, each.condition, each.scorer].append(each)
    for key in sorted(groups):
        yield key, sorted(groups[key], key=attrgetter("item_id"))


def _is_placed_alike(one: Score, other: Score) -> bool:
    """Return whether two scores name the same cluster and, in any order, the same subsets."""
    if one.cluster != other.cluster:
        return False
    return one.subsets == other.subsets or frozenset(one.subsets) == frozenset(other.subsets)


def _is_of_subsets(name: str) -> bool:
    _, _, rest = name.partition("/")
    return rest == ORIGINAL or (rest.startswith(f"{ORIGINAL}/") and rest.endswith(PAPER))


def _column(scores: Mapping[str, Score]) -> Column:
    scorer = next(iter(scores.values())).scorer
    return Column(
        values={item: each.value for item, each in scores.items()},
        parts={item: each.parts for item, each in scores.items() if each.parts},
        top=next((top for start, top in _TOPS.items() if scorer.startswith(start)), 1.0),
    )


def _guesses(columns: Mapping[str, Mapping[str, Score]]) -> dict[str, Column]:
    """Return every model's guesses, none where no official scorer guessed.

    Where several scorers guess, the points are those of the first by name.
    """
    official = {
        name: column
        for name, column in columns.items()
        if name.split("/")[1] == ORIGINAL and next(iter(column.values())).scorer.endswith(PAPER)
    }
    guessing = sorted(
        {each.scorer for column in official.values() for each in column.values() if each.reason == GUESSED}
    )
    found: dict[str, Column] = {}
    for column in official.values():
        model, scorer = next((each.model, each.scorer) for each in column.values())
        was_guessed = {item: float(each.reason == GUESSED) for item, each in column.items()}
        if scorer not in guessing:
            continue
        name = f"{model}/{GUESSED}"
        before = found[name].values if name in found else {}
        found[name] = Column({item: max(now, before.get(item, 0.0)) for item, now in was_guessed.items()})
        if scorer == guessing[0]:
            points = {item: was_guessed[item] * each.value for item, each in column.items()}
            found[f"{name}_points"] = Column(points, top=_column(column).top)
    return found
