"""A key-value cache of fixed size whose rows are at different places, and attention that is fast on it.

A decode step always works on all rows at the full cache length, so a row's numbers depend on its own prompt
and place only, never on which rows stand beside it or when they came.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import transformers
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROUPED_ATTENTION = "acclimate_grouped"
"""Name under which `grouped_attention` is known to transformers."""

Module: TypeAlias = Any
"""A module of transformers: what we use of it has no common type."""

# Above this many scores per call the matrix of scores costs more than it saves. Our own rule.
_MOST_SCORES = 64_000_000


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, (rows, key-value heads, length, head size)."""

    is_compileable = False
    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, *, grows: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys = keys
        self.values = values
        self.is_initialized = True
        self.grows = grows
        """False for cross attention: its keys are the image's and stay as they are."""
        self.places: Tensor | None = None
        """Where each row's next token goes, an index into the flattened (rows, heads, length)."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the layer is made whole."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write one token per row and return all keys and values."""
        if self.places is None:
            raise RuntimeError("a slot layer was written before it was told where")
        size = self.keys.shape[-1]
        self.keys.view(-1, size).index_copy_(0, self.places, key_states.reshape(-1, size))
        value_size = self.values.shape[-1]
        self.values.view(-1, value_size).index_copy_(0, self.places, value_states.reshape(-1, value_size))
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
        """Return the length of the keys and their offset."""
        return self.get_max_length(), 0

    def get_seq_length(self) -> int:
        """Return the full length: rows have no common one."""
        return self.get_max_length()

    def get_max_length(self) -> int:
        """Return the full length."""
        return int(self.keys.shape[2])


class SlotCache(Cache):
    """Rows that come and go, over layers of fixed length."""

    def __init__(self, filled: Sequence[Any], n_rows: int, prompt_length: int, length: int) -> None:
        """Make an empty cache shaped after a filled one.

        Args:
            filled: layers of a cache after a prompt of `prompt_length` tokens.
            n_rows: of the new cache.
            length: tokens per row, prompt included.
        """
        layers: list[Any] = []
        for layer in filled:
            if layer.keys is None or layer.values is None:
                layers.append(layer)
                continue
            grows = layer.keys.shape[2] == prompt_length
            long = length if grows else layer.keys.shape[2]
            keys = layer.keys.new_zeros((n_rows, layer.keys.shape[1], long, layer.keys.shape[3]))
            values = layer.values.new_zeros((n_rows, layer.values.shape[1], long, layer.values.shape[3]))
            layers.append(SlotLayer(keys, values, grows=grows))
        super().__init__(layers=layers)
        self._prompt_length = prompt_length
        heads = next(layer.keys.shape[1] for layer in layers if isinstance(layer, SlotLayer))
        device = next(layer.keys.device for layer in layers if isinstance(layer, SlotLayer))
        self._row_heads = (torch.arange(n_rows * heads, device=device) * length).view(n_rows, heads)

    def put(self, filled: Sequence[Any], slots: Sequence[int]) -> None:
        """Copy the first rows of a filled cache into slots."""
        index = torch.tensor(slots, device=self._row_heads.device)
        for layer, source in zip(self.layers, filled, strict=True):
            if isinstance(layer, SlotLayer) and source.keys is not None and source.values is not None:
                n_tokens = source.keys.shape[2]
                layer.keys[index, :, :n_tokens] = source.keys[: len(slots)]
                layer.values[index, :, :n_tokens] = source.values[: len(slots)]

    def write_at(self, places: Tensor) -> None:
        """Say where the next token of each row goes, (rows,), in tokens from the start of the row."""
        flat = (self._row_heads + places[:, None]).reshape(-1)
        for layer in self.layers:
            if isinstance(layer, SlotLayer) and layer.grows:
                layer.places = flat


def grouped_attention(
    module: Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Module,
) -> tuple[Tensor, None]:
    """Attend with grouped heads without copying keys and values for each head of a group.

    On a CPU several times faster for one new token than the fused kernel, most of all in bfloat16. Softmax is
    in float32. Source: our own arrangement of grouped-query attention (Ainslie et al. 2023).

    Args:
        query: (B, heads, T, size); key and value (B, key-value heads, L, size).
        attention_mask: added to the scores, (B, 1, T, L), or boolean.
    """
    n_rows, n_heads, n_queries, size = query.shape
    n_kv_heads, n_keys = key.shape[1], key.shape[2]
    if attention_mask is None or n_rows * n_heads * n_queries * n_keys > _MOST_SCORES:
        sdpa = transformers.integrations.sdpa_attention.sdpa_attention_forward
        output, _ = sdpa(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, None
    group = n_heads // n_kv_heads
    scale = size**-0.5 if scaling is None else scaling
    grouped = query.reshape(n_rows, n_kv_heads, group * n_queries, size)
    scores = torch.matmul(grouped, key.transpose(2, 3)).float().mul_(scale)
    scores = scores.view(n_rows, n_kv_heads, group, n_queries, n_keys)
    if attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask[:, :, None], torch.finfo(torch.float32).min)
    else:
        scores += attention_mask[:, :, None]
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    output = torch.matmul(weights.view(n_rows, n_kv_heads, group * n_queries, n_keys), value)
    return output.view(n_rows, n_heads, n_queries, -1).transpose(1, 2).contiguous(), None


def use_grouped_attention(model: Module) -> None:
    """Let the model's language part attend with `grouped_attention`."""
    transformers.AttentionInterface.register(GROUPED_ATTENTION, grouped_attention)
    transformers.AttentionMaskInterface.register(GROUPED_ATTENTION, transformers.masking_utils.sdpa_mask)
    model.config.get_text_config()._attn_implementation = GROUPED_ATTENTION
