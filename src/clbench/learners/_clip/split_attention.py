"""Attention with separate projections, so that every method sees four plain linear layers instead of a fused matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SplitAttention(nn.Module):
    """Multi-head self-attention with q, k, v and output projections of their own.

    Computes what `nn.MultiheadAttention` computes (to round-off), from the same weights. Low-rank adapters, orthogonal
    updates and decompositions need one matrix a projection; the fused matrix mixes three.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    @classmethod
    def from_fused(cls, fused: nn.MultiheadAttention) -> "SplitAttention":
        """The same attention, weights copied from a fused one."""
        with torch.device(fused.out_proj.weight.device):
            split = cls(fused.embed_dim, fused.num_heads)
        parts = zip(
            (split.q_proj, split.k_proj, split.v_proj),
            fused.in_proj_weight.chunk(3),
            fused.in_proj_bias.chunk(3),
            strict=True,
        )
        with torch.no_grad():
            for layer, weight, bias in parts:
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
            split.out_proj.load_state_dict(fused.out_proj.state_dict())
        return split.to(fused.out_proj.weight.dtype)

    def forward(
        self, q_x: Tensor, k_x: Tensor, v_x: Tensor, *, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attend; the signature is that of `nn.MultiheadAttention` with `batch_first`.

        Args:
            q_x: Queries `(batch, tokens, width)`.
            k_x: Keys, same shape.
            v_x: Values, same shape.
            need_weights: Must be False; attention weights are not computed.
            attn_mask: Added to the scores, `(tokens, tokens)`.

        Returns:
            The output `(batch, tokens, width)` and None.
        """
        assert not need_weights
        q, k, v = (self._heads(p(x)) for p, x in ((self.q_proj, q_x), (self.k_proj, k_x), (self.v_proj, v_x)))
        mask = attn_mask if attn_mask is None else attn_mask.to(q.dtype)  # under autocast q is narrower than the mask
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        output: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return output, None

    def _heads(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


def split_fused_attention(module: nn.Module) -> None:
    """Replace every batch-first `nn.MultiheadAttention` inside `module` by a `SplitAttention`, in place."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.MultiheadAttention) and child.batch_first and child.in_proj_bias is not None:
            parent = module.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], SplitAttention.from_fused(child))


def fuse_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a model with split attention under the names of the fused original, for other tools."""
    fused = {
        name: tensor
        for name, tensor in state.items()
        if not name.rpartition(".")[0].endswith(("q_proj", "k_proj", "v_proj"))
    }
    for name in state:
        prefix, found, kind = name.partition(".q_proj.")
        if found:
            fused[f"{prefix}.in_proj_{kind}"] = torch.cat([state[f"{prefix}.{part}_proj.{kind}"] for part in "qkv"])
    return fused
