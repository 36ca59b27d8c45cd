"""A verdict from k sampled answers (pure): does a model that sees the picture come to the same answer?

Source: self-consistency is Wang et al. 2022; that answers which scatter make the question `open`, and that
the shares take the place of the judge's probabilities, are our own rules.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.curate.answer_match import answer_words, gives
from acclimate.engines.protocol import Message, Request, Sampling
from acclimate.records import ImageRef, Triplet

SLOT = "{instruction}"


class SelfConsistency(BaseModel):
    """How often the model answers an instruction, and how those answers are sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=5, ge=2, le=64)
    """Answers per task."""
    temperature: float = Field(default=0.7, gt=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=64, ge=1)
    """Longest answer."""
    prompt: str = SLOT
    """The prompt, with the slot {instruction}: for a talkative model with a request to be brief."""
    seed: int = 0

    @field_validator("prompt")
    @classmethod
    def _has_the_slot(cls, form: str) -> str:
        if SLOT not in form:
            raise ValueError(f"self_consistency.prompt has no {SLOT}, so the model would not see the task")
        return form


def answer_requests(triplet: Triplet, image: ImageRef, config: SelfConsistency) -> Iterator[Request]:
    """Yield the k requests for answers to a task; the model sees the picture and neither given answer."""
    text = triplet.instruction.join(config.prompt.split(SLOT))
    sampling = Sampling(config.max_tokens, config.temperature, config.top_p, config.seed)
    for sample in range(config.k):
        messages = (Message("user", text, (image,)),)
        yield Request(f"{triplet.id}/{sample}", messages, sampling, sample=sample)


def shares(replies: Sequence[str], precise: str) -> tuple[float, float, float]:
    """Return which shares of the replies agree, agree with each other on something else, and scatter.

    Replies that give the precise answer agree. Of the others, the largest group of equal answers speaks
    against it; what is left, replies without a word among it, scatters.

    Args:
        replies: at least one.
    """
    others = [answer_words(reply) for reply in replies if not gives(reply, precise)]
    groups = Counter(words for words in others if words)
    largest = max(groups.values(), default=0)
    n = len(replies)
    return (n - len(others)) / n, largest / n, (len(others) - largest) / n
