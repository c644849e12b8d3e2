"""What the cells of a run have in common is computed once: tests of equal weights, first stages of equal recipes."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar, cast

import psutil

from clbench.benchmarks.clock import Clock, Price

T = TypeVar("T")

SHARE = 0.1
"""What may be kept, of the computer's free memory at the start."""


@dataclass(frozen=True)
class _Kept:
    value: object
    price: Price
    size: int


class SharedResults:
    """Results by what decides them, in memory, the oldest let go when they are too many.

    Whatever is kept here would be computed again to the same bits, so a run that was cut off and has nothing of it goes
    on as the uncut one.

    Args:
        limit: Bytes that may be kept.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = round(SHARE * psutil.virtual_memory().available) if limit is None else limit
        self._kept: dict[Hashable, _Kept] = {}
        self.clock = Clock()
        """By which a cell's costs are told as if it were alone."""

    def once(self, key: Hashable, make: Callable[[], T], size_of: Callable[[T], int]) -> T:
        """The result of `make`, computed now or kept from an earlier call with an equal key.

        Args:
            key: Everything that the result depends on.
            make: Computes it; must not be changed by whoever gets it.
            size_of: Its bytes.
        """
        if key in self._kept:
            found = self._kept[key] = self._kept.pop(key)  # the last one to be let go now
            self.clock.take_over(found.price)
            return cast(T, found.value)
        with self.clock.pricing() as price:
            value = make()
        self._keep(key, _Kept(value, price, size_of(value)))
        return value

    def _keep(self, key: Hashable, result: _Kept) -> None:
        self._kept[key] = result
        total = sum(kept.size for kept in self._kept.values())
        for old in list(self._kept):
            if total <= self._limit:
                return
            total -= self._kept.pop(old).size
