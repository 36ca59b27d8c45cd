"""Names the characters that a reader cannot see, and shortens names. Pure."""

import re
from collections.abc import Iterable

_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters, those that turn the direction of text around, and halves of characters."""


def visible(text: str) -> str:
    """Return a text with the characters that would hide it or turn it round named, as in `[U+202E]`."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def shortened(names: Iterable[str], most: int = 32) -> dict[str, str]:
    """Return every name with one of at most so many characters; different ones stay different."""
    short: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        line = " ".join(visible(name).split())
        made = line if len(line) <= most else f"{line[: most - 1]}…"
        at = 2
        while made in taken:
            end = f"… {at}"
            made, at = f"{line[: most - len(end)]}{end}", at + 1
        taken.add(made)
        short[name] = made
    return short
