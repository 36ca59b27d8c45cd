"""What a judge or a person says about one task: its type and its levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acclimate.records import Label

JUDGE = "judge"
"""The name of the model that rates, where people go by theirs."""

Response: TypeAlias = Literal["combined", "precise", "informative"]
Aspect: TypeAlias = Literal["knowledge", "complexity", "accuracy", "accuracy_precise", "accuracy_informative"]
ASPECTS: tuple[Aspect, ...] = (
    "knowledge",
    "complexity",
    "accuracy",
    "accuracy_precise",
    "accuracy_informative",
)
ACCURACY_BY_RESPONSE: Mapping[Response, Aspect] = {
    "combined": "accuracy",
    "precise": "accuracy_precise",
    "informative": "accuracy_informative",
}


@dataclass(frozen=True, slots=True)
class Rating:
    """One task, rated by one rater. None is what was not rated."""

    task_id: str
    rater: str
    task_type: str | None = None
    """One of the twenty names."""
    knowledge: int | None = None
    """Level, 1 to 5; likewise the others."""
    complexity: int | None = None
    accuracy: int | None = None
    """Of the whole response."""
    accuracy_precise: int | None = None
    """Of the precise answer alone."""
    accuracy_informative: int | None = None
    consistent: Label | None = None
    """Whether the two answers agree, as a person sees it; the filter's verdict stands in the triplet."""

    def level(self, aspect: Aspect) -> int | None:
        """Return the level of an aspect."""
        return {
            "knowledge": self.knowledge,
            "complexity": self.complexity,
            "accuracy": self.accuracy,
            "accuracy_precise": self.accuracy_precise,
            "accuracy_informative": self.accuracy_informative,
        }[aspect]


@dataclass(frozen=True, slots=True)
class ImageDomain:
    """What a pair's picture is of."""

    pair_id: str
    domain: str
    """One of the twenty names."""
