"""What is run sealed: stored predictions are scored again, the record is rendered again, models asked again.

    python -m acclimate.verify.inside PLAN.json OUT

Everything is read where it lies, from folders that cannot be written to; `OUT` gets `findings.json` and
`record/`, the record rendered again.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from acclimate.errors import AcclimateError
from acclimate.files import ImageStore, read_json, read_records, write_json
from acclimate.origin import RECIPE, Origin, kept_proofs
from acclimate.recipe import Recipe, load_recipe
from acclimate.recorded import inputs_of, write_record
from acclimate.records import Item
from acclimate.report.evidence.record import Depth
from acclimate.verify.asked import asked_in
from acclimate.verify.findings import Finding
from acclimate.verify.regenerated import reply_findings, sample_of
from acclimate.verify.rendered import manifest_findings, page_findings
from acclimate.verify.rescored import score_findings
from acclimate.workplace import Engines, Place, Silent

AGAIN, FINDINGS = "record", "findings.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is looked at, and how deep. Paths are absolute and the same inside and outside."""

    record: str
    root: str
    """The run's folder."""
    base: str
    """What the recipe's paths count from."""
    folders: Sequence[Sequence[str]]
    """Every step and its artifact's folder, in the order of the line."""
    pictures: str
    """Root of a store with the pictures that lie outside the run's folder."""
    depth: Depth
    sample: int | None
    """So many items of all benchmarks together are asked again; None asks all."""
    seed: int


def findings_of(plan: Plan, out: Path) -> Iterator[Finding]:
    """Yield everything that does not follow, and write the record rendered again to `out`."""
    record, root = Path(plan.record), Path(plan.root)
    homes = {step: Path(folder) for step, folder in plan.folders}
    for step in homes:
        if step.startswith("evaluate-"):
            yield from score_findings(homes[step], homes["items"], step)
    recipe = load_recipe(record / RECIPE)
    store = ImageStore(out / "store", behind=(root, Path(plan.pictures)))
    try:
        proofs = kept_proofs(recipe, record)
        inputs = inputs_of(recipe, root, homes, store, Origin.read(record), proofs)
        write_record(recipe, root, homes, inputs, out / AGAIN, history=record, origin=Origin.read(record))
    except AcclimateError as error:
        yield Finding("page", plan.record, "artifacts that a record can be rendered from", str(error))
    else:
        yield from page_findings(record, out / AGAIN)
        yield from manifest_findings(record, out / AGAIN)
    if plan.depth == "generate":
        yield from _asked_again(plan, recipe, homes, store, out)


def _asked_again(
    plan: Plan, recipe: Recipe, homes: Mapping[str, Path], store: ImageStore, out: Path
) -> Iterator[Finding]:
    items = list(read_records(homes["items"] / "items.parquet", Item))
    only = sample_of(items, plan.sample, plan.seed)
    place = Place(Path(plan.root), store, Engines(store, out / "hashes"), Silent())
    for each in asked_in(recipe, homes, Path(plan.base)):
        yield from reply_findings(
            homes,
            each.step,
            each.role,
            each.model,
            place,
            config=recipe.evaluate,
            execution=recipe.synthesize.execution,
            only=only,
        )


def main() -> None:
    """Read the plan, look, and write down what was found."""
    plan, out = Plan(**read_json(Path(sys.argv[1]))), Path(sys.argv[2])
    write_json(out / FINDINGS, [asdict(each) for each in findings_of(plan, out)])


if __name__ == "__main__":
    main()
