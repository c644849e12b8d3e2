"""Low-rank adapters of linear layers, W x + scale B diag(gate) A x, added by hooks (LoRA, Hu et al. 2022, Eq. 3).

The module and the names of its weights stay as they are, so an adapter is saved, summed and swapped by its factors
alone. PEFT's layers would wrap the module and rename its weights; strategy `peft` has those.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.strategies._adapters.initial_factors import Factors, linear


@dataclass(frozen=True)
class Arithmetic:
    """How the update is computed from its factors.

    Attributes:
        scale: Factor of the product B A, usually alpha / rank.
        dropout: Probability of dropout on the layer's input, in training.
        peft_order: Compute in the order of PEFT's layers, with results equal to theirs to the bit: the input is cast to
            the factors' type, the scale is applied to the output. Otherwise the factors are cast to the input's type
            and the scale is applied to the `(..., rank)` activations, which takes less memory.
    """

    scale: float = 1.0
    dropout: float = 0.0
    peft_order: bool = False

    def update(self, x: Tensor, factors: Factors, training: bool) -> Tensor:
        """The term that an adapter adds to a layer's output.

        Args:
            x: Input of the layer, `(..., in)`.
            factors: A, B and gate of the layer.
            training: Whether dropout is applied.

        Returns:
            scale B diag(gate) A x, `(..., out)`.
        """
        if self.peft_order:
            x = x.to(factors.a.dtype)
        if self.dropout and training:
            x = F.dropout(x, self.dropout)
        hidden = F.linear(x, factors.a.to(x.dtype))
        b = factors.gated_b().to(x.dtype)
        if self.peft_order:
            return self._scaled(F.linear(hidden, b))
        return F.linear(self._scaled(hidden), b)

    def merged(self, weight: Tensor, factors: Factors) -> Tensor:
        """W + scale B diag(gate) A, `(out, in)`, in the factors' type."""
        if self.peft_order:
            return weight + self._scaled(factors.gated_b() @ factors.a)
        return torch.addmm(weight.to(factors.a), factors.gated_b(), factors.a, alpha=self.scale)

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale == 1 else x * self.scale


class LowRankAdapter:
    """The low-rank updates of some linear layers of a module.

    Attributes:
        factors: A, B and gate by the name of their layer; ranks may differ.
        arithmetic: Scale, dropout and order of operations, for all layers.
    """

    def __init__(self, factors: Mapping[str, Factors], arithmetic: Arithmetic) -> None:
        self.factors = dict(factors)
        self.arithmetic = arithmetic
        self._hooks: list[RemovableHandle] = []

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A, B and gate of every layer, by name: `<layer>.a`, `<layer>.b`, `<layer>.gate`."""
        for name, factors in self.factors.items():
            yield from ((f"{name}.{part}", p) for part, p in factors.named())

    def attach(self, module: nn.Module) -> None:
        """Add the update to the outputs of the module's layers until `detach` or `merge`."""
        self._hooks += self._hooks_on(module)

    def detach(self) -> None:
        """Undo `attach`."""
        while self._hooks:
            self._hooks.pop().remove()

    @contextmanager
    def on(self, module: nn.Module) -> Iterator[None]:
        """Attach the adapter for the duration of a `with` block."""
        hooks = self._hooks_on(module)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def merge(self, module: nn.Module) -> None:
        """Add the update to the weights of the module's layers, rounded once, and detach."""
        for name, factors in self.factors.items():
            weight = linear(module, name).weight
            weight.copy_(self.arithmetic.merged(weight, factors))
        self.detach()

    def frozen_copy(self) -> "LowRankAdapter":
        """A copy without gradients and dropout, for use as a teacher."""
        copied = {name: factors.frozen() for name, factors in self.factors.items()}
        return LowRankAdapter(copied, replace(self.arithmetic, dropout=0.0))

    @classmethod
    @torch.no_grad()
    def weighted_sum(cls, parts: Sequence[tuple[float, "LowRankAdapter"]]) -> "LowRankAdapter":
        """The adapter whose products B A are a weighted sum of others', by concatenated factors.

        A part of weight 0 is left out, so that it does not change the rounding of the others.

        Args:
            parts: Weights and adapters; all have one scale, the same layers and no gates.
        """
        kept = [(weight, adapter) for weight, adapter in parts if weight]
        summed = {}
        for name in kept[0][1].factors:
            a = torch.cat([adapter.factors[name].a for _, adapter in kept])
            b = torch.cat([weight * adapter.factors[name].b for weight, adapter in kept], dim=1)
            summed[name] = Factors(nn.Parameter(a), nn.Parameter(b)).frozen()
        return LowRankAdapter(summed, replace(kept[0][1].arithmetic, dropout=0.0))

    def state_dict(self) -> dict[str, object]:
        """Factors, scale, dropout and order of operations."""
        factors = {name: {part: p.detach() for part, p in found.named()} for name, found in self.factors.items()}
        how = self.arithmetic
        return {"factors": factors, "scale": how.scale, "dropout": how.dropout, "peft_order": how.peft_order}

    @classmethod
    def from_state(cls, state: Mapping[str, object], device: torch.device) -> Self:
        """The adapter that `state_dict` described, on a device, without gradients."""
        saved = cast(Mapping[str, Mapping[str, Tensor]], state["factors"])
        factors = {
            name: Factors(**{part: nn.Parameter(tensor.to(device)) for part, tensor in parts.items()}).frozen()
            for name, parts in saved.items()
        }
        scale, dropout = cast(float, state["scale"]), cast(float, state["dropout"])
        return cls(factors, Arithmetic(scale, dropout, cast(bool, state["peft_order"])))

    def _hooks_on(self, module: nn.Module) -> list[RemovableHandle]:
        return [linear(module, name).register_forward_hook(self._hook(found)) for name, found in self.factors.items()]

    def _hook(self, factors: Factors):  # type: ignore[no-untyped-def]  # a hook of torch
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return (output + self.arithmetic.update(inputs[0], factors, layer.training)).to(output.dtype)

        return add
