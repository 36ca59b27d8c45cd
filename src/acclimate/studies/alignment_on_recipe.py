"""The study of alignment on a user's recipe: its conversations instruct its model, its parts have names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError
from acclimate.recipe import Recipe
from acclimate.studies.alignment import Setting, Start, instructing
from acclimate.studies.alignment_claims import CHAT, PLAIN
from acclimate.studies.arms import replaced
from acclimate.studies.training_on_recipe import LORA_FACTOR
from acclimate.text_scoring import TextConfig, TextExecution

DEFAULT_TASKS = ("truthfulqa", "ethics")


@dataclass(frozen=True, slots=True)
class Beside:
    """What the study is given beside the recipe."""

    text: TextConfig
    tasks: Sequence[str] = DEFAULT_TASKS
    execution: TextExecution = field(default_factory=TextExecution)
    language_model: str | None = None
    """The text-only model that `train.model` was assembled from; None asks `train.model` without pictures."""
    chat: str | None = None
    """Another checkpoint to tune, whose language model is chat-tuned already."""
    chat_language_model: str | None = None
    """The text-only model that it was assembled from."""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By part the names of its sources; empty: every source that instructs is a part of its own name."""
    falsehoods: tuple[str, ...] = ()
    """Names of sources that state falsehoods, for the control."""
    lora_rate: float | None = None
    """Learning rate; None takes ten times the recipe's."""


def prepare(
    recipe: Recipe,
    base: Path,
    *,
    run_dir: Path,
    beside: Beside,
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Setting:
    """Return the setting of a user's recipe.

    Args:
        base: what the recipe's paths count from.
        run_dir: receives the artifacts; the recipe's own run folder is not touched.

    Raises:
        RecipeError: a part names a source that does not instruct.
    """
    named = instructing(recipe)
    control = set(beside.falsehoods)
    parts = dict(beside.parts) or {title: (title,) for title in named if title not in control}
    for part, titles in parts.items():
        wrong = next((title for title in titles if title not in named), None)
        if wrong is not None:
            raise RecipeError(
                f"The part {part!r} is of the conversations {wrong!r}, which do not instruct; those that do "
                f"are {', '.join(named)}."
            )
    starts = {PLAIN: Start(recipe.train.model, beside.language_model)}
    if beside.chat is not None:
        starts[CHAT] = Start(beside.chat, beside.chat_language_model)
    rate = beside.lora_rate or LORA_FACTOR * recipe.train.learning_rate
    own = {"train.vision_learning_rate": None, "train.projector_learning_rate": None}
    return Setting(
        replaced(recipe, {"run_dir": str(run_dir.resolve())}),
        base,
        starts=starts,
        parts=parts,
        lora={"train.learning_rate": rate, **own},
        tasks=tuple(beside.tasks),
        text=beside.text,
        execution=beside.execution,
        falsehoods=beside.falsehoods,
        keys=keys,
        accounts=accounts or Accounts(),
    )
