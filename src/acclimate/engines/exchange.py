"""Sending requests to a server: many at a time, each as often as it takes.

The client's event loop runs in a thread of its own. An attempt that the server could not take now (429, 5xx,
a lost connection, no answer in time) is repeated after a wait; one that it will never take is an error at
once. No message repeats the API key.
"""

import asyncio
import concurrent.futures
import json
import logging
import random
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import openai
from pydantic import SecretStr

from acclimate.engines import chat_wire as wire
from acclimate.engines.patience import retry_after_s, wait_s
from acclimate.engines.spec import EngineSpec, ServerExecution
from acclimate.engines.spending import Reservation, Spending
from acclimate.errors import EngineError

_log = logging.getLogger(__name__)

_CONNECT_S = 10.0
_RETRIED = frozenset((408, 409, 425, 429))
"""And every 5xx."""
_FILTERED = frozenset(("content_filter", "content_policy_violation"))
"""Codes of a 400 that is about one request's content; its reply is empty, and counted as unreadable."""
_NO_CREDIT = frozenset(("insufficient_quota", "billing_hard_limit_reached"))
"""Codes of a 429 that waiting does not cure."""
_QUOTED = 300
"""Characters of a server's message that are quoted."""
_REMEDY_OF_REQUEST = (
    "Correct what it names: settings that it refuses go into leave_out, the name of the length bound into "
    "length_field; a prompt that is too long for it must be shorter, or the server started with more room."
)
_REMEDY_BY_STATUS = {
    404: "See whether base_url is right (it usually ends in /v1) and whether the server knows the model by "
    "this name; GET base_url/models lists the names.",
    **dict.fromkeys((301, 302, 303, 307, 308), "It sends on to another address; put that into base_url."),
    413: "The request is too large for it; use smaller pictures, or raise the server's limit.",
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why an attempt gave no answer."""

    what: str
    """For people; holds no secret."""
    remedy: str
    is_final: bool = False
    asked_wait_s: float | None = None
    may_be_billed: bool = False
    is_filtered: bool = False


class Exchange:
    """A client with its event loop, in a thread of their own, for as long as one call of the engine runs."""

    def __init__(
        self, spec: EngineSpec, execution: ServerExecution, key: SecretStr | None, spending: Spending
    ) -> None:
        self._spec = spec
        self._execution = execution
        self._key = key
        self._spending = spending
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="acclimate-openai", daemon=True)
        self._client = _client(spec, execution, key)
        self._resume_at = 0.0
        self._over = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._submit(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(
        self, request_id: str, bodies: Sequence[wire.Json], most: Reservation
    ) -> "concurrent.futures.Future[list[wire.Json]]":
        """Send bodies, one after the other; the future gives one answer each, or EngineError.

        Args:
            most: tokens that each body may use.
        """
        return self._submit(self._answered(request_id, bodies, most))

    def stop_trying(self) -> None:
        """Let attempts that are at the server end, and begin no others."""
        self._loop.call_soon_threadsafe(self._over.set)

    def _submit(self, work: Coroutine[Any, Any, _T]) -> "concurrent.futures.Future[_T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _close(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()

    async def _answered(
        self, request_id: str, bodies: Sequence[wire.Json], most: Reservation
    ) -> list[wire.Json]:
        noise = random.Random(f"retry/{request_id}")
        return [await self._tried(request_id, body, most, noise) for body in bodies]

    async def _tried(
        self, request_id: str, body: wire.Json, most: Reservation, noise: random.Random
    ) -> wire.Json:
        """Return the answer to one body, after as many attempts as it takes and may take."""
        for attempt in range(1, self._execution.attempts + 1):
            while (pause := self._resume_at - self._loop.time()) > 0:
                await self._rest(pause)
            answer = await self._attempt(body)
            if not isinstance(answer, _Trouble):
                n_prompt, n_reply = wire.used_tokens(answer) or (None, None)
                self._spending.spend(n_prompt, n_reply, most)
                return answer
            if answer.is_filtered:
                self._spending.spend(None, None, most)
                return wire.FILTERED
            fits = self._spending.lose(most) if answer.may_be_billed else True
            self._raise_if_final(request_id, answer, attempt, fits=fits)
            wait = wait_s(attempt, self._execution.backoff_s, answer.asked_wait_s, noise)
            if answer.asked_wait_s is not None:  # it is about the account, so every request waits
                self._resume_at = max(self._resume_at, self._loop.time() + answer.asked_wait_s)
            _log.info("request %s: the server %s; tried again in %.1f s", request_id, answer.what, wait)
            await self._rest(wait)
            self._spending.retried()
        raise EngineError(f"Request {request_id!r} was never sent.")

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the exchange comes to its end meanwhile.

        Raises:
            EngineError: it did.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return
        raise EngineError("The request was given up, because another one failed.")

    def _raise_if_final(self, request_id: str, trouble: _Trouble, attempt: int, *, fits: bool) -> None:
        """Raise where a request that failed is not tried again."""
        where = f"The server {self._spec.base_url} {trouble.what}"
        kept = "What was answered is kept; run the same command again to ask the rest."
        if trouble.is_final:
            raise EngineError(f"{where} (request {request_id!r}, model {self._spec.model}). {trouble.remedy}")
        if not fits:
            raise EngineError(
                f"{where}, and another attempt at request {request_id!r} might pass the ceiling: "
                f"{self._spending.ceiling()} are used. Raise it. {kept}"
            )
        asked = trouble.asked_wait_s or 0.0
        if asked > self._execution.longest_wait_s:
            raise EngineError(
                f"{where} and asks to wait for {asked:.0f} seconds, longer than longest_wait_s allows "
                f"({self._execution.longest_wait_s:.0f}). Run the same command again later. {kept}"
            )
        if attempt == self._execution.attempts:
            raise EngineError(
                f"{where} (request {request_id!r}, attempt {attempt} of {attempt}). {trouble.remedy} {kept}"
            )

    async def _attempt(self, body: wire.Json) -> "wire.Json | _Trouble":
        extra = {name: value for name, value in body.items() if name != "messages"}
        try:
            async with asyncio.timeout(self._execution.timeout_s):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self._spec.model, messages=body["messages"], extra_body=extra
                )
        except openai.APIStatusError as error:
            return self._status_trouble(error)
        except (openai.APITimeoutError, TimeoutError) as error:
            return _Trouble(
                f"gave no answer in {self._execution.timeout_s:g} seconds",
                "See whether it is alive, or raise timeout_s or lower concurrency.",
                may_be_billed=_was_sent(error),
            )
        except openai.APIConnectionError as error:
            was_sent = _was_sent(error)
            return _Trouble(
                "dropped the connection" if was_sent else "cannot be reached",
                "Start it, or correct base_url.",
                may_be_billed=was_sent,
            )
        try:
            answer = json.loads(raw.http_response.content)
        except ValueError:
            return _unreadable("an answer that is not JSON")
        fault = wire.fault_of(answer)
        return _unreadable(fault) if fault else answer

    def _status_trouble(self, error: openai.APIStatusError) -> _Trouble:
        status, code = error.status_code, str(error.code or "")
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        said = f"answered with status {status}{self._quoted(error.body)}"
        if code in _FILTERED and status == 400:
            return _Trouble(said, "", is_filtered=True)
        if status == 429 and code in _NO_CREDIT:
            return _Trouble(
                said, "The account has no credit left; add some, or use another key.", is_final=True
            )
        if status in _RETRIED or status >= 500:
            return _Trouble(
                said, "Lower concurrency, or try later.", asked_wait_s=retry_after_s(headers, time.time())
            )
        if status in (401, 403):  # such messages quote the key, so they are not repeated
            return _Trouble(f"answered with status {status}", self._key_remedy(), is_final=True)
        return _Trouble(said, _REMEDY_BY_STATUS.get(status, _REMEDY_OF_REQUEST), is_final=True)

    def _key_remedy(self) -> str:
        name = self._execution.api_key_env
        if name is None:
            return "It wants an API key: put it into an environment variable and name that in api_key_env."
        return (
            f"It does not accept the key in the environment variable {name}; see whether it is the right one."
        )

    def _quoted(self, body: object) -> str:
        """Return the server's own words, short, on one line and without the key."""
        inner = body.get("error", body) if isinstance(body, dict) else body
        message = inner.get("message", inner) if isinstance(inner, dict) else inner
        if message is None:
            return ""
        text = " ".join(str(message).split())
        if self._key is not None:
            text = text.replace(self._key.get_secret_value(), "[key]")
        return f": {text[:_QUOTED]}" if text else ""


def _client(spec: EngineSpec, execution: ServerExecution, key: SecretStr | None) -> openai.AsyncOpenAI:
    """Return a client that sends our key and nothing from the environment that might be another account's.

    It follows no redirect, so prompts and key go to the named server alone; and it loads no certificates,
    which takes a tenth of a second, where the address has no use for them.
    """
    is_encrypted = (spec.base_url or "").startswith("https")
    secret = "none" if key is None else key.get_secret_value()
    client = openai.AsyncOpenAI(
        api_key=secret,
        admin_api_key="",
        base_url=spec.base_url,
        max_retries=0,
        timeout=openai.Timeout(execution.timeout_s, connect=min(_CONNECT_S, execution.timeout_s)),
        default_headers={"Authorization": f"Bearer {secret}"},
        http_client=openai.DefaultAsyncHttpxClient(verify=is_encrypted, follow_redirects=False),
    )
    client.organization = client.project = None
    return client


def _was_sent(error: BaseException) -> bool:
    """Tell whether a failed attempt may have reached the server, and so its bill."""
    names = {type(each).__name__ for each in (error, error.__cause__, error.__context__)}
    return not names & {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"}


def _unreadable(fault: str) -> _Trouble:
    return _Trouble(
        f"gave {fault}",
        "See whether base_url is that of an OpenAI-compatible API (it usually ends in /v1).",
        may_be_billed=True,
    )
