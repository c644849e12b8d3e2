"""A release of a model with an adapter for each task, and what is asked of it unit by unit."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.contracts import Batch, Learner, Task, TokenScores
from clbench.core.errors import ConfigError
from clbench.strategies._adapters.low_rank import LowRankAdapter


@dataclass(frozen=True, eq=False)
class Adapted:
    """A release with the adapters of its tasks, by the tasks' names."""

    learner: Learner
    adapters: Mapping[str, LowRankAdapter]

    def units(self, batch: Batch, task: Task, answers_only: bool) -> TokenScores:
        """Scores of a batch with the task's adapter in, without gradient and as in testing."""
        return units_without_gradient(self.learner, self.adapters[task.name], batch, task, answers_only)


def unit_loss(units: TokenScores) -> Tensor:
    """Mean cross-entropy of units, a scalar."""
    return F.cross_entropy(units.logits.float(), units.target)


@torch.no_grad()
def units_without_gradient(
    learner: Learner, adapter: LowRankAdapter, batch: Batch, task: Task, answers_only: bool
) -> TokenScores:
    """Scores of a batch with an adapter in, and without dropout."""
    training = learner.module.training
    if training:
        learner.module.eval()
    with adapter.on(learner.module):
        units = learner.token_logits(batch, task, answers_only)
    if training:
        learner.module.train()
    return units


def require_same_vocabulary(old: Learner, new: Learner) -> None:
    """Refuse releases whose predictions cannot be compared unit by unit, or that would read other samples.

    Raises:
        ConfigError: When tokenizers, numbers of scores or sizes of images differ.
    """
    if type(old) is not type(new) or old.output_space() != new.output_space():
        both = f"{old.name} has {old.output_space()}, {new.name} has {new.output_space()}"
        raise ConfigError(f"releases must have one vocabulary (tokenizer): {both}")
