"""BCWI: the mean of the old and the new model's weights."""

from typing import final

import torch
from pydantic import Field

from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.low_rank import LowRankAdapter
from clbench.strategies._updates.updates import UpdateConfig, UpdateStrategy


class BcwiConfig(UpdateConfig):
    """Settings of `Bcwi`; training is that of `UpdateConfig`, not the authors'."""

    share: float = Field(0.5, ge=0, le=1, description="Weight of the old model (alpha).")


@STRATEGIES.register("bcwi", config=BcwiConfig)
@final
class Bcwi(UpdateStrategy[BcwiConfig]):
    """Backward-compatible weight interpolation (Schumann et al. 2024): alpha old + (1 - alpha) new, without training.

    Deviation: the two adapted models W + B A are interpolated, because their bases differ. The mean of the bases serves
    all tasks; the sum of the two low-rank products is one product of twice the rank. So the result is one base and one
    adapter for each task. Both models must have one architecture. If the new release was not trained from the old one,
    there is little reason for their mean to be a good model.
    """

    @torch.no_grad()
    def finalize(self) -> None:
        """Replace the new model by the mean.

        Raises:
            ConfigError: When the releases are not of one architecture.
        """
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
