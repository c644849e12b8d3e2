"""A stream: tasks, the updates that make its versions, and the protocols that versions are tested under."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from clbench.spec.task import Task
from clbench.spec.task_orders import in_order
from clbench.spec.update import Adopt, Learn, Update, check_updates, parents_of, path_to

if TYPE_CHECKING:
    from avalanche.benchmarks import CLScenario

EvalProtocol = Literal["task-id", "union", "open"]
"""The answers that compete when a sample is tested. `task-id`: the classes of the sample's task, or the sample's own
choices; in tasks with neither, the same as `open`. `union`: the classes of all tasks of the stream, learnt or not.
`open`: any text, by greedy decoding of a language model."""


@dataclass(frozen=True, eq=False)
class Stream:
    """Tasks, the columns of R, and updates, its rows.

    Attributes:
        name: Name of the stream in suites.
        tasks: Tasks in order; the columns of R.
        protocols: Protocols that every version is tested under; the first one is the headline.
        learner: Learner that is used if a suite names none.
        card: All values of the stream's card, such as licences, citations and the reason of the order.
        data_deviations: Differences between the data at hand and the published data, one line each.
        updates: What makes versions 1, 2, ...; the rows of R. If none are given, each task is learnt in turn. Without
            any `Learn` all tasks exist from version 1 on, and each release must answer all of them.
    """

    name: str
    tasks: tuple[Task, ...]
    protocols: tuple[EvalProtocol, ...]
    learner: str
    card: Mapping[str, object] = field(default_factory=dict)
    data_deviations: tuple[str, ...] = ()
    updates: tuple[Update, ...] = ()

    def __post_init__(self) -> None:
        """Learn each task in turn if no updates are given.

        Raises:
            ConfigError: For an update whose task or parent does not exist, and for two updates of one name.
        """
        if not self.updates:
            object.__setattr__(self, "updates", tuple(Learn(task=task.name) for task in self.tasks))
        check_updates(self.updates, [task.name for task in self.tasks], f"stream {self.name}")

    @property
    def last_version(self) -> int:
        """Number of the last version; there is one version for each update."""
        return len(self.updates)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Number of the version that each update starts from: that of version t is `parents[t - 1]`."""
        return parents_of(self.updates, f"stream {self.name}")

    def path(self, version: int) -> tuple[int, ...]:
        """Version 0 and the versions that lead to `version`, which is the last one."""
        return path_to(version, self.parents)

    def seen(self, version: int) -> tuple[Task, ...]:
        """The tasks that a version has learnt, in order; all tasks in streams in which nothing is learnt by itself."""
        known = {task.name: task for task in self.tasks}
        if not self.learns:
            return self.tasks if version else ()
        made = [self.updates[number - 1] for number in self.path(version)[1:]]
        return tuple(dict.fromkeys(known[update.task] for update in made if isinstance(update, Learn)))

    @property
    def learns(self) -> bool:
        """Whether tasks are learnt one by one; otherwise all of them exist from version 1 on."""
        return any(isinstance(update, Learn) for update in self.updates)

    @property
    def is_chain_of_tasks(self) -> bool:
        """Whether every update learns a task and starts from the version before it."""
        chain = self.parents == tuple(range(self.last_version))
        return chain and all(isinstance(update, Learn) for update in self.updates)

    @property
    def releases(self) -> tuple[str, ...]:
        """Learners of the releases that updates adopt, in order."""
        return tuple(update.release for update in self.updates if isinstance(update, Adopt))

    def in_order(self, number: int) -> "Stream":
        """The same tasks, learnt in the order of that number (`drawn_order`); number 0 is the stream's own.

        Raises:
            ConfigError: For a stream with updates other than learning, and when there are not so many orders.
        """
        if number == 0:
            return self
        updates = in_order(self.updates, number, f"stream {self.name}")
        known = {task.name: task for task in self.tasks}
        return replace(self, tasks=tuple(known[update.task] for update in updates), updates=updates)

    def to_avalanche(self, size: int = 32) -> "CLScenario":
        """The tasks as an Avalanche benchmark: a train and a test stream with one experience for each task.

        Args:
            size: Images are resized to `size` x `size`.

        Returns:
            A scenario whose datasets yield `(image (3, size, size) in [0, 1], label, task label)`. Labels are counted
            through all tasks in order, so class-incremental strategies work, too.
        """
        from clbench.integrations.avalanche import scenario_of  # avalanche takes seconds to import

        return scenario_of(self, size)
