"""Every record that crosses a room's door.

    rows ──ingest──▶ ImageCaption ──synthesize──▶ Triplet ──curate──▶ JudgedTriplet
    ImageCaption + JudgedTriplet ──compose──▶ Conversation ──train──▶ a checkpoint folder
    Item + engine ──evaluate──▶ Prediction, Score ──report──▶ Measurement, pages

Records are frozen and hold plain values. Ids are derived from content, never from position, so
removing one record changes no other. Fractions are 0 to 1 everywhere.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

AnswerKind = Literal["closed", "open", "choice", "multi_label", "vqa", "caption", "graded", "compared"]
Label = Literal["consistent", "inconsistent", "open", "unjudged"]
Role = Literal["system", "user", "assistant"]


def content_id(*parts: str) -> str:
    """Return 16 hex digits that depend on the parts, in order, and on nothing else."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image by its content; where its bytes lie is the image store's business."""

    sha256: str
    """Of the encoded bytes, 64 hex digits."""
    width_px: int
    height_px: int
    media_type: str
    """For instance `image/png`."""


@dataclass(frozen=True, slots=True)
class Box:
    """One labelled region."""

    label: str
    x0: float
    """Left edge as a fraction of the width, 0 to 1; likewise below."""
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Boxes:
    """Regions of the image, and any further captions."""

    boxes: tuple[Box, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mentions:
    """Sentences of the source document that mention the figure."""

    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecipeText:
    """A cooking recipe that belongs to the image."""

    title: str
    ingredients: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageCaption:
    """One image with its caption: what a user brings."""

    id: str
    image: ImageRef
    caption: str
    source: str
    """The file or data set the pair came from, as the recipe names it."""
    licence: str
    """As the source states it; `unknown` where it states none."""
    annotation: Boxes | Mentions | RecipeText | None = None


@dataclass(frozen=True, slots=True)
class SeedExample:
    """One worked example that teaches the synthesizer: a pair with an instruction and two answers."""

    id: str
    image: ImageRef
    caption: str
    instruction: str
    informative: str
    precise: str
    source: str


@dataclass(frozen=True, slots=True)
class Triplet:
    """One synthetic task: an instruction with a long and a short answer.

    A method that writes one answer only leaves `precise` empty; such a task cannot be judged for consistency.
    Tasks of one reply that build on each other share its id and count their `turn`.
    """

    id: str
    pair_id: str
    instruction: str
    informative: str
    precise: str
    generator: str
    """What wrote it: `synthesizer`, `rules`, ..."""
    reply_id: str
    """The reply it was read from."""
    kind: str = ""
    """What its method calls this sort of task: `conversation`, `detail`, ...; empty where it has no sorts."""
    turn: int = 0
    """Place among the tasks of one reply that are one conversation, from 0."""


@dataclass(frozen=True, slots=True)
class JudgedTriplet:
    """A triplet with the consistency judge's verdict; keeping is decided downstream."""

    id: str
    pair_id: str
    instruction: str
    informative: str
    precise: str
    generator: str
    label: Label
    p_consistent: float
    """Probability of the label, 0 to 1; the three sum to 1, or are all 0 where nobody judged."""
    p_inconsistent: float
    p_open: float
    judge: str
    """The judge's engine identity; empty where nobody judged."""
    reply_id: str = ""
    kind: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Role
    text: str
    trained: bool
    """Whether the loss counts this turn."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One training example."""

    id: str
    images: tuple[ImageRef, ...]
    turns: tuple[Turn, ...]
    stage: int
    """The training stage it belongs to, from 1."""
    sources: tuple[str, ...]
    """Ids of the pairs and triplets it was made from."""
    image_turns: tuple[int, ...] = ()
    """For each image the turn it stands in, from 0, never falling; images stand before their turn's text.
    Empty where all stand in the first user turn."""


@dataclass(frozen=True, slots=True)
class Item:
    """One benchmark question."""

    id: str
    benchmark: str
    question: str
    """The prompt's text, whole."""
    image: ImageRef | None
    kind: AnswerKind
    gold: tuple[str, ...]
    """One accepted answer for closed, open, choice and graded; every right label for multi_label; the
    annotators' answers for vqa; the reference texts for caption; the rival answer for compared."""
    choices: tuple[str, ...]
    """Contents of A, B, C, ... for choice; every known label for multi_label; else empty."""
    cluster: str
    """Items of one cluster (image or case) are resampled together."""
    stratum: str = ""
    group: str = ""
    """Questions that are right only together: the rotations of one multiple-choice question, the questions of
    one MME picture. Empty where each stands alone."""
    subsets: tuple[str, ...] = ()
    """Named parts of the benchmark it belongs to, such as `subject NAT`; they may overlap."""
    context: str = ""
    """What a judge is told of the picture."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answered to one item under one image condition."""

    item_id: str
    benchmark: str
    model: str
    """The model's role in the run: `base` or `adapted`."""
    condition: str
    """`original`, `mismatch`, `blank`, ..."""
    image: ImageRef | None
    text: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a scorer says about one answer."""

    value: float | None
    """Fraction of full marks, 0 to 1; None means not scored, which is never the same as 0."""
    parsed: bool = True
    """Whether an answer could be read from the text; an unreadable one is marked 0."""
    reason: str = ""
    """A short constant, so that reasons can be counted."""
    parts: tuple[float, ...] = ()
    """Of a metric that is no mean of items: what each item adds to its sums (`Score.parts`)."""


@dataclass(frozen=True, slots=True)
class Score:
    """One item's mark in one scorer."""

    item_id: str
    benchmark: str
    model: str
    condition: str
    scorer: str
    value: float
    """Fraction of full marks, 0 to 1; CIDEr goes to 10."""
    parsed: bool
    reason: str
    cluster: str
    parts: tuple[float, ...] = ()
    """Empty where the score is the mean of the items' values. Two numbers, numerator and denominator, where
    it is the ratio of the items' sums (F1, precision, ratio of means, one mark per group). Else BLEU's
    2n + 2: matches and candidates of the 1-grams, ..., of the n-grams, length, reference length."""
    subsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric with its 95 % interval."""

    key: str
    """For instance `cells_open/adapted/original` or `cells_open/adapted-base/original`."""
    value: float
    low: float
    high: float
    n: int
    n_clusters: int
    coverage: float
    """Scored items as a fraction of the benchmark's items."""
    method: str
    """How the interval was made: `cluster_bootstrap`; `wilson_clusters` where a score of 0 or 100 % leaves
    nothing to resample; `one_cluster` where a difference has no interval but the whole scale."""
    p: float | None = None
    """Two-sided sign-flip p of a benchmark's difference between two models; None for anything else."""
    p_holm: float | None = None
    """The same adjusted (Holm) for all benchmarks' primary scores of these two models; None for others."""
    p_mcnemar: float | None = None
    """Exact McNemar p, where marks are 0 or 1 and every cluster has one item; None elsewhere."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """An input a room did not pass on, and why."""

    id: str
    room: str
    reason: str
    """A short constant, so that reasons can be counted; particulars go to `detail`."""
    detail: str = ""
