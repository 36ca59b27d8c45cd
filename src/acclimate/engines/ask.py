"""Asking an engine, with memory: replay, the log, input order, and each request exactly once.

The engine may answer in any order; replies known from an earlier run are not asked again. A reply is written
to the log soon after it comes, so killing the process loses a handful of replies at most.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from acclimate.artifacts import ReplyLog
from acclimate.engines.protocol import ChoiceReply, ChoiceRequest, Engine, Message, Reply, Request
from acclimate.errors import EngineError

_APPEND_EVERY = 16
"""Replies per write to the log; each write is flushed to the disk."""
_MOST_HELD = 8192
"""Answered requests held back while an earlier one is waited for."""


class _Named(Protocol):
    @property
    def id(self) -> str: ...


_Q = TypeVar("_Q", bound=_Named)
_A = TypeVar("_A", bound=_Named)


def request_key(engine_digest: str, request: Request) -> str:
    """Return what a reply is remembered under: everything that decides it.

    The request's id decides only where sampling noise is keyed by it, so at temperature 0 a renamed record
    keeps its reply.
    """
    sampling = request.sampling
    is_sampled = sampling.temperature > 0
    held_to = [] if request.schema is None else [request.schema]
    return _digest(
        "generate",
        engine_digest,
        _plain(request.messages),
        request.opens,
        [sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.seed],
        request.sample,
        request.id if is_sampled else None,
        *held_to,
    )


def choice_key(engine_digest: str, request: ChoiceRequest) -> str:
    """Return what a choice's log-probabilities are remembered under."""
    return _digest("choose", engine_digest, _plain(request.messages), list(request.choices))


def ask(engine: Engine, requests: Iterable[Request], log: ReplyLog | None) -> Iterator[tuple[Request, Reply]]:
    """Yield each request with its reply, in input order, each exactly once.

    Args:
        log: replies found in it are not asked again, new ones are added; None remembers nothing.

    Raises:
        EngineError: two requests have the same id; the engine failed, lost a request, or answered one twice.
            What was answered until then is in the log.
    """
    digest = engine.identity.digest

    def known(request: Request, row: Mapping[str, Any]) -> Reply:
        return Reply(request.id, row["text"], row["finish_reason"], row["n_prompt_tokens"], row["n_tokens"])

    def row(reply: Reply) -> dict[str, Any]:
        return {
            "text": reply.text,
            "finish_reason": reply.finish_reason,
            "n_prompt_tokens": reply.n_prompt_tokens,
            "n_tokens": reply.n_tokens,
        }

    asking = _Asking[Request, Reply](
        iter(requests), log, lambda request: request_key(digest, request), known, row
    )
    return asking.run(engine.generate)


def ask_choices(
    engine: Engine, requests: Iterable[ChoiceRequest], log: ReplyLog | None
) -> Iterator[tuple[ChoiceRequest, ChoiceReply]]:
    """Yield each request with its choices' log-probabilities, in input order, each exactly once.

    Raises:
        EngineError: as for `ask`.
    """
    digest = engine.identity.digest

    def known(request: ChoiceRequest, row: Mapping[str, Any]) -> ChoiceReply:
        values = tuple(float(value) for value in row["log_probabilities"])
        return ChoiceReply(request.id, values, tuple(row.get("n_tokens", ())))

    def row(reply: ChoiceReply) -> dict[str, Any]:
        return {"log_probabilities": list(reply.log_probabilities), "n_tokens": list(reply.n_tokens)}

    asking = _Asking[ChoiceRequest, ChoiceReply](
        iter(requests), log, lambda request: choice_key(digest, request), known, row
    )
    return asking.run(engine.choose)


@dataclass(slots=True)
class _Asking(Generic[_Q, _A]):
    """One run of asking: what was read, what is at the engine, what is ready to be handed on."""

    requests: Iterator[_Q]
    log: ReplyLog | None
    key_of: Callable[[_Q], str]
    known: Callable[[_Q, Mapping[str, Any]], _A]
    row_of: Callable[[_A], dict[str, Any]]
    seen: set[str] = field(default_factory=set)
    ready: dict[int, tuple[_Q, _A]] = field(default_factory=dict)
    """By place in the input."""
    asked: dict[str, tuple[int, _Q, str]] = field(default_factory=dict)
    """By request id: place, request, key of the log."""
    unwritten: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    n_read: int = 0
    n_given: int = 0
    is_exhausted: bool = False

    def run(self, answer: Callable[[Iterable[_Q]], Iterator[_A]]) -> Iterator[tuple[_Q, _A]]:
        """Ask what the log does not know, and hand everything on in input order."""
        try:
            while not self.is_exhausted:
                missing = self.read()
                if missing is not None:
                    for reply in answer(self.feed(missing)):
                        self.take(reply)
                        yield from self.in_order()
                    self.write()
                    self.check_complete()
                yield from self.in_order()
        finally:
            self.write()

    def read(self) -> tuple[int, _Q, str] | None:
        """Read on to the next request the log does not answer; None when the engine should finish first."""
        while len(self.ready) < _MOST_HELD:
            request = next(self.requests, None)
            if request is None:
                self.is_exhausted = True
                return None
            if request.id in self.seen:
                raise EngineError(
                    f"Two requests have the id {request.id!r}. Ids must tell requests apart; give each its "
                    "own."
                )
            self.seen.add(request.id)
            place = self.n_read
            self.n_read += 1
            key = self.key_of(request)
            row = self.log.get(key) if self.log is not None else None
            if row is None:
                return place, request, key
            self.ready[place] = (request, self.known(request, row))
            if not self.asked and place == self.n_given:
                return None  # nothing is at the engine, so what is ready can be handed on at once
        return None

    def feed(self, first: tuple[int, _Q, str]) -> Iterator[_Q]:
        """Give the engine what the log does not answer."""
        missing: tuple[int, _Q, str] | None = first
        while missing is not None:
            self.asked[missing[1].id] = missing
            yield missing[1]
            missing = self.read()

    def take(self, reply: _A) -> None:
        """Take in one reply of the engine."""
        if reply.id not in self.asked:
            fault = "more than once" if reply.id in self.seen else "without being asked"
            raise EngineError(
                f"The engine broke its promise: it answered request {reply.id!r} {fault}. This is a fault of "
                "the engine, not of the data; report it."
            )
        place, request, key = self.asked.pop(reply.id)
        self.ready[place] = (request, reply)
        self.unwritten.append((key, self.row_of(reply)))
        if len(self.unwritten) >= _APPEND_EVERY:
            self.write()

    def in_order(self) -> Iterator[tuple[_Q, _A]]:
        """Hand on what nothing earlier is missing for."""
        while self.n_given in self.ready:
            pair = self.ready.pop(self.n_given)
            self.n_given += 1
            yield pair

    def write(self) -> None:
        """Put new replies into the log."""
        if self.log is not None and self.unwritten:
            self.log.append(list(self.unwritten))
        self.unwritten.clear()

    def check_complete(self) -> None:
        """Check that the engine answered everything it was asked."""
        if self.asked:
            names = ", ".join(sorted(self.asked)[:3])
            raise EngineError(
                f"The engine broke its promise: {len(self.asked)} requests got no reply (such as {names}). "
                "What was answered is kept; run the same command again to ask the rest."
            )


def _plain(messages: tuple[Message, ...]) -> list[list[Any]]:
    return [[message.role, message.text, [image.sha256 for image in message.images]] for message in messages]


def _digest(*parts: object) -> str:
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
