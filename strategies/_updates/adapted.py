"""A release of a model with an adapter for each task, and its scores of units (tokens or samples)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.contracts import Batch, Learner, ScoresTokens, Task, TokenScores, require
from clbench.core.errors import ConfigError
from clbench.strategies._adapters.low_rank import LowRankAdapter


@dataclass(frozen=True, eq=False)
class Adapted:
    """A release and its adapters.

    Attributes:
        learner: The release.
        adapters: Adapters by name of their task.
    """

    learner: Learner
    adapters: Mapping[str, LowRankAdapter]

    def scores(self, batch: Batch, task: Task, answers_only: bool) -> TokenScores:
        """Scores of a batch with the task's adapter, without gradient and dropout.

        Args:
            batch: The batch.
            task: Its task.
            answers_only: Whether tokens of inputs are left out.
        """
        return scores_without_gradient(self.learner, self.adapters[task.name], batch, task, answers_only)


def mean_cross_entropy(scores: TokenScores) -> Tensor:
    """Mean cross-entropy over all units, a scalar."""
    return F.cross_entropy(scores.logits.float(), scores.target)


@torch.no_grad()
def scores_without_gradient(
    learner: Learner, adapter: LowRankAdapter, batch: Batch, task: Task, answers_only: bool
) -> TokenScores:
    """Scores of a batch by a learner with an adapter, without gradient and dropout.

    Args:
        learner: The learner; its training mode is restored.
        adapter: The adapter, attached for this call.
        batch: The batch.
        task: Its task.
        answers_only: Whether tokens of inputs are left out.
    """
    training = learner.module.training
    if training:
        learner.module.eval()
    with adapter.on(learner.module):
        scores = require(learner, ScoresTokens).token_logits(batch, task, answers_only)
    if training:
        learner.module.train()
    return scores


def require_same_vocabulary(old: Learner, new: Learner) -> None:
    """Refuse releases whose scores cannot be compared token by token, or that would read samples differently.

    Raises:
        ConfigError: When classes of learners, tokenizers, numbers of scores or image sizes differ.
    """
    if type(old) is not type(new) or old.output_space() != new.output_space():
        both = f"{old.name} has {old.output_space()}, {new.name} has {new.output_space()}"
        raise ConfigError(f"releases must have one vocabulary (tokenizer): {both}")
