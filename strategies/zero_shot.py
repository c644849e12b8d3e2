"""Zero-shot: no training, the baseline of every other strategy."""

from typing import final

from clbench.contracts import Strategy, StrategyConfig, Task
from clbench.core.registry import STRATEGIES


@STRATEGIES.register("zero-shot", config=StrategyConfig)
@final
class ZeroShot(Strategy[StrategyConfig]):
    """Tests the pre-trained model without any change."""

    def learn(self, task: Task) -> None:
        """Do nothing."""
