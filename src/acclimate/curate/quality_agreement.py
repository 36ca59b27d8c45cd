"""The door for what people rated: their sheets in; their measures and how far raters agree out.

agreement.json, agreement.csv, agreement.md    every two raters and all together, the judge among them
people/RATER/                                  the rater's own measures.csv, comparisons.csv, quality.md
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from acclimate.curate.intervals import Draws
from acclimate.curate.quality import (
    RATINGS,
    TASKS,
    comparison_json,
    set_json,
    write_measures,
)
from acclimate.curate.quality_measures import Comparison, Sample, SetQuality, compared, measured_set
from acclimate.curate.quality_pages import markdown_table, quality_page
from acclimate.curate.quality_rubrics import LEVELS
from acclimate.curate.quality_sheet import read_key, read_sheet
from acclimate.curate.quality_types import TASK_TYPES
from acclimate.curate.rater_agreement import Kappa, Metric, Weights, cohen_kappa, krippendorff_alpha
from acclimate.curate.ratings import JUDGE, Rating
from acclimate.curate.tables import write_table
from acclimate.errors import UsageError
from acclimate.files import JSON, read_records, write_json, write_text
from acclimate.records import JudgedTriplet, Rejection

DRAWS = Draws()
FILTER = "filter"
"""The name of the consistency filter's judge among the raters of `consistent`."""
_RATER_NAME = re.compile(r"[\w.-]+")
_LEVEL_NAMES = tuple(str(level) for level in LEVELS)


@dataclass(frozen=True, slots=True)
class _Question:
    """One column of the sheet, and how agreement on it is measured."""

    name: str
    categories: tuple[str, ...]
    weights: Weights
    metric: Metric


_QUESTIONS = (
    _Question("task_type", tuple(TASK_TYPES), "unweighted", "nominal"),
    _Question("knowledge", _LEVEL_NAMES, "quadratic", "ordinal"),
    _Question("complexity", _LEVEL_NAMES, "quadratic", "ordinal"),
    _Question("accuracy", _LEVEL_NAMES, "quadratic", "ordinal"),
    _Question("consistent", ("consistent", "inconsistent", "open"), "unweighted", "nominal"),
)


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two raters on one question."""

    question: str
    first: str
    second: str
    weights: Weights
    kappa: Kappa


@dataclass(frozen=True, slots=True)
class GroupAgreement:
    """Several raters on one question."""

    question: str
    raters: tuple[str, ...]
    metric: Metric
    n: int
    """Tasks that at least two of them rated."""
    alpha: float | None
    """Krippendorff's; None where it has no value."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What people said, and how far they and the judge agree."""

    pairs: tuple[PairAgreement, ...]
    groups: tuple[GroupAgreement, ...]
    sets_by_rater: Mapping[str, tuple[SetQuality, ...]]
    """The measures by each person's ratings."""
    comparisons_by_rater: Mapping[str, tuple[Comparison, ...]]
    rejections: Mapping[str, tuple[Rejection, ...]]
    """Rows of each sheet that were not used."""

    def to_json(self) -> dict[str, JSON]:
        """Return everything as plain values."""
        raters: dict[str, JSON] = {
            name: {
                "sets": {each.name: set_json(each) for each in sets},
                "comparisons": [comparison_json(each) for each in self.comparisons_by_rater[name]],
                "not_used": dict(sorted(Counter(each.reason for each in self.rejections[name]).items())),
            }
            for name, sets in self.sets_by_rater.items()
        }
        return {
            "pairs": [asdict(each) for each in self.pairs],
            "groups": [asdict(each) for each in self.groups],
            "raters": raters,
        }


def write_agreement(folder: Path, sheets: Mapping[str, Path], draws: Draws = DRAWS) -> Agreement:
    """Read raters' sheets and write what they say and how far they agree.

    Args:
        folder: where `write_quality` wrote the sheet.
        sheets: filled copies of it by the rater's name (letters, digits, dot, dash, underscore).
        draws: of the intervals.

    Raises:
        UsageError: no sheets, or a rater's name that cannot be one.
        DataError: the folder's files or a sheet cannot be read.
    """
    _check_names(sheets)
    ids_by_set = read_key(folder)
    task_by_id = {task.id: task for task in read_records(folder / TASKS, JudgedTriplet)}
    known = list(task_by_id)
    by_rater: dict[str, list[Rating]] = {}
    rejections: dict[str, tuple[Rejection, ...]] = {}
    for name, path in sheets.items():
        rows = read_sheet(path, name, known)
        by_rater[name] = [each for each in rows if isinstance(each, Rating)]
        rejections[name] = tuple(each for each in rows if isinstance(each, Rejection))
    people = list(by_rater)
    judged = list(read_records(folder / RATINGS, Rating))
    if judged:
        by_rater[JUDGE] = judged
    answers = {name: _answers(ratings) for name, ratings in by_rater.items()}
    labels = {("consistent", each.id): each.label for each in task_by_id.values() if each.label != "unjudged"}
    if labels:
        answers[FILTER] = dict(labels)
    samples = {
        name: [
            Sample(
                set_name,
                [task_by_id[each] for each in ids],
                {each.task_id: each for each in by_rater[name]},
                is_by_person=True,
            )
            for set_name, ids in ids_by_set.items()
        ]
        for name in people
    }
    agreement = Agreement(
        pairs=tuple(_pairs(answers, draws)),
        groups=tuple(_groups(answers, people)),
        sets_by_rater={name: _measured(each, draws) for name, each in samples.items()},
        comparisons_by_rater={
            name: tuple(
                found for one, other in combinations(each, 2) for found in compared(one, other, draws)
            )
            for name, each in samples.items()
        },
        rejections=rejections,
    )
    _write(folder, agreement)
    return agreement


def _check_names(sheets: Mapping[str, Path]) -> None:
    if not sheets:
        raise UsageError("There are no sheets to read. Give at least one rater's name and filled sheet.")
    for name in sheets:
        if not _RATER_NAME.fullmatch(name) or name in (JUDGE, FILTER, ".", ".."):
            raise UsageError(
                f"{name!r} cannot be a rater's name: use letters, digits, dot, dash and underscore, and "
                f"neither {JUDGE!r} nor {FILTER!r}, which are the models."
            )


def _answers(ratings: Sequence[Rating]) -> dict[tuple[str, str], str]:
    """Return what a rater said by question and task."""
    found: dict[tuple[str, str], str] = {}
    for each in ratings:
        said = {
            "task_type": each.task_type,
            "knowledge": each.knowledge,
            "complexity": each.complexity,
            "accuracy": each.accuracy,
            "consistent": each.consistent,
        }
        found |= {(name, each.task_id): str(value) for name, value in said.items() if value is not None}
    return found


def _pairs(answers: Mapping[str, Mapping[tuple[str, str], str]], draws: Draws) -> list[PairAgreement]:
    found = []
    for question in _QUESTIONS:
        for first, second in combinations(answers, 2):
            both = [
                (said, answers[second][key])
                for key, said in sorted(answers[first].items())
                if key[0] == question.name and key in answers[second]
            ]
            kappa = cohen_kappa(both, question.categories, question.weights, draws)
            if kappa is not None:
                found.append(PairAgreement(question.name, first, second, question.weights, kappa))
    return found


def _groups(
    answers: Mapping[str, Mapping[tuple[str, str], str]], people: Sequence[str]
) -> list[GroupAgreement]:
    """Return the agreement of all people, and of all raters where the judge is one more."""
    found = []
    for question in _QUESTIONS:
        said = [name for name, each in answers.items() if any(key[0] == question.name for key in each)]
        groups = dict.fromkeys((tuple(name for name in said if name in people), tuple(said)))
        for raters in groups:
            units: dict[str, dict[str, str]] = {}
            for name in raters:
                for (asked, task_id), value in answers[name].items():
                    if asked == question.name:
                        units.setdefault(task_id, {})[name] = value
            n = sum(len(unit) >= 2 for unit in units.values())
            if len(raters) > 1 and n:
                alpha = krippendorff_alpha(list(units.values()), question.categories, question.metric)
                found.append(GroupAgreement(question.name, raters, question.metric, n, alpha))
    return found


def _measured(samples: Sequence[Sample], draws: Draws) -> tuple[SetQuality, ...]:
    n_equal = min((len(each.tasks) for each in samples if each.tasks), default=0)
    return tuple(measured_set(each.tasks, each, (), draws, n_equal=n_equal) for each in samples)


def _write(folder: Path, agreement: Agreement) -> None:
    write_json(folder / "agreement.json", agreement.to_json())
    header = ("question", "raters", "statistic", "n", "agreement", "value", "low", "high")
    rows = [
        [
            each.question,
            f"{each.first} and {each.second}",
            f"Cohen's kappa, {each.weights}",
            str(each.kappa.n),
            f"{each.kappa.agreement:.3f}",
            *(_shown(value) for value in (each.kappa.value, each.kappa.low, each.kappa.high)),
        ]
        for each in agreement.pairs
    ]
    rows += [
        [
            each.question,
            ", ".join(each.raters),
            f"Krippendorff's alpha, {each.metric}",
            str(each.n),
            "",
            _shown(each.alpha),
            "",
            "",
        ]
        for each in agreement.groups
    ]
    write_table(folder / "agreement.csv", header, rows)
    lines = ["# Agreement between raters", ""]
    for name, rejected in agreement.rejections.items():
        reasons = Counter(each.reason for each in rejected)
        said = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items())) or "none"
        lines += [f"Rows of {name} that were not used: {said}.", ""]
    write_text(folder / "agreement.md", "\n".join([*lines, *markdown_table(header, rows), ""]))
    for name, sets in agreement.sets_by_rater.items():
        comparisons = agreement.comparisons_by_rater[name]
        write_measures(folder / "people" / name, sets, comparisons)
        page = quality_page(sets, comparisons, f"Quality as {name} rates it", [f"Rated by {name}."])
        write_text(folder / "people" / name / "quality.md", page)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
