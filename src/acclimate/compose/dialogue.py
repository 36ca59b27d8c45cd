"""Which tasks of a pair are one conversation (pure). Our own rule."""

from collections.abc import Iterable
from dataclasses import dataclass

from acclimate.records import JudgedTriplet


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks of one pair that are told in one conversation, in their order."""

    tasks: tuple[JudgedTriplet, ...]
    is_dialogue: bool
    """Whether they build on each other, so that their questions stay as they are."""


def grouped(triplets: Iterable[JudgedTriplet]) -> list[Group]:
    """Return the groups of one pair's tasks, by the id of each group's first task.

    Tasks of one reply with turns of their own are a dialogue, in the order of the turns; so is a single task
    whose turn is not the first: the others were dropped on the way. Tasks of one reply that share a turn do
    not build on each other; each stands alone, and so does a task that names no reply. Give all tasks of the
    pair, kept or not, so that dropping one changes nothing about the others.
    """
    by_reply: dict[str, list[JudgedTriplet]] = {}
    for triplet in triplets:
        by_reply.setdefault(triplet.reply_id or f"task {triplet.id}", []).append(triplet)
    groups = []
    for tasks in by_reply.values():
        turns = {task.turn for task in tasks}
        if len(turns) == len(tasks):
            in_order = tuple(sorted(tasks, key=lambda task: task.turn))
            groups.append(Group(in_order, is_dialogue=len(tasks) > 1 or max(turns) > 0))
        else:
            groups += [Group((task,), is_dialogue=task.turn > 0) for task in tasks]
    return sorted(groups, key=lambda group: group.tasks[0].id)
