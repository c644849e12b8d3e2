"""A cell: one stream, learner, strategy, seed; the unit that runs, resumes, fails and is logged."""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clbench import __version__
from clbench.cards import STREAM_CARDS
from clbench.contracts.strategy import Budget, StrategyConfig
from clbench.contracts.task import Split
from clbench.registry import STRATEGIES

SCHEMA = 1
"""Version of the files that a cell leaves; raised when their meaning changes."""


@dataclass(frozen=True)
class Cell:
    """One (stream, learner, strategy, seed) of a suite, with all settings resolved.

    Attributes:
        stream: Name or card file.
        learner: Learner specification (`mini-clip`, `open_clip:ViT-B-16`).
        strategy: Registered name or file.
        label: What tables call the strategy.
        config: The strategy's settings.
        budget: What the strategy may spend on a task.
        seed: Of everything random.
        split: The part of the tasks that is tested.
    """

    stream: str
    learner: str
    strategy: str
    label: str
    config: StrategyConfig
    budget: Budget
    seed: int
    split: Split

    @cached_property
    def resolved(self) -> dict[str, object]:
        """Everything that decides the result, as JSON; enough to run the cell again."""
        return {
            "schema": SCHEMA,
            "clbench": __version__,
            "stream": {"name": self.stream, "card": _digest_of(STREAM_CARDS.get(self.stream).path)},
            "learner": self.learner,
            "strategy": {
                "name": self.strategy,
                "source": STRATEGIES.digest(self.strategy)[:16],
                "settings": self.config.model_dump(mode="json"),
            },
            "budget": self.budget.model_dump(mode="json"),
            "seed": self.seed,
            "split": self.split,
        }

    @cached_property
    def digest(self) -> str:
        """Hash of `resolved`: equal cells have equal digests."""
        return hashlib.sha256(json.dumps(self.resolved, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """Name of the cell's folder: readable, and unique by the digest."""
        parts = (self.stream, self.learner, self.label, f"seed{self.seed}", self.digest)
        return "--".join(re.sub(r"[^A-Za-z0-9_.=-]+", "_", part)[-60:] for part in parts)

    @property
    def title(self) -> str:
        """How messages call the cell."""
        return f"{self.stream} / {self.learner} / {self.label} / seed {self.seed}"


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
