"""How long to wait before a request is tried again. Computes only."""

import email.utils
import random
from collections.abc import Mapping

_LONGEST_BACKOFF_S = 60.0


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a server asks to wait, or None where it does not ask.

    Args:
        headers: of the response; names are looked up in lower case.
        now: seconds since the epoch.

    Source: RFC 9110, section 10.2.3 (seconds or a date); `retry-after-ms` is OpenAI's and Azure's own.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is not None or asked is None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def wait_s(attempt: int, first_s: float, asked_s: float | None, noise: random.Random) -> float:
    """Return how long to wait after a failed attempt.

    The first wait doubled each time, up to a minute, of which a random half is taken off, so that requests
    that failed together do not come back together. Never less than the server asks. Source: exponential
    back-off with equal jitter.

    Args:
        attempt: number of the attempt that failed, from 1.
    """
    backoff = min(first_s * 2.0 ** min(attempt - 1, 30), max(_LONGEST_BACKOFF_S, first_s))
    jittered = backoff * (0.5 + 0.5 * noise.random())
    if asked_s is None:
        return jittered
    return asked_s + first_s * noise.random()


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
