"""Experience replay: some samples of earlier tasks are kept and trained on together with new ones."""

from typing import Any, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class ReplayConfig(AvalancheConfig):
    """Settings of `Replay`."""

    mem_size: int = Field(200, ge=1, description="Samples kept in all; those of a class are dropped as classes arrive.")
    batch_size_mem: int | None = Field(
        None, ge=1, description="Old samples a step, besides the new ones; as many as new ones if not set."
    )


@STRATEGIES.register("replay", config=ReplayConfig)
@final
class Replay(AvalancheStrategy[ReplayConfig]):
    """Trains on new samples and a class-balanced memory (Chaudhry et al. 2019), by Avalanche's `ReplayPlugin`.

    From the second task on a step has the budget's batch of new samples and, besides, `batch_size_mem` old ones (fewer
    when the memory has fewer, or in the last batch of a pass over it): more samples a step than other strategies have.
    The number of steps stays the budget's. A `mem_size` below the number of classes leaves some without a sample.
    """

    mixed = True
    carried = ("storage_policy.buffer_groups", "storage_policy.seen_classes")

    def plugins(self) -> list[Any]:
        """Avalanche's `ReplayPlugin` with a reservoir for each class."""
        from avalanche.training.plugins import ReplayPlugin
        from avalanche.training.storage_policy import ClassBalancedBuffer

        size = self.config.mem_size
        return [ReplayPlugin(size, None, self.config.batch_size_mem, storage_policy=ClassBalancedBuffer(size))]
