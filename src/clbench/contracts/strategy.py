"""A strategy: what turns version t of a model into version t + 1."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeAlias, TypeVar, final

import torch
from pydantic import Field

from clbench.contracts.learner import Learner, Predictor, Samples
from clbench.core.config import Config
from clbench.core.errors import ConfigError
from clbench.core.seeding import derive, generator_for, seed_globally
from clbench.spec.stream import EvalProtocol
from clbench.spec.task import Split, Task


class StrategyConfig(Config):
    """Settings of a strategy; the base has none."""


class Budget(Config):
    """What every strategy of a suite may spend on one task; the suite sets it, so that comparisons are fair."""

    steps: int = Field(100, ge=1, description="Optimizer steps a task.")
    batch_size: int = Field(32, ge=1, description="Training samples a step.")
    micro_batch: int | None = Field(
        None, ge=1, description="Samples a forward pass, where a step's do not fit; their gradients add up."
    )


Once: TypeAlias = Callable[[Hashable, Callable[[], Mapping[str, object]]], Mapping[str, object]]
"""Called with a key and a function that computes something; see `Context.once`."""


def _every_time(_key: Hashable, make: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    return make()


@dataclass(frozen=True)
class Context:
    """What the runner gives a strategy.

    Attributes:
        learner: The model at version t; the strategy changes it in place.
        budget: What it may spend on a task.
        seed: The cell's seed.
        samples: The encoded samples of a task's split, on the learner's device; kept between calls.
        new_learner: Builds another learner at version 0 (the pre-trained model) on the same device.
        progress: To be called with (steps done, steps in all) as training goes on; cheap.
        record: Logs a named number of this version (a diagnostic) to the run.
        once: Gives what a function computes, a tree as in `state_dict` that nobody changes, or what it computed for an
            equal key in another cell of the run that has the same stream, learner, budget and seed.
    """

    learner: Learner
    budget: Budget
    seed: int
    samples: Callable[[Task, Split], Samples]
    new_learner: Callable[[], Learner]
    progress: Callable[[int, int], None]
    record: Callable[[str, float], None]
    once: Once = _every_time


C = TypeVar("C", bound=StrategyConfig)


class Strategy(ABC, Generic[C]):
    """What turns version t into t + 1.

    A subclass implements `learn` and, if it carries anything from one task to the next besides the learner's weights,
    `state_dict` and `load_state_dict`. Tensors, numbers, strings, lists and string-keyed dictionaries of them can be
    saved. Whatever is not in there is gone when a killed cell resumes.

    Attributes:
        takes_releases: Whether it is made for streams of releases, where it implements `adopt`; else for streams of
            tasks. No strategy is for both.
    """

    takes_releases: ClassVar[bool] = False

    def __init__(self, config: C, context: Context) -> None:
        self.config = config
        self.context = context
        self.learner = context.learner
        self.seen: list[Task] = []
        """The tasks learnt so far, the current one included."""
        self.version = 0
        """The version that the learner is, or is becoming."""
        self.generator = generator_for(context.seed, "version 0")
        """Randomness of the current update, on the CPU."""

    @abstractmethod
    def learn(self, task: Task) -> None:
        """Change the learner from the version before the task to the one after it."""

    def check(self, task: Task) -> None:
        """Refuse a task of the stream that this strategy cannot learn; asked of all before anything is trained.

        Raises:
            ConfigError: For such a task.
        """

    def adopt(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Take a new release of the model in the place of `self.learner`, and fit it to all tasks."""
        raise ConfigError("this strategy learns tasks one after another, the stream brings releases of the model")

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predictions of the present version: the learner's, unless a task needs something of its own put in first."""
        return self.learner.predictor(tasks, protocols)

    def digest(self) -> str:
        """Hash of all weights that decide the predictions: equal digests mean equal versions."""
        return self.learner.digest()

    def state_dict(self) -> Mapping[str, object]:
        """What must survive between tasks besides the learner's weights."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take back what `state_dict` gave."""

    def number_of_steps(self, task: Task) -> int:
        """How many optimizer steps `learn` takes for a task, the last one in `seen`; 0 for those that do not train."""
        return 0

    def frozen_blocks(self, task: Task) -> int:
        """How many of the learner's first blocks, with all that feeds them, no update changes as the task is read.

        What they make of an image is then computed once for all versions. 0 for most strategies.
        """
        return 0

    @property
    def augments(self) -> bool:
        """Whether training samples look different each time."""
        return True

    @property
    def retrains_from_scratch(self) -> bool:
        """Whether every update begins again from version 0, so that no version depends on those before it.

        Where only the last version is asked for, the others are then not made.
        """
        return False

    def footprint(self) -> dict[str, int]:
        """What learning a task trains, for `clbench show`: `trainable_parameters`, `adapters` and whatever else counts.

        Called on a learner that is thrown away afterwards, so it may be changed.
        """
        return {"trainable_parameters": 0, "adapters": 0}

    @final
    def update(self, task: Task) -> None:
        """Learn one task with randomness that depends only on the cell's seed and the task's position.

        So a resumed cell draws what an uninterrupted one would have drawn, and no random state needs saving.
        """
        self.pass_over(task)
        self.learn(task)

    @final
    def pass_over(self, task: Task) -> None:
        """A task comes and is not learnt yet: enough for versions that nobody looks at, see `retrains_from_scratch`."""
        self.seen.append(task)
        self.version = len(self.seen)
        self.draw_from("version", self.version)
        self.learner.add_task(task)

    @final
    def update_release(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Adopt a release, with randomness as in `update`."""
        self.version += 1
        self.draw_from("version", self.version)
        for task in tasks:
            release.add_task(task)
        self.adopt(release, tasks)

    def draw_from(self, *words: object) -> None:
        """Derive all randomness from here on from the cell's seed and a name."""
        self.generator = generator_for(self.context.seed, *words)
        seed_globally(derive(self.context.seed, "global", *words))  # for libraries that draw from the global state

    @torch.no_grad()
    def restore_pretrained(self) -> None:
        """Put the learner back to version 0."""
        self.learner.load_state_dict(self.context.new_learner().state_dict())
