"""Wordings in the published shapes and shares, for `compose.merge: paper` (data).

The published pools come from few-shot patterns: many ask the question as it stands, some give the answer
before the reason, and some turn the task round: they show the answer and ask for the question, or show
question and answer and ask for the reasons. Training on them is not what the paper describes; they are here
to repeat what was done. Every string is our own; the shapes and how often each occurs are the published ones.

`{q}` is the instruction, `{i}` the informative and `{p}` the precise answer, `{a}` an answer that stands
alone.

Source: `spec/official-behaviour.md` 1.6.
"""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from acclimate.compose.wordings import BARE, PLAIN_QUESTIONS, REASONING_QUESTIONS


class Wording(NamedTuple):
    """What the user and what the assistant says."""

    user: str
    assistant: str


def _times(count: int, wordings: Sequence[Wording]) -> tuple[Wording, ...]:
    """Return so many wordings, taken in turn."""
    return tuple(islice(cycle(wordings), count))


_ANSWERED = [Wording(question, "{a}") for question in PLAIN_QUESTIONS]
_WHAT_WAS_ASKED = [
    Wording("{a}\nWhat could have been asked?", "{q}"),
    Wording("Here is an answer: {a}\nWrite what it answers.", "{q}"),
    Wording("Write a task about the image that has this answer: {a}", "{q}"),
    Wording("Answer: {a}\nTask:", "{q}"),
    Wording("Someone looked at the image and said: {a}\nWhat were they asked?", "{q}"),
    Wording("Which task about the image leads to this reply?\n{a}", "{q}"),
    Wording("{a}\nThis is a reply. Find the task that belongs to it.", "{q}"),
    Wording("The reply was: {a}\nGuess the request.", "{q}"),
    Wording("What should I ask to be told the following? {a}", "{q}"),
    Wording("{a}\nTurn this into a task about the image.", "{q}"),
]
_ASK_SOMETHING = [
    Wording("Ask something about the image.", "{q}"),
    Wording("Write a task for this image.", "{q}"),
    Wording("What could one ask about this image?", "{q}"),
    Wording("Set me a task on the picture.", "{q}"),
    Wording("Think of a request that the image can answer.", "{q}"),
]

_REASONED_REPLIES = (
    "{i}\nSo the answer is: {p}",
    "{i}\nThe answer: {p}",
    "{i} Therefore, the answer is {p}",
    "{i}\nIn conclusion: {p}",
    "{i}\nAnswer: {p}",
    "{i}\n[Answer] {p}",
)
_REASONS_THEN_ANSWER = [
    Wording(question, reply)
    for question, reply in zip(
        islice(cycle(REASONING_QUESTIONS), 104), islice(cycle(_REASONED_REPLIES), 104), strict=True
    )
]
_ANSWER_THEN_REASONS = [
    Wording("{q}\nAnswer first, then explain.", "{p}\n{i}"),
    Wording("{q}\nWhat is the answer, and why?", "{p}\nThe reason: {i}"),
    Wording("{q}\nGive the answer and a reason for it.", "The answer: {p}\nThe reason: {i}"),
    Wording("Answer, and then justify the answer: {q}", "{p}\nThis is why: {i}"),
    Wording("{q}\nPut the answer before the explanation.", "Answer: {p}\nExplanation: {i}"),
]
_REASONS_ALONE = [Wording("{q}\nGive the reasoning and nothing else.", "{i}")]
_WHY_THIS_ANSWER = [
    Wording("{q}\nThe answer: {p}\nWhy?", "{i}"),
    Wording("{q}\n{p}\nExplain this answer.", "{i}"),
    Wording("Task: {q}\nAnswer: {p}\nReasons:", "{i}"),
    Wording("{q}\nSuppose the answer is this: {p}\nHow does one get there?", "{i}"),
    Wording("Here are a task and its answer.\n{q}\n{p}\nFill in the reasoning.", "{i}"),
    Wording("{q}\nI was told: {p}\nShow me why that holds.", "{i}"),
]
_WHAT_DO_REASONS_ANSWER = [
    Wording("{i}\nWhich task does this reason about, and what is its answer?", "{q}\n{p}"),
    Wording("Reasons: {i}\nWrite the task and its answer.", "Task: {q}\nAnswer: {p}"),
    Wording("Someone thought as follows. {i}\nWhat were they asked, and what did they answer?", "{q}\n{p}"),
    Wording("{i}\nMake a task with an answer out of this.", "Task: {q}\nAnswer: {p}"),
    Wording("Read this explanation: {i}\nWhat was to be done, and what came out?", "{q}\nThe answer: {p}"),
    Wording("Find a task and an answer to go with this reasoning.\n{i}", "{q}\n{p}"),
]
_WHAT_WAS_REASONED_ABOUT = [
    Wording("{i}\nThe answer: {p}\nWhat was the task?", "{q}"),
    Wording("Reasons: {i}\nAnswer: {p}\nTask:", "{q}"),
    Wording("{i}\n{p}\nWrite the request that this fulfils.", "{q}"),
    Wording("Here are an explanation and an answer.\n{i}\n{p}\nWhat was asked?", "{q}"),
    Wording("Which task leads to this?\n{i}\nSo the answer is: {p}", "{q}"),
]
_WHAT_LEADS_TO_THE_ANSWER = [
    Wording("{p}\nWrite a task with this answer, and the reasons for it.", "{q}\n{i}"),
    Wording("Answer: {p}\nTask and reasons:", "Task: {q}\nReasons: {i}"),
    Wording("Someone answered: {p}\nWhat were they asked, and how did they reason?", "{q}\n{i}"),
    Wording("The answer is this: {p}\nThink of a task, then explain the answer.", "{q}\nThe reason: {i}"),
    Wording("What could be asked about the image so that this is the answer, and why?\n{p}", "{q}\n{i}"),
]

PAPER_PLAIN = (
    *_times(40, [Wording(BARE, "{a}")]),
    *_times(24, _ANSWERED),
    *_times(10, _WHAT_WAS_ASKED),
    *_times(5, _ASK_SOMETHING),
)
"""79 wordings: 64 answer the question, 10 ask for it, 5 ask for any."""

PAPER_REASONING = (
    *_times(104, _REASONS_THEN_ANSWER),
    *_times(15, _ANSWER_THEN_REASONS),
    *_times(1, _REASONS_ALONE),
    *_times(23, _WHY_THIS_ANSWER),
    *_times(23, _WHAT_DO_REASONS_ANSWER),
    *_times(22, _WHAT_WAS_REASONED_ABOUT),
    *_times(22, _WHAT_LEADS_TO_THE_ANSWER),
)
"""210 wordings: 104 in the paper's order, 15 with the answer first, 1 without it, 90 turned round."""
