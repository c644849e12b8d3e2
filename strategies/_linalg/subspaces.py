"""What is retained of a matrix, the space in which the rest may move, and projections onto that space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Form = Literal["factor", "block"]
"""Which changes of W are taken away, with P_U = U_h U_h^T and P_V = V_h V_h^T of the k retained triplets:

`factor` leaves (I - P_U) dW (I - P_V), `block` leaves dW - P_U dW P_V.
"""

BLOCKS = 4
"""Column blocks of a Gram matrix, of which only the lower triangle is computed: 10 of 16 products."""
SMALL = 1e-4
"""Singular values below this share of the largest one are too small to divide by, even in float64."""


def freedom(shape: Sequence[int], rank: int, form: Form) -> int:
    """Dimension of the space in which a matrix may move when `rank` triplets of it are retained."""
    rows, columns = shape
    if form == "factor":
        return (rows - rank) * (columns - rank)
    return rows * columns - rank**2


def stored(shape: Sequence[int], rank: int, form: Form) -> int:
    """How many numbers a `Subspace` holds for one matrix, whichever way round it is."""
    columns, rows = sorted(shape)
    right = columns - rank if by_complement(columns, rank, form) else rank
    return rows * rank + columns * right + rank * columns


def by_complement(columns: int, rank: float, form: Form) -> bool:
    """Whether P_V is cheaper computed as I - N N^T, where N spans what V_h does not.

    For m x n matrices with left factors of rank k and n - k columns in N, counting multiplications: `factor` takes
    4 mnk by V_h, 2 (n - k) (mn + mk) by N, so N wins from k = (sqrt(2) - 1) n on; `block` takes 2 nk (m + k) and
    2 nk (m + n - k), so N wins from n / 2 on. Dense projectors would take mn (m + n), which is never less.
    """
    return rank > (2**0.5 - 1 if form == "factor" else 0.5) * columns


@dataclass(frozen=True, eq=False)
class Subspace:
    """What is retained of b matrices W `(b, m, n)`, m >= n, and how changes of them are projected.

    All products are batched. Matrices of lower rank than the largest have columns of zeros, which project nothing.

    Attributes:
        left: U_h `(b, m, k)`, orthonormal columns.
        right: V_h `(b, n, k)` or, if `complement`, an orthonormal basis of what it leaves `(b, n, n - k)`.
        anchor: U_h^T W = S_h V_h^T `(b, k, n)` of the W that were decomposed.
        complement: Which of the two `right` is.
        form: Which changes are taken away.
    """

    left: Tensor
    right: Tensor
    anchor: Tensor
    complement: bool
    form: Form

    def project_(self, x: Tensor) -> None:
        """Take away what must not change from `x` `(b, m, n)`, a gradient or a change of W, in place."""
        if self.form == "block":
            x.baddbmm_(self.left, self._inside(self.left.mT @ x), alpha=-1)
        elif self.complement:
            torch.bmm(self.freed_(x @ self.right), self.right.mT, out=x)
        else:
            x.baddbmm_(self.left, self.left.mT @ x, alpha=-1)
            x.baddbmm_(x @ self.right, self.right.mT, alpha=-1)

    def freed_(self, y: Tensor) -> Tensor:
        """What the left side lets through of `y` `(b, m, n - k)`, the coordinates X N of matrices X, in place."""
        return y.baddbmm_(self.left, self.left.mT @ y, alpha=-1)

    @property
    def by_coordinates(self) -> bool:
        """Whether X N alone is cheaper than X where X = D^T Z, a sum over many tokens: see `Coordinates`."""
        rows, columns, free = self.left.shape[1], *self.right.shape[1:]
        return self.form == "factor" and self.complement and free * (rows + columns) <= rows * columns

    def restore_(self, w: Tensor) -> None:
        """Put matrices `w` `(b, m, n)` back to where they agree with the decomposed W in all that is retained.

        The same as projecting the whole change since then, because W less its projection is U_h S_h V_h^T, which is
        kept: no copy of W is needed and round-off does not add up over steps.
        """
        if self.form == "block":
            w.baddbmm_(self.left, self._inside(self.left.mT @ w) - self.anchor, alpha=-1)
        else:
            self.project_(w)
            w.baddbmm_(self.left, self.anchor)

    def leak(self, w: Tensor) -> Tensor:
        """How far `w` is from there, relative to what is retained: `(b,)`."""
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

    That takes less time than a singular value decomposition in float32, and float64 makes up for the squaring: U_h =
    W V_h / s_h is orthonormal to 1e-16 (s_1 / s_k)^2. Where that is not enough for float32 (or nothing is left to
    divide by) Q of W V_h = Q R replaces it. Then U_h spans what W V_h does in any case, so W is where `restore_` puts
    it, however well V_h is known.

    Args:
        matrices: `(b, m, n)`, m >= n, finite.
        ranks: How many triplets to retain of each, 1 to n.
        form: Which changes are to be taken away.

    Returns:
        The subspaces, in the type of the matrices.

    Raises:
        torch.linalg.LinAlgError: When the eigenvectors are not found.
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
    """X^T X `(b, n, n)` of `(b, m, n)`, right in its lower triangle, which is all that `eigh` reads."""
    batch, _, columns = x.shape
    gram = x.new_zeros(batch, columns, columns)
    for start in range(0, columns, step := -(-columns // BLOCKS)):
        block = slice(start, start + step)
        gram[:, start:, block] = x[:, :, start:].mT @ x[:, :, block]
    return gram
