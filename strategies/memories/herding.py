"""Herding: samples whose mean feature follows the mean of their class."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.contracts import Task
from clbench.core.registry import MEMORIES
from clbench.strategies._parts.class_turns import in_turns, positions_by_class
from clbench.strategies._parts.memory import Memory, MemoryConfig
from clbench.strategies._parts.sample_features import input_sums, last_layer


@MEMORIES.register("herding", config=MemoryConfig)
@final
class Herding(Memory[MemoryConfig]):
    """Keeps the samples that herding picks (iCaRL, Rebuffi et al. 2017, Algorithm 4), of the classes in turn.

    The k-th sample of a class brings the mean feature of the first k nearest to the mean of the class. A task without
    classes counts as one class. A sample is picked once.

    The feature is the input of the last linear layer (of the vision tower, for images): its mean over tokens, scaled to
    norm 1. Transformers of every family have it, for every kind of task. Scores would not do: not all kinds have some,
    and those of a vocabulary are too wide to keep for all samples.
    """

    def check(self, task: Task) -> None:
        """Refuse learners without such a layer (ConfigError), besides what no memory takes."""
        super().check(task)
        last_layer(self.learner, task)

    def rank(self, task: Task, count: int) -> Tensor:
        """The samples in the order of herding, a round of one sample of each class after another."""
        classes = positions_by_class(self.strategy.context.samples(task, "train"))
        features = F.normalize(input_sums(self.learner, task, self.all_samples(task)), dim=1)
        order = torch.cat([own[herded(features[own], count)] for own in classes])
        return in_turns(order, classes)[:count]


def herded(features: Tensor, count: int) -> Tensor:
    """Positions of the first `count` samples that herding picks, of features `(n, width)`; all n if there are fewer."""
    mean, total = features.mean(dim=0), torch.zeros_like(features[0])
    picked = torch.zeros(min(count, len(features)), dtype=torch.int64)
    for k in range(len(picked)):
        distance = (mean - (total + features) / (k + 1)).norm(dim=1)
        picked[k] = distance.index_fill(0, picked[:k], torch.inf).argmin()
        total += features[picked[k]]
    return picked
