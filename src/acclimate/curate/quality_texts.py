"""What texts alone say about a set of tasks: lengths, repetition, distinct runs of words (pure).

Source: distinct-n is Li et al. 2016, the share of different runs of n words among all; runs do not cross from
one text to the next. It falls and duplicates rise as a set grows, so sets are compared at equal numbers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.curate.answer_match import plain_words
from acclimate.records import JudgedTriplet

FIELDS = ("instruction", "informative", "precise")
RUNS = (1, 2, 3)
_EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many words the texts of one field have. Empty texts are left out."""

    n: int
    mean: float
    least: int
    p10: int
    median: int
    p90: int
    greatest: int
    histogram: tuple[tuple[int, int], ...]
    """Least number of words of each class, and texts in it."""


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What a data set's texts are like."""

    lengths: Mapping[str, Lengths]
    """By field; a field that is empty everywhere is missing."""
    n_equal: int
    """Tasks that the next three are taken over."""
    distinct: Mapping[int, float]
    """Distinct-n of the instructions by n, fractions; where no text has n words it is missing."""
    duplicate_instructions: float | None
    """Share of tasks whose instruction stood before, case and punctuation aside; None without tasks."""
    duplicate_tasks: float | None
    """The same of instruction and answers together."""
    duplicates_of_all: float | None
    """Duplicate instructions over the whole set."""


def text_facts(tasks: Sequence[JudgedTriplet], n_equal: int) -> TextFacts:
    """Return what the texts are like.

    Args:
        tasks: in the order of the sample.
        n_equal: how many of them, from the first, stand for the set where its size would matter.
    """
    equal = tasks[:n_equal]
    instructions = [plain_words(task.instruction) for task in equal]
    whole = [
        (plain_words(task.instruction), plain_words(task.informative), plain_words(task.precise))
        for task in equal
    ]
    texts = {
        "instruction": [task.instruction for task in tasks],
        "informative": [task.informative for task in tasks],
        "precise": [task.precise for task in tasks],
    }
    found = {field: lengths(texts[field]) for field in FIELDS}
    shares = {n: distinct(instructions, n) for n in RUNS}
    return TextFacts(
        lengths={field: each for field, each in found.items() if each is not None},
        n_equal=len(equal),
        distinct={n: share for n, share in shares.items() if share is not None},
        duplicate_instructions=duplicates(instructions),
        duplicate_tasks=duplicates(whole),
        duplicates_of_all=duplicates([plain_words(task.instruction) for task in tasks]),
    )


def distinct(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Return the share of different runs of n words; None where there are no runs."""
    runs = Counter(tuple(words[at : at + n]) for words in texts for at in range(len(words) - n + 1))
    total = sum(runs.values())
    return len(runs) / total if total else None


def duplicates(keys: Sequence[object]) -> float | None:
    """Return the share of keys that stood before; None without keys."""
    return 1 - len(set(keys)) / len(keys) if keys else None


def lengths(texts: Sequence[str]) -> Lengths | None:
    """Return how many words the texts have; None where all are empty.

    A percentile is the least length that at least so many texts do not exceed.
    """
    counts = sorted(len(plain_words(text)) for text in texts if text.strip())
    if not counts:
        return None
    n = len(counts)

    def percentile(percent: int) -> int:
        return counts[max(0, -(-percent * n // 100) - 1)]

    classes = Counter(max(edge for edge in _EDGES if edge <= count) for count in counts)
    return Lengths(
        n=n,
        mean=sum(counts) / n,
        least=counts[0],
        p10=percentile(10),
        median=percentile(50),
        p90=percentile(90),
        greatest=counts[-1],
        histogram=tuple(sorted(classes.items())),
    )
