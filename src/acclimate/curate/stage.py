"""The door of curate: every triplet gets the consistency judge's verdict; dropping is compose's choice."""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.artifacts import ReplyLog
from acclimate.curate.consistency import CHOICES, SHORT_FORM, SLOTS, label, probabilities, prompt
from acclimate.engines.ask import ask_choices
from acclimate.engines.open import EngineExecution
from acclimate.engines.protocol import ChoiceRequest, Engine, Message
from acclimate.records import JudgedTriplet, Triplet

VERSION = 1


class CurateConfig(BaseModel):
    """Who judges, by which prompt, and from which probability on a triplet counts as consistent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge: str = "base"
    """Folder of the judging model, or `base`: the model that is to be trained."""
    prompt: str = SHORT_FORM
    """The prompt, with the slots {instruction}, {informative} and {precise}."""
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Least probability of Yes."""
    margin: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least lead of Yes over both other choices."""
    execution: EngineExecution = EngineExecution()

    @field_validator("prompt")
    @classmethod
    def _has_every_slot(cls, form: str) -> str:
        missing = [slot for slot in SLOTS if slot not in form]
        if missing:
            raise ValueError(f"the judge's prompt has no {missing[0]}, so it would judge without that text")
        return form


def curate(
    triplets: Iterable[Triplet], engine: Engine, config: CurateConfig, *, log: ReplyLog | None
) -> Iterator[JudgedTriplet]:
    """Yield one judged triplet per triplet, in their order."""
    pending: dict[str, Triplet] = {}

    def requests() -> Iterator[ChoiceRequest]:
        for triplet in triplets:
            pending[triplet.id] = triplet
            text = prompt(config.prompt, triplet.instruction, triplet.informative, triplet.precise)
            yield ChoiceRequest(triplet.id, (Message("user", text),), CHOICES)

    for request, reply in ask_choices(engine, requests(), log):
        triplet = pending.pop(request.id)
        p = probabilities(reply.log_probabilities)
        yield JudgedTriplet(
            id=triplet.id,
            pair_id=triplet.pair_id,
            instruction=triplet.instruction,
            informative=triplet.informative,
            precise=triplet.precise,
            generator=triplet.generator,
            label=label(p, config.threshold, config.margin),
            p_consistent=p[0],
            p_inconsistent=p[1],
            p_open=p[2],
            judge=engine.identity.digest,
            reply_id=triplet.reply_id,
            kind=triplet.kind,
            turn=triplet.turn,
        )
