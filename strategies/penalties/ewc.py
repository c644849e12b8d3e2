"""Elastic weight consolidation: changes of weights cost by their Fisher information for earlier tasks."""

from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from clbench.core.registry import PENALTIES
from clbench.strategies._parts.importances import ImportanceConfig, ImportancePenalty
from clbench.strategies._unlearning.importance import Source


class EwcPenaltyConfig(ImportanceConfig):
    """Settings of `EwcPenalty`."""

    decay: float = Field(1.0, ge=0, le=1, description="Factor of old importances after each task (gamma).")


@PENALTIES.register("ewc", config=EwcPenaltyConfig)
@final
class EwcPenalty(ImportancePenalty[EwcPenaltyConfig]):
    """Adds strength * sum F (theta - theta_t)^2 (Kirkpatrick et al. 2017; online: Schwarz et al. 2018).

    F <- decay F + F_task after each task. F_task is the mean squared gradient of the loss of single samples with their
    true labels (empirical Fisher information). With `batch_size` above 1 it is that of mean losses of batches, as in
    Avalanche's plugin, and smaller by about that factor. There is no factor 1/2.
    """

    source: ClassVar[Source] = "loss"

    def merged(self, old: Tensor, new: Tensor) -> Tensor:
        """The decayed sum."""
        return self.config.decay * old + new
