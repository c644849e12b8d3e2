"""MagMax: of all task vectors, the entry of largest absolute value."""

from typing import Literal, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.largest_entries import larger_entries
from clbench.strategies._merging.merge_strategy import MergeConfig, Merged, MergeStrategy
from clbench.strategies._merging.task_vectors import Vectors, dot, scaled


class MagmaxConfig(MergeConfig):
    """Settings of `Magmax`; `scale` is the authors', training is that of the suite."""

    scale: float = Field(0.5, gt=0, description="Factor of the merged task vector.")
    start_from: Literal["previous", "pretrained"] = Field(
        "previous",
        description="Fine-tuning starts from the weights fine-tuned on the task before, or from version 0 (the authors'"
        " ablation `independent`).",
    )


@STRATEGIES.register("magmax", config=MagmaxConfig)
@final
class Magmax(MergeStrategy[MagmaxConfig]):
    """theta_t = theta_0 + scale * (entry-wise the tau_i of largest |value|) (Marczak et al. 2024).

    Of equal values that of the later task wins, which can differ in its sign.

    Fine-tuning goes on from phi_(t-1), the weights fine-tuned on the task before, and never from merged weights. So
    tau_t = phi_t - theta_0 contains what earlier tasks have left in phi.
    """

    def start(self) -> Vectors:
        """The weights fine-tuned on the task before."""
        return self.memory.get("tuned", {})

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The largest entries of all task vectors so far.

        Args:
            tau: Task vector of the current task.
            offset: Not needed: the largest entries are kept without the scale.
        """
        if self.config.start_from == "previous":
            self.memory["tuned"] = {name: self._tuned[name] for name in tau}
        largest = larger_entries(self.memory["largest"], tau) if "largest" in self.memory else dict(tau)
        self.memory["largest"] = largest
        won = {name: tensor * (tensor == largest[name]) for name, tensor in tau.items()}
        return Merged(scaled(largest, self.config.scale), dot(won, won), {})
