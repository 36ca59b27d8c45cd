"""What a study's sentence about two arms says, so that its page and its `study.json` read alike (pure).

The sentences are those of `studies/*_claims.py`; a test holds the two together.
"""

import re
from dataclasses import dataclass

from acclimate.claim_sets.sets import Kind

_NAMES = {
    "the domain": "domain",
    "general": "general skills",
    "TruthfulQA MC1": "truthfulqa_mc1",
    "TruthfulQA MC2": "truthfulqa_mc2",
    "ETHICS": "ethics_mean",
}
"""Other names that pages and `study.json` have for what is measured."""


@dataclass(frozen=True, slots=True)
class Said:
    """A study's claim, taken apart."""

    first: str
    second: str
    of: str
    sign: int = 1
    """1: the first has more; -1: less; 0: hardly a change."""
    table: str | None = None
    share: float | None = None
    over: tuple[str, str] | None = None


def said(sentence: str, kind: Kind) -> Said | None:
    """Return what a study's claim compares; None where it is not one of that study's sentences."""
    if kind == "synthesis":
        return _of_tasks(sentence)
    if found := re.fullmatch(r"(.+) gains less over (.+) than (.+) over (.+) on (.+)", sentence):
        first, second, other, start, what = found.groups()
        return Said(first, second, measured(what), -1, over=(other, start))
    if found := re.fullmatch(r"(.+) (?:reaches|has) at least ([\d.]+) of the gain of (.+) on (.+)", sentence):
        first, share, second, what = found.groups()
        return Said(first, second, measured(what), share=float(share))
    if found := re.fullmatch(r"(.+) scores (more|less) than (.+) on (.+)", sentence):
        first, way, second, what = found.groups()
        return Said(first, second, measured(what), 1 if way == "more" else -1)
    # An arm's last part is one word, and so the rest is what is measured: `..., all changes general NLP by`.
    if found := re.fullmatch(r"(.+?) changes (.+) by less than [\d.]+ points?", sentence):
        first, what = found.groups()
        return Said(first, trained_from(first), measured(what), 0)
    return None


def _of_tasks(sentence: str) -> Said | None:
    if found := re.fullmatch(r"Table ([68]): (.+) has (more|less) (\S+) than (.+)", sentence):
        table, first, way, what, second = found.groups()
        return Said(first, second, what, 1 if way == "more" else -1, table)
    if found := re.fullmatch(r"Table 7: (.+) have a larger share of (.+) than (.+)", sentence):
        first, what, second = found.groups()
        return Said(first, second, what, 1, "7")
    cut = r"Table 7: the filter cuts the error rate of precise answers by at least (\d+)%"
    if found := re.fullmatch(cut, sentence):
        return Said("kept tasks", "all tasks", "error cut", table="7", share=int(found.group(1)) / 100)
    return None


def measured(name: str) -> str:
    """Return the one name that we use for what is measured."""
    return _NAMES.get(name, name)


def trained_from(arm: str) -> str:
    """Return what an arm of the studies of training and alignment was trained from.

    Source: the studies' names: `chat-tuned: LoRA, ...` and `second base, adapted` say it, the rest is `base`.
    """
    start, found, _ = arm.partition(": ")
    if found:
        return start
    return "second base" if arm == "second base, adapted" else "base"
