"""How the turns that a synthesizer writes are read (pure).

- `read_strict`, our own: the family's own turn markers, a reason for every failure, nothing repaired.
- `read_paper`: the published parser of the published checkpoint's replies, quirks included.

Each returns the tasks in a reply, or the reason why it holds none: `empty_reply`, `truncated`,
`malformed_turn`, `unknown_hint`, `empty_question`, `empty_answer`, `one_answer_only`, `question_mismatch`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from acclimate.engines.protocol import TurnMarkers
from acclimate.synthesize.format import INFORMATIVE_HINT, OTHER_HINT, PRECISE_HINT

LLAMA_3 = TurnMarkers(
    user="<|start_header_id|>user<|end_header_id|>\n\n",
    assistant="<|start_header_id|>assistant<|end_header_id|>\n\n",
    end_of_turn="<|eot_id|>",
    separator="",
    end_of_text="<|end_of_text|>",
)
"""Markers of the published synthesizer. Source: its template `llava_llama_3`, which is Llama 3's."""

_TOKEN = re.compile(r"<\|[^<>|\s]+\|>")
"""The form in which most families write their special tokens."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a reply says."""

    instruction: str
    informative: str
    precise: str


@dataclass(frozen=True, slots=True)
class Round:
    """One question with one of its answers."""

    hint: str
    question: str
    answer: str
    is_clean: bool = True
    """Whether nothing but the next turn follows the answer's end."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """What the strict grammar looks for in a family's replies."""

    user: str
    """What opens a user's turn."""
    end: str
    """What closes a turn; empty where the family closes it with white space alone (LLaVA-1.5)."""
    separator: str
    """What stands between a closed turn and the next header."""
    answer: str
    """What stands between a question and its answer."""
    forbidden: tuple[str, ...]
    """What no question and no answer may hold: headers, end marks, and the tokens they are made of."""

    @classmethod
    def of(cls, markers: TurnMarkers) -> "_Marks":
        """Return what to look for with a family's markers."""
        user, assistant, end = markers.user.strip(), markers.assistant.strip(), markers.end_of_turn.strip()
        tokens = re.findall(r"<[^<>\s]+>", user + assistant)
        forbidden = tuple(each for each in (end, user, assistant, *tokens, markers.end_of_text) if each)
        if not end:
            # White space is all that stands between turns, and a model need not write each blank of it.
            return cls(user, "", "", assistant, forbidden)
        answer = markers.end_of_turn + markers.separator + markers.assistant
        return cls(markers.user, end, markers.separator, answer, forbidden)

    def forbid(self, text: str) -> bool:
        """Say whether a text holds what none may hold, in this family's form or in the common one."""
        return _TOKEN.search(text) is not None or any(mark in text for mark in self.forbidden)


def read_strict(text: str, markers: TurnMarkers, *, ended: bool = True, most: int = 1) -> list[Task] | str:
    """Return the first `most` tasks, or a reason.

    A task is complete when both hints were given for the same question and both answers are there. What
    follows the end mark that completes the last of them is not looked at. Where there is no task, the reason
    is the first that applies: `empty_reply`; then what stopped the first bad round; then `one_answer_only` or
    `question_mismatch`, where the rounds are whole and still make no task.

    Args:
        ended: whether the model ended the reply itself. Where a family closes turns with white space alone,
            only this tells a whole last answer from a cut one.
    """
    text = _without_end(text, markers)
    if not text.strip():
        return "empty_reply"
    answers: dict[str, dict[str, str]] = {PRECISE_HINT: {}, INFORMATIVE_HINT: {}}
    tasks: dict[str, Task] = {}
    fault = ""
    for each in _rounds(text, _Marks.of(markers), ended=ended):
        if isinstance(each, str):
            fault = fault or each
        elif each.question in answers[OTHER_HINT[each.hint]] and each.question not in tasks:
            both = {
                each.hint: each.answer,
                OTHER_HINT[each.hint]: answers[OTHER_HINT[each.hint]][each.question],
            }
            tasks[each.question] = Task(each.question, both[INFORMATIVE_HINT], both[PRECISE_HINT])
            if len(tasks) == most:
                break
        elif each.is_clean:
            answers[each.hint].setdefault(each.question, each.answer)
        else:
            fault = fault or "malformed_turn"
    if tasks:
        return list(tasks.values())
    return fault or ("question_mismatch" if all(answers.values()) else "one_answer_only")


def first_round(text: str, markers: TurnMarkers, *, ended: bool = True) -> Round | str:
    """Return the first whole round, whatever follows it, or why there is none; as `read_strict`."""
    text = _without_end(text, markers)
    if not text.strip():
        return "empty_reply"
    fault = ""
    for each in _rounds(text, _Marks.of(markers), ended=ended):
        if isinstance(each, Round):
            return each
        fault = fault or each
    return fault


def read_answer(text: str, markers: TurnMarkers, *, ended: bool = True) -> tuple[str, str]:
    """Return the answer that is all of a reply and no reason, or nothing and a reason.

    Where a family closes turns with white space alone, the next user's header closes the answer.
    """
    marks = _Marks.of(markers)
    answer, is_closed = _without_end(text, markers), ended
    if marks.end:
        answer = answer.rstrip().removesuffix(marks.end)
    else:
        answer, header, _ = answer.partition(marks.user)
        is_closed = ended or bool(header)
    answer = answer.strip()
    if not is_closed:
        return "", "truncated"
    if marks.forbid(answer):
        return "", "malformed_turn"
    return (answer, "") if answer else ("", "empty_answer")


def _without_end(text: str, markers: TurnMarkers) -> str:
    if text.rstrip().endswith(markers.end_of_text):
        return text.rstrip().removesuffix(markers.end_of_text)
    return text


def _rounds(text: str, marks: _Marks, *, ended: bool) -> Iterator[Round | str]:
    """Yield each round, or the reason why it is not one."""
    *earlier, last = text.split(marks.user)
    for segment in earlier:
        yield _round(segment, marks, following=marks.separator)
    if not marks.end:
        yield _round(last, marks, following="") if ended and last.strip() else "truncated"
        return
    found = _round(last, marks, following=marks.separator + marks.user)
    is_cut = not ended or not last.rstrip().endswith(marks.end)
    yield found if isinstance(found, Round) or not is_cut else "truncated"
    if isinstance(found, Round) and not ended:
        yield "truncated"


def _round(segment: str, marks: _Marks, following: str) -> Round | str:
    """Return the round in a segment between two user headers, or a reason.

    Args:
        following: what may stand behind the answer's end, or the first part of it.
    """
    user, found, answer = segment.partition(marks.answer)
    rest = ""
    if marks.end:
        answer, closed, rest = answer.partition(marks.end)
        found = found and closed
    if not found or marks.forbid(user) or marks.forbid(answer):
        return "malformed_turn"
    hint, _, question = user.strip().partition("\n")
    question, answer = question.strip(), answer.strip()
    if hint not in OTHER_HINT:
        return "unknown_hint"
    if not question:
        return "empty_question"
    if not answer:
        return "empty_answer"
    return Round(hint, question, answer, not rest.strip() or following.startswith(rest))


def read_paper(text: str, *, most: int = 1) -> list[Task] | str:
    """Return the first `most` tasks of a published checkpoint's reply as its own parser finds them.

    Its quirks: a segment's last ten characters are cut off, whatever they are (the length of its end mark);
    without an end mark at the end the last segment is left out; a question may be told by white space in
    front of it; a repeated question's later answer counts; every fault is silent. The reasons, and more than
    one task per reply, are our own additions. Source: QA-Synthesizer's `parse_pred` and its pairing
    (specification 1.4).
    """
    text = text.removesuffix(LLAMA_3.end_of_text)
    if not text.strip():
        return "empty_reply"
    segments = text.split(LLAMA_3.user)
    if not text.endswith(LLAMA_3.end_of_turn):
        segments.pop()
    answers: dict[str, dict[str, str]] = {PRECISE_HINT: {}, INFORMATIVE_HINT: {}}
    tasks: dict[str, Task] = {}
    for segment in segments:
        parts = segment.split(LLAMA_3.end_of_turn + LLAMA_3.assistant)
        if len(parts) != 2:
            continue
        user, answer = parts[0].strip(), parts[1][: -len(LLAMA_3.end_of_turn)].strip()
        hint, found, question = user.partition("\n")
        if hint not in answers or not found or not answer:
            continue
        answers[hint][question] = answer
        if question in answers[OTHER_HINT[hint]] and question not in tasks:
            both = answers[INFORMATIVE_HINT][question], answers[PRECISE_HINT][question]
            tasks[question] = Task(question, *both)
            if len(tasks) == most:
                break
    return list(tasks.values()) or _paper_reason(segments, answers)


def _paper_reason(segments: list[str], answers: dict[str, dict[str, str]]) -> str:
    if not segments:
        return "truncated"
    if all(answers.values()):
        return "question_mismatch"
    return "one_answer_only" if any(answers.values()) else "malformed_turn"
