"""The language model inside a checkpoint, as an object that reads texts alone.

A multimodal model that is given no pictures computes what its language model computes, bit for bit what
`acclimate assemble --extract` writes (`tests/test_text_tasks.py`, six families), so nothing is taken apart or
written to disk. Torch is imported when a model is loaded.
"""
# ruff: noqa: ANN401

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acclimate.engines.checkpoint import adapter_base, require_checkpoint
from acclimate.engines.open import resolved_dtype
from acclimate.errors import EngineError


@dataclass(frozen=True, slots=True)
class TextModel:
    """A model whose forward takes token ids and gives logits, with its tokenizer."""

    model: Any
    tokenizer: Any


def load_text_model(
    path: Path,
    dtype: Literal["bfloat16", "float32", "auto"] = "auto",
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> TextModel:
    """Load a multimodal checkpoint, a plain causal language model, or a LoRA adapter of either, merged.

    Args:
        dtype: `auto` takes the one the checkpoint was saved in; float16 is run in bfloat16, as engines do.

    Raises:
        EngineError: it is none of these, or cannot be loaded; the message says why and what to do.
    """
    require_checkpoint(path)
    folder = adapter_base(path) or path
    exact = resolved_dtype(path, dtype)
    import transformers

    library: Any = transformers
    try:
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = library.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(
            f"{folder} cannot be opened by transformers ({_one_line(error)}). Give a folder with "
            "config.json, *.safetensors and the tokenizer's files."
        ) from error
    if type(config) in library.AutoModelForImageTextToText._model_mapping:
        from acclimate.engines.families import load_model

        model = load_model(path, exact)
    elif type(config) in library.AutoModelForCausalLM._model_mapping:
        model = _load_causal(library, path, folder, exact)
    else:
        raise EngineError(
            f"{folder} holds a {config.model_type!r} model, which writes no text. Give a causal language "
            "model, or a multimodal one."
        )
    return TextModel(model.to(_device(device)).eval(), tokenizer)


def _load_causal(library: Any, path: Path, folder: Path, dtype: str) -> Any:
    try:
        model, found = library.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        if folder != path:
            import peft

            model = peft.PeftModel.from_pretrained(model, path).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EngineError(
            f"The weights in {path} cannot be loaded ({_one_line(error)}). Copy or save the checkpoint again."
        ) from error
    missing = sorted(map(str, found["missing_keys"]))
    if missing:
        raise EngineError(
            f"The checkpoint in {folder} has no weights for {len(missing)} parameters, for instance "
            f"{missing[0]}; they would be random. Copy weights and config.json from the same checkpoint."
        )
    return model


def _device(name: str) -> str:
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        raise EngineError(f"The device {name} is not available on this machine. Set device to auto or cpu.")
    return name


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
