"""A checkpoint folder on disk: is it one, what is it, and what is its identity. Loads no torch."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from acclimate.engines.hub import model_folder
from acclimate.engines.settings_file import read_json_object
from acclimate.errors import EngineError

# What decides a checkpoint's replies. Weights are matched by suffix; paths, cards and training state count
# for nothing.
IDENTITY_FILES = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
)


def require_checkpoint(path: Path) -> None:
    """Check that a folder is a checkpoint or a LoRA adapter, with safetensors weights.

    Raises:
        EngineError: it is not; the message says what is missing and what to do.
    """
    if not path.exists():
        raise EngineError(
            f"There is no model at {path}. Give the folder of a checkpoint that is on this machine."
        )
    if not path.is_dir():
        raise EngineError(
            f"{path} is a file, and a model is a folder with config.json, *.safetensors and its tokenizer's "
            "files. Give the folder it lies in."
        )
    base = adapter_base(path)
    if base is not None:
        if not any(path.glob("adapter_model*.safetensors")):
            raise EngineError(
                f"{path} has an adapter_config.json but no adapter_model.safetensors. Save the adapter again "
                "with save_pretrained(..., safe_serialization=True)."
            )
        require_checkpoint(base)
        return
    if not (path / "config.json").is_file():
        raise EngineError(
            f"{path} is not a checkpoint: it has no config.json. Give the folder that save_pretrained wrote, "
            "with config.json, *.safetensors and the tokenizer's files."
        )
    if not any(path.glob("*.safetensors")):
        pickled = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in path.glob(pattern))
        if pickled:
            raise EngineError(
                f"The weights in {path} are pickled ({pickled[0]}), which can run code when loaded, so they "
                "are refused. Convert them once, where you trust them: "
                "AutoModelForImageTextToText.from_pretrained(...).save_pretrained(..., "
                "safe_serialization=True)."
            )
        raise EngineError(
            f"{path} has a config.json but no *.safetensors weights. Download or save the checkpoint "
            "completely."
        )


def adapter_base(path: Path) -> Path | None:
    """Return the base checkpoint a LoRA adapter folder names; None when the folder is no adapter.

    A relative base is looked for beside the adapter first, then where the program runs.

    Raises:
        EngineError: the base is not on this machine, not in the Hugging Face cache either.
    """
    config_path = path / "adapter_config.json"
    if not config_path.is_file():
        return None
    named = str(read_json_object(config_path).get("base_model_name_or_path") or "")
    for candidate in (path / named, Path(named)):
        if named and (candidate / "config.json").is_file():
            return candidate
    whose = f"The adapter in {path} belongs to the base model {named!r}"
    try:
        folder = model_folder(named, path)
    except EngineError as error:
        raise EngineError(f"{whose}. {error}") from error
    if named and (folder / "config.json").is_file():
        return folder
    raise EngineError(
        f"{whose}, which is not a folder on this machine. Download the base and put its folder into "
        "base_model_name_or_path in adapter_config.json."
    )


def read_model_type(path: Path) -> str:
    """Return `model_type` of a checkpoint's config.json, or of an adapter's base; empty when it has none."""
    base = adapter_base(path)
    folder = path if base is None else base
    if not (folder / "config.json").is_file():
        return ""
    return str(read_json_object(folder / "config.json").get("model_type", ""))


def folder_digest(path: Path, dtype: str, hash_file: Callable[[Path], str]) -> str:
    """Hash what decides a model's replies: weights, adapter, processor, tokenizer, template and dtype.

    Where the folder lies and what it is called do not count, nor does the adapter's path to its base: the
    base's own files do.

    Args:
        hash_file: sha256 of a file's bytes, perhaps cached.
    """
    digest = hashlib.sha256(f"acclimate engine 1 {dtype}\n".encode())
    base = adapter_base(path)
    for folder_role, folder in (("model", path), ("base", base)):
        if folder is None:
            continue
        files = [folder / name for name in IDENTITY_FILES if (folder / name).is_file()]
        files += sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.safetensors.index.json"))
        for file in files:
            if file.name == "adapter_config.json":
                config = read_json_object(file)
                config.pop("base_model_name_or_path", None)
                content = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
            else:
                content = hash_file(file)
            digest.update(f"{folder_role}/{file.name} {content}\n".encode())
    return digest.hexdigest()
