"""What requests will take, in tokens and money, counted before any is sent.

Only the server knows its tokenizer, so tokens are estimated from the texts and the pictures' sizes by the
rules stated at each function. The rules lean to the upper side; `most_prompt_tokens`, which a budget is held
by, leans further.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acclimate.engines.protocol import ChoiceRequest, Message, Request
from acclimate.engines.spec import LogProbabilities, Prices
from acclimate.records import ImageRef

_TOKENS_OF_A_TURN = 4
"""Of the marks around a turn. Source: ChatML writes start, role, line break and end."""
_MOST_TOKENS_OF_A_TURN = 16
_TOKENS_OF_A_TEMPLATE = 64
"""Room for what a server's chat template adds by itself, such as a system text."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a set of requests will take."""

    n_requests: int
    n_images: int
    prompt_tokens: int
    """Estimated, images included."""
    reply_tokens: int
    """At most: every reply as long as it may become."""
    money_least: float | None
    """With empty replies; None where no prices are known."""
    money_most: float | None
    """With the longest replies."""

    def times(self, factor: float) -> "CostEstimate":
        """Return the estimate for so many times as much."""

        def more(n: int) -> int:
            return round(n * factor)

        return CostEstimate(
            more(self.n_requests),
            more(self.n_images),
            more(self.prompt_tokens),
            more(self.reply_tokens),
            None if self.money_least is None else self.money_least * factor,
            None if self.money_most is None else self.money_most * factor,
        )

    def __str__(self) -> str:
        """Return it in one line, for people."""
        words = (
            f"{self.n_requests:,} requests with {self.n_images:,} pictures: about {self.prompt_tokens:,} "
            f"tokens of prompt, at most {self.reply_tokens:,} of replies"
        )
        if self.money_least is None or self.money_most is None:
            return f"{words}; no prices are given"
        return f"{words}; {self.money_least:,.2f} to {self.money_most:,.2f} by the given prices"


def estimate_cost(
    requests: Iterable[Request | ChoiceRequest],
    prices: Prices | None = None,
    *,
    image_tokens: int | None = None,
    log_probabilities: LogProbabilities = "first_token",
) -> CostEstimate:
    """Count what requests will take; they are read one by one and none is kept or sent.

    Replies that are in the log already are not asked again, so a resumed run takes less.

    Args:
        image_tokens: tokens per picture; None estimates them from its size.
        log_probabilities: how choices are scored, which decides how often a choice's prompt is sent.
    """
    n_requests = n_images = n_prompt = n_reply = 0
    for request in requests:
        times, longest = asks_of(request, log_probabilities)
        n_requests += times
        n_images += times * sum(len(message.images) for message in request.messages)
        n_prompt += times * prompt_tokens(request.messages, image_tokens)
        n_reply += times * longest
    least = most = None
    if prices is not None:
        least = money(prices, n_prompt, 0)
        most = money(prices, n_prompt, n_reply)
    return CostEstimate(n_requests, n_images, n_prompt, n_reply, least, most)


def asks_of(request: Request | ChoiceRequest, log_probabilities: LogProbabilities) -> tuple[int, int]:
    """Return how often a request's prompt is sent, and how many tokens each reply may have."""
    if isinstance(request, Request):
        return 1, request.sampling.max_tokens
    return (len(request.choices) + 1 if log_probabilities == "prompt" else 1), 1


def money(prices: Prices, n_prompt: int, n_reply: int) -> float:
    """Return what tokens cost."""
    return (prices.prompt * n_prompt + prices.reply * n_reply) / 1e6


def prompt_tokens(messages: Sequence[Message], image_tokens_each: int | None = None) -> int:
    """Return about how many tokens a prompt has: four per turn, its text's and its pictures'."""
    total = 0
    for message in messages:
        total += _TOKENS_OF_A_TURN + text_tokens(message.text)
        total += sum(_image_tokens(image, image_tokens_each) for image in message.images)
    return total


def most_prompt_tokens(messages: Sequence[Message], image_tokens_each: int | None = None) -> int:
    """Return more tokens than a prompt is likely to have: one per byte of text, and room for a template.

    A tokenizer that falls back to bytes never makes more tokens of a text than it has bytes. How many tokens
    a picture becomes is the server's choice, so that part stays an estimate.
    """
    total = _TOKENS_OF_A_TEMPLATE
    for message in messages:
        total += _MOST_TOKENS_OF_A_TURN + len(message.text.encode("utf-8", "surrogatepass"))
        total += sum(_image_tokens(image, image_tokens_each) for image in message.images)
    return total


def text_tokens(text: str) -> int:
    """Return about how many tokens a text has: one per four ASCII characters, one per other character.

    Source: our own rule; English has a little over four characters per token in today's tokenizers.
    """
    n_other = sum(character > "\x7f" for character in text)
    return -(-(len(text) - n_other) // 4) + n_other


def image_tokens(image: ImageRef) -> int:
    """Return about how many tokens a picture becomes: the larger of two published rules.

    Sources: one token per 28 by 28 pixels, 4 to 16,384 (Qwen2-VL's report, section 2.1, and its processor's
    default bounds); and 85 tokens plus 170 per tile of 512 pixels, after shrinking the picture into a square
    of 2048 and its shorter side to 768 (OpenAI's guide to images, for GPT-4o).
    """
    cells = math.ceil(image.width_px / 28) * math.ceil(image.height_px / 28)
    shrink = min(1.0, 2048 / max(image.width_px, image.height_px))
    shrink = min(shrink, 768 / min(image.width_px, image.height_px))
    tiles = math.ceil(image.width_px * shrink / 512) * math.ceil(image.height_px * shrink / 512)
    return max(min(max(cells, 4), 16_384), 85 + 170 * tiles)


def _image_tokens(image: ImageRef, each: int | None) -> int:
    return image_tokens(image) if each is None else each
