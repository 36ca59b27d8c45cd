"""A small server on loopback that speaks OpenAI's chat API, and fails as it is told to."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Fault:
    """What one request gets instead of an answer."""

    status: int = 500
    message: str = "told to fail"
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """Sent as the body as it is."""
    drops: bool = False
    """Close the connection without a word."""
    slow_s: float = 0.0
    """Wait, then answer as if nothing were wrong."""
    echoes_headers: bool = False
    """Quote the request's headers in the message, as careless servers do."""


def words(text: str) -> int:
    return len(text.split())


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def urls_of(body: dict[str, Any]) -> list[str]:
    return [
        part["image_url"]["url"]
        for message in body["messages"]
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "image_url"
    ]


def rendered(body: dict[str, Any]) -> str:
    """The prompt of a family of this server's own; each character is a token."""
    text = "".join(f"<{each['role']}>{text_of(each)}</>" for each in body["messages"])
    if body.get("continue_final_message"):
        return text.removesuffix("</>")
    return text + ("<assistant>" if body.get("add_generation_prompt", True) else "")


class Server:
    """Answers with `reply(body)`; `faults` are used up first, one per request, and `fault` is for ever."""

    def __init__(self, reply: Callable[[dict[str, Any]], Any] | None = None) -> None:
        self.reply = reply or (lambda body: f"reply to {text_of(body['messages'][-1])}")
        self.faults: deque[Fault] = deque()
        self.fault: Fault | Callable[[dict[str, Any]], Fault | None] | None = None
        self.top_logprobs: Callable[[dict[str, Any]], list[dict[str, Any]] | None] = lambda body: None
        self.prompt_tokens: Callable[[dict[str, Any]], list[int]] | None = None
        """Set to be a vLLM: prompts' tokens are shown where asked for, and their log-probabilities."""
        self.counts_tokens = True
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self.hold = threading.Event()
        self.hold.set()
        self.lock = threading.Lock()
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.hold.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.times.append(time.monotonic())
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            fault = self.faults.popleft() if self.faults else self.fault
        try:
            fault = fault(body) if callable(fault) else fault
            self.hold.wait(10)
            if fault is not None and fault.slow_s:
                self.closing.wait(fault.slow_s)
                fault = None
        finally:
            with self.lock:
                self.in_flight -= 1
        try:
            self.write(handler, body, fault)
        except OSError:
            handler.close_connection = True  # the client has gone

    def write(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], fault: Fault | None) -> None:
        if fault is not None and fault.drops:
            handler.close_connection = True
            handler.connection.close()
            return
        status, headers = (200, {}) if fault is None or fault.raw else (fault.status, fault.headers)
        if fault is None:
            data = json.dumps(self.completion(body)).encode()
        elif fault.raw is not None:
            data = fault.raw
        else:
            quoted = f" {dict(handler.headers)}" if fault.echoes_headers else ""
            data = json.dumps({"error": {"message": fault.message + quoted, "code": fault.code}}).encode()
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        text = self.reply(body)
        message = text if isinstance(text, dict) else {"role": "assistant", "content": text}
        length = words(str(message.get("content") or ""))
        bound = body.get("max_tokens", body.get("max_completion_tokens", 1))
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": "length" if length >= bound else "stop",
        }
        answer: dict[str, Any] = {"id": "x", "object": "chat.completion", "choices": [choice]}
        if self.counts_tokens:
            n_prompt = sum(words(text_of(each)) for each in body["messages"])
            answer["usage"] = {"prompt_tokens": n_prompt, "completion_tokens": min(length, bound)}
        if body.get("logprobs") and (top := self.top_logprobs(body)) is not None:
            top = top[: body["top_logprobs"]]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        if self.prompt_tokens is not None:
            tokens = self.prompt_tokens(body)
            if body.get("return_token_ids"):
                answer["prompt_token_ids"] = tokens
            if body.get("prompt_logprobs") is not None:
                answer["prompt_logprobs"] = [
                    None if place == 0 else {str(token): {"logprob": -token / 1000, "rank": 1}}
                    for place, token in enumerate(tokens)
                ]
        return answer
