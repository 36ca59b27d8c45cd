"""What a run's evidence record is made of, gathered from its finished artifacts and its recipe."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD, RUN
from acclimate.claimed import written_before
from acclimate.errors import ArtifactError, DataError, RecipeError
from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import ImageStore, read_json, read_records, sha256_file, write_json, write_text
from acclimate.gathered import report_inputs
from acclimate.ingest.seeds import SeedConfig
from acclimate.ingest.stage import IngestConfig
from acclimate.recipe import Recipe, recipe_text
from acclimate.records import Item, Measurement, Prediction, Score
from acclimate.report.columns import PAPER
from acclimate.report.evidence import corrections
from acclimate.report.evidence.assemble import (
    Contents,
    artifact_entry,
    assemble,
    empirical,
    environment_of,
    mathematical,
)
from acclimate.report.evidence.digests import record_json
from acclimate.report.evidence.gate import ABSENT_CODES, Absent, Attachment
from acclimate.report.evidence.manifest import write_manifest
from acclimate.report.evidence.record import (
    ArtifactEntry,
    ArtifactRef,
    ClaimEntry,
    CodeEntry,
    FileEntry,
    Input,
    ProofEntry,
    Provenance,
    Question,
    Record,
    Source,
)
from acclimate.report.inputs import AblationArm, Audit, Baseline, BenchmarkFacts, ReportInputs
from acclimate.report.proved import FOLDER as PROOFS
from acclimate.report.proved import Stated, stated
from acclimate.report.quality_tables import quality_from
from acclimate.report.side_by_side import SideBySide, side_by_side
from acclimate.report.stage import report_measurements, write_report
from acclimate.report.tested import Judged, judged

VERIFICATIONS, RESULT = "verification", "result.json"
"""Of a record's folder: `verification/<n>/result.json`, n from 1."""
RECIPE, ORIGIN = "recipe.yaml", "origin.json"
PAGES = ("index.html", "report.md", "tables.tex", "summary.json", RECIPE, ORIGIN)
FOLDERS = ("examples", "figures", PROOFS)
"""Of a record's folder: what the pages are, besides the single files."""
QUALITY, MEASURED = "quality", "of.json"
"""In a run's folder: the measures of its tasks, and there the fingerprint of the judged tasks they are of."""
NOTE = (
    "Measured by this program on the data named here; written by no person and reviewed by none. Numbers "
    "hold for these questions and these models."
)
_SOURCES = ("*.py", "*.yaml", "*.j2", "*.js", "*.css", "*.json")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a record needs, beside artifacts, to be rendered again; it lies in the record as `origin.json`."""

    base: str
    """What the recipe's paths count from, seen from the run's folder."""
    run: str
    """The run's folder, seen from the record's."""
    audits: tuple[Audit, ...] = ()
    """Tables that the caller added."""
    notes: tuple[str, ...] = ()
    """Sentences that the caller added."""
    quality: Mapping[str, Any] | None = None
    """What was measured of the tasks' quality, as `quality.json` has it; None where it was not."""
    unproved: Mapping[str, Absent] = field(default_factory=dict)
    """Why the last verification could not check a proof, by claim."""

    @classmethod
    def of(
        cls,
        base: Path,
        root: Path,
        out: Path,
        audits: Sequence[Audit],
        notes: Sequence[str],
        quality: Mapping[str, Any] | None = None,
    ) -> "Origin":
        """Return the origin of a record that is written to `out`."""
        return cls(_relative(base, root), _relative(root, out), tuple(audits), tuple(notes), quality)

    @classmethod
    def read(cls, record: Path) -> "Origin":
        """Return the origin of a written record.

        Raises:
            DataError: the file is missing or holds something else.
        """
        path = record / ORIGIN
        data = read_json(path)
        try:
            audits = [
                Audit(one["title"], tuple(one["columns"]), tuple(map(tuple, one["rows"])), one["note"])
                for one in data["audits"]
            ]
            told = dict(data.get("unproved", {}))
            unproved = {name: code for name, code in told.items() if code in ABSENT_CODES}
            notes, quality = tuple(map(str, data["notes"])), data.get("quality")
            return cls(str(data["base"]), str(data["run"]), tuple(audits), notes, quality, unproved)
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} is not what a record holds; render the report again.") from error


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()


@dataclass(frozen=True, slots=True)
class Written:
    """A record as it was written."""

    record: Record
    summary: Mapping[str, object]
    """The report's headline numbers."""
    measurements: tuple[Measurement, ...]


def write_record(
    recipe: Recipe,
    root: Path,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    out: Path,
    *,
    origin: Origin,
    history: Path | None = None,
) -> Written:
    """Write a run's record: pages, tables, figures and the manifest; equal inputs give equal bytes.

    Args:
        root: the run's folder. homes: its finished artifacts by step, in the order of the line.
        out: the record's folder; it is made where it is missing.
        origin: kept in the record.
        history: the folder with the verifications and corrections so far; None takes `out`.

    Raises:
        BenchmarkError: the scores do not fit together. DataError: the record may not say what it would, or
            cannot be written. ArtifactError: its corrections are broken.
    """
    past = out if history is None else history
    attachments, chain = attached_to(past), corrections.read(past)
    if chain.problems:
        raise ArtifactError(f"{past / corrections.FILE}: {chain.problems[0]}")
    measurements = report_measurements(inputs, recipe.report)
    standing = judged(inputs.claims, measurements, inputs.written_before)
    draft = contents_of(recipe, root, homes, inputs, standing)
    shown = assemble(draft, attachments, chain=chain, unproved=origin.unproved)
    whole_inputs = replace(inputs, record=shown, corrections=chain.lines)
    summary = write_report(whole_inputs, out, recipe.report, measurements=measurements)
    write_text(out / RECIPE, recipe_text(recipe))
    write_json(out / ORIGIN, asdict(origin))
    _write_proofs(out, inputs.proofs)
    whole = replace(draft, files=tuple(page_entries(out)))
    record = assemble(whole, attachments, chain=chain, unproved=origin.unproved)
    write_manifest(out, record_json(record))
    return Written(record, summary, tuple(measurements))


def _write_proofs(out: Path, proofs: Iterable[Stated]) -> None:
    """Write the sources of the proofs, and remove those of an earlier recipe."""
    texts = {each.path: each.source for each in proofs}
    for path in sorted((out / PROOFS).glob("*")):
        if f"{PROOFS}/{path.name}" not in texts:
            path.unlink()
    for name, text in texts.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(text.encode("utf-8"))


def proofs_of(recipe: Recipe, base: Path) -> tuple[Stated, ...]:
    """Return the recipe's mathematical claims with the sources of their proofs.

    Args:
        base: what the recipe's paths count from: its folder.

    Raises:
        RecipeError: a source is missing, or does not state its theorem; the message names the key.
    """
    found = []
    for at, proof in enumerate(recipe.report.proofs):
        path, key = base / proof.file, f"report.proofs.{at}.file"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RecipeError(
                f"{key}: {path} cannot be read ({error.strerror}). Put the Lean source of {proof.id!r} there "
                "(the path counts from the recipe's folder), or take the entry out of report.proofs."
            ) from error
        found.append(stated(proof, data, f"{key}: {path}"))
    return tuple(found)


def kept_proofs(recipe: Recipe, record: Path) -> tuple[Stated, ...]:
    """Return the same from the sources that a written record keeps.

    Raises:
        DataError: one is missing there. RecipeError: one does not state its theorem.
    """
    found = []
    for proof in recipe.report.proofs:
        path = record / PROOFS / f"{proof.id}.lean"
        if not path.is_file():
            raise DataError(f"{path} is missing; the record is not whole. Restore it from a copy.")
        found.append(stated(proof, path.read_bytes(), str(path)))
    return tuple(found)


def inputs_of(
    recipe: Recipe,
    root: Path,
    homes: Mapping[str, Path],
    store: ImageStore,
    origin: Origin,
    proofs: Sequence[Stated] = (),
) -> ReportInputs:
    """Return what the report of a finished run shows.

    Args:
        root: the run's folder. homes: its finished artifacts by step, in the order of the line.
        store: gives the pictures.
        proofs: the recipe's mathematical claims.

    Raises:
        ArtifactError: the claims' own record is broken.
    """
    found = report_inputs(
        homes,
        store,
        keep=recipe.compose.keep,
        n_examples=recipe.report.n_examples,
        limit=recipe.limit,
        general=recipe.report.general,
        audits=origin.audits,
        notes=origin.notes,
    )
    task_types, quality = ({}, ()) if origin.quality is None else quality_from(origin.quality)
    further, published = recipe.evaluate.further, recipe.report.published
    claims = recipe.report.claims
    scored = homes.get("evaluate-adapted")
    model = "" if scored is None else str(read_json(scored / RECORD)["fingerprint"])
    beside = _side_by_side(recipe, homes, found.scores)
    return replace(
        found,
        answers=beside.answers,
        n_answers=beside.n_answers,
        pictures={name: store.read(ref) for name, ref in beside.images.items()},
        baselines=tuple(Baseline(each.role, each.printed) for each in further if not each.differs),
        ablations=tuple(
            AblationArm(each.role, each.printed, each.differs) for each in further if each.differs
        ),
        paper={} if published is None else published.numbers(_official(found.scores)),
        paper_source="" if published is None else published.source,
        task_types=task_types,
        quality=quality,
        claims=claims,
        proofs=tuple(proofs),
        written_before=written_before(root, (*claims, *proofs), model),
        checkpoint=_relative(homes["train"] / "checkpoint", root / origin.base),
    )


def _official(scores: Iterable[Score]) -> dict[str, tuple[str, ...]]:
    """Return the scorers that repeat an official script, by benchmark."""
    found = {(each.benchmark, each.scorer) for each in scores if each.scorer.endswith(PAPER)}
    return {
        name: tuple(sorted(scorer for other, scorer in found if other == name))
        for name in dict(sorted(found))
    }


def quality_of(root: Path, homes: Mapping[str, Path]) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Return what `acclimate curate --quality` measured of a run's tasks, and a note where it is of others.

    Args:
        root: the run's folder. homes: its finished artifacts by step.
    """
    path = root / QUALITY / "quality.json"
    step = "curate" if "curate" in homes else "curate-general"
    if step not in homes or not path.is_file():
        return None, ()
    of = path.with_name(MEASURED)
    if of.is_file() and read_json(of) == read_json(homes[step] / RECORD)["fingerprint"]:
        return read_json(path), ()
    return None, (
        "The quality of tasks was measured for another recipe's and is left out; `acclimate curate RECIPE "
        "--quality` measures these.",
    )


def _side_by_side(recipe: Recipe, homes: Mapping[str, Path], scores: Sequence[Score]) -> SideBySide:
    """Return a sample of questions with every model's answers."""
    scored = [home for step, home in homes.items() if step.startswith("evaluate-")]
    if "items" not in homes or not scored:
        return SideBySide((), 0, {})
    items = list(read_records(homes["items"] / "items.parquet", Item))
    asked: Any = read_json(homes["items"] / "benchmarks.json")
    return side_by_side(
        items,
        (each for home in scored for each in read_records(home / "predictions.parquet", Prediction)),
        scores,
        primary_by_benchmark(items, asked.get("scorers")),
        n_most=recipe.report.n_answers,
        seed=recipe.report.seed,
    )


def attached_to(folder: Path) -> list[Attachment]:
    """Return a record's verification artifacts in the order of their numbers, with their bytes."""
    found = []
    for path in sorted(folder.glob(f"{VERIFICATIONS}/*/{RESULT}"), key=lambda each: int(each.parent.name)):
        content = path.read_bytes()
        ref = ArtifactRef(
            path=path.relative_to(folder).as_posix(), sha256=hashlib.sha256(content).hexdigest()
        )
        found.append(Attachment(ref, content))
    return found


def contents_of(
    recipe: Recipe,
    root: Path,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    standing: Sequence[Judged],
    files: Iterable[FileEntry] = (),
) -> Contents:
    """Return what the record of a finished run holds.

    Args:
        root: the run's folder. homes: its finished artifacts by step, in the order of the line.
        inputs: what the report shows.
        standing: the recipe's claims as they stand.
        files: the pages, once they are written.
    """
    question = Question(text=recipe.report.question, measures=recipe.report.measures)
    trained: Any = read_json(homes["train"] / RUN)
    return Contents(
        title=recipe.report.title,
        question=question,
        claims=(
            *(empirical(each, question) for each in standing),
            *(_mathematical(each, question, inputs) for each in inputs.proofs),
        ),
        provenance=_provenance(recipe, homes, inputs),
        limits=tuple(_limits(inputs)),
        artifacts=tuple(_entries(root, homes)),
        files=tuple(files),
        code=CodeEntry(version=version("acclimate"), source_sha256=code_digest()),
        environment=environment_of(trained),
        seeds=_seeds(recipe),
    )


def _mathematical(claim: Stated, question: Question, inputs: ReportInputs) -> ClaimEntry:
    own = claim.proof
    return mathematical(
        own.id,
        own.sentence,
        claim.statement,
        question,
        written="before" if own.id in inputs.written_before else "after",
        proof=ProofEntry(path=claim.path, sha256=claim.sha256, theorem=own.theorem),
    )


def page_entries(folder: Path) -> list[FileEntry]:
    """Return every page, table and figure of a record's folder, sorted by path."""
    found = [folder / name for name in PAGES]
    found += [path for name in FOLDERS for path in (folder / name).rglob("*")]
    return [
        FileEntry(
            path=path.relative_to(folder).as_posix(), sha256=sha256_file(path), bytes=path.stat().st_size
        )
        for path in sorted(found)
        if path.is_file()
    ]


def code_digest() -> str:
    """Return the SHA-256 over this program's source files and their paths, 64 hex digits."""
    package = Path(__file__).parent
    total = hashlib.sha256()
    for path in sorted({each for pattern in _SOURCES for each in package.rglob(pattern)}):
        name = path.relative_to(package).as_posix()
        total.update(f"{name}\0{sha256_file(path)}\n".encode())
    return total.hexdigest()


def _entries(root: Path, homes: Mapping[str, Path]) -> Iterator[ArtifactEntry]:
    for step, home in homes.items():
        own = {name: sha256_file(home / name) for name in (RECORD, RUN)}
        folder = home.relative_to(root).as_posix()
        yield artifact_entry(step, folder, read_json(home / RECORD), read_json(home / RUN), own)


def _provenance(recipe: Recipe, homes: Mapping[str, Path], inputs: ReportInputs) -> Provenance:
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


def _limits(inputs: ReportInputs) -> Iterator[str]:
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


def _seeds(recipe: Recipe) -> dict[str, int]:
    found = {
        "synthesize": recipe.synthesize.seed,
        "compose": recipe.compose.seed,
        "train": recipe.train.seed,
        "evaluate": recipe.evaluate.seed,
        "report": recipe.report.seed,
    }
    return found if recipe.synthesizer is None else {"synthesizer": recipe.synthesizer.seed, **found}
