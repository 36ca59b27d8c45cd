"""The study of synthesis on a user's recipe: the recipe's own judge rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.curate.quality import QualityConfig
from acclimate.curate.quality_judge import View, rated
from acclimate.curate.ratings import Rating
from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError
from acclimate.pipeline import Line
from acclimate.recipe import Recipe, validated
from acclimate.records import ImageCaption, JudgedTriplet
from acclimate.studies.synthesis import VALIDATION, Setting
from acclimate.workplace import Model, Place, Progress


@dataclass(frozen=True, slots=True)
class ByJudge:
    """Rates tasks by asking a model."""

    place: Place
    model: Model
    config: QualityConfig

    def __call__(
        self, tasks: Sequence[JudgedTriplet], pair_by_id: Mapping[str, ImageCaption]
    ) -> dict[str, Rating]:
        """Return every task's rating by its id."""
        engine, log = self.place.open(self.model, self.config.execution)
        view = View(self.config.sees, ("combined", "precise", "informative"), self.config.seed)
        found = {each.task_id: each for each in rated(tasks, pair_by_id, engine, view, log=log)}
        self.place.engines.opened.clear()
        return found


def prepare(
    recipe: Recipe,
    base: Path,
    seed: int,
    *,
    run_dir: Path,
    teacher: str | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Setting:
    """Return the setting of a user's recipe for one seed of tuning and synthesis.

    Args:
        base: what the recipe's paths count from.
        run_dir: receives the artifacts; the recipe's own run folder is not touched.
        teacher: the text teacher; None leaves it out.

    Raises:
        RecipeError: the recipe tunes no synthesizer, or names nobody who rates.
    """
    if recipe.synthesizer is None:
        raise RecipeError(
            "The study tunes synthesizers, and the recipe has no `synthesizer` part; add `synthesizer: "
            "{model: ..., seeds: {source: ...}}`."
        )
    data = recipe.model_dump(mode="json")
    data["run_dir"] = str(run_dir.resolve())
    data["synthesizer"] |= {"seed": seed, "validation": recipe.synthesizer.validation or VALIDATION}
    data["synthesizer"]["train"]["seed"] = seed
    data["synthesize"] |= {"seed": seed, "generator": "synthesizer", "model": "tuned"}
    own = validated(data, "the study's recipe")
    accounts = accounts or Accounts()
    line = Line(own, base, progress=progress, keys=keys, accounts=accounts)
    rater = line.rater()
    if rater is None:
        raise RecipeError("quality.judge is `none`, so nobody would rate the tasks; name a model.")
    return Setting(
        own,
        base,
        ByJudge(line.place, rater, recipe.quality),
        teacher,
        per_set=recipe.quality.per_set,
        keys=keys,
        accounts=accounts,
        shares_pairs=True,
    )
