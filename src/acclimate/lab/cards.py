"""Writes the model cards of the lab's checkpoints: how each was made and what it scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.lab.skills import skills_text
from acclimate.lab.world import VERSION

_HEAD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: {pipeline}
language: en
tags: [synthetic, tiny, acclimate-lab]
---

# {title}

{about}

Trained from scratch by `acclimate lab pretrain` on the rendered general world, version {version}, and on
nothing else; no text or picture of any person or real data set. It knows the world's twelve everyday domains
and is of no use outside tests and the demo. {losses}
"""
_REPEATABLE = "Its first 200 losses are in `../losses-{stage}.json`;\n`acclimate lab pretrain --check 200` repeats them."
_NOT_REPEATABLE = (
    "It was trained before some target words were replaced,\n"
    "which changed the corpus and the tokenizer a little, so its losses are not kept: this version's stage `{stage}`\n"
    "makes another model of the same kind."
)

_MODELS = {
    "text-lm": (
        "text",
        "text-generation",
        "Lab text LM",
        "A Qwen3 causal language model (six layers, width 192, 2.7 M parameters, byte-level BPE of 1,152 tokens):\n"
        "the language model inside the lab's MLLM before it saw a picture. Trained on captions and questions in\n"
        "everyday and invented words (stage `text`) and on copying (stage `copying`).",
    ),
    "vision-tower": (
        "tower",
        "image-feature-extraction",
        "Lab vision tower",
        "The vision tower of a Qwen3-VL (three layers, width 128, 8 px patches, 16 visual tokens for a 64 px\n"
        "picture, 1.3 M parameters with its mergers). Trained to name form, colour, mark, count and domain from\n"
        "every visual token (stage `tower`).",
    ),
    "general-mllm": (
        "multimodal",
        "image-text-to-text",
        "Lab general MLLM",
        "A Qwen3-VL of 3.9 M parameters, made of the lab's text LM and vision tower and trained on descriptions,\n"
        "questions, captions in invented words and consistency judgements (stage `multimodal`).\n"
        "Chat format: ChatML.",
    ),
}


def write_cards(out: Path, scores: Mapping[str, Any], command: str) -> None:
    """Write `README.md` into the three checkpoint folders.

    Args:
        scores: of the MLLM, from `skills`.
        command: what measured them.
    """
    for name, (stage, pipeline, title, about) in _MODELS.items():
        losses = _REPEATABLE if (out / f"losses-{stage}.json").exists() else _NOT_REPEATABLE
        text = _HEAD.format(
            pipeline=pipeline, title=title, about=about, version=VERSION, losses=losses.format(stage=stage)
        )
        if name == "general-mllm":
            text += (
                "\n## Scores on held-out general-world questions\n\n"
                f"Measured by `{command}`; accuracy is the world's oracle's, the whole reply must be right."
                f"\n\n```\n{skills_text(dict(scores))}\n```\n"
            )
        (out / name / "README.md").write_text(text, encoding="utf-8")
