"""What a run's evidence record is made of, gathered from its finished artifacts and its recipe."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from acclimate.answered import answered_in
from acclimate.artifacts import RECORD, RUN
from acclimate.claimed import written_before
from acclimate.errors import ArtifactError
from acclimate.files import ImageStore, read_json, sha256_file, write_json, write_text
from acclimate.gathered import report_inputs
from acclimate.origin import ORIGIN, RECIPE, Origin, relative, write_proofs
from acclimate.provenance import code_digest, limits_of, provenance_of, seeds_of
from acclimate.recipe import Recipe, recipe_text
from acclimate.records import Measurement, Score
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
from acclimate.report.evidence.gate import Attachment
from acclimate.report.evidence.manifest import write_manifest
from acclimate.report.evidence.record import (
    ArtifactEntry,
    ArtifactRef,
    ClaimEntry,
    CodeEntry,
    FileEntry,
    ProofEntry,
    Question,
    Record,
)
from acclimate.report.inputs import AblationArm, Baseline, ReportInputs
from acclimate.report.proved import FOLDER as PROOFS
from acclimate.report.proved import Stated
from acclimate.report.quality_tables import quality_from
from acclimate.report.side_by_side import side_by_side
from acclimate.report.stage import report_measurements, write_report
from acclimate.report.tested import Judged, judged

VERIFICATIONS, RESULT = "verification", "result.json"
"""Of a record's folder: `verification/<n>/result.json`, n from 1."""
PAGES = ("index.html", "report.md", "tables.tex", "summary.json", RECIPE, ORIGIN)
FOLDERS = ("examples", "figures", PROOFS)
"""Of a record's folder: what the pages are, besides the single files."""


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
    write_proofs(out, inputs.proofs)
    whole = replace(draft, files=tuple(page_entries(out)))
    record = assemble(whole, attachments, chain=chain, unproved=origin.unproved)
    write_manifest(out, record_json(record))
    return Written(record, summary, tuple(measurements))


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
    answered = answered_in(homes)
    found = report_inputs(
        homes,
        store,
        answered,
        keep=recipe.compose.keep,
        n_examples=recipe.report.n_examples,
        limit=recipe.limit,
        general=recipe.report.general,
    )
    task_types, quality = ({}, ()) if origin.quality is None else quality_from(origin.quality)
    further, published = recipe.evaluate.further, recipe.report.published
    claims = recipe.report.claims
    scored = homes.get("evaluate-adapted")
    model = "" if scored is None else str(read_json(scored / RECORD)["fingerprint"])
    beside = side_by_side(
        answered.items,
        answered.predictions,
        found.scores,
        answered.primary,
        n_most=recipe.report.n_answers,
        seed=recipe.report.seed,
    )
    return replace(
        found,
        audits=origin.audits,
        notes=(*found.notes, *origin.notes),
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
        checkpoint=relative(homes["train"] / "checkpoint", root / origin.base),
    )


def _official(scores: Iterable[Score]) -> dict[str, tuple[str, ...]]:
    """Return the scorers that repeat an official script, by benchmark."""
    found = {(each.benchmark, each.scorer) for each in scores if each.scorer.endswith(PAPER)}
    return {
        name: tuple(sorted(scorer for other, scorer in found if other == name))
        for name in dict(sorted(found))
    }


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
        provenance=provenance_of(recipe, homes, inputs),
        limits=tuple(limits_of(inputs)),
        artifacts=tuple(_entries(root, homes)),
        files=tuple(files),
        code=CodeEntry(version=version("acclimate"), source_sha256=code_digest()),
        environment=environment_of(trained),
        seeds=seeds_of(recipe),
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


def _entries(root: Path, homes: Mapping[str, Path]) -> Iterator[ArtifactEntry]:
    for step, home in homes.items():
        own = {name: sha256_file(home / name) for name in (RECORD, RUN)}
        folder = home.relative_to(root).as_posix()
        yield artifact_entry(step, folder, read_json(home / RECORD), read_json(home / RUN), own)
