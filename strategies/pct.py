"""PCT: stay near the old model's scores, more so where the old model is right (focal distillation)."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._distillation.teacher_outputs import SoftTargets, divergence
from clbench.strategies._updates.adapted import mean_cross_entropy
from clbench.strategies._updates.second_stage import SecondStage, SecondStageConfig


class PctConfig(SecondStageConfig):
    """Settings of `Pct`; optimizer and adapter are those of `UpdateConfig`, not the authors'."""

    strength: float = Field(1.0, ge=0, description="Weight of the focal distillation (lambda).")
    base: float = Field(1.0, ge=0, description="Weight of every unit (alpha).")
    focus: float = Field(5.0, ge=0, description="Additional weight of units that the old model has right (beta).")
    distance: Literal["kl", "logits"] = Field(
        "kl", description="T^2 KL(old || new), or half the squared distance of scores."
    )
    temperature: float = Field(100.0, gt=0, description="Temperature T of `kl`; the paper needs about 100.")


@STRATEGIES.register("pct", config=PctConfig)
@final
class Pct(SecondStage[PctConfig]):
    """Positive-congruent training (Yan et al. 2021): CE + lambda mean of (alpha + beta 1[old right]) D(new, old).

    D is the KL divergence of softmaxes at temperature T, with the factor T^2 of the released code, or 0.5 times the
    squared Euclidean distance of the scores. At T = 100 the first is near the second divided by the number of scores.

    Deviation: the paper trains the new model with this loss from the start. Here it is the loss of the second stage,
    after the plain adapter of all strategies, so that `pct`, `muscle` and `continue-update` differ in that loss alone.
    """

    def second_stage_loss(self, batch: Batch, task: Task) -> Tensor:
        """Cross-entropy plus weighted focal distillation, a scalar."""
        assert self.old is not None
        student = self.student_scores(batch, task)
        if not self.config.strength:
            return mean_cross_entropy(student)
        with torch.no_grad():
            old = self.old.scores(batch, task, self.config.answers_only)
            weight = self.config.base + self.config.focus * (old.logits.argmax(dim=-1) == old.target)
        if self.config.distance == "logits":
            distance = 0.5 * F.mse_loss(student.logits.float(), old.logits.float(), reduction="none").sum(dim=-1)
        else:
            temperature = self.config.temperature
            distance = temperature**2 * divergence(student.logits, SoftTargets(old.logits), temperature)
        return mean_cross_entropy(student) + self.config.strength * (weight * distance).mean()
