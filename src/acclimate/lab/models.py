"""Builds the lab's tokenizer, configurations and checkpoint folders: mainstream shapes, small sizes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
VOCABULARY_SIZE = 1152
PATCH_PX = 8
MERGE = 2
N_IMAGE_TOKENS = 16

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' or 'image' in part %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% elif 'text' in part %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML with Qwen's vision markers, written for the lab; the tokens and layout are the family's own."""

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The family's pre-tokenisation pattern (an interop constant of Qwen2's tokenizer)."""


def train_tokenizer(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer of `VOCABULARY_SIZE` tokens; any Unicode text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        model_max_length=2048,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Return the id of a special token."""
    return int(str(tokenizer.convert_tokens_to_ids(token)))


def _text_shape(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 32,
        "max_position_embeddings": 2048,
        "bos_token_id": None,
        "eos_token_id": token_id(tokenizer, "<|im_end|>"),
        "pad_token_id": token_id(tokenizer, "<|endoftext|>"),
        "tie_word_embeddings": True,
    }


def multimodal_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    """Return the lab's Qwen3-VL shape: 64 px pictures become 16 visual tokens."""
    ids = {name: token_id(tokenizer, f"<|{name}|>") for name in
           ("image_pad", "video_pad", "vision_start", "vision_end")}  # fmt: skip
    return Qwen3VLConfig(
        text_config={
            **_text_shape(tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_heads": 4,
            "in_channels": 3,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "out_hidden_size": 192,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [1],
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )


def multimodal_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3VLForConditionalGeneration:
    """Return the general MLLM with fresh weights."""
    torch.manual_seed(seed)
    return Qwen3VLForConditionalGeneration(multimodal_config(tokenizer))


def text_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Return the text-only LM: the very language model inside the MLLM, as a Qwen3."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            **_text_shape(tokenizer),
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
    )


PROCESSOR_CONFIG: dict[str, Any] = {
    "processor_class": "Qwen3VLProcessor",
    "image_processor": {
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "merge_size": MERGE,
        "patch_size": PATCH_PX,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 64 * 64, "shortest_edge": 32 * 32},
        "temporal_patch_size": 2,
    },
    "video_processor": {
        "video_processor_type": "Qwen3VLVideoProcessor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "merge_size": MERGE,
        "patch_size": PATCH_PX,
        "size": {"longest_edge": 64 * 64 * 16, "shortest_edge": 32 * 32},
        "temporal_patch_size": 2,
    },
}
"""Complete, video block included, so that plain transformers, vLLM and LLaMA-Factory take the folder as it
is."""


def _generation_config(tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    end, pad = (token_id(tokenizer, t) for t in ("<|im_end|>", "<|endoftext|>"))
    return GenerationConfig(do_sample=False, eos_token_id=[end, pad], pad_token_id=pad)


def _stored(module: Any) -> Any:  # noqa: ANN401
    return module.to(torch.bfloat16)


def save_multimodal(
    model: Qwen3VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path
) -> None:
    """Write the MLLM in bfloat16 with everything a client needs to load it."""
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config = _generation_config(tokenizer)
    _stored(model).save_pretrained(out)
    save_tokenizer(tokenizer, out)
    (out / "processor_config.json").write_text(json.dumps(PROCESSOR_CONFIG, indent=2, sort_keys=True) + "\n")
    (out / "preprocessor_config.json").write_text(
        json.dumps(
            PROCESSOR_CONFIG["image_processor"] | {"processor_class": "Qwen3VLProcessor"},
            indent=2,
            sort_keys=True,
        )
        + "\n"
    )
    (out / "video_preprocessor_config.json").write_text(
        json.dumps(PROCESSOR_CONFIG["video_processor"], indent=2, sort_keys=True) + "\n"
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the tokenizer under the family's class name, with the chat template beside it."""
    tokenizer.save_pretrained(out)
    path = out / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config.pop("chat_template", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def save_text(model: Qwen3VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the language model inside the MLLM as a text-only Qwen3 checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    language = text_model(tokenizer)
    language.model.load_state_dict(model.model.language_model.state_dict(), strict=False)
    language.tie_weights()
    language.generation_config = _generation_config(tokenizer)
    _stored(language).save_pretrained(out)
    save_tokenizer(tokenizer, out)


def save_tower(model: Qwen3VLForConditionalGeneration, out: Path) -> None:
    """Write the vision tower (with its mergers) alone."""
    out.mkdir(parents=True, exist_ok=True)
    _stored(model.model.visual).save_pretrained(out)
    (out / "preprocessor_config.json").write_text(
        json.dumps(PROCESSOR_CONFIG["image_processor"], indent=2, sort_keys=True) + "\n"
    )
