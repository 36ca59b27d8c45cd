"""What `acclimate doctor` says of the families."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models

from acclimate import diagnosis
from acclimate.diagnosis import diagnose
from acclimate.engines import families
from acclimate.engines.families import FAMILIES
from acclimate.sandbox import Availability, Tried


def checks(model: Path | None = None) -> dict[str, dict[str, Any]]:
    return {row["what"]: row for row in diagnose(model)}


def test_a_family_is_verified_by_the_real_template_its_masks_are_proven_with() -> None:
    rows = checks()
    for family in FAMILIES:
        row = rows[f"family {family.name}"]
        assert row["ok"]
        assert row["detail"] == f"verified with the real chat template of {family.template_verified}"


def test_a_family_whose_real_template_could_not_be_had_is_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", (replace(FAMILIES[0], template_verified=""), *FAMILIES[1:]))
    rows = checks()
    assert rows["family Qwen2-VL"]["detail"].startswith("unverified")
    assert rows["family Qwen3-VL"]["detail"].startswith("verified")


def test_only_mllama_cannot_pack_and_the_reason_is_said() -> None:
    detail = checks()["packing"]["detail"]
    assert detail.startswith("Qwen2-VL, Qwen2.5-VL, Qwen3-VL, LLaVA-1.5, LLaVA-NeXT; not Mllama: ")
    assert "cross-attention" in detail


def test_a_checkpoint_is_named_by_its_family(tmp_path: Path) -> None:
    model = tiny_models.tiny_llava_next(tmp_path / "model")
    row = checks(model)[str(model)]
    assert row["ok"]
    assert row["detail"].startswith("LLaVA-NeXT, float32")


def test_what_training_needs_beside_the_core_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "ray" else None)
    rows = checks()
    assert rows["train.method qlora"]["detail"] == "needs pip install 'acclimate[gpu]'"
    assert not rows["train.method qlora"]["ok"]
    assert rows["train engine ray"] == {"what": "train engine ray", "ok": True, "detail": "works here"}
    assert (
        "a GPU" in rows["launch zero2, zero3"]["detail"]
        or "deepspeed" in rows["launch zero2, zero3"]["detail"]
    )
    assert rows["launch ddp, fsdp2"]["ok"]


@pytest.mark.parametrize(("tool", "ok"), [("bwrap", True), (None, False)])
def test_whether_claims_can_be_verified_is_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tool: Any, ok: bool
) -> None:
    tried = (Tried("bwrap", "", "" if ok else "is not installed"), Tried("unshare", "", "is not allowed"))
    monkeypatch.setattr(diagnosis, "available", lambda: Availability(tool, tried))
    row = checks()["verify"]
    assert row["ok"] is ok
    if ok:
        assert row["detail"] == "works here, sealed by bwrap"
    else:
        for part in ("bwrap: is not installed", "unshare: is not allowed", "apt-get install bubblewrap"):
            assert part in row["detail"]


def test_lean_is_optional_and_named_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    without = checks()["verify proofs (optional)"]
    assert without["ok"]
    assert "absent" in without["detail"]
    monkeypatch.setattr("shutil.which", lambda name, **_: "/opt/lean" if name == "lean" else None)
    found = checks()["verify proofs (optional)"]
    assert "lean is there, and nothing to seal it with" in found["detail"]
    assert not found["ok"]
    tried = (Tried("bwrap", "bubblewrap 0.8.0", ""),)
    monkeypatch.setattr(diagnosis, "available", lambda: Availability("bwrap", tried))
    assert checks()["verify proofs (optional)"] == {
        "what": "verify proofs (optional)",
        "ok": True,
        "detail": "works here: /opt/lean",
    }
