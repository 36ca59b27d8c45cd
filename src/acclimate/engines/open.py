"""Opening an engine by its spec: the one place that imports an engine's libraries, and only when asked."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from acclimate.engines.checkpoint import adapter_base, folder_digest, read_json_object, require_checkpoint
from acclimate.engines.protocol import Engine, EngineIdentity
from acclimate.errors import EngineError
from acclimate.files import ImageStore, sha256_file

DType = Literal["bfloat16", "float32"]


class EngineSpec(BaseModel):
    """Which model answers: identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["transformers", "fake"] = "transformers"
    """`fake` exists from Python only."""
    model: str
    """Folder of a checkpoint, or of a LoRA adapter whose base is on this machine."""
    dtype: Literal["bfloat16", "float32", "auto"] = "auto"
    """`auto` takes the one the checkpoint was saved in."""


class EngineExecution(BaseModel):
    """How it is run: never part of an identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    rows: int = Field(default=64, ge=4, le=4096)
    """Rows of a batch; always full, with filler rows, so that a reply never depends on its neighbours.
    Another number may change the last bits of the numbers, and so a reply."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None leaves torch's own choice."""


def resolved_dtype(path: Path, dtype: Literal["bfloat16", "float32", "auto"]) -> DType:
    """Return the dtype a checkpoint is run in.

    Raises:
        EngineError: `auto`, and the checkpoint was saved in a type we do not run.
    """
    if dtype != "auto":
        return dtype
    base = adapter_base(path)
    config = read_json_object((path if base is None else base) / "config.json")
    text = config.get("text_config")
    saved = config.get("dtype") or config.get("torch_dtype")
    if saved is None and isinstance(text, dict):
        saved = text.get("dtype") or text.get("torch_dtype")
    if saved is None or saved == "float32":
        return "float32"
    if saved in ("bfloat16", "float16"):
        # float16 has no range to spare on a CPU; its values fit bfloat16's range with fewer digits.
        return "bfloat16"
    raise EngineError(f"The checkpoint {path} was saved in {saved}. Set dtype to bfloat16 or float32.")


def engine_identity(spec: EngineSpec, cache_dir: Path | None = None) -> EngineIdentity:
    """Return what decides the engine's replies, by hashing files; loads no weights and no torch.

    Args:
        cache_dir: where hashes of big files are kept; None hashes every time.

    Raises:
        EngineError: the model is not a usable checkpoint.
    """
    if spec.engine == "fake":
        raise EngineError(
            "The fake engine is a Python function and cannot be named in a recipe. Make a FakeEngine and "
            "pass it, or set engine to transformers."
        )
    path = Path(spec.model)
    require_checkpoint(path)

    def hash_file(file: Path) -> str:
        if cache_dir is None:
            return sha256_file(file)
        from acclimate.files import cached_sha256

        return cached_sha256(file, cache_dir)

    digest = folder_digest(path, resolved_dtype(path, spec.dtype), hash_file)
    return EngineIdentity(name=path.resolve().name, digest=digest)


def open_engine(
    spec: EngineSpec, store: ImageStore, execution: EngineExecution, cache_dir: Path | None = None
) -> Engine:
    """Open the engine a spec names.

    Args:
        store: where requests' images are read.
        cache_dir: as for `engine_identity`.

    Raises:
        EngineError: the model cannot be opened here; the message says why and what to do.
    """
    identity = engine_identity(spec, cache_dir)
    path = Path(spec.model)
    _require_template(path)
    _require_memory(path, resolved_dtype(path, spec.dtype), execution)
    from acclimate.engines.transformers import TransformersEngine

    return TransformersEngine(
        path, store, identity=identity, dtype=resolved_dtype(path, spec.dtype), execution=execution
    )


def _require_template(path: Path) -> None:
    """Refuse a base model before its weights are loaded."""
    base = adapter_base(path)
    for folder in (path, base):
        if folder is None:
            continue
        if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
            return
        for name in ("tokenizer_config.json", "processor_config.json"):
            if (folder / name).is_file() and read_json_object(folder / name).get("chat_template"):
                return
    raise EngineError(
        f"The checkpoint {path} has no chat template, so it is a base model or its files are incomplete. Put "
        "the chat_template.jinja of the model it was trained from into the folder."
    )


def _require_memory(path: Path, dtype: DType, execution: EngineExecution) -> None:
    """Refuse weights that cannot fit this machine's free memory, where the system tells it."""
    meminfo = Path("/proc/meminfo")
    if execution.device in ("cuda", "mps") or not meminfo.is_file():
        return
    fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    base = adapter_base(path)
    needed = sum(
        _weight_bytes(file, dtype) for file in (path if base is None else base).glob("*.safetensors")
    )
    if needed > free:
        raise EngineError(
            f"The weights in {path} need {needed / 2**30:.1f} GiB in {dtype} and this machine has "
            f"{free / 2**30:.1f} GiB free. Use a smaller model, dtype bfloat16, or a machine with more "
            "memory."
        )


def _weight_bytes(file: Path, dtype: DType) -> int:
    """Return the bytes a safetensors file's weights take once loaded.

    Source: the safetensors format: 8 bytes of header length, a JSON header, the data.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    size = 2 if dtype == "bfloat16" else 4
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            count = 1
            for side in tensor["shape"]:
                count *= side
            total += count * size
    return total
