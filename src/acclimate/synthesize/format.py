"""The synthesizer's format: what it is tuned on and what it is asked (pure); `grammars` reads it.

A pair is told as a chat: the image and `caption_question`, the caption as the answer, and then one round per
answer kind, each a user's turn (a hint line, the question) and an assistant's turn (the answer). In
synthesis the model continues after the caption and writes the user's turns itself.

Source: AdaMLLM section 3.1 and table 1; the two hint lines and the caption question are interop constants of
the published synthesizer. What is shown where the picture or the caption is left out (table 6) is our own.
"""

import random
from typing import Literal, TypeAlias

from acclimate.engines.protocol import Message, Request, Sampling, TurnMarkers
from acclimate.records import Conversation, ImageCaption, ImageRef, Role, SeedExample, Turn, content_id

PRECISE_HINT = "Answer with a precise response."
INFORMATIVE_HINT = "Answer with an informative response."
OTHER_HINT = {PRECISE_HINT: INFORMATIVE_HINT, INFORMATIVE_HINT: PRECISE_HINT}
CAPTION_QUESTION = "Describe the image."
NO_CAPTION = "There is no caption."
"""Stands in the caption's turn where a synthesizer is to see the picture alone."""

Inputs: TypeAlias = Literal["image_and_caption", "caption_only", "image_only"]


def is_blanked(record_id: str, rate: float, seed: int) -> bool:
    """Say whether the record's picture is replaced by a blank one; decided by the record's id alone.

    Each record is drawn on its own, with exactly this probability. So the count over n records is binomial
    (n rate, give or take sqrt(n rate (1 - rate))), and a removed record changes no other's choice; no rule
    gives both that and an exact count. Source: our own rule.
    """
    return random.Random(f"{seed}/blank/{record_id}").random() < rate


def opening(
    image: ImageRef, caption: str, inputs: Inputs, caption_question: str, system: str
) -> tuple[Message, ...]:
    """Return what stands before the tasks, in tuning as in synthesis: the picture and its caption."""
    shown = () if inputs == "caption_only" else (image,)
    told = NO_CAPTION if inputs == "image_only" else caption
    first = (Message("system", system),) if system else ()
    return (*first, Message("user", caption_question, shown), Message("assistant", told))


def seed_conversation(
    example: SeedExample,
    caption_question: str,
    seed: int,
    blank: ImageRef | None,
    *,
    inputs: Inputs = "image_and_caption",
    system: str = "",
) -> Conversation:
    """Return the tuning conversation of one seed example; the two rounds stand in an order of its own.

    Args:
        blank: the picture shown instead, for the examples that learn to read the caption alone.
        inputs: what of the pair is shown.
        system: a system message put first; empty puts none.
    """
    rounds = [(PRECISE_HINT, example.precise), (INFORMATIVE_HINT, example.informative)]
    if random.Random(f"{seed}/order/{example.id}").random() < 0.5:
        rounds.reverse()
    before = opening(blank or example.image, example.caption, inputs, caption_question, system)
    turns = [Turn(message.role, message.text, trained=False) for message in before]
    for hint, answer in rounds:
        turns += [
            Turn("user", f"{hint}\n{example.instruction}", trained=True),
            Turn("assistant", answer, trained=True),
        ]
    return Conversation(
        id=content_id("tuning", example.id),
        images=tuple(image for message in before for image in message.images),
        turns=tuple(turns),
        stage=1,
        sources=(example.id,),
    )


def synthesis_request(
    pair: ImageCaption,
    caption_question: str,
    sampling: Sampling,
    sample: int,
    *,
    inputs: Inputs = "image_and_caption",
    system: str = "",
) -> Request:
    """Return the request that lets the model continue as the user after image and caption."""
    return Request(
        id=f"{pair.id}/{sample}",
        messages=opening(pair.image, pair.caption, inputs, caption_question, system),
        sampling=sampling,
        opens="user",
        sample=sample,
    )


def second_request(first: Request, hint: str, question: str, answer: str) -> Request:
    """Return the request that puts a question a second time, with the other hint, after its first answer.

    The first round is told as the model wrote it, and the model opens the assistant's turn. Source: our own
    rule; the published synthesizer writes the question a second time itself, and where the two differ the
    task is lost.
    """
    rounds: tuple[tuple[Role, str], ...] = (
        ("user", f"{hint}\n{question}"),
        ("assistant", answer),
        ("user", f"{OTHER_HINT[hint]}\n{question}"),
    )
    return Request(
        id=f"{first.id}/second",
        messages=(*first.messages, *(Message(role, text) for role, text in rounds)),
        sampling=first.sampling,
        opens="assistant",
        sample=first.sample,
    )


def render(instruction: str, precise: str, informative: str, markers: TurnMarkers) -> str:
    """Return the text that a synthesizer writes for a triplet, precise first: what `grammars` reads back."""
    rounds = ((PRECISE_HINT, precise), (INFORMATIVE_HINT, informative))
    turn = markers.end_of_turn + markers.separator
    return markers.user.join(
        f"{hint}\n{instruction}{turn}{markers.assistant}{answer}{turn}" for hint, answer in rounds
    )
