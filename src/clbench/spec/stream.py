"""A stream: tasks in the order of training, and the protocols that versions are tested under."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from clbench.spec.task import Task

if TYPE_CHECKING:
    from avalanche.benchmarks import CLScenario

EvalProtocol = Literal["task-id", "union", "open"]
"""The answers that compete when a sample is tested. `task-id`: the classes of the sample's task, or the sample's own
choices; in tasks with neither, the same as `open`. `union`: the classes of all tasks of the stream, learnt or not.
`open`: any text, by greedy decoding of a language model."""


@dataclass(frozen=True, eq=False)
class Stream:
    """An ordered list of tasks.

    Attributes:
        name: Name of the stream in suites.
        tasks: Tasks in training order; the columns of R.
        protocols: Protocols that every version is tested under; the first one is the headline.
        learner: Learner that is used if a suite names none.
        card: All values of the stream's card, such as licences, citations and the reason of the order.
        data_deviations: Differences between the data at hand and the published data, one line each.
        releases: Learners of successive model releases, for streams of model updates, whose tasks all exist from the
            start; empty for streams of tasks. Version 0 is the first release unchanged; version t is release t with
            what the strategy has trained for each task.
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
        """Number of the last version; there is one version for each task, or for each release."""
        return len(self.releases) or len(self.tasks)

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
