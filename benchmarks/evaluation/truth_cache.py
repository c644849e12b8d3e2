"""Decoded truth of test images, kept from version to version up to a limit of memory."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TypeVar

from clbench.benchmarks.clock import Clock
from clbench.contracts import Samples, Task
from clbench.scoring.images import ImageScorer, Truth

BOUND = 2**28
"""Bytes of decoded truth that an evaluator keeps. Every version reads the samples in the same order, so the first ones
are kept: a cache that drops the oldest would never find one again."""

T = TypeVar("T", bound=Truth)


class TruthCache:
    """Decoded truth by task.

    Args:
        bound: Most bytes that are kept.
        clock: Counts the time of preparing the truth of a task.
    """

    def __init__(self, bound: int = BOUND, clock: Clock | None = None) -> None:
        self._free = bound
        self._clock = clock or Clock()
        self._kept: dict[str, list[Truth]] = {}

    def of(self, task: Task, samples: Samples, scorer: ImageScorer[T]) -> Iterator[T]:
        """The truth of all samples of a task's test part, in order.

        Args:
            task: The task.
            samples: Its samples, with the columns of truth.
            scorer: Decodes the truth of a sample.

        Raises:
            DataError: For a truth that cannot be right.
        """
        kept = self._kept.setdefault(task.name, [])
        yield from list(kept)  # type: ignore[misc]  # of this task, and so of this type
        for index in range(len(kept), len(samples)):
            with self._clock.preparing() if index == len(kept) else nullcontext():
                truth = self._read(samples, index, scorer)
            if index == len(kept) and truth.nbytes <= self._free:
                kept.append(truth)
                self._free -= truth.nbytes
            yield truth

    def _read(self, samples: Samples, index: int, scorer: ImageScorer[T]) -> T:
        row = {name: column[index].as_py() for name, column in samples.truth.items()}
        return scorer.truth({**row, "sample_id": samples.ids[index].as_py()})
