"""Fused kernels are used only where they compute the same loss."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from acclimate.errors import TrainError
from acclimate.train import kernels


def fake_liger(
    monkeypatch: pytest.MonkeyPatch, apply: Any, families: tuple[str, ...] = ("qwen2_vl",)
) -> None:
    module = ModuleType("liger_kernel.transformers.monkey_patch")
    module.MODEL_TYPE_TO_APPLY_LIGER_FN = dict.fromkeys(families)  # type: ignore[attr-defined]
    module._apply_liger_kernel_to_instance = apply  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", ModuleType("liger_kernel.transformers"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.monkey_patch", module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def model(kind: str = "qwen2_vl") -> Any:
    return SimpleNamespace(config=SimpleNamespace(model_type=kind), factor=1.0)


def test_kernels_that_agree_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    patched = model()
    told: list[dict[str, bool]] = []
    fake_liger(monkeypatch, lambda each, **what: (told.append(what), setattr(each, "factor", 1.001)))
    assert kernels.fuse(patched, "cuda", lambda: 3.0 * patched.factor)
    assert told == [{"cross_entropy": False, "fused_linear_cross_entropy": False}]


def test_kernels_that_compute_another_loss_stop_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    patched = model()
    fake_liger(monkeypatch, lambda each, **what: setattr(each, "factor", 1.5))
    with pytest.raises(TrainError, match=r"4\.50000, without them 3\.00000.*kernels to off"):
        kernels.fuse(patched, "cuda", lambda: 3.0 * patched.factor)


def test_they_are_left_out_on_a_cpu_and_for_families_liger_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_liger(monkeypatch, lambda each, **what: pytest.fail("patched"))
    assert not kernels.fuse(model(), "cpu", lambda: 1.0, mixed=False)
    assert not kernels.fuse(model("llava"), "cuda", lambda: 1.0)


def test_they_are_left_out_where_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not kernels.fuse(model(), "cuda", lambda: 1.0)
