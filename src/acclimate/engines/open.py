"""Opening an engine by its spec: the one place that imports an engine's libraries, and only when asked."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from acclimate.engines.checkpoint import (
    IDENTITY_FILES,
    adapter_base,
    folder_digest,
    require_checkpoint,
)
from acclimate.engines.hub import hub_name
from acclimate.engines.keys import Keys
from acclimate.engines.protocol import Engine, EngineIdentity
from acclimate.engines.settings_file import read_json_object
from acclimate.engines.spec import EngineExecution, EngineSpec, ServerExecution
from acclimate.engines.spending import Accounts
from acclimate.errors import EngineError
from acclimate.files import ImageStore, sha256_file

DType = Literal["bfloat16", "float32"]


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
    if spec.engine == "openai":
        return _served_identity(spec)
    path = Path(spec.model)
    require_checkpoint(path)

    def hash_file(file: Path) -> str:
        if cache_dir is None:
            return sha256_file(file)
        from acclimate.files import cached_sha256

        return cached_sha256(file, cache_dir)

    digest = folder_digest(path, resolved_dtype(path, spec.dtype), hash_file)
    return EngineIdentity(name=hub_name(path) or path.resolve().name, digest=digest)


def _served_identity(spec: EngineSpec) -> EngineIdentity:
    """Return the identity of a model on a server: what is asked of whom, and how; never the key.

    Concurrency, prices and budgets change no reply and are not part of it.
    """
    facts = spec.model_dump(mode="json", exclude={"dtype", "template"})
    if spec.template is not None:
        folder = Path(spec.template)
        files = [folder / name for name in IDENTITY_FILES if (folder / name).is_file()]
        if not files:
            raise EngineError(
                f"There are no tokenizer files in {folder}, which the recipe names as the template of the "
                f"model {spec.model}. Give the folder of the checkpoint that the server runs."
            )
        facts["template"] = {file.name: sha256_file(file) for file in files}
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(f"acclimate served engine 1 {text}".encode()).hexdigest()
    return EngineIdentity(name=spec.model, digest=digest)


def open_engine(
    spec: EngineSpec,
    store: ImageStore,
    execution: EngineExecution,
    cache_dir: Path | None = None,
    keys: Keys | None = None,
    accounts: Accounts | None = None,
) -> Engine:
    """Open the engine a spec names.

    Args:
        store: where requests' images are read.
        cache_dir: as for `engine_identity`.
        keys: where API keys are read; None has none.
        accounts: where what a server takes is put down; None opens an account for this engine alone.

    Raises:
        EngineError: the model cannot be opened here; the message says why and what to do.
    """
    identity = engine_identity(spec, cache_dir)
    if spec.engine == "openai":
        return _open_served(spec, store, execution.server, identity, keys or Keys({}), accounts)
    path = Path(spec.model)
    _require_template(path)
    _require_memory(path, resolved_dtype(path, spec.dtype), execution)
    from acclimate.engines.transformers import TransformersEngine

    return TransformersEngine(
        path, store, identity=identity, dtype=resolved_dtype(path, spec.dtype), execution=execution
    )


def _open_served(
    spec: EngineSpec,
    store: ImageStore,
    execution: ServerExecution,
    identity: EngineIdentity,
    keys: Keys,
    accounts: Accounts | None,
) -> Engine:
    try:
        from acclimate.engines.openai import OpenAIEngine
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise EngineError(
            f"The model {spec.model} stands on a server, and the client for servers is not installed. "
            "Install it: pip install 'acclimate[openai]'."
        ) from None
    key = None if execution.api_key_env is None else keys.named(execution.api_key_env)
    template = None
    if spec.template is not None:
        from acclimate.engines.families import load_processor
        from acclimate.engines.served_template import ServedTemplate

        template = ServedTemplate(load_processor(Path(spec.template)))
    account = None if accounts is None else accounts.of(identity.digest, execution, identity.name)
    return OpenAIEngine(
        spec,
        store,
        identity=identity,
        execution=execution,
        key=key,
        template=template,
        account=account,
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
