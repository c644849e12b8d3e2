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


class Runs:
    """Numbers for runs of five words (or the whole text where it is shorter), equal for equal runs."""

    def __init__(self) -> None:
        self._number: dict[tuple[str, ...], int] = {}

    def matrix(self, texts: Sequence[str]) -> csr_array:
        """Which text has which run, `(texts, runs so far)` of 0 and 1."""
        rows: list[int] = []
        columns: list[int] = []
        for row, text in enumerate(texts):
            words = re.findall(r"[a-z0-9]+", text.lower())
            runs = {tuple(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))}
            columns.extend(self._number.setdefault(run, len(self._number)) for run in runs)
            rows.extend([row] * len(runs))
        ones = np.ones(len(rows), dtype=np.int32)
        return csr_array((ones, (rows, columns)), shape=(len(texts), len(self._number)))


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
    a = runs.matrix(texts)
    common = (a[:, : b.shape[1]] @ b.T).tocoo()
    least = np.minimum(a.sum(axis=1)[common.row], b.sum(axis=1)[common.col])
    found = np.zeros(len(texts), dtype=bool)
    found[common.row[common.data >= NEAR * least]] = True
    return found
