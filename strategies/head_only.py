"""Heads only: train each task's head on the frozen pre-trained backbone (linear probing)."""

from collections.abc import Iterator
from typing import ClassVar, final

from torch import nn

from clbench.contracts import Stacked, Task, require
from clbench.core.registry import STRATEGIES
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.multi_task import MultiTaskConfig, MultiTaskStrategy


@STRATEGIES.register("head-only", config=MultiTaskConfig)
@final
class HeadOnly(MultiTaskStrategy[MultiTaskConfig]):
    """Trains the head of each task on features of a frozen backbone, so nothing is forgotten.

    For classes the head is a LayerNorm and a linear layer, similar to the linear probe of most papers. Heads for dense
    tasks have convolutions.
    """

    slots: ClassVar[tuple[Slot, ...]] = ()
    requires = (Stacked,)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """No parameters besides heads."""
        yield from ()

    def frozen_blocks(self, task: Task) -> int:
        """All blocks."""
        return require(self.learner, Stacked).stack().blocks
