"""Causal attention over rows that lie one after another, for CPUs: one gather in, one gather out.

Every row is by itself, and its positions are rounded up to a multiple of `MULTIPLE`, because matrix products
of odd sizes are several times slower on a CPU. Backwards is written out, so that PyTorch keeps one node per
layer and not thirty per row.
"""
# ruff: noqa: ANN401

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

MULTIPLE = 32


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the rows of a pack go: blocks [row][head][position], one behind the other."""

    groups: tuple[tuple[int, int], ...]
    """(rows, positions of each, rounded up), from the shortest rows to the longest."""
    queries: tuple[Tensor, Tensor]
    """Which of the (heads N) queries stands in each place of the blocks, and the place of each query."""
    keys: tuple[Tensor, Tensor]
    """The same for the (key-value heads N) keys."""
    values: tuple[Tensor, Tensor]
    """The same for the (N key-value heads) values, which is how they leave their projection."""
    outs: Tensor
    """The place of each of the (N heads) results, which is how the next projection wants them."""
    window: int | None
    masks: dict[int, Tensor] = field(default_factory=dict)

    def mask(self, length: int, dtype: torch.dtype) -> Tensor:
        """Return what is added to scores, (length, length)."""
        found = self.masks.get(length)
        if found is None:
            found = torch.full((length, length), float("-inf"), dtype=dtype).triu(1)
            if self.window is not None:
                found += torch.full((length, length), float("-inf"), dtype=dtype).tril(-self.window)
            self.masks[length] = found
        return found


@lru_cache(maxsize=4)
def _plan(
    lengths: tuple[int, ...], heads: int, shared: int, window: int | None, _dtype: torch.dtype
) -> _Plan:
    rounded = [-(-length // MULTIPLE) * MULTIPLE for length in lengths]
    groups = tuple(sorted(Counter(rounded).items()))
    queries, keys = _places(lengths, rounded, heads), _places(lengths, rounded, shared)
    return _Plan(
        tuple((count, length) for length, count in groups),
        queries,
        keys,
        _position_first(*keys, shared),
        _position_first(*queries, heads)[1],
        window,
    )


def _places(lengths: Sequence[int], rounded: Sequence[int], heads: int) -> tuple[Tensor, Tensor]:
    total = sum(lengths)
    starts = [0, *accumulate(lengths)]
    into: list[Tensor] = []
    out = torch.empty(heads, total, dtype=torch.int64)
    begin = 0
    head = torch.arange(heads)[:, None]
    for row in sorted(range(len(lengths)), key=lambda row: rounded[row]):
        length, places, start = lengths[row], rounded[row], starts[row]
        # What fills a row up repeats its last position, which no earlier one sees.
        positions = torch.arange(places).clamp(max=length - 1) + start
        into.append((head * total + positions).flatten())
        out[:, start : start + length] = begin + head * places + torch.arange(length)
        begin += heads * places
    return torch.cat(into), out.flatten()


def _position_first(into: Tensor, out: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Return what `_places` gives for (N heads) instead of (heads N)."""
    n = len(out) // heads
    return into % n * heads + into // n, out.view(heads, n).t().flatten()


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], scale: float, window: int | None
) -> Tensor:
    """Return softmax(scale q k^T + mask) v, every row blind to the others and to what comes after.

    Args:
        query: (1, heads, N, size); key and value (1, key-value heads, N, size).
        lengths: of the rows, in order; they sum to N.
        window: positions a token sees at most, itself included.

    Returns:
        (1, N, heads, size).
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
        values = value[0].transpose(0, 1).reshape(-1, size).index_select(0, plan.values[0])
        out = torch.empty_like(queries)
        weights = []
        blocks = zip(*(_blocks(each, plan, shared) for each in (queries, keys, values, out)), strict=True)
        for (_, length), (one_query, one_key, one_value, one_out) in zip(plan.groups, blocks, strict=True):
            scores = torch.bmm(one_query, one_key.transpose(1, 2)).view(-1, length, length)
            scores += plan.mask(length, scores.dtype)
            weights.append(torch.softmax(scores, -1).view(len(one_key), -1, length))
            torch.bmm(weights[-1], one_value, out=one_out)
        ctx.plan, ctx.scale, ctx.shape = plan, scale, (heads, shared, n, size)
        ctx.save_for_backward(queries, keys, values, *weights)
        return out.index_select(0, plan.outs).view(1, n, heads, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        queries, keys, values, *weights = ctx.saved_tensors
        plan, (heads, shared, n, size) = ctx.plan, ctx.shape
        above = torch.zeros_like(queries)
        above.index_copy_(0, plan.outs, gradients[0][0].reshape(-1, size))
        to_queries, to_keys, to_values = (torch.empty_like(each) for each in (queries, keys, values))
        every = (queries, keys, values, above, to_queries, to_keys, to_values)
        blocks = zip(*(_blocks(each, plan, shared) for each in every), strict=True)
        for seen, (query, key, value, gradient, to_query, to_key, to_value) in zip(
            weights, blocks, strict=True
        ):
            torch.bmm(seen.transpose(1, 2), gradient, out=to_value)
            to_weights = torch.bmm(gradient, value.transpose(1, 2))
            to_scores = torch._softmax_backward_data(to_weights, seen, -1, seen.dtype)
            torch.bmm(to_scores, key, out=to_query)
            torch.bmm(to_scores.transpose(1, 2), query, out=to_key)
        return (
            to_queries.index_select(0, plan.queries[1]).view(1, heads, n, size).mul_(ctx.scale),
            to_keys.index_select(0, plan.keys[1]).view(1, shared, n, size),
            to_values.index_select(0, plan.values[1]).view(1, n, shared, size).transpose(1, 2),
            None,
            None,
        )


def _blocks(tensor: Tensor, plan: _Plan, shared: int) -> list[Tensor]:
    """Return the groups' parts of a tensor of blocks, each (rows x key-value heads, positions, size)."""
    total = sum(count * length for count, length in plan.groups)
    n_heads = len(tensor) // total
    parts = torch.split(tensor, [count * length * n_heads for count, length in plan.groups])
    return [
        part.view(count * shared, -1, tensor.shape[1])
        for part, (count, _) in zip(parts, plan.groups, strict=True)
    ]
