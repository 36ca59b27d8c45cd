"""The two parts a model is assembled from: a causal language model and a vision encoder, found and checked.

Opening a part reads its configuration, tokenizer or image processor; weights are loaded only by
`load_language` and `load_vision`. Whatever does not fit is refused here, with a remedy.
"""
# ruff: noqa: ANN401

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from PIL import Image

from acclimate.engines.checkpoint import adapter_base, require_checkpoint
from acclimate.errors import EngineError
from acclimate.licences import licence_of
from acclimate.train.plain_folder import quiet
from acclimate.train.save import stored_dtype

Part = Literal["language model", "vision encoder"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
_VOCABULARY_FILES = _TOKENIZER_FILES[:4]
_LIBRARY: Any = transformers


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a kind of vision encoder is used in a LLaVA."""

    name: str
    model_class: str
    """Of its vision model alone, in `transformers`."""
    select: Literal["default", "full"]
    """`default` leaves out the first token, CLIP's class token; `full` takes every token."""
    extra_tokens: int
    """Tokens beside those of the patches."""
    layer: int
    """Whose output is taken, counted from the end: -1 is the last."""


ENCODERS: dict[str, Encoder] = {
    "clip_vision_model": Encoder("CLIP", "CLIPVisionModel", "default", 1, -2),
    "siglip_vision_model": Encoder("SigLIP", "SiglipVisionModel", "full", 0, -2),
}
"""By `model_type` of the vision configuration. Source: LLaVA-1.5 for CLIP; for SigLIP the same layer is our
own rule."""


@dataclass(frozen=True, slots=True)
class LanguagePart:
    """A causal language model's folder, without its weights."""

    folder: Path
    config: Any
    tokenizer: Any
    dtype: torch.dtype
    """In which most of its weights are stored."""
    licence: str
    """As its card names it; empty where it names none."""


@dataclass(frozen=True, slots=True)
class VisionPart:
    """A CLIP's or SigLIP's folder, without its weights."""

    folder: Path
    config: Any
    """Of the vision model alone."""
    encoder: Encoder
    image_processor: Any
    """Of the PIL kind, which needs no torchvision."""
    dtype: torch.dtype
    """In which most of its weights are stored."""
    licence: str
    """As its card names it; empty where it names none."""


def open_language(folder: Path) -> LanguagePart:
    """Read a causal language model's folder.

    Raises:
        EngineError: it is not one, is multimodal already, has pickled weights, or lacks a fast tokenizer.
    """
    config = _configuration(folder, "language model", "AutoModelForCausalLM")
    if type(config) in _LIBRARY.AutoModelForImageTextToText._model_mapping:
        raise EngineError(
            f"{folder} holds a {config.model_type!r} model, which reads images already. Train it as it is, "
            "or take its language model out first: `acclimate assemble --extract`."
        )
    if type(config) not in _LIBRARY.AutoModelForCausalLM._model_mapping:
        raise EngineError(
            f"{folder} holds a {config.model_type!r} model, which does not write text. Give the folder of a "
            "causal language model: Llama, Qwen, Mistral and so on."
        )
    tokenizer = _tokenizer(folder)
    return LanguagePart(folder, config, tokenizer, stored_dtype(folder), licence_of(folder))


def open_vision(folder: Path) -> VisionPart:
    """Read the folder of a CLIP or SigLIP model, whole or its vision model alone.

    Raises:
        EngineError: it is neither, has pickled weights or no image processor, or its processor makes pictures
            of another size than the encoder reads.
    """
    whole = _configuration(folder, "vision encoder", "AutoModel")
    config = getattr(whole, "vision_config", whole)
    encoder = ENCODERS.get(str(config.model_type))
    if encoder is None:
        hint = (
            " Its pictures have no fixed size, which a LLaVA needs." if whole.model_type == "siglip2" else ""
        )
        raise EngineError(
            f"{folder} holds a {whole.model_type!r} model; a vision encoder is a CLIP or SigLIP, whole or "
            f"its vision model alone.{hint} Take for instance CLIP ViT-L/14 at 336 pixels."
        )
    try:
        processor = _LIBRARY.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, backend="pil"
        )
        made = tuple(processor([Image.new("RGB", (48, 96))], return_tensors="pt")["pixel_values"].shape[-2:])
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise EngineError(
            f"The vision encoder in {folder} has no image processor that can be used ({_one_line(error)}). "
            "Copy preprocessor_config.json from the model it was published with into the folder."
        ) from error
    size = int(config.image_size)
    if made != (size, size):
        raise EngineError(
            f"The image processor in {folder} makes pictures of {made[1]}x{made[0]} pixels, and the encoder "
            f"reads {size}x{size}. Set `size` and `crop_size` in preprocessor_config.json to the encoder's "
            "image_size."
        )
    return VisionPart(folder, config, encoder, processor, stored_dtype(folder), licence_of(folder))


def load_language(part: LanguagePart, dtype: torch.dtype) -> Any:
    """Load a language model's weights on the CPU, in evaluation mode.

    Raises:
        EngineError: weights are missing or of other sizes than the configuration says.
    """
    return _loaded(_LIBRARY.AutoModelForCausalLM, part.folder, "language model", dtype)


def load_vision(part: VisionPart, dtype: torch.dtype) -> Any:
    """Load a vision model's weights on the CPU, in evaluation mode, without SigLIP's pooling head.

    Raises:
        EngineError: weights are missing or of other sizes than the configuration says.
    """
    config = vision_config(part)
    model_class = getattr(transformers, part.encoder.model_class)
    return _loaded(model_class, part.folder, "vision encoder", dtype, config=config)


def vision_config(part: VisionPart) -> Any:
    """Return the vision configuration an assembled model has."""
    config = type(part.config).from_dict(part.config.to_dict())
    if config.model_type == "siglip_vision_model":
        config.vision_use_head = False
    return config


def _configuration(folder: Path, part: Part, auto: str) -> Any:
    """Return the configuration of a folder that holds a model in safetensors."""
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        pickled = sorted(file.name for mask in ("*.bin", "*.pt", "*.pth") for file in folder.glob(mask))
        if pickled:
            raise EngineError(
                f"The {part}'s weights in {folder} are pickled ({pickled[0]}), which can run code when "
                f"loaded, so they are refused. Convert them once, where you trust them: {auto}"
                ".from_pretrained(...).save_pretrained(...) writes safetensors."
            )
    require_checkpoint(folder)
    if adapter_base(folder) is not None:
        raise EngineError(
            f"{folder} is a LoRA adapter, not a whole {part}. Merge it into its base first (peft's "
            "merge_and_unload, then save_pretrained)."
        )
    try:
        return _LIBRARY.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(
            f"The {part} in {folder} is none that transformers {transformers.__version__} can open "
            f"({_one_line(error)}). Models that bring code of their own are not run; give one whose "
            "architecture is part of transformers."
        ) from error


def _tokenizer(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in _VOCABULARY_FILES):
        raise EngineError(
            f"The language model in {folder} has no tokenizer. Copy {', '.join(_TOKENIZER_FILES[:2])} and "
            "tokenizer_config.json from the model it was published with into the folder."
        )
    try:
        tokenizer = _LIBRARY.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"The tokenizer in {folder} cannot be loaded ({_one_line(error)}). Copy tokenizer.json and "
            "tokenizer_config.json from the model it was published with."
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise EngineError(
            f"The language model in {folder} has no fast tokenizer, which is needed to know where each "
            "turn's tokens lie. Convert it: a tokenizer.json beside the other files makes it fast."
        )
    if tokenizer.eos_token is None:
        raise EngineError(
            f"The tokenizer in {folder} has no end-of-text token, so replies would never stop. Set eos_token "
            "in tokenizer_config.json."
        )
    return tokenizer


def _loaded(auto: Any, folder: Path, part: Part, dtype: torch.dtype, **more: Any) -> Any:
    try:
        with quiet():
            model, found = auto.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **more,
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EngineError(
            f"The {part}'s weights in {folder} cannot be loaded ({_one_line(error)}). The sizes in "
            "config.json must be those of the weights, and every *.safetensors file its index names must be "
            "there; copy the model again."
        ) from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise EngineError(
            f"The {part}'s weights in {folder} are incomplete: {len(missing)} are missing, for instance "
            f"{missing[0]}. Copy the model again."
        )
    return model.eval()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] + ("..." if len(text) > 300 else "")
