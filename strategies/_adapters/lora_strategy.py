"""LoRA adapters that are merged into the weights after each task: shared by `lora`, `o-lora` and `tap-slf`."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from pydantic import Field
from torch import nn

from clbench.contracts import Learner, LinearLayer, Task
from clbench.strategies._adapters.initial_factors import peft_factors
from clbench.strategies._adapters.low_rank import Arithmetic, LowRankAdapter
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import AdapterConfig, chosen_layers


class LoraSettings(AdapterConfig):
    """Settings of strategies that train one LoRA adapter for each task."""

    lr: float = Field(2e-3, gt=0, description="Peak learning rate of AdamW.")
    rank: int = Field(16, ge=1, description="Rank r of each adapter.")
    alpha: float | None = Field(
        None, gt=0, description="The update is scaled by alpha / rank; by 1 at every rank if not set."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")


L = TypeVar("L", bound=LoraSettings)


class LoraStrategy(GradientStrategy[L], Generic[L]):
    """Trains A and B of a new LoRA adapter on each task and merges them into W after it."""

    trains_weights: ClassVar[bool] = False

    def begin_task(self, task: Task) -> None:
        """Attach a new adapter to the chosen layers."""
        self._attach()

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of every layer."""
        yield from self._adapter.parameters()

    def footprint(self) -> dict[str, int]:
        """Number of values in A and B, and number of adapted layers."""
        self._attach()
        return {**super().footprint(), "adapters": len(self._adapter.factors)}

    def end_task(self, task: Task) -> None:
        """Merge the adapter into the weights."""
        self._adapter.merge(self.learner.module)
        del self._adapter

    def _attach(self) -> None:
        self._adapter = attached_lora(self.learner, chosen_layers(self.learner, self.config), self.config)


class AdapterShape(Protocol):
    """The settings that describe a LoRA adapter."""

    @property
    def rank(self) -> int:
        """Rank r."""

    @property
    def alpha(self) -> float | None:
        """The update is scaled by alpha / r; by 1 if None."""

    @property
    def dropout(self) -> float:
        """Probability of dropout before the adapter."""


def peft_arithmetic(config: AdapterShape) -> Arithmetic:
    """The arithmetic of PEFT's LoRA layers, with the scale that alpha gives."""
    scale = 1.0 if config.alpha is None else config.alpha / config.rank
    return Arithmetic(scale, config.dropout, peft_order=True)


def attached_lora(learner: Learner, layers: Sequence[LinearLayer], config: AdapterShape) -> LowRankAdapter:
    """A new adapter on layers of a learner, with the results of PEFT's LoRA layers to the bit.

    Args:
        learner: The learner, whose module gets the adapter.
        layers: The layers to adapt; without any, the adapter has no parameters.
        config: Rank, alpha and dropout.
    """
    factors = peft_factors(learner.module, [layer.name for layer in layers], config.rank)
    adapter = LowRankAdapter(factors, peft_arithmetic(config))
    adapter.attach(learner.module)
    return adapter
