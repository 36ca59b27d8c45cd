"""What every contestant of the training benchmark notes while it trains, whatever the tool.

It runs in each tool's own interpreter, so it needs nothing but PyTorch and numpy, and it is the same code for
all: steps end when `Optimizer.step` returns, batches are noted as the model is given them, and the time
of a step is told apart by hooks on PyTorch's own doors.
"""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import dataloader

NOT_TRAINED = -100
"""Label of a token that the loss does not count, in every tool."""


class StepRecorder:
    """Notes of one training, saved as `steps.json` and `seen.npz`.

    When something began and ended is noted as `data` (the wait for batches), `backward`, `clip`, `optimizer`
    and `zero_grad`; what a driver adds is noted under its own name. Times are of the system's monotonic
    clock, because whoever stops this process now and then has to subtract when it stood still.
    """

    def __init__(self, threads: int) -> None:
        """Set the number of threads and begin to note."""
        torch.set_num_threads(threads)
        self.ended: list[float] = []
        self.cpu: list[float] = []
        self.spans: list[list[tuple[str, float, float]]] = []
        self.dtypes: set[str] = set()
        self._now: list[tuple[str, float, float]] = []
        self._losses: list[torch.Tensor] = []
        self._batches: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._optimizer_began = 0.0
        waiting: Any = dataloader._BaseDataLoaderIter
        waiting.__next__ = self.timed("data", waiting.__next__)
        doors: Any = torch
        doors.Tensor.backward = self.timed("backward", doors.Tensor.backward)
        doors.nn.utils.clip_grad_norm_ = self.timed("clip", doors.nn.utils.clip_grad_norm_)
        doors.optim.Optimizer.zero_grad = self.timed("zero_grad", doors.optim.Optimizer.zero_grad)
        register_optimizer_step_pre_hook(self._before_optimizer)
        register_optimizer_step_post_hook(self._after_optimizer)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time noted as `name` of the running step."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            began = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                self._now.append((name, began, time.monotonic()))

        return wrapped

    def batch(self, input_ids: torch.Tensor, trained: torch.Tensor) -> None:
        """Note a batch as the model is given it: (B, T) token ids and which of them the loss counts."""
        ids, counts = input_ids.to(torch.int32).numpy().copy(), trained.bool().numpy().copy()
        self._batches.append((len(self.ended), ids, counts))

    def loss(self, loss: torch.Tensor) -> None:
        """Note a loss as the tool reports it; for the eye, nothing is counted by it."""
        self._losses.append(loss.detach())

    def save(self, out: Path, **facts: Any) -> None:  # noqa: ANN401
        """Write the notes."""
        result = {
            "ended": self.ended,
            "cpu": self.cpu,
            "spans": self.spans,
            "losses": [float(loss) for loss in self._losses],
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "weights": sorted(self.dtypes),
            **facts,
        }
        (out / "steps.json").write_text(json.dumps(result))
        arrays = {"step": np.array([step for step, _, _ in self._batches])}
        for index, (_, ids, counts) in enumerate(self._batches):
            arrays[f"ids{index}"], arrays[f"trained{index}"] = ids, counts
        np.savez(out / "seen.npz", **arrays)

    def _before_optimizer(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:  # noqa: ANN401
        if not self.dtypes:
            groups = optimizer.param_groups
            self.dtypes = {str(each.dtype) for group in groups for each in group["params"]}
        self._optimizer_began = time.monotonic()

    def _after_optimizer(self, *_: Any) -> None:  # noqa: ANN401
        self.ended.append(time.monotonic())
        self.cpu.append(time.process_time())
        self._now.append(("optimizer", self._optimizer_began, self.ended[-1]))
        self.spans.append(self._now)
        self._now = []


def record_trainer(recorder: StepRecorder, trainer_class: Any) -> None:  # noqa: ANN401
    """Note batches, losses and the time of forward and backward of a `transformers.Trainer` and its kin."""
    inner = recorder.timed("forward_backward", trainer_class.training_step)

    def training_step(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        recorder.batch(inputs["input_ids"], inputs["labels"] != NOT_TRAINED)
        loss = inner(self, model, inputs, *args, **kwargs)
        recorder.loss(loss)
        return loss

    trainer_class.training_step = training_step
