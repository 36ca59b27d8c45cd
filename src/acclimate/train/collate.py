"""Rows as batches: packed one after another without padding, or padded to a rectangle."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import Dataset

from acclimate.engines.encode import PER_TOKEN_INPUTS, Encoded, collate_rows, joined
from acclimate.errors import TrainError
from acclimate.train.attention import Segments
from acclimate.train.rows import Positions, Row, Rows
from acclimate.train.schedule import Pass, Step

_LINKED = 2
"""In `Row.trained`: the position is passed through the head and counts for nothing."""
MULTIPLE = 64
"""A pack's tokens are padded to a multiple of this: kernels are made anew for every new size, which on a CPU
costs more than the products themselves. Our own rule."""
_MOST_BEGINNINGS = 512
Collate = Callable[[Sequence[Row]], dict[str, Any]]


class Steps(Dataset[dict[str, Any]]):
    """The run's optimizer steps, each with one process's passes collated."""

    def __init__(self, rows: Rows, steps: Sequence[Step], collate: Collate, rank: int = 0) -> None:
        """Collate on demand."""
        self._rows = rows
        self._steps = steps
        self._collate = collate
        self._rank = rank

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(self._steps)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `batches`, a list of what `collate` returns, and the ids of each one's rows."""
        passes = self._steps[index].passes[self._rank]
        rows = [self._rows_of(each) for each in passes]
        return {
            "batches": [self._collate(each) for each in rows],
            "ids": [[row.id for row in each] for each in rows],
        }

    def _rows_of(self, each: Pass) -> list[Row]:
        rows = [self._rows[position] for position in each.rows]
        if each.filler is not None:
            filler = self._rows[each.filler]
            rows.append(replace(filler, trained=bytes(len(filler.input_ids) - 1) + bytes([_LINKED])))
        return rows


def padded(rows: Sequence[Row], *, pad_id: int, image_token_id: int) -> dict[str, Any]:
    """Pad rows to one batch.

    Args:
        rows: 1 to B rows; of Mllama, with the same number of images.
        pad_id: what rows are padded with, on the right.
        image_token_id: the token an image is expanded to.

    Returns:
        input_ids and attention_mask (B, T) int64; `trained` (B, T) bool, where the loss counts a token, and
        `linked` where a filler's last token is passed through the head; whatever else the forward takes,
        images in row order.

    Raises:
        TrainError: a row's image tokens are not as many as its images' features.
    """
    _require_features(rows, image_token_id)
    encoded = [Encoded(list(row.input_ids), [], dict(row.model_inputs)) for row in rows]
    batch = collate_rows(encoded, pad_id=pad_id)
    trained = torch.zeros(batch["input_ids"].shape, dtype=torch.uint8)
    for index, row in enumerate(rows):
        trained[index, : len(row.trained)] = _flags(row)
    return {**batch, **_flagged(trained)}


def packed(rows: Sequence[Row], *, pad_id: int, image_token_id: int) -> dict[str, Any]:
    """Put rows one after another, each blind to the others.

    Positions begin anew in every row, and attention is told where rows begin and end, so the loss and its
    gradients are those of the rows by themselves.

    Args:
        rows: 1 to B rows, with any numbers of images. pad_id, image_token_id: as for `padded`; the whole is
            padded to a multiple of `MULTIPLE`.

    Returns:
        input_ids, `trained`, `linked` and position_ids (1, T), or (4, 1, T) where a family's positions have
        several axes (the first is the plain one); attention_mask, a marker; `segments`, see `attention`;
        whatever else the forward takes, images in row order.

    Raises:
        TrainError: as `padded`.
    """
    _require_features(rows, image_token_id)
    segments = Segments(tuple(len(row.input_ids) for row in rows))
    rest = -sum(segments.lengths) % MULTIPLE
    plain = torch.cat([*(torch.arange(length) for length in segments.lengths), torch.zeros(rest).long()])[
        None
    ]
    ids = [torch.from_numpy(np.asarray(row.input_ids, dtype=np.int64)) for row in rows]
    batch: dict[str, Any] = {
        "input_ids": torch.cat([*ids, torch.full((rest,), pad_id)])[None],
        **_flagged(torch.cat([*(_flags(row) for row in rows), torch.zeros(rest, dtype=torch.uint8)])[None]),
        "attention_mask": segments.marker(),
        "segments": segments,
        "position_ids": plain,
    }
    if rows[0].positions is not None:
        axes = torch.cat([row.positions for row in rows if row.positions is not None], dim=1)
        batch["position_ids"] = torch.cat([plain, nn.functional.pad(axes, (0, rest))])[:, None]
    for name in sorted({name for row in rows for name in row.model_inputs}):
        if name in PER_TOKEN_INPUTS:
            tensors = [_per_token(row, name) for row in rows]
            batch[name] = nn.functional.pad(torch.cat(tensors, dim=1), (0, rest))
        else:
            batch[name] = joined([row.model_inputs[name] for row in rows if name in row.model_inputs])
    return batch


@dataclass(frozen=True, slots=True)
class RopeIndex:
    """Finds the positions of a family whose positions have several axes, by the family's own code.

    After its last picture a row goes on by ones on every axis, so what the family says of everything up to
    there is kept: a row with the same beginning and pictures of the same size need not ask again.
    """

    model: Any
    """Without weights."""
    beginnings: dict[tuple[bytes, bytes], Tensor] = field(default_factory=dict)
    """Positions up to the last image token, by tokens and grids."""

    def __call__(self, row: Encoded) -> Tensor:
        """Return the row's positions, (3, T)."""
        length = len(row.input_ids)
        grids, types = (row.model_inputs.get(name) for name in ("image_grid_thw", "mm_token_type_ids"))
        if grids is None or types is None or not bool(types.any()):
            return torch.arange(length).expand(3, -1)
        ids = torch.from_numpy(np.asarray(row.input_ids, dtype=np.int64))
        end = int(types[0].nonzero()[-1]) + 1
        key = (ids[:end].numpy().tobytes(), grids.numpy().tobytes())
        beginning = self.beginnings.get(key)
        if beginning is None:
            found = self.model.get_rope_index(ids[None], mm_token_type_ids=types, image_grid_thw=grids)[0]
            beginning = found[:, 0, :end].clone()
            if len(self.beginnings) == _MOST_BEGINNINGS:
                self.beginnings.clear()
            self.beginnings[key] = beginning
        first = int(beginning.max()) + 1
        rest = torch.arange(first, first + length - end).expand(3, -1)
        return torch.cat([beginning, rest], dim=1)


def positions_of(model: Path) -> Positions | None:
    """Return what finds a family's positions where they are not 0, 1, 2, ...; None where they are.

    Source: multimodal rotary positions (Qwen2-VL, Wang et al. 2024), as transformers computes them.
    """
    settings = transformers.AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        auto: Any = transformers.AutoModelForImageTextToText
        inner = auto.from_config(settings).model
    return RopeIndex(inner) if hasattr(inner, "get_rope_index") else None


def _require_features(rows: Iterable[Row], image_token_id: int) -> None:
    for row in rows:
        n_tokens = row.input_ids.count(image_token_id)
        if n_tokens != row.n_image_tokens:
            raise TrainError(
                f"Conversation {row.id} has {n_tokens} image tokens and {row.n_image_tokens} image features, "
                "so the model would read its pictures wrongly. The checkpoint's processor and chat template "
                "do not belong together; copy both from the model they were published with."
            )


def _flags(row: Row) -> Tensor:
    return torch.frombuffer(bytearray(row.trained), dtype=torch.uint8)


def _flagged(trained: Tensor) -> dict[str, Tensor]:
    linked = trained == _LINKED
    return {"trained": trained == 1, **({"linked": linked} if bool(linked.any()) else {})}


def _per_token(row: Row, name: str) -> Tensor:
    value = row.model_inputs.get(name)
    return torch.zeros((1, len(row.input_ids)), dtype=torch.int64) if value is None else value
