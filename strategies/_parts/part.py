"""What the parts of all slots share: settings, the strategy that they belong to, randomness and state."""

from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from clbench.contracts import Learner, LinearLayer, Strategy, Task
from clbench.core.config import Config
from clbench.core.seeding import generator_for


class PartConfig(Config):
    """Settings of a part; the base has none."""


C = TypeVar("C", bound=PartConfig)


class Part(ABC, Generic[C]):
    """A choice in one slot of a strategy's training: an optimizer, selector, memory, penalty or edit.

    A part that carries anything from one update to the next implements `state_dict` and `load_state_dict`, with the
    same values as those of a strategy.

    Args:
        config: Settings of the part, checked.
        strategy: The strategy that it belongs to.
    """

    needs_weights: ClassVar[bool] = False
    """Whether the part works on weights of the model, so that it does not fit strategies that train adapters."""

    takes_shards: ClassVar[bool] = False
    """Whether the part works where each process holds shards of parameters and gradients (`shard: true`)."""

    requires: ClassVar[tuple[type, ...]] = ()
    """What the part needs of a learner: protocols of `clbench.contracts.capabilities`."""

    def __init__(self, config: C, strategy: Strategy[Any]) -> None:
        self.config = config
        self.strategy = strategy

    @property
    def learner(self) -> Learner:
        """The learner, which is the version before or after the update, or in training."""
        return self.strategy.learner

    def new_generator(self, *words: object) -> torch.Generator:
        """Randomness of the current update that neither batches nor other parts use, on the CPU.

        Args:
            *words: Name the use, if a part has several.
        """
        return generator_for(self.strategy.generator.initial_seed(), type(self).__name__, *words)

    def check(self, task: Task) -> None:
        """Refuse a task, or a learner, that the part does not fit; called for all tasks before any training.

        Raises:
            ConfigError: If the part does not fit.
        """

    def state_dict(self) -> Mapping[str, object]:
        """What must survive between updates."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what `state_dict` returned."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A parameter that a strategy trains.

    Attributes:
        name: Its name.
        parameter: The parameter.
        layer: The linear layer to which it belongs, as weight, bias or part of an adapter; None for all others.
        own: Whether it is a parameter of the learner, not one of an adapter.
    """

    name: str
    parameter: nn.Parameter
    layer: LinearLayer | None
    own: bool

    @property
    def is_matrix(self) -> bool:
        """Whether it maps vectors to vectors: the weight of a linear layer or a factor of an adapter; no embedding."""
        return self.parameter.ndim == 2 and (self.layer is not None or not self.own)


def described(
    learner: Learner,
    parameters: Iterable[tuple[str, nn.Parameter]],
    layers: Sequence[LinearLayer] | None = None,
    adapters: bool = False,
) -> list[Trained]:
    """Trained parameters with the layers that they belong to.

    Args:
        learner: The learner.
        parameters: Names and parameters. The names of adapters begin with the name of their layer.
        layers: The learner's linear layers before a library of adapters wrapped them; those of now if None.
        adapters: Whether all parameters are those of adapters; a library registers its own with the learner's module.
    """
    known = {layer.name: layer for layer in (learner.linear_layers() if layers is None else layers)}
    own = set() if adapters else {id(p) for p in learner.trainable().values()}
    return [Trained(name, p, _layer_of(name, known), id(p) in own) for name, p in parameters]


def _layer_of(name: str, layers: Mapping[str, LinearLayer]) -> LinearLayer | None:
    while name:
        name = name.rpartition(".")[0]
        if name in layers:
            return layers[name]
    return None
