"""The method that makes no tasks: every pair keeps its caption task, which is compose's business (pure)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from acclimate.records import ImageCaption, Rejection, Triplet

GENERATOR = "caption_only"
ROOM = "synthesize"


class CaptionOnlyConfig(BaseModel):
    """Nothing to decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: Literal["caption_only"] = "caption_only"


def unusable(pair: ImageCaption, config: CaptionOnlyConfig) -> str:  # noqa: ARG001 - one signature for all methods
    """Return nothing: no pair is refused, since none is asked for anything."""
    return ""


def tasks(
    pair: ImageCaption,
    config: CaptionOnlyConfig,  # noqa: ARG001
    seed: int,  # noqa: ARG001
) -> list[Triplet | Rejection]:
    """Return one rejection that says that no task was asked for, so that the pair is accounted for."""
    return [Rejection(pair.id, ROOM, "caption_only")]
