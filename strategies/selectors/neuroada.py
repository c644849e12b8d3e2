"""The largest weights of each row move: every output neuron has the same number of trained inputs."""

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from pydantic import Field

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks


class NeuroAdaConfig(FixedSelectorConfig):
    """Settings of `NeuroAda`."""

    k: int = Field(1, ge=1, description="Inputs of each output neuron that move; at most all.")
    reverse: bool = Field(False, description="Choose the smallest weights instead (the authors' control).")


@SELECTORS.register("neuroada", config=NeuroAdaConfig)
@final
class NeuroAda(FixedSelector[NeuroAdaConfig]):
    """NeuroAda (Zhang et al. 2025): in each row of every linear layer the k entries with the largest |w|.

    The authors train a sparse addition that starts at 0 and is merged after training. That is the same as moving these
    entries of W with a new optimizer. Weight decay, which they leave out, pulls the weights here, not the addition.
    Biases and all other parameters are frozen.
    """

    needs_weights: ClassVar[bool] = True

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """The k largest of each row."""
        masks = {}
        for item in trained:
            if item.is_matrix:
                weight = item.parameter.detach()
                k = min(self.config.k, weight.shape[1])
                columns = weight.abs().topk(k, dim=1, largest=not self.config.reverse).indices
                masks[item.name] = torch.zeros_like(weight, dtype=torch.bool).scatter_(1, columns, True)
        return masks
