"""Applies one update by one strategy: counts it, restarts randomness, then calls the strategy's method."""

from collections.abc import Sequence
from typing import Any

from clbench.contracts.learner import Learner
from clbench.contracts.strategy import HANDLERS, Adopts, Compresses, ForgetRequest, Forgets, Learns, Strategy
from clbench.core.errors import ConfigError
from clbench.spec.task import Task
from clbench.spec.update import Compress, UpdateKind

AnyStrategy = Strategy[Any]


def handled_kinds(strategy: type) -> tuple[UpdateKind, ...]:
    """The kinds of updates that a class of strategies handles, by the methods that it implements."""
    return tuple(kind for kind, handler in HANDLERS.items() if issubclass(strategy, handler))


def learn_task(strategy: AnyStrategy, task: Task, draw: int = 0) -> None:
    """Let a strategy learn a task.

    Args:
        strategy: The strategy.
        task: The task.
        draw: Number of the draw of all randomness.

    Raises:
        ConfigError: When it does not handle `Learn`.
    """
    if not isinstance(strategy, Learns):
        raise _refused(strategy, "learn")
    skip_task(strategy, task, draw)
    strategy.learn(task)


def skip_task(strategy: AnyStrategy, task: Task, draw: int = 0) -> None:
    """Count a task as seen without learning it, for versions that are not needed; see `retrains_from_scratch`.

    Args:
        strategy: The strategy.
        task: The task.
        draw: Number of the draw of all randomness.
    """
    strategy.seen.append(task)
    strategy.begin_update(strategy.version + 1, draw)
    strategy.learner.add_task(task)


def adopt_release(strategy: AnyStrategy, release: Learner, tasks: Sequence[Task]) -> None:
    """Let a strategy adopt a release of the model.

    Args:
        strategy: The strategy; its `learner` is the release afterwards.
        release: The release, at its own version 0.
        tasks: All tasks that the release must answer.

    Raises:
        ConfigError: When it does not handle `Adopt`.
    """
    if not isinstance(strategy, Adopts):
        raise _refused(strategy, "adopt")
    strategy.begin_update(strategy.version + 1)
    for task in tasks:
        release.add_task(task)
    strategy.adopt(release, tasks)


def compress(strategy: AnyStrategy, update: Compress) -> None:
    """Let a strategy compress the model.

    Raises:
        ConfigError: When it does not handle `Compress` or this budget.
    """
    if not isinstance(strategy, Compresses):
        raise _refused(strategy, "compress")
    strategy.check_budget(update)
    strategy.begin_update(strategy.version + 1)
    strategy.compress(update)


def forget(strategy: AnyStrategy, request: ForgetRequest) -> None:
    """Let a strategy make the model forget.

    Raises:
        ConfigError: When it does not handle `Forget`.
    """
    if not isinstance(strategy, Forgets):
        raise _refused(strategy, "forget")
    strategy.begin_update(strategy.version + 1)
    strategy.forget(request)


def _refused(strategy: AnyStrategy, kind: UpdateKind) -> ConfigError:
    kinds = ", ".join(handled_kinds(type(strategy))) or "no updates"
    return ConfigError(f"strategy {type(strategy).__name__} is for updates of kind {kinds}, got one of kind {kind}")
