"""Random samples, equally many of each class where samples have classes."""

from typing import final

import torch
from torch import Tensor

from clbench.contracts import Task
from clbench.core.registry import MEMORIES
from clbench.strategies._parts.class_turns import in_turns, positions_by_class
from clbench.strategies._parts.memory import Memory, MemoryConfig


@MEMORIES.register("random", config=MemoryConfig)
@final
class RandomSamples(Memory[MemoryConfig]):
    """Keeps random samples of every task, of its classes in turn.

    This is a class-balanced reservoir (Vitter 1985; Chrysakis and Moens 2020) over tasks that arrive whole: every
    sample of a class is kept with the same probability, and a task that has to shrink gives up random samples. It is
    the control of all other memories.
    """

    takes_shards = True

    def rank(self, task: Task, count: int) -> Tensor:
        """Random samples, a round of one sample of each class after another."""
        samples = self.strategy.context.samples(task, "train")
        order = torch.randperm(len(samples), generator=self.new_generator("rank"))
        return in_turns(order, positions_by_class(samples))[:count]
