"""Merging of LoRA adapters that were trained apart: what the methods for low-rank updates share."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from clbench.contracts import Context, Task
from clbench.strategies._adapters.initial_factors import linear
from clbench.strategies._adapters.lora_strategy import LoraSettings, attached_lora
from clbench.strategies._adapters.low_rank import LowRankAdapter
from clbench.strategies._merging.merge_strategy import ControlConfig, MergeStrategy
from clbench.strategies._merging.task_vectors import Vectors
from clbench.strategies._training.gradient import TrainingConfig
from clbench.strategies._training.layers import chosen_layers

Pair = tuple[Tensor, Tensor]
"""A `(r, in)` and B `(out, r)`; the scale of the product is folded into B."""


class LoraMergeConfig(LoraSettings, ControlConfig):
    """Settings of strategies that merge LoRA adapters."""


R = TypeVar("R", bound=LoraMergeConfig)


class LoraMergeStrategy(MergeStrategy[R], Generic[R]):
    """Trains a new LoRA adapter on version 0 for each task; A and B of all tasks are kept and merged.

    The task vector is the product B A of every adapted layer. Other weights stay those of version 0.
    """

    trains_weights: ClassVar[bool] = False
    recipe: ClassVar[type[TrainingConfig]] = LoraSettings

    def __init__(self, config: R, context: Context) -> None:
        self._adapter: LowRankAdapter | None = None
        super().__init__(config, context)
        self._layers = chosen_layers(self.learner, config)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of the adapter in training, if any."""
        if self._adapter:
            yield from self._adapter.parameters()

    def footprint(self) -> dict[str, int]:
        """Number of values in A and B, and number of adapted layers."""
        self._adapter = attached_lora(self.learner, self._layers, self.config)
        return {**super().footprint(), "adapters": len(self._adapter.factors)}

    def fine_tune(self, task: Task) -> Mapping[str, object]:
        """Train an adapter; returns its factors, and numbers to record."""
        self._adapter = attached_lora(self.learner, self._layers, self.config)
        found = super().fine_tune(task)
        self._adapter.detach()
        self._adapter = None
        return found

    def merged(self) -> dict[str, Tensor]:
        """The weights of the adapted layers."""
        return {f"{layer.name}.weight": linear(self.learner.module, layer.name).weight for layer in self._layers}

    def task_vector(self, tuned: Vectors, pretrained: Vectors) -> dict[str, Tensor]:
        """Keep A and B of the task; returns their products.

        Args:
            tuned: What `fine_tune` returned.
            pretrained: The weights of the adapted layers in version 0.
        """
        scale = 1.0 if self.config.alpha is None else self.config.alpha / self.config.rank
        number = len(self.seen)
        pairs = self.memory.setdefault("pairs", {})
        for layer in self._layers:
            pairs[f"{number}/{layer.name}/a"] = tuned[f"{layer.name}.a"]
            pairs[f"{number}/{layer.name}/b"] = scale * tuned[f"{layer.name}.b"]
        return self._products()

    def permute(self, tau: Vectors) -> dict[str, Tensor]:
        """The products with rows and columns permuted, by permuting rows of B and columns of A.

        So the products keep their rank and singular values, which permuted entries of A and B would not.
        """
        generator, pairs, number = self.generator_of("permuted"), self.memory["pairs"], len(self.seen)
        for layer in self._layers:
            a, b = self.pairs(layer.name)[-1]
            columns = torch.randperm(a.shape[1], generator=generator).to(a.device)
            rows = torch.randperm(b.shape[0], generator=generator).to(b.device)
            pairs[f"{number}/{layer.name}/a"], pairs[f"{number}/{layer.name}/b"] = a[:, columns], b[rows]
        return self._products()

    def pairs(self, layer: str) -> list[Pair]:
        """A and B of every task so far, the current one last, for a layer."""
        kept = self.memory["pairs"]
        return [(kept[f"{number}/{layer}/a"], kept[f"{number}/{layer}/b"]) for number in range(1, len(self.seen) + 1)]

    def names(self) -> list[str]:
        """Names of the adapted layers."""
        return [layer.name for layer in self._layers]

    def _products(self) -> dict[str, Tensor]:
        """The products of the current task, by name of the weight, in the weight's type."""
        found = {}
        for name, weight in self.merged().items():
            a, b = self.pairs(name.removesuffix(".weight"))[-1]
            found[name] = (b @ a).to(weight)
        return found
