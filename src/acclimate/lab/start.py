"""A first recipe for a user's folder: what was found, and the lab's small model and seeds to begin with."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from acclimate.engines.hub import hub_name, model_folder
from acclimate.engines.open import engine_identity
from acclimate.engines.spec import EngineSpec
from acclimate.errors import UsageError
from acclimate.files import write_text
from acclimate.ingest.guess import guess
from acclimate.lab.demo import GENERAL_MLLM
from acclimate.lab.render import write_once, write_seeds
from acclimate.lab.world import VERSION
from acclimate.report.stage import DEFAULT_QUESTION, ReportConfig
from acclimate.report.tested import Claim

N_SEEDS = 4000
_SMALL = 50_000_000
"""Bytes of weights below which a model trains with a small model's learning rate."""
FIRST_CLAIMS = (
    Claim(
        id="gain",
        sentence="The adapted model scores higher than the base model.",
        measure="macro/adapted-base/original",
    ),
    Claim(
        id="looks",
        sentence="The adapted model's answers rest on the picture no less than the base model's do.",
        measure="macro/adapted-base/vrs",
        direction="not_lower",
        margin=0.02,
    ),
)
"""What a first recipe claims; the user is told to put own sentences there."""
_HOW_CLAIMS_WORK = """\
# Claims are noted before the run and printed after it as supported, refuted or open, by their 95 % interval
# alone. Change them to what you expect before you run (docs/verify.md, "Claims before the run").
"""


def write_recipe(folder: Path, recipe: Path, *, model: str | None, force: bool) -> list[str]:
    """Write a recipe for the folder's pairs; return what was guessed, one sentence each.

    Raises:
        UsageError: the recipe exists and `force` is not given.
        DataError: nothing in the folder fits; EngineError: the model is not a checkpoint.
    """
    if recipe.exists() and not force:
        raise UsageError(f"{recipe} exists; give --force to replace it, or --recipe for another name.")
    found = guess(folder)
    base = recipe.resolve().parent
    checkpoint = model_folder(model, Path()) if model else GENERAL_MLLM
    named = model if hub_name(checkpoint) else _relative(checkpoint, base)
    engine_identity(EngineSpec(model=str(checkpoint)))
    seeds = base / "acclimate-seeds"
    write_once(seeds, f"{VERSION} {N_SEEDS}\n", lambda out: write_seeds(out, N_SEEDS, 0))
    notes = [
        *found.notes,
        f"The model to adapt is {hub_name(checkpoint) or checkpoint}"
        + ("." if model else ", the small model that ships with this tool; name yours with --model."),
        f"The synthesizer is tuned from the same model on {N_SEEDS} examples of the embedded world, written "
        f"to {seeds.name}/; put your own seed examples there, or name a tuned synthesizer's folder as "
        "synthesize.model.",
        "No benchmark is named, so 10 % of the images are held out and scored against your captions, not "
        "checked by people; list benchmark files under evaluate.benchmarks to change that.",
    ]
    small = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors")) < _SMALL
    training: dict[str, Any] = (
        {"batch_size": 32, "learning_rate": 1e-3, "max_tokens": 1024, "execution": {"micro_batch": 16}}
        if small
        else {"batch_size": 128, "learning_rate": 1e-5, "max_tokens": 6144, "execution": {"micro_batch": 1}}
    )
    columns = {key: value for key, value in found.columns.model_dump().items() if value}
    data: dict[str, Any] = {
        "name": folder.resolve().name,
        "run_dir": "acclimate-run",
        "ingest": {
            "source": _relative(found.source, base),
            "format": found.format,
            "image_root": _relative(found.image_root, base),
            **({"columns": columns} if columns else {}),
            "licence": "unknown",
        },
        "synthesizer": {
            "model": named,
            "seeds": {
                "source": "acclimate-seeds/seeds.json",
                "image_root": "acclimate-seeds/images",
                "licence": "Apache-2.0",
            },
            "train": {"epochs": 1, **copy.deepcopy(training)},
        },
        "synthesize": {"model": "tuned", "temperature": 0.7, "max_tokens": 256 if small else 512},
        "curate": {"judge": "base"},
        "compose": {"mixture": "single_stage"},
        "train": {"model": named, "epochs": 3 if small else 1, **training},
        "evaluate": {"benchmarks": []},
    }
    head = "# Written by `acclimate init`; docs/recipes.md explains every key. Paths count from here.\n"
    write_text(recipe, head + _yaml(data) + _HOW_CLAIMS_WORK + _yaml({"report": _report(folder)}))
    return notes


def _yaml(data: Mapping[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _report(folder: Path) -> dict[str, Any]:
    """Return what the run is to show; a folder's name that no record may hold is left out of the title."""
    said: dict[str, Any] = {
        "title": f"Adapted to {folder.resolve().name}",
        "question": DEFAULT_QUESTION,
        "claims": [each.model_dump() for each in FIRST_CLAIMS],
    }
    try:
        ReportConfig.model_validate(said)
    except ValidationError:
        said["title"] = "Adapted to a folder of pictures and captions"
    return said


def _relative(path: Path, base: Path) -> str:
    """Return the path as seen from the recipe, or whole where that would climb far."""
    relative = os.path.relpath(path.resolve(), base)
    return str(path.resolve()) if relative.count("..") > 3 else relative
