"""Runs lm-eval as a library: one task of a model that is open, offline; its samples in its own logged form.

Nothing of lm-eval is imported before a task is run. What it computes is its own: requests, prompts, batches,
log-likelihoods and metrics are those of `lm_eval --model hf` with the same settings.

Source: lm-eval 0.4.13, `evaluator.py`, `models/huggingface.py`, `tasks/manager.py` and
`loggers/evaluation_tracker.py` (the form of the samples), as read and run.
"""
# ruff: noqa: ANN401

import difflib
import importlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.errors import BenchmarkError, EngineError
from acclimate.evaluate.text_tasks import lm_eval_version

_LEFT_OUT = ("dataset_kwargs", "include")
"""What of a task's settings says where its files lie."""


@dataclass(frozen=True, slots=True)
class HarnessRun:
    """What lm-eval says of one requested task, which may be a group of several."""

    samples: Mapping[str, Sequence[Mapping[str, Any]]]
    """By task: what is logged of each question, in lm-eval's form."""
    totals: Mapping[str, Mapping[str, Any]]
    """By task or group: its own results (`acc,none` and so on); None where one is not a number."""
    configs: Mapping[str, Mapping[str, Any]]
    """By task: the settings it ran with, paths left out."""
    n_rows: Mapping[str, int]
    """By task: questions there are, asked or not."""


def open_lm(model: Any, tokenizer: Any, batch_size: int) -> Any:
    """Return lm-eval's wrapper around a model that is open.

    Raises:
        EngineError: lm-eval, or what it needs, is not installed.
    """
    lm_eval_version()
    with _quiet():
        try:
            module = importlib.import_module("lm_eval.models.huggingface")
        except ModuleNotFoundError as error:
            raise EngineError(
                f"lm-eval needs {error.name}, which is not installed. Install it: pip install 'lm-eval[hf]'."
            ) from None
        return module.HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size)


def run_task(
    lm: Any,
    task: str,
    *,
    folders: Sequence[Path],
    shots: int | None = None,
    limit: int | None = None,
    chat_template: bool = False,
) -> HarnessRun:
    """Ask one model all questions of one task or group.

    Args:
        lm: of `open_lm`.
        task: its name in lm-eval.
        folders: of local tasks; lm-eval's own are known too.
        shots: worked examples before each question; None takes the task's own number.
        limit: only the first questions, for tests.
        chat_template: put prompts into the model's chat template.

    Raises:
        BenchmarkError: there is no such task, or its data is not on this machine.
    """
    evaluator: Any = importlib.import_module("lm_eval")
    with _quiet(), _offline(), _unadorned():
        manager = _manager(task, folders)
        found = evaluator.simple_evaluate(
            model=lm,
            tasks=[task],
            num_fewshot=shots,
            limit=limit,
            task_manager=manager,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=chat_template,
        )
    tasks = list(found["samples"])
    return HarnessRun(
        samples={name: [_logged(each) for each in found["samples"][name]] for name in tasks},
        totals={name: _numbers(row) for name, row in found["results"].items()},
        configs={name: _settings(found["configs"][name]) for name in tasks},
        n_rows={name: int(found["n-samples"][name]["original"]) for name in tasks},
    )


def _manager(task: str, folders: Sequence[Path]) -> Any:
    """Return the index of tasks, after looking the task up and loading its data.

    Raises:
        BenchmarkError: either failed.
    """
    tasks: Any = importlib.import_module("lm_eval.tasks")
    paths = [str(folder) for folder in folders]
    manager = tasks.TaskManager(include_path=paths or None, include_defaults=False)
    if task not in manager.all_tasks:
        manager = tasks.TaskManager(include_path=paths or None)
    if task not in manager.all_tasks:
        close = difflib.get_close_matches(task, manager.all_tasks, n=3)
        near = f" Did you mean {' or '.join(close)}?" if close else ""
        raise BenchmarkError(
            f"lm-eval {lm_eval_version()} has no task {task!r}, nor has a folder that was named.{near} "
            "`lm_eval ls tasks` lists its own."
        )
    try:
        manager.load([task])
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise BenchmarkError(_absence(manager, task, error)) from error
    return manager


def _absence(manager: Any, task: str, error: BaseException) -> str:
    """Return what is missing of a task, and how to get it where there is no network."""
    said = " ".join(str(error).split())[:300]
    config = manager.task_index[task].cfg or {}
    repository = config.get("dataset_path")
    if isinstance(error, ImportError):
        return f"The task {task} needs a package that is not installed ({said}). Install it and run again."
    if not isinstance(repository, str) or repository in ("json", "csv", "parquet", "text"):
        return f"The data of the task {task} cannot be loaded ({said}). Check the files that its YAML names."
    name = config.get("dataset_name")
    asked = f"{repository!r}" + (f", {name!r}" if name else "")
    command = f'python -c "import datasets; datasets.load_dataset({asked})"'
    return (
        f"The task {task} needs the data set {repository}, which is not in this machine's cache of the "
        f"Hugging Face hub, and nothing is downloaded here ({said}). Where there is a network, run {command} "
        "and copy the cache (HF_HOME, by default ~/.cache/huggingface) to this machine. A data set that is a "
        "script must be made into files: a local task, as acclimate writes for TruthfulQA and ETHICS."
    )


def _logged(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample as lm-eval's command line logs it with --log_samples."""
    utils: Any = importlib.import_module("lm_eval.utils")
    arguments = {
        f"gen_args_{place}": {f"arg_{at}": value for at, value in enumerate(each)}
        for place, each in enumerate(sample["arguments"])
    }
    whole = {
        **sample,
        "resps": utils.sanitize_list(sample["resps"]),
        "filtered_resps": utils.sanitize_list(sample["filtered_resps"]),
        "arguments": arguments,
        "target": str(sample["target"]),
    }
    plain: dict[str, Any] = json.loads(
        json.dumps(whole, default=utils.handle_non_serializable, ensure_ascii=False)
    )
    return plain


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of results in plain JSON."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str | int) or value is None:
            found[name] = value
        elif hasattr(value, "__float__"):
            number = float(value)
            found[name] = number if number - number == 0 else None  # neither infinite nor not a number
    return found


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in config.items() if name not in _LEFT_OUT}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=_name_of, ensure_ascii=False))
    return plain


def _name_of(value: object) -> str:
    return str(getattr(value, "__qualname__", type(value).__name__))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's notes off the screen; warnings that matter are errors here."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _offline() -> Iterator[None]:
    """Let the Hugging Face libraries use this machine's cache alone."""
    modules: list[Any] = [
        importlib.import_module(name) for name in ("huggingface_hub.constants", "datasets.config")
    ]
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


@contextmanager
def _unadorned() -> Iterator[None]:
    """Leave out what lm-eval says of the machine: nobody reads it here, and it runs `pip list` every time."""
    module: Any = importlib.import_module("lm_eval.evaluator")
    before = module.add_env_info
    module.add_env_info = lambda _results: None
    try:
        yield
    finally:
        module.add_env_info = before
