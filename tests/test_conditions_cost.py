"""What many conditions cost: a picture goes through the vision tower once, whatever is asked of it."""

import hashlib
import io
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import acclimate.lab
from acclimate.engines.open import open_engine
from acclimate.engines.spec import EngineExecution, spec_of
from acclimate.evaluate.stage import EvaluateConfig, predict
from acclimate.files import ImageStore
from acclimate.records import AnswerKind, Item, Prediction

MODEL = Path(acclimate.lab.__file__).parent / "weights" / "general-mllm"
SIX = ("original", "mismatch", "blank", "noise", "patch_shuffle", "text_only")
SIZES = ((64, 48), (48, 48))
ROWS = 8
TOGETHER = 2
"""Pictures per forward of the tower at 8 rows."""


@dataclass
class Tower:
    """What went through the vision tower: one Counter of pictures' pixels per forward."""

    forwards: list[Counter[str]] = field(default_factory=list)

    @property
    def n_forwards_by_picture(self) -> Counter[str]:
        return Counter(name for forward in self.forwards for name in forward)

    @property
    def n_rows(self) -> int:
        """Pictures, with the copies that fill a batch."""
        return sum(forward.total() for forward in self.forwards)


@contextmanager
def counted() -> Iterator[Tower]:
    """Count what every vision tower reads meanwhile, by its pixels."""
    tower = Tower()

    def look(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _: object) -> None:
        if type(module).__name__ == "Qwen3VLVisionModel":
            parts = torch.split(args[0], kwargs["grid_thw"].prod(-1).tolist())
            pixels = [part.float().numpy().tobytes() for part in parts]
            tower.forwards.append(Counter(hashlib.sha256(each).hexdigest() for each in pixels))

    hook = torch.nn.modules.module.register_module_forward_hook(look, with_kwargs=True)
    try:
        yield tower
    finally:
        hook.remove()


def questions(store: ImageStore, n_pictures: int = 6) -> list[Item]:
    """Three questions on each picture, of two benchmarks and of lengths that no batch can hold together."""
    found = []
    for at in range(n_pictures):
        width, height = SIZES[at % 2]
        drawn = random.Random(at).randbytes(width * height * 3)
        out = io.BytesIO()
        Image.frombytes("RGB", (width, height), drawn).save(out, "PNG")
        ref = store.add(out.getvalue())
        for number in range(3):
            text = f"Question {number}: what is it?" + " Look closely." * 8 * (number % 2)
            kind: AnswerKind = "open" if number else "closed"
            found.append(Item(f"{at}/{number}", kind, text, ref, kind, ("yes",), (), ref.sha256))
    return found


def asked(
    items: Sequence[Item], store: ImageStore, conditions: Sequence[str], *, cache_mb: int = 256
) -> tuple[list[Prediction], Tower]:
    execution = EngineExecution(device="cpu", rows=ROWS, cache_mb=cache_mb)
    engine = open_engine(spec_of(str(MODEL), Path()), store, execution)
    config = EvaluateConfig(conditions=tuple(conditions), max_tokens={"open": 3, "closed": 2})
    with counted() as tower:
        found = list(predict(items, engine, config, model="m", store=store, log=None))
    return found, tower


@pytest.mark.parametrize("cache_mb", [256, 0])
def test_every_distinct_picture_is_encoded_once_over_six_conditions_and_all_questions(
    tmp_path: Path, cache_mb: int
) -> None:
    store = ImageStore(tmp_path)
    items = questions(store)
    predictions, tower = asked(items, store, SIX, cache_mb=cache_mb)
    shown = [each.image for each in predictions if each.image is not None]
    # Own and exchanged pictures are the same 6; one blank per size; noise and shuffles of each.
    assert (len(predictions), len(shown), len(set(shown))) == (6 * 18, 5 * 18, 6 + 2 + 6 + 6)
    assert len(tower.n_forwards_by_picture) == len(set(shown))
    assert set(tower.n_forwards_by_picture.values()) == {1}
    # Batches of the tower are full of pictures, not of copies, but for the last one of each size.
    assert tower.n_rows <= len(set(shown)) + len(SIZES) * (TOGETHER - 1)


def test_text_only_encodes_no_picture(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    predictions, tower = asked(questions(store, 3), store, ("text_only",))
    assert len(predictions) == 9
    assert tower.forwards == []


def test_what_else_is_asked_and_how_much_is_remembered_changes_no_reply(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    items = questions(store, 4)
    alone, _ = asked(items, store, ("original",))
    beside, _ = asked(items, store, SIX, cache_mb=0)
    assert {(each.benchmark, each.item_id): each.text for each in alone} == {
        (each.benchmark, each.item_id): each.text for each in beside if each.condition == "original"
    }
    assert len({each.text for each in beside}) > 1
