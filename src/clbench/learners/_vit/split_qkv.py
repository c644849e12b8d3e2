"""timm's fused q, k and v as three linear layers, so that every method sees one matrix a projection."""

from typing import Any

import torch
from torch import Tensor, nn


class SplitQkv(nn.Module):
    """Replaces a fused projection: the same output from three layers for q, k and v (as `SplitAttention` for CLIP).

    timm's attention around it is unchanged, with its rotary positions, norms and gates.
    """

    def __init__(self, fused: nn.Linear, biases: tuple[Tensor | None, Tensor | None, Tensor | None]) -> None:
        super().__init__()
        layers = []
        for weight, bias in zip(fused.weight.detach().chunk(3), biases, strict=True):
            layer = nn.Linear(fused.in_features, len(weight), bias=bias is not None, device=weight.device)
            layer.weight.data = weight.clone()
            if bias is not None:
                layer.bias.data = bias.detach().clone()
            layers.append(layer.to(weight.dtype))
        self.q_proj, self.k_proj, self.v_proj = layers

    def forward(self, x: Tensor) -> Tensor:
        """q, k and v, concatenated, `(..., 3 width)`."""
        return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], dim=-1)


def split_fused_qkv(model: nn.Module) -> None:
    """Replace every fused projection inside a timm model by a `SplitQkv`, in place."""
    for attention in list(model.modules()):
        fused = getattr(attention, "qkv", None)
        if isinstance(fused, nn.Linear):
            owner: Any = attention
            owner.qkv = SplitQkv(fused, _biases(owner, fused))
            if getattr(owner, "q_bias", None) is not None:
                owner.q_bias = owner.k_bias = owner.v_bias = None  # they are in the new layers


def _biases(attention: Any, fused: Any) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if getattr(attention, "q_bias", None) is not None:  # EVA's attention has none for k
        return attention.q_bias, None, attention.v_bias
    if fused.bias is None:
        return None, None, None
    q, k, v = fused.bias.chunk(3)
    return q, k, v
