"""MUSCLE: train the new adapter on, imitating the old model where the student is wrong and the new one elsewhere."""

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
    chosen,
    divergence,
    likelihood_of,
    output_of,
)
from clbench.strategies._updates.adapted import unit_loss, units_without_gradient
from clbench.strategies._updates.second_stage import SecondStage, SecondStageConfig

Mask = Literal["student-wrong", "old-right", "old-only", "token-likelihood", "sequence-likelihood"]


class MuscleConfig(SecondStageConfig):
    """Settings of `Muscle`."""

    mask: Mask = Field("student-wrong", description="Which units imitate the old model; all others the new one.")
    temperature: float = Field(2.0, gt=0, description="Softens both distributions that are compared.")
    distilled: float = Field(
        1.0, ge=0, le=1, description="Weight of the distillation (lambda); the task loss has the rest."
    )
    teachers: Literal["live", "stored"] = Field(
        "live", description="Ask both teachers at every step, or once before the second stage, kept on the disk."
    )
    top_k: int | None = Field(
        None, ge=1, description="With stored teachers: keep the likeliest columns of each unit only; all if not set."
    )

    @model_validator(mode="after")
    def _live_teachers_tell_everything(self) -> Self:
        if self.top_k is not None and self.teachers == "live":
            raise ValueError("top_k is for teachers: stored")
        return self


@STRATEGIES.register("muscle", config=MuscleConfig)
@final
class Muscle(SecondStage[MuscleConfig]):
    """MUSCLE's compatibility adapter (Echterhoff et al. 2024, Eq. 1 to 5), in place of the new task adapter.

    The second stage starts from the new adapter and minimises
    (1/n) sum over n units of m_i KL(old || student) + (1 - m_i) KL(new || student), softmaxes at temperature 2, no
    factor of its square; m_i says that the student's likeliest token is wrong. With `distilled` below 1 the mean
    cross-entropy has the rest of the weight (the paper uses that for some Phi rows and does not give the value).
    TokenScores are the tokens of input and answer, or samples where tasks have classes.

    The other masks are the paper's ablation: the old model is right; always the old model; the student gives the right
    token less probability than the old model does (`token-likelihood`), or the whole sequence
    (`sequence-likelihood`). The paper has a likelihood term with the last two.

    The old model is the version before, whatever made it. Both teachers run beside the student while it trains; stored,
    they are asked once before, in which case samples must always look the same (no random crops).
    """

    def begin_further(self, task: Task, adapter: LowRankAdapter) -> None:
        """Keep the new adapter as a teacher; ask both for everything where that is stored."""
        if not self.config.distilled:
            return
        assert self.old is not None
        only = self.config.answers_only
        old = partial(self.old.units, task=task, answers_only=only)
        new = partial(_asked, self.learner, adapter.frozen_copy(), task=task, answers_only=only)
        self._old, self._new = self._teacher(task, old), None
        if self.config.mask != "old-only":
            self._new = self._teacher(task, new)

    def further_loss(self, batch: Batch, task: Task) -> Tensor:
        """The distillation, with the task loss where that has weight."""
        units, share = self.student(batch, task), self.config.distilled
        if not share:
            return unit_loss(units)
        new = self._new(batch) if self._new else None
        distilled = distillation(self.config.mask, units, self._old(batch), new, self.config.temperature)
        return distilled if share == 1 else share * distilled + (1 - share) * unit_loss(units)

    def _teacher(self, task: Task, units_of: Callable[[Batch], TokenScores]) -> Callable[[Batch], TeacherOutput]:
        if self.config.teachers == "live":
            return lambda batch: output_of(units_of(batch))
        if type(self.learner).augment is not Learner.augment:
            raise ConfigError(f"muscle: teachers: stored: {self.learner.name} sees other views of a sample each time")
        samples = self.context.samples(task, "train")
        size = self.context.budget.micro_batch or self.context.budget.batch_size
        with self.learner.autocast():
            stored = CachedTeacher(units_of, samples, size, self.config.temperature, self.config.top_k)
        return lambda batch: stored.of(batch["position"], self.learner.device)


def _asked(learner: Learner, adapter: LowRankAdapter, batch: Batch, task: Task, answers_only: bool) -> TokenScores:
    return units_without_gradient(learner, adapter, batch, task, answers_only)


def distillation(
    mask: Mask, student: TokenScores, old: TeacherOutput, new: TeacherOutput | None, temperature: float
) -> Tensor:
    """Mean divergence of the student from the teacher that the mask gives each unit (Eq. 5), a scalar.

    Args:
        mask: The rule.
        student: Its scores, with gradient.
        old: What the old model says.
        new: What the new one says; None where the mask never asks it.
        temperature: Softens both.
    """
    taught = old.taught if new is None else chosen(imitates_old(mask, student, old), old.taught, new.taught)
    return divergence(student.logits, taught, temperature).mean()


@torch.no_grad()
def imitates_old(mask: Mask, student: TokenScores, old: TeacherOutput) -> Tensor:
    """m, `(units,)` bool: where the student is to imitate the old model.

    Args:
        mask: The rule.
        student: Its scores.
        old: What the old model says.
    """
    if mask == "student-wrong":
        return student.logits.argmax(dim=-1) != student.target
    if mask == "old-right":
        return old.right()
    if mask == "old-only":
        return torch.ones_like(student.target, dtype=torch.bool)
    behind = likelihood_of(student) - old.likelihood()
    if mask == "token-likelihood":
        return behind < 0
    total = behind.new_zeros(int(student.sequence[-1]) + 1).index_add(0, student.sequence, behind)
    return (total < 0)[student.sequence]
