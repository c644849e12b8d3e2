"""Round to nearest: weights become whole multiples of a scale, one for each row or group of inputs."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from clbench.contracts import StrategyConfig

SCALE_BITS = 16
"""A scale is stored as bfloat16."""
SHRINK_FACTORS = [1 - 0.5 * step / 99 for step in range(100)]
"""Factors of the largest weight that `scale: mse` tries: 100 from 1 to 0.5."""


class RoundingConfig(StrategyConfig):
    """Settings of the grid that weights are rounded to."""

    granularity: Literal["row", "group"] = Field(
        "row", description="What shares a scale: all weights of an output, or groups of its inputs."
    )
    group: int = Field(64, ge=2, description="Inputs in a group, with `granularity: group`; the last may have fewer.")
    symmetric: bool = Field(
        True, description="Codes around 0; otherwise a zero point fits them to the smallest and largest weight."
    )
    scale: Literal["max", "mse"] = Field(
        "max", description="Scale that reaches the largest weight, or that of 100 down to its half of least error."
    )

    def group_size(self, inputs: int) -> int:
        """Inputs that share a scale, in a layer of so many inputs."""
        return min(self.group, inputs) if self.granularity == "group" else inputs

    def bits_of(self, shape: tuple[int, int], bits: int) -> int:
        """Bits of a weight matrix: its codes, a bfloat16 for each scale, a code for each zero point.

        Args:
            shape: Outputs and inputs.
            bits: Bits of a code.
        """
        outputs, inputs = shape
        scales = outputs * -(-inputs // self.group_size(inputs))
        return outputs * inputs * bits + scales * (SCALE_BITS + (0 if self.symmetric else bits))


@dataclass(frozen=True, eq=False)
class Codes:
    """A quantised weight matrix.

    Attributes:
        codes: Whole numbers `(out, groups, group)`, as float32; the last group is filled up with codes of 0.
        scale: `(out, groups, 1)`, exact in bfloat16.
        zero_point: Codes of weight 0, `(out, groups, 1)`, as float32.
        inputs: Number of inputs.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor
    inputs: int

    def weights(self) -> Tensor:
        """The weights that the codes stand for, `(out, in)` float32."""
        return (self.scale * (self.codes - self.zero_point)).flatten(1)[:, : self.inputs]


def encode(weight: Tensor, bits: int, config: RoundingConfig) -> Codes:
    """Round a weight matrix to the nearest codes.

    Symmetric: codes are -m to m with m = 2^(bits - 1) - 1, and the scale is max|w| / m. Otherwise codes are 0 to 2^bits
    - 1, and the scale is the range of the weights and 0 divided by 2^bits - 1. In both, weight 0 stays exactly 0, and
    halves are rounded to the even code. `scale: mse` shrinks the range and clips what lies outside.

    Args:
        weight: `(out, in)`.
        bits: Bits of a code, at least 2.
        config: Settings of the grid.
    """
    inputs = weight.shape[1]
    size = config.group_size(inputs)
    w = F.pad(weight.detach().float(), (0, -inputs % size)).unflatten(1, (-1, size))
    grid = _Grid.of(w, bits, config.symmetric)
    scale, zero_point = grid.at(1.0)
    if config.scale == "mse":
        least = torch.full_like(scale, torch.inf)
        for factor in SHRINK_FACTORS:
            tried = grid.at(factor)
            error = (tried[0] * (grid.codes(w, *tried) - tried[1]) - w).square().sum(dim=-1, keepdim=True)
            better = error < least
            least = torch.where(better, error, least)
            scale, zero_point = (torch.where(better, *pair) for pair in zip(tried, (scale, zero_point), strict=True))
    return Codes(grid.codes(w, scale, zero_point), scale, zero_point, inputs)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Codes from `first` to `last` for weights of a range from `low` <= 0 to `high` >= 0, `(out, groups, 1)` each."""

    low: Tensor
    high: Tensor
    first: int
    last: int

    @classmethod
    def of(cls, w: Tensor, bits: int, symmetric: bool) -> "_Grid":
        if symmetric:
            high, last = w.abs().amax(dim=-1, keepdim=True), 2 ** (bits - 1) - 1
            return cls(-high, high, -last, last)
        low, high = w.amin(dim=-1, keepdim=True).clamp(max=0), w.amax(dim=-1, keepdim=True).clamp(min=0)
        return cls(low, high, 0, 2**bits - 1)

    def at(self, factor: float) -> tuple[Tensor, Tensor]:
        """Scale and zero point if the range is shrunk by a factor; a group of zeros has scale 1."""
        scale = _as_stored(factor * (self.high - self.low) / (self.last - self.first), self.last)
        scale = torch.where(scale > 0, scale, 1.0)
        if self.first < 0:
            return scale, torch.zeros_like(scale)
        return scale, (-factor * self.low / scale).round().clamp(max=self.last)

    def codes(self, w: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        return ((w / scale).round() + zero_point).clamp(self.first, self.last)


def _as_stored(scale: Tensor, last: int) -> Tensor:
    """The scale in bfloat16: the nearest, or the next larger one if the nearest could clip by over half a step.

    bfloat16 is within 1 / 256 of the scale, so the nearest clips by less than half a step up to code 127.
    """
    if last < 128:
        return scale.bfloat16().float()
    return ((scale.view(torch.int32) + 0xFFFF) & -0x10000).view(torch.float32)
