"""WiSE-FT: fine-tune, then average the weights with those of the pre-trained model."""

from typing import Literal, final

import torch
from pydantic import Field

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy


class WiseFtConfig(GradientConfig):
    """Settings of `WiseFt`; `alpha` is that of ZSCL's script, optimizer and schedule are ours."""

    alpha: float = Field(0.8, ge=0, le=1, description="Weight of the fine-tuned model; the anchor has 1 - alpha.")
    anchor: Literal["pretrained", "previous"] = Field(
        "pretrained", description="Model to average with: version 0, or the version before the task."
    )


@STRATEGIES.register("wise-ft", config=WiseFtConfig)
@final
class WiseFt(GradientStrategy[WiseFtConfig]):
    """theta = (1 - alpha) theta_0 + alpha theta_1 after full fine-tuning (Wortsman et al. 2022, Eq. 1).

    The paper has one task. With several tasks, the average is taken at the end of each task; it is the version that is
    tested and from which the next task is trained. This is the convention of the baseline in ZSCL (Zheng et al. 2023).
    With the pre-trained anchor, the change of a task is scaled by alpha again after every later task.

    A task's own parameters (its head) have no meaningful weights before the task and stay as trained.

    ZSCL's released script averages with the *previous* version, alpha 0.8 (`anchor: previous`), which scales the change
    of each task once. Use it for comparison with published tables of MTIL and X-TAIL, which are based on that script.
    """

    def begin_task(self, task: Task) -> None:
        """Keep the version before the task if it is the anchor."""
        if self.config.anchor == "previous":
            heads = self.task_parameters()
            shared = {name: p for name, p in self.learner.trainable().items() if name not in heads}
            self._anchor = {name: p.detach().clone() for name, p in shared.items()}

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Average the trained weights with the anchor."""
        if self.config.anchor == "pretrained":
            self._anchor = dict(self.context.new_learner().trainable())
        for name, p in self.trainable_parameters():
            if name in self._anchor:
                p.copy_(torch.lerp(self._anchor[name], p, self.config.alpha))
        del self._anchor
