"""Pruning: weights of linear layers become 0."""

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar, Literal, final

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.update import Compress
from clbench.strategies._compression.allocation import Allocation, AllocationProblem, Level, last_that_fits
from clbench.strategies._compression.calibration import InputMoments
from clbench.strategies._compression.compression import CompressionConfig, CompressionStrategy, Quantity
from clbench.strategies._compression.model_size import linear_modules, shapes_of
from clbench.strategies._compression.zeros import bits_of, zero_lowest

STEPS = 1000
SPARSITIES = [step / STEPS for step in range(STEPS - 1, -1, -1)]
"""Shares of zeros that an allocator may choose."""


class PruneConfig(CompressionConfig):
    """Settings of `Prune`."""

    rule: Literal["magnitude", "wanda", "random"] = Field(
        "magnitude",
        description="Which weights become 0: the smallest, the smallest times the norm of their input, any.",
    )
    scope: Literal["row", "layer", "global"] | None = Field(
        None, description="Which weights compete; null is `row` for wanda, else `layer`."
    )
    pattern: str | None = Field(
        None, pattern=r"^[1-9]\d*:[1-9]\d*$", description="`N:M`: N zeros among every M consecutive inputs of a row."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "PruneConfig":
        if self.pattern is not None:
            zeros, width = self.zeros_and_width
            if zeros >= width:
                raise ValueError(f"pattern N:M needs N below M, got {self.pattern}")
            if self.scope is not None or self.allocate != "uniform":
                raise ValueError("pattern fixes which weights compete: leave out scope and allocate")
        if self.scope == "global":
            if self.rule == "wanda":
                raise ValueError("rule: wanda compares weights of one layer: scope must be row or layer, got global")
            if self.allocate != "uniform":
                raise ValueError("scope: global allocates zeros to layers by itself: leave out allocate")
        return self

    @property
    def zeros_and_width(self) -> tuple[int, int]:
        """N and M of the pattern."""
        assert self.pattern is not None
        zeros, _, width = self.pattern.partition(":")
        return int(zeros), int(width)


@STRATEGIES.register("prune", config=PruneConfig)
@final
class Prune(CompressionStrategy[PruneConfig]):
    """One-shot pruning by magnitude (Han et al. 2015), by Wanda (Sun et al. 2023, arXiv 2306.11695) or at random.

    The budget is `sparsity`, the share of zeros p, or `bytes` of the whole version. Wanda's score of a weight is |W_ij|
    ||x_j||, with the norm of input j over all calibration tokens. Of n weights that compete, the int(n p) of the lowest
    scores become 0. The authors' release takes one more where it prunes by magnitude. Weights that are 0 already are
    taken first, also at random.

    With `pattern: N:M`, N of every M consecutive inputs of a row become 0, so p must be N / M.
    """

    label: ClassVar[str] = "prune"
    quantities: ClassVar[tuple[Quantity, ...]] = ("sparsity", "bytes")

    @property
    def wants_inputs(self) -> str:
        """Wanda needs norms of inputs."""
        return "rule: wanda" if self.config.rule == "wanda" else ""

    def check_budget(self, update: Compress) -> None:
        """Refuse other budgets, and a pattern that does not fit the sparsity or a layer.

        Raises:
            ConfigError: For such a budget or learner.
        """
        super().check_budget(update)
        if self.config.pattern is None:
            return
        zeros, width = self.config.zeros_and_width
        place = f"strategy {self.label}: pattern {self.config.pattern}"
        if update.sparsity is not None and abs(update.sparsity - zeros / width) > 1e-6:
            raise ConfigError(f"{place}: sparsity must be {zeros / width:g}, got {update.sparsity:g}")
        for name, (_, inputs) in shapes_of(self.learner).items():
            if inputs % width:
                raise ConfigError(f"{place}: the inputs of layer {name} must be a multiple of {width}, got {inputs}")

    def levels(self, update: Compress) -> Sequence[Level]:
        """Shares of zeros: the one of the pattern, the one of the budget, or thousandths."""
        if self.config.pattern is not None:
            return [Fraction(*self.config.zeros_and_width)]
        fixed = update.sparsity is not None and self.config.allocate == "uniform"
        return [update.sparsity] if fixed and update.sparsity is not None else SPARSITIES

    def cost_of(self, shape: tuple[int, int], level: Level) -> int:
        """Bits of a bitmap and of the weights that are left."""
        return bits_of(shape[0] * shape[1], self._zeros(shape, level))

    def planned(self, problem: AllocationProblem) -> Allocation:
        """What the allocator chooses; with `scope: global` what the scores of all layers together give."""
        return self._by_all_scores(problem) if self.config.scope == "global" else super().planned(problem)

    def rewrite(self, layer: nn.Linear, level: Level, inputs: InputMoments | None) -> None:
        """Set the weights of the lowest scores to 0.

        Args:
            layer: The layer.
            level: Share of zeros.
            inputs: Sums over its inputs; None unless the rule is Wanda.
        """
        weight = layer.weight
        width = self._width(layer.in_features, weight.numel())
        count = self._zeros((layer.out_features, layer.in_features), level) * width // weight.numel()
        weight.copy_(zero_lowest(weight, self._scores(weight, inputs), width, count))

    def _width(self, inputs: int, weights: int) -> int:
        """Number of weights that compete with one another in a layer."""
        if self.config.pattern is not None:
            return self.config.zeros_and_width[1]
        scope = self.config.scope or ("row" if self.config.rule == "wanda" else "layer")
        return inputs if scope == "row" else weights

    def _zeros(self, shape: tuple[int, int], level: Level) -> int:
        """Number of zeros in a layer."""
        weights = shape[0] * shape[1]
        width = self._width(shape[1], weights)
        return weights // width * int(width * level)

    def _scores(self, weight: Tensor, inputs: InputMoments | None) -> Tensor:
        """Score of each weight, `(out, in)`: those of low scores become 0."""
        if self.config.rule == "random":
            return torch.rand(weight.shape, generator=self.generator).to(weight.device) * (weight != 0)
        return weight.abs() if inputs is None else weight.abs() * inputs.norms

    def _by_all_scores(self, problem: AllocationProblem) -> Allocation:
        """The share of zeros of each layer if the weights of all layers compete."""
        modules = {layer.name: module for layer, module in linear_modules(self.learner).items()}
        scores = [self._scores(module.weight, None).flatten() for module in modules.values()]
        order = torch.cat(scores).argsort(stable=True)
        ends = torch.tensor([score.numel() for score in scores]).cumsum(0).to(order.device)
        owner = torch.bucketize(order, ends, right=True)

        def plan(level: Level) -> Allocation:
            counts = owner[: int(len(owner) * level)].bincount(minlength=len(modules)).tolist()
            sizes = [score.numel() for score in scores]
            return {name: Fraction(count, size) for name, count, size in zip(modules, counts, sizes, strict=True)}

        return plan(last_that_fits(problem.levels, lambda level: problem.cost(plan(level)), problem.budget))
