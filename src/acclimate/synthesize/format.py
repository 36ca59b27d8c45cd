"""The synthesizer's format: what it is tuned on, what it is asked, and the grammar it is read by (pure).

A pair is told as a chat: the image and `caption_question`, the caption as the answer, and then one round per
answer kind, each a user's turn (a hint line, the question) and an assistant's turn (the answer). In
synthesis the model continues after the caption and writes the user's turns itself.

Source: AdaMLLM section 3.1 and table 1; the two hint lines and the caption question are interop constants of
the published synthesizer. The parser is our own: strict, and with a reason for every failure.
"""

import random
from collections.abc import Iterator

from acclimate.engines.protocol import Message, Reply, Request, Sampling, TurnMarkers
from acclimate.records import Conversation, ImageCaption, ImageRef, Rejection, SeedExample, Triplet, Turn, content_id

PRECISE_HINT = "Answer with a precise response."
INFORMATIVE_HINT = "Answer with an informative response."
CAPTION_QUESTION = "Describe the image."
ROOM = "synthesize"


def is_blanked(record_id: str, rate: float, seed: int) -> bool:
    """Say whether the record's picture is replaced by a blank one; decided by the record's id alone."""
    return random.Random(f"{seed}/blank/{record_id}").random() < rate


def seed_conversation(
    example: SeedExample, caption_question: str, seed: int, blank: ImageRef | None
) -> Conversation:
    """Return the tuning conversation of one seed example; the two rounds stand in an order of its own.

    Args:
        blank: the picture shown instead, for the examples that learn to read the caption alone.
    """
    rounds = [(PRECISE_HINT, example.precise), (INFORMATIVE_HINT, example.informative)]
    if random.Random(f"{seed}/order/{example.id}").random() < 0.5:
        rounds.reverse()
    turns = [Turn("user", caption_question, False), Turn("assistant", example.caption, False)]
    for hint, answer in rounds:
        turns += [Turn("user", f"{hint}\n{example.instruction}", True), Turn("assistant", answer, True)]
    return Conversation(
        id=content_id("tuning", example.id),
        images=(blank or example.image,),
        turns=tuple(turns),
        stage=1,
        sources=(example.id,),
    )


def synthesis_request(pair: ImageCaption, caption_question: str, sampling: Sampling, sample: int) -> Request:
    """Return the request that lets the model continue as the user after image and caption."""
    return Request(
        id=f"{pair.id}/{sample}",
        messages=(
            Message("user", caption_question, (pair.image,)),
            Message("assistant", pair.caption),
        ),
        sampling=sampling,
        opens="user",
        sample=sample,
    )


def render(instruction: str, precise: str, informative: str, markers: TurnMarkers) -> str:
    """Return the text that a synthesizer writes for a triplet, precise first: what `parse` reads back."""
    rounds = ((PRECISE_HINT, precise), (INFORMATIVE_HINT, informative))
    turn = markers.end_of_turn + markers.separator
    return markers.user.join(
        f"{hint}\n{instruction}{turn}{markers.assistant}{answer}{turn}" for hint, answer in rounds
    )


def _rounds(text: str, markers: TurnMarkers) -> Iterator[tuple[str, str] | str]:
    """Yield each round's user text and answer, or the reason why it is not one."""
    end, assistant = markers.end_of_turn, markers.assistant
    specials = [marker for marker in (end, markers.user.strip(), assistant.strip(), markers.end_of_text) if marker]
    for segment in text.split(markers.user):
        closed = segment.rstrip()
        separator = end + markers.separator + assistant
        if not closed:
            continue
        if not closed.endswith(end):
            yield "truncated"
            continue
        user, found, answer = closed.removesuffix(end).partition(separator)
        if not found or any(marker in part for marker in specials for part in (user, answer)):
            yield "malformed_turn"
        else:
            yield user.strip(), answer.strip()


def parse(text: str, markers: TurnMarkers) -> tuple[str, str, str] | str:
    """Return (instruction, informative, precise) of the first complete pair of rounds, or a reason.

    A pair is complete when both hints were given for the same question and both answers are there. Reasons,
    the first that applies to the text: `empty_reply`; then what stopped the first bad round (`truncated`,
    `malformed_turn`, `unknown_hint`, `empty_question`, `empty_answer`); then `one_answer_only` or
    `question_mismatch` where the rounds are whole and still make no pair. Nothing is repaired.
    """
    if not text.strip():
        return "empty_reply"
    answers: dict[str, dict[str, str]] = {PRECISE_HINT: {}, INFORMATIVE_HINT: {}}
    fault = ""
    for each in _rounds(text, markers):
        if isinstance(each, str):
            fault = fault or each
            continue
        user, answer = each
        hint, _, question = user.partition("\n")
        question = question.strip()
        if hint not in answers:
            fault = fault or "unknown_hint"
        elif not question:
            fault = fault or "empty_question"
        elif not answer:
            fault = fault or "empty_answer"
        else:
            answers[hint].setdefault(question, answer)
            if question in answers[PRECISE_HINT] and question in answers[INFORMATIVE_HINT]:
                return question, answers[INFORMATIVE_HINT][question], answers[PRECISE_HINT][question]
    if fault:
        return fault
    return "question_mismatch" if all(answers.values()) else "one_answer_only"


def read_reply(pair: ImageCaption, reply: Reply, sample: int, markers: TurnMarkers) -> Triplet | Rejection:
    """Return the triplet in a reply, or the rejection that says why there is none."""
    found = parse(reply.text, markers)
    if isinstance(found, str):
        return Rejection(reply.id, ROOM, found, reply.text[:200])
    instruction, informative, precise = found
    return Triplet(
        id=content_id("triplet", pair.id, str(sample)),
        pair_id=pair.id,
        instruction=instruction,
        informative=informative,
        precise=precise,
        generator="synthesizer",
        reply_id=reply.id,
    )
