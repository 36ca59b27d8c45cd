"""The local engine: a transformers checkpoint on this machine, with replies that never depend on neighbours.

**Batch invariance.** A row's numbers change with the padded length and the number of rows of a batch, not
with what stands in the other rows. So every prompt is padded to a length chosen from its own tokens alone,
every forward has a fixed number of rows (short ones are filled up with copies), and noise is keyed by the
request. Rows are replaced as they finish: decoding works on slots of fixed length, each at its own place.
"""

import inspect
import itertools
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Generic, Literal, TypeVar

import torch
import transformers
from torch import Tensor

from acclimate.engines.encode import Encoded, ImageInputs, collate_rows, encode, preprocess_image
from acclimate.engines.families import family_of, load_model, load_processor
from acclimate.engines.protocol import (
    ChoiceReply,
    ChoiceRequest,
    EngineIdentity,
    Message,
    Reply,
    Request,
    Sampling,
    TurnMarkers,
)
from acclimate.engines.render import Rendered, markers, render, template_of
from acclimate.engines.slots import SlotCache, use_grouped_attention
from acclimate.engines.spec import EngineExecution
from acclimate.errors import EngineError
from acclimate.files import ImageStore
from acclimate.records import ImageRef, Turn

_CACHE_BYTES = 256 * 2**20
"""Of preprocessed images."""
_KEPT_BYTES = 4 * 2**30
"""Of the features of images that waiting requests show, which stay beyond the execution's `cache_mb`."""
_VISION_PATCHES = 4096
"""Patches per forward of the vision tower; larger images go alone."""
_WINDOWS = 32
"""Batches of requests read ahead, to find rows of one length."""

_V = TypeVar("_V")
_Key = tuple[Any, ...]


def length_bucket(n_tokens: int) -> int:
    """Return the length a prompt is padded to; always longer than the prompt, so every row has padding.

    A batch without any padding takes another path through attention, with other last bits. Source: our own
    rule.
    """
    for most, step in ((256, 32), (1024, 64), (4096, 256)):
        padded = (n_tokens // step + 1) * step
        if padded <= most:
            return padded
    return (n_tokens // 1024 + 1) * 1024


def reply_bucket(max_tokens: int) -> int:
    """Return the room kept for a reply of at most `max_tokens`."""
    return -(-max_tokens // 64) * 64


class _Recent(Generic[_V]):
    """Values by key; beyond a number of bytes the least recently used goes, none that is kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._size = 0
        self._values: OrderedDict[_Key, tuple[_V, int]] = OrderedDict()

    def get(self, key: _Key) -> _V | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(
        self, key: _Key, value: _V, n_bytes: int, is_kept: Callable[[_Key], bool] = lambda _: False
    ) -> None:
        _, replaced = self._values.pop(key, (value, 0))
        self._values[key] = (value, n_bytes)
        self._size -= replaced
        self._size += n_bytes
        if self._size <= self._most:
            return
        for old in list(self._values)[:-1]:
            if self._size > _KEPT_BYTES or (self._size > self._most and not is_kept(old)):
                self._size -= self._values.pop(old)[1]


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt ready for a batch, its pixels left out."""

    request_id: str
    input_ids: list[int]
    per_token: dict[str, Tensor]
    images: tuple[ImageRef, ...]
    grids: Tensor | None
    """(images, 3): patches of each image, where the family counts them so."""
    shapes: tuple[_Key, ...]
    """Of each image, for the vision tower; empty where the family's tower is no forward of its own."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that was read and has no slot yet."""

    place: int
    request: Request
    row: _Row


@dataclass(slots=True)
class _Slot:
    """A request being answered."""

    request: Request
    n_prompt: int
    stops: frozenset[int]
    noise: random.Random | None
    tokens: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Filled:
    """A batch of prompts after its forward."""

    logits: Tensor
    """(R, kept, V) float32, of the last tokens."""
    layers: Sequence[Any]
    next_positions: Tensor
    """(R,): position of the next token."""
    cross_mask: Tensor | None
    """(R, 1, images, tiles), for the tokens to come."""


class TransformersEngine:
    """Answers with a checkpoint on this machine."""

    def __init__(
        self,
        path: Path,
        store: ImageStore,
        *,
        identity: EngineIdentity,
        dtype: Literal["bfloat16", "float32"],
        execution: EngineExecution,
    ) -> None:
        """Load the model.

        Args:
            path: a folder `checkpoint.require_checkpoint` accepts.
            store: where requests' images are read.

        Raises:
            EngineError: it cannot be loaded; the message says why and what to do.
        """
        if execution.threads is not None:
            torch.set_num_threads(execution.threads)
        self._identity = identity
        self._store = store
        self._family = family_of(path)
        self._processor = load_processor(path)
        self._device = _device(execution.device)
        model = load_model(path, dtype)
        try:
            self._model = model.to(self._device)
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"The weights in {path} do not fit the memory of {self._device}. Use a smaller model, dtype "
                "bfloat16, or device cpu."
            ) from error
        kinds = set(getattr(self._model.config.get_text_config(), "layer_types", None) or ("full_attention",))
        if kinds != {"full_attention"}:
            raise EngineError(
                f"The model in {path} uses {', '.join(sorted(kinds))} layers, which the transformers engine "
                "cannot batch invariantly. Serve it with vLLM and use the openai engine, or take another "
                "model."
            )
        if self._device.type == "cpu":
            use_grouped_attention(self._model)
        self._n_rows = execution.rows
        self._n_prefill = max(2, execution.rows // 4)
        tokenizer = self._processor.tokenizer
        template = template_of(self._processor)
        self._end_of_text = int(tokenizer.convert_tokens_to_ids(template.end_of_text))
        pad = tokenizer.pad_token_id
        self._pad = self._end_of_text if pad is None else int(pad)
        self._assistant_stops = self._stops_of_assistant(template.assistant_closing.end_of_turn)
        accepted = inspect.signature(self._model.forward).parameters
        # Families whose image features are independent of the row they stand in and may be given to forward.
        self._vision_apart = (
            self._family is not None
            and self._family.model_type in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava")
            and "mm_encoder_outputs" in inspect.signature(self._model.model.forward).parameters
        )
        self._keeps_logits = "logits_to_keep" in accepted
        self._preprocessed: _Recent[ImageInputs] = _Recent(_CACHE_BYTES)
        self._features: _Recent[SimpleNamespace] = _Recent(execution.cache_mb * 2**20)
        if self._family is None:
            self._check_unknown_family(path)

    @property
    def identity(self) -> EngineIdentity:
        """Hash of weights, adapter, processor, template and dtype."""
        return self._identity

    @property
    def markers(self) -> TurnMarkers:
        """As the checkpoint's template writes them."""
        return markers(self._processor)

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Yield one reply per request, in any order; reads a bounded window ahead.

        Raises:
            EngineError: an image is missing, or the model failed; replies already yielded stand.
        """
        queue = _Queue(iter(requests), self._waiting, self._key, most=_WINDOWS * self._n_rows)
        while (key := queue.longest()) is not None:
            yield from self._session(queue, key)

    def choose(self, requests: Iterable[ChoiceRequest]) -> Iterator[ChoiceReply]:
        """Yield the choices' log-probabilities per request, in any order; one forward per batch of prompts.

        Raises:
            EngineError: a request has no choices or an empty one; otherwise as for `generate`.
        """
        waiting: dict[_Key, list[_Choice]] = {}
        n_waiting = 0
        for request in requests:
            for choice in self._choices(request):
                key = (*self._row_key(choice.row), choice.n_kept)
                batch = waiting.setdefault(key, [])
                batch.append(choice)
                n_waiting += 1
                if len(batch) == self._n_prefill:
                    n_waiting -= len(batch)
                    yield from self._scored(waiting.pop(key), key)
            if n_waiting > _WINDOWS * self._n_rows:
                key = max(waiting, key=lambda name: len(waiting[name]))
                n_waiting -= len(waiting[key])
                yield from self._scored(waiting.pop(key), key)
        for key, batch in waiting.items():
            yield from self._scored(batch, key)

    # Prompts

    def _row(self, request_id: str, rendered: Rendered, images: tuple[ImageRef, ...]) -> _Row:
        encoded = encode(self._processor, rendered, (), self._image_inputs(images))
        return self._bare(request_id, encoded, images)

    def _bare(self, request_id: str, encoded: Encoded, images: tuple[ImageRef, ...]) -> _Row:
        kept = ("mm_token_type_ids", "token_type_ids", "cross_attention_mask")
        per_token = {name: value for name, value in encoded.model_inputs.items() if name in kept}
        grids = self._image_inputs(images).tensors.get("image_grid_thw")
        apart = images if self._vision_apart else ()
        shapes = tuple(_tower_shape(self._image_inputs((image,))) for image in apart)
        return _Row(request_id, encoded.input_ids, per_token, images, grids, shapes)

    def _image_inputs(self, images: tuple[ImageRef, ...]) -> ImageInputs:
        """Preprocess a row's images: each by itself where the family lets us, else together."""
        if not images:
            return ImageInputs({}, ())
        key = tuple(image.sha256 for image in images)
        found = self._preprocessed.get(key)
        if found is None:
            if self._vision_apart and len(images) > 1:
                parts = [self._image_inputs((image,)) for image in images]
                names = parts[0].tensors
                tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in names}
                return ImageInputs(tensors, tuple(count for part in parts for count in part.n_tokens))
            found = preprocess_image(self._processor, [self._store.open(image) for image in images])
            n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in found.tensors.values())
            self._preprocessed.put(key, found, n_bytes)
        return found

    def _waiting(self, place: int, request: Request) -> _Waiting:
        if request.sampling.max_tokens < 1:
            raise EngineError(f"Request {request.id!r} asks for no tokens. Set max_tokens to 1 or more.")
        images = tuple(image for message in request.messages for image in message.images)
        counts = [len(message.images) for message in request.messages]
        rendered = render(self._processor, request.messages, counts, request.opens)
        return _Waiting(place, request, self._row(request.id, rendered, images))

    def _row_key(self, row: _Row) -> _Key:
        """Return what rows of one batch must have in common: each part depends on the row alone."""
        shapes: tuple[Any, ...] = (bool(row.images),)
        if row.images and not self._vision_apart:
            tensors = self._image_inputs(row.images).tensors
            shapes = tuple((name, tuple(tensor.shape)) for name, tensor in sorted(tensors.items()))
            if (
                len(row.images) > 1 and "image_sizes" in tensors
            ):  # LLaVA-NeXT: they decide how many tiles are real
                shapes += tuple(tensors["image_sizes"].view(-1).tolist())
        return (length_bucket(len(row.input_ids)), shapes)

    def _key(self, waiting: _Waiting) -> _Key:
        return (*self._row_key(waiting.row), reply_bucket(waiting.request.sampling.max_tokens))

    # Forwards

    @torch.inference_mode()
    def _prefill(
        self,
        rows: Sequence[_Row],
        length: int,
        n_kept: int,
        *,
        with_cache: bool,
        pictures: "_Pictures | None" = None,
    ) -> _Filled:
        """Run prompts through the model, always as `_n_prefill` rows.

        Args:
            pictures: what waiting requests show; theirs are encoded beside the rows' where there is room.
        """
        filled = [*rows, *[rows[0]] * (self._n_prefill - len(rows))]
        if self._vision_apart:
            encoded = [Encoded(row.input_ids, [], row.per_token) for row in filled]
        else:
            encoded = [Encoded(row.input_ids, [], {**row.per_token, **self._pixels(row)}) for row in filled]
        batch = collate_rows(encoded, pad_id=self._pad, length=length, side="left")
        batch = {name: value.to(self._device) for name, value in batch.items()}
        attention = batch.pop("attention_mask")
        types = batch.pop("mm_token_type_ids", None)
        has_images = bool(filled[0].images)
        positions, next_positions = self._positions(batch["input_ids"], attention, types, filled)
        inputs: dict[str, Any] = dict(batch)
        if types is not None and not self._vision_apart:
            inputs["mm_token_type_ids"] = types
        if has_images and self._vision_apart:
            inputs["mm_encoder_outputs"] = {"image": self._image_features(filled, pictures or _Pictures())}
        cross = batch.get("cross_attention_mask")
        cache = transformers.DynamicCache(config=self._model.config.get_text_config()) if with_cache else None
        if self._keeps_logits:
            inputs["logits_to_keep"] = n_kept
        output = self._model(
            **inputs,
            attention_mask=self._causal_bias(attention),
            position_ids=positions,
            past_key_values=cache,
            use_cache=with_cache,
        )
        logits = output.logits[:, -n_kept:].float()
        if not torch.isfinite(logits).all():
            names = ", ".join(row.request_id for row in rows[:3])
            raise EngineError(
                f"The model gave numbers that are not finite (requests such as {names}). Its weights are "
                "broken, or too large for this dtype; try dtype float32."
            )
        return _Filled(
            logits,
            () if cache is None else cache.layers,
            next_positions,
            None if cross is None else cross[:, -1:],
        )

    def _pixels(self, row: _Row) -> dict[str, Tensor]:
        tensors = self._image_inputs(row.images).tensors
        return {name: value for name, value in tensors.items() if name != "num_tiles"}

    def _causal_bias(self, attention: Tensor) -> Tensor:
        """Return what is added to the scores, (R, 1, T, T): tokens see earlier ones, none sees padding.

        Padding sees itself, so that no row of scores is empty.
        """
        length = attention.shape[1]
        ones = torch.ones((length, length), dtype=torch.bool, device=attention.device)
        allowed = ones.tril()[None] & attention.bool()[:, None]
        allowed |= torch.eye(length, dtype=torch.bool, device=attention.device)[None]
        bias = torch.zeros(allowed.shape, dtype=self._model.dtype, device=attention.device)
        return bias.masked_fill_(~allowed, torch.finfo(self._model.dtype).min)[:, None]

    def _positions(
        self, input_ids: Tensor, attention: Tensor, types: Tensor | None, rows: Sequence[_Row]
    ) -> tuple[Tensor, Tensor]:
        """Return the positions of all tokens and of the next one, (R,)."""
        flat = (attention.cumsum(-1) - 1).clamp_(min=0)
        following = attention.sum(-1)
        find = getattr(self._model.model, "get_rope_index", None)
        if find is None or types is None or not rows[0].images:
            return flat, following
        grids = torch.cat([row.grids for row in rows if row.grids is not None])
        positions, deltas = find(
            input_ids,
            mm_token_type_ids=types,
            image_grid_thw=grids.to(self._device),
            attention_mask=attention,
        )
        return positions, following + deltas.view(-1).to(following)

    def _image_features(self, rows: Sequence[_Row], pictures: "_Pictures") -> SimpleNamespace:
        """Return the features of the rows' images in the order of their places in the text.

        Each content is encoded once: what is waited for is kept, and stands in for copies where the tower has
        room beside the rows' own images.
        """
        images = [image for row in rows for image in row.images]
        known: dict[str, SimpleNamespace] = {}
        by_shape: dict[_Key, dict[str, ImageRef]] = {}
        for image, shape in zip(images, (each for row in rows for each in row.shapes), strict=True):
            features = self._features.get((image.sha256,))
            if features is None:
                by_shape.setdefault(shape, {})[image.sha256] = image
            else:
                known[image.sha256] = features
        for shape, own in by_shape.items():
            pixels, grid = shape
            n_patches = pixels[0] if grid is not None else 256
            n_together = max(1, min(self._n_prefill, _VISION_PATCHES // n_patches))
            room = -len(own) % n_together
            beside = (each for each in pictures.of(shape) if each.sha256 not in own)
            beside = (each for each in beside if self._features.get((each.sha256,)) is None)
            every = [*own.values(), *itertools.islice(beside, room)]
            for start in range(0, len(every), n_together):
                part = [
                    (each.sha256, self._image_inputs((each,))) for each in every[start : start + n_together]
                ]
                for (name, _), fresh in zip(part, self._vision(part, n_together), strict=False):
                    known[name] = fresh
                    tensors = (fresh.pooled, *fresh.deep)
                    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
                    self._features.put((name,), fresh, n_bytes, pictures.has)
        found = [known[image.sha256] for image in images]
        n_deep = len(found[0].deep)
        return SimpleNamespace(
            pooler_output=[features.pooled for features in found],
            deepstack_features=[[features.deep[level] for features in found] for level in range(n_deep)],
        )

    def _vision(self, named: Sequence[tuple[str, ImageInputs]], n_together: int) -> list[SimpleNamespace]:
        """Run images of one shape through the vision tower, always `n_together` of them."""
        inputs = [tensors for _, tensors in named]
        inputs += [inputs[0]] * (n_together - len(inputs))
        joined = {
            name: torch.cat([part.tensors[name] for part in inputs]).to(self._device)
            for name in inputs[0].tensors
        }
        pixels = joined.pop("pixel_values")
        output = self._model.model.get_image_features(pixels, return_dict=True, **joined)
        deep = getattr(output, "deepstack_features", None) or []
        return [
            SimpleNamespace(
                pooled=output.pooler_output[index].clone(), deep=[level[index].clone() for level in deep]
            )
            for index in range(n_together)
        ]

    # Generation

    def _session(self, queue: "_Queue", key: _Key) -> Iterator[Reply]:
        """Answer the requests of one key, refilling slots as they come free."""
        length, room = key[0], key[-1]
        state: _Decoding | None = None
        while True:
            while (free := self._n_rows if state is None else state.n_free) >= self._n_prefill or (
                state is not None and free == self._n_rows
            ):
                taken = queue.take(key, min(free, self._n_prefill))
                if not taken:
                    break
                rows_taken = [waiting.row for waiting in taken]
                filled = self._prefill(rows_taken, length, 1, with_cache=True, pictures=queue.pictures)
                if state is None:
                    state = _Decoding(self, filled, length, room)
                slots = [self._slot(waiting) for waiting in taken]
                rows = state.put(filled, slots, [len(waiting.row.input_ids) for waiting in taken])
                tokens = _picked(filled.logits[: len(slots), 0], slots)
                yield from self._advanced(state, rows, tokens)
            if state is None or state.n_free == self._n_rows:
                return
            logits = state.step()
            tokens = _picked(logits, state.slots)
            yield from self._advanced(state, range(self._n_rows), tokens)

    def _slot(self, waiting: _Waiting) -> _Slot:
        request = waiting.request
        sampling = request.sampling
        noise = (
            random.Random(f"{sampling.seed}/{request.id}/{request.sample}")
            if sampling.temperature > 0
            else None
        )
        stops = self._assistant_stops if request.opens == "assistant" else frozenset((self._end_of_text,))
        return _Slot(request, len(waiting.row.input_ids), stops, noise)

    def _advanced(self, state: "_Decoding", rows: Iterable[int], tokens: Sequence[int]) -> Iterator[Reply]:
        """Give each row its token, and yield the replies that are complete."""
        for row, token in zip(rows, tokens, strict=True):
            slot = state.slots[row]
            if slot is None:
                continue
            slot.tokens.append(token)
            is_stop = token in slot.stops
            if is_stop or len(slot.tokens) >= slot.request.sampling.max_tokens:
                state.release(row)
                yield self._reply(slot, is_stop=is_stop)
            else:
                state.next_tokens[row] = token

    def _reply(self, slot: _Slot, *, is_stop: bool) -> Reply:
        tokens = slot.tokens[:-1] if is_stop else slot.tokens
        keeps_special = slot.request.opens == "user"
        if keeps_special:
            tokens = [token for token in tokens if token not in (self._pad, self._end_of_text)]
        text = self._processor.tokenizer.decode(
            tokens, skip_special_tokens=not keeps_special, clean_up_tokenization_spaces=False
        )
        return Reply(slot.request.id, text, "stop" if is_stop else "length", slot.n_prompt, len(slot.tokens))

    def _stops_of_assistant(self, end_of_turn: str) -> frozenset[int]:
        """Return what ends an assistant's turn: the checkpoint's own tokens, the template's, end of text."""
        tokenizer = self._processor.tokenizer
        stops = {self._end_of_text}
        named = getattr(self._model.generation_config, "eos_token_id", None)
        stops.update([named] if isinstance(named, int) else (named or ()))
        if tokenizer.eos_token_id is not None:
            stops.add(int(tokenizer.eos_token_id))
        vocabulary = tokenizer.get_vocab()
        if end_of_turn in vocabulary and end_of_turn.strip():
            stops.add(int(vocabulary[end_of_turn]))
        return frozenset(int(stop) for stop in stops)

    # Choices

    def _choices(self, request: ChoiceRequest) -> "list[_Choice]":
        """Turn a request into rows: one where every choice is one token, else one per choice."""
        if not request.choices or not all(request.choices):
            raise EngineError(
                f"Choice request {request.id!r} has no choices, or an empty one. Give each a text."
            )
        images = tuple(image for message in request.messages for image in message.images)
        counts = [*(len(message.images) for message in request.messages), 0]
        vision = self._image_inputs(images)
        rows: list[tuple[Encoded, list[int]]] = []
        for choice in request.choices:
            turns = [*request.messages, Message("assistant", choice)]
            rendered = render(self._processor, turns, counts)
            encoded = encode(self._processor, rendered, (), vision)
            span = rendered.spans[-1]
            places = [
                index
                for index, (start, end) in enumerate(encoded.offsets)
                if end > span.text_start and start < span.text_end and end > start
            ]
            first, last = places[0], places[-1]
            # The last token is only predicted, never read.
            per_token = {
                name: value[:, :last]
                for name, value in encoded.model_inputs.items()
                if name in ("mm_token_type_ids", "cross_attention_mask", "token_type_ids")
            }
            rows.append(
                (Encoded(encoded.input_ids[:last], [], per_token), encoded.input_ids[first : last + 1])
            )
        parts = _Parts(request, [None] * len(request.choices), [0] * len(request.choices))
        prompts = {tuple(encoded.input_ids) for encoded, _ in rows}
        if len(prompts) == 1 and all(len(tokens) == 1 for _, tokens in rows):
            row = self._bare(request.id, rows[0][0], images)
            return [_Choice(parts, row, tuple((index, tokens) for index, (_, tokens) in enumerate(rows)), 1)]
        return [
            _Choice(
                parts,
                self._bare(request.id, encoded, images),
                ((index, tokens),),
                1 << (len(tokens) - 1).bit_length(),
            )
            for index, (encoded, tokens) in enumerate(rows)
        ]

    def _scored(self, batch: "list[_Choice]", key: _Key) -> Iterator[ChoiceReply]:
        n_kept = key[-1]
        filled = self._prefill([choice.row for choice in batch], key[0], n_kept, with_cache=False)
        scores = torch.log_softmax(filled.logits, dim=-1)
        for index, choice in enumerate(batch):
            parts = choice.parts
            for place, tokens in choice.continuations:
                at = scores[index, -len(tokens) :]
                picked = at[torch.arange(len(tokens)), torch.tensor(tokens, device=at.device)]
                parts.values[place] = float(sum(picked.tolist()))
                parts.n_tokens[place] = len(tokens)
            done = [value for value in parts.values if value is not None]
            if len(done) == len(parts.values):
                yield ChoiceReply(parts.request.id, tuple(done), tuple(parts.n_tokens))

    def _check_unknown_family(self, path: Path) -> None:
        """Compare our own first step with plain transformers, for a family we have no record of.

        Raises:
            EngineError: they differ, so replies could not be trusted.
        """
        rendered = render(self._processor, [Turn("user", "What is this?", trained=False)], 0, "assistant")
        row = self._row("check", rendered, ())
        ours = self._prefill([row], length_bucket(len(row.input_ids)), 1, with_cache=False).logits[0, -1]
        with torch.inference_mode():
            ids = torch.tensor([row.input_ids], device=self._device)
            theirs = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1].float()
        spread = float(theirs.max() - theirs.min())
        if float((ours - theirs).abs().max()) > 0.05 * spread:
            raise EngineError(
                f"The model in {path} is of a family acclimate does not know "
                f"({self._model.config.model_type}), and its first step differs from plain transformers, so "
                "its replies could not be trusted. Serve it with vLLM and use the openai engine."
            )


@dataclass(frozen=True, slots=True)
class _Parts:
    """The log-probabilities of one request, as they come."""

    request: ChoiceRequest
    values: list[float | None]
    n_tokens: list[int]


@dataclass(frozen=True, slots=True)
class _Choice:
    """A row of a choice request."""

    parts: _Parts
    row: _Row
    continuations: tuple[tuple[int, list[int]], ...]
    """Place of the choice in the request, and its tokens."""
    n_kept: int


def _tower_shape(inputs: ImageInputs) -> _Key:
    """Return what images must have in common to go through the vision tower together."""
    grid = inputs.tensors.get("image_grid_thw")
    return (
        tuple(inputs.tensors["pixel_values"].shape),
        None if grid is None else tuple(grid.view(-1).tolist()),
    )


class _Pictures:
    """The images that waiting requests show, by shape, in order of coming."""

    def __init__(self) -> None:
        self._by_shape: dict[_Key, dict[str, ImageRef]] = {}
        self._n_shown: Counter[str] = Counter()

    def of(self, shape: _Key) -> Iterable[ImageRef]:
        """Return the images of a shape."""
        return self._by_shape.get(shape, {}).values()

    def has(self, key: _Key) -> bool:
        """Return whether a waiting request shows the image of this key of the cache."""
        return key[0] in self._n_shown

    def add(self, row: _Row) -> None:
        """Count a request that came to wait."""
        for image, shape in zip(row.images, row.shapes, strict=False):
            self._n_shown[image.sha256] += 1
            self._by_shape.setdefault(shape, {})[image.sha256] = image

    def remove(self, row: _Row) -> None:
        """Count a request that waits no longer."""
        for image, shape in zip(row.images, row.shapes, strict=False):
            self._n_shown[image.sha256] -= 1
            if not self._n_shown[image.sha256]:
                del self._n_shown[image.sha256]
                del self._by_shape[shape][image.sha256]


class _Queue:
    """Requests read ahead and sorted by key; bounded, and no request is overtaken for ever."""

    def __init__(
        self,
        requests: Iterator[Request],
        waiting: Callable[[int, Request], _Waiting],
        key: Callable[[_Waiting], _Key],
        most: int,
    ) -> None:
        self._requests = requests
        self._waiting = waiting
        self._key = key
        self._most = most
        self._queues: dict[_Key, deque[_Waiting]] = {}
        self._n_waiting = 0
        self._n_read = 0
        self._is_exhausted = False
        self.pictures = _Pictures()

    def longest(self) -> _Key | None:
        """Return the key with the most requests, or of the oldest one when it was overtaken too often."""
        self._read()
        if not self._queues:
            return None
        oldest = min(self._queues, key=lambda key: self._queues[key][0].place)
        if self._n_read - self._queues[oldest][0].place > 2 * self._most:
            return oldest
        return max(self._queues, key=lambda key: len(self._queues[key]))

    def take(self, key: _Key, most: int) -> list[_Waiting]:
        """Return up to `most` requests of a key, oldest first."""
        self._read()
        queue = self._queues.get(key, deque())
        taken = [queue.popleft() for _ in range(min(most, len(queue)))]
        self._n_waiting -= len(taken)
        for waiting in taken:
            self.pictures.remove(waiting.row)
        if key in self._queues and not queue:
            del self._queues[key]
        return taken

    def _read(self) -> None:
        oldest = min((queue[0].place for queue in self._queues.values()), default=self._n_read)
        while (
            not self._is_exhausted
            and self._n_waiting < self._most
            and self._n_read - oldest <= 2 * self._most
        ):
            request = next(self._requests, None)
            if request is None:
                self._is_exhausted = True
                return
            waiting = self._waiting(self._n_read, request)
            self._queues.setdefault(self._key(waiting), deque()).append(waiting)
            self.pictures.add(waiting.row)
            self._n_read += 1
            self._n_waiting += 1


class _Decoding:
    """The slots of one session: which request stands where, and the model's state for it."""

    def __init__(self, engine: TransformersEngine, filled: _Filled, prompt_length: int, room: int) -> None:
        self._model = engine._model
        self._length = prompt_length
        device, n_rows = filled.logits.device, engine._n_rows
        self._cache = SlotCache(filled.layers, n_rows, prompt_length, prompt_length + room)
        self._closed = torch.finfo(self._model.dtype).min
        self._bias = torch.full(
            (n_rows, 1, 1, prompt_length + room), self._closed, dtype=self._model.dtype, device=device
        )
        self._places = torch.full((n_rows,), prompt_length, dtype=torch.int64, device=device)
        self._positions = torch.zeros(n_rows, dtype=torch.int64, device=device)
        self._cross = None if filled.cross_mask is None else filled.cross_mask[:1].repeat(n_rows, 1, 1, 1)
        self._all = torch.arange(n_rows, device=device)
        self._pad = engine._pad
        self.slots: list[_Slot | None] = [None] * n_rows
        self.next_tokens: list[int] = [self._pad] * n_rows

    @property
    def n_free(self) -> int:
        """Slots without a request."""
        return sum(slot is None for slot in self.slots)

    @torch.inference_mode()
    def put(self, filled: _Filled, slots: Sequence[_Slot], n_prompts: Sequence[int]) -> list[int]:
        """Give each request a free row; returns the rows."""
        rows = [row for row, slot in enumerate(self.slots) if slot is None][: len(slots)]
        self._cache.put(filled.layers, rows)
        for index, (row, slot, n_prompt) in enumerate(zip(rows, slots, n_prompts, strict=True)):
            self.slots[row] = slot
            self._bias[row] = self._closed
            self._bias[row, ..., self._length - n_prompt : self._length] = 0
            self._places[row] = self._length
            self._positions[row] = filled.next_positions[index]
            if self._cross is not None and filled.cross_mask is not None:
                self._cross[row] = filled.cross_mask[index]
        return rows

    def release(self, row: int) -> None:
        """Free a row; it goes on being computed, on padding, at the start of its room."""
        self.slots[row] = None
        self.next_tokens[row] = self._pad
        self._places[row] = self._length

    @torch.inference_mode()
    def step(self) -> Tensor:
        """Read every row's next token; returns the logits after it, (rows, V) float32."""
        self._bias[self._all, 0, 0, self._places] = 0
        self._cache.write_at(self._places)
        inputs: dict[str, Any] = {}
        if self._cross is not None:
            inputs["cross_attention_mask"] = self._cross
        tokens = torch.tensor(self.next_tokens, device=self._bias.device)[:, None]
        output = self._model(
            input_ids=tokens,
            attention_mask=self._bias,
            position_ids=self._positions[:, None],
            past_key_values=self._cache,
            use_cache=True,
            **inputs,
        )
        occupied = torch.tensor([slot is not None for slot in self.slots], device=self._bias.device)
        self._places += occupied
        self._positions += occupied
        logits: Tensor = output.logits[:, -1].float()
        return logits


def _picked(logits: Tensor, slots: Sequence[_Slot | None]) -> list[int]:
    """Return each row's next token: the likeliest, or one drawn with the request's own noise.

    Drawing: tokens in order of probability up to `top_p` (the one that crosses it included), and the one at
    the place a uniform number falls on. Source: nucleus sampling (Holtzman et al. 2020); noise by request is
    our own.
    """
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    sampled = [row for row, slot in enumerate(slots) if slot is not None and slot.noise is not None]
    for row in sampled:
        slot = slots[row]
        if slot is None or slot.noise is None:
            continue
        tokens[row] = _drawn(logits[row], slot.request.sampling, slot.noise.random())
    return tokens


def _drawn(logits: Tensor, sampling: Sampling, uniform: float) -> int:
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    ordered, order = torch.sort(probabilities, descending=True, stable=True)
    cumulative = torch.cumsum(ordered, dim=-1)
    n_kept = int((cumulative - ordered < sampling.top_p).sum())
    target = uniform * float(cumulative[n_kept - 1])
    place = int(torch.searchsorted(cumulative[:n_kept], target, right=True))
    return int(order[min(place, n_kept - 1)])


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    is_there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[
        name
    ]
    if not is_there:
        raise EngineError(f"The device {name} is not available on this machine. Set device to auto or cpu.")
    return torch.device(name)
