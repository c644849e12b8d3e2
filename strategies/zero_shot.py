"""Zero-shot: never train. The row that every other strategy has to justify itself against."""

from typing import final

from clbench.contracts import Strategy, StrategyConfig, Task
from clbench.core.registry import STRATEGIES


@STRATEGIES.register("zero-shot", config=StrategyConfig)
@final
class ZeroShot(Strategy[StrategyConfig]):
    """Leaves the pre-trained model as it is."""

    def learn(self, task: Task) -> None:
        """Do nothing."""
