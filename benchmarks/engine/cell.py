"""A cell: one stream, learner, strategy, seed; the unit that runs, resumes, fails and is logged."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

from clbench import __version__
from clbench.contracts.learner import Precision
from clbench.contracts.strategy import Budget, StrategyConfig
from clbench.core.cards import STREAM_CARDS
from clbench.core.registry import LEARNERS, LOADERS, STRATEGIES
from clbench.core.sources import source_digest
from clbench.core.storage import file_digest
from clbench.learners._shared.adapter_folders import base_of
from clbench.spec.stream import Stream
from clbench.spec.task import Split
from clbench.streams.card import StreamCard, load_stream, read_card

READERS = ("clbench.cli", "clbench.reports", "clbench.benchmarks.tracking")
"""Packages that only read results: an edit there does not make another cell."""
SCHEMA = 2
"""Version of the files in a cell's folder and of its MLflow run; raised when their meaning changes."""


@dataclass(frozen=True)
class Cell:
    """One (stream, learner, strategy, seed) of a suite, with all settings resolved.

    Attributes:
        stream: Registered name or card file.
        learner: Learner specification (`mini-clip`, `open_clip:ViT-B-16`).
        strategy: Registered name or file.
        label: Name of the strategy with its settings, as tables show it.
        config: Settings of the strategy.
        budget: Training budget for each task.
        seed: Seed of all random numbers.
        split: Part of the tasks that is tested.
        root: Folder of the data sets, or `hub`, for streams without data of their own.
        skip_broken: Whether samples that do not decode are left out.
        precision: Precision of the learner's computation.
        last_only: Whether only the last version is tested, which suffices for a search by `mtil.last`.
        streams: Streams that are already loaded, shared by the cells of a suite, as a large one takes seconds to list.
    """

    stream: str
    learner: str
    strategy: str
    label: str
    config: StrategyConfig
    budget: Budget
    seed: int
    split: Split
    root: str | None = None
    skip_broken: bool = False
    precision: Precision = "auto"
    last_only: bool = False
    streams: dict[tuple[str, int], Stream] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def names(self) -> tuple[str, str, str]:
        """Names of stream, learner and strategy in tables: registered names, or the stems of files."""
        return (
            STREAM_CARDS.get(self.stream).name,
            _learner_name(self.learner),
            STRATEGIES.listing(self.strategy).name,
        )

    @cached_property
    def encoding(self) -> dict[str, object]:
        """What decides version 0 and its encoding: name, hash of the source, hashes of the files of weights."""
        return _encoding(self.learner)

    def _releases(self) -> list[dict[str, object]]:
        return [_encoding(release) for release in self.load_stream().releases]

    @cached_property
    def resolved(self) -> dict[str, object]:
        """Everything that decides the result, as JSON; with the named sources and data it can be run again.

        Raises:
            DataError: When data are missing.
        """
        return {
            "schema": SCHEMA,
            "clbench": __version__,
            "stream": {
                "name": self.names[0],
                "card": _digest_of(STREAM_CARDS.get(self.stream).path),
                "loaders": _loader_digests(self._card),
                "data": _data_digest(self.load_stream(), self.split),
                **({"releases": releases} if (releases := self._releases()) else {}),
            },
            "learner": self.encoding,
            "strategy": {
                "name": self.names[2],
                "source": STRATEGIES.digest(self.strategy)[:16],
                "settings": self.config.model_dump(mode="json"),
            },
            "engine": _engine_digest()[:16],
            "budget": self.budget.model_dump(mode="json"),
            "seed": self.seed,
            "split": self.split,
            "skip_broken": self.skip_broken,
            "precision": self.precision,
            **({"last_only": True} if self.last_only else {}),
        }

    @cached_property
    def tested(self) -> tuple[str, ...]:
        """Everything besides a version's weights that decides its predictions; equal for all strategies and seeds."""
        parts = ("stream", "learner", "split", "skip_broken", "precision")
        return tuple(json.dumps(self.resolved[part], sort_keys=True) for part in parts)

    @property
    def _card(self) -> StreamCard:
        return read_card((file := STREAM_CARDS.get(self.stream)).values, file.path)

    def load_stream(self) -> Stream:
        """The cell's stream, its shots drawn by the cell's seed.

        Raises:
            DataError: When data are missing.
        """
        key = (self.stream, self.seed if self._card.shots else 0)
        if key not in self.streams:
            self.streams[key] = load_stream(self.stream, self.root, self.seed)
        return self.streams[key]

    @cached_property
    def digest(self) -> str:
        """Hash of `resolved`; it does not depend on where files lie."""
        return hashlib.sha256(json.dumps(self.resolved, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """Name of the cell's folder: readable, and unique by its digest."""
        parts = (self.names[0], self.names[1], self.label, f"seed{self.seed}", self.digest)
        return "--".join(re.sub(r"[^A-Za-z0-9_.=-]+", "_", part)[-60:] for part in parts)

    @property
    def title(self) -> str:
        """Name of the cell in messages."""
        return f"{self.names[0]} / {self.names[1]} / {self.label} / seed {self.seed}"


def engine_file() -> Path:
    """The file whose imports reach all code that decides a result, besides strategy, learner and loader."""
    return Path(str(files("clbench.benchmarks.engine"))) / "execution.py"


@cache
def _engine_digest() -> str:
    """SHA-256 of the code that trains, tests and scores: runner of a cell, evaluator, samples, scores, seeding."""
    return source_digest(engine_file(), "clbench", READERS)


def _loader_digests(card: StreamCard) -> list[str]:
    """SHA-256 of the loader of a stream, and of the loader of the stream on which it is based."""
    digests = [LOADERS.digest(card.loader)[:16]]
    if card.based_on is not None:
        file = STREAM_CARDS.get(card.based_on)
        digests += _loader_digests(read_card(file.values, file.path))
    return digests


def _learner_name(learner: str) -> str:
    name, colon, argument = learner.partition(":")
    for path in _weights(learner):
        argument = argument.replace(str(path), path.name)
    return LEARNERS.listing(name).name + colon + argument


def _encoding(learner: str) -> dict[str, object]:
    return {
        "name": _learner_name(learner),
        "source": LEARNERS.digest(learner.partition(":")[0])[:16],
        "weights": [_digest_of(path) for own in _weights(learner) for path in (own, base_of(own)) if path],
    }


def _weights(learner: str) -> list[Path]:
    """The file or folder of weights that a learner's argument names, alone or after the architecture."""
    argument = learner.partition(":")[2]
    folder = [Path(argument)] if argument and Path(argument).is_dir() else []
    return folder or [path for path in (Path(argument), Path(argument.partition("/")[2])) if path.is_file()]


def _digest_of(path: Path) -> str:
    """Hash of a file, or of all files in a folder with their names."""
    if path.is_dir():
        inside = [(file.name, _digest_of(file)) for file in sorted(path.iterdir()) if file.is_file()]
        return hashlib.sha256(json.dumps(inside).encode()).hexdigest()[:16]
    return file_digest(path)[:16]


def _data_digest(stream: Stream, tested: Split) -> str:
    parts: tuple[Split, Split] = ("train", tested)
    prints = [
        (task.name, task.classes, task.templates, [task.fingerprint(split) for split in parts]) for task in stream.tasks
    ]
    return hashlib.sha256(json.dumps(prints).encode()).hexdigest()[:16]
