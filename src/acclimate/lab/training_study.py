"""The study of training on the lab: worlds of several seeds, general questions beside them, a second base."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.lab.demo import Sizes, write_demo
from acclimate.lab.render import write_caption_benchmark, write_general_benchmarks, write_once
from acclimate.lab.world import DOMAINS, VERSION
from acclimate.recipe import load_recipe
from acclimate.studies.training import SecondBase, Setting

SIZES = Sizes(questions=300)
"""The demo's, with twice its questions; as many are asked of the general world and for captions."""
LORA: dict[str, Any] = {
    "train.lora": {"rank": 32, "alpha": 64, "targets": ["vision", "projector", "language"]},
    "train.learning_rate": 3e-3,
}
"""One setting for all seeds, chosen on seed 3, which the study does not use."""
PROJECTOR: dict[str, Any] = {"train.learning_rate": 3e-4}
"""Likewise: of four rates the one after which the domain's score was best."""
SECOND: dict[str, Any] = {"train.learning_rate": 1e-3}
"""How the second base is adapted: as the first one is."""
NOTES = (
    "The embedded world; every arm has the demo's conversations, three epochs, batches of 8.",
    "All weights learn in both of two stages, as the paper's Qwen2-VL and Llama do.",
    "Captions ask for the caption of a test picture, as the pairs ask; general skills are four sets of "
    "questions about everyday pictures in everyday words, none of which any model was trained on.",
    "Rank, modules and learning rates of LoRA and of the projector alone were chosen on seed 3.",
)


def prepare(
    folder: Path,
    seed: int,
    *,
    domain: str = "cells",
    sizes: Sizes = SIZES,
    second: str | None = None,
    overrides: Sequence[str] = (),
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Setting:
    """Write a seed's world, or what is missing of it; return the setting.

    Args:
        second: the second base's checkpoint, a whole path; None leaves it out.
    """
    place = (folder / f"{domain}-{seed}").resolve()
    path = write_demo(place, domain=domain, seed=seed, sizes=sizes)
    aside = place / "aside"
    n = sizes.questions

    def write(out: Path) -> None:
        write_general_benchmarks(out, n, seed)
        write_caption_benchmark(out, DOMAINS[domain], n, seed)

    write_once(aside, f"{VERSION} {domain} {seed} {n}\n", write)
    return Setting(
        load_recipe(path, overrides),
        place,
        LORA,
        PROJECTOR,
        general=tuple(sorted(aside.glob("general_*.yaml"))),
        captions=tuple(sorted(aside.glob(f"{domain}_captions.yaml"))),
        second=None if second is None else SecondBase(second, SECOND),
        keys=keys,
        accounts=accounts or Accounts(),
    )
