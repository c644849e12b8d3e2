"""Texts that say nearly the same: overlap of their runs of five words."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

RUN = 5
NEAR = 0.3
"""Share of the runs of the shorter text that are in the other too, from which two texts are nearly the same.

It is at least their Jaccard index, and also finds a quotation in a longer text.
"""


def _runs(text: str) -> set[tuple[str, ...]]:
    """Runs of five words of a text, or the whole text where it is shorter."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))}


class Runs:
    """Numbers for runs, equal for equal runs."""

    def __init__(self) -> None:
        self._number: dict[tuple[str, ...], int] = {}

    def matrix(self, texts: Sequence[str]) -> csr_array:
        """Which text has which run, `(texts, runs so far)` of 0 and 1."""
        numbers = [[self._number.setdefault(run, len(self._number)) for run in _runs(text)] for text in texts]
        return self._ones(numbers)

    def known(self, texts: Sequence[str]) -> tuple[csr_array, NDArray[np.int64]]:
        """The same for the runs that have a number already, and how many runs each text has."""
        numbers, sizes = [], []
        for text in texts:
            runs = _runs(text)
            numbers.append([self._number[run] for run in runs if run in self._number])
            sizes.append(len(runs))
        return self._ones(numbers), np.array(sizes, dtype=np.int64)

    def _ones(self, numbers: list[list[int]]) -> csr_array:
        rows = np.repeat(np.arange(len(numbers)), [len(line) for line in numbers])
        columns = np.fromiter((number for line in numbers for number in line), dtype=np.int64)
        ones = np.ones(len(rows), dtype=np.int32)
        return csr_array((ones, (rows, columns)), shape=(len(numbers), len(self._number)))


def distinct(texts: Sequence[str]) -> list[int]:
    """Indices of the texts that are not nearly the same as an earlier one that is kept."""
    matrix = Runs().matrix(texts)
    sizes = matrix.sum(axis=1)
    common = csr_array(matrix @ matrix.T)
    kept = np.zeros(len(texts), dtype=bool)
    for row in range(len(texts)):
        span = slice(common.indptr[row], common.indptr[row + 1])
        others = common.indices[span]
        near = common.data[span] >= NEAR * np.minimum(sizes[row], sizes[others])
        kept[row] = not (near & kept[others]).any()
    return np.flatnonzero(kept).tolist()


def near_any(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts are nearly the same as any of the others, bool `(texts,)`."""
    runs = Runs()
    b = runs.matrix(others)
    a, sizes = runs.known(texts)
    common = (a @ b.T).tocoo()
    least = np.minimum(sizes[common.row], b.sum(axis=1)[common.col])
    found = np.zeros(len(texts), dtype=bool)
    found[common.row[common.data >= NEAR * least]] = True
    return found
