"""Tiny random parts of a multimodal model: language models and vision encoders, as they are published.

Each builder writes a complete folder of one part (weights, configuration, tokenizer or image processor), from
which `acclimate assemble` makes a model. See `tiny_models` for whole models.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

_TEXTS = (
    "the cell at the top left is stained red and the one beside it is blue",
    "How many round cells are there? Answer with a precise response. There are three round cells.",
    "USER: Describe the image. ASSISTANT: a plate with two green beans and a slice of bread",
    "user assistant system Yes No Open\n1 2 3 4 5 6 7 8 9 0",
)

CHATML = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{% set messages = messages[1:] %}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' }}{{ '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""A text model's own template: it takes texts alone, takes the system turn out of the list, and strips."""


def tiny_llama_lm(path: Path, *, seed: int = 0, licence: str | None = "apache-2.0") -> Path:
    """Write a Llama: a base model without chat template or padding token, with a head of its own."""
    tokenizer = _byte_tokenizer(("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    _save(path, transformers.LlamaForCausalLM(config), licence)
    tokenizer.save_pretrained(path)
    return path


def tiny_qwen2_lm(path: Path, *, seed: int = 0, licence: str | None = "apache-2.0") -> Path:
    """Write a Qwen2 chat model: own template, tied head, more embedding rows than tokens, in bfloat16."""
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer = _byte_tokenizer(special, bos=None, eos="<|im_end|>", pad="<|endoftext|>")
    tokenizer.chat_template = CHATML
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer) + 5,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = transformers.Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id], pad_token_id=tokenizer.pad_token_id
    )
    _save(path, model, licence)
    tokenizer.save_pretrained(path)
    return path


def tiny_clip_vision(path: Path, *, whole: bool = True, seed: int = 1, licence: str | None = "mit") -> Path:
    """Write a CLIP of 32 px and 8 px patches (16 patches and a class token), or its vision model alone."""
    vision = {**_VISION, "projection_dim": 16}
    torch.manual_seed(seed)
    if whole:
        text = {**_TEXT, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        config: Any = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        _save(path, transformers.CLIPModel(config), licence)
    else:
        _save(path, transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**vision)), licence)
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(path)
    return path


def tiny_siglip_vision(
    path: Path, *, whole: bool = True, seed: int = 1, licence: str | None = "apache-2.0"
) -> Path:
    """Write a SigLIP of 32 px and 8 px patches (16 tokens), or its vision model alone; both have a head."""
    torch.manual_seed(seed)
    if whole:
        text = {**_TEXT, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "projection_size": 32}
        config: Any = transformers.SiglipConfig(text_config=text, vision_config=_VISION)
        _save(path, transformers.SiglipModel(config), licence)
    else:
        _save(path, transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**_VISION)), licence)
    transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


_VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
_TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
}


def _byte_tokenizer(special: tuple[str, ...], *, bos: str | None, eos: str, pad: str | None = None) -> Any:
    """Return a byte-level tokenizer; one with a beginning-of-text token adds it by itself, as Llama's do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    if bos is not None:
        from tokenizers.processors import TemplateProcessing

        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=pad, model_max_length=512
    )


def _save(path: Path, model: Any, licence: str | None) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)  # at the usual scale a random model's choices are near ties
    model.save_pretrained(path)
    if licence is not None:
        head = f"---\nlicense: {licence}\n---\n"
        (path / "README.md").write_text(f"{head}\n# Tiny {type(model).__name__}\n", encoding="utf-8")
