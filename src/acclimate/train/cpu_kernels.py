"""Norms and rotary positions with fewer passes over memory, for mixed precision on CPUs.

Under autocast a norm leaves float32, which every product behind it rounds to bfloat16 again by itself, and
PyTorch keeps four nodes for it and fourteen for the rotary positions of a layer. Here each is one node that
rounds once.
"""
# ruff: noqa: ANN401

import sys
from typing import Any

import torch
from torch import Tensor, nn

_NORM = "RMSNorm"
_ROTARY = "apply_rotary_pos_emb"


def norms(model: nn.Module) -> list[Any]:
    """Return the norms that `use` replaces: `...RMSNorm`, with `weight` and `variance_epsilon`."""
    return [
        module
        for module in model.modules()
        if type(module).__name__.endswith(_NORM)
        and hasattr(module, "variance_epsilon")
        and isinstance(getattr(module, "weight", None), Tensor)
    ]


def use(model: nn.Module) -> None:
    """Put faster functions in the place of a model's own, for whenever it is under autocast on a CPU.

    They are its `norms` and the function `apply_rotary_pos_emb` of the modules that those come from. Whether
    they compute the same is for the caller to see.
    """
    found = norms(model)
    for module in found:
        module.forward = _Norm(module)
    for name in sorted({type(module).__module__ for module in found}):
        source: Any = sys.modules[name]
        own = getattr(source, _ROTARY, None)
        if own is not None and not isinstance(own, _Rotary):
            setattr(source, _ROTARY, _Rotary(own))


def restore(model: nn.Module) -> None:
    """Undo `use`: a library's functions belong to every model of this process."""
    for module in norms(model):
        vars(module).pop("forward", None)
        source: Any = sys.modules[type(module).__module__]
        current = getattr(source, _ROTARY, None)
        if isinstance(current, _Rotary):
            setattr(source, _ROTARY, current.own)


class _Norm:
    """A norm's forward under autocast, and the module's own one elsewhere."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._own = module.forward

    def __call__(self, hidden: Tensor) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            own: Tensor = self._own(hidden)
            return own
        dtype = torch.get_autocast_dtype("cpu")
        module = self._module
        out: Tensor = _RMSNorm.apply(hidden, module.weight, module.variance_epsilon, dtype)  # type: ignore[no-untyped-call]
        return out


class _RMSNorm(torch.autograd.Function):
    """Source: root mean square layer normalisation (Zhang and Sennrich 2019), equation 4."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        plain = hidden.float()
        size = plain.shape[-1]
        scale = torch.linalg.vector_norm(plain, dim=-1, keepdim=True).square_().div_(size)
        scale = scale.add_(epsilon).rsqrt_()
        normed = plain * scale
        ctx.save_for_backward(normed, scale, weight)
        ctx.dtype = hidden.dtype
        out: Tensor = (normed * weight).to(dtype)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        normed, scale, weight = ctx.saved_tensors
        gradient = gradients[0].float()
        product = gradient * normed
        along = torch.matmul(product, weight).unsqueeze(-1).div_(normed.shape[-1])
        to_hidden = torch.addcmul(gradient * weight, normed, along, value=-1).mul_(scale)
        return to_hidden.to(ctx.dtype), product.sum(tuple(range(gradient.ndim - 1))), None, None


class _Rotary:
    """Rotary positions under autocast, and the library's own function elsewhere."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def __call__(
        self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *others: Any, **named: Any
    ) -> Any:
        whole = cos.ndim == 3 and cos.shape[-1] == query.shape[-1]
        if not torch.is_autocast_enabled("cpu") or others or named or not whole:
            return self.own(query, key, cos, sin, *others, **named)
        dtype = torch.get_autocast_dtype("cpu")
        out: Tensor = _Rotated.apply(query, key, cos, sin, dtype)  # type: ignore[no-untyped-call]
        return torch.split(out, [query.shape[1], key.shape[1]], dim=1)


class _Rotated(torch.autograd.Function):
    """Queries and keys, (B, heads, T, size) each, turned by their positions, one after another in dim 1.

    Source: RoFormer (Su et al. 2021), equation 34, with the halves of a head as transformers pairs them.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> Tensor:
        cos, sin = cos[:, None], sin[:, None]
        ctx.save_for_backward(cos, sin)
        ctx.heads, ctx.dtype = (query.shape[1], key.shape[1]), query.dtype
        plain = torch.cat([query, key], dim=1).float()
        half = plain.shape[-1] // 2
        out = plain * cos
        out[..., :half].addcmul_(plain[..., half:], sin[..., :half], value=-1)
        out[..., half:].addcmul_(plain[..., :half], sin[..., half:])
        return out.to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cos, sin = ctx.saved_tensors
        gradient = gradients[0].float()
        half = gradient.shape[-1] // 2
        out = gradient * cos
        out[..., :half].addcmul_(gradient[..., half:], sin[..., half:])
        out[..., half:].addcmul_(gradient[..., :half], sin[..., :half], value=-1)
        return *out.to(ctx.dtype).split(ctx.heads, dim=1), None, None, None
