"""By what a version of a model, and a test of it, is known: everything that decides their bits.

A key does not depend on names of streams, on labels or on what comes later. So cells, suites and later days find the
versions that they have in common.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clbench import __version__
from clbench.benchmarks.engine.cell import SCHEMA, Cell, encoding_of, loader_digests
from clbench.benchmarks.engine.forgotten import ForgottenSamples
from clbench.contracts import Split, Strategy, StrategyConfig, Task
from clbench.core.sources import source_digest
from clbench.spec.update import Adopt, Learn, Update


@dataclass(frozen=True)
class VersionKey:
    """What one version of a cell is known by.

    Attributes:
        digest: Hash of `made_of`: the name of its folder in the store.
        made_of: What made it: the parent's digest and the update, or the learner of version 0.
    """

    digest: str
    made_of: Mapping[str, object]


class Keys:
    """The keys of a cell's versions and tests.

    Args:
        cell: The cell.
        device: Kind of device that computes, which decides the precision: see `device_kind`.
        first_weights: Hash of the weights of version 0, which may come from elsewhere and change there.
        skipped: Whether the versions before the last one are not made. Its weights may be equal, but what is recorded
            of its update (the change since the version before) is not.

    Raises:
        DataError: When data are missing.
    """

    def __init__(self, cell: Cell, device: str, first_weights: str, skipped: bool = False) -> None:
        self._cell = cell
        self._device = device
        self.first_weights = first_weights
        self._stream = cell.load_stream()
        self._forgotten = ForgottenSamples(cell)
        keys = [_key(self._root())]
        for update, parent in zip(self._stream.updates, self._stream.parents, strict=True):
            keys.append(_key({"parent": keys[parent].digest, **self._made_by(update)}))
        if skipped:
            keys[-1] = _key({**keys[-1].made_of, "skipped": True})
        self.versions = tuple(keys)
        """The keys of all versions, version 0 first."""
        self._tested = {
            "tasks": [_task(cell, task, cell.split) for task in self._stream.tasks],
            "protocols": self._stream.protocols,
            "learners": [cell.encoding, *(encoding_of(release) for release in self._stream.releases)],
            "engine": cell.engine,
            "precision": cell.precision,
            "skip_broken": cell.skip_broken,
            "device": device,
            "threads": cell.threads,
        }

    def test(self, weights: str, how: object) -> str:
        """Hash of everything that decides the ledger rows of a version.

        Args:
            weights: Digest of all weights that decide the predictions.
            how: What else decides the way in which predictions are computed, as JSON.
        """
        return _hash({**self._tested, "weights": weights, "how": how})[:24]

    def intermediate(self, update: Update, key: str) -> VersionKey:
        """The key of a result that strategies compute for an update and have in common.

        Args:
            update: The update.
            key: What decides the result besides the update and version 0.
        """
        return _key({**self._first(), **self._work(update), "key": key})

    def _root(self) -> dict[str, object]:
        """Version 0 as the cell's first strategy finds it: it may have put prompts into the model."""
        return {**self._first(), "strategy": self._cell.choices[0].identity}

    def _first(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "clbench": __version__,
            "engine": self._cell.engine,
            "learner": self._cell.encoding,
            "weights": self.first_weights,
            "seed": self._cell.seed,
            "precision": self._cell.precision,
            "skip_broken": self._cell.skip_broken,
            "device": self._device,
            "threads": self._cell.threads,
            "processes": self._cell.processes,
            "shard": self._cell.shard,
        }

    def _made_by(self, update: Update) -> dict[str, object]:
        return {**self._work(update), "strategy": self._cell.choice_for(update.kind).identity}

    def _work(self, update: Update) -> dict[str, object]:
        """What an update asks for, with its data."""
        cell, stream = self._cell, self._stream
        left_out = {"name", "parent", "samples", "without"}  # names; what they mean is `without` below
        found: dict[str, object] = {
            "kind": update.kind,
            "update": update.model_dump(mode="json", exclude=left_out, exclude_defaults=True),
        }
        if isinstance(update, Learn | Adopt):
            found["budget"] = cell.budget.model_dump(mode="json")
        if isinstance(update, Learn):
            found["task"] = _task(cell, next(task for task in stream.tasks if task.name == update.task), "train")
        elif isinstance(update, Adopt):
            found["release"] = encoding_of(update.release)
            if not stream.learns:  # otherwise the tasks that were learnt before are in the parent's key
                found["tasks"] = [_task(cell, task, "train") for task in stream.tasks]
        if samples := self._forgotten.digest(update):
            found["without"] = samples
        return found


def own_way(strategy: Strategy[StrategyConfig]) -> object:
    """What identifies the predictions of a strategy that makes its own; None where the learner makes them."""
    method = type(strategy).predictor
    if method is Strategy.predictor:
        return None
    return [method.__qualname__, source_digest(Path(inspect.getfile(method)), "clbench")[:16]]


def _task(cell: Cell, task: Task, split: Split) -> dict[str, object]:
    """Everything about a task and one split of it that decides what is learnt or tested."""
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": task.metric,
        "classes": task.classes,
        "templates": task.templates,
        "limits": task.limits and task.limits.model_dump(mode="json"),
        "points": task.points,
        "boxes": task.boxes,
        "value_range": task.value_range,
        "unit": task.unit,
        "empty_masks": task.empty_masks,
        "rows": task.fingerprint(split),
        "loader": loader_digests(cell.card)[-1],
    }


def _key(made_of: Mapping[str, object]) -> VersionKey:
    return VersionKey(_hash(made_of)[:24], made_of)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
