"""Low-rank updates with a gate a rank. PEFT has none: its LoRA has no gate, and AdaLoRA's values have other rules.

AdaLoRA holds a singular value a rank, starts it at zero, keeps A and B near orthogonal by a loss term and cuts ranks by
a global budget of importance scores; CoDyRA's gates start at random and are shrunk by a proximal step.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedAdapter:
    """y = W x + b + B diag(w) A x on one linear layer, by a hook: the module and its state stay as they are.

    The factors are float32 at least, whatever W is: steps as small as the shrinking's are lost in bfloat16.

    Attributes:
        a: `(rank, in)`, kaiming-uniform with a = sqrt(5), as in LoRA.
        b: `(out, rank)`, zeros, so that nothing changes before the first step.
        gate: w, `(rank,)`, as given.
    """

    def __init__(self, layer: nn.Linear, gate: Tensor, generator: torch.Generator) -> None:
        a = torch.empty(len(gate), layer.in_features)
        nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)  # on the CPU, as the generator is
        self.layer = layer
        self.a = nn.Parameter(a.to(gate))
        self.b = nn.Parameter(gate.new_zeros(layer.out_features, len(gate)))
        self.gate = nn.Parameter(gate)
        self._hook = layer.register_forward_hook(self._add)

    def _add(self, _layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        # The gate goes to B, not to the activations: the same product, and no activation more is kept for backward.
        # The factors are narrowed, not the activations widened: that would cost memory.
        return output + F.linear(F.linear(x, self.a.to(x.dtype)), (self.b * self.gate).to(x.dtype))

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update to W and take the hook away; a rank whose gate is 0 adds nothing."""
        weight = self.layer.weight
        weight.copy_(torch.addmm(weight.to(self.a), self.b * self.gate, self.a))  # rounded once, if W is narrower
        self._hook.remove()


class GatedAdapters:
    """The adapters of some linear layers of a module.

    The gates live in one tensor, of which each adapter's gate is a view: the optimizer sees parameters, and what is
    done to all gates at once is one operation.

    Args:
        module: Holds the layers.
        names: Of its linear layers.
        rank: Of every adapter.
        generator: Draws the gates, N(0, 1), and the A's; on the CPU.

    Attributes:
        gates: `(adapters, rank)`.
        by_name: The adapters by name of their layer.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], rank: int, generator: torch.Generator) -> None:
        layers = [_linear(module, name) for name in names]
        weight = layers[0].weight
        gates = torch.randn(len(names), rank, generator=generator)
        self.gates = gates.to(weight.device, torch.promote_types(weight.dtype, torch.float32))
        self.by_name = {
            name: GatedAdapter(layer, gate, generator)
            for name, layer, gate in zip(names, layers, self.gates, strict=True)
        }

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A, B and gate of every adapter, by name."""
        for name, adapter in self.by_name.items():
            yield from ((f"{name}.a", adapter.a), (f"{name}.b", adapter.b), (f"{name}.gate", adapter.gate))

    def shrink(self, operator: Callable[[Tensor, float], Tensor], kappa: float) -> None:
        """Put all gates through a proximal operator, in place."""
        self.gates.copy_(operator(self.gates, kappa))

    def merge(self) -> None:
        """Add all updates to the weights; the layers are plain again."""
        for adapter in self.by_name.values():
            adapter.merge()


def _linear(module: nn.Module, name: str) -> nn.Linear:
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear), name  # what `Learner.linear_layers` promises
    return layer
