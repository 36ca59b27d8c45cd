"""How a triplet becomes one question and one answer, and a pair its caption task (pure).

Source: AdaMLLM section 3.3. An informative answer that already concludes stands alone; a precise answer that
concludes follows it; otherwise both are joined as reasons and answer. Wordings are drawn by record id.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from acclimate.compose.conclusions import Merge, informative_concludes, precise_concludes
from acclimate.compose.paper_wordings import PAPER_PLAIN, PAPER_REASONING, Wording
from acclimate.compose.sentences import closed, is_blank, is_phrase
from acclimate.compose.wordings import (
    BARE,
    BRIEF_QUESTIONS,
    DETAILED_QUESTIONS,
    DISH_QUESTIONS,
    DOMAIN_QUESTIONS,
    PHRASE_ENDINGS,
    PLAIN_QUESTIONS,
    REASONING_QUESTIONS,
    SENTENCE_ENDINGS,
)
from acclimate.records import ImageCaption, JudgedTriplet, Turn

Answers = Literal["reasoned", "precise", "informative"]
CaptionQuestions = Literal["brief", "detailed", "domain", "dish", "mixed"]

LONG_CAPTION_WORDS = 30
"""From so many words on (between white space) `mixed` asks for a detailed description."""


@dataclass(frozen=True, slots=True)
class TaskStyle:
    """How tasks are put and answered; see the recipe's `compose` part."""

    answers: Answers = "reasoned"
    merge: Merge = "strict"
    bare: float = 0.5
    """Probability, 0 to 1."""


_STYLE = TaskStyle()


def _fill(wording: str, **values: str) -> str:
    """Return the wording with its slots filled; braces in the values are text."""
    return re.sub(r"\{(\w+)\}", lambda slot: values[slot.group(1)], wording)


def _drawn(wordings: Sequence[str], triplet: JudgedTriplet, style: TaskStyle, seed: int) -> str:
    """Return the bare question with the probability `bare`, and else any wording."""
    rng = random.Random(f"{seed}/wording/{triplet.id}")
    return BARE if rng.random() < style.bare else rng.choice(wordings)


def _joined(informative: str, precise: str, triplet: JudgedTriplet, seed: int) -> str:
    """Return reasons and answer as one text that reads as English, a sentence or list as either part."""
    rng = random.Random(f"{seed}/ending/{triplet.id}")
    if is_phrase(precise):
        ending = _fill(rng.choice(PHRASE_ENDINGS), p=precise.rstrip(" ."))
    else:
        ending = _fill(rng.choice(SENTENCE_ENDINGS), p=closed(precise))
    return f"{closed(informative)}{_gap(informative, precise)}{ending}"


def _gap(*texts: str) -> str:
    """Return what stands between two texts: an answer of several lines may end in a list."""
    return "\n" if any("\n" in text for text in texts) else " "


def missing_answer(triplet: JudgedTriplet, answers: Answers) -> str:
    """Return why no task can be made of the triplet, or nothing.

    A triplet with one answer only has it in `informative`: its `precise` may be empty where it is not asked
    for. An answer of nothing but stops is none.
    """
    if answers == "precise":
        return "no_precise_answer" if is_blank(triplet.precise) else ""
    return "no_informative_answer" if is_blank(triplet.informative) else ""


def task_turns(
    triplet: JudgedTriplet, seed: int, style: TaskStyle = _STYLE, *, in_dialogue: bool = False
) -> tuple[Turn, Turn]:
    """Return the user's and the assistant's turn of one synthetic task.

    Args:
        in_dialogue: the task is a turn of a longer conversation: its question stays as it is.
    """
    question = triplet.instruction.strip()
    informative, precise = triplet.informative.strip(), triplet.precise.strip()
    alone, reasons = _answer(informative, precise, style)
    if in_dialogue:
        answer = _joined(informative, precise, triplet, seed) if reasons else alone
    elif style.merge == "paper":
        pool: Sequence[Wording] = PAPER_REASONING if reasons else PAPER_PLAIN
        wording = random.Random(f"{seed}/wording/{triplet.id}").choice(pool)
        values = {"q": question, "i": informative, "p": precise, "a": alone}
        question, answer = _fill(wording.user, **values), _fill(wording.assistant, **values)
    elif reasons:
        question = _fill(_drawn(REASONING_QUESTIONS, triplet, style, seed), q=question)
        answer = _joined(informative, precise, triplet, seed)
    else:
        question = _fill(_drawn(PLAIN_QUESTIONS, triplet, style, seed), q=question)
        answer = alone
    return Turn("user", question, trained=False), Turn("assistant", answer, trained=True)


def _answer(informative: str, precise: str, style: TaskStyle) -> tuple[str, bool]:
    """Return the answer that stands alone, and whether the two are to be joined by a wording instead."""
    if style.answers == "precise":
        return precise, False
    is_only = style.answers == "informative" or is_blank(precise)
    if is_only or informative_concludes(informative, style.merge):
        return informative, False
    if not precise_concludes(precise, style.merge):
        return "", True
    if style.merge == "paper":
        return f"{informative} {precise}", False
    return f"{closed(informative)}{_gap(informative, precise)}{precise}", False


_POOLS: dict[str, Sequence[str]] = {
    "brief": BRIEF_QUESTIONS,
    "detailed": DETAILED_QUESTIONS,
    "domain": DOMAIN_QUESTIONS,
    "dish": DISH_QUESTIONS,
}


def caption_turns(
    pair: ImageCaption, seed: int, questions: CaptionQuestions = "brief", domain: str = ""
) -> tuple[Turn, Turn]:
    """Return the user's and the assistant's turn of the pair's caption task.

    `mixed` asks for a long caption in detail and for a short one briefly; where a domain is named, half of
    the pairs, by id, are asked in its terms instead. Our own rule.
    """
    pool: str = questions
    if questions == "mixed":
        pool = "detailed" if len(pair.caption.split()) >= LONG_CAPTION_WORDS else "brief"
        if domain and random.Random(f"{seed}/in_domain/{pair.id}").random() < 0.5:
            pool = "domain"
    wording = random.Random(f"{seed}/caption/{pair.id}").choice(_POOLS[pool])
    question = _fill(wording, domain=domain)
    return Turn("user", question, trained=False), Turn("assistant", pair.caption, trained=True)


def caption_comes_first(pair_id: str, seed: int) -> bool:
    """Say whether the caption task stands before the synthetic task; decided by the pair's id."""
    return random.Random(f"{seed}/place/{pair_id}").random() < 0.5
