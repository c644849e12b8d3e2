"""A strategy: a method that turns one version of a model into the next, by updates of the kinds that it handles.

The runner owns the order of updates, the evaluation and the randomness. A strategy changes the learner in place and
keeps what it must remember in `state_dict`. Methods that train by gradients subclass `GradientStrategy` instead.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeAlias, TypeVar, runtime_checkable
from typing import Protocol as Interface

import torch
from pydantic import Field

from clbench.contracts.capabilities import lack_of
from clbench.contracts.learner import Learner, Predictor, Samples
from clbench.core.config import Config
from clbench.core.errors import ConfigError
from clbench.core.seeding import derive, generator_for, seed_globally
from clbench.spec.stream import EvalProtocol
from clbench.spec.task import Split, Task
from clbench.spec.update import Compress, Forget, UpdateKind


class StrategyConfig(Config):
    """Settings of a strategy; the base has none."""


class Budget(Config):
    """What a strategy may spend on one task; the suite sets it for all strategies, so that comparisons are fair."""

    steps: int = Field(100, ge=1, description="Optimizer steps per task.")
    batch_size: int = Field(32, ge=1, description="Training samples per step.")
    micro_batch: int | None = Field(
        None, ge=1, description="Samples per forward pass if a whole batch does not fit; gradients are accumulated."
    )
    checkpointing: bool = Field(
        False, description="Keep the inputs of blocks alone for the backward pass, and compute the rest again."
    )


Once: TypeAlias = Callable[[Hashable, Callable[[], Mapping[str, object]]], Mapping[str, object]]
"""Called with a key and a function that computes a result; see `Context.once`."""
Stored: TypeAlias = Callable[[str, Callable[[], Mapping[str, object]]], Mapping[str, object]]
"""The same with a key that is text; see `Context.stored`."""


def _compute(_key: Hashable, make: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    return make()


@dataclass(frozen=True)
class Context:
    """What the runner gives a strategy.

    Attributes:
        learner: The model at version t; the strategy changes it in place.
        budget: Steps and batch size for one task.
        seed: Seed of the cell.
        samples: Gives the encoded samples of a task's split, with batches on the learner's device; cached. It refuses
            test data.
        new_learner: Builds another learner with the pre-trained weights on the same device: version 0, or the release
            that was adopted last.
        progress: Reports (steps done, steps in total) during training; cheap.
        record: Logs a named number of the present version, such as a diagnostic, to the run.
        once: Gives the result of a function for a key, computed at most once for equal updates in all cells of the run
            that have the same stream, learner, budget and seed. The result is a tree as in `state_dict`, and must not
            be changed.
        stored: The same for results that are also kept on disk, beside the versions, for other processes and later
            runs. The key is text with everything that decides the result, besides the update with its data, version 0,
            budget, seed, device and the code of the engine.
        shard: Whether training shards parameters, gradients and optimizer state over the processes of the cell.
    """

    learner: Learner
    budget: Budget
    seed: int
    samples: Callable[[Task, Split], Samples]
    new_learner: Callable[[], Learner]
    progress: Callable[[int, int], None]
    record: Callable[[str, float], None]
    once: Once = _compute
    stored: Stored = _compute
    shard: bool = False


@dataclass(frozen=True, eq=False)
class ForgetRequest:
    """What a strategy is asked to forget.

    Attributes:
        update: The update.
        tasks: The tasks that have samples to forget.
        forgotten: By name of a task: positions `(k,)` int64, ascending, of its samples to forget in the training split
            that `Context.samples` gives. All other training samples of the tasks seen are retained.
    """

    update: Forget
    tasks: tuple[Task, ...]
    forgotten: Mapping[str, torch.Tensor]


@runtime_checkable
class Learns(Interface):
    """A strategy that handles `Learn`."""

    def learn(self, task: Task) -> None:
        """Change the learner from the version before the task to the version after it."""


@runtime_checkable
class Adopts(Interface):
    """A strategy that handles `Adopt`."""

    def adopt(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Replace `self.learner` by a new release of the model, and fit the release to all tasks."""


@runtime_checkable
class Compresses(Interface):
    """A strategy that handles `Compress`."""

    def check_budget(self, update: Compress) -> None:
        """Refuse a budget that this strategy does not handle; called before anything runs.

        Raises:
            ConfigError: For such a budget.
        """

    def compress(self, update: Compress) -> None:
        """Change the learner's weights so that they fit the budget.

        Raises:
            ConfigError: For a budget that cannot be met on this learner.
        """


@runtime_checkable
class Forgets(Interface):
    """A strategy that handles `Forget`."""

    def forget(self, request: ForgetRequest) -> None:
        """Change the learner as if it had never seen the samples of the request."""


HANDLERS: dict[UpdateKind, type] = {"learn": Learns, "adopt": Adopts, "compress": Compresses, "forget": Forgets}
"""What a strategy class must implement to handle updates of a kind."""

C = TypeVar("C", bound=StrategyConfig)


class Strategy(Generic[C]):
    """A method that turns one version of the learner into the next.

    A subclass implements one method for each kind of update that it handles: `learn` (see `Learns`), `adopt`
    (`Adopts`), `compress` (`Compresses`), `forget` (`Forgets`). A suite refuses a strategy for updates that it does not
    handle. A strategy that carries anything from one update to the next besides the learner's weights also implements
    `state_dict` and `load_state_dict`: a killed cell resumes from these, and all other attributes are lost. State may
    consist of tensors, numbers, strings, lists and dictionaries with string keys.

    Args:
        config: Settings of the strategy, checked.
        context: What the runner provides.

    Raises:
        ConfigError: When the learner lacks what the strategy requires.

    Attributes:
        requires: What a learner must be besides a `Learner`: protocols of `clbench.contracts.capabilities`.
        predicts_with_weights: Whether predictions depend on the learner's weights alone, so that another strategy can
            compress a version or make it forget; False where `predictor` is overridden.
        keeps_positions: Whether samples are kept by their positions in training splits, which `Forget` shifts; a suite
            then refuses streams that forget.
    """

    requires: ClassVar[tuple[type, ...]] = ()
    predicts_with_weights: ClassVar[bool] = True
    keeps_positions: ClassVar[bool] = False

    def __init__(self, config: C, context: Context) -> None:
        missing = [one for one in self.required(config) if not isinstance(context.learner, one)]
        if missing:
            raise ConfigError(lack_of(context.learner.name, missing, f"strategy {type(self).__name__}"))
        self.config = config
        self.context = context
        self.learner = context.learner
        self.seen: list[Task] = []
        """The tasks learnt so far, in order; while a task is learnt, it is the last one."""
        self.version = 0
        """Number of updates that led to the learner's version; during an update, the update counts."""
        self.generator = generator_for(context.seed, "version 0")
        """Source of randomness of the current update, on the CPU."""

    # What may be overridden

    @classmethod
    def required(cls, config: C) -> tuple[type, ...]:
        """What a learner must be under these settings: `requires`, unless a setting needs more."""
        return cls.requires

    def check(self, task: Task) -> None:
        """Refuse a task that this strategy cannot learn; called for all tasks of the stream before any training.

        Raises:
            ConfigError: If the strategy cannot learn the task.
        """

    def state_dict(self) -> Mapping[str, object]:
        """What must survive between tasks besides the learner's weights."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what `state_dict` returned."""

    def part_state(self) -> Mapping[str, object]:
        """What parts of the training (memory, penalty, selector) carry between tasks; apart from `state_dict`."""
        return {}

    def load_part_state(self, state: Mapping[str, object]) -> None:
        """Restore what `part_state` returned."""

    def discard(self, request: ForgetRequest) -> None:
        """Drop what the strategy keeps of samples that another strategy has made the model forget."""

    # Predictions

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predictions of the present version; overridden by strategies that load parameters for each task first."""
        return self.learner.predictor(tasks, protocols)

    def digest(self) -> str:
        """Hash of all weights that decide the predictions: equal digests mean equal versions."""
        return self.learner.digest()

    # Properties that the runner and the forecast ask for

    def number_of_steps(self, task: Task) -> int:
        """Optimizer steps that `learn` takes for a task, which is the last one in `seen`; 0 without training."""
        return 0

    def frozen_blocks(self, task: Task) -> int:
        """Number of leading blocks that stay frozen for this task; their outputs can be cached. 0 by default."""
        return 0

    @property
    def augments(self) -> bool:
        """Whether the strategy trains on random views of the samples."""
        return True

    @property
    def retrains_from_scratch(self) -> bool:
        """Whether every update starts from version 0, so that no version depends on the versions before it.

        If only the last version is asked for, the runner then skips the others.
        """
        return False

    def footprint(self) -> dict[str, int]:
        """Counts of what learning a task trains, for `clbench show`: `trainable_parameters`, `adapters` and others.

        Called on a learner that is discarded afterwards, so it may change the learner.
        """
        return {"trainable_parameters": 0, "adapters": 0}

    # Helpers

    def reseed(self, *words: object) -> None:
        """Restart all randomness from the cell's seed and the given words, which name its use."""
        self.generator = generator_for(self.context.seed, *words)
        seed_globally(derive(self.context.seed, "global", *words))  # for libraries that draw from the global state

    def begin_update(self, version: int, draw: int = 0) -> None:
        """Set the number of the version that comes next, and restart randomness from the cell's seed and this number.

        A resumed cell therefore draws what an uninterrupted cell would have drawn; no random state is saved.

        Args:
            version: Number of updates that lead to the version.
            draw: Number of the draw of all randomness.
        """
        self.version = version
        self.reseed("version", version, *(("draw", draw) if draw else ()))

    @torch.no_grad()
    def restore_pretrained(self) -> None:
        """Set the learner back to the pre-trained weights: version 0, or the release that was adopted last."""
        self.learner.load_state_dict(self.context.new_learner().state_dict())
