"""Per-question results in the form that lmms-eval and lm-eval log them, written and read.

One JSON object per line: `doc_id`, `doc_hash`, `doc`, `target`, `input`, `resps`, `filtered_resps` and the
metrics by name, and beside them what an answer needs to be traced: `item_id`, `image_sha256`, `condition`,
`parse_status`, `finish_reason`, `model` and `model_digest`.

Source: lmms-eval 0.7.3 (`evaluator.py`, `loggers/evaluation_tracker.py`), as read and run; lm-eval 0.4 logs
the same keys. lmms-eval drops `doc`, turns the target into text, flattens lists of one answer and leaves
`resps` out where it says the same as `filtered_resps`.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.errors import BenchmarkError, DataError
from acclimate.evaluate.lmms_eval import doc_of, task_name
from acclimate.evaluate.lmms_task import doc_to_target, notes_of, row_of, scorers_of, told_of
from acclimate.files import write_text
from acclimate.records import Item, Prediction

_OURS = ("item_id", "id")
"""Where a question's own id stands: in the line, or in its `doc`."""


def write_samples(
    out: Path,
    items: Sequence[Item],
    predictions: Iterable[Prediction],
    *,
    model_digest: str,
    scorers_by_benchmark: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Path, ...]:
    """Write predictions as sample files; return the files.

    One file per model's role, score row and condition: `out/<model>/samples_<task>.jsonl`, lines in the order
    of the items. `doc_id` is the item's place in its score row from 0, as in the tasks that `lmms_eval`
    writes, so that lmms-eval's `--baseline FILE` pairs the same questions.

    Args:
        out: the folder; files of the same names are replaced.
        items: every question that a prediction may belong to.
        predictions: in any order.
        model_digest: the engine's identity, of every model here.
        scorers_by_benchmark: names of a score row's scorers, where other than the usual ones of its kind.

    Raises:
        BenchmarkError: a prediction has no item.
    """
    place: dict[tuple[str, str], tuple[int, Item]] = {}
    counts: dict[str, int] = defaultdict(int)
    for item in items:
        place[item.benchmark, item.id] = (counts[item.benchmark], item)
        counts[item.benchmark] += 1
    tables: dict[tuple[str, str, str], list[tuple[int, Item, Prediction]]] = defaultdict(list)
    for each in predictions:
        found = place.get((each.benchmark, each.item_id))
        if found is None:
            raise BenchmarkError(
                f"the prediction {each.benchmark}/{each.item_id} belongs to no item; build predictions and "
                "items together"
            )
        tables[each.model, each.benchmark, each.condition].append((*found, each))
    written = []
    for (model, benchmark, condition), table in tables.items():
        path = out / model / f"samples_{task_name(benchmark, condition)}.jsonl"
        table.sort(key=lambda row: row[0])
        scorers = (scorers_by_benchmark or {}).get(benchmark, ())
        rows = _sample_rows(table, scorers, model_digest)
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
        write_text(path, "".join(f"{line}\n" for line in lines))
        written.append(path)
    return tuple(written)


def _sample_rows(
    table: Sequence[tuple[int, Item, Prediction]], names: Sequence[str], model_digest: str
) -> Iterator[dict[str, Any]]:
    """Yield the lines of one score row under one condition; marks may depend on each other."""
    items = [item for _, item, _ in table]
    texts = [prediction.text for _, _, prediction in table]
    scorers = scorers_of(items[0].kind, names)
    columns = [scorer.marks(items, texts) for scorer in scorers]
    for at, (doc_id, item, prediction) in enumerate(table):
        marks = {scorer.name: column[at] for scorer, column in zip(scorers, columns, strict=True)}
        doc = doc_of(item, prediction.condition, prediction.image, names)
        plain = json.dumps(doc, indent=2, ensure_ascii=False)
        metrics = {name: row_of(item, mark) for name, mark in marks.items() if mark.value is not None}
        yield {
            "doc_id": doc_id,
            "doc_hash": hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest(),
            "doc": doc,
            "target": doc_to_target(doc),
            "input": item.question,
            "resps": [[prediction.text]],
            "filtered_resps": [prediction.text],
            **metrics,
            **told_of(item, marks[scorers[0].name], metrics),
            **notes_of(doc),
            "finish_reason": prediction.finish_reason,
            "model": prediction.model,
            "model_digest": model_digest,
        }


def read_samples(path: Path, filter_name: str | None = None) -> list[Mapping[str, Any]]:
    """Read a sample file of lmms-eval 0.3 to 0.7, of lm-eval, or of `write_samples`.

    Args:
        path: JSON lines, or one JSON list.
        filter_name: which filter's answers are read, where lm-eval logged several.

    Returns:
        In the file's order `{id, text, doc, target}` per question. `id`: its own id where the file has one,
        else `doc_id` as text. `text`: the answer that was marked (filtered), else the first one given; None
        where the line holds none, for instance log-probabilities. `doc`: the question's row; None where it
        was not logged. `target`: as it was logged.

    Raises:
        DataError: the file is missing or in another form, holds several filters and none is chosen, or an id
            stands twice and no `doc` tells its questions apart.
    """
    rows = list(_lines(path))
    filters = sorted({str(row["filter"]) for row in rows if "filter" in row})
    if filter_name is None and len(filters) > 1:
        raise DataError(f"{path} holds the answers of several filters; name one of: {', '.join(filters)}.")
    if filter_name is not None:
        if filter_name not in filters:
            raise DataError(
                f"{path} has no answers of the filter {filter_name!r}; it has {', '.join(filters) or 'none'}."
            )
        rows = [row for row in rows if row.get("filter") == filter_name]
    found = [_plain(row) for row in rows]
    seen: set[str] = set()
    for row in found:
        if row["id"] in seen and row["doc"] is None:  # with its question beside it an id may repeat
            raise DataError(f"{path} has the question {row['id']!r} twice; give the samples of one run.")
        seen.add(row["id"])
    return found


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}); check the path.") from error
    whole = text.lstrip().startswith("[")
    n_rows = 0
    # Not splitlines(): U+2028 and others may stand inside a JSON string.
    for number, line in enumerate([text] if whole else text.split("\n"), start=1):
        if not line.strip():
            continue
        where = str(path) if whole else f"{path} line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where} is not JSON ({error}); give the samples file, complete.") from error
        for row in value if whole else [value]:
            if not isinstance(row, dict) or not {"doc_id", "item_id"} & row.keys():
                raise DataError(
                    f"{where} is no logged sample: it needs `doc_id`, and an answer in `filtered_resps` or "
                    "`resps`. lmms-eval writes such files with --log_samples."
                )
            n_rows += 1
            yield row
    if n_rows == 0:
        raise DataError(f"{path} holds no samples.")


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    doc = row.get("doc")
    doc = doc if isinstance(doc, dict) else None
    ids = [source[name] for source, name in zip((row, doc or {}), _OURS, strict=True) if name in source]
    text = _first_text(row.get("filtered_resps"))
    return {
        "id": str(ids[0] if ids else row["doc_id"]),
        "text": _first_text(row.get("resps")) if text is None else text,
        "doc": doc,
        "target": row.get("target"),
    }


def _first_text(value: object) -> str | None:
    """Return the first text of lists within lists; None where something else comes first.

    A choice's log-likelihood is no text: a pair of a number and a truth value, which lmms-eval logs as texts.
    """
    while isinstance(value, list):
        if not value or (len(value) == 2 and str(value[1]) in ("True", "False") and _is_number(value[0])):
            return None
        value = value[0]
    return value if isinstance(value, str) else None


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
