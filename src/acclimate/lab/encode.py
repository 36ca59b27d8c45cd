"""Turns the lab's documents into token rows for pretraining.

A row is a shared beginning (the picture) and segments that see the beginning and themselves only, so six
questions about one picture cost one picture and leak nothing to each other.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from acclimate.lab.documents import Document, Line
from acclimate.lab.models import N_IMAGE_TOKENS, SPECIAL_TOKENS, VOCABULARY_SIZE, token_id

_GRID = 4
"""Visual tokens per side of a 64 px picture."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One encoded document."""

    ids: list[int]
    weights: list[float]
    """Loss weight of each token as a target."""
    segments: list[int]
    """0 for the shared beginning; a token sees its own segment and segment 0."""
    positions: list[tuple[int, int, int]]
    """Temporal, height and width position of each token."""
    picture: int | None


class Encoder:
    """Encodes documents with the lab's tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer

        def special(token: str) -> int:
            return token_id(tokenizer, token)

        self.pad = special("<|endoftext|>")
        self.end_of_text = self.pad
        self.image = special("<|image_pad|>")
        self.plain_tokens = range(len(SPECIAL_TOKENS), VOCABULARY_SIZE)
        self._image_ids = [
            special("<|vision_start|>"),
            *[self.image] * N_IMAGE_TOKENS,
            special("<|vision_end|>"),
        ]
        self._text = lru_cache(maxsize=200_000)(self._encode)
        self._headers = {role: self._encode(f"<|im_start|>{role}\n") for role in ("user", "assistant")}
        self._end = self._encode("<|im_end|>")
        self._newline = self._encode("\n")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _turn(self, line: Line, *, header: bool) -> tuple[list[int], list[float]]:
        """Return a turn's tokens; the header and end marker of a weighted turn count as its text does."""
        head = self._headers[line.role] if header else []
        body = self._text(line.text)
        open_weight = line.weight if line.role == "user" else 0.0
        ids = [*head, *body, *self._end, *self._newline]
        weights = [open_weight] * len(head) + [line.weight] * (len(body) + 1) + [0.0] * len(self._newline)
        return ids, weights

    def row(self, document: Document) -> TokenRow:
        """Return the document's tokens; question chats become segments, all else one segment."""
        ids: list[int] = list(self._headers["user"])
        positions = [(i, i, i) for i in range(len(ids))]
        if document.picture is not None:
            ids += self._image_ids
            start = len(positions)
            positions.append((start, start, start))
            base = start + 1
            positions += [(base, base + i // _GRID, base + i % _GRID) for i in range(N_IMAGE_TOKENS)]
            positions.append((base + _GRID,) * 3)
        after = positions[-1][0] + 1
        weights, segments = [0.0] * len(ids), [0] * len(ids)
        split = document.picture is None or all(
            line.weight == 0 for line in document.lines if line.role == "user"
        )
        split = split and not any(line.text == "Describe the image." for line in document.lines[2:])
        split = split and document.lines[0].text != "Describe the image."
        at, segment = after, 1
        for index, line in enumerate(document.lines):
            if split and index and line.role == "user":
                at, segment = after, segment + 1
            first = index == 0 or (split and line.role == "user")
            new, new_weights = self._turn(line, header=not first)
            ids += new
            weights += new_weights
            segments += [segment] * len(new)
            positions += [(at + i,) * 3 for i in range(len(new))]
            at += len(new)
        if not split:
            ids.append(self.end_of_text)
            weights.append(0.4)
            segments.append(segment)
            positions.append((at,) * 3)
        return TokenRow(ids, weights, segments, positions, document.picture)


def repeated(rng: random.Random, length: int, vocabulary: range) -> TokenRow:
    """Return random tokens, repeated; every repetition counts. The plainest lesson in copying there is."""
    part = [rng.choice(vocabulary) for _ in range(rng.randint(4, length // 2))]
    ids = (part * (length // len(part) + 1))[:length]
    weights = [0.0] * len(part) + [1.0] * (length - len(part))
    return TokenRow(ids, weights, [1] * length, [(i, i, i) for i in range(length)], None)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right."""

    ids: torch.Tensor
    """(B, T) int64."""
    targets: torch.Tensor
    """(N,) int64: the tokens that count."""
    target_index: torch.Tensor
    """(N,) int64: flat index, in (B, T), of the position that predicts each target."""
    target_weights: torch.Tensor
    """(N,) float32."""
    mask: torch.Tensor
    """(B, 1, T, T) bool, true where the query may look."""
    positions: torch.Tensor
    """(3, B, T) int64."""
    pictures: list[int]
    """Pictures of the rows that have one, in row order."""


def batch(rows: Sequence[TokenRow], pad: int) -> Batch:
    """Return the rows as one batch."""
    n, length = len(rows), max(len(row.ids) for row in rows)
    length = -(-length // 8) * 8
    ids = np.full((n, length), pad, dtype=np.int64)
    segments = np.full((n, length), -1, dtype=np.int64)
    weights = np.zeros((n, length), dtype=np.float32)
    positions = np.zeros((3, n, length), dtype=np.int64)
    for i, row in enumerate(rows):
        k = len(row.ids)
        ids[i, :k], segments[i, :k], weights[i, :k] = row.ids, row.segments, row.weights
        positions[:, i, :k] = np.array(row.positions).T
    causal = np.tril(np.ones((length, length), dtype=bool))
    mask = causal & ((segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0))
    mask |= np.eye(length, dtype=bool)
    at = np.argwhere(weights > 0)
    # A segment's first counted token may follow the shared beginning: the last token it sees predicts it.
    first = np.argmax(segments == 1, axis=1)
    starts = (segments[at[:, 0], at[:, 1] - 1] != segments[at[:, 0], at[:, 1]]) & (at[:, 1] > 0)
    predictor = np.where(starts, first[at[:, 0]] - 1, at[:, 1] - 1)
    return Batch(
        ids=torch.from_numpy(ids),
        targets=torch.from_numpy(ids[at[:, 0], at[:, 1]]),
        target_index=torch.from_numpy(at[:, 0] * length + predictor),
        target_weights=torch.from_numpy(weights[at[:, 0], at[:, 1]]),
        mask=torch.from_numpy(mask[:, None]),
        positions=torch.from_numpy(positions),
        pictures=[row.picture for row in rows if row.picture is not None],
    )
