"""Items for users who bring no benchmark: captions and kept tasks of held-out pictures.

Their gold answers were written by nobody who checked them: captions come from the user's data, tasks from
the synthesizer. Reports must say so (`NOT_CHECKED`).
"""

from collections.abc import Iterable, Iterator

from acclimate.evaluate.answers import words
from acclimate.records import ImageCaption, Item, JudgedTriplet

CAPTIONS = "heldout_captions"
TASKS = "heldout_tasks"
NOT_CHECKED = "not checked by people"


def caption_items(pairs: Iterable[ImageCaption], question: str) -> Iterator[Item]:
    """Yield one item per held-out pair that asks for its caption; captions without a word are left out."""
    for pair in pairs:
        if words(pair.caption):
            yield Item(
                id=pair.id,
                benchmark=CAPTIONS,
                question=question,
                image=pair.image,
                kind="caption",
                gold=(pair.caption,),
                choices=(),
                cluster=pair.image.sha256,
            )


def task_items(triplets: Iterable[JudgedTriplet], pairs: Iterable[ImageCaption]) -> Iterator[Item]:
    """Yield one item per triplet of a held-out pair, its precise answer as gold.

    Args:
        triplets: those that the caller keeps; triplets of other pairs, and precise answers without a
            word, are left out.
        pairs: the held-out pairs.
    """
    pair_by_id = {pair.id: pair for pair in pairs}
    for triplet in triplets:
        pair = pair_by_id.get(triplet.pair_id)
        if pair is not None and words(triplet.precise):
            yield Item(
                id=triplet.id,
                benchmark=TASKS,
                question=triplet.instruction,
                image=pair.image,
                kind="open",
                gold=(triplet.precise,),
                choices=(),
                cluster=pair.image.sha256,
                stratum="task",
            )
