"""The vision teacher: a strong model sees the picture, describes it, and plays a scene about it (pure).

Source: PubMedVision. One call per pair gives a description and a question with its answer, as JSON; a
reference text helps the teacher and may not be spoken of. The scene is drawn per pair out of ten. The reading
is our own: strict, and with a reason for every failure.
"""

import json
import random
import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from acclimate.engines.protocol import Message, Reply, Request, Sampling
from acclimate.records import Boxes, ImageCaption, Mentions, RecipeText, Rejection, Triplet, content_id
from acclimate.synthesize.answers import clean_answer, is_refusal, question_mention
from acclimate.synthesize.vision_teacher_prompts import (
    ANSWER,
    DESCRIBE,
    DESCRIPTION,
    KEYS,
    NOTES,
    QUESTION,
    SCENES,
    SYSTEM,
    Scenario,
    Setting,
)

GENERATOR = "vision_teacher"
ROOM = "synthesize"
DESCRIPTION_KIND = "description"

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(?P<body>.*)\n[ \t]*```", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<(?=\s*/?\s*notes\s*>)", re.IGNORECASE)
_NOTES_MENTION = re.compile(
    r"</?notes>"
    r"|(?<!\w)(?:according to|based (?:up)?on|given|per|from|in|with) (?:the|these|those|your|my) "
    r"(?:\w+ )?notes?(?!\w)"
    r"|(?<!\w)(?:the|these|those|your) (?:\w+ )?notes? "
    r"(?:say|state|mention|indicate|suggest|describe|provide|report|confirm|specif|tell|list)\w*"
    r"|(?<!\w)(?:provided|supplied|accompanying|reference) (?:notes?|texts?)(?!\w)",
    re.IGNORECASE,
)


class VisionTeacherConfig(BaseModel):
    """What the teacher is told and asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: Literal["vision_teacher"] = "vision_teacher"
    setting: Setting = "medical"
    """Who plays the scenes: doctors, patients and medical students, or experts, customers and beginners."""
    field: str = ""
    """The field as it stands in a sentence: `radiology`, `cell biology`; empty names none."""
    scenarios: tuple[Scenario, ...] = tuple(SCENES["medical"])
    """The scenes that may be drawn."""
    scenarios_per_pair: int = Field(default=1, ge=1, le=10)
    """Different scenes per pair, each a request of its own; the first one alone asks for a description."""
    description: bool = True
    """Whether a description is asked for too; it becomes a task of its own."""
    notes: bool = True
    """Whether the teacher reads the pair's caption, and its mentions, further captions or recipe."""
    min_side_px: int = Field(default=0, ge=0)
    """Pairs whose picture is smaller on either side are not asked; PubMedVision has 336."""

    @field_validator("scenarios")
    @classmethod
    def _are_some(cls, scenarios: tuple[Scenario, ...]) -> tuple[Scenario, ...]:
        if not scenarios or len(set(scenarios)) < len(scenarios):
            raise ValueError("scenarios must name at least one scene, and none twice")
        return scenarios

    @field_validator("field")
    @classmethod
    def _is_one_phrase(cls, field: str) -> str:
        return " ".join(field.split())

    @model_validator(mode="after")
    def _fits_together(self) -> "VisionTeacherConfig":
        if self.scenarios_per_pair > len(self.scenarios):
            raise ValueError(
                f"scenarios_per_pair is {self.scenarios_per_pair}, but scenarios names only "
                f"{len(self.scenarios)}; name more scenes or ask for fewer"
            )
        return self


def unusable(pair: ImageCaption, config: VisionTeacherConfig) -> str:
    """Return why the teacher is not asked about the pair, or nothing: `small_image`, `empty_caption`."""
    if min(pair.image.width_px, pair.image.height_px) < config.min_side_px:
        return "small_image"
    return "empty_caption" if config.notes and not pair.caption.strip() else ""


def requests(pair: ImageCaption, config: VisionTeacherConfig, sampling: Sampling) -> list[Request]:
    """Return one request per scene of the pair; which scenes depends on its id and `sampling.seed` alone.

    Each carries the schema of its reply, which engines that cannot hold a model to one ignore.
    """
    return [
        Request(
            id=f"{pair.id}/{scenario}",
            messages=(
                Message(
                    "system", SYSTEM.format(field=f" in the field of {config.field}" if config.field else "")
                ),
                Message("user", _task_text(pair, config, scenario, keys), (pair.image,)),
            ),
            sampling=sampling,
            schema=_schema(keys),
        )
        for scenario, keys in _drawn(pair, config, sampling.seed)
    ]


def reply_schema(request: Request, pair: ImageCaption, config: VisionTeacherConfig) -> dict[str, Any]:
    """Return the JSON schema that a reply to the request must follow; the request carries it too."""
    return _schema(_keys_of(request, pair, config))


def _schema(keys: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: {"type": "string", "minLength": 1} for key in keys},
        "required": list(keys),
        "additionalProperties": False,
    }


def read(
    pair: ImageCaption, request: Request, reply: Reply, config: VisionTeacherConfig
) -> list[Triplet | Rejection]:
    """Return the tasks of a reply and a rejection for each one dropped, or one where nothing can be read.

    Reasons of a whole reply: `empty_reply`, `refusal` (no object, and the text declines), `truncated` (the
    object is open and the length bound was reached), `no_json`, `text_around_json`, `broken_json`,
    `not_an_object`, `repeated_key`, `missing_key`, `not_text`, `bad_unicode`. Reasons of one task, by the
    number of its place (0 the description where one was asked for): `empty_question`, `empty_answer`,
    `refusal`, `mentions_caption`, `mentions_boxes`, `mentions_notes`.

    One code fence around the whole is allowed, and so are further keys, which are not read.
    """
    keys = _keys_of(request, pair, config)
    found = read_object(reply.text, keys, ended=reply.finish_reason != "length")
    if isinstance(found, str):
        return [Rejection(reply.id, ROOM, found, reply.text[:200].encode("utf-8", "replace").decode("utf-8"))]
    scenario = request.id.rpartition("/")[2]
    rounds = [(scenario, found["question"].strip(), found["answer"])]
    if "description" in found:
        rng = random.Random(f"{request.sampling.seed}/describe/{pair.id}")
        rounds.insert(0, (DESCRIPTION_KIND, rng.choice(DESCRIBE), found["description"]))
    return [
        _outcome(pair, reply, place, kind, question, answer)
        for place, (kind, question, answer) in enumerate(rounds)
    ]


def read_object(text: str, keys: Sequence[str], *, ended: bool = True) -> dict[str, str] | str:
    """Return the values of the keys in a reply that is one JSON object, or the reason why it is not."""
    body = text.strip()
    if not body:
        return "empty_reply"
    fenced = _FENCE.fullmatch(body)
    if fenced:
        body = fenced["body"].strip()
    value, problem = _decoded(body)
    if problem in ("no_json", "broken_json"):
        if "{" not in body and is_refusal(body):
            return "refusal"
        return "truncated" if not ended and "{" in body else problem
    return problem or _values(value, keys)


def _decoded(body: str) -> tuple[object, str]:
    """Return the JSON value that the text is, objects as tuples of their pairs; or a reason."""
    start = body.find("{")
    if start < 0 and body[:1] not in ("[", '"'):
        return None, "no_json"
    decoder = json.JSONDecoder(object_pairs_hook=tuple)
    try:
        value, end = decoder.raw_decode(body, 0 if body[:1] in ("{", "[", '"') else start)
    except (ValueError, RecursionError):
        return None, "broken_json"
    is_whole = body[:1] in ("{", "[", '"') and end == len(body)
    return value, "" if is_whole else "text_around_json"


def _values(value: object, keys: Sequence[str]) -> dict[str, str] | str:
    if not isinstance(value, tuple):
        return "not_an_object"
    names = [name for name, _ in value]
    if any(names.count(key) > 1 for key in keys):
        return "repeated_key"
    if any(key not in names for key in keys):
        return "missing_key"
    found = {name: each for name, each in value if name in keys}
    if not all(isinstance(each, str) for each in found.values()):
        return "not_text"
    if any("\ud800" <= character <= "\udfff" for each in found.values() for character in each):
        return "bad_unicode"
    return {key: found[key] for key in keys}


def _outcome(
    pair: ImageCaption, reply: Reply, place: int, kind: str, question: str, answer: str
) -> Triplet | Rejection:
    """Return one task of a reply. Tasks of a reply do not build on each other, so each is turn 0."""
    answer, reason = clean_answer(answer)
    reason = ("" if question else "empty_question") or question_mention(question) or reason
    if not reason and (_NOTES_MENTION.search(question) or _NOTES_MENTION.search(answer)):
        reason = "mentions_notes"
    if reason:
        return Rejection(f"{reply.id}#{place}", ROOM, reason, f"{question} | {answer}"[:200])
    return Triplet(
        id=content_id("triplet", GENERATOR, pair.id, kind, "0"),
        pair_id=pair.id,
        instruction=question,
        informative=answer,
        precise="",
        generator=GENERATOR,
        reply_id=reply.id,
        kind=kind,
    )


def _drawn(
    pair: ImageCaption, config: VisionTeacherConfig, seed: int
) -> list[tuple[Scenario, tuple[str, ...]]]:
    """Return the pair's scenes, each with the keys that are asked for in it."""
    rng = random.Random(f"{seed}/scenario/{pair.id}")
    scenarios = rng.sample(sorted(config.scenarios), config.scenarios_per_pair)
    first = ("description", "question", "answer") if config.description else ("question", "answer")
    return [(each, ("question", "answer") if place else first) for place, each in enumerate(scenarios)]


def _keys_of(request: Request, pair: ImageCaption, config: VisionTeacherConfig) -> tuple[str, ...]:
    keys_by_id = {
        f"{pair.id}/{scenario}": keys for scenario, keys in _drawn(pair, config, request.sampling.seed)
    }
    return keys_by_id[request.id]


def _task_text(
    pair: ImageCaption, config: VisionTeacherConfig, scenario: Scenario, keys: Sequence[str]
) -> str:
    scene = SCENES[config.setting][scenario]
    lines = [DESCRIPTION] if "description" in keys else []
    lines += [QUESTION.format(asks=scene.asks), ANSWER.format(answers=scene.answers)]
    parts = ["\n".join([KEYS, *lines])]
    if config.notes:
        parts.insert(0, NOTES.replace("{notes}", _notes(pair)))
    return "\n\n".join(parts)


def _notes(pair: ImageCaption) -> str:
    """Return what is known of the pair; nothing in it can close the tag it stands in."""
    known = [pair.caption.strip()]
    if isinstance(pair.annotation, Mentions):
        known += pair.annotation.sentences
    elif isinstance(pair.annotation, Boxes):
        known += pair.annotation.captions
    elif isinstance(pair.annotation, RecipeText):
        recipe = pair.annotation
        known += [recipe.title, *recipe.ingredients, *recipe.steps]
    return "\n".join(_TAG.sub("< ", each.strip()) for each in known if each.strip())
