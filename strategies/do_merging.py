"""After DO-Merging: average the norms and the directions of LoRA updates apart."""

from typing import final

import torch
from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.lora_merging import LoraMergeConfig, LoraMergeStrategy, Pair
from clbench.strategies._merging.merge_strategy import Merged
from clbench.strategies._merging.norms_and_directions import mean_of_parts, orthogonalize
from clbench.strategies._merging.task_vectors import Vectors, dot


class DoMergingConfig(LoraMergeConfig):
    """Settings of `DoMerging`; all are ours or those of a re-implementation, as the authors' are not known to us."""

    orthogonalize: bool = Field(True, description="Change A and B of the tasks first so that they overlap less.")
    gamma: float = Field(1.0, ge=0, description="Weight of the squared norm of that change.")
    steps: int = Field(100, ge=1, description="Steps of Adam for that change.")
    change_lr: float = Field(
        0.01, gt=0, description="Learning rate of that change, in units of the root mean square of the entries."
    )
    scale: float = Field(1.0, gt=0, description="Factor of the merged update.")
    renormalize: bool = Field(False, description="Give mean directions the length 1 again.")


@STRATEGIES.register("do-merging", config=DoMergingConfig)
@final
class DoMerging(LoraMergeStrategy[DoMergingConfig]):
    """theta_t = theta_0 + scale * mean of column norms * mean of column directions, of the updates W_i = B_i A_i.

    It follows DO-Merging (decouple and orthogonalize), of which we know an abstract, a review and a re-implementation,
    neither the paper's text nor the authors' code. With `orthogonalize`, each version starts again from the trained
    A and B of all tasks. So the order of tasks does not matter, up to round-off.

    A mean of directions has a norm of at most 1: the update shrinks where tasks disagree. `merge/direction` is the mean
    length over all columns, 1 if all tasks agree.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The merged updates of all tasks so far.

        Args:
            tau: Update of the current task; A and B of all tasks are kept.
            offset: Not needed.
        """
        found, lengths = {}, []
        for name in self.names():
            pairs = self.pairs(name)
            pairs = self._apart(pairs) if self.config.orthogonalize and len(pairs) > 1 else pairs
            products = [b.double() @ a.double() for a, b in pairs]
            merged, length = mean_of_parts(products, self.config.renormalize)
            found[f"{name}.weight"] = (self.config.scale * merged).to(tau[f"{name}.weight"])
            lengths.append(length)
        return Merged(found, dot(tau, tau), {"direction": torch.cat(lengths).mean()})

    def _apart(self, pairs: list[Pair]) -> list[Pair]:
        """The pairs after the change that makes them overlap less."""
        how = (self.config.gamma, self.config.steps, self.config.change_lr)
        with torch.enable_grad():
            a = orthogonalize([a for a, _ in pairs], *how)
            b = orthogonalize([b.T for _, b in pairs], *how)
        return [(one, other.T) for one, other in zip(a, b, strict=True)]
