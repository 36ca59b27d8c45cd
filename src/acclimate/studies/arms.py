"""An arm of a study: a recipe with a few values replaced."""

from collections.abc import Mapping
from typing import Any

from acclimate.recipe import Recipe, validated


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
