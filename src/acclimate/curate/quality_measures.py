"""The measures of a data set, and of one against another (pure).

    diversity_17, diversity_20   distinct task types over the types there are, fractions
    knowledge, complexity,       mean levels, 1 to 5
    accuracy, accuracy_precise,
    accuracy_informative
    consistency                  share of judged tasks whose two answers agree, a fraction
    words_instruction, ...       mean numbers of words

Source: AdaMLLM, section 7 and appendix D; intervals are ours. The paper's table 8 divides diversity by 17,
its appendix lists 20 types: both are given, and a type outside the seventeen counts in the second only.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from acclimate.curate.answer_match import plain_words
from acclimate.curate.intervals import (
    Draws,
    Scale,
    Span,
    distinct_difference,
    distinct_span,
    mean_difference,
    mean_span,
)
from acclimate.curate.quality_texts import FIELDS, TextFacts, text_facts
from acclimate.curate.quality_types import FIGURE_TYPES, TASK_TYPES
from acclimate.curate.ratings import ASPECTS, ImageDomain, Rating
from acclimate.records import JudgedTriplet, Label

DIVERSITY: Mapping[str, tuple[str, ...]] = {
    f"diversity_{len(FIGURE_TYPES)}": FIGURE_TYPES,
    f"diversity_{len(TASK_TYPES)}": tuple(TASK_TYPES),
}
CONSISTENCY = "consistency"
MEANS: Mapping[str, Scale | None] = {
    **dict.fromkeys(ASPECTS, (1.0, 5.0)),
    CONSISTENCY: (0.0, 1.0),
    **dict.fromkeys((f"words_{field}" for field in FIELDS), None),
}
"""Scale of every measure that is a mean."""
MEASURES = (*DIVERSITY, *MEANS)


@dataclass(frozen=True, slots=True)
class Sample:
    """Tasks of one data set with what one rater says of them."""

    name: str
    tasks: Sequence[JudgedTriplet]
    rating_by_id: Mapping[str, Rating]
    """Of the tasks that were rated."""
    is_by_person: bool = False
    """Then consistency is what the person says, and never the filter's label."""

    def types(self) -> list[tuple[str, str]]:
        """Return pair and type of every task that has one."""
        found = ((task.pair_id, self.rating_by_id.get(task.id)) for task in self.tasks)
        return [(pair_id, rating.task_type) for pair_id, rating in found if rating and rating.task_type]

    def values(self, measure: str) -> list[tuple[str, float]]:
        """Return pair and value of every task that has one, of a measure that is a mean."""
        found = ((task.pair_id, self._value(task, measure)) for task in self.tasks)
        return [(pair_id, value) for pair_id, value in found if value is not None]

    def _value(self, task: JudgedTriplet, measure: str) -> float | None:
        rating = self.rating_by_id.get(task.id)
        if measure == CONSISTENCY:
            said = rating.consistent if rating is not None else None
            label = said if self.is_by_person else task.label
            return None if label in (None, "unjudged") else float(label == "consistent")
        if measure.startswith("words_"):
            text = {
                "words_instruction": task.instruction,
                "words_informative": task.informative,
                "words_precise": task.precise,
            }[measure]
            return float(len(plain_words(text))) if text.strip() else None
        aspect = next(each for each in ASPECTS if each == measure)
        level = rating.level(aspect) if rating is not None else None
        return None if level is None else float(level)


@dataclass(frozen=True, slots=True)
class SetQuality:
    """What is measured of one data set."""

    name: str
    n_tasks: int
    n_pairs: int
    labels: Mapping[Label, int]
    """The filter's verdicts over the whole set."""
    generators: Mapping[str, int]
    texts: TextFacts
    n_sampled: int
    n_rated: int
    task_types: Mapping[str, int]
    """Rated tasks by type; only types that occur."""
    effective_types: float | None
    """The number of equally common types that would be as even: exp of the entropy. Unlike the count, a
    single mistaken type hardly moves it."""
    image_domains: Mapping[str, int]
    """Pairs of the sample by their picture's domain."""
    spans: Mapping[str, Span]
    """By measure; a measure with no value is missing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of one data set minus that of another."""

    first: str
    second: str
    measure: str
    span: Span
    n_shared_pairs: int
    """Pairs that both samples have tasks of; these make the difference a paired one."""


def measured_set(
    tasks: Sequence[JudgedTriplet],
    sample: Sample,
    domains: Iterable[ImageDomain],
    draws: Draws,
    *,
    n_equal: int,
) -> SetQuality:
    """Return what is measured of a data set.

    Args:
        tasks: all of them, in the drawn order.
        sample: of these; what was rated.
        domains: of any pairs.
        draws: of the intervals.
        n_equal: as for `text_facts`.
    """
    types = Counter(kind for _, kind in sample.types())
    sampled_pairs = {task.pair_id for task in sample.tasks}
    return SetQuality(
        name=sample.name,
        n_tasks=len(tasks),
        n_pairs=len({task.pair_id for task in tasks}),
        labels=dict(sorted(Counter(task.label for task in tasks).items())),
        generators=dict(sorted(Counter(task.generator for task in tasks).items())),
        texts=text_facts(tasks, n_equal),
        n_sampled=len(sample.tasks),
        n_rated=sum(task.id in sample.rating_by_id for task in sample.tasks),
        task_types=dict(sorted(types.items(), key=lambda item: (-item[1], item[0]))),
        effective_types=effective_number(types),
        image_domains=dict(
            sorted(Counter(each.domain for each in domains if each.pair_id in sampled_pairs).items())
        ),
        spans=spans(sample, draws),
    )


def spans(sample: Sample, draws: Draws) -> dict[str, Span]:
    """Return every measure of a sample that has a value."""
    found: dict[str, Span] = {}
    types = sample.types()
    if types:
        for measure, known in DIVERSITY.items():
            found[measure] = distinct_span(types, known, draws, key=measure)
    for measure, scale in MEANS.items():
        values = sample.values(measure)
        if values:
            found[measure] = mean_span(values, scale, draws, key=measure)
    return found


def compared(first: Sample, second: Sample, draws: Draws) -> Iterator[Comparison]:
    """Yield the first sample's measures minus the second's, where both have a value."""
    n_shared = len({task.pair_id for task in first.tasks} & {task.pair_id for task in second.tasks})
    types, other_types = first.types(), second.types()
    if types and other_types:
        for measure, known in DIVERSITY.items():
            span = distinct_difference(types, other_types, known, draws, key=measure)
            yield Comparison(first.name, second.name, measure, span, n_shared)
    for measure, scale in MEANS.items():
        values, other_values = first.values(measure), second.values(measure)
        if values and other_values:
            span = mean_difference(values, other_values, scale, draws, key=measure)
            yield Comparison(first.name, second.name, measure, span, n_shared)


def effective_number(counts: Mapping[str, int]) -> float | None:
    """Return exp of the entropy of the shares; None without counts. Source: Hill 1973, order 1."""
    total = sum(counts.values())
    if not total:
        return None
    shares = [count / total for count in counts.values() if count]
    return math.exp(-math.fsum(share * math.log(share) for share in shares))
