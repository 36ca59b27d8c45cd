"""Causal attention over rows that lie one after another, for CPUs: one gather in, one gather out.

Every row is by itself, rounded up to a multiple of `MULTIPLE` positions, because matrix products of odd sizes
are several times slower on a CPU; rows of one rounded length go through one product. Long rows are cut into
pieces of queries, each multiplied only by the keys up to its end. Backwards is written out, so that PyTorch
keeps one node per layer and not thirty per row.
"""
# ruff: noqa: ANN401

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

MULTIPLE = 32
PIECE = 128
"""Queries of a row that are multiplied at once, at most. Our own rule, as `MULTIPLE`."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some queries of all rows of one rounded length."""

    n_rows: int
    row_length: int
    """Rounded up."""
    first: int
    """Position in the row."""
    n_queries: int

    @property
    def n_keys(self) -> int:
        """Return where the piece ends in the row: later keys are out of sight."""
        return self.first + self.n_queries

    @property
    def is_last(self) -> bool:
        """Return whether the row ends with the piece."""
        return self.n_keys == self.row_length


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the rows of a pack go: blocks [piece][row][head][position], one behind the other."""

    pieces: tuple[_Piece, ...]
    """Of the shortest rows first; a row's pieces in order."""
    queries: tuple[Tensor, Tensor]
    """Which of the (heads N) queries stands in each place of the blocks, and the place of each query."""
    keys: tuple[Tensor, Tensor]
    """The same for the (key-value heads N) keys and values, whose rows are in one piece."""
    window: int | None
    masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def mask(self, piece: _Piece, dtype: torch.dtype) -> Tensor:
        """Return what is added to scores, (n_queries, n_keys)."""
        key = (piece.first, piece.n_queries)
        found = self.masks.get(key)
        if found is None:
            hidden = torch.full((piece.n_queries, piece.n_keys), float("-inf"), dtype=dtype)
            found = hidden.triu(piece.first + 1)
            if self.window is not None:
                found += hidden.tril(piece.first - self.window)
            self.masks[key] = found
        return found


@lru_cache(maxsize=4)
def _plan(
    lengths: tuple[int, ...], heads: int, shared: int, window: int | None, _dtype: torch.dtype
) -> _Plan:
    rows = sorted(Counter(map(_rounded, lengths)).items())
    pieces = [piece for length, count in rows for piece in _pieces(count, length)]
    whole = [_Piece(count, length, 0, length) for length, count in rows]
    return _Plan(tuple(pieces), _places(lengths, pieces, heads), _places(lengths, whole, shared), window)


def _rounded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


def _pieces(n_rows: int, length: int) -> Iterator[_Piece]:
    size = _rounded(-(-length // -(-length // PIECE)))
    for first in range(0, length, size):
        yield _Piece(n_rows, length, first, min(size, length - first))


def _places(lengths: Sequence[int], pieces: Sequence[_Piece], heads: int) -> tuple[Tensor, Tensor]:
    total = sum(lengths)
    starts = [0, *accumulate(lengths)]
    rows: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        rows.setdefault(_rounded(length), []).append(row)
    into: list[Tensor] = []
    out = torch.empty(heads, total, dtype=torch.int64)
    head = torch.arange(heads)[:, None]
    begin = 0
    for piece in pieces:
        for row in rows[piece.row_length]:
            # What fills a row up repeats its last position, which no earlier one sees.
            positions = torch.arange(piece.first, piece.n_keys)
            into.append((head * total + starts[row] + positions.clamp(max=lengths[row] - 1)).flatten())
            real = positions[positions < lengths[row]]
            out[:, starts[row] + real] = begin + head * piece.n_queries + real - piece.first
            begin += heads * piece.n_queries
    return torch.cat(into), out.flatten()


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scale: float, window: int | None
) -> Tensor:
    """Return softmax(scale q k^T + mask) v, every row blind to the others and to what comes after.

    Args:
        query: (1, heads, N, size); key and value (1, key-value heads, N, size).
        lengths: of the rows, in order; they sum to N.
        window: positions a token sees at most, itself included.

    Returns:
        (1, heads, N, size).
    """
    plan = _plan(lengths, query.shape[1], key.shape[1], window, query.dtype)
    out: Tensor = _Packed.apply(query, key, value, plan, scale)  # type: ignore[no-untyped-call]
    return out


class _Packed(torch.autograd.Function):
    """Source: grouped-query attention (Ainslie et al. 2023) and the softmax's derivative; our arrangement."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: _Plan, scale: float) -> Tensor:
        heads, n, size = query.shape[1:]
        shared = key.shape[1]
        queries = (query[0] * scale).reshape(-1, size).index_select(0, plan.queries[0])
        keys = key[0].reshape(-1, size).index_select(0, plan.keys[0])
        values = value[0].reshape(-1, size).index_select(0, plan.keys[0])
        out = torch.empty_like(queries)
        weights = []
        blocks = zip(
            plan.pieces,
            *(_query_blocks(each, plan, heads, shared) for each in (queries, out)),
            *(_key_blocks(each, plan, shared) for each in (keys, values)),
            strict=True,
        )
        for piece, one_query, one_out, one_key, one_value in blocks:
            scores = torch.bmm(one_query, one_key.transpose(1, 2)).view(-1, piece.n_queries, piece.n_keys)
            scores += plan.mask(piece, scores.dtype)
            weights.append(torch.softmax(scores, -1).view(len(one_key), -1, piece.n_keys))
            torch.bmm(weights[-1], one_value, out=one_out)
        ctx.plan, ctx.scale, ctx.shape = plan, scale, (heads, shared, n, size)
        ctx.save_for_backward(queries, keys, values, *weights)
        return out.index_select(0, plan.queries[1]).view(1, heads, n, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        queries, keys, values, *weights = ctx.saved_tensors
        plan, (heads, shared, n, size) = ctx.plan, ctx.shape
        above = torch.zeros_like(queries)
        above.index_copy_(0, plan.queries[1], gradients[0][0].reshape(-1, size))
        to_queries, to_keys, to_values = (torch.empty_like(each) for each in (queries, keys, values))
        blocks = zip(
            plan.pieces,
            weights,
            *(_query_blocks(each, plan, heads, shared) for each in (queries, above, to_queries)),
            *(_key_blocks(each, plan, shared) for each in (keys, values, to_keys, to_values)),
            strict=True,
        )
        for piece, seen, query, gradient, to_query, key, value, to_key, to_value in reversed(list(blocks)):
            to_weights = torch.bmm(gradient, value.transpose(1, 2))
            to_scores = torch._softmax_backward_data(to_weights, seen, -1, seen.dtype)
            torch.bmm(to_scores, key, out=to_query)
            if piece.is_last:  # and comes first here: it alone reaches every key
                torch.bmm(seen.transpose(1, 2), gradient, out=to_value)
                torch.bmm(to_scores.transpose(1, 2), query, out=to_key)
            else:
                to_value.baddbmm_(seen.transpose(1, 2), gradient)
                to_key.baddbmm_(to_scores.transpose(1, 2), query)
        return (
            to_queries.index_select(0, plan.queries[1]).view(1, heads, n, size).mul_(ctx.scale),
            to_keys.index_select(0, plan.keys[1]).view(1, shared, n, size),
            to_values.index_select(0, plan.keys[1]).view(1, shared, n, size),
            None,
            None,
        )


def _query_blocks(tensor: Tensor, plan: _Plan, heads: int, shared: int) -> list[Tensor]:
    """Return the pieces of a tensor of blocks: (rows x key-value heads, queries that share one, size)."""
    parts = torch.split(tensor, [heads * piece.n_rows * piece.n_queries for piece in plan.pieces])
    return [
        part.view(piece.n_rows * shared, -1, tensor.shape[1])
        for part, piece in zip(parts, plan.pieces, strict=True)
    ]


def _key_blocks(tensor: Tensor, plan: _Plan, shared: int) -> list[Tensor]:
    """Return of each piece the keys that it sees, (rows x key-value heads, keys, size), as views."""
    last = [piece for piece in plan.pieces if piece.is_last]
    parts = iter(torch.split(tensor, [shared * piece.n_rows * piece.n_keys for piece in last]))
    found, whole = [], tensor
    for piece in plan.pieces:
        if piece.first == 0:
            whole = next(parts).view(piece.n_rows * shared, -1, tensor.shape[1])
        found.append(whole[:, : piece.n_keys])
    return found
