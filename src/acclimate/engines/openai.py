"""The engine that asks a server: any that speaks OpenAI's chat API.

It keeps a bounded number of requests at the server. When something fails for good, nothing new is sent, what
is at the server is waited for and handed on (it is paid for), and only then the error is raised.
"""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import SecretStr

from acclimate.engines import chat_wire as wire
from acclimate.engines.cost import most_prompt_tokens
from acclimate.engines.exchange import Exchange
from acclimate.engines.protocol import (
    ChoiceReply,
    ChoiceRequest,
    EngineIdentity,
    Message,
    Reply,
    Request,
    TurnMarkers,
)
from acclimate.engines.served_template import ServedTemplate, harmless
from acclimate.engines.spec import EngineSpec, ServerExecution
from acclimate.engines.spending import Reservation, Spending, Usage
from acclimate.errors import AcclimateError, EngineError
from acclimate.files import ImageStore

_A = TypeVar("_A")


@dataclass(frozen=True, slots=True)
class _Job(Generic[_A]):
    """One request of a caller: what is sent for it, and how its answers are read."""

    id: str
    bodies: tuple[wire.Json, ...]
    """Sent one after the other."""
    most: Reservation
    """Tokens that each body may use."""
    read: Callable[[Sequence[wire.Json]], _A]


class OpenAIEngine:
    """Answers with a model on a server."""

    def __init__(
        self,
        spec: EngineSpec,
        store: ImageStore,
        *,
        identity: EngineIdentity,
        execution: ServerExecution,
        key: SecretStr | None,
        template: ServedTemplate | None = None,
        account: Spending | None = None,
    ) -> None:
        """Get ready; nothing is sent yet.

        Args:
            store: where requests' images are read.
            key: the API key, if the server wants one.
            template: the served model's own; None where it is not at hand.
            account: what its requests are put to; None opens one of its own.
        """
        self._spec = spec
        self._store = store
        self._identity = identity
        self._execution = execution
        self._key = key
        self._template = template
        self._spending = account or Spending(execution.prices, execution.budget, execution.budget_tokens)

    @property
    def identity(self) -> EngineIdentity:
        """Hash of the server's address, the model's name and how it is asked; never of the key."""
        return self._identity

    @property
    def markers(self) -> TurnMarkers:
        """As the served model's template writes them.

        Raises:
            EngineError: the spec names no template.
        """
        return self._needed_template("its turn markers cannot be known").markers

    @property
    def usage(self) -> Usage:
        """What has been used on the engine's account."""
        return self._spending.usage()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield one reply per request, as they come.

        Raises:
            EngineError: the server refuses, cannot be reached or gives no answer after all attempts; the
                budget is used up; a request wants what the server cannot do. Replies already yielded stand.
        """
        return self._answers(self._generation(request) for request in requests)

    def choose(self, requests: Iterable[ChoiceRequest]) -> Iterator[ChoiceReply]:
        """Yield the choices' log-probabilities per request, as they come; see `EngineSpec.log_probabilities`.

        Raises:
            EngineError: the server gives no log-probabilities, or not those of these choices; otherwise as
                for `generate`.
        """
        return self._answers(self._choice(request) for request in requests)

    # What is sent

    def _generation(self, request: Request) -> _Job[Reply]:
        if request.sampling.max_tokens < 1:
            raise EngineError(f"Request {request.id!r} asks for no tokens. Set max_tokens to 1 or more.")
        if request.opens == "user":
            return self._continuation(request)
        if request.opens != "assistant":
            raise EngineError(
                f"A {request.opens} turn cannot be opened for the model; open `assistant` or `user`."
            )
        body = {"messages": self._messages(request.messages), **wire.sampling_json(self._spec, request)}
        return _Job(
            request.id,
            (body,),
            Reservation(self._most_prompt(request.messages), request.sampling.max_tokens),
            lambda answers: wire.read_reply(request.id, answers[0]),
        )

    def _continuation(self, request: Request) -> _Job[Reply]:
        """Return the job of a request that opens the user's turn.

        The last message is sent with all that follows it up to the user's text, and continued. Whether the
        server did so shows in the prompt's tokens, which are asked for with it.
        """
        template = self._needed_template("it cannot continue as the user")
        messages = self._messages(request.messages)
        last = request.messages[-1]
        text, opening = template.opening_user(
            [replace(message, text=_sendable(message.text)) for message in request.messages]
        )
        messages[-1] = wire.message_json(last.role, text, self._urls(last))
        body = {
            "messages": messages,
            **wire.sampling_json(self._spec, request),
            **wire.opening_user_json(template.end_of_text),
        }

        def read(answers: Sequence[wire.Json]) -> Reply:
            tokens = wire.token_ids_of(answers[0])
            if tokens is None or not template.ends_with(tokens, opening):
                raise EngineError(
                    f"The server did not show that it let the model continue as the user in request "
                    f"{request.id!r}: only vLLM is known to (0.10.2 or newer), `template` must be the folder "
                    "of the model it runs, and a chat template that trims texts cannot be continued exactly. "
                    "Serve the synthesizer with vLLM, or use the transformers engine."
                )
            return wire.read_reply(request.id, answers[0], template.end_of_text)

        most = Reservation(self._most_prompt(request.messages), request.sampling.max_tokens)
        return _Job(request.id, (body,), most, read)

    def _choice(self, request: ChoiceRequest) -> _Job[ChoiceReply]:
        if not request.choices or not all(request.choices):
            raise EngineError(
                f"Choice request {request.id!r} has no choices, or an empty one. Give each a text."
            )
        way = self._spec.log_probabilities
        if way == "none":
            raise EngineError(
                f"Choices cannot be scored by the model {self._spec.model}: the recipe says that its server "
                "gives no log-probabilities. Use a server that gives them, with log_probabilities: "
                "first_token or prompt, or the transformers engine."
            )
        messages = self._messages(request.messages)
        most = Reservation(self._most_prompt(request.messages), 1)
        if way == "first_token":
            body = {"messages": messages, **wire.first_token_json(self._spec)}

            def read(answers: Sequence[wire.Json]) -> ChoiceReply:
                return wire.read_first_token(request.id, answers[0], request.choices)

            return _Job(request.id, (body,), most, read)
        bodies: list[wire.Json] = [{"messages": messages, **wire.prompt_json(self._spec, continues=False)}]
        for choice in request.choices:
            ending = wire.message_json("assistant", self._harmless(choice), ())
            bodies.append({"messages": [*messages, ending], **wire.prompt_json(self._spec, continues=True)})
        longest = max(len(_sendable(choice).encode()) for choice in request.choices)

        def read_each(answers: Sequence[wire.Json]) -> ChoiceReply:
            return wire.read_prompt(request.id, answers[0], answers[1:], request.choices)

        return _Job(request.id, tuple(bodies), Reservation(most.prompt + longest, 1), read_each)

    def _messages(self, messages: Sequence[Message]) -> list[wire.Json]:
        if not messages:
            raise EngineError("An empty conversation cannot be sent. Give at least one message.")
        return [
            wire.message_json(message.role, self._harmless(message.text), self._urls(message))
            for message in messages
        ]

    def _urls(self, message: Message) -> list[str]:
        return [wire.data_url(self._store.read(image), image.media_type) for image in message.images]

    def _harmless(self, text: str) -> str:
        text = _sendable(text)
        return harmless(text) if self._template is None else self._template.harmless(text)

    def _most_prompt(self, messages: Sequence[Message]) -> int:
        return most_prompt_tokens(messages, self._execution.image_tokens)

    def _needed_template(self, why: str) -> ServedTemplate:
        if self._template is None:
            raise EngineError(
                f"The model {self._spec.model} stands on a server and its chat template is not at hand, so "
                f"{why}. Serve it with vLLM and set `template` to the folder of its checkpoint (tokenizer "
                "and chat template are read, weights are not), or use the transformers engine."
            )
        return self._template

    # How it is sent

    def _answers(self, jobs: Iterator[_Job[_A]]) -> Iterator[_A]:
        """Keep as many jobs at the server as may be, and yield what they give."""
        source = _Source(jobs, self._spending)
        with Exchange(self._spec, self._execution, self._key, self._spending) as exchange:
            running: dict[concurrent.futures.Future[list[wire.Json]], tuple[_Job[_A], Reservation]] = {}
            failure: AcclimateError | None = None
            while True:
                while failure is None and len(running) < self._execution.concurrency:
                    try:
                        taken = source.take(is_idle=not running)
                    except AcclimateError as error:
                        failure = error
                        exchange.stop_trying()
                        break
                    if taken is None:
                        break
                    running[exchange.submit(taken[0].id, taken[0].bodies, taken[0].most)] = taken
                if not running:
                    break
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    job, held = running.pop(future)
                    self._spending.release(held)
                    try:
                        answer = job.read(future.result())
                    except EngineError as error:
                        failure = failure or error
                        exchange.stop_trying()
                    else:
                        yield answer
            if failure is not None:
                raise failure


class _Source(Generic[_A]):
    """The jobs still to be sent; one is held back while the budget does not admit it."""

    def __init__(self, jobs: Iterator[_Job[_A]], spending: Spending) -> None:
        self._jobs = jobs
        self._spending = spending
        self._waiting: _Job[_A] | None = None

    def take(self, *, is_idle: bool) -> tuple[_Job[_A], Reservation] | None:
        """Return the next job with the tokens held for it; None where there is none, or none yet.

        Args:
            is_idle: nothing is at the server, so what does not fit the budget now never will.
        """
        job = self._waiting or next(self._jobs, None)
        self._waiting = job
        if job is None:
            return None
        n = len(job.bodies)
        held = self._spending.reserve(n * job.most.prompt, n * job.most.reply)
        if held is not None:
            self._waiting = None
            return job, held
        if is_idle:
            raise EngineError(
                f"The run stops before it passes its ceiling: {self._spending.ceiling()} are used, and "
                f"request {job.id!r} might pass it. What was answered is kept. Raise the ceiling and run "
                "the same command again: only what is missing is asked."
            )
        return None


def _sendable(text: str) -> str:
    """Return the text with U+FFFD for surrogates that stand alone, which JSON in UTF-8 cannot hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
