"""The reliance study on the lab: one world per domain, its oracle in the place of people."""

from collections.abc import Sequence
from pathlib import Path

from acclimate.engines.keys import Keys
from acclimate.engines.spending import Accounts
from acclimate.ingest.conversations import ConversationSource
from acclimate.lab.authentic import N_TASKS, write_authentic
from acclimate.lab.demo import Sizes, write_demo
from acclimate.lab.render import write_once
from acclimate.lab.world import DOMAINS, TARGETS, VERSION
from acclimate.recipe import load_recipe
from acclimate.studies.reliance import Ground

SIZES = Sizes(pairs=1200)
"""The demo's, with half its pairs: thirty models are trained on them (`--arms all`)."""
DATA_SEED = 0
"""Of pictures, captions, questions and the synthesizer; the study's own seeds are those of training."""
DOMAIN_NAMES = tuple(each.key for each in TARGETS)
NOTES = (
    "The embedded world: every domain has its own pictures and questions, of which no model saw any.",
    "Synthetic are the pairs' captions with the tasks that the tuned synthesizer wrote and the filter "
    "kept; authentic are the same captions with questions and answers by the oracle, all of them right, "
    "in the same forms of words.",
    "All models of a domain answer the same questions; seeds are those of training.",
)


def prepare(
    folder: Path,
    domain: str,
    *,
    sizes: Sizes = SIZES,
    overrides: Sequence[str] = (),
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Ground:
    """Write a domain's world and authentic conversations, or what is missing of them; return the ground."""
    place = (folder / domain).resolve()
    path = write_demo(place, domain=domain, seed=DATA_SEED, sizes=sizes)
    aside = place / "authentic"

    def write(out: Path) -> None:
        write_authentic(place / "world", out, DOMAINS[domain], DATA_SEED)

    write_once(aside, f"{VERSION} {domain} {DATA_SEED} {sizes.pairs} {N_TASKS}\n", write)
    source = ConversationSource(
        source=str(aside / "authentic.json"),
        image_root=str(place / "world" / "pairs" / "images"),
        licence="Apache-2.0",
    )
    return Ground(
        domain, load_recipe(path, overrides), place, source, keys=keys, accounts=accounts or Accounts()
    )
