"""The version of a cell that is in memory: its learner and strategies, and how updates change them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from clbench.benchmarks.engine.cell import Cell, Choice
from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import (
    Compresses,
    Context,
    ForgetRequest,
    Learner,
    Samples,
    Split,
    Strategy,
    StrategyConfig,
    Task,
)
from clbench.contracts.strategy import Once, Stored
from clbench.contracts.updating import adopt_release, compress, forget, learn_task, skip_task
from clbench.core.checkpoints import tensors_of
from clbench.core.errors import CheckpointError
from clbench.core.finite import not_finite, unsound_weights
from clbench.core.registry import STRATEGIES
from clbench.core.seeding import derive, seed_globally
from clbench.spec.stream import Stream
from clbench.spec.update import Adopt, Compress, Forget, Learn, Update, UpdateKind

AnyStrategy = Strategy[StrategyConfig]
PARTS = "parts"
"""Name under which the state of a strategy's parts is kept beside its own."""


@dataclass(frozen=True)
class Services:
    """What the runner gives every strategy of a cell: attributes of `Context`, and what is to be forgotten."""

    samples: Callable[[Task, Split], Samples]
    request: Callable[[Forget], ForgetRequest]
    progress: Callable[[int, int], None]
    record: Callable[[str, float], None]
    once: Once
    stored: Stored


class LiveVersion:
    """One version of a cell in memory, version 0 at first.

    Args:
        cell: The cell.
        device: Device of the learner.
        services: What the runner gives strategies.
    """

    def __init__(self, cell: Cell, device: torch.device, services: Services) -> None:
        self._cell = cell
        self._device = device
        self._services = services
        self._stream: Stream = cell.load_stream()
        self.number = 0
        """Number of the version."""
        self._base = cell.learner
        """The learner of version 0, or the release that was adopted last."""
        self.learner: Learner = self.build(cell.learner)
        self._strategies: dict[UpdateKind, AnyStrategy] = {}
        """By the first kind of update that each is for."""

    def build(self, learner: str) -> Learner:
        """A learner at its own version 0, on the cell's device."""
        return build_learner(learner, self._cell.seed, self._device, self._cell.precision)

    def start(self) -> None:
        """Build the strategies; called once before anything else, when samples can be given.

        Raises:
            ConfigError: When a strategy does not fit the learner, the tasks or a budget of compression.
        """
        self._strategies = {choice.kinds[0]: self._new_strategy(choice) for choice in self._cell.choices}
        for update in self._stream.updates:
            strategy = self._of(update)
            if isinstance(update, Compress) and isinstance(strategy, Compresses):
                strategy.check_budget(update)

    def restart(self) -> None:
        """Go back to version 0, with a new learner and new strategies."""
        self.number, self._base = 0, self._cell.learner
        self.learner = self.build(self._base)
        self.start()

    @property
    def main(self) -> AnyStrategy:
        """The strategy that predicts; the others change weights only."""
        return self._strategies[self._cell.choices[0].kinds[0]]

    def update(self, number: int) -> None:
        """Make a version from its parent, which must be the one in memory.

        Args:
            number: Number of the new version.
        """
        update = self._stream.updates[number - 1]
        strategy = self._of(update)
        strategy.version = len(self._stream.path(number)) - 2
        match update:
            case Learn():
                learn_task(strategy, self._task(update), update.draw)
            case Adopt():
                release = self._release(update, number)
                self._base = update.release
                adopt_release(strategy, release, self._stream.seen(number))
            case Compress():
                compress(strategy, update)
            case Forget():
                request = self._services.request(update)
                forget(strategy, request)
                for other in self._strategies.values():
                    other.discard(request)
        self._after(number, strategy)

    def skip(self, number: int) -> None:
        """Count the update of a version without making it; see `Strategy.retrains_from_scratch`."""
        update = self._stream.updates[number - 1]
        assert isinstance(update, Learn)
        skip_task(self.main, self._task(update), update.draw)
        self._after(number, self.main)

    def load(self, number: int, weights: Mapping[str, Tensor], states: Mapping[str, Mapping[str, object]]) -> None:
        """Become a stored version; version 0 must be in memory.

        Args:
            number: Number of the version.
            weights: Its weights.
            states: State of each strategy, by the first kind of update that it is for.

        Raises:
            CheckpointError: When weights or states do not fit.
        """
        releases = [u for v in self._stream.path(number)[1:] if isinstance(u := self._stream.updates[v - 1], Adopt)]
        if releases and releases[-1].release != self._base:
            self._base = releases[-1].release
            self._replace_learner(self.build(self._base))
        seen = self._stream.seen(number)
        for strategy in self._strategies.values():
            strategy.version = len(self._stream.path(number)) - 1
            strategy.seen = list(seen) if self._stream.learns else []
        for task in seen:
            self.learner.add_task(task)
        for kind, strategy in self._strategies.items():
            _restore(strategy, states.get(kind, {}))
        try:
            self.learner.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise CheckpointError(f"the weights do not fit the learner: {str(error).splitlines()[0]}") from None
        self.number = number
        if found := self.not_finite():
            raise CheckpointError(found)

    def states(self) -> dict[str, Mapping[str, object]]:
        """State of each strategy, by the first kind of update that it is for."""
        return {kind: _state_of(strategy) for kind, strategy in self._strategies.items()}

    def not_finite(self) -> str | None:
        """What of the version, states of strategies included, has values that are not finite."""
        found = (not_finite(tensors_of(state)) for state in self.states().values())
        return unsound_weights(self.learner.module) or next(filter(None, found), None)

    def _of(self, update: Update) -> AnyStrategy:
        """The strategy that an update is left to."""
        return self._strategies[self._cell.choice_for(update.kind).kinds[0]]

    def _after(self, number: int, changed_by: AnyStrategy) -> None:
        """Tell the other strategies of the new version."""
        self.number = number
        if changed_by.learner is not self.learner:
            self._replace_learner(changed_by.learner, without=changed_by)
        for strategy in self._strategies.values():
            strategy.version = changed_by.version
            strategy.seen = changed_by.seen if isinstance(self._stream.updates[number - 1], Learn) else strategy.seen

    def _replace_learner(self, learner: Learner, without: AnyStrategy | None = None) -> None:
        """Put the strategies on another learner, with the states that they have."""
        self.learner = learner
        for choice in self._cell.choices:
            strategy = self._strategies[choice.kinds[0]]
            if strategy is not without:
                new = self._strategies[choice.kinds[0]] = self._new_strategy(choice)
                new.seen, new.version = strategy.seen, strategy.version
                _restore(new, _state_of(strategy))

    def _new_strategy(self, choice: Choice) -> AnyStrategy:
        cell = self._cell
        given = self._services
        context = Context(
            learner=self.learner,
            budget=cell.budget,
            seed=cell.seed,
            samples=given.samples,
            new_learner=lambda: self.build(self._base),
            progress=given.progress,
            record=given.record,
            once=given.once,
            stored=given.stored,
            shard=cell.shard,
        )
        seed_globally(derive(cell.seed, "strategy"))  # for constructors that draw from the global state
        strategy = cast(AnyStrategy, STRATEGIES.get(choice.strategy).value(choice.config, context))
        if "learn" in choice.kinds or "adopt" in choice.kinds:
            for task in self._stream.tasks:
                strategy.check(task)
        return strategy

    def _task(self, update: Learn) -> Task:
        return next(task for task in self._stream.tasks if task.name == update.task)

    def _release(self, update: Adopt, number: int) -> Learner:
        """The release of an update; the learner that is there where version 0 is that release already."""
        same = self.number == 0 and update.release == self._cell.learner
        return self.learner if same else self.build(update.release)


def _state_of(strategy: AnyStrategy) -> dict[str, object]:
    """What a strategy carries, with that of its parts under `parts` if they carry anything."""
    parts = strategy.part_state()
    return {**strategy.state_dict(), **({PARTS: parts} if parts else {})}


def _restore(strategy: AnyStrategy, state: Mapping[str, object]) -> None:
    own = {name: value for name, value in state.items() if name != PARTS}
    try:
        strategy.load_state_dict(own)
        strategy.load_part_state(cast(Mapping[str, object], state.get(PARTS, {})))
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise CheckpointError(f"the state does not fit the strategy: {reason}") from error
