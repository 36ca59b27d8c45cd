"""Which models a run scored, and what of them a sealed run must see to ask them again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.engines.spec import spec_of
from acclimate.errors import UsageError
from acclimate.pipeline import FIRST_STAGE
from acclimate.recipe import Recipe
from acclimate.sandbox import Bind
from acclimate.sealing import system_mounts
from acclimate.verify.sources import Source, model_sources, shown
from acclimate.workplace import Model

_TRAINED: Mapping[str, tuple[str, str]] = {
    "evaluate-captions": (FIRST_STAGE, "train-captions"),
    "evaluate-adapted": ("adapted", "train"),
}
"""By evaluation: the model's role, and the step that made it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One evaluation and the model behind it."""

    step: str
    role: str
    model: Model


def asked_in(recipe: Recipe, homes: Mapping[str, Path], base: Path) -> Iterator[Asked]:
    """Yield every evaluation of a run, in the order of the line.

    Args:
        homes: the run's artifacts by step. base: what the recipe's paths count from.
    """
    start = recipe.train.model
    named = {f"evaluate-{each.role}": each for each in recipe.evaluate.further}
    for step in homes:
        if step == "evaluate-base":
            yield Asked(step, "base", Model.checkpoint(start, base, "train.model"))
        elif step in _TRAINED:
            role, made_by = _TRAINED[step]
            yield Asked(step, role, Model.checkpoint(str(homes[made_by] / "checkpoint"), base, step))
        elif step in named:
            value = named[step].model
            model = Model.named(start if value == "base" else value, base, "evaluate.further")
            yield Asked(step, named[step].role, model)


def binds_of_asked(recipe: Recipe, base: Path) -> list[Bind]:
    """Return the folders of the models that are asked again and that are no artifact of the run.

    Raises:
        UsageError: one stands on a server, which a sealed run cannot reach, or is gone.
    """
    named: list[tuple[str, Any]] = [("train.model", recipe.train.model)]
    named += [
        (f"evaluate.further.{at}.model", each.model)
        for at, each in enumerate(recipe.evaluate.further)
        if each.model != "base"
    ]
    sources: list[Source] = []
    for key, value in named:
        spec = spec_of(value, base)
        if spec.engine != "transformers":
            raise UsageError(
                f"The models cannot be asked again: {key} names {spec.model}, a model on a server, and a "
                "sealed run has no network. Verify at depth score."
            )
        sources += model_sources(key, spec)
    gone = next((each for each in sources if not each.path.exists()), None)
    if gone is not None:
        raise UsageError(
            f"The models cannot be asked again: {gone.key} names {gone.path}, which is not there. Put it "
            "back, or verify at depth score."
        )
    system = [Path(each.inside) for each in system_mounts()]
    return [Bind(path, str(path)) for path in shown(sources, None, system)]
