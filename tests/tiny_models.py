"""Tiny random checkpoints of real architectures, for tests: a few kilobytes, made from configs.

Each builder writes a complete folder (config, safetensors, tokenizer, chat template, processor and generation
settings) that `load_processor`, `load_model`, plain transformers and the train room open without torchvision.
Chat templates are written here, in the layout of the family's own (ChatML with vision marks for Qwen,
`USER:` and `ASSISTANT:` for LLaVA-1.5, headers and <|eot_id|> for Llama 3.2 Vision). `published` gives a
checkpoint the family's real template from `chat_templates/` and its real special tokens instead.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

_TEXTS = (
    "the cell at the top left is stained red and the one beside it is blue",
    "How many round cells are there? Answer with a precise response. There are three round cells.",
    "USER: Describe the image. ASSISTANT: a plate with two green beans and a slice of bread",
    "user assistant system Yes No Open\n1 2 3 4 5 6 7 8 9 0",
)

_QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# The special tokens of the published checkpoints, in their order: interop constants, as the templates are.
_QWEN2_VL_TOKENS = (
    *_QWEN_SPECIAL[:3],
    *(f"<|{name}_{end}|>" for name in ("object_ref", "box", "quad") for end in ("start", "end")),
    *_QWEN_SPECIAL[3:],
)
_QWEN2_5_VL_TOKENS = (
    *_QWEN2_VL_TOKENS,
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>"),
)
_QWEN3_VL_TOKENS = (*_QWEN2_5_VL_TOKENS, "<tool_response>", "</tool_response>", "<think>", "</think>")
_LLAMA3_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>"),
    *("<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>"),
    *("<|eot_id|>", "<|python_tag|>"),
)
_YI_TOKENS = ("<unk>", "<|startoftext|>", "<|endoftext|>")
_PLAIN = frozenset(_QWEN3_VL_TOKENS) - frozenset(_QWEN2_VL_TOKENS)
"""Added tokens that are not special."""

_QWEN_TEMPLATE = (
    "{% for message in messages %}"
    "SYSTEM"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_QWEN2_SYSTEM = (
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
)

_LLAVA_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

_MLLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<|image|>' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] | trim }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def tiny_qwen3_vl(
    path: Path,
    *,
    hidden_size: int = 32,
    n_layers: int = 2,
    n_heads: int = 4,
    n_kv_heads: int = 2,
    vocab_size: int = 320,
    seed: int = 0,
    tokens: tuple[str, ...] = _QWEN_SPECIAL,
) -> Path:
    """Write a Qwen3-VL checkpoint; 64 x 64 pictures give 16 visual tokens."""
    tokenizer = _byte_tokenizer(tokens, vocab_size)
    head = hidden_size // n_heads
    config = transformers.Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden_size,
            "intermediate_size": hidden_size * 3,
            "num_hidden_layers": n_layers,
            "num_attention_heads": n_heads,
            "num_key_value_heads": n_kv_heads,
            "head_dim": head,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": _sections(head),
                "mrope_interleaved": True,
            },
            **_ends(tokenizer),
        },
        vision_config={
            "depth": 2,
            "hidden_size": hidden_size,
            "intermediate_size": hidden_size * 2,
            "num_heads": 4,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": hidden_size,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        tie_word_embeddings=True,
        **_qwen_ids(tokenizer),
    )
    torch.manual_seed(seed)
    _save(
        path,
        transformers.Qwen3VLForConditionalGeneration(config),
        tokenizer,
        _QWEN_TEMPLATE.replace("SYSTEM", ""),
    )
    _qwen_processor(path, "Qwen3VL", mean=0.5, std=0.5)
    return path


def tiny_qwen2_vl(path: Path, *, seed: int = 0, tokens: tuple[str, ...] = _QWEN_SPECIAL) -> Path:
    """Write a Qwen2-VL checkpoint, whose template adds a system message of its own."""
    tokenizer = _byte_tokenizer(tokens, 320)
    config = transformers.Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": _sections(8)},
            **_ends(tokenizer),
        },
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 4,
            "mlp_ratio": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        tie_word_embeddings=True,
        **_qwen_ids(tokenizer),
    )
    torch.manual_seed(seed)
    model = transformers.Qwen2VLForConditionalGeneration(config)
    _save(path, model, tokenizer, _QWEN_TEMPLATE.replace("SYSTEM", _QWEN2_SYSTEM))
    _qwen_processor(path, "Qwen2VL", mean=0.5, std=0.25)
    return path


def tiny_qwen2_5_vl(path: Path, *, seed: int = 0, tokens: tuple[str, ...] = _QWEN_SPECIAL) -> Path:
    """Write a Qwen2.5-VL checkpoint: windowed attention in the tower."""
    tokenizer = _byte_tokenizer(tokens, 320)
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": _sections(8)},
            **_ends(tokenizer),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        tie_word_embeddings=True,
        **_qwen_ids(tokenizer),
    )
    torch.manual_seed(seed)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    _save(path, model, tokenizer, _QWEN_TEMPLATE.replace("SYSTEM", _QWEN2_SYSTEM))
    _qwen_processor(path, "Qwen2_5_VL", mean=0.5, std=0.25, video="Qwen2VLVideoProcessor")
    return path


def tiny_llava_next(path: Path, *, seed: int = 0, tokenizer: Any = None) -> Path:
    """Write a LLaVA-NeXT checkpoint: as LLaVA-1.5, with pictures cut into tiles."""
    tokenizer = _sentencepiece_tokenizer() if tokenizer is None else tokenizer
    parts = _llava_parts(tokenizer)
    config = transformers.LlavaNextConfig(**parts, image_grid_pinpoints=[[32, 64], [64, 32], [64, 64]])
    torch.manual_seed(seed)
    _save(path, transformers.LlavaNextForConditionalGeneration(config), tokenizer, _LLAVA_TEMPLATE)
    processor = _llava_processor("LlavaNext")
    processor["image_processor"]["image_grid_pinpoints"] = [[32, 64], [64, 32], [64, 64]]
    _write_json(path / "processor_config.json", processor)
    return path


def tiny_llava(path: Path, *, seed: int = 0, tokenizer: Any = None) -> Path:
    """Write a LLaVA-1.5 checkpoint: CLIP, projector, Llama; every picture gives 16 visual tokens."""
    tokenizer = _sentencepiece_tokenizer() if tokenizer is None else tokenizer
    config = transformers.LlavaConfig(**_llava_parts(tokenizer), image_seq_length=16)
    torch.manual_seed(seed)
    _save(path, transformers.LlavaForConditionalGeneration(config), tokenizer, _LLAVA_TEMPLATE)
    _write_json(path / "processor_config.json", _llava_processor("Llava"))
    return path


def tiny_mllama(path: Path, *, seed: int = 0, tokenizer: Any = None) -> Path:
    """Write a Mllama (Llama 3.2 Vision) checkpoint: images are read by cross attention, not as tokens."""
    special = (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|finetune_right_pad_id|>",
        "<|python_tag|>",
    )
    if tokenizer is None:
        tokenizer = _byte_tokenizer(
            special, 320, bos="<|begin_of_text|>", eos="<|eot_id|>", pad="<|finetune_right_pad_id|>"
        )
    n_text = len(tokenizer)
    # As in the published checkpoints, the image token's id is the first after the output vocabulary.
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    config = transformers.MllamaConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 4,
            "image_size": 32,
            "patch_size": 8,
            "max_num_tiles": 4,
            "vision_output_dim": 64,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
        },
        text_config={
            "vocab_size": n_text,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "cross_attention_layers": [1],
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        image_token_index=n_text,
    )
    torch.manual_seed(seed)
    model = transformers.MllamaForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "cross_attn" in name and name.endswith("gate"):
                parameter.fill_(0.5)  # at their initial 0 the image would not be read at all
    _save(path, model, tokenizer, _MLLAMA_TEMPLATE)
    _write_json(
        path / "processor_config.json",
        {
            "processor_class": "MllamaProcessor",
            "image_processor": {
                "image_processor_type": "MllamaImageProcessor",
                "do_convert_rgb": True,
                "do_normalize": True,
                "do_pad": True,
                "do_rescale": True,
                "do_resize": True,
                "max_image_tiles": 4,
                "size": {"height": 32, "width": 32},
                "resample": 2,
                "rescale_factor": 1 / 255,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.25, 0.25, 0.25],
            },
        },
    )
    return path


def with_template(path: Path, text: str) -> Path:
    """Give a checkpoint another chat template."""
    (path / "chat_template.jinja").write_text(text, encoding="utf-8")
    return path


def template(name: str) -> str:
    """Return a family's real chat template; `chat_templates/README.md` names its source."""
    return (Path(__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def published(name: str, path: Path) -> Path:
    """Write a tiny checkpoint with the real chat template of that name and its real special tokens."""
    return with_template(_BUILDERS[name](path), template(name))


def _vicuna() -> Any:
    return _sentencepiece_tokenizer(has_special_image=True)


def _yi() -> Any:
    # Without a blank before every text. Source: the Yi report, section 2.2 (arXiv 2403.04652).
    return _sentencepiece_tokenizer(
        _YI_TOKENS,
        eos="<|im_end|>",
        more=("<|im_start|>", "<|im_end|>"),
        adds_bos=False,
        adds_blank=False,
        has_special_image=True,
    )


def _llama3(*, image: str | None, pad: str) -> Any:
    tokenizer = _byte_tokenizer(
        _LLAMA3_TOKENS if image is None else (*_LLAMA3_TOKENS, image, pad),
        330,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        pad=pad,
    )
    _add_bos(tokenizer)
    return tokenizer


_BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": partial(tiny_qwen2_vl, tokens=_QWEN2_VL_TOKENS),
    "qwen2_5_vl": partial(tiny_qwen2_5_vl, tokens=_QWEN2_5_VL_TOKENS),
    "qwen3_vl": partial(tiny_qwen3_vl, tokens=_QWEN3_VL_TOKENS),
    "llava": lambda path: tiny_llava(path, tokenizer=_vicuna()),
    "llava_next_vicuna": lambda path: tiny_llava_next(path, tokenizer=_vicuna()),
    # Mistral 0.2, of which it was made, has no token of its own for [INST].
    "llava_next_mistral": lambda path: tiny_llava_next(path, tokenizer=_vicuna()),
    "llava_next_llama3": lambda path: tiny_llava_next(path, tokenizer=_llama3(image="<image>", pad="<pad>")),
    "llava_next_chatml": lambda path: tiny_llava_next(path, tokenizer=_yi()),
    "mllama": lambda path: tiny_mllama(path, tokenizer=_llama3(image=None, pad="<|finetune_right_pad_id|>")),
    "mllama_first": lambda path: tiny_mllama(
        path, tokenizer=_llama3(image=None, pad="<|finetune_right_pad_id|>")
    ),
}
PUBLISHED = tuple(_BUILDERS)
"""The real templates, by the names of their files."""


def _sections(head_size: int) -> list[int]:
    """Share a head's rotary pairs between time, height and width."""
    pairs = head_size // 2
    side = pairs // 3
    return [pairs - 2 * side, side, side]


def _byte_tokenizer(
    special: tuple[str, ...],
    vocab_size: int,
    *,
    bos: str | None = None,
    eos: str = "<|im_end|>",
    pad: str = "<|endoftext|>",
) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    # As in the published files, tokens such as <think> are whole and yet plain text.
    is_special = {text: text not in _PLAIN for text in special}
    for text, each in is_special.items():
        token = AddedToken(text, special=each, normalized=False)
        if each:
            tokenizer.add_special_tokens([token])
        else:
            tokenizer.add_tokens([token])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=pad, model_max_length=4096
    )


def _add_bos(tokenizer: Any) -> None:
    """Let the tokenizer put the beginning of text before every text, as Llama 3's does."""
    bos, bos_id = tokenizer.bos_token, tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, bos_id)]
    )


def _sentencepiece_tokenizer(
    core: tuple[str, str, str] = ("<unk>", "<s>", "</s>"),
    *,
    eos: str = "</s>",
    more: tuple[str, ...] = (),
    adds_bos: bool = True,
    adds_blank: bool = True,
    has_special_image: bool = False,
) -> Any:
    """Return a tokenizer like Llama 2's: blanks are part of words, unknown characters become bytes.

    Args:
        core: the unknown token, the beginning and the end of a text.
        more: special tokens behind the vocabulary.
        adds_blank: put a blank before every text, so that its first word is as any other.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=core[0], byte_fallback=True, fuse_unk=True))
    prefix = [normalizers.Prepend("▁")] if adds_blank else []
    strip = [decoders.Strip(" ", 1, 0)] if adds_blank else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=460,
        special_tokens=[*core, *byte_tokens],
        initial_alphabet=[] if adds_blank else ["▁"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([word for text in _TEXTS for word in text.split()], trainer)
    # The trainer registers the bytes as added tokens; as in Llama's own file, only the three are special.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in core]
    if adds_bos:
        single = [{"SpecialToken": {"id": core[1], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        state["post_processor"] = {
            "type": "TemplateProcessing",
            "single": single,
            "pair": single,
            "special_tokens": {core[1]: {"id": core[1], "ids": [1], "tokens": [core[1]]}},
        }
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in more])
    image = AddedToken("<image>", special=has_special_image, normalized=False)
    if has_special_image:
        tokenizer.add_special_tokens([image])
    else:
        tokenizer.add_tokens([image])
    tokenizer.add_special_tokens([AddedToken("<pad>", special=True, normalized=False)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=core[1],
        eos_token=eos,
        unk_token=core[0],
        pad_token="<pad>",
        model_max_length=4096,
    )


def _llava_parts(tokenizer: Any) -> dict[str, Any]:
    return {
        "vision_config": transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=32,
            patch_size=8,
            projection_dim=32,
        ),
        "text_config": transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=4096,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def _llava_processor(name: str) -> dict[str, Any]:
    return {
        "processor_class": f"{name}Processor",
        "patch_size": 8,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
        "image_token": "<image>",
        "image_processor": {
            "image_processor_type": "CLIPImageProcessor" if name == "Llava" else f"{name}ImageProcessor",
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "crop_size": {"height": 32, "width": 32},
            "size": {"shortest_edge": 32},
            "resample": 3,
            "rescale_factor": 1 / 255,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.25, 0.25, 0.25],
        },
    }


def _ends(tokenizer: Any) -> dict[str, Any]:
    return {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    return {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }


def _qwen_processor(path: Path, name: str, *, mean: float, std: float, video: str | None = None) -> None:
    image = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "patch_size": 8,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "image_mean": [mean] * 3,
        "image_std": [std] * 3,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 1024, "longest_edge": 4096},
    }
    _write_json(
        path / "processor_config.json",
        {
            "processor_class": f"{name}Processor",
            "image_processor": {**image, "image_processor_type": "Qwen2VLImageProcessor"},
            "video_processor": {**image, "video_processor_type": video or f"{name}VideoProcessor"},
        },
    )


def _save(path: Path, model: Any, tokenizer: Any, template: str) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)  # at the usual scale a random model's choices are near ties
    stops = [tokenizer.eos_token_id]
    for text in ("<|endoftext|>", "<|end_of_text|>"):
        if text in tokenizer.get_vocab():
            stops.append(tokenizer.convert_tokens_to_ids(text))
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
    )
    tokenizer.chat_template = template
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
