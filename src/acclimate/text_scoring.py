"""Scores the language model inside a checkpoint on text benchmarks, through lm-eval, without any picture.

One artifact per model and task (`artifacts/text-TASK/...`: `samples_*.jsonl` in lm-eval's form, its
`results.json`, our `scores.parquet`), keyed by the checkpoint's identity, the tasks' files, lm-eval's version
and the settings: what is finished is never asked again, and a stopped run goes on with the next task.
"""

import gc
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from acclimate import artifacts
from acclimate.artifacts import Outcome, Step, Workspace
from acclimate.engines.open import engine_identity
from acclimate.engines.spec import spec_of
from acclimate.engines.text_model import load_text_model
from acclimate.errors import BenchmarkError, RecipeError
from acclimate.evaluate.lm_harness import HarnessRun, open_lm, run_task
from acclimate.evaluate.text_scores import benchmark_of, primary_scorer, scores_of
from acclimate.evaluate.text_tasks import (
    ETHICS,
    GROUP_SIZES,
    PREFIX,
    TRUTHFULQA,
    TRUTHFULQA_ANSWER,
    VERSION,
    Pinned,
    ethics_file,
    lm_eval_version,
    write_ethics,
    write_truthfulqa,
)
from acclimate.files import (
    JSON,
    cached_sha256,
    read_json,
    read_records,
    write_json,
    write_records,
    write_text,
)
from acclimate.records import Measurement, Score
from acclimate.report.measure import MACRO, Sum, measure
from acclimate.workplace import Progress, Silent, how

ROLE = "model"
"""What the checkpoint is called in scores and measurements."""
AGAINST = "against"
"""What the one it is compared with is called."""
SUITES: Mapping[str, tuple[str, ...]] = {"truthfulqa": TRUTHFULQA, "ethics": ETHICS}
OURS = (*TRUTHFULQA, TRUTHFULQA_ANSWER, *ETHICS)
_HUB = "hub:"
_TRUTHFULQA_IS = "TruthfulQA.csv (github.com/sylinrl/TruthfulQA)"
_ETHICS_IS = "the folder of its five test files (github.com/hendrycks/ethics)"


class TextConfig(BaseModel):
    """What is asked: identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    truthfulqa: str | None = None
    """`TruthfulQA.csv`, or `hub:COMMIT`: lm-eval's data set at that commit, in this machine's cache."""
    ethics: str | None = None
    """Folder of ETHICS' five test files, or `hub:COMMIT`, or `hub:REPOSITORY@COMMIT`."""
    include_path: tuple[str, ...] = ()
    """Folders of further lm-eval tasks."""
    limit: int | None = Field(default=None, ge=1)
    """Questions per task, for tests only; every output says so."""
    dtype: Literal["bfloat16", "float32", "auto"] = "auto"
    """`auto` takes the one the checkpoint was saved in. In bfloat16 choices are often equally likely."""
    chat_template: bool = False
    """Put prompts into the model's chat template; the published numbers are without."""


class TextExecution(BaseModel):
    """How the model is run: never part of an identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(default=1, ge=1)
    """Questions at a time. 1, which is lm-eval's own default, pads nothing: what a question gets then depends
    on no other one, to the last bit. More is faster where there is a GPU."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


@dataclass(frozen=True, slots=True)
class TextTask:
    """One task that was asked for."""

    name: str
    """In lm-eval."""
    shots: int | None
    files: Mapping[str, str]
    """What its data is made of, by content."""


@dataclass(slots=True)
class _Opened:
    """A checkpoint's language model, opened when the first task needs it."""

    path: Path
    config: TextConfig
    execution: TextExecution
    held: list[Any] = field(default_factory=list)

    def lm(self) -> Any:  # noqa: ANN401 - lm-eval's
        """Return lm-eval's wrapper around it."""
        if not self.held:
            found = load_text_model(self.path, self.config.dtype, self.execution.device)
            self.held.append(open_lm(found.model, found.tokenizer, self.execution.batch_size))
        return self.held[0]

    def close(self) -> None:
        """Free its memory."""
        self.held.clear()
        gc.collect()


def score_text(
    model: Path | str,
    tasks: Sequence[str],
    out: Path,
    *,
    config: TextConfig | None = None,
    execution: TextExecution | None = None,
    against: Path | str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask the language model inside a checkpoint text benchmarks; return its measurements with intervals.

    The same call after a crash goes on with the next task; a finished one is only read. lm-eval seeds the
    process' random numbers, as its command line does.

    Args:
        model: folder or hub name of a multimodal checkpoint, a causal language model, or a LoRA adapter.
        tasks: `truthfulqa`, `ethics`, one of their tasks (`truthfulqa_mc1`, `ethics_cm`, ...), or any name
            that lm-eval knows; `gsm8k:8` asks it with 8 worked examples.
        out: receives artifacts, the tasks' files, `scores.parquet` and `measurements.json`.
        against: another checkpoint: every score is compared, paired by question.

    Returns:
        As `scoring.score_checkpoint`, measured `original` (what was asked, without pictures); with `harness`
        (lm-eval's own numbers, by who and task), `unread` (ties and other choices that could not be read),
        and `sample_files` by who and task. The five parts of ETHICS together give `ethics_mean` and
        `ethics_exact_mean`, in the latter the exact groups of the three parts that have them.

    Raises:
        EngineError: a model cannot be opened, or lm-eval is not installed; BenchmarkError: a task is
            unknown, or its data is not here.
    """
    config, execution = config or TextConfig(), execution or TextExecution()
    out, progress = out.resolve(), progress or Silent()
    specs = {
        role: spec_of(str(path), Path()).model_copy(update={"dtype": config.dtype})
        for role, path in ((ROLE, model), (AGAINST, against))
        if path is not None
    }
    for role, spec in specs.items():
        if spec.engine != "transformers":
            raise RecipeError(f"{role}: text benchmarks need a checkpoint's folder, not a server.")
    digests = {role: engine_identity(spec, out / "hashes").digest for role, spec in specs.items()}
    asked = _asked(tasks, config, out)
    folders = [out / "tasks", *(Path(each) for each in config.include_path)]
    homes: dict[str, dict[str, Path]] = {}
    for role, spec in specs.items():
        opened = _Opened(Path(spec.model), config, execution)
        homes[role] = {}
        for task in asked:
            step = text_step(task, digests[role], opened, folders)
            reused = artifacts.finished(step, out) is not None
            progress.start(f"{role} {task.name}", None)
            homes[role][task.name] = artifacts.build(step, out)
            progress.end(f"{role} {task.name}", reused=reused)
        opened.close()
    result = _result(homes)
    result |= {
        "model": str(model),
        "model_digest": digests[ROLE],
        **({"against": str(against), "against_digest": digests[AGAINST]} if against is not None else {}),
        "limit": config.limit,
        "lm_eval": lm_eval_version(),
        "predictions": str(out / "scores.parquet"),
        "samples": str(out / "artifacts"),
    }
    write_records(out / "scores.parquet", _scores(homes), Score)
    write_json(out / "measurements.json", result)
    return result


def text_step(task: TextTask, digest: str, opened: _Opened, folders: Sequence[Path]) -> Step:
    """Return the step that asks one model one task."""
    config, execution = opened.config, opened.execution

    def run(space: Workspace) -> Outcome:
        found = run_task(
            opened.lm(),
            task.name,
            folders=folders,
            shots=task.shots,
            limit=config.limit,
            chat_template=config.chat_template,
        )
        scores = list(_write_run(found, space.out))
        counts = {"inputs": sum(map(len, found.samples.values())), "outputs": len(scores)}
        return Outcome(counts, {}, run=how(execution))

    facts: dict[str, JSON] = {
        "task": task.name,
        "shots": task.shots,
        "files": dict(task.files),
        "lm_eval": lm_eval_version(),
        "limit": config.limit,
        "chat_template": config.chat_template,
    }
    name = benchmark_of(task.name).replace("/", "-")
    return Step(f"text-{name}", VERSION, facts, {}, run, {"model": digest})


def _write_run(found: HarnessRun, out: Path) -> Iterator[Score]:
    scores: list[Score] = []
    for name, samples in found.samples.items():
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in samples)
        write_text(out / f"samples_{name}.jsonl", lines)
        scores += scores_of(name, samples, found.totals.get(name, {}))
    write_json(
        out / "results.json",
        {"results": _plain(found.totals), "configs": _plain(found.configs), "n_rows": dict(found.n_rows)},
    )
    write_records(out / "scores.parquet", scores, Score)
    yield from scores


def _plain(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, JSON]:
    return {name: dict(row) for name, row in rows.items()}


def _asked(tasks: Sequence[str], config: TextConfig, out: Path) -> list[TextTask]:
    """Return what was asked for, after writing the local tasks' files.

    Raises:
        BenchmarkError: nothing was asked for, or files are missing.
    """
    names: dict[str, int | None] = {}
    for each in tasks:
        name, _, shots = each.partition(":")
        if shots and not shots.isdecimal():
            raise BenchmarkError(
                f"{each}: after the colon stands the number of worked examples, as in gsm8k:8."
            )
        names |= dict.fromkeys(SUITES.get(name, (name,)), int(shots) if shots else None)
    if not names:
        raise BenchmarkError("Name a text benchmark: truthfulqa, ethics, or a task that lm-eval knows.")
    fixed = [name for name, shots in names.items() if shots and name in OURS]
    if fixed:
        raise BenchmarkError(f"{fixed[0]} is asked without worked examples; leave the number out.")
    files: dict[str, Mapping[str, str]] = {}
    if any(name.startswith("truthfulqa") for name in names if name in OURS):
        truthfulqa = _source(
            config.truthfulqa, "truthfulqa", "TruthfulQA.csv (github.com/sylinrl/TruthfulQA)"
        )
        write_truthfulqa(truthfulqa, out / "tasks")
        files["truthfulqa"] = _content(truthfulqa, [truthfulqa] if isinstance(truthfulqa, Path) else [], out)
    if any(name in ETHICS for name in names):
        ethics = _source(
            config.ethics, "ethics", "the folder of its five test files (github.com/hendrycks/ethics)"
        )
        write_ethics(ethics, out / "tasks")
        parts = [ethics_file(ethics, name) for name in ETHICS] if isinstance(ethics, Path) else []
        files["ethics"] = _content(ethics, parts, out)
    further = _folders(config.include_path, out)
    return [
        TextTask(f"{PREFIX}{name}", None, files[name.partition("_")[0]])
        if name in OURS
        else TextTask(name, shots, further)
        for name, shots in names.items()
    ]


def _source(given: str | None, key: str, what: str) -> Path | Pinned:
    """Return what a setting means.

    Raises:
        BenchmarkError: it is not set.
    """
    if given is None:
        raise BenchmarkError(
            f"{key}: give {what}, or `{_HUB}COMMIT` for lm-eval's data set at that commit, where it is in "
            "this machine's cache of the Hugging Face hub. Nothing is downloaded."
        )
    if not given.startswith(_HUB):
        return Path(given)
    repository, _, revision = given.removeprefix(_HUB).rpartition("@")
    pinned = Pinned(revision, repository)
    pinned.require()
    return pinned


def _content(source: Path | Pinned, files: Sequence[Path], out: Path) -> Mapping[str, str]:
    if isinstance(source, Pinned):
        return {"repository": source.repository, "revision": source.revision}
    return {file.name: cached_sha256(file, out / "hashes") for file in files}


def _folders(folders: Sequence[str], out: Path) -> Mapping[str, str]:
    """Return the hash of each folder's files; lm-eval's own tasks go by its version.

    Raises:
        BenchmarkError: there is no such folder.
    """
    found: dict[str, str] = {}
    for place, folder in enumerate(map(Path, folders)):
        if not folder.is_dir():
            raise BenchmarkError(f"There is no folder {folder}; name one with lm-eval's task files.")
        digest = hashlib.sha256()
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            if "__pycache__" not in file.parts:
                name = file.relative_to(folder).as_posix()
                digest.update(f"{name} {cached_sha256(file, out / 'hashes')}\n".encode())
        found[f"folder {place}"] = digest.hexdigest()
    return found


def _scores(homes: Mapping[str, Mapping[str, Path]]) -> Iterator[Score]:
    """Yield every score, with who it belongs to."""
    for role, by_task in homes.items():
        for home in by_task.values():
            for each in read_records(home / "scores.parquet", Score):
                yield replace(each, model=role)


def _result(homes: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    scores = list(_scores(homes))
    by_benchmark: dict[str, list[Score]] = defaultdict(list)
    for each in scores:
        by_benchmark[each.benchmark].append(each)
    primary = {name: primary_scorer(rows) for name, rows in by_benchmark.items()}
    told = {
        role: {task: read_json(home / "results.json") for task, home in by_task.items()}
        for role, by_task in homes.items()
    }
    rows = {benchmark_of(name): n for each in told[ROLE].values() for name, n in each["n_rows"].items()}
    measured = measure(
        scores,
        primary,
        n_rows_by_benchmark={name: rows[name] for name in primary},
        comparisons=((ROLE, AGAINST),),
        sums=_sums(primary),
    )
    unread: dict[str, dict[str, Counter[str]]] = {role: defaultdict(Counter) for role in homes}
    for each in scores:
        if each.reason and each.scorer == primary[each.benchmark]:
            unread[each.model][each.benchmark][each.reason] += 1
    by_name = measurements_by_benchmark(measured)
    by_name.pop(MACRO, None)  # truth, norms and knowledge have no mean
    return {
        "benchmarks": {name: {"counts": {}} for name in primary},
        "rows": rows,
        "rejections": {},
        "primary": primary,
        "beside": {},
        "truncated": {},
        "measurements": by_name,
        "unread": {role: {name: dict(n) for name, n in each.items()} for role, each in unread.items()},
        "harness": {
            role: {name: row for each in by_task.values() for name, row in each["results"].items()}
            for role, by_task in told.items()
        },
        "sample_files": {
            role: {
                file.stem.removeprefix("samples_"): str(file)
                for home in by_task.values()
                for file in sorted(home.glob("samples_*.jsonl"))
            }
            for role, by_task in homes.items()
        },
    }


def _sums(primary: Mapping[str, str]) -> list[Sum]:
    """Return ETHICS' means of five, where all five parts were asked.

    Sight Beyond Text gives one number for ETHICS and does not say how it is made; the mean of the five
    accuracies is the plain reading.
    """
    if not all(name in primary for name in ETHICS):
        return []
    exact = {name: "exact_group_strict" for name in GROUP_SIZES}
    return [
        Sum("ethics_mean", tuple((name, "", 1 / len(ETHICS)) for name in ETHICS)),
        Sum("ethics_exact_mean", tuple((name, exact.get(name, ""), 1 / len(ETHICS)) for name in ETHICS)),
    ]


def measurements_by_benchmark(measurements: Sequence[Measurement]) -> dict[str, dict[str, Any]]:
    """Return measurements by benchmark and what was measured, the model's own without its name."""
    found: dict[str, dict[str, Any]] = {}
    for each in measurements:
        benchmark, _, what = each.key.partition("/")
        numbers = {name: value for name, value in asdict(each).items() if value is not None and name != "key"}
        found.setdefault(benchmark, {})[what.removeprefix(f"{ROLE}/")] = numbers
    return found
