"""What a report is made of, as plain data: the caller gathers it from artifacts, the report only shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from acclimate.records import Score
from acclimate.report.evidence.corrections import Correction
from acclimate.report.evidence.record import Record
from acclimate.report.reliance import Reliance
from acclimate.report.robustness import Robustness
from acclimate.report.tested import Claim


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
    is_general: bool = False
    """Whether it asks what the untouched model could do already: it then stands under forgetting, with a
    mean of its own, and not in the headline. Ignored where every benchmark is general."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A further model that the adapted one is compared with."""

    role: str
    """As in `Score.model`; no `/`, no `-`, and not `base`, `first_stage` or `adapted`."""
    name: str
    """As it is printed."""


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
    learning_rate: float | None = None
    """Of the language model in this step."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one model answered, and its mark."""

    text: str
    mark: float
    """The primary scorer's, 0 to 1 of full marks."""
    is_parsed: bool = True
    """Whether an answer could be read from it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One question of a benchmark and what the models answered under one image condition."""

    item_id: str
    benchmark: str
    condition: str
    question: str
    gold: str
    """The right answer, for people; several are joined by the caller."""
    replies: Mapping[str, Reply]
    """By model role, in the order of the columns."""
    picture: str = ""
    """The key of the picture shown in `ReportInputs.pictures`; empty where there was none."""


@dataclass(frozen=True, slots=True)
class AblationArm:
    """A model that was made by the same recipe but for one part; its scores are among `scores`."""

    role: str
    """As in `Score.model`, with the rules of `Baseline.role`."""
    name: str
    """As it is printed."""
    differs: str
    """In what its recipe differs."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one part of the work took at a server."""

    name: str
    requests: int
    prompt_tokens: int
    """As the server counts them; of unmetered answers the most they may have used."""
    reply_tokens: int
    money: float | None = None
    """By the prices given; None without prices."""
    currency: str = ""


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
    """Published totals by name: their terms, as `measure.Sum` takes them. A total over general and other
    benchmarks together is left out."""
    claims: tuple[Claim, ...] = ()
    """What the recipe claims, in its order."""
    written_before: frozenset[str] = frozenset()
    """Ids of the claims that stood, word for word, before the trained model was scored."""
    baselines: tuple[Baseline, ...] = ()
    """Further models, in the order of their columns; their scores are among `scores`."""
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What a publication reports, as a fraction of full marks: by `BENCHMARK`, `BENCHMARK/SCORER` (shown in
    the table of all scorers) or `macro`, then by model role."""
    paper_source: str = ""
    """Which publication and table, for the note under the columns."""
    task_types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Number of tasks by data set, then by task type (`quality_tables.quality_from`)."""
    quality: tuple[Audit, ...] = ()
    """Tables of data quality (`quality_tables.quality_from`)."""
    ablations: tuple[AblationArm, ...] = ()
    reliance: tuple[Reliance, ...] = ()
    """Rows of `report.reliance`, of any level; the pages show those over all benchmarks, VRS by benchmark."""
    robustness: tuple[Robustness, ...] = ()
    """Rows of `report.robustness`; the pages show relative drops."""
    trained_tokens: Mapping[str, int] = field(default_factory=dict)
    """By training, the tokens that were learned from."""
    costs: tuple[Cost, ...] = ()
    """Per part of the work that asked a server."""
    answers: tuple[Answer, ...] = ()
    """For the side by side; of these the pages show a sample, drawn by id."""
    n_answers: int = 0
    """How many there are in the whole run, where `answers` is a part; 0: those given are all."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """Encoded pictures by `Answer.picture`; only those shown are read, so this may be a lazy mapping."""
    record: Record | None = None
    """The evidence record as it will stand, its files apart; None shows no evidence."""
    corrections: tuple[Correction, ...] = ()
    """Of the record, in order."""
    limit: int | None = None
    """Set when the run used only so many records: the report then says that it is a test."""

    @property
    def further_roles(self) -> tuple[str, ...]:
        """The roles of the models beside base, first stage and adapted."""
        return (*(each.role for each in self.baselines), *(each.role for each in self.ablations))
