"""What counts as the same answer, for rates of changed answers. Pure."""

from acclimate.evaluate.answers import choice_index, either_or, labels_said, words, yes_or_no
from acclimate.records import Item

_UNREAD = "?"
"""Begins what could not be read as an answer, so that it equals no answer."""


def normalised_answer(item: Item, text: str) -> str:
    """Return the answer that a reply gives, so that replies which say the same are equal.

    The answer that the strict scorers read, where they can read one ("Yes." and " yes, there is" are both
    `yes`; "B" and "B. heart" are both `heart`); else the reply's words (`answers.words`), marked as unread
    where the kind of question has readable answers only. An empty reply equals another empty one.

    Source:
        Our own rule. Strict marks of closed, choice, multi-label and exact open answers depend on the reply
        through this alone, so a mark cannot change where the answer does not.
    """
    if item.kind in ("open", "vqa", "caption", "graded", "compared"):
        return " ".join(words(text))
    answer = _answer(item, text)
    return f"{_UNREAD} {' '.join(words(text))}" if answer is None else answer


def _answer(item: Item, text: str) -> str | None:
    """Return the answer read from a reply to a question whose answers are read, None where none can be."""
    if item.kind == "choice":
        index = choice_index(item.choices, text)
        return None if index is None else item.choices[index]
    if item.kind == "multi_label":
        labels = labels_said(item.choices, text)
        return None if labels is None else " | ".join(labels)
    if " ".join(words(item.gold[0])) in ("yes", "no"):
        return yes_or_no(text)
    return either_or(item.question, item.choices, item.gold[0], text)
