"""The synthesizer's format: what it is tuned on, what it is asked, and the grammar it is read by (pure).

A pair is told as a chat: the image and `caption_question`, the caption as the answer, and then one round per
answer kind, each a user's turn (a hint line, the question) and an assistant's turn (the answer). In
synthesis the model continues after the caption and writes the user's turns itself.

Source: AdaMLLM section 3.1 and table 1; the two hint lines and the caption question are interop constants of
the published synthesizer. The parser is our own: strict, and with a reason for every failure.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from acclimate.engines.protocol import Message, Reply, Request, Sampling, TurnMarkers
from acclimate.records import (
    Conversation,
    ImageCaption,
    ImageRef,
    Rejection,
    SeedExample,
    Triplet,
    Turn,
    content_id,
)

PRECISE_HINT = "Answer with a precise response."
INFORMATIVE_HINT = "Answer with an informative response."
CAPTION_QUESTION = "Describe the image."
ROOM = "synthesize"


def is_blanked(record_id: str, rate: float, seed: int) -> bool:
    """Say whether the record's picture is replaced by a blank one; decided by the record's id alone.

    Each record is drawn on its own, with exactly this probability. So the count over n records is binomial
    (n rate, give or take sqrt(n rate (1 - rate))), and a removed record changes no other's choice; no rule
    gives both that and an exact count. Source: our own rule.
    """
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
    turns = [
        Turn("user", caption_question, trained=False),
        Turn("assistant", example.caption, trained=False),
    ]
    for hint, answer in rounds:
        turns += [
            Turn("user", f"{hint}\n{example.instruction}", trained=True),
            Turn("assistant", answer, trained=True),
        ]
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


@dataclass(frozen=True, slots=True)
class _Grammar:
    """What `parse` looks for in a family's replies."""

    user: str
    """What opens a user's turn."""
    end: str
    """What closes a turn; empty where the family closes it with white space alone (LLaVA-1.5)."""
    next_turn: str
    """What stands between an answer and the header of the next turn."""
    answer: str
    """What stands between a question and its answer."""
    forbidden: tuple[str, ...]
    """What no question and no answer may hold: headers, end marks, and the tokens they are made of."""

    @classmethod
    def of(cls, markers: TurnMarkers) -> "_Grammar":
        """Return the grammar of a family's markers."""
        user, assistant, end = markers.user.strip(), markers.assistant.strip(), markers.end_of_turn.strip()
        tokens = re.findall(r"<[^<>\s]+>", user + assistant)
        forbidden = tuple(each for each in (end, user, assistant, *tokens, markers.end_of_text) if each)
        if not end:
            # White space is all that stands between turns, and a model need not write each blank of it.
            return cls(user, "", "", assistant, forbidden)
        next_turn = markers.end_of_turn + markers.separator
        return cls(markers.user, end, next_turn, next_turn + markers.assistant, forbidden)


def _rounds(text: str, grammar: _Grammar, *, ended: bool) -> Iterator[tuple[str, str] | str]:
    """Yield each round's user text and answer, or the reason why it is not one."""
    *earlier, last = _with_whole_header(text, grammar).split(grammar.user)
    for segment in earlier:
        yield _round(segment.rstrip(), grammar)
    is_whole = last.rstrip().endswith(grammar.end) if grammar.end else ended and last.strip()
    yield _round(last.rstrip(), grammar) if is_whole else "truncated"


def _with_whole_header(text: str, grammar: _Grammar) -> str:
    """Return the text with a header that was cut off at its end written out: the turn before it is whole."""
    if not grammar.end:
        return text
    for length in range(1, len(grammar.user)):
        if text.endswith(grammar.next_turn + grammar.user[:length]):
            return text + grammar.user[length:]
    return text


def _round(segment: str, grammar: _Grammar) -> tuple[str, str] | str:
    """Return one round's user text and answer, or a reason."""
    user, found, answer = segment.removesuffix(grammar.end).partition(grammar.answer)
    if not found or not segment.endswith(grammar.end):
        return "malformed_turn"
    if any(marker in part for marker in grammar.forbidden for part in (user, answer)):
        return "malformed_turn"
    return user.strip(), answer.strip()


def parse(text: str, markers: TurnMarkers, *, ended: bool = True) -> tuple[str, str, str] | str:
    """Return (instruction, informative, precise) of the first complete pair of rounds, or a reason.

    A pair is complete when both hints were given for the same question and both answers are there. Reasons,
    the first that applies to the text: `empty_reply`; then what stopped the first bad round (`truncated`,
    `malformed_turn`, `unknown_hint`, `empty_question`, `empty_answer`); then `one_answer_only` or
    `question_mismatch` where the rounds are whole and still make no pair. Nothing is repaired.

    Args:
        ended: whether the model ended the reply itself. Where a family closes turns with white space alone,
            only this tells a whole last answer from a cut one.
    """
    if text.rstrip().endswith(markers.end_of_text):
        text = text.rstrip().removesuffix(markers.end_of_text)
    if not text.strip():
        return "empty_reply"
    answers: dict[str, dict[str, str]] = {PRECISE_HINT: {}, INFORMATIVE_HINT: {}}
    fault = ""
    for each in _rounds(text, _Grammar.of(markers), ended=ended):
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
    found = parse(reply.text, markers, ended=reply.finish_reason != "length")
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
