"""Which model answers, and how it is run: what a recipe says of an engine."""

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate.engines.hub import model_folder
from acclimate.engines.keys import VARIABLE
from acclimate.errors import RecipeError

LogProbabilities = Literal["first_token", "prompt", "none"]
LeftOut = Literal["temperature", "top_p", "seed", "response_format"]


class EngineSpec(BaseModel):
    """Which model answers: identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    engine: Literal["transformers", "openai", "fake"] = "transformers"
    """`openai` is any server that speaks its chat API; `fake` exists from Python only."""
    model: str
    """transformers: folder of a checkpoint, or of a LoRA adapter whose base is on this machine, or the name
    of a model on the Hugging Face hub whose files are in this machine's cache (`Qwen/Qwen2-VL-2B-Instruct`,
    with `@REVISION` where it is not the main one). openai: the model's name on the server."""
    dtype: Literal["bfloat16", "float32", "auto"] = "auto"
    """transformers: `auto` takes the one the checkpoint was saved in."""
    base_url: str | None = None
    """openai: where the API stands, for instance http://127.0.0.1:8000/v1."""
    revision: str = ""
    """openai: any word. A server does not tell when the model behind a name has changed; another word here
    asks everything again."""
    template: str | None = None
    """openai: folder or hub name of the tokenizer, processor and chat template of the served model (its
    checkpoint will do; weights are not read). Needed only to let the model continue as the user, which vLLM
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
    cache_mb: int = Field(default=256, ge=0)
    """Memory for encoded pictures that no waiting question shows; those that one shows stay anyhow."""
    server: ServerExecution = ServerExecution()
    """How the openai engine asks its server."""


def spec_of(model: str | Mapping[str, Any] | EngineSpec, base: Path | None = None) -> EngineSpec:
    """Return the spec that a recipe's value means.

    Args:
        model: the folder of a checkpoint, or its name on the Hugging Face hub; `openai:NAME@URL` for a model
            on a server; a mapping of the fields of EngineSpec (`engine` may be left out beside a
            `base_url`); or a spec.
        base: what relative folders count from: the recipe's folder; None leaves names as they are.

    Raises:
        RecipeError: it means none. EngineError: a model of the hub is not in this machine's cache.
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
        update["model"] = str(model_folder(spec.model, base))
    if spec.template is not None:
        update["template"] = str(model_folder(spec.template, base))
    return spec.model_copy(update=update)


def require_model(model: str | dict[str, Any]) -> str | dict[str, Any]:
    """Return a recipe's value if it means a model, for validators; what it holds is never repeated.

    Raises:
        ValueError: it means none.
    """
    try:
        spec_of(model)
    except RecipeError as error:
        raise ValueError(str(error)) from None
    return model


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


def require_scores(spec: EngineSpec, key: str) -> None:
    """Find out before anything runs whether an engine can score a given text.

    Args:
        key: where the recipe names it, for messages.

    Raises:
        RecipeError: it cannot: it stands on a server that gives no log-probabilities of a prompt.
    """
    if spec.engine == "openai" and spec.log_probabilities != "prompt":
        raise RecipeError(
            f"{key}: the model {spec.model} stands on a server that is asked for log-probabilities by "
            f"`{spec.log_probabilities}`, and so cannot score a given answer. Serve it with vLLM and write "
            "log_probabilities: prompt beside its name, or name a checkpoint's folder."
        )
