"""Work in threads with the results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
_PER_WORKER = 8


def in_order(work: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """Yield the results of `work` in the order of the items, a bounded window at a time."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        window: deque[Future[B]] = deque()
        try:
            for item in items:
                window.append(pool.submit(work, item))
                if len(window) >= workers * _PER_WORKER:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            for waiting in window:
                waiting.cancel()
