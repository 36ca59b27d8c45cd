"""The study of training on a user's recipe: its benchmarks are the domain's, its tasks are made once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.recipe import Recipe
from acclimate.studies.arms import replaced
from acclimate.studies.training import SecondBase, Setting

LORA_FACTOR = 10.0
"""LoRA's learning rate against full training's, where none is given. Source: Schulman and Thinking Machines
Lab 2025, "LoRA Without Regret", for a factor near 10 over many models."""
PROJECTOR_FACTOR = 100.0
"""The projector's learning rate against full training's, where none is given. Source: AdaMLLM's LLaVA, 2e-3
against 2e-5."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a study is given beside the recipe."""

    general: Sequence[Path] = ()
    """Benchmarks of general skills, for forgetting."""
    captions: Sequence[Path] = ()
    """Benchmarks that ask for what the captions teach."""
    second: str | None = None
    """Another checkpoint that learns from the same conversations: a folder, whole, or a name on the hub."""
    lora_rate: float | None = None
    """Learning rate; None takes ten times the recipe's."""
    projector_rate: float | None = None
    """Learning rate; None takes a hundred times the recipe's."""


def prepare(
    recipe: Recipe,
    base: Path,
    seed: int,
    *,
    run_dir: Path,
    beside: Beside,
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Setting:
    """Return the setting of a user's recipe for one seed of training; all seeds share the tasks.

    Args:
        base: what the recipe's paths count from.
        run_dir: receives the artifacts; the recipe's own run folder is not touched.
    """
    rate = recipe.train.learning_rate
    return Setting(
        replaced(recipe, {"run_dir": str(run_dir.resolve()), "train.seed": seed}),
        base,
        {"train.learning_rate": beside.lora_rate or LORA_FACTOR * rate, **_OWN_RATES},
        {"train.learning_rate": beside.projector_rate or PROJECTOR_FACTOR * rate, **_OWN_RATES},
        general=tuple(each.resolve() for each in beside.general),
        captions=tuple(each.resolve() for each in beside.captions),
        second=None if beside.second is None else SecondBase(beside.second),
        keys=keys,
        accounts=accounts or Accounts(),
        shares_items=True,
    )


_OWN_RATES = {"train.vision_learning_rate": None, "train.projector_learning_rate": None}
"""The rates of the other arms' module groups are not these arms'."""
