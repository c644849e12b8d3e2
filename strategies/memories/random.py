"""Random samples, equally many of each class where samples have classes."""

from typing import final

import torch
from torch import Tensor

from clbench.contracts import Task
from clbench.core.registry import MEMORIES
from clbench.strategies._parts.memory import Memory, MemoryConfig


@MEMORIES.register("random", config=MemoryConfig)
@final
class RandomSamples(Memory[MemoryConfig]):
    """Keeps random samples of every task, of its classes in turn."""

    def rank(self, task: Task, count: int) -> Tensor:
        """Random samples, a round of one sample of each class after another."""
        samples = self.strategy.context.samples(task, "train")
        order = torch.randperm(len(samples), generator=self.new_generator("rank"))
        if "label" in samples.tensors:
            order = order[_rounds(samples.tensors["label"].cpu()[order]).argsort(stable=True)]
        return order[:count]


def _rounds(labels: Tensor) -> Tensor:
    """For each position: how many samples of its class come before it, `(n,)`."""
    rounds = torch.empty_like(labels)
    for label in labels.unique():
        own = labels == label
        rounds[own] = torch.arange(int(own.sum()), dtype=labels.dtype)
    return rounds
