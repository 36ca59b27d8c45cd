"""Says whether a reply claims to see something particular. Pure; a detector is a value and replaceable."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_LEAST_WORDS = 4
_SEEING = (
    "see sees seen visible visualized visualised shows show shown showing depicts depict depicted displays "
    "displayed reveals revealed demonstrates demonstrated appears appear appearing looks located situated "
    "observed evident noted"
)
_PLACE = (
    "below left right upper lower top bottom center centre central middle corner side bilateral unilateral "
    "anterior posterior medial lateral apical basal peripheral background foreground beside behind above"
)
_LOOK = (
    "red orange yellow green blue purple pink brown black white grey gray dark bright round oval square "
    "circular irregular smooth rough striped large small bigger smaller enlarged dense density opacity "
    "opaque lucent hyperintense hypointense hyperdense hypodense shadow bright-field stained"
)
_VISUAL = frozenset(f"{_SEEING} {_PLACE} {_LOOK}".split())
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_UNABLE = re.compile(
    r"\b(?:cannot|can't|can not|unable to|not able to|do not|don't) (?:see|view|tell|determine|access)\b"
    r"|\bno (?:image|picture|photo)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ClaimDetector:
    """How claims are found; every figure that rests on them carries the name."""

    name: str
    has_claim: Callable[[str, str], bool]
    """From the question and the reply."""


def has_visual_words(question: str, reply: str) -> bool:
    """Return whether a reply says in words of its own what is seen, where, or how it looks.

    That is: it has at least four words; one of them is about seeing, a place in the picture or an appearance
    and does not stand in the question; and it does not say that it cannot see. English only.

    Source:
        Our own rule; arXiv 2603.03437 does not publish theirs, so figures made with the two do not compare.
    """
    said = [word.casefold() for word in _WORD.findall(reply)]
    asked = {word.casefold() for word in _WORD.findall(question)}
    return len(said) >= _LEAST_WORDS and bool(_VISUAL & set(said) - asked) and _UNABLE.search(reply) is None


VISUAL_WORDS = ClaimDetector("visual_words/v1", has_visual_words)
