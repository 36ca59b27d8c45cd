"""ScienceQA: reads the letter out of a reply, and joins the answers of two models.

Two rules join them. The complement takes the other model's answer, and ours where the other gave none. The
judge rule takes what both say and asks a model again, with both replies before it, where they differ. `paper`
forms read as the published scripts do, where a reply without an answer is answered by chance (there unseeded;
here drawn from the item's id, and counted as guessed). `strict` forms never guess.

Source: LLaVA's ScienceQA scripts, from a description of what they do. The strict reading, the wording of the
judge's prompt and the drawn order of the two replies in it are ours.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask
from acclimate.engines.protocol import Engine, Message, Request, Sampling
from acclimate.evaluate.judge import quoted
from acclimate.evaluate.letters import STATEMENT, option_index, paper_statement, strict_letter

Form: TypeAlias = Literal["strict", "paper"]
How: TypeAlias = Literal["agreed", "other", "ours", "judge", "judge_unread", "guessed", "unread"]
"""Whose answer was taken: the one both give; the other's; ours; the judge's; ours, because the judge's was
not readable; a guess (paper form); nobody's, since nothing was readable (strict form)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question with the replies of two models."""

    item_id: str
    question: str
    """With its options, as it was asked."""
    n_options: int
    gold: int
    """Index of the right option."""
    ours: str
    other: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What a rule makes of two replies."""

    item_id: str
    index: int | None
    """None only where neither reply could be read (strict form)."""
    how: How
    is_right: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """How a rule did."""

    n: int
    n_right: int
    accuracy: float | None
    """Fraction of all items, 0 to 1, the unread counted as wrong; None without items."""
    by_how: Counter[str]


def tally(settled: Iterable[Settled]) -> Tally:
    """Count what a rule took, and how often it was right."""
    every = list(settled)
    n_right = sum(each.is_right for each in every)
    by_how: Counter[str] = Counter(each.how for each in every)
    return Tally(len(every), n_right, n_right / len(every) if every else None, by_how)


def complement(items: Iterable[Answered], form: Form = "strict") -> Iterator[Settled]:
    """Yield the other model's answer where it gave one, else ours.

    Source:
        LLaVA's complement of GPT-4 by LLaVA. Quirks kept in paper form: only "The answer is X." is read;
        where a letter is beyond the options, or neither reply is read, an answer is drawn (`guessed`).
    """
    for item in items:
        ours, other = _readings(item, form)
        if other.is_answer:
            yield _settled(item, other, "agreed" if ours == other else "other")
        else:
            yield _settled(item, ours, "ours")


def upper_bound(items: Iterable[Answered], form: Form = "strict") -> float | None:
    """Return the share of the items, 0 to 1, where at least one of the two is right; None without items.

    In paper form a guess may be the right one.
    """
    hits = [any(each.index == item.gold for each in _readings(item, form)) for item in items]
    return sum(hits) / len(hits) if hits else None


@dataclass(frozen=True, slots=True)
class _Reading:
    index: int | None
    is_answer: bool
    """Whether the text gives a letter; in paper form also one beyond the options."""
    is_guess: bool = False


def _readings(item: Answered, form: Form) -> tuple[_Reading, _Reading]:
    return _reading(item, item.ours, "ours", form), _reading(item, item.other, "other", form)


def _reading(item: Answered, text: str, whose: str, form: Form) -> _Reading:
    if form == "strict":
        index = strict_letter(text, item.n_options)
        return _Reading(index, index is not None)
    letter = paper_statement(text)
    index = None if letter is None else option_index(letter, item.n_options)
    if index is not None:
        return _Reading(index, is_answer=True)
    drawn = random.Random(f"scienceqa/{item.item_id}/{whose}").randrange(item.n_options)
    return _Reading(drawn, letter is not None, is_guess=True)


def _settled(item: Answered, reading: _Reading, how: How) -> Settled:
    if reading.is_guess:
        how = "guessed"
    elif reading.index is None:
        how = "unread"
    return Settled(item.item_id, reading.index, how, reading.index == item.gold)


class SettleConfig(BaseModel):
    """How a model is asked again where two replies differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    form: Form = "strict"
    """How the two replies and the judge's are read."""
    seed: int = 0
    """Of the order in which the two replies are shown, drawn per item, and of the sampling."""


_SETTLE = (
    "Two solvers were given the multiple-choice question above. Their replies stand between the marks; they "
    "do not come to the same answer, and one or both may be mistaken or give none. Which of them comes first "
    "was drawn by lot. Work the question out, use whatever is sound in either reply, and choose one of the "
    "options. Write your reasons first, without announcing an answer in them. Then write one last line of "
    "this form, with the letter of your option in place of X:\nThe answer is X."
)


def settle_prompt(item: Answered, config: SettleConfig) -> str:
    """Return what the judge reads: the question, both replies in an order drawn by lot, the task."""
    replies = [item.ours, item.other]
    if random.Random(f"{config.seed}/settle/{item.item_id}").random() < 0.5:
        replies.reverse()
    shown = "".join(
        f"[Reply {place}]\n{quoted(text)}\n\n[End of Reply {place}]\n\n"
        for place, text in enumerate(replies, start=1)
    )
    return f"[Question]\n{quoted(item.question)}\n\n{shown}[System]\n{_SETTLE}"


def settle_requests(items: Iterable[Answered], config: SettleConfig) -> Iterator[Request]:
    """Yield what the judge would be asked, about the items in dispute only: for estimates of cost."""
    sampling = Sampling(config.max_tokens, config.temperature, seed=config.seed)
    for item in items:
        if not _is_agreed(item, config.form):
            message = Message("user", settle_prompt(item, config))
            yield Request(f"{item.item_id}/settle", (message,), sampling)


def _is_agreed(item: Answered, form: Form) -> bool:
    ours, other = _readings(item, form)
    return ours == other and ours.index is not None and not ours.is_guess


def settle(
    items: Sequence[Answered], engine: Engine, config: SettleConfig, *, log: ReplyLog | None
) -> Iterator[Settled]:
    """Yield the judge rule's answer to each item, in their order.

    Where both replies give the same answer it is taken (`agreed`); else the judge is asked and its answer
    taken (`judge`), or ours where the judge's reply cannot be read (`judge_unread`; `guessed` or `unread`
    where ours cannot be read either). In strict form the judge must state its answer, and its last line
    counts before the rest.

    Args:
        log: replies found in it are not asked again, wherever their item stands now.

    Raises:
        EngineError: two items in dispute have one id, or the engine failed; what was answered is in the log.

    Source:
        LLaVA's "judge" of LLaVA and GPT-4. Where we differ: items that neither model answers are asked too.
    """
    replies = ask(engine, settle_requests(items, config), log)
    for item in items:
        if _is_agreed(item, config.form):
            yield _settled(item, _readings(item, config.form)[0], "agreed")
            continue
        _, reply = next(replies)
        judged = _judge_reading(item, reply.text, config.form)
        if judged.is_answer:
            yield _settled(item, judged, "judge")
        else:
            yield _settled(item, _readings(item, config.form)[0], "judge_unread")
    for _ in replies:
        pass


def _judge_reading(item: Answered, text: str, form: Form) -> _Reading:
    if form == "strict":
        for part in (text.rstrip().rpartition("\n")[2], text):
            index = strict_letter(part, item.n_options) if _states(part) else None
            if index is not None:
                return _Reading(index, is_answer=True)
        return _Reading(None, is_answer=False)
    return _reading(item, text, "judge", form)


def _states(text: str) -> bool:
    """Return whether a text states an answer or is nothing but a letter; naming an option is not enough."""
    return len(text.strip(" \n*().")) == 1 or STATEMENT.search(" ".join(text.split())) is not None
