"""What stands in a record's `manifest.json`: its models, contract `acclimate-record/v1`. Pure.

    question ── claims[] ── verdict ◀── gate ◀── verification/<n>/result.json
                  │ passage or measurement
                  ▼
    provenance (sources, references, inputs), artifacts[], files[], code, environment, seeds
                  │ published rules, one way only
                  ▼
    level, tier, dimensions                 (never read by the gate)

The models hold whatever a publisher might say, also what no record may say: `contradictions` judges that,
and names it. Fields that our own records leave empty exist so that such a statement has a place.
"""

from typing import Literal, TypeAlias

from pydantic import BaseModel, Field

from acclimate.report.evidence.shape import STRICT, Day, Inside, Sha256, Words
from acclimate.report.tested import Direction, Standing, Written

CONTRACT = "acclimate-record/v1"
CORRECTION_CONTRACT = "acclimate-corrections/v1"

Kind: TypeAlias = Literal["empirical", "mathematical", "literature"]
Level: TypeAlias = Literal["L1", "L2", "L3", "L4"]
ClaimLevel: TypeAlias = Literal["L1", "L2", "L3"]
Grade: TypeAlias = Literal["LOW", "MEDIUM", "HIGH"]
Status: TypeAlias = Literal["VERIFIED", "UNVERIFIED", "FAILED"]
Depth: TypeAlias = Literal["score", "generate", "train"]
Code: TypeAlias = Literal[
    "reproduced",
    "proved",
    "not_reproduced",
    "proof_rejected",
    "none_attempted",
    "before_activation",
    "no_lean",
    "no_library",
    "timeout",
    "lean_failed",
    "sandbox_unavailable",
    "not_finished",
    "artifact_missing",
    "artifact_altered",
    "artifact_unreadable",
    "artifact_of_another_record",
    "not_sealed",
    "depth_too_shallow",
    "not_covered",
    "not_empirical",
]
Answered: TypeAlias = Literal["answered", "partly", "not_answered"]


class ArtifactRef(BaseModel):
    """A file of the record and what its bytes must be."""

    model_config = STRICT

    path: Inside
    """From the record's folder, for instance `verification/1/result.json`."""
    sha256: Sha256


class Verdict(BaseModel):
    """What a verification artifact says; `gate.verdict` makes it, nothing else."""

    model_config = STRICT

    status: Status
    code: Code
    reason: Words
    """One sentence."""
    depth: Depth | None = None
    """How deep the reproduction went; None for a proof, or where there is none."""
    artifact: ArtifactRef | None = None


class Gate(BaseModel):
    """The gate, and how the record stands before it."""

    model_config = STRICT

    name: Words
    activated: Day
    """From this day on the gate could be passed."""
    verdict: Verdict
    attempts: tuple[ArtifactRef, ...] = ()
    """Every verification artifact of the record, in order."""
    needs: Depth = "score"
    """The least depth that counts as a reproduction here."""


class Passage(BaseModel):
    """Words of a source that a claim about the literature rests on."""

    model_config = STRICT

    source: Words
    """A `Source.id`."""
    quote: Words
    """Word for word."""
    where: str = ""
    """Page, section or line."""
    score: float | None = Field(default=None, ge=0.0, le=1.0)
    """Calibrated support, 0 to 1; None where it was found by hand."""


class Measured(BaseModel):
    """A number with its 95 % interval: `records.Measurement` without its key."""

    model_config = STRICT

    value: float
    low: float
    high: float
    n: int = Field(ge=0)
    n_clusters: int = Field(ge=0)
    coverage: float = Field(ge=0.0, le=1.0)
    method: Words
    """How the interval was made; `one_cluster` says that there is none."""
    p: float | None = Field(default=None, ge=0.0, le=1.0)


class Calibration(BaseModel):
    """How a confidence was held against the truth."""

    model_config = STRICT

    method: Words
    n: int = Field(ge=0)
    """Labelled cases; 0 says plainly that it was never calibrated."""


class Confidence(BaseModel):
    """A number that a publisher prints beside a claim."""

    model_config = STRICT

    value: float = Field(ge=0.0, le=1.0)
    meaning: str | None = None
    """What event has this probability, or what else the number is."""
    calibration: Calibration | None = None


class Mark(BaseModel):
    """A word or tick that a publisher prints beside a claim."""

    model_config = STRICT

    name: Words
    """The column's head."""
    value: Words


class ProofEntry(BaseModel):
    """The Lean 4 source of a mathematical claim, which stands in the record."""

    model_config = STRICT

    path: Inside
    """From the record's folder; one of its `files`."""
    sha256: Sha256
    theorem: Words
    """The theorem's full name."""


class ClaimEntry(BaseModel):
    """One sentence, what is behind it, and how it stands."""

    model_config = STRICT

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    sentence: Words
    kind: Kind
    level: ClaimLevel
    standing: Standing
    reason: Words
    """Why it stands so, in one sentence."""
    written: Written
    """Before or after the first score of the trained model existed."""
    bears_on_question: bool
    bearing: str
    """Why it bears on the question, or does not."""
    testable: str | None
    """What would test it; None says nothing, which no record may."""
    verdict: Verdict
    measure: Words | None = None
    """`Measurement.key`; empirical claims need it."""
    direction: Direction | None = None
    margin: float | None = Field(default=None, ge=0.0)
    """In the measurement's unit: a fraction of full marks for scores."""
    measurement: Measured | None = None
    """None where the run did not measure it."""
    statement: str | None = None
    """A mathematical claim's formal statement, as its source writes it."""
    proof: ProofEntry | None = None
    """Of a mathematical claim: where its proof is."""
    printed: str | None = None
    """The same statement as the checker printed it; None before a check came so far."""
    passages: tuple[Passage, ...] = ()
    confidence: Confidence | None = None
    marks: tuple[Mark, ...] = ()


class Answer(BaseModel):
    """What the record answers to its question."""

    model_config = STRICT

    status: Answered
    sentence: Words
    claims: tuple[str, ...] = ()
    """Ids of the claims that it rests on."""


class Question(BaseModel):
    """What is asked, and what would answer it."""

    model_config = STRICT

    text: Words
    measures: tuple[Words, ...] = Field(min_length=1)
    """Measured quantities that would answer it: keys of measurements, or words that name the quantity."""
    answer: Answer | None = None


class Counts(BaseModel):
    """How many claims there are of each sort; None is not stated."""

    model_config = STRICT

    claims: int | None = Field(default=None, ge=0)
    source_grounded: int | None = Field(default=None, ge=0)
    """With a passage or a stored measurement."""
    verified: int | None = Field(default=None, ge=0)
    """Whose own verdict is VERIFIED."""
    supported: int | None = Field(default=None, ge=0)
    refuted: int | None = Field(default=None, ge=0)
    open: int | None = Field(default=None, ge=0)


class Basis(BaseModel):
    """One rule of a tier and the value that it was held against."""

    model_config = STRICT

    rule: Words
    value: int | float | None
    threshold: int | float | None
    """At least this much; None is not stated."""
    met: bool


class Tier(BaseModel):
    """Triage by published thresholds; says nothing on truth."""

    model_config = STRICT

    name: Words
    basis: tuple[Basis, ...]
    note: str = ""


class Dimension(BaseModel):
    """One grade, the rule that gave it and the values it was given."""

    model_config = STRICT

    grade: Grade
    rule: str
    values: dict[str, int | float | None]


class Dimensions(BaseModel):
    """The four dimensions of quality. Names: seed 000."""

    model_config = STRICT

    evidence_strength: Dimension
    citation_grounding: Dimension
    uncertainty_disclosure: Dimension
    reproducibility_status: Dimension


class Corrections(BaseModel):
    """Where the chain of corrections stood when this manifest was written."""

    model_config = STRICT

    status: Literal["CURRENT", "CORRECTED"]
    count: int = Field(ge=0)
    head: Sha256 | None
    """Of the chain's last line; 64 zeros for a chain without lines."""
    contract: Words = CORRECTION_CONTRACT


class Source(BaseModel):
    """A document or a data set that the record draws on."""

    model_config = STRICT

    id: Words
    title: Words
    where: str = ""
    """DOI, address, or the file's name."""
    licence: str = "unknown"
    sha256: Sha256 | None = None
    """Of the text or data as it was read."""


class Reference(BaseModel):
    """Something cited, and what for."""

    model_config = STRICT

    where: Words
    """DOI or address."""
    use: str
    """What it is cited for."""
    claims: tuple[str, ...] = ()
    """Ids of the claims that use it."""


class Search(BaseModel):
    """How the sources were found."""

    model_config = STRICT

    where: Words
    retrieved: int = Field(ge=0)
    """Documents retrieved; every one is listed among the sources."""


class Review(BaseModel):
    """A review, and what its score means; never read by the gate."""

    model_config = STRICT

    method: Words
    score: float | None = None
    out_of: float | None = None


class Input(BaseModel):
    """Data that went in."""

    model_config = STRICT

    role: Words
    sha256: Sha256
    n: int = Field(ge=0)
    """Rows, pairs or items."""


class Provenance(BaseModel):
    """Where it all comes from."""

    model_config = STRICT

    publisher: Words
    note: str
    method: str = ""
    sources: tuple[Source, ...] = ()
    references: tuple[Reference, ...] = ()
    search: Search | None = None
    licences: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    review: Review | None = None
    claims_source: str = "claims[] of this manifest"
    """Where the single claims can be read."""
    level: Level | None = None
    """A level stated of the provenance alone; the same as the record's or none."""
    report: str = ""
    lineage: str = ""
    contracts: tuple[str, ...] = ()
    """Contracts that a record was transcribed from."""


class Registration(BaseModel):
    """Where the record's digest is kept beyond its publisher's reach."""

    model_config = STRICT

    where: Words
    identifier: str = ""
    day: Day | None = None
    digest: Sha256 | None
    """`Record.digest` as it was registered."""


class CodeEntry(BaseModel):
    """The program that made the record."""

    model_config = STRICT

    version: Words
    source_sha256: Sha256 | None
    """Over its source files."""


class Environment(BaseModel):
    """The interpreter, the machine's system and the packages."""

    model_config = STRICT

    python: Words
    platform: Words
    packages: dict[str, str]
    """Version by name."""


class FileEntry(BaseModel):
    """One file of the record."""

    model_config = STRICT

    path: Inside
    sha256: Sha256
    bytes: int = Field(ge=0)


class ArtifactEntry(BaseModel):
    """One artifact of the run: nothing of it is copied, all of it is named."""

    model_config = STRICT

    step: Words
    folder: Inside
    """From the run's root."""
    fingerprint: Sha256
    files: dict[str, Sha256]
    """Hash of each file by its path under the folder."""
    ran: Day | None = None
    """The day its step started, as its run.json says."""


class Record(BaseModel):
    """A record's manifest."""

    model_config = STRICT

    contract: Literal["acclimate-record/v1"]
    title: Words
    question: Question
    abstract: Words
    """In the record's own words."""
    created: Day
    """The last day on which one of its artifacts was begun."""
    level: Level
    claims: tuple[ClaimEntry, ...]
    counts: Counts
    gate: Gate
    tier: Tier
    dimensions: Dimensions
    corrections: Corrections
    provenance: Provenance
    registration: Registration | None = None
    code: CodeEntry | None
    environment: Environment | None
    seeds: dict[str, int]
    """Seeds of randomness by role."""
    files: tuple[FileEntry, ...]
    """Every file of the record but `manifest.json`, `corrections.jsonl` and `verification/`."""
    artifacts: tuple[ArtifactEntry, ...]
    limits: tuple[Words, ...] = Field(min_length=1)
    digests: dict[str, Sha256]
    """Of every other top-level section, `digest` left out."""
    digest: Sha256
    """Of the whole: see `digests`."""
