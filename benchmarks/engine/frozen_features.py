"""Outputs of frozen blocks are computed once for all versions, and kept while they fit in memory and are valid."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from clbench.benchmarks.clock import Clock
from clbench.contracts import Batch, ContinuesFromPrefix, Learner, Samples, Split, Task, require

SHARE = 0.25
"""Share of free memory (computer or device), else of the free disk, that all cached prefixes of a cell may take."""


@dataclass(frozen=True, eq=False)
class Continued(Samples):
    """Samples whose batches come with the output of frozen blocks, computed batch by batch."""

    compute: Callable[[Batch], Batch] = dict

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index` with the output of the blocks."""
        found = super().batch(index)
        return {**found, **self.compute(found)}


@dataclass(frozen=True, eq=False)
class _Kept:
    samples: Samples
    blocks: int
    digest: str


class FrozenFeatureCache:
    """Samples with the output of the blocks that a strategy never changes.

    Cached or not, the numbers are the same: a prefix is a function of each sample alone, to the last bit on the CPU
    (see `ContinuesFromPrefix.prefix`). A cached prefix is dropped when the weights of its blocks have changed, so a
    strategy that declares too many frozen blocks still gets correct numbers. Nothing is cached for a learner whose loss
    cannot go on from a prefix.

    Args:
        samples: Returns the encoded samples of a split.
        learner: Computes the prefixes.
        blocks_of: Returns the number of frozen blocks for a split of a task; 0 where samples are augmented.
        folder: Folder for memory-mapped files, used where memory is too small.
        clock: Counts the time of preparing a prefix.
    """

    def __init__(
        self,
        samples: Callable[[Task, Split], Samples],
        learner: Learner,
        blocks_of: Callable[[Task, Split], int],
        folder: Path,
        clock: Clock | None = None,
    ) -> None:
        self._samples = samples
        self._learner = learner
        self._blocks_of = blocks_of
        self._folder = folder
        self._clock = clock or Clock()
        self._kept: dict[tuple[str, Split], _Kept] = {}
        self._digests: dict[int, str] = {}

    def __call__(self, task: Task, split: Split) -> Samples:
        """The samples of a split, with a prefix if the strategy freezes one."""
        found, blocks = self._samples(task, split), self._blocks_of(task, split)
        if not blocks or not isinstance(self._learner, ContinuesFromPrefix):
            return found
        kept = self._kept.get((task.name, split))
        if kept is None or (kept.blocks, kept.digest) != (blocks, self._digest(blocks)):
            with self._clock.preparing():
                kept = _Kept(self._computed(found, blocks), blocks, self._digest(blocks))
            self._kept[task.name, split] = kept
        return kept.samples

    def weights_have_changed(self) -> None:
        """Must be called after every update; cached prefixes are then compared with the weights when next used."""
        self._digests.clear()

    def _computed(self, samples: Samples, blocks: int) -> Samples:
        """The samples with the prefix as a further tensor, or computed with each batch where there is no room."""
        size, n = self._learner.test_batch, len(samples)
        ((name, part),) = self._prefix_of(samples.batch(slice(0, size)), blocks).items()
        whole = self._room_for(part, n)
        continued = Continued(
            samples.ids, samples.tensors, samples.device, samples.truth, partial(self._prefix_of, blocks=blocks)
        )
        if whole is None:
            return continued
        whole[:size] = part
        for start in range(size, n, size):
            index = slice(start, start + size)
            whole[index] = continued.batch(index)[name]
        return replace(samples, tensors={**samples.tensors, name: whole})

    def _prefix_of(self, batch: Batch, blocks: int) -> Batch:
        with torch.no_grad(), self._learner.autocast():
            return require(self._learner, ContinuesFromPrefix).prefix(batch, blocks)

    def _room_for(self, part: Tensor, n: int) -> Tensor | None:
        """An empty tensor for n rows: in memory, else in a temporary memory-mapped file, else None."""
        needed = part[0].nbytes * n
        there = sum(t.nbytes for kept in self._kept.values() for name, t in _prefixes(kept.samples))
        if part.is_cuda and needed + there <= SHARE * torch.cuda.mem_get_info(part.device)[1]:
            return torch.empty((n, *part.shape[1:]), dtype=part.dtype, device=part.device)
        if needed + there <= SHARE * (psutil.virtual_memory().available + there):
            return torch.empty((n, *part.shape[1:]), dtype=part.dtype)
        self._folder.mkdir(parents=True, exist_ok=True)
        if part.dtype == torch.bfloat16 or needed > SHARE * shutil.disk_usage(self._folder).free:
            return None
        with tempfile.TemporaryFile(dir=self._folder) as file:
            kind = torch.empty(0, dtype=part.dtype).numpy().dtype
            return torch.from_numpy(np.memmap(file, kind, "w+", shape=(n, *part.shape[1:])))

    def _digest(self, blocks: int) -> str:
        """Hash of the weights of the first blocks and of the layers before them."""
        if blocks not in self._digests:
            digest = hashlib.blake2b(digest_size=16)
            block_of = require(self._learner, ContinuesFromPrefix).stack().block_of
            for name, p in self._learner.trainable().items():
                if block_of[name] < blocks:
                    data = p.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
                    digest.update(name.encode())
                    digest.update(data)
            self._digests[blocks] = digest.hexdigest()
        return self._digests[blocks]


def _prefixes(samples: Samples) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in samples.tensors.items() if name.startswith("prefix.")]
