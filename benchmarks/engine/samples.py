"""Encoded samples: each split is decoded once, into the fastest memory in which it fits."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from clbench.benchmarks.clock import Clock
from clbench.contracts import Learner, Samples, Split, Task
from clbench.core.errors import BrokenSamplesError, DataError
from clbench.core.storage import written_whole
from clbench.kinds import TASK_KINDS

if TYPE_CHECKING:
    from datasets import Dataset

CHUNK = 1024
"""Rows that are decoded at a time; bounds the memory that decoding takes."""
SHARE = 0.5
"""Share of the computer's free memory that one split may take, and of the device's memory that all splits may take."""

Progress = Callable[[int, int], None]


class SampleStore:
    """Encoded samples by learner and split, shared by the cells of a suite.

    A split is kept on the device if it fits, else in memory, else in files under `cache` that are mapped into memory:
    a benchmark of any size runs on any machine, only slower. Results do not depend on where samples are.

    Args:
        device: Device of the batches.
        cache: Folder for splits that are too large for memory; later runs reuse its files.
    """

    def __init__(self, device: torch.device, cache: Path) -> None:
        self._device = device
        self._cache = cache
        self._owner: tuple[str, str] | None = None
        self._kept: dict[str, Samples] = {}
        self._seconds: dict[str, float] = {}

    def of(
        self,
        stream: str,
        learner: Learner,
        encoding: str,
        skip_broken: bool = False,
        progress: Progress = lambda done, total: None,
        clock: Clock | None = None,
    ) -> Callable[[Task, Split], Samples]:
        """The look-up for one stream and learner; splits of other streams and learners are dropped.

        Args:
            stream: Name of the stream.
            learner: Encodes the samples.
            encoding: Key of the learner's encoding; learners with equal keys encode a row to equal tensors.
            skip_broken: Whether samples that do not decode are left out; otherwise they make the split an error.
            progress: Called with rows done and rows in all while a split is decoded.
            clock: Counts the seconds of decoding each split.

        Returns:
            A function that raises DataError for a split that is empty or holds broken samples.
        """
        if self._owner != (stream, encoding):
            self._owner = (stream, encoding)
            self._kept.clear()
        encoder, counting = SampleEncoder(learner, skip_broken, progress), clock or Clock()

        def samples(task: Task, split: Split) -> Samples:
            words = (encoding, task.name, TASK_KINDS.digest(task.kind), task.fingerprint(split), str(skip_broken))
            key = hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]
            if key in self._kept:
                counting.need({key: self._seconds[key]})
                return self._kept[key]
            with counting.stopped() as took:
                found = load_samples(self._cache / key) or self._encode(encoder, task, split, key)
                self._kept[key] = self._placed(found)
            self._seconds[key] = took[0]
            counting.need({key: took[0]}, decoded_now=True)
            return self._kept[key]

        return samples

    def _encode(self, encoder: "SampleEncoder", task: Task, split: Split, key: str) -> Samples:
        rows = task.load(split)
        if len(rows) == 0:
            raise DataError(f"task {task.name!r}: its part {split!r} has no samples")
        chunks = encoder.chunks(rows, task, split)
        first = next(chunks)
        needed = sum(tensor[0].nbytes for tensor in first.tensors.values()) * len(rows)
        if needed <= SHARE * psutil.virtual_memory().available:
            tensors = {name: torch.empty((len(rows), *t.shape[1:]), dtype=t.dtype) for name, t in first.tensors.items()}
            return _filled(tensors, first, chunks)
        with written_whole(self._cache / key) as aside:
            aside.mkdir()
            free = shutil.disk_usage(aside).free
            if needed > free:  # to write to a mapped file on a full disk is a crash
                sizes = f"{needed / 2**30:.1f} GiB of samples do not fit, {free / 2**30:.1f} GiB are free"
                raise DataError(f"{self._cache}: {sizes}")
            mapped = {
                name: np.lib.format.open_memmap(
                    aside / f"{name}.npy", mode="w+", dtype=t.numpy().dtype, shape=(len(rows), *t.shape[1:])
                )
                for name, t in first.tensors.items()
            }
            filled = _filled({name: torch.from_numpy(array) for name, array in mapped.items()}, first, chunks)
            pq.write_table(pa.table({"sample_id": filled.ids, **filled.truth}), aside / "ids.parquet")
        loaded = load_samples(self._cache / key)
        assert loaded is not None
        return loaded

    def _placed(self, samples: Samples) -> Samples:
        """The samples on the device if they fit there, else where they are."""
        tensors = samples.tensors
        if self._device.type == "cuda":
            # Of all memory, for all splits together: version 0 is tested before training needs its own.
            _, total = torch.cuda.mem_get_info(self._device)
            kept = sum(t.nbytes for s in self._kept.values() for t in s.tensors.values() if t.is_cuda)
            if kept + sum(tensor.nbytes for tensor in tensors.values()) <= SHARE * total:
                tensors = {name: tensor.to(self._device) for name, tensor in tensors.items()}
        return replace(samples, tensors=tensors, device=self._device)


def load_samples(folder: Path) -> Samples | None:
    """Samples that an earlier run has left on the disk, memory-mapped; None where there are none.

    Raises:
        DataError: When they are damaged.
    """
    if not folder.is_dir():
        return None
    try:
        table = pq.read_table(folder / "ids.parquet").combine_chunks()
        truth = {name: table[name].combine_chunks() for name in table.column_names}
        ids = truth.pop("sample_id")
        # Mode c: the mapping looks writable, as torch wants it, and the file stays as it is.
        arrays = {path.stem: np.load(path, mmap_mode="c", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{folder}: damaged, remove it: {str(error).splitlines()[0]}") from None
    tensors = {name: torch.from_numpy(array)[: len(ids)] for name, array in arrays.items()}
    return Samples(ids, tensors, truth=truth)


@dataclass(frozen=True)
class SampleEncoder:
    """Encodes rows of a data set chunk by chunk.

    Attributes:
        learner: Encodes a chunk.
        skip_broken: Whether samples that do not decode are left out; otherwise they are an error.
        progress: Called with rows done and rows in all.
    """

    learner: Learner
    skip_broken: bool = False
    progress: Progress = lambda done, total: None

    def chunks(self, rows: "Dataset", task: Task, split: Split) -> Iterator[Samples]:
        """The rows as samples, `CHUNK` rows at a time.

        Args:
            rows: Rows of the data set.
            task: Task of the rows.
            split: Part of the task; for messages.

        Raises:
            BrokenSamplesError: After the last chunk, when some do not decode and are not to be skipped.
        """
        broken: list[int] = []
        first_reason = ""
        for start in range(0, len(rows), CHUNK):
            stop = min(start + CHUNK, len(rows))
            self.progress(start, len(rows))
            chunk = rows.select(range(start, stop))
            try:
                yield self.learner.encode(chunk, task)
            except BrokenSamplesError as error:
                first_reason = first_reason or str(error)
                broken += [start + position for position in error.positions]
                sound = sorted(set(range(stop - start)) - set(error.positions))
                if self.skip_broken and sound:
                    yield self.learner.encode(chunk.select(sound), task)
        if broken and (not self.skip_broken or len(broken) == len(rows)):
            count = f"{len(broken)} of {len(rows)} samples of its part {split!r} do not decode, the first: "
            raise BrokenSamplesError(
                f"task {task.name!r}: {count}{first_reason}; mend them, or leave them out with --set skip_broken=true",
                broken,
            )


def _filled(tensors: dict[str, Tensor], first: Samples, rest: Iterator[Samples]) -> Samples:
    """All chunks concatenated; shorter than the tensors where samples were left out."""
    ids: list[pa.StringArray] = []
    truth: dict[str, list[pa.Array]] = {name: [] for name in first.truth}
    at = 0
    for chunk in chain([first], rest):
        for name, tensor in chunk.tensors.items():
            tensors[name][at : at + len(chunk)] = tensor
        for name, column in chunk.truth.items():
            truth[name].append(column)
        ids.append(chunk.ids)
        at += len(chunk)
    return Samples(
        pa.concat_arrays(ids),
        {name: tensor[:at] for name, tensor in tensors.items()},
        truth={name: pa.concat_arrays(parts) for name, parts in truth.items()},
    )
