"""What a kind of task is: one object that all rooms ask instead of comparing names of kinds."""

from abc import ABC
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from clbench.core.errors import RegistryError
from clbench.core.registry import Registry

if TYPE_CHECKING:
    from clbench.scoring.images import ImageScorer
    from clbench.spec.task import Task


class TaskKind(ABC):
    """A kind of task, registered under the name that `Task.kind`, cards and ledgers have.

    The docstring of a subclass names the columns of its rows. All of it is free of torch; what a learner needs for a
    kind (targets, a head, a loss) belongs to the learner.

    Attributes:
        heading: Heading of its mean score on the leaderboard.
        short_heading: The same in the terminal.
        place: Position of its column among those of other kinds.
        measures: Beginnings of the names of measures that only its rows of the ledger have.
        scores_tokens: Whether its loss is a cross-entropy of scores of classes or tokens, in families with such scores.
    """

    heading: ClassVar[str]
    short_heading: ClassVar[str]
    place: ClassVar[int]
    measures: ClassVar[tuple[str, ...]] = ()
    scores_tokens: ClassVar[bool] = False

    def has_class(self, task: "Task") -> bool:
        """Whether every sample of a task has one of the task's classes."""
        return False

    def scorer(self, task: "Task") -> "ImageScorer[Any] | None":
        """What compares predictions on images with their truth; None where answers are classes or texts.

        Raises:
            ConfigError: For an unknown metric, or a task that lacks what the score needs.
        """
        return None


TASK_KINDS: Registry[type[TaskKind]] = Registry("task kind", "clbench.kinds", "TASK_KINDS")


@cache
def kind_of(name: str) -> TaskKind:
    """The kind of a name.

    Raises:
        RegistryError: For an unknown name, or a class that is no kind of task.
    """
    kind = TASK_KINDS.get(name).value
    if not issubclass(kind, TaskKind):
        raise RegistryError(f"task kind {name!r}: wanted a subclass of TaskKind, got {kind.__name__}")
    return kind()
