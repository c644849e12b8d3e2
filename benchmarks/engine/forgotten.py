"""Which training samples updates of kind `Forget` mean, and what later updates must do without."""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.evaluation.forget_audit import ForgetAudit
from clbench.contracts import ForgetRequest, Samples, Split, Task
from clbench.core.csv_files import read_cells
from clbench.core.errors import DataError, did_you_mean
from clbench.core.seeding import generator_for
from clbench.spec.update import Forget, Learn, Update

Ids = Mapping[str, frozenset[str]]
"""Ids of training samples by name of their task."""


class ForgottenSamples:
    """The samples that the updates of a cell's stream mean.

    Args:
        cell: The cell, whose seed draws random shares.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._stream = cell.load_stream()
        self._tasks = {task.name: task for task in self._stream.tasks}
        self.of = cache(self._of)
        """The samples that an update wants forgotten."""

    def check(self) -> None:
        """Refuse what cannot be forgotten, before anything runs.

        Raises:
            DataError: For a class or sample that does not exist, no samples at all, or all that were learnt.
        """
        for version, update in enumerate(self._stream.updates, 1):
            if isinstance(update, Forget):
                where = f"stream {self._stream.name}: update {update.label!r}"
                found = self.of(update)
                seen = {task.name for task in self._stream.seen(self._stream.parents[version - 1])}
                if strange := set(found) - seen:
                    raise DataError(f"{where}: task {min(strange)!r} was not learnt before on its path")
                if all(len(found.get(name, ())) == len(self._rows(self._tasks[name])) for name in seen):
                    raise DataError(f"{where}: wanted a part of the training samples, got all of them")

    def left_out(self, version: int) -> dict[str, frozenset[str]]:
        """The samples that the update of a version must not be trained on.

        These are the samples that versions before it on its path have forgotten, and those that an update on its path
        is to be learnt without (`Learn.without`).
        """
        made = [self._stream.updates[number - 1] for number in self._stream.path(version)[1:]]
        forgotten = [update for update in made[:-1] if isinstance(update, Forget)]
        forgotten += [self._named(update.without) for update in made if isinstance(update, Learn) and update.without]
        result: dict[str, frozenset[str]] = {}
        for update in forgotten:
            for task, ids in self.of(update).items():
                result[task] = result.get(task, frozenset()) | ids
        return result

    def digest(self, update: Update) -> str | None:
        """Hash of the samples that an update forgets or is learnt without; None for updates of other kinds."""
        if isinstance(update, Learn):
            return None if update.without is None else self.digest(self._named(update.without))
        if not isinstance(update, Forget):
            return None
        found = {task: sorted(ids) for task, ids in sorted(self.of(update).items())}
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]

    def audited(self) -> dict[str, tuple[int, ...]]:
        """The versions that are looked at for each update of kind `forget`, by its label.

        These are its parent, the ends of the branches that learn without its samples (the first one is the reference),
        and the version that the update makes.
        """
        updates, parents = self._stream.updates, self._stream.parents
        found: dict[str, tuple[int, ...]] = {}
        for number, update in enumerate(updates, 1):
            if isinstance(update, Forget):
                label = update.label
                branch = [v for v, u in enumerate(updates, 1) if isinstance(u, Learn) and u.without == label]
                ends = [v for v in branch if not any(parents[other - 1] == v for other in branch)]
                found[label] = (parents[number - 1], *ends, number)
        return found

    def audit(self, label: str, samples: Callable[[Task, Split], Samples]) -> ForgetAudit:
        """What measures the versions of `audited`.

        Args:
            label: Label of the update.
            samples: Gives the encoded samples of a split, none of them left out.
        """
        number = next(v for v, update in enumerate(self._stream.updates, 1) if update.label == label)
        seen = self._stream.seen(self._stream.parents[number - 1])
        return ForgetAudit(seen, self.of(self._named(label)), samples, self._cell.seed)

    def request(self, update: Forget, samples: Mapping[str, Samples]) -> ForgetRequest:
        """What a strategy is asked to forget.

        Args:
            update: The update.
            samples: Training samples by name of their task.
        """
        tasks = tuple(task for task in self._stream.tasks if task.name in self.of(update))
        positions = {
            task.name: torch.from_numpy(np.flatnonzero(_mask(samples[task.name].ids, self.of(update)[task.name])))
            for task in tasks
        }
        return ForgetRequest(update, tasks, positions)

    def _named(self, name: str) -> Forget:
        found = next(update for update in self._stream.updates if update.label == name)
        assert isinstance(found, Forget)  # `check_updates` refuses others
        return found

    def _of(self, update: Forget) -> Ids:
        where = f"stream {self._stream.name}: update {update.label!r}"
        if update.samples is not None:
            return self._of_file(update.samples, where)
        assert update.task is not None
        task = self._tasks[update.task]
        rows = self._rows(task)
        if update.category is not None:
            if update.category not in task.classes:
                hint = did_you_mean(update.category, task.classes)
                raise DataError(f"{where}: task {task.name!r} has no class {update.category!r}: {hint}")
            rows = rows.filter(pc.equal(rows["label"], task.classes.index(update.category)))
        elif update.share is not None:
            rows = rows.take(_drawn(rows, update.share, self._cell.seed, task.name))
        if not len(rows):
            raise DataError(f"{where}: there is no training sample to forget")
        return {task.name: frozenset(rows["sample_id"].to_pylist())}

    def _of_file(self, name: str, where: str) -> Ids:
        path = self._cell.beside_card(name)
        (_, header), *rows = read_cells(path, ("task", "sample_id")) or [(1, [])]
        if header != ["task", "sample_id"]:
            raise DataError(f"{path}: wanted the columns task, sample_id, got {', '.join(header) or 'none'}")
        found: dict[str, set[str]] = {}
        for number, (task, sample) in rows:
            if task not in self._tasks:
                raise DataError(f"{path}: row {number}: no task {task!r}: {did_you_mean(task, self._tasks)}")
            found.setdefault(task, set()).add(sample)
        for task, ids in found.items():
            known = set(self._rows(self._tasks[task])["sample_id"].to_pylist())
            if unknown := ids - known:
                raise DataError(f"{path}: task {task!r} has no training sample {min(unknown)!r}")
        if not found:
            raise DataError(f"{where}: {path} lists no sample")
        return {task: frozenset(ids) for task, ids in found.items()}

    def _rows(self, task: Task) -> pa.Table:
        """Ids of a task's training samples, and their labels where they have such."""
        rows = task.load("train")
        wanted = [name for name in ("sample_id", "label") if name in rows.column_names]
        table: pa.Table = rows.select_columns(wanted).with_format("arrow")[:]
        return table


def without(samples: Samples, ids: frozenset[str]) -> Samples:
    """The samples that are not among `ids`, as samples of their own."""
    kept = torch.from_numpy(np.flatnonzero(~_mask(samples.ids, ids)))
    rows = pa.array(kept.numpy())
    tensors = {name: tensor[kept.to(tensor.device)] for name, tensor in samples.tensors.items()}
    truth = {name: column.take(rows) for name, column in samples.truth.items()}
    return Samples(samples.ids.take(rows), tensors, samples.device, truth)


def _mask(ids: pa.StringArray, wanted: frozenset[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(pc.is_in(ids, value_set=pa.array(sorted(wanted), pa.string())))


def _drawn(rows: pa.Table, share: float, seed: int, task: str) -> pa.Array:
    """Positions of a random share of the rows, the same share of each class, at least one row of the task."""
    generator = generator_for(seed, "forget", task)
    labels = rows["label"].to_numpy() if "label" in rows.column_names else np.zeros(len(rows), int)
    chosen = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        order = torch.randperm(len(own), generator=generator).numpy()
        chosen.append(own[order[: round(share * len(own))]])
    found = np.sort(np.concatenate(chosen))
    if not len(found):
        found = torch.randint(len(rows), (1,), generator=generator).numpy()
    return pa.array(found)
