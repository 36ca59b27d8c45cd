"""What a benchmark's own training file gives away: answers that need no picture, and pictures seen before.

Printed beside a score, because a model that learned only the questions already reaches the first, and a score
on pictures a model was trained on is not one on new pictures.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.evaluate.answers import words
from acclimate.evaluate.benchmark import BenchmarkSpec
from acclimate.evaluate.row_pictures import picture_name
from acclimate.evaluate.rows import BadRow, Row, first, read_cells
from acclimate.evaluate.tables import Embedded, EmbeddedReader
from acclimate.records import Item


@dataclass(frozen=True, slots=True)
class Given:
    """What the training file gives away for one score row, or for the whole benchmark."""

    n_train: int
    """Questions of this kind in the training file."""
    prior: float
    """Share of questions answered rightly, word for word, by the commonest answer that the training file
    gives to the same question, or else by its commonest answer to questions of this kind."""
    n_pictures: int
    """Different pictures asked about."""
    n_pictures_in_train: int
    """Of these, how many the training file has too, by content."""

    @property
    def text(self) -> str:
        """One sentence for people."""
        return (
            f"commonest training answer, no picture: {100 * self.prior:.1f} %; "
            f"{self.n_pictures_in_train} of {self.n_pictures} pictures are in its training file too"
        )


def given_away(
    spec: BenchmarkSpec,
    train_rows: Sequence[Row],
    items: Sequence[Item],
    questions: Mapping[str, str],
    root: Path,
) -> dict[str, Given]:
    """Return what a training file gives away, by score row, and under the benchmark's name for all of them.

    Args:
        train_rows: of the benchmark's own training file; rows that cannot be read are left out.
        items: the benchmark's questions.
        questions: by item id, the question alone, without its prompt.
        root: where the training file's pictures lie.

    Source:
        The prior per question: visual-reliance studies' question-only baseline. Questions are the same when
        their words are (`answers.words`); answers when they are, in lower case. Our own rule.
    """
    by_question: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    by_row: dict[str, Counter[str]] = defaultdict(Counter)
    cells_of_pictures: dict[str, object] = {}
    for row in train_rows:
        try:
            cells = read_cells(spec, row)
        except BadRow:
            continue
        if cells.gold:
            asked = words(cells.question or cells.prompt)
            by_question[cells.benchmark, asked][_plain(cells.gold)] += 1
            by_row[cells.benchmark][_plain(cells.gold)] += 1
        cell = first(row, spec.columns.image)
        cells_of_pictures.setdefault(picture_name(cell), cell)
    seen = _digests(cells_of_pictures.values(), root)
    found: dict[str, Given] = {}
    n_hits = 0
    for name in sorted({item.benchmark for item in items} & by_row.keys()):
        own = [item for item in items if item.benchmark == name]
        hits = 0
        for item in own:
            answers = by_question.get((name, words(questions[item.id]))) or by_row[name]
            hits += answers.most_common(1)[0][0] == _plain(item.gold)
        found[name] = _given(by_row[name].total(), hits, own, seen)
        n_hits += hits
    if len(found) > 1:
        every = [item for item in items if item.benchmark in found]
        found[spec.name] = _given(sum(each.n_train for each in found.values()), n_hits, every, seen)
    return found


def _given(n_train: int, hits: int, items: Sequence[Item], seen: Collection[str]) -> Given:
    pictures = {item.image.sha256 for item in items if item.image is not None}
    return Given(n_train, hits / len(items), len(pictures), len(pictures.intersection(seen)))


def _plain(gold: Sequence[str]) -> str:
    return "|".join(gold).strip().lower()


def _digests(cells: Iterable[object], root: Path) -> set[str]:
    """Return the content hashes of pictures; those that cannot be read have none."""
    reader = EmbeddedReader()
    found = set()
    for cell in cells:
        data = reader.read(cell) if isinstance(cell, Embedded) else None
        if data is None and isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes):
            data = cell["bytes"]
        path = root / picture_name(cell)
        if data is None and picture_name(cell) and path.is_file():
            data = path.read_bytes()
        if data is not None:
            found.add(hashlib.sha256(data).hexdigest())
    return found
