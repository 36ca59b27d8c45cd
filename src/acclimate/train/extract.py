"""Taking the language model out of a multimodal model, as a plain causal language model.

What comes out answers texts exactly as the multimodal model does, without its vision tower and in any tool
for language models. It is the reverse of `assemble`, and how a tuned model is scored on text alone.
"""
# ruff: noqa: ANN401

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from acclimate.engines.checkpoint import adapter_base, folder_digest, require_checkpoint
from acclimate.engines.families import FAMILIES, family_of, load_model
from acclimate.engines.settings_file import read_json_object
from acclimate.errors import EngineError
from acclimate.files import sha256_file, write_json
from acclimate.licences import derived_licence, licence_of
from acclimate.train.assemble import PROBE_TEXT
from acclimate.train.image_template import unwrapped, with_texts
from acclimate.train.plain_folder import (
    REMEDY,
    new_folder,
    require_free,
    save_card,
    save_tokenizer,
    save_weights,
)

_LIBRARY: Any = transformers
_KNOWN = ", ".join(family.name for family in FAMILIES)
_PLAIN_CONFIGS = {
    "qwen2_vl": "Qwen2Config",
    "qwen2_5_vl": "Qwen2Config",
    "qwen3_vl": "Qwen3Config",
    "mllama": "LlamaConfig",
}
"""Families whose text configuration is their own, and the plain one that computes the same for texts. In the
others the text configuration is a plain model's already."""
_MULTIMODAL_ROPE = ("mrope_section", "mrope_interleaved", "type")
"""For texts the three positions of M-RoPE agree, so how a head shares them plays no part."""
_NOT_COPIED = (
    "model_type",
    "architectures",
    "transformers_version",
    "dtype",
    "rope_parameters",
    "layer_types",
)
_SAME = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Of the largest logit: what the same weights may differ by in another class, by stored precision. Our own
rule; in float32 the tests hold 1e-5."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A language model that was taken out."""

    language: str
    """Its class, in transformers."""
    source: str
    """Family, or model type, of the multimodal model."""
    parameters: int
    left_out: int
    """Parameters of the multimodal model that are not in it: vision tower, projector, cross attention."""
    dtype: str
    difference: float
    """Largest difference of a text's logits, as measured on the written folder."""


def extract_language_model(mllm: Path, out: Path) -> Extracted:
    """Write the language model of a multimodal checkpoint, or of a LoRA adapter's, merged.

    Qwen2-VL and Qwen2.5-VL give a Qwen2, Qwen3-VL a Qwen3, LLaVA-1.5 and LLaVA-NeXT the model they were made
    from, Mllama a Llama: for texts its cross-attention layers are skipped, so they are left out. Tokenizer,
    chat template (one that `assemble` wrapped is unwrapped again) and generation settings come along.

    Args:
        mllm: a checkpoint folder, or a LoRA adapter folder that names its base.
        out: a new or empty folder.

    Raises:
        EngineError: the folder is no multimodal checkpoint, no plain class computes the same, or the model
            that was written answers a text differently.
        ArtifactError: `out` is not empty.
    """
    require_free(out)
    require_checkpoint(mllm)
    folder = adapter_base(mllm) or mllm
    whole = load_model(mllm)
    language = _language_model(whole, folder)
    tokenizer = _LIBRARY.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    ids = torch.tensor([tokenizer(PROBE_TEXT).input_ids])
    expected = _logits(whole, ids)
    head = whole.get_output_embeddings().weight
    config, weights = _plain(language, head, folder)
    n_rows = len(weights["embed_tokens.weight"]) if "embed_tokens.weight" in weights else len(head)
    total = sum(parameter.numel() for parameter in whole.parameters())
    dtype = head.dtype
    with new_folder(out) as part:
        model = _filled(config, weights, head, folder)
        kept = sum(parameter.numel() for parameter in model.parameters())
        name = type(model).__name__
        generation = folder / "generation_config.json"
        if generation.is_file():
            model.generation_config = _LIBRARY.GenerationConfig.from_pretrained(folder)
        save_weights(model, part)
        del model, weights, language, head, whole
        save_tokenizer(tokenizer, part, _template(tokenizer, folder))
        _drop_tokens(part, n_rows)
        difference = _difference(part, ids, expected, dtype, mllm)
        _save_card(mllm, part, name, kept, total - kept)
    family = family_of(mllm)
    source = family.name if family else str(read_json_object(folder / "config.json").get("model_type"))
    return Extracted(name, source, kept, total - kept, str(dtype).removeprefix("torch."), difference)


def _language_model(whole: Any, folder: Path) -> Any:
    language = getattr(getattr(whole, "model", None), "language_model", None)
    if language is None or whole.get_output_embeddings() is None:
        raise EngineError(
            f"The language model of the {whole.config.model_type!r} model in {folder} cannot be told from "
            f"its other parts. Models it can be taken out of: {_KNOWN}."
        )
    return language


def _plain(language: Any, head: Tensor, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    """Return the configuration of a plain language model and its weights, the head's left out."""
    text = language.config
    weights = dict(language.state_dict())
    tied = language.get_input_embeddings().weight is head
    model_type = str(read_json_object(folder / "config.json").get("model_type"))
    plain_name = _PLAIN_CONFIGS.get(model_type)
    if plain_name is None:
        if type(text) not in _LIBRARY.AutoModelForCausalLM._model_mapping:
            raise EngineError(
                f"The text part of the {model_type!r} model in {folder} is a {text.model_type!r}, and "
                f"transformers {transformers.__version__} has no plain language model that computes the "
                f"same. Models it can be taken out of: {_KNOWN}."
            )
        config = type(text).from_dict({**text.to_dict(), "tie_word_embeddings": tied})
        return config, weights
    plain_class = getattr(transformers, plain_name)
    accepted = set(inspect.signature(plain_class).parameters) - set(_NOT_COPIED)
    values = {key: value for key, value in text.to_dict().items() if key in accepted}
    rope = {key: value for key, value in text.rope_parameters.items() if key not in _MULTIMODAL_ROPE}
    values |= {"rope_parameters": rope, "tie_word_embeddings": tied}
    if model_type == "mllama":
        crossed = set(text.cross_attention_layers)
        order = [layer for layer in range(text.num_hidden_layers) if layer not in crossed]
        values["num_hidden_layers"] = len(order)
        weights = _without_layers(weights, order)
        # The last rows belong to the image token, which the output head has no row for.
        weights["embed_tokens.weight"] = weights["embed_tokens.weight"][: text.vocab_size].clone()
    elif (kinds := getattr(text, "layer_types", None)) is not None:
        values["layer_types"] = list(kinds)
    return plain_class(**values), weights


def _without_layers(weights: Mapping[str, Tensor], order: list[int]) -> dict[str, Tensor]:
    """Return the weights with only the given layers, counted anew."""
    place = {layer: index for index, layer in enumerate(order)}
    kept: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not name.startswith("layers."):
            kept[name] = value
            continue
        _, layer, rest = name.split(".", 2)
        if int(layer) in place:
            kept[f"layers.{place[int(layer)]}.{rest}"] = value
    return kept


def _filled(config: Any, weights: Mapping[str, Tensor], head: Tensor, folder: Path) -> Any:
    """Return the plain model with the weights in it, ready to be saved."""
    with torch.device("meta"):
        model = _LIBRARY.AutoModelForCausalLM.from_config(config)
    prefix = model.base_model_prefix
    state = {f"{prefix}.{name}": value for name, value in weights.items()}
    (head_name,) = (
        f"{name}.weight" for name, part in model.named_modules() if part is model.get_output_embeddings()
    )
    state[head_name] = head
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        lines = " ".join(str(error).split())[:300]
        raise EngineError(
            f"The language model in {folder} does not fit a plain {type(model).__name__} ({lines}). Use the "
            "transformers version in constraints.txt."
        ) from error
    model.tie_weights()
    model.config.dtype = head.dtype
    model.config._name_or_path = ""
    return model


def _template(tokenizer: Any, folder: Path) -> str:
    """Return the chat template in a form that takes plain texts; empty where the model has none."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    legacy = folder / "chat_template.json"
    if not template and legacy.is_file():
        template = read_json_object(legacy).get("chat_template")
    if not template:
        return ""
    template = unwrapped(str(template))
    mark = "\ue000"
    written = tokenizer.apply_chat_template(
        [{"role": "user", "content": mark}], chat_template=template, tokenize=False
    )
    return template if mark in written else with_texts(template)


def _drop_tokens(folder: Path, n_rows: int) -> None:
    """Take tokens out of the tokenizer's files that the model has no row for: Mllama's image token."""
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    dropped = {token["content"] for token in state["added_tokens"] if token["id"] >= n_rows}
    if not dropped:
        return
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in dropped]
    path.write_text(json.dumps(state, ensure_ascii=False, indent=2), encoding="utf-8")
    settings = read_json_object(folder / "tokenizer_config.json")
    for key in ("extra_special_tokens", "additional_special_tokens"):
        if isinstance(settings.get(key), list):
            settings[key] = [token for token in settings[key] if token not in dropped]
    write_json(folder / "tokenizer_config.json", settings)


@torch.no_grad()
def _logits(model: Any, ids: Tensor) -> Tensor:
    return model(input_ids=ids, use_cache=False).logits.float()  # type: ignore[no-any-return]


def _difference(folder: Path, ids: Tensor, expected: Tensor, dtype: torch.dtype, mllm: Path) -> float:
    """Open the folder as its users will, and compare a text's tokens and logits."""
    tokenizer = _LIBRARY.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer(PROBE_TEXT).input_ids != ids[0].tolist():
        raise EngineError(
            f"The tokenizer of {mllm} is read differently beside a plain language model, so the model would "
            "see other tokens. Give its tokenizer_config.json the class that made its tokenizer.json."
        )
    model = _LIBRARY.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    found = _logits(model.eval(), ids)
    difference = float((found - expected).abs().max()) if found.shape == expected.shape else math.inf
    largest = float(expected.abs().max())
    if not difference <= _SAME.get(dtype, _SAME[torch.float32]) * max(1.0, largest):
        raise EngineError(
            f"The language model taken out of {mllm} answers a text differently (logits moved by "
            f"{difference:.3g}, the largest is {largest:.3g}), so its class computes something else. Models "
            f"it can be taken out of: {_KNOWN}."
        )
    return difference


def _save_card(mllm: Path, folder: Path, name: str, kept: int, left_out: int) -> None:
    base = adapter_base(mllm)
    digest = folder_digest(mllm, "as stored", sha256_file)[:16]
    family = family_of(mllm)
    source = family.name if family else "multimodal model"
    save_card(
        folder,
        title="Model card",
        about=(
            "A language model taken out of a multimodal one by `acclimate assemble --extract`. It answers "
            "texts as that model does and reads no pictures."
        ),
        task="text-generation",
        facts={
            "Taken out of": f"{source}, identity `{digest}`" + (", LoRA merged" if base else ""),
            "Class": name,
            "Parameters": f"{kept:,}",
            "Left out": f"{left_out:,} parameters",
        },
        licence=derived_licence(
            [licence_of(mllm) or (licence_of(base) if base else "")],
            base_model=None,
            names=["the multimodal model"],
            remedy=REMEDY,
        ),
    )
