"""What lmms-eval calls for a task that acclimate wrote; copied beside the task, verbatim, as `utils.py`.

Answers are marked by acclimate's own scorers, so that a score is the same number in both programs. They need
numpy and the standard library only: where acclimate's other needs would disturb an environment, `pip install
--no-deps acclimate` is enough. Without it the task is refused before any question is asked.

Source of the signatures and of what is done with the results: lmms-eval 0.7.3, `api/task.py`,
`evaluator_utils.py` and `baselines/loader.py`, as read and run.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

try:
    from acclimate.evaluate.scorers import Scorer, scorers_for
    from acclimate.records import AnswerKind, Item, Mark
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "This task was written by acclimate and its answers are marked by acclimate's scorers, which are not "
        "installed here. Run `pip install acclimate`, or `pip install --no-deps acclimate` to leave every "
        "other package as it is: the scorers need none but numpy."
    ) from error

UNPARSED = "unparsed"
"""Name of the metric that counts answers that could not be read."""
Doc = Mapping[str, Any]
"""One row of the task's Parquet file."""


def doc_to_visual(doc: Doc, _kwargs: object = None) -> list[Any]:
    """Return the question's picture in a list; an empty one for a question without."""
    image = doc.get("image")
    return [] if image is None else [image]


def doc_to_text(doc: Doc, _kwargs: object = None) -> str:
    """Return the prompt's text, whole."""
    return str(doc["question"])


def doc_to_messages(doc: Doc, _kwargs: object = None) -> list[dict[str, Any]]:
    """Return one user turn: the picture where there is one, then the text."""
    content: list[dict[str, Any]] = [{"type": "image", "url": image} for image in doc_to_visual(doc)]
    content.append({"type": "text", "text": doc_to_text(doc)})
    return [{"role": "user", "content": content}]


def doc_to_target(doc: Doc, _kwargs: object = None) -> str | list[str]:
    """Return the gold answer; a list where there are several."""
    gold = [str(each) for each in doc["gold"]]
    return gold[0] if len(gold) == 1 else gold


def item_of(doc: Doc) -> Item:
    """Return the row as a benchmark's question; its picture is left out, for no scorer looks at it."""
    return Item(
        id=doc["id"],
        benchmark=doc["benchmark"],
        question=doc["question"],
        image=None,
        kind=doc["kind"],
        gold=tuple(doc["gold"]),
        choices=tuple(doc["choices"]),
        cluster=doc["cluster"],
        stratum=doc["stratum"],
        group=doc["group"],
        subsets=tuple(doc["subsets"]),
        context=doc["context"],
    )


def scorers_of(kind: AnswerKind, names: Sequence[str]) -> tuple[Scorer, ...]:
    """Return the scorers of a kind of questions, the primary one first: the one place that asks the registry.

    Args:
        names: which; none means the kind's usual ones.
    """
    return scorers_for(kind, names)


def process_results(doc: Doc, results: Sequence[Any]) -> dict[str, Any]:
    """Mark one answer.

    Returns:
        By scorer `{score, cluster}`, from which lmms-eval makes a mean and a clustered standard error. A
        metric that is no mean of items has `{value, cluster, parts}` instead, and one whose marks depend on
        the other answers (CIDEr, groups) `{scorer, doc, text}`; both get no standard error. A scorer that
        does not mark the answer is left out, which is never the same as 0. `unparsed` says whether the
        primary scorer could not read it. Beside them, for the sample file only: `score` (the primary
        scorer's), which `--baseline` reads, `parse_status`, `item_id`, `benchmark`, `condition` and
        `image_sha256`.
    """
    item, text = item_of(doc), _text(results)
    rows: dict[str, Any] = {}
    marks: list[Mark] = []
    for scorer in scorers_of(item.kind, doc["scorers"]):
        marks += scorer.marks([item], [text])
        if scorer.mark_all is not None:
            plain = {name: value for name, value in doc.items() if name != "image"}
            rows[scorer.name] = {"scorer": scorer.name, "doc": plain, "text": text}
        elif marks[-1].value is not None:
            rows[scorer.name] = row_of(item, marks[-1])
    return {**rows, **told_of(item, marks[0], rows), **notes_of(doc)}


def told_of(item: Item, primary: Mark, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the primary scorer's mark says of the answer: `unparsed`, `parse_status` and `score`."""
    if primary.value is None:
        return {"parse_status": primary.reason or "not marked"}
    told = {
        UNPARSED: {"score": float(not primary.parsed), "cluster": item.cluster},
        "parse_status": "parsed" if primary.parsed else primary.reason or UNPARSED,
    }
    first: Mapping[str, Any] = next(iter(rows.values()), {})
    return told | ({"score": first["score"]} if "score" in first else {})


def notes_of(doc: Doc) -> dict[str, Any]:
    """Return what traces an answer to its question and picture."""
    return {
        "item_id": doc["id"],
        **{name: doc[name] for name in ("benchmark", "condition", "image_sha256")},
    }


def row_of(item: Item, mark: Mark) -> dict[str, Any]:
    """Return a mark as a metric's row of one answer."""
    if mark.parts:
        return {"value": mark.value, "cluster": item.cluster, "parts": list(mark.parts)}
    return {"score": mark.value, "cluster": item.cluster}


def _text(results: Sequence[Any]) -> str:
    """Return the one answer; of several rounds the last."""
    found: Any = results[0] if results else ""
    while isinstance(found, list | tuple):
        found = found[-1] if found else ""
    return str(found)


def aggregate(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return a metric of a task from its answers' rows, as `Score.parts` says.

    Without parts the mean of the scores. Of two parts the ratio of their sums. Of more, BLEU over the whole
    task (Papineni et al. 2002, section 2.3, no smoothing).
    """
    if "scorer" in rows[0]:
        rows = _marked_together(rows)
    parts = [row["parts"] for row in rows if "parts" in row]
    if not parts:
        return float(sum(row["score"] for row in rows)) / len(rows)
    sums: list[float] = [sum(column) for column in zip(*parts, strict=True)]
    if len(sums) == 2:
        return sums[0] / sums[1] if sums[1] else 0.0
    *counts, length, reference_length = sums
    matches, candidates = counts[::2], counts[1::2]
    if not all(matches):
        return 0.0
    ratios = [math.log(one / other) for one, other in zip(matches, candidates, strict=True)]
    brevity = min(0.0, 1 - reference_length / length)
    return math.exp(brevity + sum(ratios) / len(ratios))


def _marked_together(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Mark the answers of a whole task by a scorer that needs them all."""
    items = [item_of(row["doc"]) for row in rows]
    (scorer,) = scorers_of(items[0].kind, [rows[0]["scorer"]])
    marks = scorer.marks(items, [row["text"] for row in rows])
    return [row_of(item, mark) for item, mark in zip(items, marks, strict=True)]
