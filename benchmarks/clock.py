"""What cells take, each as if it were alone: what another had computed counts as if it had been, and is told."""

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Price:
    """What a piece of work takes whoever does it again.

    Attributes:
        seconds: Of the work itself: without decoding, and without what a cell prepares once for all its versions.
        splits: Seconds of decoding for each split of samples that the work needs.
    """

    seconds: float = 0.0
    splits: dict[Hashable, float] = field(default_factory=dict)


class Clock:
    """The clock of the cells of a run, one after another.

    Decoding is apart: samples are decoded once for all cells, by whichever comes first. Each cell that needs them is
    told their price, once.

    Attributes:
        decoding: Seconds that the splits needed so far took to decode, each counted once a cell.
        taken_over: Seconds that were counted and not spent again, of work and of decoding.
    """

    def __init__(self) -> None:
        self.decoding = 0.0
        self.taken_over = 0.0
        self._offset = 0.0
        self._prepared = 0.0
        self._needed: set[Hashable] = set()
        self._open: list[Price] = []

    def new_cell(self) -> None:
        """The splits of samples that the cells before have needed count again."""
        self._needed.clear()

    def now(self) -> float:
        """Seconds without those of decoding, and with those that were taken over."""
        return time.perf_counter() + self._offset

    @contextmanager
    def stopped(self) -> Iterator[list[float]]:
        """For decoding: a list that holds, afterwards, how many seconds it took, which `now` does not count."""
        started, took = time.perf_counter(), list[float]()
        try:
            yield took
        finally:
            took.append(time.perf_counter() - started)
            self._offset -= took[0]

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """For what a cell computes once and keeps for its later versions: no part of any price."""
        started = self.now()
        try:
            yield
        finally:
            self._prepared += self.now() - started

    @contextmanager
    def pricing(self) -> Iterator[Price]:
        """A price that holds, afterwards, what the work took; what it took over itself is part of it."""
        started, prepared = self.now(), self._prepared
        self._open.append(price := Price())
        try:
            yield price
        finally:
            self._open.pop()
            price.seconds = self.now() - started - (self._prepared - prepared)

    def need(self, splits: Mapping[Hashable, float], decoded_now: bool = False) -> None:
        """Count the decoding of splits that the cell has not needed before.

        Args:
            splits: Seconds of decoding by split.
            decoded_now: Whether these seconds were spent just now, rather than taken over.
        """
        for price in self._open:
            price.splits.update(splits)
        seconds = sum(seconds for split, seconds in splits.items() if split not in self._needed)
        self._needed.update(splits)
        self.decoding += seconds
        self.taken_over += 0.0 if decoded_now else seconds

    def take_over(self, price: Price) -> None:
        """Count work that was done before."""
        self._offset += price.seconds
        self.taken_over += price.seconds
        self.need(price.splits)
