"""Our own functions for training compute what PyTorch and transformers compute."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch

from acclimate.engines.families import load_model
from acclimate.errors import TrainError
from acclimate.train import attention, cpu_kernels, kernels
from acclimate.train.attention import Segments
from acclimate.train.cross_entropy import summed_cross_entropy
from acclimate.train.loop import _ahead, _short_turns
from acclimate.train.packed_attention import packed_attention

LENGTHS = (37, 64, 5, 100, 64, 300, 129)


@pytest.fixture(params=["qwen3_vl", "qwen2_5_vl", "llava"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    build = getattr(tiny_models, f"tiny_{request.param}")
    loaded: Any = load_model(build(tmp_path / "model"), "float32")
    attention.use(loaded)
    yield loaded.train()
    cpu_kernels.restore(loaded)


def loss_and_gradients(model: Any, *, mixed: bool) -> tuple[float, torch.Tensor]:
    torch.manual_seed(0)
    n = sum(LENGTHS)
    ids = torch.randint(20, 60, (1, n))
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    segments = Segments(LENGTHS)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        logits = model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=segments.marker(),
            segments=segments,
            use_cache=False,
        ).logits
    loss = summed_cross_entropy(logits[0, :-1], ids[0, 1:]) / n
    loss.backward()  # type: ignore[no-untyped-call]
    flat = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    return float(loss.detach()), torch.cat(flat)


def test_on_a_cpu_norms_and_rotary_positions_are_no_further_from_exact_than_the_librarys(model: Any) -> None:
    exact_loss, exact = loss_and_gradients(model, mixed=False)
    own_loss, own = loss_and_gradients(model, mixed=True)
    assert kernels.fuse(model, "cpu", lambda: loss_and_gradients(model, mixed=True)[0])
    fused_loss, fused = loss_and_gradients(model, mixed=True)
    assert not torch.equal(fused, own)  # they are in use
    assert abs(fused_loss - exact_loss) < max(0.01, 2 * abs(own_loss - exact_loss))
    assert (fused - exact).norm() < 1.25 * (own - exact).norm()


def test_outside_mixed_precision_nothing_changes(model: Any) -> None:
    before = loss_and_gradients(model, mixed=False)
    cpu_kernels.use(model)
    after = loss_and_gradients(model, mixed=False)
    assert before[0] == after[0]
    assert torch.equal(before[1], after[1])


def test_what_was_replaced_in_a_librarys_module_is_put_back(model: Any) -> None:
    own = loss_and_gradients(model, mixed=True)
    cpu_kernels.use(model)
    assert _replaced_rotaries()
    assert not torch.equal(loss_and_gradients(model, mixed=True)[1], own[1])
    cpu_kernels.restore(model)
    assert not _replaced_rotaries()
    assert torch.equal(loss_and_gradients(model, mixed=True)[1], own[1])


def _replaced_rotaries() -> list[str]:
    return [
        name
        for name, module in list(sys.modules.items())
        if isinstance(vars(module).get("apply_rotary_pos_emb"), cpu_kernels._Rotary)
    ]


def test_norms_that_compute_another_loss_stop_the_training(model: Any) -> None:
    losses = iter([3.0, 4.5])
    with pytest.raises(TrainError, match=r"4\.50000, without them 3\.00000.*kernels to off"):
        kernels.fuse(model, "cpu", lambda: next(losses))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("window", [None, 16])
def test_packed_attention_is_attention_row_by_row(
    dtype: torch.dtype, tolerance: float, window: int | None
) -> None:
    torch.manual_seed(1)
    n, heads, shared, size = sum(LENGTHS), 4, 2, 8
    query = torch.randn(1, heads, n, size, dtype=dtype, requires_grad=True)
    key = torch.randn(1, shared, n, size, dtype=dtype, requires_grad=True)
    value = torch.randn(1, shared, n, size, dtype=dtype, requires_grad=True)
    upstream = torch.randn(1, heads, n, size, dtype=dtype)
    inputs = (query, key, value)
    ours = packed_attention(query, key, value, LENGTHS, 0.3, window).transpose(1, 2)
    our_gradients = torch.autograd.grad(ours, inputs, upstream)
    row = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    at = torch.arange(n)
    seen = (row[:, None] == row) & (at[:, None] >= at)
    if window is not None:
        seen &= at[:, None] - at < window
    plain = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=0.3, enable_gqa=True
    )
    gradients = torch.autograd.grad(plain, inputs, upstream)
    assert (ours - plain).norm() < tolerance * plain.norm()
    for mine, theirs in zip(our_gradients, gradients, strict=True):
        assert (mine - theirs).norm() < tolerance * theirs.norm()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
def test_cross_entropy_is_cross_entropy(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(2)
    logits = (12 * torch.randn(50, 300)).to(dtype).requires_grad_()
    targets = torch.randint(0, 300, (50,))
    before = logits.detach().clone()
    ours = summed_cross_entropy(logits, targets)
    (ours * 3).backward(retain_graph=True)  # type: ignore[no-untyped-call]
    exact = before.double().requires_grad_()
    plain = torch.nn.functional.cross_entropy(exact, targets, reduction="sum")
    (plain * 3).backward()  # type: ignore[no-untyped-call]
    assert float(ours.detach()) == pytest.approx(float(plain.detach()), rel=max(tolerance, 1e-6) / 10)
    assert exact.grad is not None
    assert logits.grad is not None
    assert (logits.grad.double() - exact.grad).norm() < tolerance * exact.grad.norm()
    assert torch.equal(logits.detach(), before)  # what the model gave is left alone
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ours.backward()  # type: ignore[no-untyped-call] # used up, and said, not silently wrong


class Numbered:
    """Stands for the steps; notes what was prepared and by whom."""

    def __init__(self, bad: int | None = None) -> None:
        self.made: list[int] = []
        self.threads: set[int] = set()
        self.bad = bad

    def __getitem__(self, number: int) -> int:
        self.threads.add(threading.get_ident())
        if number == self.bad:
            raise TrainError("the picture is gone")
        self.made.append(number)
        return number


def test_steps_are_prepared_ahead_in_order_each_once() -> None:
    data = Numbered()
    got = []
    for item in _ahead(data, range(3, 8)):  # type: ignore[arg-type]
        got.append(item)
        assert len(data.made) <= len(got) + 1
    assert got == data.made == [3, 4, 5, 6, 7]
    assert threading.get_ident() not in data.threads
    assert list(_ahead(data, range(8, 8))) == []  # type: ignore[arg-type]


def test_a_step_that_cannot_be_prepared_stops_the_training_when_its_turn_comes() -> None:
    got = []
    with pytest.raises(TrainError, match="the picture is gone"):
        for item in _ahead(Numbered(bad=2), range(5)):  # type: ignore[arg-type]
            got.append(item)
    assert got == [0, 1]


def test_turns_of_threads_are_short_while_training_and_as_before_after_it() -> None:
    before = sys.getswitchinterval()
    with pytest.raises(RuntimeError, match="stopped"), _short_turns():
        assert sys.getswitchinterval() < before / 10
        raise RuntimeError("stopped")
    assert sys.getswitchinterval() == before
