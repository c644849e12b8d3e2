"""Whole attention heads and MLP channels move, drawn at random over the model."""

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from pydantic import Field
from torch import nn

from clbench.contracts import LinearLayer, Task
from clbench.core.errors import ConfigError
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks

COLUMNS, ROWS = ("out", "down"), ("v", "up")
HEADS = ("out", "v")


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
        for role, share in self._shares().items():
            layers = [layer for layer in self.learner.linear_layers() if layer.role == role]
            if share and not layers:
                raise ConfigError(f"selector s2ft: {self.learner.name} has no linear layer with role {role!r}")
            for layer in layers if share and role in HEADS else ():
                self._width(layer)

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Draw heads and channels."""
        generator = self.new_generator()
        masks = {}
        for role, share in self._shares().items():
            items = [
                (item, item.layer) for item in trained if item.is_matrix and item.layer and item.layer.role == role
            ]
            if not share or not items:
                continue
            dim = int(role in COLUMNS)
            widths = [self._width(layer) for _, layer in items]
            counts = [item.parameter.shape[dim] // width for (item, _), width in zip(items, widths, strict=True)]
            drawn = torch.zeros(sum(counts), dtype=torch.bool)
            drawn[torch.randperm(len(drawn), generator=generator)[: max(1, int(share * len(drawn)))]] = True
            for (item, _), width, units in zip(items, widths, drawn.split(counts), strict=True):
                entries = units.repeat_interleave(width).to(item.parameter.device)
                masks[item.name] = entries.unsqueeze(1 - dim).expand(item.parameter.shape).contiguous()
        return masks

    def _shares(self) -> dict[str, float]:
        return {role: getattr(self.config, role) for role in (*COLUMNS, *ROWS)}

    def _width(self, layer: LinearLayer) -> int:
        """Values of a head, or 1 for channels."""
        if layer.role not in HEADS:
            return 1
        linear = self.learner.module.get_submodule(layer.name)
        assert isinstance(linear, nn.Linear)
        width = linear.in_features if layer.role == "out" else linear.out_features
        parent = layer.name
        while parent := parent.rpartition(".")[0]:
            attention = self.learner.module.get_submodule(parent)
            for known in ("head_dim", "key_value_proj_dim"):
                if isinstance(size := getattr(attention, known, None), int):
                    return size
            for known in ("num_heads", "heads"):
                if isinstance(heads := getattr(attention, known, None), int):
                    return width // heads
        raise ConfigError(f"selector s2ft: {self.learner.name}: {layer.name} does not tell the size of its heads")
