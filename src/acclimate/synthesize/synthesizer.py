"""The visual instruction synthesizer: what it is asked and what its replies give (pure).

Two modes. A tuned model *continues* the chat after the caption and writes the user's turns itself; a strong
model that was not tuned is *prompted* for the same three texts as JSON.

Source: AdaMLLM section 3.1 for the first; the second, and asking in two steps, are our own.
"""

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from acclimate.engines.protocol import Message, Reply, Request, Sampling, TurnMarkers
from acclimate.records import ImageCaption, Rejection, Triplet, content_id
from acclimate.synthesize.format import (
    CAPTION_QUESTION,
    INFORMATIVE_HINT,
    Inputs,
    second_request,
    synthesis_request,
)
from acclimate.synthesize.grammars import (
    Round,
    Task,
    first_round,
    read_answer,
    read_paper,
    read_strict,
)
from acclimate.synthesize.json_tasks import json_schema, read_json

GENERATOR = "synthesizer"
ROOM = "synthesize"

Outcome: TypeAlias = Triplet | Rejection


class SynthesizerConfig(BaseModel):
    """How the synthesizer is asked, and how its replies are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["continue", "prompted"] = "continue"
    """`continue`: a tuned synthesizer writes the user's turns itself. `prompted`: any strong model is told
    what a task is and replies in JSON; the untuned column of AdaMLLM's Table 6."""
    inputs: Inputs = "image_and_caption"
    """What of a pair is shown, in tuning as in synthesis: the other columns of Table 6."""
    caption_question: str = CAPTION_QUESTION
    """How the caption is asked for; must be as in tuning. `prompted` does not read it."""
    system: str = ""
    """A system message put first; must be as in tuning. The published checkpoint was tuned with the one
    sentence of its template `llava_llama_3`; empty puts none of ours."""
    grammar: Literal["strict", "paper"] = "strict"
    """How replies of `continue` are read: our grammar of the family's own markers, or the published parser
    with its quirks, for checkpoints with the published layout (Llama 3's markers)."""
    triplets_per_reply: int = Field(default=1, ge=1, le=16)
    """Tasks read from one reply, at most; `prompted` asks for so many. The published parser takes one."""
    second_question: Literal["written", "repeated"] = "written"
    """Who puts the question the second time, for the other answer. `written`: the model, as published; where
    it asks something else the reply is lost as `question_mismatch`. `repeated`: we do, word for word, in a
    second request; twice the requests, and no such losses."""

    @model_validator(mode="after")
    def _fits_together(self) -> "SynthesizerConfig":
        if self.mode == "prompted" and (self.grammar, self.second_question) != ("strict", "written"):
            raise ValueError(
                "`mode: prompted` asks for both answers at once and reads JSON, so it has no grammar of "
                "turns and no second question; leave `grammar` and `second_question` out, or set "
                "`mode: continue`"
            )
        if self.second_question == "repeated" and (self.triplets_per_reply > 1 or self.grammar == "paper"):
            raise ValueError(
                "`second_question: repeated` reads the first question of a reply by the strict grammar, so "
                "it gives one task per reply; set triplets_per_reply to 1 and grammar to strict, and ask for "
                "more with samples_per_pair"
            )
        return self


def requests(
    pair: ImageCaption, config: SynthesizerConfig, sampling: Sampling, n_samples: int = 1
) -> list[Request]:
    """Return the pair's requests, one per sample."""
    if config.mode == "prompted":
        return [_prompted(pair, config, sampling, sample) for sample in range(n_samples)]
    return [
        synthesis_request(
            pair,
            config.caption_question,
            sampling,
            sample,
            inputs=config.inputs,
            system=config.system,
        )
        for sample in range(n_samples)
    ]


def read(
    pair: ImageCaption, reply: Reply, config: SynthesizerConfig, markers: TurnMarkers | None
) -> list[Outcome]:
    """Return the reply's tasks with a rejection for each one dropped, or one rejection.

    The reasons are those of `grammars`.

    Args:
        markers: the engine's; not needed where the mode is `prompted`.
    """
    found = _parsed(reply, config, markers)
    if isinstance(found, str):
        return [_rejected(reply, found)]
    return [
        triplet(pair, reply.id, index, each)
        if isinstance(each, Task)
        else Rejection(f"{reply.id}#{index}", ROOM, each)
        for index, each in enumerate(found)
    ]


def _parsed(reply: Reply, config: SynthesizerConfig, markers: TurnMarkers | None) -> list[Task | str] | str:
    ended, most = reply.finish_reason != "length", config.triplets_per_reply
    if config.mode == "prompted" or markers is None:
        return read_json(reply.text, ended=ended, most=most)
    if config.grammar == "paper":
        tasks = read_paper(reply.text, most=most)
    else:
        tasks = read_strict(reply.text, markers, ended=ended, most=most)
    return tasks if isinstance(tasks, str) else [*tasks]


def read_first(reply: Reply, markers: TurnMarkers) -> Round | Rejection:
    """Return the first round of a reply, of which the question is to be repeated, or why there is none."""
    found = first_round(reply.text, markers, ended=reply.finish_reason != "length")
    return found if isinstance(found, Round) else _rejected(reply, found)


def repeat(first: Request, found: Round) -> Request:
    """Return the request for a first round's other answer."""
    return second_request(first, found.hint, found.question, found.answer)


def read_second(
    pair: ImageCaption, reply_id: str, found: Round, reply: Reply, markers: TurnMarkers
) -> Outcome:
    """Return the task of a first round and the reply to its repeated question, or a rejection.

    Args:
        reply_id: the first reply's; the two count as one.
    """
    answer, reason = read_answer(reply.text, markers, ended=reply.finish_reason != "length")
    if reason:
        return Rejection(reply_id, ROOM, reason, f"second answer: {reply.text[:180]}")
    if found.hint == INFORMATIVE_HINT:
        return triplet(pair, reply_id, 0, Task(found.question, found.answer, answer))
    return triplet(pair, reply_id, 0, Task(found.question, answer, found.answer))


def triplet(pair: ImageCaption, reply_id: str, index: int, task: Task) -> Triplet:
    """Return a task of a reply as a record. Tasks of one reply do not build on each other: all are turn 0."""
    return Triplet(
        id=content_id("triplet", GENERATOR, reply_id, str(index)),
        pair_id=pair.id,
        instruction=task.instruction,
        informative=task.informative,
        precise=task.precise,
        generator=GENERATOR,
        reply_id=reply_id,
    )


def _rejected(reply: Reply, reason: str) -> Rejection:
    return Rejection(reply.id, ROOM, reason, reply.text[:200])


_SHOWN = {
    "image_and_caption": "You are given a picture and, below, a caption that is true of it.",
    "caption_only": "You are given, below, a caption that is true of a picture you do not see. Write as if "
    "you saw the picture, and rely on nothing the caption does not say.",
    "image_only": "You are given a picture.",
}
_WANTED = """Write {count} for somebody who learns to read pictures of this kind. A task has three parts:
- "instruction": a question or a request that needs a look at the picture and some knowledge of its subject. \
It must not give its own answer away.
- "informative": a full answer in one to four sentences: what is to be seen, what is known about it, and \
what follows from both.
- "precise": the same answer as briefly as it can be put, a few words at most. Whoever reads only the \
informative answer must come to exactly this one.
Take up something else in every task, in another way of asking: naming, counting, comparing, placing, \
explaining, deciding, forecasting. Speak of the picture alone, never of a caption or of these lines."""
_ONE = '{"instruction": "...", "informative": "...", "precise": "..."}'
_FORM = "Reply with JSON and nothing else, in exactly this form:"


def _prompted(pair: ImageCaption, config: SynthesizerConfig, sampling: Sampling, sample: int) -> Request:
    most = config.triplets_per_reply
    count = "one task" if most == 1 else f"{most} different tasks"
    form = _ONE if most == 1 else f'{{"tasks": [{_ONE}, ...]}}'
    parts = [_SHOWN[config.inputs], _WANTED.format(count=count), f"{_FORM}\n{form}"]
    if config.inputs != "image_only":
        parts.append(f"Caption:\n{pair.caption}")
    images = () if config.inputs == "caption_only" else (pair.image,)
    system = (Message("system", config.system),) if config.system else ()
    return Request(
        id=f"{pair.id}/{sample}",
        messages=(*system, Message("user", "\n\n".join(parts), images)),
        sampling=sampling,
        sample=sample,
        schema=json_schema(most),
    )
