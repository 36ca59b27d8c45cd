"""The chat API on the wire: what is sent, and how an answer is read. Computes only.

Source: OpenAI's reference of /v1/chat/completions; `prompt_logprobs`, `return_token_ids`,
`continue_final_message` and `ignore_eos` are vLLM's additions to it.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from acclimate.engines.protocol import ChoiceReply, Reply, Request
from acclimate.engines.spec import EngineSpec
from acclimate.errors import EngineError

Json: TypeAlias = dict[str, Any]

FILTERED: Json = {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}
"""What stands for the answer to a request whose content the server refuses."""
_PIECES = 0.01
"""Probability of a choice's beginning from which on it counts as written in several tokens."""
_LOWEST = -1000.0
"""Servers write such numbers for minus infinity (OpenAI -9999)."""


def data_url(data: bytes, media_type: str) -> str:
    """Return a picture's bytes as they are, as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def message_json(role: str, text: str, urls: Sequence[str]) -> Json:
    """Return one message; pictures stand before the text."""
    if not urls:
        return {"role": role, "content": text}
    parts: list[Json] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": role, "content": [*parts, {"type": "text", "text": text}]}


def sampling_json(spec: EngineSpec, request: Request) -> Json:
    """Return how a reply is decoded, without what the server refuses.

    Noise is keyed as everywhere by seed, request and sample, as far as a server's `seed` reaches.
    """
    sampling = request.sampling
    settings: Json = {spec.length_field: sampling.max_tokens, "temperature": sampling.temperature}
    if sampling.temperature > 0:
        key = f"{sampling.seed}/{request.id}/{request.sample}"
        settings |= {"top_p": sampling.top_p, "seed": _noise(key)}
    if request.schema is not None:
        form = {"name": "reply", "schema": dict(request.schema), "strict": True}
        settings["response_format"] = {"type": "json_schema", "json_schema": form}
    return {name: value for name, value in settings.items() if name not in spec.leave_out}


def opening_user_json(end_of_text: str) -> Json:
    """Return what makes vLLM continue the last message, stop at the end of the text only, and show all."""
    return {
        "add_generation_prompt": False,
        "continue_final_message": True,
        "ignore_eos": True,
        "stop": [end_of_text],
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "return_token_ids": True,
    }


def first_token_json(spec: EngineSpec) -> Json:
    """Return what asks for the likeliest first tokens of a reply.

    Temperature 1, so that a server that scales its log-probabilities by it does not.
    """
    settings = {
        spec.length_field: 1,
        "temperature": 1.0,
        "logprobs": True,
        "top_logprobs": spec.top_logprobs,
    }
    return {name: value for name, value in settings.items() if name not in spec.leave_out}


def prompt_json(spec: EngineSpec, *, continues: bool) -> Json:
    """Return what asks vLLM for the tokens of a prompt; with `continues`, for their log-probabilities too."""
    settings: Json = {spec.length_field: 1, "temperature": 0.0, "return_token_ids": True}
    if continues:
        settings |= {"add_generation_prompt": False, "continue_final_message": True, "prompt_logprobs": 0}
    return settings


def fault_of(answer: object) -> str:
    """Return what is wrong with an answer's form; empty where a reply can be read."""
    if not isinstance(answer, dict):
        return "an answer that is no JSON object"
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return "an answer without choices"
    if not isinstance(choices[0].get("message"), dict):
        return "an answer without a message"
    return ""


def used_tokens(answer: Json) -> tuple[int, int] | None:
    """Return the tokens of prompt and reply as the server counts them; None where it does not say."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, reply = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt, reply) if isinstance(prompt, int) and isinstance(reply, int) else None


def read_reply(request_id: str, answer: Json, end_of_text: str = "") -> Reply:
    """Return the reply of an answer without fault.

    A server that refuses in a field of its own is quoted with that; one that filtered the reply gives an
    empty text, which every reader counts as unreadable.
    """
    choice = answer["choices"][0]
    message = choice["message"]
    text = message.get("content")
    if isinstance(text, list):
        text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
    if not isinstance(text, str):
        refusal = message.get("refusal")
        text = refusal if isinstance(refusal, str) else ""
    if end_of_text:
        text = text.removesuffix(end_of_text)
    n_prompt, n_reply = used_tokens(answer) or (0, 0)
    reason = "length" if choice.get("finish_reason") == "length" else "stop"
    return Reply(request_id, text, reason, n_prompt, n_reply)


def read_first_token(request_id: str, answer: Json, choices: Sequence[str]) -> ChoiceReply:
    """Return the log-probabilities of choices of one token, from the likeliest first tokens of a reply.

    Exact for a choice among them. One that is not among them gets the most it can have: the smallest listed
    value, or what all listed ones leave, whichever is less.

    Raises:
        EngineError: the server gives no log-probabilities; no choice is among the listed tokens; a choice is
            written in several tokens.
    """
    listed = _listed(answer)
    if not listed:
        raise EngineError(
            f"The server gave no log-probabilities for choice request {request_id!r}, so choices cannot be "
            "scored by it. Use a server that gives them (vLLM, OpenAI's models without reasoning), or the "
            "transformers engine."
        )
    for choice in choices:
        pieces = [
            value
            for text, value in listed.items()
            if text and choice not in listed and choice.startswith(text)
        ]
        if sum(map(math.exp, pieces)) > _PIECES:
            raise EngineError(
                f"The choice {choice!r} of request {request_id!r} is more than one token to the server's "
                "model, and by the first token alone it would be scored wrong. Use choices of one token, or "
                "a vLLM server with log_probabilities: prompt, which is exact for choices of any length."
            )
    if not any(choice in listed for choice in choices):
        likeliest = ", ".join(repr(text) for text in list(listed)[:5])
        raise EngineError(
            f"None of the choices {', '.join(map(repr, choices))} of request {request_id!r} is among the "
            f"{len(listed)} likeliest first tokens ({likeliest}, ...), so they cannot be scored. Let the "
            "prompt ask for exactly one of them, or use a vLLM server with log_probabilities: prompt."
        )
    rest = max(1.0 - sum(map(math.exp, listed.values())), 1e-12)
    most = min(*listed.values(), math.log(rest))
    values = tuple(listed.get(choice, most) for choice in choices)
    return ChoiceReply(request_id, values, (1,) * len(choices))


def read_prompt(
    request_id: str, opened: Json, continued: Sequence[Json], choices: Sequence[str]
) -> ChoiceReply:
    """Return the log-probabilities of choices, each the sum over its tokens, from prompts that end with them.

    Args:
        opened: answer to the prompt with the assistant's turn opened; its tokens come before every choice.
        continued: one answer per choice.

    Raises:
        EngineError: the server gives no prompt log-probabilities, or writes the prompts in different ways.
    """
    start = _token_ids(request_id, opened)
    values, n_tokens = [], []
    for choice, answer in zip(choices, continued, strict=True):
        tokens = _token_ids(request_id, answer)
        scores = answer.get("prompt_logprobs")
        if not isinstance(scores, list) or len(scores) != len(tokens):
            raise EngineError(_no_prompt_scores(request_id))
        if tokens[: len(start)] != start or len(tokens) == len(start):
            raise EngineError(
                f"The server's chat template opens an assistant's turn in one way and writes one in another, "
                f"so the tokens of choice {choice!r} of request {request_id!r} cannot be told apart. Use "
                "log_probabilities: first_token."
            )
        total = 0.0
        for place in range(len(start), len(tokens)):
            at = scores[place]
            entry = at.get(str(tokens[place])) if isinstance(at, dict) else None
            if not isinstance(entry, dict) or not isinstance(entry.get("logprob"), int | float):
                raise EngineError(_no_prompt_scores(request_id))
            total += float(entry["logprob"])
        values.append(total)
        n_tokens.append(len(tokens) - len(start))
    return ChoiceReply(request_id, tuple(values), tuple(n_tokens))


def token_ids_of(answer: Json) -> list[int] | None:
    """Return the prompt's tokens, where the server gives them."""
    ids = answer.get("prompt_token_ids")
    return ids if isinstance(ids, list) and ids else None


def _token_ids(request_id: str, answer: Json) -> list[int]:
    ids = token_ids_of(answer)
    if ids is None:
        raise EngineError(_no_prompt_scores(request_id))
    return ids


def _no_prompt_scores(request_id: str) -> str:
    return (
        f"The server gave no log-probabilities of the prompt for choice request {request_id!r}; vLLM gives "
        "them (0.10.2 or newer). Use such a server, or log_probabilities: first_token where the choices are "
        "one token each."
    )


def _listed(answer: Json) -> dict[str, float]:
    """Return the log-probabilities of the first token's likeliest values, by their text, likeliest first."""
    content = (answer["choices"][0].get("logprobs") or {}).get("content")
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return {}
    found: dict[str, float] = {}
    for entry in [*(content[0].get("top_logprobs") or ()), content[0]]:
        value = entry.get("logprob")
        if isinstance(value, int | float) and value > _LOWEST:
            text = _text_of(entry)
            found[text] = max(found.get(text, -math.inf), float(value))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _text_of(entry: Json) -> str:
    """Return a token's text, from its bytes where they are given: `token` may be a display form."""
    raw = entry.get("bytes")
    if isinstance(raw, list) and raw:
        return bytes(raw).decode("utf-8", "replace")
    return str(entry.get("token", ""))


def _noise(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") & 0x7FFFFFFF
