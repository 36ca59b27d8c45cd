"""Turning a rendered conversation and its images into what the model's forward takes.

The rendered text is tokenised once, with offsets, and each image's placeholder token is then repeated as
often as the family's processor repeats it. So offsets stay those of `Rendered.text`, and a turn's tokens are
found by comparing them with the turn's span.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from acclimate.engines.render import Processor, Rendered
from acclimate.errors import EngineError

# Inputs with one entry per token: they are padded together with input_ids, on the side the tokens are.
PER_TOKEN_INPUTS = ("mm_token_type_ids", "token_type_ids", "cross_attention_mask")


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """The images of one row, preprocessed."""

    tensors: Mapping[str, Tensor]
    """What the model's forward takes, by name."""
    n_tokens: tuple[int, ...]
    """Visual tokens of each image in the text."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation as the model reads it: a row of a batch to come."""

    input_ids: list[int]
    offsets: list[tuple[int, int]]
    """Of each token, in characters of `Rendered.text`. Every token of an image has an empty span where its
    placeholder begins, so that it is no part of any text; a token the tokenizer adds by itself (beginning of
    text) has (0, 0)."""
    model_inputs: dict[str, Tensor]
    """Everything else the forward takes (pixel_values, image_grid_thw, mm_token_type_ids, ...), as the
    family's processor gives it for one row; without input_ids and attention_mask."""


def preprocess_image(processor: Processor, images: Sequence[Image.Image]) -> ImageInputs:
    """Preprocess the images of one row, all together, with the checkpoint's own image processor.

    Args:
        images: 0 or more; RGB.

    Raises:
        EngineError: the processor refuses an image, or does not say how many tokens it takes.
    """
    if not images:
        return ImageInputs({}, ())
    is_nested = type(processor).__name__ == "MllamaProcessor"
    try:
        inputs = dict(
            processor.image_processor([list(images)] if is_nested else list(images), return_tensors="pt")
        )
        replaced = [processor.replace_image_token(inputs, image_idx=index) for index in range(len(images))]
    except NotImplementedError as error:
        raise EngineError(
            f"The processor {type(processor).__name__} does not say how many tokens an image takes, so its "
            "family cannot be used. Use a checkpoint of a supported family: Qwen-VL, LLaVA, Mllama."
        ) from error
    except ValueError as error:
        raise refusal([image.size for image in images], error) from error
    unused = set(getattr(processor, "unused_input_names", ()))
    tensors = {name: value for name, value in inputs.items() if name not in unused}
    if is_nested:
        tensors["num_tiles"] = torch.as_tensor(inputs["num_tiles"])
    return ImageInputs(tensors, tuple(len(text) // len(processor.image_token) for text in replaced))


def refusal(sizes: Sequence[tuple[int, int]], error: ValueError) -> EngineError:
    """Return the error for images that the image processor does not take.

    Args:
        sizes: width and height of the row's images, in pixels.
        error: what the processor said.
    """
    pixels = ", ".join(f"{width}x{height}" for width, height in sizes)
    return EngineError(
        f"The checkpoint's image processor refuses an image ({pixels} pixels: {error}). Leave the image "
        "out or crop it."
    )


def encode(
    processor: Processor,
    rendered: Rendered,
    images: Sequence[Image.Image],
    preprocessed: ImageInputs | None = None,
) -> Encoded:
    """Tokenise a rendered conversation, with its images.

    Args:
        images: as many as `rendered.n_images`, in order.
        preprocessed: what `preprocess_image` made of the same images, to save doing it again.

    Raises:
        EngineError: the number of images does not fit, or the processor refuses one.
    """
    vision = preprocess_image(processor, images) if preprocessed is None else preprocessed
    if len(vision.n_tokens) != rendered.n_images:
        raise EngineError(
            f"A conversation has places for {rendered.n_images} images and {len(vision.n_tokens)} were "
            "given. Give each its own."
        )
    tokenizer = processor.tokenizer
    bos = tokenizer.bos_token
    adds_special = bos is None or not rendered.text.startswith(bos)
    encoding = tokenizer.backend_tokenizer.encode(rendered.text, add_special_tokens=adds_special)
    ids: list[int] = encoding.ids
    offsets: list[tuple[int, int]] = encoding.offsets
    if vision.n_tokens:
        ids, offsets = _expanded(ids, offsets, processor.image_token_id, vision.n_tokens)
    return Encoded(ids, offsets, model_inputs(processor, ids, vision))


def model_inputs(processor: Processor, ids: Sequence[int], vision: ImageInputs) -> dict[str, Tensor]:
    """Return what a row's forward takes beside its tokens; see `Encoded.model_inputs`.

    Args:
        ids: the row's tokens, with every picture's repeated.
    """
    inputs = dict(vision.tensors)
    if "mm_token_type_ids" in _input_names(processor):
        is_image = np.asarray(ids, dtype=np.int64) == processor.image_token_id
        inputs["mm_token_type_ids"] = torch.from_numpy(is_image.astype(np.int64))[None]
    num_tiles = inputs.pop("num_tiles", None)
    if num_tiles is not None:
        inputs["cross_attention_mask"] = _cross_attention_mask(processor, ids, num_tiles[0].tolist())
    return inputs


def collate_rows(
    rows: Sequence[Encoded],
    *,
    pad_id: int,
    length: int | None = None,
    side: Literal["left", "right"] = "right",
) -> dict[str, Tensor]:
    """Put rows into one batch.

    Args:
        rows: 1 to B rows. Rows with and without images may be mixed, but for Mllama, whose rows must all have
            the same number of images.
        length: tokens to pad to; None takes the longest row's.
        side: where padding goes.

    Returns:
        input_ids and attention_mask (B, T) int64, per-token inputs padded with 0 on the same side, and the
        rows' images one after another, (P, ...) in row order.
    """
    longest = max(len(row.input_ids) for row in rows)
    width = longest if length is None else length
    if width < longest:
        raise EngineError(
            f"A row has {longest} tokens and the batch {width}. Leave out or cut what is longer."
        )
    input_ids = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros((len(rows), width), dtype=torch.int64)
    places: list[slice] = []
    for index, row in enumerate(rows):
        n_tokens = len(row.input_ids)
        place = slice(width - n_tokens, width) if side == "left" else slice(0, n_tokens)
        places.append(place)
        input_ids[index, place] = torch.tensor(row.input_ids)
        attention_mask[index, place] = 1
    batch = {"input_ids": input_ids, "attention_mask": attention_mask}
    names = sorted({name for row in rows for name in row.model_inputs})
    if "cross_attention_mask" in names and len({len(row.model_inputs) for row in rows}) > 1:
        raise EngineError("A Mllama batch cannot mix rows with and without images. Batch them apart.")
    for name in names:
        tensors = [row.model_inputs[name] for row in rows if name in row.model_inputs]
        if name not in PER_TOKEN_INPUTS:
            batch[name] = joined(tensors)
            continue
        padded = torch.zeros((len(rows), width, *tensors[0].shape[2:]), dtype=tensors[0].dtype)
        for index, row in enumerate(rows):
            if name in row.model_inputs:
                padded[index, places[index]] = row.model_inputs[name][0]
        batch[name] = padded
    return batch


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the first dimension; LLaVA-NeXT's images with fewer tiles are padded with empty ones."""
    if tensors[0].dim() > 2:
        most = max(tensor.shape[1] for tensor in tensors)
        if any(tensor.shape[1] != most for tensor in tensors):
            tensors = [
                torch.cat(
                    [tensor, tensor.new_zeros((tensor.shape[0], most - tensor.shape[1], *tensor.shape[2:]))],
                    dim=1,
                )
                for tensor in tensors
            ]
    return torch.cat(list(tensors), dim=0)


def _expanded(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], image_id: int, n_tokens: Sequence[int]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Repeat each image's placeholder."""
    expanded_ids: list[int] = []
    expanded_offsets: list[tuple[int, int]] = []
    start = 0
    for count in n_tokens:
        try:
            at = ids.index(image_id, start)
        except ValueError as error:
            raise EngineError(
                "The chat template wrote fewer image places than there are images. Use the family's own "
                "template."
            ) from error
        expanded_ids += ids[start:at]
        expanded_ids += [image_id] * count
        expanded_offsets += offsets[start:at]
        expanded_offsets += [(offsets[at][0], offsets[at][0])] * count
        start = at + 1
    expanded_ids += ids[start:]
    expanded_offsets += offsets[start:]
    return expanded_ids, expanded_offsets


def _input_names(processor: Processor) -> frozenset[str]:
    """Return the processor's input names; asked once, because it asks its parts each time."""
    found = getattr(processor, "_acclimate_input_names", None)
    if not isinstance(found, frozenset):
        found = frozenset(processor.model_input_names)
        processor._acclimate_input_names = found
    return found


def _cross_attention_mask(processor: Processor, ids: Sequence[int], num_tiles: Sequence[int]) -> Tensor:
    """Say which tokens see which tiles of which image, (1, T, images, tiles).

    An image is seen from its token up to the next image's; images that stand together are seen up to the end
    of the last one's reach. Source: Mllama's processor in transformers, with which a test compares it.
    """
    places = [index for index, token in enumerate(ids) if token == processor.image_token_id]
    ends = [*places[1:], len(ids)]
    for index in range(len(places) - 2, -1, -1):
        if ends[index] == places[index] + 1:
            ends[index] = ends[index + 1]
    mask = torch.zeros(
        (1, len(ids), len(places), processor.image_processor.max_image_tiles), dtype=torch.int64
    )
    for index, (start, end) in enumerate(zip(places, ends, strict=True)):
        mask[0, start:end, index, : num_tiles[index]] = 1
    return mask
