"""Low-rank adapters that stay apart from the weights: one a task, put in while a task is trained or predicted."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Factors = dict[str, tuple[nn.Parameter, nn.Parameter]]


class TaskAdapter:
    """W x + scale B A x on some linear layers (LoRA, Hu et al. 2022, Eq. 3), by hooks: the module stays as it is.

    So one base serves the adapters of all tasks, bit for bit the same after any of them, and an adapter is saved and
    interpolated by its factors alone. PEFT's layers would wrap the module and rename its weights.

    Args:
        factors: A `(rank, in)` and B `(out, rank)` by the name of their layer; ranks may differ.
        scale: alpha / rank.
        dropout: Of the layer's input, in training.
    """

    def __init__(self, factors: Factors, scale: float, dropout: float = 0.0) -> None:
        self.factors = factors
        self.scale = scale
        self.dropout = dropout

    @classmethod
    def fresh(
        cls,
        module: nn.Module,
        names: Sequence[str],
        rank: int,
        scale: float,
        dropout: float,
        generator: torch.Generator,
    ) -> Self:
        """A kaiming-uniform with a = sqrt(5), as PEFT has it, B zero: nothing changes before the first step."""
        factors: Factors = {}
        for name in names:
            layer = _linear(module, name)
            a = torch.empty(rank, layer.in_features)
            nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)  # on the CPU, as the generator is
            b = torch.zeros(layer.out_features, rank)
            device = layer.weight.device
            factors[name] = (nn.Parameter(a.to(device)), nn.Parameter(b.to(device)))
        return cls(factors, scale, dropout)

    def frozen_copy(self) -> "TaskAdapter":
        """The same adapter without gradient, to teach while this one goes on."""
        copied = {name: (_frozen(a), _frozen(b)) for name, (a, b) in self.factors.items()}
        return TaskAdapter(copied, self.scale, 0.0)

    @classmethod
    def mixed(cls, parts: Sequence[tuple[float, "TaskAdapter"]]) -> "TaskAdapter":
        """The adapter whose products B A are a weighted sum of others', by factors one behind the other.

        A part of weight 0 is left out, so that what is left is not rounded differently for it.

        Args:
            parts: Weights and adapters of one scale and the same layers.
        """
        kept = [(weight, adapter) for weight, adapter in parts if weight]
        factors: Factors = {}
        for name in kept[0][1].factors:
            a = torch.cat([adapter.factors[name][0].detach() for _, adapter in kept])
            b = torch.cat([weight * adapter.factors[name][1].detach() for weight, adapter in kept], dim=1)
            factors[name] = (_frozen(a), _frozen(b))
        return cls(factors, kept[0][1].scale)

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All A and B, by name."""
        for name, (a, b) in self.factors.items():
            yield f"{name}.a", a
            yield f"{name}.b", b

    @contextmanager
    def on(self, module: nn.Module) -> Iterator[None]:
        """Put the adapter in for a while."""
        hooks = [
            _linear(module, name).register_forward_hook(self._adder(a, b)) for name, (a, b) in self.factors.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _adder(self, a: Tensor, b: Tensor):  # type: ignore[no-untyped-def]  # a hook of torch
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs[0]
            if self.dropout and layer.training:
                x = F.dropout(x, self.dropout)
            # The scale goes to the rank's few activations, and the factors are narrowed rather than the activations
            # widened: both save memory.
            return output + F.linear(self.scale * F.linear(x, a.to(x.dtype)), b.to(x.dtype))

        return add

    def state_dict(self) -> dict[str, object]:
        """The factors, the scale and the dropout."""
        factors = {name: {"a": a.detach(), "b": b.detach()} for name, (a, b) in self.factors.items()}
        return {"factors": factors, "scale": self.scale, "dropout": self.dropout}

    @classmethod
    def from_state(cls, state: Mapping[str, object], device: torch.device) -> Self:
        """The adapter that `state_dict` described, on a device."""
        saved = cast(Mapping[str, Mapping[str, Tensor]], state["factors"])
        factors = {name: (_frozen(pair["a"].to(device)), _frozen(pair["b"].to(device))) for name, pair in saved.items()}
        return cls(factors, cast(float, state["scale"]), cast(float, state["dropout"]))


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


def _linear(module: nn.Module, name: str) -> nn.Linear:
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear), name  # what `Learner.linear_layers` promises
    return layer
