"""Authentic conversations of the lab: captions and questions by the oracle, as a user would bring them.

About the pictures of the pairs, in the words and forms that the pairs' own mixture uses (`compose`), so that
what is compared is who wrote the tasks.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

from acclimate.compose.stage import ComposeConfig, compose
from acclimate.files import read_json
from acclimate.lab.documents import draw_task
from acclimate.lab.language import Asker
from acclimate.lab.render import SEED_KINDS, scene_from
from acclimate.lab.world import Domain
from acclimate.records import Conversation, ImageCaption, ImageRef, JudgedTriplet, content_id

N_TASKS = 6
"""Tasks per picture to choose from, so that one of about the synthetic one's length is among them."""


def write_authentic(world: Path, out: Path, domain: Domain, seed: int, *, n_tasks: int = N_TASKS) -> Path:
    """Write `authentic.json` (LLaVA's form): per picture its caption alone, and with each of several tasks.

    Kinds of questions are as frequent as in the seed data, without those that have no single answer, which
    the filter keeps out of synthetic tasks as well. All answers are right.

    Args:
        world: of `write_world`: its pairs and the oracle's scenes.
        n_tasks: per picture.

    Returns:
        The file; image paths in it count from the pairs' `images` folder.
    """
    scenes = read_json(world / "oracle" / "scenes.json")
    pairs: list[ImageCaption] = []
    files: dict[str, str] = {}
    for row in read_json(world / "pairs" / "pairs.json"):
        digest = _sha256(world / "pairs" / "images" / row["image"])
        files[digest] = row["image"]
        image = ImageRef(digest, 1, 1, "image/png")
        pairs.append(ImageCaption(row["id"], image, row["conversations"][1]["value"], "lab", "Apache-2.0"))
    rows = []
    for number in range(-1, n_tasks):  # -1: captions alone
        told = (
            []
            if number < 0
            else [_task(pair, scenes[pair.image.sha256], domain, seed, number) for pair in pairs]
        )
        config = ComposeConfig(seed=seed + 1, mixture="single_stage" if told else "captions_only")
        for each in _conversations(pairs, told, config):
            rows.append(_row(each, files))
    out.mkdir(parents=True, exist_ok=True)
    path = out / "authentic.json"
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _conversations(
    pairs: list[ImageCaption], told: list[JudgedTriplet], config: ComposeConfig
) -> Iterator[Conversation]:
    for each in compose(pairs, told, config):
        if isinstance(each, Conversation):
            yield each


def _task(pair: ImageCaption, scene: str, domain: Domain, seed: int, number: int) -> JudgedTriplet:
    rng = random.Random(f"authentic/{domain.key}/{seed}/{pair.id}/{number}")
    asker = Asker(scene_from(scene), domain.lexicon, rng, balanced=True)
    task = draw_task(asker, rng, choice_rate=0.3, open_weight=0.0, harder=SEED_KINDS)
    made = content_id("authentic", pair.id, str(number))
    return JudgedTriplet(
        made,
        pair.id,
        task.question,
        task.informative,
        task.precise,
        "oracle",
        "consistent",
        1.0,
        0.0,
        0.0,
        "",
    )


def _row(told: Conversation, files: dict[str, str]) -> dict[str, object]:
    first = "<image>\n"
    turns = []
    for at, turn in enumerate(told.turns):
        who = "human" if turn.role == "user" else "gpt"
        turns.append({"from": who, "value": turn.text if at else f"{first}{turn.text}"})
    return {"id": told.id, "image": files[told.images[0].sha256], "conversations": turns}
