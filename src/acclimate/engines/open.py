"""Opening an engine by its spec: the one place that imports an engine's libraries, and only when asked."""

import hashlib
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate.engines.checkpoint import (
    IDENTITY_FILES,
    adapter_base,
    folder_digest,
    read_json_object,
    require_checkpoint,
)
from acclimate.engines.keys import VARIABLE, Keys
from acclimate.engines.protocol import Engine, EngineIdentity
from acclimate.errors import EngineError, RecipeError
from acclimate.files import ImageStore, sha256_file

DType = Literal["bfloat16", "float32"]
LogProbabilities = Literal["first_token", "prompt", "none"]
LeftOut = Literal["temperature", "top_p", "seed", "response_format"]


class EngineSpec(BaseModel):
    """Which model answers: identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    engine: Literal["transformers", "openai", "fake"] = "transformers"
    """`openai` is any server that speaks its chat API; `fake` exists from Python only."""
    model: str
    """transformers: folder of a checkpoint, or of a LoRA adapter whose base is on this machine. openai: the
    model's name on the server."""
    dtype: Literal["bfloat16", "float32", "auto"] = "auto"
    """transformers: `auto` takes the one the checkpoint was saved in."""
    base_url: str | None = None
    """openai: where the API stands, for instance http://127.0.0.1:8000/v1."""
    revision: str = ""
    """openai: any word. A server does not tell when the model behind a name has changed; another word here
    asks everything again."""
    template: str | None = None
    """openai: folder with the tokenizer, processor and chat template of the served model (its checkpoint
    folder will do; weights are not read). Needed only to let the model continue as the user, which vLLM
    can."""
    log_probabilities: LogProbabilities = "first_token"
    """openai: how choices are scored. `first_token`: by the `top_logprobs` of the reply's first token, for
    choices of one token. `prompt`: by the log-probabilities of the choice as part of the prompt, exact for
    choices of any length; vLLM has them. `none`: the server gives none, and choices are refused."""
    top_logprobs: int = Field(default=20, ge=2, le=100)
    """openai: how many of the first token's likeliest values are asked for."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """openai: what the server calls the bound of a reply's length."""
    leave_out: tuple[LeftOut, ...] = ()
    """openai: settings that the server refuses, and that are therefore not sent; it then uses its own."""

    @field_validator("base_url")
    @classmethod
    def _is_plain_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "base_url must hold no name, password or query: it is written into artifacts. Put the key "
                "into an environment variable and name that in api_key_env"
            )
        return url.rstrip("/")

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.engine == "openai" and self.base_url is None:
            raise ValueError("the openai engine needs base_url, for instance http://127.0.0.1:8000/v1")
        if self.engine != "openai" and self.base_url is not None:
            raise ValueError("base_url belongs to the openai engine; set engine to openai, or leave it out")
        return self


class Prices(BaseModel):
    """What a server takes, in any currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0)
    """Per million tokens of prompt, images included."""
    reply: float = Field(ge=0)
    """Per million tokens of reply."""


class ServerExecution(BaseModel):
    """How a server is asked: never part of an identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key_env: str | None = None
    """Name of the environment variable that holds the API key; None sends none. Never the key itself."""
    concurrency: int = Field(default=8, ge=1, le=1024)
    """Requests at the server at a time."""
    attempts: int = Field(default=6, ge=1, le=100)
    """How often one request is tried before the run stops."""
    timeout_s: float = Field(default=600.0, gt=0)
    """Seconds one attempt may take."""
    backoff_s: float = Field(default=1.0, gt=0)
    """Seconds waited before the second attempt; doubled each time, up to a minute, and jittered."""
    longest_wait_s: float = Field(default=300.0, gt=0)
    """The run stops where the server asks for a longer wait than this."""
    prices: Prices | None = None
    image_tokens: int | None = Field(default=None, ge=0)
    """Tokens the server counts per picture, for estimates; None estimates them from the picture's size."""
    budget: float | None = Field(default=None, gt=0)
    """The run stops before it has cost more than this, in the currency of `prices`."""
    budget_tokens: int | None = Field(default=None, gt=0)
    """The run stops before it has used more tokens than this, prompts and replies together."""

    @field_validator("api_key_env")
    @classmethod
    def _is_a_variable(cls, name: str | None) -> str | None:
        if name is not None and not VARIABLE.fullmatch(name):
            raise ValueError(
                "api_key_env must be the NAME of an environment variable, in upper case, such as "
                "TEACHER_API_KEY; never put a key into a recipe"
            )
        return name

    @model_validator(mode="after")
    def _has_prices(self) -> Self:
        if self.budget is not None and self.prices is None:
            raise ValueError(
                "a budget needs prices, for instance {prompt: 0.4, reply: 1.6} per million tokens; or set "
                "budget_tokens"
            )
        return self


class EngineExecution(BaseModel):
    """How it is run: never part of an identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    rows: int = Field(default=64, ge=4, le=4096)
    """Rows of a batch; always full, with filler rows, so that a reply never depends on its neighbours.
    Another number may change the last bits of the numbers, and so a reply."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None leaves torch's own choice."""
    server: ServerExecution = ServerExecution()
    """How the openai engine asks its server."""


def spec_of(model: str | Mapping[str, Any] | EngineSpec, base: Path | None = None) -> EngineSpec:
    """Return the spec that a recipe's value means.

    Args:
        model: the folder of a checkpoint; `openai:NAME@URL` for a model on a server; a mapping of the fields
            of EngineSpec (`engine` may be left out beside a `base_url`); or a spec.
        base: what relative folders count from: the recipe's folder; None leaves them as they are.

    Raises:
        RecipeError: it means none.
    """
    if isinstance(model, EngineSpec):
        spec = model
    else:
        fields = _fields_of(model) if isinstance(model, str) else dict(model)
        if "base_url" in fields:
            fields.setdefault("engine", "openai")
        try:
            spec = EngineSpec.model_validate(fields)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, each['loc'])) or 'model'}: {each['msg'].removeprefix('Value error, ')}"
                for each in error.errors(include_input=False, include_url=False, include_context=False)
            )
            raise RecipeError(f"A model in the recipe is not usable: {faults}.") from None
    if base is None:
        return spec
    update: dict[str, str] = {}
    if spec.engine == "transformers":
        update["model"] = str((base / spec.model).resolve())
    if spec.template is not None:
        update["template"] = str((base / spec.template).resolve())
    return spec.model_copy(update=update)


def _fields_of(model: str) -> dict[str, Any]:
    """Take `openai:NAME@URL` apart; anything else is a folder."""
    if not model.startswith("openai:"):
        return {"model": model}
    name, found, rest = model.removeprefix("openai:").rpartition("@http")
    if not found or not name:
        raise RecipeError(
            "A model on a server is written openai:NAME@URL, for instance "
            "openai:qwen3-vl@http://127.0.0.1:8000/v1; the recipe names one without a name or an address."
        )
    return {"engine": "openai", "model": name, "base_url": f"http{rest}"}


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
    return EngineIdentity(name=path.resolve().name, digest=digest)


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
) -> Engine:
    """Open the engine a spec names.

    Args:
        store: where requests' images are read.
        cache_dir: as for `engine_identity`.
        keys: where API keys are read; None has none.

    Raises:
        EngineError: the model cannot be opened here; the message says why and what to do.
    """
    identity = engine_identity(spec, cache_dir)
    if spec.engine == "openai":
        return _open_served(spec, store, execution.server, identity, keys or Keys({}))
    path = Path(spec.model)
    _require_template(path)
    _require_memory(path, resolved_dtype(path, spec.dtype), execution)
    from acclimate.engines.transformers import TransformersEngine

    return TransformersEngine(
        path, store, identity=identity, dtype=resolved_dtype(path, spec.dtype), execution=execution
    )


def _open_served(
    spec: EngineSpec, store: ImageStore, execution: ServerExecution, identity: EngineIdentity, keys: Keys
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
    return OpenAIEngine(spec, store, identity=identity, execution=execution, key=key, template=template)


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
