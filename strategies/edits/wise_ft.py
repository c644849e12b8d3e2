"""WiSE-FT: average the learnt weights with those of the anchor."""

from collections.abc import Mapping
from typing import final

from pydantic import Field
from torch import Tensor, nn

from clbench.core.registry import EDITS
from clbench.strategies._parts.edit import Edit, EditConfig


class WiseFtEditConfig(EditConfig):
    """Settings of `WiseFtEdit`."""

    alpha: float = Field(0.8, ge=0, le=1, description="Weight of the learnt weights; the anchor has 1 - alpha.")


@EDITS.register("wise-ft", config=WiseFtEditConfig)
@final
class WiseFtEdit(Edit[WiseFtEditConfig]):
    """theta = (1 - alpha) theta_anchor + alpha theta_learnt (Wortsman et al. 2022, Eq. 1), after any strategy."""

    def apply(self, weights: Mapping[str, nn.Parameter], anchor: Mapping[str, Tensor]) -> None:
        """Average in place."""
        for name, p in weights.items():
            p.copy_(anchor[name].lerp(p, self.config.alpha))
