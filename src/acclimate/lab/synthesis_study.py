"""The study of synthesis on the lab: worlds of several seeds, the oracle as rater, and a text teacher.

The teacher is a model of its own: the shipped general MLLM, trained on seed captions alone to write a
question and an answer as somebody would who sees the picture. It never sees one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate import artifacts
from acclimate.artifacts import Outcome, Step, Workspace
from acclimate.curate.ratings import Rating
from acclimate.engines.keys import Keys
from acclimate.engines.protocol import Sampling
from acclimate.engines.spending import Accounts
from acclimate.errors import RecipeError
from acclimate.files import JSON, read_records, write_records
from acclimate.lab.demo import Sizes, write_demo
from acclimate.lab.levels import rating
from acclimate.lab.oracle import read
from acclimate.lab.render import lexicon_from, scene_from
from acclimate.lab.world import Lexicon, Scene
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Conversation, ImageCaption, JudgedTriplet, SeedExample, Turn, content_id
from acclimate.steps import training_step
from acclimate.studies.synthesis import VALIDATION, Setting
from acclimate.synthesize import stage as synthesize_room
from acclimate.synthesize import text_teacher
from acclimate.synthesize.general_task import pair_of
from acclimate.synthesize.text_teacher import TextTeacherConfig
from acclimate.synthesize.text_teacher_replies import written
from acclimate.train.stage import TrainConfig
from acclimate.workplace import Model, Progress

SIZES = Sizes(seeds=4400, pairs=1000, questions=8)
"""A tenth of the seed examples is kept out of tuning. Questions are not asked."""
TEACHER = TextTeacherConfig(kinds=("conversation",), prompt="short")
"""What the lab's teacher is trained for: LLaVA-Med's conversations, of one round."""
NOTES = (
    "The embedded world; the oracle rates every task from the scene (lab/levels.py says how levels are "
    "mapped to facts).",
    "The text teacher is the shipped model, trained separately on captions without pictures; its "
    "conversations have one round.",
    "The untuned model was never taught to reply in JSON; where it writes no task at all, what is claimed "
    "against it is marked `no tasks`.",
    "65 % of the seed examples speak in invented words that only their captions tell; without captions they "
    "cannot be asked about, which makes up most of the gap to `image`.",
    "Tasks of rules repeat the caption, which is true in the lab, so they are always right.",
)


def prepare(
    folder: Path,
    seed: int,
    *,
    domain: str = "cells",
    sizes: Sizes = SIZES,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Setting:
    """Write a seed's world and train its text teacher, or what is missing of both; return the setting."""
    place = (folder / f"{domain}-{seed}").resolve()
    path = write_demo(place, domain=domain, seed=seed, sizes=sizes)
    recipe = load_recipe(path, [f"synthesizer.validation={VALIDATION}", *overrides])
    teacher = _teacher(Line(recipe, place, progress=progress, keys=keys), seed)
    values = {"text_teacher": TEACHER.model_dump(mode="json")}
    return Setting(
        recipe,
        place,
        Oracle(place / "world" / "oracle"),
        str(teacher),
        values,
        keys=keys,
        accounts=accounts or Accounts(),
    )


def _teacher(line: Line, seed: int) -> Path:
    """Return the folder of the trained teacher."""
    tuning = line.recipe.synthesizer
    if tuning is None:
        raise RecipeError("The study's recipe must have a `synthesizer` part; leave it as it is.")

    def run(space: Workspace) -> Outcome:
        examples = list(read_records(space.inputs["examples"] / "examples.parquet", SeedExample))
        shown = [each for each in examples if not tuning.is_kept_out(each.id)]
        write_records(space.out / "conversations.parquet", map(_lesson, shown), Conversation)
        return Outcome(
            {"inputs": len(examples), "outputs": len(shown)}, {"validation": len(examples) - len(shown)}
        )

    facts: dict[str, JSON] = {
        "validation": tuning.validation,
        "seed": tuning.seed,
        "teacher": TEACHER.model_dump(mode="json"),
    }
    lessons = Step("teacher-lessons", synthesize_room.VERSION, facts, {"examples": line.steps["seeds"]}, run)
    config = TrainConfig.model_validate({**tuning.train.model_dump(), "mask": "responses", "seed": seed})
    step = training_step(
        "train-teacher",
        lessons,
        config,
        Model.checkpoint(tuning.model, line.base, "synthesizer.model"),
        line.place,
    )
    reused = artifacts.finished(step, line.root) is not None
    home = artifacts.build(step, line.root)
    line.place.progress.end(step.name, reused=reused)
    return home / "checkpoint"


def _lesson(example: SeedExample) -> Conversation:
    """Return a seed example as the teacher's prompt and reply: its caption, its question, one answer."""
    (request,) = text_teacher.requests(pair_of(example), TEACHER, Sampling(1))
    asked = tuple(Turn(each.role, each.text, trained=False) for each in request.messages)
    reply = written([(example.instruction, example.informative)])
    return Conversation(
        content_id("lesson", example.id),
        (),
        (*asked, Turn("assistant", reply, trained=True)),
        1,
        (example.id,),
    )


class Oracle:
    """Rates tasks from the scenes that a world's pictures show; an engine of no kind is asked."""

    def __init__(self, folder: Path) -> None:
        """Read the scenes.

        Args:
            folder: `scenes.json` for pairs, `seeds.json` for seed examples with words of their own.
        """
        self.scenes: dict[str, tuple[Scene, Lexicon | None]] = {
            key: (scene_from(text), None) for key, text in _read(folder / "scenes.json").items()
        }
        for key, each in _read(folder / "seeds.json").items():
            self.scenes[key] = scene_from(each["scene"]), lexicon_from(each["words"])

    def __call__(
        self, tasks: Sequence[JudgedTriplet], pair_by_id: Mapping[str, ImageCaption]
    ) -> dict[str, Rating]:
        """Return every task's rating by its id."""
        return dict(self._rated(tasks, pair_by_id))

    def _rated(
        self, tasks: Sequence[JudgedTriplet], pair_by_id: Mapping[str, ImageCaption]
    ) -> Iterator[tuple[str, Rating]]:
        for task in tasks:
            pair = pair_by_id[task.pair_id]
            scene, words = self.scenes[pair.image.sha256]
            if words is not None and read(scene, task.instruction, words) is None:
                words = None  # a question in everyday words is one too: who saw no caption knows no others
            yield task.id, rating(task, scene, pair.caption, words)


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data
