"""How likely a model holds the right answer, with its own picture and with others': what VRS_ll rests on.

The model reads the right answer after the question (teacher forcing); nothing is generated. Asked under
`original` and the conditions that exchange pictures, with the questions, prompts and donors of `predict`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask_choices
from acclimate.engines.protocol import ChoiceRequest, Engine, Message
from acclimate.errors import EngineError
from acclimate.evaluate.conditions import ORIGINAL, POLICIES, parted, shown_images
from acclimate.evaluate.stage import EvaluateConfig, by_picture
from acclimate.files import ImageStore
from acclimate.records import ImageRef, Item

FILE = "likelihoods.parquet"
"""In the folder of an evaluation."""
Asked: TypeAlias = tuple[str, Item, ImageRef | None]
"""A condition, an item, and the picture that is shown."""
_WITHOUT = ("graded", "compared")
"""Kinds of questions that have no right answer to be read."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely one right answer is under one condition."""

    item_id: str
    benchmark: str
    condition: str
    answer: str
    """The text that was scored."""
    log_likelihood: float
    """Mean over the answer's tokens, nats; 0 or less."""
    n_tokens: int


def right_answer(item: Item) -> str:
    """Return the text that is scored as the right answer: the first accepted one, or all labels with commas.

    Of ten annotators' answers the most frequent one, the first of equally frequent ones. Empty where the kind
    of question has none.
    """
    if item.kind in _WITHOUT or not item.gold:
        return ""
    if item.kind == "multi_label":
        return ", ".join(item.gold)
    if item.kind == "vqa":
        return max(dict.fromkeys(item.gold), key=item.gold.count)
    return item.gold[0]


def scored_conditions(config: EvaluateConfig) -> list[str]:
    """Return the conditions under which answers are scored: `original` and those that exchange pictures."""
    names = {each: parted(each) for each in dict.fromkeys(config.conditions)}
    return [each for each, (name, _) in names.items() if each == ORIGINAL or name in POLICIES]


def planned(items: Sequence[Item], config: EvaluateConfig, *, store: ImageStore) -> list[Asked]:
    """Return what `likelihoods` is to score: all under `scored_conditions` that have a right answer to read.

    Raises:
        BenchmarkError: as for `predict`.
    """
    shown = {
        each: shown_images(items, each, seed=config.seed, store=store) for each in scored_conditions(config)
    }
    return [each for each in by_picture(items, shown) if right_answer(each[1])]


def likelihoods(asked: Sequence[Asked], engine: Engine, log: ReplyLog | None) -> Iterator[Likelihood]:
    """Yield how likely every right answer is, all of one picture together.

    Raises:
        EngineError: the engine cannot score given texts, or does not count their tokens.
    """
    requests = (
        ChoiceRequest(
            f"{item.benchmark}/{item.id}/{condition}/right",
            (Message("user", item.question, () if image is None else (image,)),),
            (right_answer(item),),
        )
        for condition, item, image in asked
    )
    for (condition, item, _), (request, reply) in zip(asked, ask_choices(engine, requests, log), strict=True):
        n_tokens = reply.n_tokens[0] if reply.n_tokens else 0
        total = reply.log_probabilities[0]
        if n_tokens < 1 or not math.isfinite(total):
            raise EngineError(
                f"The engine scored {request.id!r} with {total} and {n_tokens} tokens, so there is no mean "
                "log-likelihood. Measure with the transformers engine, or leave evaluate.log_likelihood out."
            )
        yield Likelihood(item.id, item.benchmark, condition, request.choices[0], total / n_tokens, n_tokens)


def by_answer(model: str, rows: Sequence[Likelihood]) -> Mapping[tuple[str, str, str, str], float]:
    """Return the log-likelihoods as visual reliance reads them (`report.reliance_rows.Reading`)."""
    return {(each.benchmark, each.item_id, model, each.condition): each.log_likelihood for each in rows}
