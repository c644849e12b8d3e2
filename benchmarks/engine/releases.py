"""Streams of releases: which strategies and learners they are for, and whether their releases fit each other."""

from collections.abc import Callable
from typing import cast

from clbench.contracts import Learner, Strategy, StrategyConfig
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._updates.adapted import require_same_vocabulary
from clbench.streams.card import StreamCard


def require_fit(card: StreamCard, learner: str, strategy: str) -> None:
    """Refuse a strategy on the wrong kind of stream, and a learner that is not the first release.

    Args:
        card: Card of the stream.
        learner: Specification of the learner.
        strategy: Registered name or file.

    Raises:
        ConfigError: In these cases.
    """
    entry = STRATEGIES.get(strategy)
    takes = cast(type[Strategy[StrategyConfig]], entry.value).takes_releases
    if takes and not card.releases:
        raise ConfigError(f"strategy {entry.name} is for releases of a model, stream {card.name} brings tasks")
    if card.releases and not takes:
        raise ConfigError(f"strategy {entry.name} is for tasks, stream {card.name} brings releases of a model")
    if card.releases and learner != card.releases[0]:
        raise ConfigError(f"stream {card.name} begins with release {card.releases[0]!r}, got learner {learner!r}")


def require_one_vocabulary(releases: tuple[str, ...], first: Learner, build: Callable[[str], Learner]) -> None:
    """Load every release once and refuse one with another tokenizer, before anything is trained.

    Args:
        releases: Specifications of the releases, the first one included.
        first: The first release.
        build: Builds a release from its specification.

    Raises:
        ConfigError: When there is one.
        CheckpointError: For weights that are missing.
    """
    for release in releases[1:]:
        require_same_vocabulary(first, build(release))
