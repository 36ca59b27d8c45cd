"""The door of compose: pairs and judged triplets become the conversations that are trained on."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from acclimate.compose.conclusions import Merge
from acclimate.compose.dialogue import Group, grouped
from acclimate.compose.general import GeneralData, drawn
from acclimate.compose.pictures import Pictures, pictured
from acclimate.compose.tasks import (
    Answers,
    CaptionQuestions,
    TaskStyle,
    caption_comes_first,
    caption_turns,
    missing_answer,
    task_turns,
)
from acclimate.errors import DataError
from acclimate.records import (
    Conversation,
    ImageCaption,
    JudgedTriplet,
    Label,
    Rejection,
    Turn,
    content_id,
)

VERSION = 3
ROOM = "compose"


class ComposeConfig(BaseModel):
    """What goes into the mixture, and how it is worded.

    The arms of AdaMLLM's Table 5, each against the defaults: without the filter `answers: precise` or
    `answers: informative`, with every label in `keep`; without synthetic task `mixture: captions_only`;
    without image caption `mixture: tasks_only`; general task and domain caption `tasks: general`; general
    task alone both of the last two. The other pipeline of Table 4 is `mixture: two_stage`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: tuple[Label, ...] = ("consistent", "unjudged")
    """Verdicts whose triplets are used. `unjudged` are triplets that no judge has seen: of methods that write
    one answer only, or of a line without a judge. An arm without the filter keeps all four labels."""
    mixture: Literal["single_stage", "two_stage", "captions_only", "tasks_only"] = "single_stage"
    """`single_stage`: caption task and synthetic task in one conversation. `two_stage`: caption tasks in
    stage 1, other tasks in stage 2, each in a conversation of its own."""
    answers: Answers = "reasoned"
    """`reasoned`: both answers, merged so that the reasons stand before the conclusion; `precise` or
    `informative`: that answer alone."""
    tasks: Literal["synthetic", "general", "both"] = "synthetic"
    """Whose tasks are used: of the domain's pairs, of the general data, or both. General tasks are about
    other pictures, so they are conversations of their own, without a caption."""
    general_ratio: float | None = Field(default=None, ge=0.0)
    """General conversations per domain pair in the mixture, at most as many as there are; None uses all."""
    merge: Merge = "strict"
    """`strict`: conclusions are found by whole words, reasons always stand before the answer. `paper`: the
    published test and shapes of wordings, in which 43 % of the joined and 19 % of the other tasks are turned
    round or leave the answer out."""
    bare: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability that an instruction is asked as it stands, as benchmarks ask; otherwise its wording is any
    of the pool's. The published pools have their own share of it, so `merge: paper` does not read this."""
    caption_questions: CaptionQuestions = "brief"
    """How captions are asked for. `domain`: in the terms of `domain`; `dish`: the captions are cooking
    recipes; `mixed`: in detail from 30 words on and else briefly, half of them in the terms of `domain` if
    it is named."""
    domain: str = ""
    """The field as it stands in a sentence: `medicine`, `cooking`, `cell biology`."""
    pictures: Pictures = "own"
    """`shuffled` gives every pair another pair's picture: a control that shows what the texts alone teach."""
    seed: int = 0

    @field_validator("domain")
    @classmethod
    def _is_one_phrase(cls, domain: str) -> str:
        return " ".join(domain.split())

    @model_validator(mode="after")
    def _fits_together(self) -> "ComposeConfig":
        if self.caption_questions == "domain" and not self.domain:
            raise ValueError(
                "caption_questions is `domain`, but compose.domain names none; write for instance "
                "`domain: medicine`"
            )
        if self.general_ratio is not None and self.tasks == "synthetic":
            raise ValueError(
                "general_ratio is set, but `tasks: synthetic` uses no general data; set `tasks: both` or "
                "`tasks: general`"
            )
        if self.general_ratio is not None and not self.has_captions and self.tasks == "general":
            raise ValueError(
                "general_ratio counts per domain pair in the mixture, and `tasks_only` with `tasks: general` "
                "has none; leave it out to use all general tasks"
            )
        return self

    @property
    def has_captions(self) -> bool:
        """Whether domain pairs have their caption task."""
        return self.mixture != "tasks_only"

    @property
    def has_synthetic(self) -> bool:
        """Whether tasks of domain pairs are used."""
        return self.mixture != "captions_only" and self.tasks != "general"

    @property
    def has_general(self) -> bool:
        """Whether tasks of the general data are used; the door then needs it."""
        return self.mixture != "captions_only" and self.tasks != "synthetic"

    @property
    def style(self) -> TaskStyle:
        """How tasks are put and answered."""
        return TaskStyle(self.answers, self.merge, self.bare)


def compose(
    pairs: Iterable[ImageCaption],
    judged: Iterable[JudgedTriplet],
    config: ComposeConfig,
    *,
    general: GeneralData | None = None,
    unreliant: Collection[str] = (),
) -> Iterator[Conversation | Rejection]:
    """Yield the conversations of the mixture, and one rejection per pair or triplet that is in none.

    A pair with no kept triplet keeps its caption task. The caption task joins the pair's first task or
    dialogue (by id) in `single_stage`; further ones stand alone. Tasks of one reply with turns are one
    conversation, as far as they are kept, in the order of their turns, and their questions are bare.
    Wordings, order and placement depend on the record's id and the seed alone.

    Rejections of triplets: `judged_consistent`, `judged_inconsistent`, `judged_open`, `judged_unjudged` (as
    far as the verdict is not kept), `no_precise_answer` and `no_informative_answer` (the mixture asks for an
    answer that the triplet lacks), `low_visual_reliance`, `not_in_mixture`, `pair_missing`, and `not_drawn`
    for general ones beyond the ratio. Rejections of pairs: `no_kept_task` where captions are left out or the
    pair is general; `not_in_mixture` and `not_drawn` as above.

    Args:
        general: read where `tasks` is `general` or `both`; elsewhere all of it is `not_in_mixture`.
        unreliant: ids of triplets whose answer hardly needs the picture; `curate.reliance` measures it.

    Raises:
        DataError: pictures are to be shuffled and there is only one; general tasks are asked for and no
            general data is given; a record is both general and the domain's.
    """
    pairs, judged = list(pairs), list(judged)
    if config.has_general and general is None:
        raise DataError(
            f"`compose.tasks: {config.tasks}` uses general tasks, but no general data came with the pairs. "
            "Give judged general data, or set `compose.tasks: synthetic`."
        )
    _check_apart(pairs, judged, general)
    groups, rejections = _kept_groups(judged, config, unreliant, wanted=config.has_synthetic)
    yield from rejections
    n_pairs = 0
    for pair in pictured(pairs, config.pictures, config.seed):
        own = groups.pop(pair.id, [])
        n_pairs += bool(own) or config.has_captions
        yield from _of_pair(pair, own, config)
    yield from _orphans(groups)
    if general is not None:
        yield from _general(general, config, n_pairs, unreliant)


def _check_apart(
    pairs: Sequence[ImageCaption], judged: Sequence[JudgedTriplet], general: GeneralData | None
) -> None:
    """Raise if an id is in both data sets: it could not be said what became of it."""
    if general is None:
        return
    ids = {pair.id for pair in pairs} | {triplet.id for triplet in judged}
    others = [*(pair.id for pair in general.pairs), *(triplet.id for triplet in general.judged)]
    both = sorted(each for each in others if each in ids)
    if both:
        raise DataError(
            f"{len(both)} records are both in the domain's data and in the general data, the first of them "
            f"{both[0]}. Take them out of one of the two."
        )


def _refusal(triplet: JudgedTriplet, config: ComposeConfig, unreliant: Collection[str]) -> tuple[str, str]:
    """Return why a triplet is not used (nothing if it is), and particulars."""
    if triplet.label not in config.keep:
        return f"judged_{triplet.label}", triplet.instruction
    reason = missing_answer(triplet, config.answers)
    if not reason and triplet.id in unreliant:
        reason = "low_visual_reliance"
    return reason, triplet.instruction


def _kept_groups(
    judged: Iterable[JudgedTriplet], config: ComposeConfig, unreliant: Collection[str], *, wanted: bool
) -> tuple[dict[str, list[Group]], list[Rejection]]:
    """Return every pair's groups of kept tasks, and a rejection per triplet that is not kept."""
    by_pair: dict[str, list[JudgedTriplet]] = {}
    rejections = []
    for triplet in judged:
        by_pair.setdefault(triplet.pair_id, []).append(triplet)
        reason, detail = _refusal(triplet, config, unreliant) if wanted else ("not_in_mixture", "")
        if reason:
            rejections.append(Rejection(triplet.id, ROOM, reason, detail))
    refused = {each.id for each in rejections}
    groups = {}
    for pair_id, triplets in by_pair.items():
        left = [
            replace(group, tasks=tuple(task for task in group.tasks if task.id not in refused))
            for group in grouped(triplets)
        ]
        groups[pair_id] = [group for group in left if group.tasks]
    return groups, rejections


def _orphans(groups: dict[str, list[Group]]) -> Iterator[Rejection]:
    for pair_id, own in groups.items():
        for group in own:
            for task in group.tasks:
                yield Rejection(task.id, ROOM, "pair_missing", pair_id)


def _turns(group: Group, config: ComposeConfig) -> tuple[Turn, ...]:
    told = (
        task_turns(task, config.seed, config.style, in_dialogue=group.is_dialogue) for task in group.tasks
    )
    return tuple(turn for turns in told for turn in turns)


def _conversation(
    pair: ImageCaption, turns: tuple[Turn, ...], group: Group | None, stage: int
) -> Conversation:
    sources = (pair.id, *(task.id for task in (group.tasks if group else ())))
    return Conversation(content_id("conversation", *sources), (pair.image,), turns, stage, sources)


def _of_pair(
    pair: ImageCaption, groups: list[Group], config: ComposeConfig
) -> Iterator[Conversation | Rejection]:
    """Yield what becomes of a domain pair and its kept tasks."""
    caption: tuple[Turn, ...] = ()
    if config.has_captions:
        caption = caption_turns(pair, config.seed, config.caption_questions, config.domain)
    elif not groups:
        yield Rejection(pair.id, ROOM, "no_kept_task" if config.has_synthetic else "not_in_mixture")
        return
    is_apart = config.mixture == "two_stage"
    if is_apart or not groups:
        yield _conversation(pair, caption, None, 1)
    for index, group in enumerate(groups):
        turns = _turns(group, config)
        if index == 0 and not is_apart:
            turns = caption + turns if caption_comes_first(pair.id, config.seed) else turns + caption
        yield _conversation(pair, turns, group, 2 if is_apart else 1)


def _general(
    data: GeneralData, config: ComposeConfig, n_pairs: int, unreliant: Collection[str]
) -> Iterator[Conversation | Rejection]:
    """Yield what becomes of the general data."""
    groups, rejections = _kept_groups(data.judged, config, unreliant, wanted=config.has_general)
    yield from rejections
    stage = 2 if config.mixture == "two_stage" else 1
    pictures = config.pictures if config.has_general else "own"
    own = {
        pair.id: [
            _conversation(pair, _turns(group, config), group, stage) for group in groups.pop(pair.id, [])
        ]
        for pair in pictured(data.pairs, pictures, config.seed)
    }
    everything = [each for conversations in own.values() for each in conversations]
    used = drawn(everything, config.general_ratio, n_pairs, config.seed)
    for pair_id, conversations in own.items():
        yield from (each for each in conversations if each.id in used)
        left = [each for each in conversations if each.id not in used]
        for each in left:
            yield from (Rejection(source, ROOM, "not_drawn") for source in each.sources[1:])
        if len(left) == len(conversations):
            reason = "not_drawn" if left else "no_kept_task" if config.has_general else "not_in_mixture"
            yield Rejection(pair_id, ROOM, reason)
    yield from _orphans(groups)
