"""Trains with acclimate, through the room's door, and notes every step.

python run_ours.py JOB.json
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from step_recorder import StepRecorder

from acclimate.files import ImageStore, read_records
from acclimate.records import Conversation
from acclimate.train import loop
from acclimate.train.stage import TrainConfig, train


def noting(recorder: StepRecorder, summed_loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return the loss function, its time and its batches noted."""
    timed = recorder.timed("forward", summed_loss)

    def wrapped(model: Any, head: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        recorder.batch(batch["input_ids"], batch["trained"])
        return timed(model, head, batch, *args, **kwargs)

    return wrapped


def main(job: dict[str, Any]) -> None:
    """Train as the job says."""
    recorder = StepRecorder(job["threads"])
    loop.summed_loss = noting(recorder, loop.summed_loss)
    if not job["workers"]:  # else it is a data loader of PyTorch, which the recorder knows
        Future.result = recorder.timed("data", Future.result)  # type: ignore[method-assign]
    out = Path(job["out"])
    config = TrainConfig.model_validate(
        {
            "batch_size": job["batch_size"],
            "max_steps": job["steps"],
            "learning_rate": job["learning_rate"],
            "weight_decay": job["weight_decay"],
            "warmup_ratio": job["warmup_ratio"],
            "max_gradient_norm": job["max_gradient_norm"],
            "seed": job["seed"],
            "precision": job["precision"],
            "max_tokens": job["max_tokens"],
            "save_every": job["steps"] + 1,
            "check_reload": False,
            "execution": {"threads": job["threads"], "workers": job["workers"], **job["settings"]},
        }
    )
    done = train(
        list(read_records(Path(job["conversations"]), Conversation)),
        config,
        model=Path(job["model"]),
        store=ImageStore(Path(job["store"])),
        out=out / "checkpoint",
        work=out / "work",
    )
    for row in done.losses:
        recorder.loss(torch.tensor(row.loss))
    recorder.save(out, config=config.model_dump(mode="json"))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
