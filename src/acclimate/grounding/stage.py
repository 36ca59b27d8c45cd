"""The door of grounding: claims and a folder of documents in; for each claim what they say of it.

Every claim has one result. Every file of the folder is used, or a copy, or a duplicate, or a rejection.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from acclimate.errors import UsageError
from acclimate.grounding.claims import Claim, read_claims
from acclimate.grounding.conflicts import Conflict, Kind, conflicts
from acclimate.grounding.copies import Copy, Duplicate, copy_of, duplicates
from acclimate.grounding.documents import Document, read_documents
from acclimate.grounding.features import Features, missing_numbers, names_not_in
from acclimate.grounding.index import Index, Place
from acclimate.grounding.model import Model, shipped
from acclimate.grounding.names import holds_name
from acclimate.grounding.quantities import Number, is_among, units_by_value
from acclimate.grounding.question import QuestionCheck, check_question
from acclimate.grounding.reading import Reading, read
from acclimate.records import Rejection

Standing: TypeAlias = Literal["supported", "disputed", "contradicted", "unsupported"]
Where: TypeAlias = Literal["passage", "same_document", "other_document", "nowhere"]

_Told: TypeAlias = tuple[float, Place, tuple[Conflict, ...]]
"""How like the claim a sentence is, where it stands, and what of it speaks against the claim."""

_MOST_CONFLICTS = 5
_CLEARLY = 0.02
"""A longer passage must be likelier by this much."""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage of a document."""

    document: str
    page: int | None
    """From 1; None where the document has no pages."""
    line: int
    """Where it starts, from 1; of the page, where there are pages."""
    text: str

    def where(self) -> str:
        """Return document and place for people."""
        return (
            f"{self.document}, line {self.line}"
            if self.page is None
            else f"{self.document}, page {self.page}"
        )


@dataclass(frozen=True, slots=True)
class Against:
    """A sentence that speaks against a claim."""

    kind: Kind
    detail: str
    found: Found


@dataclass(frozen=True, slots=True)
class Checked:
    """A number or a name of a claim, and the nearest place that holds it exactly."""

    text: str
    where: Where
    """In the best passage; elsewhere in its document; only in another document; nowhere."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the documents say of a claim."""

    claim: Claim
    standing: Standing
    """`supported` is the tick. `disputed`: a passage supports it and another speaks against it.
    `contradicted`:
    only the latter. `unsupported`: neither."""
    score: float
    """Calibrated probability, 0 to 1, that the best passage supports the claim; 0 where no passage shares a
    word
    with it."""
    best: Found | None
    features: Features | None
    """What the score rests on."""
    numbers: tuple[Checked, ...]
    names: tuple[Checked, ...]
    against: tuple[Against, ...]
    """At most five, the likest to the claim first."""
    bears_on_question: bool | None
    """None where no question is known."""

    @property
    def ticked(self) -> bool:
        """Whether the claim has its tick."""
        return self.standing == "supported"


@dataclass(frozen=True, slots=True)
class Grounding:
    """What came out for all claims and all documents."""

    claims_file: str
    sources: str
    threshold: float
    results: tuple[Result, ...]
    used: tuple[str, ...]
    copies: tuple[Copy, ...]
    duplicates: tuple[Duplicate, ...]
    rejections: tuple[Rejection, ...]
    question: QuestionCheck | None


def ground(
    claims: Path,
    sources: Path,
    *,
    threshold: float | None = None,
    question: str | None = None,
    model: Model | None = None,
) -> Grounding:
    """Check every claim of a file against the documents of a folder.

    Args:
        claims: as `read_claims` reads it. sources: as `read_documents` reads it.
        threshold: score from which on a claim is ticked, above 0 and below 1; None takes the model's.
        question: the research question, instead of the one that the claims file states.
        model: None takes the one that ships.

    Raises:
        DataError: claims or folder cannot be read. UsageError: a threshold outside of its range.
    """
    if threshold is not None and not 0.0 < threshold < 1.0:
        raise UsageError(f"--threshold {threshold} cannot be used; give a number above 0 and below 1.")
    model = model or shipped()
    record = read_claims(claims)
    rejections: list[Rejection] = []
    copies: list[Copy] = []
    documents: list[Document] = []
    for each in read_documents(sources):
        if isinstance(each, Rejection):
            rejections.append(each)
        elif (copy := copy_of(each, record)) is not None:
            copies.append(copy)
        else:
            documents.append(each)
    twice = duplicates(documents)
    again = {each.document for each in twice}
    kept = [document for document in documents if document.name not in again]
    asked = question if question is not None else record.question
    bearing = check_question(asked, [claim.text for claim in record.claims], model.rarity) if asked else None
    bar = model.threshold if threshold is None else threshold
    return Grounding(
        str(claims),
        str(sources),
        bar,
        tuple(_results(record.claims, kept, model, bar, bearing)),
        tuple(document.name for document in kept),
        tuple(copies),
        tuple(twice),
        tuple(rejections),
        bearing,
    )


def _results(
    claims: Sequence[Claim],
    documents: Sequence[Document],
    model: Model,
    bar: float,
    bearing: QuestionCheck | None,
) -> Iterator[Result]:
    readings = [read(claim.text, truncated=claim.truncated) for claim in claims]
    index = Index(documents, {each for reading in readings for each in reading.stems})
    library = _Library(documents)
    for at, (claim, reading) in enumerate(zip(claims, readings, strict=True)):
        places = index.candidates(reading.stems, model.rarity)
        bears = None if bearing is None else bearing.bearing[at]
        yield _result(claim, reading, places, library, model, bar, bears=bears)


@dataclass(frozen=True, slots=True)
class _Library:
    """The documents and what of them was read closely."""

    documents: Sequence[Document]
    _read: dict[tuple[int, int], Reading] = field(default_factory=dict)
    _bare: dict[int, str] = field(default_factory=dict)
    _values: dict[int, dict[str, set[str]]] = field(default_factory=dict)

    def reading(self, document: int, at: int) -> Reading:
        """Return a sentence, read."""
        key = document, at
        if key not in self._read:
            held = self.documents[document]
            self._read[key] = read(held.sentences[at].text, held.known)
        return self._read[key]

    def passage(self, place: Place) -> tuple[Reading, ...]:
        """Return the sentences of a passage, read."""
        start, length = place.passage.start, place.passage.length
        return tuple(self.reading(place.document, at) for at in range(start, start + length))

    def found(self, place: Place) -> Found:
        """Return a passage for people."""
        document = self.documents[place.document]
        start, length = place.passage.start, place.passage.length
        held = document.sentences[start : start + length]
        return Found(document.name, held[0].page, held[0].line, " ".join(each.text for each in held))

    def holds_number(self, document: int, number: Number) -> bool:
        """Return whether a document holds a number exactly, in value and unit."""
        if document not in self._values:
            held = self.documents[document].sentences
            self._values[document] = units_by_value(sentence.text for sentence in held)
        return is_among(number, self._values[document])

    def holds_name(self, document: int, name: str) -> bool:
        """Return whether a document holds a name exactly, as `names.holds_name` says."""
        bare = _squeezed(name)
        if document not in self._bare:
            self._bare[document] = _squeezed(self.documents[document].text)
        if bare.removesuffix("s") not in self._bare[document]:
            return False
        return any(
            bare.removesuffix("s") in _squeezed(sentence.text) and holds_name(sentence.text, name)
            for sentence in self.documents[document].sentences
        )


def _squeezed(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def _result(
    claim: Claim,
    reading: Reading,
    places: Sequence[Place],
    library: _Library,
    model: Model,
    bar: float,
    *,
    bears: bool | None,
) -> Result:
    best: tuple[float, Place, Features] | None = None
    against: list[_Told] = []
    for place in places:
        score, features = model.compare(reading, library.passage(place))
        if features.conflicts and place.passage.length == 1:
            told = _still(reading, features, place, library)
            against += [(features.coverage, place, told)] if told else []
        if best is None or _is_better(score, place, best):
            best = score, place, features
    if best is None:
        numbers = tuple(Checked(each.text, "nowhere") for each in reading.numbers)
        names = tuple(Checked(each, "nowhere") for each in reading.names)
        return Result(claim, "unsupported", 0.0, None, None, numbers, names, (), bears)
    score, place, features = best
    holds = score >= bar and not features.conflicts
    if holds:
        against = [
            each for each in against if each[1].document != place.document or each[0] >= features.coverage
        ]
    speaking = tuple(_against(against, library))
    standing: Standing = (
        ("disputed" if speaking else "supported") if holds else "contradicted" if speaking else "unsupported"
    )
    return Result(
        claim,
        standing,
        score,
        library.found(place),
        features,
        tuple(_checked_numbers(reading, place, library)),
        tuple(_checked_names(reading, place, library)),
        speaking,
        bears,
    )


def _is_better(score: float, place: Place, best: tuple[float, Place, Features]) -> bool:
    more = place.passage.length - best[1].passage.length
    return score > best[0] + _CLEARLY * max(0, more) if more > 0 else score > best[0] - _CLEARLY * -more


def _still(reading: Reading, features: Features, place: Place, library: _Library) -> tuple[Conflict, ...]:
    """Return what still speaks against a claim where the sentences before and behind are read too.

    A number of the claim that stands in one of them is not missed.
    """
    at, last = place.passage.start, len(library.documents[place.document].sentences) - 1
    beside = [library.reading(place.document, each) for each in (at - 1, at + 1) if 0 <= each <= last]
    nearby = [number for each in beside for number in each.numbers]
    return conflicts(reading, library.reading(place.document, at), features.coverage, nearby)


def _against(held: Sequence[_Told], library: _Library) -> Iterator[Against]:
    ordered = sorted(held, key=lambda each: (-each[0], each[1].document, each[1].passage.start))
    for _, place, found in ordered[:_MOST_CONFLICTS]:
        for conflict in found:
            yield Against(conflict.kind, conflict.detail, library.found(place))


def _order(place: Place, library: _Library) -> list[int]:
    return [at for at in range(len(library.documents)) if at != place.document]


def _checked_numbers(reading: Reading, place: Place, library: _Library) -> Iterator[Checked]:
    missing = missing_numbers(reading.numbers, library.passage(place))
    for number in reading.numbers:
        where: Where = "passage"
        if number in missing:
            where = "nowhere"
            if library.holds_number(place.document, number):
                where = "same_document"
            elif any(library.holds_number(at, number) for at in _order(place, library)):
                where = "other_document"
        yield Checked(number.text, where)


def _checked_names(reading: Reading, place: Place, library: _Library) -> Iterator[Checked]:
    missing = names_not_in(library.passage(place), reading.names)
    for name in reading.names:
        where: Where = "passage"
        if name in missing:
            where = "nowhere"
            if library.holds_name(place.document, name):
                where = "same_document"
            elif any(library.holds_name(at, name) for at in _order(place, library)):
                where = "other_document"
        yield Checked(name, where)
