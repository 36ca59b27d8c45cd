"""Marks answers. Each metric has named forms: `strict` is ours and the headline, `paper` the published one.

A scorer is a value in `SCORERS`; adding one is adding a value. An answer that cannot be read is marked 0
with `parsed=False`, so that it costs what it should and can still be counted; a `paper` form that guesses
there says so by the reason `guessed`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acclimate.evaluate.answers import choice_index, either_or, labels_said, plain_words, words, yes_or_no
from acclimate.evaluate.corpus import (
    MarkAll,
    MarkOne,
    all_of_group,
    bleu_of,
    cider_of,
    meteor_marks,
    rate,
    rouge_coco,
)
from acclimate.evaluate.letters import paper_letter, strict_letter
from acclimate.evaluate.paper import (
    paper_choice,
    paper_closed,
    paper_label_f1,
    paper_label_recall,
    paper_labels,
    paper_recall,
)
from acclimate.evaluate.ptb import ptb_tokens
from acclimate.evaluate.published import (
    mmbench_choice,
    mme_answer,
    mmstar_is_right,
    pope_answer,
    starts_with_letter,
    vqa_accuracy,
    vqa_sbt_answer,
    vqa_share,
)
from acclimate.evaluate.rouge import rouge_l_paper, rouge_l_strict
from acclimate.records import AnswerKind, Item, Mark

UNPARSED = Mark(0.0, parsed=False, reason="unparsed")
CIDER_TOP = 10.0


@dataclass(frozen=True, slots=True)
class Scorer:
    """One metric in one form."""

    name: str
    kind: AnswerKind
    mark: MarkOne | None = None
    mark_all: MarkAll | None = None
    """Instead of `mark`, where a mark depends on the benchmark's other items too."""
    is_usual: bool = True
    """Whether benchmarks that name no scorers get it."""

    def marks(self, items: Sequence[Item], texts: Sequence[str | None]) -> list[Mark]:
        """Return one mark per item of one benchmark, in order; a missing reply (None) is an empty one."""
        said = [text or "" for text in texts]
        if self.mark_all is not None:
            return self.mark_all(items, said)
        if self.mark is None:
            return [Mark(None, parsed=False, reason="needs_judge")] * len(items)
        return [self.mark(item, text) for item, text in zip(items, said, strict=True)]


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
    return Mark((gold & said).total() / max(1, gold.total())) if said else UNPARSED


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


def caption_strict(item: Item, text: str) -> Mark:
    """Mark a description by ROUGE-L F over case-folded words, the best over its references.

    Source:
        Lin 2004, section 3.1, with beta = 1 and the whole text as one sentence.
    """
    said = plain_words(text)
    if not said:
        return UNPARSED
    return Mark(max(rouge_l_strict(plain_words(gold), said) for gold in item.gold))


def caption_paper(item: Item, text: str) -> Mark:
    """Mark a description by ROUGE-L as the official scripts compute it, against the first reference."""
    return Mark(rouge_l_paper(item.gold[0], text))


def vqa_strict(item: Item, text: str) -> Mark:
    """Mark a short answer by the share of annotators who gave it, both sides always normalised.

    Source:
        Antol et al. 2015, leaving each annotator out once; the normalisation is `answers.words`.
    """
    said = words(text)
    return (
        Mark(vqa_share([" ".join(words(gold)) for gold in item.gold], " ".join(said))) if said else UNPARSED
    )


def vqa_paper(item: Item, text: str) -> Mark:
    """Mark a short answer by the official VQA accuracy."""
    return Mark(vqa_accuracy(item.gold, text))


def vqa_sbt_paper(item: Item, text: str) -> Mark:
    """Mark a short answer by the official VQA accuracy after Sight Beyond Text's post-processing."""
    return Mark(vqa_accuracy(item.gold, vqa_sbt_answer(text)))


def pope_paper(item: Item, text: str) -> Mark:
    """Mark a yes/no answer as POPE's script does; where it falls back on yes the reason is `guessed`."""
    said, was_guessed = pope_answer(text)
    return _guessed(float(said == _gold_word(item)), was_guessed=was_guessed)


def mme_paper(item: Item, text: str) -> Mark:
    """Mark a yes/no answer as MME's script does."""
    said = mme_answer(text)
    return UNPARSED if said is None else Mark(float(said == _gold_word(item)))


def letter_strict(item: Item, text: str) -> Mark:
    """Mark a choice by the letter a reply states, tolerant of how it states it."""
    index = strict_letter(text, len(item.choices))
    return UNPARSED if index is None else Mark(float(item.choices[index] == item.gold[0]))


def letter_paper(item: Item, text: str) -> Mark:
    """Mark a choice as ScienceQA's script for LLaVA does."""
    index = paper_letter(text, len(item.choices))
    return UNPARSED if index is None else Mark(float(item.choices[index] == item.gold[0]))


def first_letter_paper(item: Item, text: str) -> Mark:
    """Mark a choice 1 when the reply begins with the right letter (Sight Beyond Text's MMLU)."""
    return Mark(float(any(starts_with_letter(letter, text) for letter in _gold_letters(item))))


def mmstar_paper(item: Item, text: str) -> Mark:
    """Mark a choice as MMStar's script does."""
    return Mark(float(any(mmstar_is_right(letter, text) for letter in _gold_letters(item))))


def mmbench_paper(item: Item, text: str) -> Mark:
    """Mark a choice as MMBench's rules do where no judge helps them."""
    index = mmbench_choice(item.choices, text)
    return UNPARSED if index is None else Mark(float(item.choices[index] == item.gold[0]))


def _gold_letters(item: Item) -> list[str]:
    """Return the letter of the right choice; several where choices have the same words."""
    return [chr(ord("A") + at) for at, choice in enumerate(item.choices) if choice == item.gold[0]]


def _gold_word(item: Item) -> str:
    return " ".join(words(item.gold[0]))


def _guessed(value: float, *, was_guessed: bool) -> Mark:
    return Mark(value, parsed=False, reason="guessed") if was_guessed else Mark(value)


def _pope_yes(text: str) -> str:
    return pope_answer(text)[0]


_RATES = ("precision", "recall", "f1", "yes_share")
_N_GRAMS = (1, 2, 3, 4)
SCORERS: tuple[Scorer, ...] = (
    Scorer("accuracy_strict", "closed", closed_strict),
    Scorer("accuracy_paper", "closed", closed_paper),
    Scorer("accuracy_plus_strict", "closed", mark_all=all_of_group(closed_strict), is_usual=False),
    Scorer("mme_accuracy_paper", "closed", mme_paper, is_usual=False),
    Scorer("mme_accuracy_plus_paper", "closed", mark_all=all_of_group(mme_paper), is_usual=False),
    *(Scorer(f"{which}_strict", "closed", rate(yes_or_no, which), is_usual=False) for which in _RATES),
    Scorer("pope_accuracy_paper", "closed", pope_paper, is_usual=False),
    *(Scorer(f"pope_{which}_paper", "closed", rate(_pope_yes, which), is_usual=False) for which in _RATES),
    Scorer("accuracy_strict", "choice", choice_strict),
    Scorer("accuracy_paper", "choice", choice_paper),
    Scorer("letter_strict", "choice", letter_strict, is_usual=False),
    Scorer("letter_paper", "choice", letter_paper, is_usual=False),
    Scorer("first_letter_paper", "choice", first_letter_paper, is_usual=False),
    Scorer("mmstar_paper", "choice", mmstar_paper, is_usual=False),
    Scorer("mmbench_paper", "choice", mmbench_paper, is_usual=False),
    Scorer("circular_strict", "choice", mark_all=all_of_group(choice_strict), is_usual=False),
    Scorer("circular_paper", "choice", mark_all=all_of_group(mmbench_paper), is_usual=False),
    Scorer("recall_strict", "open", open_recall_strict),
    Scorer("f1_strict", "open", open_f1_strict),
    Scorer("exact_strict", "open", open_exact_strict),
    Scorer("recall_paper", "open", open_recall_paper),
    Scorer("f1_strict", "multi_label", labels_f1_strict),
    Scorer("recall_strict", "multi_label", labels_recall_strict),
    Scorer("f1_paper", "multi_label", labels_f1_paper),
    Scorer("recall_paper", "multi_label", labels_recall_paper),
    Scorer("vqa_strict", "vqa", vqa_strict),
    Scorer("vqa_paper", "vqa", vqa_paper),
    Scorer("vqa_sbt_paper", "vqa", vqa_sbt_paper, is_usual=False),
    Scorer("rouge_l_strict", "caption", caption_strict),
    Scorer("rouge_l_paper", "caption", caption_paper),
    Scorer("cider_d_strict", "caption", mark_all=cider_of(plain_words, is_d=True)),
    Scorer("cider_d_paper", "caption", mark_all=cider_of(ptb_tokens, is_d=True), is_usual=False),
    Scorer("cider_strict", "caption", mark_all=cider_of(plain_words, is_d=False), is_usual=False),
    Scorer("cider_paper", "caption", mark_all=cider_of(ptb_tokens, is_d=False), is_usual=False),
    Scorer("rouge_l_coco_paper", "caption", rouge_coco, is_usual=False),
    Scorer("meteor_paper", "caption", mark_all=meteor_marks, is_usual=False),
    *(
        Scorer(f"bleu_{n}_strict", "caption", mark_all=bleu_of(plain_words, n), is_usual=n == _N_GRAMS[-1])
        for n in _N_GRAMS
    ),
    *(
        Scorer(f"bleu_{n}_paper", "caption", mark_all=bleu_of(ptb_tokens, n), is_usual=False)
        for n in _N_GRAMS
    ),
    Scorer("grade_strict", "graded"),
    Scorer("relative_strict", "compared"),
    Scorer("relative_paper", "compared"),
    Scorer("relative_of_items_strict", "compared"),
)
"""Of each kind the first is the primary one."""


def scorer_names(kind: AnswerKind) -> tuple[str, ...]:
    """Return the names of every scorer for items of this kind."""
    return tuple(each.name for each in SCORERS if each.kind == kind)


def scorers_for(kind: AnswerKind, names: Sequence[str] = ()) -> tuple[Scorer, ...]:
    """Return scorers for items of this kind, the primary one first: those named, or the usual ones."""
    own = {each.name: each for each in SCORERS if each.kind == kind}
    return tuple(own[name] for name in names) or tuple(each for each in own.values() if each.is_usual)


def primary_scorer(kind: AnswerKind, names: Sequence[str] = ()) -> str:
    """Return the name of the scorer that stands for the kind: a strict one unless a benchmark says other."""
    return scorers_for(kind, names)[0].name
