"""How much each task needs its picture: what the picture adds to the likelihood of the task's own answer.

A model is given the task's question and reads the task's answer (teacher forcing), once with the task's
picture and once with what stands against it. A task's reliance is

    [log p(answer | own picture, question) - log p(answer | other, question)] / tokens of the answer

in nats per token; any real number, near 0 where the model knows the answer without the picture or cannot see
what is asked, below 0 where the own picture speaks against the answer. With several donors the other side is
their mean.

Source: the idea that training samples differ in visual dependency is FineVision's (arXiv 2510.17269), where
a language model rates it from 1 to 5; the difference of log-likelihoods is the local form of the perceptual
score (Gat et al. 2021, arXiv 2110.14375), which exchanges pictures as we do. The rest is our own rule.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask_choices
from acclimate.engines.protocol import ChoiceReply, ChoiceRequest, Engine, Message
from acclimate.engines.spec import EngineExecution, require_model
from acclimate.errors import DataError, EngineError
from acclimate.files import ImageStore, blank_png
from acclimate.records import ImageRef, JudgedTriplet, Label, Rejection, Triplet, content_id

VERSION = 1
ROOM = "curate"
MEASURES = "reliance.parquet"
"""The file of measures in the step's folder."""
TUNED = "tuned"
GREY = 128
"""Of 255: the level of the blank picture, as in the blank condition of evaluate (arXiv 2603.03437)."""

Against: TypeAlias = Literal["mismatch", "blank", "text_only"]
Answer: TypeAlias = Literal["precise", "informative"]


class RelianceConfig(BaseModel):
    """Who measures, against what, and below which reliance a task is not trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: str | dict[str, Any] = "base"
    """The measuring model: a checkpoint's folder, `openai:NAME@URL` with `log_probabilities: prompt` or a
    mapping (docs/engines.md); `base`: the model that is to be trained; `tuned`: this recipe's own tuned
    synthesizer. It must see what the tasks ask about, or all they measure is noise."""
    against: Against = "mismatch"
    """`mismatch`: another pair's picture; `blank`: uniform grey of the same size; `text_only`: no picture."""
    answer: Answer = "precise"
    """Whose likelihood is measured. Tasks without this answer are not measured, and stay."""
    donors: int = Field(default=3, ge=1)
    """Pictures that stand against the own one under `mismatch`, averaged; each costs one request per task. A
    single one may happen to show the same answer, and its task then looks as if it needed no picture."""
    floor: float | None = Field(default=None, allow_inf_nan=False)
    """Least reliance in nats per token: compose rejects tasks below it (`low_visual_reliance`). None: only
    measured, and nothing else changes."""
    seed: int = 0
    """Of the choice of donors."""
    execution: EngineExecution = EngineExecution()

    @field_validator("model")
    @classmethod
    def _is_a_model(cls, model: str | dict[str, Any]) -> str | dict[str, Any]:
        return model if model in ("base", TUNED) else require_model(model)

    def decisive(self) -> "RelianceConfig":
        """Return this config with what its way of measuring does not read at its default."""
        plain = RelianceConfig()
        idle = ["floor"] if self.against == "mismatch" else ["floor", "donors", "seed"]
        return self.model_copy(update={name: getattr(plain, name) for name in idle})


@dataclass(frozen=True, slots=True)
class TaskReliance:
    """What the picture adds to one task's answer."""

    id: str
    """The task's."""
    pair_id: str
    label: Label
    kind: str
    against: str
    answer: str
    n_tokens: int
    """Of the answer, its end mark not counted."""
    own: float
    """Mean log-probability of the answer's tokens with the task's own picture, nats; 0 or less."""
    other: float
    """Likewise with what stands against it; the mean where there are several donors."""
    reliance: float
    """`own` minus `other`, nats per token."""
    donors: tuple[str, ...]
    """sha256 of the pictures that stood against the own one; empty where none did."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request to come: a task before one picture."""

    task: JudgedTriplet
    image: ImageRef | None
    turn: int
    """0 with the own picture, then one per picture that stands against it."""


@dataclass(slots=True)
class _Heard:
    """Mean log-probabilities of one task, as they come."""

    others: Sequence[ImageRef | None]
    n_tokens: int = 0
    values: dict[int, float] = field(default_factory=dict)
    """By `_Asked.turn`."""


def donor_pictures(pictures: Iterable[ImageRef], n: int, seed: int) -> dict[str, tuple[ImageRef, ...]]:
    """Return `n` other pictures for each distinct one, by its hash: the next ones in a drawn order.

    The order is a circle drawn by content and seed, so nobody gets a picture of its own content, every
    picture stands in for as many as any other, and one picture less changes its forerunners' donors only.

    Raises:
        DataError: there are not more than `n` distinct pictures.
    """
    by_hash = {image.sha256: image for image in pictures}
    order = [by_hash[name] for name in sorted(by_hash, key=lambda each: content_id(str(seed), each))]
    if order and len(order) <= n:
        raise DataError(
            f"curate.reliance shows every task {n} other picture{'s' * (n > 1)}, and there "
            f"{'is' if len(order) == 1 else 'are'} only {len(order)} distinct. Bring more pictures, set "
            "curate.reliance.donors lower, or curate.reliance.against to blank or text_only."
        )
    return {
        image.sha256: tuple(order[(at + step) % len(order)] for step in range(1, n + 1))
        for at, image in enumerate(order)
    }


def measure(
    tasks: Iterable[JudgedTriplet],
    images: Mapping[str, ImageRef],
    engine: Engine,
    config: RelianceConfig,
    *,
    store: ImageStore,
    log: ReplyLog | None,
) -> Iterator[TaskReliance | Rejection]:
    """Yield one measure per task, or a rejection where it lacks the answer that is measured.

    Requests go picture by picture, so that each is encoded once; tasks come as they are complete. Rejections:
    `no_precise_answer`, `no_informative_answer`. A task that follows others of its reply (a conversation) is
    asked after them.

    Args:
        images: the picture of every pair by its id; donors are drawn from all of them.
        store: where blank pictures are kept.
        log: as for `ask_choices`.

    Raises:
        DataError: a task's pair has no picture among `images`; there are too few pictures to draw donors.
        EngineError: the engine cannot score given texts, does not count their tokens, or as for `ask`.
    """
    rows = list(tasks)
    yield from (_without(task, config.answer) for task in rows if not _text(task, config.answer))
    measured = [task for task in rows if _text(task, config.answer)]
    others = _others(measured, images, config, store)
    asked = sorted(
        (each for task in measured for each in _each(task, images, others[task.id])),
        key=lambda each: (each.image is None, each.image and each.image.sha256, each.task.id, each.turn),
    )
    earlier = _earlier(rows)
    requests = (_request(each, earlier[each.task.id], config.answer) for each in asked)
    heard: dict[str, _Heard] = {}
    for each, (_, reply) in zip(asked, ask_choices(engine, requests, log), strict=True):
        so_far = heard.setdefault(each.task.id, _Heard(others[each.task.id]))
        so_far.values[each.turn], n_tokens = _per_token(reply)
        so_far.n_tokens = n_tokens if each.turn == 0 else so_far.n_tokens
        if len(so_far.values) == 1 + len(so_far.others):
            yield _measured(each.task, heard.pop(each.task.id), config)


def planned(
    tasks: Iterable[JudgedTriplet | Triplet], images: Mapping[str, ImageRef], config: RelianceConfig
) -> Iterator[ChoiceRequest]:
    """Yield what the model would be asked with the tasks' own pictures: for estimates of cost.

    Against them stand as many requests again, times `donors` under `mismatch`.
    """
    for task in tasks:
        if _text(task, config.answer):
            yield _request(_Asked(_judged(task), images[task.pair_id], 0), (), config.answer)


def below(rows: Iterable[TaskReliance], floor: float) -> frozenset[str]:
    """Return the ids of the tasks whose reliance is less than the floor, in nats per token."""
    return frozenset(row.id for row in rows if row.reliance < floor)


def _judged(task: JudgedTriplet | Triplet) -> JudgedTriplet:
    if isinstance(task, JudgedTriplet):
        return task
    return JudgedTriplet(
        task.id, task.pair_id, task.instruction, task.informative, task.precise, task.generator,
        "unjudged", 0.0, 0.0, 0.0, "",
    )  # fmt: skip


def _text(task: JudgedTriplet | Triplet, answer: Answer) -> str:
    return (task.precise if answer == "precise" else task.informative).strip()


def _without(task: JudgedTriplet, answer: Answer) -> Rejection:
    return Rejection(task.id, ROOM, f"no_{answer}_answer", task.instruction)


def _others(
    tasks: Sequence[JudgedTriplet],
    images: Mapping[str, ImageRef],
    config: RelianceConfig,
    store: ImageStore,
) -> dict[str, tuple[ImageRef | None, ...]]:
    """Return what stands against every task's picture, by the task's id; None is no picture."""
    missing = next((task for task in tasks if task.pair_id not in images), None)
    if missing is not None:
        raise DataError(
            f"Task {missing.id} was made from the pair {missing.pair_id}, which is not among those given, "
            "so there is no picture to measure it with. Give the pairs that the tasks were made from."
        )
    if not tasks or config.against == "text_only":
        return {task.id: (None,) for task in tasks}
    if config.against == "mismatch":
        donors = donor_pictures(images.values(), config.donors, config.seed)
        return {task.id: donors[images[task.pair_id].sha256] for task in tasks}
    sizes = {(each.width_px, each.height_px) for each in (images[task.pair_id] for task in tasks)}
    blanks = {size: store.add(blank_png(*size, GREY)) for size in sorted(sizes)}
    shown = {task.id: images[task.pair_id] for task in tasks}
    return {name: (blanks[image.width_px, image.height_px],) for name, image in shown.items()}


def _each(
    task: JudgedTriplet, images: Mapping[str, ImageRef], others: Sequence[ImageRef | None]
) -> Iterator[_Asked]:
    for turn, image in enumerate([images[task.pair_id], *others]):
        yield _Asked(task, image, turn)


def _earlier(tasks: Sequence[JudgedTriplet]) -> dict[str, tuple[JudgedTriplet, ...]]:
    """Return the tasks that each one follows in a conversation, in their order, by id.

    Tasks of one reply with turns of their own build on each other, as compose tells them.
    """
    by_reply: dict[tuple[str, str], list[JudgedTriplet]] = {}
    for task in tasks:
        by_reply.setdefault((task.pair_id, task.reply_id or f"task {task.id}"), []).append(task)
    found: dict[str, tuple[JudgedTriplet, ...]] = {}
    for group in by_reply.values():
        in_order = sorted(group, key=lambda task: (task.turn, task.id))
        builds_up = len({task.turn for task in group}) == len(group)
        for at, task in enumerate(in_order):
            found[task.id] = tuple(in_order[:at]) if builds_up else ()
    return found


def _request(asked: _Asked, earlier: Sequence[JudgedTriplet], answer: Answer) -> ChoiceRequest:
    task = asked.task
    texts: list[tuple[Literal["user", "assistant"], str]] = []
    for each in earlier:
        texts += [("user", each.instruction.strip()), ("assistant", each.informative or each.precise)]
    texts.append(("user", task.instruction.strip()))
    shown = () if asked.image is None else (asked.image,)
    messages = tuple(
        Message(role, text, shown if place == 0 else ()) for place, (role, text) in enumerate(texts)
    )
    return ChoiceRequest(f"{task.id}/reliance/{asked.turn}", messages, (_text(task, answer),))


def _per_token(reply: ChoiceReply) -> tuple[float, int]:
    """Return the mean log-probability of an answer's tokens, and their number."""
    (total,) = reply.log_probabilities
    n_tokens = reply.n_tokens[0] if reply.n_tokens else 0
    if n_tokens < 1 or not math.isfinite(total):
        raise EngineError(
            f"The engine scored request {reply.id!r} without saying how many tokens it has, or with {total}, "
            "so no mean can be taken. Measure with the transformers engine."
        )
    return total / n_tokens, n_tokens


def _measured(task: JudgedTriplet, heard: _Heard, config: RelianceConfig) -> TaskReliance:
    own = heard.values[0]
    other = math.fsum(value for turn, value in heard.values.items() if turn) / len(heard.others)
    return TaskReliance(
        id=task.id,
        pair_id=task.pair_id,
        label=task.label,
        kind=task.kind,
        against=config.against,
        answer=config.answer,
        n_tokens=heard.n_tokens,
        own=own,
        other=other,
        reliance=own - other,
        donors=tuple(image.sha256 for image in heard.others if image is not None),
    )
