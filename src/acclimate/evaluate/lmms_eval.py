"""Writes benchmarks as lmms-eval tasks: a folder for `--include_path`, one task per score row and condition.

    out/acclimate_vqa_rad_open_mismatch.yaml     the task
    out/data/acclimate_vqa_rad_open_mismatch.parquet
    out/utils.py                                 `lmms_task`, verbatim

Each condition is a task of its own name, and a task's metadata hold the hash of its data: lmms-eval's
response cache looks neither at prompts nor at pictures, only at the task's name, its YAML and the row's
number. `reasoning_tags` is off and `until` is empty, because both would change an answer before it is marked.

Source: lmms-eval 0.7.3, `api/task.py`, `utils.py` and `caching/response_cache.py`, as read and run. That
version reads data files relative to the YAML.
"""

import hashlib
import importlib.resources
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from acclimate.errors import BenchmarkError
from acclimate.evaluate.conditions import Condition, ItemKey, shown_images
from acclimate.evaluate.lmms_task import UNPARSED, scorers_of
from acclimate.evaluate.load import Benchmark
from acclimate.evaluate.pictures import plain_picture
from acclimate.files import ImageStore, replacing, sha256_file, write_text
from acclimate.records import ImageRef, Item

_ROWS_PER_GROUP = 32
"""Pictures are large, and a reader decodes a group at a time."""
_TEXT: Mapping[str, str] = {"dtype": "string", "_type": "Value"}
_TEXTS: Mapping[str, Any] = {"feature": _TEXT, "_type": "Sequence"}
_FEATURES: Mapping[str, Mapping[str, Any]] = {
    "id": _TEXT,
    "question": _TEXT,
    "image": {"_type": "Image"},
    "gold": _TEXTS,
    "choices": _TEXTS,
    "kind": _TEXT,
    "cluster": _TEXT,
    "stratum": _TEXT,
    "group": _TEXT,
    "subsets": _TEXTS,
    "context": _TEXT,
    "scorers": _TEXTS,
    "benchmark": _TEXT,
    "condition": _TEXT,
    "image_sha256": _TEXT,
}
"""As `datasets` notes features in Parquet. `Sequence` is the older name of lists; version 5.2 reads it."""
_PICTURE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def task_name(benchmark: str, condition: str) -> str:
    """Return what a score row under a condition is called in lmms-eval and VLMEvalKit."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", f"acclimate_{benchmark}_{condition}")


def write_benchmark(
    benchmark: Benchmark,
    out: Path,
    *,
    store: ImageStore,
    conditions: Sequence[Condition] = ("original", "mismatch", "blank"),
    seed: int = 0,
    max_tokens: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """Write a loaded benchmark as tasks; return their names.

    Args:
        benchmark: as `load_benchmark` returns it.
        out: the folder; tasks of other benchmarks in it stay.
        store: where the benchmark's pictures are; grey ones are added.
        conditions: as in EvaluateConfig.
        seed: of the mismatch donors, as in EvaluateConfig.
        max_tokens: longest replies by score row, where the benchmark's own are not wanted.

    Raises:
        BenchmarkError: `mismatch` is impossible, or as for `write_tasks`.
    """
    shown: dict[str, Mapping[ItemKey, ImageRef | None]] = {
        each: shown_images(benchmark.items, each, seed=seed, store=store)
        for each in dict.fromkeys(conditions)
    }
    return write_tasks(
        benchmark.items,
        shown,
        out,
        store=store,
        max_tokens_by_benchmark={**benchmark.max_tokens_by_benchmark, **(max_tokens or {})},
        scorers_by_benchmark=benchmark.scorers_by_benchmark,
        version=benchmark.spec.version,
    )


def write_tasks(
    items: Sequence[Item],
    shown: Mapping[str, Mapping[ItemKey, ImageRef | None]],
    out: Path,
    *,
    store: ImageStore,
    max_tokens_by_benchmark: Mapping[str, int],
    scorers_by_benchmark: Mapping[str, Sequence[str]] | None = None,
    version: int = 1,
) -> tuple[str, ...]:
    """Write items as lmms-eval tasks, one per score row and condition; return the tasks' names.

    The same items and pictures give the same bytes.

    Args:
        items: of any number of score rows; their order is that of the tasks' rows.
        shown: by condition, which picture stands beside each item; None for an item without.
        out: the folder; files of the same names are replaced.
        store: where the pictures are read.
        max_tokens_by_benchmark: longest reply per score row, in tokens.
        scorers_by_benchmark: names of a score row's scorers, where other than the usual ones of its kind.
        version: goes into the tasks' metadata.

    Raises:
        BenchmarkError: two tasks would have one name, or a score row has no length.
        DataError: a picture is gone.
    """
    by_benchmark: dict[str, list[Item]] = {}
    for item in items:
        by_benchmark.setdefault(item.benchmark, []).append(item)
    missing = sorted(by_benchmark.keys() - max_tokens_by_benchmark.keys())
    if missing:
        raise BenchmarkError(f"give the longest reply (max_tokens) of {', '.join(missing)}")
    tasks = [
        _Task(name, condition, tuple((scorers_by_benchmark or {}).get(name, ())))
        for condition in shown
        for name in by_benchmark
    ]
    names = tuple(task.name for task in tasks)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BenchmarkError(
            f"two tasks would be called {twice[0]}; rename a benchmark, for lmms-eval's cache tells tasks "
            "apart by their names"
        )
    for task in tasks:
        rows = by_benchmark[task.benchmark]
        data = out / "data" / f"{task.name}.parquet"
        _write_data(data, task, rows, shown[task.condition], store)
        text = _yaml_of(task, rows, max_tokens_by_benchmark[task.benchmark], version, sha256_file(data))
        write_text(out / f"{task.name}.yaml", text)
    source = importlib.resources.files("acclimate.evaluate").joinpath("lmms_task.py")
    write_text(out / "utils.py", source.read_text(encoding="utf-8"))
    return names


@dataclass(frozen=True, slots=True)
class _Task:
    benchmark: str
    condition: str
    scorers: tuple[str, ...]
    """Names; none means the usual ones."""

    @property
    def name(self) -> str:
        """As lmms-eval knows it."""
        return task_name(self.benchmark, self.condition)


class _Function(str):
    """A name that the YAML refers to by `!function`."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes `_Function` as a tag, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        """Write every value out."""
        return data is not self


_Dumper.add_representer(_Function, lambda dumper, value: dumper.represent_scalar("!function", str(value)))


def metric_names(items: Iterable[Item], scorers: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of every scorer of these items that needs no judge, the primary one first.

    Args:
        scorers: names of those wanted; none means the usual ones of the items' kind.
    """
    kinds = dict.fromkeys(item.kind for item in items)
    found = (each for kind in kinds for each in scorers_of(kind, scorers))
    return tuple(dict.fromkeys(each.name for each in found if each.mark or each.mark_all))


def _yaml_of(task: _Task, items: Sequence[Item], max_tokens: int, version: int, data_sha256: str) -> str:
    mean = _Function("utils.aggregate")
    names = metric_names(items, task.scorers)
    metrics = [(name, True) for name in names] + ([(UNPARSED, False)] if names else [])
    calls = ("doc_to_messages", "doc_to_visual", "doc_to_text", "doc_to_target", "process_results")
    fields: dict[str, Any] = {
        "task": task.name,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": f"data/{task.name}.parquet"}},
        "test_split": "test",
        "output_type": "generate_until",
        **{name: _Function(f"utils.{name}") for name in calls},
        "generation_kwargs": {
            "max_new_tokens": max_tokens,
            "temperature": 0,
            "do_sample": False,
            "until": [],
        },
        "reasoning_tags": "none",
        "metric_list": [
            {"metric": name, "aggregation": mean, "higher_is_better": is_better}
            for name, is_better in metrics
        ],
        "cluster_key": "cluster",
        "score_key": "score",
        "metadata": {
            "version": version,
            "benchmark": task.benchmark,
            "condition": task.condition,
            "data_sha256": data_sha256,
        },
    }
    head = "# Written by acclimate; utils.py and data/ belong to it.\n"
    return head + yaml.dump(fields, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _write_data(
    path: Path,
    task: _Task,
    items: Sequence[Item],
    shown: Mapping[ItemKey, ImageRef | None],
    store: ImageStore,
) -> None:
    kinds = {"image": _PICTURE}
    fields = [
        pa.field(name, kinds.get(name, pa.list_(pa.string()) if feature is _TEXTS else pa.string()))
        for name, feature in _FEATURES.items()
    ]
    told = json.dumps({"info": {"features": _FEATURES}}, sort_keys=True)
    schema = pa.schema(fields, metadata={"huggingface": told})
    rows = _rows(task, items, shown, store)
    with (
        replacing(path) as handle,
        pq.ParquetWriter(handle, schema, compression="zstd", version="2.6") as writer,
    ):
        group: list[dict[str, Any]] = []
        for row in rows:
            group.append(row)
            if len(group) == _ROWS_PER_GROUP:
                writer.write_batch(pa.RecordBatch.from_pylist(group, schema=schema))
                group.clear()
        if group:
            writer.write_batch(pa.RecordBatch.from_pylist(group, schema=schema))


def _rows(
    task: _Task, items: Sequence[Item], shown: Mapping[ItemKey, ImageRef | None], store: ImageStore
) -> Iterator[dict[str, Any]]:
    for item in items:
        if (item.benchmark, item.id) not in shown:
            continue  # the condition does not cover it
        image = shown[item.benchmark, item.id]
        picture = None
        if image is not None:
            data = plain_picture(store, image)
            name = hashlib.sha256(data).hexdigest()
            picture = {"bytes": data, "path": f"{name}.{'jpg' if data[:2] == JPEG_START else 'png'}"}
        yield doc_of(item, task.condition, image, task.scorers) | {"image": picture}


JPEG_START = b"\xff\xd8"
"""Source: JPEG's start-of-image marker."""


def doc_of(item: Item, condition: str, image: ImageRef | None, scorers: Sequence[str] = ()) -> dict[str, Any]:
    """Return an item as a row of a task's data, without its picture's bytes; see `lmms_task.item_of`."""
    return {
        "id": item.id,
        "question": item.question,
        "gold": list(item.gold),
        "choices": list(item.choices),
        "kind": item.kind,
        "cluster": item.cluster,
        "stratum": item.stratum,
        "group": item.group,
        "subsets": list(item.subsets),
        "context": item.context,
        "scorers": list(scorers),
        "benchmark": item.benchmark,
        "condition": condition,
        "image_sha256": "" if image is None else image.sha256,
    }
