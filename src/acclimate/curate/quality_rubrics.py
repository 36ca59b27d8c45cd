"""The levels 1 to 5 that tasks are rated by, for judges and for people (data).

Source: what each level means is AdaMLLM's appendix D; every sentence is our own. The paper gives level means
on a scale of 0 to 100 that its numbers fit as mean times 20, on which nothing can be below 20; the scale that
starts at 0 is (mean - 1) times 25. Both are given.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Rubric:
    """What is rated, and what each level means."""

    question: str
    levels: tuple[str, str, str, str, str]
    """Meaning of 1, 2, 3, 4, 5."""


RUBRICS: Mapping[str, Rubric] = {
    "knowledge": Rubric(
        "How much of the special knowledge that the picture holds does the task put to use?",
        (
            "The task has nothing to do with the picture.",
            "The task suits the picture but is commonplace: one could do it without looking.",
            "One has to look, but the question is loose, such as a request for a general description.",
            "The question is definite but turns on one detail of the picture alone.",
            "The question ties closely to details of the picture and to what it shows as a whole.",
        ),
    ),
    "complexity": Rubric(
        "How demanding is the task?",
        (
            "Repeating a part of the caption does it.",
            "A glance at the picture does it, for instance naming what is plain to see.",
            "The details have to be looked at and weighed.",
            "Details and the whole have to be brought together in several steps of reasoning.",
            "It needs such reasoning, and the instruction also puts demands on the answer, such as a format.",
        ),
    ),
    "accuracy": Rubric(
        "How right is the response?",
        (
            "It does not deal with the task at all.",
            "It tries to, but its reasons and its conclusion are both wrong.",
            "Its reasons are right, its conclusion is wrong.",
            "Its conclusion is right, its reasons are wrong.",
            "Its reasons and its conclusion are both right.",
        ),
    ),
}


def paper_scale(level: float) -> float:
    """Return a level's place on the paper's scale, 20 to 100."""
    return level * 20


def strict_scale(level: float) -> float:
    """Return a level's place on a scale of 0 to 100."""
    return (level - 1) * 25
