"""The parts of one strategy, and the calls that a training loop makes to them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from clbench.contracts import Batch, Budget, ForgetRequest, Strategy, Task
from clbench.core.errors import ConfigError
from clbench.strategies._parts.edit import Edit
from clbench.strategies._parts.memory import Memory
from clbench.strategies._parts.optimizer import OptimizerPart
from clbench.strategies._parts.part import Part, Trained
from clbench.strategies._parts.penalty import Penalty
from clbench.strategies._parts.selector import Masks, Selector
from clbench.strategies._parts.slots import Slot, choices_in


class Parts:
    """The parts that the settings of a strategy name.

    Args:
        strategy: The strategy.
    """

    def __init__(self, strategy: Strategy[Any]) -> None:
        built = [(choice.slot, choice.build(strategy)) for choice in choices_in(strategy.config)]
        self._all = [part for _, part in built]
        self._named = {f"{slot}.{number}": part for number, (slot, part) in enumerate(built)}
        self.optimizer = cast(OptimizerPart[Any], _only(built, "optimizer"))
        self.select = cast(Selector[Any] | None, _only(built, "select"))
        self.memory = cast(Memory[Any] | None, _only(built, "memory"))
        self.penalty = cast(Penalty[Any] | None, _only(built, "penalty"))
        self.edits = [part for part in self._all if isinstance(part, Edit)]

    def check(self, task: Task) -> None:
        """Refuse a task that a part does not fit.

        Raises:
            ConfigError: If there is one.
        """
        for part in self._all:
            part.check(task)

    def begin_task(self, task: Task) -> None:
        """Prepare a task; the learner is the version before it."""
        for part in (*self.edits, self.penalty):
            if part is not None:
                part.begin_task(task)

    def end_task(self, task: Task) -> None:
        """Edit the weights that the strategy left, then measure and keep what later tasks need."""
        for part in (*self.edits, self.penalty, self.memory):
            if part is not None:
                part.end_task(task)

    def masks(self, trained: Sequence[Trained], task: Task) -> Masks | None:
        """What moves in an update; None if all of it does.

        Raises:
            ConfigError: When a selector chooses nothing.
        """
        if self.select is None:
            return None
        if not (masks := self.select.chosen(trained, task)):
            raise ConfigError(f"selector {type(self.select).__name__}: chooses nothing, so nothing is left to train")
        return masks

    def of_new(self, budget: Budget, task: Task) -> Budget:
        """The budget of new samples in an update."""
        return self.memory.of_new(budget, task) if self.memory else budget

    def kept_share(self, task: Task) -> float:
        """Share of the loss that samples of earlier tasks have."""
        return self.memory.share(task) if self.memory else 0.0

    def kept_batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of earlier tasks' samples, one for each step."""
        return self.memory.batches(task) if self.memory else iter(())

    def penalized(self, loss: Tensor, batch: Batch, task: Task) -> Tensor:
        """A loss with the penalty's term, a scalar.

        Args:
            loss: The loss of some new samples.
            batch: The samples, as the loss saw them.
            task: Their task.
        """
        if self.penalty is None or (term := self.penalty.term(batch, task)) is None:
            return loss
        strength: float = self.penalty.config.strength
        return loss + strength * term

    def after_backward(self, step: int, total: int, task: Task) -> None:
        """Let parts read and change the gradients of a step, before they are masked and clipped.

        Args:
            step: Number of the step, from 1.
            total: Number of steps.
            task: The task.
        """
        if self.penalty is not None:
            self.penalty.after_backward()
        if self.select is not None:
            self.select.after_backward(step, total, task)

    def after_step(self) -> None:
        """Let parts see the weights after a step."""
        if self.penalty is not None:
            self.penalty.after_step()

    def discard(self, request: ForgetRequest) -> None:
        """Drop kept samples that the model must forget."""
        if self.memory is not None:
            self.memory.discard(request)

    def state_dict(self) -> dict[str, Mapping[str, object]]:
        """State of the parts that have some, by slot and position."""
        return {name: state for name, part in self._named.items() if (state := part.state_dict())}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what `state_dict` returned."""
        for name, own in state.items():
            self._named[name].load_state_dict(cast(Mapping[str, object], own))


def _only(built: Sequence[tuple[Slot, Part[Any]]], slot: Slot) -> Part[Any] | None:
    return next((part for own, part in built if own == slot), None)
