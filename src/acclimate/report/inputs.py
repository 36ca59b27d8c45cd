"""What a report is made of, as plain data: the caller gathers it from artifacts, the report only shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from acclimate.records import Score


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """What went into a room, came out of it, and was rejected."""

    name: str
    inputs: int
    outputs: int
    rejections: Mapping[str, int] = field(default_factory=dict)
    """Number of rejected inputs per reason."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Further counts, by name."""


@dataclass(frozen=True, slots=True)
class BenchmarkFacts:
    """What a reader must know of a benchmark."""

    name: str
    """As in `Score.benchmark`."""
    scorer: str
    """The primary scorer's name."""
    n_rows: int
    """Rows of its file, rejected ones included."""
    chance: float | None = None
    """A guesser's score, 0 to 1."""
    licence: str = "unknown"
    citation: str = ""
    note: str = ""
    """For instance `not checked by people`."""
    sha256: str = ""
    """Of its files of questions."""


@dataclass(frozen=True, slots=True)
class Example:
    """One synthetic task with its picture."""

    image: bytes
    """Encoded; empty shows no picture."""
    media_type: str
    caption: str
    instruction: str
    informative: str
    precise: str
    is_kept: bool
    reason: str
    """Why it was kept or rejected, for instance `consistent 0.97`."""


@dataclass(frozen=True, slots=True)
class LossPoint:
    """The training loss at one step."""

    step: int
    loss: float
    """In nats per trained token."""


@dataclass(frozen=True, slots=True)
class Audit:
    """A table that the caller adds, cells already formatted."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of code that shows how to use the result."""

    title: str
    code: str
    language: str = "python"


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Everything a report shows. Equal inputs give equal bytes."""

    scores: tuple[Score, ...]
    """Of every scorer, model and condition."""
    benchmarks: tuple[BenchmarkFacts, ...]
    rooms: tuple[RoomSummary, ...] = ()
    """In the order of the line."""
    examples: tuple[Example, ...] = ()
    losses: tuple[LossPoint, ...] = ()
    times: tuple[tuple[str, float], ...] = ()
    """Seconds per part of the work, in order; empty where they are not to be shown."""
    environment: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str = ""
    """Where the adapted checkpoint lies, as a user would type it; empty where there is none."""
    snippets: tuple[Snippet, ...] | None = None
    """How to use the checkpoint; None shows the transformers snippets."""
    audits: tuple[Audit, ...] = ()
    notes: tuple[str, ...] = ()
    sums: Mapping[str, tuple[tuple[str, str, float], ...]] = field(default_factory=dict)
    """Published totals by name: their terms, as `measure.Sum` takes them."""
    limit: int | None = None
    """Set when the run used only so many records: the report then says that it is a test."""
