"""CRAIG: samples whose gradients stand for those of all samples of their class."""

from typing import final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from clbench.contracts import ScoresClasses, Task, require
from clbench.core.errors import ConfigError
from clbench.core.registry import MEMORIES
from clbench.kinds import kind_of
from clbench.strategies._parts.class_turns import in_turns, positions_by_class
from clbench.strategies._parts.facility_location import facility_location
from clbench.strategies._parts.memory import Memory, MemoryConfig


class CraigConfig(MemoryConfig):
    """Settings of `Craig`."""

    candidates: int = Field(2000, ge=1, description="Samples of a class to choose among; random ones if it has more.")


@MEMORIES.register("craig", config=CraigConfig)
@final
class Craig(Memory[CraigConfig]):
    """Keeps the medoids of each class in the space of last-layer gradients (CRAIG, Mirzasoleiman et al. 2020).

    The gradient of a sample's scores is softmax(z) - onehot(y). Medoids are picked greedily; classes take turns.
    Deviation: samples are not weighted by the size of their cluster, which changes when a memory shrinks.
    """

    requires = (ScoresClasses,)

    def check(self, task: Task) -> None:
        """Refuse tasks whose samples do not have one class each (ConfigError), besides what no memory takes."""
        super().check(task)
        if not kind_of(task.kind).has_class(task):
            kind = task.kind if task.classes else "no classes"
            raise ConfigError(f"memory Craig: task {task.name!r}: wanted one class for each sample, got {kind}")

    def rank(self, task: Task, count: int) -> Tensor:
        """The medoids, a round of one sample of each class after another."""
        classes = positions_by_class(self.strategy.context.samples(task, "train"))
        gradients, generator = self._gradients(task), self.new_generator("candidates")
        order = []
        for own in classes:
            drawn = own[torch.randperm(len(own), generator=generator)[: self.config.candidates].sort().values]
            order.append(drawn[facility_location(gradients[drawn], count)])
        return in_turns(torch.cat(order), classes)[:count]

    @torch.no_grad()
    def _gradients(self, task: Task) -> Tensor:
        """Gradients of the training samples for their scores, `(n, classes)` float64 on the CPU."""
        found = []
        for batch in self.all_samples(task):
            with self.learner.autocast():
                scores = require(self.learner, ScoresClasses, "memory craig").logits(batch, [task])
            found.append((scores.double().softmax(dim=1) - F.one_hot(batch["label"], scores.shape[1])).cpu())
        return torch.cat(found)
