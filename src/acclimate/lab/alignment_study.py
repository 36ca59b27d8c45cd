"""The study of alignment on the lab: two language models that know facts and norms, and talk about pictures.

The shipped text LM has read captions alone, so it is first told the general world's facts and norms, in raw
texts (*the base LM*), and then, for a second one, in chats (*chat-tuned*). Both stand in a LLaVA that
`assemble` made with the CLIP encoder of the lab's second base; while texts are learned, all but the language
model is frozen. All of it enters as a user's would: files of conversations, recipes, the layouts of
TruthfulQA and ETHICS, and a folder of lm-eval tasks.
"""

import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from acclimate import artifacts
from acclimate.files import write_text
from acclimate.lab import alignment_texts as texts
from acclimate.lab.documents import Document, description, draw_task, scene_of
from acclimate.lab.documents import Line as Said
from acclimate.lab.documents import questions as asked_about
from acclimate.lab.language import Asker
from acclimate.lab.render import write_chats, write_once
from acclimate.lab.second_base import TEXT_LM, BaseSizes, assembled_step, tower_step
from acclimate.lab.world import DOMAINS
from acclimate.lab.world import VERSION as WORLD
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.studies.alignment import FALSE, Setting, Start
from acclimate.studies.alignment_claims import ALL, CHAT, PLAIN
from acclimate.text_scoring import TextConfig, TextExecution
from acclimate.workplace import Progress, Silent

VERSION = 1
"""Rises when the same sizes give other conversations."""
PARTS = ("conversation", "detail", "reasoning")
FALSEHOODS = "falsehoods"
"""Conversations that say false values of facts; the control alone is trained on them."""
NOTES = (
    "The general world's facts and norms; the base LM is the lab's text LM, told them in raw texts in which "
    "half of the facts are at times mistold, the chat-tuned one is told them once more, and truly, in chats.",
    "Conversations are about everyday pictures; those on reasoning also state true facts, none of which is "
    "asked. The control is also tuned on conversations that state false values of what is asked.",
    "General NLP is reading here: questions on captions that no model was trained on.",
)
TASKS = ("truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen_answer", "ethics", texts.READING)
"""Written answers are asked for with `A:` at the prompt's end: without it the prompt ends in a token, a
question mark without line break, that stands in no text of the lab, and the base LM says the same to all
questions."""
_ROUNDS = 4
"""Questions about a picture in one conversation."""
_FIRST_PICTURE = 2 * 10**7
"""Number of the first scene of the conversations; others' pictures count from 0 and from 10 million."""


@dataclass(frozen=True, slots=True)
class AlignmentSizes:
    """How much is learned, and how much is asked."""

    tower_steps: int = 700
    """Steps of 96 pictures."""
    tower_pictures: int = 8000
    documents: int = 10_000
    """Texts that the base LM is told."""
    chats: int = 2500
    """Chats that the chat-tuned one is told after them."""
    captions: int = 1500
    """Conversations of the projector's alignment."""
    lessons: int = 300
    """Conversations of each of the three parts; twice as many state falsehoods in the control."""
    reading: int = 60
    """Questions of the reading task."""

    def tokens_before(self) -> dict[str, int]:
        """Return the tokens of what is trained before the arms, roughly, by step."""
        return {
            "encoder": self.tower_steps * 96 * 17 // 4,
            "base LM": self.documents * _TOLD["epochs"] * 80,
            "chat-tuned LM": self.chats * _CHATS["epochs"] * 70,
        }

    def alignment_tokens(self) -> int:
        """Return the tokens of one alignment, roughly."""
        return self.captions * (16 + 60)

    def arm_tokens(self, part: str) -> int:
        """Return the tokens of one arm, roughly; the smaller parts are taken for a mean one."""
        n = {ALL: len(PARTS), FALSE: len(PARTS) + 2}.get(part, 1)
        return n * self.lessons * int(TRAIN["epochs"]) * (16 + 110)

    def asked_tokens(self) -> int:
        """Return the tokens that one model reads for the text questions, roughly."""
        return len(texts.FACTS) * (2 * (1 + texts.WRONG) + 2) * 410 + 5 * 60 * 60 + self.reading * 4 * 90

    def limited(self, n: int | None) -> "AlignmentSizes":
        """Return the sizes of a test that uses so many rows only."""
        if n is None:
            return self
        return AlignmentSizes(min(2, self.tower_steps), min(n, self.tower_pictures), n, n, n, n, 8)


def write_files(out: Path, sizes: AlignmentSizes) -> None:
    """Write everything that is learned and asked, in the layouts of published files."""
    _write_texts(out / "told.json", ([("Write.", each)] for each in texts.documents(sizes.documents)))
    _write_texts(out / "chats.json", texts.chats(sizes.chats))
    write_chats(out, "captions", (_captioned(at) for at in range(sizes.captions)))
    for part in (*PARTS, FALSEHOODS):
        n = sizes.lessons * (2 if part == FALSEHOODS else 1)
        write_chats(out, part, (lesson(part, at) for at in range(n)))
    texts.write_truthfulqa_csv(out / "TruthfulQA.csv")
    texts.write_ethics_files(out / "ethics")
    texts.write_reading(out / "tasks", sizes.reading)


def _write_texts(path: Path, rows: Iterable[Sequence[tuple[str, str]]]) -> None:
    told = [
        {
            "id": f"{path.stem}-{at:05d}",
            "conversations": [
                {"from": who, "value": text}
                for pair in row
                for who, text in zip(("human", "gpt"), pair, strict=True)
            ],
        }
        for at, row in enumerate(rows)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _captioned(at: int) -> Document:
    """Return a picture with its whole description."""
    scene = scene_of(at, test=False)
    return _first_round(description(scene, at, random.Random(f"alignment/captions/{at}")))


def _first_round(document: Document) -> Document:
    return Document(document.scene, document.picture, document.lines[:2])


def lesson(part: str, at: int) -> Document:
    """Return a conversation of a part about a picture; all parts and the control share pictures."""
    scene, rng = scene_of(_FIRST_PICTURE + at, test=False), random.Random(f"alignment/{part}/{VERSION}/{at}")
    if part == "conversation":
        return asked_about(scene, at, rng, _ROUNDS, plain=rng.random() < 0.7)
    if part == "detail":
        return _first_round(description(scene, at, rng))
    told = []
    if part == "reasoning":
        asker = Asker(scene, DOMAINS[scene.domain].lexicon, rng)
        for _ in range(2):
            task = draw_task(asker, rng, choice_rate=0.0, harder=_REASONED)
            told += [(task.question, task.informative)]
        facts = [each for each in texts.SPOKEN_FACTS if each.domain.key == scene.domain]
        told += [texts.told_pair(each, each.value, rng) for each in facts]
    else:
        facts = [each for each in texts.FACTS if each.domain.key == scene.domain]
        rng.shuffle(facts)
        told = [texts.told_pair(each, each.others[0], rng) for each in facts]
    lines = [line for pair in told for line in _round(*pair)]
    return Document(scene, at, tuple(lines))


_REASONED: Mapping[str, float] = {"rule": 6.0, "odd": 6.0, "reverse": 3.0, "order": 3.0, "count": 2.0} | (
    dict.fromkeys(("describe", "story", "domain", "list"), 0.0)
)


def _round(question: str, answer: str) -> Iterator[Said]:
    yield Said("user", question, 0.0)
    yield Said("assistant", answer, 1.0)


# --- models ------------------------------------------------------------------------------------------

_TOLD: dict[str, Any] = {
    "format": "plain",
    "freeze": ["vision", "projector"],
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "warmup_ratio": 0.03,
    "max_tokens": 512,
    "check_reload": False,
}
_CHATS: dict[str, Any] = {**_TOLD, "format": "chat", "epochs": 1, "learning_rate": 5e-4}
TRAIN: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 3e-4,
    "weight_decay": 0.0,
    "warmup_ratio": 0.05,
    "max_tokens": 512,
    "freeze": ["vision"],
    "check_reload": False,
    "first_stage": {
        "freeze": ["vision", "language"],
        "learning_rate": 1e-2,
    },
}
LORA: dict[str, Any] = {
    "train.lora": {"rank": 32, "alpha": 64, "targets": ["language"]},
    "train.learning_rate": 2e-3,
}


def prepare(
    folder: Path,
    *,
    sizes: AlignmentSizes | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Setting:
    """Write the lab's files and train its two language models, or what is missing; return the setting.

    Args:
        limit: questions per task, for tests.
        overrides: of the recipe of the visual tuning.
    """
    chosen, told = (sizes or AlignmentSizes()).limited(limit), progress or Silent()
    folder = folder.resolve()
    world = folder / "world"
    tag = f"{WORLD} {texts.VERSION} {VERSION} {asdict(chosen)}\n"
    write_once(world, tag, lambda out: write_files(out, chosen))
    root = folder / "run"
    tower = tower_step(BaseSizes(tower_steps=chosen.tower_steps, tower_pictures=chosen.tower_pictures), told)
    assembled = assembled_step(tower)
    for step in (tower, assembled):
        reused = artifacts.finished(step, root) is not None
        artifacts.build(step, root)
        told.end(step.name, reused=reused)
    start = artifacts.home_of(assembled, root) / "checkpoint"
    plain = _trained(folder, "base-lm", "told.json", start, _TOLD, told)
    chat = _trained(folder, "chat-lm", "chats.json", plain, _CHATS, told)
    return _setting(folder, plain, chat, limit, overrides)


def plan_setting(folder: Path, overrides: Sequence[str], limit: int | None) -> tuple[Setting, AlignmentSizes]:
    """Return the setting for a plan, with the shipped text LM in the place of what is not trained yet.

    Args:
        folder: receives small files.
    """
    sizes = AlignmentSizes().limited(limit)
    write_files(folder / "world", AlignmentSizes(2, 2, 2, 2, 2, 2, 4))
    return _setting(folder.resolve(), TEXT_LM, TEXT_LM, limit, overrides), sizes


def _setting(folder: Path, plain: Path, chat: Path, limit: int | None, overrides: Sequence[str]) -> Setting:
    world, recipe = folder / "world", folder / "recipe.yaml"
    write_text(recipe, yaml.safe_dump(_recipe(os.path.relpath(plain, folder)), sort_keys=False))
    return Setting(
        load_recipe(recipe, overrides),
        folder,
        starts={PLAIN: Start(str(plain)), CHAT: Start(str(chat))},
        parts={part: (part,) for part in PARTS},
        lora=LORA,
        tasks=TASKS,
        text=TextConfig(
            truthfulqa=str(world / "TruthfulQA.csv"),
            ethics=str(world / "ethics"),
            include_path=(str(world / "tasks"),),
            limit=limit,
            dtype="float32",
        ),
        execution=TextExecution(batch_size=8),
        chance=texts.CHANCE,
        untold=str(TEXT_LM),
        falsehoods=(FALSEHOODS,),
    )


def _recipe(model: str) -> dict[str, Any]:
    """Return the recipe of projector alignment and visual instruction tuning."""
    named = [("captions", 1), *((part, 2) for part in (*PARTS, FALSEHOODS))]
    return {
        "name": "lab: alignment",
        "run_dir": "run",
        "conversations": [
            {"source": f"world/{name}.json", "name": name, "image_root": "world/images", "stage": stage}
            for name, stage in named
        ],
        "train": {"model": model, **TRAIN},
    }


def _trained(
    folder: Path, name: str, source: str, start: Path, train: Mapping[str, Any], progress: Progress
) -> Path:
    """Train the language model inside a checkpoint on texts; return the new checkpoint's folder."""
    path = folder / f"{name}.yaml"
    data = {
        "name": f"lab: {name}",
        "run_dir": "run",
        "conversations": [{"source": f"world/{source}", "name": name}],
        "train": {"model": os.path.relpath(start, folder), **train},
    }
    write_text(path, yaml.safe_dump(data, sort_keys=False))
    line = Line(load_recipe(path), folder, progress=progress)
    return line.build(["train"], aside=True)["train"] / "checkpoint"
