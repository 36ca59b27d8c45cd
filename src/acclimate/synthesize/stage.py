"""The door of synthesize: pairs in, task triplets out; and the seed data's way into tuning."""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask
from acclimate.engines.open import EngineExecution
from acclimate.engines.protocol import Engine, Request, Sampling
from acclimate.records import Conversation, ImageCaption, ImageRef, Rejection, SeedExample, Triplet
from acclimate.synthesize.format import (
    CAPTION_QUESTION,
    ROOM,
    is_blanked,
    read_reply,
    seed_conversation,
    synthesis_request,
)

VERSION = 1


class SynthesizeConfig(BaseModel):
    """What is asked of the synthesizer, and how it is decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "tuned"
    """Folder of a tuned synthesizer, or `tuned`: the one this recipe tunes."""
    samples_per_pair: int = Field(default=1, ge=1, le=64)
    """Replies asked per pair; each may give one triplet."""
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=512, ge=8)
    """Length bound of a reply, in tokens."""
    seed: int = 0
    caption_question: str = CAPTION_QUESTION
    """Must be the one the synthesizer was tuned with."""
    execution: EngineExecution = EngineExecution()


def tuning_conversations(
    examples: Iterable[SeedExample], *, blank_rate: float, seed: int, caption_question: str, blank: ImageRef
) -> Iterator[Conversation]:
    """Yield one tuning conversation per seed example."""
    for example in examples:
        hidden = is_blanked(example.id, blank_rate, seed)
        yield seed_conversation(example, caption_question, seed, blank if hidden else None)


def synthesize(
    pairs: Iterable[ImageCaption], engine: Engine, config: SynthesizeConfig, *, log: ReplyLog | None
) -> Iterator[Triplet | Rejection]:
    """Yield one triplet or one rejection per pair and sample, in the order of the pairs.

    Several samples of one pair that make the same task come out once, the others as `duplicate_task`.
    A pair all of whose samples fail still has its caption task: that is compose's business.
    """
    pending: dict[str, tuple[ImageCaption, int]] = {}

    def requests() -> Iterator[Request]:
        for pair in pairs:
            for sample in range(config.samples_per_pair):
                sampling = Sampling(config.max_tokens, config.temperature, config.top_p, config.seed)
                request = synthesis_request(pair, config.caption_question, sampling, sample)
                pending[request.id] = (pair, sample)
                yield request

    seen: set[tuple[str, str, str]] = set()
    for request, reply in ask(engine, requests(), log):
        pair, sample = pending.pop(request.id)
        outcome = read_reply(pair, reply, sample, engine.markers)
        if isinstance(outcome, Triplet):
            key = (pair.id, outcome.instruction, outcome.precise)
            if key in seen:
                outcome = Rejection(reply.id, ROOM, "duplicate_task", outcome.instruction)
            seen.add(key)
        yield outcome
