"""Whether claims bear on the research question. Pure. Source: our own rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.grounding.features import coverage
from acclimate.grounding.names import holds_name, names, short_forms
from acclimate.grounding.words import content

LEAST_OVERLAP = 0.5
"""Weighted share of the question's words from which on a claim bears on it, whatever it names."""


@dataclass(frozen=True, slots=True)
class QuestionCheck:
    """A research question and the claims beside it."""

    question: str
    terms: tuple[str, ...]
    """Its proper names and short forms: `Visual Reliance Score`, `VQA`, `VRS`."""
    overlaps: tuple[float, ...]
    """Per claim the weighted share of the question's words that it holds, 0 to 1."""
    bearing: tuple[bool, ...]
    """Per claim, whether it bears on the question."""
    terms_never_named: tuple[str, ...]
    """Those that no claim names."""


def check_question(question: str, claims: Sequence[str], rarity: Mapping[str, float]) -> QuestionCheck:
    """Return which claims bear on a question.

    A claim bears on it where it names one of the question's proper names, or holds at least half of its words
    with content, rare words weighing more. Where the question has no proper name, a third is enough.
    """
    terms = tuple(dict.fromkeys((*names(question), *short_forms(question))))
    wanted = content(question)
    least = LEAST_OVERLAP if terms else LEAST_OVERLAP / 1.5
    overlaps = tuple(coverage(wanted, set(content(claim)), rarity) for claim in claims)
    named = [tuple(term for term in terms if holds_name(claim, term)) for claim in claims]
    bearing = tuple(bool(found) or overlap >= least for found, overlap in zip(named, overlaps, strict=True))
    never = tuple(term for term in terms if not any(term in found for found in named))
    return QuestionCheck(question, terms, overlaps, bearing, never)
