"""One training from conversations to checkpoint: checks, rows, schedule, loop, saving."""
# ruff: noqa: ANN401

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from acclimate.engines.checkpoint import adapter_base, folder_digest, require_checkpoint
from acclimate.engines.families import family_of, load_model, load_processor, module_group
from acclimate.errors import EngineError, TrainError
from acclimate.files import ImageStore, sha256_file
from acclimate.records import Conversation
from acclimate.train import attention, cpu_kernels, kernels, launch, save
from acclimate.train.collate import Collate, Steps, packed, padded, positions_of
from acclimate.train.loop import Job, fit, summed_loss
from acclimate.train.memory import Shape, memory_bytes, require_memory
from acclimate.train.parameters import (
    GROUPS,
    compile_layers,
    freeze_unreached,
    load_frozen,
    optimizer_groups,
    plan_training,
    prepare,
    trainable_counts,
)
from acclimate.train.ranks import Alone, Ranks
from acclimate.train.rows import Row, RowEncoder, Rows
from acclimate.train.schedule import Cut, schedule
from acclimate.train.stage import (
    LOSSES,
    VERSION,
    Group,
    LossRow,
    Progress,
    TrainConfig,
    TrainOutcome,
    TrainPlan,
)
from acclimate.train.trackers import Trackers


def run_training(
    conversations: Sequence[Conversation],
    config: TrainConfig,
    *,
    model: Path,
    store: ImageStore,
    out: Path,
    work: Path,
    on_progress: Progress | None,
    on_plan: Callable[[TrainPlan], None] | None = None,
) -> TrainOutcome:
    """Do what `stage.train` promises, in this process or in several that are started for it."""
    _require_unique(conversations)
    require_checkpoint(model)
    if config.execution.processes > 1:
        if on_plan is not None:
            on_plan(plan_training(config, model, len(conversations), None))
        return launch.run(
            conversations, config, model=model, store=store, out=out, work=work, on_progress=on_progress
        )
    ranks = Alone(chosen_device(config.execution.device))
    return train_here(
        conversations,
        config,
        ranks,
        model=model,
        store=store,
        out=out,
        work=work,
        on_progress=on_progress,
        on_plan=on_plan,
    )


def train_here(  # noqa: PLR0913 -- two callbacks
    conversations: Sequence[Conversation],
    config: TrainConfig,
    ranks: Ranks,
    *,
    model: Path,
    store: ImageStore,
    out: Path,
    work: Path,
    on_progress: Progress | None,
    on_plan: Callable[[TrainPlan], None] | None = None,
) -> TrainOutcome:
    """Train in this process, one of `ranks`; the first one saves."""
    processor = _processor(model)
    with _threads(config.execution.threads), _quiet():
        packs = config.execution.packing and _packs(model)
        rows = _rows(conversations, config, processor, model, store, packs=packs)
        cut = Cut(
            rows=config.execution.micro_batch,
            tokens=config.execution.tokens_per_pass,
            packed=packs,
            ranks=ranks.size,
        )
        steps = schedule(
            rows.sizes,
            batch_size=config.batch_size,
            cut=cut,
            epochs=config.epochs,
            max_steps=config.max_steps,
            seed=config.seed,
        )
        if on_plan is not None:
            mean = sum(size.n_tokens for size in rows.sizes) / len(rows)
            on_plan(plan_training(config, model, len(rows), mean))
        base_digest = folder_digest(model, "float32", sha256_file)
        trackers = Trackers(work / LOSSES, config) if ranks.rank == 0 else None
        job = Job(
            config=config,
            schedule=steps,
            steps_per_epoch=math.ceil(len(rows) / config.batch_size),
            work=work,
            key=_key(config, base_digest, conversations, rows, ranks.size),
            on_progress=on_progress,
            on_row=trackers,
        )
        losses = _train_and_save(rows, job, ranks, processor=processor, base=model, out=out)
        if trackers is not None:
            trackers.close()
    if ranks.rank == 0:
        save.save_policy(processor.image_processor, out)
        save.save_card(out, facts=_facts(config, base_digest, model, rows, losses), licence=config.licence)
    return TrainOutcome(
        rejections=tuple(rows.rejections),
        losses=tuple(losses),
        trained=tuple(size.id for size in rows.sizes),
        trained_tokens=sum(step.n_trained for step in steps),
        total_tokens=sum(step.n_tokens for step in steps),
        shortened=rows.shortened,
    )


def _train_and_save(
    rows: Rows, job: Job, ranks: Ranks, *, processor: Any, base: Path, out: Path
) -> Sequence[LossRow]:
    config, family = job.config, family_of(base)
    collate = _collate(config, processor, base)
    model, head, loss = _prepared(rows, job, ranks, collate, base)
    plain = model
    try:
        _speed_up(model, config, ranks.device.type, loss)
        torch.manual_seed(config.seed + ranks.rank)
        data = Steps(rows, job.schedule, collate, ranks.rank)
        model, losses = fit(model, head, data, optimizer_groups(model, config, family), job, ranks)
    finally:
        cpu_kernels.restore(plain)
    weights = ranks.weights(model)
    if weights is not None:
        if ranks.size > 1 or config.method == "qlora":
            model = _rebuilt(weights, base, config, family)
        probes = [rows[position] for position in _probe_positions(rows)]
        _save(model.eval(), probes, config, base=base, out=out, work=job.work)
    return losses


def _collate(config: TrainConfig, processor: Any, base: Path) -> Collate:
    tokenizer = processor.tokenizer
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    together = packed if config.execution.packing and _packs(base) else padded
    return partial(together, pad_id=pad_id, image_token_id=processor.image_token_id)


def _prepared(
    rows: Rows, job: Job, ranks: Ranks, collate: Collate, base: Path
) -> tuple[Any, Any, Callable[[], float]]:
    """Return the model with what learns marked, its output head, and the loss of one row as in training."""
    config, family = job.config, family_of(base)
    plain = load_frozen(base) if config.method == "qlora" else load_model(base, "float32")
    _require_memory(plain, rows, job, ranks, family)
    if ranks.device.type == "cpu" or (config.execution.packing and _packs(base)):
        attention.use(plain)
    head = plain.get_output_embeddings()
    model: Any = prepare(plain, config, family)
    if ranks.size == 1:
        model = model.to(ranks.device)
    device = next(model.parameters()).device
    batch = collate([rows[_probe_positions(rows)[0]]])
    moved = {key: each.to(device) if isinstance(each, torch.Tensor) else each for key, each in batch.items()}
    freeze_unreached(model, summed_loss(model, head, moved))

    def loss() -> float:
        mixed = config.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed), torch.no_grad():
            return float(summed_loss(model, head, moved))

    return model, head, loss


def _speed_up(model: Any, config: TrainConfig, device: str, loss: Callable[[], float]) -> None:
    """Put fused kernels in, or compile. Compiling fuses by itself, and cannot look into ours for CPUs."""
    execution = config.execution
    if execution.kernels == "auto" and not (execution.compile and device == "cpu"):
        kernels.fuse(model, device, loss, mixed=config.precision == "bf16")
    if execution.compile:
        compile_layers(model)


def _save(
    model: Any, probes: Sequence[Row], config: TrainConfig, *, base: Path, out: Path, work: Path
) -> None:
    """Write the checkpoint, and see that a fresh process answers with it as the model does."""
    if config.method != "full":
        if config.lora.save_adapter:
            save.save_adapter(model, out / "adapter")
        model = save.merged(model, probes)
    dtype = save.stored_dtype(base)
    for parameter in model.parameters():
        # Answers are compared with the weights as they are stored. Only the weights: casting the whole model
        # would round its rotary frequencies too, which are not stored and come back exact.
        parameter.data = parameter.data.to(dtype).to(torch.float32)
    logits = save.probe_of(model, probes) if config.check_reload else {}
    save.save_checkpoint(model, base, out, dtype)
    if config.check_reload:
        device = next(model.parameters()).device.type
        model.to("cpu")  # the fresh process needs the device's memory
        save.check_reload(out, logits, work, device)


def _rebuilt(weights: Mapping[str, torch.Tensor], base: Path, config: TrainConfig, family: Any) -> Any:
    """Return the trained model whole, in this process: the base with what was learned put in."""
    plain = config.model_copy(update={"method": "full" if config.method == "full" else "lora"})
    model: Any = prepare(load_model(base, "float32"), plain, family)
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value.to(own[name].device))
    return model


def _require_memory(model: Any, rows: Rows, job: Job, ranks: Ranks, family: Any) -> None:
    total: dict[Group, int] = dict.fromkeys(GROUPS, 0)
    for name, parameter in model.named_parameters():
        total[module_group(family, name)] += parameter.numel()
    learning = trainable_counts(model, job.config, family, total)
    tokens = max(
        sum(rows.sizes[position].n_tokens for position in each.rows)
        for step in job.schedule
        for each in step.passes[ranks.rank]
    )
    needed = memory_bytes(job.config, total, learning, Shape.of(model.config), tokens=tokens)
    # What is loaded already is no longer free.
    held = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    require_memory(needed - (held if ranks.device.type == "cpu" else 0), ranks.device.type, job.config)


def _require_unique(conversations: Sequence[Conversation]) -> None:
    if not conversations:
        raise TrainError(
            "There are no conversations to train on. Look at what the rooms before rejected (`acclimate "
            "inspect`), and loosen the filter or bring more pairs."
        )
    repeated = [name for name, count in Counter(item.id for item in conversations).items() if count > 1]
    if repeated:
        raise TrainError(
            f"{len(repeated)} conversation ids come more than once, for instance {repeated[0]}, so rows "
            "cannot be accounted for. Give every conversation an id of its own."
        )


def _processor(model: Path) -> Any:
    try:
        processor = load_processor(model)
    except EngineError as error:
        raise TrainError(f"Training cannot start. {error}") from error
    token = getattr(processor, "image_token", None)
    vocabulary = processor.tokenizer.get_vocab()
    if not isinstance(token, str) or token not in vocabulary:
        raise TrainError(
            f"Training cannot start: the processor in {model} puts images in the place of {token!r}, which "
            "its tokenizer does not know. Copy tokenizer.json and tokenizer_config.json from the model it "
            "was published with."
        )
    return processor


def _packs(model: Path) -> bool:
    """Return whether the checkpoint's family can be trained on packed rows."""
    family = family_of(model)
    return family is not None and family.packs


def _rows(
    conversations: Sequence[Conversation],
    config: TrainConfig,
    processor: Any,
    model: Path,
    store: ImageStore,
    *,
    packs: bool,
) -> Rows:
    encoder = RowEncoder(
        processor,
        store,
        config.mask,
        min(config.max_tokens, _longest(model)),
        too_long=config.too_long,
        format=config.format,
        positions=positions_of(adapter_base(model) or model) if packs else None,
    )
    cache = config.execution.row_cache_mb * 2**20 // max(1, config.execution.workers)
    rows = Rows(conversations, encoder, cache)
    if not len(rows):
        counts = ", ".join(
            f"{n} {reason}" for reason, n in Counter(r.reason for r in rows.rejections).most_common()
        )
        first = rows.rejections[0]
        raise TrainError(
            f"None of the {len(conversations)} conversations can be trained on ({counts}). The first, "
            f"{first.id}: {first.detail}. Put right what the reason names (images in place, "
            "`train.max_tokens` large enough, `train.mask` fitting the conversations) and run again."
        )
    return rows


def _longest(model: Path) -> int:
    """Return how many positions the language model has."""
    folder = adapter_base(model) or model
    settings = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return int(getattr(settings.get_text_config(), "max_position_embeddings", None) or 2**31)


def _probe_positions(rows: Rows) -> list[int]:
    """Return two rows to compare logits on: with an image and without one, where there are both."""
    sizes = rows.sizes
    positions = sorted(range(len(rows)), key=lambda position: (sizes[position].n_tokens, sizes[position].id))
    kinds = {sizes[position].n_images > 0: position for position in reversed(positions)}
    pictured_first = [kinds[kind] for kind in (True, False) if kind in kinds]
    return [*pictured_first, *(position for position in positions if position not in pictured_first)][:2]


def _key(
    config: TrainConfig, base_digest: str, conversations: Sequence[Conversation], rows: Rows, ranks: int
) -> str:
    """Return a hash of what decides the weights, so that a checkpoint of another run is never taken up."""
    trained = {size.id for size in rows.sizes}
    parts = [str(VERSION), base_digest, json.dumps(_identity(config), sort_keys=True)]
    parts += sorted(repr(item) for item in conversations if item.id in trained)
    if ranks > 1:  # each process keeps its own part of the state
        parts.append(f"{ranks} {config.execution.launch}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _facts(
    config: TrainConfig, base_digest: str, model: Path, rows: Rows, losses: Sequence[LossRow]
) -> dict[str, Any]:
    family = family_of(model)
    facts: dict[str, Any] = {
        "Base model": f"{family.name if family else 'other family'}, identity `{base_digest[:16]}`",
        "Conversations trained on": len(rows),
        "Conversations rejected": len(rows.rejections),
        "Optimizer steps": len(losses),
        "Trained tokens": sum(row.tokens for row in losses),
        "Loss of the first and the last step": f"{losses[0].loss:.4f}, {losses[-1].loss:.4f}",
    }
    settings = _identity(config)
    if config.method == "full":
        settings.pop("lora")
    return facts | {f"`{name}`": f"`{json.dumps(value, sort_keys=True)}`" for name, value in settings.items()}


def _identity(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that decide the weights."""
    return config.model_dump(mode="json", exclude={"execution", "save_every", "check_reload", "licence"})


def chosen_device(wanted: str) -> str:
    """Return `cpu` or `cuda`.

    Raises:
        TrainError: the one that is wanted is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise TrainError(f"The device {wanted} is not there. Set `train.execution.device` to cpu or auto.")
    return wanted


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if wanted is not None:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress bars of transformers' loading and saving off the screen."""
    bars: Any = logging
    was_on = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            bars.enable_progress_bar()
