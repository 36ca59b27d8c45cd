"""The door of synthesize: pairs in, task triplets out; and the seed data's way into tuning."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask
from acclimate.engines.protocol import Engine, Reply, Request, Sampling
from acclimate.engines.spec import EngineExecution, require_model
from acclimate.errors import DataError, EngineError
from acclimate.records import Conversation, ImageCaption, ImageRef, Rejection, SeedExample, Triplet
from acclimate.synthesize import (
    caption_only,
    general_task,
    rules,
    synthesizer,
    text_teacher,
    vision_teacher,
)
from acclimate.synthesize.caption_only import CaptionOnlyConfig
from acclimate.synthesize.format import INFORMATIVE_HINT, Inputs, is_blanked, seed_conversation
from acclimate.synthesize.general_task import GeneralTaskConfig
from acclimate.synthesize.grammars import LLAMA_3, Round
from acclimate.synthesize.rules import RulesConfig
from acclimate.synthesize.synthesizer import ROOM, SynthesizerConfig
from acclimate.synthesize.text_teacher import TextTeacherConfig
from acclimate.synthesize.vision_teacher import VisionTeacherConfig

VERSION = 2

Generator: TypeAlias = Literal[
    "synthesizer", "rules", "text_teacher", "vision_teacher", "general_task", "caption_only"
]
ASKING: tuple[Generator, ...] = ("synthesizer", "text_teacher", "vision_teacher")
"""Methods that need an engine."""

_HELD = 4096
"""Pairs whose first replies are held until their second questions are answered."""


class SynthesizeConfig(BaseModel):
    """Which method writes the tasks, what it is asked, and how its replies are decoded.

    Each method has a part of its own, of which only the chosen one's is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    generator: Generator = "synthesizer"
    """`synthesizer`: AdaMLLM's, tuned or prompted. For comparison: `rules` (no model), `text_teacher` (LLaVA,
    LLaVA-Med), `vision_teacher` (PubMedVision), `general_task` (the seed examples as they are),
    `caption_only` (no tasks)."""
    model: str | dict[str, Any] = "tuned"
    """The model that is asked: a checkpoint's folder, `openai:NAME@URL` or a mapping (docs/engines.md);
    `base`: the model that is to be trained; `tuned`: the synthesizer this recipe tunes."""
    samples_per_pair: int = Field(default=1, ge=1, le=64)
    """Replies of the synthesizer per pair; at temperature 0 they are all the same, and count once."""
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=512, ge=8)
    """Length bound of a reply, in tokens."""
    seed: int = 0
    synthesizer: SynthesizerConfig = SynthesizerConfig()
    rules: RulesConfig = RulesConfig()
    text_teacher: TextTeacherConfig = TextTeacherConfig()
    vision_teacher: VisionTeacherConfig = VisionTeacherConfig()
    general_task: GeneralTaskConfig = GeneralTaskConfig()
    caption_only: CaptionOnlyConfig = CaptionOnlyConfig()
    execution: EngineExecution = EngineExecution()

    @field_validator("model")
    @classmethod
    def _is_a_model(cls, model: str | dict[str, Any]) -> str | dict[str, Any]:
        return model if model in ("tuned", "base") else require_model(model)

    @model_validator(mode="after")
    def _fits_together(self) -> "SynthesizeConfig":
        if self.samples_per_pair > 1 and self.generator != "synthesizer":
            raise ValueError(
                f"samples_per_pair is {self.samples_per_pair}, but only the synthesizer is sampled; what "
                f"{self.generator} writes per pair is decided in its own part"
            )
        return self

    @property
    def caption_question(self) -> str:
        """How the caption is asked for, in tuning as in synthesis."""
        return self.synthesizer.caption_question

    @property
    def sampling(self) -> Sampling:
        """How replies are decoded."""
        return Sampling(self.max_tokens, self.temperature, self.top_p, self.seed)

    @property
    def needs_engine(self) -> bool:
        """Whether the method asks a model."""
        return self.generator in ASKING

    def decisive(self) -> "SynthesizeConfig":
        """Return this config with every part that its method does not read at its default.

        Two configs that differ only in such parts then have the same identity.
        """
        plain = SynthesizeConfig()
        parts = ("synthesizer", "rules", "text_teacher", "vision_teacher", "general_task", "caption_only")
        idle = [part for part in parts if part != self.generator]
        if not self.needs_engine:
            idle += ["model", "temperature", "top_p", "max_tokens"]
        return self.model_copy(update={name: getattr(plain, name) for name in idle})


def tuning_conversations(
    examples: Iterable[SeedExample],
    *,
    blank_rate: float,
    seed: int,
    caption_question: str,
    blank: ImageRef,
    inputs: Inputs = "image_and_caption",
    system: str = "",
) -> Iterator[Conversation]:
    """Yield one tuning conversation per seed example.

    Args:
        blank_rate: probability that an example is shown the blank picture instead of its own.
        inputs: what of an example is shown; `caption_only` shows no picture, so none is blanked.
        system: as in synthesis.
    """
    for example in examples:
        hidden = is_blanked(example.id, blank_rate, seed)
        yield seed_conversation(
            example, caption_question, seed, blank if hidden else None, inputs=inputs, system=system
        )


@dataclass(frozen=True, slots=True)
class _Method:
    """A method that asks a model."""

    unusable: Callable[[ImageCaption], str]
    requests: Callable[[ImageCaption], list[Request]]
    read: Callable[[ImageCaption, Request, Reply], Sequence[Triplet | Rejection]]


def synthesize(
    pairs: Iterable[ImageCaption] | Iterable[SeedExample],
    engine: Engine | None,
    config: SynthesizeConfig,
    *,
    log: ReplyLog | None,
) -> Iterator[Triplet | Rejection]:
    """Yield what the method makes of every pair, in the order of the pairs.

    A method without a model gives each pair its triplets or one rejection. One that asks gives each reply its
    triplets and a rejection per task dropped (`<reply id>#<place>`), or one rejection; a pair that cannot be
    asked about has one of its own. What a pair's replies say twice comes out once, the others are
    `duplicate_task`. A pair of which nothing is left still has its caption task: that is compose's business.

    Args:
        pairs: for `general_task` the seed examples.
        engine: None where the method asks no model.

    Raises:
        EngineError: the method needs an engine and has none, or one whose replies it cannot read.
    """
    distinct = _Distinct()
    if not config.needs_engine:
        for pair in pairs:
            yield from distinct.of(pair.id, pair.id, _made(pair, config))
        return
    if engine is None:
        raise EngineError(f"synthesize.generator is {config.generator}, which needs a model; name one.")
    asked = (_pair(each) for each in pairs)
    own = config.synthesizer
    if config.generator == "synthesizer" and own.mode == "continue":
        _require_layout(engine, own)
        if own.second_question == "repeated":
            yield from _in_two_steps(asked, engine, config, log, distinct)
            return
    yield from _in_one_step(asked, engine, _method(config, engine), log, distinct)


def planned(pairs: Iterable[ImageCaption], config: SynthesizeConfig) -> Iterator[Request]:
    """Yield what the engine would be asked, without asking: for estimates of cost.

    The second question of a `repeated` one is not known yet; the caption stands in for question and answer.
    """
    if not config.needs_engine:
        return
    method = _method(config, None)
    is_repeated = config.generator == "synthesizer" and config.synthesizer.second_question == "repeated"
    for pair in pairs:
        if method.unusable(pair):
            continue
        for request in method.requests(pair):
            yield request
            if is_repeated:
                stand_in = Round(INFORMATIVE_HINT, pair.caption, pair.caption)
                yield synthesizer.repeat(request, stand_in)


def _made(pair: ImageCaption | SeedExample, config: SynthesizeConfig) -> list[Triplet | Rejection]:
    """Return what a method without a model makes of a pair or seed example."""
    if config.generator == "general_task":
        if not isinstance(pair, SeedExample):
            raise DataError(
                "synthesize.generator is general_task, which passes on seed examples and cannot use pairs "
                f"such as {pair.id}. Give the seed data, or take another generator."
            )
        return general_task.tasks(pair, config.general_task, config.seed)
    pair = _pair(pair)
    if config.generator == "rules":
        return rules.tasks(pair, config.rules, config.seed)
    return caption_only.tasks(pair, config.caption_only, config.seed)


def _pair(pair: ImageCaption | SeedExample) -> ImageCaption:
    return general_task.pair_of(pair) if isinstance(pair, SeedExample) else pair


def _method(config: SynthesizeConfig, engine: Engine | None) -> _Method:
    sampling = config.sampling
    if config.generator == "text_teacher":
        text = config.text_teacher
        return _Method(
            lambda pair: text_teacher.unusable(pair, text),
            lambda pair: text_teacher.requests(pair, text, sampling),
            lambda pair, request, reply: text_teacher.read(pair, request, reply, text),
        )
    if config.generator == "vision_teacher":
        vision = config.vision_teacher
        return _Method(
            lambda pair: vision_teacher.unusable(pair, vision),
            lambda pair: vision_teacher.requests(pair, vision, sampling),
            lambda pair, request, reply: vision_teacher.read(pair, request, reply, vision),
        )
    own, n_samples = config.synthesizer, config.samples_per_pair
    markers = engine.markers if engine is not None and own.mode == "continue" else None
    return _Method(
        lambda _pair: "",
        lambda pair: synthesizer.requests(pair, own, sampling, n_samples),
        lambda pair, _request, reply: synthesizer.read(pair, reply, own, markers),
    )


def _require_layout(engine: Engine, config: SynthesizerConfig) -> None:
    if config.grammar == "paper" and engine.markers != LLAMA_3:
        raise EngineError(
            "synthesize.synthesizer.grammar is `paper`, the parser of the published synthesizer, which reads "
            f"Llama 3's turn markers only; {engine.identity.name} opens a user's turn with "
            f"{engine.markers.user!r}. Set it to `strict`, or give the model the published chat template."
        )


def _in_one_step(
    pairs: Iterable[ImageCaption],
    engine: Engine,
    method: _Method,
    log: ReplyLog | None,
    distinct: "_Distinct",
) -> Iterator[Triplet | Rejection]:
    pending: dict[str, ImageCaption] = {}
    refused: deque[tuple[int, Rejection]] = deque()
    n_asked = 0

    def requests() -> Iterator[Request]:
        nonlocal n_asked
        for pair in pairs:
            reason = method.unusable(pair)
            own = [] if reason else method.requests(pair)
            if not own:
                refused.append((n_asked, Rejection(pair.id, ROOM, reason or "nothing_to_ask")))
            for request in own:
                pending[request.id] = pair
                n_asked += 1
                yield request

    for place, (request, reply) in enumerate(ask(engine, requests(), log)):
        while refused and refused[0][0] <= place:
            yield refused.popleft()[1]
        pair = pending.pop(request.id)
        yield from distinct.of(pair.id, reply.id, method.read(pair, request, reply))
    yield from (rejection for _, rejection in refused)


def _in_two_steps(
    pairs: Iterable[ImageCaption],
    engine: Engine,
    config: SynthesizeConfig,
    log: ReplyLog | None,
    distinct: "_Distinct",
) -> Iterator[Triplet | Rejection]:
    """Ask a few thousand pairs for their first rounds, then for the other answers; one outcome per sample."""
    method, markers = _method(config, engine), engine.markers
    remaining = iter(pairs)
    while some := list(islice(remaining, _HELD)):
        asked = [(pair, request) for pair in some for request in method.requests(pair)]
        replies = ask(engine, (request for _, request in asked), log)
        found = [synthesizer.read_first(reply, markers) for _, reply in replies]
        repeated = {
            request.id: synthesizer.repeat(request, each)
            for (_, request), each in zip(asked, found, strict=True)
            if isinstance(each, Round)
        }
        second = {request.id: reply for request, reply in ask(engine, repeated.values(), log)}
        for (pair, request), each in zip(asked, found, strict=True):
            outcome: Triplet | Rejection
            if isinstance(each, Round):
                reply = second[repeated[request.id].id]
                outcome = synthesizer.read_second(pair, request.id, each, reply, markers)
            else:
                outcome = each
            yield from distinct.of(pair.id, request.id, [outcome])


class _Distinct:
    """Lets each task of a pair pass once, and no text that no file could hold."""

    def __init__(self) -> None:
        self._pair_id = ""
        self._seen: set[tuple[str, str]] = set()

    def of(
        self, pair_id: str, unit: str, outcomes: Sequence[Triplet | Rejection]
    ) -> Iterator[Triplet | Rejection]:
        """Yield what a unit gave, and a rejection in the place of a triplet that must go.

        A unit is a reply, or a pair where nobody is asked. All units of a pair come one after the other.
        """
        if pair_id != self._pair_id:
            self._pair_id, self._seen = pair_id, set()
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Rejection):
                yield replace(outcome, detail=_writable(outcome.detail))
                continue
            reason = self._fault(outcome)
            if reason:
                own = unit if len(outcomes) == 1 else f"{unit}#{place}"
                yield Rejection(own, ROOM, reason, _writable(outcome.instruction))
            else:
                yield outcome
        if not outcomes:
            yield Rejection(unit, ROOM, "no_task")

    def _fault(self, triplet: Triplet) -> str:
        texts = (triplet.instruction, triplet.informative, triplet.precise)
        if any(_writable(text) != text for text in texts):
            return "bad_unicode"
        key = (triplet.instruction, triplet.precise or triplet.informative)
        if key in self._seen:
            return "duplicate_task"
        self._seen.add(key)
        return ""


def _writable(text: str) -> str:
    """Return the text with halves of surrogate pairs, which JSON replies may hold, replaced by `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
