"""Starting the processes that train together, and reading what they found.

The job is a folder: settings, conversations, and where everything is. `accelerate launch` starts the worker
in every process; on a cluster Ray Train does. The first process writes progress and the outcome as files.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from acclimate.errors import AcclimateError, TrainError
from acclimate.files import ImageStore, read_json, read_records, write_json, write_records
from acclimate.records import Conversation, Rejection
from acclimate.train.stage import LossRow, Progress, TrainConfig, TrainOutcome

CONFIGS = Path(__file__).parent / "launch_configs"
WORKER = "acclimate.train.worker"
JOB, OUTCOME, FAILURE, LOG = "job.json", "outcome.json", "failure.json", "processes.log"
PROGRESS = "progress.jsonl"
"""The first process writes a line per step: its number, the number of steps, its loss."""


def run(
    conversations: Sequence[Conversation],
    config: TrainConfig,
    *,
    model: Path,
    store: ImageStore,
    out: Path,
    work: Path,
    on_progress: Progress | None,
) -> TrainOutcome:
    """Train in several processes; as `stage.train`.

    Raises:
        TrainError: as there; or the launch configuration is not known, or a process died.
    """
    _require_deepspeed(config)
    folder = work / "job"
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "conversations.parquet", conversations, Conversation)
    write_json(
        folder / JOB,
        {
            "config": config.model_dump(mode="json"),
            "model": str(model),
            "store": str(store.root),
            "out": str(out),
            "work": str(work),
        },
    )
    for stale in (OUTCOME, FAILURE, PROGRESS):
        (folder / stale).unlink(missing_ok=True)
    with _followed(folder / PROGRESS, on_progress):
        if config.execution.engine == "ray":
            from acclimate.train import on_ray  # noqa: PLC0415 -- an extra

            found = on_ray.run(folder, config)
        else:
            found = _accelerate(folder, config)
    if (folder / FAILURE).is_file():
        told = read_json(folder / FAILURE)
        kinds = {kind.__name__: kind for kind in _kinds(AcclimateError)}
        raise kinds.get(told["kind"], TrainError)(told["message"])
    if not (folder / OUTCOME).is_file():
        raise TrainError(
            f"A process of the training died ({found or 'no message'}). Read {folder / LOG}, then run the "
            "same command: training goes on from its last checkpoint."
        )
    return read_outcome(folder)


def launch_config(config: TrainConfig) -> Path:
    """Return the launch configuration that is shipped under the settings' name, or the user's own.

    Raises:
        TrainError: there is none.
    """
    named = CONFIGS / f"{config.execution.launch}.yaml"
    chosen = named if named.is_file() else Path(config.execution.launch)
    if not chosen.is_file():
        shipped = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
        raise TrainError(
            f"train.execution.launch is {config.execution.launch!r}, which is no file. Shipped are "
            f"{shipped}; `accelerate config` writes others."
        )
    return chosen


def _require_deepspeed(config: TrainConfig) -> None:
    settings = yaml.safe_load(launch_config(config).read_text(encoding="utf-8"))
    if settings.get("distributed_type") != "DEEPSPEED":
        return
    lacks = None
    if importlib.util.find_spec("deepspeed") is None:
        lacks = "is not installed (pip install 'acclimate[deepspeed]')"
    elif config.execution.device == "cpu" or not torch.cuda.is_available():
        lacks = "trains on GPUs only: accelerate would quietly use DDP in its place here"
    if lacks is not None:
        raise TrainError(
            f"The launch configuration {config.execution.launch} is one of DeepSpeed, which {lacks}. Or set "
            "train.execution.launch to fsdp2 or ddp."
        )


def launch_command(folder: Path, config: TrainConfig) -> list[str]:
    """Return the command that starts the processes; as `launch_config`."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(launch_config(config))]
    command += ["--num_processes", str(config.execution.processes)]
    if config.execution.threads is not None:
        command += ["--num_cpu_threads_per_process", str(config.execution.threads)]
    return [*command, "-m", WORKER, str(folder)]


def _accelerate(folder: Path, config: TrainConfig) -> str:
    """Start the processes and wait for them; return what they said of an error."""
    with (folder / LOG).open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            launch_command(folder, config), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait()
        except BaseException:
            _end(process)
            raise
    log = (folder / LOG).read_text(encoding="utf-8")
    told = re.findall(r"^(?:\[rank\d+\]: ?)?(\w+(?:Error|Exception): .*)$", log, re.M)
    return told[0][:300] if told else ""


@contextmanager
def _followed(path: Path, on_progress: Progress | None) -> Iterator[None]:
    """Pass on the steps that the first process writes to a file."""
    done = threading.Event()

    def follow() -> None:
        read = 0
        is_last = False
        while not is_last:
            is_last = done.wait(0.2)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
            for line in lines[read:]:
                if line.endswith("\n") and on_progress is not None:
                    on_progress(*json.loads(line))
                    read += 1

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a launcher and all it has started."""
    group = os.getpgid(process.pid)
    os.killpg(group, signal.SIGTERM)
    killer = threading.Timer(10.0, lambda: os.killpg(group, signal.SIGKILL))
    killer.start()
    process.wait()
    killer.cancel()


def _kinds(kind: type[AcclimateError]) -> list[type[AcclimateError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _kinds(below))]


def write_outcome(folder: Path, outcome: TrainOutcome) -> None:
    """Write what the first process found."""
    write_records(folder / "rejections.parquet", outcome.rejections, Rejection)
    told: dict[str, Any] = asdict(outcome)
    told.pop("rejections")
    write_json(folder / OUTCOME, told)


def read_outcome(folder: Path) -> TrainOutcome:
    """Return what `write_outcome` wrote."""
    told = read_json(folder / OUTCOME)
    return TrainOutcome(
        rejections=tuple(read_records(folder / "rejections.parquet", Rejection)),
        losses=tuple(LossRow(**row) for row in told["losses"]),
        trained=tuple(told["trained"]),
        trained_tokens=told["trained_tokens"],
        total_tokens=told["total_tokens"],
        shortened=told["shortened"],
    )
