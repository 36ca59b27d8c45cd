"""Model FLOPs utilisation of our training on a GPU: Qwen2-VL-2B's shape, random weights, packed and padded.

    .venv/bin/python benchmarks/train_gpu.py            on a machine with a GPU
    ... --shape tiny --device cpu --peak 1e12           to see that it runs

Floating-point operations are those that training needs and no others: 6 per weight of a linear layer and
token (forward 2, backward 4), 6 L^2 d per layer for causal attention over a row of L tokens, 12 P^2 d for a
vision tower's attention over a picture of P patches, and 6 per weight of the output head and trained token,
because only those go through it. What padding or recomputing adds is not counted. Utilisation is operations
per second over the device's peak for dense bfloat16 products (docs/performance.md).

Rows are as long as real ones: captions, questions with short answers, and descriptions, in equal parts, with
the deciles of words of 300 web captions, 3,064 questions of VQA-RAD and 30 detailed GPT-4 answers, 1.35
tokens a word; pictures have the deciles of VQA-RAD's sides and at most 512 visual tokens.
"""

import argparse
import gc
import importlib.util
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from acclimate.engines.families import load_processor
from acclimate.files import ImageStore
from acclimate.records import Conversation, ImageRef, Turn
from acclimate.train.rows import Row, RowEncoder
from acclimate.train.stage import TrainConfig, train

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
"""Dense bfloat16 operations per second, from the makers' data sheets."""
UTILISATION, OVER_PADDED = 0.30, 1.4
WARM_UP_STEPS = 4
TOKENS_PER_WORD = 1.35
LONGEST_PICTURE = 512
"""In visual tokens."""
KINDS: Mapping[str, tuple[Sequence[int], Sequence[int]]] = {
    "caption": ((4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4), (3, 6, 8, 9, 9, 10, 11, 13, 15, 17, 21)),
    "question": ((3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 21), (1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 17)),
    "description": ((4, 4, 5, 8, 8, 8, 9, 10, 10, 11, 11), (50, 57, 61, 65, 76, 83, 87, 91, 95, 103, 121)),
}
"""Deciles of words of the question and of the answer."""
SIDES = (256, 400, 512, 512, 558, 768, 967, 1024, 1024, 1024, 1600)
SHAPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "2b": {
        "text": {
            "vocab_size": 151936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        "vision": {
            "depth": 32,
            "embed_dim": 1280,
            "hidden_size": 1536,
            "num_heads": 16,
            "mlp_ratio": 4,
            "patch_size": 14,
        },
    },
    "tiny": {"text": {}, "vision": {"patch_size": 14}},
}


def _tiny_models() -> Any:  # noqa: ANN401
    """Return the tests' module that writes small checkpoints with their processors."""
    path = Path(__file__).resolve().parent.parent / "tests" / "tiny_models.py"
    found = importlib.util.spec_from_file_location("tiny_models", path)
    if found is None or found.loader is None:
        raise SystemExit(f"{path} is not there; run this from a clone of the repository.")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def main() -> None:
    """Train packed and padded, and print the figures."""
    options = _options()
    peak = options.peak or _peak(options.device)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        model = checkpoint(folder / "model", SHAPES[options.shape], options.device)
        store = ImageStore(folder / "store")
        told = conversations(store, options.steps * options.batch, small=options.shape == "tiny")
        needed = _operations(model, store, told)
        found = {}
        for name, packing in (("packed", True), ("padded", False)):
            found[name] = _run(name, model, store, told, folder, options, packing=packing)
            found[name]["utilisation"] = needed / len(told) * found[name]["rows_per_s"] / peak
            print(json.dumps({"run": name, **found[name]}), flush=True)
    detail = {"device": _device_name(options.device), "peak": peak, "operations_per_row": needed / len(told)}
    detail |= {"shape": options.shape, "batch": options.batch, "execution": json.loads(options.ours)}
    packed, padded = found["packed"], found["padded"]
    _print("model FLOPs utilisation, packed", packed["utilisation"], UTILISATION, {**detail, **packed})
    _print(
        "packed over padded", packed["rows_per_s"] / padded["rows_per_s"], OVER_PADDED, {**detail, **padded}
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=tuple(SHAPES), default="2b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--micro-batch", type=int, default=8, help="rows in a padded pass")
    parser.add_argument("--tokens", type=int, default=8192, help="tokens in a packed pass")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--peak", type=float, help="operations per second; by the device's name if left out")
    parser.add_argument("--ours", default="{}", help="execution settings of both runs, as JSON")
    parser.add_argument("--folder", type=Path, help="where files go; the system's temporary folder")
    return parser.parse_args()


def checkpoint(path: Path, shape: Mapping[str, Mapping[str, Any]], device: str) -> Path:
    """Write a Qwen2-VL checkpoint of a shape, with random weights in bfloat16."""
    _tiny_models().tiny_qwen2_vl(path)
    config = transformers.AutoConfig.from_pretrained(path)
    for part, values in (("text_config", shape["text"]), ("vision_config", shape["vision"])):
        for name, value in values.items():
            setattr(getattr(config, part), name, value)
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.Qwen2VLForConditionalGeneration(config).to(torch.bfloat16)
    model.save_pretrained(path)
    settings = json.loads((path / "processor_config.json").read_text())
    side = shape["vision"]["patch_size"] * config.vision_config.spatial_merge_size
    for kind in ("image_processor", "video_processor"):
        settings[kind]["patch_size"] = shape["vision"]["patch_size"]
        settings[kind]["size"] = {"shortest_edge": 4 * side**2, "longest_edge": LONGEST_PICTURE * side**2}
    (path / "processor_config.json").write_text(json.dumps(settings))
    return path


def conversations(store: ImageStore, count: int, *, small: bool) -> list[Conversation]:
    """Return conversations as long as real ones, each with one of 256 pictures."""
    chance, noise = random.Random(0), np.random.default_rng(0)
    pictures = [_picture(store, chance, noise, small=small) for _ in range(256 if count > 256 else 8)]
    told = []
    for number in range(count):
        kind = chance.choice(list(KINDS.values()))
        question, answer = (_text(chance, chance.choice(words)) for words in kind)
        turns = (Turn("user", question, trained=False), Turn("assistant", answer, trained=True))
        told.append(Conversation(f"c{number}", (chance.choice(pictures),), turns, 1, ()))
    return told


def _picture(
    store: ImageStore, chance: random.Random, noise: np.random.Generator, *, small: bool
) -> ImageRef:
    width, height = (chance.choice(SIDES) // (8 if small else 1) for _ in range(2))
    coarse = noise.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return store.add(buffer.getvalue())


def _text(chance: random.Random, words: int) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=max(1, round(words * TOKENS_PER_WORD))))


def _operations(model: Path, store: ImageStore, told: Sequence[Conversation]) -> float:
    """Return the floating-point operations that one pass over the conversations needs to learn from them."""
    config = transformers.AutoConfig.from_pretrained(model)
    with torch.device("meta"):
        empty = transformers.Qwen2VLForConditionalGeneration(config)
    linear = {
        name: module.weight.numel()
        for name, module in empty.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv3d)
    }
    head = config.text_config.hidden_size * config.text_config.vocab_size
    merge = config.vision_config.spatial_merge_size**2
    merging = sum(count for name, count in linear.items() if ".merger." in name)
    tower = sum(count for name, count in linear.items() if ".visual." in name) - merging
    language = sum(count for name, count in linear.items() if "language_model" in name)
    width, depth = config.text_config.hidden_size, config.text_config.num_hidden_layers
    encoder = RowEncoder(load_processor(model), store, "responses", 4096)
    total = 0.0
    for each in told:
        row = encoder.encode(each)
        if not isinstance(row, Row):
            raise SystemExit(f"{row}")
        length, patches = len(row.input_ids), row.n_image_tokens * merge
        total += 6.0 * (language * length + tower * patches + merging * row.n_image_tokens)
        total += 6.0 * head * row.n_trained + 6.0 * depth * length**2 * width
        total += 12.0 * config.vision_config.depth * patches**2 * config.vision_config.embed_dim
    return total


def _run(
    name: str,
    model: Path,
    store: ImageStore,
    told: Sequence[Conversation],
    folder: Path,
    options: argparse.Namespace,
    *,
    packing: bool,
) -> dict[str, float]:
    ended: list[float] = []
    execution = {
        "device": options.device,
        "packing": packing,
        "workers": options.workers,
        "tokens_per_pass": options.tokens,
        "micro_batch": options.batch if packing else options.micro_batch,
        **json.loads(options.ours),
    }
    config = TrainConfig.model_validate(
        {
            "batch_size": options.batch,
            "learning_rate": 1e-5,
            "max_tokens": 4096,
            "precision": "bf16",
            "save_every": options.steps + 1,
            "check_reload": False,
            "execution": execution,
        }
    )
    on_gpu = options.device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    done = train(
        told,
        config,
        model=model,
        store=store,
        out=folder / name / "out",
        work=folder / name / "work",
        on_progress=lambda *_: ended.append(time.monotonic()),
    )
    gc.collect()
    steps = [after - before for before, after in pairwise(ended[WARM_UP_STEPS:])]
    tokens = sum(row.tokens for row in done.losses) / len(done.losses)
    return {
        "rows_per_s": options.batch / statistics.fmean(steps),
        "trained_tokens_per_s": tokens / statistics.fmean(steps),
        "seconds_per_step": statistics.fmean(steps),
        "tokens_per_row": done.total_tokens / len(told),
        "last_loss": done.losses[-1].loss,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0,
    }


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def _peak(device: str) -> float:
    name = _device_name(device)
    for known, peak in PEAKS.items():
        if known in name:
            return peak
    raise SystemExit(f"The peak of {name} is not known; give it as --peak, in operations per second.")


def _print(figure: str, ratio: float, target: float, detail: Mapping[str, Any]) -> None:
    row = {"benchmark": "train_gpu", "figure": figure, "ratio": round(ratio, 4), "target": target}
    print(json.dumps({**row, "detail": detail}), flush=True)


if __name__ == "__main__":
    main()
