"""Where steps are built: engines opened one at a time, progress told, outcomes sorted and counted."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from acclimate import artifacts
from acclimate.artifacts import Outcome, ReplyLog, Step
from acclimate.engines.keys import Keys
from acclimate.engines.open import engine_identity, open_engine
from acclimate.engines.protocol import Engine
from acclimate.engines.spec import EngineExecution, EngineSpec, spec_of
from acclimate.engines.spending import Accounts, Usage
from acclimate.errors import RecipeError
from acclimate.files import JSON, ImageStore
from acclimate.records import Rejection

_T = TypeVar("_T")


class Progress(Protocol):
    """Told how the work goes."""

    def start(self, step: str, total: int | None) -> None:
        """A step begins; `total` units of work are known, or not."""
        ...

    def advance(self, step: str, done: int, note: str = "") -> None:
        """So many units are done."""
        ...

    def say(self, text: str) -> None:
        """Something worth reading before the work goes on; one line or several."""
        ...

    def end(self, step: str, *, reused: bool) -> None:
        """A step's artifact stands."""
        ...


class Silent:
    """Says nothing."""

    def start(self, step: str, total: int | None) -> None:
        """Say nothing."""

    def advance(self, step: str, done: int, note: str = "") -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def end(self, step: str, *, reused: bool) -> None:
        """Say nothing."""


@dataclass(slots=True)
class Engines:
    """Opens engines, one at a time: a second model is loaded only after the first has gone."""

    store: ImageStore
    cache: Path
    opened: dict[str, Engine] = field(default_factory=dict)
    substitute: Callable[[Path], Engine] | None = None
    """Tests put a fake here; it answers for every folder."""
    keys: Keys | None = None
    """Where API keys are read; None has none."""
    accounts: Accounts = field(default_factory=Accounts)
    """What servers have taken."""

    def identity(self, spec: EngineSpec) -> str:
        """Return the digest of what decides the model's replies."""
        if self.substitute is not None:
            return self.substitute(Path(spec.model)).identity.digest
        return engine_identity(spec, self.cache).digest

    def open(self, spec: EngineSpec, execution: EngineExecution) -> Engine:
        """Return the engine that a spec names."""
        if self.substitute is not None:
            return self.substitute(Path(spec.model))
        key = f"{spec.model_dump_json()}\0{execution.model_dump_json()}"
        if key not in self.opened:
            self.opened.clear()
            gc.collect()
            self.opened[key] = open_engine(spec, self.store, execution, self.cache, self.keys, self.accounts)
        return self.opened[key]


@dataclass(frozen=True, slots=True)
class Model:
    """A model a step uses: what the recipe names, or what another step makes."""

    spec: EngineSpec | None = None
    step: Step | None = None

    @classmethod
    def named(cls, name: str | Mapping[str, Any], base: Path, key: str) -> "Model":
        """Return what a recipe's value means.

        Args:
            base: what folders count from. key: where the recipe names it, for messages.

        Raises:
            RecipeError: it means no model.
        """
        try:
            return cls(spec_of(name, base))
        except RecipeError as error:
            raise RecipeError(f"{key}: {error}") from None

    @classmethod
    def checkpoint(cls, name: str, base: Path, key: str) -> "Model":
        """Return a model that is to be trained; as `named`.

        Raises:
            RecipeError: it means no model, or one on a server.
        """
        spec = spec_of(name, base)
        if spec.engine != "transformers":
            raise RecipeError(
                f"{key}: the model {spec.model} stands on a server and cannot be trained; name a "
                "checkpoint's folder."
            )
        return cls(spec)

    def at(self, root: Path) -> EngineSpec:
        """Return what engine the model is; its step must be finished."""
        if self.step is not None:
            return EngineSpec(model=str(artifacts.home_of(self.step, root) / "checkpoint"))
        if self.spec is None:
            raise RecipeError("The recipe names no model here.")
        return self.spec

    def folder(self, root: Path) -> Path:
        """Return the checkpoint's folder, for training; its step must be finished."""
        return Path(self.at(root).model)


@dataclass(slots=True)
class Place:
    """Where steps are built, and who is told."""

    root: Path
    store: ImageStore
    engines: Engines
    progress: Progress
    _before: dict[tuple[str, str], Usage] | None = None
    """What servers had taken when the step that is being built began; None: nothing."""

    def begin(self) -> None:
        """Count what servers take from here on: for the next step."""
        self._before = self.engines.accounts.usages()

    def open(self, model: Model, execution: EngineExecution) -> tuple[Engine, ReplyLog]:
        """Return the engine of a model, and the log of the replies it has given in this folder."""
        engine = self.engines.open(model.at(self.root), execution)
        return engine, ReplyLog(self.root / "replies" / engine.identity.digest[:16])

    def how(self, execution: BaseModel) -> dict[str, JSON]:
        """Return how a step was run, and what servers took for it in this command, for run.json."""
        spent = self.engines.accounts.since(self._before or {})
        served: list[JSON] = [
            {
                "model": name,
                "requests": each.n_answers + each.n_retries,
                "prompt_tokens": each.prompt_tokens,
                "reply_tokens": each.reply_tokens,
                "lost_tokens": each.lost_tokens,
                "money": each.money,
            }
            for name, each in spent
        ]
        return {**how(execution), "served": served} if served else how(execution)

    def needs(self, model: Model) -> tuple[dict[str, Step], dict[str, str]]:
        """Return what a step that uses the model says of it: an input, or an engine's identity."""
        if model.step is not None:
            return {"model": model.step}, {}
        return {}, {"model": self.engines.identity(model.at(self.root))}

    def tracked(self, step: str, outcomes: Iterable[_T], total: int | None) -> Iterator[_T]:
        """Yield the outcomes and tell how many there have been."""
        self.progress.start(step, total)
        for count, outcome in enumerate(outcomes, start=1):
            self.progress.advance(step, count)
            yield outcome


def sorted_out(outcomes: Iterable[_T | Rejection], kind: type[_T]) -> tuple[list[_T], list[Rejection]]:
    """Return records and rejections, each sorted by id: the order of the input shows nowhere."""
    good: list[_T] = []
    bad: list[Rejection] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            bad.append(outcome)
        elif isinstance(outcome, kind):
            good.append(outcome)
    good.sort(key=lambda record: record.id)  # type: ignore[attr-defined]
    return good, sorted(bad, key=lambda rejection: (rejection.id, rejection.reason))


def reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    """Return how often each reason occurs."""
    return dict(sorted(Counter(each.reason for each in rejections).items()))


def counted(inputs: int, outputs: int, rejections: Sequence[Rejection], **further: int) -> Outcome:
    """Return a step's outcome: its inputs, its outputs, and why inputs were rejected.

    Args:
        further: other counts by name; those of nothing are left out.
    """
    there = {name: count for name, count in further.items() if count}
    return Outcome({"inputs": inputs, "outputs": outputs, **there}, reasons(rejections))


def how(execution: BaseModel) -> dict[str, JSON]:
    """Return how a step was run, for run.json: rows and threads decide the last bits of a model's numbers."""
    facts: dict[str, JSON] = {"execution": execution.model_dump(mode="json")}
    return facts
