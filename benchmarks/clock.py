"""Costs of cells, each as if it ran alone: results taken from another cell count with the time that they took there."""

import json
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from clbench.core import processes
from clbench.core.forward_passes import Passes, passes_so_far


@dataclass
class Price:
    """What a piece of work takes if it is done again.

    Attributes:
        seconds: Seconds of the work, without decoding and without what a cell prepares once for all its versions.
        splits: Seconds of decoding each split of samples that the work needs.
        passes: Samples that pass through models in the work, without what a cell prepares once.
    """

    seconds: float = 0.0
    splits: dict[Hashable, float] = field(default_factory=dict)
    passes: Passes = field(default_factory=Passes)

    def of_all_processes(self) -> "Price":
        """The price with the passes of all processes of the cell, which share the samples of a batch."""
        if processes.count() == 1:
            return self
        told = [json.loads(of) for of in processes.all_bytes(json.dumps(asdict(self.passes)).encode())]
        return replace(self, passes=sum((Passes(**of) for of in told), Passes()))


class Clock:
    """The clock of the cells of a run, one after another.

    Decoding is counted apart: samples are decoded once, by the first cell that needs them. Their time is counted once
    for each cell that needs them.

    Attributes:
        decoding: Seconds of decoding the splits needed so far, each split once for each cell.
        taken_over: Seconds of work and decoding that were counted and not spent again.
    """

    def __init__(self) -> None:
        self.decoding = 0.0
        self.taken_over = 0.0
        self._offset = 0.0
        self._prepared = 0.0
        self._passes_offset = Passes()
        self._passes_prepared = Passes()
        self._needed: set[Hashable] = set()
        self._open: list[Price] = []

    def new_cell(self) -> None:
        """Start the next cell: splits that earlier cells needed count again."""
        self._needed.clear()

    def now(self) -> float:
        """The time in seconds, without decoding and with work that was taken over."""
        return time.perf_counter() + self._offset

    def passes(self) -> Passes:
        """Samples that have passed through models so far, with work that was taken over."""
        return passes_so_far() + self._passes_offset

    @contextmanager
    def stopped(self) -> Iterator[list[float]]:
        """Measure decoding, which `now` does not count; the list holds its seconds afterwards."""
        started, took = time.perf_counter(), list[float]()
        try:
            yield took
        finally:
            took.append(time.perf_counter() - started)
            self._offset -= took[0]

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave work out of the costs, such as writing files; decoding in it counts as always."""
        started, passed = self.now(), self.passes()
        try:
            yield
        finally:
            self._offset -= self.now() - started
            self._passes_offset -= self.passes() - passed

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Mark work that a cell does once and keeps for its later versions; no price includes it."""
        started, passed = self.now(), self.passes()
        try:
            yield
        finally:
            self._prepared += self.now() - started
            self._passes_prepared += self.passes() - passed

    @contextmanager
    def pricing(self) -> Iterator[Price]:
        """Measure work; the price is filled in afterwards and includes work that was taken over."""
        started, prepared = self.now(), self._prepared
        passed, passes_prepared = self.passes(), self._passes_prepared
        self._open.append(price := Price())
        try:
            yield price
        finally:
            self._open.pop()
            price.seconds = self.now() - started - (self._prepared - prepared)
            price.passes = self.passes() - passed - (self._passes_prepared - passes_prepared)

    def need(self, splits: Mapping[Hashable, float], decoded_now: bool = False) -> None:
        """Count the decoding of splits that the cell has not needed before.

        Args:
            splits: Seconds of decoding by split.
            decoded_now: Whether these seconds were spent just now; otherwise they were taken over.
        """
        for price in self._open:
            price.splits.update(splits)
        seconds = sum(seconds for split, seconds in splits.items() if split not in self._needed)
        self._needed.update(splits)
        self.decoding += seconds
        self.taken_over += 0.0 if decoded_now else seconds

    def take_over(self, price: Price) -> None:
        """Count work whose result is taken from an earlier computation."""
        self._offset += price.seconds
        self.taken_over += price.seconds
        if processes.rank() == 0:  # which tells of the passes of all processes
            self._passes_offset += price.passes
        self.need(price.splits)
