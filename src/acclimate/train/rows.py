"""Conversations as rows of tokens.

Every conversation is measured before training starts, without decoding its pictures where the family says
how many tokens a picture of a size takes. What is too long is made shorter as the settings allow, never by
cutting a picture's tokens or an answer; what cannot be trained on is a rejection. Pictures are decoded when
their row is wanted first, in the processes that prepare batches.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from torch import Tensor

from acclimate.engines.encode import Encoded, ImageInputs, encode, model_inputs, preprocess_image
from acclimate.engines.image_tokens import image_tokens
from acclimate.engines.render import Rendered, RenderError, TurnSpan, neutralise, render
from acclimate.errors import DataError, EngineError, TrainError
from acclimate.files import ImageStore
from acclimate.records import Conversation, ImageRef, Rejection
from acclimate.train.masks import MaskMode, token_mask, trained_spans
from acclimate.train.schedule import RowSize
from acclimate.train.stage import Format, Shortening

ROOM = "train"
Positions = Callable[[Encoded], Tensor | None]
"""From a row to its positions, (3, T), where the family's are not 0, 1, 2, ..."""

_SHRINK = 0.85
"""Each try makes a picture's sides so much of what they were. Our own rule."""
_SMALLEST_PX = 28
"""No side is made smaller than this."""


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
    positions: Tensor | None = None
    """(3, T) where the family's positions are not 0, 1, 2, ...; only packed batches need them."""

    @property
    def n_trained(self) -> int:
        """Return how many tokens the loss counts."""
        return sum(self.trained)

    @property
    def size(self) -> RowSize:
        """Return what the schedule needs to know."""
        return RowSize(self.id, len(self.input_ids), self.n_trained, self.n_images)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A row's tokens, every picture's among them."""

    ids: Sequence[int]
    trained: bytes
    """As `Row.trained`."""

    @property
    def n_bytes(self) -> int:
        """Return what they take in memory."""
        return 5 * len(self.trained)


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation that fits, before its pictures are decoded."""

    conversation: Conversation
    """With the turns that are left."""
    size: RowSize
    scale: float
    """Sides of its pictures are multiplied by this before the processor sees them."""
    turns_dropped: int
    n_image_tokens: tuple[int, ...] | None
    """Visual tokens of each picture; None where only the processor can tell."""
    tokens: Tokens | None = None
    """The row's tokens, if there is room to keep them; else they are made anew."""


@dataclass(frozen=True, slots=True)
class RowEncoder:
    """Encodes conversations with one processor, one mask and one limit."""

    processor: Any
    store: ImageStore
    mask: MaskMode
    max_tokens: int
    too_long: tuple[Shortening, ...] = ()
    """What may be done to a conversation that is too long, in this order; what does not help is not done."""
    format: Format = "chat"
    positions: Positions | None = None
    """None leaves positions to the model, which finds those of padded batches itself."""

    def draft(self, conversation: Conversation) -> Draft | Rejection:
        """Return the conversation as it will be trained on, or why it will not be."""
        try:
            for ref in conversation.images:
                _require_there(self.store, ref)
            return self._shortened(conversation)
        except DataError as error:
            return _rejection(conversation, "image_unreadable", str(error))
        except RenderError as error:
            return _rejection(conversation, "not_renderable", str(error))
        except EngineError as error:
            return _rejection(conversation, "image_refused", str(error))

    def encode(self, conversation: Conversation) -> Row | Rejection:
        """Return the conversation's row, or why it has none."""
        draft = self.draft(conversation)
        if isinstance(draft, Rejection):
            return draft
        try:
            return self.row(draft, self.pictures(draft))
        except (DataError, OSError) as error:
            return _rejection(conversation, "image_unreadable", str(error))
        except EngineError as error:
            return _rejection(conversation, "image_refused", str(error))

    def pictures(self, draft: Draft) -> ImageInputs:
        """Return the draft's pictures as the model takes them.

        Raises:
            DataError: one cannot be read any more. EngineError: the processor refuses one.
        """
        images = [self.store.open(ref) for ref in draft.conversation.images]
        if draft.scale < 1.0:
            images = [
                each.resize(_scaled(each.size, draft.scale), Image.Resampling.BICUBIC) for each in images
            ]
        return preprocess_image(self.processor, images)

    def row(self, draft: Draft, pictures: ImageInputs) -> Row:
        """Return the row of a draft.

        Raises:
            EngineError: the pictures have other tokens than the draft counted.
        """
        conversation = draft.conversation
        if draft.n_image_tokens is not None and pictures.n_tokens != draft.n_image_tokens:
            raise EngineError(
                f"The pictures of conversation {draft.size.id} take {pictures.n_tokens} tokens, and "
                f"{draft.n_image_tokens} were counted from their sizes. Report this with the checkpoint's "
                "processor_config.json."
            )
        tokens = draft.tokens or self._tokens(conversation, pictures.n_tokens)
        inputs = model_inputs(self.processor, tokens.ids, pictures)
        positions = None
        if self.positions is not None:
            positions = self.positions(Encoded(list(tokens.ids), [], inputs))
        return Row(
            id=conversation.id,
            input_ids=tokens.ids,
            trained=tokens.trained,
            model_inputs=inputs,
            n_images=len(conversation.images),
            n_image_tokens=sum(pictures.n_tokens),
            positions=positions,
        )

    def _shortened(self, conversation: Conversation) -> Draft | Rejection:
        """Measure the conversation, shorten it as far as it needs and may be."""
        scale, dropped, shortest = 1.0, 0, conversation
        draft = self._measured(conversation, scale, dropped)
        for means in self.too_long:
            if isinstance(draft, Rejection) or draft.size.n_tokens <= self.max_tokens:
                break
            if means == "shrink_pictures":
                scale, draft = self._with_smaller_pictures(draft)
                continue
            while draft.size.n_tokens > self.max_tokens and (shorter := _without_last(shortest)) is not None:
                shortest, dropped = shorter, dropped + len(shortest.turns) - len(shorter.turns)
                measured = self._measured(shorter, scale, dropped)
                if isinstance(measured, Rejection):
                    return measured
                draft = measured
        if isinstance(draft, Draft) and draft.size.n_tokens > self.max_tokens:
            detail = f"{draft.size.n_tokens} tokens; at most {self.max_tokens} are trained"
            return _rejection(conversation, "too_long", detail)
        return draft

    def _with_smaller_pictures(self, draft: Draft) -> tuple[float, Draft]:
        """Return the largest scale at which the draft fits, or the one it has where none does."""
        best, scale = draft, draft.scale
        while draft.conversation.images:
            scale *= _SHRINK
            smallest = min(min(ref.width_px, ref.height_px) for ref in draft.conversation.images)
            if smallest * scale < _SMALLEST_PX:
                return draft.scale, draft
            measured = self._measured(draft.conversation, scale, draft.turns_dropped)
            if isinstance(measured, Draft):
                best = measured
            if best.size.n_tokens <= self.max_tokens:
                return best.scale, best
        return draft.scale, draft

    def _measured(self, conversation: Conversation, scale: float, dropped: int) -> Draft | Rejection:
        sizes = [_scaled((ref.width_px, ref.height_px), scale) for ref in conversation.images]
        counts = image_tokens(self.processor, sizes)
        known = counts
        if counts is None:
            images = [self.store.open(ref) for ref in conversation.images]
            images = [each.resize(size) for each, size in zip(images, sizes, strict=True)]
            counts = preprocess_image(self.processor, images).n_tokens
        tokens = self._tokens(conversation, counts)
        if not any(tokens.trained):
            return _rejection(conversation, "nothing_to_learn", f"no token is trained in mode {self.mask}")
        n_images = len(conversation.images)
        size = RowSize(conversation.id, len(tokens.ids), sum(tokens.trained), n_images)
        return Draft(conversation, size, scale, dropped, known, tokens)

    def _rendered(self, conversation: Conversation) -> Rendered:
        n_images = len(conversation.images)
        if self.format == "plain":
            return _plain(self.processor, conversation)
        places: int | list[int] = n_images
        if conversation.image_turns:
            places = [conversation.image_turns.count(at) for at in range(len(conversation.turns))]
        return render(self.processor, conversation.turns, places, end_of_text=self.mask == "continuation")

    def _tokens(self, conversation: Conversation, n_tokens: tuple[int, ...]) -> Tokens:
        rendered = self._rendered(conversation)
        encoded = encode(self.processor, rendered, (), preprocessed=ImageInputs({}, n_tokens))
        flags = tuple(turn.trained for turn in conversation.turns)
        spans = trained_spans(rendered.spans, flags, len(rendered.text), self.mask)
        trained = bytearray(token_mask(rendered.text, encoded.offsets, spans))
        trained[0] = 0
        return Tokens(array("i", encoded.input_ids), bytes(trained))


class Rows:
    """The rows that are trained on, by position; what the cache does not hold is encoded anew."""

    def __init__(self, conversations: Iterable[Conversation], encoder: RowEncoder, cache_bytes: int) -> None:
        """Measure every conversation once."""
        self._encoder = encoder
        self._cache_bytes = cache_bytes
        self._rows: dict[int, Row] = {}
        self._pictures: dict[tuple[object, ...], ImageInputs] = {}
        self.drafts: list[Draft] = []
        self.rejections: list[Rejection] = []
        for conversation in conversations:
            found = encoder.draft(conversation)
            if isinstance(found, Rejection):
                self.rejections.append(found)
            else:
                self.drafts.append(self._light(found))
        self.sizes: list[RowSize] = [draft.size for draft in self.drafts]

    def _light(self, draft: Draft) -> Draft:
        """Return the draft without its tokens where there is no more room for them."""
        n_bytes = draft.tokens.n_bytes if draft.tokens is not None else 0
        if n_bytes > self._cache_bytes:
            return replace(draft, tokens=None)
        self._cache_bytes -= n_bytes
        return draft

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.drafts)

    @property
    def shortened(self) -> dict[str, int]:
        """Return how many rows were made shorter, by what was done to them."""
        counts = Counter(
            name
            for draft in self.drafts
            for name, done in (("pictures_shrunk", draft.scale < 1.0), ("turns_dropped", draft.turns_dropped))
            if done
        )
        return dict(counts)

    def __getitem__(self, position: int) -> Row:
        """Return a row, from memory or encoded anew.

        Raises:
            TrainError: a picture could be read when training started and cannot be any more.
        """
        row = self._rows.get(position)
        if row is not None:
            return row
        draft = self.drafts[position]
        key = (draft.scale, *(image.sha256 for image in draft.conversation.images))
        pictures = self._pictures.get(key)
        try:
            fresh = pictures is None
            pictures = self._encoder.pictures(draft) if pictures is None else pictures
            row = self._encoder.row(draft, pictures)
        except (DataError, OSError, EngineError) as error:
            raise TrainError(
                f"Conversation {draft.size.id} could be read when training started and cannot be any more "
                f"({error}). Put the picture back and run the same command: training goes on."
            ) from error
        self._keep(position, row, key, pictures, fresh=fresh)
        return row

    def _keep(
        self, position: int, row: Row, key: tuple[object, ...], pictures: ImageInputs, *, fresh: bool
    ) -> None:
        shared = {id(tensor) for tensor in pictures.tensors.values()}
        own = sum(tensor.nbytes for tensor in row.model_inputs.values() if id(tensor) not in shared)
        n_bytes = own + (0 if self.drafts[position].tokens is not None else 5 * len(row.input_ids))
        if row.positions is not None:
            n_bytes += row.positions.nbytes
        if fresh:
            n_bytes += sum(tensor.nbytes for tensor in pictures.tensors.values())
        if n_bytes <= self._cache_bytes:
            self._cache_bytes -= n_bytes
            self._pictures[key] = pictures
            self._rows[position] = row


def _require_there(store: ImageStore, ref: ImageRef) -> None:
    """Look for the picture's file without decoding it; a missing one raises DataError."""
    if store.locate(ref) is None:
        store.read(ref)


def _without_last(conversation: Conversation) -> Conversation | None:
    """Return the conversation without its last question and answer; None where only one answer is left."""
    turns = conversation.turns
    answers = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    if len(answers) < 2:
        return None
    kept = turns[: answers[-2] + 1]
    if any(at >= len(kept) for at in conversation.image_turns) or not any(turn.trained for turn in kept):
        return None
    return replace(conversation, turns=kept)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = size
    return max(1, round(width * scale)), max(1, round(height * scale))


def _plain(processor: Any, conversation: Conversation) -> Rendered:  # noqa: ANN401
    """Write the pictures, the answer and a line break: LLaVA's alignment text, without a question.

    Source: `spec/official-behaviour.md` 2.4, stage 1.
    """
    answers = [turn for turn in conversation.turns if turn.role == "assistant"]
    if len(answers) != 1:
        raise RenderError(
            f"The plain format writes one answer, and conversation {conversation.id} has {len(answers)}. Use "
            "`train.format: chat`, or captions with one question each."
        )
    start = len(processor.image_token) * len(conversation.images)
    text = neutralise(processor, answers[0].text.strip())
    end = start + len(text) + 1
    spans = [
        TurnSpan(turn.role, start, start, start + len(text), end)
        if turn.role == "assistant"
        else TurnSpan(turn.role, start, start, start, start)
        for turn in conversation.turns
    ]
    whole = processor.image_token * len(conversation.images) + text + "\n"
    return Rendered(whole, tuple(spans), end, len(conversation.images))


def _rejection(conversation: Conversation, reason: str, detail: str) -> Rejection:
    return Rejection(conversation.id, ROOM, reason, detail)
