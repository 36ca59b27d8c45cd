r"""Writes benchmarks as VLMEvalKit's TSV files: one per score row and condition.

Put them into the folder that the variable LMUData names; `--data acclimate_vqa_rad_open_original` then finds
them. Choice questions get the multiple-choice layout (columns A, B, ...), which VLMEvalKit asks and marks;
others the VQA layout, which it asks only: mark its predictions with `acclimate evaluate --predictions`.

Two traps of the way VLMEvalKit reads them, `pandas.read_csv(file, sep="\t")`: cells such as `None` or `NA`
come out as missing, so they are written with a space behind; a carriage return ends a line, so every text is
quoted.

Source: VLMEvalKit's docs/en/Development.md (Table 1) and docs/en/Dataset.md, as read.
"""

import base64
import csv
import io
import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from acclimate.errors import BenchmarkError
from acclimate.evaluate.conditions import ItemKey
from acclimate.evaluate.lmms_eval import task_name
from acclimate.evaluate.pictures import plain_picture
from acclimate.files import ImageStore, replacing
from acclimate.records import ImageRef, Item

_LETTERS = string.ascii_uppercase
_MISSING = frozenset(
    (
        *("#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "NULL", "null", "None"),
        *("NaN", "nan", "-NaN", "-nan", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
    )
)
"""What pandas reads as a missing value. Source: pandas 3.1, read_csv, `na_values`."""
_MOST_ROWS = 1_000_000
"""From here on VLMEvalKit takes an index for a rotation of an earlier question."""


def write_tsvs(
    items: Sequence[Item],
    shown: Mapping[str, Mapping[ItemKey, ImageRef | None]],
    out: Path,
    *,
    store: ImageStore,
    split: str = "",
) -> tuple[Path, ...]:
    """Write items as TSV files, one per score row and condition; return the files.

    Columns: `index` (from 1), `id` (ours), `image` (base64), `question`, `A`, `B`, ... for choice, `answer`
    (for choice its letter, for several golds a JSON list), `category` and `l2-category` (the stratum, then
    the subsets) and `split` where there are any. The choices are taken out of the prompt's text, because
    VLMEvalKit lists them itself; instructions around them stay.

    Args:
        items: of any number of score rows.
        shown: by condition, which picture stands beside each item; None for an item without.
        out: the folder; files of the same names are replaced.
        store: where the pictures are read.
        split: what the column `split` says; none leaves it out.

    Raises:
        BenchmarkError: a row mixes questions with and without pictures, a choice question has more choices
        than
            letters or its gold is none of them, or there are a million questions.
        DataError: a picture is gone.
    """
    by_benchmark: dict[str, list[Item]] = {}
    for item in items:
        by_benchmark.setdefault(item.benchmark, []).append(item)
    written = []
    for condition, images in shown.items():
        for benchmark, rows in by_benchmark.items():
            path = out / f"{task_name(benchmark, condition)}.tsv"
            _write(path, _columns(rows, images, split), _rows(rows, images, store, split))
            written.append(path)
    return tuple(written)


def _columns(items: Sequence[Item], images: Mapping[ItemKey, ImageRef | None], split: str) -> tuple[str, ...]:
    name = items[0].benchmark
    if len(items) >= _MOST_ROWS:
        raise BenchmarkError(f"{name} has {len(items)} questions; VLMEvalKit takes fewer than {_MOST_ROWS}")
    n_with = sum(images[item.benchmark, item.id] is not None for item in items)
    if n_with not in (0, len(items)):
        raise BenchmarkError(
            f"{n_with} of the {len(items)} questions of {name} have a picture; VLMEvalKit's tables hold "
            "questions with pictures or without, so give each their own benchmark"
        )
    most = max(len(item.choices) if item.kind == "choice" else 0 for item in items)
    if most > len(_LETTERS):
        raise BenchmarkError(f"a question of {name} has {most} choices; VLMEvalKit knows {len(_LETTERS)}")
    n_labels = max(len(_labels(item)) for item in items)
    return (
        *("index", "id"),
        *(("image",) if n_with else ()),
        "question",
        *_LETTERS[:most],
        "answer",
        *("category", "l2-category")[:n_labels],
        *(("split",) if split else ()),
    )


def _rows(
    items: Sequence[Item], images: Mapping[ItemKey, ImageRef | None], store: ImageStore, split: str
) -> Iterator[Mapping[str, int | str]]:
    covered = [item for item in items if (item.benchmark, item.id) in images]
    for index, item in enumerate(covered, start=1):
        image = images[item.benchmark, item.id]
        cells: dict[str, int | str] = {
            "index": index,
            "id": item.id,
            "question": question_alone(item),
            "answer": _answer(item),
            "split": split,
        }
        cells |= dict(zip(("category", "l2-category"), _labels(item), strict=False))
        if item.kind == "choice":
            cells |= dict(zip(_LETTERS, item.choices, strict=False))
        if image is not None:
            cells["image"] = base64.b64encode(plain_picture(store, image)).decode("ascii")
        yield cells


def _labels(item: Item) -> tuple[str, ...]:
    return (*((item.stratum,) if item.stratum else ()), *item.subsets)


def _answer(item: Item) -> str:
    if item.kind == "choice":
        if not item.gold or item.gold[0] not in item.choices:
            raise BenchmarkError(f"the gold answer of {item.benchmark}/{item.id} is none of its choices")
        return _LETTERS[item.choices.index(item.gold[0])]
    if len(item.gold) == 1 and item.kind != "multi_label":
        return item.gold[0]
    return json.dumps(item.gold, ensure_ascii=False)


def question_alone(item: Item) -> str:
    """Return a choice question's prompt without the list of choices; other prompts as they are.

    The list is found as "A. ... B. ..." with the letters in order, any of `.:)` behind them, "The choices
    are:" or "Options:" before them or nothing; where it is not found the prompt stays whole.
    """
    if item.kind != "choice" or len(item.choices) > len(_LETTERS):
        return item.question
    listed = r"\s+".join(
        rf"\(?{letter}[.:)]\s*{re.escape(text)}" for letter, text in zip(_LETTERS, item.choices, strict=False)
    )
    found = re.search(rf"\s*(?:The choices are|Choices|Options):?\s*{listed}|\s*{listed}", item.question)
    if found is None or not item.choices:
        return item.question
    return (item.question[: found.start()] + item.question[found.end() :]).strip()


def _write(path: Path, columns: Sequence[str], rows: Iterator[Mapping[str, int | str]]) -> None:
    with replacing(path) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8", newline="")
        try:
            writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            writer.writerow(columns)
            for row in rows:
                writer.writerow([_cell(row.get(name, "")) for name in columns])
        finally:
            text.detach()  # written out, and left open for `replacing`


def _cell(value: int | str) -> int | str:
    """Return what is written; no NUL, which pandas ends a text at."""
    if isinstance(value, int):
        return value
    clean = value.replace("\0", "")
    return f"{clean} " if clean in _MISSING else clean
