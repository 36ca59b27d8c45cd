"""Packed rows are the rows by themselves: same loss, same gradients."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from PIL import Image

from acclimate.engines.encode import Encoded
from acclimate.engines.families import FAMILIES, load_model, load_processor
from acclimate.files import ImageStore
from acclimate.records import Conversation, ImageRef, Turn
from acclimate.train import attention
from acclimate.train.attention import Segments
from acclimate.train.collate import RopeIndex, packed, padded, positions_of
from acclimate.train.loop import summed_loss
from acclimate.train.rows import Row, RowEncoder

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": tiny_models.tiny_qwen2_vl,
    "qwen2_5_vl": tiny_models.tiny_qwen2_5_vl,
    "qwen3_vl": tiny_models.tiny_qwen3_vl,
    "llava": tiny_models.tiny_llava,
    "llava_next": tiny_models.tiny_llava_next,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: build(folder / name) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("store"))


def picture(store: ImageStore, width: int, height: int, shade: int) -> ImageRef:
    image = Image.effect_noise((width, height), 60 + shade).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return store.add(buffer.getvalue())


def rows_of(model: Path, store: ImageStore) -> tuple[Any, list[Row]]:
    """Return rows of every kind: no picture, one, two, of different sizes, several turns, equal lengths."""
    processor = load_processor(model)
    pictures = [picture(store, *size, shade) for shade, size in enumerate([(64, 64), (96, 40), (64, 64)])]
    encoder = RowEncoder(processor, store, "responses", 4096, positions=positions_of(model))
    shapes: list[tuple[tuple[ImageRef, ...], int]] = [
        ((pictures[0],), 1),
        ((), 2),
        ((pictures[1],), 3),
        ((pictures[0], pictures[2]), 1),
        ((pictures[2],), 1),
    ]
    rows: list[Row] = []
    for number, (images, n_rounds) in enumerate(shapes):
        turns = []
        for turn in range(n_rounds):
            turns += [
                Turn("user", f"How many red cells {turn}?", False),
                Turn("assistant", "three " * 3, True),
            ]
        row = encoder.encode(Conversation(f"c{number}", images, tuple(turns), 1, ()))
        assert isinstance(row, Row), row
        rows.append(row)
    return processor, rows


def gradients(model: Any, batches: list[dict[str, Any]]) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    total = 0.0
    for batch in batches:
        cast = {
            name: value.to(model.dtype) if torch.is_tensor(value) and value.is_floating_point() else value
            for name, value in batch.items()
        }
        loss = summed_loss(model, model.get_output_embeddings(), cast)
        loss.backward()
        total += float(loss.detach())
    found = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    return total, found


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", BUILDERS)
def test_packed_loss_and_gradients_are_those_of_rows_alone_in_plain_transformers(
    models: dict[str, Path], store: ImageStore, name: str, dtype: torch.dtype, bound: float
) -> None:
    processor, rows = rows_of(models[name], store)
    token = processor.image_token_id
    plain = load_model(models[name], "float32").to(dtype)
    alone = partial(padded, pad_id=0, image_token_id=token)
    loss, expected = gradients(plain, [alone([row]) for row in rows])
    ours = load_model(models[name], "float32").to(dtype)
    attention.use(ours)
    packed_loss, found = gradients(ours, [packed(rows, pad_id=0, image_token_id=token)])
    assert abs(packed_loss - loss) / abs(loss) < bound
    assert found.keys() == expected.keys()
    assert any(".visual." in each or "vision" in each for each in found)
    largest = max(float(value.norm()) for value in expected.values())
    for each, value in expected.items():
        # A gradient that is rounding alone (a key's bias, unseen by softmax) is held against the rest.
        size = max(float(value.norm()), 1e-3 * largest)
        assert float((found[each] - value).norm()) / size < bound, each


@pytest.mark.parametrize("name", BUILDERS)
def test_order_in_a_pack_and_its_neighbours_change_no_row(
    models: dict[str, Path], store: ImageStore, name: str
) -> None:
    processor, rows = rows_of(models[name], store)
    model = load_model(models[name], "float32").to(torch.float64)
    attention.use(model)
    token = processor.image_token_id
    whole, found = gradients(model, [packed(rows, pad_id=0, image_token_id=token)])
    turned, other = gradients(model, [packed(rows[::-1], pad_id=0, image_token_id=token)])
    split, third = gradients(
        model, [packed(each, pad_id=0, image_token_id=token) for each in (rows[:2], rows[2:])]
    )
    assert whole == pytest.approx(turned, rel=1e-12) == pytest.approx(split, rel=1e-12)
    for each in found:
        assert torch.allclose(found[each], other[each], atol=1e-10), each
        assert torch.allclose(found[each], third[each], atol=1e-10), each


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_rows_that_begin_alike_have_the_positions_of_their_family(
    models: dict[str, Path], store: ImageStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models[name]
    processor, positions = load_processor(model), positions_of(model)
    assert isinstance(positions, RopeIndex)
    encoder = RowEncoder(processor, store, "responses", 4096)
    sizes = [((64, 64),), ((64, 64),), ((96, 40),), ((64, 64), (96, 40)), ((96, 40),)]
    asked = []
    monkeypatch.setattr(
        positions.model,
        "get_rope_index",
        lambda *args, _own=positions.model.get_rope_index, **named: asked.append(1) or _own(*args, **named),
    )
    for number, shape in enumerate(sizes):
        images = tuple(picture(store, *size, number) for size in shape)
        turns = (Turn("user", "How many red cells?", False), Turn("assistant", "three " * (number + 1), True))
        row = encoder.encode(Conversation(f"c{number}", images, turns, 1, ()))
        assert isinstance(row, Row), row
        own = positions_of(model)
        assert isinstance(own, RopeIndex)
        grids, types = (row.model_inputs[key] for key in ("image_grid_thw", "mm_token_type_ids"))
        ids = torch.tensor([list(row.input_ids)])
        theirs = own.model.get_rope_index(ids, mm_token_type_ids=types, image_grid_thw=grids)[0][:, 0]
        ours = positions(Encoded(list(row.input_ids), [], dict(row.model_inputs)))
        assert torch.equal(ours, theirs)
    assert len(asked) == 3  # the second and the fifth row begin as others before them


def test_only_mllama_does_not_pack() -> None:
    assert [family.name for family in FAMILIES if not family.packs] == ["Mllama"]


@pytest.mark.parametrize("length", [40, 1100])
@pytest.mark.parametrize("window", [None, 16])
def test_segments_attend_as_a_block_mask_says(length: int, window: int | None) -> None:
    torch.manual_seed(0)
    lengths = (7, 7, length, 3)
    total = sum(lengths)
    query = torch.randn(1, 4, total, 8, dtype=torch.float64, requires_grad=True)
    key, value = (torch.randn(1, 2, total, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    places = torch.arange(total)
    seen = (owner[:, None] == owner[None]) & (places[:, None] >= places[None])
    if window is not None:
        seen &= places[:, None] - places[None] < window
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, enable_gqa=True
    ).transpose(1, 2)
    segments = Segments(lengths)
    out, _ = attention.segment_attention(
        torch.nn.Module(),
        query,
        key,
        value,
        segments.marker(),
        segments=segments,
        sliding_window=window,
    )
    assert torch.allclose(out, expected, atol=1e-12)
    weights = torch.randn_like(out)
    wanted = torch.autograd.grad((expected * weights).sum(), (query, key, value))
    for mine, theirs in zip(
        torch.autograd.grad((out * weights).sum(), (query, key, value)), wanted, strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-10)
