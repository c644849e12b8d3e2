"""The accuracy matrix as an image: what a model knows after each task, at a glance."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.core.storage import written_whole
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.matrix_labels import CellState, cell_state, version_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 0.25
"""Height left free between version 0 and the trained versions, in cells."""
AFTER = {"version": "after learning", "release": "of release", "update": "after update"}
"""What the labels of the rows name, by what the rows stand for."""
HATCHES: dict[CellState, str] = {"future": "///", "forgotten": "xxx"}
"""Patterns of matplotlib by the state of a cell."""


def matrix_figure(matrix: ScoreMatrix, title: str, path: Path) -> None:
    """Draw a heat map of versions x tasks as PNG, numbers in %, whole or not at all.

    Version 0 is set apart at the top. The cell of the task that a version learnt has a frame, and tasks that no version
    on its path has learnt are hatched; where no update learns a task there is neither. A task that was forgotten on
    request has crosses. A version that does not start from the one above it names its parent. Cells that were not
    measured are empty.

    Args:
        matrix: R, versions x tasks, fractions in [0, 1].
        title: Shown above the map as it is.
        path: The PNG file.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = matrix.number_of_tasks
    last = matrix.last
    figure = Figure(figsize=(2.6 + 0.72 * tasks, 2.0 + 0.48 * last), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # the object API: no global state, no display
    axes = figure.add_subplot()
    for version in range(last + 1):
        for task in range(1, tasks + 1):
            _draw_cell(axes, matrix, version, task)
    _label(axes, matrix, title)
    with written_whole(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})  # same matrix, same bytes


def _draw_cell(axes: "Axes", matrix: ScoreMatrix, version: int, task: int) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    score = float(matrix.scores[version, task - 1])
    measured = not math.isnan(score)
    shade = 0.8 * min(max(score, 0.0), 1.0) if measured else 0.0
    corner = (task - 1, _top(version))
    colour = colormaps["Blues"](shade) if measured else "white"
    state = cell_state(matrix, version, task)
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="#c3c8ce", linewidth=0.8))
    if state in HATCHES:
        hatch = HATCHES[state]
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch=hatch, edgecolor="#7d8894", linewidth=0, alpha=0.55))
    if state == "learnt":
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=1.6, zorder=3))
    if measured:
        ink = "white" if shade > 0.62 else "black"
        box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5} if state in HATCHES else None  # over the hatching
        where = (task - 0.5, _top(version) + 0.5)
        axes.text(*where, f"{100 * score:.1f}", ha="center", va="center", fontsize=8, color=ink, bbox=box, zorder=4)


def _top(version: int) -> float:
    return float(version) if version == 0 else version + GAP


def _label(axes: "Axes", matrix: ScoreMatrix, title: str) -> None:
    tasks, last = matrix.number_of_tasks, matrix.last
    axes.set_xlim(-0.03, tasks + 0.03)
    axes.set_ylim(_top(last) + 1.03, -0.03)
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xticks([task + 0.5 for task in range(tasks)])
    axes.set_xticklabels(matrix.tasks, rotation=40, ha="right", rotation_mode="anchor", fontsize=8, parse_math=False)
    axes.set_yticks([_top(version) + 0.5 for version in range(last + 1)])
    names = [version_label(matrix, version) for version in range(last + 1)]
    axes.set_yticklabels(names, fontsize=8, parse_math=False)
    axes.set_ylabel(f"version, {AFTER[matrix.rows_are]}", fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
