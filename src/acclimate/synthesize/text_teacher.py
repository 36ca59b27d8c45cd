"""The text teacher: tasks from captions, boxes and mentions by a model that does not see the picture (pure).

Four kinds, one request each: `conversation` (several rounds), `detail` (a description; its question is drawn
from a pool), `reasoning` (one question), after LLaVA, and `figure` (several rounds on a figure of a
publication), after LLaVA-Med. A reply is read as rounds, and every round that is kept is a Triplet with its
one answer in `informative`. The rounds of one reply share its id; `turn` is a round's place in the reply, so
that a dropped one leaves a gap.

Reasons for a whole reply: no_caption (asked before the engine is), empty_reply, no_task, not_prose,
too_short. For a round, or for a description: truncated, no_question, no_answer, several_answers,
empty_question, empty_answer, refusal, mentions_caption, mentions_boxes, copied_example, repeated_question,
more_than_asked. A round's rejection has the id `<reply id>#<turn>`.

Source: LLaVA section 3 and its prompts' layout (worked examples as a chat, captions for all three kinds and
boxes for two); LLaVA-Med section 3 and v1.0.0 (caption and mentions; cleaning). All texts are our own. What
the reasons check beyond LLaVA-Med's cleaning is our own rule, and off in `paper`.
"""

import random
from collections.abc import Iterable
from functools import cache
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.engines.protocol import Message, Reply, Request, Sampling
from acclimate.records import Box, Boxes, ImageCaption, Mentions, Rejection, Triplet, content_id
from acclimate.synthesize.answers import Matching, clean_answer, question_key, question_mention
from acclimate.synthesize.text_teacher_prompts import (
    DETAIL_QUESTIONS,
    EXAMPLES,
    SHORT,
    SYSTEM,
    Kind,
    Notes,
)
from acclimate.synthesize.text_teacher_replies import Round, after_thoughts, has_marks, rounds

ROOM = "synthesize"
GENERATOR: Literal["text_teacher"] = "text_teacher"
_ONE_ROUND = ("reasoning",)
_SHOWN = 200
"""Characters of a reply that a rejection quotes."""
_LONG_WORDS = 12
"""An example's answer of so many words is not met again by chance. Our own rule."""
_SHORT_CHARACTERS = 30
"""Fewer are a name and no description, in any script. Our own rule."""


class TextTeacherConfig(BaseModel):
    """What the text teacher is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: Literal["text_teacher"] = GENERATOR
    kinds: tuple[Kind, ...] = ("conversation", "detail", "reasoning")
    """One request per pair and kind: `conversation`, `detail` and `reasoning` after LLaVA; `figure`, a
    conversation about a figure of a publication, after LLaVA-Med."""
    prompt: Literal["full", "short"] = "full"
    """`full` has a system text and worked examples; `short` has one sentence, for small tuned teachers."""
    examples: int = Field(default=3, ge=0, le=4)
    """Worked examples in a full prompt, at most three for `conversation`, `detail` and `reasoning`. They make
    most of its length: about 300 tokens each."""
    boxes: tuple[Kind, ...] = ("detail", "reasoning")
    """Kinds that are shown the pair's boxes, where it has any."""
    mentions: bool = True
    """Whether `figure` is shown the sentences that mention the figure, where the pair has any."""
    matching: Matching = "strict"
    """How replies are cut and answers cleaned: `strict`, or `paper`, as LLaVA-Med does it."""

    @field_validator("kinds")
    @classmethod
    def _is_a_choice(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError("name at least one kind, and each only once")
        return kinds

    @field_validator("boxes")
    @classmethod
    def _is_a_scene(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if "figure" in kinds:
            raise ValueError("`figure` is made from a caption and mentions; it is never shown boxes")
        return kinds


def unusable(pair: ImageCaption, config: TextTeacherConfig) -> str:  # noqa: ARG001
    """Return why the pair cannot be used at all, or nothing."""
    return "" if _one_line(pair.caption) else "no_caption"


def requests(pair: ImageCaption, config: TextTeacherConfig, sampling: Sampling) -> list[Request]:
    """Return one request per kind; the picture is in none of them."""
    return [
        Request(f"{pair.id}/{kind}", messages(notes_of(pair, kind, config), kind, config), sampling)
        for kind in config.kinds
    ]


def notes_of(pair: ImageCaption, kind: Kind, config: TextTeacherConfig) -> Notes:
    """Return what the teacher of this kind may know of the pair's picture."""
    annotation = pair.annotation
    captions: tuple[str, ...] = (pair.caption,)
    boxes: tuple[Box, ...] = ()
    mentions: tuple[str, ...] = ()
    if isinstance(annotation, Boxes):
        captions += annotation.captions
        boxes = annotation.boxes if kind in config.boxes else ()
    elif isinstance(annotation, Mentions) and kind == "figure" and config.mentions:
        mentions = annotation.sentences
    return Notes(captions, boxes, mentions)


def messages(notes: Notes, kind: Kind, config: TextTeacherConfig) -> tuple[Message, ...]:
    """Return the prompt: system text, worked examples as a chat, and the notes; or one short message."""
    if config.prompt == "short":
        return (Message("user", f"{SHORT[kind]}\n\n{shown(notes, kind)}"),)
    told = [Message("system", SYSTEM[kind])]
    for example in EXAMPLES[kind][: config.examples]:
        boxes = example.notes.boxes if kind in config.boxes else ()
        mentions = example.notes.mentions if config.mentions else ()
        own = Notes(example.notes.captions, boxes, mentions)
        told += [Message("user", shown(own, kind)), Message("assistant", example.reply)]
    return (*told, Message("user", shown(notes, kind)))


def shown(notes: Notes, kind: Kind) -> str:
    """Return the notes as the teacher reads them; each on one line, so that none can pass for a heading."""
    parts = [_listed("Figure caption" if kind == "figure" else "Captions", notes.captions)]
    if notes.boxes:
        parts.append(_listed("Bounding boxes (left, top, right, bottom)", map(_box_line, notes.boxes)))
    if notes.mentions:
        parts.append(_listed("Where the publication mentions the figure", notes.mentions))
    return "\n\n".join(part for part in parts if part)


def _listed(heading: str, texts: Iterable[str]) -> str:
    lines = [f"- {line}" for line in map(_one_line, texts) if line]
    return "\n".join([f"{heading}:", *lines]) if lines else ""


def _box_line(box: Box) -> str:
    edges = ", ".join(f"{edge:.3f}" for edge in (box.x0, box.y0, box.x1, box.y1))
    return f"{box.label}: {edges}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def read(
    pair: ImageCaption, request: Request, reply: Reply, config: TextTeacherConfig
) -> list[Triplet | Rejection]:
    """Return what the reply holds: a Triplet or a Rejection per round, or one Rejection for the whole."""
    kind = _kind(pair, request)
    text = after_thoughts(reply.text)
    if not text.strip():
        return [Rejection(reply.id, ROOM, "empty_reply", reply.finish_reason)]
    if kind == "detail":
        return [_description(pair, request, reply, text, config)]
    found = rounds(text, config.matching)
    if not found:
        return [Rejection(reply.id, ROOM, "no_task", text.strip()[:_SHOWN])]
    outcomes: list[Triplet | Rejection] = []
    asked: set[str] = set()
    for turn, each in enumerate(found):
        is_cut = reply.finish_reason == "length" and turn == len(found) - 1
        question, answer, reason = _task(each, kind, config.matching, is_cut=is_cut)
        if not reason and config.matching == "strict":
            reason = _place_fault(question, turn, kind, asked)
        if reason:
            outcomes.append(Rejection(f"{reply.id}#{turn}", ROOM, reason, (question or answer)[:_SHOWN]))
        else:
            asked.add(question_key(question))
            outcomes.append(_triplet(pair, reply, kind, turn, question, answer))
    return outcomes


def _kind(pair: ImageCaption, request: Request) -> Kind:
    name = request.id.removeprefix(f"{pair.id}/")
    kind: Kind | None = next((each for each in get_args(Kind) if each == name), None)
    if kind is None:
        raise ValueError(f"{request.id!r} is no request of the text teacher for pair {pair.id!r}")
    return kind


def _task(each: Round, kind: Kind, matching: Matching, *, is_cut: bool) -> tuple[str, str, str]:
    """Return a round's question, its cleaned answer, and the reason to drop it, empty where none."""
    question = each.question or ""
    if is_cut and matching == "strict":
        return question, "", "truncated"
    if each.question is None:
        return "", each.answers[0], "no_question"
    if len(each.answers) != 1:
        return question, "", "several_answers" if each.answers else "no_answer"
    if not any(character.isalnum() for character in question):
        return question, each.answers[0], "empty_question"
    answer, reason = clean_answer(each.answers[0], matching)
    reason = reason or question_mention(question, matching)
    if not reason and matching == "strict" and question_key(each.answers[0]) in _example_answers(kind):
        reason = "copied_example"
    return question, answer, reason


def _place_fault(question: str, turn: int, kind: Kind, asked: set[str]) -> str:
    if kind in _ONE_ROUND and turn > 0:
        return "more_than_asked"
    return "repeated_question" if question_key(question) in asked else ""


def _description(
    pair: ImageCaption, request: Request, reply: Reply, text: str, config: TextTeacherConfig
) -> Triplet | Rejection:
    reason = _prose_fault(text, reply.finish_reason) if config.matching == "strict" else ""
    answer, fault = clean_answer(text, config.matching)
    reason = reason or fault
    if reason:
        return Rejection(reply.id, ROOM, reason, text.strip()[:_SHOWN])
    rng = random.Random(f"{request.sampling.seed}/detail question/{pair.id}")
    return _triplet(pair, reply, "detail", 0, rng.choice(DETAIL_QUESTIONS), answer)


def _prose_fault(text: str, finish_reason: str) -> str:
    if finish_reason == "length":
        return "truncated"
    if has_marks(text):
        return "not_prose"
    if len(text.strip()) < _SHORT_CHARACTERS:
        return "too_short"
    return "copied_example" if question_key(text) in _example_answers("detail") else ""


@cache
def _example_answers(kind: Kind) -> frozenset[str]:
    """Return the worked examples' answers that are too long to be written twice by chance."""
    replies = [example.reply for example in EXAMPLES[kind]]
    answers = [answer for reply in replies for each in rounds(reply) for answer in each.answers]
    texts = replies if kind == "detail" else answers
    return frozenset(question_key(text) for text in texts if len(text.split()) >= _LONG_WORDS)


def _triplet(pair: ImageCaption, reply: Reply, kind: Kind, turn: int, question: str, answer: str) -> Triplet:
    return Triplet(
        id=content_id("triplet", GENERATOR, pair.id, kind, str(turn)),
        pair_id=pair.id,
        instruction=question,
        informative=answer,
        precise="",
        generator=GENERATOR,
        reply_id=reply.id,
        kind=kind,
        turn=turn,
    )
