"""Graphs of updates for tests: one drawn by hand, and a strategy that makes any."""

import numpy as np
from hypothesis import strategies as st
from tests.reports.matrices import scores

from clbench.reports.matrix import ScoreMatrix
from clbench.spec.update import Adopt, Compress, Forget, Learn, Update

TASKS = ("a", "b", "c")
MIXED: tuple[Update, ...] = (
    Learn(task="b"),
    Compress(bits=8),
    Learn(task="a"),
    Compress(bits=4),
    Compress(bits=2, parent="a"),
    Learn(task="c", parent="4 bits"),
)
"""Versions 0 - 1 (b) - 2 (8 bits) - 3 (a) - 4 (4 bits) - 6 (c); version 5 (2 bits) is a branch of version 3."""
SCORES = np.array(
    [
        [0.10, 0.20, 0.30],
        [0.15, 0.90, 0.25],
        [0.05, 0.85, 0.35],
        [0.80, 0.70, 0.40],
        [0.75, 0.60, 0.45],
        [0.30, 0.20, 0.10],
        [0.65, 0.95, 0.99],
    ]
)
GRAPH = ScoreMatrix(TASKS, SCORES, MIXED)


@st.composite
def graphs(draw: st.DrawFn) -> ScoreMatrix:
    """Any graph of up to 7 updates over 3 tasks, all cells measured; updates are named u1, u2, ..."""
    number = draw(st.integers(1, 7))
    learns = [Learn(task=task) for task in TASKS]
    kinds: list[Update] = [*learns, Compress(bits=4), Adopt(release="r"), Forget(task="a", share=0.1)]
    updates: list[Update] = []
    for version in range(1, number + 1):
        parent = draw(st.integers(0, version - 1))
        named = {"name": f"u{version}", "parent": f"u{parent}" if parent else "pre-trained"}
        updates.append(draw(st.sampled_from(kinds)).model_copy(update=named))
    size = (number + 1) * len(TASKS)
    cells = draw(st.lists(scores, min_size=size, max_size=size))
    return ScoreMatrix(TASKS, np.reshape(cells, (-1, len(TASKS))), tuple(updates))
