"""Which passages of the documents are worth comparing with a claim. Pure.

Only stems that claims have are kept, so that the index stays small beside the documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.grounding.documents import Document
from acclimate.grounding.passages import Passage, windows
from acclimate.grounding.words import content

N_SENTENCES = 16
"""Best single sentences that are looked at closely."""
N_WINDOWS = 6
"""Best places of three sentences in a row."""
N_DOCUMENTS = 10
"""Documents whose best sentence is looked at, whatever its rank."""
_WINDOW = 3
Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Place:
    """A passage of a document."""

    document: int
    """Place in the list of documents."""
    passage: Passage


class Index:
    """Where the claims' stems stand in the documents."""

    def __init__(self, documents: Sequence[Document], wanted: Iterable[str]) -> None:
        """Look up every sentence once.

        Args:
            wanted: stems of all claims.
        """
        stems = frozenset(wanted)
        places: dict[str, list[int]] = {each: [] for each in stems}
        owners: list[int] = []
        self._first: list[int] = []
        for at, document in enumerate(documents):
            self._first.append(len(owners))
            for sentence in document.sentences:
                for each in stems.intersection(content(sentence.text, document.known)):
                    places[each].append(len(owners))
                owners.append(at)
        self._n_by_document = [len(document.sentences) for document in documents]
        self._owners: Places = np.array(owners, dtype=np.int64)
        self._places: dict[str, Places] = {
            each: np.array(held, dtype=np.int64) for each, held in places.items()
        }

    def candidates(self, stems: Sequence[str], rarity: Mapping[str, float]) -> list[Place]:
        """Return the passages worth a look, each once, in the order of the documents.

        Args:
            stems: of the claim. rarity: weight of a stem, as in `features`.

        Source: our own rule: every passage of one to three sentences that holds one of the sentences with the
        most weight of the claim's stems, over all documents and in each of the best documents.
        """
        if not len(self._owners):
            return []
        single, triple = self._weights(stems, rarity)
        chosen = {*_best(single, N_SENTENCES), *self._best_by_document(single)}
        for start in _best(triple, N_WINDOWS):
            end = min(start + _WINDOW, len(single))
            inside = [at for at in range(start, end) if self._owners[at] == self._owners[start]]
            chosen.add(max(inside, key=lambda at: (single[at], -at)))
        found: dict[Place, None] = {}
        for at in sorted(chosen):
            owner = int(self._owners[at])
            for passage in windows(at - self._first[owner], self._n_by_document[owner]):
                found.setdefault(Place(owner, passage))
        return list(found)

    def _weights(self, stems: Sequence[str], rarity: Mapping[str, float]) -> tuple[Array, Array]:
        """Return the weight of the stems that each sentence holds, and that it and the next two hold."""
        n = len(self._owners)
        single, triple = np.zeros(n), np.zeros(n)
        for each in dict.fromkeys(stems):
            held = self._places.get(each)
            if held is None or not len(held):
                continue
            weight = rarity.get(each, 1.0)
            single[held] += weight
            starts = [held]
            for back in range(1, _WINDOW):
                before = held - back
                kept = before >= 0
                kept &= self._owners[np.maximum(before, 0)] == self._owners[held]
                starts.append(before[kept])
            triple[np.unique(np.concatenate(starts))] += weight
        return single, triple

    def _best_by_document(self, single: Array) -> list[int]:
        best = np.zeros(len(self._n_by_document))
        np.maximum.at(best, self._owners, single)
        found = []
        for owner in _best(best, N_DOCUMENTS):
            first = self._first[owner]
            found.append(first + int(single[first : first + self._n_by_document[owner]].argmax()))
        return found


def _best(weights: Array, n: int) -> list[int]:
    """Return the places of the `n` greatest weights above 0; of equal ones the first."""
    kept = np.flatnonzero(weights)
    order = np.lexsort((kept, -weights[kept]))
    return [int(each) for each in kept[order[:n]]]
