"""WiSE-FT: fine-tune, then average the weights with those of the pre-trained model."""

from typing import Literal, final

import torch
from pydantic import Field

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy


class WiseFtConfig(GradientConfig):
    """Settings of `WiseFt`."""

    alpha: float = Field(0.8, ge=0, le=1, description="Weight of the fine-tuned model; the anchor has the rest.")
    anchor: Literal["pretrained", "previous"] = Field(
        "pretrained", description="Averaged with: version 0, or the version before the task."
    )


@STRATEGIES.register("wise-ft", config=WiseFtConfig)
@final
class WiseFt(GradientStrategy[WiseFtConfig]):
    """theta = (1 - alpha) theta_0 + alpha theta_1 after full fine-tuning (Wortsman et al. 2022, Eq. 1).

    That paper has one task. With several, the average is taken at the end of each task, it is the version that is
    tested, and the next task is trained from it: the convention of the baseline in ZSCL (Zheng et al. 2023). With the
    pre-trained anchor, what a task changed is scaled by alpha once more after every later task.

    What a task has for itself (a head) has no weights before the task that were worth anything, and is left as trained.

    ZSCL's released script averages with the *previous* version, alpha 0.8: `anchor: previous`. It scales every task's
    change once. Use that beside published tables of MTIL and X-TAIL, which go back to it.
    """

    def begin_task(self, task: Task) -> None:
        """Remember the version before the task, where it is the anchor."""
        if self.config.anchor == "previous":
            own = self.task_parameters()
            shared = {name: p for name, p in self.learner.trainable().items() if name not in own}
            self._anchor = {name: p.detach().clone() for name, p in shared.items()}

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Average what was trained with the anchor."""
        if self.config.anchor == "pretrained":
            self._anchor = dict(self.context.new_learner().trainable())
        for name, p in self.trainable_parameters():
            if name in self._anchor:
                p.copy_(torch.lerp(self._anchor[name], p, self.config.alpha))
        del self._anchor
