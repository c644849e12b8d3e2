"""The slot `optimizer`: what turns gradients into steps. AdamW trains whatever another optimizer does not take."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from clbench.strategies._parts.part import Part, PartConfig, Trained

ADAMW_BYTES = 8.0
"""Bytes of AdamW's state for each float32 value: two moments."""


class OptimizerConfig(PartConfig):
    """Settings of every optimizer; its learning rate, schedule and weight decay are those of the strategy."""

    fallback_lr: float | None = Field(
        None,
        gt=0,
        description="Peak rate of AdamW for shared parameters that it does not take; `lr` if null.",
    )


C = TypeVar("C", bound=OptimizerConfig)


@dataclass(frozen=True)
class Plan:
    """What the strategy sets for the optimizer of one update.

    Attributes:
        lr: Peak learning rate; a schedule multiplies the rate of each group by a factor in [0, 1].
        weight_decay: Decoupled weight decay.
        betas: Decay rates of moving averages of the gradient and of its square.
        steps: Number of steps of the update.
    """

    lr: float
    weight_decay: float
    betas: tuple[float, float]
    steps: int


class OptimizerPart(Part[C], Generic[C]):
    """Builds an optimizer for each task; its state ends with the task.

    Heads and prompts are always trained by AdamW at their own rate.
    """

    takes_nothing: ClassVar[bool] = False
    """Whether everything is left to AdamW; else an optimizer that takes no parameter is refused."""

    still_without_gradient: ClassVar[bool] = False
    """Whether a value whose gradient was 0 in all steps keeps its bits, without weight decay. If not, the loop puts
    back what a selector freezes."""

    @property
    def state_bytes(self) -> float:
        """Bytes of state for each value of what it takes, with float32 parameters; two moments by default."""
        return ADAMW_BYTES

    def takes(self, trained: Trained) -> bool:
        """Whether it trains a parameter; AdamW trains the others. All by default."""
        return True

    @abstractmethod
    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """The optimizer of the parameters that it takes, at least one; it skips those whose gradient is None."""


class Joined(Optimizer):
    """Several optimizers as one; a schedule of this one changes the rates of all of them."""

    def __init__(self, members: Sequence[Optimizer]) -> None:
        self._members = list(members)
        super().__init__([group for member in members for group in member.param_groups], {})
        for member in members:  # the same dictionaries, in which a schedule writes rates
            member.param_groups = [group for group in self.param_groups if _is_of(group, member)]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of each optimizer."""
        for member in self._members:
            member.step()


class Dropping(Joined):
    """An optimizer that moves only some of its parameters in each step.

    Args:
        inner: The optimizer.
        parameters: Its parameters.
        moves: For each parameter, whether it moves in each step.
    """

    def __init__(self, inner: Optimizer, parameters: Sequence[nn.Parameter], moves: Sequence[Sequence[bool]]) -> None:
        super().__init__([inner])
        self._turns = iter(zip(*moves, strict=True))
        self._parameters = parameters

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of the parameters whose turn it is."""
        for p, moving in zip(self._parameters, next(self._turns), strict=True):
            if not moving:
                p.grad = None
        super().step()


def _is_of(group: dict[str, Any], member: Optimizer) -> bool:
    return any(group["params"][0] is p for own in member.param_groups for p in own["params"])
