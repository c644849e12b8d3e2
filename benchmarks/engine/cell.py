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
from clbench.core.errors import DataError
from clbench.core.registry import LEARNERS, LOADERS, STRATEGIES
from clbench.core.sources import source_digest
from clbench.core.storage import file_digest
from clbench.kinds import TASK_KINDS
from clbench.learners._shared.adapter_folders import base_of
from clbench.spec.stream import Stream
from clbench.spec.task import Split
from clbench.spec.update import KINDS, UpdateKind, update_as_json
from clbench.strategies._parts.slots import choices_in, named_settings, part_sources
from clbench.streams.card import StreamCard, load_stream, read_card

READERS = ("clbench.cli", "clbench.reports", "clbench.benchmarks.tracking")
"""Packages that only read results: an edit there does not make another cell."""
SCHEMA = 2
"""Version of the files in a cell's folder and of its MLflow run; raised when their meaning changes."""


@dataclass(frozen=True)
class Choice:
    """A strategy for some kinds of updates, with its settings.

    Attributes:
        strategy: Registered name or file.
        config: Its settings.
        kinds: The kinds of updates that it is for.
    """

    strategy: str
    config: StrategyConfig
    kinds: tuple[UpdateKind, ...]

    @property
    def identity(self) -> dict[str, object]:
        """What decides how it works: name, hash of the code, settings."""
        return {
            "name": STRATEGIES.listing(self.strategy).name,
            "source": STRATEGIES.digest(self.strategy)[:16],
            "settings": named_settings(self.config),
            **({"parts": part_sources(parts)} if (parts := choices_in(self.config)) else {}),
        }


@dataclass(frozen=True)
class Cell:
    """One (stream, learner, strategy, seed) of a suite, with all settings resolved.

    Attributes:
        stream: Registered name or card file.
        learner: Learner specification (`mini-clip`, `open_clip:ViT-B-16`).
        strategy: Registered name or file of the strategy of all updates but those in `others`.
        label: Names of the strategies with their settings, as tables show it.
        config: Settings of the strategy.
        budget: Training budget for each task.
        seed: Seed of all random numbers.
        split: Part of the tasks that is tested.
        root: Folder of the data sets, or `hub`, for streams without data of their own.
        skip_broken: Whether samples that do not decode are left out.
        precision: Precision of the learner's computation.
        last_only: Whether only the last version is tested, which suffices for a search by `mtil.last`.
        others: Strategies of single kinds of updates.
        threads: Number of threads of the computation on a CPU, on which its bits depend; None leaves it to torch.
        processes: Number of processes that run the cell together, on which bits depend, because they add up gradients.
        order: Number of the order in which the stream's tasks are learnt; 0 is the stream's own.
        shard: Whether these processes share one copy of the weights while they train.
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
    others: tuple[Choice, ...] = ()
    threads: int | None = None
    processes: int = 1
    order: int = 0
    shard: bool = False
    streams: dict[tuple[str, int, int], Stream] = field(default_factory=dict, repr=False, compare=False)

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
        return encoding_of(self.learner)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """The strategies of the cell; the first one is for all kinds of updates that no other one is for."""
        taken = {kind for choice in self.others for kind in choice.kinds}
        own = tuple(kind for kind in KINDS if kind not in taken)
        return (Choice(self.strategy, self.config, own), *self.others)

    def choice_for(self, kind: UpdateKind) -> Choice:
        """The strategy that updates of a kind are left to, whether it handles them or not."""
        return next(choice for choice in self.choices if kind in choice.kinds)

    @cached_property
    def engine(self) -> str:
        """SHA-256 of the code that trains, tests and scores, with that of the kinds of the stream's tasks."""
        return engine_digest(tuple(sorted({task.kind for task in self.load_stream().tasks})))

    @cached_property
    def resolved(self) -> dict[str, object]:
        """Everything that decides the result, as JSON; with the named sources and data it can be run again.

        Raises:
            DataError: When data are missing.
        """
        releases = self.load_stream().releases
        return {
            "schema": SCHEMA,
            "clbench": __version__,
            "stream": {
                "name": self.names[0],
                "card": _digest_of(STREAM_CARDS.get(self.stream).path),
                "loaders": loader_digests(self.card),
                "data": _data_digest(self.load_stream(), self.split),
                "updates": [update_as_json(update) for update in self.load_stream().updates],
                **({"releases": [encoding_of(release) for release in releases]} if releases else {}),
            },
            "learner": self.encoding,
            "strategy": self.choices[0].identity,
            **{f"strategy_{'_'.join(choice.kinds)}": choice.identity for choice in self.others},
            "engine": self.engine[:16],
            "budget": self.budget.model_dump(mode="json"),
            "seed": self.seed,
            "split": self.split,
            "skip_broken": self.skip_broken,
            "precision": self.precision,
            **({"last_only": True} if self.last_only else {}),
            **({"threads": self.threads} if self.threads else {}),
            **({"processes": self.processes} if self.processes > 1 else {}),
            **({"shard": True} if self.shard else {}),
        }

    @cached_property
    def tested(self) -> tuple[str, ...]:
        """Everything besides a version's weights that decides its predictions; equal for all strategies and seeds."""
        parts = ("stream", "learner", "split", "skip_broken", "precision")
        return tuple(json.dumps(self.resolved[part], sort_keys=True) for part in parts)

    @cached_property
    def card(self) -> StreamCard:
        """The card of the cell's stream."""
        return read_card((file := STREAM_CARDS.get(self.stream)).values, file.path)

    def beside_card(self, name: str) -> Path:
        """A file that the stream's card names, relative to the card.

        Raises:
            DataError: When it is missing.
        """
        path = STREAM_CARDS.get(self.stream).path.parent / name
        if not path.is_file():
            raise DataError(f"stream {self.names[0]}: {path}: no such file")
        return path

    def load_stream(self) -> Stream:
        """The cell's stream in the cell's order, its shots drawn by the cell's seed.

        Raises:
            DataError: When data are missing.
        """
        name, shots, order = key = (self.stream, self.seed if self.card.shots else 0, self.order)
        if (name, shots, 0) not in self.streams:
            self.streams[name, shots, 0] = load_stream(self.stream, self.root, self.seed)
        if key not in self.streams:
            self.streams[key] = self.streams[name, shots, 0].in_order(order)
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
def engine_digest(kinds: tuple[str, ...]) -> str:
    """SHA-256 of the code that trains, tests and scores: runner of a cell, evaluator, samples, scores, seeding.

    Args:
        kinds: Names of the kinds of tasks, whose code counts, too.
    """
    digests = [source_digest(engine_file(), "clbench", READERS), *map(TASK_KINDS.digest, kinds)]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def loader_digests(card: StreamCard) -> list[str]:
    """SHA-256 of the loader of a stream, then of the loader of the stream on which it is based."""
    digests = [LOADERS.digest(card.loader)[:16]]
    if card.based_on is not None:
        file = STREAM_CARDS.get(card.based_on)
        digests += loader_digests(read_card(file.values, file.path))
    return digests


def _learner_name(learner: str) -> str:
    name, colon, argument = learner.partition(":")
    for path in _weights(learner):
        argument = argument.replace(str(path), path.name)
    return LEARNERS.listing(name).name + colon + argument


def encoding_of(learner: str) -> dict[str, object]:
    """What decides a learner's version 0 and how it encodes samples, by its specification."""
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
