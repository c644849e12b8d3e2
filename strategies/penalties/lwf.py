"""Learning without forgetting: distil the version before, on samples of the new task."""

from copy import deepcopy
from typing import final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Learner, ScoresClasses, ScoresTokens, Task, require
from clbench.core.errors import ConfigError
from clbench.core.registry import PENALTIES
from clbench.kinds import kind_of
from clbench.strategies._distillation.teacher_outputs import SoftTargets, as_teacher, divergence
from clbench.strategies._parts.penalty import Penalty, PenaltyConfig


class LwfPenaltyConfig(PenaltyConfig):
    """Settings of `LwfPenalty`."""

    temperature: float = Field(2.0, gt=0, description="Temperature of teacher and student.")


@PENALTIES.register("lwf", config=LwfPenaltyConfig)
@final
class LwfPenalty(Penalty[LwfPenaltyConfig]):
    """Adds strength * sum over earlier tasks of KL(teacher || student) at a temperature (Li and Hoiem 2016).

    The teacher is a copy of the version before. Both score the new samples, in the same random view, over the classes
    of each earlier task, one softmax for each. Language models have one output space for all tasks: they are compared
    on the tokens of the new answers. KL has the gradient of the paper's cross-entropy; there is no factor T^2. Each
    step has a second forward pass of the student and one of the teacher. It needs no weights, so adapters have it, too.
    """

    _teacher: Learner | None = None

    def check(self, task: Task) -> None:
        """Refuse images whose answers are not classes.

        Raises:
            ConfigError: For such a task.
        """
        if not kind_of(task.kind).scores_tokens:
            raise ConfigError(f"penalty lwf: task {task.name!r}: wanted scores of classes or tokens, got {task.kind}")

    def begin_task(self, task: Task) -> None:
        """Copy the version before the task; the first task has no teacher."""
        if len(self.strategy.seen) > 1:
            self._teacher = as_teacher(deepcopy(self.learner))

    def term(self, batch: Batch, task: Task) -> Tensor | None:
        """The divergence, averaged over samples or tokens, a scalar; None in the first task."""
        if self._teacher is None:
            return None
        with torch.no_grad():
            wanted = self._scores(self._teacher, batch, task)
        pairs = zip(self._scores(self.learner, batch, task), wanted, strict=True)
        return torch.stack([divergence(s, SoftTargets(t), self.config.temperature).mean() for s, t in pairs]).sum()

    def end_task(self, task: Task) -> None:
        """Drop the teacher."""
        self._teacher = None

    def _scores(self, learner: Learner, batch: Batch, task: Task) -> tuple[Tensor, ...]:
        """Scores of each earlier task's classes `(n, classes)`, or of the answers' tokens `(tokens, vocabulary)`."""
        if task.limits is not None:
            return (require(learner, ScoresTokens, "penalty lwf").token_logits(batch, task, answers_only=True).logits,)
        earlier = self.strategy.seen[:-1]
        scores = require(learner, ScoresClasses, "penalty lwf").logits(batch, earlier)
        return torch.split(scores, [len(known.classes) for known in earlier], dim=1)
