"""KnOTS: LoRA updates in one basis of outputs, in which they can be merged entry by entry (Stoica et al. 2025)."""

from collections.abc import Sequence

import torch
from torch import Tensor

SMALLEST = 1e-5
"""Singular values up to this one are dropped, as in the authors' code."""


def aligned(factors: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """SVD of the products B_i A_i of one layer, side by side: [B_1 A_1 ... B_t A_t] = U [S V_1^T ... S V_t^T].

    It is computed in float64 from a QR decomposition of the stacked B, on the CPU.

    Args:
        factors: A `(r, in)` and B `(out, r)` of each task, the scale of the product folded into one of them.

    Returns:
        U `(out, k)`, and the piece S V_i^T of each task, `(k, in)`; U times a piece is the product of its task.
    """
    pairs = [(a.double().cpu(), b.double().cpu()) for a, b in factors]
    basis, upper = torch.linalg.qr(torch.cat([b for _, b in pairs], dim=1))
    parts = upper.split([b.shape[1] for _, b in pairs], dim=1)
    side_by_side = torch.cat([part @ a for part, (a, _) in zip(parts, pairs, strict=True)], dim=1)
    u, s, vh = torch.linalg.svd(side_by_side, full_matrices=False)
    kept = s > SMALLEST
    pieces = (s[kept].unsqueeze(1) * vh[kept]).split(pairs[0][0].shape[1], dim=1)
    return basis @ u[:, kept], pieces
