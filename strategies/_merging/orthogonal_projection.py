"""OPCM: take out of a task vector what lies along the singular directions of the offset so far (Tang et al. 2025)."""

import torch
from torch import Tensor

RANK = 1e-10
"""Singular values up to this share of the largest one count as 0: their vectors are arbitrary."""


def crossing(singular_values: Tensor, alpha: float) -> int:
    """Number of leading directions whose mutual block is removed.

    This is the 0-based place of the first value at which the cumulative sum exceeds `alpha` of the total sum; 0 if
    there is none. So the direction at which the sum crosses `alpha` is not among them, as in the authors' code.

    Args:
        singular_values: `(k,)`, descending, 0 or larger.
        alpha: Share of their sum, in [0, 1].
    """
    cumulative = singular_values.cumsum(0)
    above = cumulative > alpha * cumulative[-1]  # not of `sum`, which is rounded otherwise: alpha 1 must give 0
    return int(above.to(torch.int64).argmax())


def project_out(tau: Tensor, offset: Tensor, alpha: float) -> Tensor:
    """tau~ = U P V^T with P = U^T tau V, in which the diagonal and the block [:r, :r] are 0; `(out, in)`.

    U and V are the singular vectors of the offset, and r is that of `crossing`. The thin form subtracts what is removed
    and needs no full bases: tau - U_k (P[:r, :r] and diagonal) V_k^T with the k directions of the offset's rank.
    Beyond the rank, singular vectors are an arbitrary basis and so is the diagonal of P there. It stays, in contrast
    to the authors' code.

    Args:
        tau: Task vector of one linear weight, `(out, in)`.
        offset: Sum of the projected task vectors so far, `(out, in)`.
        alpha: See `crossing`.

    Returns:
        The projected task vector, of tau's type and device; computed in float64 on the CPU, for equal bits.
    """
    new = tau.double().cpu()
    u, s, vh = torch.linalg.svd(offset.double().cpu(), full_matrices=False)
    rank = int((s > RANK * s[0]).sum())
    r = min(crossing(s, alpha), rank)
    u, v = u[:, :rank], vh[:rank].T
    along = u.T @ new
    removed = (along * v.T).sum(1, keepdim=True) * v.T
    block = (along[:r] @ v[:, :r]).fill_diagonal_(0)  # the diagonal is in `removed` already
    removed[:r] += block @ v[:, :r].T
    projected: Tensor = new - u @ removed
    return projected.to(tau)
