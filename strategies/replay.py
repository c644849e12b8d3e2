"""Experience replay: train on new samples together with a memory of earlier ones."""

from typing import Any, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class ReplayConfig(AvalancheConfig):
    """Settings of `Replay`; see `AvalancheConfig` for what is not the authors'."""

    mem_size: int = Field(200, ge=1, description="Number of samples kept, shared equally by all classes seen.")
    batch_size_mem: int | None = Field(
        None, ge=1, description="Old samples in a step, in addition to new ones; as many as new ones if not set."
    )


@STRATEGIES.register("replay", config=ReplayConfig)
@final
class Replay(AvalancheStrategy[ReplayConfig]):
    """Trains on new samples and a class-balanced memory (Chaudhry et al. 2019), by Avalanche's `ReplayPlugin`.

    From the second task on, a step has the budget's batch of new samples and `batch_size_mem` old ones (fewer if the
    memory has fewer, or in the last batch of a pass over it). So steps have more samples than those of other
    strategies; the number of steps is the budget's. If `mem_size` is below the number of classes, some have no sample.
    """

    mixed = True
    keeps_positions = True
    carried = ("storage_policy.buffer_groups", "storage_policy.seen_classes")

    def plugins(self) -> list[Any]:
        """Avalanche's `ReplayPlugin` with a reservoir for each class."""
        from avalanche.training.plugins import ReplayPlugin
        from avalanche.training.storage_policy import ClassBalancedBuffer

        size = self.config.mem_size
        return [ReplayPlugin(size, None, self.config.batch_size_mem, storage_policy=ClassBalancedBuffer(size))]
