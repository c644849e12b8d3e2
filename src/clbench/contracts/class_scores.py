"""What families have in common whose `logits` are scores of classes, to be compared by a softmax."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.contracts.batch import Batch
from clbench.contracts.learner import TokenScores
from clbench.core.devices import to_device
from clbench.spec.task import Task


class ClassScores(ABC):
    """Makes a learner with `logits` one that `ScoresClasses` and `ScoresTokens`; a sample counts as one token."""

    @abstractmethod
    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scores of all classes of `tasks`, in that order, `(n, classes)` with gradient."""

    def loss_from_logits(self, logits: Tensor, label: Tensor, tasks: Sequence[Task]) -> Tensor:
        """Mean cross-entropy, a scalar; each sample competes among the classes of its own task only.

        Args:
            logits: Scores of all classes of `tasks`, in that order, `(n, classes)`.
            label: True classes `(n,)` int64, counted through all tasks.
            tasks: The tasks that the samples belong to.
        """
        sizes = torch.tensor([len(task.classes) for task in tasks])
        owner = to_device(torch.arange(len(tasks)).repeat_interleave(sizes), logits.device)
        others = owner != owner[label].unsqueeze(1)
        return F.cross_entropy(logits.masked_fill(others, -torch.inf), label)

    def token_logits(self, batch: Batch, task: Task, answers_only: bool = False) -> TokenScores:
        """Scores of every sample.

        Args:
            batch: The batch, as for `loss`.
            task: The task that the samples belong to.
            answers_only: Not used; there are no tokens of inputs.
        """
        logits = self.logits(batch, [task])
        return TokenScores(logits, batch["label"], torch.arange(len(logits), device=logits.device))
