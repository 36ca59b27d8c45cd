"""Marks that need more than one reply: groups, rates over a benchmark, caption metrics.

Every function takes the items of one benchmark with their replies and returns one mark per item, in order.
What an item adds to a score that is no mean stands in `Mark.parts` (see `Score.parts`).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from acclimate.evaluate.answers import plain_words
from acclimate.evaluate.meteor import meteor
from acclimate.evaluate.ngrams import bleu_parts, cider, cider_d, rouge_l_coco
from acclimate.evaluate.ptb import ptb_tokens
from acclimate.records import Item, Mark

MarkOne = Callable[[Item, str], Mark]
MarkAll = Callable[[Sequence[Item], Sequence[str]], list[Mark]]
Tokens = Sequence[str]


def all_of_group(mark: MarkOne) -> MarkAll:
    """Return the marking that gives a group 1 where all its questions are fully right.

    The group's mark stands at its first question (by id), with weight 1; the others weigh nothing. Questions
    without a group are groups of their own.
    """

    def mark_all(items: Sequence[Item], texts: Sequence[str]) -> list[Mark]:
        marks = [mark(item, text) for item, text in zip(items, texts, strict=True)]
        groups: dict[str, list[int]] = defaultdict(list)
        for at, item in enumerate(items):
            groups[item.group or f"item {item.id}"].append(at)
        out: list[Mark] = [Mark(0.0, parts=(0.0, 0.0))] * len(items)
        for members in groups.values():
            members.sort(key=lambda at: items[at].id)
            right = float(all((marks[at].value or 0.0) >= 1.0 for at in members))
            reason = next((marks[at].reason for at in members if marks[at].reason), "")
            for at in members:
                out[at] = Mark(right, marks[at].parsed, marks[at].reason, (0.0, 0.0))
            out[members[0]] = Mark(right, all(marks[at].parsed for at in members), reason, (right, 1.0))
        return out

    return mark_all


def rate(answer: Callable[[str], str | None], which: str) -> MarkOne:
    """Return the marking of a yes/no rate: `precision`, `recall` or `f1` of yes, or `yes_share`.

    Args:
        answer: reads `yes`, `no` or None from a reply; an unread reply is neither.

    Source:
        POPE (Li et al. 2023): yes is the positive answer.
    """

    def mark(item: Item, text: str) -> Mark:
        said = answer(text)
        is_gold, is_said = plain_words(item.gold[0]) == ("yes",), said == "yes"
        hit = float(is_gold and is_said)
        sums = {
            "precision": (hit, float(is_said)),
            "recall": (hit, float(is_gold)),
            "f1": (2 * hit, float(is_said) + float(is_gold)),
            "yes_share": (float(is_said), 1.0),
        }[which]
        return Mark(sums[0] / sums[1] if sums[1] else 0.0, said is not None, "" if said else "unparsed", sums)

    return mark


def bleu_of(tokens: Callable[[str], Tokens], n: int) -> MarkAll:
    """Return the marking by corpus BLEU-n (Papineni et al. 2002): each item's counts are its parts."""

    def mark_all(items: Sequence[Item], texts: Sequence[str]) -> list[Mark]:
        marks = []
        for item, text in zip(items, texts, strict=True):
            said = tokens(text)
            parts = bleu_parts([tokens(gold) for gold in item.gold], said, n)
            marks.append(_read(said, parts[0] / parts[1] if parts[1] else 0.0, parts))
        return marks

    return mark_all


def cider_of(tokens: Callable[[str], Tokens], *, is_d: bool) -> MarkAll:
    """Return the marking by CIDEr or CIDEr-D (Vedantam et al. 2015), 0 to 10, over one benchmark's items."""

    def mark_all(items: Sequence[Item], texts: Sequence[str]) -> list[Mark]:
        said = [tokens(text) for text in texts]
        references = [[tokens(gold) for gold in item.gold] for item in items]
        values = (cider_d if is_d else cider)(references, said)
        return [_read(each, value) for each, value in zip(said, values, strict=True)]

    return mark_all


def meteor_marks(items: Sequence[Item], texts: Sequence[str]) -> list[Mark]:
    """Mark captions by METEOR 1.5; its corpus score is no mean of these, but near it.

    Raises:
        EngineError: the package that brings METEOR, or Java, is not installed.
    """
    values, _ = meteor([item.gold for item in items], texts)
    return [_read(ptb_tokens(text), value) for text, value in zip(texts, values, strict=True)]


def rouge_coco(item: Item, text: str) -> Mark:
    """Mark a caption by COCO's ROUGE-L."""
    said = ptb_tokens(text)
    return _read(said, rouge_l_coco([ptb_tokens(gold) for gold in item.gold], said))


def _read(said: Tokens, value: float, parts: tuple[float, ...] = ()) -> Mark:
    return Mark(value, bool(said), "" if said else "unparsed", parts)
