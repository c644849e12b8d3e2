"""Mixture of shards (MoS): LoRA factors put together from pools of pieces that all layers of a kind share."""

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar, Literal, final

from pydantic import Field, model_validator
from torch import nn

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.core.seeding import generator_for
from clbench.strategies._adapters.initial_factors import linear
from clbench.strategies._adapters.lora_strategy import LoraSettings, peft_arithmetic
from clbench.strategies._adapters.shared_pools import PooledAdapter, PoolShape, pools_of
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import chosen_layers


class MosConfig(LoraSettings):
    """Settings of `Mos`. Ranks and pieces have no published values; these are ours, for at least two layers of a kind.

    With `pool_rank` 16 as many values are trained as by `lora` at its default rank.
    """

    rank: int = Field(24, ge=1, description="Rank r of each layer's update.")
    pool_rank: int = Field(16, ge=1, description="Rank e of a LoRA with as many trained values.")
    private_rank: int = Field(8, ge=0, description="Ranks p that each layer has for itself.")
    pieces: int = Field(2, ge=1, description="Number n of pieces that each vector is put together from.")
    tables: Literal["new", "kept"] = Field(
        "new", description="Whether each task draws its own tables of pieces or all tasks have those of the first."
    )

    @model_validator(mode="after")
    def _fits(self) -> "MosConfig":
        for name in ("rank", "pool_rank"):
            if self.private_rank > getattr(self, name):
                raise ValueError(
                    f"private_rank must be at most {name} ({getattr(self, name)}), got {self.private_rank}"
                )
        return self


@STRATEGIES.register("mos", config=MosConfig)
@final
class Mos(GradientStrategy[MosConfig]):
    """W + (alpha / r) B A, where rows of A and B^T are concatenated pieces of shared pools (Wang et al. 2025, MoS).

    Layers of one role and one size are a kind. A kind of L layers has two pools of e L n pieces, for A and for B. A
    layer takes (r - p) n of the shared pieces, drawn without replacement, and has p n pieces of its own; n pieces make
    one vector. Only pools are trained: e L (in + out) values, as many as L adapters of rank e. So a task writes into
    all layers of a kind at once. With p = e = r and n = 1 this is `lora` of rank r (tested).

    Differences from the released code:

    - The product is merged into W after each task, and the next task starts with new pools.
    - Tables come from the cell's seed; they are new for each task, or those of the first one (`tables`).
    - Optimizer, schedule, dropout and scale are those of `lora`, for a fair table; the released runs have alpha 16,
      dropout 0.1 and a gradient norm of 0.3.

    The control of equal size is `lora` with `rank` e.
    """

    trains_weights: ClassVar[bool] = False

    def begin_task(self, task: Task) -> None:
        """Attach new pools to the chosen layers.

        Raises:
            ConfigError: For ranks or pieces that do not fit a kind of layers.
        """
        self._attach()

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Both pools of every kind of layers."""
        yield from self._adapter.parameters()

    def footprint(self) -> dict[str, int]:
        """Number of values in the pools, and number of adapted layers."""
        self._attach()
        return {**super().footprint(), "adapters": len(self._adapter)}

    def end_task(self, task: Task) -> None:
        """Merge the updates into the weights."""
        self._adapter.merge(self.learner.module)
        del self._adapter

    def _attach(self) -> None:
        settings, module = self.config, self.learner.module
        shape = PoolShape(settings.rank, settings.pool_rank, settings.private_rank, settings.pieces)
        kinds: dict[str, list[str]] = defaultdict(list)
        for layer in chosen_layers(self.learner, settings):
            found = linear(module, layer.name)
            kinds[f"{layer.role} {found.in_features} to {found.out_features}"].append(layer.name)
        drawn = self.generator if settings.tables == "new" else generator_for(self.context.seed, "tables of pieces")
        pools = pools_of(module, kinds, shape, (drawn, self.generator))
        self._adapter = PooledAdapter(pools, kinds, peft_arithmetic(settings))
        self._adapter.attach(module)
