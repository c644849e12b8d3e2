"""Gradients of linear layers in coordinates of the subspace in which their weights may move."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Coordinates:
    """Sums G N of one linear layer over backward passes without computing G, the gradient of its weight.

    With inputs X `(tokens, in)` and gradients of outputs D `(tokens, out)`, G = D^T X and G N = D^T (X N). For p
    columns in N this takes tokens p (in + out) multiplications; G alone takes tokens in out. If the weight is wide, it
    is transposed: G^T N = X^T (D N).

    Args:
        layer: Layer whose gradient is computed.
        basis: N, `(shorter side, p)`.
    """

    def __init__(self, layer: nn.Linear, basis: Tensor) -> None:
        self._layer = layer
        self._basis = basis
        self.wide = layer.out_features < layer.in_features
        self._total: Tensor | None = None

    def on(self) -> None:
        """Sum the layer's backward passes here from now on; its weight gets no gradient from them."""
        vars(self._layer)["forward"] = self._forward

    def off(self) -> None:
        """Undo `on`."""
        vars(self._layer).pop("forward", None)

    def take(self) -> Tensor | None:
        """The sum since the last call, `(longer side, p)`; None if there were no backward passes.

        A gradient that the weight got in other ways is included and removed from the weight.
        """
        total, gradient = self._total, self._layer.weight.grad
        self._total = self._layer.weight.grad = None
        if gradient is None:
            return total
        whole = (gradient.mT if self.wide else gradient) @ self._basis
        return whole if total is None else whole.add_(total)

    def add(self, x: Tensor, gradient: Tensor) -> None:
        """Add one backward pass: inputs `(tokens, in)` and gradient of outputs `(tokens, out)`."""
        basis = self._basis.to(x.dtype)
        product = x.mT @ (gradient @ basis) if self.wide else gradient.mT @ (x @ basis)
        self._total = product.to(self._basis.dtype) if self._total is None else self._total.add_(product)

    def _forward(self, x: Tensor) -> Tensor:
        found: Tensor = _Linear.apply(x, self._layer.weight, self._layer.bias, self)
        return found


class _Linear(torch.autograd.Function):
    """`F.linear` whose backward pass adds the weight's gradient to a `Coordinates`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, coordinates: Coordinates) -> Tensor:
        """Output of the layer; under autocast in its type."""
        y = F.linear(x, weight, bias)
        ctx.coordinates, ctx.type = coordinates, x.dtype
        ctx.save_for_backward(x.to(y.dtype), weight)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        """Gradients of input and bias."""
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        ctx.coordinates.add(x.reshape(-1, x.shape[-1]), rows)
        of_input, _, of_bias, _ = ctx.needs_input_grad
        return (
            (gradient @ weight.to(gradient.dtype)).to(ctx.type) if of_input else None,
            None,
            rows.sum(dim=0, dtype=weight.dtype) if of_bias else None,
            None,
        )
