"""A small CLIP vision encoder for the lab's second base, trained from scratch on general scenes.

As the shipped tower was, it is taught to name form, colour, mark, number and domain from every patch. What
comes out is an ordinary CLIP folder: configuration, safetensors, image processor.
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from acclimate.files import JSON, write_json, write_text
from acclimate.lab.documents import scene_of
from acclimate.lab.draw import SIDE_PX
from acclimate.lab.pretrain import N_LABELS, Pictures, StagePlan, region_labels

PATCH_PX = 16
"""A patch is one of the 16 regions that `region_labels` names."""
_WIDTH = 192
_SEED = 0

IMAGE_PROCESSOR: dict[str, JSON] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": SIDE_PX},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE_PX, "width": SIDE_PX},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-feature-extraction
tags: [synthetic, tiny, acclimate-lab]
---

# Lab CLIP tower

A CLIP vision encoder of three layers, width 192 and 16 px patches, trained from scratch by `acclimate study
training` to name what every patch of a rendered general scene shows. Its last layer is the one to read.
"""


def train_tower(
    out: Path,
    work: Path,
    *,
    steps: int,
    n_pictures: int,
    rows: int = 96,
    on_step: Callable[[int, int, float], None] | None = None,
) -> list[float]:
    """Train an encoder and write its folder; return the loss of every step, in nats.

    Args:
        out: receives configuration, weights, image processor and a card.
        work: keeps the rendered pictures.
        n_pictures: general scenes of the train side, by their numbers from 0.
        rows: pictures per step.
        on_step: told after every step its number, the number of steps, and its loss.
    """
    torch.manual_seed(_SEED)
    model = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=_WIDTH,
            intermediate_size=3 * _WIDTH,
            num_hidden_layers=3,
            num_attention_heads=6,
            image_size=SIDE_PX,
            patch_size=PATCH_PX,
            hidden_act="gelu",
        )
    )
    heads = nn.ModuleList(nn.Linear(_WIDTH, n) for n in N_LABELS)
    plan = StagePlan(steps=steps, rows=rows, learning_rate=2e-3, warmup=min(40, steps))
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    pictures = Pictures(work / "pictures.u8", n_pictures)
    labels = np.stack([region_labels(scene_of(i, test=False)) for i in range(n_pictures)])
    losses = []
    for step in range(steps):
        rng = random.Random(f"clip-tower/{_SEED}/{step}")
        chosen = [rng.randrange(n_pictures) for _ in range(rows)]
        loss = _loss(model, heads, pictures.pixels[chosen], labels[chosen])
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * plan.scale(step)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if on_step is not None:
            on_step(step + 1, steps, losses[-1])
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    write_json(out / "preprocessor_config.json", IMAGE_PROCESSOR)
    write_text(out / "README.md", _CARD)
    return losses


def _loss(model: CLIPVisionModel, heads: nn.ModuleList, pixels: np.ndarray, labels: np.ndarray) -> Tensor:
    """Return the sum over the five kinds of label of the mean cross-entropy.

    Args:
        pixels: (B, 64, 64, 3) uint8. labels: (B, 16, 5) int64.
    """
    x = torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
    wanted = torch.from_numpy(labels).flatten(0, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = model(x).last_hidden_state[:, 1:].flatten(0, 1)
        scores = [head(seen) for head in heads]
    loss = torch.zeros(())
    for column, score in enumerate(scores):
        loss = loss + nn.functional.cross_entropy(score.float(), wanted[:, column])
    return loss
