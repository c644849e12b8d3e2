"""MUSCLE: train the new adapter further; it imitates the old model where it errs and the new one elsewhere."""

from collections.abc import Callable
from functools import partial
from typing import Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from clbench.contracts import Batch, Learner, Task, TokenScores
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.low_rank import LowRankAdapter
from clbench.strategies._distillation.teacher_outputs import (
    CachedTeacher,
    TeacherOutput,
    divergence,
    log_likelihood,
    output_of,
    select_targets,
)
from clbench.strategies._updates.adapted import mean_cross_entropy, scores_without_gradient
from clbench.strategies._updates.second_stage import SecondStage, SecondStageConfig

Mask = Literal["student-wrong", "old-right", "old-only", "token-likelihood", "sequence-likelihood"]


class MuscleConfig(SecondStageConfig):
    """Settings of `Muscle`; see `UpdateConfig` for what is not the authors'.

    `teachers` and `top_k` are ours: the paper has live teachers.
    """

    mask: Mask = Field("student-wrong", description="Units that imitate the old model; all others imitate the new one.")
    temperature: float = Field(2.0, gt=0, description="Temperature of both distributions in the divergence.")
    distilled: float = Field(
        1.0, ge=0, le=1, description="Weight of the distillation (lambda); the task loss has the rest."
    )
    teachers: Literal["live", "stored"] = Field(
        "live", description="Run both teachers at every step, or once before the second stage with outputs on disk."
    )
    top_k: int | None = Field(
        None, ge=1, description="Number of top columns kept for each unit with stored teachers; all if not set."
    )

    @model_validator(mode="after")
    def _live_teachers_give_all_columns(self) -> Self:
        if self.top_k is not None and self.teachers == "live":
            raise ValueError("top_k is for teachers: stored")
        return self


@STRATEGIES.register("muscle", config=MuscleConfig)
@final
class Muscle(SecondStage[MuscleConfig]):
    """MUSCLE's compatibility adapter (Echterhoff et al. 2024, Eq. 1 to 5), which replaces the new task adapter.

    The second stage starts from the new adapter and minimizes the mean over units i of
    m_i KL(old || student) + (1 - m_i) KL(new || student), with softmaxes at temperature 2 and no factor of its square.
    m_i is 1 if the student's top token is wrong. With `distilled` below 1, the mean cross-entropy has the rest of the
    weight; the paper does so for some Phi rows and does not give the value. Units are the tokens of input and answer,
    or samples if tasks have classes.

    The other masks are the paper's ablation. `old-right`: the old model is right. `old-only`: always 1.
    `token-likelihood`: the student gives the right token a lower probability than the old model does.
    `sequence-likelihood`: likewise for the whole sequence. With the last two the paper adds a likelihood term.

    The old model is the version before, of any strategy. Live teachers run beside the student in training. Stored
    teachers run once before; samples must then always look the same (no random crops).
    """

    def begin_second_stage(self, task: Task, adapter: LowRankAdapter) -> None:
        """Keep the new adapter as a teacher; compute the outputs of stored teachers."""
        if not self.config.distilled:
            return
        assert self.old is not None
        only = self.config.answers_only
        old = partial(self.old.scores, task=task, answers_only=only)
        new = partial(_scores, self.learner, adapter.frozen_copy(), task=task, answers_only=only)
        self._old, self._new = self._teacher(task, old), None
        if self.config.mask != "old-only":
            self._new = self._teacher(task, new)

    def second_stage_loss(self, batch: Batch, task: Task) -> Tensor:
        """Weighted sum of distillation and task loss, a scalar."""
        student, share = self.student_scores(batch, task), self.config.distilled
        if not share:
            return mean_cross_entropy(student)
        new = self._new(batch) if self._new else None
        distilled = distillation(self.config.mask, student, self._old(batch), new, self.config.temperature)
        return distilled if share == 1 else share * distilled + (1 - share) * mean_cross_entropy(student)

    def _teacher(self, task: Task, scores_of: Callable[[Batch], TokenScores]) -> Callable[[Batch], TeacherOutput]:
        if self.config.teachers == "live":
            return lambda batch: output_of(scores_of(batch))
        if type(self.learner).augment is not Learner.augment:
            raise ConfigError(
                f"muscle: teachers: stored: samples must always look the same, {self.learner.name} augments them"
            )
        samples = self.context.samples(task, "train")
        size = self.context.budget.micro_batch or self.context.budget.batch_size
        with self.learner.autocast():
            stored = CachedTeacher(scores_of, samples, size, self.config.temperature, self.config.top_k)
        return lambda batch: stored.of(batch["position"], self.learner.device)


def _scores(learner: Learner, adapter: LowRankAdapter, batch: Batch, task: Task, answers_only: bool) -> TokenScores:
    return scores_without_gradient(learner, adapter, batch, task, answers_only)


def distillation(
    mask: Mask, student: TokenScores, old: TeacherOutput, new: TeacherOutput | None, temperature: float
) -> Tensor:
    """Mean divergence of the student from the teacher that the mask selects for each unit (Eq. 5), a scalar.

    Args:
        mask: Rule that selects the teacher of each unit.
        student: Scores of the student, with gradient.
        old: Output of the old model.
        new: Output of the new model; None with the mask `old-only`, which never selects it.
        temperature: Temperature of both distributions.
    """
    targets = old.soft_targets
    if new is not None:
        targets = select_targets(imitates_old(mask, student, old), targets, new.soft_targets)
    return divergence(student.logits, targets, temperature).mean()


@torch.no_grad()
def imitates_old(mask: Mask, student: TokenScores, old: TeacherOutput) -> Tensor:
    """Whether each unit of the student imitates the old model: m, `(units,)` bool.

    Args:
        mask: Rule that decides it.
        student: Scores of the student.
        old: Output of the old model.
    """
    if mask == "student-wrong":
        return student.logits.argmax(dim=-1) != student.target
    if mask == "old-right":
        return old.right()
    if mask == "old-only":
        return torch.ones_like(student.target, dtype=torch.bool)
    difference = log_likelihood(student) - old.log_likelihood()
    if mask == "token-likelihood":
        return difference < 0
    total = difference.new_zeros(int(student.sequence[-1]) + 1).index_add(0, student.sequence, difference)
    return (total < 0)[student.sequence]
