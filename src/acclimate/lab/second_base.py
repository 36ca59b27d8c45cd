"""The lab's second base: a LLaVA, made of the shipped text LM and a CLIP encoder, taught the general world.

An ordinary recipe does the teaching: `assemble` joins the two parts with a fresh projector, the first stage
aligns the projector on captions, the second trains everything on questions, all of it in files that any user
could bring. Only the encoder comes from the lab's own code. The pictures are of the train side, and no target
domain is among them.
"""

import os
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from acclimate import artifacts
from acclimate.artifacts import Outcome, Step, Workspace
from acclimate.engines.checkpoint import folder_digest
from acclimate.files import sha256_file, write_text
from acclimate.lab.demo import WEIGHTS
from acclimate.lab.documents import CAPTION_QUESTION, Document, description, questions, scene_of
from acclimate.lab.documents import Line as Said
from acclimate.lab.language import caption
from acclimate.lab.render import write_chats, write_once
from acclimate.lab.world import DOMAINS, VERSION
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.workplace import Progress, Silent

TEXT_LM = WEIGHTS / "text-lm"
TOWER_VERSION = 1
"""Rises when the same sizes give another encoder."""
NOTE = (
    "The second base is a LLaVA with another vision encoder, projector and way of reading pictures than the "
    "first base, a Qwen3-VL; both language models come from the lab's text LM."
)
_ROUNDS = 8
"""Questions about a picture in one conversation."""
_DESCRIBED = 0.25
"""Share of the second stage's conversations that begin with a description."""
_PLAIN = 0.7
"""Share of the others whose questions stand bare and are answered in few words, as benchmarks ask."""
_FIRST_PICTURE = 10**7
"""Number of the first scene of the second stage; the first stage's and the encoder's count from 0."""


@dataclass(frozen=True, slots=True)
class BaseSizes:
    """How much the second base learns from."""

    tower_steps: int = 1200
    """Steps of 96 pictures."""
    tower_pictures: int = 12_000
    captions: int = 2500
    """Conversations of the first stage, one picture each."""
    lessons: int = 20_000
    """Conversations of the second stage, eight questions each."""

    @property
    def tokens(self) -> int:
        """Tokens that it learns from, roughly: 16 per picture, and what is said."""
        return self.captions * (16 + 60) + self.lessons * (16 + 200) + self.tower_steps * 96 * 17 // 4

    def limited(self, n: int | None) -> "BaseSizes":
        """Return the sizes of a test that uses so many rows only."""
        if n is None:
            return self
        return BaseSizes(min(2, self.tower_steps), min(n, self.tower_pictures), n, n)


def second_base(folder: Path, sizes: BaseSizes | None = None, *, progress: Progress | None = None) -> Path:
    """Build the second base, or what is missing of it; return its checkpoint's folder.

    Args:
        folder: receives the files and the run.
        progress: told how the work goes.
    """
    chosen, told = sizes or BaseSizes(), progress or Silent()
    folder = folder.resolve()
    write_once(folder / "world", f"{VERSION} {asdict(chosen)}\n", lambda out: write_lessons(out, chosen))
    root = folder / "run"
    assembled = assembled_step(tower_step(chosen, told))
    for step in (assembled.inputs["vision"], assembled):
        reused = artifacts.finished(step, root) is not None
        artifacts.build(step, root)
        told.end(step.name, reused=reused)
    recipe = folder / "recipe.yaml"
    start = artifacts.home_of(assembled, root) / "checkpoint"
    write_text(recipe, yaml.safe_dump(_recipe(os.path.relpath(start, folder)), sort_keys=False))
    return Line(load_recipe(recipe), folder, progress=told).build(["train"])["train"] / "checkpoint"


def _recipe(model: str) -> dict[str, Any]:
    """Return LLaVA's two stages; the lab's small models take larger learning rates than real ones."""
    return {
        "name": "lab: second base",
        "run_dir": "run",
        "conversations": [
            {"source": "world/captions.json", "image_root": "world/images", "stage": 1},
            {"source": "world/lessons.json", "image_root": "world/images", "stage": 2},
        ],
        "train": {
            "model": model,
            "epochs": 1,
            "batch_size": 16,
            "learning_rate": 1.5e-3,
            "vision_learning_rate": 5e-4,
            "weight_decay": 0.0,
            "warmup_ratio": 0.05,
            "max_tokens": 1024,
            "first_stage": {"freeze": ["vision", "language"], "projector_learning_rate": 1e-2},
        },
    }


def tower_step(sizes: BaseSizes, progress: Progress) -> Step:
    """Return the step that trains the encoder."""
    name = "clip-tower"

    def run(space: Workspace) -> Outcome:
        from acclimate.lab.clip_tower import train_tower

        progress.start(name, sizes.tower_steps)

        def tell(step: int, _total: int, loss: float) -> None:
            progress.advance(name, step, f"loss {loss:.3f}")

        losses = train_tower(
            space.out / "checkpoint",
            space.work,
            steps=sizes.tower_steps,
            n_pictures=sizes.tower_pictures,
            on_step=tell,
        )
        return Outcome({"inputs": sizes.tower_pictures, "outputs": 1}, {}, facts={"last_loss": losses[-1]})

    facts = {"world": VERSION, "steps": sizes.tower_steps, "pictures": sizes.tower_pictures}
    return Step(name, TOWER_VERSION, facts, {}, run)


def assembled_step(tower: Step) -> Step:
    """Return the step that joins the encoder and the text LM."""

    def run(space: Workspace) -> Outcome:
        from acclimate.train.assemble import AssembleConfig, assemble

        assemble(
            TEXT_LM, space.inputs["vision"] / "checkpoint", space.out / "checkpoint", AssembleConfig(**facts)
        )
        return Outcome({"inputs": 2, "outputs": 1}, {})

    facts: dict[str, Any] = {"vision_layer": -1, "seed": 0}
    return Step(
        "assemble", 1, facts, {"vision": tower}, run, {"language": folder_digest(TEXT_LM, "", sha256_file)}
    )


# --- files ---------------------------------------------------------------------------------------


def write_lessons(out: Path, sizes: BaseSizes) -> None:
    """Write `captions.json` and `lessons.json` with their images: what the two stages train on."""
    write_chats(out, "captions", (_captions(i) for i in range(sizes.captions)))
    n_pictures = max(1, sizes.lessons // 2)
    write_chats(out, "lessons", (_lesson(i, i % n_pictures) for i in range(sizes.lessons)))


def _captions(index: int) -> Document:
    """Return a picture and its whole description."""
    scene, rng = scene_of(index, test=False), random.Random(f"second-base/captions/{index}")
    text, _ = caption(scene, DOMAINS[scene.domain].lexicon, rng, full=True)
    return Document(scene, index, (Said("user", CAPTION_QUESTION, 0.0), Said("assistant", text, 1.0)))


def _lesson(index: int, picture: int) -> Document:
    """Return a picture with questions, or with its description and one question."""
    rng = random.Random(f"second-base/lessons/{index}")
    scene = scene_of(_FIRST_PICTURE + picture, test=False)
    if rng.random() < _DESCRIBED:
        return description(scene, picture, rng)
    return questions(scene, picture, rng, _ROUNDS, plain=rng.random() < _PLAIN)
