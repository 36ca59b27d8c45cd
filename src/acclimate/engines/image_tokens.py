"""How many visual tokens pictures take, told from their sizes alone.

Rows are measured before training, and a picture's size stands in its file's first bytes: nothing needs to be
decoded, resized and normalised for a count. The counts come from the family's own processor. Before they
are trusted they are compared, once per processor, with what two small blank pictures really take; where the
two differ, or the family is not known, there is no count and the caller preprocesses the pictures instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from PIL import Image

from acclimate.engines.encode import preprocess_image, refusal
from acclimate.engines.render import Processor
from acclimate.errors import EngineError

Size: TypeAlias = tuple[int, int]
"""Width and height, in pixels."""

_BY_SIZE = ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor", "LlavaNextProcessor")
"""Their processors count the tokens of a size."""
_ALIKE = ("LlavaProcessor", "MllamaProcessor")
"""Every picture takes the same number of tokens."""
_PROBES: tuple[Size, ...] = ((75, 43), (38, 120))
"""Blank pictures whose real counts the told ones are compared with."""
_SETTINGS = ("size", "crop_size", "do_resize", "do_center_crop", "do_pad", "patch_size", "merge_size")
"""What in an image processor decides how many tokens a picture takes."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one processor's pictures are counted, as it was set when the rule was found."""

    settings: tuple[str, ...]
    kind: Literal["by_size", "alike", "unknown"]
    n_tokens: int = 0
    """Of every picture, where all are alike."""


def image_tokens(processor: Processor, sizes: Sequence[Size]) -> tuple[int, ...] | None:
    """Return how many visual tokens each of a row's pictures takes in the text.

    Args:
        processor: from `load_processor`.
        sizes: width and height of the pictures, in pixels.

    Returns:
        As `preprocess_image` would, `n_tokens`; None where only preprocessing can tell.

    Raises:
        EngineError: the image processor refuses a picture of one of the sizes; as `preprocess_image`.
    """
    if not sizes:
        return ()
    rule = _rule(processor)
    if rule.kind == "unknown":
        return None
    if rule.kind == "alike":
        return (rule.n_tokens,) * len(sizes)
    return _by_size(processor, sizes)


def _by_size(processor: Processor, sizes: Sequence[Size]) -> tuple[int, ...]:
    try:
        told = processor._get_num_multimodal_tokens(image_sizes=[(height, width) for width, height in sizes])
    except ValueError as error:
        raise refusal(sizes, error) from error
    return tuple(int(count) for count in told["num_image_tokens"])


def _rule(processor: Processor) -> _Rule:
    """Return how the processor's pictures are counted; found anew when it has been set differently."""
    settings = tuple(repr(getattr(processor.image_processor, name, None)) for name in _SETTINGS)
    found = getattr(processor, "_acclimate_image_tokens", None)
    if not isinstance(found, _Rule) or found.settings != settings:
        found = processor._acclimate_image_tokens = _found_rule(processor, settings)
    return found


def _found_rule(processor: Processor, settings: tuple[str, ...]) -> _Rule:
    name = type(processor).__name__
    unknown = _Rule(settings, "unknown")
    if name not in (*_BY_SIZE, *_ALIKE) or (name == "LlavaProcessor" and not _makes_one_shape(processor)):
        return unknown
    try:
        real = tuple(preprocess_image(processor, [Image.new("RGB", size)]).n_tokens[0] for size in _PROBES)
        if name in _ALIKE:
            return _Rule(settings, "alike", real[0]) if len(set(real)) == 1 else unknown
        return _Rule(settings, "by_size") if _by_size(processor, _PROBES) == real else unknown
    except (EngineError, AttributeError, KeyError, TypeError):
        return unknown  # this version of transformers does not tell


def _makes_one_shape(processor: Processor) -> bool:
    """Say whether a LLaVA-1.5 image processor gives pictures of any size the same shape."""
    image_processor = processor.image_processor
    size = image_processor.size
    squeezes = image_processor.do_resize and bool(size.get("height")) and bool(size.get("width"))
    return bool(getattr(image_processor, "do_center_crop", False)) or squeezes
