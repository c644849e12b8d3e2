"""PCT: stay near the old model's scores, the more so where the old model is right (focal distillation)."""

from typing import Literal, final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._distillation.teacher_outputs import SoftTargets, divergence
from clbench.strategies._updates.adapted import unit_loss
from clbench.strategies._updates.second_stage import SecondStage, SecondStageConfig


class PctConfig(SecondStageConfig):
    """Settings of `Pct`."""

    strength: float = Field(1.0, ge=0, description="Weight of the focal distillation (lambda).")
    base: float = Field(1.0, ge=0, description="Weight of every unit (alpha).")
    focus: float = Field(5.0, ge=0, description="Weight more of units that the old model has right (beta).")
    distance: Literal["kl", "logits"] = Field(
        "kl", description="T^2 KL(old || new), or half the squared distance of the scores."
    )
    temperature: float = Field(100.0, gt=0, description="T of `kl`; published: it needs to be near 100 to help.")


@STRATEGIES.register("pct", config=PctConfig)
@final
class Pct(SecondStage[PctConfig]):
    """Positive-congruent training (Yan et al. 2021): CE + lambda mean of (alpha + beta 1[old right]) D(new, old).

    D is the KL divergence of softmaxes at temperature T, with the factor T^2 of the released code, or 0.5 times the
    squared Euclidean distance of the scores. At T = 100 the first is near the second divided by the number of scores.

    What differs: the paper trains the new model this way from the start. Here it is the second stage, after the same
    plain adapter as everywhere, so that `pct`, `muscle` and `continue-update` differ in that stage's loss alone.
    """

    def further_loss(self, batch: Batch, task: Task) -> Tensor:
        """Cross-entropy and focal distillation, a scalar."""
        assert self.old is not None
        units = self.student(batch, task)
        if not self.config.strength:
            return unit_loss(units)
        with torch.no_grad():
            old = self.old.units(batch, task, self.config.answers_only)
            weight = self.config.base + self.config.focus * (old.logits.argmax(dim=-1) == old.target)
        if self.config.distance == "logits":
            apart = 0.5 * F.mse_loss(units.logits.float(), old.logits.float(), reduction="none").sum(dim=-1)
        else:
            temperature = self.config.temperature
            apart = temperature**2 * divergence(units.logits, SoftTargets(old.logits), temperature)
        return unit_loss(units) + self.config.strength * (weight * apart).mean()
