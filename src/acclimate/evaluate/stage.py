"""The door of the evaluation room: items and an engine in, predictions out; predictions in, scores out."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask
from acclimate.engines.protocol import Engine, Message, Request, Sampling
from acclimate.errors import BenchmarkError
from acclimate.evaluate.benchmark import MAX_TOKENS_BY_KIND
from acclimate.evaluate.catalogue import DATA_FOLDER
from acclimate.evaluate.conditions import (
    ORIGINAL,
    Condition,
    ItemKey,
    covered_items,
    expanded,
    parted,
    shown_images,
)
from acclimate.evaluate.judge import JudgeConfig
from acclimate.evaluate.scorers import primary_scorer, scorers_for
from acclimate.files import ImageStore
from acclimate.records import ImageRef, Item, Mark, Prediction, Score

VERSION = 2
"""Rises when the same config and inputs come to give other predictions or scores."""


_TAKEN = ("base", "first_stage", "captions", "adapted")


class Further(BaseModel):
    """A further model that is asked the same questions: a baseline, or one arm of an ablation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """What it is called in files and keys (`macro/ROLE/original`)."""
    model: str | Mapping[str, Any]
    """A checkpoint's folder, a name on the hub, or a model on a server."""
    name: str = ""
    """As it is printed; empty takes the role."""
    differs: str = ""
    """In what its recipe differs from this one, in a few words: it then stands in the table of ablations;
    empty for a baseline."""

    @property
    def printed(self) -> str:
        """The name to print."""
        return self.name or self.role


class EvaluateConfig(BaseModel):
    """What is asked, and under which conditions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmarks: tuple[str, ...] = ()
    """YAML files, or names of published benchmarks; none: held-out captions and tasks are scored."""
    data: str = DATA_FOLDER
    """Folder of the published benchmarks' files, beside the recipe: they lie in `DATA/NAME` or in it."""
    conditions: tuple[Condition, ...] = ("original", "mismatch", "blank")
    """What stands beside the question: its own picture, another question's, one made from it, or none.
    `mismatch.1` and so on are replicates; `conditions.CONDITIONS` has the names. `fog`, `corruptions:15_3`
    and other words for several (`conditions.SHORTHAND`) are written out: identity is that of the list."""
    seed: int = 0
    """Of donors and drawn pictures; the intervals have their own in the report."""
    limit: int | None = Field(default=None, ge=1)
    """Rows per benchmark, for tests only; every output says so."""
    max_tokens: Mapping[str, int] = Field(default_factory=dict)
    """Longest reply per score row (`vqa_rad_open`), where the benchmark's own length is not wanted."""
    caption_question: str = "Describe the image."
    """Asked of held-out pictures where there is no benchmark."""
    caption_max_tokens: int = Field(default=96, ge=1)
    """Longest caption asked for, in tokens."""
    judge: str | Mapping[str, Any] | None = None
    """The model that marks answers of the benchmarks that need a judge (LLaVA-Bench, MM-Vet)."""
    judging: JudgeConfig = JudgeConfig()
    """How it is asked."""
    log_likelihood: bool = False
    """Whether it is also measured how likely right answers are, with their own picture and with others'
    (`VRS_ll`), under the `conditions` that exchange pictures. Needs an engine that scores given texts."""
    after_first_stage: bool = False
    """Whether the checkpoint of the first of two training stages is scored too: what it gained, and what the
    second stage forgot."""
    further: tuple[Further, ...] = ()
    """Models that stand beside base and adapted in the report."""

    @field_validator("further")
    @classmethod
    def _roles_differ(cls, given: tuple[Further, ...]) -> tuple[Further, ...]:
        taken = list(_TAKEN)
        for each in given:
            if each.role in taken:
                raise ValueError(f"two models would have the role {each.role!r}; give one another")
            taken.append(each.role)
        return given

    @field_validator("conditions", mode="before")
    @classmethod
    def _written_out(cls, given: object) -> object:
        if isinstance(given, list | tuple) and all(isinstance(each, str) for each in given):
            return expanded(given)
        return given


def predict(
    items: Sequence[Item],
    engine: Engine,
    config: EvaluateConfig,
    *,
    model: str,
    store: ImageStore,
    log: ReplyLog | None,
    max_tokens_by_benchmark: Mapping[str, int] | None = None,
    only: Container[ItemKey] | None = None,
) -> Iterator[Prediction]:
    """Yield one prediction per condition and item, in the order asked: all questions on one picture together.

    So a picture is encoded once, however many questions and conditions show it, and however many pictures
    there are; `in_order` sorts what comes out.

    Args:
        items: of any number of benchmarks; (benchmark, id) is unique.
        engine: asked greedily, zero-shot: one user turn with the picture before the question.
        config: which conditions.
        model: the model's role in the run: `base`, `first_stage` or `adapted`; it changes no prompt and no
            donor.
        store: gives the pictures, and takes those that conditions make.
        log: replays replies of an earlier, interrupted run.
        max_tokens_by_benchmark: longest replies that the benchmarks themselves ask for; the config's win.
        only: benchmark and id of the items that are asked; None asks all. Donors are those of all items.

    Raises:
        BenchmarkError: an item stands twice, or a condition is impossible for one of the benchmarks.
    """
    _item_by_key(items)
    lengths = {**(max_tokens_by_benchmark or {}), **config.max_tokens}
    # All pictures are chosen before the first question is asked: an impossible condition costs nothing.
    shown = {
        each: shown_images(items, each, seed=config.seed, store=store)
        for each in dict.fromkeys(config.conditions)
    }
    asked: dict[str, tuple[Item, str, ImageRef | None]] = {}

    def requests() -> Iterator[Request]:
        for condition, item, image in by_picture(items, shown):
            if only is not None and (item.benchmark, item.id) not in only:
                continue
            request = _request(item, condition, image, lengths)
            asked[request.id] = (item, condition, image)
            yield request

    for request, reply in ask(engine, requests(), log):
        item, condition, image = asked.pop(request.id)
        yield Prediction(
            item_id=item.id,
            benchmark=item.benchmark,
            model=model,
            condition=condition,
            image=image,
            text=reply.text,
            finish_reason=reply.finish_reason,
        )


def by_picture(
    items: Sequence[Item], shown: Mapping[Condition, Mapping[ItemKey, ImageRef | None]]
) -> list[tuple[Condition, Item, ImageRef | None]]:
    """Return every question under every condition, those that show one picture together, else in order.

    A condition may leave items out; they are not asked under it.
    """
    asked = [
        (condition, item, images[item.benchmark, item.id])
        for condition, images in shown.items()
        for item in items
        if (item.benchmark, item.id) in images
    ]
    places: dict[str, int] = {}
    for _, _, image in asked:
        places.setdefault("" if image is None else image.sha256, len(places))
    return sorted(asked, key=lambda each: places["" if each[2] is None else each[2].sha256])


def in_order(
    predictions: Iterable[Prediction], items: Sequence[Item], conditions: Sequence[str]
) -> list[Prediction]:
    """Return predictions with conditions outermost, items in the given order."""
    places = {(item.benchmark, item.id): at for at, item in enumerate(items)}
    turns = {condition: at for at, condition in enumerate(dict.fromkeys(conditions))}
    return sorted(predictions, key=lambda each: (turns[each.condition], places[each.benchmark, each.item_id]))


def _request(item: Item, condition: str, image: ImageRef | None, lengths: Mapping[str, int]) -> Request:
    max_tokens = lengths.get(item.benchmark, MAX_TOKENS_BY_KIND[item.kind])
    message = Message("user", item.question, () if image is None else (image,))
    name, replicate = parted(condition)
    return Request(
        id=f"{item.benchmark}/{item.id}/{condition}",
        messages=(message,),
        sampling=Sampling(max_tokens=max_tokens),
        # The same question again is asked again, not answered from the log.
        sample=replicate if name == ORIGINAL else 0,
    )


def score(
    items: Sequence[Item],
    predictions: Iterable[Prediction],
    scorers_by_benchmark: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Score]:
    """Yield every scorer's mark of every prediction, by model, condition and benchmark in order of coming.

    Args:
        scorers_by_benchmark: which scorers, where other than the usual ones of a benchmark's kind.

    Raises:
        BenchmarkError: a prediction has no item, stands twice, or a model and condition answered
            another set of items than the condition covers (`conditions.covered_items`: all of them but for
            `mismatch_contrast`). Then nothing was missed in silence.
    """
    item_by_key = _item_by_key(items)
    answered: dict[tuple[str, str], set[ItemKey]] = defaultdict(set)
    tables: dict[tuple[str, str, str], list[tuple[Item, Prediction]]] = defaultdict(list)
    for prediction in predictions:
        key = (prediction.benchmark, prediction.item_id)
        where = f"{prediction.benchmark}/{prediction.item_id} ({prediction.model}, {prediction.condition})"
        if key not in item_by_key:
            raise BenchmarkError(
                f"the prediction {where} belongs to no item; build predictions and items together"
            )
        if key in answered[prediction.model, prediction.condition]:
            raise BenchmarkError(f"the prediction {where} stands twice; build the predictions again")
        answered[prediction.model, prediction.condition].add(key)
        table = tables[prediction.model, prediction.condition, prediction.benchmark]
        table.append((item_by_key[key], prediction))
    covered = {condition: covered_items(items, condition) for condition in {each for _, each in answered}}
    for (model, condition), keys in answered.items():
        if keys != covered[condition]:
            _, first = min((key in keys, key) for key in keys ^ covered[condition])
            what = "one too many" if first in keys else "the first missing one"
            raise BenchmarkError(
                f"{model} under {condition} answered {len(keys)} items and not the {len(covered[condition])} "
                f"that it covers; {what} is {'/'.join(first)}; build the predictions again"
            )
    for table in tables.values():
        yield from score_table(table, (scorers_by_benchmark or {}).get(table[0][0].benchmark, ()))


def score_table(table: Sequence[tuple[Item, Prediction]], scorers: Sequence[str] = ()) -> Iterator[Score]:
    """Yield every scorer's marks of one benchmark's answers by one model under one condition.

    Args:
        scorers: their names; none means the usual ones of the items' kind.
    """
    items = [item for item, _ in table]
    texts = [prediction.text for _, prediction in table]
    for scorer in scorers_for(items[0].kind, scorers):
        for (item, prediction), mark in zip(table, scorer.marks(items, texts), strict=True):
            if mark.value is not None:
                yield score_of(item, prediction, scorer.name, mark)


def score_of(item: Item, prediction: Prediction, scorer: str, mark: Mark) -> Score:
    """Return a mark as the score of a prediction."""
    return Score(
        item_id=item.id,
        benchmark=item.benchmark,
        model=prediction.model,
        condition=prediction.condition,
        scorer=scorer,
        value=mark.value or 0.0,
        parsed=mark.parsed,
        reason=mark.reason,
        cluster=item.cluster,
        parts=mark.parts,
        subsets=item.subsets,
    )


def primary_by_benchmark(
    items: Iterable[Item], scorers_by_benchmark: Mapping[str, Sequence[str]] | None = None
) -> Mapping[str, str]:
    """Return the name of each benchmark's primary scorer.

    Raises:
        BenchmarkError: items of several kinds stand under one benchmark's name.
    """
    primary: dict[str, str] = {}
    for item in items:
        name = primary_scorer(item.kind, (scorers_by_benchmark or {}).get(item.benchmark, ()))
        if primary.setdefault(item.benchmark, name) != name:
            raise BenchmarkError(
                f"benchmark {item.benchmark} mixes kinds of questions; give each kind its own name"
            )
    return primary


def _item_by_key(items: Iterable[Item]) -> Mapping[ItemKey, Item]:
    by_key: dict[ItemKey, Item] = {}
    for item in items:
        key = (item.benchmark, item.id)
        if key in by_key:
            raise BenchmarkError(
                f"benchmark {item.benchmark} has the item {item.id} twice; "
                "two benchmark files must not share a name"
            )
        by_key[key] = item
    return by_key
