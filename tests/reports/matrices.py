"""Matrices worked by hand, and a strategy that makes any."""

import math
from collections.abc import Sequence

from hypothesis import strategies as st

from clbench.reports.matrix import ScoreMatrix

NAN = math.nan


def matrix(*rows: Sequence[float | None]) -> ScoreMatrix:
    """A matrix with tasks a, b, c, ... from all its rows, None where not measured."""
    tasks = "abcdefgh"[: len(rows) - 1]
    return ScoreMatrix.from_rows(
        tuple(tasks), {t: [NAN if x is None else x for x in row] for t, row in enumerate(rows)}
    )


THREE = matrix([0.1, 0.2, 0.3], [0.8, 0.3, 0.2], [0.9, 0.7, 0.4], [0.5, 0.6, 0.9])
"""Task a gets better when b is learnt, and is forgotten with c."""

scores = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 6))


@st.composite
def matrices(draw: st.DrawFn, least: int = 1, gaps: bool = False) -> ScoreMatrix:
    """Any matrix of up to 6 tasks, with negative scores, and cells that were not measured on demand."""
    tasks = draw(st.integers(least, 6))
    cell = st.one_of(scores, st.just(None)) if gaps else scores
    rows = draw(st.lists(st.lists(cell, min_size=tasks, max_size=tasks), min_size=tasks + 1, max_size=tasks + 1))
    return matrix(*rows)
