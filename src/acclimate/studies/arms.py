"""An arm of a study: a recipe with a few values replaced, and its progress told under its name."""

from collections.abc import Mapping
from typing import Any

from acclimate.recipe import Recipe, validated
from acclimate.workplace import Progress


def replaced(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other values in their place.

    Args:
        values: by dotted key, such as `train.method`.

    Raises:
        RecipeError: the recipe cannot have them.
    """
    data = recipe.model_dump(mode="json")
    for key, value in values.items():
        *parents, last = key.split(".")
        level = data
        for part in parents:
            level = level[part]
        level[last] = value
    return validated(data, "the study's recipe")


class Named:
    """Tells how the work goes with the arm's name before the step's."""

    def __init__(self, arm: str, progress: Progress) -> None:
        self.arm, self.progress = arm, progress

    def start(self, step: str, total: int | None) -> None:
        """A step begins."""
        self.progress.start(f"{self.arm}: {step}", total)

    def advance(self, step: str, done: int, note: str = "") -> None:
        """So many units are done."""
        self.progress.advance(f"{self.arm}: {step}", done, note)

    def say(self, text: str) -> None:
        """Something worth reading."""
        self.progress.say(f"{self.arm}: {text}")

    def end(self, step: str, *, reused: bool) -> None:
        """A step's artifact stands."""
        self.progress.end(f"{self.arm}: {step}", reused=reused)
