"""Memory aware synapses: changes of weights cost by the sensitivity of outputs to them, without labels."""

from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from clbench.contracts import ScoresTokens, Task
from clbench.core.errors import ConfigError
from clbench.core.registry import PENALTIES
from clbench.kinds import kind_of
from clbench.strategies._parts.importances import ImportanceConfig, ImportancePenalty
from clbench.strategies._unlearning.importance import Source


class MasPenaltyConfig(ImportanceConfig):
    """Settings of `MasPenalty`."""

    alpha: float = Field(0.5, ge=0, le=1, description="Weight of old importances in the average with new ones.")


@PENALTIES.register("mas", config=MasPenaltyConfig)
@final
class MasPenalty(ImportancePenalty[MasPenaltyConfig]):
    """Adds strength * sum Omega (theta - theta_t)^2 (Aljundi et al. 2018, Eq. 4).

    Omega of a task is the mean over samples of the absolute gradient of the squared norm of its scores (Eq. 3): those
    of its classes, or of each token of an answer. With `batch_size` above 1 the gradient is that of the mean over a
    batch, as in Avalanche's plugin. Omega <- alpha Omega + (1 - alpha) Omega_task, which is also that plugin's rule;
    the authors add.
    """

    source: ClassVar[Source] = "output"
    requires = (ScoresTokens,)

    def check(self, task: Task) -> None:
        """Refuse images whose answers are not classes.

        Raises:
            ConfigError: For such a task.
        """
        if not kind_of(task.kind).scores_tokens:
            raise ConfigError(f"penalty mas: task {task.name!r}: wanted scores of classes or tokens, got {task.kind}")

    def merged(self, old: Tensor, new: Tensor) -> Tensor:
        """The weighted average."""
        return self.config.alpha * old + (1 - self.config.alpha) * new
