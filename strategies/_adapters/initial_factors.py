"""Low-rank factors before the first step: A is drawn, B is zero, so that nothing changes at first."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of the update B diag(gate) A of one linear layer.

    They are float32 at least, for every type of W, because bfloat16 would lose small steps.

    Attributes:
        a: A, `(rank, in)`.
        b: B, `(out, rank)`.
        gate: Factor of each rank, `(rank,)`; None stands for ones.
    """

    a: nn.Parameter
    b: nn.Parameter
    gate: nn.Parameter | None = None

    def gated_b(self) -> Tensor:
        """B diag(gate), `(out, rank)`: gating B and not the activations keeps no more activations for backward."""
        return self.b if self.gate is None else self.b * self.gate

    def named(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters, by name: `a`, `b` and, if there is one, `gate`."""
        yield from (("a", self.a), ("b", self.b))
        if self.gate is not None:
            yield "gate", self.gate

    def frozen(self) -> "Factors":
        """A copy without gradients."""
        return Factors(**{part: nn.Parameter(p.detach().clone(), requires_grad=False) for part, p in self.named()})


def drawn_factors(module: nn.Module, names: Sequence[str], rank: int, generator: torch.Generator) -> dict[str, Factors]:
    """Factors with A kaiming-uniform with a = sqrt(5), as in LoRA's code, and B zero.

    Args:
        module: The module that holds the layers.
        names: Names of its linear layers; A's are drawn in this order.
        rank: Rank of every update.
        generator: Source of randomness, on the CPU.
    """
    found = {}
    for name in names:
        layer = linear(module, name)
        a = nn.init.kaiming_uniform_(torch.empty(rank, layer.in_features), a=math.sqrt(5), generator=generator)
        found[name] = _factors(a, torch.zeros(layer.out_features, rank), layer.weight)
    return found


def peft_factors(module: nn.Module, names: Sequence[str], rank: int) -> dict[str, Factors]:
    """The factors that PEFT's LoRA layers would start with, to the bit, from torch's global random state.

    PEFT builds A and B as linear layers of the default initialization and then draws A again; it goes through layers in
    the module's order and rounds A to the type of W.

    Args:
        module: The module that holds the layers.
        names: Names of its linear layers, in any order.
        rank: Rank of every update.
    """
    wanted = set(names)
    found = {}
    for name in (name for name, _ in module.named_modules() if name in wanted):
        layer = linear(module, name)
        a, b = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
        nn.init.kaiming_uniform_(a.weight, a=math.sqrt(5))
        found[name] = _factors(a.weight.detach().to(layer.weight), torch.zeros_like(b.weight), layer.weight)
    return found


def linear(module: nn.Module, name: str) -> nn.Linear:
    """The linear layer of a module that has a name."""
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear), name  # what `Learner.linear_layers` promises
    return layer


def _factors(a: Tensor, b: Tensor, weight: Tensor) -> Factors:
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return Factors(*(nn.Parameter(factor.detach().to(weight.device, dtype)) for factor in (a, b)))
