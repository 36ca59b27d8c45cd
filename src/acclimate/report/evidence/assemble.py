"""Builds a record from judged claims, artifacts and verification artifacts. Pure.

Equal inputs give equal bytes: nothing is read from the clock, the machine or the disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acclimate.errors import DataError
from acclimate.report.evidence.bearing import answer_of, bears
from acclimate.report.evidence.corrections import Chain
from acclimate.report.evidence.digests import record_json, sealed, subject_digest
from acclimate.report.evidence.dimensions import dimensions_of, tier_of
from acclimate.report.evidence.gate import (
    ACTIVATED,
    NAME,
    Absent,
    Attachment,
    printed_statement,
    record_verdict,
    verdict,
    verdict_of_claim,
    with_unproved,
)
from acclimate.report.evidence.ladder import claim_level, is_grounded, record_level
from acclimate.report.evidence.record import (
    CONTRACT,
    ArtifactEntry,
    ClaimEntry,
    CodeEntry,
    Confidence,
    Counts,
    Depth,
    Dimension,
    Dimensions,
    Environment,
    FileEntry,
    Gate,
    Measured,
    Passage,
    ProofEntry,
    Provenance,
    Question,
    Record,
    Registration,
    Tier,
)
from acclimate.report.evidence.shape import parsed
from acclimate.report.tested import Judged, Standing, Written

_NOTHING = verdict(None)
_ZEROS = "0" * 64
_UNGRADED = Dimension(grade="LOW", rule="", values={})


@dataclass(frozen=True, slots=True)
class Contents:
    """What a record is made of; all else follows from it."""

    title: str
    question: Question
    """Its `answer` is made from the claims; what stands there is not read."""
    claims: tuple[ClaimEntry, ...]
    """From `empirical`, `literature` and `mathematical`."""
    provenance: Provenance
    limits: tuple[str, ...]
    """What the record does not show, in words; at least one."""
    artifacts: tuple[ArtifactEntry, ...] = ()
    files: tuple[FileEntry, ...] = ()
    code: CodeEntry | None = None
    environment: Environment | None = None
    seeds: Mapping[str, int] | None = None
    abstract: str = ""
    """In own words; empty has it written from the claims."""
    created: str = ""
    """`YYYY-MM-DD`, for a record without artifacts; else the day of the latest is taken."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What documents say of a claim about the literature."""

    standing: Standing
    reason: str
    """One sentence."""
    passages: tuple[Passage, ...] = ()


UNGROUNDED = Grounds("open", "No passage was found for it.")


def empirical(judged: Judged, question: Question, testable: str = "") -> ClaimEntry:
    """Return the entry of a claim that was judged from an interval.

    Args:
        testable: what would test it; empty says it from the claim's measure.
    """
    claim, found = judged.claim, judged.measurement
    relevant, why = bears(claim.sentence, claim.measure, question)
    measured = None
    if found is not None:
        measured = Measured(
            value=found.value,
            low=found.low,
            high=found.high,
            n=found.n,
            n_clusters=found.n_clusters,
            coverage=found.coverage,
            method=found.method,
            p=found.p,
        )
    return ClaimEntry(
        id=claim.id,
        sentence=claim.sentence,
        kind="empirical",
        level="L1",
        standing=judged.standing,
        reason=judged.reason,
        written=judged.written,
        bears_on_question=relevant,
        bearing=why,
        testable=testable or f"Measure {claim.measure} again and hold its 95 % interval beside the margin.",
        verdict=_NOTHING,
        measure=claim.measure,
        direction=claim.direction,
        margin=claim.margin,
        measurement=measured,
    )


def literature(
    claim_id: str,
    sentence: str,
    question: Question,
    *,
    testable: str,
    grounds: Grounds = UNGROUNDED,
    written: Written = "after",
    confidence: Confidence | None = None,
) -> ClaimEntry:
    """Return the entry of a claim about the literature, with the passages it rests on.

    Args:
        testable: what would test it: a look-up, a number to compare.
    """
    relevant, why = bears(sentence, None, question)
    return ClaimEntry(
        id=claim_id,
        sentence=sentence,
        kind="literature",
        level="L1",
        standing=grounds.standing,
        reason=grounds.reason,
        written=written,
        bears_on_question=relevant,
        bearing=why,
        testable=testable,
        verdict=_NOTHING,
        passages=grounds.passages,
        confidence=confidence,
    )


def mathematical(
    claim_id: str,
    sentence: str,
    statement: str,
    question: Question,
    *,
    written: Written = "before",
    proof: ProofEntry | None = None,
) -> ClaimEntry:
    """Return the entry of a claim that a proof decides: open until the gate has one.

    Args:
        statement: the formal statement, shown beside the sentence.
        proof: where its source stands in the record; None for a claim without one.
    """
    relevant, why = bears(sentence, None, question)
    return ClaimEntry(
        id=claim_id,
        sentence=sentence,
        kind="mathematical",
        level="L1",
        standing="open",
        reason="No proof of it was checked.",
        written=written,
        bears_on_question=relevant,
        bearing=why,
        testable="Type-check a Lean 4 proof of the statement.",
        verdict=_NOTHING,
        statement=statement,
        proof=proof,
    )


def artifact_entry(
    step: str,
    folder: str,
    record: Mapping[str, Any],
    run: Mapping[str, Any],
    own: Mapping[str, str] | None = None,
) -> ArtifactEntry:
    """Return the entry of a finished artifact.

    Args:
        folder: from the run's root, with `/`.
        record: what its record.json holds.
        run: what its run.json holds.
        own: hashes of record.json and run.json themselves, by name.
    """
    return ArtifactEntry(
        step=step,
        folder=folder,
        fingerprint=record["fingerprint"],
        files={**record["files"], **(own or {})},
        ran=str(run["started"])[:10],
    )


def environment_of(run: Mapping[str, Any]) -> Environment:
    """Return the environment that an artifact's run.json names."""
    packages = {name: str(version) for name, version in run["versions"].items()}
    return Environment(python=run["python"], platform=run["platform"], packages=packages)


def assemble(
    contents: Contents,
    attachments: Sequence[Attachment] = (),
    *,
    absent: Absent = "none_attempted",
    unproved: Absent | Mapping[str, Absent] = "none_attempted",
    needs: Depth = "score",
    chain: Chain | None = None,
    registration: Registration | None = None,
) -> Record:
    """Return the whole record, sealed.

    Args:
        attachments: the record's verification artifacts, in order.
        absent: why there is no sandbox reproduction; not read where there is one.
        unproved: why there is no proof, of all claims or by claim; not read where there is one.
        needs: the least depth that counts as a reproduction.
        chain: the corrections so far.

    Raises:
        DataError: there is neither an artifact's day nor one in the contents, or a part is not what a
            record holds.
    """
    days = [each.ran for each in contents.artifacts if each.ran is not None]
    created = max(days, default=contents.created)
    if not created:
        raise DataError("The record has no date: no artifact says when it ran. Give `created` a day.")
    question = contents.question.model_copy(update={"answer": answer_of(contents.claims)})
    gate = Gate(
        name=NAME,
        activated=ACTIVATED,
        verdict=_NOTHING,
        attempts=tuple(each.ref for each in attachments),
        needs=needs,
    )
    draft = Record.model_construct(
        contract=CONTRACT,
        title=contents.title,
        question=question,
        abstract=contents.abstract or _abstract(question, contents.claims),
        created=created,
        level="L1",
        claims=contents.claims,
        counts=Counts(),
        gate=gate,
        tier=Tier(name="listed", basis=()),
        dimensions=Dimensions(
            evidence_strength=_UNGRADED,
            citation_grounding=_UNGRADED,
            uncertainty_disclosure=_UNGRADED,
            reproducibility_status=_UNGRADED,
        ),
        corrections=(chain or Chain((), ())).summary(),
        provenance=contents.provenance,
        registration=registration,
        code=contents.code,
        environment=contents.environment,
        seeds=dict(contents.seeds or {}),
        files=contents.files,
        artifacts=contents.artifacts,
        limits=contents.limits,
        digests={},
        digest=_ZEROS,
    )
    return with_verdicts(draft, attachments, absent=absent, unproved=unproved)


def with_verdicts(
    record: Record,
    attachments: Sequence[Attachment],
    *,
    absent: Absent = "none_attempted",
    unproved: Absent | Mapping[str, Absent] = "none_attempted",
) -> Record:
    """Return the record with the verdicts that its artifacts give, and all that follows from them.

    That is: verdicts, levels, how mathematical claims stand, answer, counts, dimensions, tier, digests. Give
    all of the record's artifacts, in order, old and new.

    Raises:
        DataError: a part is not what a record holds.
    """
    subject, needs = subject_digest(record), record.gate.needs
    claims = []
    for claim in record.claims:
        why = _unproved(claim.id, unproved) if claim.kind == "mathematical" else absent
        found = verdict_of_claim(claim.id, claim.kind, attachments, subject, absent=why, needs=needs)
        judged = claim.model_copy(update={"verdict": found})
        if claim.kind == "mathematical":
            held = found.status == "VERIFIED"
            update = {
                "standing": "supported" if held else "open",
                "reason": found.reason,
                "printed": printed_statement(claim.id, attachments, subject),
            }
            judged = judged.model_copy(update=update)
        claims.append(judged.model_copy(update={"level": claim_level(judged)}))
    proofs = {each.id: each.verdict for each in claims if each.kind == "mathematical"}
    whole = record_verdict(attachments, subject, absent=absent, needs=needs)
    gate = record.gate.model_copy(
        update={
            "verdict": with_unproved(whole, proofs),
            "attempts": tuple(each.ref for each in attachments),
        }
    )
    question = record.question.model_copy(update={"answer": answer_of(claims)})
    was_written_here = record.abstract == _abstract(question, record.claims)
    changed = record.model_copy(
        update={
            "gate": gate,
            "claims": tuple(claims),
            "counts": counts_of(claims),
            "question": question,
            "abstract": _abstract(question, claims) if was_written_here else record.abstract,
        }
    )
    graded = changed.model_copy(update={"dimensions": dimensions_of(changed), "tier": tier_of(changed)})
    return resealed(graded)


def _unproved(claim_id: str, told: Absent | Mapping[str, Absent]) -> Absent:
    return told.get(claim_id, "none_attempted") if isinstance(told, Mapping) else told


def resealed(record: Record) -> Record:
    """Return the record with its level and digests made anew.

    Raises:
        DataError: a part is not what a record holds.
    """
    data = sealed(record_json(record))
    bare = record.model_copy(update={"digest": data["digest"]})
    found = parsed(Record, sealed({**data, "level": record_level(bare)}))
    if isinstance(found, list):
        raise DataError(f"The record cannot be made. {'; '.join(map(str, found[:5]))}")
    return found


def registered(record: Record, registration: Registration) -> Record:
    """Return the record with the place where its digest is kept; the digest stays the same."""
    return resealed(record.model_copy(update={"registration": registration}))


def counts_of(claims: Sequence[ClaimEntry]) -> Counts:
    """Return how many claims there are of each sort."""
    standings = [each.standing for each in claims]
    return Counts(
        claims=len(claims),
        source_grounded=sum(is_grounded(each) for each in claims),
        verified=sum(each.verdict.status == "VERIFIED" for each in claims),
        supported=standings.count("supported"),
        refuted=standings.count("refuted"),
        open=standings.count("open"),
    )


def _abstract(question: Question, claims: Sequence[ClaimEntry]) -> str:
    """Write the abstract from the claims: what is asked, how the claims stand, what is answered."""
    counts = counts_of(claims)
    standing = f"{counts.supported} supported, {counts.refuted} refuted, {counts.open} open"
    return f"Asked: {question.text} Of {counts.claims} claims, {standing}. {answer_of(claims).sentence}"
