"""The rule generator: tasks made of a pair's texts by fixed wordings, without a model (pure).

A pair with a cooking recipe gives tasks of LLaVA-Chef's five kinds, any other one of the kinds of our own.
The order in which kinds are tried is drawn per pair; those that find nothing to ask are passed over.
"""

import random
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.records import ImageCaption, RecipeText, Rejection, Triplet, content_id
from acclimate.synthesize.answers import answer_mention, question_mention
from acclimate.synthesize.rules_captions import CaptionKind, Material, Task, caption_task
from acclimate.synthesize.rules_recipes import RecipeForm, RecipeKind, recipe_task

GENERATOR = "rules"
ROOM = "synthesize"

RuleKind: TypeAlias = RecipeKind | CaptionKind
RECIPE_KINDS: tuple[RecipeKind, ...] = get_args(RecipeKind)
CAPTION_KINDS: tuple[CaptionKind, ...] = get_args(CaptionKind)


class RulesConfig(BaseModel):
    """Which tasks rules make of a pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: Literal["rules"] = "rules"
    tasks_per_pair: int = Field(default=1, ge=1, le=9)
    """Tasks of different kinds per pair, at most; LLaVA-Chef draws one."""
    kinds: tuple[RuleKind, ...] = (*RECIPE_KINDS, *CAPTION_KINDS)
    """Kinds that may be drawn, each with the same chance: `steps_from_ingredients`, `steps`, `title`,
    `ingredients`, `recipe` of a recipe; `describe`, `topic`, `fill_in`, `presence`, `choice`, `colour`,
    `count`, `order` of captions, and `side` of boxes. `describe` asks what the caption task asks."""
    form: RecipeForm = "strict"
    """How recipe tasks are told. `paper`: answers begin with a label as published (`title: ...`), and what
    is given besides the picture is left out where the wording has no slot for it."""

    @field_validator("kinds")
    @classmethod
    def _are_some(cls, kinds: tuple[RuleKind, ...]) -> tuple[RuleKind, ...]:
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError("kinds must name at least one kind, and none twice")
        return kinds


def unusable(pair: ImageCaption, config: RulesConfig) -> str:  # noqa: ARG001 - one signature for all methods
    """Return why no task can be made of the pair at all, or nothing."""
    if isinstance(pair.annotation, RecipeText):
        recipe = pair.annotation
        return "" if recipe.title.strip() or recipe.ingredients or recipe.steps else "empty_recipe"
    return "" if pair.caption.strip() else "empty_caption"


def tasks(pair: ImageCaption, config: RulesConfig, seed: int) -> list[Triplet | Rejection]:
    """Return the pair's tasks, or one rejection.

    Reasons: those of `unusable`; `mentions_caption` or `mentions_boxes` where what could be asked or answered
    names its source; `no_rule_applies` where no kind finds anything to ask.
    """
    reason = unusable(pair, config)
    if reason:
        return [Rejection(pair.id, ROOM, reason)]
    found: list[Triplet | Rejection] = []
    mention = ""
    for kind, (question, answer) in _candidates(pair, config, seed):
        slip = question_mention(question) or answer_mention(answer)
        if slip:
            mention = mention or slip
        elif len(found) < config.tasks_per_pair:
            found.append(_triplet(pair, kind, question, answer))
    return found or [Rejection(pair.id, ROOM, mention or "no_rule_applies", pair.caption[:200])]


def _candidates(pair: ImageCaption, config: RulesConfig, seed: int) -> Iterator[tuple[str, Task]]:
    """Yield every kind of task that the pair has material for, in the order drawn for it."""

    def rng(kind: str) -> random.Random:
        return random.Random(f"{seed}/rule_{kind}/{pair.id}")

    made: list[tuple[str, Task | None]]
    if isinstance(pair.annotation, RecipeText):
        recipe = pair.annotation
        made = [(kind, recipe_task(kind, recipe, config.form, rng(kind))) for kind in RECIPE_KINDS]
    else:
        material = Material.of(pair)
        made = [(kind, caption_task(kind, material, rng(kind))) for kind in CAPTION_KINDS]
    random.Random(f"{seed}/rule_kinds/{pair.id}").shuffle(made)
    for kind, task in made:
        if kind in config.kinds and task is not None:
            yield kind, task


def _triplet(pair: ImageCaption, kind: str, question: str, answer: str) -> Triplet:
    return Triplet(
        id=content_id("triplet", GENERATOR, pair.id, kind, "0"),
        pair_id=pair.id,
        instruction=question,
        informative=answer,
        precise="",
        generator=GENERATOR,
        reply_id=f"{pair.id}/{kind}",
        kind=kind,
    )
