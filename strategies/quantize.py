"""Quantisation: weights of linear layers are rounded to a few bits."""

from collections.abc import Sequence
from typing import ClassVar, final

from pydantic import Field, field_validator
from torch import nn

from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.update import Compress
from clbench.strategies._compression.allocation import Allocation, AllocationProblem, Level
from clbench.strategies._compression.calibration import InputMoments
from clbench.strategies._compression.compression import CompressionConfig, CompressionStrategy, Quantity
from clbench.strategies._compression.model_size import linear_modules
from clbench.strategies._compression.round_to_nearest import RoundingConfig, encode

WIDTHS = range(2, 17)
"""Widths of codes in bits."""
FLOAT = 32
"""Width of a weight that is not rounded."""


class QuantizeConfig(CompressionConfig, RoundingConfig):
    """Settings of `Quantize`."""

    widths: tuple[int, ...] = Field(tuple(WIDTHS), min_length=1, description="Widths that a layer may get, in bits.")
    bias_correction: bool = Field(
        False, description="Add the mean change of each output on calibration samples to the bias, where there is one."
    )

    @field_validator("widths")
    @classmethod
    def _rising(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if list(widths) != sorted(set(widths) & set(WIDTHS)):
            raise ValueError(f"whole numbers from {WIDTHS[0]} to {WIDTHS[-1]} in rising order")
        return widths


@STRATEGIES.register("quantize", config=QuantizeConfig)
@final
class Quantize(CompressionStrategy[QuantizeConfig]):
    """Round to nearest (Jacob et al. 2018, arXiv 1712.05877, Section 2.1), for weights only; no weight is trained.

    The budget is `bits` of a code (2 to 16, or 32, which changes nothing) or `bytes` of the whole version. Scales are
    stored in bfloat16. `bias_correction` adds E[(W - W^) x] to the bias (Nagel et al. 2019, arXiv 1906.04721, Section
    4.2), with the mean over calibration samples instead of statistics of batch norms.
    """

    label: ClassVar[str] = "quantize"
    quantities: ClassVar[tuple[Quantity, ...]] = ("bits", "bytes")

    @property
    def wants_inputs(self) -> str:
        """Bias correction needs mean inputs."""
        return "bias_correction" if self.config.bias_correction else ""

    def check_budget(self, update: Compress) -> None:
        """Refuse other budgets, other widths, and a bias correction without biases.

        Raises:
            ConfigError: For such a budget or learner.
        """
        widths = self.config.widths if self.config.allocate == "uniform" else WIDTHS
        if update.bits not in (None, FLOAT, *widths):
            wanted = f"{', '.join(map(str, widths))} or {FLOAT}"
            raise ConfigError(f"strategy {self.label}: bits must be {wanted}, got {update.bits:g}")
        super().check_budget(update)
        if self.config.bias_correction and all(m.bias is None for m in linear_modules(self.learner).values()):
            raise ConfigError(f"strategy {self.label}: bias_correction: linear layers of {self.learner.name} have none")

    def levels(self, update: Compress) -> Sequence[Level]:
        """The widths of the settings."""
        return self.config.widths

    def cost_of(self, shape: tuple[int, int], level: Level) -> int:
        """Bits of codes, scales and zero points."""
        bits = int(level)
        return shape[0] * shape[1] * FLOAT if bits == FLOAT else self.config.bits_of(shape, bits)

    def planned(self, problem: AllocationProblem) -> Allocation:
        """Float32 everywhere if the budget allows it, else what the allocator chooses."""
        unchanged: Allocation = dict.fromkeys(problem.units, FLOAT)
        return unchanged if problem.cost(unchanged) <= problem.budget else super().planned(problem)

    def rewrite(self, layer: nn.Linear, level: Level, inputs: InputMoments | None) -> None:
        """Round the weights, and correct the bias.

        Args:
            layer: The layer.
            level: Bits of a code, or 32.
            inputs: Sums over its inputs; None without bias correction.
        """
        if level == FLOAT:
            return
        rounded = encode(layer.weight, int(level), self.config).weights()
        if inputs is not None and layer.bias is not None:
            layer.bias.add_((layer.weight - rounded).double() @ inputs.mean)
        layer.weight.copy_(rounded)
