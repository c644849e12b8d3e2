"""Gradients of linear layers in the coordinates of the space in which their weights may move."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Coordinates:
    """Adds up G N of one linear layer over backward passes, without G, the gradient of its weight.

    With inputs X `(tokens, in)` and gradients of outputs D `(tokens, out)`, G = D^T X and G N = D^T (X N). For p
    columns in N that takes tokens p (in + out) multiplications; G alone takes tokens in out, and N comes on top. Where
    the weight is wide, it is turned: G^T N = X^T (D N).

    Args:
        layer: Whose weight's gradient is asked for.
        basis: N, `(shorter side, p)`.
    """

    def __init__(self, layer: nn.Linear, basis: Tensor) -> None:
        self._layer = layer
        self._basis = basis
        self.wide = layer.out_features < layer.in_features
        self._total: Tensor | None = None

    def on(self) -> None:
        """From now on the layer's backward passes are added up here, and its weight gets no gradient from them."""
        vars(self._layer)["forward"] = self._forward

    def off(self) -> None:
        """The layer is as it was."""
        vars(self._layer).pop("forward", None)

    def take(self) -> Tensor | None:
        """The sum `(longer side, p)` since the last call, or None where there was nothing to add up.

        What the weight has got a gradient of on other ways is part of it and taken away there.
        """
        total, gradient = self._total, self._layer.weight.grad
        self._total = self._layer.weight.grad = None
        if gradient is None:
            return total
        whole = (gradient.mT if self.wide else gradient) @ self._basis
        return whole if total is None else whole.add_(total)

    def add(self, x: Tensor, gradient: Tensor) -> None:
        """One backward pass: inputs `(tokens, in)` and the gradient of outputs `(tokens, out)`."""
        basis = self._basis.to(x.dtype)
        product = x.mT @ (gradient @ basis) if self.wide else gradient.mT @ (x @ basis)
        self._total = product.to(self._basis.dtype) if self._total is None else self._total.add_(product)

    def _forward(self, x: Tensor) -> Tensor:
        found: Tensor = _Linear.apply(x, self._layer.weight, self._layer.bias, self)
        return found


class _Linear(torch.autograd.Function):
    """`F.linear`, whose backward pass gives the weight's gradient to a `Coordinates`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, coordinates: Coordinates) -> Tensor:
        """What the layer computes; under autocast in its type."""
        y = F.linear(x, weight, bias)
        ctx.coordinates, ctx.type = coordinates, x.dtype
        ctx.save_for_backward(x.to(y.dtype), weight)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        """Of input and bias."""
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
