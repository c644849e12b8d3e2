"""Results that several cells of a run need are computed once: tests of equal weights, shared first stages."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar, cast

import psutil

from clbench.benchmarks.clock import Clock, Price

T = TypeVar("T")

SHARE = 0.1
"""Share of the computer's free memory at the start that kept results may take."""


@dataclass(frozen=True)
class _Kept:
    value: object
    price: Price
    size: int


class SharedResults:
    """Results in memory, by everything that they depend on; the least recently used are dropped at the limit.

    A kept result has the same bits as a new computation, so a resumed run without it gets the same results.

    Args:
        limit: Most bytes that are kept.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = round(SHARE * psutil.virtual_memory().available) if limit is None else limit
        self._kept: dict[Hashable, _Kept] = {}
        self.clock = Clock()
        """Clock by which each cell's costs are counted as if it were alone."""

    def once(self, key: Hashable, make: Callable[[], T], size_of: Callable[[T], int]) -> T:
        """The result of `make`, computed now or kept from an earlier call with an equal key.

        Args:
            key: Everything that the result depends on.
            make: Computes the result, which no caller may change.
            size_of: Bytes of the result.
        """
        if key in self._kept:
            found = self._kept[key] = self._kept.pop(key)  # now the most recently used
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
