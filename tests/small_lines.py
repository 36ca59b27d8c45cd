"""A whole line in miniature: pairs, a recipe and a fake engine, for tests of the wiring."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from acclimate.engines.fake import CHATML, FakeEngine
from acclimate.engines.protocol import ChoiceRequest, Engine, Request
from acclimate.files import sha256_file
from acclimate.synthesize.format import render

BENCHMARK = {
    "name": "small",
    "version": 1,
    "file": "small.json",
    "image_root": "images",
    "columns": {"image": "image", "question": "question", "answer": "answer"},
    "kind": "closed",
}


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 16 + number % 3), (number * 37 % 256, number % 256, 90)).save(out, "PNG")
    return out.getvalue()


def llava_row(number: int, caption: str | None = None, image: str | None = None) -> dict[str, Any]:
    told = f"Sample {number} shows {number % 7} round cells{', and more of them' * (number % 5)}."
    text = told if caption is None else caption
    return {
        "id": f"row-{number}",
        "image": f"p{number}.png" if image is None else image,
        "conversations": [
            {"from": "human", "value": "<image>\nDescribe the image."},
            {"from": "gpt", "value": text},
        ],
    }


def write_pairs(folder: Path, numbers: Iterable[int], extra: Iterable[dict[str, Any]] = ()) -> None:
    """Write `pairs.json` and one picture per number; `extra` rows come last, as they are."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in numbers:
        (images / f"p{number}.png").write_bytes(png(number))
        rows.append(llava_row(number))
    (folder / "pairs.json").write_text(json.dumps([*rows, *extra]), encoding="utf-8")


def write_benchmark(folder: Path, n: int = 6) -> None:
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(200, 200 + n):
        (images / f"t{number}.png").write_bytes(png(number))
        answer = "yes" if number % 2 else "no"
        rows.append({"image": f"t{number}.png", "question": f"Is it odd ({number})?", "answer": answer})
    (folder / "small.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "small.yaml").write_text(yaml.safe_dump(BENCHMARK), encoding="utf-8")


def write_recipe(folder: Path, **parts: Mapping[str, Any]) -> Path:
    """Write a recipe on `pairs.json` and `small.yaml`; `parts` are laid over its rooms."""
    recipe: dict[str, Any] = {
        "ingest": {"source": "pairs.json", "image_root": "images"},
        "synthesize": {"model": "synth", "max_tokens": 64},
        "train": {"model": "base"},
        "evaluate": {"benchmarks": ["small.yaml"]},
    }
    for room, values in parts.items():
        recipe[room] = {**recipe.get(room, {}), **values}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def write_line(folder: Path, n: int = 12, **parts: Mapping[str, Any]) -> Path:
    """Write pairs, a benchmark and a recipe; return the recipe."""
    write_pairs(folder, range(n))
    write_benchmark(folder)
    return write_recipe(folder, **parts)


def draw(text: str, n: int) -> int:
    """Return a number below n that depends on the text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % n


def synthetic_reply(request: Request) -> str:
    """Return what a synthesizer might write: mostly a whole task, now and then a broken one."""
    if request.opens != "user":
        return ("Yes.", "No.", "I cannot tell.")[draw(request.id, 3)]
    kind = draw(request.messages[-1].text, 8)
    if kind == 0:
        return "no turn at all"
    text = whole_task(request)
    return text[: len(text) // 2] if kind == 1 else text


def whole_task(request: Request) -> str:
    caption = request.messages[-1].text
    return render(f"How many? {caption}", "Three.", "One counts three of them.", CHATML)


def verdict(request: ChoiceRequest) -> tuple[float, float, float]:
    kind = draw(request.messages[0].text, 3)
    return tuple(-0.1 if each == kind else -3.0 for each in range(3))  # type: ignore[return-value]


def fake_engine(
    folder: Path, reply: Callable[[Request], str] = synthetic_reply, choose: Any = verdict
) -> Engine:
    """Return the fake that stands for the model in this folder; the folder's name is its identity."""
    return FakeEngine(reply, choose, name=folder.name)


def artifact_bytes(root: Path) -> dict[str, str]:
    """Return every file of the finished artifacts, run.json apart, by its path, as a hash."""
    homes = [path.parent for path in root.glob("artifacts/*/*/record.json")]
    return {
        path.relative_to(root).as_posix(): sha256_file(path)
        for home in homes
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
