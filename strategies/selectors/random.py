"""Random entries of every tensor, or of all tensors together: the control of other selectors."""

from collections.abc import Sequence
from typing import Literal, final

import torch
from pydantic import Field

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import Masks, Selector, SelectorConfig


class RandomConfig(SelectorConfig):
    """Settings of `RandomEntries`."""

    share: float = Field(0.1, gt=0, le=1, description="Share of the entries that move.")
    among: Literal["tensor", "all"] = Field(
        "tensor", description="Draw the same share of every tensor, or among the entries of all tensors together."
    )


@SELECTORS.register("random", config=RandomConfig)
@final
class RandomEntries(Selector[RandomConfig]):
    """Moves entries drawn uniformly."""

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Draw the entries."""
        generator = self.new_generator()
        sizes = [item.parameter.numel() for item in trained]
        if self.config.among == "all":
            drawn = _drawn(sum(sizes), self.config.share, generator).split(sizes)
        else:
            drawn = tuple(_drawn(size, self.config.share, generator) for size in sizes)
        shaped = ((item, mask.view(item.parameter.shape)) for item, mask in zip(trained, drawn, strict=True))
        return {item.name: mask.to(item.parameter.device) for item, mask in shaped}


def _drawn(size: int, share: float, generator: torch.Generator) -> torch.Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[torch.randperm(size, generator=generator)[: max(1, round(share * size))]] = True
    return mask
