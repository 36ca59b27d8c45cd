"""What this machine can run, and why not: the rows of `acclimate doctor`."""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

from acclimate.engines.checkpoint import read_model_type, require_checkpoint
from acclimate.engines.open import engine_identity, resolved_dtype
from acclimate.engines.spec import EngineSpec
from acclimate.errors import EngineError

_FAMILIES = {
    "qwen2_vl": "Qwen2-VL",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "llava": "LLaVA-1.5",
    "llava_next": "LLaVA-NeXT",
    "mllama": "Mllama (Llama 3.2 Vision)",
}


def _row(what: str, detail: str, *, ok: bool = True) -> dict[str, Any]:
    return {"what": what, "ok": ok, "detail": detail}


def diagnose(model: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per thing that can work or not, with the reason."""
    rows = []
    missing = []
    for package in ("torch", "transformers", "accelerate", "peft", "safetensors"):
        try:
            rows.append(_row(package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
            rows.append(_row(package, f"missing; pip install {package}", ok=False))
    if "torch" not in missing:
        rows.append(_row("device", _device()))
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    rows.append(_row("disk", f"{free:.1f} GB free here", ok=free > 1))
    has_vision = importlib.util.find_spec("torchvision") is not None
    rows.append(
        _row(
            "torchvision",
            "present" if has_vision else "absent, and not needed: processors are built from their parts",
        )
    )
    engine = f"needs {', '.join(missing)}" if missing else "works here"
    rows.append(_row("engine transformers", engine, ok=not missing))
    family = (
        "unverified: tested on tiny models with our own templates, the real chat template could not be had"
        if not missing
        else engine
    )
    rows += [_row(f"family {name}", family, ok=not missing) for name in _FAMILIES.values()]
    if model is not None:
        rows.append(_checkpoint(model))
    return rows


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(0)}; bf16 {torch.cuda.is_bf16_supported()}"
    if torch.backends.mps.is_available():
        return "mps"
    return f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads, bf16 by autocast"


def _checkpoint(model: Path) -> dict[str, Any]:
    try:
        require_checkpoint(model)
        kind = read_model_type(model)
        identity = engine_identity(EngineSpec(model=str(model)))
        dtype = resolved_dtype(model, "auto")
    except EngineError as error:
        return _row(str(model), str(error), ok=False)
    return _row(str(model), f"{_FAMILIES.get(kind, kind)}, {dtype}, identity {identity.digest[:16]}")
