"""A stream: tasks in the order in which they arrive, and what is known of a sample when it is tested."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from clbench.spec.task import Task

if TYPE_CHECKING:
    from avalanche.benchmarks import CLScenario

EvalProtocol = Literal["task-id", "union", "open"]
"""How test samples are told apart: `task-id` lets only the classes of the sample's task compete, or its own choices; in
tasks that have neither it is `open`. `union` lets the classes of all tasks of the stream compete, learnt or not;
`open` lets a language model answer what it likes (greedy decoding)."""


@dataclass(frozen=True, eq=False)
class Stream:
    """An ordered list of tasks.

    Attributes:
        name: As registered.
        tasks: In training order; the columns of R.
        protocols: Every version is tested under each; the first one is the stream's headline.
        learner: The learner that a suite uses when it names none.
        data_deviations: Where the data at hand are not those that were published, one line each.
        releases: Of a stream of model updates, the learners (specifications) that come one after another while the
            tasks stay; empty where tasks come one after another. Version 0 is the first release as it is, version t
            is release t with what the strategy has trained for each task.
        card: What the stream's card says beyond this (licences, citations, reason of the order).
    """

    name: str
    tasks: tuple[Task, ...]
    protocols: tuple[EvalProtocol, ...]
    learner: str
    card: Mapping[str, object] = field(default_factory=dict)
    data_deviations: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()

    @property
    def last_version(self) -> int:
        """The number of the last version: one a task, or one a release."""
        return len(self.releases) or len(self.tasks)

    def to_avalanche(self, size: int = 32) -> "CLScenario":
        """The same tasks as an Avalanche benchmark (train and test stream, one experience a task).

        Args:
            size: Images are resized to `size` x `size`.

        Returns:
            A scenario whose datasets yield `(image (3, size, size) in [0, 1], label, task label)`; labels count
            through all tasks in order, so that class-incremental strategies work too.
        """
        from clbench.integrations.avalanche import scenario_of  # avalanche takes seconds to import

        return scenario_of(self, size)
