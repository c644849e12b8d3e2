"""Whole attention heads and MLP channels move, drawn at random over the model."""

from collections.abc import Sequence
from typing import ClassVar, final

from pydantic import Field

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.head_width import unit_width
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.random_entries import drawn
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks

COLUMNS, ROWS = ("out", "down"), ("v", "up")


class S2ftConfig(FixedSelectorConfig):
    """Settings of `S2ft`; the defaults are the authors' for LLaMA 3 (LLaMA 2: `out` 0.052, `down` 0.02)."""

    out: float = Field(0.0, ge=0, le=1, description="Share of the heads whose inputs of `out` move.")
    down: float = Field(0.03, ge=0, le=1, description="Share of the channels whose inputs of `down` move.")
    v: float = Field(0.0, ge=0, le=1, description="Share of the heads whose outputs of `v` move.")
    up: float = Field(0.0, ge=0, le=1, description="Share of the channels whose outputs of `up` move.")


@SELECTORS.register("s2ft", config=S2ftConfig)
@final
class S2ft(FixedSelector[S2ftConfig]):
    """S2FT (Yang et al. 2024): columns of `out` (a head each) and `down`, rows of `v` (a head each) and `up`.

    They are drawn uniformly among all (layer, head) or (layer, channel) pairs of the model, for each role by itself; so
    layers get different numbers. The authors permute columns into dense slices, which is faster and changes nothing
    else. Departure: heads of `v` are key-value heads where the model groups queries.
    """

    needs_weights: ClassVar[bool] = True

    def check(self, task: Task) -> None:
        """Refuse a learner without the layers, or whose size of heads is unknown.

        Raises:
            ConfigError: For such a learner.
        """
        for role in self._shares():
            layers = [layer for layer in self.learner.linear_layers() if layer.role == role]
            if not layers:
                raise ConfigError(f"selector s2ft: {self.learner.name} has no linear layer with role {role!r}")
            for layer in layers:
                unit_width(self.learner, layer)

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Draw heads and channels."""
        generator = self.new_generator()
        masks = {}
        for role, share in self._shares().items():
            dim = int(role in COLUMNS)
            items = [item for item in trained if item.is_matrix and item.layer and item.layer.role == role]
            widths = [unit_width(self.learner, item.layer) for item in items if item.layer]
            counts = [item.parameter.shape[dim] // width for item, width in zip(items, widths, strict=True)]
            moved = drawn(sum(counts), max(1, int(share * sum(counts))), generator).split(counts)
            for item, width, units in zip(items, widths, moved, strict=True):
                entries = units.repeat_interleave(width).to(item.parameter.device)
                masks[item.name] = entries.unsqueeze(1 - dim).expand(item.parameter.shape).contiguous()
        return masks

    def _shares(self) -> dict[str, float]:
        """Shares by role, without those of which nothing moves."""
        return {role: share for role in (*COLUMNS, *ROWS) if (share := getattr(self.config, role))}
