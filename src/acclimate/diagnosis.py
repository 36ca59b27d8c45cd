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
from acclimate.sandbox import available


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
    rows += [_row("families", engine, ok=False)] if missing else [*_families(), *_training()]
    rows += _verifying()
    if model is not None:
        rows.append(_checkpoint(model))
    return rows


def _verifying() -> list[dict[str, Any]]:
    """Return whether a record's claims can be verified here: by running them sealed, and by proofs."""
    found = available()
    sealed = f"works here, sealed by {found.tool}"
    if found.tool is None:
        remedy = "apt-get install bubblewrap, or allow user namespaces (docs/sandbox.md)"
        sealed = f"nothing can be sealed here, so no claim becomes VERIFIED: {found.sentence}; {remedy}"
    lean = shutil.which("lean")
    proofs = f"works here: {lean}"
    if lean is None:
        proofs = "lean is absent, and needed for claims with a proof only; https://lean-lang.org"
    elif found.tool is None:
        proofs = "lean is there, and nothing to seal it with (see verify)"
    return [
        _row("verify", sealed, ok=found.tool is not None),
        _row("verify proofs (optional)", proofs, ok=lean is None or found.tool is not None),
    ]


def _families() -> list[dict[str, Any]]:
    """Return one row per family, and one that says whose rows can be packed."""
    from acclimate.engines.families import FAMILIES

    rows = []
    for family in FAMILIES:
        proven = (
            f"verified with the real chat template of {family.template_verified}"
            if family.template_verified
            else "unverified: tested with our own template only, the real one could not be had"
        )
        rows.append(_row(f"family {family.name}", proven))
    padded = ", ".join(family.name for family in FAMILIES if not family.packs)
    packed = ", ".join(family.name for family in FAMILIES if family.packs)
    reason = "its pictures' states belong to a whole row (cross-attention), so its rows are padded"
    rows.append(_row("packing", f"{packed}; not {padded}: {reason}"))
    return rows


def _training() -> list[dict[str, Any]]:
    """Return one row per way of training that needs more than the core."""
    import torch

    has_gpu = torch.cuda.is_available()
    rows = []
    for what, package, extra, needs_gpu in (
        ("train.method qlora", "bitsandbytes", "gpu", False),
        ("kernels", "liger_kernel", "gpu", True),
        ("launch zero2, zero3", "deepspeed", "deepspeed", True),
        ("train engine ray", "ray", "ray", False),
    ):
        lacks = [] if importlib.util.find_spec(package) else [f"pip install 'acclimate[{extra}]'"]
        lacks += ["a GPU"] if needs_gpu and not has_gpu else []
        rows.append(_row(what, f"needs {' and '.join(lacks)}" if lacks else "works here", ok=not lacks))
    kind = "NCCL, one process per GPU" if has_gpu else "gloo, processes on this machine's cores"
    return [*rows, _row("launch ddp, fsdp2", f"works here: {kind}")]


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
    return _row(str(model), f"{_family_name(kind)}, {dtype}, identity {identity.digest[:16]}")


def _family_name(model_type: str) -> str:
    if importlib.util.find_spec("torch") is None:
        return model_type
    from acclimate.engines.families import FAMILIES

    return next((family.name for family in FAMILIES if family.model_type == model_type), model_type)
