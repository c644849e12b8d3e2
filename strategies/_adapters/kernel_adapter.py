"""Sparse additions to linear layers, each made of two thin factors by a kernel (SNELLA).

A product of thin factors has low rank. A kernel of their rows, here a difference of Euclidean distances, has not: the
addition is dense and of higher rank, with the parameters of a LoRA. It is then cut to its largest entries.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.strategies._adapters.initial_factors import linear

SCALE = 0.1
"""Factor of the difference of distances."""


class KernelFactors(nn.Module):
    """The trained values of the addition to one linear layer.

    Args:
        weight: The layer's weight `(out, in)`, for sizes, type and device.
        width: q, even; the factors have q (in + out) values.
        generator: Source of the factors, on the CPU.

    Attributes:
        inputs: `(2, in, q / 2)`, Kaiming-uniform with a = sqrt(5) and torch's fan-in of such a tensor, in * q / 2.
        outputs: `(2, out, q / 2)`, likewise with out * q / 2.
        scalars: `(3,)`: a, b and g of S + a softmax(S / g) + b, at first 1, 0, 1.
    """

    def __init__(self, weight: Tensor, width: int, generator: torch.Generator) -> None:
        super().__init__()
        dtype = torch.promote_types(weight.dtype, torch.float32)
        drawn = []
        for size in reversed(weight.shape):
            values = torch.empty(2, size, width // 2).uniform_(-1, 1, generator=generator)
            drawn.append(nn.Parameter((values / math.sqrt(size * width // 2)).to(weight.device, dtype)))
        self.inputs, self.outputs = drawn
        self.scalars = nn.Parameter(torch.tensor([1.0, 0.0, 1.0], dtype=dtype, device=weight.device))

    @property
    def entries(self) -> int:
        """Number of entries of the layer's weight."""
        return self.inputs.shape[1] * self.outputs.shape[1]

    def kernel(self) -> Tensor:
        """S, `(in, out)`: 0.1 times the difference of two distances between rows, plus a softmax over outputs."""
        first, second = torch.cdist(self.inputs, self.outputs)
        distance = SCALE * (first - second)
        a, b, g = self.scalars
        kernel: Tensor = distance + a * (distance / g).softmax(dim=1) + b
        return kernel

    def addition(self, kept: Tensor) -> Tensor:
        """The addition to the weight, `(out, in)`: S |S| at the largest |S|, zero elsewhere.

        |S| is a constant for the gradient, as in the released code.

        Args:
            kept: Number of entries that are kept, an int64 scalar; the number is exact where no |S| are equal.
        """
        kernel = self.kernel()
        size = kernel.detach().abs()
        return (kernel * torch.where(largest(size, kept), size, 0.0)).T


def largest(size: Tensor, kept: Tensor) -> Tensor:
    """Mask of the `kept` largest entries; ties at the limit are kept together. Avoids a synchronisation.

    Args:
        size: Values of any shape.
        kept: Number of entries, an int64 scalar from 0 to that of all.
    """
    rising = torch.cat([size.flatten().sort().values, size.new_full((1,), torch.inf)])
    return size >= rising.gather(0, (size.numel() - kept).reshape(1))


class KernelAdapter:
    """Sparse kernel additions to linear layers of a module, which start as no change at all.

    The addition is not zero before training. So `attach` subtracts it from the weights once, and the module says at
    first what it said before, to round-off.

    Args:
        factors: Factors by the name of their layer.
        kept: Number of entries that each layer keeps, `(layers,)` int64 on the device.

    Attributes:
        sizes: Number of entries of each layer, `(layers,)` float64 on the device.
    """

    def __init__(self, factors: Mapping[str, KernelFactors], kept: Tensor) -> None:
        self.factors = dict(factors)
        self.kept = kept
        self.sizes = torch.tensor([f.entries for f in self.factors.values()], dtype=torch.float64, device=kept.device)
        self._places = {name: number for number, name in enumerate(self.factors)}
        self._hooks: list[RemovableHandle] = []

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Factors and scalars of every layer, by name."""
        for name, factors in self.factors.items():
            yield from ((f"{name}.{part}", p) for part, p in factors.named_parameters())

    def addition(self, name: str) -> Tensor:
        """What is added to a layer's weight now, `(out, in)`."""
        return self.factors[name].addition(self.kept[self._places[name]])

    @torch.no_grad()
    def attach(self, module: nn.Module) -> None:
        """Subtract the first additions from the weights, and add the present ones until `merge`."""
        for name in self.factors:
            layer = linear(module, name)
            layer.weight.sub_(self.addition(name).to(layer.weight))
            self._hooks.append(layer.register_forward_hook(self._hook(name)))

    @torch.no_grad()
    def merge(self, module: nn.Module) -> None:
        """Add the present additions to the weights, and detach."""
        while self._hooks:
            self._hooks.pop().remove()
        for name in self.factors:
            weight = linear(module, name).weight
            weight.copy_(weight + self.addition(name))

    def _hook(self, name: str):  # type: ignore[no-untyped-def]  # a hook of torch
        def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + F.linear(inputs[0], self.addition(name).to(inputs[0].dtype)).to(output.dtype)

        return add


def attached_kernels(
    module: nn.Module, names: Sequence[str], width: int, sparsity: float, generator: torch.Generator
) -> KernelAdapter:
    """A new adapter on layers of a module.

    Args:
        module: The module that holds the layers.
        names: Names of the layers.
        width: q, even; see `KernelFactors`.
        sparsity: Share of zeros in each addition at first, in [0, 1).
        generator: Source of the factors, on the CPU.
    """
    weights = {name: linear(module, name).weight.detach() for name in names}
    factors = {name: KernelFactors(weight, width, generator) for name, weight in weights.items()}
    kept = torch.tensor([int((1 - sparsity) * weight.numel() + 1e-6) for weight in weights.values()])
    adapter = KernelAdapter(factors, kept.to(weights[names[0]].device))
    adapter.attach(module)
    return adapter
