"""The door of curate: every triplet gets a verdict on its consistency; dropping is compose's choice."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.artifacts import ReplyLog
from acclimate.curate.consistency import CHOICES, SHORT_FORM, SLOTS, label, probabilities, prompt
from acclimate.curate.long_form import LONG_FORM
from acclimate.curate.reliance import RelianceConfig
from acclimate.curate.self_consistency import SelfConsistency, answer_requests, shares
from acclimate.engines.ask import ask, ask_choices
from acclimate.engines.protocol import ChoiceRequest, Engine, Message, Request
from acclimate.engines.spec import EngineExecution, require_model
from acclimate.errors import DataError, UsageError
from acclimate.records import ImageRef, JudgedTriplet, Label, Triplet

VERSION = 2

NO_JUDGE = "none"
FORMS: Mapping[str, str] = {"short": SHORT_FORM, "long": LONG_FORM}
"""The prompts that have a name."""


class CurateConfig(BaseModel):
    """Who judges, how, and from which probability on a triplet counts as consistent."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    judge: str | dict[str, Any] = "base"
    """The judging model: a checkpoint's folder, `openai:NAME@URL` or a mapping (docs/engines.md); `base`: the
    model that is to be trained; `none`: nobody judges, and every label is `unjudged`."""
    method: Literal["prompt", "self_consistency"] = "prompt"
    """`prompt`: the judge reads both answers and says whether they agree. `self_consistency`: it sees the
    picture, answers the instruction several times, and its answers are compared with the precise one."""
    prompt: str = "short"
    """`short`: the three texts alone, as the lab's models are trained; `long`: the rule in words and six
    decided cases; or a text of your own with the slots {instruction}, {informative} and {precise}."""
    self_consistency: SelfConsistency = SelfConsistency()
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Least probability of Yes, or least share of sampled answers that agree."""
    margin: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least lead of Yes over both other choices."""
    reliance: RelianceConfig | None = None
    """How much every judged task needs its picture; None does not measure it."""
    execution: EngineExecution = EngineExecution()

    @field_validator("judge")
    @classmethod
    def _is_a_model(cls, judge: str | dict[str, Any]) -> str | dict[str, Any]:
        return judge if judge in ("base", NO_JUDGE) else require_model(judge)

    @field_validator("prompt")
    @classmethod
    def _has_every_slot(cls, form: str) -> str:
        missing = [slot for slot in SLOTS if slot not in FORMS.get(form, form)]
        if missing:
            raise ValueError(
                f"the judge's prompt has no {missing[0]}, so it would judge without that text; write "
                "`short`, `long`, or a text with all three slots"
            )
        return form

    @property
    def form(self) -> str:
        """The prompt's text, slots included."""
        return FORMS.get(self.prompt, self.prompt)

    @property
    def needs_judge(self) -> bool:
        """Whether the door needs an engine."""
        return self.judge != NO_JUDGE

    def decisive(self) -> "CurateConfig":
        """Return this config with what its method does not read at its default.

        Two configs that differ only in such parts then have the same identity.
        """
        plain = CurateConfig()
        idle = ["prompt"] if self.method == "self_consistency" else ["self_consistency"]
        if not self.needs_judge:
            idle = ["method", "prompt", "self_consistency", "threshold", "margin"]
        return self.model_copy(update={name: getattr(plain, name) for name in idle})

    @property
    def needs_images(self) -> bool:
        """Whether the door needs the pairs' pictures."""
        return self.needs_judge and self.method == "self_consistency"


def curate(
    triplets: Iterable[Triplet],
    engine: Engine | None,
    config: CurateConfig,
    *,
    log: ReplyLog | None,
    images: Mapping[str, ImageRef] | None = None,
) -> Iterator[JudgedTriplet]:
    """Yield one judged triplet per triplet, in their order.

    A task with one answer only has nothing to compare: it is `unjudged`, and no request is made for it.

    Args:
        engine: the judge; not used with judge `none`.
        images: the picture of every pair by its id; used by `self_consistency` only.

    Raises:
        UsageError: the configuration needs a judge or pictures, and none were given.
        DataError: a triplet's pair has no picture among `images`.
        EngineError: as for `ask`.
    """
    if not config.needs_judge:
        yield from (_unjudged(triplet) for triplet in triplets)
        return
    if engine is None:
        raise UsageError(
            f"curate.judge is {config.judge!r}, but no engine was opened for it. Open one, or set "
            f"curate.judge to {NO_JUDGE}."
        )
    if config.method == "prompt":
        yield from _by_prompt(triplets, engine, config, log)
        return
    if images is None:
        raise UsageError(
            "curate.method is self_consistency, which answers from the pictures, but no pictures were given. "
            "Pass the pairs' pictures, or set curate.method to prompt."
        )
    yield from _by_answers(triplets, engine, config, log, images)


def planned(
    triplets: Iterable[Triplet], config: CurateConfig, images: Mapping[str, ImageRef]
) -> Iterator[Request | ChoiceRequest]:
    """Yield what the judge would be asked, without asking: for estimates of cost."""
    for triplet in triplets if config.needs_judge else ():
        if not triplet.precise:
            continue
        if config.method == "prompt":
            yield _question(triplet, config)
        else:
            yield from answer_requests(triplet, images[triplet.pair_id], config.self_consistency)


def _question(triplet: Triplet, config: CurateConfig) -> ChoiceRequest:
    text = prompt(config.form, triplet.instruction, triplet.informative, triplet.precise)
    return ChoiceRequest(triplet.id, (Message("user", text),), CHOICES)


def _by_prompt(
    triplets: Iterable[Triplet], engine: Engine, config: CurateConfig, log: ReplyLog | None
) -> Iterator[JudgedTriplet]:
    waiting: deque[Triplet] = deque()

    def requests() -> Iterator[ChoiceRequest]:
        for triplet in _listed(triplets, waiting):
            yield _question(triplet, config)

    for _, reply in ask_choices(engine, requests(), log):
        yield from _unjudged_first(waiting)
        yield _judged(waiting.popleft(), probabilities(reply.log_probabilities), engine, config)
    yield from _unjudged_first(waiting)


def _by_answers(
    triplets: Iterable[Triplet],
    engine: Engine,
    config: CurateConfig,
    log: ReplyLog | None,
    images: Mapping[str, ImageRef],
) -> Iterator[JudgedTriplet]:
    waiting: deque[Triplet] = deque()

    def requests() -> Iterator[Request]:
        for triplet in _listed(triplets, waiting):
            if triplet.pair_id not in images:
                raise DataError(
                    f"Task {triplet.id} belongs to pair {triplet.pair_id}, which is not among the pairs "
                    "given, so there is no picture to answer it from. Curate with the pairs that the tasks "
                    "were made from."
                )
            yield from answer_requests(triplet, images[triplet.pair_id], config.self_consistency)

    said: list[str] = []
    for _, reply in ask(engine, requests(), log):
        said.append(reply.text)
        if len(said) == config.self_consistency.k:
            yield from _unjudged_first(waiting)
            triplet = waiting.popleft()
            yield _judged(triplet, shares(said, triplet.precise), engine, config)
            said = []
    yield from _unjudged_first(waiting)


def _listed(triplets: Iterable[Triplet], waiting: deque[Triplet]) -> Iterator[Triplet]:
    """Note every triplet and yield those that can be judged."""
    for triplet in triplets:
        waiting.append(triplet)
        if triplet.precise:
            yield triplet


def _unjudged_first(waiting: deque[Triplet]) -> Iterator[JudgedTriplet]:
    """Take out and yield what stands before the next judged triplet: replies come in input order."""
    while waiting and not waiting[0].precise:
        yield _unjudged(waiting.popleft())


def _unjudged(triplet: Triplet) -> JudgedTriplet:
    return _with_verdict(triplet, "unjudged", (0.0, 0.0, 0.0), "")


def _judged(
    triplet: Triplet, p: tuple[float, float, float], engine: Engine, config: CurateConfig
) -> JudgedTriplet:
    verdict = label(p, config.threshold, config.margin)
    return _with_verdict(triplet, verdict, p, engine.identity.digest)


def _with_verdict(
    triplet: Triplet, verdict: Label, p: tuple[float, float, float], judge: str
) -> JudgedTriplet:
    return JudgedTriplet(
        id=triplet.id,
        pair_id=triplet.pair_id,
        instruction=triplet.instruction,
        informative=triplet.informative,
        precise=triplet.precise,
        generator=triplet.generator,
        label=verdict,
        p_consistent=p[0],
        p_inconsistent=p[1],
        p_open=p[2],
        judge=judge,
        reply_id=triplet.reply_id,
        kind=triplet.kind,
        turn=triplet.turn,
    )
