"""An engine that is a function: for tests, and for wiring a pipeline before there is a model."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from acclimate.engines.protocol import (
    ChoiceReply,
    ChoiceRequest,
    EngineIdentity,
    Reply,
    Request,
    TurnMarkers,
)
from acclimate.errors import EngineError

CHATML = TurnMarkers(
    user="<|im_start|>user\n",
    assistant="<|im_start|>assistant\n",
    end_of_turn="<|im_end|>",
    separator="\n",
    end_of_text="<|endoftext|>",
)
"""Markers of the Qwen families. Source: the chat templates of Qwen2-VL and Qwen3-VL."""


class FakeEngine:
    """Answers each request with what a function returns."""

    def __init__(
        self,
        reply: Callable[[Request], str],
        choose: Callable[[ChoiceRequest], Sequence[float]] | None = None,
        name: str = "fake",
        markers: TurnMarkers = CHATML,
    ) -> None:
        """Make the engine.

        Args:
            reply: must depend on its argument only, as every engine's replies do.
            choose: log-probabilities in the order of the request's choices; None refuses such requests.
            name: the identity; give another to another function.
        """
        self._reply = reply
        self._choose = choose
        self._markers = markers
        self._identity = EngineIdentity(name, hashlib.sha256(f"fake engine {name}".encode()).hexdigest())

    @property
    def identity(self) -> EngineIdentity:
        """The name and its hash."""
        return self._identity

    @property
    def markers(self) -> TurnMarkers:
        """ChatML, unless others were given."""
        return self._markers

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield the function's replies, in order; `max_tokens` is not applied."""
        for request in requests:
            text = self._reply(request)
            n_prompt = sum(len(message.text.split()) for message in request.messages)
            yield Reply(request.id, text, "stop", n_prompt, len(text.split()))

    def choose(self, requests: Iterable[ChoiceRequest]) -> Iterator[ChoiceReply]:
        """Yield the function's log-probabilities, in order; a choice has as many tokens as words.

        Raises:
            EngineError: no function was given, or it returned another number of values than there are
            choices.
        """
        for request in requests:
            if self._choose is None:
                raise EngineError(
                    "This FakeEngine was made without `choose`. Give it a function for choices."
                )
            values = tuple(float(value) for value in self._choose(request))
            if len(values) != len(request.choices):
                raise EngineError(
                    f"The fake engine's `choose` gave {len(values)} values for the {len(request.choices)} "
                    f"choices of request {request.id!r}. Return one per choice."
                )
            n_tokens = tuple(max(1, len(choice.split())) for choice in request.choices)
            yield ChoiceReply(request.id, values, n_tokens)
