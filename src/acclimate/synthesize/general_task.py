"""Seed examples as tasks: the same judge and the same format as synthetic ones, for the comparison (pure).

Source: AdaMLLM's Table 5, `general task`: the seed data goes through the filter and the merge as if it had
been synthesized. A seed example has both answers already, so nothing is written here; its picture and caption
become a pair of the general data.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from acclimate.records import ImageCaption, Rejection, SeedExample, Triplet, content_id

GENERATOR = "general_task"
ROOM = "synthesize"


class GeneralTaskConfig(BaseModel):
    """Nothing to decide: how many of the tasks are used is `compose.general_ratio`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: Literal["general_task"] = "general_task"


def pair_of(example: SeedExample) -> ImageCaption:
    """Return the example's picture and caption as a pair, under the example's id.

    An example has no licence of its own, the recipe states that of all; so the pair's is `unknown`.
    """
    return ImageCaption(example.id, example.image, example.caption, example.source, "unknown")


def unusable(example: SeedExample, config: GeneralTaskConfig) -> str:  # noqa: ARG001 - one signature for all methods
    """Return why the example is no task, or nothing; the reasons are those of the synthesizer's grammar."""
    if not example.instruction.strip():
        return "empty_question"
    if not example.informative.strip() or not example.precise.strip():
        return "empty_answer"
    return ""


def tasks(
    example: SeedExample,
    config: GeneralTaskConfig,
    seed: int,  # noqa: ARG001
) -> list[Triplet | Rejection]:
    """Return the example's task, or one rejection: `empty_question` or `empty_answer`."""
    reason = unusable(example, config)
    if reason:
        return [Rejection(example.id, ROOM, reason)]
    return [
        Triplet(
            id=content_id("triplet", GENERATOR, example.id, "", "0"),
            pair_id=example.id,
            instruction=example.instruction.strip(),
            informative=example.informative.strip(),
            precise=example.precise.strip(),
            generator=GENERATOR,
            reply_id=example.id,
        )
    ]
