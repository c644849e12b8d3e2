"""Heads only: the backbone stays as it was pre-trained, and every task learns its head (linear probing)."""

from collections.abc import Iterator
from typing import final

from torch import nn

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.multi_task import MultiTaskConfig, MultiTaskStrategy


@STRATEGIES.register("head-only", config=MultiTaskConfig)
@final
class HeadOnly(MultiTaskStrategy[MultiTaskConfig]):
    """Trains the head of each task on what a frozen backbone makes of images: forgets nothing, learns what is there.

    For classes the head is linear (after a LayerNorm), so it is the linear probe of most papers; dense heads have
    convolutions.
    """

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """None besides heads."""
        yield from ()

    def frozen_blocks(self, task: Task) -> int:
        """All of them."""
        return self.learner.stack().blocks
