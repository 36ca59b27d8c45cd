"""What every engine promises, and the records it speaks in.

An engine owns the chat template, the image loading and the batching on its device. It never parses
an answer, never retries a bad one, and never drops a request.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from acclimate.records import ImageRef, Role


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt. Images stand before the text."""

    role: Role
    text: str
    images: tuple[ImageRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is decoded."""

    max_tokens: int
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int = 0
    """Sampling noise is keyed by (seed, request id, sample, step), never by position."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt to be continued."""

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    opens: Role = "assistant"
    """Whose turn is opened after the messages. `user` is the synthesizer's mode: the model writes the
    user's turn itself, stops only on end-of-text, and special tokens stay in the reply's text."""
    sample: int = 0
    """Index of this sample among several of one prompt."""
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """JSON schema the reply should follow. An engine that cannot hold its model to one ignores it (the local
    engine does), so whoever reads the reply must still expect any text."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote."""

    id: str
    text: str
    finish_reason: str
    """`stop` or `length`."""
    n_prompt_tokens: int = 0
    n_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """A prompt whose assistant turn is one of the given continuations."""

    id: str
    messages: tuple[Message, ...]
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChoiceReply:
    """Log-probabilities of the choices, in nats, in the order asked; each is the sum over its tokens."""

    id: str
    log_probabilities: tuple[float, ...]
    n_tokens: tuple[int, ...] = ()
    """Tokens of each choice, in the same order; empty where nobody counted them."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What decides an engine's replies: never a path or a device."""

    name: str
    """For people: the checkpoint's folder or model name."""
    digest: str
    """Hash of weights, adapter, processor and vision policy, chat template, dtype."""


@dataclass(frozen=True, slots=True)
class TurnMarkers:
    """The literal strings a family's chat template puts around turns, special tokens included."""

    user: str
    """Everything that opens a user turn, up to its text."""
    assistant: str
    """Everything that opens an assistant turn, up to its text."""
    end_of_turn: str
    """What closes a turn's text."""
    separator: str
    """What stands between a closed turn and the next header; may be empty."""
    end_of_text: str


class Engine(Protocol):
    """Answers requests, in any order; each exactly once."""

    @property
    def identity(self) -> EngineIdentity:
        """What decides the replies."""
        ...

    @property
    def markers(self) -> TurnMarkers:
        """The family's turn markers, which the synthesizer's grammar needs."""
        ...

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield one reply per request, in any order.

        Raises:
            EngineError: the model failed; replies already yielded stand.
        """
        ...

    def choose(self, requests: Iterable[ChoiceRequest]) -> Iterator[ChoiceReply]:
        """Yield the choices' log-probabilities per request, in any order."""
        ...
