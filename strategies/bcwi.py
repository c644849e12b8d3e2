"""BCWI: the mean of the old and the new model's weights."""

from typing import final

import torch
from pydantic import Field

from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.low_rank import LowRankAdapter
from clbench.strategies._updates.updates import UpdateConfig, UpdateStrategy


class BcwiConfig(UpdateConfig):
    """Settings of `Bcwi`."""

    share: float = Field(0.5, ge=0, le=1, description="Weight of the old model (alpha).")


@STRATEGIES.register("bcwi", config=BcwiConfig)
@final
class Bcwi(UpdateStrategy[BcwiConfig]):
    """Backward-compatible weight interpolation (Schumann et al. 2024): alpha old + (1 - alpha) new, no more training.

    What is interpolated are the weights of the two adapted models, W + B A each, because their bases differ: bases by
    themselves, the same for all tasks, and the low-rank products as one product of twice the rank, which is the same
    sum. So it is still one base and one adapter. Both models must be of one architecture; where one release is not
    trained on from the other, there is little reason for their mean to be a good model.
    """

    @torch.no_grad()
    def finalize(self) -> None:
        """Put the mean in the place of the new model."""
        assert self.old is not None
        share, old = self.config.share, self.old.learner.state_dict()
        new = self.learner.state_dict()
        if {name: tensor.shape for name, tensor in old.items()} != {name: tensor.shape for name, tensor in new.items()}:
            both = f"{self.old.learner.name} and {self.learner.name}"
            raise ConfigError(f"bcwi: {both} are not of one architecture, so their weights have no mean")
        mean = {
            name: torch.lerp(tensor, old[name], share) if tensor.is_floating_point() else tensor
            for name, tensor in new.items()
        }
        self.learner.load_state_dict(mean)
        self.adapters = {
            name: LowRankAdapter.weighted_sum([(share, self.old.adapters[name]), (1 - share, adapter)])
            for name, adapter in self.adapters.items()
        }
