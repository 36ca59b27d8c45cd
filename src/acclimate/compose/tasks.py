"""How a triplet becomes one question and one answer, and a pair its caption task (pure).

Source: AdaMLLM section 3.3. An informative answer that already concludes stands alone; a precise answer that
concludes follows it; otherwise both are joined as reasons and answer. Wordings are chosen by record id.
"""

import random
import re

from acclimate.compose.wordings import (
    CAPTION_QUESTIONS,
    PLAIN_QUESTIONS,
    REASONING_ANSWERS,
    REASONING_QUESTIONS,
)
from acclimate.records import ImageCaption, JudgedTriplet, Turn

_INDICATORS = re.compile(r"\b(could be|so|thus|therefore|hence|final|answer|result)\b", re.IGNORECASE)
"""Words that mark a conclusion, matched as whole words (the published code matches substrings)."""


def _last_sentence(text: str) -> str:
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", text.strip()) if part]
    return sentences[-1] if sentences else ""


def _fill(wording: str, question: str, informative: str, precise: str) -> str:
    values = {"{q}": question, "{i}": informative, "{p}": precise}
    return re.sub(r"\{[qip]\}", lambda slot: values[slot.group()], wording)


def _sentence_end(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else text.rstrip() + "."


def task_turns(triplet: JudgedTriplet, seed: int) -> tuple[Turn, Turn]:
    """Return the user's and the assistant's turn of one synthetic task."""
    rng = random.Random(f"{seed}/wording/{triplet.id}")
    informative, precise = triplet.informative.strip(), triplet.precise.strip()
    if _INDICATORS.search(_last_sentence(informative)):
        wording, answer = rng.choice(PLAIN_QUESTIONS), informative
    elif _INDICATORS.search(precise):
        wording, answer = rng.choice(PLAIN_QUESTIONS), f"{_sentence_end(informative)} {precise}"
    else:
        wording = rng.choice(REASONING_QUESTIONS)
        joined = rng.choice(REASONING_ANSWERS)
        answer = _fill(joined, "", _sentence_end(informative), precise.rstrip(" ."))
    question = _fill(wording, triplet.instruction, "", "")
    return Turn("user", question, trained=False), Turn("assistant", answer, trained=True)


def caption_turns(pair: ImageCaption, seed: int) -> tuple[Turn, Turn]:
    """Return the user's and the assistant's turn of the pair's caption task."""
    question = random.Random(f"{seed}/caption/{pair.id}").choice(CAPTION_QUESTIONS)
    return Turn("user", question, trained=False), Turn("assistant", pair.caption, trained=True)


def caption_comes_first(pair_id: str, seed: int) -> bool:
    """Say whether the caption task stands before the synthetic task; decided by the pair's id."""
    return random.Random(f"{seed}/place/{pair_id}").random() < 0.5
