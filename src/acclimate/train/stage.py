"""The training room's door: conversations in, a complete plain checkpoint out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from acclimate.files import ImageStore
from acclimate.licences import derived_licence, licence_of
from acclimate.records import Conversation, Rejection
from acclimate.train.masks import MaskMode

VERSION = 3
"""Rises when the same inputs give another checkpoint."""

LOSSES = "losses.jsonl"
"""In the work folder: one line per step, while it goes on."""

Group = Literal["vision", "projector", "language"]
Format = Literal["chat", "plain"]
Shortening = Literal["shrink_pictures", "drop_turns"]
Progress = Callable[[int, int, float], None]
"""Called after every step with its number, the number of steps, and its loss."""


class Lora(BaseModel):
    """Low-rank adaptation; read only where `method` is `lora`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1)
    """Rank of each update."""
    alpha: int = Field(default=32, ge=1)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the input of each update, 0 to 1."""
    targets: tuple[Group, ...] = ("language",)
    """Module groups whose linear layers get an update; the output head never does."""
    save_adapter: bool = False
    """Whether `adapter/` is kept beside the merged checkpoint."""


class TrainExecution(BaseModel):
    """How the training is run: no part of what it is. Never enters a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packing: bool = True
    """Rows of a pass lie one after another without padding, where the family can; else they are padded."""
    micro_batch: int = Field(default=16, ge=1)
    """Conversations per forward pass at most; a step takes as many passes as its batch needs."""
    tokens_per_pass: int = Field(default=8192, ge=1)
    """Tokens per packed forward pass at most; a longer conversation has a pass to itself."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare batches; 0 prepares them in the training process."""
    device: str = "auto"
    """`auto` (cuda where there is one), `cpu` or `cuda`."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None leaves PyTorch's choice. Weights are repeatable for one and the same number."""
    row_cache_mb: int = Field(default=2048, ge=0)
    """Encoded rows are kept in memory up to this size and encoded anew beyond it."""
    gradient_checkpointing: bool = False
    """Activations are computed again in the backward pass instead of kept: less memory, a third slower."""
    compile: bool = False
    """The language model's layers go through torch.compile: pays on a GPU in long runs."""
    kernels: Literal["auto", "off"] = "auto"
    """`auto` uses Liger's fused kernels on a GPU where the package is installed and the first loss agrees."""
    engine: Literal["local", "ray"] = "local"
    """`local` starts processes on this machine by `accelerate launch`; `ray` on a cluster by Ray Train."""
    processes: int = Field(default=1, ge=1)
    """Processes that share every step: one per GPU."""
    launch: str = "ddp"
    """With several processes: `ddp`, `fsdp2`, `zero2`, `zero3` (shipped), or a configuration file of
    `accelerate config`."""
    check_memory: bool = True
    """Whether a training that would not fit into memory is refused before its first step."""
    report_to: tuple[str, ...] = ()
    """Trackers that are told every step, beside losses.jsonl: `tensorboard`, `wandb`, `mlflow`, `trackio`, or
    another that accelerate knows."""


class TrainConfig(BaseModel):
    """What is trained and how. Everything but `execution` decides the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: MaskMode = "responses"
    """`responses` for post-training, `continuation` for the synthesizer."""
    format: Format = "chat"
    """`chat` writes conversations by the checkpoint's template. `plain` writes the picture, the answer and a
    line break: LLaVA's text for aligning a projector."""
    method: Literal["full", "lora", "qlora"] = "full"
    """Train the weights themselves; or low-rank updates that are merged into them at the end (`lora`), beside
    weights held in 4 bits meanwhile (`qlora`, with the extra `gpu`)."""
    lora: Lora = Lora()
    """Settings of `lora` and `qlora`."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the conversations."""
    max_steps: int | None = Field(default=None, ge=1)
    """Ends the run early, learning-rate schedule included."""
    batch_size: int = Field(default=128, ge=1)
    """Conversations per optimizer step."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate of the language model, and of the other groups unless they name their own."""
    vision_learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of the vision tower; None takes `learning_rate`."""
    projector_learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of the projector; None takes `learning_rate`."""
    weight_decay: float = Field(default=0.1, ge=0)
    """AdamW's decoupled decay; norms, biases and other vectors have none."""
    vision_weight_decay: float | None = Field(default=None, ge=0)
    """Decay of the vision tower; None takes `weight_decay`."""
    projector_weight_decay: float | None = Field(default=None, ge=0)
    """Decay of the projector; None takes `weight_decay`."""
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)
    """Fraction of the steps over which the learning rate rises."""
    max_tokens: int = Field(default=6144, ge=1)
    """Longer conversations are shortened as `too_long` says or rejected; image tokens count."""
    too_long: tuple[Shortening, ...] = ("shrink_pictures", "drop_turns")
    """What is done to a conversation that is too long, in this order, before it is rejected: its pictures are
    made smaller, or its last questions and answers are left out. Tokens of pictures and answers are never
    cut."""
    max_gradient_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    seed: int = 0
    """Decides the order of conversations and the start of LoRA updates."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Precision of the forward pass; the weights are kept in fp32 while training."""
    freeze: tuple[Group, ...] = ()
    """Module groups that stay as they are."""
    save_every: int = Field(default=50, ge=1)
    """Steps between checkpoints: at most so many are done again after a crash."""
    check_reload: bool = True
    """Whether a fresh process must load the saved checkpoint and give the same logits."""
    licence: str | None = None
    """Licence of the result for its card; None derives it from those of the base model and the data
    (docs/cards.md), where that can be done, and else writes `not derived`."""
    execution: TrainExecution = TrainExecution()
    """How it is run."""

    def learning_rate_of(self, group: Group) -> float:
        """Return the peak learning rate of a module group."""
        own = {"vision": self.vision_learning_rate, "projector": self.projector_learning_rate}.get(group)
        return self.learning_rate if own is None else own

    def weight_decay_of(self, group: Group) -> float:
        """Return the weight decay of a module group's matrices."""
        own = {"vision": self.vision_weight_decay, "projector": self.projector_weight_decay}.get(group)
        return self.weight_decay if own is None else own


@dataclass(frozen=True, slots=True)
class LossRow:
    """One optimizer step in the loss log."""

    step: int
    """From 1."""
    epoch: float
    """Epochs done after the step."""
    loss: float
    """Mean over the step's trained tokens, in nats, before the update."""
    learning_rate: float
    """Of the language model in this step."""
    tokens: int
    """Trained tokens in the step."""


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """What a training came to; the checkpoint itself is in `out`."""

    rejections: tuple[Rejection, ...]
    """In the order of the conversations."""
    losses: tuple[LossRow, ...]
    trained: tuple[str, ...]
    """Ids of the conversations that were trained on; with the rejections, every id once."""
    trained_tokens: int
    """Trained tokens over all steps."""
    total_tokens: int
    """Tokens over all steps, prompts and image tokens included, padding not."""
    shortened: Mapping[str, int] = field(default_factory=dict)
    """How many conversations were made shorter, by what was done to them."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """One module group of a plan."""

    group: Group
    parameters: int
    trainable: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """What a training would do, for a dry run."""

    groups: tuple[GroupPlan, ...]
    steps: int
    tokens: int | None
    """Tokens over all steps; None where the length of conversations is not known."""
    memory_bytes: int
    """What one process is expected to hold at most; see `memory`."""

    def lines(self) -> list[str]:
        """Return what learns, at which rates, and the memory it takes, for people."""
        lines = []
        for group in self.groups:
            learns = f"{group.trainable:>16,} learn at {group.learning_rate:g}, decay {group.weight_decay:g}"
            told = learns if group.trainable else f"{'frozen':>16}"
            lines.append(f"  {group.group:<10}{group.parameters:>16,} parameters,{told}")
        return [*lines, f"  memory    {self.memory_bytes / 1e9:>16,.2f} GB per process at most"]


def plan(
    config: TrainConfig, *, model: Path, n_conversations: int, tokens_per_conversation: float | None = None
) -> TrainPlan:
    """Return what `train` would do, without loading weights.

    Raises:
        EngineError: `model` is not a checkpoint.
        TrainError: everything is frozen.
    """
    from acclimate.train.parameters import plan_training

    return plan_training(config, model, n_conversations, tokens_per_conversation)


def train(  # noqa: PLR0913 -- two callbacks
    conversations: Sequence[Conversation],
    config: TrainConfig,
    *,
    model: Path,
    store: ImageStore,
    out: Path,
    work: Path,
    on_progress: Progress | None = None,
    on_plan: Callable[[TrainPlan], None] | None = None,
    licences: Sequence[str] = (),
) -> TrainOutcome:
    """Train a checkpoint on conversations and save the result as a plain checkpoint.

    The same call after a crash goes on from the last complete checkpoint in `work` and ends with the same
    bytes in `out`.

    Args:
        conversations: ids are unique. Every one is trained on or rejected, with reason `too_long`,
            `nothing_to_learn`, `image_unreadable` or `not_renderable`.
        config: see there.
        model: the checkpoint to start from; it is not changed.
        store: where the images are.
        out: receives weights, configuration, processor, `vision_policy.json` and a card.
        work: keeps checkpoints between calls.
        on_progress: called after every step.
        on_plan: called once, before weights are loaded.
        licences: of the data, for the card; where the settings name no licence, one is derived from these
            and the base model's, if that can be done (`licences.derived_licence`).

    Raises:
        TrainError: nothing can be learned from the conversations, the model cannot be trained, the loss is
            not finite, or the saved checkpoint does not answer as the trained model does.
        EngineError: `model` is not a checkpoint this package can load.
    """
    from acclimate.train.run import run_training

    if config.licence is None:
        found = derived_licence(licences, base_model=licence_of(model))
        named = None if found.is_refused else found.printed
        config = config.model_copy(update={"licence": named})
    return run_training(
        conversations,
        config,
        model=model,
        store=store,
        out=out,
        work=work,
        on_progress=on_progress,
        on_plan=on_plan,
    )
