"""One process of a training: `python -m acclimate.train.worker JOB_FOLDER`, started by a launcher."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from acclimate.errors import AcclimateError
from acclimate.files import ImageStore, read_json, read_records, write_json
from acclimate.records import Conversation
from acclimate.train.launch import FAILURE, JOB, PROGRESS, write_outcome
from acclimate.train.ranks import Together
from acclimate.train.run import chosen_device, train_here
from acclimate.train.stage import TrainConfig


def work(folder: Path) -> None:
    """Train as one of the processes; the first one writes the outcome."""
    told: dict[str, Any] = read_json(folder / JOB)
    config = TrainConfig.model_validate(told["config"])

    def tell(*step: float) -> None:
        with (folder / PROGRESS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(step) + "\n")

    try:
        ranks = Together(chosen_device(config.execution.device), config)
        outcome = train_here(
            list(read_records(folder / "conversations.parquet", Conversation)),
            config,
            ranks,
            model=Path(told["model"]),
            store=ImageStore(Path(told["store"])),
            out=Path(told["out"]),
            work=Path(told["work"]),
            on_progress=tell,
        )
    except AcclimateError as error:
        write_json(folder / FAILURE, {"kind": type(error).__name__, "message": str(error)})
        raise
    if ranks.rank == 0:
        write_outcome(folder, outcome)
    ranks.wait()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # measured: a process that tears down its group itself is sometimes aborted, all work done
