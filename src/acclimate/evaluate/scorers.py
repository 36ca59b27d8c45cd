"""Marks answers. Each metric has named forms: `strict` is ours and the headline, `paper` the official one.

A scorer is a value in `SCORERS`; adding one is adding a value. An answer that cannot be read is marked 0
with `parsed=False`, so that it costs what it should and can still be counted.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acclimate.evaluate.answers import choice_index, either_or, labels_said, plain_words, words, yes_or_no
from acclimate.evaluate.paper import (
    paper_choice,
    paper_closed,
    paper_label_f1,
    paper_label_recall,
    paper_labels,
    paper_recall,
)
from acclimate.records import AnswerKind, Item, Mark

CAPTION_STRATUM = "caption"
"""Items of this stratum ask for a description; they are marked by ROUGE-L."""

UNPARSED = Mark(0.0, parsed=False, reason="unparsed")


@dataclass(frozen=True, slots=True)
class Scorer:
    """One metric in one form."""

    name: str
    kind: AnswerKind
    mark: Callable[[Item, str], Mark]
    stratum: str = ""
    """Only items of this stratum; an empty one means every item but captions."""


def closed_strict(item: Item, text: str) -> Mark:
    """Mark a closed answer 1 when it is the gold, else 0."""
    gold = " ".join(words(item.gold[0]))
    if gold in ("yes", "no"):
        answer = yes_or_no(text)
    else:
        answer = either_or(item.question, item.choices, item.gold[0], text)
    return UNPARSED if answer is None else Mark(float(answer == gold))


def closed_paper(item: Item, text: str) -> Mark:
    """Mark a closed answer as the official scorer does."""
    return Mark(paper_closed(item.gold[0], text))


def choice_strict(item: Item, text: str) -> Mark:
    """Mark a choice 1 when the reply names the gold choice and no other, else 0."""
    index = choice_index(item.choices, text)
    return UNPARSED if index is None else Mark(float(item.choices[index] == item.gold[0]))


def choice_paper(item: Item, text: str) -> Mark:
    """Mark a choice as the official scorer does; a reply it would guess on has reason `guessed`."""
    index, was_guessed = paper_choice(item.choices, text, item.id)
    value = float(item.choices[index] == item.gold[0])
    return Mark(value, parsed=False, reason="guessed") if was_guessed else Mark(value)


def open_recall_strict(item: Item, text: str) -> Mark:
    """Mark an open answer by the share of the gold's words that it says.

    Source:
        The paper's published metric for OPEN questions (LLaVA-Med), with true counts: a word counts as
        often as both say it. It does not punish long replies; `f1_strict` beside it does.
    """
    gold, said = Counter(words(item.gold[0])), Counter(words(text))
    return Mark((gold & said).total() / gold.total()) if said else UNPARSED


def open_f1_strict(item: Item, text: str) -> Mark:
    """Mark an open answer by the harmonic mean of word precision and recall (SQuAD's F1, our words)."""
    gold, said = Counter(words(item.gold[0])), Counter(words(text))
    return Mark(2 * (gold & said).total() / (gold.total() + said.total())) if said else UNPARSED


def open_exact_strict(item: Item, text: str) -> Mark:
    """Mark an open answer 1 when its words are the gold's, in order, else 0."""
    said = words(text)
    return Mark(float(said == words(item.gold[0]))) if said else UNPARSED


def open_recall_paper(item: Item, text: str) -> Mark:
    """Mark an open answer by the official recall."""
    return Mark(paper_recall(item.gold[0], text))


def _label_strict(item: Item, text: str, mark: Callable[[Sequence[str], Sequence[str]], float]) -> Mark:
    said = labels_said(item.choices, text)
    return UNPARSED if said is None else Mark(mark(item.gold, said))


def labels_f1_strict(item: Item, text: str) -> Mark:
    """Mark a multi-label answer by F1 over labels, found as whole words."""
    return _label_strict(item, text, paper_label_f1)


def labels_recall_strict(item: Item, text: str) -> Mark:
    """Mark a multi-label answer by the share of right labels that it names as whole words."""
    return _label_strict(item, text, paper_label_recall)


def labels_f1_paper(item: Item, text: str) -> Mark:
    """Mark a multi-label answer by the official F1 (FoodSeg103)."""
    return Mark(paper_label_f1(item.gold, paper_labels(item.choices, text)))


def labels_recall_paper(item: Item, text: str) -> Mark:
    """Mark a multi-label answer by the official recall (Nutrition5K)."""
    return Mark(paper_label_recall(item.gold, paper_labels(item.choices, text)))


def rouge_l_strict(item: Item, text: str) -> Mark:
    """Mark a description by ROUGE-L F over case-folded words.

    Source:
        Lin 2004, section 3.1, with beta = 1 and the whole text as one sentence. The official scorer works
        on sets of word types and is case-sensitive; this one does neither.
    """
    gold, said = plain_words(item.gold[0]), plain_words(text)
    if not said:
        return UNPARSED
    return Mark(2 * _common_subsequence(gold, said) / (len(gold) + len(said)))


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for one in first:
        diagonal = 0
        for at, other in enumerate(second, start=1):
            above = row[at]
            row[at] = diagonal + 1 if one == other else max(above, row[at - 1])
            diagonal = above
    return row[-1]


SCORERS: tuple[Scorer, ...] = (
    Scorer("accuracy_strict", "closed", closed_strict),
    Scorer("accuracy_paper", "closed", closed_paper),
    Scorer("accuracy_strict", "choice", choice_strict),
    Scorer("accuracy_paper", "choice", choice_paper),
    Scorer("recall_strict", "open", open_recall_strict),
    Scorer("f1_strict", "open", open_f1_strict),
    Scorer("exact_strict", "open", open_exact_strict),
    Scorer("recall_paper", "open", open_recall_paper),
    Scorer("f1_strict", "multi_label", labels_f1_strict),
    Scorer("recall_strict", "multi_label", labels_recall_strict),
    Scorer("f1_paper", "multi_label", labels_f1_paper),
    Scorer("recall_paper", "multi_label", labels_recall_paper),
    Scorer("rouge_l_strict", "open", rouge_l_strict, CAPTION_STRATUM),
)
"""Of each kind the first is the primary one."""


def scorers_for(kind: AnswerKind, stratum: str = "") -> tuple[Scorer, ...]:
    """Return every scorer for items of this kind, the primary one first."""
    wanted = CAPTION_STRATUM if stratum == CAPTION_STRATUM else ""
    return tuple(each for each in SCORERS if each.kind == kind and each.stratum == wanted)


def primary_scorer(kind: AnswerKind, stratum: str = "") -> str:
    """Return the name of the scorer that stands for the kind: always a strict one."""
    return scorers_for(kind, stratum)[0].name
