"""Conversations as rows of tokens, and rows as batches.

A conversation is never cut: what does not fit or teaches nothing is a rejection, found before training
starts. Rows are kept in memory up to a budget and encoded anew beyond it, which changes nothing but time.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from acclimate.engines.encode import Encoded, ImageInputs, collate_rows, encode, preprocess_image
from acclimate.engines.render import RenderError, render
from acclimate.errors import DataError, EngineError, TrainError
from acclimate.files import ImageStore
from acclimate.records import Conversation, Rejection
from acclimate.train.masks import MaskMode, token_mask, trained_spans
from acclimate.train.schedule import RowSize, Step

ROOM = "train"


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation as the model reads it."""

    id: str
    input_ids: Sequence[int]
    trained: Sequence[int]
    """One per token: 1 where the loss counts it, else 0; the first token is never counted."""
    model_inputs: Mapping[str, Tensor]
    """Images and whatever else the forward takes, for this row alone."""
    n_images: int
    n_image_tokens: int
    """Visual features the images have, one token each."""

    @property
    def n_trained(self) -> int:
        """Return how many tokens the loss counts."""
        return sum(self.trained)

    @property
    def size(self) -> RowSize:
        """Return what the schedule needs to know."""
        return RowSize(self.id, len(self.input_ids), self.n_trained, self.n_images)


@dataclass(frozen=True, slots=True)
class RowEncoder:
    """Encodes conversations with one processor, one mask and one limit."""

    processor: Any
    store: ImageStore
    mask: MaskMode
    max_tokens: int

    def encode(self, conversation: Conversation, images: ImageInputs | None = None) -> Row | Rejection:
        """Return the conversation's row, or why it has none.

        Args:
            conversation: see `Conversation`.
            images: its images if they have been preprocessed before.
        """
        if images is None:
            found = self.preprocess(conversation)
            if isinstance(found, Rejection):
                return found
            images = found
        try:
            rendered = render(
                self.processor,
                conversation.turns,
                len(conversation.images),
                end_of_text=self.mask == "continuation",
            )
            encoded = encode(self.processor, rendered, (), preprocessed=images)
        except RenderError as error:
            return _rejection(conversation, "not_renderable", str(error))
        n_tokens = len(encoded.input_ids)
        if n_tokens > self.max_tokens:
            return _rejection(
                conversation, "too_long", f"{n_tokens} tokens; at most {self.max_tokens} are trained"
            )
        flags = tuple(turn.trained for turn in conversation.turns)
        spans = trained_spans(rendered.spans, flags, len(rendered.text), self.mask)
        trained = bytearray(token_mask(rendered.text, encoded.offsets, spans))
        trained[0] = 0
        if not any(trained):
            return _rejection(conversation, "nothing_to_learn", f"no token is trained in mode {self.mask}")
        return Row(
            id=conversation.id,
            input_ids=array("i", encoded.input_ids),
            trained=bytes(trained),
            model_inputs=encoded.model_inputs,
            n_images=len(conversation.images),
            n_image_tokens=sum(images.n_tokens),
        )

    def preprocess(self, conversation: Conversation) -> ImageInputs | Rejection:
        """Return the conversation's images as the model takes them, or why it has none."""
        try:
            images = [self.store.open(ref) for ref in conversation.images]
        except (DataError, OSError) as error:
            return _rejection(conversation, "image_unreadable", str(error))
        try:
            return preprocess_image(self.processor, images)
        except EngineError as error:
            return _rejection(conversation, "image_refused", str(error))


class Rows:
    """The rows that are trained on, by position; what the cache does not hold is encoded anew."""

    def __init__(self, conversations: Iterable[Conversation], encoder: RowEncoder, cache_bytes: int) -> None:
        """Encode every conversation once."""
        self._encoder = encoder
        self._cache_bytes = cache_bytes
        self._conversations: list[Conversation] = []
        self._rows: list[Row | None] = []
        self._images: dict[tuple[str, ...], ImageInputs] = {}
        self.sizes: list[RowSize] = []
        self.rejections: list[Rejection] = []
        for conversation in conversations:
            self._take(conversation)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def __getitem__(self, position: int) -> Row:
        """Return a row, from memory or encoded anew.

        Raises:
            TrainError: an image could be read when training started and cannot be any more.
        """
        row = self._rows[position]
        if row is not None:
            return row
        again = self._encoder.encode(self._conversations[position])
        if isinstance(again, Rejection):
            raise TrainError(
                f"Conversation {again.id} could be read when training started and cannot be any more "
                f"({again.reason}: {again.detail}). Put the image back and run the same command: training "
                "goes on."
            )
        return again

    def _take(self, conversation: Conversation) -> None:
        key = tuple(image.sha256 for image in conversation.images)
        images = self._images.get(key)
        if images is None:
            found = self._encoder.preprocess(conversation)
            if isinstance(found, Rejection):
                self.rejections.append(found)
                return
            images = found
        result = self._encoder.encode(conversation, images)
        if isinstance(result, Rejection):
            self.rejections.append(result)
            return
        self._conversations.append(conversation)
        self.sizes.append(result.size)
        shared = {id(tensor) for tensor in images.tensors.values()} if key in self._images else set()
        n_bytes = 5 * len(result.input_ids) + sum(
            tensor.nbytes for tensor in result.model_inputs.values() if id(tensor) not in shared
        )
        if n_bytes <= self._cache_bytes:
            self._cache_bytes -= n_bytes
            self._images.setdefault(key, images)
            self._rows.append(result)
        else:
            self._rows.append(None)


class Steps(Dataset[dict[str, Any]]):
    """The run's optimizer steps, each with its micro-batches collated."""

    def __init__(self, rows: Rows, steps: Sequence[Step], pad_id: int, image_token_id: int) -> None:
        """Collate on demand."""
        self._rows = rows
        self._steps = steps
        self._pad_id = pad_id
        self._image_token_id = image_token_id

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(self._steps)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `micro_batches`, a list of what `collate` returns, and the ids of each one's rows."""
        batches = [[self._rows[position] for position in batch] for batch in self._steps[index].micro_batches]
        return {
            "micro_batches": [
                collate(batch, pad_id=self._pad_id, image_token_id=self._image_token_id) for batch in batches
            ],
            "ids": [[row.id for row in batch] for batch in batches],
        }


def collate(rows: Sequence[Row], *, pad_id: int, image_token_id: int) -> dict[str, Tensor]:
    """Pad rows to one batch.

    Args:
        rows: 1 to B rows with the same number of images.
        pad_id: what rows are padded with, on the right.
        image_token_id: the token an image is expanded to.

    Returns:
        input_ids and attention_mask (B, T) int64; `trained` (B, T) bool, where the loss counts a token;
        whatever else the forward takes, images in row order.

    Raises:
        TrainError: a row's image tokens are not as many as its images' features.
    """
    for row in rows:
        n_tokens = sum(1 for token in row.input_ids if token == image_token_id)
        if n_tokens != row.n_image_tokens:
            raise TrainError(
                f"Conversation {row.id} has {n_tokens} image tokens and {row.n_image_tokens} image features, "
                "so the model would read its pictures wrongly. The checkpoint's processor and chat template "
                "do not belong together; copy both from the model they were published with."
            )
    encoded = [Encoded(list(row.input_ids), [], dict(row.model_inputs)) for row in rows]
    batch = collate_rows(encoded, pad_id=pad_id)
    trained = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
    for index, row in enumerate(rows):
        trained[index, : len(row.trained)] = torch.frombuffer(
            bytearray(row.trained), dtype=torch.uint8
        ).bool()
    return {**batch, "trained": trained}


def _rejection(conversation: Conversation, reason: str, detail: str) -> Rejection:
    return Rejection(conversation.id, ROOM, reason, detail)
