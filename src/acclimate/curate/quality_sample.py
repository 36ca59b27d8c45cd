"""Which tasks are rated (pure).

They are drawn by their pairs' ids, so that data sets about the same pictures are rated on the same ones, and
removing one pair changes no other's place.
"""

import hashlib
from collections.abc import Mapping, Sequence

from acclimate.records import JudgedTriplet


def in_drawn_order(tasks: Sequence[JudgedTriplet], seed: int) -> list[JudgedTriplet]:
    """Return the tasks in the order in which they are drawn: pair by pair."""
    return sorted(tasks, key=lambda task: (_place(seed, "pair", task.pair_id), _place(seed, "task", task.id)))


def sampled(
    tasks_by_set: Mapping[str, Sequence[JudgedTriplet]], per_set: int | None, seed: int
) -> dict[str, list[JudgedTriplet]]:
    """Return the first tasks of every data set in the drawn order; None takes all."""
    return {name: in_drawn_order(tasks, seed)[:per_set] for name, tasks in tasks_by_set.items()}


def once_each(tasks_by_set: Mapping[str, Sequence[JudgedTriplet]]) -> list[JudgedTriplet]:
    """Return every task of the data sets once: a filtered set is part of the whole one."""
    found: dict[str, JudgedTriplet] = {}
    for tasks in tasks_by_set.values():
        for task in tasks:
            found.setdefault(task.id, task)
    return list(found.values())


def mixed(tasks: Sequence[JudgedTriplet], seed: int) -> list[JudgedTriplet]:
    """Return the tasks in an order that tells nothing of their data set or pair."""
    return sorted(tasks, key=lambda task: _place(seed, "sheet", task.id))


def shared_pairs(tasks_by_set: Mapping[str, Sequence[JudgedTriplet]], n: int, seed: int) -> list[str]:
    """Return the ids of the pairs that most data sets have tasks of, at most `n`."""
    n_sets: dict[str, int] = {}
    for tasks in tasks_by_set.values():
        for pair_id in {task.pair_id for task in tasks}:
            n_sets[pair_id] = n_sets.get(pair_id, 0) + 1
    return sorted(n_sets, key=lambda pair_id: (-n_sets[pair_id], _place(seed, "pair", pair_id)))[:n]


def _place(seed: int, purpose: str, record_id: str) -> str:
    return hashlib.sha256(f"{seed}/{purpose}/{record_id}".encode()).hexdigest()
