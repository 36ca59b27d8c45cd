"""What we know of each model family, and how a checkpoint is loaded and its processor carried along.

A family says which parameters are the vision tower, the projector and the language model. How turns are
written lies in `render`, how text and images become tensors in `encode`; both are re-exported here, so that
a room needs this one module. Processors are built from their parts, so none needs torchvision.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from acclimate.engines.checkpoint import adapter_base, read_model_type
from acclimate.engines.encode import Encoded, collate_rows, encode, preprocess_image
from acclimate.engines.render import Processor, Rendered, RenderError, TurnSpan, markers, neutralise, render
from acclimate.errors import EngineError

__all__ = [
    "FAMILIES",
    "Encoded",
    "Family",
    "Model",
    "ModuleGroups",
    "Processor",
    "RenderError",
    "Rendered",
    "TurnSpan",
    "collate_rows",
    "encode",
    "family_of",
    "load_model",
    "load_processor",
    "markers",
    "module_group",
    "neutralise",
    "preprocess_image",
    "render",
    "save_processor",
]

Model: TypeAlias = Any
"""A model of transformers: its classes have no common type that says what we use."""

Group = Literal["vision", "projector", "language"]
DType = Literal["bfloat16", "float32", "auto"]

# Copied verbatim beside the weights: a checkpoint without them does not answer as its source did.
PROCESSOR_FILES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)


@dataclass(frozen=True, slots=True)
class ModuleGroups:
    """Parameter-name prefixes, as `named_parameters()` gives them; `projector` wins over `vision`."""

    vision: tuple[str, ...]
    projector: tuple[str, ...]
    language: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One model family."""

    name: str
    """For people, for instance `Qwen3-VL`."""
    model_type: str
    """`model_type` in the checkpoint's config.json."""
    processor_class: str
    """Class name in `transformers`."""
    groups: ModuleGroups
    video_processor: str | None = None
    """The video processor its processor_config.json must name, or other tools refuse the checkpoint."""
    packs: bool = True
    """Whether rows of a training batch may lie one after another without padding. Mllama's language model
    sees pictures through cross-attention, whose states belong to a whole row."""
    template_verified: str = ""
    """Whose real chat template the golden masks are proven with, and where it is from; empty where it could
    not be had. Source: `tests/chat_templates/README.md`."""


_QWEN2 = ModuleGroups(
    vision=("model.visual.",),
    projector=("model.visual.merger.",),
    language=("model.language_model.", "lm_head."),
)
_LLAVA = ModuleGroups(
    vision=("model.vision_tower.",),
    projector=("model.multi_modal_projector.", "model.image_newline"),
    language=("model.language_model.", "lm_head."),
)

FAMILIES: tuple[Family, ...] = (
    Family(
        "Qwen2-VL",
        "qwen2_vl",
        "Qwen2VLProcessor",
        _QWEN2,
        "Qwen2VLVideoProcessor",
        template_verified="Qwen2-VL-Instruct (from xinference 4.1.0)",
    ),
    Family(
        "Qwen2.5-VL",
        "qwen2_5_vl",
        "Qwen2_5_VLProcessor",
        _QWEN2,
        "Qwen2VLVideoProcessor",
        template_verified="Qwen2.5-VL-Instruct (from TRL 1.16.0)",
    ),
    Family(
        "Qwen3-VL",
        "qwen3_vl",
        "Qwen3VLProcessor",
        ModuleGroups(
            vision=("model.visual.",),
            projector=("model.visual.merger.", "model.visual.deepstack_merger_list."),
            language=("model.language_model.", "lm_head."),
        ),
        "Qwen3VLVideoProcessor",
        template_verified="Qwen3-VL-Instruct (from TRL 1.16.0)",
    ),
    Family(
        "LLaVA-1.5",
        "llava",
        "LlavaProcessor",
        _LLAVA,
        template_verified="llava-1.5-7b-hf (from transformers' tests)",
    ),
    Family(
        "LLaVA-NeXT",
        "llava_next",
        "LlavaNextProcessor",
        _LLAVA,
        template_verified=(
            "llava-v1.6 on Vicuna, Yi and Mistral (this one cannot be a synthesizer) and llama3-llava-next "
            "(from transformers, TRL 1.16.0 and vlprm)"
        ),
    ),
    Family(
        "Mllama",
        "mllama",
        "MllamaProcessor",
        ModuleGroups(
            vision=("model.vision_model.",),
            projector=("model.multi_modal_projector.",),
            language=("model.language_model.", "lm_head."),
        ),
        packs=False,
        template_verified="Llama-3.2-Vision-Instruct, no system text beside a picture (from NVIDIA NeMo)",
    ),
)

# Names by which other families call their parts. Our own rule.
_VISION_NAMES = ("visual", "vision", "image_encoder")
_PROJECTOR_NAMES = ("projector", "merger", "connector", "aligner", "image_newline")


def family_of(path: Path) -> Family | None:
    """Return the family of a checkpoint or adapter folder; None when its model type is not one of ours."""
    model_type = read_model_type(path)
    return next((family for family in FAMILIES if family.model_type == model_type), None)


def module_group(family: Family | None, parameter_name: str) -> Group:
    """Return the part of the model a parameter belongs to.

    Args:
        family: None finds the group from the names other families use.
        parameter_name: as `named_parameters()` gives it.

    Raises:
        EngineError: a known family has a parameter we can place nowhere.
    """
    name = parameter_name.removeprefix("base_model.model.").removeprefix("module.")
    if family is None:
        if any(part in name for part in _PROJECTOR_NAMES):
            return "projector"
        return "vision" if any(part in name for part in _VISION_NAMES) else "language"
    groups: tuple[tuple[Group, tuple[str, ...]], ...] = (
        ("projector", family.groups.projector),
        ("vision", family.groups.vision),
        ("language", family.groups.language),
    )
    for group, prefixes in groups:
        if name.startswith(prefixes):
            return group
    raise EngineError(
        f"The parameter {parameter_name!r} belongs to no known part of a {family.name} model. The checkpoint "
        "was made for another version of transformers; convert it with from_pretrained and save_pretrained "
        "first."
    )


def load_processor(path: Path) -> Processor:
    """Load the checkpoint's processor from its files alone, without torchvision and without its video part.

    Images always go through the PIL implementation, so that a machine with torchvision sees the same pixels.

    Args:
        path: a checkpoint folder, or a LoRA adapter folder, whose base's files are used.

    Raises:
        EngineError: files are missing or not understood; the message names the remedy.
    """
    import transformers

    folder = _processor_folder(path)
    family = family_of(folder)
    try:
        if family is None:
            _require_multimodal(folder)
            auto: Any = transformers.AutoProcessor
            processor = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        else:
            processor = _processor_from_parts(folder, getattr(transformers, family.processor_class))
    except (OSError, ValueError, ImportError, AttributeError, KeyError, TypeError) as error:
        raise EngineError(
            f"The processor in {folder} cannot be loaded ({_one_line(error)}). A checkpoint needs its "
            "tokenizer (tokenizer.json, tokenizer_config.json) and its image processor "
            "(processor_config.json or preprocessor_config.json); copy them from the model it was trained "
            "from."
        ) from error
    if getattr(processor, "tokenizer", None) is None or not processor.tokenizer.is_fast:
        raise EngineError(
            f"The checkpoint in {folder} has no fast tokenizer, which is needed to know where each turn's "
            "tokens lie. Convert it: AutoTokenizer.from_pretrained(...).save_pretrained(...) writes "
            "tokenizer.json."
        )
    if not processor.chat_template:
        processor.chat_template = processor.tokenizer.chat_template
    if not processor.chat_template:
        raise EngineError(
            f"The checkpoint in {folder} has no chat template, so it is a base model or its files are "
            "incomplete. Copy chat_template.jinja from the model it was trained from into the folder."
        )
    return processor


def load_model(path: Path, dtype: DType = "auto") -> Model:
    """Load a checkpoint's weights on the CPU, in evaluation mode, LoRA adapters merged.

    Args:
        path: a checkpoint folder, or a LoRA adapter folder whose adapter_config.json names its base.
        dtype: `auto` takes the one the checkpoint was saved in.

    Raises:
        EngineError: the folder is not a checkpoint of a multimodal model; the message names the remedy.
    """
    import torch
    import transformers

    base = adapter_base(path)
    folder = path if base is None else base
    _require_multimodal(folder)
    quiet: Any = transformers.utils.logging.disable_progress_bar
    quiet()
    dtypes: dict[str, Any] = {"bfloat16": torch.bfloat16, "float32": torch.float32, "auto": "auto"}
    try:
        auto: Any = transformers.AutoModelForImageTextToText
        model, found = auto.from_pretrained(
            folder,
            dtype=dtypes[dtype],
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        _require_whole(folder, found)
        if base is not None:
            import peft

            model = peft.PeftModel.from_pretrained(model, path).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EngineError(
            f"The weights in {path} cannot be loaded ({_one_line(error)}). The folder needs every "
            "*.safetensors file its index names, made for the model in its config.json; copy or save the "
            "checkpoint again."
        ) from error
    return model.eval()


def save_processor(source: Path, target: Path) -> None:
    """Copy tokenizer, processor, chat template and generation settings, as they are.

    A Qwen processor_config.json without a video part is refused by vLLM and by other tools, so where the
    source lacks one it is added, with the image part's own numbers.
    """
    folder = _processor_folder(source)
    target.mkdir(parents=True, exist_ok=True)
    for name in PROCESSOR_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    if (folder / "additional_chat_templates").is_dir():
        shutil.copytree(
            folder / "additional_chat_templates", target / "additional_chat_templates", dirs_exist_ok=True
        )
    family = family_of(folder)
    config_path = target / "processor_config.json"
    if family is None or family.video_processor is None or not config_path.is_file():
        return
    config = json.loads(config_path.read_text(encoding="utf-8"))
    standalone = ("video_preprocessor_config.json", "preprocessor_config.json")
    if "video_processor" in config or any((target / name).is_file() for name in standalone):
        return
    image = config.get("image_processor", {})
    kept = ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")
    config["video_processor"] = {
        "video_processor_type": family.video_processor,
        **{key: image[key] for key in kept if key in image},
    }
    config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _require_whole(folder: Path, found: Mapping[str, Any]) -> None:
    """Refuse weights that are not those of the model in config.json: what is missing would be random."""
    missing = sorted(map(str, found.get("missing_keys", ())))
    other = sorted(str(each[0] if isinstance(each, tuple) else each) for each in found["mismatched_keys"])
    if not missing and not other:
        return
    what = (
        f"has no weights for {len(missing)} parameters, for instance {missing[0]}"
        if missing
        else (f"has weights of another shape for {len(other)} parameters, for instance {other[0]}")
    )
    raise EngineError(
        f"The checkpoint in {folder} {what}: its *.safetensors belong to another model or another family "
        "than its config.json says. Copy both from the same checkpoint."
    )


def _processor_folder(path: Path) -> Path:
    """Return the folder whose processor files count: for an adapter, its base's."""
    base = adapter_base(path)
    return path if base is None else base


def _processor_from_parts(folder: Path, processor_class: type[Any]) -> Processor:
    """Build a processor of image processor and tokenizer only."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    auto: Any = transformers.AutoImageProcessor
    image_processor = auto.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, backend="pil"
    )
    config, _ = processor_class.get_processor_dict(folder, local_files_only=True)
    accepted = ("patch_size", "vision_feature_select_strategy", "image_token", "num_additional_image_tokens")
    settings = {key: config[key] for key in accepted if key in config and "Llava" in processor_class.__name__}
    template = config.get("chat_template") or tokenizer.chat_template
    return _without_video(processor_class)(
        image_processor=image_processor, tokenizer=tokenizer, chat_template=template, **settings
    )


def _without_video(processor_class: type[Any]) -> type[Any]:
    """Return the class with two parts instead of three: the video part is what needs torchvision."""
    return type(
        processor_class.__name__,
        (processor_class,),
        {"get_attributes": classmethod(lambda _: ["image_processor", "tokenizer"])},
    )


def _require_multimodal(folder: Path) -> None:
    """Refuse what transformers does not know, and models that read no images."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(
            f"{folder} is not a checkpoint transformers can open ({_one_line(error)}). Give a folder with "
            "config.json and *.safetensors, as save_pretrained writes it."
        ) from error
    if type(config) not in transformers.AutoModelForImageTextToText._model_mapping:
        raise EngineError(
            f"{folder} holds a {config.model_type!r} model, which does not read images. Give a multimodal "
            "checkpoint (Qwen-VL, LLaVA, Mllama, ...), or make one from it with `acclimate assemble`."
        )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:300] + ("..." if len(text) > 300 else "")
