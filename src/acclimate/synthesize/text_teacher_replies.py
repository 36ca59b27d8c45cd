"""Reading a teacher's reply as rounds of question and answer (pure).

The grammar: a round is a line that begins with `Question:` and, below it, a line that begins with `Answer:`;
`User:` and `Assistant:` are the same marks. A mark may be in any case, bold, numbered or an item of a list,
and each text goes on to the next mark. Lines of `===`, `---` or a code fence at the ends of a text, and what
stands before the first mark, belong to no round. Nothing is repaired: a round without an answer, or with two,
stays one.

Source: the two pairs of marks are LLaVA's and LLaVA-Med's; the grammar is our own. `paper` cuts as LLaVA-Med
(v1.0.0) does: at every mark, also in the middle of a line, written exactly so.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from acclimate.synthesize.answers import Matching

_ASKS = ("question", "user")
_STRICT = re.compile(
    r"^[ \t]*(?:(?:\#{1,6}|[-*•])[ \t]+)?(?:\d{1,3}[.)][ \t]+)?(?P<bold>\*\*|__)?"
    r"(?P<mark>question|user|answer|assistant)(?:[ \t]*\#?\d{1,3})?"
    r"(?(bold)(?:[:：](?P=bold)|(?P=bold)[:：])|[:：])",
    re.IGNORECASE | re.MULTILINE,
)
_PAPER = re.compile(r"(?P<mark>Question|User|Answer|Assistant):")
_SEPARATOR = re.compile(r"\s*(?:[=\-_*~]{3,}|```\w*)?\s*")
"""A line between rounds; a blank one is one too."""
_THOUGHTS_END = "</think>"


@dataclass(frozen=True, slots=True)
class Round:
    """One question with the answers that follow it."""

    question: str | None
    """None for answers that stand before any question."""
    answers: tuple[str, ...]
    """One where the round is whole."""


def rounds(text: str, matching: Matching = "strict") -> list[Round]:
    """Return the rounds of a reply in their order; none where it has no mark at all."""
    pattern = _STRICT if matching == "strict" else _PAPER
    marks = list(pattern.finditer(text))
    found: list[Round] = []
    for mark, following in zip_longest(marks, marks[1:]):
        part = _part(text[mark.end() : following.start() if following else len(text)])
        if mark["mark"].lower() in _ASKS:
            found.append(Round(part, ()))
        else:
            last = found.pop() if found else Round(None, ())
            found.append(Round(last.question, (*last.answers, part)))
    return found


def has_marks(text: str) -> bool:
    """Say whether the text is made of rounds, so that it is no description."""
    return _STRICT.search(text) is not None


def written(tasks: Iterable[tuple[str, str]]) -> str:
    """Return questions and answers as a reply in this grammar; `rounds` reads them back."""
    return "\n\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in tasks)


def after_thoughts(text: str) -> str:
    """Return what follows the thoughts that some models write first, closed by `</think>`."""
    return text.rpartition(_THOUGHTS_END)[2]


def _part(text: str) -> str:
    lines = text.split("\n")
    while lines and _SEPARATOR.fullmatch(lines[-1]):
        lines.pop()
    first = next((at for at, line in enumerate(lines) if not _SEPARATOR.fullmatch(line)), 0)
    return "\n".join(lines[first:]).strip()
