"""Who publishes a run, what it was made from, by which program, and how far it reaches."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD
from acclimate.files import read_json, sha256_file
from acclimate.ingest.seeds import SeedConfig
from acclimate.ingest.stage import IngestConfig
from acclimate.recipe import Recipe
from acclimate.report.evidence.record import Input, Provenance, Source
from acclimate.report.inputs import BenchmarkFacts, ReportInputs

NOTE = (
    "Measured by this program on the data named here; written by no person and reviewed by none. Numbers "
    "hold for these questions and these models."
)
_SOURCES = ("*.py", "*.yaml", "*.j2", "*.js", "*.css", "*.json")


def provenance_of(recipe: Recipe, homes: Mapping[str, Path], inputs: ReportInputs) -> Provenance:
    """Return who publishes a run, and what it was made from.

    Args:
        homes: its finished artifacts by step. inputs: what its report shows.
    """
    records: dict[str, Any] = {step: read_json(home / RECORD) for step, home in homes.items()}
    return Provenance(
        publisher=recipe.report.publisher,
        note=NOTE,
        sources=(*_data_sources(recipe, records), *map(_benchmark_source, inputs.benchmarks)),
        licences=tuple(sorted({each for record in records.values() for each in record["licences"]})),
        inputs=tuple(
            Input(role=step, sha256=record["fingerprint"], n=int(record["counts"].get("inputs", 0)))
            for step, record in records.items()
            if not record["inputs"]
        ),
    )


def _data_sources(recipe: Recipe, records: Mapping[str, Any]) -> Iterator[Source]:
    tuning = recipe.synthesizer
    named: dict[str, tuple[str, IngestConfig | SeedConfig | None]] = {
        "ingest": ("Image-caption pairs", recipe.ingest),
        "seeds": ("Seed examples of the synthesizer", None if tuning is None else tuning.seeds),
        "general": ("Seed examples of general tasks", recipe.general),
    }
    for step, (title, data) in named.items():
        if step in records and data is not None:
            licences = ", ".join(records[step]["licences"]) or data.licence
            yield Source(id=step, title=title, where=Path(data.source).name, licence=licences or "unknown")
    if "conversations" in records:
        licences = ", ".join(records["conversations"]["licences"]) or "unknown"
        where = ", ".join(Path(str(each.source)).name for each in recipe.conversations)
        yield Source(id="conversations", title="Ready-made conversations", where=where, licence=licences)


def _benchmark_source(facts: BenchmarkFacts) -> Source:
    return Source(
        id=f"benchmark {facts.name}",
        title=f"{facts.name}: {facts.citation}" if facts.citation else f"Questions of {facts.name}",
        licence=facts.licence or "unknown",
        sha256=facts.sha256 or None,
    )


def limits_of(inputs: ReportInputs) -> Iterator[str]:
    """Yield how far a run's record reaches, in sentences."""
    yield (
        "Intervals say what other questions and pictures of the same kind would give. They do not say what "
        "another seed of training would: this run trained one model."
    )
    yield "A claim that is open is not refuted: the questions were too few to decide it."
    if inputs.limit is not None:
        yield f"A test only: the run used at most {inputs.limit} rows of every source."
    for each in inputs.benchmarks:
        if each.note:
            yield f"{each.name}: {each.note}."
    yield from inputs.notes


def seeds_of(recipe: Recipe) -> dict[str, int]:
    """Return every seed of a recipe, by its part."""
    found = {
        "synthesize": recipe.synthesize.seed,
        "compose": recipe.compose.seed,
        "train": recipe.train.seed,
        "evaluate": recipe.evaluate.seed,
        "report": recipe.report.seed,
    }
    return found if recipe.synthesizer is None else {"synthesizer": recipe.synthesizer.seed, **found}


def code_digest() -> str:
    """Return the SHA-256 over this program's source files and their paths, 64 hex digits."""
    package = Path(__file__).parent
    total = hashlib.sha256()
    for path in sorted({each for pattern in _SOURCES for each in package.rglob(pattern)}):
        name = path.relative_to(package).as_posix()
        total.update(f"{name}\0{sha256_file(path)}\n".encode())
    return total.hexdigest()
