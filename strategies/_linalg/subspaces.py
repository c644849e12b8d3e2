"""The retained subspace of a matrix, the space in which the rest may move, and projections onto it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Form = Literal["factor", "block"]
"""Form of the projection of changes dW, with P_U = U_h U_h^T and P_V = V_h V_h^T of the k retained triplets:

`factor` leaves (I - P_U) dW (I - P_V), `block` leaves dW - P_U dW P_V.
"""

BLOCKS = 4
"""Number of column blocks of a Gram matrix; only its lower triangle is computed, 10 of 16 products."""
SMALL = 1e-4
"""Singular values below this share of the largest one are too small to divide by, also in float64."""


def freedom(shape: Sequence[int], rank: int, form: Form) -> int:
    """Dimension of the space in which a matrix may move.

    Args:
        shape: Rows and columns.
        rank: Number of retained triplets.
        form: Form of the projection.
    """
    rows, columns = shape
    if form == "factor":
        return (rows - rank) * (columns - rank)
    return rows * columns - rank**2


def stored(shape: Sequence[int], rank: int, form: Form) -> int:
    """Number of values that a `Subspace` holds for one matrix.

    Args:
        shape: Both sides of the matrix, in any order.
        rank: Number of retained triplets.
        form: Form of the projection.
    """
    columns, rows = sorted(shape)
    right = columns - rank if by_complement(columns, rank, form) else rank
    return rows * rank + columns * right + rank * columns


def by_complement(columns: int, rank: float, form: Form) -> bool:
    """Whether P_V is cheaper to compute as I - N N^T, where N spans the complement of V_h.

    Multiplications for m x n matrices, with k columns in V_h and n - k in N: `factor` takes 4 mnk by V_h and
    2 (n - k) (mn + mk) by N, so N is cheaper from k = (sqrt(2) - 1) n on. `block` takes 2 nk (m + k) and
    2 nk (m + n - k), so N is cheaper from n / 2 on. Dense projectors would take mn (m + n), which is never less.

    Args:
        columns: The shorter side n.
        rank: Number of retained triplets k, or its mean.
        form: Form of the projection.
    """
    return rank > (2**0.5 - 1 if form == "factor" else 0.5) * columns


@dataclass(frozen=True, eq=False)
class Subspace:
    """Retained subspaces of b matrices W `(b, m, n)`, m >= n, and projections of their changes.

    All products are batched. Matrices of lower rank than the largest have columns of zeros, which project nothing.

    Attributes:
        left: U_h `(b, m, k)`, orthonormal columns.
        right: V_h `(b, n, k)` or, if `complement`, an orthonormal basis N of its complement `(b, n, n - k)`.
        anchor: U_h^T W = S_h V_h^T `(b, k, n)` of the decomposed W.
        complement: Whether `right` is N.
        form: Form of the projection.
    """

    left: Tensor
    right: Tensor
    anchor: Tensor
    complement: bool
    form: Form

    def project_(self, x: Tensor) -> None:
        """Project `x` `(b, m, n)`, a gradient or a change of W, in place."""
        if self.form == "block":
            x.baddbmm_(self.left, self._inside(self.left.mT @ x), alpha=-1)
        elif self.complement:
            torch.bmm(self.freed_(x @ self.right), self.right.mT, out=x)
        else:
            x.baddbmm_(self.left, self.left.mT @ x, alpha=-1)
            x.baddbmm_(x @ self.right, self.right.mT, alpha=-1)

    def freed_(self, y: Tensor) -> Tensor:
        """Apply I - P_U to `y` `(b, m, n - k)`, the coordinates X N of matrices X, in place."""
        return y.baddbmm_(self.left, self.left.mT @ y, alpha=-1)

    @property
    def by_coordinates(self) -> bool:
        """Whether X N is cheaper to compute than X = D^T Z, a sum over many tokens: see `Coordinates`."""
        rows, columns, free = self.left.shape[1], *self.right.shape[1:]
        return self.form == "factor" and self.complement and free * (rows + columns) <= rows * columns

    def restore_(self, w: Tensor) -> None:
        """Restore the retained part of the decomposed W in matrices `w` `(b, m, n)`, in place.

        This equals projecting the whole change since the decomposition, because W minus its projection is
        U_h S_h V_h^T, which is stored. So no copy of W is needed and round-off does not accumulate over steps.
        """
        if self.form == "block":
            w.baddbmm_(self.left, self._inside(self.left.mT @ w) - self.anchor, alpha=-1)
        else:
            self.project_(w)
            w.baddbmm_(self.left, self.anchor)

    def leak(self, w: Tensor) -> Tensor:
        """Distance of `w` `(b, m, n)` from its restored matrices, relative to the retained part, `(b,)`."""
        moved = torch.baddbmm(w, self.left, self.anchor, alpha=-1)
        allowed = moved.clone()
        self.project_(allowed)
        leaked: Tensor = (moved - allowed).norm(dim=(1, 2))
        retained: Tensor = self.anchor.norm(dim=(1, 2))
        return leaked / retained.clamp(min=1e-30)

    def _inside(self, x: Tensor) -> Tensor:
        """X P_V of `(b, k, n)`."""
        inside = x @ self.right @ self.right.mT
        return x - inside if self.complement else inside


def decompose(matrices: Tensor, ranks: Sequence[int], form: Form) -> Subspace:
    """The first singular triplets of matrices, by the eigenvectors of W^T W in float64.

    This takes less time than a singular value decomposition in float32, and float64 compensates for the squaring:
    U_h = W V_h / s_h is orthonormal to 1e-16 (s_1 / s_k)^2. If singular values are too small for that, Q of
    W V_h = Q R replaces U_h. Then U_h spans the same space as W V_h, so `restore_` leaves W unchanged however exact
    V_h is.

    Args:
        matrices: `(b, m, n)`, m >= n, finite.
        ranks: Number of triplets to retain of each matrix, 1 to n.
        form: Form of the projection.

    Returns:
        The subspaces, in the type of the matrices.

    Raises:
        torch.linalg.LinAlgError: When the eigenvectors cannot be computed.
    """
    exact = matrices.double()
    columns = exact.shape[2]
    squares, vectors = (found.flip(-1) for found in torch.linalg.eigh(_lower_gram(exact)))  # largest first
    kept = torch.arange(columns, device=exact.device) < torch.tensor(ranks, device=exact.device)[:, None, None]
    most, least = max(ranks), min(ranks)
    left, anchor = _left_and_anchor(exact, vectors[:, :, :most], squares[:, None, :most], kept[:, :, :most])
    complement = by_complement(columns, sum(ranks) / len(ranks), form)
    right = (vectors * ~kept)[:, :, least:] if complement else (vectors * kept)[:, :, :most]
    left, right, anchor = (found.to(matrices.dtype).contiguous() for found in (left, right, anchor))
    return Subspace(left, right, anchor, complement, form)


def _left_and_anchor(exact: Tensor, v: Tensor, squares: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """U_h `(b, m, k)` and U_h^T W `(b, k, n)` from V_h `(b, n, k)` and s_h^2 `(b, 1, k)`; zeros where not `kept`."""
    if bool((squares[..., -1] > SMALL**2 * squares[..., 0]).all()):
        values = squares.sqrt()
        return exact @ (v * (kept / values)), (v * (kept * values)).mT
    left = torch.linalg.qr(exact @ v).Q * kept
    return left, left.mT @ exact


def _lower_gram(x: Tensor) -> Tensor:
    """X^T X `(b, n, n)` of `(b, m, n)`, correct in its lower triangle only, which is what `eigh` reads."""
    batch, _, columns = x.shape
    gram = x.new_zeros(batch, columns, columns)
    for start in range(0, columns, step := -(-columns // BLOCKS)):
        block = slice(start, start + step)
        gram[:, start:, block] = x[:, :, start:].mT @ x[:, :, block]
    return gram
