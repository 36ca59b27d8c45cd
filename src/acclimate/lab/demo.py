"""The demo: writes the world's files and a recipe, runs the whole line on them, and audits the result."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from acclimate.engines.keys import Keys
from acclimate.files import read_records, write_text
from acclimate.lab.audit import audit_table, synthesis_audit
from acclimate.lab.render import write_general_benchmarks, write_once, write_world
from acclimate.lab.world import VERSION
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Item, Score
from acclimate.report.measure import measure
from acclimate.workplace import Progress

WEIGHTS = Path(__file__).parent / "weights"
GENERAL_MLLM = WEIGHTS / "general-mllm"


CLAIMS = [
    {
        "id": "gain",
        "sentence": "The adapted model answers the domain's questions better than the base model.",
        "measure": "macro/adapted-base/original",
        "direction": "higher",
    },
    {
        "id": "looks",
        "sentence": "The adapted model's answers rest on the picture.",
        "measure": "macro/adapted/vrs",
        "direction": "higher",
    },
    {
        "id": "looks-more",
        "sentence": "The adapted model's answers rest on the picture more than the base model's do.",
        "measure": "macro/adapted-base/vrs",
        "direction": "higher",
    },
]
"""What the demo claims before it is run."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of the world the demo uses."""

    seeds: int = 5000
    pairs: int = 2400
    questions: int = 150
    general: int = 0
    """Questions of each kind about general scenes, which show what is forgotten; 0 asks none."""


WHOLE = Sizes(general=40)
"""The demo's own."""


def demo_recipe(folder: Path, domain: str, seed: int, *, has_general: bool) -> dict[str, object]:
    """Return the demo's recipe; every path is relative to the folder, the shipped model apart.

    Args:
        has_general: whether questions about general scenes are asked too.
    """
    model = os.path.relpath(GENERAL_MLLM, folder)
    kinds = ("closed", "open", "choice", "multi_label")
    general = [f"general_{kind}" for kind in kinds if has_general]
    return {
        "name": f"lab demo: {domain}",
        "run_dir": "run",
        "ingest": {
            "source": "world/pairs/pairs.json",
            "image_root": "world/pairs/images",
            "licence": "Apache-2.0",
        },
        "synthesizer": {
            "model": model,
            "seeds": {
                "source": "world/seeds/seeds.json",
                "image_root": "world/seeds/images",
                "licence": "Apache-2.0",
            },
            "seed": seed,
            "train": {
                "epochs": 1,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "max_tokens": 512,
                "seed": seed,
                "execution": {"micro_batch": 8},
            },
        },
        "synthesize": {"temperature": 1.0, "top_p": 0.9, "max_tokens": 160, "seed": seed},
        "curate": {"threshold": 0.8},
        "compose": {"seed": seed},
        "train": {
            "model": model,
            "epochs": 3,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
            "max_tokens": 512,
            "seed": seed,
            "execution": {"micro_batch": 8},
        },
        "evaluate": {
            "benchmarks": [
                *(f"world/benchmarks/{domain}_{kind}.yaml" for kind in kinds),
                *(f"world/general/{name}.yaml" for name in general),
            ],
            "seed": seed,
        },
        "report": {
            "title": f"Lab demo: {domain}",
            "seed": seed,
            "general": general,
            "claims": CLAIMS,
        },
    }


def write_demo(folder: Path, *, domain: str, seed: int, sizes: Sizes) -> Path:
    """Write the world's files and `recipe.yaml`; return the recipe's path."""
    tag = f"{VERSION} {domain} {seed} {sizes}\n"

    def write(out: Path) -> None:
        write_world(
            out, domain, n_seeds=sizes.seeds, n_pairs=sizes.pairs, n_questions=sizes.questions, seed=seed
        )
        if sizes.general:
            write_general_benchmarks(out / "general", sizes.general, seed)

    write_once(folder / "world", tag, write)
    path = folder / "recipe.yaml"
    recipe = demo_recipe(folder, domain, seed, has_general=sizes.general > 0)
    write_text(path, yaml.safe_dump(recipe, sort_keys=False))
    return path


def run_demo(
    folder: Path,
    *,
    domain: str = "cells",
    seed: int = 0,
    sizes: Sizes | None = None,
    control: bool = False,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    keys: Keys | None = None,
) -> dict[str, object]:
    """Run the whole line on the lab and return its numbers, fractions 0 to 1.

    Args:
        control: also train a model on the same conversations with the pictures shuffled among pairs, and
            compare it.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    recipe_path = write_demo(folder, domain=domain, seed=seed, sizes=sizes or WHOLE)
    line = Line(load_recipe(recipe_path, overrides), folder, progress=progress, keys=keys)
    homes = line.build()
    audit = None
    if "curate" in homes:
        scenes = folder / "world" / "oracle" / "scenes.json"
        audit = synthesis_audit(homes, scenes, keep=line.recipe.compose.keep)
    summary = dict(line.report(homes, audits=[audit_table(audit)] if audit else []))
    result: dict[str, object] = {**summary, "synthesis": audit}
    if control:
        result["control"] = _control(recipe_path, folder, homes, overrides, progress, keys)
    return result


def _control(
    recipe_path: Path,
    folder: Path,
    homes: Mapping[str, Path],
    overrides: Sequence[str],
    progress: Progress | None,
    keys: Keys | None,
) -> dict[str, object]:
    """Train and score the control: same texts, pictures shuffled among pairs."""
    recipe = load_recipe(recipe_path, [*overrides, "compose.pictures=shuffled"])
    line = Line(recipe, folder, progress=progress, keys=keys)
    other = line.build(["evaluate-adapted"], aside=True)["evaluate-adapted"]
    items = list(read_records(homes["items"] / "items.parquet", Item))
    scores = [
        score
        for score in (
            *read_records(homes["evaluate-adapted"] / "scores.parquet", Score),
            *(replace(s, model="control") for s in read_records(other / "scores.parquet", Score)),
        )
        if score.benchmark not in recipe.report.general
    ]
    from acclimate.evaluate.stage import primary_by_benchmark

    found = {
        each.key: each
        for each in measure(scores, primary_by_benchmark(items), comparisons=(("adapted", "control"),))
    }
    gap = found["macro/adapted-control/original"]
    return {
        "macro": found["macro/control/original"].value,
        "adapted_minus_control": {"value": gap.value, "low": gap.low, "high": gap.high},
    }
