"""Tasks that rules make of a cooking recipe (pure).

Source: LLaVA-Chef's five kinds of tasks and what each is given; the wordings are ours. The picture is always
there, so only what is given besides is drawn: the title with 1/2, for the steps or the whole recipe, and part
of the ingredients with 3/4, for the title.
"""

import random
import re
from typing import Literal, TypeAlias

from acclimate.records import RecipeText
from acclimate.synthesize.rules_templates import (
    GIVEN_INGREDIENTS,
    GIVEN_TITLE,
    INGREDIENTS,
    RECIPE,
    STEPS,
    STEPS_FROM_INGREDIENTS,
    TITLE,
)
from acclimate.synthesize.rules_words import filled

RecipeKind: TypeAlias = Literal["steps_from_ingredients", "steps", "title", "ingredients", "recipe"]
RecipeForm: TypeAlias = Literal["strict", "paper"]

_POOLS: dict[RecipeKind, tuple[str, ...]] = {
    "steps_from_ingredients": STEPS_FROM_INGREDIENTS,
    "steps": STEPS,
    "title": TITLE,
    "ingredients": INGREDIENTS,
    "recipe": RECIPE,
}
_NEEDS: dict[RecipeKind, tuple[str, ...]] = {
    "steps_from_ingredients": ("ingredients", "steps"),
    "steps": ("steps",),
    "title": ("title",),
    "ingredients": ("ingredients",),
    "recipe": ("title", "ingredients", "steps"),
}
_NUMBERED = re.compile(r"(?:step\s+)?\d{1,2}[.):]\s+", re.IGNORECASE)
_UNKNOWN_NAMES = ("food", "dish")


def recipe_task(
    kind: RecipeKind, recipe: RecipeText, form: RecipeForm, rng: random.Random
) -> tuple[str, str] | None:
    """Return question and answer, or None where the recipe lacks a part that the kind needs."""
    recipe = _tidy(recipe, form)
    if not all(getattr(recipe, part) for part in _NEEDS[kind]):
        return None
    gives_title = kind in ("steps_from_ingredients", "recipe") and recipe.title != "" and rng.random() < 0.5
    gives_some = kind == "title" and rng.random() < 0.75
    some = _some(recipe.ingredients, rng)
    wording = rng.choice(_POOLS[kind])
    name = recipe.title if gives_title else rng.choice(_UNKNOWN_NAMES)
    question = filled(wording, name=name, ingredients="\n".join(recipe.ingredients))
    if form == "strict":
        if gives_title and "{name}" not in wording:
            question += "\n" + filled(rng.choice(GIVEN_TITLE), name=recipe.title)
        if gives_some and some:
            question += "\n" + filled(rng.choice(GIVEN_INGREDIENTS), ingredients="\n".join(some))
    return question, _answer(kind, recipe, form)


def _some(ingredients: tuple[str, ...], rng: random.Random) -> list[str]:
    """Return half of the ingredients or more, never all; none of a single one. They keep their order."""
    n = len(ingredients)
    if n < 2:
        return []
    chosen = sorted(rng.sample(range(n), rng.randint(n // 2, n - 1)))
    return [ingredients[index] for index in chosen]


def _tidy(recipe: RecipeText, form: RecipeForm) -> RecipeText:
    """Return the recipe without empty parts; `strict` takes off numbers that every step bears already."""
    ingredients = [" ".join(each.split()) for each in recipe.ingredients]
    steps = [" ".join(each.split()) for each in recipe.steps]
    steps = [each for each in steps if each]
    if form == "strict" and all(_NUMBERED.match(each) for each in steps):
        steps = [rest for each in steps if (rest := _NUMBERED.sub("", each, count=1))]
    title = " ".join(recipe.title.split())
    return RecipeText(title, tuple(each for each in ingredients if each), tuple(steps))


def _answer(kind: RecipeKind, recipe: RecipeText, form: RecipeForm) -> str:
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(recipe.steps, 1))
    listed = "\n".join(recipe.ingredients)
    parts = {"title": recipe.title, "ingredients": listed, "instructions": steps}
    if kind == "recipe":
        if form == "paper":
            return "\n".join(f"{label}: {text}" for label, text in parts.items())
        bullets = "\n".join(f"- {each}" for each in recipe.ingredients)
        return f"{recipe.title}\n\nIngredients:\n{bullets}\n\nSteps:\n{steps}"
    label = kind if kind in ("title", "ingredients") else "instructions"
    return f"{label}: {parts[label]}" if form == "paper" else parts[label]
