"""What tables and images show of a matrix besides its numbers: names of rows, and what each cell stands for."""

from typing import Literal

from clbench.reports.matrix import ScoreMatrix
from clbench.spec.update import PRETRAINED, Learn

CellState = Literal["learnt", "future", "past", "forgotten"]


def version_label(matrix: ScoreMatrix, version: int) -> str:
    """Number and label of a version: `0 pre-trained`, `3 birds`; a branch names its parent: `6 4 bits (from 4)`."""
    if version == 0:
        return f"0 {PRETRAINED}"
    label, parent = f"{version} {matrix.made_of[version - 1]}", matrix.parents[version - 1]
    return label if parent == version - 1 else f"{label} (from {parent})"


def cell_state(matrix: ScoreMatrix, version: int, task: int) -> CellState:
    """What a version is to a task, as in `row_states`.

    Args:
        matrix: R.
        version: Row, from 0.
        task: Column, from 1.
    """
    return row_states(matrix, version)[task - 1]


def row_states(matrix: ScoreMatrix, version: int) -> list[CellState]:
    """What a version is to each task.

    Args:
        matrix: R.
        version: Row, from 0.

    Returns:
        `forgotten` if the whole task was forgotten on request, `learnt` if this version learnt the task, `future` if no
        version on its path has learnt it, else `past`; always `past` in a stream that learns no task (releases).
    """
    forgotten, seen = matrix.forgotten_tasks(version), matrix.learnt_at(version)
    learns = any(isinstance(update, Learn) for update in matrix.updates)
    update = matrix.updates[version - 1] if version else None
    own = update.task if isinstance(update, Learn) else None

    def state(name: str) -> CellState:
        if name in forgotten:
            return "forgotten"
        if name == own:
            return "learnt"
        return "future" if learns and name not in seen else "past"

    return list(map(state, matrix.tasks))
