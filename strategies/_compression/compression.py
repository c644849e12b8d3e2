"""The base of strategies that compress: budget, allocation, order of layers, recorded numbers and state."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from clbench.contracts import Context, Strategy
from clbench.core.errors import ConfigError, did_you_mean
from clbench.spec.update import Compress
from clbench.strategies._compression.allocation import ALLOCATORS, Allocation, AllocationProblem, Level
from clbench.strategies._compression.calibration import Calibration, CalibrationConfig, InputMoments
from clbench.strategies._compression.model_size import (
    bytes_not_compressed,
    float_bytes,
    linear_modules,
    shapes_of,
    shares_of_zeros,
)

Quantity: TypeAlias = Literal["bits", "sparsity", "bytes"]
QUANTITIES: tuple[Quantity, ...] = ("bits", "sparsity", "bytes")


class CompressionConfig(CalibrationConfig):
    """Settings of every strategy that compresses."""

    allocate: str = Field("uniform", description="How the budget is divided among layers: `uniform` or `random`.")

    @field_validator("allocate")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ALLOCATORS:
            raise ValueError(f"an allocator ({did_you_mean(name, ALLOCATORS)})")
        return name


C = TypeVar("C", bound=CompressionConfig)


class CompressionStrategy(Strategy[C], Generic[C]):
    """Compresses the weights of the learner's linear layers; biases, norms, embeddings and heads stay float32.

    Compressed weights are float32 again (fake quantisation). So predictions are those of the stored form to round-off,
    and nothing becomes faster. A subclass says which levels there are, what they cost and what they do.

    Attributes:
        label: Name of the strategy in messages.
        quantities: The budgets of `Compress` that the strategy takes.
        allocation: Level of each layer after the last compression, by the layer's name; empty before the first.
    """

    label: ClassVar[str]
    quantities: ClassVar[tuple[Quantity, ...]]

    def __init__(self, config: C, context: Context) -> None:
        super().__init__(config, context)
        self.allocation: dict[str, float] = {}
        self._bytes, self._digest = 0, ""

    # To be implemented

    @abstractmethod
    def levels(self, update: Compress) -> Sequence[Level]:
        """The levels that a layer may get, in the order of rising cost."""

    @abstractmethod
    def cost_of(self, shape: tuple[int, int], level: Level) -> int:
        """Bits that a weight matrix `(out, in)` takes at a level."""

    @abstractmethod
    def rewrite(self, layer: nn.Linear, level: Level, inputs: InputMoments | None) -> None:
        """Compress one layer in place.

        Args:
            layer: The layer.
            level: Its level.
            inputs: Sums over its inputs; None if `wants_inputs` is empty.
        """

    @property
    def wants_inputs(self) -> str:
        """The setting that needs the inputs of layers, for messages; empty if none does."""
        return ""

    def planned(self, problem: AllocationProblem) -> Allocation:
        """The level of each layer: what the allocator in the settings chooses."""
        return ALLOCATORS[self.config.allocate](problem)

    # What the runner calls

    def check_budget(self, update: Compress) -> None:
        """Refuse budgets of another quantity, and those below the smallest version of the learner.

        Raises:
            ConfigError: For such a budget.
        """
        given = next(name for name in QUANTITIES if getattr(update, name) is not None)
        if given not in self.quantities:
            raise ConfigError(f"strategy {self.label}: the budget must be {' or '.join(self.quantities)}, got {given}")
        allowed, smallest = self._budget(update), self._cost_at(self.levels(update)[0])
        if allowed < smallest:
            rest = bytes_not_compressed(self.learner)
            least = f"at least {rest + _in_bytes(smallest):,} bytes, of which {rest:,} are not compressed"
            raise ConfigError(
                f"strategy {self.label}: the budget must be {least}, got {rest + _in_bytes(allowed):,} bytes"
            )

    @torch.no_grad()
    def compress(self, update: Compress) -> None:
        """Change the weights so that they fit the budget, and record numbers of the new version.

        Raises:
            ConfigError: For a budget that cannot be met, or without the calibration samples that a setting needs.
        """
        self.check_budget(update)
        calibration = Calibration.draw(self.context, self.seen, self.config)
        if self.wants_inputs and not len(calibration):
            why = "calibration: none" if self.config.calibration == "none" else "no task that was learnt"
            raise ConfigError(f"strategy {self.label}: {self.wants_inputs} needs calibration samples, got {why}")
        numbers: dict[str, float] = {"bytes_parent": self._bytes_of_parent()}
        scores = calibration.scores()
        problem = self._problem(update, partial(self._error_under, calibration=calibration, scores=scores))
        plan = self.planned(problem)
        self._apply(plan, calibration)
        bits = problem.cost(plan)
        self.allocation = {name: level if isinstance(level, int) else float(level) for name, level in plan.items()}
        self._bytes = bytes_not_compressed(self.learner) + _in_bytes(bits)
        self._digest = self.learner.digest()
        numbers |= {"bytes": self._bytes, "bits": bits / sum(self._sizes()), **shares_of_zeros(self.learner)}
        error = calibration.output_error(scores)
        if error is not None:
            numbers["mse"] = error
        numbers["evaluations"] = calibration.evaluations
        for name, value in numbers.items():
            self.context.record(f"compress/{name}", float(value))
        self.context.record("calibration/samples", float(len(calibration)))

    def state_dict(self) -> Mapping[str, object]:
        """The allocation, and the bytes with the digest of the weights that they are those of."""
        if not self.allocation:
            return {}
        return {"allocation": self.allocation, "bytes": self._bytes, "digest": self._digest}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore them; versions of strategies that do not compress have none."""
        saved: dict[str, Any] = {"allocation": {}, "bytes": 0, "digest": "", **state}
        self.allocation, self._bytes, self._digest = dict(saved["allocation"]), saved["bytes"], saved["digest"]

    # Steps of `compress`

    def _problem(self, update: Compress, evaluate: Callable[[Mapping[str, Level]], float]) -> AllocationProblem:
        """The budget as a problem of allocation."""
        shapes = shapes_of(self.learner)
        return AllocationProblem(
            units=tuple(shapes),
            levels=self.levels(update),
            cost_of=lambda unit, level: self.cost_of(shapes[unit], level),
            budget=self._budget(update),
            evaluate=evaluate,
            generator=self.generator,
        )

    def _budget(self, update: Compress) -> int:
        """Bits that all compressed layers may take together."""
        if update.bytes is not None:
            return 8 * (update.bytes - bytes_not_compressed(self.learner))
        nominal = update.bits if update.bits is not None else update.sparsity
        assert nominal is not None  # a budget is exactly one of three
        return self._cost_at(nominal)

    def _apply(self, plan: Mapping[str, Level], calibration: Calibration) -> None:
        """Compress all layers in order; with `sequential` block by block, so that inputs are those after the last."""
        modules = linear_modules(self.learner)
        one_by_one = groupby(modules, key=lambda layer: (layer.tower, layer.block))
        blocks = [list(block) for _, block in one_by_one] if self.config.sequential else [list(modules)]
        for done, block in enumerate(blocks):
            self.context.progress(done, len(blocks))
            inputs = calibration.inputs(block) if self.wants_inputs else {}
            for layer in block:
                self.rewrite(modules[layer], plan[layer.name], inputs.get(layer.name))

    def _error_under(
        self, allocation: Mapping[str, Level], calibration: Calibration, scores: Sequence[Tensor]
    ) -> float:
        """Error of the outputs under an allocation; the weights are put back."""
        kept = {name: tensor.clone() for name, tensor in self.learner.state_dict().items()}
        self._apply(allocation, calibration)
        error = calibration.output_error(scores)
        self.learner.load_state_dict(kept)
        if error is None:
            why = "calibration samples with scores of classes or tokens"
            raise ConfigError(f"strategy {self.label}: allocate: {self.config.allocate} needs {why}, got none")
        return error

    def _bytes_of_parent(self) -> int:
        """Bytes of the version before: those of the last compression if its weights are still there, else float32."""
        return self._bytes if self._digest and self._digest == self.learner.digest() else float_bytes(self.learner)

    def _cost_at(self, level: Level) -> int:
        """Bits of all compressed layers at one level."""
        return sum(self.cost_of(shape, level) for shape in shapes_of(self.learner).values())

    def _sizes(self) -> list[int]:
        return [outputs * inputs for outputs, inputs in shapes_of(self.learner).values()]


def _in_bytes(bits: int) -> int:
    return -(-bits // 8)
