"""The user's recipe: one YAML file, one strict model per room, dotted overrides.

What decides a result stands in the rooms' models; how it is run stands in their `execution` parts and never
changes an identity. Relative paths count from the recipe's folder.
"""

import difflib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from acclimate.compose.stage import ComposeConfig
from acclimate.curate.quality import QualityConfig
from acclimate.curate.stage import CurateConfig
from acclimate.errors import RecipeError
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.files import JSON
from acclimate.ingest.conversations import ConversationSource
from acclimate.ingest.seeds import SeedConfig
from acclimate.ingest.stage import IngestConfig
from acclimate.report.stage import ReportConfig
from acclimate.synthesize.stage import SynthesizeConfig
from acclimate.train.masks import MaskMode
from acclimate.train.stage import TrainConfig


class SynthesizerTraining(TrainConfig):
    """As `train`, with the synthesizer's mask."""

    mask: MaskMode = "continuation"
    epochs: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)


class SynthesizerTuning(BaseModel):
    """How this recipe's own synthesizer is tuned; left out where `synthesize.model` names a tuned one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Folder of the checkpoint that is tuned, or its name on the Hugging Face hub."""
    seeds: SeedConfig
    """The worked examples it learns from."""
    blank_images: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the examples whose picture is replaced by a blank one, chosen by record id."""
    validation: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the examples that tuning is not shown, chosen by record id: for studies of the synthesizer."""
    seed: int = 0
    """Of the choice of blanks and of validation examples, and of the answers' order."""
    train: SynthesizerTraining = SynthesizerTraining()

    def is_kept_out(self, example_id: str) -> bool:
        """Return whether an example is one for validation."""
        return random.Random(f"{self.seed}/validation/{example_id}").random() < self.validation


ONE_ANSWER = ("rules", "text_teacher", "vision_teacher")
"""Generators whose tasks have no precise answer."""


@dataclass(frozen=True, slots=True)
class KeysOf:
    """Marks a mapping whose keys are those of a model: for messages."""

    model: type[BaseModel]


class TrainRecipe(TrainConfig):
    """How the model is post-trained."""

    model: str
    """Folder of the checkpoint that is adapted, or its name on the Hugging Face hub."""
    first_stage: Annotated[dict[str, Any], KeysOf(TrainConfig)] = Field(default_factory=dict)
    """What differs in the first of two stages: keys of this part with other values. What it does not name is
    as in the second."""

    @field_validator("first_stage")
    @classmethod
    def _is_a_training(cls, first: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        others = {
            name: _plain(value) for name, value in info.data.items() if name in TrainConfig.model_fields
        }
        TrainConfig.model_validate(_laid_over(others, first))
        return first

    def of_stage(self, stage: int) -> TrainConfig:
        """Return the training of the first (1) of two stages, or of the second or only one (2)."""
        own = self.model_dump(include=set(TrainConfig.model_fields))
        return TrainConfig.model_validate(_laid_over(own, self.first_stage if stage == 1 else {}))


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.model_dump() if isinstance(value, BaseModel) else value


def _laid_over(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with others in their place; a part below is laid over the part below."""
    result = dict(values)
    for name, value in others.items():
        below = result.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[name] = _laid_over(below, value)
        else:
            result[name] = value
    return result


class Recipe(BaseModel):
    """Everything one run does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "run"
    """Shown in the report."""
    run_dir: str = "run"
    """Folder of artifacts, images and the report; execution, never identity."""
    ingest: IngestConfig | None = None
    """Image-caption pairs, which tasks are made for. Left out where the recipe has `conversations`: it then
    trains on those, and nothing is synthesized."""
    conversations: tuple[ConversationSource, ...] = ()
    """Ready-made conversations; beside pairs they are mixed with the composed ones."""
    synthesizer: SynthesizerTuning | None = None
    general: SeedConfig | None = None
    """Seed examples whose tasks are mixed in as general ones, where compose.tasks asks for any; left out, the
    synthesizer's seeds."""
    synthesize: SynthesizeConfig = SynthesizeConfig()
    curate: CurateConfig = CurateConfig()
    compose: ComposeConfig = ComposeConfig()
    train: TrainRecipe
    evaluate: EvaluateConfig = EvaluateConfig()
    quality: QualityConfig = QualityConfig()
    """How `curate --quality` measures the tasks; decides nothing of the run."""
    report: ReportConfig = ReportConfig()
    limit: int | None = Field(default=None, ge=1)
    """Use only so many rows of every input; every output is then marked as a test."""

    @field_validator("conversations", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:  # noqa: ANN401
        return (value,) if isinstance(value, Mapping) else value

    @property
    def general_seeds(self) -> SeedConfig | None:
        """The seed examples that general tasks are taken from, where the mixture uses any."""
        own = self.synthesizer.seeds if self.synthesizer is not None else None
        return (self.general or own) if self.compose.has_general else None

    @property
    def stages(self) -> frozenset[int]:
        """The training stages that its conversations belong to."""
        composed = {1, 2} if self.compose.mixture == "two_stage" else {1}
        return frozenset(
            (composed if self.ingest is not None else set()) | {c.stage for c in self.conversations}
        )

    @model_validator(mode="after")
    def _names_its_data(self) -> Self:
        if self.ingest is None and not self.conversations:
            raise ValueError(
                "the recipe names no data; add `ingest: {source: ...}` with image-caption pairs, or "
                "`conversations: [{source: ...}]` with ready-made ones"
            )
        if self.ingest is None:
            fields = type(self).model_fields
            parts = ("synthesizer", "general", "synthesize", "curate", "compose")
            idle = [name for name in parts if getattr(self, name) != fields[name].get_default()]
            if idle:
                raise ValueError(
                    f"`{idle[0]}` works on image-caption pairs, and the recipe has none; add `ingest: "
                    f"{{source: ...}}`, or leave out {', '.join(idle)}"
                )
        titles = [each.title for each in self.conversations]
        twice = next((title for title in titles if titles.count(title) > 1), None)
        if twice is not None:
            raise ValueError(f"two sources of conversations are called {twice!r}; give one another `name`")
        return self

    @model_validator(mode="after")
    def _has_its_stages(self) -> Self:
        if len(self.stages) < 2:
            key = "train.first_stage" if self.train.first_stage else "evaluate.after_first_stage"
            if self.train.first_stage or self.evaluate.after_first_stage:
                raise ValueError(
                    f"{key} is set, and there is one stage only; set compose.mixture to two_stage, give "
                    "conversations of stage 1 and of stage 2, or leave it out"
                )
        whole = tuple(each for each in self.conversations if each.ratio is None)
        others = self.model_copy(update={"conversations": whole}).stages
        alone = next((c for c in self.conversations if c.ratio is not None and c.stage not in others), None)
        if alone is not None:
            raise ValueError(
                f"conversations {alone.title!r} have a ratio, which counts per other conversation of stage "
                f"{alone.stage}, and nothing else is of that stage; leave the ratio out, or set their stage"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.synthesize.generator == "general_task" and not self.compose.has_general:
            raise ValueError(
                "synthesize.generator is general_task, so all tasks are those of the seed examples, and the "
                "mixture uses none of them; set compose.tasks to `general`, and no compose.mixture without "
                "tasks"
            )
        reliance, generator = self.curate.reliance, self.synthesize.generator
        if reliance is not None and reliance.answer == "precise" and generator in ONE_ANSWER:
            raise ValueError(
                f"curate.reliance measures precise answers, and synthesize.generator {generator} writes one "
                "answer only, which is the informative one; set curate.reliance.answer to informative"
            )
        if self.compose.has_general and self.general is None and self.synthesizer is None:
            raise ValueError(
                "compose.tasks uses general tasks, but the recipe names no seed examples; add `general: "
                "{source: ...}`"
            )
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides of the form `key.sub=value` (values are YAML).

    Raises:
        RecipeError: the file is missing or not YAML, a key is unknown (the nearest known one is named), or a
            value is not allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RecipeError(f"There is no recipe at {path}; `acclimate init FOLDER` writes one.") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not a recipe: a YAML text file is needed.") from error
    except OSError as error:
        raise RecipeError(f"The recipe {path} cannot be read ({error.strerror}); check the path.") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise RecipeError(f"{path} is not valid YAML{where}: {problem}.") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path} is not a recipe: it must hold keys such as `ingest:` and `train:`.")
    for each in overrides:
        _override(data, each)
    return validated(data, str(path))


def validated(data: dict[str, Any], where: str) -> Recipe:
    """Return the recipe of plain data, or raise RecipeError with every fault in one paragraph."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        faults = [_fault(each) for each in error.errors()]
        raise RecipeError(f"{where}: " + "; ".join(faults) + ".") from error


def _override(data: dict[str, Any], text: str) -> None:
    key, found, value = text.partition("=")
    if not found or not key:
        raise RecipeError(f"{text!r} is not an override; write key.sub=value, for instance train.epochs=2.")
    *parents, last = key.split(".")
    level = data
    for part in parents:
        below = level.setdefault(part, {})
        if not isinstance(below, dict):
            raise RecipeError(f"{text!r}: {part} is a value in the recipe and has nothing below it.")
        level = below
    try:
        level[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"{text!r}: the value is not valid YAML.") from error


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Recipe
    for part in location:
        if isinstance(part, int):  # an entry of a list is as the list says
            continue
        field = model.model_fields.get(part) if model else None
        if field is None:
            return None
        marked = [mark.model for mark in field.metadata if isinstance(mark, KeysOf)]
        options = [*marked, field.annotation, *get_args(field.annotation)]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return model


def _known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name in model.model_fields:
        keys.append(prefix + name)
        below = _model_at(tuple((prefix + name).split(".")))
        if below is not None:
            keys += _known_keys(below, f"{prefix}{name}.")
    return keys


def _fault(error: Any) -> str:  # noqa: ANN401
    location: tuple[int | str, ...] = error["loc"]
    key = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        nearest = _nearest_key(location)
        if nearest:
            return f"unknown key {key!r} (did you mean {nearest!r}?)"
        model = _model_at(location[:-1])
        return f"unknown key {key!r}; known here: {', '.join(sorted(model.model_fields if model else ()))}"
    if error["type"] == "missing":
        return f"the key {key!r} is missing"
    said = " ".join(error["msg"].removeprefix("Value error, ").split())
    return f"{key}: {said}" if key else said


def _nearest_key(location: tuple[int | str, ...]) -> str | None:
    """Return the known key an unknown one was most likely meant to be.

    A slip of the pen beside it, else the same name elsewhere (the part nearest to where it stands), else
    whatever beside it looks a little like it. Source: our own rule.
    """
    *parents, wrong = map(str, location)
    model = _model_at(location[:-1])
    beside = list(model.model_fields) if model else []

    def like(cutoff: float) -> list[str]:
        near = difflib.get_close_matches(wrong, beside, n=1, cutoff=cutoff)
        return [".".join([*parents, *near])] if near else []

    def distance(known: str) -> tuple[int, int]:
        parts = known.split(".")
        shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(parts, parents, strict=False)))
        return -shared, len(parts)

    same = [known for known in _known_keys(Recipe) if known.split(".")[-1] == wrong]
    found = like(0.75) or sorted(same, key=distance) or like(0.5)
    return found[0] if found else None


def identity(config: BaseModel, *without: str) -> dict[str, JSON]:
    """Return a room's config as plain data, without its `execution` parts and the named keys."""

    def stripped(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {k: stripped(v) for k, v in value.items() if k not in ("execution", *without)}
        return [stripped(each) for each in value] if isinstance(value, list) else value

    result: dict[str, JSON] = stripped(config.model_dump(mode="json"))
    return result


def recipe_text(recipe: Recipe) -> str:
    """Return the recipe with every value spelled out, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
