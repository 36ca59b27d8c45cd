"""Trains the shipped models from scratch on the general world: text LM, vision tower, then the MLLM.

Every batch is a function of (stage, step), so a run can be stopped and resumed at any checkpoint, and
`check` repeats a card's first losses. Source: our own schedule; the order (tower first, descriptions before
questions) is what was measured to learn fastest on two cores.
"""

import contextlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from acclimate.lab.documents import (
    AGAIN,
    FINDING,
    LAST,
    LATE,
    MIDDLE,
    WEIGHING,
    Document,
    copying_document,
    picture_document,
    scene_of,
    text_document,
)
from acclimate.lab.draw import SIDE_PX, draw
from acclimate.lab.encode import Batch, Encoder, TokenRow, batch, repeated
from acclimate.lab.models import (
    MERGE,
    PATCH_PX,
    multimodal_model,
    save_multimodal,
    save_text,
    save_tower,
    train_tokenizer,
)
from acclimate.lab.world import CENTRE, DOMAINS, GENERAL, Scene
from acclimate.train import attention

log = logging.getLogger(__name__)

SEED = 20261121
N_PICTURES = 60_000
CHECKABLE_STEPS = 200
"""First losses of a stage that are kept with the weights and can be reproduced by `check_losses`."""
CHECKED_STAGES = ("text", "tower", "multimodal")
"""`copying` goes on from the text stage's last weights, which are not shipped."""
STAGES = ("text", "copying", "tower", "multimodal")


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage's size and schedule."""

    steps: int
    rows: int
    """Documents (or pictures) per step."""
    learning_rate: float
    warmup: int
    rests: tuple[int, ...] = ()
    """Steps before the last at which the rate had fallen to its end once already, and rose again."""

    def scale(self, step: int) -> float:
        """Return the learning rate's factor: warm up, hold, fall linearly over a quarter before each rest."""
        begin = 0
        for end in (*self.rests, self.steps):
            if step < end:
                return min(1.0, (step + 1) / self.warmup, max(0.02, (end - step) / (0.25 * (end - begin))))
            begin = end
        return 0.02


PLANS = {
    "text": StagePlan(steps=760, rows=48, learning_rate=3e-3, warmup=60),
    "copying": StagePlan(steps=1060, rows=32, learning_rate=2e-3, warmup=50),
    "tower": StagePlan(steps=500, rows=96, learning_rate=2e-3, warmup=40),
    "multimodal": StagePlan(steps=7450, rows=40, learning_rate=1.5e-3, warmup=60, rests=(3000, 6400, 7000)),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Return the lab's tokenizer, trained on its corpus; deterministic."""

    def corpus() -> Iterator[str]:
        for i in range(6000):
            for document in (text_document(f"bpe/{i}"), picture_document(f"bpe/{i}", 10**6, 0.3)):
                yield from (line.text for line in document.lines)

    return train_tokenizer(corpus())


def patches(pixels: np.ndarray) -> torch.Tensor:
    """Return pictures as the family's image processor lays them out.

    Args:
        pixels: (B, 64, 64, 3) uint8.

    Returns:
        (B * 64, 384) float32: patches of 8 px, grouped in merge blocks of 2 by 2, the frame given twice.
    """
    n, grid, cell = len(pixels), SIDE_PX // PATCH_PX, SIDE_PX // PATCH_PX // MERGE
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
    x = x.reshape(n, 3, cell, MERGE, PATCH_PX, cell, MERGE, PATCH_PX)
    x = x.permute(0, 2, 5, 3, 6, 1, 4, 7)
    x = x.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
    return x.reshape(n * grid * grid, -1)


def _batched_attention(attention: Any, length: int) -> Callable[..., torch.Tensor]:  # noqa: ANN401
    """Return a forward for the tower's attention when all pictures have the same number of patches."""
    from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision

    def forward(
        hidden_states: torch.Tensor, position_embeddings: tuple[torch.Tensor, torch.Tensor], **_: object
    ) -> torch.Tensor:
        total = hidden_states.shape[0]
        q, k, v = attention.qkv(hidden_states).reshape(total, 3, attention.num_heads, -1).unbind(1)
        q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
        q, k, v = (
            t.reshape(total // length, length, attention.num_heads, -1).transpose(1, 2) for t in (q, k, v)
        )
        out = nn.functional.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
        result: torch.Tensor = attention.proj(out.transpose(1, 2).reshape(total, -1))
        return result

    return forward


@contextlib.contextmanager
def equal_pictures(model: Qwen3VLForConditionalGeneration) -> Iterator[None]:
    """Let the tower attend over equal-sized pictures as one batch instead of one by one."""
    length = (SIDE_PX // PATCH_PX) ** 2
    for block in model.model.visual.blocks:
        block.attn.forward = _batched_attention(block.attn, length)
    try:
        yield
    finally:
        for block in model.model.visual.blocks:
            del block.attn.forward


@contextlib.contextmanager
def grouped(model: Qwen3VLForConditionalGeneration) -> Iterator[None]:
    """Use the training room's grouped attention in the language model."""
    config = model.model.language_model.config
    before = config._attn_implementation
    attention.register()
    config._attn_implementation = attention.LANGUAGE
    try:
        yield
    finally:
        config._attn_implementation = before


class Pictures:
    """The rendered training pictures, one memory-mapped file."""

    def __init__(self, path: Path, n: int) -> None:
        shape = (n, SIDE_PX, SIDE_PX, 3)
        if not path.exists():
            part = path.with_suffix(".part")
            pixels = np.memmap(part, dtype=np.uint8, mode="w+", shape=shape)
            for i in range(n):
                pixels[i] = np.asarray(draw(scene_of(i, test=False), f"train/{i}"))
            pixels.flush()
            part.rename(path)
        self.pixels = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)

    def patches(self, indices: list[int]) -> torch.Tensor:
        """Return the pictures' patches, as `patches` lays them out."""
        return patches(np.asarray(self.pixels[indices]))


def grid(n: int) -> torch.Tensor:
    """Return the family's image grid of n pictures: (n, 3) int64."""
    side = SIDE_PX // PATCH_PX
    return torch.tensor([[1, side, side]] * n)


def region_labels(scene: Scene) -> np.ndarray:
    """Return what each visual token looks at.

    Returns:
        (16, 5) int64: form, colour and mark (0 is nothing), how many subjects, domain. A subject at the
        centre is seen by every token, one in a quarter by that quarter's four tokens.
    """
    domain = DOMAINS[scene.domain]
    forms = ("", "circle", "square", "triangle", "star", "cross", "ring", "heart", "diamond", "moon", "arrow")
    colours = ("", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black")
    out = np.zeros((4, 4, 5), dtype=np.int64)
    out[:, :, 3] = len(scene.subjects) - 1
    out[:, :, 4] = [d.key for d in GENERAL].index(scene.domain)
    for subject in scene.subjects:
        row, column = divmod(subject.place, 2)
        region = (slice(None), slice(None)) if subject.place == CENTRE else (
            slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))  # fmt: skip
        form = forms.index(domain.lexicon.forms[subject.form])
        colour = colours.index(domain.lexicon.colours[subject.colour])
        out[(*region, slice(0, 3))] = (form, colour, subject.mark + 1)
    return out.reshape(16, 5)


N_LABELS = (11, 10, 4, 4, len(GENERAL))
"""How many values each column of `region_labels` has."""


class Run:
    """One stage in progress: model, optimizer, the losses so far."""

    def __init__(
        self, stage: str, model: Qwen3VLForConditionalGeneration, work: Path, plan: StagePlan
    ) -> None:
        self.stage, self.model, self.work, self.plan = stage, model, work, plan
        torch.manual_seed(SEED)
        sizes = N_LABELS if stage == "tower" else ()
        self.heads = nn.ModuleList(nn.Linear(192, n) for n in sizes)
        module = model.model.visual if stage == "tower" else model.model.language_model
        named = [
            *(model if stage == "multimodal" else module).named_parameters(),
            *self.heads.named_parameters(),
        ]
        decay = [p for name, p in named if p.ndim >= 2 and "embed" not in name]
        plain = [p for name, p in named if not (p.ndim >= 2 and "embed" not in name)]
        self.optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
            lr=plan.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.parameters = [*decay, *plain]
        self.losses: list[float] = []

    @property
    def checkpoint(self) -> Path:
        """Where the stage's state is kept."""
        return self.work / f"{self.stage}.pt"

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.losses = list(state["losses"])

    def save(self) -> None:
        """Write a checkpoint; a crash leaves the old one or the new one."""
        part = self.checkpoint.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "heads": self.heads.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "losses": self.losses,
            },
            part,
        )
        part.replace(self.checkpoint)

    def update(self, loss: torch.Tensor) -> float:
        """Take one optimizer step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self.plan.scale(len(self.losses))
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        self.losses.append(value)
        return value


def language_loss(
    model: Qwen3VLForConditionalGeneration, rows: Batch, pixels: torch.Tensor | None
) -> torch.Tensor:
    """Return the weighted mean cross-entropy, in nats per token, of one batch."""
    core = model.model
    embeddings = core.language_model.embed_tokens(rows.ids)
    visual: dict[str, object] = {}
    if pixels is not None:
        seen = core.visual(pixels, grid_thw=grid(len(rows.pictures)))
        where = rows.ids == core.config.image_token_id
        embeddings = embeddings.masked_scatter(where.unsqueeze(-1), seen.pooler_output.to(embeddings.dtype))
        visual = {"visual_pos_masks": where, "deepstack_visual_embeds": seen.deepstack_features}
    hidden = core.language_model(
        inputs_embeds=embeddings,
        position_ids=rows.positions,
        attention_mask=rows.mask,
        use_cache=False,
        **visual,
    ).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)[rows.target_index])
    each = nn.functional.cross_entropy(logits.float(), rows.targets, reduction="none")
    return (each * rows.target_weights).sum() / rows.target_weights.sum()


_POOL = 8
_REPEAT_STEPS = 560
"""Steps of the copying stage that repeat random tokens before it turns to words."""
_REPEAT_LENGTH = 64
_LESSONS = (
    (1600, MIDDLE),
    (3000, LATE),
    (4000, LAST),
    (4600, FINDING),
    (6400, LAST),
    (7000, AGAIN),
    (10**9, WEIGHING),
)
"""The multimodal stage's mixtures, each with the step before which it holds."""
_EASY_STEPS = 900
"""Multimodal steps over which descriptions give way to questions."""


def document(stage: str, step: int, index: int) -> Document | None:
    """Return the document that a step reads in this place; None where it repeats random tokens instead."""
    seed = f"{SEED}/{step}/{index}"
    if stage == "text":
        return text_document(seed)
    if stage == "copying":
        return None if step < _REPEAT_STEPS else copying_document(seed)
    ease = max(0.0, 1.0 - step / _EASY_STEPS)
    lessons = next(each for end, each in _LESSONS if step < end)
    return picture_document(seed, N_PICTURES, ease, lessons)


def _pool(stage: str, first: int, plan: StagePlan, encoder: Encoder, size: int) -> list[list[TokenRow]]:
    """Return the rows of `size` steps from `first`, batched by length, in an order of their own."""
    rows = []
    for step in range(first, first + size):
        for i in range(plan.rows):
            read = document(stage, step, i)
            if read is not None:
                rows.append(encoder.row(read))
                continue
            rng = random.Random(f"repeat/{SEED}/{step}/{i}")
            rows += [repeated(rng, _REPEAT_LENGTH, encoder.plain_tokens) for _ in range(2)]
    rows.sort(key=lambda row: len(row.ids))
    per_step = len(rows) // size
    batches = [rows[i : i + per_step] for i in range(0, len(rows), per_step)]
    random.Random(f"{SEED}/{stage}/{first}").shuffle(batches)
    return batches


def _tower_step(run: Run, pictures: Pictures) -> torch.Tensor:
    step = len(run.losses)
    rng = random.Random(f"tower/{SEED}/{step}")
    chosen = [rng.randrange(N_PICTURES) for _ in range(run.plan.rows)]
    labels = torch.from_numpy(np.stack([region_labels(scene_of(i, test=False)) for i in chosen])).flatten(
        0, 1
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = run.model.model.visual(pictures.patches(chosen), grid_thw=grid(len(chosen)))
        features = [seen.pooler_output, *seen.deepstack_features]
        scores = [[head(each) for head in run.heads] for each in features]
    loss = torch.zeros(())
    for weight, each in zip((1.0, 0.3), scores, strict=True):
        for column, score in enumerate(each):
            loss = loss + weight * nn.functional.cross_entropy(score.float(), labels[:, column])
    return loss


def train_stage(
    stage: str,
    model: Qwen3VLForConditionalGeneration,
    encoder: Encoder,
    work: Path,
    *,
    stop_after: int | None = None,
    save_every: int = 200,
    threads: int = 1,
    tell: Callable[[str], None] = log.info,
) -> list[float]:
    """Train one stage to its end, or to `stop_after` steps; return the losses of all steps so far.

    With `stop_after`, nothing is resumed and nothing is saved: it is the reproduction check.
    """
    plan = PLANS[stage]
    run = Run(stage, model, work, plan)
    if stop_after is None:
        run.resume()
    in_pictures = stage in ("tower", "multimodal")
    pictures = Pictures(work / f"pictures-{N_PICTURES}.u8", N_PICTURES) if in_pictures else None
    model.train()
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    last, started, done = stop_after or plan.steps, time.monotonic(), len(run.losses)
    pool: list[list[TokenRow]] = []
    pool_start = -1
    with equal_pictures(model), grouped(model):
        while len(run.losses) < last:
            step = len(run.losses)
            # The first steps are those a card promises to reproduce, so they never depend on the core count.
            torch.set_num_threads(1 if step < CHECKABLE_STEPS else threads)
            if stage == "tower" and pictures is not None:
                loss = _tower_step(run, pictures)
            else:
                if pool_start != step - step % _POOL:
                    pool_start = step - step % _POOL
                    pool = _pool(stage, pool_start, plan, encoder, _POOL)
                rows = batch(pool[step % _POOL], encoder.pad)
                pixels = pictures.patches(rows.pictures) if pictures is not None and rows.pictures else None
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = language_loss(model, rows, pixels)
            run.update(loss)
            step += 1
            if step % 25 == 0:
                rate = (time.monotonic() - started) / max(1, step - done)
                recent = sum(run.losses[-25:]) / 25
                tell(f"{stage} step {step}/{plan.steps} loss {recent:.4f} {rate:.2f} s/step")
            if stop_after is None and (step % save_every == 0 or step == plan.steps):
                run.save()
    return run.losses


def pretrain(
    work: Path, out: Path, tell: Callable[[str], None] = log.info, *, threads: int = 1
) -> dict[str, list[float]]:
    """Train all stages, resuming what is there, and write `text-lm`, `vision-tower` and `general-mllm`."""
    work.mkdir(parents=True, exist_ok=True)
    tokens = tokenizer()
    encoder = Encoder(tokens)
    losses = {}
    for stage in STAGES:
        model = stage_start(stage, tokens, out)
        losses[stage] = train_stage(stage, model, encoder, work, threads=threads, tell=tell)
        save_stage(stage, model, tokens, out)
        (out / f"losses-{stage}.json").write_text(json.dumps(losses[stage][:CHECKABLE_STEPS]) + "\n")
    return losses


def stage_start(stage: str, tokens: PreTrainedTokenizerFast, out: Path) -> Qwen3VLForConditionalGeneration:
    """Return the model a stage starts from: fresh weights, or the parts shipped by the earlier stages."""
    model = multimodal_model(tokens, SEED)
    if stage in ("copying", "multimodal"):
        from safetensors.torch import load_file

        language = load_file(out / "text-lm" / "model.safetensors")
        core = {k.removeprefix("model."): v.float() for k, v in language.items() if k.startswith("model.")}
        model.model.language_model.load_state_dict(core)
    if stage == "multimodal":
        tower = load_file(out / "vision-tower" / "model.safetensors")
        model.model.visual.load_state_dict({k: v.float() for k, v in tower.items()})
        model.tie_weights()
    return model


def save_stage(
    stage: str, model: Qwen3VLForConditionalGeneration, tokens: PreTrainedTokenizerFast, out: Path
) -> None:
    """Write what a stage ships."""
    if stage in ("text", "copying"):
        save_text(model, tokens, out / "text-lm")
    elif stage == "tower":
        save_tower(model, out / "vision-tower")
    else:
        save_multimodal(model, tokens, out / "general-mllm")


def check_losses(
    weights: Path, work: Path, n: int, tell: Callable[[str], None] = log.info
) -> list[dict[str, object]]:
    """Repeat the first n steps of each stage whose losses are kept beside the weights, and compare.

    Returns:
        Per stage: its name, the number of losses compared, and the largest absolute difference in nats.
    """
    work.mkdir(parents=True, exist_ok=True)
    tokens = tokenizer()
    rows: list[dict[str, object]] = []
    for stage in CHECKED_STAGES:
        if not (weights / f"losses-{stage}.json").exists():
            continue
        kept = json.loads((weights / f"losses-{stage}.json").read_text())[:n]
        model = stage_start(stage, tokens, weights)
        seen = train_stage(stage, model, Encoder(tokens), work, stop_after=len(kept), tell=tell)
        difference = max(abs(a - b) for a, b in zip(kept, seen, strict=True))
        rows.append({"stage": stage, "steps": len(kept), "difference": difference})
    return rows
