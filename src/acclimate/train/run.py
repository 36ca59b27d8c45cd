"""One training from conversations to checkpoint: checks, rows, schedule, loop, saving."""
# ruff: noqa: ANN401

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from acclimate.engines.checkpoint import adapter_base, folder_digest, require_checkpoint
from acclimate.engines.families import family_of, load_model, load_processor
from acclimate.errors import EngineError, TrainError
from acclimate.files import ImageStore, sha256_file
from acclimate.records import Conversation
from acclimate.train import attention, save
from acclimate.train.collate import RowEncoder, Rows, Steps
from acclimate.train.loop import Job, fit
from acclimate.train.parameters import optimizer_groups, prepare
from acclimate.train.schedule import schedule
from acclimate.train.stage import VERSION, LossRow, Progress, TrainConfig, TrainOutcome

GROUPED_TOKENS = 1024
"""On a CPU, rows up to this length train with our grouped attention; longer ones need too much memory for
their scores and take PyTorch's fused attention. Our own rule."""


def run_training(
    conversations: Sequence[Conversation],
    config: TrainConfig,
    *,
    model: Path,
    store: ImageStore,
    out: Path,
    work: Path,
    on_progress: Progress | None,
) -> TrainOutcome:
    """Do what `stage.train` promises."""
    _require_unique(conversations)
    require_checkpoint(model)
    processor = _processor(model)
    with _threads(config.execution.threads), _quiet():
        rows = _rows(conversations, config, processor, model, store)
        steps = schedule(
            rows.sizes,
            batch_size=config.batch_size,
            micro_batch=config.execution.micro_batch,
            epochs=config.epochs,
            max_steps=config.max_steps,
            seed=config.seed,
        )
        base_digest = folder_digest(model, "float32", sha256_file)
        job = Job(
            config=config,
            schedule=steps,
            steps_per_epoch=math.ceil(len(rows) / config.batch_size),
            device=_device(config.execution.device),
            work=work,
            key=_key(config, base_digest, conversations, rows),
            on_progress=on_progress,
        )
        losses = _train_and_save(rows, job, processor=processor, base=model, out=out)
    save.save_policy(processor.image_processor, out)
    save.save_card(out, facts=_facts(config, base_digest, model, rows, losses), licence=config.licence)
    return TrainOutcome(
        rejections=tuple(rows.rejections),
        losses=tuple(losses),
        trained=tuple(size.id for size in rows.sizes),
        trained_tokens=sum(step.n_trained for step in steps),
        total_tokens=sum(step.n_tokens for step in steps),
    )


def _train_and_save(rows: Rows, job: Job, *, processor: Any, base: Path, out: Path) -> Sequence[LossRow]:
    config = job.config
    family = family_of(base)
    plain = load_model(base, "float32")
    if job.device == "cpu" and max(size.n_tokens for size in rows.sizes) <= GROUPED_TOKENS:
        plain.set_attn_implementation(attention.register())
    head = plain.get_output_embeddings()
    model: Any = prepare(plain, config, family)
    tokenizer = processor.tokenizer
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    data = Steps(rows, job.schedule, pad_id, processor.image_token_id)
    losses = fit(model, head, data, optimizer_groups(model, config, family), job)
    model.eval()
    probes = _probe_rows(rows)
    if config.method == "lora":
        if config.lora.save_adapter:
            save.save_adapter(model, out / "adapter")
        model = save.merged(model, probes)
    dtype = save.stored_dtype(base)
    for parameter in model.parameters():
        # Answers are compared with the weights as they are stored. Only the weights: casting the whole model
        # would round its rotary frequencies too, which are not stored and come back exact.
        parameter.data = parameter.data.to(dtype).to(torch.float32)
    probe = save.probe_of(model, probes) if config.check_reload else {}
    save.save_checkpoint(model, base, out, dtype)
    if config.check_reload:
        model.to("cpu")  # the fresh process needs the device's memory
        save.check_reload(out, probe, job.work, job.device)
    return losses


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


def _rows(
    conversations: Sequence[Conversation], config: TrainConfig, processor: Any, model: Path, store: ImageStore
) -> Rows:
    limit = min(config.max_tokens, _longest(model))
    encoder = RowEncoder(processor, store, config.mask, limit)
    rows = Rows(conversations, encoder, config.execution.row_cache_mb * 2**20)
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


def _probe_rows(rows: Rows) -> list[Any]:
    """Return two rows to compare logits on: with an image and without one, where there are both."""
    positions = sorted(
        range(len(rows)), key=lambda position: (rows.sizes[position].n_tokens, rows.sizes[position].id)
    )
    kinds = {rows.sizes[position].n_images > 0: position for position in reversed(positions)}
    chosen = [*kinds.values(), *(position for position in positions if position not in kinds.values())]
    return [rows[position] for position in chosen[:2]]


def _key(config: TrainConfig, base_digest: str, conversations: Sequence[Conversation], rows: Rows) -> str:
    """Return a hash of what decides the weights, so that a checkpoint of another run is never taken up."""
    trained = {size.id for size in rows.sizes}
    parts = [str(VERSION), base_digest, json.dumps(_identity(config), sort_keys=True)]
    parts += sorted(repr(item) for item in conversations if item.id in trained)
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


def _device(wanted: str) -> str:
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
