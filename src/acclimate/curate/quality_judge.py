"""Asks a judge for types and levels, each as a choice among given words, so that no reply can fail to parse.

Source: what is asked is AdaMLLM's appendix D, where people answer; every sentence is our own. Types are
offered under letters in an order drawn per task, so that a judge's liking for early letters favours no type.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acclimate.artifacts import ReplyLog
from acclimate.curate.quality_rubrics import LEVELS, RUBRICS
from acclimate.curate.quality_types import IMAGE_DOMAINS, TASK_TYPES
from acclimate.curate.ratings import ACCURACY_BY_RESPONSE, JUDGE, Aspect, ImageDomain, Rating, Response
from acclimate.engines.ask import ask_choices
from acclimate.engines.protocol import ChoiceRequest, Engine, Message
from acclimate.records import ImageCaption, JudgedTriplet

Sees: TypeAlias = Literal["picture_and_caption", "picture", "caption"]
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LEVELS = tuple(str(level) for level in LEVELS)
_TYPE_QUESTION = "Below is a task about a picture, with a response. Which kind of task is it?"
_DOMAIN_QUESTION = "Which of these fields does the picture belong to?"
_RATE = "Below is a task about a picture, with a response. {question}"


@dataclass(frozen=True, slots=True)
class View:
    """What the judge is shown and asked."""

    sees: Sees = "picture_and_caption"
    responses: tuple[Response, ...] = ("combined",)
    """Whose accuracy is asked for; a task with one answer has `combined` only."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Asked:
    task_id: str
    names: tuple[str, ...]
    """What the choices stand for, in their order."""


def rated(
    tasks: Sequence[JudgedTriplet],
    pair_by_id: Mapping[str, ImageCaption],
    engine: Engine,
    view: View,
    *,
    log: ReplyLog | None,
) -> Iterator[Rating]:
    """Yield the judge's rating of every task, in their order.

    Args:
        tasks: with ids of their own; their pairs are all in `pair_by_id`.
    """
    asked: dict[str, _Asked] = {}

    def requests() -> Iterator[ChoiceRequest]:
        for task in tasks:
            for request, names in _task_requests(task, pair_by_id[task.pair_id], view):
                asked[request.id] = _Asked(task.id, names)
                yield request

    said: dict[str, str] = {}
    task_id = ""
    for request, reply in ask_choices(engine, requests(), log):
        entry = asked.pop(request.id)
        if task_id and entry.task_id != task_id:
            yield _rating(task_id, said)
            said = {}
        task_id = entry.task_id
        said[request.id.rpartition("/")[2]] = _likeliest(entry.names, reply.log_probabilities)
    if task_id:
        yield _rating(task_id, said)


def planned(
    tasks: Sequence[JudgedTriplet], pair_by_id: Mapping[str, ImageCaption], view: View
) -> Iterator[ChoiceRequest]:
    """Yield what the judge would be asked about tasks, without asking: for estimates of cost."""
    for task in tasks:
        for request, _ in _task_requests(task, pair_by_id[task.pair_id], view):
            yield request


def image_domains(
    pairs: Iterable[ImageCaption], engine: Engine, view: View, *, log: ReplyLog | None
) -> Iterator[ImageDomain]:
    """Yield the domain of every pair's picture, in their order."""
    names_by_id: dict[str, tuple[str, ...]] = {}

    def requests() -> Iterator[ChoiceRequest]:
        for pair in pairs:
            names = _in_drawn_order(IMAGE_DOMAINS, f"{view.seed}/domains/{pair.id}")
            names_by_id[pair.id] = names
            text = f"{_DOMAIN_QUESTION}\n\n{_caption(pair, view)}{_lettered(names, IMAGE_DOMAINS)}"
            yield ChoiceRequest(pair.id, (_message(text, pair, view),), tuple(_LETTERS[: len(names)]))

    for request, reply in ask_choices(engine, requests(), log):
        names = names_by_id.pop(request.id)
        yield ImageDomain(request.id, _likeliest(names, reply.log_probabilities))


def _task_requests(
    task: JudgedTriplet, pair: ImageCaption, view: View
) -> Iterator[tuple[ChoiceRequest, tuple[str, ...]]]:
    whole = _task(task, pair, view, "combined")
    names = _in_drawn_order(TASK_TYPES, f"{view.seed}/types/{task.id}")
    text = f"{_TYPE_QUESTION}\n\n{whole}{_lettered(names, TASK_TYPES)}"
    choices = tuple(_LETTERS[: len(names)])
    yield ChoiceRequest(f"{task.id}/type", (_message(text, pair, view),), choices), names
    asked: list[tuple[Aspect, str, Response]] = [
        ("knowledge", "knowledge", "combined"),
        ("complexity", "complexity", "combined"),
    ]
    asked += [(ACCURACY_BY_RESPONSE[each], "accuracy", each) for each in view.responses]
    for aspect, rubric_name, response in asked:
        if response != "combined" and not task.precise:
            continue
        rubric = RUBRICS[rubric_name]
        scale = "\n".join(f"{level}: {said}" for level, said in zip(_LEVELS, rubric.levels, strict=True))
        text = (
            f"{_RATE.format(question=rubric.question)}\n\n{_task(task, pair, view, response)}\n"
            f"{scale}\nReply with one number from 1 to 5."
        )
        yield ChoiceRequest(f"{task.id}/{aspect}", (_message(text, pair, view),), _LEVELS), _LEVELS


def _in_drawn_order(described: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(random.Random(key).sample(list(described), k=len(described)))


def _lettered(names: Sequence[str], described: Mapping[str, str]) -> str:
    lines = [f"{letter}. {name}: {described[name]}" for letter, name in zip(_LETTERS, names, strict=False)]
    return "\n".join(["", *lines, "Reply with one letter."])


def _task(task: JudgedTriplet, pair: ImageCaption, view: View, response: Response) -> str:
    parts = {
        "combined": f"Response: {task.informative}\n",
        "informative": f"Response: {task.informative}\n",
        "precise": f"Response: {task.precise}\n",
    }
    conclusion = f"Conclusion: {task.precise}\n" if response == "combined" and task.precise else ""
    return f"{_caption(pair, view)}Task: {task.instruction}\n{parts[response]}{conclusion}"


def _caption(pair: ImageCaption, view: View) -> str:
    return "" if view.sees == "picture" else f"Caption of the picture: {pair.caption}\n"


def _message(text: str, pair: ImageCaption, view: View) -> Message:
    return Message("user", text, () if view.sees == "caption" else (pair.image,))


def _likeliest(names: Sequence[str], log_probabilities: Sequence[float]) -> str:
    at = max(range(len(names)), key=lambda place: log_probabilities[place])
    return names[at]


def _rating(task_id: str, said: Mapping[str, str]) -> Rating:
    levels = {aspect: int(level) for aspect, level in said.items() if aspect != "type"}
    return Rating(
        task_id=task_id,
        rater=JUDGE,
        task_type=said["type"],
        knowledge=levels.get("knowledge"),
        complexity=levels.get("complexity"),
        accuracy=levels.get("accuracy"),
        accuracy_precise=levels.get("accuracy_precise"),
        accuracy_informative=levels.get("accuracy_informative"),
    )
