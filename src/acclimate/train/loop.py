"""The training loop: `transformers.Trainer` with our batches, our loss, and checkpoints that survive a kill.

One item of the data loader is one optimizer step with all its micro-batches, so the loss of a step is the
mean over the step's trained tokens whatever the micro-batches are. Only trained positions go through the
output head. Resuming is exact: order, optimizer, schedule and random numbers go on as if nothing happened.
"""
# ruff: noqa: ANN401

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from acclimate.errors import TrainError
from acclimate.train import checkpoints
from acclimate.train.collate import Steps
from acclimate.train.schedule import Step, learning_rate_factor
from acclimate.train.stage import LossRow, Progress, TrainConfig


def selected_logits(model: nn.Module, head: nn.Module, inputs: dict[str, Any], positions: Tensor) -> Tensor:
    """Return the logits of some positions only, (N, V), N of them chosen by `positions` (B, T) bool.

    The head's input is narrowed by a hook, which works for every family whose logits come from one output
    head; the rest of the vocabulary's products are never computed.
    """

    def narrow(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (arguments[0][positions], *arguments[1:])

    handle = head.register_forward_pre_hook(narrow)
    try:
        logits: Tensor = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits


def summed_loss(model: nn.Module, head: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Return the cross-entropy summed over the batch's trained tokens, in nats.

    Args:
        model: any multimodal causal language model of `transformers`.
        head: its output embeddings.
        batch: from `collate`.
    """
    inputs = {name: value for name, value in batch.items() if name != "trained"}
    counted = batch["trained"][:, 1:]
    positions = nn.functional.pad(counted, (0, 1), value=False)
    logits = selected_logits(model, head, inputs, positions)
    targets = batch["input_ids"][:, 1:][counted]
    return nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


@dataclass(frozen=True, slots=True)
class Job:
    """One training: what is done, and where."""

    config: TrainConfig
    schedule: Sequence[Step]
    steps_per_epoch: int
    device: str
    """`cpu` or `cuda`."""
    work: Path
    """Where checkpoints are kept."""
    key: str
    """Decides whether a checkpoint there belongs to this training."""
    on_progress: Progress | None


class StepTrainer(Trainer):
    """A `Trainer` whose batches are whole optimizer steps.

    What is overridden: where batches come from, the step's loss, and how checkpoints are kept.
    """

    # Set by `Trainer`, whose own annotations allow for more.
    model: Any
    optimizer: Any
    lr_scheduler: Any
    train_dataset: Any

    def __init__(self, job: Job, head: nn.Module, **kwargs: Any) -> None:
        """Take what `Trainer` takes, and the training's own."""
        super().__init__(**kwargs)
        self.remove_callback(PrinterCallback)
        self.losses: list[LossRow] = []
        self._job = job
        self._head = head

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the steps in their order."""
        return DataLoader(
            self.train_dataset,
            batch_size=1,
            shuffle=False,
            collate_fn=_only,
            num_workers=self.args.dataloader_num_workers,
        )

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:  # noqa: ARG002
        """Do the passes of one optimizer step and return its loss.

        Raises:
            TrainError: the loss or the gradient is not finite, or the model refuses a batch.
        """
        model.train()
        number = self.state.global_step
        n_trained = self._job.schedule[number].n_trained
        total = torch.zeros((), device=self.args.device)
        for batch, ids in zip(inputs["micro_batches"], inputs["ids"], strict=True):
            loss = self._loss(model, batch, ids) / n_trained
            if loss.requires_grad:  # text alone teaches nothing to a projector that learns alone
                self.accelerator.backward(loss)
            total += loss.detach()
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        norm = nn.utils.clip_grad_norm_(learning, self._job.config.max_gradient_norm)
        if not (math.isfinite(total.item()) and math.isfinite(norm.item())):
            raise TrainError(
                f"The loss is not finite at step {number + 1} (loss {total.item()}, gradient norm "
                f"{norm.item()}). Lower `train.learning_rate`, lengthen `train.warmup_ratio`, or set "
                "`train.precision` to fp32; then run again."
            )
        self.losses.append(
            LossRow(
                step=number + 1,
                epoch=(number + 1) / self._job.steps_per_epoch,
                loss=total.item(),
                learning_rate=float(self.lr_scheduler.get_last_lr()[0]),
                tokens=n_trained,
            )
        )
        return total

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Count nothing: the count walks every parameter at every step."""
        return 0

    def _loss(self, model: nn.Module, batch: dict[str, Tensor], ids: Sequence[str]) -> Tensor:
        mixed = self._job.config.precision == "bf16"
        try:
            with torch.autocast(self.args.device.type, torch.bfloat16, enabled=mixed):
                return summed_loss(model, self._head, self._prepare_inputs(batch))
        except (ValueError, IndexError) as error:
            raise TrainError(
                f"The model refuses a batch ({' '.join(str(error).split())[:300]}) of conversations "
                f"{', '.join(ids[:8])}. Leave them out, or check that processor and weights belong together."
            ) from error

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:  # noqa: ARG002
        part = checkpoints.begin(self._job.work)
        checkpoints.save_weights(self.model, part)
        checkpoints.save_losses(self.losses, part)
        checkpoints.save_state(self.optimizer.state_dict(), part / "optimizer.pt")
        checkpoints.save_state(self.lr_scheduler.state_dict(), part / "scheduler.pt")
        self._save_rng_state(str(part))
        self.state.save_to_json(str(part / "trainer_state.json"))
        checkpoints.finish(part, self._job.work, self.state.global_step, self._job.key)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        folder = Path(resume_from_checkpoint)
        checkpoints.load_weights(self.model, folder)
        self.losses = list(checkpoints.load_losses(folder))


class _Report(TrainerCallback):
    """Passes every finished step on."""

    def __init__(self, losses: Callable[[], Sequence[LossRow]], on_progress: Progress) -> None:
        self._losses = losses
        self._on_progress = on_progress

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._on_progress(state.global_step, state.max_steps, self._losses()[-1].loss)


def fit(
    model: nn.Module, head: nn.Module, data: Steps, groups: list[dict[str, Any]], job: Job
) -> Sequence[LossRow]:
    """Train the model in place, from the newest checkpoint where there is one; return the loss log.

    Args:
        model: with what learns marked by `requires_grad`, in fp32.
        head: its output embeddings.
        data: one item per step of the job's schedule.
        groups: AdamW's parameter groups.
        job: what is done, and where.

    Raises:
        TrainError: see `StepTrainer.training_step`.
    """
    config, total = job.config, len(job.schedule)
    arguments = TrainingArguments(
        output_dir=str(job.work),
        per_device_train_batch_size=1,
        max_steps=total,
        save_strategy="steps",
        save_steps=config.save_every,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        max_grad_norm=0.0,
        seed=config.seed % 2**32,
        use_cpu=job.device == "cpu",
        dataloader_num_workers=config.execution.workers,
        dataloader_pin_memory=False,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # one device: DataParallel would split a step's tensors
    with _deterministic():
        optimizer = torch.optim.AdamW(groups, fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, total, config.warmup_ratio)
        )
        trainer = StepTrainer(
            job, head, model=model, args=arguments, train_dataset=data, optimizers=(optimizer, scheduler)
        )
        if job.on_progress is not None:
            trainer.add_callback(_Report(lambda: trainer.losses, job.on_progress))
        last = checkpoints.newest(job.work, job.key)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return trainer.losses


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask PyTorch for repeatable kernels; leave everything as it was found."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    switches: Any = torch.utils.deterministic
    fills = switches.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    switches.fill_uninitialized_memory = False  # filling costs time and changes no result
    try:
        with warnings.catch_warnings():
            # A family's own code may call what its library is about to drop; nobody here can act on it.
            warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
            yield
    finally:
        torch.use_deterministic_algorithms(mode=before[0], warn_only=before[1])
        switches.fill_uninitialized_memory = fills


def _only(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return items[0]
