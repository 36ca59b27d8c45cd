"""Whether an answer already draws its conclusion (pure).

Source: AdaMLLM section 3.3: an answer that concludes is not joined with another. `strict` looks for whole
words; `paper` is the published test, its quirks included: substrings with a space behind them, so `also ` is
read as `so `, and `Therefore,` and a final `answer.` are not seen; sentences end at `. ` only.
"""

import re
import unicodedata
from typing import Literal

from acclimate.compose.sentences import last_sentence

Merge = Literal["strict", "paper"]

PAPER_INDICATORS = ("could be ", "so ", "thus ", "therefore ", "final ", "answer ", "result ")
"""Source: `spec/official-behaviour.md` 1.6."""

_PART_OF_A_WORD = r"[\w\u0300-\u036f\u2010-]"
"""Letters, digits, combining accents and hyphens: `so-called` holds no `so`."""
_INDICATORS = re.compile(
    rf"(?<!{_PART_OF_A_WORD})(?:could\s+be|so|thus|therefore|hence|final|answer|result)(?!{_PART_OF_A_WORD})",
    re.IGNORECASE,
)
"""The published words and `hence`, as whole words."""


def _has_indicator(text: str) -> bool:
    return _INDICATORS.search(unicodedata.normalize("NFKC", text)) is not None


def _has_published_indicator(text: str) -> bool:
    return any(indicator in text for indicator in PAPER_INDICATORS)


def informative_concludes(informative: str, merge: Merge) -> bool:
    """Say whether the last sentence of an informative answer draws a conclusion."""
    if merge == "paper":
        return _has_published_indicator(informative.lower().strip().split(". ")[-1])
    return _has_indicator(last_sentence(informative))


def precise_concludes(precise: str, merge: Merge) -> bool:
    """Say whether a precise answer is itself worded as a conclusion."""
    if merge == "paper":
        return _has_published_indicator(precise.lower())
    return _has_indicator(precise)
