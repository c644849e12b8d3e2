"""Zero-shot: no training, the baseline of every other strategy."""

from collections.abc import Sequence
from typing import final

from clbench.contracts import ForgetRequest, Learner, Strategy, StrategyConfig, Task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.update import Compress


@STRATEGIES.register("zero-shot", config=StrategyConfig)
@final
class ZeroShot(Strategy[StrategyConfig]):
    """Leaves the model as it is: nothing is learnt, compressed or forgotten, and releases are taken unchanged."""

    def learn(self, task: Task) -> None:
        """Do nothing."""

    def adopt(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Take the release as it is."""
        self.learner = release

    def check_budget(self, update: Compress) -> None:
        """Refuse all budgets that need a smaller model.

        Raises:
            ConfigError: For fewer than 32 bits, any zeros or a number of bytes.
        """
        if update.bits != 32 and update.sparsity != 0:
            raise ConfigError(f"strategy zero-shot changes nothing: wanted 32 bits or 0 % zeros, got {update.label}")

    def compress(self, update: Compress) -> None:
        """Do nothing."""

    def forget(self, request: ForgetRequest) -> None:
        """Do nothing."""
