"""Scores one checkpoint on benchmarks, without a recipe: `acclimate evaluate --model ... --benchmark ...`."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acclimate import artifacts
from acclimate.engines.checkpoint import require_checkpoint
from acclimate.engines.protocol import Engine
from acclimate.engines.spec import EngineExecution, spec_of
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.stage import EvaluateConfig, primary_by_benchmark
from acclimate.files import ImageStore, read_json, read_records, write_json
from acclimate.records import Item, Measurement, Rejection, Score
from acclimate.report.measure import measure
from acclimate.steps import evaluation_step, items_step
from acclimate.workplace import Engines, Model, Place, Progress, Silent

ROLE = "model"
"""What the checkpoint is called in predictions, scores and measurements."""


def score_checkpoint(
    model: Path,
    benchmarks: Sequence[Path],
    out: Path,
    *,
    config: EvaluateConfig,
    execution: EngineExecution,
    progress: Progress | None = None,
    substitute: Callable[[Path], Engine] | None = None,
) -> dict[str, Any]:
    """Ask a checkpoint every question under every condition; return its measurements with their intervals.

    The same call after a crash goes on where it stopped; a finished one is only read.

    Args:
        model: the checkpoint's folder, or its name on the Hugging Face hub.
        benchmarks: YAML files.
        out: receives artifacts, replies, pictures and `measurements.json`.
        config: conditions, seed, and `limit` for tests; its own list of benchmarks is not used.
        substitute: an engine in the model's place, for tests.

    Returns:
        `model`, `limit`, `rows` and `rejections` by benchmark, and `measurements` by benchmark and what was
        measured (`original`, `mismatch`, `blank`, `vrs`, `unparsed`, ...): value, interval, n, n_clusters,
        coverage and method, fractions 0 to 1.

    Raises:
        EngineError: the model is no checkpoint; BenchmarkError: a benchmark cannot be used.
    """
    out = out.resolve()
    store = ImageStore(out)
    place = Place(out, store, Engines(store, out / "hashes", substitute=substitute), progress or Silent())
    chosen = Model(spec_of(str(model), Path()))
    place.needs(chosen)  # a folder that is no checkpoint is refused before any picture is read
    loaded = [load_benchmark(path, store, config.limit) for path in benchmarks]
    questions = items_step(loaded, config, store)
    answers = evaluation_step(ROLE, questions, chosen, config, execution, place)
    for step in (questions, answers):
        reused = artifacts.finished(step, out) is not None
        artifacts.build(step, out)
        place.progress.end(step.name, reused=reused)
    asked, scored = (artifacts.home_of(step, out) for step in (questions, answers))
    items = list(read_records(asked / "items.parquet", Item))
    n_rows = {each["name"]: each["n_rows"] for each in read_json(asked / "benchmarks.json")["facts"]}
    measurements = measure(
        read_records(scored / "scores.parquet", Score),
        primary_by_benchmark(items),
        n_rows_by_benchmark=n_rows,
        comparisons=(),
    )
    reasons = Counter(each.reason for each in read_records(asked / "rejections.parquet", Rejection))
    result: dict[str, Any] = {
        "model": str(model),
        "limit": config.limit,
        "rows": n_rows,
        "rejections": dict(sorted(reasons.items())),
        "measurements": _by_benchmark(measurements),
        "predictions": str(scored / "predictions.parquet"),
    }
    write_json(out / "measurements.json", result)
    return result


def _by_benchmark(measurements: Sequence[Measurement]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for each in measurements:
        benchmark, _, what = each.key.partition(f"/{ROLE}/")
        found.setdefault(benchmark, {})[what] = {
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "n": each.n,
            "n_clusters": each.n_clusters,
            "coverage": each.coverage,
            "method": each.method,
        }
    return found


def count_questions(model: Path, benchmarks: Sequence[Path], config: EvaluateConfig) -> dict[str, int]:
    """Return how many questions would be asked, by benchmark; nothing is kept.

    Raises:
        EngineError: the model is no checkpoint; BenchmarkError: a benchmark cannot be used.
    """
    require_checkpoint(Path(spec_of(str(model), Path()).model))
    with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
        loaded = [load_benchmark(path, ImageStore(Path(scratch)), config.limit) for path in benchmarks]
    return dict(Counter(item.benchmark for each in loaded for item in each.items))
