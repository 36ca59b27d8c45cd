"""Attention for training: rows that lie one after another without padding, each blind to the others.

A packed batch is one row of many segments. Linear layers see no padding; attention goes segment by segment,
neighbours of equal length in one product. On a CPU query heads that share a key head attend in one product,
because PyTorch's fused CPU attention is slow backwards; on other devices it is the fused one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from acclimate.train.packed_attention import packed_attention

LANGUAGE = "acclimate_segments"
"""Name under which `segment_attention` is known to transformers."""
VISION = "acclimate_flash_segments"
"""The same for Qwen's vision towers. They hand an attention whose name holds `flash` all pictures at once,
with their lengths, and any other one picture after another."""

GROUPED_TOKENS = 1024
"""On a CPU, rows up to this length take our grouped attention; longer ones need too much memory for their
scores and take PyTorch's fused attention. Our own rule."""
_OUT_OF_SIGHT = -1e4


@dataclass(frozen=True, slots=True)
class Segments:
    """How a packed row is divided; passed through the model to its attention as it is."""

    lengths: tuple[int, ...]
    """In tokens, in order; padding behind the last one belongs to no segment."""

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Return (how many, how long) for each run of neighbours of one length."""
        return _runs(self.lengths)

    def marker(self) -> Tensor:
        """Return what stands for the attention mask: four dimensions, which transformers passes on as is."""
        return torch.tensor(self.lengths, dtype=torch.int64).view(1, 1, 1, -1)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def segment_attention(  # noqa: PLR0913 -- transformers' own signature
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    segments: Segments | None = None,
    cu_seq_lens_q: Tensor | None = None,
    sliding_window: int | None = None,
    **_: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Attend; equal to softmax(q k^T * scaling + mask) v, with every segment by itself where there are any.

    Args:
        query: (B, heads, T, size); key and value (B, key-value heads, L, size). B is 1 where there are
            segments.
        attention_mask: (B, 1, T, L), boolean (true is seen) or added to the scores; None is causal where the
            module is, else everything is seen; the segments' marker where there are segments.
        segments: of the language model's packed row; a vision tower gets them too and must not use them.
        cu_seq_lens_q: where a vision tower's pictures (or windows) begin and end, (n + 1,).
        sliding_window: positions a packed token sees at most, itself included.

    Returns:
        (B, T, heads, size), and no weights.
    """
    rate = dropout if module.training else 0.0
    is_language = segments is not None and attention_mask is not None and attention_mask.dtype == torch.int64
    if is_language and segments is not None:
        runs, causal = segments.runs, True
    elif cu_seq_lens_q is not None:
        runs, causal = _runs(tuple(torch.diff(cu_seq_lens_q).tolist())), False
    else:
        causal = attention_mask is None and bool(getattr(module, "is_causal", False)) and query.shape[2] > 1
        out = _attend(query, key, value, _Mask(attention_mask, causal=causal), scaling, rate)
        return out.transpose(1, 2).contiguous(), None
    mask = _Mask(None, causal=causal, window=sliding_window if causal else None)
    sizes = [n * length for n, length in runs]
    rest = query.shape[2] - sum(sizes)
    if segments is not None and is_language and not rate and _short_on_cpu(query, segments):
        return _on_cpu(query, key, value, segments, rest, scaling, mask.window), None
    parts = zip(*(_split(tensor, sizes, rest) for tensor in (query, key, value)), strict=True)
    outs = [
        _fold(_attend(_unfold(q, n), _unfold(k, n), _unfold(v, n), mask, scaling, rate))
        for (q, k, v), (n, _length) in zip(parts, runs, strict=True)
    ]
    if rest:
        outs.append(query.new_zeros((1, rest, query.shape[1], value.shape[-1])))
    return torch.cat(outs, dim=1), None


def _short_on_cpu(query: Tensor, segments: Segments) -> bool:
    return query.device.type == "cpu" and max(segments.lengths) <= GROUPED_TOKENS


def _on_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    rest: int,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """Return (1, N, heads, size); what pads the pack is a row of its own."""
    lengths = (*segments.lengths, rest) if rest else segments.lengths
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    mixed = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if mixed else query.dtype
    with torch.autocast("cpu", enabled=False):
        return packed_attention(query.to(dtype), key.to(dtype), value.to(dtype), lengths, scale, window)


def register() -> None:
    """Make the attention known to transformers."""
    for name in (LANGUAGE, VISION):
        transformers.AttentionInterface.register(name, segment_attention)
        transformers.AttentionMaskInterface.register(name, transformers.masking_utils.sdpa_mask)


def use(model: Any) -> None:  # noqa: ANN401
    """Make a model of transformers attend by `segment_attention`, its vision tower included."""
    register()
    model.set_attn_implementation(LANGUAGE)
    for module in model.modules():
        config = getattr(module, "config", None)
        if hasattr(module, "blocks") and hasattr(module, "patch_embed") and config is not None:
            config._attn_implementation = VISION


@dataclass(frozen=True, slots=True)
class _Mask:
    """What a query sees."""

    tensor: Tensor | None
    causal: bool
    window: int | None = None


def _runs(lengths: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((len(list(group)), length) for length, group in groupby(lengths) if length)


def _split(tensor: Tensor, sizes: Sequence[int], rest: int) -> Sequence[Tensor]:
    return torch.split(tensor, [*sizes, rest] if rest else list(sizes), dim=2)[: len(sizes)]


def _unfold(tensor: Tensor, n: int) -> Tensor:
    """Return (1, heads, n L, size) as (n, heads, L, size)."""
    return tensor[0].reshape(tensor.shape[1], n, -1, tensor.shape[3]).transpose(0, 1)


def _fold(tensor: Tensor) -> Tensor:
    """Return (n, heads, L, size) as (1, n L, heads, size)."""
    return tensor.transpose(1, 2).flatten(0, 1)[None]


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: _Mask, scaling: float | None, dropout: float
) -> Tensor:
    """Return (B, heads, T, size)."""
    if query.device.type == "cpu" and key.shape[2] <= GROUPED_TOKENS:
        return _grouped(query, key, value, mask, scaling, dropout)
    tensor = mask.tensor
    if mask.window is not None and mask.window < query.shape[2]:
        tensor = _band(query.shape[2], mask.window, query.device)
    out: Tensor = nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=tensor,
        dropout_p=dropout,
        is_causal=mask.causal and tensor is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out


def _grouped(
    query: Tensor, key: Tensor, value: Tensor, mask: _Mask, scaling: float | None, dropout: float
) -> Tensor:
    """Attend with the query heads of a key head in one product.

    Source: our own arrangement of grouped-query attention (Ainslie et al. 2023).
    """
    n, heads, length, size = query.shape
    shared, n_keys = key.shape[1], key.shape[2]
    scale = size**-0.5 if scaling is None else scaling
    scores = torch.matmul((query * scale).reshape(n, shared, -1, size), key.transpose(2, 3))
    scores = scores.view(n, heads, length, n_keys)
    if mask.causal:
        scores = scores + _causal(length, n_keys, mask.window, scores.dtype, scores.device)
    elif mask.tensor is not None and mask.tensor.dtype == torch.bool:
        scores = scores.masked_fill(~mask.tensor, _OUT_OF_SIGHT)
    elif mask.tensor is not None:
        scores = scores + mask.tensor[..., :n_keys]
    weights = torch.softmax(scores, -1).to(value.dtype)
    if dropout:
        weights = nn.functional.dropout(weights, dropout)
    return torch.matmul(weights.view(n, shared, -1, n_keys), value).view(n, heads, length, value.shape[-1])


def _causal(length: int, n_keys: int, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what is added to scores, (T, L): nothing where a query sees a key."""
    hidden = torch.ones(length, n_keys, dtype=torch.bool, device=device).tril(n_keys - length)
    if window is not None:
        hidden &= ~hidden.tril(n_keys - length - window)
    return torch.where(hidden, 0.0, _OUT_OF_SIGHT).to(dtype)


def _band(length: int, window: int, device: torch.device) -> Tensor:
    """Return which key each query sees, (T, T)."""
    seen = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return seen & ~seen.tril(-window)
